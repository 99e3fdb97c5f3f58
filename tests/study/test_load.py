"""A small sound study, and every way to get one wrong."""

from __future__ import annotations

import shutil
import unicodedata
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from canemo.errors import OutputExistsError, StudyError
from canemo.formats.tables import Problem
from canemo.study.check import inspect_study
from canemo.study.load import load_study
from canemo.study.propose import propose_videos, write_videos
from canemo.video.info import VideoInfo, probe_video
from clips import draw_number, write_clip, write_sound

HEADER = "video_id,path,subject_id,label"
ROWS = [
    "rex_a,clips/rex a.mp4,rex,anticipation",
    "rex_f,clips/rex f.mp4,rex,frustration",
    "zoë_a,clips/zoë a.mp4,zoë,anticipation",
    "zoë_f,clips/zoë f.mp4,zoë,frustration",
]


@pytest.fixture(scope="session")
def sound_study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("sound")
    (root / "clips").mkdir()
    for number, row in enumerate(ROWS):
        write_clip(
            root / row.split(",")[1],
            frames=25,
            size=(32, 32),
            draw=lambda _, shade=40 * number: draw_number(shade, width=32, height=32),
        )
    write_table(root, "videos.csv", [HEADER, *ROWS])
    return root


@pytest.fixture
def root(sound_study: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(sound_study, tmp_path / "study"))


def write_table(root: Path, name: str, lines: list[str]) -> None:
    (root / name).write_text("\n".join(lines) + "\n", encoding="utf-8")


def change_row(root: Path, number: int, old: str, new: str) -> None:
    """Change one line of videos.csv, counted as in a problem."""
    lines = (root / "videos.csv").read_text(encoding="utf-8").splitlines()
    assert old in lines[number - 1]
    lines[number - 1] = lines[number - 1].replace(old, new)
    write_table(root, "videos.csv", lines)


def add_columns(root: Path, header: str, cells: list[str]) -> None:
    rows = [f"{row},{more}" for row, more in zip(ROWS, cells, strict=True)]
    write_table(root, "videos.csv", [f"{HEADER},{header}", *rows])


def find_problems(root: Path) -> list[Problem]:
    return list(inspect_study(root).problems)


def only_problem(root: Path) -> Problem:
    problems = find_problems(root)
    assert len(problems) == 1, [str(problem) for problem in problems]
    return problems[0]


def where(problem: Problem) -> tuple[str, str, int | None, str | None]:
    return problem.severity, problem.file, problem.row, problem.column


# -- loading --------------------------------------------------------------------------------------


def test_sound_study_loads_and_has_no_problems(sound_study: Path) -> None:
    study = load_study(sound_study)
    assert study.root == sound_study
    assert study.labels == ("anticipation", "frustration")
    assert study.subject_ids == ("rex", "zoë")
    assert study.subjects is None
    first = study.videos[0]
    assert first.video_id == "rex_a"
    assert first.path == sound_study / "clips" / "rex a.mp4"
    assert (first.start_s, first.end_s, dict(first.extra)) == (None, None, {})
    assert find_problems(sound_study) == []


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_every_form_of_csv_reads_the_same(
    root: Path, separator: str, line_end: str, encoding: str
) -> None:
    expected = load_study(root)
    text = line_end.join([HEADER, *ROWS, ""]).replace(",", separator)
    (root / "videos.csv").write_bytes(text.encode(encoding))
    assert load_study(root) == expected


def test_cells_are_stripped_blank_lines_skipped_and_quotes_understood(root: Path) -> None:
    expected = load_study(root)
    lines = [HEADER.replace(",", " , "), "", *[row.replace(",", " , ") for row in ROWS], ",,,"]
    lines[2] = '"rex_a","clips/rex a.mp4",rex,"anticipation "'
    write_table(root, "videos.csv", lines)
    assert load_study(root) == expected


