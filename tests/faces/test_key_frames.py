"""Where the detector looks, asked of one that remembers what it was asked for."""

import hashlib
import weakref
from itertools import pairwise

import numpy as np
import pytest

from canemo.config import CropConfig, DetectConfig
from canemo.faces import key_frames
from canemo.faces.boxes import compute_iou
from canemo.faces.crops import extract_crops
from canemo.faces.detect.registry import load_detector
from canemo.faces.key_frames import find_faces
from canemo.records import Face, Frame, Video
from canemo.video.times import Sampling

THRESHOLD, DOUBT = 0.5, 0.35
SCENES = np.random.default_rng(0).integers(60, 200, (4, 64, 96, 3), dtype=np.uint8)


def face(x, y=50.0, side=40.0, score=0.9):
    return Face((x, y, x + side, y + side), score)


def make_frame(number, *, fps=60, scene=SCENES[0], time_s=None):
    """Make a frame that carries its number in a corner that no thumbnail looks at."""
    image = scene.copy()
    image[0, 0] = (*divmod(number, 256), 0)
    return Frame(number, number / fps if time_s is None else time_s, image)


class Asked:
    """Answers for the frame whose number the picture carries, and remembers having been asked."""

    name = fingerprint = "asked"
    score_threshold = THRESHOLD

    def __init__(self, faces_of):
        self._faces_of = faces_of
        self.batches = []

    @property
    def numbers(self):
        return sorted(number for batch in self.batches for number in batch)

    def detect(self, images_rgb):
        self.batches.append([int(i[0, 0, 0]) * 256 + int(i[0, 0, 1]) for i in images_rgb])
        return [self._faces_of(number) for number in self.batches[-1]]


def is_usable(found):
    return found.score >= THRESHOLD


def find(frames, detector, *, every_s=0.2, max_faces=4):
    return find_faces(
        frames,
        detector,
        every_s=every_s,
        is_usable=is_usable,
        doubt_score=DOUBT,
        max_faces=max_faces,
    )


def sight(faces_of, *, count=121, scene_of=lambda number: SCENES[0], fps=60, every_s=0.2):
    """Return all sightings and the sorted numbers of the frames that were looked at."""
    detector = Asked(faces_of)
    frames = [make_frame(n, fps=fps, scene=scene_of(n)) for n in range(count)]
    sightings = list(find(frames, detector, every_s=every_s))
    assert [s.frame.frame_index for s in sightings] == list(range(count))
    looked_at = [s.frame.frame_index for s in sightings if not s.between]
    assert looked_at == detector.numbers  # nothing is looked at twice
    assert max(map(len, detector.batches)) <= 8
    return sightings, looked_at


def boxes_of(sightings):
    return [[found.box_xyxy for found in s.faces] for s in sightings]


# -- key frames ------------------------------------------------------------------------------------


def test_steady_movement_needs_key_frames_only_and_boxes_in_between_are_where_the_face_is():
    def moving(number):
        return [face(10 + 0.25 * number, 20 + 0.1 * number, 40 + 0.1 * number)]

    sightings, looked_at = sight(moving)
    assert looked_at == list(range(0, 121, 12))
    truth = [moving(number)[0].box_xyxy for number in range(121)]
    np.testing.assert_allclose([boxes[0] for boxes in boxes_of(sightings)], truth, atol=1e-9)


def test_last_frame_is_looked_at_so_that_nothing_is_extrapolated():
    _, looked_at = sight(lambda number: [face(50.0)], count=30)
    assert looked_at == [0, 12, 24, 29]


@pytest.mark.parametrize(("fps", "every_s"), [(5, 0.2), (2, 0.2), (60, 0.0), (60, 0.01)])
def test_every_frame_is_looked_at_where_the_spacing_asks_for_it(fps, every_s):
    detector = Asked(lambda number: [face(50.0)])
    frames = [make_frame(n, fps=fps) for n in range(30)]
    sightings = list(find(frames, detector, every_s=every_s))
    assert not any(s.between for s in sightings)
    assert detector.batches == [[*range(8)], [*range(8, 16)], [*range(16, 24)], [*range(24, 30)]]


