import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, roc_auc_score

from canemo.learn.predictions import Predictions
from canemo.trust.intervals import compute_intervals, compute_scores
from canemo.trust.scores import (
    compute_confusion,
    compute_macro_f1,
    compute_majority_share,
    compute_weighted_scores,
    measure_areas,
)


def predictions(y, p, subjects=None, labels=("a", "b")):
    y, p = np.asarray(y), np.asarray(p, float)
    probability = np.stack([1 - p, p], axis=1) if p.ndim == 1 else p
    owners = np.arange(len(y)) if subjects is None else np.asarray(subjects)
    return Predictions(y, probability, owners.astype(object), labels)


def drawn(n=200, k=2, seed=0, subjects=20):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, k, n)
    p = rng.dirichlet(np.ones(k), n).round(2)  # rounding makes ties
    p[:, -1] = 1 - p[:, :-1].sum(1)
    labels = tuple("abcd"[:k])
    return predictions(y, p, rng.integers(0, subjects, n), labels)


def test_known_answer():
    result = predictions([0, 0, 1, 1], [0.1, 0.6, 0.4, 0.9])
    assert compute_confusion(result).tolist() == [[1, 1], [1, 1]]
    assert compute_scores(result) == {"accuracy": 0.5, "balanced_accuracy": 0.5, "auroc": 0.75}
    assert compute_macro_f1(result) == 0.5


def test_scores_agree_with_scikit_learn_on_ties_and_repeats():
    result = drawn()
    weights = np.random.default_rng(1).integers(0, 4, (5, 200)).astype(float)
    ours = compute_weighted_scores(result, weights)
    for row, weight in enumerate(weights):
        auroc = roc_auc_score(result.label_index, result.probability[:, 1], sample_weight=weight)
        balanced = balanced_accuracy_score(
            result.label_index, result.predicted_index, sample_weight=weight
        )
        assert ours["auroc"][row] == pytest.approx(auroc)
        assert ours["balanced_accuracy"][row] == pytest.approx(balanced)


def test_three_labels_agree_with_scikit_learn():
    result = drawn(k=3)
    theirs = roc_auc_score(result.label_index, result.probability, multi_class="ovr")
    assert compute_scores(result)["auroc"] == pytest.approx(theirs)


def test_missing_label_leaves_auroc_unknown():
    scores = compute_scores(predictions([1, 1, 1], [0.2, 0.8, 0.9]))
    assert scores["accuracy"] == pytest.approx(2 / 3)
    assert np.isnan(scores["auroc"])


def test_label_never_predicted_counts_zero_in_macro_f1():
    always_b = predictions([0, 1, 1], [0.9, 0.9, 0.9])
    assert compute_macro_f1(always_b) == pytest.approx(0.4)


def test_majority_share():
    assert compute_majority_share(np.array([0, 1, 1]), ("a", "b")) == ("b", pytest.approx(2 / 3))


def test_interval_is_a_point_where_every_dog_is_the_same():
    result = predictions([0, 1] * 10, [0.1, 0.9] * 10, subjects=np.repeat(range(10), 2))
    assert compute_intervals(result)["accuracy"] == (1.0, 1.0)


def test_interval_resamples_dogs_not_clips():
    # Five dogs all right, five all wrong: with dogs as the unit the interval must be wide.
    right = np.repeat([1, 0], 50)
    result = predictions(np.ones(100, int), np.where(right, 0.9, 0.1), np.repeat(range(10), 10))
    low, high = compute_intervals(result)["accuracy"]
    assert low <= 0.25
    assert high >= 0.75


def test_seed_decides_the_interval():
    a, b, c = (compute_intervals(drawn(), resamples=200, seed=s) for s in (0, 0, 1))
    assert a == b
    assert a != c


def test_one_dog_has_no_interval():
    result = predictions([0, 1], [0.1, 0.9], subjects=[0, 0])
    assert compute_intervals(result)["accuracy"] is None


def test_interval_covers_the_truth_about_as_often_as_stated():
    rng = np.random.default_rng(7)
    covered = []
    for seed in range(200):
        skill = rng.normal(0, 0.5, 30)[:, None]
        right = rng.normal(0.5 + skill, 1, (30, 8)) > 0
        truth = 0.6725  # P(N(0.5, 1 + 0.25) > 0)
        result = predictions(
            np.ones(240, int), np.where(right.ravel(), 0.9, 0.1), np.repeat(range(30), 8)
        )
        low, high = compute_intervals(result, resamples=400, seed=seed)["accuracy"]
        covered.append(low <= truth <= high)
    assert 0.88 <= np.mean(covered) <= 0.99


def test_areas_are_those_of_scikit_learn():
    rng = np.random.default_rng(0)
    scores, shown = rng.normal(size=(3, 50)).round(1), rng.random((3, 50)) < 0.3
    expected = [roc_auc_score(y, s) for y, s in zip(shown, scores, strict=True)]
    assert measure_areas(scores, shown) == pytest.approx(expected)
    assert np.isnan(measure_areas(scores, np.ones((3, 50), bool))).all()


def test_areas_of_rows_are_those_of_weighted_scores():
    result = drawn()
    plain = compute_weighted_scores(result, np.ones((1, 200)))["auroc"]
    area = measure_areas(result.probability[None, :, 1], result.label_index[None] == 1)
    assert area.tolist() == plain.tolist()