def test_times_and_further_columns(root: Path) -> None:
    add_columns(root, "session,start_s,end_s", ["1,0.2,0.8", ",,", "x y,0.25,", "2,,0.5"])
    videos = load_study(root).videos
    assert [(video.start_s, video.end_s) for video in videos] == [
        (0.2, 0.8),
        (None, None),
        (0.25, None),
        (None, 0.5),
    ]
    assert [dict(video.extra) for video in videos] == [
        {"session": "1"},
        {"session": ""},
        {"session": "x y"},
        {"session": "2"},
    ]
    assert find_problems(root) == []


def test_decimal_comma_counts_where_commas_do_not_separate(root: Path) -> None:
    rows = [row.replace(",", ";") + ";0,25" for row in ROWS]
    write_table(root, "videos.csv", [HEADER.replace(",", ";") + ";start_s", *rows])
    assert {video.start_s for video in load_study(root).videos} == {0.25}


def test_accents_written_in_two_ways_are_one_subject_and_one_file(root: Path) -> None:
    decomposed = unicodedata.normalize("NFD", "zoë")
    assert decomposed != "zoë"
    change_row(root, 4, "zoë", decomposed)
    clip = root / "clips" / "zoë f.mp4"
    clip.rename(clip.with_name(unicodedata.normalize("NFD", clip.name)))
    assert load_study(root).subject_ids == ("rex", "zoë")
    assert find_problems(root) == []


def test_paths_written_on_windows_and_absolute_paths(root: Path) -> None:
    change_row(root, 2, "clips/rex a.mp4", "clips\\rex a.mp4")
    change_row(root, 3, "clips/rex f.mp4", str(root / "clips" / "rex f.mp4"))
    study = load_study(root)
    assert study.videos[0].path == root / "clips" / "rex a.mp4"
    assert study.videos[1].path == root / "clips" / "rex f.mp4"
    assert find_problems(root) == []


def test_subjects_are_indexed_by_text_and_typed_by_column(root: Path) -> None:
    change_row(root, 2, ",rex,", ",007,")
    change_row(root, 3, ",rex,", ",007,")
    lines = ["subject_id,sex,age_years,chip,litter", "zoë,f,2.5,0071,3", "007,,NA,12,4"]
    write_table(root, "subjects.csv", lines)
    subjects = load_study(root).subjects
    assert subjects is not None
    assert list(subjects.index) == ["zoë", "007"]
    assert subjects.index.name == "subject_id"
    assert subjects.loc["zoë", "age_years"] == 2.5
    assert pd.isna(subjects.loc["007", "age_years"])
    assert pd.isna(subjects.loc["007", "sex"])
    assert list(subjects["chip"]) == ["0071", "12"]
    assert list(subjects["litter"]) == [3.0, 4.0]
    assert find_problems(root) == []


def test_loading_does_not_open_videos(root: Path) -> None:
    (root / "clips" / "rex a.mp4").unlink()
    assert len(load_study(root).videos) == 4


def test_loading_lists_every_error_of_the_tables_at_once(root: Path) -> None:
    change_row(root, 2, "rex_a", "")
    change_row(root, 3, "frustration", "")
    change_row(root, 5, "zoë_f", "zoë_a")
    with pytest.raises(StudyError) as caught:
        load_study(root)
    message = str(caught.value)
    assert message.startswith(f"{root}: the study's tables cannot be used:")
    assert "videos.csv, row 2, column video_id: the cell is empty" in message
    assert "videos.csv, row 3, column label: the cell is empty" in message
    assert "videos.csv, row 5, column video_id: 'zoë_a' is already in row 4" in message


def test_long_lists_of_errors_are_cut(root: Path) -> None:
    write_table(root, "videos.csv", [HEADER, *[f"v{n},a.mp4,rex," for n in range(30)]])
    with pytest.raises(StudyError, match="and 20 more; `canemo check` lists them all"):
        load_study(root)


