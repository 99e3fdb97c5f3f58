"""Probes that read regions and measures of a face: what is true of each crop's own regions."""

import numpy as np
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from canemo.errors import ConfigError
from canemo.explain.decision import Decision, split_decision, spread
from canemo.explain.faces import Faces, see
from canemo.explain.maps.cam import map_scorecam
from canemo.explain.maps.contribution import is_exact
from canemo.explain.maps.methods import METHODS, choose_method, map_decisions
from canemo.explain.maps.occlusion import blur, fit_to_input, measure_logits, measure_losses
from canemo.explain.scoring import trace_curves
from canemo.explain.survey import Case, Controls, examine_case, map_case
from canemo.features.poolings import parse_blocks, pool
from canemo.learn.probe import Probe
from canemo.networks.backbones import randomise
from explain_worlds import CNN, VIT, draw_crops, load_small

REGIONS = ("eyes", "ears", "muzzle")
MEASURES = 5
CROPS = 3
READ = (
    "region:muzzle",
    "region:eyes+muzzle",
    "geometry",
    "region:muzzle*0.8,geometry*0.2",
    "cls,region:ears,geometry",
    "geometry,grid",
)


def draw_faces(backbone, number=CROPS):
    """Regions elsewhere in every crop; the last crop shows no muzzle."""
    rng = np.random.default_rng(1)
    rows, columns = backbone.grid_shape
    cover = rng.random((number, len(REGIONS), rows * columns)).astype(np.float32)
    cover *= rng.random(cover.shape) < 0.5
    cover[-1, REGIONS.index("muzzle")] = 0
    return Faces(REGIONS, cover, rng.normal(2, 3, (number, MEASURES)).astype(np.float32))


def count_features(backbone, pooling):
    widths = {"geometry": MEASURES, "grid": 16 * backbone.feature_dim}
    return [widths.get(each.name, backbone.feature_dim) for each in parse_blocks(pooling)]


def draw_decision(backbone, pooling, seed=0):
    features = sum(count_features(backbone, pooling))
    rng = np.random.default_rng(seed)
    mean, scale = rng.normal(size=features), rng.uniform(0.5, 2, features)
    coef, intercept = rng.normal(size=(1, features)), rng.normal(size=1)
    return Decision(Probe(("no", "yes"), mean, scale, coef, intercept, 1.0), pooling, "yes")


def measure_pooled(backbone, crops, faces, decision):
    """The logits as a run has them: of pooled rows."""
    return decision.measure_logits(pool(see(crops, backbone, faces), decision.pooling))


