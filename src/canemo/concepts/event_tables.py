"""Tables of events as programs export them: delimited text whose header may come late.

Which column holds what is read from the header, or told.
"""

from __future__ import annotations

import csv
import difflib
import io
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from canemo.errors import AnnotationError

FIELDS: Mapping[str, tuple[str, ...]] = {
    "video_id": ("video_id", "video id"),
    "media": (
        "media file name", "media file path", "media file", "media", "file path", "file name",
        "linked file", "file",
    ),
    "observation": ("observation id",),
    "code": (
        "code", "behavior", "behaviour", "annotation value", "annotation", "value", "action unit",
    ),
    "tier": ("tier", "tier name"),
    "start_s": (
        "start_s", "start (s)", "begin time - ss.msec", "begin time - msec",
        "begin time - hh:mm:ss.ms", "begin time", "start time", "start", "begin", "onset",
    ),
    "end_s": (
        "end_s", "stop (s)", "end time - ss.msec", "end time - msec", "end time - hh:mm:ss.ms",
        "end time", "stop time", "end (s)", "stop", "end", "offset",
    ),
    "time_s": ("time_s", "time", "time (s)"),
    "status": ("status", "behavior type", "behaviour type", "event type"),
    "observer": ("observer", "coder", "annotator"),
    "subject": ("subject", "subject_id"),
    "modifiers": ("modifiers", "modifier #1", "modifier 1", "modifier"),
}  # fmt: skip
"""What a table may tell of an event -> the headings that mean it, the best first."""

_SEPARATORS = "\t,;"
_HEADER_ROWS = 200  # of an export that tells of its observation before the table
_NUMBER = r"(?:[0-9]+\.?[0-9]*|\.[0-9]+)"
_TIME = re.compile(rf"-?{_NUMBER}(?:e-?[0-9]+)?|(?:[0-9]+:){{1,2}}{_NUMBER}")


@dataclass(frozen=True)
class EventTable:
    """A table of events as text.

    Attributes
    ----------
    path
        The file.
    columns
        Field of `FIELDS` -> the heading that holds it.
    unused
        The headings that mean nothing here.
    rows
        Line in the file, from 1, and its cells by field.
    preamble
        What stands before the header, by the first cell of its line.
    decimal_comma
        Whether commas do not separate cells, so that they may stand in numbers.
    """

    path: Path
    columns: Mapping[str, str]
    unused: tuple[str, ...]
    rows: tuple[tuple[int, Mapping[str, str]], ...]
    preamble: Mapping[str, str]
    decimal_comma: bool

    def has(self, *fields: str) -> bool:
        """Whether all of these fields have a column."""
        return all(field in self.columns for field in fields)


def read_event_table(path: Path, *, columns: Mapping[str, str] | None = None) -> EventTable:
    """Read a table of events.

    Parameters
    ----------
    path
        CSV, TSV or semicolons; UTF-8 or UTF-16 with its mark.
    columns
        Field -> heading, before any guess.

    Raises
    ------
    AnnotationError
        The file cannot be read, holds no table of events, or a heading that was named is not in it.
    """
    told = dict(columns or {})
    _require_fields(told)
    text = _read_text(path)
    for separator in _SEPARATORS:
        lines = list(_split_lines(text, separator, path))
        header = _find_header(lines, told)
        if header is not None:
            return _make_table(path, lines, *header, decimal_comma=separator != ",")
    raise AnnotationError(f"{path}: {_describe_failure(text, told)}")


def _find_header(
    lines: Sequence[tuple[int, list[str]]], told: Mapping[str, str]
) -> tuple[int, dict[str, int]] | None:
    """Return the place of the header among the lines, and the column of each field."""
    for place, (_, cells) in enumerate(lines[:_HEADER_ROWS]):
        found = _recognise(cells, told)
        if found is not None:
            return place, found
    return None


def _make_table(
    path: Path,
    lines: Sequence[tuple[int, list[str]]],
    place: int,
    found: Mapping[str, int],
    *,
    decimal_comma: bool,
) -> EventTable:
    header, used = lines[place][1], set(found.values())
    return EventTable(
        path,
        {field: header[column] for field, column in found.items()},
        tuple(cell for column, cell in enumerate(header) if cell and column not in used),
        tuple((number, _name_cells(row, found)) for number, row in lines[place + 1 :]),
        {row[0].casefold(): _join_rest(row) for _, row in lines[:place]},
        decimal_comma,
    )