def test_problem_is_one_line() -> None:
    problem = Problem("error", "videos.csv", 3, "label", "the cell is empty", "a label")
    assert str(problem) == "error: videos.csv, row 3, column label: the cell is empty; a label"
    whole = Problem("warning", "videos.csv", None, None, "holds no rows", "at least one row")
    assert str(whole) == "warning: videos.csv: holds no rows; at least one row"


# -- tables that cannot be used -------------------------------------------------------------------


def remove_table(root: Path) -> None:
    (root / "videos.csv").unlink()


def write_latin(root: Path) -> None:
    (root / "videos.csv").write_bytes("\n".join([HEADER, *ROWS]).encode("latin-1"))


def replace_by_folder(root: Path) -> None:
    remove_table(root)
    (root / "videos.csv").mkdir()


def lines(*content: str) -> Callable[[Path], None]:
    return lambda root: write_table(root, "videos.csv", list(content))


def subjects(*content: str) -> Callable[[Path], None]:
    return lambda root: write_table(root, "subjects.csv", list(content))


def row_change(number: int, old: str, new: str) -> Callable[[Path], None]:
    return lambda root: change_row(root, number, old, new)


def columns(header: str, *cells: str) -> Callable[[Path], None]:
    return lambda root: add_columns(root, header, list(cells))


@pytest.mark.parametrize(
    ("spoil", "row", "column", "message"),
    [
        (remove_table, None, None, "4 videos and no videos.csv.*canemo init"),
        (replace_by_folder, None, None, "cannot be read"),
        (write_latin, None, None, "is not UTF-8 text; save it as"),
        (lines(HEADER), None, None, "holds no rows; at least one"),
        (lines(HEADER, '"rex_a,x'), None, None, "is not CSV"),
        (
            lines("Video ID,path,subject_id,label", *ROWS),
            None,
            "video_id",
            "no such column, only Video ID.*; rename 'Video ID' to 'video_id'",
        ),
        (
            lines("video_id,path,subject_id,breed", *ROWS),
            None,
            "label",
            "no such column.*; add a column 'label'",
        ),
        *(
            (lines(HEADER.replace(name, other), *ROWS), None, name, f"rename '{other}' to '{name}'")
            for name, other in (
                ("subject_id", "Name"),
                ("subject_id", "Hund"),
                ("label", "Condition"),
                ("path", "video"),
                ("video_id", "Clip_ID"),
            )
        ),
        (lines(HEADER + ",label", *ROWS), None, "label", "more than once"),
        (row_change(3, "rex_f", ""), 3, "video_id", "the cell is empty"),
        (row_change(3, ",rex,", ",,"), 3, "subject_id", "the cell is empty"),
        (row_change(3, "rex_f", "rex_a"), 3, "video_id", "'rex_a' is already in row 2"),
        (row_change(3, "rex_f", "REX_A"), 3, "video_id", "differs only in case from 'rex_a'"),
        (row_change(3, "rex_f", "rex/f"), 3, "video_id", "'rex/f' contains '/'"),
        (row_change(3, "rex_f", ".rex"), 3, "video_id", "starts or ends with a dot"),
        (row_change(3, "rex_f", "con"), 3, "video_id", "Windows reserves"),
        (row_change(3, "rex_f", "r" * 200), 3, "video_id", "is longer than 150 bytes"),
        (row_change(3, "frustration", "frustration,x"), 3, None, "5 cells under 4 columns"),
        (columns("start_s", "", "soon", "", ""), 3, "start_s", "'soon' is not a time"),
        (columns("start_s", "", "-1", "", ""), 3, "start_s", "'-1' is not a time"),
        (columns("end_s", "", "inf", "", ""), 3, "end_s", "'inf' is not a time"),
        (columns("start_s,end_s", ",", "0.5,0.5", ",", ","), 3, "end_s", "0.5 is not after"),
    ],
)
def test_bad_videos_table_is_an_error_with_its_row(
    root: Path, spoil: Callable[[Path], None], row: int | None, column: str | None, message: str
) -> None:
    spoil(root)
    with pytest.raises(StudyError, match=message):
        load_study(root)
    problems = find_problems(root)
    assert ("error", "videos.csv", row, column) in [where(problem) for problem in problems]
    assert not [problem for problem in problems if "\n" in str(problem)]


