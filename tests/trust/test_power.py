import json
from itertools import permutations
from pathlib import Path
from time import perf_counter

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.optimize import brentq
from scipy.stats import norm

from canemo.errors import ConfigError
from canemo.learn.predictions import Predictions
from canemo.trust.labellings import find_least_p
from canemo.trust.permutation import STATISTIC, compare_labellings
from canemo.trust.power import (
    approximate_p,
    compute_null_moments,
    estimate_subject_share,
    find_least_detectable,
    foretell_power,
)
from evidence_worlds import draw_evidence, measure
from worlds import LABELS, draw_features, make_discriminant, split_subjects


def drawn(*, subjects=20, clips=8, labels=2, share=0.3, effect=0.0, seed=0, first=1 / 3):
    """A study as the simulation thinks of it: normal scores, alike within dogs by `share`."""
    rng = np.random.default_rng(seed)
    owner = np.repeat(np.arange(subjects), clips)
    of_rest = (1 - first) / (labels - 1)
    truth = rng.choice(labels, len(owner), p=[first] + [of_rest] * (labels - 1))
    scores = np.sqrt(share) * rng.normal(size=(subjects, labels))[owner]
    scores += np.sqrt(1 - share) * rng.normal(size=(len(owner), labels))
    scores += effect * np.eye(labels)[truth]
    p = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    return Predictions(truth, p, owner.astype(object), tuple("abcd"[:labels]))


def balanced_accuracy(truth, answers):
    """(R, A) of (R, N) labellings against (A, N) answers."""
    recalls = [
        (truth == label).astype(float) @ (answers == label).T / (truth[0] == label).sum()
        for label in np.unique(truth)
    ]
    return np.mean(recalls, axis=0)


def wins(effect, labels):
    """How often a normal score higher by `effect` beats those of the other labels."""
    return quad(lambda z: norm.pdf(z) * norm.cdf(z + effect) ** (labels - 1), -9, 9)[0]


def shuffle(truth, owner, times, rng):
    """(times, N) labels moved within dogs."""
    moved = np.tile(truth, (times, 1))
    for dog in np.unique(owner):
        columns = np.flatnonzero(owner == dog)
        moved[:, columns] = rng.permuted(moved[:, columns], axis=1)
    return moved


def permutation_p(moved, truth, answers):
    """(A,) share of labellings that do better, those that do as well counting half."""
    null, observed = balanced_accuracy(moved, answers), balanced_accuracy(truth[None], answers)
    return ((null > observed + 1e-9).mean(axis=0) + (null >= observed - 1e-9).mean(axis=0)) / 2


@pytest.mark.parametrize("labels", [2, 3])
def test_moments_against_every_labelling_written_out(labels):
    truth = np.array([0, 1, 1, labels - 1, 0, 1, 0, 0, 1])
    owner = np.array([*"rrrraaaab"], object)
    predicted = np.random.default_rng(labels).integers(0, labels, (3, 9))
    everything = np.array(
        [
            [*rex, *ada, truth[8]]
            for rex in permutations(truth[:4])
            for ada in permutations(truth[4:8])
        ]
    )
    observed, mean, variance = compute_null_moments(truth, predicted, owner)
    null = balanced_accuracy(everything, predicted)
    assert observed == pytest.approx(balanced_accuracy(truth[None], predicted)[0])
    assert mean == pytest.approx(null.mean(axis=0))
    assert variance == pytest.approx(null.var(axis=0))


@pytest.mark.parametrize("labels", [2, 3])
@pytest.mark.parametrize("effect", [0.0, 0.3])
def test_p_agrees_with_permuting(labels, effect):
    for seed in range(4):
        study = drawn(labels=labels, effect=effect, seed=seed, clips=7)
        truth, answers, dogs = study.label_index, study.predicted_index[None], study.subject_ids
        moved = shuffle(truth, dogs, 3000, np.random.default_rng(seed))
        expected = permutation_p(moved, truth, answers)
        assert approximate_p(truth, answers, dogs) == pytest.approx(expected, abs=0.02)


def test_p_of_answers_that_never_vary_is_one():
    study = drawn()
    same = np.stack([np.zeros(160, int), study.subject_ids.astype(int) % 2])
    assert approximate_p(study.label_index, same, study.subject_ids).tolist() == [1.0, 1.0]


@pytest.mark.parametrize(("labels", "share"), [(2, 0.0), (2, 0.8), (3, 0.5)])
def test_power_at_chance_is_the_level(labels, share):
    study = drawn(labels=labels, share=share, subjects=24)
    curve = find_least_detectable(study, simulations=800)["curve"]
    assert curve[0]["balanced_accuracy"] == pytest.approx(1 / labels)
    assert curve[0]["power"] == pytest.approx(0.05, abs=0.02)


