from dataclasses import replace
from math import ceil
from types import SimpleNamespace

import numpy as np
import pytest

from canemo.config import ProbeConfig
from canemo.learn.evaluate import evaluate_learner
from canemo.learn.lda import DiscriminantLearner
from canemo.learn.predictions import read_predictions
from canemo.learn.splits import Fold, Split
from canemo.species import DOG
from canemo.trust.chance import Chance
from canemo.trust.intervals import compute_scores
from canemo.trust.labellings import draw_labellings
from canemo.trust.permutation import (
    STATISTIC,
    compare_labellings,
    describe_permutation,
    predict_labellings,
    score_labellings,
)
from worlds import (
    LABELS,
    THREE_LABELS,
    draw_features,
    drop_crops,
    make_discriminant,
    make_materials,
    relabel_clips,
    split_subjects,
)

SCORES = ("accuracy", "balanced_accuracy", "auroc")
CASES = {
    "two labels": {},
    "three labels": {"labels": THREE_LABELS},
    "as frequent as in training": {"class_weight": "none"},
    "frames that count": {"rules": ("even:2",)},
    "two poolings": {"poolings": ("cls", "mean")},
    "two poolings, two rules, three labels": {
        "poolings": ("cls", "mean"),
        "rules": ("all", "even:1"),
        "labels": THREE_LABELS,
        "class_weight": "none",
    },
    "more features than clips": {"dim": 80},
    "blocks": {"poolings": ("cls", "mean,geometry")},
    "blocks, more features than clips": {"poolings": ("mean,geometry",), "dim": 60},
}


def uneven_world(labels=LABELS, **settings):
    """Dogs with unequal numbers of clips of each label, clips with unequal numbers of crops."""
    features = draw_features(
        **{"subjects": 7, "frames": 3, "effect": 1.0, "labels": labels, **settings}
    )
    index = np.random.default_rng(4).integers(0, len(labels), 7 * 6)
    geometry = np.random.default_rng(5).normal(size=(len(features), 5)).astype(np.float32)
    geometry[:, 0] += features.cls[:, 0]
    features = replace(features, mean=np.cbrt(features.cls), geometry=geometry)
    return drop_crops(relabel_clips(features, index, labels), share=0.3)


def learn(features, labels, *, poolings=("cls",), rules=("all",), **probe):
    probe = ProbeConfig.model_validate({"penalties": (0.01, 1.0, 100.0), "inner_folds": 3, **probe})
    materials = make_materials(features, labels, poolings=poolings, rules=rules)
    return DiscriminantLearner(materials, probe)


# -- the same as fitting anew ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "kind"), [("two labels", "loso"), *((name, "kfold:3") for name in CASES)]
)
def test_all_at_once_equals_evaluating_each_relabelled_study(name, kind):
    settings = dict(CASES[name])
    labels, dim = settings.pop("labels", LABELS), settings.pop("dim", 10)
    features = uneven_world(labels, dim=dim)
    learner, split = learn(features, labels, **settings), split_subjects(features, kind)
    reading = learner.readings[0]
    drawn, _ = draw_labellings(reading.label_index, reading.clip_group, number=2, seed=1)
    index = np.concatenate([reading.label_index[None], drawn])
    tested, probability = predict_labellings(learner, split, index, seed=0)
    assert sorted(tested) == list(range(42))
    scores = score_labellings(index[:, tested], probability)
    chosen = set()
    for number, each in enumerate(index):
        again = learn(relabel_clips(features, each, labels), labels, **settings)
        evaluation = evaluate_learner(again, split, seed=0)
        videos = evaluation.predictions[evaluation.predictions["level"] == "video"]
        videos = videos.set_index("video_id").loc[reading.names[tested]]
        predictions = read_predictions(videos, labels)
        np.testing.assert_allclose(probability[number], predictions.probability, atol=1e-9)
        expected = compute_scores(predictions)
        assert {k: v[number] for k, v in scores.items()} == pytest.approx(expected, abs=1e-12)
        chosen |= set(zip(evaluation.penalties, evaluation.temperatures, strict=True))
    assert len(chosen) > 2  # labellings and folds do choose differently


def test_observed_scores_are_those_of_the_evaluation():
    features = uneven_world()
    learner, split = make_discriminant(features), split_subjects(features)
    test = compare_labellings(learner, split, permutations=20, seed=0)
    table = evaluate_learner(learner, split, seed=0).predictions
    videos = read_predictions(table[table["level"] == "video"], LABELS)
    assert test.observed == pytest.approx(compute_scores(videos))


