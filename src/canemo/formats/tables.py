"""Delimited text, and tables that people edit by hand: what is wrong with them, by row.

Forgiving about form: comma, semicolon or tab, or what a first line `sep=;` says; any line ends,
UTF-8 and UTF-16, blanks around cells, empty cells at the right, decimal commas where commas do not
separate, accents written in two ways. Nothing is guessed about content.
"""

from __future__ import annotations

import csv
import difflib
import io
import math
import re
import string
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

_UNIT_SUFFIXES = ("_years", "_months", "_weeks", "_days", "_kg", "_cm")
MISSING_NUMBERS = frozenset(["", "na", "n/a", "nan"])
"""What a cell for a number says, in lower case, where there is none."""

_BLANKS = f"{string.whitespace}\N{NO-BREAK SPACE}"
_SAYS_SEPARATOR = re.compile(
    r'"?sep=(?P<said>[^"\w\r\n])"?(?P=said)* *(\r\n|\r|\n|$)', re.IGNORECASE
)


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


class DelimitedTextError(ValueError):
    """A file is no delimited text: what was seen, and what is wanted instead.

    Whoever reads the file names it, in an error of their own.
    """

    def __init__(self, seen: str, wanted: str) -> None:
        super().__init__(f"{seen}; {wanted}")
        self.seen, self.wanted = seen, wanted


@dataclass(frozen=True)
class DelimitedText:
    """Text whose cells are separated by one character.

    Attributes
    ----------
    content
        The text below the line that says the separator, where there is one.
    said
        The separator that the file's first line says, for which Excel writes ``sep=;``.
    """

    content: str
    said: str | None = None

    @property
    def candidates(self) -> Sequence[str]:
        """Return what may separate cells."""
        return self.said or "\t,;"

    @property
    def first_line(self) -> str:
        """Return the first line that is not blank."""
        return next((line.strip() for line in self.content.splitlines() if line.strip()), "")

    def guess_separator(self) -> str:
        """Return the separator that gives the first line most cells."""
        first = [self.first_line]
        return max(
            self.candidates, key=lambda each: len(next(csv.reader(first, delimiter=each), []))
        )

    def iter_lines(self, separator: str, *, strict: bool = True) -> Iterator[tuple[int, list[str]]]:
        """Yield the cells of each line that is not blank, with its number in the file, from 1.

        Blanks around cells and empty cells at the right are taken away. A line with breaks inside
        quotes has the number it starts on. Unless `strict`, quotes that make no sense are text.
        """
        text = io.StringIO(self.content, newline="")
        reader = csv.reader(text, delimiter=separator, strict=strict)
        # A tab that separates stays: what an open quote has swallowed is told by it.
        blank = _BLANKS.replace(separator, "") if separator.isspace() else None
        above = 1 if self.said is None else 2
        number = above
        try:
            for cells in reader:
                stripped = [cell.strip(blank) for cell in cells]
                while stripped and not stripped[-1]:
                    stripped.pop()
                if stripped:
                    yield number, stripped
                number = above + reader.line_num
        except csv.Error as exc:
            raise DelimitedTextError(
                f"is not CSV ({exc}, from row {number} on)", "one row per line, quotes closed"
            ) from exc


def read_text(path: Path) -> DelimitedText:
    """Read a file of delimited text, UTF-8 or UTF-16 with its mark.

    Raises
    ------
    DelimitedTextError
        It cannot be read, or is no such text.
    """
    try:
        text = _decode(path.read_bytes())
    except OSError as exc:
        raise DelimitedTextError(
            f"cannot be read ({exc.strerror})", "a readable CSV file is wanted"
        ) from exc
    except UnicodeDecodeError as exc:
        raise DelimitedTextError("is not UTF-8 text", "save it as 'CSV UTF-8'") from exc
    says = _SAYS_SEPARATOR.match(text)
    return DelimitedText(text[says.end() :], says["said"]) if says else DelimitedText(text)


def _decode(content: bytes) -> str:
    # Excel's "Unicode text" is UTF-16 with a byte order mark.
    is_utf16 = content.startswith((b"\xff\xfe", b"\xfe\xff"))
    text = content.decode("utf-16" if is_utf16 else "utf-8-sig")
    return unicodedata.normalize("NFC", text)


def read_table(path: Path, *, required: Sequence[str]) -> Table:
    """Read a CSV file as text; what is wrong with it is noted in the table, never raised."""
    table = Table(path.name)
    try:
        text = read_text(path)
        separator = text.guess_separator()
        table.decimal_comma = separator != ","
        _fill_table(table, text.iter_lines(separator))
    except DelimitedTextError as exc:
        table.give_up(exc.seen, exc.wanted)
        return table
    _check_columns(table, required)
    if not table.rows and not table.is_broken:
        table.give_up("holds no rows", "at least one row below the header")
    return table


def _fill_table(table: Table, lines: Iterator[tuple[int, list[str]]]) -> None:
    _, table.columns = next(lines, (1, []))
    for number, cells in lines:
        row = Row(number, dict(zip(table.columns, cells, strict=False)))
        if len(cells) > len(table.columns):
            table.add_error(row, None, *describe_excess(cells, table.columns))
        table.rows.append(row)


def describe_excess(cells: Sequence[str], columns: Sequence[str]) -> tuple[str, str]:
    """Return what was seen and what is wanted of a row with more cells than there are columns."""
    return (
        f"{len(cells)} cells under {len(columns)} columns",
        "a heading over each cell; put a cell with a separator in it in quotes",
    )


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
