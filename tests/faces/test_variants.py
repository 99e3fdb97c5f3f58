from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from canemo.config import CropConfig, DetectConfig
from canemo.errors import ConfigError, VideoOpenError
from canemo.faces import variants as module
from canemo.faces.crop_images import compute_brightness, compute_sharpness
from canemo.faces.crops import extract_crops
from canemo.faces.variants import hide_band, hide_face, list_variants, make_variants, pick_frames
from canemo.features.store import extract_features, load_features
from canemo.networks.backbones import load_backbone
from canemo.records import Fate, Video
from canemo.species import DOG
from canemo.video.reader import VideoReader
from canemo.video.times import Sampling
from clips import write_clip
from painted import GREY, PaintedFaceDetector, paint, painter

EVERY = Sampling(every_nth=1)
SIDE = 40


def face_at(number):
    return [("red", 40 + 2 * number, 50, SIDE)]


def draw_marked_face(number):
    """Draw stripes of 2 columns in and around the face, so that no row has the mean colour."""
    image = paint(*face_at(number))
    image[:, ::4] -= 25
    image[:, 1::4] -= 25
    return image


def crops_of(
    folder,
    boxes=face_at,
    *,
    frames=10,
    size=(160, 120),
    draw=None,
    sampling=EVERY,
    crop=None,
    **part,
):
    draw = draw or painter(boxes, size=size)
    path = write_clip(folder / "clip.mp4", frames=frames, size=size, draw=draw, rate=10)
    return extract_crops(
        Video("clip", path, "007", "frustration", **part),
        PaintedFaceDetector(),
        sampling=sampling,
        detect=DetectConfig(max_gap_s=0),
        crop=crop or CropConfig(),
        cache_dir=folder / "cache",
    )


def make(crops, folder, variants=None, *, frames=4, sampling=EVERY, crop=None):
    return make_variants(
        crops,
        variants,
        species=DOG,
        frames_per_clip=frames,
        sampling=sampling,
        crop=crop or CropConfig(),
        cache_dir=folder / "cache",
    )


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return crops_of(tmp_path_factory.mktemp("source"))


@pytest.fixture(scope="module")
def made(source, tmp_path_factory):
    return make(source, tmp_path_factory.mktemp("made"))


def reddish(image):
    return (image[..., 0].astype(int) - image[..., 1] > 60).sum()


def test_every_variant_is_described():
    assert tuple(list_variants(DOG)) == (
        "background",
        "whole_frame",
        "without_ears",
        "without_eyes",
        "without_muzzle",
    )
    assert all(list_variants(DOG).values())
    assert tuple(list_variants(replace(DOG, bands={}))) == ("background", "whole_frame")
    assert [edge for edges in DOG.bands.values() for edge in edges] == [0, 0.3, 0.3, 0.55, 0.55, 1]


def test_background_has_the_size_and_colour_of_the_frame_and_nothing_of_the_face(made):
    for frame_index in (1, 3, 6, 8):
        picture = made["background"].read_crop(frame_index)
        assert picture.shape == (120, 160, 3)
        assert np.abs(picture.astype(int) - GREY).max() <= 6


def test_whole_frame_shows_face_and_background_of_its_own_moment(made):
    for frame_index in (1, 3, 6, 8):
        picture = made["whole_frame"].read_crop(frame_index)
        truth = paint(*face_at(frame_index))
        assert picture.shape == truth.shape
        assert np.abs(picture.astype(int) - truth).mean() < 2
        assert reddish(picture) == pytest.approx(SIDE**2, rel=0.1)