def test_labellings_are_those_that_are_drawn():
    features = uneven_world()
    learner, split = make_discriminant(features), split_subjects(features, "kfold:3")
    test = compare_labellings(learner, split, permutations=3, seed=3)
    reading = learner.readings[0]
    drawn, _ = draw_labellings(reading.label_index, reading.clip_group, number=3, seed=3)
    for number, each in enumerate(drawn):
        again = make_discriminant(relabel_clips(features, each))
        table = evaluate_learner(again, split, seed=3).predictions
        scores = compute_scores(read_predictions(table[table["level"] == "video"], LABELS))
        assert {name: test.null[name][number] for name in SCORES} == pytest.approx(scores)


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_how_many_at_a_time_does_not_matter(monkeypatch, size):
    features = uneven_world()
    learner, split = make_discriminant(features), split_subjects(features, "kfold:3")
    whole = compare_labellings(learner, split, permutations=30, seed=0)
    monkeypatch.setattr("canemo.trust.permutation.CHUNK", size)
    told = []
    parts = compare_labellings(
        learner, split, permutations=30, seed=0, progress=lambda *each: told.append(each)
    )
    assert parts.observed == pytest.approx(whole.observed)
    for name in SCORES:
        np.testing.assert_allclose(parts.null[name], whole.null[name])
    folds = 3 * ceil(31 / size)
    assert sorted(told) == [(number, folds) for number in range(1, folds + 1)]


def test_seed_decides():
    features = uneven_world()
    learner, split = make_discriminant(features), split_subjects(features, "kfold:3")
    a, b, c = (compare_labellings(learner, split, permutations=40, seed=s) for s in (0, 0, 1))
    assert describe_permutation(a, DOG) == describe_permutation(b, DOG)
    assert (a.null["auroc"] != c.null["auroc"]).any()


# -- p ---------------------------------------------------------------------------------------------


def drawn_test(observed, null, *, exact=False):
    values = {name: np.asarray(null, float) for name in SCORES}
    return Chance(dict.fromkeys(SCORES, observed), values, exact)


def test_drawn_p_counts_the_observed_labelling_and_is_never_zero():
    assert drawn_test(0.9, [0.5] * 99).compute_p(STATISTIC) == 1 / 100
    assert (
        drawn_test(0.5, [0.4, 0.5, 0.6, 0.3]).compute_p(STATISTIC) == 3 / 5
    )  # doing as well counts
    assert drawn_test(0.5, [0.5 - 1e-12] * 9).compute_p(STATISTIC) == 1  # and so does rounding


def test_exact_p_is_the_share_of_all_labellings():
    assert drawn_test(0.7, [0.7, 0.6, 0.8, 0.5], exact=True).compute_p(STATISTIC) == 2 / 4
    assert drawn_test(0.7, [0.7], exact=True).compute_p(STATISTIC) is None


@pytest.mark.parametrize("exact", [True, False])
def test_score_that_is_not_known_has_no_p(exact):
    test = drawn_test(np.nan, [np.nan] * 9, exact=exact)
    found = describe_permutation(test, DOG)
    assert found["p"] is found["observed"] is found["null_mean"] is found["null_high"] is None
    assert "do not show every label" in found["reason"]


def small_world(**settings):
    return draw_features(**{"subjects": 4, "clips": 3, "frames": 2, "dim": 4, **settings})


def test_few_labellings_are_all_looked_at():
    features = small_world(effect=8.0, dog_effect=0.3)
    test = compare_labellings(
        make_discriminant(features), split_subjects(features), permutations=50, seed=0
    )
    assert test.exact
    assert len(test.null["accuracy"]) == 3**4
    found = describe_permutation(test, DOG)
    # All labellings of one pattern in every dog are as good; there is one that is the observed.
    reached = (test.null["balanced_accuracy"] >= test.observed["balanced_accuracy"] - 1e-9).sum()
    assert (found["p"], found["n"], found["exact"]) == (reached / 81, 81, True)
    assert 0 < found["p"] <= 3 / 81
    assert found["reason"] is None


