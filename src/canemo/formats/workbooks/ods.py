"""Sheets of an .ods file (OpenDocument 1.3, part 3, table)."""

from __future__ import annotations

import re
import zipfile
from datetime import timedelta
from xml.etree.ElementTree import Element

from canemo.formats.workbooks.parts import iter_elements
from canemo.formats.workbooks.sheet import (
    EMPTY,
    NEVER_COMPUTED,
    Cell,
    Sheet,
    make_error,
    make_number,
    make_truth,
    name_column,
    require_place,
)
from canemo.formats.workbooks.xlsx import format_time

_TABLE = "{urn:oasis:names:tc:opendocument:xmlns:table:1.0}"
_OFFICE = "{urn:oasis:names:tc:opendocument:xmlns:office:1.0}"
_STYLE = "{urn:oasis:names:tc:opendocument:xmlns:style:1.0}"
_TEXT = "{urn:oasis:names:tc:opendocument:xmlns:text:1.0}"
_ERROR = re.compile(r"#[A-Z0-9/]+[!?]?|Err:[0-9]+")
_DURATION = re.compile(r"PT(?:([0-9]+)H)?(?:([0-9]+)M)?(?:([0-9.]+)S)?")
_MOST_SPACES = 255  # that are read where a cell says how many there are


def read_ods(archive: zipfile.ZipFile) -> list[Sheet]:
    """Read all sheets, in the order of their tabs."""
    sheets: list[Sheet] = []
    hidden: set[str] = set()
    number = 0
    for event, element in iter_elements(archive, "content.xml", ends="}table-row"):
        if event == "start":
            if element.tag == f"{_TABLE}table":
                is_hidden = element.get(f"{_TABLE}style-name", "") in hidden
                sheets.append(Sheet(element.get(f"{_TABLE}name", ""), is_hidden))
                number = 0
        elif element.tag == f"{_STYLE}style":
            if any(each.get(f"{_TABLE}display") == "false" for each in element):
                hidden.add(element.get(f"{_STYLE}name", ""))
        elif element.tag == f"{_TABLE}table-row" and sheets:
            number = _add_rows(sheets[-1], element, number)
            element.clear()
    return sheets


def _add_rows(sheet: Sheet, row: Element, above: int) -> int:
    """Add a row as often as it is repeated, and return the number of the last."""
    times = int(row.get(f"{_TABLE}number-rows-repeated", "1"))
    is_hidden = row.get(f"{_TABLE}visibility", "visible") != "visible"
    cells = _list_cells(sheet, row, above + 1)
    if any(cell != EMPTY for cell in cells):
        for number in range(above + 1, above + times + 1):
            sheet.add_row(number, cells, is_hidden=is_hidden)
    return above + times


def _list_cells(sheet: Sheet, row: Element, number: int) -> list[Cell]:
    cells: list[Cell] = []
    empty = 0  # a row ends in thousands of empty cells
    for element in row:
        times = int(element.get(f"{_TABLE}number-columns-repeated", "1"))
        cell = _read_cell(element) if element.tag == f"{_TABLE}table-cell" else EMPTY
        _note_merged(sheet, element, number, len(cells) + empty)
        if cell == EMPTY:
            empty += times
        else:
            require_place(len(cells) + empty + times - 1)
            cells += [EMPTY] * empty + [cell] * times
            empty = 0
    return cells


def _note_merged(sheet: Sheet, cell: Element, number: int, column: int) -> None:
    wide = int(cell.get(f"{_TABLE}number-columns-spanned", "1"))
    high = int(cell.get(f"{_TABLE}number-rows-spanned", "1"))
    if wide > 1 or high > 1:
        last = number + high - 1
        name = f"{name_column(column)}{number}:{name_column(column + wide - 1)}{last}"
        sheet.merged.append((number, last, name))


def _read_cell(cell: Element) -> Cell:
    kind, text = cell.get(f"{_OFFICE}value-type"), _join_text(cell)
    is_formula = f"{_TABLE}formula" in cell.keys()  # noqa: SIM118
    if kind is None:
        return NEVER_COMPUTED if is_formula else Cell(text)
    if is_formula and _ERROR.fullmatch(text):
        return make_error(text)
    if kind in ("float", "percentage", "currency"):
        return _read_number(float(cell.get(f"{_OFFICE}value", "nan")), text)
    if kind == "date":
        return Cell(cell.get(f"{_OFFICE}date-value", text).replace("T", " "), is_date=True)
    if kind == "time":
        return Cell(_read_time(cell.get(f"{_OFFICE}time-value", ""), text))
    if kind == "boolean":
        return make_truth(cell.get(f"{_OFFICE}boolean-value") == "true")
    return Cell(cell.get(f"{_OFFICE}string-value", text))


def _read_number(value: float, shown: str) -> Cell:
    """Return a number, with the zeros in front that its format shows."""
    is_padded = re.fullmatch("0[0-9]+", shown) is not None and int(shown) == value
    return Cell(shown) if is_padded else make_number(value)


def _read_time(duration: str, shown: str) -> str:
    if re.fullmatch("[0-9]+(:[0-9]{2}){1,2}", shown):
        return shown
    found = _DURATION.fullmatch(duration)
    if found is None:
        return shown
    hours, minutes, seconds = (float(part or 0) for part in found.groups())
    return format_time(timedelta(hours=hours, minutes=minutes, seconds=seconds), "h:mm:ss")


def _join_text(cell: Element) -> str:
    """Return the paragraphs of a cell, without the comment on it."""
    return "\n".join(_read_paragraph(each) for each in cell.iterfind(f"{_TEXT}p"))


def _read_paragraph(element: Element) -> str:
    parts = [element.text or ""]
    for each in element:
        if each.tag == f"{_TEXT}s":
            parts.append(" " * min(int(each.get(f"{_TEXT}c", "1")), _MOST_SPACES))
        else:
            parts.append(_read_paragraph(each))
        parts.append(each.tail or "")
    return "".join(parts)
