from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest

from canemo.errors import StudyError
from canemo.faces.landmarks.tables import load_landmarks
from canemo.records import Study, Video


def make_study(root: Path, *names: str) -> Study:
    videos = [Video(name, root / f"{name}.mp4", "rex", "play") for name in names or ("clip1",)]
    return Study(root, tuple(videos))


def write(path: Path, *lines: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


LONG = (
    "video_id,frame_index,point,x,y,score",
    "clip1,3,nose,10.5,20,0.9",
    "clip1,3,chin,11,30,0.2",
    "clip1,4,nose,12,21,",
)
DEEPLABCUT = (
    "scorer,net,net,net,net,net,net",
    "bodyparts,nose,nose,nose,left_eye,left_eye,left_eye",
    "coords,x,y,likelihood,x,y,likelihood",
    "0,10.5,20.0,0.99,7.0,9.0,0.4",
    "1,,,,8.0,9.5,0.97",
)
TWO_ANIMALS = (
    "scorer,net,net,net,net,net,net",
    "individuals,rex,rex,rex,ada,ada,ada",
    "bodyparts,nose,nose,nose,nose,nose,nose",
    "coords,x,y,likelihood,x,y,likelihood",
    "0,10.5,20.0,0.99,70.0,90.0,0.9",
)
SLEAP = (
    "track,frame_idx,instance.score,nose.x,nose.y,nose.score,chin.x,chin.y,chin.score",
    ",5,0.9,10.5,20,0.8,11,30,0.1",
    ",6,0.9,12,21,1.02,,,",
)


def load(study: Study, path: Path | None = None, **settings: object):
    table = load_landmarks(study, path, **settings)
    assert table is not None
    return table


# -- forms ----------------------------------------------------------------------------------------


def test_long_table_gives_sure_points_in_pixels(tmp_path):
    write(tmp_path / "landmarks.csv", *LONG)
    table = load(make_study(tmp_path))
    assert table.source == "landmarks.csv"
    assert table.warnings == ()
    assert table.points_of("clip1", 3) == {"nose": (10.5, 20.0)}  # the chin is not sure
    assert table.points_of("clip1", 4) == {"nose": (12.0, 21.0)}  # no score counts
    assert table.points_of("clip1", 5) == {}
    assert table.points_of("clip2", 3) == {}
    assert table.table["score"].isna().tolist() == [False, True]


def test_least_score_decides_which_points_are_known(tmp_path):
    write(tmp_path / "landmarks.csv", *LONG)
    assert set(load(make_study(tmp_path), least_score=0.1).points_of("clip1", 3)) == {
        "nose",
        "chin",
    }


def test_wide_table_says_the_same_as_the_long_one(tmp_path):
    long = load(make_study(tmp_path), write(tmp_path / "a.csv", *LONG))
    wide = load(
        make_study(tmp_path),
        write(
            tmp_path / "b.csv",
            "video_id,frame_index,nose_x,nose_y,nose_score,chin_x,chin_y,chin_score",
            "clip1,3,10.5,20,0.9,11,30,0.2",
            "clip1,4,12,21,,,,",
        ),
    )
    assert wide.table.equals(long.table)


def test_table_of_a_european_spreadsheet_is_read(tmp_path):
    lines = [line.replace(",", ";").replace(".", ",") for line in LONG]
    path = tmp_path / "landmarks.csv"
    path.write_text("\n".join(["\ufeff" + lines[0], lines[1], ";;;;;", *lines[2:]]), "utf-8")
    assert load(make_study(tmp_path)).points_of("clip1", 3) == {"nose": (10.5, 20.0)}


def test_deeplabcut_belongs_to_the_video_that_begins_its_name(tmp_path):
    write(tmp_path / "landmarks" / "clip1DLC_resnet50_faceshuffle1_50000.csv", *DEEPLABCUT)
    table = load(make_study(tmp_path, "clip1", "clip10"))
    assert table.source == "DeepLabCut"
    assert table.points_of("clip1", 0) == {"nose": (10.5, 20.0)}
    assert table.points_of("clip1", 1) == {"left_eye": (8.0, 9.5)}
    assert "1 of 2 videos have no landmarks: 'clip10'" in table.warnings[0]


def test_deeplabcut_with_two_animals_wants_to_know_which(tmp_path):
    path = write(tmp_path / "clip1DLC_dlcrnet.csv", *TWO_ANIMALS)
    study = make_study(tmp_path)
    with pytest.raises(StudyError, match=r"frame 0 of 'clip1' has several.*'ada', 'rex'.*subject"):
        load_landmarks(study, path)
    assert load(study, path, individual="ada").points_of("clip1", 0) == {"nose": (70.0, 90.0)}
    with pytest.raises(StudyError, match=r"no individual is called 'bo'; there are 'ada', 'rex'"):
        load_landmarks(study, path, individual="bo")


def test_an_animal_that_is_not_seen_is_no_second_one(tmp_path):
    lines = [*TWO_ANIMALS[:4], "0,10.5,20.0,0.99,70.0,90.0,0.1"]
    path = write(tmp_path / "clip1DLC_dlcrnet.csv", *lines)
    assert load(make_study(tmp_path), path).points_of("clip1", 0) == {"nose": (10.5, 20.0)}


def test_sleap_names_its_video_within_the_files_name(tmp_path):
    path = write(tmp_path / "labels.v001.000_clip1.analysis.csv", *SLEAP)
    table = load(make_study(tmp_path, "clip1", "v001x"), path)
    assert table.source == "SLEAP"
    assert table.points_of("clip1", 5) == {"nose": (10.5, 20.0)}
    assert table.points_of("clip1", 6) == {"nose": (12.0, 21.0)}


def test_sleap_tracks_of_two_animals_want_one_named(tmp_path):
    header, first, _ = SLEAP
    lines = [header, "left" + first, "right" + first]
    path = write(tmp_path / "clip1.csv", *lines)
    with pytest.raises(StudyError, match=r"frame 5 .* several individuals, 'left', 'right'"):
        load_landmarks(make_study(tmp_path), path)
    assert load(make_study(tmp_path), path, individual="left").points_of("clip1", 5)


def test_folder_may_mix_forms(tmp_path):
    write(tmp_path / "landmarks" / "own.csv", *LONG)
    write(tmp_path / "landmarks" / "deep" / "clip2DLC_x.csv", *DEEPLABCUT)
    table = load(make_study(tmp_path, "clip1", "clip2"))
    assert table.source == "DeepLabCut, landmarks.csv"
    assert table.points_of("clip1", 3)
    assert table.points_of("clip2", 0)


# -- which video ----------------------------------------------------------------------------------


def test_longest_name_wins(tmp_path):
    path = write(tmp_path / "rex_clip1DLC_x.csv", *DEEPLABCUT)
    table = load(make_study(tmp_path, "clip1", "rex_clip1", "rex"), path)
    assert set(table.table["video_id"]) == {"rex_clip1"}


def test_a_name_that_goes_on_is_another_video(tmp_path):
    path = write(tmp_path / "clip10DLC_x.csv", *DEEPLABCUT)
    with pytest.raises(StudyError, match=r"found 'clip10DLC_x.csv'; wanted .* 'clip1'"):
        load_landmarks(make_study(tmp_path, "clip1"), path)


def test_names_that_fit_two_videos_are_refused(tmp_path):
    study = Study(
        tmp_path,
        tuple(Video(dog, tmp_path / dog / "clip1.mp4", dog, "play") for dog in ("ada", "rex")),
    )
    path = write(tmp_path / "clip1DLC_x.csv", *DEEPLABCUT)
    with pytest.raises(StudyError, match=r"fits 'ada' .* as well as 'rex'"):
        load_landmarks(study, path)


def test_parts_of_one_video_file_share_its_landmarks(tmp_path):
    file = tmp_path / "day.mp4"
    parts = (Video("early", file, "rex", "play", 0, 5), Video("late", file, "rex", "rest", 5, 9))
    table = load(Study(tmp_path, parts), write(tmp_path / "dayDLC_x.csv", *DEEPLABCUT))
    assert table.points_of("early", 0) == table.points_of("late", 0) == {"nose": (10.5, 20.0)}


def test_accents_written_in_two_ways_are_the_same_name(tmp_path):
    name = unicodedata.normalize("NFD", "Zoé")
    path = write(tmp_path / f"{name}DLC_x.csv", *DEEPLABCUT)
    assert load(make_study(tmp_path, unicodedata.normalize("NFC", name)), path).points_of("Zoé", 0)


def test_landmarks_of_other_videos_are_named_in_a_warning(tmp_path):
    path = write(tmp_path / "a.csv", *LONG, "clip9,0,nose,1,2,1")
    table = load(make_study(tmp_path), path)
    assert set(table.table["video_id"]) == {"clip1"}
    assert "'clip9'" in table.warnings[0]


def test_landmarks_of_other_videos_alone_are_an_error(tmp_path):
    path = write(tmp_path / "a.csv", *LONG)
    with pytest.raises(StudyError, match=r"found 'clip1'; wanted the names of its videos: 'x', 'y"):
        load_landmarks(make_study(tmp_path, "x", "y"), path)


def test_no_landmarks_are_none(tmp_path):
    assert load_landmarks(make_study(tmp_path)) is None


def test_mostly_unsure_points_are_told(tmp_path):
    path = write(tmp_path / "a.csv", *LONG[:3], "clip1,3,lip,1,2,0.3")
    [told] = load(make_study(tmp_path), path).warnings
    assert told == "67% of the landmarks have a score under 0.5 and were left out"


# -- what cannot be used --------------------------------------------------------------------------


def test_landmarks_in_two_places_are_refused(tmp_path):
    write(tmp_path / "landmarks.csv", *LONG)
    write(tmp_path / "landmarks" / "a.csv", *LONG)
    with pytest.raises(StudyError, match=r"holds landmarks.csv and landmarks/"):
        load_landmarks(make_study(tmp_path))


@pytest.mark.parametrize("name", ["clip1DLC_x.h5", "clip1.slp"])
def test_binary_exports_are_refused_with_the_way_out(tmp_path, name):
    (tmp_path / name).write_bytes(b"\x89HDF")
    with pytest.raises(StudyError, match=r"files are not read; export CSV"):
        load_landmarks(make_study(tmp_path), tmp_path / name)
    with pytest.raises(StudyError, match=rf"{name}: .* export CSV"):
        load_landmarks(make_study(tmp_path), tmp_path)


def test_binary_export_beside_its_csv_is_no_matter_and_alone_is_told(tmp_path):
    write(tmp_path / "landmarks" / "clip1DLC_x.csv", *DEEPLABCUT)
    for name in ("clip1DLC_x.h5", "clip2DLC_x.h5"):
        (tmp_path / "landmarks" / name).write_bytes(b"")
    table = load(make_study(tmp_path))
    assert "clip2DLC_x.h5" in table.warnings[0]
    assert "clip1DLC_x.h5" not in table.warnings[0]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([*LONG, "clip1,5,nose,left,2,1"], r"row 5, column x: 'left' is not .* a number"),
        ([*LONG, "clip1,5,nose,inf,2,1"], r"row 5, column x: 'inf'"),
        ([*LONG, "clip1,1.5,nose,1,2,1"], r"row 5, column frame_index: '1.5' .* from 0"),
        ([*LONG, "clip1,-1,nose,1,2,1"], r"row 5, column frame_index: '-1' .* from 0"),
        ([*LONG, "clip1,,nose,1,2,1"], r"row 5, column frame_index: '' .* from 0"),
        ([*LONG, "clip1,5,nose,1,,1"], r"row 5: 'x' and 'y' are not both filled"),
        ([*LONG, "clip1,5,,1,2,1"], r"row 5, column point: the cell is empty"),
        ([*LONG, "clip1,3,nose,1,2,1"], r"row 5: 'nose' in frame 3 of 'clip1' is already.*row 2"),
        ([*LONG, "clip1,5,nose,1,2,1,7"], r"row 5: 7 cells under 6 columns"),
        (["video_id,point,x,y"], r"no column 'frame_index', only video_id, point"),
        (["frame_index,point,x,y"], r"no column 'video_id'"),
        (["video_id,frame_index,point,x"], r"no column 'y'"),
        (["video_id,frame_index,nose_x"], r"no column 'nose_y'"),
        (["video_id,video_id,frame_index,point"], r"column 'video_id' is there twice"),
        (["a,b,c", "1,2,3"], r"first row is a, b, c; wanted are columns video_id"),
        (["scorer,net", "0,1"], r"below `scorer` stand the rows 0; wanted are bodyparts"),
        ([*LONG[:1]], r"found no rows"),
        ([""], r"is empty; wanted are columns"),
    ],
)
def test_bad_tables_are_refused_with_place_and_value(tmp_path, lines, message):
    path = write(tmp_path / "clip1.csv", *lines)
    with pytest.raises(StudyError, match=message) as caught:
        load_landmarks(make_study(tmp_path), path)
    assert str(path) in str(caught.value)


