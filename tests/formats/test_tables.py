"""Every table that is read takes the forms in which spreadsheets and other programs write it."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from canemo.faces.annotations.frames_table import FrameTables
from canemo.faces.landmarks.tables import load_landmarks
from canemo.formats.boxes.via import read_via
from canemo.formats.delimited import TableFileError
from canemo.formats.events.reading import read_events
from canemo.formats.problems import Problems
from canemo.formats.tables import read_table, read_text
from canemo.records import Study, Video
from canemo.species import DOG
from canemo.study.load import load_study

Lines = Sequence[str]
Form = Callable[[Lines], bytes]


# -- how the same cells are written ----------------------------------------------------------------


def encode(lines: Lines, *, encoding: str = "utf-8", end: str = "\n") -> bytes:
    return end.join([*lines, ""]).encode(encoding)


def as_unicode_text(lines: Lines) -> bytes:
    """As Excel's "Unicode text": tabs, UTF-16."""
    return encode([line.replace(",", "\t") for line in lines], encoding="utf-16", end="\r\n")


def with_excels_first_line(lines: Lines) -> bytes:
    """As Excel writes it in half of Europe, decimal commas and all."""
    european = [line.replace(",", ";").replace(".", ",") for line in lines]
    return encode(["sep=;", *european], encoding="utf-8-sig", end="\r\n")


def with_a_quoted_first_line(lines: Lines) -> bytes:
    """As a spreadsheet writes it that took Excel's first line for a row."""
    return encode(['"sep=,",,,', *lines])


def with_a_rare_separator(lines: Lines) -> bytes:
    return encode(["SEP=|", *(line.replace(",", "|") for line in lines)])


def with_empty_columns(lines: Lines) -> bytes:
    return encode([f"{line},, ," for line in lines])


def with_ragged_empty_cells(lines: Lines) -> bytes:
    return encode([line + "," * (number % 3) for number, line in enumerate(lines)])


def with_marks_and_blanks(lines: Lines) -> bytes:
    return encode([line.replace(",", " , ") for line in lines], encoding="utf-8-sig", end="\r")


def with_quotes(lines: Lines) -> bytes:
    return encode([",".join(f'"{cell}"' for cell in line.split(",")) for line in lines])


FORMS = [
    as_unicode_text,
    with_excels_first_line,
    with_a_quoted_first_line,
    with_a_rare_separator,
    with_empty_columns,
    with_ragged_empty_cells,
    with_marks_and_blanks,
    with_quotes,
]


# -- what reads tables -----------------------------------------------------------------------------

VIDEOS = (
    "video_id,path,subject_id,label,start_s",
    "a,clips/a,zoë,calm,0.5",
    "b,clips/b,rex,happy,",
)
SUBJECTS = ("subject_id,age_years", "zoë,2.5", "rex,4")
FRAMES = ("file_name,video_id,frame_index,time_s", "x,a,7,0.28")
EVENTS = ("video_id,code,start_s,end_s", "a,AU25,0.5,2.25", "b,AU26,1,3")
LONG = ("video_id,frame_index,point,x,y,score", "a,0,nose,10.5,20,0.9", "a,1,nose,11,21.25,")
WIDE = ("video_id,frame_index,nose_x,nose_y", "a,0,10.5,20", "a,1,,")
DEEPLABCUT = (
    "scorer,net,net,net",
    "bodyparts,nose,nose,nose",
    "coords,x,y,likelihood",
    "0,10.5,20.0,0.99",
    "1,,,",
)
SLEAP = ("track,frame_idx,nose.x,nose.y", ",5,10.5,20", ",6,,")


def write(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def read_videos(path: Path, content: bytes) -> Any:
    write(path / "videos.csv", content)
    return load_study(path).videos


def read_subjects(path: Path, content: bytes) -> Any:
    write(path / "videos.csv", encode(VIDEOS))
    write(path / "subjects.csv", content)
    subjects = load_study(path).subjects
    assert subjects is not None
    return subjects.to_dict()


def read_frames(path: Path, content: bytes) -> Any:
    write(path / "frames.csv", content)
    return dict(FrameTables().find_row(path / "x", [path]))


def read_codes(path: Path, content: bytes) -> Any:
    events = read_events(write(path / "events.csv", content), units=DOG.units).events
    return [(event.video_id, event.units, event.start_s, event.end_s) for event in events]


def read_landmarks(path: Path, content: bytes) -> Any:
    study = Study(path, (Video("a", path / "a.mp4", "rex", "calm"),))
    found = load_landmarks(study, write(path / "a.csv", content))
    assert found is not None
    return found.table.to_dict("records")


def read_outlines(path: Path, content: bytes) -> Any:
    source = write(path / "via.csv", content)
    (image,) = read_via(source, Problems(source)).images
    return image.names, [face.box_xyxy for face in image.faces]


READERS = [
    (read_videos, VIDEOS),
    (read_subjects, SUBJECTS),
    (read_frames, FRAMES),
    (read_codes, EVENTS),
    (read_landmarks, LONG),
    (read_landmarks, WIDE),
    (read_landmarks, DEEPLABCUT),
]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("read", "lines"), READERS)
def test_every_table_is_read_in_every_form(
    tmp_path: Path, read: Callable[[Path, bytes], Any], lines: Lines, form: Form
) -> None:
    plain = repr(read(tmp_path, encode(lines)))
    assert plain not in ("[]", "{}", "()")
    assert repr(read(tmp_path, form(lines))) == plain


