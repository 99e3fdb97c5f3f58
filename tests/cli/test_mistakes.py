"""What is said where something else is given than a command wants: before any work, in one line."""

import errno
import re
from pathlib import Path

import pytest

from canemo.study.patterns import guess_pattern

NAMES = [f"{dog}_{label}_{n}.mp4" for dog in ("Rex", "Luna") for label in "ab" for n in "12"]


@pytest.fixture
def places(tmp_path, monkeypatch):
    """A study `s` with two runs, a comparison and videos, one without runs, and other places."""
    monkeypatch.chdir(tmp_path)
    for folder in ("s/clips", "s/runs/one/model", "s/runs/two", "s/comparisons/c", "new", "empty"):
        Path(folder).mkdir(parents=True)
    for name in NAMES:
        Path("s/clips", name).touch()
    for run in ("one", "two"):
        Path("s/runs", run, "metrics.json").touch()
    Path("s/comparisons/c/comparison.json").touch()
    Path("s/hollow").mkdir()
    rows = [f"{name[:-4]},clips/{name},{name.split('_')[0]},{name.split('_')[1]}" for name in NAMES]
    table = "\n".join(["video_id,path,subject_id,label", *rows])
    for folder in ("s", "new"):
        Path(folder, "videos.csv").write_text(table)
    Path("note.txt").write_text("x")
    return tmp_path


def refused(canemo, line, *, before="INFO"):
    """Return the one line with which a command is refused."""
    code, _, err = canemo(*line.split())
    assert code == 1
    assert err.startswith("error: ")
    assert before not in err  # no backbone was looked for
    assert "run again" not in err
    return err.removeprefix("error: ").strip()


@pytest.mark.parametrize(
    "command",
    ["crop", "embed", "evaluate", "run", "run --dry-run", "compare", "frames", "audit"],
)
@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("s/clips/Rex_a_1.mp4", "this is a video, not the folder of a study; give s"),
        ("s/videos.csv", "this is a table, not the folder of a study; give s"),
        ("s/clips", "this is not a study; give s"),
        ("nowhere", "there is no such folder; give the folder of a study"),
        ("empty", "this folder is empty; give the folder of a study, which has a videos.csv"),
        ("s/hollow", "this folder is empty; give the folder of a study, which"),
        ("note.txt", "this is a file, not the folder of a study; give the folder"),
    ],
)
def test_what_is_no_study_is_named_and_what_to_give_instead(canemo, places, command, place, said):
    assert refused(canemo, f"{command} {place}").startswith(f"{place}: {said}")


def test_check_names_the_place_and_not_the_table_where_there_is_no_folder(canemo, places):
    for place, said in {
        "stduy": "there is no such folder",
        "note.txt": "this is a file, not the folder",
    }.items():
        code, out, _ = canemo("check", place)
        assert code == 1
        assert out.startswith(f"error: {place}: {said}")


def test_a_run_given_for_a_study_leads_to_its_study(canemo, places):
    said = refused(canemo, "run s/runs/one")
    assert said.startswith("s/runs/one: this is a run of a study, not a study; give s")


def test_a_folder_of_videos_without_a_table_leads_to_init(canemo, places):
    Path("s/videos.csv").unlink()
    said = refused(canemo, "run s")
    assert said.startswith("s: there are 8 videos and no videos.csv")
    assert "`canemo init s`" in said
    code, out, _ = canemo("check", "s")
    assert code == 1
    assert "`canemo init" in out


@pytest.mark.parametrize(
    "command",
    ["explain {}", "report {}", "verify {}", "export {} --bundle b.zip", "compare s/runs/one {}"],
)
@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("s", "this is a study, not a run of it; give one of its runs: s/runs/one, s/runs/two"),
        ("s/runs", "this is the folder of all runs; give one of them: s/runs/one, s/runs/two"),
        ("new", "this is a study without a finished run; make one with `canemo run new`"),
        ("s/runs/one/model", "this is a part of a run; give the run, s/runs/one"),
        ("s/comparisons/c", "this is a comparison, not a run; give the folder of a finished run"),
        ("nowhere", "there is nothing of that name; give the folder of a finished run"),
    ],
)
def test_what_is_no_run_is_named_and_the_runs_there_are(canemo, places, command, place, said):
    assert refused(canemo, command.format(place)).startswith(f"{place}: {said}")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("crop s --sheet x.txt", "x.txt: the name of this file must end in .png"),
        ("crop s --sheet empty", "empty: the name of this file must end in .png"),
        ("crop s --sheet note.txt/x.png", "note.txt is a file; name a folder"),
        ("report s/runs/one --tables x.pdf", "x.pdf: the name of this file must end in .xlsx or"),
        ("export s/runs/one", "export: say what to write, e.g. --bundle run.zip"),
        ("detector import gone.json s", "gone.json: there is no such file"),
        ("detector import note.txt s", "a file that an annotation tool exported is wanted"),
        ("detector evaluate --coco gone.json", "gone.json: there is no such file"),
        ("frames s --out note.txt", "note.txt is a file; name a folder"),
        ("explain s/runs/one --out note.txt", "note.txt is a file; name a folder"),
    ],
)
def test_files_that_cannot_be_read_or_written_are_refused_at_once(canemo, places, line, said):
    (places / "s" / "clips").rename(places / "away")  # nothing can be looked at
    assert said in refused(canemo, line)


