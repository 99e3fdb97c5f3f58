"""Maps of a real network on crops whose difference is in the muzzle, and nowhere else."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from PIL import Image as PilImage

from canemo.explain.decision import Decision
from canemo.explain.gaps import split_gap
from canemo.explain.maps.methods import METHODS, map_decisions
from canemo.faces.regions import draw_bands, measure_cells
from canemo.features.embed import make_features
from canemo.features.poolings import pool
from canemo.learn.logistic import fit_probe
from canemo.networks.backbones import load_backbone
from canemo.species import DOG

DOGS, CROPS = 8, 3  # crops of each label
LABELS = ("closed", "open")
SIDE = 112
BANDS = draw_bands(56, DOG)
MUZZLE = draw_bands(SIDE, DOG)[DOG.regions.index("muzzle")] > 0.5


def draw_clouds(rng, coarse):
    """Draw smooth colours: many sizes of spots, none of them anything."""
    small = rng.integers(40, 216, (coarse, coarse, 3), dtype=np.uint8)
    whole = PilImage.fromarray(small).resize((SIDE, SIDE), PilImage.Resampling.BICUBIC)
    return np.asarray(whole, dtype=float)


@pytest.fixture(scope="module")
def world():
    """Crops, and their rows: every dog has its own colours, the label stripes on the muzzle."""
    rng = np.random.default_rng(0)
    stripes = np.where(np.arange(SIDE)[:, None] % 12 < 6, 255.0, 0.0)[..., None]
    crops, rows = [], []
    for dog in range(DOGS):
        coat = draw_clouds(rng, 6)
        for label in LABELS:
            for number in range(CROPS):
                image = (coat + draw_clouds(rng, 24)) / 2
                if label == "open":
                    image = np.where(MUZZLE[..., None], 0.3 * image + 0.7 * stripes, image)
                crops.append(image.astype(np.uint8))
                rows.append((f"d{dog}_{label}{number}", f"d{dog}", label))
    return crops, pd.DataFrame(rows, columns=["video_id", "subject_id", "label"])


@pytest.fixture(scope="module")
def lite0():
    return load_backbone("efficientnet_lite0")


@pytest.fixture(scope="module")
def decisions(world, lite0):
    """Of each dog, that of a probe which has not seen it."""
    crops, rows = world
    features = pool(make_features(lite0.embed(crops), lite0.grid_shape, rows), "mean")
    targets, found = (rows["label"] == "open").to_numpy().astype(int), {}
    for dog in rows["subject_id"].unique():
        others = (rows["subject_id"] != dog).to_numpy()
        probe = fit_probe(features[others], targets[others], labels=LABELS, penalty=1.0)
        found[dog] = Decision(probe, "mean", "open")
    return found


def test_evidence_is_densest_where_the_difference_is(world, lite0, decisions):
    crops, rows = world
    own = [decisions[dog] for dog in rows["subject_id"]]
    maps = np.concatenate(
        [
            map_decisions([crop], METHODS["contribution"], backbone=lite0, decisions=[each])[0]
            for crop, each in zip(crops, own, strict=True)
        ]
    )
    cells = measure_cells(np.repeat(BANDS[None], len(maps), axis=0), *maps.shape[1:])
    table = split_gap(maps, cells, rows, first="closed", second="open", regions=DOG.regions).table
    table = table.set_index("region")
    assert (table["gap"] / table["area"]).idxmax() == "muzzle"
    assert table.loc["muzzle", "p_holm"] < 0.05
