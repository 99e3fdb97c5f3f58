"""How the result grows with the number of subjects learned from, by leaving some out at random."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from canemo.discriminant import Array, arrange, select_training, solve
from canemo.discriminant_learner import DiscriminantLearner, Reading
from canemo.learning_curve import fit_learning_curve
from canemo.parallel import map_folds

REPEATS, SIZES, REPLICATES = 20, 6, 200
LEAST_TRAINED, LEAST_TESTED = 3, 2


def estimate_learning_curve(
    learner: DiscriminantLearner, penalty: float, *, seed: int
) -> dict[str, Any] | None:
    """Return the balanced accuracy on unseen subjects by number of training subjects, and its fit.

    Parameters
    ----------
    learner
        S subjects; its first material is used.
    penalty
        The strength that the evaluation chose most often; it is not chosen anew.
    seed
        Draws the subsets: each repeat is an order of the subjects, of which the first m are learned
        from and all others tested, for several m up to S - 2.

    Returns
    -------
    dict or None
        As `fit_learning_curve` returns it, with ``measure`` and ``repeats``; None with too few
        subjects.

    Notes
    -----
    The band comes from resampling repeats and tested subjects. Subsets of one study share subjects,
    so it is narrower than that of new studies would be.
    """
    reading, labels = learner.readings[0], len(learner.material.labels)
    subjects = int(reading.clip_group.max()) + 1
    most = subjects - LEAST_TESTED
    if most - LEAST_TRAINED < 2:
        return None
    sizes = np.unique(np.linspace(LEAST_TRAINED, most, SIZES).round().astype(int))
    rng = np.random.default_rng(seed)
    orders = [rng.permutation(subjects) for _ in range(REPEATS)]
    counts = np.stack(
        map_folds(
            lambda order: np.stack(
                [
                    _count_right(
                        reading, order[:size], penalty, labels=labels, balanced=learner.balanced
                    )
                    for size in sizes
                ]
            ),
            orders,
        )
    )  # (repeats, sizes, subjects, labels, 2)
    scores = [_score(counts)]
    for _ in range(REPLICATES):
        repeats = rng.integers(0, REPEATS, REPEATS)
        weight = np.bincount(rng.integers(0, subjects, subjects), minlength=subjects)
        scores.append(_score(counts[repeats] * weight[:, None, None]))
    fitted = fit_learning_curve(sizes, np.stack(scores), extrapolate_to=2 * subjects)
    if fitted is None:
        return None
    return {"measure": "balanced_accuracy", "repeats": REPEATS, **fitted}


def choose_most_often(chosen: Sequence[float], *, offered: Sequence[float]) -> float:
    """Return the penalty that most folds chose; the middle of those offered where none was."""
    if chosen:
        return Counter(chosen).most_common(1)[0][0]
    return sorted(offered)[len(offered) // 2]


def _count_right(
    reading: Reading,
    trained: NDArray[np.int64],
    penalty: float,
    *,
    labels: int,
    balanced: bool,
) -> NDArray[np.float64]:
    """Return right answers and clips of each subject and label, (S, K, 2); none of those trained.

    A clip is answered by the evidence of its mean crop. All is 0 where the training subjects do not
    show every label.
    """
    subjects = int(reading.clip_group.max()) + 1
    counts = np.zeros((subjects, labels, 2))
    train = np.isin(reading.clip_group, trained)
    if len(np.unique(reading.label_index[train])) < labels:
        return counts
    training = select_training(reading.moments, train)
    labelling = arrange(training, reading.label_index[None, train], labels=labels)
    weighed = training.weigh(labelling.units, penalty)
    solution = solve(labelling.units @ weighed, labelling, balanced=balanced)
    held = training.standardise(reading.moments.clips[~train]) @ weighed
    answer = (held @ solution.unit_weights[0] + solution.intercept[0]).argmax(axis=1)
    truth, owner = reading.label_index[~train], reading.clip_group[~train]
    cells = owner * labels + truth
    size = subjects * labels
    counts[..., 0] = np.bincount(cells, answer == truth, size).reshape(subjects, labels)
    counts[..., 1] = np.bincount(cells, minlength=size).reshape(subjects, labels)
    return counts


def _score(counts: NDArray[np.float64]) -> Array:
    """Return the balanced accuracy of each size, (M,), from (R, M, S, K, 2) counts."""
    right, number = np.moveaxis(counts.sum(axis=(0, 2)), -1, 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray((right / number).mean(axis=1))
