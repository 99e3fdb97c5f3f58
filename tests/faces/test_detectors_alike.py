"""What every detector keeps to, with weights whose answers do not matter."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from canemo.faces.detect.protocol import Detector
from canemo.faces.detect.whole_frame import WholeFrameDetector
from eager_detectors import draw_noise, make_eager_head_detector, make_eager_mask_rcnn

pytestmark = pytest.mark.usefixtures("one_thread")


@dataclass(frozen=True)
class Case:
    """A detector, its name, and by how much batches may change boxes [pixels] and scores."""

    detector: Detector
    name: str
    box_px: float = 0.0
    score: float = 0.0


@pytest.fixture(scope="module", params=["dog_head", "mask_rcnn", "whole_frame"])
def case(request: pytest.FixtureRequest) -> Case:
    if request.param == "dog_head":
        return Case(make_eager_head_detector(), request.param, box_px=0.05, score=1e-4)
    if request.param == "mask_rcnn":
        return Case(make_eager_mask_rcnn(), request.param)
    return Case(WholeFrameDetector(), request.param)


def test_a_batch_answers_as_its_images_one_by_one(case: Case) -> None:
    sizes = [(90, 160), (160, 90), (64, 64), (31, 200), (128, 128), (50, 60), (200, 64), (99, 99)]
    images = [draw_noise(*size, seed=index) for index, size in enumerate(sizes)]
    together = case.detector.detect(images)
    for image, faces in zip(images, together, strict=True):
        (alone,) = case.detector.detect([image])
        assert len(alone) == len(faces) > 0
        for one, other in zip(alone, faces, strict=True):
            assert one.box_xyxy == pytest.approx(other.box_xyxy, abs=case.box_px, rel=0)
            assert one.score == pytest.approx(other.score, abs=case.score, rel=0)


def test_boxes_lie_inside_the_image_and_scores_fall(case: Case) -> None:
    (faces,) = case.detector.detect([draw_noise(37, 211)])
    boxes = np.array([face.box_xyxy for face in faces])
    assert (boxes >= 0).all()
    assert (boxes <= [211, 37, 211, 37]).all()
    assert (boxes[:, 2:] > boxes[:, :2]).all()
    scores = [face.score for face in faces]
    assert scores == sorted(scores, reverse=True)
    assert 0.05 <= min(scores) <= max(scores) <= 1


def test_images_are_not_changed_and_may_be_read_only(case: Case) -> None:
    image = draw_noise(60, 80)
    before = image.copy()
    image.setflags(write=False)
    case.detector.detect([image, image[:, ::-1], image[::2]])
    np.testing.assert_array_equal(image, before)


def test_no_images_give_no_answers_and_the_detector_tells_of_itself(case: Case) -> None:
    assert case.detector.detect([]) == []
    assert case.detector.name == case.name
    assert case.detector.score_threshold == 0.5
    assert case.detector.fingerprint
    assert case.detector.engine == "torch"
