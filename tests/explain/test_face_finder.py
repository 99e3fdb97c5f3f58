from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from canemo.errors import StudyError
from canemo.explain.face_finder import MASK_SIDE, FaceFinder, describe_sources
from canemo.faces.landmarks.tables import LandmarkTable
from canemo.faces.regions import (
    BANDS,
    MODEL_LANDMARKS,
    STUDY_LANDMARKS,
    draw_bands,
    draw_regions,
)
from canemo.species import DOG

CROP_XYXY = (100.0, 50.0, 180.0, 90.0)  # 80 x 40 pixels of the frame
IMAGE = np.zeros((40, 80, 3), np.uint8)
FACE = {
    "eye_upper_left": (0.3, 0.4), "eye_upper_right": (0.7, 0.4), "chin": (0.5, 0.9),
    "nose_top": (0.5, 0.6), "mouth_corner_left": (0.4, 0.8), "mouth_corner_right": (0.6, 0.8),
}  # fmt: skip


def table_of(**frames):
    """Return landmarks of a study: video -> points in crop coordinates."""
    x0, y0, x1, y1 = CROP_XYXY
    rows = [
        (video, 0, name, x0 + x * (x1 - x0), y0 + y * (y1 - y0), 1.0)
        for video, points in sorted(frames.items())
        for name, (x, y) in sorted(points.items())
    ]
    columns = ["video_id", "frame_index", "point", "x", "y", "score"]
    return LandmarkTable(pd.DataFrame(rows, columns=columns), "landmarks.csv")


def rows_of(*videos):
    columns = dict(zip(("crop_x0", "crop_y0", "crop_x1", "crop_y1"), CROP_XYXY, strict=True))
    return pd.DataFrame({"video_id": videos, "frame_index": 0, **columns})


class FakeModel:
    """Says that all points of a face are in one row, lower and lower, with one confidence."""

    def __init__(self, *confidence: float) -> None:
        self.confidence = confidence

    def locate(self, images_rgb):
        found = np.zeros((len(images_rgb), len(DOG.points), 3), np.float32)
        for each, image, sure in zip(found, images_rgb, self.confidence, strict=True):
            height, width = image.shape[:2]
            each[:, 0] = np.linspace(0.2, 0.8, len(DOG.points)) * width
            each[:, 1] = np.linspace(0.1, 0.9, len(DOG.points)) * height
            each[:, 2] = sure
        return found


def test_landmarks_of_the_study_come_before_the_model_and_it_before_bands():
    finder = FaceFinder(DOG, table_of(known=FACE), FakeModel(0.9, 0.9, 0.3))
    found = finder.find(rows_of("known", "new", "blurred"), [IMAGE] * 3)
    assert found.regions.source.tolist() == [STUDY_LANDMARKS, MODEL_LANDMARKS, BANDS]
    assert found.regions.names == DOG.regions
    np.testing.assert_allclose(
        found.regions.masks[0], draw_regions(FACE, side=MASK_SIDE, species=DOG)
    )
    np.testing.assert_array_equal(found.regions.masks[2], draw_bands(MASK_SIDE, DOG))
    assert not np.array_equal(found.regions.masks[1], found.regions.masks[2])
    assert np.isnan(found.points[2]).all()


def test_points_are_in_pixels_of_the_crop():
    found = FaceFinder(DOG, table_of(known=FACE)).find(rows_of("known"), [IMAGE])
    for index, name in enumerate(DOG.points):
        if name in FACE:
            x, y = FACE[name]
            np.testing.assert_allclose(found.points[0, index], (80 * x, 40 * y))
        else:
            assert np.isnan(found.points[0, index]).all()


def test_points_of_the_model_stay_where_it_says_in_crops_of_any_shape():
    image = np.zeros((30, 200, 3), np.uint8)
    model = FakeModel(0.9)
    found = FaceFinder(DOG, model=model).find(rows_of("any"), [image])
    np.testing.assert_allclose(found.points[0], model.locate([image])[0, :, :2], rtol=1e-6)


@pytest.mark.parametrize(("confidence", "source"), [(0.5, MODEL_LANDMARKS), (0.49, BANDS)])
def test_a_face_that_the_model_does_not_trust_gets_bands(confidence, source):
    found = FaceFinder(DOG, model=FakeModel(confidence)).find(rows_of("any"), [IMAGE])
    assert found.regions.source.tolist() == [source]


def test_study_points_that_show_no_face_do_not_stand_in_the_way_of_the_model():
    ears = {"ear_tip_left": (0.1, 0.1), "ear_tip_right": (0.9, 0.1)}
    with_model = FaceFinder(DOG, table_of(ears=ears), FakeModel(0.9)).find(rows_of("ears"), [IMAGE])
    assert with_model.regions.source.tolist() == [MODEL_LANDMARKS]
    assert np.isfinite(with_model.points).all()
    alone = FaceFinder(DOG, table_of(ears=ears)).find(rows_of("ears"), [IMAGE])
    assert alone.regions.source.tolist() == [BANDS]
    assert np.isfinite(alone.points[0, DOG.points.index("ear_tip_left")]).all()


def test_study_points_that_lie_elsewhere_are_not_used_and_said():
    scaled = {name: (5 * x, 5 * y) for name, (x, y) in FACE.items()}
    tip_outside = {**FACE, "ear_tip_left": (-0.1, -0.2)}
    finder = FaceFinder(DOG, table_of(scaled=scaled, tip=tip_outside), FakeModel(0.3, 0.9, 0.9))
    rows = rows_of("scaled", "tip", "new")
    found = finder.find(rows, [IMAGE] * 3)
    assert found.regions.source.tolist() == [BANDS, STUDY_LANDMARKS, MODEL_LANDMARKS]
    first, second = finder.note_matches(rows, required=True)
    assert first == "1 of 3 crops have no landmarks of the study"
    assert second.startswith("landmarks of 1 crop(s) are not used, for no eye or no part of the")
    with pytest.raises(
        StudyError, match="of 1 frames that are looked at, 1 have landmarks outside"
    ):
        finder.note_matches(rows_of("scaled"), required=True)
    assert FaceFinder(DOG).note_matches(rows, required=False) == []


def test_without_anything_there_are_bands():
    rows = pd.DataFrame({"video_id": ["a", "b"], "frame_index": 0})  # no rectangle is known
    found = FaceFinder(DOG).find(rows, [IMAGE] * 2)
    assert found.regions.source.tolist() == [BANDS, BANDS]
    assert found.points.shape == (2, len(DOG.points), 2)
    assert np.isnan(found.points).all()


def test_sources_are_counted_in_one_sentence():
    assert describe_sources([STUDY_LANDMARKS] * 3) == "landmarks of the study (3 of 3 crops)"
    mixed = [BANDS, MODEL_LANDMARKS, STUDY_LANDMARKS, MODEL_LANDMARKS]
    assert describe_sources(mixed) == (
        "landmarks of the study (1 of 4 crops); canemo's landmark model (2 of 4 crops); fixed "
        "bands of the box (1 of 4 crops). Bands tell upper from lower face and face from "
        "background, and no more"
    )
