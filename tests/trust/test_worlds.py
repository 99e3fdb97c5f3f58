"""What is claimed of a result's trustworthiness, on worlds whose truth is known."""

import logging
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import binom, kstest

from canemo.config import EvaluateConfig, ProbeConfig
from canemo.learn.evaluate import evaluate_learner
from canemo.learn.lda import DiscriminantLearner
from canemo.learn.predictions import select_level
from canemo.trust.intervals import compute_intervals, compute_scores
from canemo.trust.permutation import STATISTIC, compare_labellings
from canemo.trust.power import find_least_detectable
from canemo.trust.sweep import summarise_sweep
from worlds import (
    LABELS,
    draw_features,
    make_discriminant,
    make_materials,
    relabel_clips,
    split_subjects,
)

SMALL = {"subjects": 12, "clips": 6, "frames": 2, "dim": 8}

logger = logging.getLogger(__name__)


def draw_null(seed, *, uneven):
    """Nothing there; if uneven, dogs differ in how many clips of each label they have."""
    features = draw_features(**SMALL, seed=seed)
    if not uneven:
        return features
    return relabel_clips(features, np.random.default_rng([1, seed]).integers(0, 2, 12 * 6))


def permute(features, *, kind="kfold:4", seed=0, permutations=99):
    learner, split = make_discriminant(features), split_subjects(features, kind)
    return compare_labellings(learner, split, permutations=permutations, seed=10_000 + seed)


def predict(features, kind="kfold:4"):
    evaluation = evaluate_learner(
        make_discriminant(features), split_subjects(features, kind), seed=0
    )
    return select_level(evaluation.predictions, "video", LABELS)


def break_ties(test, name, rng):
    """Return p with labellings that do as well counted in part, at random: uniform if exact."""
    null, observed = test.null[name], test.observed[name]
    better, equal = (null > observed + 1e-9).sum(), (np.abs(null - observed) <= 1e-9).sum()
    return (better + rng.random() * (equal + 1)) / (len(null) + 1)


def measure_null(seeds, *, uneven):
    """Return p by measure and with ties broken, (seeds, 3)."""
    rows, rng = [], np.random.default_rng(0)
    for seed in seeds:
        test = permute(draw_null(seed, uneven=uneven), seed=seed)
        tie_free = break_ties(test, "balanced_accuracy", rng)
        rows.append([test.compute_p(STATISTIC), test.compute_p("auroc"), tie_free])
    return np.array(rows)


def measure_coverage(seeds, *, uneven, kind):
    """Return balanced accuracy and AUROC with the ends of their intervals, (seeds, 2, 3)."""
    found = []
    for seed in seeds:
        predictions = predict(draw_null(seed, uneven=uneven), kind)
        intervals = compute_intervals(predictions, resamples=300, seed=seed)
        scores = compute_scores(predictions)
        found.append([[scores[k], *intervals[k]] for k in ("balanced_accuracy", "auroc")])
    return np.array(found)


def tell(**numbers):
    """Log what was measured: `scripts/test -m slow -rP` shows it."""
    logger.warning("%s", {name: round(float(value), 3) for name, value in numbers.items()})


def covered(found, truth):
    """Return how often the intervals (seeds, 3) hold the truth."""
    return ((found[:, 1] <= truth) & (truth <= found[:, 2])).mean()


# -- nothing there ---------------------------------------------------------------------------------


@pytest.mark.parametrize("uneven", [False, True])
def test_nothing_there_is_rarely_found(uneven):
    p = measure_null(range(12), uneven=uneven)
    assert (p[:, 0] <= 0.05).sum() <= binom.ppf(0.999, 12, 0.05)
    assert 0.2 < p[:, 2].mean() < 0.8


