from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch

from canemo.config import CropConfig, DetectConfig
from canemo.errors import ConfigError
from canemo.faces.crop_file import write_derived
from canemo.faces.crop_images import encode_jpeg
from canemo.faces.crops import extract_crops
from canemo.features.embed import LAYERS, compute_features
from canemo.features.poolings import POOLINGS, pool, require_pooling
from canemo.features.store import (
    FEATURES_VERSION,
    extract_features,
    load_features,
    load_pooled,
    load_poolings,
)
from canemo.networks.backbones import load_backbone
from canemo.records import Video
from canemo.species import DOG
from canemo.video.times import Sampling
from clips import write_clip
from painted import PaintedFaceDetector, painter
from worlds import draw_features


@pytest.fixture(scope="module")
def backbone():
    return load_backbone("efficientnet_lite0")


def crops_of(folder, name="clip", frames=5, boxes=lambda n: [("red", 30 + 5 * n, 40, 40)]):
    path = write_clip(folder / f"{name}.mp4", frames=frames, size=(160, 120), draw=painter(boxes))
    return extract_crops(
        Video(name, path, "dog", "frustration"),
        PaintedFaceDetector(),
        sampling=Sampling(every_nth=1),
        detect=DetectConfig(),
        crop=CropConfig(margin=0.5),
        cache_dir=folder / "cache",
    )


@pytest.fixture(scope="module")
def crop_sources(tmp_path_factory, backbone):
    folder = tmp_path_factory.mktemp("sources")
    some = [crops_of(folder, "a", frames=3), crops_of(folder, "b", frames=2)]
    return [
        (crops, extract_features(crops, backbone, species=DOG, batch_size=4, cache_dir=folder).path)
        for crops in some
    ]


def test_kept_vectors_are_those_of_the_backbone(tmp_path, backbone):
    crops = crops_of(tmp_path)
    path = extract_features(crops, backbone, species=DOG, batch_size=2, cache_dir=tmp_path).path
    features = load_features([(crops, path)])
    images = [crops.read_crop(i) for i in range(5)]
    embedding = backbone.embed(images)
    np.testing.assert_allclose(features.cls, embedding.cls, rtol=2e-3, atol=2e-3)
    np.testing.assert_allclose(features.mean, embedding.tokens.mean(1), rtol=2e-3, atol=2e-3)
    for kept, layer in zip(features.layers, embedding.layers, strict=True):
        np.testing.assert_allclose(kept, layer, rtol=2e-3, atol=2e-3)
    assert features.origin["frame_index"].tolist() == [0, 1, 2, 3, 4]
    assert features.origin["video_id"].tolist() == ["clip"] * 5


def test_grid_is_in_reading_order_and_averages_tokens(tmp_path, backbone):
    crops = crops_of(tmp_path)
    path = extract_features(crops, backbone, species=DOG, batch_size=8, cache_dir=tmp_path).path
    grid = load_features([(crops, path)]).grid
    tokens = backbone.embed([crops.read_crop(i) for i in range(5)]).tokens
    top_left = tokens.reshape(5, 7, 7, -1)[:, :2, :2].mean((1, 2))
    bottom_right = tokens.reshape(5, 7, 7, -1)[:, 5:, 5:].mean((1, 2))
    np.testing.assert_allclose(grid[:, 0], top_left, rtol=4e-3, atol=4e-3)
    np.testing.assert_allclose(grid[:, 15], bottom_right, rtol=4e-3, atol=4e-3)


def test_vectors_are_half_floats_of_fixed_size_on_disk(tmp_path, backbone):
    path = extract_features(
        crops_of(tmp_path), backbone, species=DOG, batch_size=8, cache_dir=tmp_path
    ).path
    assert (
        str(pq.read_schema(path).field("grid").type) == "fixed_size_list<element: halffloat>[20480]"
    )


def test_cache_is_used_and_depends_on_the_backbone(tmp_path, backbone, monkeypatch):
    crops = crops_of(tmp_path)
    first = extract_features(crops, backbone, species=DOG, batch_size=8, cache_dir=tmp_path)
    assert (first.rows, first.cached) == (5, False)
    monkeypatch.setattr(backbone, "embed", None)  # would fail if it were called
    again = extract_features(crops, backbone, species=DOG, batch_size=8, cache_dir=tmp_path)
    assert (again.path, again.cached) == (first.path, True)
    monkeypatch.undo()
    monkeypatch.setattr(type(backbone), "fingerprint", "other")
    other = extract_features(crops, backbone, species=DOG, batch_size=8, cache_dir=tmp_path)
    assert other.path != first.path


