"""What was found of one model, and how explanation.json says it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from canemo.explain.alignment import MeanFace, align_faces, average_faces, warp_maps
from canemo.explain.decision import Maps
from canemo.explain.face_finder import describe_sources
from canemo.explain.methods import METHODS
from canemo.explain.regions import measure_cells
from canemo.explain.report_card import ReportCard
from canemo.explain.shares import WHOLE, list_rows, measure_parts, measure_shares, split_gap
from canemo.face_points import REGIONS
from canemo.records import Image

LOSSES = tuple(f"loss_{name}" for name in REGIONS)
"""Columns of what covering each region takes off the logit."""


@dataclass(frozen=True)
class Found:
    """What was found of one model on N crops.

    Attributes
    ----------
    name, backbone, pooling
        The model.
    labels
        The others, and the label whose evidence is mapped.
    is_labelled
        Whether ``label`` is the condition filmed; else it is what the model answered.
    rows
        N rows: video_id, subject_id, label, frame_index, ``logit``, ``intercept``, ``regions``
        (where they are from) and `LOSSES`.
    points
        (N, 46, 2) of the faces, pixels of each crop; NaN where unknown.
    masks
        (N, R, side, side) float16, the regions.
    maps
        By method, (N, rows, columns); the first method leads.
    cards
        By method.
    tests
        One row per tested crop and method.
    notes
        What a reader must know.
    """

    name: str
    backbone: str
    pooling: str
    labels: tuple[str, str]
    is_labelled: bool
    rows: pd.DataFrame
    points: NDArray[np.float64]
    masks: NDArray[np.float16]
    maps: Mapping[str, Maps]
    cards: Mapping[str, ReportCard]
    tests: pd.DataFrame
    notes: tuple[str, ...]


def describe_model(found: Found) -> dict[str, Any]:
    """Return what explanation.json holds of one model."""
    rows = found.rows
    other, label = found.labels
    return {
        "name": found.name,
        "backbone": found.backbone,
        "pooling": found.pooling,
        "label": label,
        "other": other,
        "is_labelled": found.is_labelled,
        "crops": len(rows),
        "clips": int(rows["video_id"].nunique()),
        "dogs": int(rows["subject_id"].nunique()),
        "regions": describe_sources(rows["regions"].tolist()),
        "notes": list(found.notes),
        "occlusion": describe_losses(found),
        "methods": [_describe_method(name, found) for name in found.maps],
    }


def _describe_method(name: str, found: Found) -> dict[str, Any]:
    method, maps, card = METHODS[name], found.maps[name], found.cards[name]
    described: dict[str, Any] = {
        "name": name,
        "title": method.title,
        "explains": method.explains,
        "values": method.values,
        "passed": card.passed,
        "verdict": card.verdict,
        "tested_crops": card.crops,
        "checks": [vars(check) for check in card.checks],
        "shares": None,
        "gap": None,
    }
    if not method.signed:
        return described
    cells = measure_cells(found.masks, *maps.shape[1:])
    shares = measure_shares(maps, cells, found.rows, labels=found.labels)
    return described | {
        "shares": list_rows(shares.table),
        "gap": _split(maps, cells, found, REGIONS),
    }


def describe_losses(found: Found) -> list[dict[str, Any]]:
    """Return, by region, how much of the difference between the labels covering it takes away.

    Rows as of `canemo.explain.shares.Gap`; ``percent`` is of the difference of the logits. Losses
    do not add up: parts of a face can stand in for each other.
    """
    losses = found.rows[list(LOSSES)].to_numpy()[:, :, None]
    each = np.eye(len(REGIONS))[None, :, :, None]
    cells = np.broadcast_to(each, (len(losses), *each.shape[1:]))
    logits = found.rows["logit"].to_numpy()[:, None, None]
    whole = _split(logits, np.ones((len(losses), 1, 1, 1)), found, ("crop",))[-1]
    is_clear = whole["gap_low"] is not None and whole["gap_low"] * whole["gap_high"] > 0
    return [
        {
            **row,
            "area": None,
            "percent": 100 * row["gap"] / whole["gap"]
            if is_clear and row["gap"] is not None
            else None,
        }
        for row in _split(losses, cells, found, REGIONS)
        if row["region"] != WHOLE
    ]


def _split(
    maps: NDArray[Any], cells: NDArray[Any], found: Found, regions: Sequence[str]
) -> list[dict[str, Any]]:
    """Return the difference between the labels by region, as rows for JSON."""
    other, label = found.labels
    gap = split_gap(maps, cells, found.rows, first=other, second=label, regions=regions)
    return list_rows(gap.table)


def tabulate_crops(found: Found) -> pd.DataFrame:
    """Return one row per crop and method, with what the map has in each region and its area."""
    tables = []
    for name, maps in found.maps.items():
        cells = measure_cells(found.masks, *maps.shape[1:])
        parts, areas = measure_parts(maps, cells), cells.mean(axis=(2, 3))
        columns = {f"part_{region}": parts[:, i] for i, region in enumerate(REGIONS)}
        columns |= {f"area_{region}": areas[:, i] for i, region in enumerate(REGIONS)}
        tables.append(found.rows.assign(model=found.name, method=name, **columns))
    return pd.concat(tables, ignore_index=True)


def average_maps(
    found: Found, images_rgb: Sequence[Image], places: NDArray[np.int64]
) -> tuple[MeanFace, ...]:
    """Return mean faces and mean maps of the leading method, by condition and by dog.

    Parameters
    ----------
    found
        Of one model.
    images_rgb
        Some of its crops, (H, W, 3) uint8, RGB.
    places
        Which.
    """
    maps = next(iter(found.maps.values()))[places]
    rows = found.rows.iloc[places]
    warped, transforms = align_faces(images_rgb, found.points[places])
    sizes = np.array([image.shape[1::-1] for image in images_rgb])
    return average_faces(
        warped,
        warp_maps(maps, transforms, sizes),
        labels=rows["label"].tolist(),
        subject_ids=rows["subject_id"].tolist(),
        video_ids=rows["video_id"].tolist(),
    )
