"""Workbooks as people have them; each is written here."""

from __future__ import annotations

import io
import time
import tracemalloc
import zipfile
from collections.abc import Callable, Sequence
from datetime import date, datetime
from datetime import time as day_time
from pathlib import Path
from typing import Any

import openpyxl
import pandas as pd
import pytest
import xlsxwriter

from canemo.errors import AnnotationError, StudyError
from canemo.faces.landmarks.tables import load_landmarks
from canemo.formats.boxes.kinds import guess_kind
from canemo.formats.boxes.via import read_via
from canemo.formats.events.reading import read_events
from canemo.formats.problems import Problems
from canemo.formats.tables import Table, hash_table, read_table
from canemo.records import Study, Video
from canemo.species import DOG
from canemo.study.check import inspect_study
from canemo.study.load import load_study
from canemo.study.propose import write_videos
from canemo.study.runs import describe_inputs

HEADER = ["video_id", "path", "subject_id", "label"]
REX = ["a", "a.mp4", "Rex", "food"]
BELLA = ["b", "b.mp4", "Bella", "nofood"]
Sheets = dict[str, Sequence[Sequence[Any]]]


def write_xlsx(path: Path, sheets: Sheets, change: Callable[[Any], None] | None = None) -> Path:
    """Write sheets as openpyxl does, and do something to the workbook before it is saved."""
    book = openpyxl.Workbook()
    del book["Sheet"]
    for name, rows in sheets.items():
        sheet = book.create_sheet(name)
        for row in rows:
            sheet.append(row)
    if change is not None:
        change(book)
    book.save(path)
    return path


def write_computed(path: Path, rows: Sequence[Sequence[Any]], *, value: Any = 0) -> Path:
    """Write one sheet as xlsxwriter does, whose formulas have a value."""
    with xlsxwriter.Workbook(path) as book:
        sheet = book.add_worksheet("Tabelle1")
        for number, row in enumerate(rows):
            for column, cell in enumerate(row):
                if isinstance(cell, str) and cell.startswith("="):
                    sheet.write_formula(number, column, cell, None, value)
                else:
                    sheet.write(number, column, cell)
    return path


ODS = """<?xml version="1.0" encoding="UTF-8"?>
<office:document-content xmlns:office="urn:oasis:names:tc:opendocument:xmlns:office:1.0"
 xmlns:table="urn:oasis:names:tc:opendocument:xmlns:table:1.0"
 xmlns:style="urn:oasis:names:tc:opendocument:xmlns:style:1.0"
 xmlns:text="urn:oasis:names:tc:opendocument:xmlns:text:1.0"><office:automatic-styles>
<style:style style:name="hidden"><style:table-properties table:display="false"/></style:style>
</office:automatic-styles><office:body><office:spreadsheet>{}</office:spreadsheet></office:body>
</office:document-content>"""
_REST = '<table:table-cell table:number-columns-repeated="16000"/>'


def write_ods(path: Path, tables: str, *, manifest: str = "<manifest/>") -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("mimetype", "application/vnd.oasis.opendocument.spreadsheet")
        archive.writestr("META-INF/manifest.xml", manifest)
        archive.writestr("content.xml", ODS.format(tables))
    return path


def make_table(name: str, *rows: str, style: str = "shown") -> str:
    return (
        f'<table:table table:name="{name}" table:style-name="{style}">{"".join(rows)}</table:table>'
    )


def make_row(*cells: str, options: str = "") -> str:
    inside = "".join(cell if cell.startswith("<") else make_cell(cell) for cell in cells)
    return f"<table:table-row {options}>{inside}{_REST}</table:table-row>"


def make_cell(text: str, options: str = 'office:value-type="string"') -> str:
    return f"<table:table-cell {options}><text:p>{text}</text:p></table:table-cell>"


def read(path: Path) -> Table:
    return read_table(path, required=HEADER)


def cells_of(table: Table) -> list[list[str]]:
    assert not table.problems, [str(problem) for problem in table.problems]
    return [list(row.cells.values()) for row in table]


def only_problem(path: Path) -> str:
    problems = read(path).problems
    assert len(problems) == 1, [str(problem) for problem in problems]
    return str(problems[0])


# -- what cells hold -------------------------------------------------------------------------------


