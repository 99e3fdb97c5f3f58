from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace

import openpyxl
import pandas as pd
import pytest

from canemo.errors import ConfigError
from canemo.report.pages.page import open_templates
from canemo.report.tables import (
    COUNT,
    P_VALUE,
    PERCENT,
    POINTS,
    SIGNED,
    THREE_DECIMALS,
    TWO_DECIMALS,
    Column,
    Estimate,
    Line,
    Noted,
    Table,
    choose_format,
    describe_frame,
    describe_records,
    describe_texts,
    escape_latex,
    format_latex,
    format_text,
    show_value,
)
from canemo.report.words.voice import Voice
from canemo.report.workbook import LEGEND_SHEET, write_tables, write_workbook
from canemo.species import get_species
from report_fixtures import Page

RESULT = Table(
    "Two models.",
    (
        Column("model", "Model"),
        Column("clips", "Clips", "how many were tested", COUNT),
        Column("score", "AUROC", "by clip", THREE_DECIMALS, kind="estimate", is_main=True),
        Column("p", "p", "of the permutation test", P_VALUE),
        Column("note", "Note"),
    ),
    (
        Line(
            {"model": "first", "clips": 1234, "score": Estimate(0.8114, (0.75, 0.9)), "p": 0.0001}
        ),
        Line({"model": "犬", "clips": 7, "score": Estimate(None), "p": math.nan, "note": "few"}),
        Line({"model": "always “a”", "score": Estimate(0.5)}, is_total=True),
    ),
    look_for="More is better.",
)
MIXED = Table(
    "Measures.",
    (
        Column("measure", "Measure"),
        Column("value", "Value", format=PERCENT),
        Column("interval", "95 % interval", format=PERCENT, kind="interval"),
    ),
    (
        Line({"measure": "Accuracy", "value": 0.8312, "interval": [0.7, 0.9]}, group="2 clips"),
        Line({"measure": "AUROC", "value": 0.8312, "interval": None}, THREE_DECIMALS, "2 clips"),
        Line({"measure": "Accuracy", "value": 0.5, "interval": (0.4, 0.6)}, group="9 frames"),
    ),
    groups="Level",
)
HOSTILE = ["=1+1", "@SUM(A1)", "+1", "https://example.org", "<b>bold</b>", "{{ 7*7 }}", "a & b"]


def render(table: Table | None) -> tuple[str, Page]:
    source = "{% from 'macros.html.j2' import table with context %}{{ table('shown') }}"
    tables = {} if table is None else {"shown": table}
    html = open_templates().from_string(source).render(tables=tables, pictures={})
    return html, Page(html)


# -- terminal --------------------------------------------------------------------------------------


def test_text_is_aligned_and_shows_what_is_unknown_as_a_dash() -> None:
    assert format_text(RESULT).splitlines() == [
        "Two models.",
        "Model        Clips                    AUROC         p   Note",
        "first        1,234   0.811 (0.750 to 0.900)   < 0.001",
        "犬               7                        –         –   few",
        "always “a”                            0.500",
    ]


def test_lines_of_a_group_stand_under_its_name_each_in_its_own_format() -> None:
    assert format_text(MIXED, is_captioned=False).splitlines() == [
        "  Measure     Value    95 % interval",
        "2 clips",
        "  Accuracy   83.1 %   70.0 to 90.0 %",
        "  AUROC       0.831                –",
        "9 frames",
        "  Accuracy   50.0 %   40.0 to 60.0 %",
    ]


def test_list_of_names_and_texts_has_no_headings() -> None:
    table = describe_texts("Settings.", {"Seed": 0, "Engine": "torch"})
    assert format_text(table) == "Settings.\nSeed     0\nEngine   torch"


def test_terminal_takes_some_of_the_columns() -> None:
    assert format_text(RESULT.pick("model", "p"), is_captioned=False).splitlines()[:2] == [
        "Model              p",
        "first        < 0.001",
    ]


def test_empty_table_is_its_headings() -> None:
    empty = Table("None.", RESULT.columns[:2], ())
    assert format_text(empty) == "None.\nModel   Clips"


# -- HTML ------------------------------------------------------------------------------------------


def test_page_has_caption_headings_with_their_meaning_and_cells() -> None:
    html, page = render(RESULT)
    assert page.text.startswith("Table 1. Two models. More is better. Model Clips AUROC p Note")
    assert "first 1,234 0.811 0.750 to 0.900 < 0.001" in page.text
    assert '<th scope="col" class="n" title="how many were tested">Clips</th>' in html
    assert '<td class="n strong">0.811<br><span class="detail">0.750 to 0.900</span></td>' in html
    assert '<tfoot>\n<tr><th scope="row">always “a”</th><td class="n"></td>' in html
    assert "Clips how many were tested AUROC by clip p of the permutation test" in page.text


