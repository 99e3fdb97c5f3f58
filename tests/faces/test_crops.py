import threading
import weakref
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from canemo.config import CropConfig, DetectConfig, load_config
from canemo.errors import VideoOpenError
from canemo.faces.crop_file import LEDGER_COLUMNS
from canemo.faces.crop_images import compute_brightness, compute_sharpness
from canemo.faces.crops import CROPS_VERSION, extract_crops
from canemo.records import Fate, Video
from canemo.species import get_species
from canemo.video.reader import VideoReader
from canemo.video.times import Sampling
from clips import cut_short, damage_bytes, write_clip
from painted import COLOURS, PaintedFaceDetector, painter

EVERY = Sampling(every_nth=1)
LOOK_AT_ALL = DetectConfig(key_every_s=0)


def extract(path: Path, tmp_path: Path, detector=None, *, sampling=EVERY, detect=None, crop=None):
    video = Video("clip", path, "dog", "frustration")
    return extract_crops(
        video,
        detector or PaintedFaceDetector(),
        sampling=sampling,
        detect=detect or DetectConfig(),
        crop=crop or CropConfig(),
        cache_dir=tmp_path / "cache",
    )


def clip_of(tmp_path: Path, boxes, *, frames=8, size=(160, 120)) -> Path:
    return write_clip(
        tmp_path / "clip.mp4", frames=frames, size=size, draw=painter(boxes, size=size)
    )


def test_every_frame_has_one_row_and_one_fate(tmp_path):
    boxes = {0: [("red", 40, 40, 40)], 1: [], 2: [("red", 40, 40, 12)]}
    path = clip_of(tmp_path, lambda n: boxes[min(n, 2)], frames=4)
    found = extract(path, tmp_path, detect=DetectConfig(max_gap_s=0))
    ledger = found.read_ledger()
    assert ledger["frame_index"].tolist() == [0, 1, 2, 3]
    assert ledger["fate"].tolist() == ["used", "no_face", "too_small", "too_small"]


def test_crop_shows_the_face_and_nothing_else(tmp_path):
    path = clip_of(tmp_path, lambda n: [("red", 40 + n, 40, 40)])
    found = extract(path, tmp_path)
    [(indices, crops)] = list(found.iter_crops(100))
    assert indices == list(range(8))
    for crop in crops:
        assert crop.shape[:2] == (40, 40)
        np.testing.assert_allclose(crop[5:-5, 5:-5].mean((0, 1)), COLOURS["red"], atol=8)


def test_box_and_crop_rectangle_travel_with_the_crop(tmp_path):
    path = clip_of(tmp_path, lambda n: [("red", 40, 30, 40)], frames=1)
    row = extract(path, tmp_path).read_ledger().iloc[0]
    assert [row.x0, row.y0, row.x1, row.y1] == pytest.approx([40, 30, 80, 70], abs=1)
    assert [row.crop_x0, row.crop_y0, row.crop_x1, row.crop_y1] == [row.x0, row.y0, row.x1, row.y1]
    assert row.box_source == "detected"


def test_missed_frame_between_two_detections_is_cut_from_its_own_pixels(tmp_path):
    def boxes(n):
        return [("blue" if n == 2 else "red", 40, 40, 40)]

    path = clip_of(tmp_path, boxes, frames=5)
    found = extract(path, tmp_path, PaintedFaceDetector(blue=0.05), detect=LOOK_AT_ALL)
    assert found.read_ledger()["box_source"].tolist() == [
        "detected", "detected", "interpolated", "detected", "detected",
    ]  # fmt: skip
    middle = found.read_crop(2)[10:30, 10:30].mean((0, 1))
    np.testing.assert_allclose(middle, COLOURS["blue"], atol=9)


def test_faint_face_is_low_score_and_next_to_nothing_is_no_face(tmp_path):
    path = clip_of(tmp_path, lambda n: [("red", 40, 40, 40)], frames=1)
    detectors = [PaintedFaceDetector(red=score) for score in (0.1, 0.4, 0.6)]
    found = [extract(path, tmp_path / str(d.scores["red"]), d) for d in detectors]
    assert [each.read_ledger()["fate"][0] for each in found] == [
        Fate.NO_FACE,
        Fate.LOW_SCORE,
        Fate.USED,
    ]