def test_uneven_times_are_looked_at_as_often_as_asked():
    times_s = np.cumsum(np.random.default_rng(1).choice([0.004, 0.03, 0.09, 0.5], 200))
    detector = Asked(lambda number: [face(50.0)])
    frames = [make_frame(n, time_s=float(t)) for n, t in enumerate(times_s)]
    list(find(frames, detector))
    assert 50 < len(detector.numbers) < 150
    for before, after in pairwise(detector.numbers):
        assert times_s[after] - times_s[before] <= 0.2 + 1e-9 or after == before + 1
    for before, after in zip(detector.numbers, detector.numbers[2:], strict=False):
        assert times_s[after] - times_s[before] > 0.2  # nor more often than that


def test_uneven_times_bend_nothing():
    times_s = np.cumsum(np.random.default_rng(2).choice([0.01, 0.02, 0.03], 100))

    def moving(number):
        return [face(30 * times_s[number])]

    detector = Asked(moving)
    frames = [make_frame(n, time_s=float(t)) for n, t in enumerate(times_s)]
    sightings = list(find(frames, detector))
    assert len(detector.numbers) < 20
    left = [boxes[0][0] for boxes in boxes_of(sightings)]
    np.testing.assert_allclose(left, 30 * times_s, atol=1e-9)


def test_nothing_gives_nothing():
    assert list(find([], Asked(lambda number: []))) == []


# -- faces that keep both ends from agreeing -------------------------------------------------------


def test_sudden_jump_is_found_to_the_frame():
    def jumping(number):
        return [face(10.0 if number < 31 else 200.0)]

    sightings, looked_at = sight(jumping)
    assert boxes_of(sightings) == [[jumping(n)[0].box_xyxy] for n in range(121)]
    assert {30, 31} <= set(looked_at)
    assert len(looked_at) <= 11 + 4  # halving twelve frames takes four looks


def test_fast_movement_is_looked_at_more_the_faster_it_is():
    counts = [
        len(sight(lambda n, speed=speed: [face(speed * n)])[1]) for speed in (0.3, 1.0, 2.0, 20.0)
    ]
    assert counts == [11, 21, 41, 121]


def test_face_that_goes_and_comes_back_is_gone_for_exactly_that_long():
    def seen(number):
        return [] if 31 <= number < 77 else [face(50.0)]

    sightings, looked_at = sight(seen)
    assert [s.frame.frame_index for s in sightings if not s.faces] == list(range(31, 77))
    assert {30, 31, 76, 77} <= set(looked_at)
    assert len(looked_at) <= 11 + 2 * 4


def test_second_face_that_comes_is_there_from_its_first_frame():
    def seen(number):
        return [face(50.0), *([face(300.0, score=0.7)] if number >= 40 else [])]

    sightings, _ = sight(seen)
    assert [len(s.faces) for s in sightings] == [1] * 40 + [2] * 81


def test_two_faces_that_cross_keep_their_own_boxes():
    def crossing(number):
        return [face(2.0 * number, 50.0), face(240 - 2.0 * number, 60.0, score=0.7)]

    sightings, looked_at = sight(crossing)
    assert len(looked_at) < 121
    for number, sighting in enumerate(sightings):
        assert [found.score for found in sighting.faces] == [0.9, 0.7]
        truth = [found.box_xyxy for found in crossing(number)]
        np.testing.assert_allclose(boxes_of([sighting])[0], truth, atol=1e-9)


def test_score_in_between_is_the_lower_one_of_both_ends():
    sightings, looked_at = sight(lambda n: [face(50.0, score=0.6 if n % 24 else 0.8)], count=25)
    assert looked_at == [0, 12, 24]
    assert [s.faces[0].score for s in sightings] == [0.8, *[0.6] * 23, 0.8]