@pytest.mark.parametrize(
    ("margin", "part", "first", "end"),
    [
        (0.0, "ears", 0, 12),
        (0.0, "eyes", 12, 22),
        (0.0, "muzzle", 22, 40),
        (0.5, "ears", 0, 32),  # the face begins 20 rows below the edge of the crop
        (0.5, "eyes", 32, 42),
        (0.5, "muzzle", 42, 80),
    ],
)
def test_band_has_the_mean_colour_of_the_rest_which_is_untouched(
    tmp_path, margin, part, first, end
):
    crop = CropConfig(margin=margin)
    crops = crops_of(tmp_path, frames=3, crop=crop, draw=draw_marked_face)
    before = crops.read_crop(1).astype(int)
    after = make(crops, tmp_path, crop=crop)[f"without_{part}"].read_crop(1).astype(int)
    inside = np.zeros(len(before), dtype=bool)
    inside[first:end] = True
    assert before.shape == after.shape == (SIDE * (1 + 2 * margin),) * 2 + (3,)
    assert np.abs(after[inside] - before[~inside].mean((0, 1))).mean() < 2
    assert np.abs(after[~inside] - before[~inside]).mean() < 2
    changed = np.abs(after - before).mean((1, 2)) > 10  # sees a row too many or too few
    np.testing.assert_array_equal(changed, inside)


def test_frames_are_the_same_for_every_variant_and_evenly_spaced(source, made):
    assert pick_frames(source.read_ledger(), 4) == [1, 3, 6, 8]
    for variant in made.values():
        ledger = variant.read_ledger()
        assert ledger["frame_index"].tolist() == [1, 3, 6, 8]
        np.testing.assert_allclose(ledger["time_s"], [0.1, 0.3, 0.6, 0.8])
        assert [index for indices, _ in variant.iter_crops(3) for index in indices] == [1, 3, 6, 8]


@pytest.mark.parametrize(
    ("used", "wanted", "picked"),
    [
        ([4], 3, [4]),
        ([2, 5, 9], 3, [2, 5, 9]),
        (range(9), 1, [4]),
        (range(12), 3, [2, 6, 10]),
        ([0, 1, 2, 3, 100, 101], 2, [1, 100]),
        ([], 2, []),
    ],
)
def test_middle_of_equal_parts_of_the_used_frames_is_picked(used, wanted, picked):
    rows = [(index, Fate.USED) for index in used] + [(7000, Fate.NO_FACE), (None, "decode_error")]
    ledger = pd.DataFrame(rows, columns=["frame_index", "fate"]).astype({"frame_index": "Int64"})
    assert pick_frames(ledger, wanted) == picked


def test_unused_frames_are_never_taken(tmp_path):
    crops = crops_of(tmp_path, lambda n: face_at(n) if n in (2, 3, 7, 8) else [])
    for variant in make(crops, tmp_path, frames=9).values():
        assert variant.read_ledger()["frame_index"].tolist() == [2, 3, 7, 8]
        assert set(variant.read_ledger()["fate"]) == {"used"}


def test_rows_keep_origin_and_face_and_state_what_was_cut(source, made):
    before = source.read_ledger().set_index("frame_index")
    for name, variant in made.items():
        after = variant.read_ledger().set_index("frame_index")
        same = ["video_id", "subject_id", "label", "fate", "x0", "y0", "x1", "y1", "box_source"]
        pd.testing.assert_frame_equal(after[same], before.loc[after.index, same])
        assert list(after.columns) == list(before.columns)
        cut = after[["crop_x0", "crop_y0", "crop_x1", "crop_y1"]].to_numpy().tolist()
        whole = name in ("background", "whole_frame")
        expected = before.loc[after.index].filter(like="crop_").to_numpy().tolist()
        assert cut == ([[0, 0, 160, 120]] * 4 if whole else expected)
        assert (variant.persistent_faces, variant.pieces, variant.damage) == (1, 1, None)


def test_brightness_and_sharpness_are_those_of_the_new_picture(made):
    for variant in made.values():
        ledger = variant.read_ledger().set_index("frame_index")
        picture = variant.read_crop(6)
        assert ledger.loc[6, "brightness"] == pytest.approx(compute_brightness(picture), abs=1)
        assert ledger.loc[6, "sharpness"] == pytest.approx(compute_sharpness(picture), rel=0.2)


def test_cached_answer_needs_neither_video_nor_crops(tmp_path):
    crops = crops_of(tmp_path)
    first = make(crops, tmp_path)
    crops.video.path.unlink()
    again = make(crops, tmp_path)
    assert [file.path for file in again.values()] == [file.path for file in first.values()]
    assert not any(file.cached for file in first.values())
    assert all(file.cached for file in again.values())