def test_features_that_another_version_kept_are_made_again(tmp_path, backbone, monkeypatch):
    crops = crops_of(tmp_path)
    with monkeypatch.context() as earlier:
        earlier.setattr("canemo.features.store.FEATURES_VERSION", FEATURES_VERSION - 1)
        kept = extract_features(crops, backbone, species=DOG, batch_size=8, cache_dir=tmp_path)
    kept.path.write_bytes(b"of a form that nobody reads any more")
    found = extract_features(crops, backbone, species=DOG, batch_size=8, cache_dir=tmp_path)
    assert (found.cached, found.path != kept.path) == (False, True)
    assert len(load_features([(crops, found.path)]).cls) == found.rows


def test_video_without_a_face_has_no_rows_and_does_not_shift_the_others(tmp_path, backbone):
    some = [
        crops_of(tmp_path, "a", frames=3),
        crops_of(tmp_path, "b", frames=2, boxes=lambda n: []),
        crops_of(tmp_path, "c", frames=2, boxes=lambda n: [("blue", 30, 30, 60)]),
    ]
    sources = [
        (
            crops,
            extract_features(crops, backbone, species=DOG, batch_size=8, cache_dir=tmp_path).path,
        )
        for crops in some
    ]
    features = load_features(sources)
    assert features.origin["video_id"].tolist() == ["a"] * 3 + ["c"] * 2
    alone = load_features(sources[2:])
    np.testing.assert_array_equal(features.cls[3:], alone.cls)


def test_features_do_not_depend_on_batch_size_beyond_rounding(tmp_path, backbone):
    crops = crops_of(tmp_path)
    one, eight = (
        load_features(
            [
                (
                    crops,
                    extract_features(
                        crops, backbone, species=DOG, batch_size=n, cache_dir=tmp_path
                    ).path,
                )
            ]
        )
        for n in (1, 8)
    )
    a, b = (torch.tensor(each.cls, dtype=torch.float32) for each in (one, eight))
    cosine = torch.nn.functional.cosine_similarity(a, b)
    assert cosine.min() > 0.9999


def test_poolings_pick_what_they_say():
    features = draw_features(subjects=2, clips=2, frames=1, dim=3)
    np.testing.assert_array_equal(pool(features, "cls"), features.cls)
    np.testing.assert_array_equal(pool(features, "mean"), 2 * features.cls)
    # cell i of the drawn grid is i times the vector: cells 0-7 are above, 8-15 below
    np.testing.assert_allclose(pool(features, "upper"), 3.5 * features.cls, rtol=1e-5)
    np.testing.assert_allclose(pool(features, "lower"), 11.5 * features.cls, rtol=1e-5)
    assert pool(features, "grid").shape == (4, 48)
    assert pool(features, "cls_mean").shape == (4, 6)


def test_parts_of_the_face_are_means_of_their_cells():
    features = draw_features(subjects=1, clips=1, frames=2, dim=3)
    cells = np.arange(16, dtype=np.float16) ** 2  # 0 1 4 9 | 16 25 36 49 | 64 ... | 144 ...
    grid = cells[None, :, None] + np.zeros((2, 16, 3), np.float16)
    grid[1] += 1
    parts = {
        "row1": 14 / 4, "row2": 126 / 4, "row3": 366 / 4, "row4": 734 / 4, "upper": 140 / 8,
        "lower": 1100 / 8, "centre": (25 + 36 + 81 + 100) / 4, "rim": (1240 - 242) / 12,
    }  # fmt: skip
    for part, mean in parts.items():
        found = pool(replace(features, grid=grid), part)
        np.testing.assert_allclose(found, [[mean] * 3, [mean + 1] * 3], rtol=1e-6, err_msg=part)


def test_layers_are_pooled_by_name_and_joined_from_the_last_to_the_fourth():
    plain = draw_features(subjects=1, clips=1, frames=2, dim=2)
    layers = tuple(np.full((2, size), size, np.float16) for size in (5, 4, 3))
    features = replace(plain, layers=layers)
    for name, layer in zip(LAYERS, layers, strict=True):
        np.testing.assert_array_equal(pool(features, name), layer)
    np.testing.assert_array_equal(
        pool(features, "last4"), np.concatenate([plain.cls, *layers], axis=1)
    )


