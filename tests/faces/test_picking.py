import json
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image as PilImage

from canemo.errors import ConfigError, OutputExistsError, VideoOpenError
from canemo.faces.annotations.picking import pick_frames, write_picked
from canemo.faces.annotations.subjects import find_subjects
from canemo.formats.boxes.coco import load_coco
from canemo.networks.backbones import Embedding, load_backbone
from canemo.records import Study, Video
from canemo.video.reader import VideoReader, iter_frames
from canemo.video.times import Sampling
from clips import draw_number, read_number, write_clip

EVERY = Sampling(every_nth=1)
SCENES = ((230, 40, 40), (40, 230, 40), (40, 40, 230))


class ColourBackbone:
    """Says of a picture what colours it has where, on a grid of 4 x 4."""

    def __init__(self):
        self.batches = []

    def embed(self, images_rgb):
        self.batches.append(len(images_rgb))
        small = [np.asarray(PilImage.fromarray(i).resize((4, 4))) for i in images_rgb]
        cls = torch.from_numpy(np.stack(small).reshape(len(small), -1).astype(np.float32) / 255)
        return Embedding(cls, cls[:, None], cls[:, None])


def write_study(root: Path, clips_of_subject: dict[str, int], *, frames=8, draw=None) -> Study:
    videos = []
    for subject_id, clips in clips_of_subject.items():
        for clip in range(clips):
            video_id = f"{subject_id} clip {clip}"
            path = write_clip(root / f"{video_id}.mp4", frames=frames, rate=5, draw=draw)
            videos.append(Video(video_id, path, subject_id, "ab"[clip % 2]))
    return Study(root, tuple(videos))


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return write_study(tmp_path_factory.mktemp("study"), {"dog1": 1, "dog2": 3, "dog3": 2})


def pick(study, number, *, sampling=EVERY, **kwargs):
    return pick_frames(study, number, backbone=ColourBackbone(), sampling=sampling, **kwargs)


def scene_painter(lengths):
    """Draw three scenes of one colour each, one after the other; a mark moves on in every frame."""
    scene = np.repeat(np.arange(3), lengths)

    def draw(number):
        image = np.full((48, 64, 3), SCENES[scene[number]], np.uint8)
        image[10:14, number % 60 : number % 60 + 4] = 255
        return image

    return draw


def test_subjects_give_alike_and_so_do_their_clips(study):
    picked = pick(study, 18)
    assert Counter(frame.subject_id for frame in picked) == {"dog1": 6, "dog2": 6, "dog3": 6}
    per_clip = Counter(frame.video_id for frame in picked)
    assert {per_clip[f"dog2 clip {clip}"] for clip in range(3)} == {2}
    assert {per_clip[f"dog3 clip {clip}"] for clip in range(2)} == {3}


def test_remainder_goes_to_different_subjects_and_seeds_decide_to_whom(study):
    shares = [
        tuple(sorted(Counter(f.subject_id for f in pick(study, 10, seed=seed)).items()))
        for seed in range(6)
    ]
    assert all(sorted(count for _, count in share) == [3, 3, 4] for share in shares)
    assert len(set(shares)) > 1


def test_what_a_subject_lacks_the_others_give(study):
    counts = Counter(frame.subject_id for frame in pick(study, 30))  # dog1 has 8 frames
    assert counts == {"dog1": 8, "dog2": 11, "dog3": 11}


def test_fewer_frames_than_wanted_are_all_picked_with_a_warning(study, caplog):
    picked = pick(study, 500)
    assert len(picked) == 6 * 8
    assert "500 frames wanted, there are 48; all are picked" in caplog.text


def test_fewer_frames_than_subjects(study):
    assert len({frame.subject_id for frame in pick(study, 2)}) == 2


@pytest.mark.parametrize("lengths", [(50, 3, 1), (2, 60, 2)])
@pytest.mark.parametrize("number", [3, 5])
def test_each_scene_is_picked_however_short(tmp_path, lengths, number):
    study = write_study(tmp_path, {"dog": 1}, frames=sum(lengths), draw=scene_painter(lengths))
    scene = np.repeat(np.arange(3), lengths)
    for seed in range(3):
        picked = pick(study, number, seed=seed)
        assert {scene[frame.frame_index] for frame in picked} == {0, 1, 2}


def test_no_frame_is_picked_twice_and_order_is_that_of_the_study(study):
    picked = pick(study, 40)
    places = [(frame.video_id, frame.frame_index) for frame in picked]
    assert len(set(places)) == 40
    assert len({(frame.video_id, frame.time_s) for frame in picked}) == 40
    order = [video.video_id for video in study.videos]
    assert places == sorted(places, key=lambda place: (order.index(place[0]), place[1]))