@pytest.mark.parametrize("name", [VIT, CNN])
@pytest.mark.parametrize("pooling", READ)
def test_sum_over_the_tokens_of_each_crops_own_regions_is_the_logit(name, pooling):
    backbone, crops = load_small(name), draw_crops(CROPS)
    faces, decision = draw_faces(backbone), draw_decision(backbone, pooling)
    weights = spread(decision, backbone, faces)
    embedding = backbone.embed(crops)
    logits = weights.measure_logits(embedding.cls, embedding.tokens).numpy()
    wanted = measure_pooled(backbone, crops, faces, decision)
    np.testing.assert_allclose(logits, wanted, rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(
        measure_logits(crops, backbone, [decision], faces)[0], wanted, rtol=1e-5, atol=1e-4
    )


@pytest.mark.parametrize("pooling", ["region:muzzle", "region:muzzle,geometry", "geometry,grid"])
def test_map_measures_and_constant_are_the_logit(pooling):
    backbone, crops = load_small(VIT), draw_crops(CROPS)
    faces, decision = draw_faces(backbone), draw_decision(backbone, pooling)
    assert is_exact(decision, backbone)
    assert choose_method(decision, backbone) is METHODS["contribution"]
    [maps] = map_decisions(
        crops, METHODS["contribution"], backbone=backbone, decisions=[decision], faces=faces
    )
    parts = split_decision(decision, count_features(backbone, pooling))
    measured = sum(
        part.measure_logits(faces.geometry) for part in parts if part.pooling == "geometry"
    )
    np.testing.assert_allclose(
        maps.sum(axis=(1, 2)) + measured + decision.intercept,
        measure_pooled(backbone, crops, faces, decision),
        rtol=1e-4,
        atol=1e-3,
    )


def test_outside_of_its_region_a_map_is_nothing_and_without_one_it_is_that_of_the_mean():
    backbone, crops = load_small(VIT), draw_crops(CROPS)
    faces, decision = draw_faces(backbone), draw_decision(backbone, "region:muzzle")
    whole = Decision(decision.probe, "mean", "yes")
    exact = METHODS["contribution"]
    [maps] = map_decisions(crops, exact, backbone=backbone, decisions=[decision], faces=faces)
    [of_mean] = map_decisions(crops, exact, backbone=backbone, decisions=[whole])
    muzzle = faces.cover[:, REGIONS.index("muzzle")].reshape(maps.shape) > 0
    assert not maps[:-1][~muzzle[:-1]].any()
    assert maps[:-1][muzzle[:-1]].all()
    np.testing.assert_allclose(maps[-1], of_mean[-1], atol=1e-5)


@pytest.mark.parametrize("name", ["contribution", "gradient", "occlusion", "eigencam", "gradcam"])
def test_every_crop_keeps_its_own_regions_in_any_batch(name):
    if name == "gradcam":
        pytest.importorskip("pytorch_grad_cam")
    backbone, crops = load_small(VIT), draw_crops(CROPS)
    faces, decision = draw_faces(backbone), draw_decision(backbone, "region:eyes,geometry")
    asked = {"backbone": backbone, "decisions": [decision]}
    [maps] = map_decisions(crops, METHODS[name], faces=faces, **asked)
    for place, crop in enumerate(crops):
        alone = faces.take(np.array([place]))
        [[single]] = map_decisions([crop], METHODS[name], faces=alone, **asked)
        np.testing.assert_allclose(single, maps[place], atol=1e-3)


def test_score_cam_asks_about_each_crop_by_its_own_regions(monkeypatch):
    faces, asked = draw_faces(load_small(CNN), 2), []

    def keep(name, images, backbone, decisions, alone):
        asked.append((name, len(images), alone.cover[0, 0, 0]))
        return np.zeros((1, 1, 2, 2), np.float32)

    monkeypatch.setattr("canemo.explain.maps.cam.map_with_package", keep)
    maps = map_scorecam(draw_crops(2), None, [None], faces)
    assert maps.shape == (1, 2, 2, 2)
    assert asked == [("ScoreCAM", 1, each) for each in faces.cover[:, 0, 0]]


def test_what_is_covered_moves_no_region_and_no_measure():
    backbone, crops = load_small(CNN), draw_crops(CROPS)
    faces, decision = draw_faces(backbone), draw_decision(backbone, "region:eyes,geometry")
    whole = np.ones((CROPS, 1, 2, 2))
    [losses] = measure_losses(crops, whole, backbone, [decision], faces)
    before = measure_pooled(backbone, [fit_to_input(crop) for crop in crops], faces, decision)
    hidden = [blur(fit_to_input(crop)) for crop in crops]
    after = measure_pooled(backbone, hidden, faces, decision)
    np.testing.assert_allclose(losses[:, 0], before - after, rtol=1e-4, atol=1e-3)
    curves = trace_curves(
        crops, np.ones((CROPS, 8, 8)), backbone=backbone, decision=decision, faces=faces
    )
    sign = np.where(before < 0, -1, 1)
    np.testing.assert_allclose(curves.deletion[:, 0], sign * before, rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(curves.deletion[:, -1], sign * after, rtol=1e-4, atol=1e-3)


def test_maps_of_a_region_are_put_to_every_test():
    backbone, crops = load_small(VIT), draw_crops(CROPS)
    faces, decision = draw_faces(backbone), draw_decision(backbone, "region:eyes,geometry")
    shuffled = draw_decision(backbone, "region:eyes,geometry", seed=1)
    origin = pd.DataFrame({
        "video_id": ["a", "b", "c"], "subject_id": "s", "label": "yes", "frame_index": 0,
        "logit": measure_logits(crops, backbone, [decision], faces)[0],
    })  # fmt: skip
    masks = np.ones((CROPS, 1, 4, 4))
    tested = np.array([False, True, True])
    case = Case(
        origin, crops, decision, shuffled, masks, np.full((CROPS, 2, 2), np.nan), tested, faces
    )
    exact = METHODS["contribution"]
    maps = map_case(case, exact, backbone)
    found = examine_case(
        case, maps, exact, backbone=backbone, controls=Controls(randomise(backbone), seed=0)
    )
    assert_frame_equal(found[list(origin)], origin[1:].reset_index(drop=True))
    kinds = ("random_probe", "shuffled", "random_backbone")
    assert found[[f"like_{kind}" for kind in kinds]].notna().all(axis=None)
    assert (found["like_random_probe"] < 0.999).all()
    assert found[["deletion", "insertion"]].notna().all(axis=None)


def test_blocks_sum_to_the_logit():
    backbone, crops = load_small(VIT), draw_crops(CROPS)
    faces, decision = draw_faces(backbone), draw_decision(backbone, "cls,region:ears,geometry")
    parts = split_decision(decision, count_features(backbone, decision.pooling))
    assert [part.pooling for part in parts] == ["cls", "region:ears", "geometry"]
    assert [part.intercept for part in parts] == [0, 0, 0]
    total = sum(measure_pooled(backbone, crops, faces, part) for part in parts)
    wanted = measure_pooled(backbone, crops, faces, decision)
    np.testing.assert_allclose(total + decision.intercept, wanted, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("pooling", ["region:muzzle", "geometry", "cls,geometry"])
def test_without_points_a_decision_that_reads_them_is_refused(pooling):
    backbone = load_small(VIT)
    decision = draw_decision(backbone, pooling)
    with pytest.raises(ConfigError, match="reads points of the face, which are not known of these"):
        spread(decision, backbone)


def test_regions_without_points_are_read_and_measures_are_not():
    backbone = load_small(VIT)
    bands = Faces(REGIONS, draw_faces(backbone).cover)
    spread(draw_decision(backbone, "region:muzzle"), backbone, bands)
    with pytest.raises(ConfigError, match="reads points of the face"):
        spread(draw_decision(backbone, "region:muzzle,geometry"), backbone, bands)
