from itertools import product

import numpy as np
import pytest

from canemo.learn.predictions import Predictions
from canemo.trust.intervals import (
    bound_mean,
    bound_middle,
    bound_share,
    compute_intervals,
    count_reached,
    measure_reach,
)
from canemo.trust.pairs import MAX_EXACT_SUBJECTS, compare_pair

SCORES = ("accuracy", "balanced_accuracy", "auroc")


def answers(right, owners, truth=None, *, confidence=0.8):
    """Return predictions that are right where `right` says so."""
    right, owners = np.asarray(right, bool), np.asarray(owners)
    truth = np.arange(len(right)) % 2 if truth is None else np.asarray(truth)
    of_truth = np.where(right, confidence, 1 - confidence)
    second = np.where(truth == 1, of_truth, 1 - of_truth)
    probability = np.stack([1 - second, second], axis=1)
    return Predictions(truth, probability, owners.astype(str).astype(object), ("a", "b"))


def drawn_pair(*, subjects, clips=6, gap=0.0, seed=0, spread=1.0):
    """Two classifiers of like skill on each dog, the first better by `gap` (in logits)."""
    rng = np.random.default_rng(seed)
    skill = 0.8 + spread * rng.normal(size=(subjects, 1))
    own = 0.6 * rng.normal(size=(2, subjects, 1))  # each has dogs that suit it
    p = 1 / (1 + np.exp(-(skill + own + np.array([gap, 0.0])[:, None, None])))
    right = rng.random((2, subjects, clips)) < p
    owners = np.repeat(np.arange(subjects), clips)
    return [answers(each.ravel(), owners) for each in right]


def drawn_study(*, subjects, effect=0.0, skill=0.0, seed=0):
    """About 8 clips of each dog, a third of one label; each dog leans to one label or the other."""
    rng = np.random.default_rng(seed)
    owner = np.repeat(np.arange(subjects), rng.integers(4, 13, subjects))
    truth = (rng.random(len(owner)) < 1 / 3).astype(int)
    gain = (effect + skill * rng.normal(size=subjects))[owner]
    lean = rng.normal(size=subjects)[owner]
    second = 1 / (1 + np.exp(-lean - gain * (truth - 0.5) - rng.normal(size=len(owner))))
    probability = np.stack([1 - second, second], axis=1)
    return Predictions(truth, probability, owner.astype(object), ("a", "b"))


def test_interval_of_ten_dogs_is_known():
    # Five dogs all right, five all wrong: the standard error is sqrt(0.25 / 9), and t(9) 2.262.
    result = answers(np.repeat([1, 0], 50), np.repeat(range(10), 10))
    reach = 2.262 * np.sqrt(0.25 / 9) / 0.25
    expected = 1 / (1 + np.exp([reach, -reach]))
    assert compute_intervals(result)["accuracy"] == pytest.approx(expected, abs=0.01)


def test_right_and_wrong_turned_round_mirror_the_interval():
    right, owners = np.random.default_rng(0).random(60) < 0.8, np.repeat(range(12), 5)
    low, high = compute_intervals(answers(right, owners))["accuracy"]
    again = compute_intervals(answers(~right, owners))["accuracy"]
    assert again == pytest.approx((1 - high, 1 - low))
    assert 0 < low < right.mean() < high < 1
    assert right.mean() - low > high - right.mean()  # there is more room below


def test_all_scores_equal_leave_the_point():
    perfect = answers(np.ones(40), np.repeat(range(10), 4))
    assert compute_intervals(perfect) == dict.fromkeys(SCORES, (1.0, 1.0))
    alike = answers([1, 1, 1, 0] * 10, np.repeat(range(10), 4), truth=[0, 1, 0, 1] * 10)
    low, high = compute_intervals(alike)["accuracy"]
    assert low == high == 0.75


def test_missing_label_leaves_two_scores_without_interval():
    found = compute_intervals(answers([1, 0, 1, 1] * 3, np.repeat(range(6), 2), truth=[1] * 12))
    assert found["balanced_accuracy"] is found["auroc"] is None
    assert found["accuracy"] is not None


def test_label_that_one_dog_alone_shows_is_often_missing_from_resamples():
    # It is missing from (3/4)^4 = 0.32 of the resamples of four dogs; the others are enough.
    truth = [0, 1, 0, 0, 0, 0, 0, 0]
    found = compute_intervals(answers([1, 1, 0, 1, 1, 1, 1, 0], np.repeat(range(4), 2), truth))
    low, high = found["balanced_accuracy"]
    assert 0 < low < (5 / 7 + 1) / 2 < high < 1


