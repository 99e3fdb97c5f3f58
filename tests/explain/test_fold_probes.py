from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from canemo.errors import ModelError
from canemo.explain.fold_probes import fit_shuffled, list_unseen, move_labels
from canemo.learn.evidence import Evidence
from canemo.learn.lda import DiscriminantLearner
from canemo.learn.logistic import fit_probe
from canemo.learn.material import Material
from canemo.learn.methods import make_learner
from evidence_worlds import assess, draw_evidence, with_features
from worlds import LABELS


def ignore(done: int, total: int) -> None:
    assert 0 < done <= total


def unseen(evidence: Evidence, label: str = LABELS[1]):
    _, evaluation = assess(evidence)
    return list_unseen(evaluation.folds, label=label, place=Path("runs/drawn"))


def logistic() -> Evidence:
    return draw_evidence(
        subjects=6, clips=4, frames=2, effect=2.0,
        overrides={"probe": {"method": "logistic", "penalties": (0.5,), "inner_folds": 3}},
    )  # fmt: skip


def spoil(evidence: Evidence, subject_id: str) -> Evidence:
    """Give one dog other features."""
    (material,) = evidence.materials
    x = material.x.copy()
    x[(material.origin["subject_id"] == subject_id).to_numpy()] += 50
    return with_features(evidence, x)


# -- no dog is explained by a probe that has seen it -----------------------------------------------


def test_each_dog_is_explained_by_the_probe_of_the_others():
    evidence = logistic()
    (material,) = evidence.materials
    decisions = unseen(evidence)
    assert set(decisions) == set(evidence.study.subject_ids)
    dogs = material.origin["subject_id"].to_numpy()
    for dog, decision in decisions.items():
        by_hand = fit_probe(
            material.x[dogs != dog], material.label_index[dogs != dog], labels=LABELS, penalty=0.5,
        )  # fmt: skip
        np.testing.assert_array_equal(decision.probe.coef, by_hand.coef)
        np.testing.assert_array_equal(decision.probe.mean, by_hand.mean)
        assert (decision.label, decision.pooling) == (LABELS[1], "cls")


@pytest.mark.parametrize("method", ["lda", "logistic"])
def test_what_a_dog_looks_like_does_not_reach_its_own_probe(method):
    evidence = draw_evidence(subjects=6, clips=4, effect=1.0, overrides={
        "probe": {"method": method, "penalties": (0.1, 10.0), "inner_folds": 3}})  # fmt: skip
    dog = evidence.study.subject_ids[2]
    before, after = unseen(evidence), unseen(spoil(evidence, dog))
    # Sums over dogs are taken by difference from the whole: alike but for rounding.
    np.testing.assert_allclose(before[dog].direction, after[dog].direction, rtol=1e-3, atol=1e-5)
    other = evidence.study.subject_ids[0]
    assert not np.allclose(before[other].direction, after[other].direction, rtol=1e-2)


def test_probes_are_those_the_run_was_evaluated_with():
    evidence = draw_evidence(subjects=6, effect=1.0)
    learner = make_learner(evidence.materials, config=evidence.config, views=None)
    assert isinstance(learner, DiscriminantLearner)
    learner.read()
    dogs = learner.material.origin["subject_id"].to_numpy(dtype=object)
    decisions = unseen(evidence)
    for fold in evidence.split.folds:
        fitted = learner.fit(np.isin(dogs, fold.train), seed=evidence.config.evaluate.seed)
        for dog in fold.test:
            assert dog not in fold.train
            np.testing.assert_array_equal(decisions[dog].probe.coef, fitted.classifier.coef)


def test_the_pooling_that_a_fold_chose_is_the_one_explained():
    evidence = draw_evidence(subjects=6, effect=2.0, overrides={"sweep": {"poolings": ("mean",)}})
    noise = np.random.default_rng(0).normal(size=evidence.materials[0].x.shape)
    first, second = evidence.materials
    evidence = replace(evidence, materials=(replace(first, x=noise.astype(np.float32)), second))
    assert {each.pooling for each in unseen(evidence).values()} == {second.pooling}


