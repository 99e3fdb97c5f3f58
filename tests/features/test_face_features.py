"""What is kept of the measured face beside the embedding: regions and geometry."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from canemo.config import CropConfig, DetectConfig
from canemo.errors import ConfigError
from canemo.faces.crops import extract_crops
from canemo.faces.geometry import list_columns
from canemo.faces.landmarks.tables import LandmarkTable
from canemo.faces.points import StudyPoints, extract_points
from canemo.faces.regions import cover_cells, place_points
from canemo.features.poolings import pool
from canemo.features.store import count_bands, extract_features, load_features, load_poolings
from canemo.networks.backbones import load_backbone
from canemo.records import Video
from canemo.species import DOG, GENERIC
from canemo.video.times import Sampling
from clips import write_clip
from painted import PaintedFaceDetector, painter

FACE = {"left_eye": (0.3, 0.3), "right_eye": (0.7, 0.3), "nose_tip": (0.5, 0.7)}


@pytest.fixture(scope="module")
def crops(tmp_path_factory):
    folder = tmp_path_factory.mktemp("crops")
    draw = painter(lambda n: [("red", 30, 40, 60)])
    path = write_clip(folder / "clip.mp4", frames=3, size=(160, 120), draw=draw)
    return extract_crops(
        Video("clip", path, "dog", "frustration"),
        PaintedFaceDetector(),
        sampling=Sampling(every_nth=1),
        detect=DetectConfig(),
        crop=CropConfig(),
        cache_dir=folder / "cache",
    )


@pytest.fixture(scope="module")
def backbone(small_network):
    return load_backbone(small_network["name"], weights=Path(small_network["weights"]))


@pytest.fixture
def points(crops, tmp_path):
    """Those of the first and the last frame; of the second the study has none."""
    rows = [
        ("clip", frame, name, 30 + 60 * x, 40 + 60 * y, 0.9)
        for frame in (0, 2)
        for name, (x, y) in FACE.items()
    ]
    columns = ["video_id", "frame_index", "point", "x", "y", "score"]
    table = LandmarkTable(pd.DataFrame(rows, columns=columns), "landmarks.csv")
    return extract_points(crops, StudyPoints(DOG, table), cache_dir=tmp_path)


def extract(crops, backbone, folder, *, species=DOG, points=None):
    return extract_features(
        crops, backbone, species=species, points=points, batch_size=2, cache_dir=folder
    )


def test_regions_are_means_of_tokens_by_what_they_cover(crops, backbone, points, tmp_path):
    found = extract(crops, backbone, tmp_path, points=points)
    features = load_features([(crops, found.path)])
    kept = points.read()
    placed = [
        place_points(
            {name: tuple(map(float, kept.xyc[i, kept.names.index(name), :2])) for name in FACE},
            tuple(map(float, kept.crop_xyxy[i])),
        )
        for i in (0, 2)
    ]
    cells = cover_cells([placed[0], None, placed[1]], backbone.grid_shape, DOG)
    tokens = backbone.embed([crops.read_crop(i) for i in range(3)]).tokens.numpy()
    at = features.region_names.index("muzzle")
    weight = cells.shares[:, at] / cells.shares[:, at].sum(axis=1, keepdims=True)
    expected = np.einsum("np,npd->nd", weight, tokens)
    assert np.abs(features.region[:, at] - expected).max() < 0.01
    assert features.region_share == pytest.approx(cells.shares.mean(axis=2))
    assert features.region_share.sum(axis=1).max() <= 1


def test_crops_without_points_have_bands_which_are_counted(crops, backbone, points, tmp_path):
    found = extract(crops, backbone, tmp_path, points=points)
    assert count_bands([(crops, found.path)]) == (1, 3)
    plain = extract(crops, backbone, tmp_path)
    assert count_bands([(crops, plain.path)]) == (3, 3)
    assert found.path != plain.path
    one, other = (load_features([(crops, each.path)]) for each in (found, plain))
    assert (one.region[1] == other.region[1]).all()
    assert (one.region_share[0] != other.region_share[0]).any()


def test_geometry_is_read_where_points_are_and_says_what_is_not_known(
    crops, backbone, points, tmp_path
):
    found = extract(crops, backbone, tmp_path, points=points)
    _, pooled = load_poolings([(crops, found.path)], ["geometry", "region:eyes+muzzle,geometry"])
    columns = [column.name for column in list_columns(tuple(sorted(FACE)), DOG)]
    geometry = pooled["geometry"]
    assert geometry.shape == (3, len(columns))
    assert np.isfinite(geometry).all()
    confident = [i for i, name in enumerate(columns) if name.endswith("_confidence")]
    assert (geometry[1, confident] == 0).all()
    assert (geometry[0] == geometry[2]).all()
    assert pooled["region:eyes+muzzle,geometry"].shape[1] == backbone.feature_dim + len(columns)


def test_without_points_geometry_is_refused_and_regions_are_not(crops, backbone, tmp_path):
    found = extract(crops, backbone, tmp_path, species=GENERIC)
    features = load_features([(crops, found.path)])
    assert features.geometry is None
    assert features.region_names == GENERIC.regions[:-1]
    assert np.isfinite(pool(features, f"region:{features.region_names[0]}")).all()
    with pytest.raises(ConfigError, match=r"needs points of the face, .*measure\.points"):
        pool(features, "geometry")


def test_plain_poolings_do_not_depend_on_points(crops, backbone, points, tmp_path):
    sources = [
        [(crops, extract(crops, backbone, tmp_path, points=each).path)] for each in (None, points)
    ]
    for pooling in ("cls", "mean", "grid"):
        first, second = (load_poolings(each, [pooling])[1][pooling] for each in sources)
        assert (first == second).all()
