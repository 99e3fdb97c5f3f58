from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch

from canemo.backbones import load_backbone
from canemo.config import CropConfig, DetectConfig
from canemo.crop_images import encode_jpeg
from canemo.crops import extract_crops, write_derived
from canemo.errors import ConfigError
from canemo.feature_files import (
    extract_features,
    load_features,
    load_pooled,
    load_poolings,
    name_embedded_frames,
)
from canemo.features import LAYERS, POOLINGS, compute_features, pool, require_pooling
from canemo.records import Video
from canemo.video import Sampling
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
        (crops, extract_features(crops, backbone, batch_size=4, cache_dir=folder).path)
        for crops in some
    ]


def test_kept_vectors_are_those_of_the_backbone(tmp_path, backbone):
    crops = crops_of(tmp_path)
    path = extract_features(crops, backbone, batch_size=2, cache_dir=tmp_path).path
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
    path = extract_features(crops, backbone, batch_size=8, cache_dir=tmp_path).path
    grid = load_features([(crops, path)]).grid
    tokens = backbone.embed([crops.read_crop(i) for i in range(5)]).tokens
    top_left = tokens.reshape(5, 7, 7, -1)[:, :2, :2].mean((1, 2))
    bottom_right = tokens.reshape(5, 7, 7, -1)[:, 5:, 5:].mean((1, 2))
    np.testing.assert_allclose(grid[:, 0], top_left, rtol=4e-3, atol=4e-3)
    np.testing.assert_allclose(grid[:, 15], bottom_right, rtol=4e-3, atol=4e-3)


def test_vectors_are_half_floats_of_fixed_size_on_disk(tmp_path, backbone):
    path = extract_features(crops_of(tmp_path), backbone, batch_size=8, cache_dir=tmp_path).path
    assert (
        str(pq.read_schema(path).field("grid").type) == "fixed_size_list<element: halffloat>[20480]"
    )


def test_cache_is_used_and_depends_on_the_backbone(tmp_path, backbone, monkeypatch):
    crops = crops_of(tmp_path)
    first = extract_features(crops, backbone, batch_size=8, cache_dir=tmp_path)
    assert (first.rows, first.cached) == (5, False)
    monkeypatch.setattr(backbone, "embed", None)  # would fail if it were called
    again = extract_features(crops, backbone, batch_size=8, cache_dir=tmp_path)
    assert (again.path, again.cached) == (first.path, True)
    monkeypatch.undo()
    monkeypatch.setattr(type(backbone), "fingerprint", "other")
    other = extract_features(crops, backbone, batch_size=8, cache_dir=tmp_path)
    assert other.path != first.path


