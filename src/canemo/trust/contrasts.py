"""Measures of clips compared between two conditions, within subjects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from canemo.learn.predictions import Array
from canemo.trust.intervals import LEAST_SPREAD, bound_mean, count_reached
from canemo.trust.labellings import draw_labellings
from canemo.trust.pairs import adjust_holm

DRAWS = 9999
"""Labellings drawn: so many that p, corrected for dozens of measures, can be small."""

NO_SUBJECT = "no {noun} has clips of both conditions in which it is known"
ONE_SUBJECT = "one {noun} only: nothing to say of others"
ALL_ALIKE = "the same in every clip"


@dataclass(frozen=True)
class Contrast:
    """How a measure differs between two conditions, within subjects.

    Attributes
    ----------
    measure
        Its name.
    clips, subjects
        Of how many it is known: clips of subjects with both conditions.
    means
        In either condition: means over subjects of their clips' mean.
    difference, interval
        First less second, mean over subjects, with its 95 % t interval over them.
    effect, effect_interval
        The same in standard deviations of clips of one subject in one condition.
    p, p_holm
        Two-sided, of labels of whole clips moved within subjects; corrected for the number of
        measures tested.
    reason
        Why numbers are missing, else None.
    """

    measure: str
    clips: int = 0
    subjects: int = 0
    means: tuple[float, float] | None = None
    difference: float | None = None
    interval: tuple[float, float] | None = None
    effect: float | None = None
    effect_interval: tuple[float, float] | None = None
    p: float | None = None
    p_holm: float | None = None
    reason: str | None = None


def contrast_clips(
    values: pd.DataFrame,
    subject_ids: Sequence[str],
    is_first: Sequence[bool],
    *,
    draws: int = DRAWS,
    seed: int = 0,
) -> list[Contrast]:
    """Compare two conditions within subjects, for each measure of N clips.

    Parameters
    ----------
    values
        (N, M) a row per clip, a column per measure; NaN where it is not known.
    subject_ids, is_first
        (N,) whose clip it is, and whether it is of the first condition or the second.
    draws, seed
        How many labellings are drawn where there are too many to list, and the seed.

    Notes
    -----
    A clip counts once however long it is, a subject once however many clips it has. Were conditions
    alike, the labels of a subject's clips could as well have fallen in any other way: that is what
    the statistic, the mean over subjects of the difference of their means, is held against. Where
    nothing differs p is uniform (``tests/trust/test_contrasts.py``).
    """
    subjects = np.asarray(subject_ids, dtype=object)
    first = np.asarray(is_first, dtype=bool)
    found = [
        _contrast(str(name), values[name].to_numpy(dtype=float), subjects, first, draws, seed)
        for name in values
    ]
    tested = [each for each in found if each.p is not None]
    adjusted = dict(
        zip(
            [each.measure for each in tested],
            adjust_holm([each.p for each in tested if each.p is not None]),
            strict=True,
        )
    )
    return [replace(each, p_holm=adjusted.get(each.measure)) for each in found]


def _contrast(
    name: str,
    values: Array,
    subjects: NDArray[np.object_],
    first: NDArray[np.bool_],
    draws: int,
    seed: int,
) -> Contrast:
    known = np.isfinite(values)
    both = set(subjects[known & first]) & set(subjects[known & ~first])
    rows = known & np.isin(subjects, sorted(both))
    values, first = values[rows], first[rows]
    owner = np.unique(subjects[rows], return_inverse=True)[1]
    told = Contrast(name, len(values), len(both))
    if not both:
        return replace(told, reason=NO_SUBJECT)
    means = [_average(values[part], owner[part], len(both)) for part in (first, ~first)]
    gaps = means[0] - means[1]
    told = replace(
        told,
        means=(float(means[0].mean()), float(means[1].mean())),
        difference=float(gaps.mean()),
    )
    if len(both) < 2:
        return replace(told, reason=ONE_SUBJECT)
    if np.ptp(values) < LEAST_SPREAD:
        return replace(told, reason=ALL_ALIKE)
    told = replace(told, interval=bound_mean(gaps), p=_test(values, owner, first, draws, seed))
    left = values - np.where(first, means[0][owner], means[1][owner])
    freedom = len(values) - 2 * len(both)
    spread = float(np.sqrt((left**2).sum() / freedom)) if freedom > 0 else 0.0
    if spread < LEAST_SPREAD or told.interval is None or told.difference is None:
        return told
    low, high = told.interval
    return replace(
        told, effect=told.difference / spread, effect_interval=(low / spread, high / spread)
    )


def _average(values: Array, owner: NDArray[np.intp], subjects: int) -> Array:
    return np.asarray(np.bincount(owner, values, subjects) / np.bincount(owner, minlength=subjects))


def _test(
    values: Array, owner: NDArray[np.intp], first: NDArray[np.bool_], draws: int, seed: int
) -> float:
    """Return p of the mean gap; how many clips a subject has of either label stays as it is."""
    ones, all_clips = np.bincount(owner, first), np.bincount(owner)
    weights = values * (1 / ones + 1 / (all_clips - ones))[owner]
    labellings, exact = draw_labellings(first.astype(np.int64), owner, number=draws, seed=seed)
    middle = (np.bincount(owner, values) / (all_clips - ones)).sum()
    sums = (labellings == 1).astype(float) @ weights - middle
    return count_reached(abs(float(weights[first].sum() - middle)), np.abs(sums), exact=exact)