def parse_time(text: str, heading: str, *, decimal_comma: bool) -> float | None:
    """Return a time in seconds, None where the text is none.

    Parameters
    ----------
    text
        A number, or ``hh:mm:ss.ms``, or ``mm:ss``; what comes after a colon is below 60.
    heading
        Of its column: a number under one that ends in ``msec`` or ``ms`` alone is milliseconds.
    decimal_comma
        Whether a comma may stand for the point.
    """
    if decimal_comma and text.count(",") == 1 and "." not in text:
        text = text.replace(",", ".")
    if not _TIME.fullmatch(text):
        return None
    parts = [float(part) for part in text.split(":")]
    if any(part >= 60 for part in parts[1:]):
        return None
    if len(parts) == 1:
        in_ms = re.search(r"(^|[^.:a-z])(msec|ms|milliseconds)\W*$", heading.casefold())
        return parts[0] / 1000 if in_ms else parts[0]
    return math.fsum(part * 60.0**power for power, part in enumerate(reversed(parts)))


def _require_fields(told: Mapping[str, str]) -> None:
    for name in told:
        if name not in FIELDS:
            close = difflib.get_close_matches(name, FIELDS, n=1)
            meant = f"; did you mean {close[0]!r}?" if close else ""
            raise AnnotationError(
                f"--column {name}=...: {name!r} is not known, only {', '.join(FIELDS)}{meant}"
            )


def _read_text(path: Path) -> str:
    try:
        content = path.read_bytes()
    except OSError as exc:
        raise AnnotationError(
            f"{path}: cannot be read ({exc.strerror}); give a table of events"
        ) from exc
    is_utf16 = content.startswith((b"\xff\xfe", b"\xfe\xff"))
    try:
        return content.decode("utf-16" if is_utf16 else "utf-8-sig")
    except UnicodeDecodeError as exc:
        raise AnnotationError(f"{path}: is not UTF-8 text; export it as CSV or TSV text") from exc


def _split_lines(text: str, separator: str, path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield the stripped cells of each row that is not blank, with the line it starts on."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    start = 1
    try:
        for cells in reader:
            stripped = [cell.strip() for cell in cells]
            if any(stripped):
                yield start, stripped
            start = reader.line_num + 1
    except csv.Error as exc:
        raise AnnotationError(f"{path}: line {start} is not CSV ({exc}); export it again") from exc


def _recognise(cells: Sequence[str], told: Mapping[str, str]) -> dict[str, int] | None:
    """Return the column of each field where the cells are the header of a table of events."""
    places = {_plain(cell): place for place, cell in reversed(list(enumerate(cells))) if cell}
    found: dict[str, int] = {}
    for field, names in FIELDS.items():
        wanted = [told[field]] if field in told else names
        place = next((places[_plain(n)] for n in wanted if _plain(n) in places), None)
        if place is not None and (field in told or place not in found.values()):
            found[field] = place
    named = all(field in found for field in told)
    coded = "code" in found or "tier" in found
    timed = {"start_s", "end_s"} <= set(found) or {"time_s", "status"} <= set(found)
    return found if named and coded and timed else None


def _name_cells(cells: Sequence[str], found: Mapping[str, int]) -> dict[str, str]:
    return {field: cells[place] for field, place in found.items() if place < len(cells)}


def _join_rest(cells: Sequence[str]) -> str:
    return ";".join(cell for cell in cells[1:] if cell)


def _plain(heading: str) -> str:
    return " ".join(heading.casefold().replace("_", " ").split())


def _describe_failure(text: str, told: Mapping[str, str]) -> str:
    first = next((line.strip() for line in text.splitlines() if line.strip()), "")
    if not first:
        return "is empty; give a table of events"
    seen = f"its first line is {first[:120]!r}"
    asked = f" among them {', '.join(map(repr, told.values()))}," if told else ""
    return (
        f"holds no table of events: no row has headings for{asked} a code and its start and end "
        "(or its time and whether it starts or stops) such as code,start_s,end_s; "
        f"{seen}; say which columns hold what with --column code=THEIR_NAME --column "
        "start_s=THEIR_NAME, and let an ELAN export have its row of headings"
    )
