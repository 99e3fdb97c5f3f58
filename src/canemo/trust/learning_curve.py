"""What more subjects would bring: a curve through the scores of probes that learnt from fewer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from canemo.learn.lda import DiscriminantLearner, Reading
from canemo.learn.lda_algebra import arrange, select_training, solve
from canemo.learn.predictions import Array
from canemo.parallel import map_folds
from canemo.trust.intervals import bound_middle

EXPONENTS = np.linspace(0.25, 2.0, 36)
LEAST_GAIN = 0.005
LEAST_SCALE = 1e-9  # less than this is rounding, not a slope
LEAST_SIZES = 3

REPEATS, SIZES, REPLICATES = 20, 6, 200
LEAST_TRAINED, LEAST_TESTED = 3, 2


@dataclass(frozen=True)
class _Curves:
    """B curves a - b * m**-c.

    Attributes
    ----------
    asymptote, scale, exponent
        (B,) a, b and c.
    """

    asymptote: Array
    scale: Array
    exponent: Array

    def predict(self, subjects: float) -> Array:
        """Return (B,) the score of probes that learn from so many subjects."""
        return self.asymptote - self.scale * subjects**-self.exponent


def fit_learning_curve(
    sizes: Array, scores: Array, *, extrapolate_to: int
) -> dict[str, Any] | None:
    """Fit a - b * m**-c to scores by the number of subjects m learnt from, and carry it further.

    Parameters
    ----------
    sizes
        (M,) how many subjects were learnt from.
    scores
        (B, M) score at each size: row 0 as observed, the others from bootstrap resamples of
        subjects. A size without an observed score (not a number) is left out, and so is a
        resample that has a score at fewer than three of the sizes.
    extrapolate_to
        Number of subjects to carry the curve to, not below the largest size.

    Returns
    -------
    dict or None
        ``points``, one for each size kept, with ``subjects``, ``score`` as observed, ``low`` and
        ``high``; ``asymptote`` a and ``exponent`` c of the observed scores, the exponent None
        where the curve is flat; ``extrapolation`` with the same keys as a point; ``gain`` with
        ``score``, ``low`` and ``high``, the extrapolated minus the fitted score at the largest
        size; ``rising``, whether the low end of the gain is above 0.005. Low and high are the
        2.5th and 97.5th percentiles of the resamples, None where there are none. Fit for JSON.
        None where fewer than three sizes have a score.

    Raises
    ------
    ValueError
        The shapes do not fit together, a size is not above 0, or the curve would be carried to
        fewer subjects than the largest size.

    Notes
    -----
    Least squares with a in [0, 1], b not negative and c in [0.25, 2] on a grid, every size
    weighing the same. A curve cannot fall, so chance alone gives a gain above 0: look at ``low``,
    not at ``score``. The power law is an assumption; what it says beyond twice the largest size
    rests on it more than on the scores.

    References
    ----------
    Cortes, Jackel, Solla, Vapnik & Denker (1994), Learning curves: asymptotic values and rate of
    convergence, NIPS 6, 327-334.
    Figueroa, Zeng-Treitler, Kandula & Ngo (2012), Predicting sample size required for
    classification performance, BMC Med Inform Decis Mak 12:8, doi:10.1186/1472-6947-12-8.
    """
    sizes, scores = np.asarray(sizes, dtype=np.float64), np.asarray(scores, dtype=np.float64)
    _validate(sizes, scores, extrapolate_to)
    kept = np.isfinite(scores[0])
    if kept.sum() < LEAST_SIZES:
        return None
    sizes, scores = sizes[kept], scores[:, kept]
    enough = np.isfinite(scores).sum(axis=1) >= LEAST_SIZES
    curves = _fit_curves(sizes, scores[enough])
    reached = curves.predict(float(extrapolate_to))
    gain = _describe(reached - curves.predict(float(sizes.max())))
    return {
        "points": [
            {"subjects": int(size), **_describe(column)}
            for size, column in zip(sizes, scores.T, strict=True)
        ],
        "asymptote": float(curves.asymptote[0]),
        "exponent": float(curves.exponent[0]) if curves.scale[0] > LEAST_SCALE else None,
        "extrapolation": {"subjects": int(extrapolate_to), **_describe(reached)},
        "gain": gain,
        "rising": gain["low"] is not None and gain["low"] > LEAST_GAIN,
    }


def _validate(sizes: Array, scores: Array, extrapolate_to: int) -> None:
    if sizes.ndim != 1 or scores.ndim != 2 or scores.shape[1] != len(sizes) or not len(scores):
        raise ValueError(
            f"sizes (M,) and scores (B, M) do not fit together: {sizes.shape} and {scores.shape}"
        )
    if (sizes <= 0).any():
        raise ValueError(f"sizes must be above 0, not {sizes.min():g}")
    if len(sizes) and extrapolate_to < sizes.max():
        raise ValueError(
            f"extrapolate_to must be at least the largest size, {sizes.max():g}, "
            f"not {extrapolate_to}"
        )


def _fit_curves(sizes: Array, scores: Array) -> _Curves:
    """Fit each of (B, M) scores; the best of `EXPONENTS` is kept."""
    fits = [_fit_line(sizes**-exponent, scores) for exponent in EXPONENTS]
    asymptote, scale, loss = (np.stack(part) for part in zip(*fits, strict=True))  # (C, B)
    best, row = loss.argmin(axis=0), np.arange(len(scores))
    return _Curves(asymptote[best, row], scale[best, row], EXPONENTS[best])


def _fit_line(x: Array, scores: Array) -> tuple[Array, Array, Array]:
    """Return (B,) a, b and the sum of squares of a - b * x with a in [0, 1] and b >= 0.

    The sum of squares is convex: its least value within bounds lies where it is least of all, if
    that is within them, and else on one of the edges a = 0, a = 1 and b = 0.
    """
    known = np.isfinite(scores)
    y, count = np.where(known, scores, 0.0), known.sum(axis=1)
    mean_x, mean_y = known @ x / count, y.sum(axis=1) / count
    apart = np.where(known, x - mean_x[:, None], 0.0)
    slope = -(apart * y).sum(axis=1) / (apart**2).sum(axis=1)
    free = mean_y + slope * mean_x
    inside = (slope >= 0) & (free >= 0) & (free <= 1)
    square, product = known @ x**2, y @ x
    zero, one = np.zeros_like(free), np.ones_like(free)
    flat = np.clip(mean_y, 0, 1)
    a = np.stack([np.where(inside, free, flat), zero, one, flat])  # (4, B)
    b = np.stack(
        [
            np.where(inside, slope, 0.0),
            np.maximum(-product / square, 0),
            np.maximum((known @ x - product) / square, 0),
            zero,
        ]
    )
    rest = np.where(known, y - a[:, :, None] + b[:, :, None] * x, 0.0)
    loss = (rest**2).sum(axis=2)
    best, row = loss.argmin(axis=0), np.arange(len(y))
    return a[best, row], b[best, row], loss[best, row]


def _describe(values: Array) -> dict[str, float | None]:
    """Return the observed value, which comes first, and the ends of the interval of the others."""
    low, high = bound_middle(values[1:], known=0) or (None, None)
    return {"score": float(values[0]), "low": low, "high": high}


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