def test_video_is_opened_once_for_both_and_never_for_the_bands(tmp_path, monkeypatch):
    crops = crops_of(tmp_path)
    opened = []

    class Counted(VideoReader):
        def __init__(self, path, **kwargs):
            opened.append(path)
            super().__init__(path, **kwargs)

    monkeypatch.setattr(module, "VideoReader", Counted)
    make(crops, tmp_path, [name for name in list_variants(DOG) if name.startswith("without_")])
    assert opened == []
    files = make(crops, tmp_path)
    assert opened == [crops.video.path]
    assert [name for name, file in files.items() if not file.cached] == list(list_variants(DOG))[:2]


def test_crops_variant_number_and_settings_are_part_of_the_address(source, tmp_path):
    one = ["background"]
    paths = {
        make(source, tmp_path)["background"].path,
        make(source, tmp_path, one, frames=5)["background"].path,
        make(source, tmp_path, one, crop=CropConfig(max_short_side_px=64))["background"].path,
        make(source, tmp_path, one, sampling=Sampling(fps=10))["background"].path,
        make(crops_of(tmp_path, frames=9), tmp_path, one)["background"].path,
        make(source, tmp_path)["whole_frame"].path,
        source.path,
    }
    assert len(paths) == 7


def test_same_input_gives_the_same_bytes(source, made, tmp_path):
    for name, file in make(source, tmp_path).items():
        assert file.path.read_bytes() == made[name].path.read_bytes()


def test_frames_of_a_late_part_are_those_of_the_ledger(tmp_path):
    sampling = Sampling(every_nth=3)
    crops = crops_of(tmp_path, frames=20, start_s=0.5, end_s=1.8, sampling=sampling)
    assert crops.read_ledger()["frame_index"].tolist() == [5, 8, 11, 14, 17]
    whole = make(crops, tmp_path, sampling=sampling, frames=3)["whole_frame"]
    assert whole.read_ledger()["frame_index"].tolist() == [5, 11, 17]
    for frame_index in (5, 11, 17):
        columns = np.flatnonzero(whole.read_crop(frame_index)[70, :, 1] < 80)
        assert columns[0] == pytest.approx(40 + 2 * frame_index, abs=1)


def test_frame_that_can_not_be_read_any_more_is_left_out_and_the_rest_is_kept(tmp_path, caplog):
    crops = crops_of(tmp_path)
    write_clip(
        crops.video.path, frames=6, size=(160, 120), draw=painter(face_at), rate=10
    )  # 6 and 8 are gone
    files = make(crops, tmp_path)
    assert files["background"].read_ledger()["frame_index"].tolist() == [1, 3]
    assert files["whole_frame"].read_ledger()["frame_index"].tolist() == [1, 3]
    assert files["without_ears"].read_ledger()["frame_index"].tolist() == [1, 3, 6, 8]
    assert "frames 6, 8 had a face and cannot be read any more" in caplog.text


def test_other_footage_under_the_same_name_is_not_taken_for_the_clip(tmp_path):
    crops = crops_of(tmp_path)
    write_clip(crops.video.path, frames=10, size=(160, 120), draw=painter(face_at), rate=7)
    assert make(crops, tmp_path)["background"].read_ledger().empty


def test_video_that_is_gone_is_an_error_and_leaves_no_file_of_it(tmp_path):
    crops = crops_of(tmp_path)
    crops.video.path.unlink()
    with pytest.raises(VideoOpenError, match=r"clip\.mp4: there is no such file"):
        make(crops, tmp_path, ["background"])
    assert list((tmp_path / "cache" / "crops").iterdir()) == [crops.path]


def test_clip_without_used_frames_gives_empty_files_that_can_be_embedded(tmp_path):
    crops = crops_of(tmp_path, lambda n: [])
    crops.video.path.unlink()  # nothing of it is needed
    backbone = load_backbone("efficientnet_lite0")
    for file in make(crops, tmp_path).values():
        assert file.read_ledger().empty
        assert list(file.iter_crops(4)) == []
        found = extract_features(file, backbone, species=DOG, batch_size=4, cache_dir=tmp_path)
        assert found.rows == 0
        assert len(load_features([(file, found.path)])) == 0