@pytest.mark.parametrize(
    ("spoil", "file", "row", "column", "message"),
    [
        (subjects("name,sex", "rex,m"), "subjects.csv", None, "subject_id", "no such column"),
        (subjects("subject_id,sex"), "subjects.csv", None, None, "holds no rows"),
        (subjects("subject_id", "rex", "zoë", "rex"), "subjects.csv", 4, "subject_id", "already"),
        (
            subjects("subject_id,age_years", "rex,old", "zoë,3"),
            "subjects.csv",
            2,
            "age_years",
            "'old' is not a number",
        ),
        (
            subjects("subject_id", "rex", "zoe"),
            "videos.csv",
            4,
            "subject_id",
            "'zoë' is not in subjects.csv; .*did you mean 'zoe'",
        ),
    ],
)
def test_bad_subjects_table_is_an_error_with_its_row(
    root: Path,
    spoil: Callable[[Path], None],
    file: str,
    row: int | None,
    column: str,
    message: str,
) -> None:
    spoil(root)
    with pytest.raises(StudyError, match=message):
        load_study(root)
    assert where(find_problems(root)[0]) == ("error", file, row, column)


def test_row_numbers_are_those_of_the_file(root: Path) -> None:
    text = "\n".join([HEADER + ",note", "", ROWS[0] + ',"two\nlines"', "rex_f,x.mp4,rex,,"])
    (root / "videos.csv").write_text(text, encoding="utf-8")
    with pytest.raises(StudyError, match="row 5, column label: the cell is empty"):
        load_study(root)


def test_subject_without_a_video_is_a_warning(root: Path) -> None:
    write_table(root, "subjects.csv", ["subject_id", "rex", "zoë", "bo"])
    problem = only_problem(root)
    assert where(problem) == ("warning", "subjects.csv", 4, "subject_id")
    assert load_study(root).subjects is not None


# -- files ----------------------------------------------------------------------------------------


def test_missing_file_is_an_error_that_names_a_likely_one(root: Path) -> None:
    change_row(root, 2, "rex a.mp4", "Rex a.MP4")
    problem = only_problem(root)
    assert where(problem) == ("error", "videos.csv", 2, "path")
    assert "there is no file" in problem.seen
    assert "did you mean 'rex a.mp4'?" in problem.wanted


def test_file_of_another_row_is_not_what_a_missing_one_meant(root: Path) -> None:
    (root / "clips" / "rex a.mp4").unlink()
    problem = only_problem(root)
    assert "there is no file" in problem.seen
    assert "did you mean" not in problem.wanted


@pytest.mark.parametrize("form", ["jpeg", "png"])
def test_photograph_named_like_a_film_is_a_warning(root: Path, form: str) -> None:
    Image.new("RGB", (64, 48)).save(root / "clips" / "rex a.mp4", format=form)
    problem = only_problem(root)
    assert where(problem) == ("warning", "videos.csv", 2, "path")
    assert problem.seen == "'clips/rex a.mp4' is one picture, whatever it is called"


@pytest.mark.parametrize(
    ("make", "seen"),
    [
        (lambda path: path.write_bytes(b""), "is empty (0 bytes)"),
        (lambda path: path.write_text("hello\n" * 99), "is not a video"),
        (lambda path: shutil.copy(write_sound(path.with_suffix(".m4a")), path), "only sound"),
    ],
)
def test_unreadable_file_is_an_error(root: Path, make: Callable[[Path], object], seen: str) -> None:
    make(root / "clips" / "rex a.mp4")
    problem = only_problem(root)
    assert where(problem) == ("error", "videos.csv", 2, "path")
    assert seen in problem.seen


