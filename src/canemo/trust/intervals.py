"""Scores and how sure one may be of them: intervals and p values whose units are subjects.

Clips of one subject are not independent.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from scipy.special import expit, logit
from scipy.stats import t as student_t

from canemo.learn.predictions import Array, Predictions
from canemo.trust.scores import compute_weighted_scores

CONFIDENCE = 0.95
LEVEL = 0.05  # below which p counts as more than chance
INTERVAL_METHOD = "log-odds t"
LEAST_SPREAD = 1e-12  # less than this is rounding, not a difference
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
    87.5 % held 0.5 where there was nothing (``tests/trust/test_worlds.py``); the permutation test,
    which learns anew, stays right there. A part of this is repeated by
    ``test_intervals_hold_the_truth_as_often_as_stated`` in ``tests/trust/test_intervals.py``.

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
    for counts in iter_counts(len(subjects), len(owner), resamples=resamples, seed=seed):
        for name, values in compute_weighted_scores(predictions, counts[:, owner]).items():
            drawn[name].append(values)
    return {
        name: _log_odds_interval(score, np.concatenate(drawn[name]), len(subjects))
        for name, score in scores.items()
    }


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


def iter_counts(subjects: int, units: int, *, resamples: int, seed: int) -> Iterator[Array]:
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
