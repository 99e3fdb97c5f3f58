"""Tables of events as programs export them: delimited text whose header may come late.

Which column holds what is read from the header, or told.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from canemo.errors import AnnotationError
from canemo.formats.delimited import TableFileError
from canemo.formats.tables import point_decimals, read_text
from canemo.formats.workbooks import Sheet

FIELDS: Mapping[str, tuple[str, ...]] = {
    "video_id": ("video_id", "video id"),
    "media": (
        "media file name", "media file path", "media file", "media", "file path", "file name",
        "linked file", "file",
    ),
    "observation": ("observation id",),
    "code": (
        "behavior", "behaviour", "code", "annotation value", "annotation", "value", "action unit",
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
    "status": ("behavior type", "behaviour type", "status", "event type"),
    "observer": ("observer", "coder", "annotator"),
    "subject": ("subject", "subject_id"),
    "modifiers": ("modifiers", "modifier #1", "modifier 1", "modifier"),
    "source": ("source",),
    "durations_s": ("media duration (s)",),
    "offset_s": ("time offset (s)",),
}  # fmt: skip
"""What a table may tell of an event -> the headings that mean it, the best first.

BORIS lets variables of its users have any name: its own headings come before those that others use.
"""

_HEADER_ROWS = 200  # of an export that tells of its observation before the table
_NUMBER = r"(?:[0-9]+\.?[0-9]*|\.[0-9]+)"
_MODIFIER = re.compile(r"modifier #?[0-9]+")
_PLAYER = "player #"
_TIME = re.compile(rf"-?{_NUMBER}(?:e-?[0-9]+)?|(?:[0-9]+:){{1,2}}{_NUMBER}")


@dataclass(frozen=True)
class EventTable:
    """A table of events as text.

    Attributes
    ----------
    path, place
        The file, and what messages call it.
    columns
        Field of `FIELDS` -> the heading that holds it.
    unused
        The headings that mean nothing here.
    rows
        Line in the file, from 1, and its cells by field. A line with annotations of several tiers
        is a row for each.
    faults
        Line in the file -> what is wrong with its cells.
    preamble
        What stands before the header, by the first cell of its line; several films of one player
        with semicolons between them.
    decimal_comma
        Whether commas do not separate cells, so that they may stand in numbers.
    """

    path: Path
    columns: Mapping[str, str]
    unused: tuple[str, ...]
    rows: tuple[tuple[int, Mapping[str, str]], ...]
    faults: Mapping[int, str]
    preamble: Mapping[str, str]
    decimal_comma: bool
    place: str = ""

    def has(self, *fields: str) -> bool:
        """Whether all of these fields have a column."""
        return all(field in self.columns for field in fields)


def read_event_table(
    path: Path, *, is_code: Callable[[str], bool], columns: Mapping[str, str] | None = None
) -> EventTable:
    """Read a table of events.

    Parameters
    ----------
    path
        Delimited text or a workbook, see `canemo.formats.tables.read_text`.
    is_code
        Whether a heading is a code. Where there is no column for codes or tiers, such columns hold
        the annotations of one tier each.
    columns
        Field -> heading, before any guess.

    Raises
    ------
    AnnotationError
        The file cannot be read, holds no table of events, or a heading that was named is not in it.
    """
    told = dict(columns or {})
    _require_fields(told)
    try:
        text = read_text(path, fits=lambda lines: _find_header(lines, told, is_code) is not None)
        if isinstance(text, Sheet):
            text.require_sound()
        for separator in text.candidates:
            lines = list(text.iter_lines(separator, strict=False))
            header = _find_header(lines, told, is_code)
            if header is not None:
                table = _make_table(path, lines, header, separator=separator)
                return replace(table, place=f"{path}{text.place}")
    except TableFileError as exc:
        raise AnnotationError(f"{path}: {exc}") from exc
    raise AnnotationError(f"{path}: {_describe_failure(text.first_line, told)}")


@dataclass(frozen=True)
class _Header:
    """The place of the header among the lines, and which columns hold what."""

    place: int
    cells: Sequence[str]
    found: Mapping[str, int]
    modifiers: Sequence[int]
    tiers: Sequence[int]

    @property
    def used(self) -> set[int]:
        return {*self.found.values(), *self.modifiers, *self.tiers}

    def name_columns(self) -> dict[str, str]:
        """Return the heading or headings of each field."""
        named = {field: self.cells[column] for field, column in self.found.items()}
        for field, columns in (("modifiers", self.modifiers), ("tier", self.tiers)):
            if columns:
                named[field] = ", ".join(self.cells[column] for column in columns)
        return named

    def iter_rows(self, row: Sequence[str]) -> Iterator[dict[str, str]]:
        """Yield the cells of a line by field, once for each of its tiers."""
        whole = {field: _take(row, column) for field, column in self.found.items()}
        if self.modifiers:
            whole["modifiers"] = "|".join(_take(row, column) for column in self.modifiers)
        if not self.tiers:
            yield whole
        for column in self.tiers:
            if _take(row, column):
                yield whole | {"tier": self.cells[column], "code": row[column]}


def _find_header(
    lines: Sequence[tuple[int, list[str]]],
    told: Mapping[str, str],
    is_code: Callable[[str], bool],
) -> _Header | None:
    for place, (_, cells) in enumerate(lines[:_HEADER_ROWS]):
        found = _recognise(cells, told)
        tiers: list[int] = []
        if not {"code", "tier"} & found.keys():
            tiers = [column for column, cell in enumerate(cells) if is_code(cell)]
        named = all(field in found for field in told)
        timed = {"start_s", "end_s"} <= found.keys() or {"time_s", "status"} <= found.keys()
        if named and timed and (tiers or {"code", "tier"} & found.keys()):
            of_boris = [] if "modifiers" in told else _find_modifiers(cells)
            return _Header(place, cells, found, of_boris, tiers)
    return None


def _make_table(
    path: Path, lines: Sequence[tuple[int, list[str]]], header: _Header, *, separator: str
) -> EventTable:
    below = lines[header.place + 1 :]
    used = header.used
    faults = {number: _find_fault(row, header, separator) for number, row in below}
    return EventTable(
        path,
        header.name_columns(),
        tuple(cell for column, cell in enumerate(header.cells) if cell and column not in used),
        tuple((number, cells) for number, row in below for cells in header.iter_rows(row)),
        {number: fault for number, fault in faults.items() if fault},
        _read_preamble(row for _, row in lines[: header.place]),
        separator != ",",
    )


def _find_fault(row: Sequence[str], header: _Header, separator: str) -> str:
    """Return what is wrong with the cells of a line: too many, or a quote that is not closed."""
    for column, cell in enumerate(row):
        inner = cell.splitlines()[1:]
        swallowed = any(line.count(separator) >= len(header.cells) - 1 for line in inner)
        if inner and (column in header.used or swallowed):
            return f"cell {cell[:40]!r} runs over several lines; close its quote or take it out."
    if len(row) > len(header.cells):
        return (
            f"there are more cells than the {len(header.cells)} headings; decimal commas need "
            "semicolons or tabs between cells, or points instead."
        )
    return ""


def _read_preamble(rows: Iterable[Sequence[str]]) -> dict[str, str]:
    """Return what stands before the header; of a name that comes twice the first, or all films."""
    read: dict[str, str] = {}
    for first, *rest in rows:
        name, text = first.casefold(), ";".join(filter(None, rest))
        if name in read and name.startswith(_PLAYER):
            text = f"{read[name]};{text}"
        if name not in read or name.startswith(_PLAYER):
            read[name] = text
    return read


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
    if decimal_comma:
        text = point_decimals(text)
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


def _recognise(cells: Sequence[str], told: Mapping[str, str]) -> dict[str, int]:
    """Return the column of each field that the cells of a header name.

    Of two headings alike the first counts, in a file of BORIS the last: its variables come before.
    """
    placed = [(_plain(cell), place) for place, cell in enumerate(cells) if cell]
    is_boris = "observation id" in dict(placed)
    places = dict(placed if is_boris else reversed(placed))
    found: dict[str, int] = {}
    for field, names in FIELDS.items():
        wanted = [told[field]] if field in told else names
        place = next((places[_plain(n)] for n in wanted if _plain(n) in places), None)
        if place is not None and (field in told or place not in found.values()):
            found[field] = place
    return found


def _find_modifiers(cells: Sequence[str]) -> list[int]:
    """Return the columns of BORIS's modifiers where each has its own."""
    return [column for column, cell in enumerate(cells) if _MODIFIER.fullmatch(_plain(cell))]


def _take(row: Sequence[str], column: int) -> str:
    return row[column] if column < len(row) else ""


def _plain(heading: str) -> str:
    return " ".join(heading.casefold().replace("_", " ").split())


def _describe_failure(first: str, told: Mapping[str, str]) -> str:
    if not first:
        return "is empty; give a table of events"
    seen = f"its first line is {first[:120]!r}"
    asked = f" among them {', '.join(map(repr, told.values()))}," if told else ""
    return (
        f"holds no table of events: no row has headings for{asked} a code and its start and end "
        "(or its time and whether it starts or stops) such as code,start_s,end_s; "
        f"{seen}; say which columns hold what with --column code=THEIR_NAME --column "
        "start_s=THEIR_NAME, and let an ELAN export have its row of headings and the names of tiers"
    )