def test_cell_that_no_path_can_be_is_an_error(root: Path) -> None:
    change_row(root, 2, "clips/rex a.mp4", "x" * 5000)
    assert where(only_problem(root)) == ("error", "videos.csv", 2, "path")


def test_part_behind_the_end(root: Path) -> None:
    add_columns(root, "start_s,end_s", ["1.0,", ",1.2", ",9", ","])
    start, end = find_problems(root)
    assert where(start) == ("error", "videos.csv", 2, "start_s")
    assert where(end) == ("warning", "videos.csv", 4, "end_s")
    assert "1.00 s long" in start.wanted


def test_same_file_twice_is_an_error_unless_the_parts_lie_apart(root: Path) -> None:
    extra = "rex_b,clips/rex a.mp4,rex,frustration"
    write_table(root, "videos.csv", [HEADER, *ROWS, extra])
    problem = only_problem(root)
    assert where(problem) == ("error", "videos.csv", 6, "path")
    assert "shows the same pictures as row 2" in problem.seen
    rows = [f"{row},," for row in ROWS[1:]]
    apart = [f"{ROWS[0]},0,0.5", *rows, f"{extra},0.5,1"]
    write_table(root, "videos.csv", [f"{HEADER},start_s,end_s", *apart])
    assert find_problems(root) == []
    across = [f"{ROWS[0]},0,0.6", *rows, f"{extra},0.5,1"]
    write_table(root, "videos.csv", [f"{HEADER},start_s,end_s", *across])
    assert where(only_problem(root)) == ("error", "videos.csv", 6, "path")


def test_copy_under_another_name_is_found_by_content(root: Path) -> None:
    shutil.copy(root / "clips" / "rex a.mp4", root / "clips" / "zoë f.mp4")
    problem = only_problem(root)
    assert where(problem) == ("error", "videos.csv", 5, "path")
    assert "row 2" in problem.seen


# -- design ---------------------------------------------------------------------------------------


def test_one_label_only(root: Path) -> None:
    change_row(root, 3, "frustration", "anticipation")
    change_row(root, 5, "frustration", "anticipation")
    problem = only_problem(root)
    assert where(problem) == ("error", "videos.csv", None, "label")
    assert problem.wanted == "at least two conditions"


def test_one_subject_only(root: Path) -> None:
    change_row(root, 4, ",zoë,", ",rex,")
    change_row(root, 5, ",zoë,", ",rex,")
    problem = only_problem(root)
    assert where(problem) == ("error", "videos.csv", None, "subject_id")
    assert "all videos are of 'rex'" in problem.seen


def test_label_with_one_subject_and_subject_with_one_label(root: Path) -> None:
    change_row(root, 5, "frustration", "anticipation")
    label, subject = find_problems(root)
    assert where(label) == ("error", "videos.csv", None, "label")
    assert "'frustration' occurs with one animal only, 'rex'" in label.seen
    assert where(subject) == ("warning", "videos.csv", None, "subject_id")
    assert "'zoë' has videos of one condition only, 'anticipation'" in subject.seen


@pytest.mark.parametrize(
    ("number", "old", "new", "column"),
    [(5, "frustration", "Frustration", "label"), (3, ",rex,", ",Rex,", "subject_id")],
)
def test_two_spellings_are_a_warning(
    root: Path, number: int, old: str, new: str, column: str
) -> None:
    change_row(root, number, old, new)
    spelling = [problem for problem in find_problems(root) if "looks like" in problem.seen]
    assert [where(problem) for problem in spelling] == [("warning", "videos.csv", number, column)]


def test_all_problems_are_reported_at_once(root: Path) -> None:
    change_row(root, 2, "rex_a", "rex:a")
    change_row(root, 3, "rex f.mp4", "gone.mp4")
    change_row(root, 4, "anticipation", "")
    assert {(problem.row, problem.column) for problem in find_problems(root)} >= {
        (2, "video_id"),
        (3, "path"),
        (4, "label"),
    }