def test_unknown_pooling_lists_those_there_are():
    with pytest.raises(
        ConfigError, match=f"'median'; there are {', '.join(POOLINGS)}, region:NAME, geometry$"
    ):
        require_pooling("median")
    with pytest.raises(ConfigError, match="'median'; there are cls, mean"):
        pool(draw_features(subjects=1, clips=1), "median")


class PlainBackbone:
    """Has no layers before the last; its vectors are the mean colour of the crop."""

    fingerprint = "plain-1"
    grid_shape = (4, 4)
    feature_dim = 3
    layer_dims = ()

    def embed(self, images_rgb):
        colours = np.stack([image.mean(axis=(0, 1)) for image in images_rgb])
        cls = torch.from_numpy(colours.astype(np.float32))
        return SimpleNamespace(cls=cls, tokens=cls[:, None].expand(-1, 16, -1), layers=())


@pytest.mark.parametrize("pooling", [*LAYERS, "last4"])
def test_missing_layers_name_the_poolings_of_this_backbone(tmp_path, pooling):
    crops = crops_of(tmp_path, frames=2)
    path = extract_features(
        crops, PlainBackbone(), species=DOG, batch_size=8, cache_dir=tmp_path
    ).path
    there = "there are cls, mean, cls_mean, grid, upper, lower, row1, .*centre, rim"
    with pytest.raises(ConfigError, match=rf"'{pooling}' needs layers .*{there}"):
        load_poolings([(crops, path)], ["cls", pooling])
    features = load_features([(crops, path)])
    assert features.layers == ()
    assert pool(features, "centre").shape == (2, 3)
    with pytest.raises(ConfigError, match=there):
        pool(features, pooling)


@pytest.mark.parametrize("pooling", POOLINGS)
def test_pooled_features_are_those_of_all_features(pooling, crop_sources, backbone):
    origin, pooled = load_pooled(crop_sources, pooling)
    features = load_features(crop_sources)
    np.testing.assert_array_equal(pooled, pool(features, pooling))
    pd.testing.assert_frame_equal(origin, features.origin)
    (crops, _), *_ = crop_sources
    images = [crops.read_crop(i) for i in range(3)]
    fresh = compute_features(backbone, images, features.origin[:3])
    np.testing.assert_array_equal(pool(fresh, pooling), pooled[:3])
    assert pooled.dtype == np.float32


def test_several_poolings_read_each_file_once_and_only_what_they_need(crop_sources, monkeypatch):
    reads = []

    class Recorded(pq.ParquetFile):
        def __init__(self, path):
            super().__init__(path)
            self.path = path

        def read(self, columns):
            reads.append((self.path, sorted(columns)))
            return super().read(columns)

    wanted = ["layer3", "cls_mean"]
    alone = {pooling: load_pooled(crop_sources, pooling)[1] for pooling in wanted}
    monkeypatch.setattr("canemo.features.store.pq.ParquetFile", Recorded)
    origin, pooled = load_poolings(crop_sources, wanted)
    columns = ["cls", "frame_index", "layer3", "mean"]
    assert reads == [(path, columns) for _, path in crop_sources]
    assert origin["video_id"].tolist() == ["a"] * 3 + ["b"] * 2
    assert list(pooled) == wanted
    for pooling in wanted:
        np.testing.assert_array_equal(pooled[pooling], alone[pooling])


# -- one row per crop -----------------------------------------------------------------------------


class CountingBackbone:
    """Says how it was called; its vectors are sums over the crop, exact in any batch."""

    fingerprint = "counting-1"
    grid_shape = (4, 4)
    feature_dim = 3
    layer_dims = (3,)

    def __init__(self, *, fail_at=None):
        self.calls = []
        self._fail_at = fail_at

    def embed(self, images_rgb):
        self.calls.append(len(images_rgb))
        if len(self.calls) == self._fail_at:
            raise KeyboardInterrupt
        means = np.stack([image.mean(axis=(0, 1)) for image in images_rgb])
        cls = torch.from_numpy(means.astype(np.float32))
        cells = 1 + torch.arange(16.0)[None, :, None]
        return SimpleNamespace(cls=cls, tokens=cls[:, None] * cells / 16, layers=(-cls,))


@pytest.fixture(scope="module")
def painted(tmp_path_factory):
    return crops_of(tmp_path_factory.mktemp("painted"), frames=2)