def test_cells_are_the_text_that_a_person_sees(tmp_path: Path) -> None:
    path = tmp_path / "videos.xlsx"
    rows = [
        [*HEADER, "start_s", "n", "chip", "day", "filmed", "clock", "ok"],
        [7, " ä.mp4\N{NO-BREAK SPACE}", "0071", "food", 1.5, 71, 276098100123456],
        ["a\u0308", "b\nc.mp4", 7.0, "_x000D_", 0.1, 8],
    ]
    rows[1] += [date(2024, 5, 3), datetime(2024, 5, 3, 14, 30), day_time(1, 23, 4), True]

    def pad(book: Any) -> None:
        book["Tabelle1"]["F2"].number_format = "0000"

    table = read(write_xlsx(path, {"Tabelle1": rows}, pad))
    first, second = cells_of(table)
    assert first == [
        "7", "ä.mp4", "0071", "food", "1.5", "0071", "276098100123456", "2024-05-03",
        "2024-05-03 14:30:00", "01:23:04", "TRUE",
    ]  # fmt: skip
    assert second == ["ä", "b\nc.mp4", "7", "", "0.1", "8"]
    assert table.name == "videos.xlsx, sheet 'Tabelle1'"
    assert table.decimal_comma


def test_cells_of_an_ods_file_are_the_text_that_a_person_sees(tmp_path: Path) -> None:
    number = 'office:value-type="float" office:value="{}"'.format
    note = "<office:annotation><text:p>a comment</text:p></office:annotation>"
    path = write_ods(
        tmp_path / "videos.ods",
        make_table(
            "Tabelle1",
            make_row(*HEADER, "n", "share", "day", "clock", "ok"),
            make_row(
                make_cell("7", number(7)),
                f'<table:table-cell office:value-type="string">{note}'
                "<text:p>a<text:s text:c='2'/>b<text:span>.mp4</text:span></text:p>"
                "</table:table-cell>",
                "Rex",
                make_cell("food"),
                make_cell("0071", number(71)),
                make_cell("0,50", number(0.5)),
                make_cell("3. Mai", 'office:value-type="date" office:date-value="2024-05-03"'),
                make_cell("x", 'office:value-type="time" office:time-value="PT01H23M04S"'),
                make_cell("WAHR", 'office:value-type="boolean" office:boolean-value="true"'),
            ),
            make_row(options='table:number-rows-repeated="3"'),
            make_row(*BELLA),
            make_row(options='table:number-rows-repeated="1048000"'),
        ),
    )
    table = read(path)
    first, second = cells_of(table)
    assert first == [
        "7", "a  b.mp4", "Rex", "food", "0071", "0.5", "2024-05-03", "01:23:04", "TRUE"
    ]  # fmt: skip
    assert second == BELLA
    assert [row.number for row in table] == [2, 6]


def test_values_of_formulas_are_read(tmp_path: Path) -> None:
    rows = [HEADER, ["a", "a.mp4", "Rex", "=A1"]]
    table = read(write_computed(tmp_path / "v.xlsx", rows, value="food"))
    assert cells_of(table) == [REX]


def test_formula_without_a_value_is_an_error(tmp_path: Path) -> None:
    path = write_xlsx(tmp_path / "v.xlsx", {"S": [HEADER, ["a", "a.mp4", "Rex", '="fo"&"od"']]})
    assert only_problem(path) == (
        "error: v.xlsx, sheet 'S', row 2, column label: holds a formula whose result is not in "
        "the file; open the file in Excel or LibreOffice and save it once, or put the value there"
    )
    formula = '<table:table-cell table:formula="of:=1"/>'
    path = write_ods(
        tmp_path / "v.ods", make_table("S", make_row(*HEADER), make_row("a", "b", "c", formula))
    )
    assert "formula whose result is not in the file" in only_problem(path)


@pytest.mark.parametrize("error", ["#N/A", "#REF!"])
def test_error_of_a_formula_is_an_error(tmp_path: Path, error: str) -> None:
    path = write_computed(tmp_path / "v.xlsx", [HEADER, ["a", "a.mp4", "Rex", "=A9"]], value=error)
    assert f"row 2, column label: holds {error}, the error of a formula" in only_problem(path)
    cell = make_cell(error, 'table:formula="of:=A9" office:value-type="string"')
    path = write_ods(
        tmp_path / "v.ods", make_table("S", make_row(*HEADER), make_row("a", "b", "c", cell))
    )
    assert f"row 2, column label: holds {error}" in only_problem(path)


