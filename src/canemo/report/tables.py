"""A table, described once: what its columns mean, and how its values are written in any medium.

The medium is a function: `format_text` and `format_latex` here, `canemo.report.workbook` and the
macro ``table`` of the pages beside this file.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any, Literal

import pandas as pd
from pandas.api.types import is_float_dtype, is_numeric_dtype
from rich.cells import cell_len

from canemo.report.words.columns import UNITS
from canemo.report.words.wording import (
    MEANINGS,
    MEASURES,
    format_p,
    format_percent,
    format_seconds,
    is_missing,
    join_ends,
)

Interval = Sequence[float]
Kind = Literal["value", "interval", "estimate", "tested", "noted"]

MISSING = "–"
MOST_ROWS = 20_000
"""Of a data frame: more take long to write and to open, and Excel itself ends at 1,048,576."""

_GAP = "   "
_LINE = 100
_NOTHING = re.compile(r"^[+-](0(?:\.0+)?)(?![.\d])")
"""A nought with a sign, which says no more than one without."""


@dataclass(frozen=True)
class Format:
    """How a number is written: `write` as text, `workbook` as a number format of workbooks."""

    write: Callable[[float], str]
    workbook: str


TEXT = Format(str, "General")
NUMBER = Format("{:g}".format, "General")
COUNT = Format("{:,}".format, "#,##0")
PERCENT = Format(format_percent, "0.0 %")
WHOLE_PERCENT = Format(lambda share: format_percent(share, decimals=0), "0 %")
POINTS = Format(lambda share: f"{100 * share:+.1f}", "+0.0 %;-0.0 %")
"""A difference between shares, as text in percentage points."""

ONE_DECIMAL = Format("{:,.1f}".format, "#,##0.0")
TWO_DECIMALS = Format("{:.2f}".format, "0.00")
THREE_DECIMALS = Format("{:.3f}".format, "0.000")
FOUR_DECIMALS = Format("{:.4f}".format, "0.0000")
SIGNED = Format("{:+.2f}".format, "+0.00;-0.00")
SIGNED_THREE = Format("{:+.3f}".format, "+0.000;-0.000")
P_VALUE = Format(lambda p: format_p(p, name=""), "0.0000")
SECONDS = Format(format_seconds, "0.0")


def choose_format(measure: str, *, is_signed: bool = False) -> Format:
    """Return how values of one of `wording.MEASURES`, or differences of them, are written."""
    if measure in ("accuracy", "balanced_accuracy"):
        return POINTS if is_signed else PERCENT
    return SIGNED_THREE if is_signed else THREE_DECIMALS


@dataclass(frozen=True)
class Estimate:
    """A number with its interval and, where it was put to a test, what came out."""

    value: float | None
    interval: Interval | None = None
    mark: str = ""


@dataclass(frozen=True)
class Noted:
    """A text with a note on it."""

    text: str
    note: str


@dataclass(frozen=True)
class Shown:
    """A cell as text: what is written in it, and its interval or note, empty without."""

    text: str
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.text} ({self.detail})" if self.detail else self.text


@dataclass(frozen=True)
class Column:
    """One column: where its values are found in a row, what they mean, how they are written.

    Parameters
    ----------
    key
        Of the values in `Line.values`.
    heading
        As a reader sees it; `short` where room is scarce.
    meaning
        What the values are, in a sentence without its full stop.
    format
        How numbers are written, unless a row has a format of its own.
    unit
        In which workbooks hold them, where the number does not say.
    kind
        ``"value"``, ``"interval"`` (two ends), ``"estimate"`` (an `Estimate`), ``"tested"`` (one
        with a mark) or ``"noted"`` (a `Noted`).
    ends
        What the interval of an estimate, or the note, is.
    is_main
        Whether this is what a reader looks for first.
    at, ends_at
        Where `list_lines` finds the value in a record, names with dots between them or a function
        of the record, `key` if not given; and where the interval of an estimate.
    """

    key: str
    heading: str
    meaning: str = ""
    format: Format = TEXT
    unit: str = ""
    short: str = ""
    kind: Kind = "value"
    ends: str = "95 % interval"
    is_main: bool = False
    at: str | Callable[[Any], Any] = ""
    ends_at: str = ""

    @property
    def is_numeric(self) -> bool:
        """Whether the column holds numbers, which stand at its right."""
        return self.format is not TEXT

    def show(self, row: Line) -> Shown:
        """Return the cell of this column as text."""
        return show_value(row.values.get(self.key, ""), self.choose_format(row))

    def read(self, record: Any) -> Any:
        """Return the value of this column for a record, an object or a mapping."""
        value = (
            _look_up(record, self.at or self.key) if isinstance(self.at, str) else self.at(record)
        )
        return Estimate(value, _look_up(record, self.ends_at)) if self.ends_at else value

    def choose_format(self, row: Line) -> Format:
        """Return how a number of this column is written in a line."""
        return row.format if row.format is not None and self.is_numeric else self.format

    def split(self, row: Line) -> list[Any]:
        """Return the cell as one value for each of `split_headings`."""
        value, wide = row.values.get(self.key), len(self.split_headings())
        if isinstance(value, Estimate):
            low, high = value.interval or (None, None)
            return [value.value, low, high, value.mark][:wide]
        if isinstance(value, Noted):
            return [value.text, value.note]
        if isinstance(value, list | tuple):
            return list(value)
        return [value, *[None] * (wide - 1)]

    def split_headings(self) -> list[tuple[str, str]]:
        """Return heading and meaning of each column that one value needs where it is a number."""
        low, high = f"{self.heading}, low", f"{self.heading}, high"
        ends = self.ends if self.kind != "interval" else self.meaning or self.heading
        own = (self.heading, self.meaning)
        both = [(low, f"lower end of: {ends}"), (high, f"upper end of: {ends}")]
        return {
            "value": [own],
            "interval": both,
            "estimate": [own, *both],
            "noted": [own, (self.ends, "")],
            "tested": [own, *both, (f"{self.heading}, test", "what came out of the test")],
        }[self.kind]


@dataclass(frozen=True)
class Line:
    """One line: values by key of column; a column without a value is left empty.

    `format` is that of its numbers where lines differ in what they measure; lines of one `group`
    stand under its name; an `is_total` line sums up or stands apart below.
    """

    values: Mapping[str, Any]
    format: Format | None = None
    group: str = ""
    is_total: bool = False


@dataclass(frozen=True)
class Table:
    """What is shown: a caption, what to look for, columns, lines from top to bottom.

    Parameters
    ----------
    caption
        What the table shows, a sentence.
    columns, rows
        The first column names the line.
    look_for
        How to read it, a sentence or more.
    groups
        What the groups of lines are; empty where there are none.
    style
        Class of the table in pages.
    is_headed
        Whether headings are shown; a list of names and texts needs none.
    is_data
        Whether its headings and texts are those of a data frame, which stay as they are.
    """

    caption: str
    columns: tuple[Column, ...]
    rows: tuple[Line, ...]
    look_for: str = ""
    groups: str = ""
    style: str = ""
    is_headed: bool = True
    is_data: bool = False

    def __post_init__(self) -> None:
        keys = {column.key for column in self.columns}
        for row in self.rows:
            unknown = sorted(row.values.keys() - keys)
            if unknown:
                raise ValueError(f"{self.caption!r}: no column for {', '.join(unknown)}")

    def pick(self, *keys: str) -> Table:
        """Return the table with some of its columns only."""
        columns = tuple(column for column in self.columns if column.key in keys)
        rows = tuple(
            replace(row, values={key: row.values[key] for key in keys if key in row.values})
            for row in self.rows
        )
        return replace(self, columns=columns, rows=rows)

    def iter_groups(self) -> Iterator[tuple[str, list[Line]]]:
        """Yield each group's name with its lines, in order; without those that sum up."""
        lines = [row for row in self.rows if not row.is_total]
        for name, group in groupby(lines, key=lambda row: row.group):
            yield name, list(group)

    @property
    def description(self) -> str:
        """Caption and what to look for."""
        return f"{self.caption} {self.look_for}".strip()

    @property
    def totals(self) -> list[Line]:
        """The lines that sum up."""
        return [row for row in self.rows if row.is_total]

    @property
    def legend(self) -> list[Column]:
        """The columns whose meaning is said."""
        return [column for column in self.columns if column.meaning]


