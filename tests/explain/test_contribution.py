from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from scipy.special import logit

from canemo.errors import ConfigError
from canemo.explain.decision import Decision
from canemo.explain.maps.contribution import is_exact, map_contributions
from canemo.features.poolings import pool
from canemo.learn.logistic import fit_probe
from canemo.networks.backbones import load_backbone
from explain_worlds import (
    CNN,
    LABELS,
    RESNET,
    VIT,
    TextureBackbone,
    decide,
    draw_crops,
    draw_textures,
    embed,
    embed_half,
    fit_drawn,
    load_small,
    make_probe,
    mark,
    read_checks,
)

SUMS = ["mean", "grid", "upper", "lower", "row1", "row2", "row3", "row4", "centre", "rim"]
OF_CNNS = [*SUMS, "cls", "cls_mean"]


@cache
def embed_some(backbone):
    return embed(backbone, draw_crops(5))


def evidence_of(probe, features):
    """Return what `Decision` calls the logit of each label, from the probe's probabilities."""
    probability = probe.predict_proba(features)
    if probability.shape[1] == 2:
        return logit(probability)
    evidence = np.log(probability)
    return evidence - evidence.mean(axis=1, keepdims=True)


@pytest.mark.parametrize(
    ("name", "pooling"),
    [(VIT, each) for each in SUMS] + [(n, each) for n in (CNN, RESNET) for each in OF_CNNS],
)
@pytest.mark.parametrize("labels", [LABELS[:2], LABELS], ids=["two labels", "three labels"])
def test_maps_sum_to_the_logit_less_the_intercept(name, pooling, labels):
    backbone, crops = load_small(name), draw_crops(5)
    probe = fit_drawn(backbone, pooling, labels=labels)
    decisions = [Decision(probe, pooling, label) for label in labels]
    maps = map_contributions(crops, backbone, decisions)
    wanted = evidence_of(probe, pool(embed_some(backbone), pooling)).T
    intercepts = np.array([each.intercept for each in decisions])[:, None]
    np.testing.assert_allclose(maps.sum(axis=(2, 3)) + intercepts, wanted, atol=1e-4)
    assert np.ptp(wanted, axis=1).min() > 0.01  # there is something to explain
    assert all(is_exact(each, backbone) for each in decisions)


@cache
def load_pretrained():
    return load_backbone("efficientnet_lite0")


@pytest.mark.parametrize("pooling", ["mean", "grid"])
def test_maps_of_a_pretrained_network_sum_to_the_logit_of_features_as_they_are_kept(pooling):
    backbone, crops = load_pretrained(), draw_crops(6)
    x = pool(embed_half(backbone, crops), pooling)
    probe = fit_probe(x, np.arange(6) % 2, labels=LABELS[:2], penalty=1.0)
    decision = Decision(probe, pooling, LABELS[1])
    [maps] = map_contributions(crops, backbone, [decision])
    sums = maps.sum(axis=(1, 2)) + decision.intercept
    exact = evidence_of(probe, pool(embed(backbone, crops), pooling))[:, 1]
    np.testing.assert_allclose(sums, exact, atol=1e-4)
    half = evidence_of(probe, x)[:, 1]
    np.testing.assert_allclose(sums, half, atol=0.01)  # what float16 takes away


def test_evidence_is_where_it_was_planted():
    rng = np.random.default_rng(0)
    places = [(0, 0), (2, 5), (6, 6), (4, 1)]
    crops = [draw_textures(place, 1, rng=rng, noise=0) for place in places]
    [maps] = map_contributions(crops, TextureBackbone(), [read_checks()])
    for each, place in zip(maps, places, strict=True):
        np.testing.assert_allclose(each, each.max() * mark(place), atol=1e-5)
        assert each.max() > 0.1


def test_label_that_is_named_first_gets_the_negative_map():
    backbone, crops = load_small(VIT), draw_crops(3)
    probe = fit_drawn(backbone, "mean")
    first, second = (Decision(probe, "mean", label) for label in probe.labels)
    maps = map_contributions(crops, backbone, [first, second, second.against()])
    np.testing.assert_allclose(maps[0], -maps[1], atol=1e-7)
    np.testing.assert_allclose(maps[0], maps[2], atol=1e-7)


def test_features_reversed_labels_give_the_negative_map():
    backbone, crops = load_small(CNN), draw_crops(10)
    x = pool(embed(backbone, crops), "mean")
    maps = []
    for labels in (LABELS[:2], LABELS[1::-1]):
        y = np.array([labels.index(LABELS[i % 2]) for i in range(10)])
        probe = fit_probe(x, y, labels=labels, penalty=1.0)
        maps += [map_contributions(crops, backbone, [Decision(probe, "mean", labels[1])])[0]]
    scale = np.abs(maps[0]).max()
    np.testing.assert_allclose(maps[0], -maps[1], atol=1e-3 * scale)  # fitted each for itself


def test_maps_of_three_labels_cancel():
    backbone = load_small(CNN)
    probe = fit_drawn(backbone, "grid", labels=LABELS)
    maps = map_contributions(
        draw_crops(3), backbone, [Decision(probe, "grid", label) for label in LABELS]
    )
    np.testing.assert_allclose(maps.sum(axis=0), 0, atol=1e-5)


def test_mean_training_crop_adds_nothing_anywhere():
    backbone = TextureBackbone(parts=1)
    probe = replace(make_probe([3.0]), mean=np.array([0.4]), scale=np.array([0.1]))
    grey = np.full((224, 224, 3), 102, np.uint8)  # 0.4 of 255 everywhere
    [[each]] = map_contributions([grey], backbone, [Decision(probe, "mean", LABELS[1])])
    np.testing.assert_allclose(each, 0, atol=1e-6)


def test_places_that_a_pooling_leaves_out_add_nothing():
    backbone = load_small(VIT)
    [[each]] = map_contributions(draw_crops(1), backbone, [decide(backbone, "lower")])
    assert not each[:7].any()
    assert each[7:].any(axis=1).all()


@pytest.mark.parametrize("name", [VIT, CNN])
def test_batch_gives_the_same_as_one_by_one_and_crops_stay(name):
    backbone, crops = load_small(name), draw_crops(8)
    before = [crop.copy() for crop in crops]
    decisions = [decide(backbone, "mean"), decide(backbone, "grid")]
    together = map_contributions(crops, backbone, decisions)
    assert together.dtype == np.float32
    for i, crop in enumerate(crops):
        for m, decision in enumerate(decisions):
            [[alone]] = map_contributions([crop], backbone, [decision])
            np.testing.assert_allclose(alone, together[m, i], atol=2e-5)
    for crop, was in zip(crops, before, strict=True):
        np.testing.assert_array_equal(crop, was)


@pytest.mark.parametrize("pooling", ["cls", "cls_mean"])
def test_cls_token_of_a_transformer_is_no_place(pooling):
    backbone = load_small(VIT)
    decision = decide(backbone, pooling)
    with pytest.raises(ConfigError, match=rf"'{pooling}' of timm:test_vit reads the CLS .*gradien"):
        map_contributions(draw_crops(1), backbone, [decision])
    assert not is_exact(decision, backbone)


@pytest.mark.parametrize("name", [VIT, CNN])
@pytest.mark.parametrize("pooling", ["layer2", "last4"])
def test_earlier_blocks_are_refused(name, pooling):
    backbone = load_small(name)
    decision = decide(backbone, pooling)
    with pytest.raises(ConfigError, match=r"reads blocks before the last \(layer2\)"):
        map_contributions(draw_crops(1), backbone, [decision])
    assert not is_exact(decision, backbone)
