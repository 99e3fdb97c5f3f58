"""Clips in a report: shown before any number, and answered one by one."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from canemo.formats.tables import Problem
from canemo.report.pages.answers import list_answers
from canemo.report.pages.material import Shown, render_material
from canemo.report.pages.run import write_report
from canemo.study.records.clips import ClipFacts, ClipSheet
from canemo.study.records.folders import read_run
from report_fixtures import TINY_JPEG, Page, make_clips, make_metrics, write_run

pytestmark = pytest.mark.usefixtures("undrawn")


def make_clip(number: int, *, dog: str = "Luna", doubts: int = 0) -> ClipFacts:
    strip = [{"time_s": t, "used": t > 0, "jpeg": TINY_JPEG} for t in range(6)]
    said = [{"name": "dark", "text": "it is dark"}] * doubts
    return ClipFacts(video_id=f"clip{number}", subject_id=dog, label="food", seconds=3.0,
                     frames=15, used=14, face=TINY_JPEG, strip=strip, doubts=said)  # fmt: skip


def write_answers(run_dir: Path, sheet: ClipSheet) -> None:
    """Write what was predicted of the clips that could be opened: every fifth wrong."""
    labels = sorted({clip.label for clip in sheet.clips})
    clips = pd.DataFrame(
        [(c.video_id, c.subject_id, c.label, c.face is not None) for c in sheet.clips],
        columns=["video_id", "subject_id", "label", "opened"],
    )
    clips.assign(duration_s=2.6).to_parquet(run_dir / "videos.parquet")
    fates = clips["opened"].map({True: "used", False: "decode_error"})
    clips.assign(fate=fates, frame_index=0, score=0.9).to_parquet(run_dir / "frames.parquet")
    tested = clips[clips["opened"]].reset_index(drop=True)
    place = np.arange(len(tested))
    step = (place % 5 == 0).astype(int)
    of_label = tested["label"].map(labels.index).to_numpy()
    predicted = np.array(labels)[(of_label + step) % len(labels)]
    sure = 0.55 + 0.4 * (place % 7) / 7
    shares = {f"probability_{x}": np.where(predicted == x, sure, 1 - sure) for x in labels}
    answers = tested.drop(columns="opened").assign(
        level="video", frame_index=pd.NA, **shares, predicted=predicted, fold=0
    )
    answers.astype({"frame_index": "Int64"}).to_parquet(run_dir / "predictions.parquet")


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    metrics = make_metrics(n_subjects=6)
    run_dir = write_run(tmp_path_factory.mktemp("run"), metrics)
    write_answers(run_dir, make_clips(metrics))
    return write_report(run_dir)


def test_the_material_stands_before_any_table_of_numbers(report):
    source = report.read_text(encoding="utf-8")
    assert source.index("<h2>The material") < source.index("<h2>The study")
    page = Page(source)
    assert "2 clips to look at" in page.text
    assert "It is dark." in page.text
    assert "length unknown · face used in 0 of 0 frames looked at" in page.text


def test_page_says_that_a_dog_from_elsewhere_is_often_missed(report):
    text = Page(report.read_text(encoding="utf-8")).text
    assert "that of a dog from elsewhere only in 3 to 6 of 10" in text


def test_part_of_a_film_is_said_of_its_clip_and_counted(tmp_path):
    metrics = make_metrics(n_subjects=6)
    run_dir, sheet = write_run(tmp_path, metrics), make_clips(metrics)
    cut = sheet.clips[2].model_copy(update={"part_s": (1.0, 3.6)})
    sheet.model_copy(update={"clips": (*sheet.clips[:2], cut, *sheet.clips[3:])}).write(
        run_dir / "clips.json"
    )
    text = Page(write_report(run_dir).read_text(encoding="utf-8")).text
    assert "2.6 s (1.0 to 3.6 s of the film) · face used" in text
    assert text.count("Of 1 clip only a part of the film was kept.") == 2  # methods too


def test_wrong_answers_come_first_the_surest_of_them_before_the_others(report):
    answers = list_answers(read_run(report.parent))
    wrong = [answer for answer in answers if answer.is_wrong]
    assert wrong == answers[: len(wrong)]
    assert [a.probability for a in wrong] == sorted((a.probability for a in wrong), reverse=True)
    assert all(answer.is_first for answer in (*wrong, answers[-1]))
    right = [a.probability for a in answers[len(wrong) : -1]]
    assert right == sorted(right)
    assert (answers[-1].predicted, answers[-1].seen.doubts[0].name) == (None, "unreadable")


def test_the_table_has_a_row_of_every_clip_and_stands_without_its_script(report):
    source = report.read_text(encoding="utf-8")
    first, folded = re.findall(r'<table class="answers.*?</table>', source, re.S)
    table = first + folded
    run = read_run(report.parent)
    rows = re.findall(r"<tr>\n<th.*?</tr>", table, re.S)
    assert len(rows) == len(run.clips.clips) == run.metrics.study.videos
    assert all("(wrong)" in row for row in rows[:3])
    assert "not tested" in first
    assert "(wrong)" not in folded
    assert "as good as undecided" not in source
    assert table.count("<img") == len(rows) - 1
    assert "<button" not in source.split("<script>")[0]
    assert not re.search(r"<(script|img|link)[^>]+(src|href)=\"(?!data:)", source)


def test_doubts_stand_in_the_table_of_clips_too(report):
    clips = pd.read_csv(report.parent / "predictions.csv")
    assert clips["doubts"].dropna().tolist() == ["is empty (0 bytes)", "it is dark"]


def test_a_run_without_pictures_still_has_its_table(tmp_path):
    metrics = make_metrics(n_subjects=3)
    run = write_run(tmp_path, metrics)
    write_answers(run, make_clips(metrics))
    (run / "clips.json").unlink()
    page = Page(write_report(run).read_text(encoding="utf-8"))
    assert "The material" not in page.text
    assert "Clip by clip" in page.text


def test_pictures_get_fewer_with_more_clips_and_then_only_doubtful_clips_have_some():
    few = Shown([make_clip(n) for n in range(10)], 60)
    assert [len(few.strip(clip)) for clip in few.clips] == [6] * 10
    assert few.note == ""
    more = Shown([make_clip(n) for n in range(30)], 60)
    assert {len(more.strip(clip)) for clip in more.clips} == {2}
    assert [picture.time_s for picture in more.strip(more.clips[0])] == [1, 4]
    assert "2 pictures of each clip" in more.note
    many = Shown([make_clip(n, doubts=n == 7) for n in range(61)], 60)
    assert [clip.video_id for clip in many.clips if many.strip(clip)] == ["clip7"]
    assert "only doubtful ones have pictures" in many.note


def test_a_large_study_has_a_page_of_bearable_size():
    strip = [{"time_s": t, "used": True, "jpeg": "A" * 4400} for t in range(6)]
    clips = [
        make_clip(n, dog=f"dog{n % 40}").model_copy(update={"face": "A" * 4400}) for n in range(170)
    ]
    shown = [ClipFacts.model_validate({**clip.to_dict(), "strip": strip}) for clip in clips]
    sheet = ClipSheet(study="large", species="dog", clips=tuple(shown))
    page = render_material(sheet, problems=[], verdict="")
    assert page.count('class="dog"') == 40
    assert len(page) < 6e6


def test_dogs_are_in_order_and_other_animals_have_their_own_word():
    clips = (make_clip(1, dog="Zoe"), make_clip(2, dog="Anna", doubts=1))
    sheet = ClipSheet(study="cats", species="generic", clips=clips)
    page = render_material(sheet, problems=[], verdict="Nothing can be concluded.")
    text = Page(page).text
    assert text.index("Anna 1 clip") < text.index("Zoe 1 clip")
    assert "Nothing can be concluded." in text
    assert "dog" not in text


def test_problems_under_the_heading_of_warnings_do_not_say_so_again() -> None:
    problems = [
        Problem("warning", "videos.csv", 2, None, "Bela looks like Bella", "one spelling"),
        Problem("error", "videos.csv", 3, None, "the file is empty", "copy it again"),
    ]
    sheet = ClipSheet(study="s", species="dog", clips=(make_clip(1),))
    page = render_material(sheet, problems=problems, verdict="")
    assert "<li>videos.csv, row 2: Bela looks like Bella; one spelling</li>" in page
    assert "<li>error: videos.csv, row 3: the file is empty; copy it again</li>" in page


def test_even_probabilities_are_called_as_good_as_undecided(tmp_path):
    metrics = make_metrics(n_subjects=3)
    run = write_run(tmp_path, metrics)
    write_answers(run, make_clips(metrics))
    answers = pd.read_parquet(run / "predictions.parquet")
    shares = [name for name in answers if name.startswith("probability_")]
    answers[shares] = [0.5017, 0.4983]
    answers.to_parquet(run / "predictions.parquet")
    text = Page(write_report(run).read_text(encoding="utf-8")).text
    assert ", as good as undecided 50.2 %" in text
    assert re.search(r"Table \d+\. Every clip, \d+ of", text)