def describe_texts(caption: str, texts: Mapping[str, Any], *, style: str = "settings") -> Table:
    """Return a table of names and texts, without headings."""
    columns = (Column("name", "Name"), Column("text", "Value"))
    rows = tuple(Line({"name": name, "text": text}) for name, text in texts.items())
    return Table(caption, columns, rows, style=style, is_headed=False)


def describe_records(
    caption: str, columns: Sequence[Column], records: Iterable[Any], **options: Any
) -> Table:
    """Return a table of records, a line each; `options` are those of a `Table`."""
    return Table(caption, tuple(columns), tuple(list_lines(columns, records)), **options)


def describe_frame(
    caption: str,
    frame: pd.DataFrame,
    meanings: Mapping[str, str],
    *,
    elsewhere: str = "",
    **options: Any,
) -> Table:
    """Return a table of the columns of a data frame that have a meaning, in that order.

    Names of columns and texts in cells are shown as they are, whatever the species. Of more than
    `MOST_ROWS` rows none is shown where a file that has them is named (`elsewhere`).
    """
    if elsewhere and len(frame) > MOST_ROWS:
        options["look_for"] = f"Too many for a workbook, {len(frame):,}: see {elsewhere}."
        frame = frame.iloc[:0]
    columns = tuple(
        Column(name, name, meaning, _choose_format(frame[name]), unit=UNITS.get(name, ""))
        for name, meaning in meanings.items()
        if name in frame
    )
    records = frame[[column.key for column in columns]].astype(object)
    cells = records.where(records.notna(), None).to_dict("records")
    rows = tuple(Line({str(name): value for name, value in row.items()}) for row in cells)
    return Table(caption, columns, rows, is_data=True, **options)


