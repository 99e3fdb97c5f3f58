from __future__ import annotations

import json
from pathlib import Path
from typing import cast

import openpyxl
import pandas as pd
import pytest

from canemo.report import tables
from canemo.report.pages.run import write_report
from canemo.report.rows import (
    list_comparison_sheets,
    list_explanation_sheets,
    tabulate_clips,
)
from canemo.study.records.comparison import ComparisonRecord
from canemo.study.records.folders import ComparisonFolder, read_run
from report_fixtures import write_run

pytestmark = pytest.mark.usefixtures("undrawn")


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    """A run of three clips: one right, one wrong, one without a face."""
    folder = write_run(tmp_path / "run")
    origin = pd.DataFrame(
        {
            "video_id": ["Bär_1", "rex_1", "-rex_2"],
            "subject_id": ["Bär", "rex", "rex"],
            "label": ["play", "play", "=rest"],
        }
    )
    origin.assign(extra="{}", duration_s=[2.0, 3.0, 1.0]).to_parquet(folder / "videos.parquet")
    frames = origin.loc[[0, 0, 1, 2]].assign(
        frame_index=pd.array([0, 5, 0, None], "Int64"),
        fate=["used", "used", "used", "no_face"],
        score=0.9,
    )
    frames.to_parquet(folder / "frames.parquet")
    answers = pd.DataFrame(
        {
            **origin.loc[[0, 0, 1, 0, 1]],
            "frame_index": pd.array([0, 5, 0, None, None], "Int64"),
            "level": ["frame"] * 3 + ["video"] * 2,
            "probability_play": [0.9, 0.3, 0.2, 0.6, 0.2],
            "probability_=rest": [0.1, 0.7, 0.8, 0.4, 0.8],
            "predicted": ["play", "=rest", "=rest", "play", "=rest"],
            "fold": [0, 0, 1, 0, 1],
        }
    )
    answers.to_parquet(folder / "predictions.parquet")
    return folder


def read_sheets(path: Path) -> dict[str, list[tuple[object, ...]]]:
    return {sheet.title: list(sheet.values) for sheet in openpyxl.load_workbook(path)}


def test_every_clip_has_one_row_whether_it_was_answered_or_not(run_dir: Path) -> None:
    clips = tabulate_clips(read_run(run_dir))
    assert clips["video_id"].tolist() == ["Bär_1", "rex_1", "-rex_2"]
    assert clips["is_correct"].tolist() == [True, False, pd.NA]
    assert clips["predicted"].tolist()[:2] == ["play", "=rest"]
    assert clips["predicted"].isna().tolist() == [False, False, True]
    assert clips["frames_used"].tolist() == [2, 1, 0]
    assert clips["frames_looked_at"].tolist() == [2, 1, 1]


def test_workbook_holds_clips_frames_dogs_numbers_and_settings(run_dir: Path) -> None:
    write_report(run_dir)
    sheets = read_sheets(run_dir / "results.xlsx")
    assert {"columns", "clips", "frames", "dogs", "numbers", "settings"} <= sheets.keys()
    assert list(sheets)[:3] == ["result", "clips", "frames"]
    assert list(sheets)[-1] == "columns"
    verdict = {str(line[0]): str(line[1]) for line in sheets["result"]}
    assert verdict["Verdict"].startswith("On dogs it had never seen, canemo classified 83 %")
    assert verdict["Accuracy"] == "83.1 %, 95 % interval 76.1 to 89.7 %"
    assert verdict["Findings"].endswith(": see the sheet findings.")
    answered = ("rex_1", "rex", "play", "=rest", False, 0.2, 0.8, 2, 1, 1, 3)
    assert sheets["clips"][2] == (*answered, None)  # without a doubt
    assert len(sheets["clips"]) == 4
    heads = sheets["frames"][0]
    second = dict(zip(heads, sheets["frames"][2], strict=True))
    assert (second["frame_index"], second["predicted"], second["fate"]) == (5, "=rest", "used")
    last = dict(zip(heads, sheets["frames"][4], strict=True))
    assert (last["frame_index"], last["predicted"], last["fate"]) == (None, None, "no_face")


