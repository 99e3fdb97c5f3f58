from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from canemo.errors import AnnotationError
from canemo.faces.training.evaluate import compute_detection_metrics, evaluate_detector, match_faces
from canemo.records import Face, Image

BOX = (0.0, 0.0, 10.0, 10.0)


class FakeDetector:
    """Says what it was told to say about an image, which it knows by its red value."""

    name = "fake"
    fingerprint = "0" * 64
    score_threshold = 0.5

    def __init__(self, faces_by_red: dict[int, list[Face]]) -> None:
        self._faces_by_red = faces_by_red

    def detect(self, images_rgb: Sequence[Image]) -> list[list[Face]]:
        return [self._faces_by_red[int(image[0, 0, 0])] for image in images_rgb]


def _shifted(pixels: float) -> tuple[float, float, float, float]:
    return (pixels, 0.0, 10.0 + pixels, 10.0)


def test_each_box_is_taken_once_and_the_best_score_chooses_first() -> None:
    faces = [Face(BOX, 0.6), Face(_shifted(1), 0.9)]
    assert match_faces(faces, [BOX], min_iou=0.5) == [(0.9, True), (0.6, False)]
    assert match_faces(faces, [BOX, _shifted(1)], min_iou=0.5) == [(0.9, True), (0.6, True)]


def test_recall_and_false_positives_count_only_scores_at_the_threshold() -> None:
    found = [
        [Face(BOX, 0.9)],  # found exactly
        [Face((0.0, 0.0, 10.0, 6.0), 0.8)],  # IoU 0.6: found loosely
        [Face(BOX, 0.4)],  # too faint
        [Face(_shifted(30), 0.5), Face(_shifted(60), 0.2)],  # one false, one faint and false
    ]
    metrics = compute_detection_metrics(found, [[BOX]] * 4, score_threshold=0.5, seconds=2.0)
    assert metrics.recall_50 == 0.5
    assert metrics.recall_75 == 0.25
    assert metrics.false_positives_per_image == 0.25
    assert metrics.images_per_second == 2.0
    assert (metrics.images, metrics.faces) == (4, 4)


def test_a_perfect_detector_has_average_precision_one() -> None:
    metrics = compute_detection_metrics([[Face(BOX, 0.1)]] * 3, [[BOX]] * 3, score_threshold=0.5)
    assert metrics.average_precision_50 == 1.0
    assert metrics.average_precision == 1.0
    assert metrics.recall_50 == 0.0  # 0.1 is below the threshold


def test_average_precision_of_a_worked_example() -> None:
    # hit 0.9, miss 0.8, hit 0.7 of two faces: precision 1 up to recall 0.5, then 2/3.
    found = [[Face(BOX, 0.9)], [Face(_shifted(40), 0.8), Face(BOX, 0.7)]]
    metrics = compute_detection_metrics(found, [[BOX]] * 2, score_threshold=0.5)
    assert metrics.average_precision_50 == pytest.approx((51 + 50 * 2 / 3) / 101)


def test_average_precision_averages_over_the_iou_ladder() -> None:
    # IoU 0.72 passes 0.50, 0.55, 0.60, 0.65 and 0.70: five of ten.
    found = [[Face((0.0, 0.0, 10.0, 7.2), 0.9)]]
    metrics = compute_detection_metrics(found, [[BOX]], score_threshold=0.5)
    assert metrics.average_precision == pytest.approx(0.5)


def test_nothing_found_and_nothing_to_find() -> None:
    blind = compute_detection_metrics([[]], [[BOX]], score_threshold=0.5)
    assert (blind.recall_50, blind.average_precision, blind.false_positives_per_image) == (0, 0, 0)
    empty = compute_detection_metrics([[Face(BOX, 0.9)]], [[]], score_threshold=0.5)
    assert math.isnan(empty.recall_50)
    assert empty.false_positives_per_image == 1.0
    assert empty.to_dict()["recall_50"] is None
    json.dumps(empty.to_dict(), allow_nan=False)


@pytest.fixture
def coco_file(tmp_path: Path) -> Path:
    images = []
    for index in range(3):
        pixels = np.full((20, 30, 3), index * 50, dtype=np.uint8)
        PIL.Image.fromarray(pixels).save(tmp_path / f"{index}.png")
        images.append({"id": index, "file_name": f"{index}.png", "width": 30, "height": 20})
    annotations = [
        {"image_id": 0, "category_id": 1, "bbox": [0, 0, 10, 10]},
        {"image_id": 1, "category_id": 2, "bbox": [0, 0, 10, 10]},
    ]
    categories = [{"id": 1, "name": "dog"}, {"id": 2, "name": "cat"}]
    content = {"images": images, "annotations": annotations, "categories": categories}
    path = tmp_path / "faces.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def test_images_of_a_file_meet_their_own_boxes(coco_file: Path) -> None:
    detector = FakeDetector({0: [Face(BOX, 0.9)], 50: [Face(BOX, 0.9)], 100: []})
    metrics = evaluate_detector(detector, coco_file, batch_size=2)
    assert (metrics.recall_50, metrics.false_positives_per_image) == (1.0, 0.0)
    dogs = evaluate_detector(detector, coco_file, category="dog")
    assert (dogs.faces, dogs.recall_50) == (1, 1.0)
    assert dogs.false_positives_per_image == pytest.approx(1 / 3)
    assert dogs.images_per_second > 0
    assert dogs.detector == "fake"


def test_an_image_that_cannot_be_read_is_named(coco_file: Path) -> None:
    (coco_file.parent / "1.png").write_bytes(b"no image")
    detector = FakeDetector({0: [], 50: [], 100: []})
    with pytest.raises(AnnotationError, match=r"1\.png: the image cannot be read"):
        evaluate_detector(detector, coco_file)
