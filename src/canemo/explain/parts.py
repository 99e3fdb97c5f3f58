"""What maps have in each region of the face, averaged within subjects, for shares and gaps.

Maps are additive: what a map has in each region adds up to its sum. Crops of a clip weigh the same
within it, clips within their subject, subjects among each other; intervals and tests take subjects
as the units, for a subject's clips are not independent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from canemo.learn.predictions import Array
from canemo.species import Species

ONE_SUBJECT = "one {noun}: nothing to say of others"
NO_AREA = "the region has no area"
ALL_ALIKE = "the same in every {noun}"

CLIP = ["label", "subject_id", "video_id"]


def measure_parts(maps: NDArray[Any], cells: NDArray[Any]) -> Array:
    """Sum maps within each region.

    Parameters
    ----------
    maps
        (N, h, w), any sign.
    cells
        (N, R, h, w) share of each of the map's cells that each region covers, from
        `canemo.faces.regions.measure_cells`.

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


def average_within_subjects(
    values: Mapping[str, Array], origin: pd.DataFrame, regions: Sequence[str] | range
) -> pd.DataFrame:
    """Return one row per label and subject: the mean over its clips of the mean over their crops.

    Columns are those of `values`, each (N, R), and within them the regions.
    """
    columns = pd.MultiIndex.from_product([values, regions])
    table = pd.DataFrame(np.column_stack(list(values.values())), columns=columns)
    clips = table.groupby([origin[name] for name in CLIP]).mean()
    return clips.groupby(level=CLIP[:2]).mean()


def rows_of(table: pd.DataFrame, label: str) -> pd.DataFrame:
    """Return the rows of one label."""
    return table[table.index.get_level_values("label") == label]


def lengthen(means: pd.DataFrame, name: str) -> pd.DataFrame:
    """Return one row per subject and region, of a row per subject and a column per region."""
    own = pd.DataFrame(means[name])
    return own.melt(ignore_index=False, var_name="region", value_name=name)


def list_rows(table: pd.DataFrame, *, species: Species) -> list[dict[str, Any]]:
    """Return a table's rows for JSON: plain numbers and texts, None in place of NaN.

    A ``reason`` speaks of the subjects in the words of the species.
    """
    missing = table.isna()
    worded = table.copy()
    if "reason" in table:
        worded["reason"] = table["reason"].map(species.fill, na_action="ignore")
    return [
        {
            str(name): None if missing.at[index, name] else _plain(worded.at[index, name])
            for name in table.columns
        }
        for index in table.index
    ]


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def check_origin(
    maps: NDArray[Any], origin: pd.DataFrame, labels: Sequence[str], *, others: bool = False
) -> None:
    """Raise ValueError where maps, rows and labels do not fit; `others` allows further labels."""
    if len(maps) != len(origin):
        raise ValueError(f"{len(maps)} maps for {len(origin)} rows of origin; expected as many")
    if maps.ndim == 4 and maps.shape[1] != len(labels):
        raise ValueError(f"maps of {maps.shape[1]} labels for {len(labels)} names")
    if maps.ndim == 3 and len(labels) != 2:
        raise ValueError(f"one map per crop stands for two labels, got {len(labels)}: {labels}")
    unknown = sorted(set(origin["label"]) - set(labels))
    if unknown and not others:
        raise ValueError(f"crops of label {unknown[0]!r}; the labels are {', '.join(labels)}")


def check_regions(cells: NDArray[Any], regions: Sequence[str]) -> None:
    """Raise ValueError where cells are of another number of regions than there are names."""
    if cells.shape[1] != len(regions):
        raise ValueError(f"cells of {cells.shape[1]} regions for {len(regions)} names")