@pytest.mark.slow
@pytest.mark.parametrize(("labels", "share"), [(2, 0.2), (2, 0.7), (3, 0.4)])
def test_study_of_the_least_detectable_effect_is_found_as_often_as_stated(labels, share):
    # Studies drawn here and tested by moving labels in full, not by the approximation.
    study = drawn(labels=labels, share=share)
    found = find_least_detectable(study, simulations=2000)
    rng, share = np.random.default_rng(1), found["subject_share"]
    owner, truth = study.subject_ids.astype(int), study.label_index
    effect = brentq(lambda d: wins(d, labels) - found["balanced_accuracy"], 0, 5)
    scores = np.sqrt(share) * rng.normal(size=(800, 20, labels))[:, owner]
    scores += np.sqrt(1 - share) * rng.normal(size=(800, 160, labels))
    answers = (scores + effect * np.eye(labels)[truth]).argmax(axis=2)
    p = permutation_p(shuffle(truth, owner, 1000, rng), truth, answers)
    reached = balanced_accuracy(truth[None], answers)
    assert reached.mean() == pytest.approx(found["balanced_accuracy"], abs=0.015)
    assert np.mean(p <= 0.05) == pytest.approx(0.8, abs=0.05)


def test_more_clips_or_dogs_show_smaller_differences():
    base, clips, dogs = (
        find_least_detectable(drawn(**size), simulations=200)["difference"]
        for size in ({}, {"clips": 24}, {"subjects": 60})
    )
    assert 0.05 < base < 0.25
    assert clips < 0.75 * base
    assert dogs < 0.75 * base


def test_more_power_or_a_stricter_level_needs_a_larger_difference():
    study = drawn()
    base, sure, strict = (
        find_least_detectable(study, simulations=200, **change)["difference"]
        for change in ({}, {"power": 0.95}, {"level": 0.005})
    )
    assert sure > base + 0.01
    assert strict > base + 0.01


def test_curve_rises_from_chance_and_reaches_the_power_where_it_is_said_to():
    found = find_least_detectable(drawn(subjects=29))
    x = [point["balanced_accuracy"] for point in found["curve"]]
    y = [point["power"] for point in found["curve"]]
    assert np.all(np.diff(y) >= 0)
    assert y[-1] == 1
    assert np.interp(found["balanced_accuracy"], x, y) == pytest.approx(0.8)
    assert found["difference"] == pytest.approx(found["balanced_accuracy"] - 0.5)
    assert found["reason"] is None
    assert json.loads(json.dumps(found, allow_nan=False)) == found


@pytest.mark.parametrize("share", [0.0, 0.3, 0.7])
@pytest.mark.parametrize(("labels", "effect"), [(2, 0.0), (2, 1.0), (3, 0.5)])
def test_subject_share_is_recovered(labels, effect, share):
    study = drawn(subjects=300, labels=labels, effect=effect, share=share)
    assert estimate_subject_share(study) == pytest.approx(share, abs=0.06)


def test_subject_share_of_dogs_answered_all_alike_is_bounded():
    owner = np.repeat(np.arange(6), 5)
    second = np.where(owner % 2, 0.9, 0.2)
    truth = np.arange(30) % 2
    study = Predictions(truth, np.stack([1 - second, second], 1), owner.astype(object), ("a", "b"))
    assert estimate_subject_share(study) == 0.95


def test_subject_share_of_too_little_is_zero():
    one_each, alone = drawn(subjects=30, clips=1), drawn(subjects=1)
    same = Predictions(
        np.arange(8) % 2, np.full((8, 2), 0.5), np.repeat([0, 1], 4).astype(object), ("a", "b")
    )
    assert [estimate_subject_share(each) for each in (one_each, alone, same)] == [0.0, 0.0, 0.0]


def with_truth(truth, owner, labels=("a", "b")):
    p = np.full((len(truth), len(labels)), 1 / len(labels))
    return Predictions(np.asarray(truth), p, np.asarray(owner, object), labels)


@pytest.mark.parametrize(
    ("study", "reason"),
    [
        (with_truth([0] * 8 + [1] * 8, np.repeat(range(4), 4)), "no subject has clips of more"),
        (with_truth([0, 1] * 2, [0, 0, 1, 1]), "in only 4 ways, so that p cannot be 0.05 or less"),
        (with_truth([0, 1] * 5, np.repeat(range(5), 2)), "in only 32 ways, so that"),
        (with_truth([0, 1] * 8, np.repeat(range(4), 4), ("a", "b", "c")), "the label 'c'"),
    ],
)
def test_study_that_could_not_show_anything_says_why(study, reason):
    found = find_least_detectable(study)
    assert found["balanced_accuracy"] is found["difference"] is None
    assert found["curve"] == []
    assert reason in found["reason"]


def test_power_out_of_reach_says_so():
    # Five dogs of three clips: 243 labellings, so p of 0.01 is possible, not certain.
    few = with_truth([0, 1, 1] * 5, np.repeat(range(5), 3))
    found = find_least_detectable(few, level=0.01, power=0.999)
    assert found["balanced_accuracy"] is found["difference"] is None
    assert found["curve"][-1]["power"] < 0.999
    assert found["reason"] == "not even 99% right would be found with a power of 0.999"


