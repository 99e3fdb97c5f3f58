"""Sheets of an .xlsx file (ECMA-376, part 1, SpreadsheetML)."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import PurePosixPath
from xml.etree.ElementTree import Element

from canemo.formats.workbooks.parts import iter_elements, read_element
from canemo.formats.workbooks.sheet import (
    EMPTY,
    NEVER_COMPUTED,
    Cell,
    Sheet,
    find_column,
    make_error,
    make_number,
    make_truth,
)

_TRUE = ("1", "true")
# Of the formats that Excel knows by number; 18 to 21 and 45 to 47 are times.
_BUILT_IN = {
    **dict.fromkeys((*range(14, 18), *range(27, 37), *range(50, 59)), "yyyy-mm-dd"),
    22: "yyyy-mm-dd h:mm",
    **dict.fromkeys((18, 20), "h:mm"),
    **dict.fromkeys((19, 21), "h:mm:ss"),
    **dict.fromkeys((45, 47), "mm:ss"),
    46: "[h]:mm:ss",
}
_ESCAPED = re.compile("_x([0-9A-Fa-f]{4})_")
_LITERAL = re.compile(r'"[^"]*"|\\.|_.|\*.|\[(?![hms]+\])[^\]]*\]', re.IGNORECASE)


@dataclass(frozen=True)
class _Book:
    """What the sheets of a workbook share: texts, the format of each style, the first day."""

    texts: list[str]
    formats: list[str]
    first_day: datetime


def read_xlsx(archive: zipfile.ZipFile) -> list[Sheet]:
    """Read all sheets of cells, in the order of their tabs."""
    path = _find_parts(archive, "_rels/.rels", "officeDocument")[0]
    root = read_element(archive, path)
    rels = str(PurePosixPath(path).parent / "_rels" / f"{PurePosixPath(path).name}.rels")
    properties = root.find("{*}workbookPr")
    since_1904 = properties is not None and properties.get("date1904") in _TRUE
    book = _Book(
        [text for part in _find_parts(archive, rels, "sharedStrings")
         for text in _iter_texts(archive, part)],
        [form for part in _find_parts(archive, rels, "styles")
         for form in _read_formats(read_element(archive, part))],
        datetime(1904, 1, 1) if since_1904 else datetime(1899, 12, 30),
    )  # fmt: skip
    places = _read_relations(archive, rels, "worksheet")
    sheets = []
    for entry in root.iterfind("{*}sheets/{*}sheet"):
        key = next((value for name, value in entry.items() if name.endswith("}id")), "")
        if key in places:
            sheet = Sheet(entry.get("name", ""), entry.get("state", "visible") != "visible")
            _fill_sheet(sheet, archive, places[key], book)
            sheets.append(sheet)
    return sheets


def _find_parts(archive: zipfile.ZipFile, rels: str, kind: str) -> list[str]:
    return list(_read_relations(archive, rels, kind).values())


def _read_relations(archive: zipfile.ZipFile, rels: str, kind: str) -> dict[str, str]:
    """Return key -> part of the relations of one kind."""
    base = PurePosixPath("/", rels).parent.parent
    return {
        each.get("Id", ""): str(base / each.get("Target", "")).removeprefix("/")
        for each in read_element(archive, rels)
        if each.get("Type", "").endswith(f"/{kind}")
    }


def _iter_texts(archive: zipfile.ZipFile, part: str) -> Iterator[str]:
    for event, element in iter_elements(archive, part, ends="}si"):
        if event == "end" and element.tag.endswith("}si"):
            yield _join_text(element)
            element.clear()


def _join_text(item: Element) -> str:
    """Return a text in one or several styles, without its reading aids."""
    parts = [each.text or "" for path in ("{*}t", "{*}r/{*}t") for each in item.iterfind(path)]
    return _ESCAPED.sub(lambda found: chr(int(found[1], 16)), "".join(parts))


def _read_formats(styles: Element) -> list[str]:
    """Return the number format of each style of cells; what is literal in it is taken away."""
    own = {
        int(each.get("numFmtId", "0")): each.get("formatCode", "")
        for each in styles.iterfind("{*}numFmts/{*}numFmt")
    }
    known = {**_BUILT_IN, **own}
    return [
        _LITERAL.sub("", known.get(int(each.get("numFmtId", "0")), "")).split(";")[0].lower()
        for each in styles.iterfind("{*}cellXfs/{*}xf")
    ]


def _fill_sheet(sheet: Sheet, archive: zipfile.ZipFile, part: str, book: _Book) -> None:
    number = 0
    parent: Element | None = None
    for event, element in iter_elements(archive, part, ends="}row"):
        name = element.tag.rpartition("}")[2]
        if event == "start":
            parent = element if name == "sheetData" else parent
        elif name == "row" and parent is not None:
            number = int(element.get("r", number + 1))
            cells = _list_cells(element, book)
            sheet.add_row(number, cells, is_hidden=element.get("hidden") in _TRUE)
            parent.clear()  # else every row stays in memory
        elif name == "mergeCell":
            sheet.merged.append(_read_range(element.get("ref", "")))


def _read_range(reference: str) -> tuple[int, int, str]:
    rows = [int(digits) for digits in re.findall("[0-9]+", reference)]
    return min(rows), max(rows), reference


def _list_cells(row: Element, book: _Book) -> list[Cell]:
    cells: dict[int, Cell] = {}
    place = -1
    for element in row:
        reference = element.get("r")
        place = place + 1 if reference is None else find_column(reference.rstrip("0123456789"))
        if len(element):
            cells[place] = _read_cell(element, book)
    return [cells.get(column, EMPTY) for column in range(max(cells, default=-1) + 1)]


def _read_cell(element: Element, book: _Book) -> Cell:
    kind, value = element.get("t", "n"), element.findtext("{*}v")
    if kind == "inlineStr":
        inline = element.find("{*}is")
        return EMPTY if inline is None else Cell(_join_text(inline))
    if kind == "str":
        return Cell(value or "")
    if not value:
        return EMPTY if element.find("{*}f") is None else NEVER_COMPUTED
    if kind == "s":
        return Cell(book.texts[int(value)])
    if kind == "b":
        return make_truth(value in _TRUE)
    if kind == "e":
        return make_error(value)
    if kind == "d":
        return Cell(value.replace("T", " "), is_date=True)
    style = int(element.get("s", "0"))
    form = book.formats[style] if style < len(book.formats) else ""
    return _format_number(float(value), form, book.first_day)


def _format_number(value: float, form: str, first_day: datetime) -> Cell:
    """Return a number as it is shown where its format makes it a date, a time or 0071."""
    if "y" in form or "d" in form:
        return _format_date(value, first_day)
    if "h" in form or "s" in form:
        return Cell(format_time(timedelta(days=value), form))
    if re.fullmatch("00+", form) and value.is_integer():
        return Cell(f"{int(value):0{len(form)}d}")
    return make_number(value)


def _format_date(value: float, first_day: datetime) -> Cell:
    date = first_day + timedelta(milliseconds=round(value * 86_400_000))
    is_day = value == int(value)
    return Cell(str(date.date()) if is_day else str(date), is_date=True)


def format_time(time: timedelta, form: str) -> str:
    """Return a time as it is shown: with hours and seconds where its format has them."""
    total_ms = round(time.total_seconds() * 1000)
    minutes, ms = divmod(total_ms, 60_000)
    hours, of_hour = divmod(minutes, 60)
    seconds = f":{ms / 1000:06.3f}".removesuffix(".000")
    if "h" not in form:
        return f"{minutes:02d}{seconds}"
    return f"{hours:02d}:{of_hour:02d}" + (seconds if "s" in form or ms else "")
