from __future__ import annotations

import html
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import openpyxl
import pytest

from canemo.errors import ModelError
from canemo.report.charts.canvas import save_figure
from canemo.report.charts.crops import draw_picture_rows
from canemo.report.pages.run import write_report
from painted import leave_undrawn
from report_fixtures import (
    Page,
    make_audit,
    make_duplicates,
    make_metrics,
    make_permutation,
    with_video_intervals,
    write_run,
)


def render(run_dir: Path, metrics: dict[str, Any] | None = None) -> Page:
    with pytest.MonkeyPatch.context() as patch:
        leave_undrawn(patch)
        return Page(write_report(write_run(run_dir, metrics)).read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def full_page(tmp_path_factory: pytest.TempPathFactory) -> Page:
    run_dir = write_run(tmp_path_factory.mktemp("run"))
    image = np.full((30, 30, 3), 90, dtype=np.uint8)
    save_figure(draw_picture_rows({"a": [[("dog01", image)]]}), run_dir / "figures/eigencam.png")
    return Page(write_report(run_dir).read_text(encoding="utf-8"))


def test_numbers_are_those_of_the_metrics(full_page: Page) -> None:
    metrics = make_metrics()
    for fact in (
        "classified 83 % of clips into the condition they were filmed in",
        "Accuracy 83.1 % 76.1 to 89.7 % 66.0 % 61.2 %",
        "Balanced accuracy 81.9 % 74.1 to 88.1 % 50.0 % 55.1 %",
        "AUROC 0.888 0.821 to 0.931 0.500",
        "Accuracy 76.8 % 70.8 to 82.4 % 66.0 %",
        "no face found 87 253 340",
        "turn faces into features 21 min 28 s 3,328 2.6",
        f"29 dogs · {metrics['study']['videos']} clips",
        "torch 2.9.0",
        'name = "dino_vits8"',
        "canemo run study --backbone dino_vits8",
    ):
        assert fact in full_page.text
    for dog in metrics["subjects"]:
        assert re.search(rf"{dog['subject_id']} .*{100 * dog['accuracy']:.1f} %", full_page.text)


def test_content_comes_in_order_clips_before_frames(full_page: Page) -> None:
    text = full_page.text
    marks = [
        "On dogs it had never seen",
        "The material",
        "Number of dogs by age and by sex",
        "Frames by fate and condition",
        "256 clips Accuracy",
        "3,328 frames Accuracy",
        "Dog by dog",
        "EigenCAM: where the backbone is most active",
        "Methods paragraph",
        "Settings.",
        "Time by stage",
        "Versions.",
    ]
    places = [text.index(mark) for mark in marks]
    assert places == sorted(places)
    assert "it shows what the backbone looks at, not why a clip was classified as it was" in text


def test_figures_and_tables_are_numbered_and_described(full_page: Page) -> None:
    captions = re.findall(r"Figure (\d+)\.", full_page.text)
    assert captions == [str(i + 1) for i in range(10)]
    assert re.findall(r"Table (\d+)\.", full_page.text) == [str(i + 1) for i in range(11)]
    images = [each for each in full_page.find("img") if "image/png" in (each["src"] or "")]
    assert len(images) == 10
    assert all(len(image["alt"] or "") > 20 for image in images)


def test_page_stands_alone(full_page: Page) -> None:
    assert not full_page.find("script")
    assert not full_page.find("link")
    sources = [tag.get("src") for _, tag in full_page.tags if "src" in tag]
    kinds = ("data:image/png;base64,", "data:image/jpeg;base64,")
    assert all(source and source.startswith(kinds) for source in sources)
    css = " ".join(full_page.texts)
    assert "url(" not in css
    assert "@import" not in css
    links = {link["href"] for link in full_page.find("a") if not link["href"].startswith("#")}
    assert links == {"https://arxiv.org/abs/2206.05619"}


def test_chance_is_said_where_an_interval_reaches_it_and_only_there(
    tmp_path: Path, full_page: Page
) -> None:
    assert "This result cannot be told from chance:" not in full_page.text
    page = render(tmp_path, with_video_intervals(make_metrics(), auroc=[0.45, 0.7]))
    assert "This result cannot be told from chance: on dogs" in page.text
    assert "lead unclear" in {tag.get("class") for tag in page.find("p")}


def test_hostile_names_are_shown_and_not_obeyed(tmp_path: Path) -> None:
    label, dog = "<script>alert(1)</script>", "rex\"><img src=x onerror='x'> & {{ 7*7 }} $x"
    text = json.dumps(make_metrics()).replace("frustration", label)
    metrics = json.loads(text.replace("dog07", json.dumps(dog)[1:-1]))
    metrics["study"]["name"] = "</title><b>bold"
    metrics["warnings"] = ["<i>warned</i>"]
    run_dir = write_run(tmp_path, metrics)
    source = write_report(run_dir).read_text(encoding="utf-8")
    page = Page(source)
    assert not page.find("script")
    assert not page.find("i")
    assert all((tag["src"] or "").startswith("data:") for tag in page.find("img"))
    assert html.escape(label) in source
    assert f"always answering “{label}”" in page.text
    assert dog in page.text
    assert "</title><b>bold" in page.text


def test_run_without_table_of_subjects_and_pictures(tmp_path: Path) -> None:
    metrics = make_metrics()
    metrics["study"]["subjects_table"] = None
    page = render(tmp_path, metrics)
    assert "Number of dogs by age" not in page.text
    assert "EigenCAM" not in page.text
    assert "Figure 1. Clips of each dog" in page.text


def test_the_ledger_table_adds_up_where_frames_could_not_be_decoded(tmp_path: Path) -> None:
    metrics = make_metrics(("food", "toy"), n_subjects=2)
    metrics["study"] |= {
        "fates": {"used": 8, "decode_error": 1},
        "fates_by_label": {"food": {"used": 5}, "toy": {"used": 3, "decode_error": 1}},
        "frames": 8,
    }
    page = render(tmp_path, metrics)
    assert "used 5 3 8" in page.text
    assert "frame could not be decoded 0 1 1 All 5 4 9" in page.text


def test_whether_to_trust_it_is_shown_in_order(full_page: Page) -> None:
    text = full_page.text
    marks = [
        "permutation p = 0.001",
        "The audit raises 1 alarm",
        "Metadata alone",
        "Balanced accuracy 81.9 % 74.1 to 88.1 % 50.0 % 55.1 %",
        "Dog by dog",
        "How far the result can be trusted",
        "1,000 times at random",
        "It is not clear whether more dogs of this kind would help",
        "Which part of the picture carried the result",
        "Nothing was chosen by this figure",
        "would have claimed 84.1 %",
        "Alarm. Two clips are nearly alike.",
        "Note. Frames are lost unevenly.",
        "split by frame 99.6 % 99.1 %",
        "the right one of 29 dogs in 93.7 %",
        "each dog’s mean removed 84.2 % 77.0 to 90.0 %",
        "“positive anticipation” 11.2 %",
        "clip000 (dog01) copy000 (dog02) 0.9999 two dogs",
        "the background, dog masked 58.0 % 66.0 to 83.0 %",
        "The background alone does not carry the result.",
        "Limits",
    ]
    places = [text.index(mark) for mark in marks]
    assert places == sorted(places)
    assert "lead above" in {tag.get("class") for tag in full_page.find("p")}
    assert "clip020" not in text


def test_frames_alone_are_not_called_parts_of_the_picture(tmp_path: Path) -> None:
    metrics = make_metrics()
    metrics["sweep"]["parts"] = metrics["sweep"]["parts"][:2]
    assert "Which frames carried the result" in render(tmp_path, metrics).text


def test_workbook_beside_the_report_has_every_table_with_numbers(tmp_path: Path) -> None:
    write_report(write_run(tmp_path))
    book = openpyxl.load_workbook(tmp_path / "results.xlsx")
    assert book.sheetnames == [
        "result", "fates", "numbers", "confusion", "dogs", "how far to trust it", "permutation",
        "calibration", "learning_curve", "parts", "findings", "careless splits", "dog taken out",
        "clips alike", "confounds", "settings", "cost", "versions", "columns",
    ]  # fmt: skip
    level = make_metrics()["levels"]["video"]
    line = [cell.value for cell in book["numbers"][2]]
    low, high = level["interval"]["accuracy"]
    assert line[:2] == ["256 clips", "Accuracy"]
    assert line[2:5] == pytest.approx([level["accuracy"], low, high])
    confusion = [[cell.value for cell in line] for line in book["confusion"].rows]
    assert [line[1:] for line in confusion[1:]] == level["confusion"]["counts"]
    assert book["dogs"].max_row == 30
    assert book["cost"]["B2"].value == 312.4


@pytest.mark.usefixtures("undrawn")
def test_maps_of_decisions_that_cannot_be_told_from_chance_explain_none(tmp_path: Path) -> None:
    image = np.full((30, 30, 3), 90, dtype=np.uint8)
    for name, p, told in (("a", 0.001, False), ("b", 0.2, True)):
        run_dir = write_run(tmp_path / name, make_metrics(permutation=make_permutation(p)))
        for picture in ("decision", "eigencam"):
            sheet = draw_picture_rows({"a": [[("dog01", image)]]})
            save_figure(sheet, run_dir / "figures" / f"{picture}.png")
        page = Page(write_report(run_dir).read_text(encoding="utf-8"))
        grey = [tag for tag in page.find("figure") if "failed" in tag.get("class")]
        assert ("orange for" in page.text) != told
        assert len(grey) == 2 * told == page.text.count("The result does not stand, so shown small")


def test_results_that_do_not_stand_are_marked(tmp_path: Path) -> None:
    page = render(tmp_path / "a", make_metrics(permutation=make_permutation(0.2)))
    assert "This result cannot be told from chance: on dogs" in page.text
    assert "lead unclear" in {tag.get("class") for tag in page.find("p")}
    void = make_permutation(None, reason="no dog was filmed in two conditions")
    page = render(tmp_path / "b", make_metrics(permutation=void))
    assert "Nothing can be concluded about the condition: no dog was filmed" in page.text
    assert "lead void" in {tag.get("class") for tag in page.find("p")}


def test_hostile_names_in_the_audit_are_shown_and_not_obeyed(tmp_path: Path) -> None:
    evil = "<script>alert('x')</script>"
    pair = {
        "first": evil, "second": f"{evil}2", "first_subject": evil, "second_subject": "{{ 7*7 }}",
        "first_label": "a", "second_label": "a", "cosine": 0.99,
    }  # fmt: skip
    row = make_audit()["confounds"]["rows"][0] | {"title": evil}
    audit = make_audit(
        findings=[{"severity": "alarm", "name": "aligned", "text": evil}],
        duplicates=make_duplicates([pair], threshold=0.9),
        drops={"shares": {evil: 0.1}, "difference": 0.0, "p": None},
        sessions={"column": evil, "shared": [{"session": evil, "subjects": [evil]}]},
        confounds={"rows": [row], "frames_per_clip": 5, "verdict": [evil]},
    )
    metrics = make_metrics(audit=audit)
    metrics["chance"]["metadata"]["columns"] = [evil]
    metrics["sweep"]["parts"][0]["pooling"] = evil
    metrics["calibration"]["positive_label"] = evil
    page = render(tmp_path, metrics)
    assert not page.find("script")
    assert page.text.count(evil) >= 10
    assert "{{ 7*7 }}" in page.text


def test_three_labels(tmp_path: Path) -> None:
    page = render(tmp_path, make_metrics(("food", "social", "toy"), n_subjects=5))
    assert "always answering “toy”" in page.text
    assert "33.3 %" in page.text
    assert "as the positive label" not in page.text


def test_warnings_come_before_the_study(tmp_path: Path) -> None:
    metrics = make_metrics(n_subjects=3)
    metrics["warnings"] = ["Dog dog01 has clips of one condition only."]
    text = render(tmp_path, metrics).text
    assert text.index("has clips of one condition only") < text.index("The study")


def test_report_is_the_same_each_time(tmp_path: Path) -> None:
    run_dir = write_run(tmp_path, make_metrics(n_subjects=3))
    first = write_report(run_dir).read_bytes()
    assert write_report(run_dir).read_bytes() == first
    assert (run_dir / "report.html").read_bytes() == first


@pytest.mark.parametrize("name", ["metrics.json", "environment.json", "config.toml"])
def test_unfinished_run_is_named_with_what_to_do(tmp_path: Path, name: str) -> None:
    (write_run(tmp_path) / name).unlink()
    with pytest.raises(ModelError, match=rf"not a finished run, {name} is missing; .*canemo run"):
        write_report(tmp_path)
    assert not (tmp_path / "report.html").exists()


def test_frames_that_were_all_used_need_no_chart(tmp_path: Path) -> None:
    metrics = make_metrics()
    metrics["study"] |= {"fates": {"used": 9}, "fates_by_label": {"a": {"used": 9}}, "frames": 9}
    page = render(tmp_path, metrics)
    assert "Each of the 9 frames that were looked at had a usable face." in page.text
    assert "Fate of the frames" not in page.text


def test_settings_are_said_in_words(full_page: Page) -> None:
    assert "Method linear discriminant (lda)" in full_page.text
    assert "Part of the features whole crop, summed up by the backbone (cls)" in full_page.text
    assert "Split leave one dog out, 29 rounds" in full_page.text
    assert "Offered to choose from whole crop, summed up by the backbone, upper" in full_page.text
    table = full_page.text.partition("Settings.")[2].partition("Time by stage")[0]
    for key in ("engine_reason", "detector_engine", "penalty_chosen", "loso", "log-odds t"):
        assert key not in table