def test_parts_of_one_file_that_overlap_give_a_picture_once(tmp_path):
    path = write_clip(tmp_path / "both.mp4", frames=10, rate=5)
    parts = (Video("a", path, "dog", "a", 0.0, 1.4), Video("b", path, "dog", "b", 1.0, 2.0))
    picked = pick(Study(tmp_path, parts), 10)
    assert [frame.frame_index for frame in picked] == list(range(10))
    assert [frame.video_id for frame in picked] == ["a"] * 7 + ["b"] * 3


def test_pictures_that_are_all_the_same_are_picked_apart_in_time(tmp_path):
    same = write_study(tmp_path, {"dog": 2}, frames=20, draw=lambda number: draw_number(3))
    picked = pick(same, 4)
    assert Counter(frame.video_id for frame in picked) == {"dog clip 0": 2, "dog clip 1": 2}
    first, second = (f.frame_index for f in picked if f.video_id == "dog clip 0")
    assert second - first > 5


def test_seed_decides_everything(study):
    assert pick(study, 11, seed=3) == pick(study, 11, seed=3)


def test_sampling_parts_and_times_are_kept(study):
    videos = tuple(
        Video(v.video_id, v.path, v.subject_id, v.label, start_s=0.4) for v in study.videos
    )
    picked = pick(Study(study.root, videos), 500, sampling=Sampling(every_nth=3))
    assert {frame.frame_index for frame in picked} == {2, 5}
    assert all(frame.time_s == pytest.approx(frame.frame_index / 5) for frame in picked)
    by_id = {video.video_id: video for video in videos}
    for frame in picked:
        video = by_id[frame.video_id]
        assert (frame.path, frame.subject_id, frame.label) == (
            video.path,
            video.subject_id,
            video.label,
        )


def test_pictures_are_looked_at_in_small_batches_and_progress_is_told(tmp_path):
    study = write_study(tmp_path, {"dog": 2}, frames=20)
    backbone, told = ColourBackbone(), []
    pick_frames(
        study, 3, backbone=backbone, sampling=EVERY, progress=lambda *done: told.append(done)
    )
    assert max(backbone.batches) <= 8
    assert sum(backbone.batches) == 40
    assert told == [(0, 2), (1, 2), (2, 2)]


def test_unreadable_video_is_a_warning(tmp_path, study, caplog):
    broken = tmp_path / "broken.mp4"
    broken.write_text("no video")
    videos = (Video("x", broken, "dog9", "a"), *study.videos)
    picked = pick(Study(tmp_path, videos), 9)
    assert Counter(frame.subject_id for frame in picked) == {"dog1": 3, "dog2": 3, "dog3": 3}
    assert "broken.mp4" in caplog.text
    with pytest.raises(VideoOpenError, match="not one frame of 1 videos can be read"):
        pick(Study(tmp_path, videos[:1]), 9)


def test_number_below_one_is_an_error(study):
    with pytest.raises(ConfigError, match="0 frames to pick"):
        pick(study, 0)


def test_works_with_a_real_backbone(study):
    backbone = load_backbone("efficientnet_lite0")
    few = Study(study.root, study.videos[:2])
    picked = pick_frames(few, 4, backbone=backbone, sampling=Sampling(every_nth=2))
    assert Counter(frame.subject_id for frame in picked) == {"dog1": 2, "dog2": 2}


# -- writing --------------------------------------------------------------------------------------


def test_images_show_the_frames_they_are_named_after(tmp_path, study):
    picked = pick(study, 12)
    images = load_coco(write_picked(picked, tmp_path / "faces"))
    assert len(images) == 12
    for frame, image in zip(picked, images, strict=True):
        pixels = np.asarray(PilImage.open(image.path))
        assert read_number(pixels) == frame.frame_index
        assert image.path.name.endswith(f"__{frame.frame_index:06d}.jpg")
        decoded = {f.frame_index: f.image_rgb for f in iter_frames(frame.path, sampling=EVERY)}
        assert np.abs(pixels.astype(int) - decoded[frame.frame_index]).mean() < 2
        assert (image.width, image.height) == (64, 48)
        assert image.boxes_xyxy == ()
        assert image.extra == {
            "video_id": frame.video_id,
            "subject_id": frame.subject_id,
            "frame_index": frame.frame_index,
            "time_s": frame.time_s,
        }