def test_what_is_all_but_a_face_keeps_the_ends_from_agreeing_that_there_is_none():
    def seen(number, score):
        return [face(50.0, score=0.9 if number == 30 else score)]

    for score, looks in ((0.36, 121), (0.34, 11)):
        _, looked_at = sight(lambda n, score=score: seen(n, score))
        assert len(looked_at) == looks


def test_faint_things_beside_a_face_cost_no_look_and_stay_where_they_are():
    def seen(number):
        passing = face(300.0 + 20 * number, score=0.4)
        return [face(50.0), face(400.0, score=0.45), passing]

    sightings, looked_at = sight(seen)
    assert len(looked_at) == 11
    assert all(s.faces[1] == face(400.0, score=0.45) for s in sightings)
    assert {len(s.faces) for s in sightings if s.between} == {2}


def test_no_more_faces_are_kept_than_asked_for():
    detector = Asked(lambda number: [face(100.0 * n, score=0.9 - 0.01 * n) for n in range(6)])
    frames = [make_frame(n) for n in range(25)]
    assert {len(s.faces) for s in find(frames, detector, max_faces=3)} == {3}
    assert detector.numbers == [0, 12, 24]


# -- pictures that keep both ends from agreeing ----------------------------------------------------


@pytest.mark.parametrize("faces", [[face(50.0)], []])
def test_cut_between_pictures_with_equal_boxes_is_looked_at_on_both_sides(faces):
    _, looked_at = sight(lambda n: faces, scene_of=lambda n: SCENES[int(n >= 31)])
    assert {30, 31} <= set(looked_at)
    assert len(looked_at) <= 11 + 4


def test_flash_of_another_picture_within_a_stretch_is_looked_at():
    def seen(number):
        return [] if number == 31 else [face(50.0)]

    sightings, looked_at = sight(seen, scene_of=lambda n: SCENES[int(n == 31)])
    assert 31 in looked_at
    assert [s.frame.frame_index for s in sightings if not s.faces] == [31]


def test_slow_fade_is_looked_at_though_no_frame_differs_much_from_the_next():
    def fade(number):
        share = min(max(number - 24, 0), 12) / 12
        return np.uint8(SCENES[0] * (1 - share) + SCENES[1] * share)

    _, looked_at = sight(lambda n: [face(50.0)], scene_of=fade)
    assert len(set(range(25, 36)) & set(looked_at)) >= 1
    assert set(looked_at) - set(range(25, 36)) == set(range(0, 121, 12))


def test_noise_and_a_change_of_light_are_no_other_picture():
    noise = np.random.default_rng(3)

    def scene(number):
        return np.uint8(np.clip(SCENES[0] + number / 12 + noise.normal(0, 6, (64, 96, 3)), 0, 255))

    assert len(sight(lambda n: [face(50.0)], scene_of=scene)[1]) == 11


