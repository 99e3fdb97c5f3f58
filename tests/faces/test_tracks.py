import numpy as np
import pytest

from canemo.faces.tracks import link_faces, pick_faces
from canemo.records import Face


def face(x, y=0.0, side=10.0, score=0.9):
    return Face((x, y, x + side, y + side), score)


def times(n, fps=5):
    return [i / fps for i in range(n)]


def test_moving_face_stays_one_track():
    faces = [[face(3.0 * i)] for i in range(6)]
    linked = link_faces(times(6), faces, max_gap_s=0.5)
    assert list(linked.faces) == [0, 1, 2, 3, 4, 5]
    assert linked.persistent_faces == 1


def test_short_gap_is_filled_linearly_in_time():
    faces = [[face(0)], [], [face(4)]]
    linked = link_faces([0.0, 0.1, 0.4], faces, max_gap_s=0.5)
    assert linked.faces[1].box_xyxy == pytest.approx((1, 0, 11, 10))
    assert linked.faces[1].interpolated
    assert not linked.faces[0].interpolated


def test_long_gap_is_left_open():
    faces = [[face(0)], [face(0)], [], [], [], [face(1)], [face(1)]]
    linked = link_faces(times(7), faces, max_gap_s=0.5)
    assert list(linked.faces) == [0, 1, 5, 6]


def test_nothing_is_extrapolated_before_the_first_or_after_the_last_detection():
    linked = link_faces(times(5), [[], [face(0)], [face(0)], [], []], max_gap_s=5)
    assert list(linked.faces) == [1, 2]


def test_larger_clearer_face_is_kept_and_the_other_is_counted():
    near, far = face(0, side=40), face(100, side=15)
    linked = link_faces(times(6), [[near, far]] * 6, max_gap_s=0.5)
    assert {f.box_xyxy for f in linked.faces.values()} == {near.box_xyxy}
    assert linked.persistent_faces == 2


def test_brief_second_face_is_not_persistent():
    faces = [[face(0, side=40)] for _ in range(12)]
    faces[3] = [face(0, side=40), face(100, side=15)]
    assert link_faces(times(12), faces, max_gap_s=0.5).persistent_faces == 1


def test_dog_that_comes_back_elsewhere_is_still_the_dog():
    faces = [[face(0)], [face(0)], [], [], [], [], [face(200)], [face(200)]]
    linked = link_faces(times(8), faces, max_gap_s=0.5)
    assert list(linked.faces) == [0, 1, 6, 7]
    assert linked.pieces == 2


def test_stray_detection_while_the_dog_is_away_is_not_the_dog():
    faces = [[face(0)], [face(0)], [face(0)], [], [], [], [face(200)], [], []]
    linked = link_faces(times(9), faces, max_gap_s=0.5)
    assert list(linked.faces) == [0, 1, 2]
    assert linked.pieces == 1


def test_track_does_not_jump_to_the_other_dog_when_its_own_is_missed():
    left, right = face(0, side=40), face(100, side=28)
    faces = [[left, right], [left, right], [right], [left, right], [left, right]]
    linked = link_faces(times(5), faces, max_gap_s=0.5)
    assert linked.faces[2].box_xyxy == left.box_xyxy
    assert linked.faces[2].interpolated


def test_no_faces_is_a_result():
    linked = link_faces(times(3), [[], [], []], max_gap_s=0.5)
    assert linked.faces == {}
    assert linked.persistent_faces == 0


def test_neighbouring_frames_link_however_slow_the_sampling():
    linked = link_faces([0.0, 2.0, 4.0], [[face(0)], [face(1)], [face(2)]], max_gap_s=0.5)
    assert linked.persistent_faces == 1
    assert list(linked.faces) == [0, 1, 2]


def test_without_following_each_frame_gives_its_best_face_whatever_is_around_it():
    near, far = Face((10.0, 10.0, 60.0, 60.0), 0.7), Face((90.0, 10.0, 110.0, 30.0), 0.9)
    faces = [[near], [], [near, far], [], [far], [near], []]
    picked = pick_faces(faces)
    assert {position: face.box_xyxy for position, face in picked.faces.items()} == {
        0: near.box_xyxy,
        2: far.box_xyxy,
        4: far.box_xyxy,
        5: near.box_xyxy,
    }
    assert not any(face.interpolated for face in picked.faces.values())
    assert picked.persistent_faces == 1


def test_without_following_no_detected_face_is_lost_to_misses_of_the_detector():
    rng = np.random.default_rng(0)
    face = Face((10.0, 10.0, 60.0, 60.0), 0.8)
    faces = [[face] if rng.random() > 0.4 else [] for _ in range(300)]
    assert len(pick_faces(faces).faces) == sum(map(bool, faces))


def test_without_following_two_faces_side_by_side_are_still_told_of():
    left, right = Face((0.0, 0.0, 50.0, 50.0), 0.9), Face((80.0, 0.0, 130.0, 50.0), 0.8)
    assert pick_faces([[left, right]] * 6).persistent_faces == 2
    assert pick_faces([[], []]).persistent_faces == 0