@pytest.mark.slow
@pytest.mark.parametrize("uneven", [False, True])
def test_p_is_uniform_where_nothing_is_there(uneven):
    p = measure_null(range(200), uneven=uneven)
    balanced, area, tie_free = p.T
    tell(balanced=(balanced <= 0.05).mean(), auroc=(area <= 0.05).mean())
    assert kstest(tie_free, "uniform").pvalue > 0.01
    assert kstest(area, "uniform").pvalue > 0.01  # takes so many values that it has hardly a tie
    low, high = binom.ppf([0.005, 0.995], 200, 0.05)
    assert low <= (tie_free <= 0.05).sum() <= high
    assert low <= (area <= 0.05).sum() <= high
    # Labellings that do as well count in full: p is somewhat too large, and never too small.
    for level in (0.05, 0.1, 0.2, 0.5):
        assert (balanced <= level).sum() <= binom.ppf(0.995, 200, level)


def permute_blocks(seed, *, effect=0.0):
    """Test two blocks of unlike widths, alone and in every mix; the narrow one has the effect."""
    features = draw_features(**SMALL, seed=seed)
    narrow = draw_features(**{**SMALL, "dim": 3}, effect=effect, seed=10_000 + seed).cls
    offered = ("cls", "geometry", "cls,geometry")
    materials = make_materials(replace(features, geometry=narrow), poolings=offered)
    learner = DiscriminantLearner(materials, ProbeConfig(penalties=(0.1, 10.0), inner_folds=3))
    split = split_subjects(features, "kfold:4")
    return compare_labellings(learner, split, permutations=99, seed=seed)


def test_effect_in_one_of_several_blocks_is_found():
    assert permute_blocks(0, effect=3.0).compute_p(STATISTIC) == 1 / 100


@pytest.mark.slow
def test_p_is_uniform_where_nothing_is_there_and_blocks_are_on_offer():
    rng = np.random.default_rng(0)
    tests = [permute_blocks(seed) for seed in range(200)]
    tie_free = np.array([break_ties(test, STATISTIC, rng) for test in tests])
    area = np.array([test.compute_p("auroc") for test in tests])
    tell(balanced=(tie_free <= 0.05).mean(), auroc=(area <= 0.05).mean())
    low, high = binom.ppf([0.005, 0.995], 200, 0.05)
    for p in (tie_free, area):
        assert kstest(p, "uniform").pvalue > 0.01
        assert low <= (p <= 0.05).sum() <= high


@pytest.mark.slow
def test_intervals_hold_chance_where_dogs_show_labels_equally_often():
    # The mean AUROC is somewhat below 0.5: a dog left out shifts the others' evidence, and scores
    # are pooled over folds.
    found = measure_coverage(range(120), uneven=False, kind="loso")
    tell(balanced=covered(found[:, 0], 0.5), auroc=covered(found[:, 1], 0.5))
    assert found[:, 0, 0].mean() == pytest.approx(0.5, abs=0.01)
    assert 0.46 < found[:, 1, 0].mean() < 0.5
    low, high = binom.ppf([0.001, 0.999], 120, 0.95) / 120
    for number in (0, 1):
        assert low <= covered(found[:, number], 0.5) <= high
        assert low <= covered(found[:, number], found[:, number, 0].mean()) <= 1


@pytest.mark.slow
def test_intervals_hold_chance_less_often_where_labels_are_tied_to_dogs():
    # Dogs that show one label more often teach their own looks to all folds at once, which
    # resampling the dogs tested does not repeat. The permutation test keeps what ties labels to
    # dogs.
    found = measure_coverage(range(120), uneven=True, kind="loso")
    tell(balanced=covered(found[:, 0], 0.5))
    assert found[:, 0, 0].mean() == pytest.approx(0.5, abs=0.02)
    assert 0.76 <= covered(found[:, 0], 0.5) <= 0.95