def test_date_where_a_name_is_wanted_is_an_error(tmp_path: Path) -> None:
    path = write_xlsx(tmp_path / "v.xlsx", {"S": [HEADER, ["a", "a.mp4", date(2024, 2, 1), "x"]]})
    assert "row 2, column subject_id: '2024-02-01' is a date" in only_problem(path)


def test_date_where_a_number_is_wanted_is_an_error(tmp_path: Path) -> None:
    rows = [[*HEADER, "start_s"], [*REX, date(2024, 2, 1)]]
    write_xlsx(tmp_path / "videos.xlsx", {"S": rows})
    with pytest.raises(StudyError, match="row 2, column start_s: '2024-02-01' is not a time"):
        load_study(tmp_path)


def test_number_of_more_digits_than_a_workbook_keeps_is_an_error(tmp_path: Path) -> None:
    rows = [HEADER, ["a", "a.mp4", 2760981001234567, "food"]]
    assert "loses the last" in only_problem(write_xlsx(tmp_path / "v.xlsx", {"S": rows}))


# -- sheets ----------------------------------------------------------------------------------------

NOTES = [["Anna filmed", "Ben coded"], ["2024", "2025"]]


def test_sheet_with_the_right_columns_is_taken(tmp_path: Path) -> None:
    path = write_xlsx(tmp_path / "v.xlsx", {"notes": NOTES, "clips": [HEADER, REX]})
    assert cells_of(read(path)) == [REX]
    assert read(path).name == "v.xlsx, sheet 'clips'"


def test_two_sheets_that_fit_are_named(tmp_path: Path) -> None:
    path = write_xlsx(tmp_path / "v.xlsx", {"2023": [HEADER, REX], "2024": [HEADER, BELLA]})
    assert only_problem(path) == (
        "error: v.xlsx: sheets '2023', '2024' hold such a table each; only one of them; hide the "
        "others or take them out"
    )


def test_sheets_of_which_none_fits_are_listed(tmp_path: Path) -> None:
    path = write_xlsx(tmp_path / "v.xlsx", {"notes": NOTES, "dogs": [["name", "age"], ["Rex", 7]]})
    told = only_problem(path)
    assert "'notes': Anna filmed, Ben coded; 'dogs': name, age" in told
    assert "one sheet with the columns video_id, path, subject_id, label" in told


def test_hidden_sheet_is_never_taken(tmp_path: Path) -> None:
    def hide(book: Any) -> None:
        book["old"].sheet_state = "hidden"

    path = write_xlsx(tmp_path / "v.xlsx", {"new": [HEADER, REX], "old": [HEADER, BELLA]}, hide)
    assert cells_of(read(path)) == [REX]
    path = write_xlsx(tmp_path / "w.xlsx", {"new": [], "old": [HEADER, BELLA]}, hide)
    assert "'old' (hidden): video_id" in only_problem(path)
    old = make_table("old", make_row(*HEADER), make_row(*BELLA), style="hidden")
    path = write_ods(tmp_path / "v.ods", old + make_table("n", make_row(*HEADER), make_row(*REX)))
    assert cells_of(read(path)) == [REX]


def test_headings_below_a_title_are_found_and_asked_for(tmp_path: Path) -> None:
    rows = [["My study"], [], HEADER, REX]
    assert "the headings are in row 3" in only_problem(write_xlsx(tmp_path / "v.xlsx", {"S": rows}))
    assert cells_of(read(write_xlsx(tmp_path / "w.xlsx", {"S": [[], [], HEADER, REX]}))) == [REX]


# -- what hides and joins --------------------------------------------------------------------------


def test_merged_cells_are_named(tmp_path: Path) -> None:
    def merge(book: Any) -> None:
        book["S"].merge_cells("C2:C3")

    path = write_xlsx(tmp_path / "v.xlsx", {"S": [HEADER, REX, ["b", "b.mp4", None, "x"]]}, merge)
    assert "cells are merged: C2:C3" in only_problem(path)
    spanned = make_cell("Rex", 'office:value-type="string" table:number-rows-spanned="2"')
    rows = [
        make_row(*HEADER),
        make_row("a", "a.mp4", spanned, "x"),
        make_row("b", "b.mp4", "<table:covered-table-cell/>", "x"),
    ]
    assert "cells are merged: C2:C3" in only_problem(
        write_ods(tmp_path / "v.ods", make_table("S", *rows))
    )


