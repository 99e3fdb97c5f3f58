import json

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from canemo.errors import AnnotationError, ConfigError, OutputExistsError
from canemo.faces.training.records import MaskRCNNTraining
from canemo.formats.boxes.coco import load_coco
from canemo.pipeline import detector
from painted import PaintedFaceDetector, write_painted_study


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return write_painted_study(tmp_path_factory.mktemp("study") / "study", subjects=3, clips=2)


@pytest.fixture(scope="module")
def picked(study, tmp_path_factory):
    out = tmp_path_factory.mktemp("picked") / "faces"
    return detector.pick_study_frames(study, out, number=9)


def annotate(coco_file):
    """Draw the red squares of the painted study into a COCO file, as a person would."""
    content = json.loads(coco_file.read_text(encoding="utf-8"))
    for image in content["images"]:
        pixels = np.asarray(Image.open(coco_file.parent / image["file_name"]).convert("RGB"))
        (face,) = PaintedFaceDetector().detect([pixels])[0]
        x0, y0, x1, y1 = face.box_xyxy
        content["annotations"].append(
            {
                "id": len(content["annotations"]) + 1,
                "image_id": image["id"],
                "category_id": 1,
                "bbox": [x0, y0, x1 - x0, y1 - y0],
                "area": (x1 - x0) * (y1 - y0),
                "iscrowd": 0,
            }
        )
    coco_file.write_text(json.dumps(content), encoding="utf-8")
    return content


def test_picked_frames_are_spread_over_all_dogs(picked):
    coco, frames = picked
    counts = pd.Series([frame.subject_id for frame in frames]).value_counts()
    assert counts.to_dict() == {"dog0": 3, "dog1": 3, "dog2": 3}
    assert len(load_coco(coco)) == 9


def test_annotations_are_never_replaced(picked, study):
    coco, _ = picked
    annotate(coco)
    for force in (False, True):
        with pytest.raises(OutputExistsError):
            detector.pick_study_frames(study, coco.parent, number=3, force=force)
    assert len(json.loads(coco.read_text(encoding="utf-8"))["annotations"]) >= 9


def test_training_keeps_dogs_apart_and_its_detector_is_a_detector(study, tmp_path):
    coco, _ = detector.pick_study_frames(study, tmp_path / "faces", number=9)
    annotate(coco)
    told = []
    trained = detector.train_detector(
        coco,
        training=MaskRCNNTraining(epochs=1, short_side_px=96),
        body="efficientnet_lite0",
        progress=lambda *step: told.append(step),
    )
    record = trained.record
    assert trained.weights == coco.parent / "detectors" / "mask_rcnn.safetensors"
    assert not set(record.train_subjects) & set(record.held_out_subjects)
    assert {*record.train_subjects, *record.held_out_subjects} == {"dog0", "dog1", "dog2"}
    assert record.train_counts.images + record.held_out_counts.images == 9
    assert "efficientnet_lite0 trained on ImageNet" in record.started_from
    assert told[-1] == ("train", 6, 6)
    both = detector.evaluate_detectors(coco, detectors=["dog_head", str(trained.weights)])
    assert [line["detector"] for line in both] == ["dog_head", "mask_rcnn"]
    assert [line["faces"] for line in both] == [9, 9]
    assert all(line["seconds_per_image"] > 0 for line in both)


def test_who_is_on_an_image_must_be_known(tmp_path):
    Image.new("RGB", (64, 48)).save(tmp_path / "one.jpg")
    image = {"id": 1, "file_name": "one.jpg", "width": 64, "height": 48}
    box = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [4, 4, 20, 20]}
    content = {"images": [image], "annotations": [box], "categories": [{"id": 1, "name": "face"}]}
    coco = tmp_path / "faces.json"
    coco.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(AnnotationError, match="not known whose face"):
        detector.train_detector(coco, body="efficientnet_lite0")


def test_study_without_annotations_says_how_to_get_some(study):
    with pytest.raises(ConfigError, match=r"canemo frames.*canemo detector import"):
        detector.train_detector(study)
    with pytest.raises(ConfigError, match="'yolo' cannot be trained"):
        detector.train_detector(study, model="yolo")


def test_import_finds_the_studys_own_videos(study, tmp_path):
    export = tmp_path / "export.xml"
    export.write_text(
        "<annotations><version>1.1</version><meta><task><name>s0c0</name><size>5</size>"
        "<start_frame>0</start_frame><stop_frame>4</stop_frame></task></meta>"
        '<track id="0" label="face">'
        '<box frame="0" outside="0" keyframe="1" xtl="20" ytl="20" xbr="70" ybr="70"/>'
        '<box frame="4" outside="0" keyframe="1" xtl="24" ytl="24" xbr="74" ybr="74"/>'
        "</track></annotations>",
        encoding="utf-8",
    )
    found = detector.import_faces(export, study, step=2)
    images = {image.extra["frame_index"]: image for image in load_coco(found.coco_file)}
    assert sorted(images) == [0, 2, 4]
    assert images[2].boxes_xyxy == ((22.0, 22.0, 72.0, 72.0),)
    assert images[2].extra["video_id"] == "s0c0"


def test_frames_that_were_picked_are_found_by_the_import(study, tmp_path):
    home = tmp_path / "study"
    coco, picked = detector.pick_study_frames(study, home / "faces", number=3)
    export = tmp_path / "elsewhere" / "export.json"
    export.parent.mkdir()
    export.write_text(json.dumps(annotate(coco)), encoding="utf-8")
    found = detector.import_faces(export, home)
    assert (found.images, found.boxes) == (3, 3)
    assert {image.path.name for image in load_coco(found.coco_file)} == {
        image.path.name for image in load_coco(coco)
    }
    assert len(picked) == 3
