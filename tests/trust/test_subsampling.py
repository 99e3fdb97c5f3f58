import numpy as np
import pytest

from canemo.trust.learning_curve import (
    LEAST_TRAINED,
    REPEATS,
    _count_right,
    choose_most_often,
    estimate_learning_curve,
)
from worlds import (
    LABELS,
    THREE_LABELS,
    draw_features,
    make_discriminant,
)


def curve_of(penalty=1.0, *, seed=0, labels=LABELS, **world):
    world = {"frames": 2, "dim": 10, "labels": labels, **world}
    return estimate_learning_curve(
        make_discriminant(draw_features(**world), labels), penalty, seed=seed
    )


def scores_of(curve):
    return [point["score"] for point in curve["points"]]


def test_more_dogs_help_where_there_is_something_to_learn():
    curve = curve_of(subjects=16, effect=2.5, dim=30)
    scores = scores_of(curve)
    assert scores[0] + 0.08 < scores[-1]
    assert np.diff(scores).min() > -0.03
    assert curve["gain"]["score"] > 0.005
    assert curve["extrapolation"]["subjects"] == 32


def test_more_dogs_do_not_help_where_there_is_nothing():
    curves = []
    for seed in range(10):
        learner = make_discriminant(draw_features(subjects=10, frames=1, dim=8, seed=seed))
        curves.append(estimate_learning_curve(learner, 1.0, seed=seed))
    assert np.abs(np.mean([scores_of(curve) for curve in curves], axis=0) - 0.5).max() < 0.06
    assert sum(curve["rising"] for curve in curves) <= 2


def test_sizes_go_from_three_dogs_to_all_but_two():
    for subjects, sizes in ((7, [3, 4, 5]), (9, [3, 4, 5, 6, 7]), (25, [3, 7, 11, 15, 19, 23])):
        curve = curve_of(subjects=subjects, clips=2, effect=2.0)
        assert [point["subjects"] for point in curve["points"]] == sizes
        assert (curve["measure"], curve["repeats"]) == ("balanced_accuracy", REPEATS)


@pytest.mark.parametrize("subjects", [2, 4, 6])
def test_too_few_dogs_tell_nothing(subjects):
    assert curve_of(subjects=subjects) is None


def test_labels_that_few_dogs_show_leave_no_curve():
    features = draw_features(subjects=8)
    features.origin["label"] = np.where(features.origin["subject_id"] == "s0", *LABELS[::-1])
    assert estimate_learning_curve(make_discriminant(features), 1.0, seed=0) is None


def test_seed_decides():
    a, b, c = (curve_of(subjects=9, effect=1.0, seed=seed) for seed in (0, 0, 1))
    assert a == b
    assert a != c


@pytest.mark.parametrize("labels", [LABELS, THREE_LABELS])
def test_right_answers_are_those_of_a_probe_fitted_to_the_dogs_learned_from(labels):
    # One crop per clip, so that the clip's mean crop is its crop.
    features = draw_features(subjects=8, frames=1, effect=1.0, labels=labels)
    learner = make_discriminant(features, labels, penalties=(0.7,))
    reading, trained = learner.readings[0], np.array([5, 1, 2, 7])
    counts = _count_right(reading, trained, 0.7, labels=len(labels), balanced=True)
    rows = np.isin(reading.clip_group, trained)
    answer = learner.fit(rows, seed=0).classifier.predict_proba(features.cls).argmax(axis=1)
    for dog in range(8):
        for label in range(len(labels)):
            cell = (reading.clip_group == dog) & (reading.label_index == label)
            right = (answer[cell] == label).sum()
            expected = [0, 0] if dog in trained else [right, cell.sum()]
            assert counts[dog, label].tolist() == expected


def test_first_point_by_hand(monkeypatch):
    # Of one repeat: the balanced accuracy over all dogs but the first three of the order.
    monkeypatch.setattr("canemo.trust.learning_curve.REPEATS", 1)
    learner = make_discriminant(draw_features(subjects=8, effect=1.0))
    curve = estimate_learning_curve(learner, 1.0, seed=5)
    order = np.random.default_rng(5).permutation(8)
    counts = _count_right(
        learner.readings[0], order[:LEAST_TRAINED], 1.0, labels=2, balanced=True
    ).sum(axis=0)
    assert curve["points"][0]["score"] == pytest.approx((counts[:, 0] / counts[:, 1]).mean())


def test_penalty_chosen_most_often():
    assert choose_most_often((1.0, 0.1, 1.0), offered=(0.1, 1.0, 10.0)) == 1.0
    assert choose_most_often((0.1, 1.0), offered=(0.1, 1.0, 10.0)) == 0.1  # of equals the first
    assert choose_most_often((), offered=(0.1, 10.0, 1.0)) == 1.0