def test_hidden_rows_are_read_and_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    def hide(book: Any) -> None:
        book["S"].row_dimensions[3].hidden = True

    write_xlsx(tmp_path / "videos.xlsx", {"S": [HEADER, REX, BELLA]}, hide)
    assert len(load_study(tmp_path).videos) == 2
    assert "videos.xlsx, sheet 'S': hidden rows count like the others: 3" in caplog.text
    filtered = 'table:visibility="filter"'
    rows = [make_row(*HEADER), make_row(*REX, options=filtered), make_row(*BELLA)]
    path = write_ods(tmp_path / "v.ods", make_table("S", *rows))
    assert "warning: v.ods, sheet 'S': hidden rows count like the others: 2" in only_problem(path)
    assert len(read(path).rows) == 2


def test_many_empty_rows_cost_little(tmp_path: Path) -> None:
    path = tmp_path / "v.xlsx"
    with xlsxwriter.Workbook(path, {"constant_memory": True}) as book:
        sheet, yellow = book.add_worksheet("S"), book.add_format({"bg_color": "yellow"})
        sheet.write_row(0, 0, HEADER)
        sheet.write_row(1, 0, REX)
        for number in range(2, 100_000):
            sheet.write_blank(number, 0, None, yellow)
    started = time.perf_counter()
    tracemalloc.start()
    assert cells_of(read(path)) == [REX]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert time.perf_counter() - started < 20  # about two seconds
    assert peak < 5e6


# -- files that are no workbooks -------------------------------------------------------------------