def test_dogs_of_one_label_each_leave_nothing_to_compare():
    features = draw_features(subjects=8, clips=3, effect=3.0)
    owner = features.origin["subject_id"].str[1:].astype(int)
    features.origin["label"] = np.where(owner % 2 == 0, *LABELS)
    test = compare_labellings(
        make_discriminant(features), split_subjects(features), permutations=50, seed=0
    )
    found = describe_permutation(test, DOG)
    assert found["p"] is None
    assert set(found["p_by_measure"].values()) == {None}
    assert "more than one condition" in found["reason"]


def test_tested_dogs_of_one_label_have_no_balanced_accuracy_and_no_p():
    features = draw_features(subjects=8, effect=3.0)
    alone = features.origin["subject_id"].isin(["s0", "s1"])
    features.origin.loc[alone, "label"] = LABELS[0]
    split = Split("x", 0, (Fold(tuple(f"s{i}" for i in range(2, 8)), ("s0", "s1")),))
    test = compare_labellings(make_discriminant(features), split, permutations=30, seed=0)
    assert test.compute_p(STATISTIC) is None
    assert test.compute_p("auroc") is None


def test_description_gives_level_and_height_of_the_null():
    found = describe_permutation(drawn_test(0.7, np.linspace(0, 1, 101)), DOG)
    assert found == {
        "statistic": "balanced_accuracy",
        "observed": 0.7,
        "p": pytest.approx(32 / 102),
        "n": 101,
        "exact": False,
        "null_mean": pytest.approx(0.5),
        "null_high": pytest.approx(0.95),
        "critical": pytest.approx(0.96),
        "p_by_measure": dict.fromkeys(SCORES, pytest.approx(32 / 102)),
        "reason": None,
    }


# -- scores ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("labels", [2, 3])
def test_scores_are_those_of_predictions(labels):
    rng = np.random.default_rng(labels)
    index = rng.integers(0, labels, (6, 40))
    probability = rng.dirichlet(np.ones(labels), (6, 40)).round(1)  # ties
    found = score_labellings(index, probability)
    for number in range(6):
        one = SimpleNamespace(
            label_index=index[number],
            probability=probability[number],
            predicted_index=probability[number].argmax(axis=1),
            labels=tuple("abc"[:labels]),
        )
        expected = compute_scores(one)
        assert {name: found[name][number] for name in SCORES} == pytest.approx(expected)


# -- folds -----------------------------------------------------------------------------------------


def test_fold_that_cannot_be_learned_is_left_out():
    # Without s0 no training dog shows the second label.
    features = draw_features(subjects=4, effect=2.0)
    alone = features.origin["subject_id"] != "s0"
    features.origin.loc[alone, "label"] = LABELS[0]
    learner, split = make_discriminant(features), split_subjects(features)
    reading = learner.readings[0]
    tested, probability = predict_labellings(learner, split, reading.label_index[None], seed=0)
    assert set(reading.subjects[tested]) == {"s1", "s2", "s3"}
    assert np.isfinite(probability).all()


def test_features_of_a_test_dog_change_only_its_own_answers():
    features = uneven_world()
    mine = (features.origin["subject_id"] == "s2").to_numpy()
    cls = features.cls.copy()
    cls[mine] = 100 * cls[mine][::-1] + 7
    answers = []
    split = Split(
        "x", 0, (Fold(tuple(f"s{i}" for i in range(6) if i not in (2, 5)), ("s2", "s5")),)
    )
    for each in (features, replace(features, cls=cls)):
        learner = make_discriminant(each)
        reading = learner.readings[0]
        index, _ = draw_labellings(reading.label_index, reading.clip_group, number=5, seed=0)
        tested, probability = predict_labellings(learner, split, index, seed=0)
        answers.append(probability[:, reading.subjects[tested] == "s5"])
    np.testing.assert_allclose(*answers, atol=1e-9)


@pytest.mark.parametrize("exact", [False, True])
def test_critical_score_is_where_p_reaches_the_level(exact):
    null = np.arange(100) / 100
    critical = drawn_test(0.5, null, exact=exact).find_critical(STATISTIC, level=0.05)
    assert exact or drawn_test(critical, null).compute_p(STATISTIC) > 0.05
    above = np.append(null[1:], critical + 0.001) if exact else null
    assert drawn_test(critical + 0.001, above, exact=exact).compute_p(STATISTIC) <= 0.05
    assert drawn_test(0.5, null[:10], exact=exact).find_critical(STATISTIC, level=0.05) is None