@pytest.mark.slow
@pytest.mark.parametrize("subjects", [20, 29])
@pytest.mark.parametrize(
    ("effect", "skill", "truth"),
    [
        (0.0, 0.0, (0.5, 0.5, 0.5)),
        (1.5, 0.5, (0.700, 0.700, 0.770)),
        (3.5, 1.0, (0.879, 0.879, 0.951)),
    ],
)
def test_intervals_hold_the_truth_as_often_as_stated(subjects, effect, skill, truth):
    held = []
    for seed in range(500):
        study = drawn_study(subjects=subjects, effect=effect, skill=skill, seed=seed)
        found = compute_intervals(study, resamples=500, seed=seed)
        held.append(
            [
                found[name][0] <= value <= found[name][1]
                for name, value in zip(SCORES, truth, strict=True)
            ]
        )
    accuracy, balanced_accuracy, auroc = np.mean(held, axis=0)
    assert accuracy == pytest.approx(0.95, abs=0.03)
    assert balanced_accuracy == pytest.approx(0.95, abs=0.03)
    assert auroc == pytest.approx(0.95, abs=0.03 if effect < 3 else 0.05)


def test_effect_size_is_known():
    # Shares right per dog: 3/4 - 1/4, 2/4 - 2/4, 4/4 - 2/4; mean 1/3, deviation 1/sqrt(12).
    owners = np.repeat(["rex", "ada", "bob"], 4)
    first = answers([1, 1, 1, 0, 1, 1, 0, 0, 1, 1, 1, 1], owners)
    second = answers([1, 0, 0, 0, 1, 0, 1, 0, 1, 0, 1, 0], owners)
    assert compare_pair(first, second).effect_size == pytest.approx(np.sqrt(12) / 3)
    assert compare_pair(second, first).effect_size == pytest.approx(-np.sqrt(12) / 3)


def test_effect_size_weighs_dogs_not_clips():
    owners = ["rex"] * 40 + ["ada"] * 2 + ["bob"] * 2
    first = answers([1] * 40 + [1, 0, 0, 0], owners)
    second = answers([0] * 40 + [1, 0, 1, 0], owners)
    # Differences 1, 0 and -1/2.
    expected = (0.5 / 3) / np.std([1, 0, -0.5], ddof=1)
    assert compare_pair(first, second).effect_size == pytest.approx(expected)


def test_against_every_pattern_written_out():
    owners = ["rex"] * 4 + ["ada"] * 3 + ["bob"] * 2 + ["eve"] * 5 + ["max"]
    first = answers([1, 1, 1, 0, 1, 1, 0, 1, 1, 1, 1, 1, 0, 0, 1], owners)
    second = answers([1, 0, 0, 1, 1, 0, 0, 1, 0, 1, 1, 0, 1, 1, 1], owners)
    gained = {"rex": 1, "ada": 1, "bob": 1, "eve": -1, "max": 0}  # units right, first minus second
    observed = abs(sum(gained.values()))
    reached = sum(
        abs(sum(sign * value for sign, value in zip(signs, gained.values(), strict=True)))
        >= observed
        for signs in product((-1, 1), repeat=5)
    )
    found = compare_pair(first, second)
    assert (found.p, found.flips, found.exact) == (reached / 32, 32, True)
    assert 0 < reached < 32
    assert found.difference["accuracy"] == pytest.approx(2 / 15)


@pytest.mark.parametrize("seed", range(5))
def test_exact_p_against_brute_force_on_drawn_worlds(seed):
    first, second = drawn_pair(subjects=6, clips=5, gap=0.5, seed=seed)
    right = [each.probability.argmax(1) == each.label_index for each in (first, second)]
    gained = [
        int(right[0][first.subject_ids == dog].sum())
        - int(right[1][first.subject_ids == dog].sum())
        for dog in sorted(set(first.subject_ids))
    ]
    reached = [
        abs(sum(s * g for s, g in zip(signs, gained, strict=True))) >= abs(sum(gained))
        for signs in product((-1, 1), repeat=6)
    ]
    assert compare_pair(first, second, resamples=100).p == np.mean(reached)


def test_equal_classifiers_do_not_differ():
    for subjects in (8, 20):
        first, _ = drawn_pair(subjects=subjects)
        found = compare_pair(first, first)
        assert found.difference == dict.fromkeys(SCORES, 0.0)
        assert found.interval == dict.fromkeys(SCORES, (0.0, 0.0))
        assert found.p == 1


def test_better_on_every_one_of_eight_dogs():
    owners = np.repeat(range(8), 4)
    first, second = answers([1, 1, 1, 0] * 8, owners), answers([1, 0, 0, 0] * 8, owners)
    found = compare_pair(first, second)
    assert (found.p, found.flips, found.exact) == (2 / 256, 256, True)
    assert found.difference["accuracy"] == pytest.approx(0.5)
    assert found.interval["accuracy"] == pytest.approx((0.5, 0.5))  # the same on every dog
    assert found.effect_size is None  # it does not vary