def _choose_format(column: pd.Series[Any]) -> Format:
    if is_float_dtype(column):
        return THREE_DECIMALS
    return NUMBER if is_numeric_dtype(column) else TEXT


def list_lines(columns: Sequence[Column], records: Iterable[Any]) -> list[Line]:
    """Return a line per record, its values found where the columns say.

    Of a mapping the first column shows the names.
    """
    if isinstance(records, Mapping):
        first, *others = columns
        lines = list_lines(others, records.values())
        named = zip(records, lines, strict=True)
        return [Line({first.key: name, **line.values}) for name, line in named]
    return [Line({column.key: column.read(record) for column in columns}) for record in records]


def describe_measures(
    *measures: str, of: str = "", ends_of: str = "interval.", is_signed: bool = False
) -> list[Column]:
    """Return a column of estimates for each of some of `wording.MEASURES`, or of differences.

    `of` and `ends_of` are what stands before the measure's name where records hold it.
    """
    return [
        Column(
            name,
            MEASURES[name],
            MEANINGS[name],
            choose_format(name, is_signed=is_signed),
            kind="estimate",
            is_main=True,
            at=of + name,
            ends_at=ends_of + name,
        )
        for name in measures
    ]


def _look_up(record: Any, path: str) -> Any:
    """Return what is found along names with dots between them; None where the way ends."""
    for name in path.split("."):
        if record is None:
            return None
        record = record.get(name) if isinstance(record, Mapping) else getattr(record, name)
    return record