def test_every_column_of_the_rows_is_explained(run_dir: Path) -> None:
    write_report(run_dir)
    sheets = read_sheets(run_dir / "results.xlsx")
    said = {(sheet, column): meaning for sheet, column, meaning, _ in sheets["columns"]}
    units = {(sheet, column): unit for sheet, column, _, unit in sheets["columns"]}
    assert units["clips", "duration_s"] == "seconds"
    for name in ("clips", "frames"):
        assert all(said[name, heading] for heading in sheets[name][0])


def test_clips_as_csv_open_in_excel_and_are_read_back_unchanged(run_dir: Path) -> None:
    write_report(run_dir)
    path = run_dir / "predictions.csv"
    assert path.read_bytes().startswith("\N{ZERO WIDTH NO-BREAK SPACE}video_id".encode())
    read = pd.read_csv(path)
    assert read["video_id"].tolist() == ["Bär_1", "rex_1", "-rex_2"]
    assert read["label"].tolist() == ["play", "play", "=rest"]
    assert read["probability_play"].tolist()[:2] == [0.6, 0.2]


def test_frames_that_are_too_many_for_a_sheet_are_said_to_be_elsewhere(
    run_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "MOST_ROWS", 3)
    write_report(run_dir)
    sheets = read_sheets(run_dir / "results.xlsx")
    assert len(sheets["frames"]) == 1
    assert any(
        line[0] == "frames" and "Too many for a workbook, 4: see frames.parquet" in str(line[2])
        for line in sheets["columns"]
    )


def test_tables_as_latex_have_no_rows_of_clips(run_dir: Path, tmp_path: Path) -> None:
    write_report(run_dir, tables_file=tmp_path / "tables.tex")
    assert "rex" not in (tmp_path / "tables.tex").read_text(encoding="utf-8")


def test_comparison_has_every_clip_by_model(run_dir: Path) -> None:
    answers = pd.read_parquet(run_dir / "predictions.parquet")
    both = pd.concat([answers.assign(model="a"), answers.assign(model="b")], ignore_index=True)
    both.to_parquet(run_dir / "predictions.parquet")
    record = ComparisonFolder(run_dir, cast("ComparisonRecord", None))
    (table,) = list_comparison_sheets(record).values()
    assert [(row.values["model"], row.values["video_id"]) for row in table.rows] == [
        ("a", "Bär_1"), ("a", "rex_1"), ("b", "Bär_1"), ("b", "rex_1"),
    ]  # fmt: skip
    assert all(column.meaning for column in table.columns)
    (run_dir / "predictions.parquet").unlink()
    assert list_comparison_sheets(ComparisonFolder(run_dir, record.comparison)) == {}


def test_explanation_has_every_crop_and_dog_by_part_of_the_face(tmp_path: Path) -> None:
    assert list_explanation_sheets(tmp_path) == {}
    crops = pd.DataFrame({"video_id": ["a"], "logit": [0.5], "part_eyes": [0.25], "x": [1]})
    crops.to_parquet(tmp_path / "explained.parquet")
    dogs = pd.DataFrame({"subject_id": ["rex"], "region": ["eyes"], "share_play": [0.5]})
    dogs.to_parquet(tmp_path / "dogs.parquet")
    sheets = list_explanation_sheets(tmp_path)
    assert sheets["explained"].rows[0].values == {"video_id": "a", "logit": 0.5, "part_eyes": 0.25}
    said = {column.key: column.meaning for column in sheets["dogs"].columns}
    assert said["share_play"].endswith("in crops of “play”")
    assert sheets["dogs"].rows[0].values["share_play"] == 0.5


def test_findings_hold_doubts_of_clips_and_rounds_are_named_by_their_dogs(run_dir: Path) -> None:
    clips = json.loads((run_dir / "clips.json").read_text(encoding="utf-8"))
    clips["clips"][0] |= {"video_id": "rex_1", "doubts": [{"name": "cut", "text": "it cuts"}]}
    (run_dir / "clips.json").write_text(json.dumps(clips), encoding="utf-8")
    metrics = json.loads((run_dir / "metrics.json").read_text(encoding="utf-8"))
    metrics["protocol"] |= {"split": "loso", "penalty_chosen": [10.0, 100.0]}
    (run_dir / "metrics.json").write_text(json.dumps(metrics), encoding="utf-8")
    write_report(run_dir)
    sheets = read_sheets(run_dir / "results.xlsx")
    assert ("Doubt", "rex_1: It cuts.") in sheets["findings"]
    assert ("Penalty chosen, by round", "Bär 10, rex 100") in sheets["settings"]
