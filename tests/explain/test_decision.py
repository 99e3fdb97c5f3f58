from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.special import logit

from canemo.errors import ConfigError, ModelError
from canemo.explain.decision import Decision, draw_directions, require_grid, spread
from canemo.features.embed import make_features
from canemo.features.poolings import POOLINGS, pool
from canemo.learn.probe import Probe
from explain_worlds import CNN, LABELS, VIT, decide, draw_crops, load_small

LAST_BLOCK = [name for name, each in POOLINGS.items() if set(each.needs) <= {"cls", "mean", "grid"}]


def drawn_probe(labels, features=5, seed=0):
    rng = np.random.default_rng(seed)
    rows = 1 if len(labels) == 2 else len(labels)
    return Probe(
        labels,
        rng.normal(size=features),
        rng.uniform(0.5, 2, size=features),
        rng.normal(size=(rows, features)),
        rng.normal(size=rows),
        1.0,
    )


X = np.random.default_rng(1).normal(size=(6, 5)).astype(np.float32)


# -- the logit of a label --------------------------------------------------------------------------


def test_of_two_labels_the_logit_is_that_of_the_probability():
    probe = drawn_probe(LABELS[:2])
    probability = probe.predict_proba(X)
    for column, label in enumerate(probe.labels):
        logits = Decision(probe, "mean", label).measure_logits(X)
        np.testing.assert_allclose(logits, logit(probability[:, column]), atol=1e-6)


def test_of_three_labels_it_is_evidence_against_the_mean_of_all():
    probe = drawn_probe(LABELS)
    evidence = np.log(probe.predict_proba(X))
    decisions = [Decision(probe, "mean", label) for label in LABELS]
    logits = np.stack([each.measure_logits(X) for each in decisions], axis=1)
    np.testing.assert_allclose(logits, evidence - evidence.mean(axis=1, keepdims=True), atol=1e-6)
    np.testing.assert_allclose(logits.sum(axis=1), 0, atol=1e-12)
    assert (logits.argmax(axis=1) == evidence.argmax(axis=1)).all()


def test_order_of_the_labels_does_not_matter():
    probe = drawn_probe(LABELS[:2])
    reversed_ = replace(
        probe, labels=probe.labels[::-1], coef=-probe.coef, intercept=-probe.intercept
    )
    for label in probe.labels:
        np.testing.assert_array_equal(
            Decision(probe, "mean", label).measure_logits(X),
            Decision(reversed_, "mean", label).measure_logits(X),
        )


@pytest.mark.parametrize("labels", [LABELS[:2], LABELS], ids=["two labels", "three labels"])
def test_intercept_is_the_logit_of_the_mean_training_crop(labels):
    probe = drawn_probe(labels)
    for label in labels:
        decision = Decision(probe, "mean", label)
        [logit_of_mean] = decision.measure_logits(probe.mean[None])
        assert decision.intercept == pytest.approx(logit_of_mean, abs=1e-12)


@pytest.mark.parametrize("labels", [LABELS[:2], LABELS], ids=["two labels", "three labels"])
def test_against_is_the_same_logit_with_the_other_sign(labels):
    for label in labels:
        decision = Decision(drawn_probe(labels), "grid", label)
        against = decision.against()
        assert (against.label, against.pooling) == (label, "grid")
        np.testing.assert_allclose(against.measure_logits(X), -decision.measure_logits(X))
        np.testing.assert_allclose(against.against().direction, decision.direction)


def test_label_that_the_probe_does_not_know_is_refused():
    with pytest.raises(ConfigError, match="label 'sad': the labels are calm, eager, tense"):
        Decision(drawn_probe(LABELS), "mean", "sad")


# -- drawn probes ----------------------------------------------------------------------------------


@pytest.mark.parametrize("labels", [LABELS[:2], LABELS], ids=["two labels", "three labels"])
def test_drawn_probes_are_as_long_and_point_elsewhere(labels):
    decision = Decision(drawn_probe(labels, features=400), "mean", LABELS[0])
    drawn = draw_directions(decision, 20, seed=3)
    directions = np.stack([each.direction for each in drawn])
    lengths = np.linalg.norm(directions, axis=1)
    np.testing.assert_allclose(lengths, np.linalg.norm(decision.direction))
    cosines = directions @ decision.direction / lengths**2
    assert np.abs(cosines).max() < 0.2  # four standard deviations of chance
    assert {each.intercept for each in drawn} == {decision.intercept}
    again = draw_directions(decision, 20, seed=3)
    np.testing.assert_array_equal(directions, [each.direction for each in again])
    other = draw_directions(decision, 1, seed=4)[0]
    assert not np.allclose(other.direction, directions[0])


# -- as a sum over positions -----------------------------------------------------------------------


@pytest.mark.parametrize("name", [VIT, CNN])
@pytest.mark.parametrize("pooling", LAST_BLOCK)
def test_sum_over_positions_and_cls_token_is_the_logit(name, pooling):
    backbone, crops = load_small(name), draw_crops(2)
    decision = decide(backbone, pooling)
    weights = spread(decision, backbone)
    embedding = backbone.embed(crops)
    features = make_features(embedding, backbone.grid_shape, pd.DataFrame(index=range(2)))
    logits = weights.measure_logits(embedding.cls, embedding.tokens)
    wanted = decision.measure_logits(pool(features, pooling))
    np.testing.assert_allclose(logits, wanted, atol=1e-4)
    reads_cls = name == VIT and "cls" in POOLINGS[pooling].needs
    assert (weights.cls is not None) == reads_cls


def test_cls_pooling_of_a_transformer_reads_no_position():
    weights = spread(decide(load_small(VIT), "cls"), load_small(VIT))
    assert not weights.tokens.any()
    assert not weights.offsets.any()


def test_parts_of_the_crop_that_a_pooling_leaves_out_weigh_nothing():
    backbone = load_small(VIT)  # 14 rows: the upper two of four bands of cells are 7 of them
    weights = spread(decide(backbone, "upper"), backbone).tokens.reshape(14, 14, -1)
    assert not weights[7:].any()
    assert weights[:7].abs().sum(dim=(1, 2)).min() > 0


@pytest.mark.parametrize("pooling", ["layer2", "layer3", "layer4", "last4"])
def test_blocks_before_the_last_are_refused(pooling):
    backbone = load_small(VIT)
    with pytest.raises(ConfigError, match=rf"'{pooling}' reads blocks before the last .*occlusion"):
        spread(decide(backbone, pooling), backbone)


def test_probe_of_another_backbone_is_refused():
    decision = decide(load_small(VIT), "mean")
    with pytest.raises(ModelError, match=r"reads 64 features, .*'mean' of timm:test_eff.* 256"):
        spread(decision, load_small(CNN))


def test_weights_keep_their_numbers_where_they_are_moved():
    weights = spread(decide(load_small(VIT), "cls_mean"), load_small(VIT))
    moved = weights.to(torch.device("cpu"))
    assert torch.equal(moved.tokens, weights.tokens)
    assert torch.equal(moved.cls, weights.cls)
    assert moved.bias == weights.bias


@pytest.mark.parametrize(("grid", "fits"), [((1, 1), False), ((2, 2), True), ((1, 2), True)])
def test_a_single_position_is_nothing_to_map(grid, fits):
    backbone = SimpleNamespace(grid_shape=grid, spec=SimpleNamespace(name="dot"))
    if fits:
        require_grid(backbone)
        return
    with pytest.raises(ConfigError, match="'dot' has a single position for the whole crop"):
        require_grid(backbone)
