from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from canemo.config import EvaluateConfig, ProbeConfig
from canemo.learn.evaluate import Evaluation, evaluate_learner
from canemo.learn.lda import DiscriminantLearner
from canemo.learn.predictions import read_predictions
from canemo.trust.intervals import compute_scores
from canemo.trust.sweep import summarise_sweep
from worlds import (
    LABELS,
    draw_features,
    make_discriminant,
    make_materials,
    split_subjects,
)

EVALUATE = EvaluateConfig(resamples=100)
PENALTIES = (0.1, 10.0)
PARTS = [("cls", "all"), ("cls", "even:1"), ("mean", "all"), ("mean", "even:1")]


def sweep_world(**settings):
    """A label that shows in one pooling, `mean`, and not in the other."""
    features = draw_features(**{"frames": 3, "dim": 8, **settings})
    noise = np.random.default_rng(9).normal(size=features.cls.shape).astype(np.float32)
    return replace(features, cls=noise, mean=features.cls)


def evaluate_sweep(features, *, penalties=PENALTIES, poolings=("cls", "mean"), kind="kfold:4"):
    materials = make_materials(features, poolings=poolings, rules=("all", "even:1"))
    learner = DiscriminantLearner(materials, ProbeConfig(penalties=penalties, inner_folds=3))
    return learner, evaluate_learner(learner, split_subjects(features, kind), seed=0)


def score(rows):
    return compute_scores(read_predictions(rows, LABELS))["balanced_accuracy"]


@pytest.fixture(scope="module")
def swept():
    return evaluate_sweep(sweep_world(effect=3.0))


# -- trials ----------------------------------------------------------------------------------------


def test_every_fold_setting_and_test_clip_has_a_trial(swept):
    trials = swept[1].trials
    assert len(trials) == 48 * len(PARTS) * len(PENALTIES)
    for _, rows in trials.groupby(["pooling", "frames", "penalty"]):
        assert sorted(rows["video_id"]) == sorted(f"v{s}_{c}" for s in range(8) for c in range(6))
    assert set(zip(trials["pooling"], trials["frames"], strict=True)) == set(PARTS)
    assert (
        trials.groupby(["fold", "pooling", "frames", "penalty"])["inner_loss"].nunique().eq(1).all()
    )


def test_predictions_are_those_of_the_setting_with_the_least_inner_loss(swept):
    _, evaluation = swept
    columns = [f"probability_{label}" for label in LABELS]
    videos = evaluation.predictions[evaluation.predictions["level"] == "video"]
    for fold, rows in evaluation.trials.groupby("fold"):
        least = rows[rows["inner_loss"] == rows["inner_loss"].min()].set_index("video_id")
        mine = videos[videos["fold"] == fold].set_index("video_id")
        assert least["penalty"].unique().tolist() == [evaluation.penalties[fold]]
        np.testing.assert_array_equal(mine[columns], least.loc[mine.index, columns])


def test_trials_of_one_setting_are_an_evaluation_of_it_alone(swept):
    _, evaluation = swept
    features = sweep_world(effect=3.0)
    materials = make_materials(features, poolings=("mean",), rules=("even:1",))
    alone = DiscriminantLearner(materials, ProbeConfig(penalties=(10.0,), inner_folds=3))
    table = evaluate_learner(alone, split_subjects(features, "kfold:4"), seed=0).predictions
    columns = [f"probability_{label}" for label in LABELS]
    videos = table[table["level"] == "video"].set_index("video_id")[columns]
    trials = evaluation.trials
    mine = trials[
        (trials["pooling"] == "mean") & (trials["frames"] == "even:1") & (trials["penalty"] == 10.0)
    ].set_index("video_id")[columns]
    pd.testing.assert_frame_equal(mine.loc[videos.index], videos)


def test_material_that_shows_the_label_is_chosen(swept):
    learner, evaluation = swept
    rows = np.ones(len(learner.material.origin), bool)
    assert learner.fit(rows, seed=0).material.pooling == "mean"
    videos = evaluation.predictions[evaluation.predictions["level"] == "video"]
    assert score(videos) > 0.85


def test_clip_that_one_crop_counts_of_is_answered_by_it():
    features = sweep_world(effect=3.0)
    materials = make_materials(features, poolings=("mean",), rules=("even:1",))
    learner = DiscriminantLearner(materials, ProbeConfig(penalties=PENALTIES, inner_folds=3))
    table = evaluate_learner(learner, split_subjects(features, "kfold:4"), seed=0).predictions
    column = f"probability_{LABELS[0]}"
    frames = table[(table["level"] == "frame") & (table["frame_index"] == 1)]
    videos = table[table["level"] == "video"]
    pd.testing.assert_series_equal(
        frames.set_index("video_id")[column], videos.set_index("video_id")[column]
    )


