"""How sure one may be: intervals and p values whose units are subjects, not their clips.

Clips of one subject are not independent.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import expit, logit
from scipy.stats import t as student_t

from canemo.metrics import Array, Predictions, compute_weighted_scores

CONFIDENCE = 0.95
LEVEL = 0.05  # below which p counts as more than chance
INTERVAL_METHOD = "log-odds t"
LEAST_SPREAD = 1e-12  # less than this is rounding, not a difference
MAX_EXACT_SUBJECTS = 14
_ROUNDING = 1e-9  # within which a value counts as reached
CHUNK_VALUES = 4_000_000  # about 32 MB of weights at a time


def compute_scores(predictions: Predictions) -> dict[str, float]:
    """Return accuracy, balanced accuracy and AUROC; not a number where a label is missing."""
    plain = compute_weighted_scores(predictions, np.ones((1, len(predictions.label_index))))
    return {name: float(values[0]) for name, values in plain.items()}


def compute_intervals(
    predictions: Predictions, *, resamples: int = 2000, seed: int = 0
) -> dict[str, tuple[float, float] | None]:
    """Return 95 % intervals of the scores from resampling subjects with replacement.

    Parameters
    ----------
    predictions
        N units of S subjects.
    resamples, seed
        Number of bootstrap resamples and the seed that draws them.

    Returns
    -------
    dict
        Score name -> (low, high), or None where fewer than two subjects, a score that is not
        known, or fewer than half of the resamples with every label, leave nothing to say. Where
        every resample scores the same, both ends are that score: subjects unlike any of these are
        beyond what resampling can know.

    Notes
    -----
    The standard error is that of the resampled scores times sqrt(S / (S - 1)), for the bootstrap
    divides by S; it is carried over to the log-odds of the score, where the interval is symmetric
    with Student's t at S - 1 degrees of freedom, and back, so that it stays within 0 and 1.
    Resamples in which a label is missing have no balanced accuracy and no AUROC and are left out
    of those two.

    Of 2000 drawn studies each of 20 and 29 subjects with about 8 clips, a third of one label,
    whose subjects lean to one label or the other (true balanced accuracy 0.5, 0.7 or 0.88, AUROC
    0.5, 0.77 or 0.95), 93.0 to 95.5 % of intervals held the truth, the least for AUROC 0.95. Of
    percentile intervals 85.8 to 94.1 % did, of BCa intervals 89.2 to 94.2 %. With 8 subjects it
    was 93.6 to 97.5 %, and 75.8 to 91.0 % of percentile intervals. Resampling does not learn anew:
    where subjects look very unlike each other and also differ in how often each label was filmed,
    87.5 % held 0.5 where there was nothing (``tests/test_trust_worlds.py``); the permutation test,
    which learns anew, stays right there. A part of this is repeated by
    ``test_intervals_hold_the_truth_as_often_as_stated`` in ``tests/test_stats.py``.

    References
    ----------
    Efron & Tibshirani (1993), An Introduction to the Bootstrap, sections 12.2 (t) and 13.3
    (percentile), 14.3 (BCa).
    Hesterberg (2015), What teachers should know about the bootstrap, Am Stat 69, 371-386,
    doi:10.1080/00031305.2015.1089789 (why percentile intervals are too narrow).
    """
    subjects, owner = np.unique(predictions.subject_ids, return_inverse=True)
    scores = compute_scores(predictions)
    if len(subjects) < 2:
        return dict.fromkeys(scores)
    drawn: dict[str, list[Array]] = {name: [] for name in scores}
    for counts in _iter_counts(len(subjects), len(owner), resamples=resamples, seed=seed):
        for name, values in compute_weighted_scores(predictions, counts[:, owner]).items():
            drawn[name].append(values)
    return {
        name: _log_odds_interval(score, np.concatenate(drawn[name]), len(subjects))
        for name, score in scores.items()
    }


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
    for counts in _iter_counts(len(subjects), len(owner), resamples=resamples, seed=seed):
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


def count_reached(observed: float, null: Array, *, exact: bool) -> float:
    """Return p: the share of values that reach the observed one, but for rounding.

    Parameters
    ----------
    observed
        The value asked about.
    null
        (R,) what it would be if there were nothing to find. What is not a number counts as
        reaching it.
    exact
        Whether these are all the values there are, the observed one among them; else it counts as
        one more, so that p is never zero.

    References
    ----------
    Phipson & Smyth (2010), Permutation p-values should never be zero, Stat Appl Genet Mol Biol 9.
    """
    reached = int((~(null < observed - _ROUNDING)).sum())
    return reached / len(null) if exact else (reached + 1) / (len(null) + 1)


def measure_reach(values: Array) -> float:
    """Return half the length of the 95 % t interval of the mean of values, one per subject."""
    error = values.std(ddof=1) / np.sqrt(len(values))
    return float(_find_t(len(values)) * error)


def bound_mean(values: Sequence[float] | Array) -> tuple[float, float] | None:
    """Return the 95 % t interval of the mean of values, one per subject; None of fewer than two."""
    values = np.asarray(values, dtype=float)
    if len(values) < 2:
        return None
    mean, reach = float(values.mean()), measure_reach(values)
    return mean - reach, mean + reach


def bound_share(share: float, reach: float) -> tuple[float, float]:
    """Return the interval share -+ reach, carried over to log-odds so that it stays in 0 to 1."""
    reach /= share * (1 - share)
    low, high = expit(logit(share) + np.array([-reach, reach]))
    return float(low), float(high)


def bound_middle(values: Array, *, known: float = 0.5) -> tuple[float, float] | None:
    """Return the middle 95 % of values; None where a share of less than `known` are numbers."""
    usable = values[np.isfinite(values)]
    if len(usable) < max(1, known * len(values)):
        return None
    tail = 100 * (1 - CONFIDENCE) / 2
    low, high = np.percentile(usable, [tail, 100 - tail])
    return float(low), float(high)


def _find_t(subjects: int) -> float:
    """Return the quantile of Student's t that 95 % intervals of S subjects take."""
    return float(student_t.ppf((1 + CONFIDENCE) / 2, subjects - 1))


def _compute_effect_size(differences: Array) -> float | None:
    """Return mean over standard deviation, or None where all are the same."""
    if np.ptp(differences) < LEAST_SPREAD:
        return None
    return float(differences.mean() / differences.std(ddof=1))


def _iter_counts(subjects: int, units: int, *, resamples: int, seed: int) -> Iterator[Array]:
    """Yield (R, S) how often each subject was drawn, a bounded number of resamples at a time."""
    rng = np.random.default_rng(seed)
    step = max(1, CHUNK_VALUES // max(1, units))
    for start in range(0, resamples, step):
        size = min(step, resamples - start)
        yield rng.multinomial(subjects, [1 / subjects] * subjects, size=size).astype(float)


def _log_odds_interval(score: float, values: Array, subjects: int) -> tuple[float, float] | None:
    """Return score -+ t standard errors of the resampled `values`, on the scale of log-odds."""
    usable = values[np.isfinite(values)]
    if not np.isfinite(score) or len(usable) < len(values) / 2:
        return None
    if np.ptp(usable) < LEAST_SPREAD:
        return score, score
    error = usable.std() * np.sqrt(subjects / (subjects - 1))
    return bound_share(score, _find_t(subjects) * error)
