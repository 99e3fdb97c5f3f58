"""How sure one may be: intervals that resample subjects, for a dog's clips are not independent."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from canemo.metrics import Array, Predictions, compute_weighted_scores

CONFIDENCE = 0.95
CHUNK_VALUES = 4_000_000  # about 32 MB of weights at a time


def compute_scores(predictions: Predictions) -> dict[str, float]:
    """Return accuracy, balanced accuracy and AUROC; not a number where a label is missing."""
    plain = compute_weighted_scores(predictions, np.ones((1, len(predictions.label_index))))
    return {name: float(values[0]) for name, values in plain.items()}


def compute_intervals(
    predictions: Predictions, *, resamples: int = 2000, seed: int = 0
) -> dict[str, tuple[float, float] | None]:
    """Return 95 % percentile intervals from resampling subjects with replacement.

    Parameters
    ----------
    predictions
        N units of S subjects.
    resamples, seed
        Number of bootstrap resamples and the seed that draws them.

    Returns
    -------
    dict
        Score name -> (low, high), or None where fewer than two subjects, or fewer than half of
        the resamples with every label, leave nothing to say.

    Notes
    -----
    Resamples in which a label is missing have no balanced accuracy and no AUROC and are left out
    of those two. With few subjects percentile intervals are too narrow rather than too wide.

    References
    ----------
    Efron & Tibshirani (1993), An Introduction to the Bootstrap, section 13.3.
    """
    subjects, owner = np.unique(predictions.subject_ids, return_inverse=True)
    names = ("accuracy", "balanced_accuracy", "auroc")
    if len(subjects) < 2:
        return dict.fromkeys(names)
    drawn: dict[str, list[Array]] = {name: [] for name in names}
    for counts in _iter_counts(len(subjects), len(owner), resamples=resamples, seed=seed):
        for name, values in compute_weighted_scores(predictions, counts[:, owner]).items():
            drawn[name].append(values)
    return {name: _percentile_interval(np.concatenate(parts)) for name, parts in drawn.items()}


def _iter_counts(subjects: int, units: int, *, resamples: int, seed: int) -> Iterator[Array]:
    """Yield (R, S) how often each subject was drawn, a bounded number of resamples at a time."""
    rng = np.random.default_rng(seed)
    step = max(1, CHUNK_VALUES // max(1, units))
    for start in range(0, resamples, step):
        size = min(step, resamples - start)
        yield rng.multinomial(subjects, [1 / subjects] * subjects, size=size).astype(float)


def _percentile_interval(values: Array) -> tuple[float, float] | None:
    usable = values[np.isfinite(values)]
    if len(usable) < len(values) / 2:
        return None
    tail = 100 * (1 - CONFIDENCE) / 2
    low, high = np.percentile(usable, [tail, 100 - tail])
    return float(low), float(high)