def test_files_are_complete_and_say_nothing_of_the_label(tmp_path, study):
    picked = pick(study, 6)
    coco_file = write_picked(picked, tmp_path)
    content = json.loads(coco_file.read_text())
    assert content["categories"] == [{"id": 1, "name": "face"}]
    assert content["annotations"] == []
    assert [image["id"] for image in content["images"]] == [1, 2, 3, 4, 5, 6]
    assert "label" not in content["images"][0]
    table = pd.read_csv(tmp_path / "frames.csv")
    assert table.columns.tolist() == [
        "file_name",
        "video_id",
        "subject_id",
        "frame_index",
        "time_s",
    ]
    names = [image["file_name"] for image in content["images"]]
    assert table["file_name"].tolist() == names
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(
        [*names, "faces.json", "frames.csv"]
    )


def test_colours_are_not_subsampled(tmp_path, study):
    write_picked(pick(study, 1), tmp_path)
    with PilImage.open(next(tmp_path.glob("*.jpg"))) as image:
        assert {layer[1:3] for layer in image.layer} == {(1, 1)}


def test_identifiers_unsafe_in_file_names_stay_distinct(tmp_path, study):
    path = study.videos[0].path
    names = ["a/b", "a\\b", "a_b", "a:b", "..", "Hündin 1", "x" * 300, "x" * 299]
    paths = [tmp_path / f"{number}.mp4" for number in range(len(names))]
    for copy in paths:
        copy.write_bytes(path.read_bytes())
    videos = tuple(Video(n, p, n, "waiting") for n, p in zip(names, paths, strict=True))
    picked = pick(Study(tmp_path, videos), len(names))
    out_dir = tmp_path / "out"
    images = load_coco(write_picked(picked, out_dir))
    assert [image.extra["video_id"] for image in images] == names
    assert len(list(out_dir.glob("*.jpg"))) == len(names)
    assert all(image.path.parent == out_dir and image.path.is_file() for image in images)
    assert images[2].path.name.startswith("a_b__")


def test_no_image_is_named_after_its_label(tmp_path, study):
    path = study.videos[0].path
    names = ["rex_Positive-anticipation_1", "rex_other_2"]
    paths = [tmp_path / f"{number}.mp4" for number in range(2)]
    for copy in paths:
        copy.write_bytes(path.read_bytes())
    videos = tuple(
        Video(n, p, "rex", "positive_anticipation") for n, p in zip(names, paths, strict=True)
    )
    out_dir = tmp_path / "out"
    images = load_coco(write_picked(pick(Study(tmp_path, videos), 4), out_dir))
    assert {image.path.name.split("__")[0] for image in images} == {"video0001", "video0002"}
    assert find_subjects(images, subjects_by_video=dict.fromkeys(names, "rex")) == ("rex",) * 4


def test_annotations_are_never_lost(tmp_path, study):
    picked, fewer = pick(study, 6), pick(study, 3)
    coco_file = write_picked(picked, tmp_path)
    with pytest.raises(OutputExistsError, match=r"faces\.json is there already"):
        write_picked(fewer, tmp_path)
    write_picked(fewer, tmp_path, force=True)
    content = json.loads(coco_file.read_text())
    assert len(content["images"]) == 3
    box = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 1, 9, 9]}
    for text in (json.dumps({**content, "annotations": [box]}), "half written {"):
        coco_file.write_text(text)
        with pytest.raises(OutputExistsError, match="may hold annotations"):
            write_picked(picked, tmp_path, force=True)
        assert coco_file.read_text() == text


def test_frame_that_is_gone_is_an_error_and_leaves_no_coco_file(tmp_path):
    study = write_study(tmp_path, {"dog": 1}, frames=10)
    picked = pick(study, 10)
    write_clip(study.videos[0].path, frames=4, rate=5)
    with pytest.raises(VideoOpenError, match="frame 4 was there when frames were picked"):
        write_picked(picked, tmp_path / "out")
    assert not (tmp_path / "out" / "faces.json").exists()


def test_each_file_is_read_once_for_all_its_frames(tmp_path, study, monkeypatch):
    opened = []

    class CountingReader(VideoReader):
        def __init__(self, path, **kwargs):
            opened.append(path)
            super().__init__(path, **kwargs)

    monkeypatch.setattr("canemo.faces.annotations.picking.VideoReader", CountingReader)
    picked = pick(study, 12)
    write_picked(picked, tmp_path)
    assert sorted(opened) == sorted({frame.path for frame in picked})