def format_text(table: Table, *, is_captioned: bool = True, is_explained: bool = False) -> str:
    """Return the table for a terminal, its columns aligned, under its caption.

    What its columns mean stands below it where it is to be explained.
    """
    indent = "  " if table.groups else ""
    heads = [[column.short or column.heading for column in table.columns]] * table.is_headed
    cells = [*heads, *(_list_cells(table, row) for row in table.rows)]
    widths = [max(map(cell_len, texts)) for texts in zip(*cells, strict=True)]
    lines = [table.caption] if is_captioned else []
    lines += [indent + _align(table, line, widths) for line in heads]
    for name, rows in table.iter_groups():
        lines += [name] if name else []
        lines += [indent + _align(table, _list_cells(table, row), widths) for row in rows]
    lines += [indent + _align(table, _list_cells(table, row), widths) for row in table.totals]
    if is_explained and table.legend:
        facts = [_explain(column) for column in table.legend]
        lines += textwrap.wrap(f"({'; '.join(facts)})", _LINE, initial_indent=indent)
    return "\n".join(lines)


def _explain(column: Column) -> str:
    name = column.short or column.heading
    return f"{name}: {column.meaning.removeprefix(name).strip()}"


def _list_cells(table: Table, row: Line) -> list[str]:
    return [str(column.show(row)) for column in table.columns]


def _align(table: Table, texts: Sequence[str], widths: Sequence[int]) -> str:
    """Return texts side by side, those of numbers to the right of their columns."""
    padded = []
    for column, text, width in zip(table.columns, texts, widths, strict=True):
        blank = " " * (width - cell_len(text))
        padded.append(blank + text if column.is_numeric else text + blank)
    return _GAP.join(padded).rstrip()


_LATEX = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#",
    "%": r"\%", "_": r"\_", "^": r"\textasciicircum{}", "~": r"\textasciitilde{}",
    "<": r"\textless{}", ">": r"\textgreater{}", "–": "--",
}  # fmt: skip


def format_latex(table: Table) -> str:
    """Return the table as a LaTeX float that needs the package booktabs."""
    form = "".join("r" if column.is_numeric else "l" for column in table.columns)
    caption = rf"\caption{{{escape_latex(table.description)}}}"
    lines = [r"\begin{table}", caption, rf"\begin{{tabular}}{{{form}}}"]
    lines.append(r"\toprule")
    if table.is_headed:
        headings = [escape_latex(column.heading) for column in table.columns]
        lines += [_join_latex(headings), r"\midrule"]
    for name, rows in table.iter_groups():
        if name:
            lines.append(rf"\multicolumn{{{len(form)}}}{{l}}{{{escape_latex(name)}}} \\")
        lines += [_write_latex(table, row) for row in rows]
    if table.totals:
        lines += [r"\midrule", *(_write_latex(table, row) for row in table.totals)]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", r"\end{table}"])


def escape_latex(text: str) -> str:
    """Return a text as LaTeX sets it letter by letter, with no break before a percent sign."""
    return "".join(_LATEX.get(letter, letter) for letter in text).replace(r" \%", r"~\%")


def _write_latex(table: Table, row: Line) -> str:
    return _join_latex([escape_latex(str(column.show(row))) for column in table.columns])


def _join_latex(cells: Sequence[str]) -> str:
    return " & ".join(cells) + r" \\"


def show_value(value: Any, form: Format) -> Shown:
    """Return a number, an interval, an `Estimate`, a `Noted` or a text as it is written."""
    if isinstance(value, Estimate):
        number = f"{_write(value.value, form)} {value.mark}".strip()
        return Shown(number, "" if value.interval is None else _join_ends(value.interval, form))
    if isinstance(value, Noted):
        return Shown(value.text, value.note)
    if isinstance(value, list | tuple):
        return Shown(_join_ends(value, form))
    return Shown(_write(value, form))


def _write(value: Any, form: Format) -> str:
    if isinstance(value, str):
        return value
    if is_missing(value):
        return MISSING
    if isinstance(value, bool):
        return "yes" if value else "no"
    return _NOTHING.sub(r"\1", form.write(value))


def _join_ends(ends: Interval, form: Format) -> str:
    if any(is_missing(end) for end in ends):
        return MISSING
    return join_ends(*(_write(end, form) for end in ends))
