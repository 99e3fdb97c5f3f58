"""How much of the evidence lies in which part of the face, and where two conditions differ.

Maps are additive: what a map has in each region adds up to its sum. Crops of a clip weigh the same
within it, clips within their dog, dogs among each other; intervals and tests take dogs as the
units, for a dog's clips are not independent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import expit, logit
from scipy.stats import t as student_t

from canemo.face_points import REGIONS
from canemo.metrics import Array
from canemo.stats import CONFIDENCE, LEAST_SPREAD, adjust_holm, flip_signs

WHOLE = "all"
"""In place of a region: the whole crop."""

ONE_DOG = "one dog: nothing to say of others"
NO_DOGS = "no dog has crops of both conditions"
NO_AREA = "the region has no area"
NO_EVIDENCE = "no crop has evidence towards its own label"
NONE_HERE = "no evidence in this region in any dog"
NO_DIFFERENCE = "no difference in any dog"
ALL_ALIKE = "the same in every dog"
UNCLEAR_WHOLE = "no percentages: the whole difference is not clear of zero"

_CLIP = ["label", "subject_id", "video_id"]
_SHARE_COLUMNS = (
    "label", "region", "share", "share_low", "share_high", "area", "ratio", "ratio_low",
    "ratio_high", "dogs", "clips", "crops", "silent_crops", "reason",
)  # fmt: skip


def measure_parts(maps: NDArray[Any], cells: NDArray[Any]) -> Array:
    """Sum maps within each region.

    Parameters
    ----------
    maps
        (N, h, w), any sign.
    cells
        (N, R, h, w) share of each of the map's cells that each region covers, from
        `canemo.explain.regions.measure_cells`.

    Returns
    -------
    Array
        (N, R) float64; the sum over R is the sum of the map.

    Raises
    ------
    ValueError
        The shapes do not fit, or a map is not finite.
    """
    if maps.ndim != 3 or cells.shape != (len(maps), cells.shape[1], *maps.shape[1:]):
        raise ValueError(
            f"maps have shape {maps.shape} and cells {cells.shape}; expected (N, h, w) and "
            "(N, R, h, w)"
        )
    if not np.isfinite(maps).all():
        raise ValueError("maps hold values that are not finite; map these crops again")
    return np.asarray(np.einsum("nhw,nrhw->nr", maps.astype(float), cells.astype(float)))


# -- shares ---------------------------------------------------------------------------------------


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
    by_dog
        One row per label, dog and region: label, subject_id, region, share, area, ratio, clips,
        crops.
    """

    table: pd.DataFrame
    by_dog: pd.DataFrame


def measure_shares(
    maps: NDArray[Any],
    cells: NDArray[Any],
    origin: pd.DataFrame,
    *,
    labels: Sequence[str],
    regions: Sequence[str] = REGIONS,
) -> Shares:
    """Measure which share of the evidence for a crop's own label lies in which region.

    Parameters
    ----------
    maps
        Signed evidence: (N, h, w) for the second of two labels (what speaks for the first is
        negative), or (N, K, h, w) for each of K labels.
    cells
        (N, R, h, w) from `canemo.explain.regions.measure_cells`.
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

    Of the mean share m of S dogs the interval is symmetric on the log-odds scale, with Student's t
    at S - 1 degrees of freedom and the standard error of the mean (as `canemo.stats` does for
    scores). The ratio is that of the means of share and area over dogs, and its interval is
    symmetric on the log scale with the standard error of ln(share / area) by linearisation, from
    share_i / mean share - area_i / mean area of each dog i: a dog with no evidence at all in a
    region does not make it infinite. Resampling dogs would find the same standard errors but for
    chance, and too short intervals with few dogs. Of 4000 drawn studies each of 5, 10 and 20 dogs
    with a true share of 0.25 in half of the area, 94 to 95 % of intervals held it, and as many the
    ratio; where dogs' ratios are log-normal (sigma 0.6) and areas vary too, 92 to 93 % held the
    ratio. ``test_ratio_intervals_hold_the_truth_as_often_as_stated`` repeats a part of this.

    References
    ----------
    Cochran (1977), Sampling Techniques, section 6.4 (ratio of two means).
    """
    _check_origin(maps, origin, labels)
    own = np.clip(_turn_to_own(maps, origin["label"], labels), 0, None)
    parts = measure_parts(own, cells)
    _check_regions(cells, regions)
    total = own.sum(axis=(1, 2), dtype=float)
    speaks = total > 0
    share = parts[speaks] / total[speaks, None]
    area = cells.mean(axis=(2, 3), dtype=float)[speaks]
    there = origin[_CLIP][speaks].reset_index(drop=True)
    means = _average_within_dogs({"share": share, "area": area}, there, regions)
    counts = there.groupby(_CLIP[:2])["video_id"].agg(clips="nunique", crops="size")
    silent = origin["label"][~speaks].value_counts()
    rows = [
        {"label": label, "silent_crops": int(silent.get(label, 0)), **row}
        for label in labels
        for row in _summarise_label(_rows_of(means, label), _rows_of(counts, label), regions)
    ]
    return Shares(pd.DataFrame(rows)[list(_SHARE_COLUMNS)], _tabulate_dogs(means, counts))