def test_variant_can_be_embedded_with_its_origin(made, tmp_path):
    backbone = load_backbone("efficientnet_lite0")
    found = extract_features(
        made["background"], backbone, species=DOG, batch_size=4, cache_dir=tmp_path
    )
    features = load_features([(made["background"], found.path)])
    assert features.origin["frame_index"].tolist() == [1, 3, 6, 8]
    assert set(features.origin["label"]) == {"frustration"}
    assert set(features.origin["subject_id"]) == {"007"}


def test_large_frames_are_shrunk_once_the_face_is_gone(tmp_path):
    crops = crops_of(tmp_path, lambda n: [("red", 60, 50, 90)], frames=1, size=(320, 240))
    files = make(crops, tmp_path, crop=CropConfig(max_short_side_px=60))
    assert files["whole_frame"].read_crop(0).shape == (60, 80, 3)
    background = files["background"].read_crop(0)
    assert background.shape == (60, 80, 3)
    assert np.abs(background.astype(int) - GREY).max() <= 6


def test_hidden_face_is_the_box_and_a_quarter_more_in_the_mean_colour_of_the_rest():
    image = np.zeros((100, 100, 3), np.uint8)
    image[:50] = (200, 100, 50)
    original = image.copy()
    hidden = hide_face(image, (20.0, 40.0, 60.0, 80.0))  # with its margin 10..70 and 30..90
    np.testing.assert_array_equal(image, original)
    changed = (hidden != image).any(axis=2)
    np.testing.assert_array_equal(np.flatnonzero(changed.any(axis=1)), np.arange(30, 90))
    np.testing.assert_array_equal(np.flatnonzero(changed.any(axis=0)), np.arange(10, 70))
    share = (50 * 100 - 20 * 60) / (100 * 100 - 60 * 60)
    np.testing.assert_allclose(hidden[50, 50], share * np.array([200, 100, 50]), atol=0.5)


def test_hidden_face_is_clipped_to_the_frame_and_part_pixels_are_hidden_too():
    image = paint(size=(100, 80))
    image[:, 50:] = 90
    hidden = hide_face(image, (-5.0, 60.5, 15.5, 90.0))
    changed = (hidden != image).any(axis=2)
    ys, xs = np.nonzero(changed)
    assert (xs.min(), xs.max() + 1, ys.min(), ys.max() + 1) == (0, 21, 53, 80)


def test_face_that_fills_the_frame_leaves_grey():
    assert np.unique(hide_face(paint(("red", 0, 0, 160)), (0, 0, 160, 120))).tolist() == [128]


def test_hidden_band_leaves_its_input_alone():
    image = paint(("red", 40, 40, 40))
    original = image.copy()
    hidden = hide_band(image, top_px=-3.0, bottom_px=10.4)
    np.testing.assert_array_equal(image, original)
    np.testing.assert_array_equal(hidden[10:], image[10:])
    np.testing.assert_allclose(
        hidden[:10], np.broadcast_to(image[10:].mean((0, 1)), (10, 160, 3)), 0.01
    )


def test_unknown_variant_and_impossible_number_are_errors(source, tmp_path):
    with pytest.raises(ConfigError, match="variant 'tail'; there are background, whole_frame"):
        make(source, tmp_path, ["tail"])
    with pytest.raises(ConfigError, match="frames_per_clip = 0; give a whole number from 1"):
        make(source, tmp_path, frames=0)
    with pytest.raises(ConfigError, match="frames_per_clip = -1"):
        pick_frames(source.read_ledger(), -1)


def test_nothing_of_a_hidden_band_shows_in_its_colour():
    rng = np.random.default_rng(0)
    one, other = (rng.integers(0, 255, (40, 30, 3)).astype(np.uint8) for _ in range(2))
    other[:22] = one[:22]
    hidden = [hide_band(image, top_px=22, bottom_px=40) for image in (one, other)]
    np.testing.assert_array_equal(*hidden)
    assert (
        hide_band(one, top_px=0, bottom_px=40) == hide_band(other, top_px=0, bottom_px=40)
    ).all()