def test_second_dog_is_counted_and_its_frames_are_not_used(tmp_path):
    def boxes(n):
        second = [("blue", 110, 60, 30)] if n < 6 else []
        return [("red", 20, 20, 60), *second] if n != 7 else [("blue", 110, 60, 30)]

    found = extract(clip_of(tmp_path, boxes), tmp_path)
    ledger = found.read_ledger()
    assert found.persistent_faces == 2
    assert ledger["fate"].tolist() == ["used"] * 7 + ["other_face"]
    assert (ledger["x1"][:7] < 90).all()


def test_video_without_a_face_is_a_result(tmp_path):
    found = extract(clip_of(tmp_path, lambda n: []), tmp_path)
    assert set(found.read_ledger()["fate"]) == {"no_face"}
    assert list(found.iter_crops(4)) == []


def test_truncated_video_gives_what_can_be_decoded_and_a_row_that_says_so(tmp_path):
    whole = write_clip(
        tmp_path / "whole.mkv",
        frames=40,
        size=(160, 120),
        draw=painter(lambda n: [("red", 40, 40, 40)]),
    )
    found = extract(cut_short(whole, 0.5), tmp_path)
    ledger = found.read_ledger()
    assert found.damage is not None
    assert ledger["fate"].iloc[-1] == Fate.DECODE_ERROR
    assert 0 < (ledger["fate"] == Fate.USED).sum() < 40


def test_cached_answer_is_used_and_settings_are_part_of_the_address(tmp_path):
    path = clip_of(tmp_path, lambda n: [("red", 40, 40, 40)])
    detector = PaintedFaceDetector()
    first = extract(path, tmp_path, detector)
    seen = detector.images_seen
    assert extract(path, tmp_path, detector).path == first.path
    assert detector.images_seen == seen
    assert not first.cached
    assert extract(path, tmp_path, detector).cached
    assert extract(path, tmp_path, detector, crop=CropConfig(margin=0.1)).path != first.path
    named = DetectConfig(engine=detector.engine)  # as a finished run names what ran it
    assert extract(path, tmp_path, detector, detect=named).path == first.path


def test_crops_that_another_version_kept_are_made_again(tmp_path, monkeypatch):
    path, detector = clip_of(tmp_path, lambda n: [("red", 40, 40, 40)]), PaintedFaceDetector()
    with monkeypatch.context() as earlier:
        earlier.setattr("canemo.faces.crops.CROPS_VERSION", CROPS_VERSION - 1)
        kept = extract(path, tmp_path, detector)
    kept.path.write_bytes(b"of a form that nobody reads any more")
    found = extract(path, tmp_path, detector)
    assert (found.cached, found.path != kept.path) == (False, True)
    assert set(found.read_ledger()["fate"]) == {"used"}


def test_label_and_name_are_no_part_of_the_address_but_come_with_every_row(tmp_path):
    path = clip_of(tmp_path, lambda n: [("red", 40, 40, 40)], frames=2)
    detector = PaintedFaceDetector()
    first = extract(path, tmp_path, detector)
    renamed = extract_crops(
        Video("other", path, "007", "Spaß"),
        detector,
        sampling=EVERY,
        detect=DetectConfig(),
        crop=CropConfig(),
        cache_dir=tmp_path / "cache",
    )
    assert renamed.path == first.path
    assert renamed.cached
    ledger = renamed.read_ledger()
    assert (
        ledger[["video_id", "subject_id", "label"]].to_numpy().tolist()
        == [["other", "007", "Spaß"]] * 2
    )


def test_part_without_a_frame_is_a_row_that_says_so(tmp_path):
    path = clip_of(tmp_path, lambda n: [("red", 40, 40, 40)])
    found = extract_crops(
        Video("clip", path, "dog", "frustration", start_s=50.0),
        PaintedFaceDetector(),
        sampling=EVERY,
        detect=DetectConfig(),
        crop=CropConfig(),
        cache_dir=tmp_path / "cache",
    )
    assert found.damage == "no frame from start_s=50.0 to end_s=None"
    assert found.read_ledger()["fate"].tolist() == [Fate.DECODE_ERROR]


def test_name_too_long_for_the_disk_is_a_video_that_cannot_be_opened(tmp_path):
    with pytest.raises(VideoOpenError, match="cannot be read"):
        extract(tmp_path / ("x" * 300 + ".mp4"), tmp_path)


def test_interrupted_video_leaves_no_file_behind(tmp_path):
    class Interrupted(PaintedFaceDetector):
        def detect(self, images_rgb):
            raise KeyboardInterrupt

    path = clip_of(tmp_path, lambda n: [("red", 40, 40, 40)])
    with pytest.raises(KeyboardInterrupt):
        extract(path, tmp_path, Interrupted())
    assert list((tmp_path / "cache" / "crops").iterdir()) == []