def test_dog_whose_training_dogs_lack_a_label_is_not_explained():
    # The second label is that of a single dog: without it there is nothing to learn.
    evidence = draw_evidence(subjects=5, clips=4, label_of=lambda dog, clip: int(dog == 3))
    decisions = unseen(evidence)
    assert set(decisions) == set(evidence.study.subject_ids) - {evidence.study.subject_ids[3]}


def test_where_no_dog_can_be_explained_there_are_no_controls_either():
    evidence = draw_evidence(subjects=2, clips=4, label_of=lambda dog, clip: dog)
    assert list_unseen((), label=LABELS[1], place=Path()) == {}
    assert fit_shuffled(evidence, {}, label=LABELS[1], tell=ignore) == {}


def test_folds_are_counted():
    told = []
    evidence = draw_evidence(subjects=5, clips=4)
    fit_shuffled(
        evidence,
        unseen(evidence),
        label=LABELS[0],
        tell=lambda done, total: told.append((done, total)),
    )
    assert sorted(told) == [(i, 5) for i in range(1, 6)]


@pytest.mark.parametrize("method", ["sequence_mean", "sequence_attention"])
def test_models_of_the_whole_clip_are_refused(method):
    evidence = draw_evidence(
        subjects=4, clips=2, frames=2,
        overrides={"probe": {"method": method}, "sequence": {"epochs": 1}},
    )  # fmt: skip
    with pytest.raises(ModelError, match=r"runs/drawn: only a linear probe .* --method lda or"):
        unseen(evidence)


# -- shuffled labels -------------------------------------------------------------------------------


def labels_by_clip(material: Material):
    return material.origin.groupby("video_id")["label"].unique()


def test_moved_labels_keep_counts_and_whole_clips_and_leave_the_material_alone():
    material = draw_evidence(subjects=8).materials[0]
    before = material.origin.copy()
    index_before = material.label_index.copy()
    moved = move_labels(material, seed=1)
    assert material.origin.equals(before)
    np.testing.assert_array_equal(material.label_index, index_before)
    clips = labels_by_clip(moved)
    assert clips.map(len).eq(1).all()
    counts = [labels_by_clip(each).map(lambda one: one[0]).value_counts() for each in
              (material, moved)]  # fmt: skip
    assert counts[0].to_dict() == counts[1].to_dict()
    assert moved.origin.drop(columns="label").equals(before.drop(columns="label"))
    assert (moved.label_index != index_before).mean() > 0.2
    np.testing.assert_array_equal(moved.x, material.x)


def test_labels_move_between_dogs_and_by_the_seed():
    material = draw_evidence(subjects=8, label_of=lambda dog, clip: dog % 2).materials[0]
    moved = move_labels(material, seed=0)
    per_dog = moved.origin.groupby("subject_id")["label"].nunique()
    assert (per_dog == 2).sum() >= 4  # dogs of a single label have both now
    assert moved.origin.equals(move_labels(material, seed=0).origin)
    assert not moved.origin.equals(move_labels(material, seed=1).origin)


def test_controls_have_the_same_dogs_penalty_and_label_and_learned_something_else():
    evidence = draw_evidence(subjects=8, effect=3.0)
    decisions = unseen(evidence)
    controls = fit_shuffled(evidence, decisions, label=LABELS[1], tell=ignore)
    assert set(controls) == set(decisions)
    own = np.mean([each.direction for each in decisions.values()], axis=0)
    other = np.mean([each.direction for each in controls.values()], axis=0)
    penalties = [each.probe.penalty for each in decisions.values()]
    most = max(set(penalties), key=penalties.count)
    assert {each.probe.penalty for each in controls.values()} == {most}
    assert {each.label for each in controls.values()} == {LABELS[1]}
    assert abs(np.corrcoef(own, other)[0, 1]) < 0.9
    assert own[1] - own[0] > 2 * abs(other[1] - other[0])  # where the labels were planted