# -- proposing ------------------------------------------------------------------------------------


def make_files(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def test_names_are_taken_apart(tmp_path: Path) -> None:
    make_files(tmp_path, "rex_play_1.mp4", "day 2/Zoë_wait_12.MP4", "notes.txt", "other.mp4")
    proposal = propose_videos(tmp_path, "{subject_id}_{label}_{take}.mp4")
    assert list(proposal.table.columns) == ["video_id", "path", "subject_id", "label", "take"]
    assert proposal.table.to_numpy().tolist() == [
        ["Zoë_wait_12", "day 2/Zoë_wait_12.MP4", "Zoë", "wait", "12"],
        ["rex_play_1", "rex_play_1.mp4", "rex", "play", "1"],
    ]
    assert proposal.unmatched == ("other.mp4",)


def test_folders_in_the_pattern_and_ids_that_stay_unique(tmp_path: Path) -> None:
    make_files(tmp_path, "a/rex/play_1.mp4", "a/bo/play_1.mp4", "a/bo/wait_1.mp4")
    table = propose_videos(tmp_path, "{subject_id}/{label}_{take}.mp4").table
    assert table[["video_id", "subject_id", "label"]].to_numpy().tolist() == [
        ["a_bo_play_1", "bo", "play"],
        ["wait_1", "bo", "wait"],
        ["a_rex_play_1", "rex", "play"],
    ]


def test_same_name_with_two_endings_gets_two_ids(tmp_path: Path) -> None:
    make_files(tmp_path, "rex_play.mp4", "rex_play.mov")
    table = propose_videos(tmp_path, "{subject_id}_{label}").table
    assert list(table["path"]) == ["rex_play.mov", "rex_play.mp4"]
    assert list(table["video_id"]) == ["rex_play", "rex_play_2"]


def test_field_ends_where_the_next_text_begins(tmp_path: Path) -> None:
    make_files(tmp_path, "rex_jr_play.mp4", "rex - jr - play.mp4", "rex-1 - play.mp4")
    proposal = propose_videos(tmp_path, "{subject_id} - {label}.mp4")
    # A label at the end may hold anything, the subject not the text behind it.
    assert proposal.table[["subject_id", "label"]].to_numpy().tolist() == [
        ["rex", "jr - play"],
        ["rex-1", "play"],
    ]
    assert proposal.unmatched == ("rex_jr_play.mp4",)
    strict = propose_videos(tmp_path, "{subject_id}_{label}_{take}.mp4")
    assert strict.table[["subject_id", "label"]].to_numpy().tolist() == [["rex", "jr"]]


def test_repeated_field_must_agree(tmp_path: Path) -> None:
    make_files(tmp_path, "rex/rex_play.mp4", "rex/bo_play.mp4")
    proposal = propose_videos(tmp_path, "{subject_id}/{subject_id}_{label}.mp4")
    assert list(proposal.table["path"]) == ["rex/rex_play.mp4"]
    assert proposal.unmatched == ("rex/bo_play.mp4",)


def test_what_canemo_makes_and_hidden_files_are_left_out(tmp_path: Path) -> None:
    make_files(tmp_path, "runs/a_b.mp4", "cache/a_b.mp4", ".trash/a_b.mp4", "._a_b.mp4")
    make_files(tmp_path, "day/runs/a_b.mp4")
    proposal = propose_videos(tmp_path, "{subject_id}_{label}.mp4")
    assert list(proposal.table["path"]) == ["day/runs/a_b.mp4"]
    assert proposal.unmatched == ()


def test_nothing_matches(tmp_path: Path) -> None:
    make_files(tmp_path, "clip.mp4")
    with pytest.raises(StudyError, match=r"none of the 1 videos .* has such a name"):
        propose_videos(tmp_path, "{subject_id}_{label}.mp4")


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("{subject_id}.mp4", r"it lacks \{label\}; say where"),
        ("clip.mp4", r"it lacks \{subject_id\} and \{label\}"),
        ("{subject_id}{label}.mp4", "two fields touch"),
        ("{subject_id}_{label}_{}.mp4", r"\{\} cannot be a field"),
        ("{subject_id}_{label}_{my take}.mp4", r"\{my take\} cannot be a field"),
        ("{subject_id}_{label}_{path}.mp4", r"\{path\} cannot be a field"),
        ("{subject_id}_{label}_{take.mp4", "a brace is not closed"),
        ("{subject_id}_{label}}.mp4", "a brace is not closed"),
    ],
)
def test_pattern_that_cannot_be_used(tmp_path: Path, pattern: str, message: str) -> None:
    make_files(tmp_path, "clip.mp4")
    with pytest.raises(StudyError, match=message):
        propose_videos(tmp_path, pattern)


