"""The points of a video's crops: where they are from, how they are kept, what is not known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from canemo.config import CropConfig, DetectConfig
from canemo.errors import ConfigError, StudyError
from canemo.faces.crops import extract_crops
from canemo.faces.landmarks.tables import LandmarkTable
from canemo.faces.points import (
    FacePoints,
    ModelPoints,
    StudyPoints,
    choose_points,
    extract_points,
    locate_points,
)
from canemo.records import Study, Video
from canemo.species import DOG, GENERIC
from canemo.video.times import Sampling
from clips import write_clip
from painted import PaintedFaceDetector, painter


def crops_of(folder, name="clip", frames=4, side=40, boxes=None):
    draw = painter(boxes or (lambda n: [("red", 30 + 5 * n, 40, side)]))
    path = write_clip(folder / f"{name}.mp4", frames=frames, size=(160, 120), draw=draw)
    return extract_crops(
        Video(name, path, "dog", "frustration"),
        PaintedFaceDetector(),
        sampling=Sampling(every_nth=1),
        detect=DetectConfig(),
        crop=CropConfig(margin=0.0),
        cache_dir=folder / "cache",
    )


class MiddleModel:
    """Sees every point in the middle of the crop, all but sure of it."""

    fingerprint, engine = "middle", "torch"

    def __init__(self) -> None:
        self.crops_seen = 0

    def locate(self, images_rgb):
        self.crops_seen += len(images_rgb)
        middles = [(image.shape[1] / 2, image.shape[0] / 2, 0.9) for image in images_rgb]
        return np.repeat(np.array(middles, np.float32)[:, None], len(DOG.points), axis=1)


@pytest.fixture
def model(monkeypatch):
    made = MiddleModel()
    monkeypatch.setattr("canemo.faces.points._load_model", lambda *_: made)
    return made


@pytest.mark.parametrize("side", [30, 90])
def test_points_of_the_model_are_pixels_of_the_frame(tmp_path, model, side):
    crops = crops_of(tmp_path, side=side, boxes=lambda n: [("red", 10 + 5 * n, 20, side)])
    points = extract_points(crops, ModelPoints(DOG), cache_dir=tmp_path).read()
    assert (points.names, points.source) == (DOG.points, "canemo's landmark model")
    assert points.frame_index.tolist() == [0, 1, 2, 3]
    middles = np.stack([10 + 5 * np.arange(4) + side / 2, np.full(4, 20 + side / 2)], axis=1)
    assert np.abs(points.xyc[:, 0, :2] - middles).max() < 3
    assert points.xyc[:, :, 2] == pytest.approx(0.9)


def test_points_are_found_once(tmp_path, model):
    crops = crops_of(tmp_path)
    first, again = (extract_points(crops, ModelPoints(DOG), cache_dir=tmp_path) for _ in range(2))
    assert (first.cached, again.cached, model.crops_seen) == (False, True, 4)
    model.fingerprint = "another"
    assert locate_points(crops, ModelPoints(DOG), cache_dir=tmp_path) != first.path


def test_video_without_a_face_has_no_points(tmp_path, model):
    crops = crops_of(tmp_path, boxes=lambda n: [])
    points = extract_points(crops, ModelPoints(DOG), cache_dir=tmp_path).read()
    assert (len(points), points.xyc.shape, points.place()) == (0, (0, 46, 3), [])


# -- the study's own ------------------------------------------------------------------------------


def own_points(*rows):
    columns = ["video_id", "frame_index", "point", "x", "y", "score"]
    return StudyPoints(DOG, LandmarkTable(pd.DataFrame(rows, columns=columns), "landmarks.csv"))


def test_own_points_have_any_names_and_may_be_missing_in_frames(tmp_path):
    finder = own_points(
        ("clip", 0, "Snout Tip", 50.0, 60.0, 0.7),
        ("clip", 0, "zz", 3.0, 4.0, np.nan),
        ("clip", 2, "Snout Tip", 52.0, 61.0, 0.9),
        ("clip", 99, "Snout Tip", 1.0, 1.0, 0.9),
        ("other", 1, "only there", 1.0, 1.0, 0.9),
    )
    points = extract_points(crops_of(tmp_path), finder, cache_dir=tmp_path).read()
    assert points.names == ("Snout Tip", "only there", "zz")
    assert points.xyc[0, 0] == pytest.approx([50, 60, 0.7])
    assert points.xyc[0, 2] == pytest.approx([3, 4, 1])  # the file states no score
    assert points.xyc[2, 0] == pytest.approx([52, 61, 0.9])
    assert np.isfinite(points.xyc[:, :, 0]).tolist() == [
        [True, False, True],
        [False] * 3,
        [True, False, False],
        [False] * 3,
    ]


def test_own_points_are_kept_by_what_they_say_of_the_video(tmp_path):
    crops = crops_of(tmp_path)
    here = ("clip", 0, "nose", 50.0, 60.0, 0.7)
    there = ("other", 0, "nose", 1.0, 1.0, 0.7)
    paths = [
        locate_points(crops, own_points(*rows), cache_dir=tmp_path)
        for rows in ([here], [here, there], [(*here[:3], 51.0, *here[4:])])
    ]
    assert paths[0] == paths[1] != paths[2]


# -- where points can be trusted ------------------------------------------------------------------

EYES_AND_NOSE = {"left_eye": (0.3, 0.3), "right_eye": (0.7, 0.3), "nose_tip": (0.5, 0.7)}


def face_points(named=EYES_AND_NOSE, *, confidence=0.9, shift=0.0):
    xyc = [[100 + 40 * x + shift, 50 + 40 * y, confidence] for x, y in named.values()]
    cut = np.array([[100, 50, 140, 90]], np.float32)
    return FacePoints(
        tuple(named), "landmarks of the study", DOG, np.array([7]), np.array([xyc], np.float32), cut
    )


def test_points_are_placed_in_the_crop():
    (placed,) = face_points().place()
    assert placed is not None
    assert {name: pytest.approx(place) for name, place in EYES_AND_NOSE.items()} == placed


@pytest.mark.parametrize(
    "points",
    [
        pytest.param(face_points(confidence=0.3), id="all unsure"),
        pytest.param(face_points(shift=500), id="outside the crop"),
        pytest.param(face_points(confidence=np.nan), id="none known"),
    ],
)
def test_points_that_cannot_be_trusted_draw_no_regions(points):
    assert points.place() == [None]


def test_a_hidden_eye_leaves_the_other_points():
    points = face_points()
    points.xyc[0, 1] = np.nan
    (placed,) = points.place()
    assert placed is not None
    assert set(placed) == {"left_eye", "nose_tip"}


def test_points_of_other_frames_are_refused():
    points = face_points()
    assert len(points.select([7])) == 1
    for frames in ([6], [8], [7, 9]):
        with pytest.raises(ValueError, match="other frames"):
            points.select(frames)


# -- what finds them ------------------------------------------------------------------------------


def choose(species, points, study=None):
    return choose_points(species, points=points, engine="torch", device="cpu", study=study)


def test_source_of_points_follows_the_setting(tmp_path):
    study = Study(tmp_path, (Video("clip", tmp_path / "clip.mp4", "rex", "play"),))
    assert isinstance(choose(DOG, "auto", study), ModelPoints)
    assert choose(DOG, "none", study) is None
    assert choose(GENERIC, "auto", study) is None
    with pytest.raises(StudyError, match=r"no landmarks\.csv"):
        choose(DOG, "study", study)
    table = "video_id,frame_index,point,x,y\nclip,0,nose,5,6\n"
    (tmp_path / "landmarks.csv").write_text(table, encoding="utf-8")
    for species in (DOG, GENERIC):
        found = choose(species, "auto", study)
        assert isinstance(found, StudyPoints)
        assert found.names == ("nose",)
    assert isinstance(choose(DOG, "model", study), ModelPoints)


@pytest.mark.parametrize(
    "table",
    [
        "video_id,frame_index,point,individual,x,y\nclip,0,nose,rex,5,6\nclip,0,nose,bo,7,8\n",
        "video_id,frame_index,point,x,y\nclip,0,nose,here,6\n",
        "nothing,of,use\n1,2,3\n",
    ],
)
def test_landmarks_that_cannot_be_used_do_not_bar_the_way(tmp_path, table):
    study = Study(tmp_path, (Video("clip", tmp_path / "clip.mp4", "rex", "play"),))
    (tmp_path / "landmarks.csv").write_text(table, encoding="utf-8")
    with pytest.raises(StudyError, match=r"landmarks\.csv.*--set measure\.points=model"):
        choose(DOG, "auto", study)
    with pytest.raises(StudyError, match=r"--set measure\.points=none"):
        choose(GENERIC, "auto", study)
    assert isinstance(choose(DOG, "model", study), ModelPoints)


def test_species_without_a_landmark_model_is_named():
    with pytest.raises(ConfigError, match=r"no landmark model ships .* 'generic'; take 'none'"):
        choose(GENERIC, "model")
    with pytest.raises(ConfigError, match="'dog'"):
        choose(replace(DOG, landmark_weights=None), "model")
