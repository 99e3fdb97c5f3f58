"""Tables as files: a workbook with a sheet for each and one that says what columns are; LaTeX."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import xlsxwriter
from xlsxwriter.format import Format as CellFormat
from xlsxwriter.worksheet import Worksheet

from canemo.errors import ConfigError
from canemo.files import write_atomically
from canemo.report.tables import Column, Line, Table, format_latex
from canemo.report.words.voice import Voice
from canemo.report.words.wording import is_missing

LEGEND_SHEET = "columns"
_MOST_FITTED = 2000
_CREATED = datetime(2000, 1, 1)
"""Written into every workbook, so that the same tables always give the same bytes."""


def write_workbook(path: Path, tables: Mapping[str, Table], voice: Voice) -> Path:
    """Write tables, by the name of their sheet, as an .xlsx file, and return its path.

    Notes
    -----
    Numbers are numbers, with a format that shows them as the report does; an interval takes two
    columns. Whatever is text stays text, also where it looks like a formula or an address.
    """
    buffer = io.BytesIO()
    with xlsxwriter.Workbook(buffer, {"in_memory": True}) as book:
        book.set_properties({"created": _CREATED})
        formats = _Formats(book, voice)
        for name, table in tables.items():
            _write_table(book.add_worksheet(name), table, formats)
        _write_legend(book.add_worksheet(LEGEND_SHEET), tables, formats)
    return write_atomically(path, buffer.getvalue())


def write_tables(path: Path, tables: Mapping[str, Table], voice: Voice) -> Path:
    """Write tables in the form that the name of the file asks for, and return its path.

    Raises
    ------
    ConfigError
        It ends neither in .xlsx nor in .tex.
    """
    if path.suffix == ".xlsx":
        return write_workbook(path, tables, voice)
    if path.suffix == ".tex":
        texts = [voice.say(format_latex(table)) for table in tables.values()]
        return write_atomically(path, "\n\n".join(texts) + "\n")
    raise ConfigError(f"{path}: tables are written as .xlsx or .tex; end the name in one of them")


class _Formats:
    """The cell formats of a workbook, each made once, and the words it is in."""

    def __init__(self, book: xlsxwriter.Workbook, voice: Voice) -> None:
        self.say = voice.say
        self._book = book
        self._made: dict[str, CellFormat] = {}
        self.heading = book.add_format({"bold": True, "text_wrap": True, "valign": "top"})
        self.wrapped = book.add_format({"text_wrap": True, "valign": "top"})

    def find(self, number_format: str) -> CellFormat:
        if number_format not in self._made:
            self._made[number_format] = self._book.add_format({"num_format": number_format})
        return self._made[number_format]


def _write_legend(sheet: Worksheet, tables: Mapping[str, Table], formats: _Formats) -> None:
    """Write what each table shows and what each of its columns means."""
    lines = [("sheet", "column", "meaning", "unit")]
    for name, table in tables.items():
        say = _find_say(table, formats)
        lines.append((name, "", formats.say(table.description), ""))
        if table.groups:
            lines.append((name, say(table.groups), "what several rows belong to", ""))
        lines += [
            (name, say(heading), formats.say(meaning or _explain(heading, table)), column.unit)
            for column in table.columns
            for heading, meaning in column.split_headings()
        ]
    for place, line in enumerate(lines):
        for across, text in enumerate(line):
            form = formats.wrapped if place else formats.heading
            _write_cell(sheet, place, across, text, form)
    for across, width in enumerate((22, 30, 90, 18)):
        sheet.set_column(across, across, width)
    sheet.freeze_panes(1, 0)


def _explain(heading: str, table: Table) -> str:
    """Return what a column is whose heading says enough beside its table."""
    return (
        "what the row is about" if heading == table.columns[0].heading else "what its heading says"
    )


def _write_table(sheet: Worksheet, table: Table, formats: _Formats) -> None:
    say = _find_say(table, formats)
    headings = [heading for column in table.columns for heading, _ in column.split_headings()]
    for across, heading in enumerate([table.groups, *headings] if table.groups else headings):
        sheet.write_string(0, across, say(heading), formats.heading)
    for place, row in enumerate(table.rows, start=1):
        cells: list[tuple[Column | None, Any]] = [(None, row.group)] if table.groups else []
        cells += [(column, value) for column in table.columns for value in column.split(row)]
        for across, (column, value) in enumerate(cells):
            value = say(value) if isinstance(value, str) else value
            form = _choose_format(column, row, formats) if table.is_headed else formats.wrapped
            _write_cell(sheet, place, across, value, form)
    sheet.freeze_panes(1, 1)
    if not table.is_headed:  # names and sentences
        sheet.set_column(0, 0, 30)
        sheet.set_column(1, 1, 110)
    elif len(table.rows) <= _MOST_FITTED:  # all cells are measured
        sheet.autofit(400)
    else:
        sheet.set_column(0, len(headings) - 1, 14)


def _find_say(table: Table, formats: _Formats) -> Callable[[str], str]:
    return str if table.is_data else formats.say


def _choose_format(column: Column | None, row: Line, formats: _Formats) -> CellFormat:
    form = None if column is None else column.choose_format(row)
    return formats.find("General" if form is None else form.workbook)


def _write_cell(
    sheet: Worksheet, place: int, across: int, value: Any, cell_format: CellFormat
) -> None:
    """Write a value as what it is; nothing where it is missing."""
    if isinstance(value, bool):
        sheet.write_boolean(place, across, value)
    elif isinstance(value, str):
        if value:
            sheet.write_string(place, across, value, cell_format)
    elif not is_missing(value):
        sheet.write_number(place, across, value, cell_format)
