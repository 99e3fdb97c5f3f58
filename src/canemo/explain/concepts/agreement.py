"""How far two coders agree, frame by frame.

References
----------
Cohen (1960), A coefficient of agreement for nominal scales, Educ Psychol Meas 20, 37-46. Frames of
one clip are not independent, so the interval resamples subjects.
"""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from canemo.explain.concepts.coding import SHOWN, UNKNOWN, Coding
from canemo.study.records.concepts import CoderPair
from canemo.trust.intervals import bound_middle

METHOD = (
    "Cohen's kappa by frame, over the frames of clips that both coders named (of all clips where "
    "all were said to be coded), for units that both used at least once"
)


def compare_coders(
    coding: Coding, subject_ids: NDArray[np.object_], *, resamples: int = 2000, seed: int = 0
) -> tuple[CoderPair, ...]:
    """Return the agreement of each pair of coders on each unit.

    Parameters
    ----------
    coding
        N frames.
    subject_ids
        (N,) whose frame it is.
    resamples, seed
        Of subjects, for the interval.

    Returns
    -------
    tuple of CoderPair
        ``frames`` that both coded, ``agreement`` (share of frames alike), ``prevalence`` by
        observer, ``kappa`` and its ``interval`` (95 % percentiles over subjects). Pairs that share
        no frame are left out.
    """
    found = []
    for (a, first), (b, second) in combinations(enumerate(coding.observers), 2):
        for place, unit in enumerate(coding.units):
            one, other = coding.by_observer[a, place], coding.by_observer[b, place]
            both = (one != UNKNOWN) & (other != UNKNOWN)
            if not both.any():
                continue
            tables = _count_tables(one[both] == SHOWN, other[both] == SHOWN, subject_ids[both])
            row = _describe_pair(tables, resamples=resamples, seed=seed)
            found.append(CoderPair(unit=unit, observers=(first, second), **row))
    return tuple(found)


def compute_kappa(tables: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return Cohen's kappa of (..., 4) counts: both shown, first only, second only, neither.

    Not a number where chance alone agrees always: both coders gave all frames the same state.
    """
    both, first, second, neither = np.moveaxis(np.asarray(tables, dtype=float), -1, 0)
    total = both + first + second + neither
    with np.errstate(invalid="ignore", divide="ignore"):
        observed = (both + neither) / total
        one, other = (both + first) / total, (both + second) / total
        chance = one * other + (1 - one) * (1 - other)
        kappa = (observed - chance) / (1 - chance)
    return np.asarray(np.where(chance < 1, kappa, np.nan))


def _count_tables(
    one: NDArray[np.bool_], other: NDArray[np.bool_], subject_ids: NDArray[np.object_]
) -> NDArray[np.float64]:
    """Return (S, 4) counts of each subject's frames."""
    subjects, owner = np.unique(subject_ids, return_inverse=True)
    cells = np.where(one, np.where(other, 0, 1), np.where(other, 2, 3))
    counts = np.bincount(owner * 4 + cells, minlength=4 * len(subjects))
    return counts.reshape(len(subjects), 4).astype(float)


def _describe_pair(tables: NDArray[np.float64], *, resamples: int, seed: int) -> dict[str, Any]:
    whole = tables.sum(axis=0)
    frames = whole.sum()
    kappa = float(compute_kappa(whole))
    known = bool(np.isfinite(kappa))
    return {
        "frames": int(frames),
        "subjects": len(tables),
        "agreement": float((whole[0] + whole[3]) / frames),
        "prevalence": [float(whole[[0, 1]].sum() / frames), float(whole[[0, 2]].sum() / frames)],
        "kappa": kappa if known else None,
        "interval": _resample(tables, resamples=resamples, seed=seed) if known else None,
        "reason": None if known else _explain(whole),
    }


def _explain(whole: NDArray[np.float64]) -> str:
    if whole[0]:
        return "both coders saw it in every frame, so that chance alone agrees always"
    return "neither coder saw it in any frame, so that chance alone agrees always"


def _resample(tables: NDArray[np.float64], *, resamples: int, seed: int) -> list[float] | None:
    """Return 95 % percentiles of kappa over resampled subjects; None where too few have one."""
    if len(tables) < 2:
        return None
    rng = np.random.default_rng(seed)
    counts = rng.multinomial(len(tables), [1 / len(tables)] * len(tables), size=resamples)
    ends = bound_middle(compute_kappa(counts @ tables))
    return None if ends is None else list(ends)