def test_dogs_are_the_unit_not_clips():
    # One dog with very many clips says no more than one dog.
    owners = ["rex"] * 400 + ["ada"] * 2 + ["bob"] * 2
    right = np.zeros(404, bool)
    first = answers(np.where(np.array(owners) == "rex", 1, right), owners)
    second = answers(right, owners)
    found = compare_pair(first, second)
    assert found.difference["accuracy"] > 0.9
    assert found.p == 1  # flipping the only dog that differs gives as much
    assert found.interval["accuracy"][0] == 0  # resamples without it


def test_swapping_the_two_turns_the_signs_round():
    for subjects in (9, 18):
        first, second = drawn_pair(subjects=subjects, gap=0.8, seed=3)
        there, back = compare_pair(first, second), compare_pair(second, first)
        assert there.p == back.p
        for name in SCORES:
            assert there.difference[name] == pytest.approx(-back.difference[name])
            low, high = back.interval[name]
            assert there.interval[name] == pytest.approx((-high, -low))


def test_order_of_units_and_names_of_dogs_do_not_matter():
    first, second = drawn_pair(subjects=8, gap=0.8, seed=1)
    order = np.random.default_rng(0).permutation(len(first.label_index))
    shuffled = [
        Predictions(
            each.label_index[order], each.probability[order], each.subject_ids[order], each.labels
        )
        for each in (first, second)
    ]
    found, again = compare_pair(first, second), compare_pair(*shuffled)
    assert (found.p, found.difference["auroc"]) == (again.p, again.difference["auroc"])
    for name in SCORES:
        assert found.interval[name] == pytest.approx(again.interval[name])


def test_difference_of_two_scores_is_the_difference():
    # Accuracy 3/4 against 1/4; the first ranks every pair rightly, the second none.
    truth, owners = [0, 0, 1, 1], ["x", "y", "x", "y"]
    first = Predictions(
        np.array(truth), np.array([[0.9, 0.1], [0.8, 0.2], [0.6, 0.4], [0.1, 0.9]]),
        np.array(owners, object), ("a", "b"),
    )  # fmt: skip
    second = Predictions(
        np.array(truth), np.array([[0.4, 0.6], [0.3, 0.7], [0.45, 0.55], [0.6, 0.4]]),
        np.array(owners, object), ("a", "b"),
    )  # fmt: skip
    found = compare_pair(first, second)
    assert found.difference["accuracy"] == pytest.approx(3 / 4 - 1 / 4)
    assert found.difference["balanced_accuracy"] == pytest.approx(3 / 4 - 1 / 4)
    assert found.difference["auroc"] == pytest.approx(1.0 - 0.0)


def test_interval_of_two_dogs_is_known():
    # First is better by all 2 clips of one dog and by none of the other: resamples give 0, 1/2, 1
    # with shares 1/4, 1/2, 1/4.
    owners = ["x", "x", "y", "y"]
    found = compare_pair(answers([1, 1, 1, 1], owners), answers([0, 0, 1, 1], owners))
    assert found.difference["accuracy"] == 0.5
    assert found.interval["accuracy"] == (0.0, 1.0)
    assert found.p == 1


def test_paired_interval_is_narrower_than_two_that_ignore_the_pairing():
    # Dogs differ widely, the classifiers hardly: pairing takes the dogs out.
    first, second = drawn_pair(subjects=20, clips=20, gap=0.7, spread=2.0, seed=0)
    low, high = compare_pair(first, second).interval["accuracy"]
    by_dog = [
        (each.probability.argmax(1) == each.label_index).reshape(20, 20).mean(1)
        for each in (first, second)
    ]
    unpaired = 2 * 1.96 * np.sqrt(sum(np.var(each, ddof=1) / 20 for each in by_dog))
    assert high - low < 0.7 * unpaired


@pytest.mark.parametrize("change", ["order", "label", "fewer"])
def test_other_units_are_refused(change):
    owners = ["x", "x", "y", "y"]
    first = answers([1, 0, 1, 1], owners)
    second = {
        "order": answers([1, 0, 1, 1], owners[::-1]),
        "label": answers([1, 0, 1, 1], owners, truth=[0, 1, 0, 0]),
        "fewer": answers([1, 0, 1], owners[:3]),
    }[change]
    with pytest.raises(ValueError, match="not tested on the same units"):
        compare_pair(first, second)


