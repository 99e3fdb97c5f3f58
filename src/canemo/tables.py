"""Tables that people edit by hand: CSV read with care, and what is wrong with it by row.

Forgiving about form: comma, semicolon or tab, any line ends, a byte order mark, blanks around
cells, accents written in two ways. Nothing is guessed about content.
"""

from __future__ import annotations

import csv
import difflib
import io
import math
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

VIDEOS_CSV = "videos.csv"
REQUIRED_COLUMNS = ("video_id", "path", "subject_id", "label")

_UNIT_SUFFIXES = ("_years", "_months", "_weeks", "_days", "_kg", "_cm")
_MISSING_NUMBERS = frozenset(["", "na", "n/a", "nan"])


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with a study, and where.

    Parameters
    ----------
    severity
        "error" keeps the study from being used or makes its result wrong; "warning" is worth a
        look.
    file
        The table, by name.
    row
        Line in the table, counted from 1 with the header, or None for the whole table.
    column
        The column, or None for the whole row or table.
    seen
        What is there.
    wanted
        What should be there, or what to do.
    """

    severity: Literal["error", "warning"]
    file: str
    row: int | None
    column: str | None
    seen: str
    wanted: str

    def __str__(self) -> str:
        return f"{self.severity}: {self.describe()}"

    def describe(self) -> str:
        """Return place, what was seen and what is wanted in one line, without the severity."""
        place = [self.file]
        if self.row is not None:
            place.append(f"row {self.row}")
        if self.column is not None:
            place.append(f"column {self.column}")
        return f"{', '.join(place)}: {self.seen}; {self.wanted}"


@dataclass(frozen=True)
class Row:
    """One row of a table as text; `number` is its line in the file, from 1 with the header."""

    number: int
    cells: Mapping[str, str]

    def get(self, column: str) -> str:
        """Return a cell, empty where the row or the table does not have it."""
        return self.cells.get(column, "")


@dataclass
class Table:
    """One table as text, and what is wrong with it."""

    name: str
    columns: list[str] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    decimal_comma: bool = False
    is_broken: bool = False  # rows cannot be trusted or are not there

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows)

    def add_error(self, row: Row | None, column: str | None, seen: str, wanted: str) -> None:
        """Note an error in a row, or in the whole table."""
        number = None if row is None else row.number
        self.problems.append(Problem("error", self.name, number, column, seen, wanted))

    def give_up(self, seen: str, wanted: str, *, column: str | None = None) -> None:
        """Note an error that leaves the rows without a meaning."""
        self.is_broken = True
        self.add_error(None, column, seen, wanted)


def read_table(path: Path, *, required: Sequence[str]) -> Table:
    """Read a CSV file as text; what is wrong with it is noted in the table, never raised."""
    table = Table(path.name)
    try:
        text = _decode(path.read_bytes())
    except OSError as exc:
        table.give_up(f"cannot be read ({exc.strerror})", "a readable CSV file")
        return table
    except UnicodeDecodeError:
        table.give_up("is not UTF-8 text", "save it as 'CSV UTF-8'")
        return table
    separator = _sniff_separator(text)
    table.decimal_comma = separator != ","
    try:
        _fill_table(table, text, separator)
    except csv.Error as exc:
        table.give_up(f"is not CSV ({exc})", "a CSV file with one header row")
        return table
    _check_columns(table, required)
    if not table.rows and not table.is_broken:
        table.give_up("holds no rows", "at least one row below the header")
    return table


def _decode(content: bytes) -> str:
    # Excel's "Unicode text" is UTF-16 with a byte order mark.
    is_utf16 = content.startswith((b"\xff\xfe", b"\xfe\xff"))
    return unicodedata.normalize("NFC", content.decode("utf-16" if is_utf16 else "utf-8-sig"))


def _sniff_separator(text: str) -> str:
    header = next((line for line in text.splitlines() if line.strip()), "")
    return max(
        ",;\t", key=lambda separator: len(next(csv.reader([header], delimiter=separator), []))
    )


def _fill_table(table: Table, text: str, separator: str) -> None:
    lines = _number_rows(text, separator)
    _, header = next(lines, (1, []))
    table.columns = header
    for number, cells in lines:
        row = Row(number, dict(zip(header, cells, strict=False)))
        if any(cells[len(header) :]):
            table.add_error(
                row,
                None,
                f"{len(cells)} cells under {len(header)} columns",
                "as many as the header has; put a cell with a separator in it in quotes",
            )
        table.rows.append(row)


def _number_rows(text: str, separator: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the stripped cells of each row that is not blank, with the line it starts on."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    start = 1
    for cells in reader:
        stripped = [cell.strip() for cell in cells]
        if any(stripped):
            yield start, stripped
        start = reader.line_num + 1


def _check_columns(table: Table, required: Sequence[str]) -> None:
    for name in required:
        if name not in table.columns:
            there = ", ".join(filter(None, table.columns)) or "nothing"
            advice = _advise_column(name, table.columns)
            table.give_up(f"there is no such column, only {there}", advice, column=name)
    for name in sorted({name for name in table.columns if table.columns.count(name) > 1}):
        table.give_up(
            "the column is there more than once", "a name of its own", column=name or "''"
        )


def _advise_column(name: str, columns: Sequence[str]) -> str:
    by_plain_name = {plain(column): column for column in columns}
    close = difflib.get_close_matches(plain(name), by_plain_name, n=1, cutoff=0.7)
    if close:
        return f"rename {by_plain_name[close[0]]!r} to {name!r}"
    return f"add a column {name!r}"


def check_filled(table: Table, columns: Iterable[str]) -> None:
    """Note each empty cell of these columns."""
    for name in columns:
        if name not in table.columns:
            continue
        for row in table:
            if not row.get(name):
                table.add_error(row, name, "the cell is empty", f"a {name}")


def check_unique(table: Table, column: str, wanted: str) -> None:
    """Note each value that occurs again in a column; case does not count."""
    first_rows: dict[str, Row] = {}
    for row in table:
        value = row.get(column)
        first = first_rows.setdefault(value.casefold(), row)
        if value and first is not row:
            known = first.cells[column]
            how = "is" if known == value else f"differs only in case from {known!r}"
            again = "" if known != value else " already"
            table.add_error(row, column, f"{value!r} {how}{again} in row {first.number}", wanted)


def parse_number(text: str, table: Table) -> float | None:
    """Read a number; a decimal comma is one only where commas do not separate cells."""
    if table.decimal_comma and text.count(",") == 1 and "." not in text:
        text = text.replace(",", ".")
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) and "_" not in text else None


def check_numbers(table: Table) -> None:
    """Note each cell that is no number in a column whose name ends in a unit."""
    for name in table.columns:
        if not name.endswith(_UNIT_SUFFIXES):
            continue
        for row in table:
            text = row.get(name)
            if not is_missing_number(text) and parse_number(text, table) is None:
                table.add_error(row, name, f"{text!r} is not a number", "a number or an empty cell")


def is_missing_number(text: str) -> bool:
    """Whether a cell for a number says that there is none."""
    return text.casefold() in _MISSING_NUMBERS


def type_column(name: str, table: Table) -> list[float] | list[str | None]:
    """Return a column as numbers where all its cells are, else as text; empty cells are missing."""
    texts = [row.get(name) for row in table]
    numbers = [parse_number(text, table) for text in texts]
    if name.endswith(_UNIT_SUFFIXES) or _are_quantities(texts, numbers):
        return [math.nan if number is None else number for number in numbers]
    return [text or None for text in texts]


def _are_quantities(texts: Sequence[str], numbers: Sequence[float | None]) -> bool:
    filled = [
        (text, number)
        for text, number in zip(texts, numbers, strict=True)
        if not is_missing_number(text)
    ]
    # A chip number such as 0071 is a name, not a quantity.
    return bool(filled) and all(
        number is not None and not re.match(r"0\d", text) for text, number in filled
    )


def plain(text: str) -> str:
    """Reduce a word to what is left when case does not count and `_` and `-` are blanks."""
    return re.sub(r"[\s_\-]+", " ", text.casefold())