def test_page_names_groups_across_the_table_and_keeps_percent_signs_on_their_line() -> None:
    html, page = render(MIXED)
    assert '<th scope="rowgroup" colspan="3">2 clips</th>' in html
    assert "70.0 to 90.0\N{NO-BREAK SPACE}%" in html
    assert "2 clips Accuracy 83.1 % 70.0 to 90.0 % AUROC 0.831 – 9 frames Accuracy" in page.text


def test_table_that_is_not_there_is_nothing() -> None:
    assert render(None)[0].strip() == ""


def make_hostile() -> Table:
    columns = (Column("name", "<i>Name</i>", "what = is"), Column("text", "=2+2", format=SIGNED))
    rows = tuple(Line({"name": text, "text": text}) for text in HOSTILE)
    return Table("<script>caption</script>", columns, rows)


def test_texts_of_a_study_are_shown_and_not_obeyed() -> None:
    _, page = render(make_hostile())
    assert not page.find("script")
    assert not page.find("i")
    assert len(page.find("b")) == 1  # "Table 1."
    for text in HOSTILE:
        assert page.texts.count(text) == 2


# -- workbook --------------------------------------------------------------------------------------


def read_sheets(path: Path) -> dict[str, list[list[object]]]:
    book = openpyxl.load_workbook(path)
    return {sheet.title: [[c.value for c in row] for row in sheet.rows] for sheet in book}


def test_workbook_holds_numbers_as_numbers_and_an_interval_in_two_columns(tmp_path: Path) -> None:
    path = write_workbook(tmp_path / "results.xlsx", {"result": RESULT, "measures": MIXED}, Voice())
    sheets = read_sheets(path)
    assert list(sheets) == ["result", "measures", LEGEND_SHEET]
    assert sheets["result"] == [
        ["Model", "Clips", "AUROC", "AUROC, low", "AUROC, high", "p", "Note"],
        ["first", 1234, 0.8114, 0.75, 0.9, 0.0001, None],
        ["犬", 7, None, None, None, None, "few"],
        ["always “a”", None, 0.5, None, None, None, None],
    ]
    assert sheets["measures"][0] == [
        "Level", "Measure", "Value", "95 % interval, low", "95 % interval, high",
    ]  # fmt: skip
    assert sheets["measures"][2] == ["2 clips", "AUROC", 0.8312, None, None]
    sheet = openpyxl.load_workbook(path)["measures"]
    assert [sheet.cell(row, 3).number_format for row in (2, 3)] == ["0.0 %", "0.000"]


def test_workbook_says_what_columns_are(tmp_path: Path) -> None:
    path = write_workbook(tmp_path / "a.xlsx", {"result": RESULT}, Voice())
    legend = read_sheets(path)[LEGEND_SHEET]
    assert legend[0] == ["sheet", "column", "meaning", "unit"]
    assert legend[1] == ["result", None, "Two models. More is better.", None]
    assert ["result", "AUROC", "by clip", None] in legend
    assert ["result", "Model", "what the row is about", None] in legend
    assert all(meaning for _, _, meaning, _ in legend)
    assert ["result", "AUROC, low", "lower end of: 95 % interval", None] in legend


def test_text_in_a_workbook_is_never_a_formula_or_an_address(tmp_path: Path) -> None:
    path = write_workbook(tmp_path / "a.xlsx", {"hostile": make_hostile()}, Voice())
    sheet = openpyxl.load_workbook(path)["hostile"]
    rows = list(sheet.iter_rows(min_row=2))
    assert [[cell.value for cell in row] for row in rows] == [[text, text] for text in HOSTILE]
    assert {cell.data_type for row in rows for cell in row} == {"s"}
    assert all(cell.hyperlink is None for row in rows for cell in row)


def test_data_frame_in_a_workbook_keeps_its_names_whatever_the_species(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {"dog": ["dog 7", "=1+1"], "index": pd.array([3, None], "Int64"), "p": [0.5, math.nan]}
    )
    frame = frame.assign(right=[True, False], unsaid=1)
    meanings = {"dog": "which dog", "p": "", "index": "", "right": "", "absent": ""}
    table = describe_frame("The dogs.", frame, meanings)
    voice = Voice(get_species("generic"))
    sheets = read_sheets(write_workbook(tmp_path / "a.xlsx", {"data": table}, voice))
    assert sheets["data"] == [
        ["dog", "p", "index", "right"],
        ["dog 7", 0.5, 3, True],
        ["=1+1", None, None, False],
    ]
    assert sheets[LEGEND_SHEET][2] == ["data", "dog", voice.say("which dog"), None]
    assert "dog" not in voice.say("which dog")


def test_workbook_is_the_same_each_time(tmp_path: Path) -> None:
    first = write_workbook(tmp_path / "a.xlsx", {"result": RESULT}, Voice()).read_bytes()
    assert write_workbook(tmp_path / "b.xlsx", {"result": RESULT}, Voice()).read_bytes() == first