def _turn_to_own(maps: NDArray[Any], labels: pd.Series[str], names: Sequence[str]) -> Array:
    """Return (N, h, w) evidence for each crop's own label."""
    index = labels.map({name: k for k, name in enumerate(names)}).to_numpy(dtype=int)
    if maps.ndim == 4:
        return np.asarray(maps[np.arange(len(maps)), index], dtype=float)
    return np.asarray(np.where(index == 1, 1.0, -1.0)[:, None, None] * maps)


def _tabulate_dogs(means: pd.DataFrame, counts: pd.DataFrame) -> pd.DataFrame:
    table = _lengthen(means, "share")
    table["area"] = _lengthen(means, "area")["area"].to_numpy()
    table["ratio"] = _divide(table["share"].to_numpy(), table["area"].to_numpy())
    return table.join(counts).reset_index()


def _rows_of(table: pd.DataFrame, label: str) -> pd.DataFrame:
    return table[table.index.get_level_values("label") == label]


def _summarise_label(
    means: pd.DataFrame, counts: pd.DataFrame, regions: Sequence[str]
) -> list[dict[str, Any]]:
    """Return one row per region, of the means and the counts of one label's dogs."""
    totals = {"dogs": len(means), **{str(name): int(counts[name].sum()) for name in counts}}
    return [
        {
            "region": region,
            **_summarise_ratio(means["share", region].to_numpy(), means["area", region].to_numpy()),
            **totals,
        }
        for region in regions
    ]


def _average_within_dogs(
    values: Mapping[str, Array], origin: pd.DataFrame, regions: Sequence[str]
) -> pd.DataFrame:
    """Return one row per label and dog: the mean over its clips of the mean over their crops.

    Columns are those of `values`, each (N, R), and within them the regions.
    """
    columns = pd.MultiIndex.from_product([values, regions])
    table = pd.DataFrame(np.column_stack(list(values.values())), columns=columns)
    clips = table.groupby([origin[name] for name in _CLIP]).mean()
    return clips.groupby(level=_CLIP[:2]).mean()


def _lengthen(means: pd.DataFrame, name: str) -> pd.DataFrame:
    """Return one row per dog and region, of one row per dog and one column per name and region."""
    own = pd.DataFrame(means[name])
    return own.melt(ignore_index=False, var_name="region", value_name=name)


def _summarise_ratio(share: Array, area: Array) -> dict[str, Any]:
    """Return mean share and area of dogs, their ratio and intervals, and why some are missing."""
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
        return {**row, "reason": ONE_DOG}
    if mean <= 0:
        return {**row, "reason": NONE_HERE}
    if np.ptp(share) < LEAST_SPREAD:
        return {**row, "reason": ALL_ALIKE}
    low, high = logit(mean) + _reach(share) / (mean * (1 - mean)) * np.array([-1, 1])
    row["share_low"], row["share_high"] = float(expit(low)), float(expit(high))
    reach = _reach(share / mean - area / mean_area)
    row["ratio_low"], row["ratio_high"] = (
        row["ratio"] * np.exp(-reach),
        row["ratio"] * np.exp(reach),
    )
    return row


def _reach(values: Array) -> float:
    """Return half the length of the 95 % t interval of the mean of values, one per dog."""
    error = values.std(ddof=1) / np.sqrt(len(values))
    return float(student_t.ppf((1 + CONFIDENCE) / 2, len(values) - 1) * error)


def _divide(values: Array, by: Array) -> Array:
    """Return the quotient; NaN where the divisor is not positive."""
    there = by > 0
    return np.where(there, values / np.where(there, by, 1), np.nan)


