"""The permutation test: labels are moved among each subject's own clips, and all is learned anew.

Whole clips change labels, within a subject only, so the null keeps everything that is not the
label: how many clips of each label a subject has, and how alike its clips are. Choices in inner
folds are made anew too.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from scipy.special import softmax

from canemo.learn.lda import DiscriminantLearner, Reading, choose_factors, choose_trials
from canemo.learn.lda_algebra import Mask, arrange, measure_evidence, select_training, solve
from canemo.learn.predictions import Array, Index
from canemo.learn.splits import Fold, Split
from canemo.parallel import ProgressFn, count_done, map_folds
from canemo.species import Species
from canemo.trust.chance import Chance
from canemo.trust.intervals import LEVEL
from canemo.trust.labellings import draw_labellings
from canemo.trust.scores import measure_areas

STATISTIC = "balanced_accuracy"
CHUNK = 2000  # labellings at a time: bounds the memory, and every chunk factors all folds anew


def describe_permutation(test: Chance, species: Species) -> dict[str, Any]:
    """Return the test as metrics.json holds it."""
    return {
        "statistic": STATISTIC,
        "observed": test.know(STATISTIC),
        "p": test.compute_p(STATISTIC),
        "n": len(test.null[STATISTIC]),
        "exact": test.exact,
        **test.describe_null(STATISTIC),
        "critical": test.find_critical(STATISTIC, level=LEVEL),
        "p_by_measure": {name: test.compute_p(name) for name in test.null},
        "reason": _find_obstacle(test, species),
    }


def _find_obstacle(test: Chance, species: Species) -> str | None:
    """Return why there is no p."""
    if test.compute_p(STATISTIC) is not None:
        return None
    if not np.isfinite(test.observed[STATISTIC]):
        return (
            f"the tested {species.plural} do not show every label, so that there is no balanced "
            "accuracy"
        )
    return (
        f"no {species.noun} with usable crops was filmed in more than one condition, so that "
        f"labels cannot be moved within {species.one}"
    )


def compare_labellings(
    learner: DiscriminantLearner,
    split: Split,
    *,
    permutations: int,
    seed: int,
    progress: ProgressFn | None = None,
) -> Chance:
    """Test whether labels can be told within subjects.

    Parameters
    ----------
    learner
        What is fitted anew to every labelling, inner choices included.
    split
        The folds; each subject is tested at most once.
    permutations, seed
        As `draw_labellings` takes them.
    progress
        Told how many of the folds are done.

    References
    ----------
    Phipson & Smyth (2010), Permutation p-values should never be zero, Stat Appl Genet Mol Biol 9;
    Winkler et al. (2015), Multi-level block permutation, NeuroImage 123, 253-268.
    """
    reading = learner.readings[0]
    labellings, exact = draw_labellings(
        reading.label_index, reading.clip_group, number=permutations, seed=seed
    )
    everything = np.concatenate([reading.label_index[None], labellings])
    scores: list[dict[str, Array]] = []
    chunks = np.array_split(everything, math.ceil(len(everything) / CHUNK))
    tell = count_done(progress, len(chunks) * len(split.folds))
    for some in chunks:
        tested, probability = predict_labellings(learner, split, some, seed=seed, tell=tell)
        scores.append(score_labellings(some[:, tested], probability))
    joined = {name: np.concatenate([part[name] for part in scores]) for name in scores[0]}
    return Chance(
        {name: float(values[0]) for name, values in joined.items()},
        {name: values[1:] for name, values in joined.items()},
        exact,
    )


def predict_labellings(
    learner: DiscriminantLearner,
    split: Split,
    label_index: Index,
    *,
    seed: int,
    tell: Callable[[Any], Any] = lambda answer: answer,
) -> tuple[Index, Array]:
    """Learn each labelling in every fold and predict the subjects left out of it.

    Parameters
    ----------
    learner, split, seed
        As `evaluate_learner` takes them.
    label_index
        (R, V) labellings of the clips, which move labels within subjects only.
    tell
        Handed what came out of each fold, and gives it back.

    Returns
    -------
    tuple
        (T,) which clips were tested, and their probabilities (R, T, K), the same that evaluating
        each labelling by itself would give.
    """
    learner.read()  # once, before the threads need it
    work = partial(_predict_fold, learner, label_index=label_index, seed=seed)
    answers = [
        answer
        for answer in map_folds(lambda fold: tell(work(fold)), split.folds)
        if answer is not None
    ]
    tested = np.concatenate([clips for clips, _ in answers])
    return tested, np.concatenate([probability for _, probability in answers], axis=1)


def score_labellings(label_index: Index, probability: Array) -> dict[str, Array]:
    """Return accuracy, balanced accuracy and AUROC, (R,) each, of (R, T) labels and (R, T, K)."""
    labels = probability.shape[2]
    right = probability.argmax(axis=2) == label_index
    true = label_index[:, :, None] == np.arange(labels)
    with np.errstate(invalid="ignore", divide="ignore"):
        recall = (right[:, :, None] & true).sum(axis=1) / true.sum(axis=1)
    columns = [1] if labels == 2 else range(labels)
    areas = [measure_areas(probability[:, :, k], true[:, :, k]) for k in columns]
    return {
        "accuracy": right.mean(axis=1),
        "balanced_accuracy": recall.mean(axis=1),
        "auroc": np.asarray(np.mean(areas, axis=0)),
    }


def _predict_fold(
    learner: DiscriminantLearner, fold: Fold, *, label_index: Index, seed: int
) -> tuple[Index, Array] | None:
    """Return the tested clips and their probabilities (R, T, K); None where nothing can be."""
    first, labels = learner.readings[0], len(learner.material.labels)
    train, test = np.isin(first.subjects, fold.train), np.isin(first.subjects, fold.test)
    if not test.any() or len(np.unique(first.label_index[train])) < labels:
        return None
    rows, offered = len(label_index), len(learner.probe.penalties)
    least, factors = [], []
    for reading in learner.readings:
        losses = learner.measure_inner_losses(reading, train, label_index, seed=seed)
        least.append(losses.min(axis=2))
        factors.append(choose_factors(losses))
    best = choose_trials(np.concatenate(least, axis=1))
    factor = np.concatenate(factors, axis=1)[np.arange(rows), best]
    probability = np.empty((rows, int(test.sum()), labels))
    for trial in np.unique(best):
        chosen = best == trial
        probability[chosen] = _predict_trial(
            learner.readings[trial // offered],
            train,
            test,
            label_index[chosen],
            penalty=learner.probe.penalties[trial % offered],
            factor=factor[chosen],
            balanced=learner.balanced,
        )
    return np.flatnonzero(test), probability


def _predict_trial(
    reading: Reading,
    train: Mask,
    test: Mask,
    label_index: Index,
    *,
    penalty: float,
    factor: Array,
    balanced: bool,
) -> Array:
    """Return the mean probability over the counted crops of each test clip, (R, T, K)."""
    moments, labels = reading.moments, len(reading.material.labels)
    training = select_training(moments, train)
    labelling = arrange(training, label_index[:, train], labels=labels)
    crops = reading.material.restrict(test[reading.clip_index])
    x = (reading.material.x[crops] - moments.shift) / moments.spread
    weighed = training.weigh(labelling.units, penalty)
    solution = solve(labelling.units @ weighed, labelling, balanced=balanced)
    evidence = measure_evidence(training.standardise(x) @ weighed, solution)
    probability = softmax(evidence * factor[:, None, None], axis=2)
    clips = np.searchsorted(np.flatnonzero(test), reading.clip_index[crops])
    share = np.zeros((int(test.sum()), len(clips)))
    share[clips, np.arange(len(clips))] = 1
    share /= share.sum(axis=1, keepdims=True)
    return np.asarray(share @ probability)
