"""Which share of the evidence lies in which part of the face, against its share of the area."""

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
from canemo.trust.intervals import LEAST_SPREAD, bound_share, measure_reach

NO_EVIDENCE = "no crop has evidence towards its own label"
NONE_HERE = "no evidence in this region in any {noun}"

_SHARE_COLUMNS = (
    "label", "region", "share", "share_low", "share_high", "area", "ratio", "ratio_low",
    "ratio_high", "dogs", "clips", "crops", "silent_crops", "reason",
)  # fmt: skip


@dataclass(frozen=True)
class Shares:
    """Share of the evidence against share of the area, by region.

    Attributes
    ----------
    table
        One row per label and region:

        - label, region
        - share, share_low, share_high: of the evidence towards the crop's own label, 0 to 1, with
          its 95 % interval
        - area: of the crop that the region covers, 0 to 1
        - ratio, ratio_low, ratio_high: share / area, 1 where evidence is as dense as on average
        - dogs, clips, crops: how many have evidence
        - silent_crops: crops without any evidence towards their own label, which are left out
        - reason: why a number is missing (NaN), else None
    by_subject
        One row per label, subject and region: label, subject_id, region, share, area, ratio, clips,
        crops.
    """

    table: pd.DataFrame
    by_subject: pd.DataFrame


def measure_shares(
    maps: NDArray[Any],
    cells: NDArray[Any],
    origin: pd.DataFrame,
    *,
    labels: Sequence[str],
    regions: Sequence[str],
) -> Shares:
    """Measure which share of the evidence for a crop's own label lies in which region.

    Parameters
    ----------
    maps
        Signed evidence: (N, h, w) for the second of two labels (what speaks for the first is
        negative), or (N, K, h, w) for each of K labels.
    cells
        (N, R, h, w) from `canemo.faces.regions.measure_cells`.
    origin
        N rows with video_id, subject_id and label.
    labels
        K names, in the order of the maps.
    regions
        R names, in the order of the cells.

    Returns
    -------
    Shares

    Raises
    ------
    ValueError
        The shapes or labels do not fit.

    Notes
    -----
    Only the positive part of a map, turned towards the crop's own label, counts. A share says
    where the model finds support, which may be support that it finds in every picture: where
    conditions differ is what `split_gap` tells.

    Of the mean share m of S subjects the interval is symmetric on the log-odds scale, with
    Student's t at S - 1 degrees of freedom and the standard error of the mean (as
    `canemo.trust.intervals` does for scores). The ratio is that of the means of share and area over
    subjects, and its interval is symmetric on the log scale with the standard error of ln(share /
    area) by linearisation, from share_i / mean share - area_i / mean area of each subject i: a
    subject with no evidence at all in a region does not make it infinite. Resampling subjects would
    find the same standard errors but for chance, and too short intervals with few subjects. Of 4000
    drawn studies each of 5, 10 and 20 subjects with a true share of 0.25 in half of the area, 94 to
    95 % of intervals held it, and as many the ratio; where subjects' ratios are log-normal (sigma
    0.6) and areas vary too, 92 to 93 % held the ratio.
    ``test_ratio_intervals_hold_the_truth_as_often_as_stated`` repeats a part of this.

    References
    ----------
    Cochran (1977), Sampling Techniques, section 6.4 (ratio of two means).
    """
    check_origin(maps, origin, labels)
    own = np.clip(_turn_to_own(maps, origin["label"], labels), 0, None)
    parts = measure_parts(own, cells)
    check_regions(cells, regions)
    total = own.sum(axis=(1, 2), dtype=float)
    speaks = total > 0
    share = parts[speaks] / total[speaks, None]
    area = cells.mean(axis=(2, 3), dtype=float)[speaks]
    there = origin[CLIP][speaks].reset_index(drop=True)
    means = average_within_subjects({"share": share, "area": area}, there, regions)
    counts = there.groupby(CLIP[:2])["video_id"].agg(clips="nunique", crops="size")
    silent = origin["label"][~speaks].value_counts()
    rows = [
        {"label": label, "silent_crops": int(silent.get(label, 0)), **row}
        for label in labels
        for row in _summarise_label(rows_of(means, label), rows_of(counts, label), regions)
    ]
    return Shares(pd.DataFrame(rows)[list(_SHARE_COLUMNS)], _tabulate_subjects(means, counts))


def _turn_to_own(maps: NDArray[Any], labels: pd.Series[str], names: Sequence[str]) -> Array:
    """Return (N, h, w) evidence for each crop's own label."""
    index = labels.map({name: k for k, name in enumerate(names)}).to_numpy(dtype=int)
    if maps.ndim == 4:
        return np.asarray(maps[np.arange(len(maps)), index], dtype=float)
    return np.asarray(np.where(index == 1, 1.0, -1.0)[:, None, None] * maps)


def _tabulate_subjects(means: pd.DataFrame, counts: pd.DataFrame) -> pd.DataFrame:
    table = lengthen(means, "share")
    table["area"] = lengthen(means, "area")["area"].to_numpy()
    table["ratio"] = _divide(table["share"].to_numpy(), table["area"].to_numpy())
    return table.join(counts).reset_index()


def _summarise_label(
    means: pd.DataFrame, counts: pd.DataFrame, regions: Sequence[str]
) -> list[dict[str, Any]]:
    """Return one row per region, of the means and the counts of one label's subjects."""
    totals = {"dogs": len(means), **{str(name): int(counts[name].sum()) for name in counts}}
    return [
        {
            "region": region,
            **_summarise_ratio(means["share", region].to_numpy(), means["area", region].to_numpy()),
            **totals,
        }
        for region in regions
    ]


def _summarise_ratio(share: Array, area: Array) -> dict[str, Any]:
    """Return mean share and area, their ratio and intervals, and why some are missing."""
    names = ("share", "share_low", "share_high", "area", "ratio", "ratio_low", "ratio_high")
    row: dict[str, Any] = {**dict.fromkeys(names, np.nan), "reason": None}
    if not len(share):
        return {**row, "reason": NO_EVIDENCE}
    mean, mean_area = float(share.mean()), float(area.mean())
    row |= {"share": mean, "area": mean_area}
    if mean_area <= 0:
        return {**row, "reason": NO_AREA}
    row["ratio"] = mean / mean_area
    if len(share) < 2:
        return {**row, "reason": ONE_SUBJECT}
    if mean <= 0:
        return {**row, "reason": NONE_HERE}
    if np.ptp(share) < LEAST_SPREAD:
        return {**row, "reason": ALL_ALIKE}
    row["share_low"], row["share_high"] = bound_share(mean, measure_reach(share))
    reach = measure_reach(share / mean - area / mean_area)
    row["ratio_low"], row["ratio_high"] = (
        row["ratio"] * np.exp(-reach),
        row["ratio"] * np.exp(reach),
    )
    return row


def _divide(values: Array, by: Array) -> Array:
    """Return the quotient; NaN where the divisor is not positive."""
    there = by > 0
    return np.where(there, values / np.where(there, by, 1), np.nan)