@pytest.mark.parametrize("form", [form for form in FORMS if form != with_excels_first_line])
def test_headings_with_points_are_read_in_every_form(tmp_path: Path, form: Form) -> None:
    assert repr(read_landmarks(tmp_path, form(SLEAP))) == repr(
        read_landmarks(tmp_path, encode(SLEAP))
    )


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_outlines_of_via_are_read_whatever_separates_them(tmp_path: Path, separator: str) -> None:
    shape = '"{""name"":""rect"",""x"":1,""y"":2,""width"":3,""height"":4}"'
    header = ["#filename", "file_attributes", "region_shape_attributes", "region_attributes", ""]
    lines = [separator.join(header), separator.join(["a.png", "{}", shape, "{}", ""])]
    assert read_outlines(tmp_path, encode(lines, encoding="utf-16")) == (("a.png",), [(1, 2, 4, 6)])


# -- the text itself -------------------------------------------------------------------------------


def lines_of(path: Path, content: bytes, separator: str = ",") -> list[tuple[int, list[str]]]:
    return list(read_text(write(path / "a.csv", content)).iter_lines(separator))


def test_lines_have_the_numbers_of_the_file(tmp_path: Path) -> None:
    content = b'a,b\n\n1,"two\nlines"\n3,4\n'
    assert lines_of(tmp_path, content) == [
        (1, ["a", "b"]),
        (3, ["1", "two\nlines"]),
        (5, ["3", "4"]),
    ]
    said = lines_of(tmp_path, b"sep=,\r\n" + content)
    assert [number for number, _ in said] == [2, 4, 6]


def test_accents_written_in_two_ways_are_the_same_text(tmp_path: Path) -> None:
    apart = unicodedata.normalize("NFD", "zoë")
    assert lines_of(tmp_path, apart.encode()) == [(1, ["zoë"])]


def test_only_the_first_line_says_the_separator(tmp_path: Path) -> None:
    assert read_text(write(tmp_path / "a.csv", b"sep=;")).said == ";"
    for content in (b"a\nsep=;\n", b"sep=", b"sep=\n;", b"sep=ab\n", b"step=;\n"):
        assert read_text(write(tmp_path / "a.csv", content)).said is None


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("zoé".encode("latin-1"), "is not UTF-8 text; save it as 'CSV UTF-8'"),
        (b'a,b\n1,2\n"3,4\n', r"is not CSV \(.*, from row 3 on\); one row per line, quotes"),
    ],
)
def test_what_is_no_delimited_text_is_named(tmp_path: Path, content: bytes, message: str) -> None:
    with pytest.raises(TableFileError, match=message):
        lines_of(tmp_path, content)
    table = read_table(tmp_path / "a.csv", required=["a"])
    assert table.is_broken


def test_a_cell_below_no_heading_is_named_with_its_row(tmp_path: Path) -> None:
    table = read_table(write(tmp_path / "a.csv", b"a,b,,\n1,2,,\n1,2,,3\n"), required=["a"])
    assert [str(problem) for problem in table.problems] == [
        "error: a.csv, row 3: 4 cells under 2 columns; a heading over each cell, nothing beside "
        "the table, quotes around a cell with a separator"
    ]


def test_an_empty_heading_between_others_is_a_column(tmp_path: Path) -> None:
    table = read_table(write(tmp_path / "a.csv", b",a\n0,x\n"), required=["a"])
    assert table.columns == ["", "a"]
    assert table.problems == []


def test_empty_columns_around_a_table_do_not_count(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text(";;a;;b\n;;1;;2\n")
    table = read_table(path, required=["a", "b"])
    assert not table.problems
    assert [(row.get("a"), row.get("b")) for row in table] == [("1", "2")]
    path.write_text(";;a;;b\n;x;1;y;2\n")
    told = "columns B, D have no heading; a heading over each cell"
    assert [each.describe() for each in read_table(path, required=["a"]).problems] == [
        f"t.csv: {told}"
    ]
