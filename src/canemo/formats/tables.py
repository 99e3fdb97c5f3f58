"""Tables that people edit by hand, as text or in workbooks: what is wrong with them, by row.

Forgiving about form: comma, semicolon or tab, or what a first line `sep=;` says; any line ends,
UTF-8 and UTF-16, blanks around cells, empty cells at the right, decimal commas where commas do not
separate, accents written in two ways; workbooks of Excel and LibreOffice. Nothing is guessed about
content.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from canemo.files import sha256_file, sha256_values
from canemo.formats.delimited import DelimitedText, TableFileError, read_delimited
from canemo.formats.workbooks import (
    WORKBOOK_SUFFIXES,
    Sheet,
    choose_sheet,
    is_workbook,
    read_workbook,
)
from canemo.formats.workbooks.sheet import Lines, describe_merged, join_some, name_column

_UNIT_SUFFIXES = ("_years", "_months", "_weeks", "_days", "_kg", "_cm")
MISSING_NUMBERS = frozenset(["", "na", "n/a", "nan"])
"""What a cell for a number says, in lower case, where there is none."""

TABLE_SUFFIXES = (".csv", *WORKBOOK_SUFFIXES)
"""What a table of a study may be called, the usual one first."""

_OTHER_HEADINGS = {
    "video_id": ("clip", "clip id", "clip name", "video name", "video nr", "nr", "no"),
    "path": ("file", "filename", "file name", "file path", "video", "video file", "datei", "film"),
    "subject_id": ("subject", "dog", "dog id", "dog name", "animal", "animal id", "name", "id",
                   "individual", "hund", "tier", "rufname"),
    "label": ("condition", "emotion", "state", "class", "treatment", "situation", "context",
              "bedingung", "zustand", "emotional state"),
}  # fmt: skip
"""What else people write over a column, in lower case, the likeliest first."""

_HEADER_LINES = 20  # within which headings are looked for, to say where they are


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


def read_text(
    path: Path,
    *,
    fits: Callable[[Lines], bool] = lambda lines: True,
    wanted: str = "one sheet with the table",
) -> DelimitedText | Sheet:
    """Read a file of delimited text, or the sheet of a workbook whose lines fit.

    Raises
    ------
    TableFileError
        It cannot be read, is no such file, or its sheets leave open which is meant.
    """
    if not is_workbook(path):
        return read_delimited(path)
    sheets = read_workbook(path)
    if path.suffix.lower() not in WORKBOOK_SUFFIXES:
        raise TableFileError("is a workbook", "name it .xlsx or .ods")
    return choose_sheet(sheets, fits, wanted)


def list_tables(folder: Path, stem: str) -> list[Path]:
    """Return the files of a folder that may hold a table of this name."""
    return [path for path in (folder / f"{stem}{end}" for end in TABLE_SUFFIXES) if path.exists()]


def find_table(folder: Path, stem: str) -> Path:
    """Return the file that holds a table of a folder; where there is none, what it may be called.

    Raises
    ------
    TableFileError
        There are several.
    """
    found = list_tables(folder, stem)
    if len(found) > 1:
        names = " and ".join(path.name for path in found)
        raise TableFileError(f"there are {names}", "one of them; move the others away")
    return found[0] if found else folder / f"{stem}{TABLE_SUFFIXES[0]}"


def hash_table(path: Path) -> str:
    """Return the SHA-256 of a file of text, or of the cells of a workbook.

    A workbook has other bytes each time that it is saved.
    """
    if not is_workbook(path):
        return sha256_file(path)
    return sha256_values(sheets=[(sheet.name, sheet.lines) for sheet in read_workbook(path)])


def read_table(path: Path, *, required: Sequence[str]) -> Table:
    """Read a table as text; what is wrong with it is noted in the table, never raised."""
    table = Table(path.name)
    try:
        wanted = f"one sheet with the columns {', '.join(required)}"
        text = read_text(
            path, fits=lambda lines: _find_header(lines, required) is not None, wanted=wanted
        )
        table.name += text.place
        separator = text.guess_separator()
        table.decimal_comma = separator != ","
        lines = list(text.iter_lines(separator))
    except TableFileError as exc:
        table.give_up(exc.seen, exc.wanted)
        return table
    header = _find_header(lines, required)
    if header is not None and header > lines[0][0]:
        advice = "nothing above the headings: take it away"
        table.give_up(f"the headings are in row {header}, below something else", advice)
        return table
    _fill_table(table, lines)
    if isinstance(text, Sheet):
        _check_sheet(table, text, required)
    _check_columns(table, required)
    if not table.rows and not table.is_broken:
        table.give_up("holds no rows", "at least one row below the header")
    return table


def _find_header(lines: Lines, required: Sequence[str]) -> int | None:
    """Return the number of the first line that has all headings."""
    return next((n for n, cells in lines[:_HEADER_LINES] if {*required} <= {*cells}), None)


def _check_sheet(table: Table, sheet: Sheet, names: Sequence[str]) -> None:
    """Note what a sheet does to values that no text file can do."""
    merged = sheet.list_merged()
    if merged:
        table.give_up(*describe_merged(merged))
    rows = {row.number: row for row in table}
    for (number, place), (seen, wanted) in sheet.faults.items():
        table.add_error(rows.get(number), _name_column(table, place), f"holds {seen}", wanted)
    for number, place in sorted(sheet.dates):
        column = _name_column(table, place)
        if column in names and number in rows:
            seen = f"{rows[number].get(column)!r} is a date, as Excel makes them of names like 1-2"
            table.add_error(rows[number], column, seen, "format the column as text and type it")
    if sheet.hidden_rows:
        seen = f"hidden rows count like the others: {join_some(sheet.hidden_rows)}"
        advice = "show them to see what is read, and delete what should not count"
        table.problems.append(Problem("warning", table.name, None, None, seen, advice))


def _name_column(table: Table, place: int) -> str:
    return table.columns[place] if place < len(table.columns) else ""


def _fill_table(table: Table, lines: Lines) -> None:
    _, table.columns = lines[0] if lines else (1, [])
    unnamed = [place for place, name in enumerate(table.columns) if not name]
    filled = [place for place in unnamed if any(any(cells[place:][:1]) for _, cells in lines[1:])]
    if len(filled) > 1:
        letters = join_some([name_column(place) for place in filled])
        table.give_up(f"columns {letters} have no heading", "a heading over each cell")
    for number, cells in lines[1:]:
        row = Row(number, dict(zip(table.columns, cells, strict=False)))
        if len(cells) > len(table.columns):
            table.add_error(row, None, *describe_excess(cells, table.columns))
        table.rows.append(row)


def describe_excess(cells: Sequence[str], columns: Sequence[str]) -> tuple[str, str]:
    """Return what was seen and what is wanted of a row with more cells than there are columns."""
    return (
        f"{len(cells)} cells under {len(columns)} columns",
        "a heading over each cell, nothing beside the table, quotes around a cell with a separator",
    )


def _check_columns(table: Table, required: Sequence[str]) -> None:
    for name in required:
        if name not in table.columns:
            there = ", ".join(filter(None, table.columns)) or "nothing"
            advice = _advise_column(name, table.columns)
            table.give_up(f"there is no such column, only {there}", advice, column=name)
    for name in sorted({name for name in table.columns if name and table.columns.count(name) > 1}):
        table.give_up("the column is there more than once", "a name of its own", column=name)


def _advise_column(name: str, columns: Sequence[str]) -> str:
    found = find_heading(name, columns)
    return f"add a column {name!r}" if found is None else f"rename {found!r} to {name!r}"


def find_heading(name: str, columns: Sequence[str]) -> str | None:
    """Return the heading that is most likely meant for a column, or None."""
    by_plain_name = {plain(column): column for column in columns}
    close = difflib.get_close_matches(plain(name), by_plain_name, n=1, cutoff=0.7)
    meant = [other for other in _OTHER_HEADINGS.get(name, ()) if other in by_plain_name]
    return next((by_plain_name[each] for each in (*close, *meant)), None)


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


def point_decimals(text: str) -> str:
    """Return the text of a number with a point in place of a decimal comma."""
    return text.replace(",", ".") if text.count(",") == 1 and "." not in text else text


def parse_number(text: str, table: Table) -> float | None:
    """Read a number; a decimal comma is one only where commas do not separate cells."""
    if table.decimal_comma:
        text = point_decimals(text)
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
    return text.casefold() in MISSING_NUMBERS


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