def test_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="there is no such folder"):
        propose_videos(tmp_path / "gone", "{subject_id}_{label}.mp4")


# -- writing --------------------------------------------------------------------------------------


def test_proposal_written_and_loaded_is_the_same(tmp_path: Path) -> None:
    make_files(tmp_path, 'Zoë, "Z"_play_1.mp4', "007_wait_2.mp4")
    table = propose_videos(tmp_path, "{subject_id}_{label}_{take}.mp4").table
    path = write_videos(table, tmp_path)
    assert path == tmp_path / "videos.csv"
    videos = {video.subject_id: video for video in load_study(tmp_path).videos}
    assert set(videos) == {"007", 'Zoë, "Z"'}
    assert videos["007"].path == tmp_path / "007_wait_2.mp4"
    assert dict(videos["007"].extra) == {"take": "2"}
    assert len(list(tmp_path.iterdir())) == 3


def test_existing_table_is_replaced_only_by_force(root: Path) -> None:
    before = (root / "videos.csv").read_bytes()
    table = pd.DataFrame([["a", "a.mp4", "rex", "play"]], columns=HEADER.split(","))
    with pytest.raises(OutputExistsError, match="exists already; move it away"):
        write_videos(table, root)
    assert (root / "videos.csv").read_bytes() == before
    write_videos(table, root, force=True)
    assert (root / "videos.csv").read_text("utf-8-sig") == f"{HEADER}\na,a.mp4,rex,play\n"


def test_table_that_is_no_videos_table_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="no column label; add it"):
        write_videos(pd.DataFrame(columns=["video_id", "path", "subject_id"]), tmp_path)
    with pytest.raises(StudyError, match="has no rows"):
        write_videos(pd.DataFrame(columns=HEADER.split(",")), tmp_path)
    table = pd.DataFrame([["a", "a.mp4", "rex", "play"]], columns=HEADER.split(","))
    with pytest.raises(StudyError, match="there is no such folder"):
        write_videos(table, tmp_path / "gone")
    assert list(tmp_path.iterdir()) == []


def test_files_with_impossible_rates_are_one_warning(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def probe(path: Path) -> VideoInfo:
        info = probe_video(path)
        return replace(info, fps=Fraction(1800)) if path.name.startswith("rex") else info

    monkeypatch.setattr("canemo.study.check.probe_video", probe)
    problem = only_problem(root)
    assert where(problem) == ("warning", "videos.csv", None, "path")
    assert "2 files state more than 1,000 pictures per second" in problem.seen
    assert "'clips/rex a.mp4' (1,800)" in problem.seen


def test_study_says_itself_that_its_animals_are_drawn(tmp_path: Path) -> None:
    (tmp_path / "videos.csv").write_text("video_id,path,subject_id,label\na,a.mp4,rex,x\n")
    assert not load_study(tmp_path).drawn
    truth = tmp_path / "truth.json"
    for text, drawn in (
        ("{", False),
        ("[]", False),
        ('{"drawn": 1}', False),
        ('{"drawn": true}', True),
    ):
        truth.write_text(text)
        assert load_study(tmp_path).drawn is drawn