def test_large_faces_are_shrunk_to_the_short_side(tmp_path):
    path = clip_of(tmp_path, lambda n: [("red", 100, 50, 360)], frames=1, size=(640, 480))
    assert extract(path, tmp_path).read_crop(0).shape == (320, 320, 3)


def test_without_following_single_frames_between_misses_are_kept_and_nothing_is_bridged(tmp_path):
    def boxes(n):
        return [("blue" if n % 3 else "red", 40, 40, 40)]  # blue is missed: two frames of three

    path = clip_of(tmp_path, boxes, frames=9)
    detector = PaintedFaceDetector(blue=0.05)
    alone = extract(path, tmp_path, detector, detect=DetectConfig(follow=False))
    followed = extract(path, tmp_path, detector, detect=LOOK_AT_ALL)
    assert alone.path != followed.path
    ledger = alone.read_ledger()
    assert ledger.loc[ledger["fate"] == Fate.USED, "frame_index"].tolist() == [0, 3, 6]
    assert set(ledger["box_source"].dropna()) == {"detected"}
    assert "interpolated" in set(followed.read_ledger()["box_source"])


def test_ledger_holds_both_for_crops_and_nothing_for_the_rest(tmp_path):
    path = clip_of(tmp_path, lambda n: [("red", 40, 40, 40)] if n < 2 else [], frames=3)
    found = extract(path, tmp_path, crop=CropConfig(margin=0.3))
    ledger = found.read_ledger()
    assert list(ledger.columns) == LEDGER_COLUMNS
    for row in ledger.iloc[:2].itertuples():
        crop = found.read_crop(row.frame_index)
        assert row.brightness == pytest.approx(compute_brightness(crop), abs=1)
        assert row.sharpness == pytest.approx(compute_sharpness(crop), rel=0.1)
    assert ledger.loc[2, ["brightness", "sharpness"]].isna().all()
    assert set(ledger[["brightness", "sharpness"]].dtypes) == {np.dtype("float32")}


def test_bridged_face_is_as_bright_and_sharp_as_the_same_face_found(tmp_path):
    class Blinking(PaintedFaceDetector):
        def detect(self, images_rgb):
            self.images_seen += len(images_rgb)
            first = self.images_seen - len(images_rgb)
            found = [self._find(image) for image in images_rgb]
            return [[] if first + n == 2 else faces for n, faces in enumerate(found)]

    path = clip_of(tmp_path, lambda n: [("red", 40, 40, 40)], frames=5)
    options = {"crop": CropConfig(margin=0.3), "detect": LOOK_AT_ALL}
    found = extract(path, tmp_path, **options).read_ledger()
    bridged = extract(path, tmp_path / "other", Blinking(), **options).read_ledger()
    assert bridged["box_source"].tolist()[2] == "interpolated"
    assert bridged["brightness"][2] == pytest.approx(found["brightness"][2], abs=1)
    assert bridged["sharpness"][2] == pytest.approx(found["sharpness"][2], rel=0.1)


# -- key frames ------------------------------------------------------------------------------------


def moving(number):
    return [("red", 20 + number, 40, 40)]


def test_frames_between_key_frames_have_a_crop_of_their_own_pixels_and_say_so(tmp_path):
    path = clip_of(tmp_path, moving, frames=26)
    detector = PaintedFaceDetector()
    found = extract(path, tmp_path, detector)
    ledger = found.read_ledger()
    assert detector.images_seen == 6  # at 25 frames per second: every fifth
    assert set(ledger["fate"]) == {"used"}
    looked_at = ledger.loc[ledger["box_source"] == "detected", "frame_index"]
    assert looked_at.tolist() == [0, 5, 10, 15, 20, 25]
    assert set(ledger["box_source"]) == {"detected", "between"}
    np.testing.assert_allclose(ledger["x0"], 20 + np.arange(26), atol=1)
    for _, crops in found.iter_crops(100):
        for crop in crops:
            np.testing.assert_allclose(crop[5:-5, 5:-5].mean((0, 1)), COLOURS["red"], atol=8)


def test_key_frames_change_nothing_up_to_five_frames_per_second(tmp_path):
    path = clip_of(tmp_path, moving, frames=60)
    contents = []
    for every_s in (0, DetectConfig().key_every_s):
        detect = DetectConfig(key_every_s=every_s)
        found = extract(path, tmp_path, sampling=Sampling(fps=5), detect=detect)
        assert not found.cached  # the spacing is part of the address
        contents.append(found.path.read_bytes())
    assert contents[0] == contents[1]