@pytest.mark.parametrize("command", ["crop s", "embed s", "run s", "evaluate s", "frames s"])
def test_a_place_where_nothing_can_be_written_is_said_before_any_work(
    canemo, places, monkeypatch, command
):
    def refuse(**_):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr("canemo.files.TemporaryFile", refuse)
    said = refused(canemo, command)
    assert re.search("nothing can be written into .*s .Permission denied.; name another", said)


@pytest.mark.parametrize(
    ("number", "said", "again"),
    [
        (errno.EACCES, "ask for the right to, or name another place", False),
        (errno.EROFS, "ask for the right to, or name another place", False),
        (errno.EISDIR, "name another place", False),
        (errno.ENOSPC, "make room, and run again to continue", True),
        (errno.EIO, "what was finished is kept, run again to continue", True),
    ],
)
def test_running_again_is_advised_only_where_it_can_help(
    canemo, places, monkeypatch, number, said, again
):
    def fail(*_, **__):
        raise OSError(number, "it failed", "s/cache/x")

    monkeypatch.setattr("canemo.pipeline.run.crop_videos", fail)
    code, _, err = canemo("crop", "s", "--detector", "whole_frame")
    assert code == 1
    assert "error: s/cache/x: it failed; " in err
    assert said in err
    assert ("run again" in err) is again


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        ("{subject_id}-{label}.mp4", "none of the 8 videos in s has such a name"),
        ("{subject_id}_{lable}_{take}.mp4", "it lacks {label} (do you mean {label} by {lable}?)"),
        ("{subject}_{label}_{take}.mp4", "(do you mean {subject_id} by {subject}?)"),
        ("{dog}_{label}_{take}.mp4", "(do you mean {subject_id} by {dog}?)"),
        ("{subject_id}_{Condition}_{take}.mp4", "(do you mean {label} by {Condition}?)"),
        ("{subject_id}_{take}.mp4", "it lacks {label}; going"),
        (None, "--pattern says how the names of the videos are made"),
    ],
)
def test_a_pattern_that_does_not_fit_leads_to_one_made_from_the_names(
    canemo, places, pattern, said
):
    Path("s/videos.csv").unlink()
    code, out, err = canemo("init", "s", *(["--pattern", pattern] if pattern else []))
    assert (code, out) == (1, "")
    assert said in err
    assert "try --pattern '{subject_id}_{label}_{take}.mp4': it reads 8 of 8" in err
    assert "as 'a' of 'Luna'" in err
    assert not Path("s/videos.csv").exists()


def test_init_says_what_it_wrote_and_what_is_next(canemo, places):
    Path("s/videos.csv").unlink()
    code, _, err = canemo("init", "s", "--pattern", "{subject_id}_{label}_{take}.mp4")
    assert code == 0
    assert "8 videos in s/videos.csv, 0 left out; next: canemo check s" in err


def test_init_asks_about_names_in_the_table_that_it_writes(canemo, places):
    Path("s/videos.csv").unlink()
    Path("s/clips/Lunna_a_1.mp4").touch()
    code, _, err = canemo("init", "s", "--xlsx", "--pattern", "{subject_id}_{label}_{take}.mp4")
    assert code == 0
    assert "warning: videos.xlsx, row 6, column subject_id: 'Lunna'" in err


def test_init_without_videos_says_what_a_video_is(canemo, places):
    assert "there is no video in it; names of videos end in .3gp" in refused(canemo, "init empty")
    said = refused(canemo, "init s/clips/Rex_a_1.mp4")
    assert said.endswith("this is a video; give the folder of the videos")


RIGHT = "{subject_id}_{label}_{take}.mp4"
NESTED = [f"{dog}/{label}_1.mp4" for dog in ("Rex", "Luna") for label in "ab"]
NUMBERED = ["1-a.mp4", "1-b.mp4", "2-a.mp4", "2-b.mp4", "3-a.mp4"]
MIXED = ["Rex a 1.mp4", "Rex b 1.mov", "Luna a 2.mp4", "Luna b 2.mp4"]


@pytest.mark.parametrize(
    ("paths", "pattern"),
    [
        ([f"x/{name}" for name in NAMES], RIGHT),
        ([*NAMES, "other.mp4"], RIGHT),
        (NESTED, "{subject_id}/{label}_1.mp4"),
        (NUMBERED, "{subject_id}-{label}.mp4"),
        (MIXED, "{subject_id} {label} {take}"),
        (["IMG_0001.mov", "IMG_0002.mov"], None),
        (["clip.mp4"], None),
        ([], None),
    ],
)
def test_patterns_are_guessed_from_names(paths, pattern):
    assert guess_pattern(paths) == pattern