# -- what is said of them --------------------------------------------------------------------------


def test_each_part_is_nested_within_itself(swept):
    _, evaluation = swept
    found = summarise_sweep(evaluation, labels=LABELS, evaluate=EVALUATE)
    assert [(part["pooling"], part["frames"]) for part in found["parts"]] == PARTS
    features = sweep_world(effect=3.0)
    for part in found["parts"]:
        materials = make_materials(features, poolings=(part["pooling"],), rules=(part["frames"],))
        alone = DiscriminantLearner(materials, ProbeConfig(penalties=PENALTIES, inner_folds=3))
        table = evaluate_learner(alone, split_subjects(features, "kfold:4"), seed=0).predictions
        expected = compute_scores(read_predictions(table[table["level"] == "video"], LABELS))
        assert {name: part[name] for name in expected} == pytest.approx(expected)
        low, high = part["interval"]["balanced_accuracy"]
        assert low <= part["balanced_accuracy"] <= high


def test_how_often_each_part_was_chosen(swept):
    _, evaluation = swept
    found = summarise_sweep(evaluation, labels=LABELS, evaluate=EVALUATE)
    chosen = {(part["pooling"], part["frames"]): part["chosen"] for part in found["parts"]}
    assert sum(chosen.values()) == 4
    assert chosen["cls", "all"] == chosen["cls", "even:1"] == 0
    assert found["settings"] == found["optimism"]["settings"] == 8


def test_mixes_of_the_same_blocks_are_one_part():
    features = sweep_world(effect=3.0)
    features = replace(features, geometry=features.mean.astype(np.float32)[:, :3])
    poolings = ("cls", "cls,geometry")
    materials = make_materials(features, poolings=poolings)
    learner = DiscriminantLearner(materials, ProbeConfig(penalties=PENALTIES, inner_folds=3))
    split = split_subjects(features, "kfold:4")
    swept = evaluate_learner(learner, split, seed=0)
    found = summarise_sweep(swept, labels=LABELS, evaluate=EVALUATE)
    assert [part["pooling"] for part in found["parts"]] == list(poolings)
    assert [part["chosen"] for part in found["parts"]] == [0, 4]
    assert found["settings"] == 8
    alone = replace(learner, materials=materials[1:])
    table = evaluate_learner(alone, split, seed=0).predictions
    expected = score(table[table["level"] == "video"])
    assert found["parts"][1]["balanced_accuracy"] == pytest.approx(expected)


def test_best_of_all_is_named_with_what_it_claims(swept):
    _, evaluation = swept
    found = summarise_sweep(evaluation, labels=LABELS, evaluate=EVALUATE)["optimism"]
    trials = evaluation.trials
    scores = {
        setting: score(rows) for setting, rows in trials.groupby(["pooling", "frames", "penalty"])
    }
    assert found["best"] == pytest.approx(max(scores.values()))
    assert scores[found["pooling"], found["frames"], found["penalty"]] == found["best"]
    videos = evaluation.predictions[evaluation.predictions["level"] == "video"]
    assert found["nested"] == pytest.approx(score(videos))


def test_one_setting_leaves_no_choice():
    features = draw_features(effect=2.0)
    learner = make_discriminant(features, penalties=(1.0,))
    evaluation = evaluate_learner(learner, split_subjects(features), seed=0)
    found = summarise_sweep(evaluation, labels=LABELS, evaluate=EVALUATE)
    assert found["settings"] == 1
    assert found["optimism"]["best"] == found["optimism"]["nested"]
    assert found["optimism"]["penalty"] == 1.0
    [part] = found["parts"]
    assert part["chosen"] == 8
    assert part["balanced_accuracy"] == found["optimism"]["nested"]


def test_settings_that_do_equally_well_count_once():
    # Of clips of one crop every rule for frames takes all.
    features = draw_features(frames=1, effect=2.0)
    _, evaluation = evaluate_sweep(features, poolings=("cls",))
    found = summarise_sweep(evaluation, labels=LABELS, evaluate=EVALUATE)
    assert [part["chosen"] for part in found["parts"]] == [4, 0]
    first, second = ({**part, "frames": "", "chosen": 0} for part in found["parts"])
    assert first == second


def test_nothing_offered_nothing_said():
    nothing = Evaluation(pd.DataFrame(), (), (), pd.DataFrame(), pd.DataFrame(), 0.5, ())
    assert summarise_sweep(nothing, labels=LABELS, evaluate=EVALUATE) is None
