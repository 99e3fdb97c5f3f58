import json
import logging

import numpy as np
import pytest

from canemo.config import CropConfig, DetectConfig
from canemo.errors import AnnotationError, ConfigError
from canemo.faces.crops import extract_crops
from canemo.faces.detect.registry import load_detector
from canemo.formats.boxes.coco import AnnotatedImage, write_coco
from canemo.records import Fate, Video
from canemo.video.times import Sampling
from clips import write_clip
from painted import paint, painter

BOX, LATER = (20.0, 30.0, 60.0, 70.0), (40.0, 30.0, 80.0, 70.0)


def write_boxes(folder, drawn, *, video_id="clip", size=(160, 120)):
    """Write boxes by number of frame."""
    images = [
        AnnotatedImage(
            folder / f"{video_id}__{number:06d}.jpg", *size, boxes, ("face",) * len(boxes)
        )
        for number, boxes in drawn.items()
    ]
    return write_coco(folder / "faces.json", images)


def crop(folder, faces_json, *, number=10, **detect):
    path = write_clip(
        folder / "clip.mp4", frames=number, rate=10, size=(160, 120),
        draw=painter(lambda _: [("red", 20, 30, 40)]),
    )  # fmt: skip
    found = extract_crops(
        Video("clip", path, "s", "l"),
        load_detector(str(faces_json)),
        sampling=Sampling(every_nth=1),
        detect=DetectConfig(**detect),
        crop=CropConfig(),
        cache_dir=folder / "cache",
    )
    return found.read_ledger().set_index("frame_index")


def test_boxes_move_on_a_straight_line_between_frames_that_were_drawn_on(tmp_path):
    ledger = crop(tmp_path, write_boxes(tmp_path, {1: [BOX], 5: [LATER]}))
    used = ledger.index[ledger["fate"] == Fate.USED].tolist()
    assert used == [1, 2, 3, 4, 5]
    assert ledger.loc[used, "x0"].tolist() == pytest.approx([20, 25, 30, 35, 40])
    assert set(ledger.loc[[0, 6, 9], "fate"]) == {Fate.NO_FACE}


def test_no_box_is_made_up_across_a_long_gap_or_where_a_frame_was_found_empty(tmp_path):
    drawn = {0: [BOX], 2: [], 4: [BOX], 9: [BOX]}
    fates = crop(tmp_path, write_boxes(tmp_path, drawn), max_gap_s=0.15, follow=False)["fate"]
    assert fates.index[fates == Fate.USED].tolist() == [0, 4, 9]


def test_of_several_faces_those_that_overlap_are_one(tmp_path):
    far = (100.0, 30.0, 140.0, 70.0)
    detector = load_detector(
        str(write_boxes(tmp_path, {0: [far, BOX], 2: [(24.0, 30.0, 64.0, 70.0), far]}))
    )
    write_clip(tmp_path / "clip.mp4", frames=3, rate=10, size=(160, 120), draw=lambda _: paint())
    found = detector.in_video(Video("clip", tmp_path / "clip.mp4", "s", "l"), max_gap_s=1.0)
    [faces] = found.detect_in([type("F", (), {"frame_index": 1, "image_rgb": paint()})()])
    assert sorted(face.box_xyxy for face in faces) == [(22.0, 30.0, 62.0, 70.0), far]


def test_the_same_boxes_are_the_same_detector_and_others_another(tmp_path):
    one = load_detector(str(write_boxes(tmp_path, {0: [BOX]})))
    assert load_detector(str(write_boxes(tmp_path, {0: [BOX]}))).fingerprint == one.fingerprint
    for drawn in ({0: [LATER]}, {1: [BOX]}):
        other = load_detector(str(write_boxes(tmp_path, drawn)))
        assert other.fingerprint != one.fingerprint


def test_a_video_without_boxes_has_no_faces_and_says_so(tmp_path, caplog):
    faces_json = write_boxes(tmp_path, {0: [BOX]}, video_id="other")
    with caplog.at_level(logging.WARNING, logger="canemo"):
        ledger = crop(tmp_path, faces_json)
    assert set(ledger["fate"]) == {Fate.NO_FACE}
    assert "no box is drawn on a frame of clip" in caplog.text


def test_boxes_on_frames_of_another_size_are_refused(tmp_path):
    with pytest.raises(AnnotationError, match=r"320 x 240 pixels, but the frames .* 160 x 120"):
        crop(tmp_path, write_boxes(tmp_path, {0: [BOX]}, size=(320, 240)))


def test_images_of_no_known_frame_are_left_out_and_alone_refused(tmp_path, caplog):
    faces_json = write_boxes(tmp_path, {0: [BOX]})
    content = json.loads(faces_json.read_text())
    content["images"].append({"id": 2, "file_name": "holiday.jpg", "width": 9, "height": 9})
    faces_json.write_text(json.dumps(content))
    with caplog.at_level(logging.WARNING, logger="canemo"):
        load_detector(str(faces_json))
    assert "1 images are left out, for they are of no known frame" in caplog.text
    content["images"] = [{**each, "file_name": "holiday.jpg"} for each in content["images"]]
    faces_json.write_text(json.dumps(content))
    with pytest.raises(AnnotationError, match="none of its 2 images which frame"):
        load_detector(str(faces_json))


def test_pictures_alone_are_not_searched(tmp_path):
    detector = load_detector(str(write_boxes(tmp_path, {0: [BOX]})))
    with pytest.raises(ConfigError, match="find no faces on 1 other pictures"):
        detector.detect([np.zeros((9, 9, 3), np.uint8)])