@pytest.fixture
def draw(painted, tmp_path):
    """Return a function that makes a file of crops from grey values; None is a frame without."""

    def draw_crops(values, name="drawn"):
        rows = []
        for n, value in enumerate(values):
            row = {"frame_index": n, "time_s": n / 100, "fate": "no_face"}
            if value is not None:
                image = np.full((64, 64, 3), value, np.uint8)
                row |= {"fate": "used", "jpeg": encode_jpeg(image, quality=100)}
            rows.append(row)
        path = tmp_path / "crops" / f"{name}.parquet"
        write_derived(painted, path, rows)
        return replace(painted, path=path, video=replace(painted.video, video_id=name))

    return draw_crops


def embed(crops, folder, *, backbone=None, batch_size=4):
    backbone = backbone or CountingBackbone()
    found = extract_features(crops, backbone, species=DOG, batch_size=batch_size, cache_dir=folder)
    return found, backbone.calls


@pytest.mark.parametrize("batch_size", [1, 2, 3, 5, 64])
def test_every_crop_in_use_has_its_own_row_in_order_of_time(draw, tmp_path, batch_size):
    values = [100, 102, None, 106, 106, None, 112, 150, 60]
    frames = [n for n, value in enumerate(values) if value is not None]
    crops = draw(values)
    found, calls = embed(crops, tmp_path, batch_size=batch_size)
    assert (found.rows, found.cached) == (7, False)
    assert (sum(calls), max(calls)) == (7, min(batch_size, 7))
    expected = np.array([[values[frame]] * 3 for frame in frames], np.float16)
    features = load_features([(crops, found.path)])
    assert features.origin["frame_index"].tolist() == frames
    np.testing.assert_array_equal(features.cls, expected)
    np.testing.assert_array_equal(features.layers[0], -expected)
    np.testing.assert_allclose(features.grid[:, 15], expected, rtol=1e-3)
    for pooling in set(POOLINGS) - {"layer3", "layer4", "last4"}:
        origin, pooled = load_pooled([(crops, found.path)], pooling)
        np.testing.assert_array_equal(pooled, pool(features, pooling))
        assert origin["frame_index"].tolist() == frames


def test_interrupted_work_leaves_nothing_behind_and_is_done_again(draw, tmp_path):
    crops = draw([100, 120, 140, 160])
    with pytest.raises(KeyboardInterrupt):
        embed(crops, tmp_path, backbone=CountingBackbone(fail_at=2), batch_size=2)
    assert list((tmp_path / "features").iterdir()) == []
    found, calls = embed(crops, tmp_path, batch_size=2)
    assert calls == [2, 2]
    assert embed(crops, tmp_path, batch_size=2) == (replace(found, cached=True), [])


def test_vectors_are_those_of_their_batch_to_the_last_bit(tmp_path, backbone):
    crops = crops_of(tmp_path, frames=5, boxes=lambda n: [("red", 30, 40, 40)])
    found = extract_features(crops, backbone, species=DOG, batch_size=2, cache_dir=tmp_path)
    assert found.rows == 5
    features = load_features([(crops, found.path)])
    images = [crops.read_crop(i) for i in range(5)]
    for start in (0, 2, 4):
        batch = images[start : start + 2]
        fresh = compute_features(backbone, batch, features.origin[start : start + 2])
        for name in fresh.names:
            kept = features.as_rows(name)[start : start + 2]
            np.testing.assert_array_equal(kept, fresh.as_rows(name))


def test_a_cache_that_names_embedded_frames_is_read_as_it_is(draw, tmp_path):
    """Files made while embeddings could be carried over have a column more."""
    crops = draw([100, None, 140])
    found, _ = embed(crops, tmp_path)
    table = pq.read_table(found.path)
    pq.write_table(table.add_column(1, "embedded_frame", table["frame_index"]), found.path)
    again, calls = embed(crops, tmp_path)
    assert (again, calls) == (replace(found, cached=True), [])
    assert load_features([(crops, again.path)]).cls[:, 0].tolist() == [100, 140]


def test_the_key_of_a_cache_stays(draw, tmp_path):
    found, _ = embed(draw([100]), tmp_path)
    assert found.path.stem == "bb7b44f060ddda579326cbe3"


def test_video_without_a_face_has_no_vectors(draw, tmp_path):
    crops = draw([None, None])
    found, calls = embed(crops, tmp_path)
    assert (found.rows, calls) == (0, [])
    assert load_pooled([(crops, found.path)], "cls")[1].shape == (0, 3)