def test_cut_between_dark_scenes_counts_as_one():
    _, looked_at = sight(lambda n: [face(50.0)], scene_of=lambda n: SCENES[int(n >= 31)] // 6)
    assert {30, 31} <= set(looked_at)


def test_picture_of_another_size_is_another_picture():
    _, looked_at = sight(
        lambda n: [face(5.0)], scene_of=lambda n: SCENES[0] if n < 31 else SCENES[0][:48]
    )
    assert {30, 31} <= set(looked_at)


# -- what is held ----------------------------------------------------------------------------------


def most_held(count, detector, *, fps=60):
    """Return how many frames were alive at once while `count` of them went through."""
    alive, most = [], 0

    def make():
        nonlocal alive, most
        for number in range(count):
            frame = make_frame(number, fps=fps)
            alive = [ref for ref in alive if ref() is not None] + [weakref.ref(frame.image_rgb)]
            most = max(most, len(alive))
            yield frame
            del frame

    for sighting in find(make(), detector):
        del sighting
    return most


def test_frames_held_are_bounded_by_number(monkeypatch):
    monkeypatch.setattr(key_frames, "HELD_FRAMES", 20)
    detector = Asked(lambda number: [face(50.0)])
    assert 15 <= most_held(400, detector) <= 20 + 2
    assert detector.numbers[:4] == [0, 12, 19, 31]  # a full group ends with a look


def test_frames_held_are_bounded_by_bytes(monkeypatch):
    monkeypatch.setattr(key_frames, "HELD_BYTES", 5 * SCENES[0].nbytes + 1)
    detector = Asked(lambda number: [face(50.0)])
    assert most_held(200, detector) <= 5 + 2
    assert detector.numbers[:4] == [0, 4, 9, 14]


def test_single_frame_beyond_all_bounds_is_looked_at_all_the_same(monkeypatch):
    monkeypatch.setattr(key_frames, "HELD_BYTES", 1)
    _, looked_at = sight(lambda number: [face(50.0)], count=9)
    assert looked_at == list(range(9))


def test_no_more_is_held_where_every_frame_is_looked_at_than_one_batch():
    assert most_held(100, Asked(lambda number: [face(50.0)]), fps=5) <= 8 + 2


def test_middles_of_many_stretches_go_to_the_detector_together():
    detector = Asked(lambda number: [face(0.9 * number)])  # every stretch is halved once
    list(find([make_frame(n) for n in range(61)], detector))
    assert detector.batches == [[0, 12, 24, 36, 48, 60], [6, 18, 30, 42, 54]]


# -- real clips ------------------------------------------------------------------------------------


class Remembering:
    """The shipped detector, asked only once about each picture; counts what it was asked for."""

    def __init__(self):
        self._detector = load_detector("dog_head", engine="openvino")  # some times as fast
        self.name, self.fingerprint = self._detector.name, self._detector.fingerprint
        self.score_threshold, self.engine = self._detector.score_threshold, self._detector.engine
        self._known = {}
        self.asked = 0

    def detect(self, images_rgb):
        self.asked += len(images_rgb)
        return [self._look(image) for image in images_rgb]

    def _look(self, image):
        key = hashlib.sha256(image.tobytes()).digest()
        if key not in self._known:
            (self._known[key],) = self._detector.detect([image])
        return self._known[key]


@pytest.mark.slow
def test_on_real_clips_boxes_are_those_of_looking_at_every_frame(shared_data, tmp_path):
    names = [
        "face_visible/DrDoogie_dog", "face_visible/MVM_bordercollie", "face_visible/kairess_22",
        "face_visible/duong_dog", "face_visible/VidToMe_dog", "face_hidden/Vitgracer_dog",
        "face_hidden/bijustin_libby",
    ]  # fmt: skip
    overlaps, missed, used, looked_at, frames = [], 0, 0, 0, 0
    detector = Remembering()
    for name in names:
        path = shared_data / "videos" / f"{name}.mp4"
        video = Video(name, path, "dog", "label", end_s=6.0)
        ledgers = []
        for every_s in (0.0, DetectConfig().key_every_s):
            before = detector.asked
            found = extract_crops(
                video,
                detector,
                sampling=Sampling(every_nth=1),
                detect=DetectConfig(key_every_s=every_s),
                crop=CropConfig(),
                cache_dir=tmp_path,
            )
            ledgers.append(found.read_ledger().set_index("frame_index"))
        looked_at += detector.asked - before
        all_used, key_used = (ledger[ledger["fate"] == "used"] for ledger in ledgers)
        both = all_used.index.intersection(key_used.index)
        box = ["x0", "y0", "x1", "y1"]
        for a, b in zip(
            all_used.loc[both, box].to_numpy(), key_used.loc[both, box].to_numpy(), strict=True
        ):
            overlaps.append(compute_iou(tuple(a), tuple(b)))
        frames, used = frames + len(ledgers[0]), used + len(all_used)
        missed += len(all_used) - len(both)
    assert len(overlaps) > 400
    assert np.mean(overlaps) >= 0.85
    assert np.percentile(overlaps, 5) >= 0.8
    assert missed <= 0.01 * used
    assert looked_at <= 0.6 * frames
