import pytest

from canemo.config import load_config
from canemo.faces.study_crops import extract_study_crops
from canemo.features.extraction import Extraction
from canemo.records import Study, Video
from canemo.species import DOG
from clips import write_clip
from painted import PaintedFaceDetector, painter


def crop_study(study):
    extraction = Extraction(load_config(), PaintedFaceDetector(), (), study.root / "cache")
    return extract_study_crops(study, extraction.crop, species=DOG, progress=print)


def crop(folder, boxes_by_video):
    videos = []
    for number, (name, boxes) in enumerate(boxes_by_video.items()):
        draw = painter(
            lambda n, boxes=boxes, shift=number: [(c, x + shift, y, s) for c, x, y, s in boxes]
        )
        path = write_clip(folder / f"{name}.mp4", frames=5, rate=5, size=(160, 120), draw=draw)
        videos.append(Video(name, path, "dog", "frustration"))
    study = Study(folder, tuple(videos))
    return crop_study(study)


def test_one_doubt_names_all_its_videos_and_only_those(tmp_path):
    one, two = [("red", 10, 30, 50)], [("red", 10, 30, 50), ("blue", 100, 30, 40)]
    crops = crop(tmp_path, {"alone": one, "first": two, "second": two})
    [line] = crops.warnings
    assert line.startswith("video first, second: 2 faces are there")


def test_video_without_a_face_is_named_with_its_fates(tmp_path):
    crops = crop(tmp_path, {"seen": [("red", 10, 30, 50)], "empty": []})
    assert crops.warnings == ("video 'empty' has no usable face: 5 frames no_face",)
    assert set(crops.used["video_id"]) == {"seen"}


@pytest.mark.parametrize("missing", ["nowhere.mp4"])
def test_video_that_cannot_be_opened_is_a_row_without_a_number(tmp_path, missing):
    path = write_clip(
        tmp_path / "a.mp4",
        frames=2,
        size=(160, 120),
        draw=painter(lambda n: [("red", 10, 30, 50)]),
    )
    videos = (
        Video("a", path, "dog", "x"),
        Video("b", tmp_path / missing, "dog", "x"),
    )
    study = Study(tmp_path, videos)
    crops = crop_study(study)
    row = crops.ledger[crops.ledger["video_id"] == "b"].iloc[0]
    assert row["fate"] == "decode_error"
    assert row.isna()["frame_index"]
    assert missing in crops.warnings[0]