def test_seed_decides():
    study = drawn(subjects=12)
    a, b, c = (find_least_detectable(study, simulations=200, seed=seed) for seed in (0, 0, 1))
    assert a == b
    assert a["curve"] != c["curve"]
    assert a["difference"] == pytest.approx(c["difference"], abs=0.03)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"level": 0.0}, "level must lie between 0 and 1, not 0.0"),
        ({"power": 1.0}, "power must lie between 0 and 1, not 1.0"),
        ({"simulations": 0}, "at least 1, not 0"),
    ],
)
def test_impossible_settings_are_refused(change, message):
    with pytest.raises(ConfigError, match=message):
        find_least_detectable(drawn(), **change)


def lay_out(subjects, clips):
    """Return labels in turn, and subjects, of a design."""
    return np.tile(np.arange(clips) % 2, subjects), np.repeat(np.arange(subjects), clips)


def foretell(subjects, clips, **options):
    label_index, owner = lay_out(subjects, clips)
    options = {"labels": ("a", "b"), "subject_share": 0.5, **options}
    return foretell_power(label_index, owner.astype(object), **options)


def test_a_design_alone_foretells_what_its_answers_did():
    study = drawn(subjects=12)
    found = find_least_detectable(study)
    design = foretell_power(
        study.label_index,
        study.subject_ids,
        labels=study.labels,
        subject_share=found["subject_share"],
        refitted=False,
    )
    curve = design.pop("curve")
    assert design == {key: value for key, value in found.items() if key != "curve"}
    assert curve == found["curve"][: len(curve)]


def test_more_dogs_or_clips_can_show_smaller_differences():
    by_dogs = [foretell(dogs, 2)["balanced_accuracy"] for dogs in (6, 8, 12, 20, 40)]
    by_clips = [foretell(8, clips)["balanced_accuracy"] for clips in (2, 4, 8, 16)]
    assert np.all(np.diff(by_dogs) < -0.02)
    assert np.all(np.diff(by_clips) < -0.02)


def test_learning_anew_takes_more_than_answers_that_stay():
    stay, anew = (foretell(10, 4, refitted=each)["difference"] for each in (False, True))
    assert 1.1 < anew / stay < 1.3


@pytest.mark.parametrize(
    ("subjects", "clips", "least"), [(5, 2, 1 / 16), (6, 2, 1 / 32), (4, 3, 1 / 81)]
)
def test_least_p_is_that_of_the_test_on_clips_that_cannot_be_mistaken(subjects, clips, least):
    label_index, owner = lay_out(subjects, clips)
    assert find_least_p(label_index, owner) == pytest.approx(least)
    features = draw_features(
        subjects=subjects, clips=clips, effect=40.0, dog_effect=0.1, frames=1, dim=4
    )
    test = compare_labellings(
        make_discriminant(features), split_subjects(features, "loso"), permutations=9, seed=0
    )
    assert test.compute_p(STATISTIC) == pytest.approx(least)


def test_run_of_a_design_that_can_show_nothing_names_no_balanced_accuracy():
    found = measure(draw_evidence(subjects=5, clips=2)).detectable
    assert found.balanced_accuracy is None
    assert "in only 32 ways, so that p cannot be 0.05 or less" in found.reason


def test_three_labels_have_more_likes():
    label_index, owner = np.tile([0, 1, 2], 3), np.repeat(range(3), 3)
    assert find_least_p(label_index, owner) == pytest.approx(6 / 6**3)


def test_many_dogs_are_foretold_in_no_time():
    start = perf_counter()
    assert 0.5 < foretell(200, 10)["balanced_accuracy"] < 0.54
    assert perf_counter() - start < 5


@pytest.mark.slow
@pytest.mark.parametrize(("subjects", "clips", "dim"), [(10, 2, 64), (6, 4, 64), (20, 2, 64)])
def test_the_test_itself_finds_what_was_foretold_about_as_often(subjects, clips, dim):
    # Studies drawn as features, learned anew from every labelling.
    reached, found = [], []
    for effect in (1.5, 2.5, 3.5, 5.0):
        tests = [
            compare_labellings(
                make_discriminant(features),
                split_subjects(features, "kfold:5"),
                permutations=99,
                seed=1,
            )
            for features in (
                draw_features(
                    subjects=subjects, clips=clips, frames=1, dim=dim, seed=seed, effect=effect,
                    dog_effect=1.0, labels=LABELS,
                )
                for seed in range(24)
            )
        ]  # fmt: skip
        reached.append(np.mean([test.observed[STATISTIC] for test in tests]))
        found.append(np.mean([test.compute_p(STATISTIC) <= 0.05 for test in tests]))
    needed = np.interp(0.8, found, reached)
    assert foretell(subjects, clips)["balanced_accuracy"] == pytest.approx(needed, abs=0.04)


def test_table_of_the_documentation_is_what_is_foretold():
    text = (Path(__file__).parents[2] / "docs" / "study.md").read_text(encoding="utf-8")
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in text.partition("### How many dogs")[2].partition("\n## ")[0].splitlines()
        if line[:3].strip("| ").isdigit()
    ]
    assert len(rows) == 9
    for dogs, *cells in rows:
        found = [foretell(int(dogs), 2 * each)["balanced_accuracy"] for each in (1, 2, 4, 8)]
        assert cells == [
            "–" if each is None else f"{each:.0%}".replace("%", " %") for each in found
        ]
