"""Paired differences over subjects: interval, sign-flip p, Holm's correction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from canemo.learn.predictions import Array, Predictions
from canemo.trust.intervals import (
    LEAST_SPREAD,
    bound_middle,
    compute_scores,
    count_reached,
    iter_counts,
)
from canemo.trust.scores import compute_weighted_scores

MAX_EXACT_SUBJECTS = 14


@dataclass(frozen=True)
class PairedDifference:
    """How much better one classifier did than another on the same units of S subjects.

    Attributes
    ----------
    difference
        Score name -> first minus second.
    interval
        Score name -> 95 % interval of the difference from resampling subjects, or None.
    p
        Of the sign-flip test of equal accuracy; None with fewer than two subjects.
    flips
        How many sign patterns were looked at; all there are where `exact`.
    exact
        Whether every pattern was looked at.
    effect_size
        Cohen's d_z: mean over standard deviation, across subjects, of the difference in the share
        of a subject's units got right. None with fewer than two subjects or where it is the same
        for all.
    """

    difference: dict[str, float]
    interval: dict[str, tuple[float, float] | None]
    p: float | None
    flips: int
    exact: bool
    effect_size: float | None


def compare_pair(
    first: Predictions, second: Predictions, *, resamples: int = 2000, seed: int = 0
) -> PairedDifference:
    """Compare two classifiers on the same units; whole subjects are resampled and flipped.

    Parameters
    ----------
    first, second
        The same N units of S subjects, in the same order.
    resamples, seed
        Number of bootstrap resamples and of drawn sign patterns, and the seed that draws them.

    Raises
    ------
    ValueError
        The units are not the same.

    Notes
    -----
    Were both equally good, which of the two got more of a subject's units right would be a coin
    toss for each subject: the sign of each subject's difference is flipped, all 2^S ways up to
    S = 14, else at random. With few subjects no small p is possible: with 7 the least is 2/128.

    References
    ----------
    Good (2005), Permutation, Parametric and Bootstrap Tests of Hypotheses, section 3.2.
    Lakens (2013), Calculating and reporting effect sizes, Front Psychol 4:863,
    doi:10.3389/fpsyg.2013.00863 (d_z).
    """
    same = np.array_equal(first.subject_ids, second.subject_ids) and np.array_equal(
        first.label_index, second.label_index
    )
    if not same:
        raise ValueError("the two classifiers were not tested on the same units")
    scores = compute_scores(first), compute_scores(second)
    difference = {name: value - scores[1][name] for name, value in scores[0].items()}
    subjects, owner = np.unique(first.subject_ids, return_inverse=True)
    if len(subjects) < 2:
        nothing = dict.fromkeys(difference)
        return PairedDifference(difference, nothing, None, 0, exact=False, effect_size=None)
    drawn: dict[str, list[Array]] = {name: [] for name in difference}
    for counts in iter_counts(len(subjects), len(owner), resamples=resamples, seed=seed):
        weights = counts[:, owner]
        other = compute_weighted_scores(second, weights)
        for name, values in compute_weighted_scores(first, weights).items():
            drawn[name].append(values - other[name])
    interval = {name: bound_middle(np.concatenate(parts)) for name, parts in drawn.items()}
    right = [(each.predicted_index == each.label_index).astype(float) for each in (first, second)]
    by_subject = np.bincount(owner, weights=right[0] - right[1]).astype(np.float64)
    p, flips, exact = flip_signs(by_subject, draws=resamples, seed=seed)
    effect_size = _compute_effect_size(by_subject / np.bincount(owner))
    return PairedDifference(difference, interval, p, flips, exact=exact, effect_size=effect_size)


def adjust_holm(p_values: Sequence[float]) -> list[float]:
    """Return p values corrected for their number, in the order given.

    References
    ----------
    Holm (1979), A simple sequentially rejective multiple test procedure, Scand J Stat 6, 65-70.
    """
    adjusted = [0.0] * len(p_values)
    least = 0.0
    for rank, index in enumerate(np.argsort(p_values, kind="stable")):
        least = max(least, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = least
    return adjusted


def flip_signs(values: Array, *, draws: int = 2000, seed: int = 0) -> tuple[float, int, bool]:
    """Test whether values, one per subject, have as often one sign as the other.

    Parameters
    ----------
    values
        (S,) floats.
    draws, seed
        Number of drawn sign patterns where S exceeds 14, and the seed that draws them.

    Returns
    -------
    tuple
        The two-sided p of their sum, the patterns looked at, whether these are all there are. Drawn
        patterns count the one observed, so that p is never zero.

    References
    ----------
    Good (2005), Permutation, Parametric and Bootstrap Tests of Hypotheses, section 3.2.
    """
    exact = len(values) <= MAX_EXACT_SUBJECTS
    if exact:
        patterns = np.arange(2 ** len(values))[:, None] >> np.arange(len(values)) & 1
    else:
        patterns = np.random.default_rng(seed).integers(0, 2, (draws, len(values)))
    sums = np.abs((2 * patterns - 1) @ values)
    return count_reached(abs(values.sum()), sums, exact=exact), len(patterns), exact


def _compute_effect_size(differences: Array) -> float | None:
    """Return mean over standard deviation, or None where all are the same."""
    if np.ptp(differences) < LEAST_SPREAD:
        return None
    return float(differences.mean() / differences.std(ddof=1))