# -- the gap between two conditions ---------------------------------------------------------------


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
          within a dog [logits], with its 95 % interval; the parts sum to that of "all"
        - percent: of the whole difference; may be negative or above 100
        - p: of the sign-flip test that dogs differ in either direction as often
        - p_holm: corrected for the number of regions tested; NaN for "all", which is one test
        - area: of the crop that the region covers, 0 to 1, mean over the same dogs
        - dogs: with crops of both conditions
        - reason: why a number is missing (NaN), else None
    by_dog
        One row per dog and region ("all" included): subject_id, region, gap.
    left_out
        Dogs with crops of one of the two conditions only.
    """

    first: str
    second: str
    table: pd.DataFrame
    by_dog: pd.DataFrame
    left_out: tuple[str, ...]


def split_gap(
    maps: NDArray[Any],
    cells: NDArray[Any],
    origin: pd.DataFrame,
    *,
    first: str,
    second: str,
    regions: Sequence[str] = REGIONS,
    draws: int = 2000,
    seed: int = 0,
) -> Gap:
    """Split the difference in evidence between two conditions into parts of the face.

    Parameters
    ----------
    maps
        (N, h, w) signed evidence for `second`, one logit for all crops.
    cells
        (N, R, h, w) from `canemo.explain.regions.measure_cells`.
    origin
        N rows with video_id, subject_id and label; other labels than the two are left out.
    first, second
        Labels of the two conditions.
    regions
        R names, in the order of the cells.
    draws, seed
        Of the sign-flip test where there are more than 14 dogs.

    Returns
    -------
    Gap

    Raises
    ------
    ValueError
        The shapes do not fit.

    Notes
    -----
    Within each dog, the mean map of the one condition is taken from that of the other. Evidence
    that is the same in both, such as what the model reads in any picture, cancels. With maps that
    sum to the logit but for a constant (`canemo.explain.contribution`) the parts sum exactly to
    the difference of the mean logits. Each condition's sums are over the regions as they lie in
    its own crops: where a region grows, so does what it may hold.

    The interval is the t interval of the dogs' differences. Percentages are given where the
    interval of the whole difference leaves out zero; elsewhere they would be parts of nothing.
    Of 1000 drawn studies of 8 dogs with no difference, 5.0 % of intervals left out zero and 5.3 %
    of studies had a region with p_holm < 0.05 (``tests/test_explain_shares.py`` repeats it).

    References
    ----------
    Holm (1979), A simple sequentially rejective multiple test procedure, Scand J Stat 6, 65-70.
    """
    _check_origin(maps, origin, (first, second), others=True)
    _check_regions(cells, regions)
    names = [*regions, WHOLE]
    wanted = origin["label"].isin([first, second]).to_numpy()
    there = origin[_CLIP][wanted].reset_index(drop=True)
    parts = measure_parts(maps[wanted], cells[wanted])
    whole = maps[wanted].sum(axis=(1, 2), dtype=float)
    area = cells[wanted].mean(axis=(2, 3), dtype=float)
    values = {
        "gap": np.column_stack([parts, whole]),
        "area": np.column_stack([area, np.ones(len(area))]),
    }
    means = _average_within_dogs(values, there, names)
    one, other, left_out = _pair_dogs(means, first, second)
    gaps, areas = other - one, (one + other) / 2
    rows = [
        _summarise_gap(
            gaps["gap", name].to_numpy(), areas["area", name].to_numpy(), draws=draws, seed=seed
        )
        for name in names
    ]
    table = _finish_gaps(pd.DataFrame({"region": names}).join(pd.DataFrame(rows)))
    by_dog = _lengthen(gaps, "gap").reset_index()
    return Gap(first, second, table, by_dog, left_out)


def _pair_dogs(
    means: pd.DataFrame, first: str, second: str
) -> tuple[pd.DataFrame, pd.DataFrame, tuple[str, ...]]:
    """Return the dogs with both labels, once with each, and the names of the others."""
    one, other = (_rows_of(means, label).droplevel("label") for label in (first, second))
    both = one.index.intersection(other.index)
    left_out = sorted(one.index.symmetric_difference(other.index))
    return one.loc[both], other.loc[both], tuple(str(dog) for dog in left_out)


def _summarise_gap(values: Array, areas: Array, *, draws: int, seed: int) -> dict[str, Any]:
    row: dict[str, Any] = {
        **dict.fromkeys(("gap", "gap_low", "gap_high", "percent", "p", "p_holm", "area"), np.nan),
        "dogs": len(values),
        "reason": None,
    }
    if not len(values):
        return {**row, "reason": NO_DOGS}
    row |= {"gap": float(values.mean()), "area": float(areas.mean())}
    if len(values) < 2:
        return {**row, "reason": ONE_DOG}
    if row["area"] <= 0:
        return {**row, "reason": NO_AREA}
    if np.abs(values).max() < LEAST_SPREAD:
        return {**row, "reason": NO_DIFFERENCE}
    row["p"], _, _ = flip_signs(values, draws=draws, seed=seed)
    if np.ptp(values) < LEAST_SPREAD:
        return {**row, "reason": ALL_ALIKE}
    reach = _reach(values)
    return {**row, "gap_low": row["gap"] - reach, "gap_high": row["gap"] + reach}


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


# -- borders --------------------------------------------------------------------------------------


def list_rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Return a table's rows for JSON: plain numbers and texts, None in place of NaN."""
    missing = table.isna()
    return [
        {
            str(name): None if missing.at[index, name] else _plain(table.at[index, name])
            for name in table.columns
        }
        for index in table.index
    ]


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def _check_origin(
    maps: NDArray[Any], origin: pd.DataFrame, labels: Sequence[str], *, others: bool = False
) -> None:
    if len(maps) != len(origin):
        raise ValueError(f"{len(maps)} maps for {len(origin)} rows of origin; expected as many")
    if maps.ndim == 4 and maps.shape[1] != len(labels):
        raise ValueError(f"maps of {maps.shape[1]} labels for {len(labels)} names")
    if maps.ndim == 3 and len(labels) != 2:
        raise ValueError(f"one map per crop stands for two labels, got {len(labels)}: {labels}")
    unknown = sorted(set(origin["label"]) - set(labels))
    if unknown and not others:
        raise ValueError(f"crops of label {unknown[0]!r}; the labels are {', '.join(labels)}")


def _check_regions(cells: NDArray[Any], regions: Sequence[str]) -> None:
    if cells.shape[1] != len(regions):
        raise ValueError(f"cells of {cells.shape[1]} regions for {len(regions)} names")