def test_video_without_a_face_has_no_rows_and_does_not_shift_the_others(tmp_path, backbone):
    some = [
        crops_of(tmp_path, "a", frames=3),
        crops_of(tmp_path, "b", frames=2, boxes=lambda n: []),
        crops_of(tmp_path, "c", frames=2, boxes=lambda n: [("blue", 30, 30, 60)]),
    ]
    sources = [
        (crops, extract_features(crops, backbone, batch_size=8, cache_dir=tmp_path).path)
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
            [(crops, extract_features(crops, backbone, batch_size=n, cache_dir=tmp_path).path)]
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
    with pytest.raises(ConfigError, match=f"'median'; there are {', '.join(POOLINGS)}$"):
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
    path = extract_features(crops, PlainBackbone(), batch_size=8, cache_dir=tmp_path).path
    there = "there are cls, mean, cls_mean, grid, upper, lower, row1, .*centre, rim$"
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
    monkeypatch.setattr("canemo.feature_files.pq.ParquetFile", Recorded)
    origin, pooled = load_poolings(crop_sources, wanted)
    columns = ["cls", "embedded_frame", "frame_index", "layer3", "mean"]
    assert reads == [(path, columns) for _, path in crop_sources]
    assert origin["video_id"].tolist() == ["a"] * 3 + ["b"] * 2
    assert list(pooled) == wanted
    for pooling in wanted:
        np.testing.assert_array_equal(pooled[pooling], alone[pooling])


# -- embeddings carried over ----------------------------------------------------------------------


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

    def draw_crops(values, name="drawn", *, fps=100, mouth=()):
        rows = []
        for n, value in enumerate(values):
            row = {"frame_index": n, "time_s": n / fps, "fate": "no_face"}
            if value is not None:
                image = np.full((64, 64, 3), value, np.uint8)
                if n in mouth:
                    image[48:60, 24:40] = 20
                row |= {"fate": "used", "jpeg": encode_jpeg(image, quality=100)}
            rows.append(row)
        path = tmp_path / "crops" / f"{name}.parquet"
        write_derived(painted, path, rows)
        return replace(painted, path=path, video=replace(painted.video, video_id=name))

    return draw_crops


def embed(crops, folder, *, backbone=None, batch_size=4, threshold=4.5):
    backbone = backbone or CountingBackbone()
    found = extract_features(
        crops, backbone, batch_size=batch_size, cache_dir=folder, reuse_threshold=threshold
    )
    frames = pq.read_table(found.path, columns=["frame_index", "embedded_frame"]).to_pandas()
    assert frames["frame_index"].tolist() == sorted(frames["frame_index"])
    return found, frames["embedded_frame"].tolist(), backbone.calls


def test_crops_that_do_not_change_are_embedded_once_and_stored_once(draw, tmp_path):
    crops = draw([100] * 20)
    found, frames, calls = embed(crops, tmp_path)
    assert (found.rows, found.embedded, found.cached) == (20, 1, False)
    assert frames == [0] * 20
    assert calls == [1]
    assert pq.read_table(found.path)["cls"].null_count == 19
    features = load_features([(crops, found.path)])
    np.testing.assert_array_equal(features.cls, np.full((20, 3), 100, np.float16))
    assert features.origin["frame_index"].tolist() == list(range(20))


def test_every_vector_is_that_of_the_frame_it_names(draw, tmp_path):
    values = [100, 102, 104, 106, 108, 110, 112, None, 112, 113, 150, 151]
    crops = draw(values)
    found, frames, calls = embed(crops, tmp_path)
    assert frames == [0, 0, 0, 3, 3, 3, 6, 8, 8, 10, 10]
    assert (found.embedded, calls) == (5, [4, 1])
    expected = np.array([[values[frame]] * 3 for frame in frames], np.float16)
    features = load_features([(crops, found.path)])
    np.testing.assert_array_equal(features.cls, expected)
    np.testing.assert_array_equal(features.layers[0], -expected)
    np.testing.assert_allclose(features.grid[:, 15], expected, rtol=1e-3)
    for pooling in POOLINGS:
        if pooling in ("layer3", "layer4", "last4"):
            continue
        origin, pooled = load_pooled([(crops, found.path)], pooling)
        np.testing.assert_array_equal(pooled, pool(features, pooling))
        assert origin["frame_index"].tolist() == [0, 1, 2, 3, 4, 5, 6, 8, 9, 10, 11]


def test_a_mouth_that_opens_is_embedded(draw, tmp_path):
    _, frames, _ = embed(draw([100] * 8, mouth=(3, 4)), tmp_path, threshold=20)
    assert frames == [0, 0, 0, 3, 3, 5, 5, 5]


@pytest.mark.parametrize("batch_size", [1, 2, 3, 5, 64])
def test_carried_embeddings_do_not_depend_on_the_batch_size(draw, tmp_path, batch_size):
    crops = draw([100, 101, 120, 121, 122, 140, 160, 160, 161, 180, 200, 200])
    found, frames, calls = embed(crops, tmp_path, batch_size=batch_size)
    assert frames == [0, 0, 2, 2, 2, 5, 6, 6, 6, 9, 10, 10]
    assert sum(calls) == 6
    assert max(calls) == min(batch_size, 6)
    cls = load_features([(crops, found.path)]).cls[:, 0]
    assert cls.tolist() == [100, 100, 120, 120, 120, 140, 160, 160, 160, 180, 200, 200]


def test_nothing_is_carried_from_one_video_to_the_next(draw, tmp_path):
    sources = []
    for name in ("one", "two"):
        crops = draw([100, 100], name)
        found, frames, calls = embed(crops, tmp_path)
        assert (frames, calls) == ([0, 0], [1])
        sources.append((crops, found.path))
    assert sources[0][1] != sources[1][1]
    assert load_features(sources).cls[:, 0].tolist() == [100] * 4


def test_interrupted_work_leaves_nothing_behind_and_is_done_again(draw, tmp_path):
    crops = draw([100, 100, 120, 120, 140, 160])
    with pytest.raises(KeyboardInterrupt):
        embed(crops, tmp_path, backbone=CountingBackbone(fail_at=2), batch_size=2)
    assert list((tmp_path / "features").iterdir()) == []
    found, frames, calls = embed(crops, tmp_path, batch_size=2)
    assert (frames, calls) == ([0, 0, 2, 2, 4, 5], [2, 2])
    again, same, none = embed(crops, tmp_path, batch_size=2)
    assert (again, same, none) == (replace(found, cached=True), frames, [])


def test_the_cache_tells_thresholds_apart(draw, tmp_path):
    crops = draw([100, 103, 106])
    made = {
        threshold: embed(crops, tmp_path, threshold=threshold) for threshold in (None, 2.5, 4.5, 9)
    }
    assert [frames for _, frames, _ in made.values()] == [[0, 1, 2]] * 2 + [[0, 0, 2], [0, 0, 0]]
    assert len({found.path for found, _, _ in made.values()}) == 4


def test_without_reuse_every_crop_has_its_own_vectors_to_the_last_bit(tmp_path, backbone):
    crops = crops_of(tmp_path, frames=5, boxes=lambda n: [("red", 30, 40, 40)])
    found = extract_features(crops, backbone, batch_size=2, cache_dir=tmp_path)
    assert (found.rows, found.embedded) == (5, 5)
    features = load_features([(crops, found.path)])
    images = [crops.read_crop(i) for i in range(5)]
    for start in (0, 2, 4):
        batch = images[start : start + 2]
        fresh = compute_features(backbone, batch, features.origin[start : start + 2])
        for name in fresh.names:
            kept = features.as_rows(name)[start : start + 2]
            np.testing.assert_array_equal(kept, fresh.as_rows(name))
    table = pq.read_table(found.path)
    assert table["embedded_frame"].to_pylist() == table["frame_index"].to_pylist()


def test_ledger_names_the_frame_whose_embedding_each_crop_has(draw, tmp_path):
    first, second = draw([100, 101, None, 101], "one"), draw([None, 50, 90], "two")
    sources = [(crops, embed(crops, tmp_path)[0].path) for crops in (first, second)]
    ledger = pd.concat([crops.read_ledger() for crops, _ in sources], ignore_index=True)
    lost = pd.DataFrame([{"video_id": "three", "fate": "decode_error"}])
    ledger = pd.concat([ledger, lost], ignore_index=True).astype({"frame_index": "Int64"})
    named = name_embedded_frames(ledger, sources)
    pd.testing.assert_frame_equal(named.drop(columns="embedded_frame"), ledger)
    frames = [None if pd.isna(frame) else frame for frame in named["embedded_frame"]]
    assert frames == [0, 0, None, 3, None, 1, 2, None]
    assert str(named["embedded_frame"].dtype) == "Int64"


def test_video_without_a_face_carries_nothing(draw, tmp_path):
    crops = draw([None, None])
    found, frames, calls = embed(crops, tmp_path)
    assert (found.rows, found.embedded, frames, calls) == (0, 0, [], [])
    source = [(crops, found.path)]
    assert load_pooled(source, "cls")[1].shape == (0, 3)
    assert name_embedded_frames(crops.read_ledger(), source)["embedded_frame"].isna().all()