def test_without_following_every_frame_is_looked_at_whatever_the_spacing(tmp_path):
    path = clip_of(tmp_path, moving, frames=26)
    detector = PaintedFaceDetector()
    found = extract(path, tmp_path, detector, detect=DetectConfig(follow=False, key_every_s=5))
    assert detector.images_seen == 26
    assert set(found.read_ledger()["box_source"]) == {"detected"}


def test_the_papers_preset_looks_at_every_frame():
    assert load_config(preset="paper").detect.key_every_s == 0


# -- decoding ahead --------------------------------------------------------------------------------


def ahead_threads():
    return [thread for thread in threading.enumerate() if thread.name == "read_ahead"]


@pytest.fixture
def clip_with_a_gap(tmp_path):
    """A clip whose middle is damaged: some frames are lost, others have a broken picture."""
    path = write_clip(
        tmp_path / "gap.mkv", frames=60, size=(160, 120), draw=painter(moving), key_every=10
    )
    return damage_bytes(path, 0.4, 0.6)


def test_decoding_ahead_changes_no_byte_also_of_a_damaged_video(
    tmp_path, monkeypatch, clip_with_a_gap
):
    ahead = extract(clip_with_a_gap, tmp_path / "ahead")
    monkeypatch.setattr(
        "canemo.faces.crops._read_frames", lambda reader: (frame for frame in reader)
    )
    plain = extract(clip_with_a_gap, tmp_path / "plain")
    assert ahead.damage is not None
    assert Fate.DECODE_ERROR in set(ahead.read_ledger()["fate"])
    assert ahead.path.read_bytes() == plain.path.read_bytes()


def test_detector_that_fails_ends_the_decoding_before_the_file_is_closed(tmp_path, monkeypatch):
    class Failing(PaintedFaceDetector):
        def detect(self, images_rgb):
            raise RuntimeError("out of memory")

    at_close = []
    close = VideoReader.close

    def watched(reader):
        at_close.append(len(ahead_threads()))
        close(reader)

    monkeypatch.setattr(VideoReader, "close", watched)
    path = clip_of(tmp_path, moving, frames=60)
    with pytest.raises(RuntimeError, match="out of memory"):
        extract(path, tmp_path, Failing())
    assert at_close == [0]


def test_decoder_that_fails_is_heard_of_and_leaves_no_file(tmp_path, monkeypatch):
    iterate = VideoReader.__iter__

    def failing(reader):
        for frame in iterate(reader):
            if frame.frame_index == 20:
                raise MemoryError("no room for another picture")
            yield frame

    monkeypatch.setattr(VideoReader, "__iter__", failing)
    path = clip_of(tmp_path, moving, frames=60)
    with pytest.raises(MemoryError, match="another picture"):
        extract(path, tmp_path)
    assert list((tmp_path / "cache" / "crops").iterdir()) == []
    assert ahead_threads() == []


def test_frames_alive_at_once_do_not_grow_with_the_video(tmp_path, monkeypatch):
    iterate = VideoReader.__iter__
    alive, most = [], [0]

    def watched(reader):
        for frame in iterate(reader):
            alive[:] = [ref for ref in alive if ref() is not None]
            alive.append(weakref.ref(frame.image_rgb))
            most[0] = max(most[0], len(alive))
            yield frame
            del frame

    monkeypatch.setattr(VideoReader, "__iter__", watched)
    monkeypatch.setattr("canemo.faces.key_frames.HELD_FRAMES", 12)
    path = clip_of(tmp_path, lambda n: [("red", 20 + n // 4, 40, 40)], frames=200)
    assert len(extract(path, tmp_path).read_ledger()) == 200
    assert most[0] <= 12 + 2 + 8 + 2  # a group, one before and after it, those that wait, in hand


def test_cut_says_what_to_write_only_where_the_clip_has_a_row(tmp_path):
    found = replace(
        extract(clip_of(tmp_path, lambda n: [("red", 40, 30, 40)], frames=1), tmp_path),
        cuts_s=(2.0,),
    )
    with_row, without = (
        found.describe_doubts(get_species("dog"), has_row=has_row)["cut"]
        for has_row in (True, False)
    )
    assert with_row.endswith("(write 2.00 in a column end_s of videos.csv) or remove it")
    assert without.endswith("cut, at 2.00 s; another dog or scene may follow")