@pytest.mark.slow
def test_intervals_hold_what_the_labels_of_each_dog_give_by_themselves():
    # The truth of each study: its balanced accuracy when labels say nothing but whose clip it is.
    held = []
    for seed in range(150):
        features = draw_null(seed, uneven=True)
        null = permute(features, seed=seed, permutations=60).null["balanced_accuracy"]
        low, high = compute_intervals(predict(features), resamples=300)["balanced_accuracy"]
        held.append(low <= null.mean() <= high)
    tell(balanced=np.mean(held))
    low, high = binom.ppf([0.001, 0.999], 150, 0.95) / 150
    assert low <= np.mean(held) <= high


# -- a planted effect ------------------------------------------------------------------------------


def test_planted_effect_is_found():
    for seed in range(3):
        test = permute(draw_features(**SMALL, effect=3.0, seed=seed), seed=seed)
        assert test.compute_p(STATISTIC) == 1 / 100
        assert test.observed["balanced_accuracy"] > 0.75


def test_effect_is_found_where_labels_are_tied_to_dogs():
    # Every second dog shows the first label once in six clips, the others five times.
    features = draw_features(**SMALL, dog_effect=4.0)
    owner, clip = np.divmod(np.arange(12 * 6), 6)
    index = np.where(owner % 2 == 0, clip == 0, clip != 0).astype(int)
    tied = relabel_clips(features, index)
    assert permute(tied).compute_p(STATISTIC) > 0.05
    second = (tied.origin["label"] == LABELS[1]).to_numpy()
    planted = replace(tied, cls=tied.cls + 6.0 * (second[:, None] * np.eye(8)[0]))
    assert permute(planted).compute_p(STATISTIC) <= 0.02


@pytest.mark.slow
def test_effect_is_found_about_as_often_as_power_says():
    found, score, curves = [], [], []
    for seed in range(100):
        features = draw_features(**SMALL, effect=1.2, seed=seed)
        test = permute(features, seed=seed)
        found.append(test.compute_p(STATISTIC) <= 0.05)
        score.append(test.observed["balanced_accuracy"])
        if seed % 10 == 0:
            critical = test.find_critical(STATISTIC, level=0.05)
            curve = find_least_detectable(predict(features), threshold=critical)["curve"]
            curves.append([[point["balanced_accuracy"], point["power"]] for point in curve])
    foretold = np.mean([np.interp(np.mean(score), *np.transpose(curve)) for curve in curves])
    tell(found=np.mean(found), foretold=foretold)
    assert 0.4 < np.mean(found) < 0.95  # neither hopeless nor certain
    assert np.mean(found) == pytest.approx(foretold, abs=0.12)


# -- choosing by the result ------------------------------------------------------------------------


def sweep_null(seed):
    """Two poolings with nothing in them, each with two choices of frames and three penalties."""
    features = draw_features(**SMALL, seed=seed)
    other = np.random.default_rng([2, seed]).normal(size=features.cls.shape)
    features = replace(features, mean=other.astype(np.float32))
    materials = make_materials(features, poolings=("cls", "mean"), rules=("all", "even:1"))
    probe = ProbeConfig(penalties=(0.1, 1.0, 10.0), inner_folds=3)
    learner = DiscriminantLearner(materials, probe)
    evaluation = evaluate_learner(learner, split_subjects(features, "kfold:4"), seed=0)
    settings = EvaluateConfig(resamples=100)
    return summarise_sweep(evaluation, labels=LABELS, evaluate=settings)["optimism"]


def test_best_of_all_settings_is_named_even_where_nothing_is_there():
    found = sweep_null(0)
    assert found["settings"] == 12
    assert found["best"] > max(found["nested"], 0.5)


@pytest.mark.slow
def test_nested_choice_claims_nothing_where_nothing_is_there():
    found = [sweep_null(seed) for seed in range(50)]
    nested, best = (np.array([each[name] for each in found]) for name in ("nested", "best"))
    tell(nested=nested.mean(), best=best.mean())
    assert abs(nested.mean() - 0.5) < 3 * nested.std() / np.sqrt(50)
    assert best.mean() > 0.54
    assert (best >= nested - 1e-9).mean() > 0.9
