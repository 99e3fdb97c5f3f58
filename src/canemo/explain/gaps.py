"""Where in the face the evidence of two conditions differs: an exact split of their difference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from canemo.explain.parts import (
    ALL_ALIKE,
    CLIP,
    NO_AREA,
    ONE_SUBJECT,
    average_within_subjects,
    check_origin,
    check_regions,
    lengthen,
    measure_parts,
    rows_of,
)
from canemo.learn.predictions import Array
from canemo.trust.intervals import LEAST_SPREAD, bound_mean
from canemo.trust.pairs import adjust_holm, flip_signs

WHOLE = "all"
"""In place of a region: the whole crop."""

NO_SUBJECTS = "no {noun} has crops of both conditions"
NO_DIFFERENCE = "no difference in any {noun}"
UNCLEAR_WHOLE = "no percentages: the whole difference is not clear of zero"


@dataclass(frozen=True)
class Gap:
    """Where the evidence of two conditions differs.

    Attributes
    ----------
    first, second
        The conditions; differences are second less first.
    table
        One row per region and a last one, "all", for the whole crop:

        - region
        - gap, gap_low, gap_high: the region's part of the mean difference between the conditions
          within a subject [logits], with its 95 % interval; the parts sum to that of "all"
        - moved: of the gap, what would be there if the evidence were the same in both conditions:
          the region is larger in one of them, or lies elsewhere; sums to 0
        - percent: of the whole difference; may be negative or above 100
        - p: of the sign-flip test that subjects differ either way as often: the larger one of
          the gap and of the gap less what moved
        - p_holm: corrected for the number of regions tested; NaN for "all", which is one test
        - area: of the crop that the region covers, 0 to 1, mean over the same subjects
        - dogs: with crops of both conditions
        - reason: why a number is missing (NaN), else None
    by_subject
        One row per subject and region ("all" included): subject_id, region, gap.
    left_out
        Subjects with crops of one of the two conditions only.
    """

    first: str
    second: str
    table: pd.DataFrame
    by_subject: pd.DataFrame
    left_out: tuple[str, ...]


def split_gap(
    maps: NDArray[Any],
    cells: NDArray[Any],
    origin: pd.DataFrame,
    *,
    first: str,
    second: str,
    regions: Sequence[str],
    draws: int = 2000,
    seed: int = 0,
) -> Gap:
    """Split the difference in evidence between two conditions into parts of the face.

    Parameters
    ----------
    maps
        (N, h, w) signed evidence for `second`, one logit for all crops.
    cells
        (N, R, h, w) from `canemo.faces.regions.measure_cells`.
    origin
        N rows with video_id, subject_id and label; other labels than the two are left out.
    first, second
        Labels of the two conditions.
    regions
        R names, in the order of the cells.
    draws, seed
        Of the sign-flip test where there are more than 14 subjects.

    Returns
    -------
    Gap

    Raises
    ------
    ValueError
        The shapes do not fit.

    Notes
    -----
    Within each subject, the mean map of the one condition is taken from that of the other. Evidence
    that is the same in both, such as what the model reads in any picture, cancels. With maps that
    sum to the logit but for a constant (`canemo.explain.maps.contribution`) the parts sum exactly
    to the difference of the mean logits. Each condition's sums are over the regions as they lie in
    its own crops: where a region grows, so does what it may hold. What the subject's mean map of
    both conditions has in the regions of the one more than in those of the other is given as
    `moved`, and a region is told from chance only where it is with and without that.

    The interval is the t interval of the subjects' differences. Percentages are given where the
    interval of the whole difference leaves out zero; elsewhere they would be parts of nothing.
    Of 1000 drawn studies of 8 subjects with no difference, 5.0 % of intervals left out zero and 5.3
    % of studies had a region with p_holm < 0.05 (``tests/explain/test_shares.py`` repeats it).

    References
    ----------
    Holm (1979), A simple sequentially rejective multiple test procedure, Scand J Stat 6, 65-70.
    """
    check_origin(maps, origin, (first, second), others=True)
    check_regions(cells, regions)
    names = [*regions, WHOLE]
    wanted = origin["label"].isin([first, second]).to_numpy()
    there = origin[CLIP][wanted].reset_index(drop=True)
    parts = measure_parts(maps[wanted], cells[wanted])
    whole = maps[wanted].sum(axis=(1, 2), dtype=float)
    area = cells[wanted].mean(axis=(2, 3), dtype=float)
    still = measure_parts(_average_of_subjects(maps[wanted], there), cells[wanted])
    values = {
        "gap": np.column_stack([parts, whole]),
        "moved": np.column_stack([still, np.zeros(len(still))]),
        "area": np.column_stack([area, np.ones(len(area))]),
    }
    means = average_within_subjects(values, there, names)
    one, other, left_out = _pair_subjects(means, first, second)
    gaps, areas = other - one, (one + other) / 2
    rows = [
        _summarise_gap(
            gaps["gap", name].to_numpy(),
            gaps["moved", name].to_numpy(),
            areas["area", name].to_numpy(),
            draws=draws,
            seed=seed,
        )
        for name in names
    ]
    table = _finish_gaps(pd.DataFrame({"region": names}).join(pd.DataFrame(rows)))
    by_subject = lengthen(gaps, "gap").reset_index()
    return Gap(first, second, table, by_subject, left_out)


def split_values(
    values: NDArray[Any],
    origin: pd.DataFrame,
    *,
    first: str,
    second: str,
    names: Sequence[str],
) -> Gap:
    """Split a difference into numbers that each crop has, (N, G), as `split_gap` does it.

    `names` take the place of regions. What they are of does not move: nothing is `moved`.
    """
    each = np.eye(len(names))[None, :, :, None]
    cells = np.broadcast_to(each, (len(values), *each.shape[1:]))
    return split_gap(values[:, :, None], cells, origin, first=first, second=second, regions=names)


def _pair_subjects(
    means: pd.DataFrame, first: str, second: str
) -> tuple[pd.DataFrame, pd.DataFrame, tuple[str, ...]]:
    """Return the subjects with both labels, once with each, and the names of the others."""
    one, other = (rows_of(means, label).droplevel("label") for label in (first, second))
    both = one.index.intersection(other.index)
    left_out = sorted(one.index.symmetric_difference(other.index))
    return one.loc[both], other.loc[both], tuple(str(subject) for subject in left_out)


def _average_of_subjects(maps: NDArray[Any], origin: pd.DataFrame) -> Array:
    """Return for each map (N, h, w) the mean of its subject, both conditions weighing alike."""
    places = range(maps.shape[1] * maps.shape[2])
    flat = average_within_subjects({"map": maps.reshape(len(maps), -1)}, origin, places)["map"]
    subjects = flat.groupby(level="subject_id").mean()
    return subjects.loc[origin["subject_id"]].to_numpy(dtype=float).reshape(maps.shape)


def _summarise_gap(
    values: Array, moved: Array, areas: Array, *, draws: int, seed: int
) -> dict[str, Any]:
    names = ("gap", "gap_low", "gap_high", "moved", "percent", "p", "p_holm", "area")
    row: dict[str, Any] = {
        **dict.fromkeys(names, np.nan),
        "dogs": len(values),
        "reason": None,
    }
    if not len(values):
        return {**row, "reason": NO_SUBJECTS}
    row |= {
        "gap": float(values.mean()),
        "moved": float(moved.mean()),
        "area": float(areas.mean()),
    }
    if len(values) < 2:
        return {**row, "reason": ONE_SUBJECT}
    if row["area"] <= 0:
        return {**row, "reason": NO_AREA}
    if np.abs(values).max() < LEAST_SPREAD:
        return {**row, "reason": NO_DIFFERENCE}
    row["p"] = max(_test(each, draws=draws, seed=seed) for each in (values, values - moved))
    if np.ptp(values) < LEAST_SPREAD:
        return {**row, "reason": ALL_ALIKE}
    row["gap_low"], row["gap_high"] = bound_mean(values) or (np.nan, np.nan)
    return row


def _test(values: Array, *, draws: int, seed: int) -> float:
    if np.abs(values).max() < LEAST_SPREAD:
        return 1.0
    p, _, _ = flip_signs(values, draws=draws, seed=seed)
    return float(p)


def _finish_gaps(table: pd.DataFrame) -> pd.DataFrame:
    """Return the table with corrected p values and with percentages, where these mean something."""
    tested = table["p"].notna() & (table["region"] != WHOLE)
    table.loc[tested, "p_holm"] = adjust_holm(table.loc[tested, "p"].tolist())
    whole = table.iloc[-1]
    if whole["gap_low"] > 0 or whole["gap_high"] < 0:
        table["percent"] = 100 * table["gap"] / whole["gap"]
    else:
        table["reason"] = [reason or UNCLEAR_WHOLE for reason in table["reason"]]
    return table