def test_training_labels_of_deeplabcut_are_no_frames_of_a_video(tmp_path):
    lines = [*DEEPLABCUT[:3], "labeled-data/clip1/img001.png,1,2,1,3,4,1"]
    path = write(tmp_path / "clip1DLC_x.csv", *lines)
    with pytest.raises(StudyError, match=r"row 4, column 1: 'labeled-data.* number of a frame"):
        load_landmarks(make_study(tmp_path), path)


def test_two_files_of_one_video_are_refused(tmp_path):
    for name in ("clip1DLC_x.csv", "clip1DLC_x_filtered.csv"):
        write(tmp_path / "landmarks" / name, *DEEPLABCUT)
    with pytest.raises(StudyError, match=r"_filtered.csv, row 4: 'nose' .* already in .*_x.csv"):
        load_landmarks(make_study(tmp_path))


def test_a_path_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(StudyError, match=r"nowhere: there is no such file or folder"):
        load_landmarks(make_study(tmp_path), tmp_path / "nowhere")


def test_text_of_another_encoding_is_refused(tmp_path):
    path = tmp_path / "clip1.csv"
    path.write_bytes("\n".join([*LONG, "Zoé,5,nose,1,2,1"]).encode("latin-1"))
    with pytest.raises(StudyError, match="is not UTF-8 text"):
        load_landmarks(make_study(tmp_path), path)