def make_broken(**parts: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return buffer.getvalue()


OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
LOCKED = OLE + "EncryptedPackage".encode("utf-16-le")


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("v.xlsx", b"video_id,path\n", "is no workbook, though it is named like one; if it is"),
        ("v.ods", b"", "is no workbook"),
        ("v.xlsx", LOCKED, "is protected by a password; save a copy without one"),
        ("v.xls", OLE, r"is a workbook of Excel before 2007 \(.xls\); open it in Excel"),
        ("v.xlsx", make_broken(**{"[Content_Types].xml": ""}), "is a damaged workbook"),
        ("v.xlsx", make_broken(**{"a.txt": ""}), "is no workbook that canemo reads"),
        ("v.xlsx", b"PK\x03\x04 and nothing", "is a damaged workbook"),
        (
            "v.ods",
            make_broken(
                **{"content.xml": "", "META-INF/manifest.xml": "<manifest:encryption-data/>"}
            ),
            "is protected by a password",
        ),
        (
            "v.xlsx",
            make_broken(**{"[Content_Types].xml": "", "xl/workbook.bin": ""}),
            r"is a binary workbook \(.xlsb\)",
        ),
    ],
)
def test_file_that_is_no_workbook_is_told_in_a_sentence(
    tmp_path: Path, name: str, content: bytes, told: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    assert len(read(path).problems) == 1
    with pytest.raises(AssertionError, match=told):
        cells_of(read(path))


def test_workbook_that_is_named_csv_is_told_in_a_sentence(tmp_path: Path) -> None:
    path = write_xlsx(tmp_path / "v.xlsx", {"S": [HEADER, REX]}).rename(tmp_path / "v.csv")
    assert only_problem(path) == "error: v.csv: is a workbook; name it .xlsx or .ods"


# -- wherever tables are read ----------------------------------------------------------------------


def test_study_is_read_from_workbooks(tmp_path: Path) -> None:
    write_xlsx(tmp_path / "videos.xlsx", {"S": [[*HEADER, "start_s"], [*REX, 1.5]]})
    subjects = make_table("S", make_row("subject_id", "age_years"), make_row("Rex", "1,5"))
    write_ods(tmp_path / "subjects.ods", subjects)
    study = load_study(tmp_path)
    assert [(video.subject_id, video.start_s) for video in study.videos] == [("Rex", 1.5)]
    assert study.subjects is not None
    assert study.subjects.loc["Rex", "age_years"] == 1.5


def test_problems_name_the_sheet_and_the_row_that_excel_shows(tmp_path: Path) -> None:
    rows = [HEADER, [], ["a", "gone.mp4", "Rex", "food"], ["b", "b.mp4", "rex", "nofood"]]
    write_xlsx(tmp_path / "videos.xlsx", {"Tabelle1": rows})
    write_xlsx(tmp_path / "subjects.xlsx", {"S": [["subject_id"], ["Rex"], ["rex"], ["Max"]]})
    told = [str(problem) for problem in inspect_study(tmp_path).problems]
    assert any(each.startswith("error: videos.xlsx, sheet 'Tabelle1', row 3, column path: there is")
               for each in told)  # fmt: skip
    assert any("'Max' has no video in videos.xlsx, sheet 'Tabelle1'" in each for each in told)
    assert not any(".csv" in each for each in told)


def test_two_tables_of_one_name_are_refused(tmp_path: Path) -> None:
    write_xlsx(tmp_path / "videos.xlsx", {"S": [HEADER, REX]})
    (tmp_path / "videos.csv").write_text("video_id,path,subject_id,label\na,a,b,c\n")
    with pytest.raises(StudyError, match=r"there are videos\.csv and videos\.xlsx; one of them"):
        load_study(tmp_path)


def test_init_does_not_put_a_second_table_beside_a_workbook(tmp_path: Path) -> None:
    write_xlsx(tmp_path / "videos.xlsx", {"S": [HEADER, REX]})
    frame = pd.DataFrame([REX], columns=HEADER)
    with pytest.raises(OSError, match=r"has its videos in videos\.xlsx; move it away first"):
        write_videos(frame, tmp_path, force=True)


def test_saving_a_workbook_anew_leaves_a_study_what_it_was(tmp_path: Path) -> None:
    path = write_xlsx(tmp_path / "videos.xlsx", {"S": [HEADER, REX]})
    before, bytes_before = describe_inputs(tmp_path), path.read_bytes()
    write_computed(path, [HEADER, REX])
    write_xlsx(path, {"S": [HEADER, REX]}, lambda book: setattr(book.properties, "title", "t"))
    assert path.read_bytes() != bytes_before
    assert describe_inputs(tmp_path) == before
    write_xlsx(path, {"S": [HEADER, BELLA]})
    assert describe_inputs(tmp_path) != before
    assert hash_table(path) in describe_inputs(tmp_path)


def test_events_are_read_from_a_workbook(tmp_path: Path) -> None:
    rows = [["video_id", "code", "start_s", "end_s"], ["a", "AU145", 1.5, 2], ["a", "AU25", "2,5"]]
    path = write_xlsx(tmp_path / "events.xlsx", {"notes": NOTES, "coding": rows})
    found = read_events(path, units=DOG.units)
    assert [(e.text, e.start_s, e.end_s) for e in found.events] == [
        ("AU145", 1.5, 2.0), ("AU25", 2.5, None)
    ]  # fmt: skip


def test_faults_of_events_in_a_workbook_name_the_cell(tmp_path: Path) -> None:
    rows = [["video_id", "code", "start_s", "end_s"], ["a", "AU145", "=1", 2]]
    path = write_xlsx(tmp_path / "events.xlsx", {"S": rows})
    with pytest.raises(AnnotationError, match="cell C2 holds a formula whose result"):
        read_events(path, units=DOG.units)
    rows[1] = ["a", "AU145", 3, 2]
    with pytest.raises(AnnotationError, match=r"events\.xlsx, sheet 'S'.*\n?.*row 2"):
        read_events(write_xlsx(path, {"S": rows}), units=DOG.units)


def test_landmarks_are_read_from_a_workbook(tmp_path: Path) -> None:
    study = Study(tmp_path, (Video("a", tmp_path / "a.mp4", "Rex", "food"),), None)
    rows = [["video_id", "frame_index", "point", "x", "y"], ["a", 0, "nose", 1.5, "2,5"]]
    path = write_xlsx(tmp_path / "landmarks.xlsx", {"notes": NOTES, "S": rows})
    found = load_landmarks(study)
    assert found is not None
    assert found.table[["x", "y"]].to_numpy().tolist() == [[1.5, 2.5]]
    rows[1][3] = "left"
    write_xlsx(path, {"S": rows})
    with pytest.raises(StudyError, match=r"landmarks\.xlsx, sheet 'S', row 2, column x: 'left'"):
        load_landmarks(study)
    (tmp_path / "landmarks.csv").write_text("")
    with pytest.raises(StudyError, match=r"holds landmarks\.csv and landmarks\.xlsx; keep one"):
        load_landmarks(study)


def test_boxes_of_via_are_read_from_a_workbook(tmp_path: Path) -> None:
    shape = '{"name":"rect","x":1,"y":2,"width":3,"height":4}'
    rows = [
        ["filename", "file_attributes", "region_shape_attributes", "region_attributes"],
        ["a.png", "{}", shape, "{}"],
    ]
    path = write_xlsx(tmp_path / "boxes.xlsx", {"S": rows})
    assert guess_kind(path) == "via"
    source = read_via(path, Problems(path))
    assert source.images[0].faces[0].box_xyxy == (1, 2, 4, 6)


def test_proposed_table_may_be_a_workbook_of_texts(tmp_path: Path) -> None:
    rows = [["0071", "ä.mp4", "=1+1", "07"]]
    write_videos(pd.DataFrame(rows, columns=HEADER), tmp_path, suffix=".xlsx")
    assert cells_of(read(tmp_path / "videos.xlsx")) == rows


# -- files that are made to do harm ----------------------------------------------------------------

_SHEET = "xl/worksheets/sheet1.xml"
_OPEN = '<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData>'
_ENTITY = '<!DOCTYPE a [<!ENTITY a "path">]>'
_ROW = '<row><c t="inlineStr"><is><t>{}</t></is></c></row></sheetData></worksheet>'.format


def replace_sheet(path: Path, *content: bytes) -> Path:
    """Write a workbook whose sheet consists of these bytes."""
    whole = write_xlsx(path.with_stem("whole"), {"S": [HEADER, REX]})
    with zipfile.ZipFile(whole) as source, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
        for name in source.namelist():
            if name != _SHEET:
                made.writestr(name, source.read(name))
        with made.open(_SHEET, "w") as part:
            part.writelines(content)
    return path


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
@pytest.mark.parametrize(
    "entity", [_ENTITY, '<!DOCTYPE a [<!ENTITY a SYSTEM "file:///dev/zero">]>']
)
def test_entities_are_refused(tmp_path: Path, entity: str, encoding: str) -> None:
    text = f'<?xml version="1.0" encoding="{encoding}"?>{entity}{_OPEN}{_ROW("&a;")}'
    path = replace_sheet(tmp_path / "v.xlsx", text.encode(encoding))
    assert "holds an XML document type; a workbook, which has none" in only_problem(path)
    ods = write_ods(tmp_path / "v.ods", make_table("T", make_row("&a;")))
    with zipfile.ZipFile(ods) as archive:
        content = archive.read("content.xml").replace(b"?>", b"?>" + _ENTITY.encode(), 1)
    with zipfile.ZipFile(ods, "w") as archive:
        archive.writestr("META-INF/manifest.xml", "<manifest/>")
        archive.writestr("content.xml", content)
    assert "holds an XML document type" in only_problem(ods)


def test_text_that_looks_like_an_entity_is_read(tmp_path: Path) -> None:
    row = ["a", "<!DOCTYPE a>.mp4", "&a;", "food"]
    assert cells_of(read(write_xlsx(tmp_path / "v.xlsx", {"S": [HEADER, row]}))) == [row]


def test_row_without_an_end_costs_little(tmp_path: Path) -> None:
    start = f"{_OPEN}<row><c t='inlineStr'><is><t>".encode()
    path = replace_sheet(tmp_path / "v.xlsx", start, *[b" " * 2**20] * 200)
    tracemalloc.start()
    assert "holds a row without an end; a workbook with only the table" in only_problem(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 120e6


@pytest.mark.parametrize(
    "rows",
    [
        '<table:table-row table:number-rows-repeated="900000">'
        + make_cell("x", 'table:number-columns-repeated="16000"') + "</table:table-row>",
        make_row('<table:table-cell table:number-columns-repeated="4000000000"/>', "x"),
        make_row("x", options='table:number-rows-repeated="4000000000"'),
    ],
    ids=["cells", "columns", "rows"],
)  # fmt: skip
def test_sheet_that_says_it_is_endless_is_refused(tmp_path: Path, rows: str) -> None:
    path = write_ods(tmp_path / "v.ods", make_table("T", rows))
    assert "has more cells than canemo reads" in only_problem(path)


def test_spaces_without_end_are_few(tmp_path: Path) -> None:
    wide = make_cell('x<text:s text:c="4000000000"/>y')
    path = write_ods(tmp_path / "v.ods", make_table("T", make_row(*HEADER), make_row(wide, "a")))
    assert len(cells_of(read(path))[0][0]) < 300


def test_column_beyond_the_last_is_refused(tmp_path: Path) -> None:
    row = '<row><c r="ZZZZZZ1"><v>1</v></c></row></sheetData></worksheet>'
    path = replace_sheet(tmp_path / "v.xlsx", f"{_OPEN}{row}".encode())
    assert "has more cells than canemo reads" in only_problem(path)