# -- LaTeX -----------------------------------------------------------------------------------------


def test_latex_has_rules_headings_and_cells() -> None:
    assert format_latex(RESULT).splitlines() == [
        r"\begin{table}",
        r"\caption{Two models. More is better.}",
        r"\begin{tabular}{lrrrl}",
        r"\toprule",
        r"Model & Clips & AUROC & p & Note \\",
        r"\midrule",
        r"first & 1,234 & 0.811 (0.750 to 0.900) & \textless{} 0.001 &  \\",
        r"犬 & 7 & -- & -- & few \\",
        r"\midrule",
        r"always “a” &  & 0.500 &  &  \\",
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table}",
    ]
    assert r"\multicolumn{3}{l}{9 frames} \\" in format_latex(MIXED)
    assert r"Accuracy & 83.1~\% & 70.0 to 90.0~\% \\" in format_latex(MIXED)


def test_latex_sets_signs_letter_by_letter() -> None:
    assert escape_latex(r"50 % of a_b & {c} #1 \d ~ $x^2 <") == (
        r"50~\% of a\_b \& \{c\} \#1 \textbackslash{}d \textasciitilde{} "
        r"\$x\textasciicircum{}2 \textless{}"
    )


def test_file_has_the_form_that_its_name_asks_for(tmp_path: Path) -> None:
    tables = {"result": RESULT, "measures": MIXED}
    text = write_tables(tmp_path / "a.tex", tables, Voice()).read_text(encoding="utf-8")
    assert text == f"{format_latex(RESULT)}\n\n{format_latex(MIXED)}\n"
    sheets = read_sheets(write_tables(tmp_path / "a.xlsx", tables, Voice()))
    assert list(sheets) == [*tables, LEGEND_SHEET]
    with pytest.raises(ConfigError, match=r"a\.docx: tables are written as \.xlsx or \.tex"):
        write_tables(tmp_path / "a.docx", tables, Voice())


# -- values ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("measure", "signed", "shown"),
    [
        ("accuracy", False, "5.0 %"),
        ("auroc", False, "0.050"),
        ("balanced_accuracy", True, "+5.0"),
        ("macro_f1", True, "+0.050"),
    ],
)
def test_measures_are_written_as_is_customary(measure: str, signed: bool, shown: str) -> None:
    assert choose_format(measure, is_signed=signed).write(0.05) == shown


def test_mark_of_a_test_stands_beside_the_value() -> None:
    column = Column("check", "Deletion", format=THREE_DECIMALS, kind="tested")
    row = Line({"check": Estimate(0.3, (0.2, 0.4), "pass")})
    assert str(column.show(row)) == "0.300 pass (0.200 to 0.400)"
    assert column.split(row) == [0.3, 0.2, 0.4, "pass"]
    assert [heading for heading, _ in column.split_headings()][-1] == "Deletion, test"


def test_note_stands_beside_its_text() -> None:
    column = Column("map", "Map", kind="noted", ends="Explains")
    row = Line({"map": Noted("CAM", "the decision")})
    assert str(column.show(row)) == "CAM (the decision)"
    assert column.split(row) == ["CAM", "the decision"]
    assert [heading for heading, _ in column.split_headings()] == ["Map", "Explains"]


def test_values_are_found_in_records_and_mappings_and_may_end_early() -> None:
    score = Column("score", "AUROC", format=THREE_DECIMALS, at="video.auroc", ends_at="video.ends")
    video = SimpleNamespace(auroc=0.75, ends=(0.5, 1.0))
    table = describe_records(
        "Scores.",
        [Column("name", "Model"), score, Column("twice", "Twice", at=lambda each: 2 * each["n"])],
        [{"name": "a", "video": video, "n": 1}, {"name": "b", "video": None, "n": 2}],
    )
    assert table.rows[0].values == {"name": "a", "score": Estimate(0.75, (0.5, 1.0)), "twice": 2}
    assert table.rows[1].values["score"] == Estimate(None)
    assert score.read(SimpleNamespace(video=video)) == Estimate(0.75, (0.5, 1.0))


def test_value_without_a_column_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"'Bad.': no column for scre"):
        Table("Bad.", RESULT.columns, (Line({"model": "a", "scre": 1}),))


def test_nought_has_no_sign_and_what_is_not_nought_keeps_it() -> None:
    shown = [show_value(value, SIGNED).text for value in (-0.001, 0.0, 0.004, -0.006, 0.02)]
    assert shown == ["0.00", "0.00", "0.00", "-0.01", "+0.02"]
    assert show_value(-0.0004, POINTS).text == "0.0"
    assert show_value((-0.001, -0.06), TWO_DECIMALS).text == "0.00 to -0.06"


def test_terminal_says_what_columns_mean_where_asked() -> None:
    assert format_text(RESULT, is_explained=True).splitlines()[-1].startswith("(Clips: how many")
