import pytest

from canemo.faces.boxes import blend_boxes, compute_iou, list_faces
from canemo.formats.boxes.shapes import measure_area
from canemo.records import Face

BOX = (0.0, 0.0, 10.0, 10.0)


def test_area_is_width_times_height():
    assert measure_area((2.0, 1.0, 6.0, 4.0)) == 12


def test_iou_of_known_boxes():
    assert compute_iou(BOX, BOX) == 1
    assert compute_iou(BOX, (5.0, 0.0, 15.0, 10.0)) == pytest.approx(1 / 3)
    assert compute_iou(BOX, (0.0, 0.0, 10.0, 8.0)) == pytest.approx(0.8)


def test_iou_of_touching_far_and_empty_boxes_is_zero():
    assert compute_iou(BOX, (10.0, 0.0, 20.0, 10.0)) == 0
    assert compute_iou(BOX, (30.0, 30.0, 40.0, 40.0)) == 0
    assert compute_iou((1.0, 1.0, 1.0, 1.0), (1.0, 1.0, 1.0, 1.0)) == 0


def test_a_blended_box_lies_between_its_two():
    assert blend_boxes((0, 0, 4, 4), (8, 4, 4, 8), 0.25) == (2, 1, 4, 5)
    assert blend_boxes(BOX, (8, 4, 4, 8), 0) == BOX
    assert blend_boxes(BOX, (8, 4, 4, 8), 1) == (8, 4, 4, 8)


def test_empty_boxes_are_no_faces():
    boxes = [(0.0, 0.0, 2.0, 2.0), (3.0, 0.0, 3.0, 2.0), (0.0, 4.0, 2.0, 4.0)]
    assert list_faces(boxes, [0.9, 0.8, 0.7]) == [Face((0.0, 0.0, 2.0, 2.0), 0.9)]
