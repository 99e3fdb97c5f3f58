"""What a study is said to be able to show before a picture is looked at."""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path

import pytest

import canemo
from canemo.pipeline.check import warn_of_design
from canemo.species import DOG
from canemo.study.check import inspect_study
from clips import draw_number, write_clip


@pytest.fixture(scope="session")
def short_clip(tmp_path_factory):
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    return write_clip(
        path, frames=10, size=(32, 32), draw=lambda n: draw_number(n, width=32, height=32)
    )


@pytest.fixture
def lay_out(tmp_path, short_clip):
    """Write a study whose rows all show parts of one clip, which `check` takes for different."""

    def write(clips, *, header="", toml=""):
        (tmp_path / "clip.mp4").write_bytes(Path(short_clip).read_bytes())
        lines = [f"video_id,path,subject_id,label,start_s,end_s{header}"]
        for number, (subject_id, label, *more) in enumerate(clips):
            part = f"{number / 1000:.3f},{(number + 1) / 1000:.3f}"
            lines.append(",".join([f"v{number}", "clip.mp4", subject_id, label, part, *more]))
        (tmp_path / "videos.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
        if toml:
            (tmp_path / "canemo.toml").write_text(toml)
        return tmp_path

    return write


def balanced(dogs, labels=("food", "none"), *, each=1):
    return [(f"dog{n}", label) for n, label, _ in product(range(dogs), labels, range(each))]


def test_a_sound_design_says_what_it_can_show(lay_out):
    found = canemo.check_study(lay_out(balanced(7)))
    assert found.problems == ()
    assert found.can_conclude
    assert found.verdict == (
        "7 dogs with 2 clips each can show a balanced accuracy of 89 % or more, in four of five "
        "studies (guessing gives 50 %)."
    )
    assert [(each.label, each.clips, each.subjects) for each in found.design.conditions] == [
        ("food", 7, 7),
        ("none", 7, 7),
    ]
    assert found.design.total.seconds == pytest.approx(0.014)
    content = found.to_dict()
    assert json.loads(json.dumps(content, allow_nan=False)) == content


@pytest.mark.parametrize(
    ("clips", "reason"),
    [
        (
            [("a", "x"), ("b", "y"), ("c", "x"), ("d", "y")],
            "dog and condition cannot be told apart",
        ),
        ([("a", "x"), ("a", "y")], "all clips are of one dog, “a”"),
        ([("a", "x"), ("b", "x")], "all clips are labelled “x”"),
        (
            balanced(5),
            "5 dogs with 2 clips each are too few: even with every clip classified rightly, p",
        ),
    ],
)
def test_a_design_that_cannot_work_says_why(lay_out, clips, reason):
    found = canemo.check_study(lay_out(clips))
    assert not found.can_conclude
    assert found.detectable is None
    assert found.verdict.startswith("Nothing can be concluded about the condition: ")
    assert reason in found.verdict


def test_it_speaks_of_the_animals_that_are_studied(lay_out):
    found = canemo.check_study(lay_out(balanced(7), toml='[study]\nspecies = "generic"\n'))
    assert found.verdict.startswith("7 animals with 2 clips each")
    assert "Animals" in found.describe()


def test_settings_that_cannot_be_read_are_a_problem_like_others(lay_out):
    found = canemo.check_study(lay_out(balanced(7), toml="[crop\n"))
    (problem,) = found.errors
    assert problem.file == "canemo.toml"
    assert found.can_conclude
    assert "%" not in found.verdict
    assert found.verdict.endswith("can show is said here once the errors are mended.")
    assert found.to_dict()["detectable"] is None


def test_names_that_may_be_misspelled_are_named_with_the_number_that_counts_them(lay_out):
    clips = [*balanced(7), ("Bella", "food"), ("Bella", "none"), ("Bela", "food")]
    verdict = canemo.check_study(lay_out(clips)).verdict
    assert verdict.startswith("9 dogs, 8 of them filmed in")
    assert verdict.endswith(" This takes “Bela” as spelled rightly.")


def test_without_a_table_there_is_no_design(tmp_path):
    found = canemo.check_study(tmp_path)
    assert found.design is None
    assert not found.can_conclude
    assert found.problems == inspect_study(tmp_path).problems


def test_a_camera_that_goes_with_the_condition_is_said_in_one_sentence(lay_out):
    clips = [(dog, label, {"food": "A", "none": "B"}[label]) for dog, label in balanced(7)]
    found = canemo.check_study(lay_out(clips, header=",camera"))
    assert found.verdict == (
        "Nothing can be concluded about the condition: “camera” and condition cannot be told "
        "apart: “A” only with “food” and “B” only with “none”."
    )


def test_a_word_for_the_condition_is_asked_about_and_no_obstacle(lay_out):
    clips = [(dog, label, label[0]) for dog, label in balanced(7)]
    found = canemo.check_study(lay_out(clips, header=",valence"))
    assert found.can_conclude
    (problem,) = found.problems
    assert (problem.severity, problem.column) == ("warning", "valence")
    assert "“f” only with “food”" in problem.seen


def test_files_of_another_picture_size_for_each_condition_are_seen(lay_out):
    root = lay_out(balanced(7, each=2))
    write_clip(
        root / "other.mp4",
        frames=10,
        size=(48, 32),
        draw=lambda n: draw_number(n, width=48, height=32),
    )
    rows = (root / "videos.csv").read_text().splitlines()
    rows = [row.replace("clip.mp4", "other.mp4") if ",none," in row else row for row in rows]
    (root / "videos.csv").write_text("\n".join(rows) + "\n")
    found = canemo.check_study(root)
    assert "“picture size” and condition cannot be told apart" in found.verdict


def test_run_says_it_up_front(lay_out, caplog):
    study = canemo.load_study(lay_out(balanced(5)))
    warn_of_design(study, DOG)
    (record,) = caplog.records
    assert record.message.startswith("Nothing can be concluded about the condition: 5 dogs with 2")


def test_run_says_nothing_of_a_sound_design(lay_out, caplog):
    warn_of_design(canemo.load_study(lay_out(balanced(7))), DOG)
    assert caplog.records == []


def test_many_dogs_of_one_condition_are_one_line(lay_out):
    alone = [(f"alone{n}", "food") for n in range(5)]
    found = canemo.check_study(lay_out([*balanced(7), *alone]))
    (problem,) = found.problems
    assert problem.seen.startswith("5 animals have videos of one condition only: 'alone0', 'al")
    assert found.verdict.startswith("12 dogs, 7 of them filmed in more than one condition, with 1")
