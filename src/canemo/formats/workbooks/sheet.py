"""One sheet of a workbook as lines of text, what is wrong with its cells, and which counts."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Literal

from canemo.formats.delimited import BLANKS, TableFileError

Lines = Sequence[tuple[int, list[str]]]
"""The number of each line that is not blank, from 1, and its cells."""

Kind = Literal["", "date", "fault"]
MOST_DIGITS = 15  # that a workbook keeps of a number
_MOST_SHOWN = 8
_MOST_ROWS, _MOST_COLUMNS = 2**20, 2**14  # of a sheet in Excel and LibreOffice
_MOST_CELLS = 10_000_000  # that are kept of one


@dataclass(frozen=True)
class Cell:
    """The text of a cell; `fault` is what is wrong with it and what is wanted."""

    text: str = ""
    is_date: bool = False
    fault: tuple[str, str] | None = None


EMPTY = Cell()
NEVER_COMPUTED = Cell(
    fault=(
        "a formula whose result is not in the file",
        "open the file in Excel or LibreOffice and save it once, or put the value there",
    )
)


@dataclass
class Sheet:
    """The cells of a sheet as they come.

    Attributes
    ----------
    name
        On its tab.
    is_hidden
        Whether the tab is.
    lines
        The rows that are not blank, with their numbers.
    faults
        Row and column (from 0) -> what is wrong with the cell and what is wanted.
    dates
        Row and column of the cells that hold dates.
    hidden_rows
        Which of the lines are hidden, by hand or by a filter.
    merged
        Rows, from and to, and name of the ranges of merged cells.
    """

    name: str
    is_hidden: bool = False
    lines: list[tuple[int, list[str]]] = field(default_factory=list)
    faults: dict[tuple[int, int], tuple[str, str]] = field(default_factory=dict)
    dates: set[tuple[int, int]] = field(default_factory=set)
    hidden_rows: list[int] = field(default_factory=list)
    merged: list[tuple[int, int, str]] = field(default_factory=list)
    _n_cells: int = 0

    candidates = (";",)  # a comma within a cell does not separate

    @property
    def place(self) -> str:
        """Return which part of the file this is, for messages."""
        return f", sheet {self.name!r}"

    @property
    def first_line(self) -> str:
        """Return the first line that is not blank."""
        return ",".join(self.lines[0][1]) if self.lines else ""

    def guess_separator(self) -> str:
        """Return what would separate cells if this were text."""
        return self.candidates[0]

    def iter_lines(
        self,
        separator: str,
        *,
        strict: bool = True,
    ) -> Iterator[tuple[int, list[str]]]:
        """Yield what `DelimitedText.iter_lines` would."""
        yield from self.lines

    def add_row(self, number: int, cells: Sequence[Cell], *, is_hidden: bool) -> None:
        """Add a row, unless it is blank."""
        self._n_cells += len(cells)
        if number > _MOST_ROWS or self._n_cells > _MOST_CELLS:
            raise _refuse_size()
        texts = [_clean(cell.text) for cell in cells]
        for column, cell in enumerate(cells):
            if cell.fault is not None:
                self.faults[number, column] = cell.fault
                texts[column] = texts[column] or "?"
            elif cell.is_date:
                self.dates.add((number, column))
        while texts and not texts[-1]:
            texts.pop()
        if texts:
            self.lines.append((number, texts))
            if is_hidden:
                self.hidden_rows.append(number)

    def list_merged(self) -> list[str]:
        """Return the ranges of merged cells in rows that are not blank."""
        numbers = {number for number, _ in self.lines}
        return [
            name
            for first, last, name in self.merged
            if any(number in numbers for number in range(first, last + 1))
        ]

    def require_sound(self) -> None:
        """Raise TableFileError where cells are merged or have no value, naming the first few."""
        merged = self.list_merged()
        if merged:
            raise TableFileError(*describe_merged(merged))
        for (number, column), (seen, wanted) in self.faults.items():
            raise TableFileError(f"cell {name_column(column)}{number} holds {seen}", wanted)


def describe_merged(names: Sequence[str]) -> tuple[str, str]:
    """Return what was seen of merged cells, and what is wanted."""
    return (
        f"cells are merged: {join_some(names)}",
        "a cell of its own for each value: unmerge them and fill each row",
    )


def choose_sheet(sheets: Sequence[Sheet], fits: Callable[[Lines], bool], wanted: str) -> Sheet:
    """Return the sheet whose lines fit; the only one that is shown and filled needs not.

    Raises
    ------
    TableFileError
        None of several fits, or more than one does; or all are blank.
    """
    shown = [sheet for sheet in sheets if sheet.lines and not sheet.is_hidden]
    if len(shown) == 1:
        return shown[0]
    fitting = [sheet for sheet in shown if fits(sheet.lines)]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        names = join_some([repr(sheet.name) for sheet in fitting])
        raise TableFileError(
            f"sheets {names} hold such a table each",
            "only one of them; hide the others or take them out",
        )
    there = "; ".join(_describe_sheet(sheet) for sheet in sheets)
    raise TableFileError(f"no sheet holds such a table ({there})", wanted)


def _describe_sheet(sheet: Sheet) -> str:
    hidden = " (hidden)" if sheet.is_hidden else ""
    cells = [cell for cell in sheet.lines[0][1] if cell] if sheet.lines else []
    return f"{sheet.name!r}{hidden}: {join_some(cells) or 'nothing'}"


def join_some(names: Sequence[object]) -> str:
    """Return a few of the names and how many more there are."""
    shown = ", ".join(str(name) for name in names[:_MOST_SHOWN])
    left = len(names) - _MOST_SHOWN
    return f"{shown} and {left} more" if left > 0 else shown


def make_number(value: float) -> Cell:
    """Return a number as it was typed: 7 and not 7.0."""
    text = str(int(value)) if value.is_integer() else repr(value)
    if abs(value) < 10**MOST_DIGITS:
        return Cell(text)
    seen = f"{text}, a number of more than {MOST_DIGITS} digits, of which a workbook loses the last"
    return Cell(text, fault=(seen, "format the column as text and type it again"))


def make_error(text: str) -> Cell:
    """Return the cell of a formula that failed."""
    return Cell(
        text, fault=(f"{text}, the error of a formula", "mend the formula, or give a value")
    )


def make_truth(is_true: bool) -> Cell:
    """Return a truth value as Excel shows it."""
    return Cell("TRUE" if is_true else "FALSE")


def require_place(column: int) -> int:
    """Return a column, from 0, that a sheet can have; beyond them raise TableFileError."""
    if column >= _MOST_COLUMNS:
        raise _refuse_size()
    return column


def _refuse_size() -> TableFileError:
    return TableFileError("has more cells than canemo reads", "a row for each clip or dog")


def name_column(place: int) -> str:
    """Return the letters of a column, counted from 0."""
    letters = ""
    place += 1
    while place:
        place, rest = divmod(place - 1, 26)
        letters = chr(ord("A") + rest) + letters
    return letters


@cache
def find_column(letters: str) -> int:
    """Return the column, from 0, that has these letters."""
    place = 0
    for letter in letters.upper():
        place = place * 26 + ord(letter) - ord("A") + 1
    return require_place(place - 1)


def _clean(text: str) -> str:
    return unicodedata.normalize("NFC", text).strip(BLANKS)