def test_one_dog_tells_nothing():
    found = compare_pair(answers([1, 1], ["x", "x"]), answers([0, 0], ["x", "x"]))
    assert found.difference["accuracy"] == 1
    assert (found.p, found.flips, found.exact) == (None, 0, False)
    assert found.effect_size is None
    assert found.interval == dict.fromkeys(SCORES)


def test_missing_label_leaves_auroc_unknown():
    truth, owners = [1] * 4, ["x", "x", "y", "y"]
    found = compare_pair(answers([1, 1, 1, 1], owners, truth), answers([1, 0, 1, 1], owners, truth))
    assert np.isnan(found.difference["auroc"])
    assert found.interval["auroc"] is None
    assert found.difference["accuracy"] == 0.25


def test_many_dogs_draw_patterns_and_never_give_zero():
    for subjects, exact in ((MAX_EXACT_SUBJECTS, True), (MAX_EXACT_SUBJECTS + 1, False)):
        owners = np.repeat(range(subjects), 2)
        first = answers(np.ones(2 * subjects), owners)
        found = compare_pair(first, answers(np.zeros(2 * subjects), owners), resamples=300)
        assert found.exact == exact
        assert found.flips == (2**subjects if exact else 300)
        assert found.p == pytest.approx(2 / 2**subjects if exact else 1 / 301)


def test_drawn_p_is_near_the_exact_one():
    values = [(drawn_pair(subjects=14, gap=gap, seed=2), gap) for gap in (0.0, 0.3, 0.8)]
    for (first, second), _ in values:
        exact = compare_pair(first, second, resamples=100).p
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("canemo.trust.pairs.MAX_EXACT_SUBJECTS", 5)
            drawn = compare_pair(first, second, resamples=20_000)
        assert not drawn.exact
        assert drawn.p == pytest.approx(exact, abs=0.015)


def test_seed_decides_interval_and_drawn_patterns():
    first, second = drawn_pair(subjects=16, gap=0.3, seed=2)
    a, b, c = (compare_pair(first, second, resamples=200, seed=seed) for seed in (0, 0, 1))
    assert a == b
    assert a != c
    assert a.difference == c.difference


def test_nothing_there_is_rarely_found():
    found = [
        compare_pair(*drawn_pair(subjects=20, seed=seed), resamples=400, seed=seed)
        for seed in range(200)
    ]
    assert np.mean([each.p < 0.05 for each in found]) <= 0.08
    excluded = [low > 0 or high < 0 for low, high in (each.interval["accuracy"] for each in found)]
    assert np.mean(excluded) <= 0.12
    # The test is no dead one either: half of the p values lie below a half, or nearly so.
    assert np.mean([each.p < 0.5 for each in found]) > 0.35


def test_planted_difference_is_found():
    found = [
        compare_pair(*drawn_pair(subjects=20, gap=1.5, seed=seed), resamples=400)
        for seed in range(20)
    ]
    assert np.mean([each.p < 0.05 for each in found]) > 0.8
    assert np.mean([each.interval["accuracy"][0] > 0 for each in found]) > 0.8
    assert np.mean([each.difference["accuracy"] for each in found]) > 0.1


# -- what tests and intervals are made of ----------------------------------------------------------


def test_p_counts_the_observed_value_and_is_never_zero():
    null = np.arange(99) / 100
    assert count_reached(2.0, null, exact=False) == 1 / 100
    assert count_reached(0.9, null, exact=False) == (9 + 1) / 100
    assert count_reached(2.0, np.array([0.1, 2.0, 0.3]), exact=True) == 1 / 3
    assert count_reached(0.5, np.array([np.nan, 0.1]), exact=False) == 2 / 3  # unknown counts


def test_interval_of_a_mean_is_students():
    low, high = bound_mean([0.5, 0.6, 0.7])
    assert (low, high) == pytest.approx((0.6 - 4.302653 * 0.1 / 3**0.5, 0.6 + 0.2484138), abs=1e-6)
    assert measure_reach(np.array([0.5, 0.6, 0.7])) == pytest.approx((high - low) / 2)
    assert bound_mean([0.7]) is None


def test_interval_of_a_share_stays_within_0_and_1():
    low, high = bound_share(0.9, 0.3)
    assert 0 < low < 0.9 < high < 1
    assert bound_share(0.1, 0.3) == pytest.approx((1 - high, 1 - low))


def test_middle_leaves_out_what_is_no_number_unless_that_is_most():
    assert bound_middle(np.arange(1001.0)) == pytest.approx((25.0, 975.0))
    some = np.array([1.0, 1.0, np.nan, np.nan, np.nan])
    assert bound_middle(some) is None
    assert bound_middle(some, known=0) == (1.0, 1.0)
    assert bound_middle(np.full(3, np.nan), known=0) is None
