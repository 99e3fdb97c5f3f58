"""What was found of one model, and how explanation.json says it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from canemo.explain.alignment import MeanFace, align_faces, average_faces, warp_maps
from canemo.explain.decision import Maps
from canemo.explain.face_finder import describe_sources
from canemo.explain.gaps import WHOLE, split_gap, split_values
from canemo.explain.maps.methods import METHODS
from canemo.explain.measured import Measured, describe_geometry
from canemo.explain.parts import list_rows
from canemo.explain.report_card import Check, ReportCard
from canemo.explain.scoring import CURVE_SHARES
from canemo.explain.shares import measure_shares
from canemo.faces.regions import BANDS, measure_cells
from canemo.features.poolings import GEOMETRY, REGION
from canemo.records import Image
from canemo.species import Species
from canemo.study.records.explanation import (
    ExplainedModel,
    MapCheck,
    MapCurves,
    MapResult,
    RegionGap,
    RegionShare,
)
from canemo.study.records.model import ModelEvaluation
from canemo.trust.intervals import LEVEL

MEAN_FACE_CROPS = 600
"""Of how many crops at most the mean faces are made; evenly spaced among all."""

UNLIKE_SOURCES = 0.1
"""How far apart conditions are in the share of crops with bands before a reader is told."""

BLOCK = "block_"

_AT_ONCE = 256
_WORDS = {3: "three", 4: "four", 5: "five", 6: "six"}


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
    species
        Whose faces they are.
    rows
        N rows: video_id, subject_id, label, frame_index, ``logit``, ``intercept``, ``regions``
        (where they are from), ``not_shown`` (those that no landmark shows), `name_losses`, and what
        each block of the representation adds to the logit (`BLOCK` before its name).
    points
        (N, K, 2) of the faces, pixels of each crop; NaN where unknown.
    masks
        (N, R, side, side) float16, the regions.
    maps
        By method, (N, rows, columns); the first method leads. None where no pixel is read.
    cards
        By method.
    tests
        One row per tested crop and method.
    notes
        What a reader must know.
    evaluation
        What the model gave on dogs it had not seen.
    measured
        The faces as probes on geometry read them, or None.
    """

    name: str
    backbone: str
    pooling: str
    labels: tuple[str, str]
    is_labelled: bool
    species: Species
    rows: pd.DataFrame
    points: NDArray[np.float64]
    masks: NDArray[np.float16]
    maps: Mapping[str, Maps]
    cards: Mapping[str, ReportCard]
    tests: pd.DataFrame
    notes: tuple[str, ...]
    evaluation: ModelEvaluation
    measured: Measured | None = None

    @property
    def blocks(self) -> tuple[str, ...]:
        """The names of all blocks that are read."""
        names = map(str, self.rows.columns)
        return tuple(name.removeprefix(BLOCK) for name in names if name.startswith(BLOCK))


def name_losses(species: Species) -> tuple[str, ...]:
    """Return the columns of what covering each region takes off the logit."""
    return tuple(f"loss_{region}" for region in species.regions)


def describe_model(found: Found) -> ExplainedModel:
    """Return what explanation.json holds of one model."""
    rows = found.rows
    other, label = found.labels
    return ExplainedModel(
        name=found.name,
        backbone=found.backbone,
        pooling=found.pooling,
        label=label,
        other=other,
        is_labelled=found.is_labelled,
        species=found.species.name,
        evaluation=found.evaluation,
        crops=len(rows),
        clips=int(rows["video_id"].nunique()),
        dogs=int(rows["subject_id"].nunique()),
        regions=describe_sources(rows["regions"].tolist()),
        notes=(
            *found.notes,
            *_note_subjects(found),
            *_note_sources(found),
            *_note_mean_faces(found),
            *_note_unseen(found),
            *_note_unmeasured(found),
            *_note_read_regions(found),
        ),
        difference=describe_difference(found),
        blocks=describe_blocks(found),
        geometry=None
        if found.measured is None
        else describe_geometry(found.measured, rows, labels=found.labels, species=found.species),
        occlusion=describe_losses(found),
        methods=tuple(_describe_method(name, found) for name in found.maps),
    )


def _note_subjects(found: Found) -> list[str]:
    """Return what is to be known of subjects that show one label only, and of too few subjects."""
    if not found.is_labelled:
        return []
    shown = found.rows.groupby("subject_id")["label"].nunique()
    single = [str(subject) for subject in shown.index[shown < 2]]
    notes, plural = [], found.species.plural
    if single:
        notes.append(
            f"the difference between the labels is one within {plural}: {len(single)} with crops "
            f"of one label only do not count there ({', '.join(single)})"
        )
    regions = len(found.species.regions)
    least = math.ceil(math.log2(2 * regions / LEVEL))
    if 0 < (shown == 2).sum() < least:
        notes.append(
            f"with fewer than {least} {plural} no region can be told from chance, however clear it "
            f"is: {_WORDS.get(regions, regions)} are tested together, and so few {plural} cannot "
            "give a p that is small enough"
        )
    return notes


def _note_sources(found: Found) -> list[str]:
    """Return whether one condition's regions are bands more often than the other's."""
    if not found.is_labelled:
        return []
    is_band = found.rows["regions"] == BANDS
    shares = is_band.groupby(found.rows["label"]).mean()
    if not len(shares) or shares.max() - shares.min() < UNLIKE_SOURCES:
        return []
    parts = " and ".join(f"{100 * share:.0f} % of {label}" for label, share in shares.items())
    return [
        f"fixed bands stand in for landmarks in {parts}: regions are measured in two ways there "
        "that differ between the conditions; compare with --regions bands"
    ]


def _note_mean_faces(found: Found) -> list[str]:
    """Return which crops the mean faces are of, where they are not of all."""
    if not found.maps:
        return []
    unknown = ~_can_align(found.points)
    notes = []
    if unknown.all():
        notes.append(
            "no crop has points that faces can be aligned by: the mean faces are of crops as they "
            "were cut"
        )
    elif unknown.any():
        notes.append(
            f"{int(unknown.sum())} crop(s) have no points that faces can be aligned by: they are "
            "not in the mean faces"
        )
    if len(unknown) > MEAN_FACE_CROPS:
        notes.append(f"the mean faces are of {MEAN_FACE_CROPS} crops, evenly spaced among all")
    return notes


def _can_align(points: NDArray[np.float64]) -> NDArray[np.bool_]:
    return np.asarray(np.isfinite(points).all(axis=2).sum(axis=1) >= 2)


def _note_unseen(found: Found) -> list[str]:
    """Return which regions no landmark shows, and in how many crops."""
    lists = found.rows["not_shown"].str.split(", ")
    counts = lists.explode().value_counts()
    return [
        f"the landmarks of {counts[name]} crop(s) show no {name}: there these count as cheeks or "
        "background"
        for name in found.species.regions
        if counts.get(name)
    ]


def _note_unmeasured(found: Found) -> list[str]:
    """Return how many faces have no point that the probes could measure."""
    unseen = 0 if found.measured is None else int(found.measured.unseen.sum())
    if not unseen:
        return []
    return [
        f"no point is known of the face in {unseen} crop(s): the probes read the mean face there, "
        "and what they answer rests on that no point was found"
    ]


def _note_read_regions(found: Found) -> list[str]:
    """Return that a map lies in a part of the face because no other is read."""
    read = [name.partition(":")[2] for name in found.blocks if name.startswith(REGION)]
    if not read or len(read) < sum(name != GEOMETRY for name in found.blocks):
        return []
    parts = " and ".join(dict.fromkeys(part for name in read for part in name.split("+")))
    return [
        f"of the pixels the probes read the {parts} alone: that maps lie there is so by their "
        "making and no finding; what covering a region takes away is one"
    ]


def _describe_method(name: str, found: Found) -> MapResult:
    method, card = METHODS[name], found.cards[name]
    shares, gap = _measure_regions(found.maps[name], found) if method.signed else (None, None)
    return MapResult(
        name=name,
        title=method.title,
        explains=method.explains,
        values=method.values,
        exact=method.exact,
        passed=card.passed,
        verdict=card.verdict,
        tested_crops=card.crops,
        checks=tuple(_describe_check(check, found.species) for check in card.checks),
        curves=_average_curves(found.tests, name),
        shares=shares,
        gap=gap,
    )


def _describe_check(check: Check, species: Species) -> MapCheck:
    return MapCheck.model_validate({**vars(check), "reason": species.fill(check.reason)})


def _measure_regions(
    maps: Maps, found: Found
) -> tuple[tuple[RegionShare, ...], tuple[RegionGap, ...]]:
    """Return each region's share of the evidence, and its part of the difference."""
    cells = measure_all_cells(found.masks, maps)
    regions = found.species.regions
    shares = measure_shares(maps, cells, found.rows, labels=found.labels, regions=regions)
    rows = list_rows(shares.table, species=found.species)
    gap = _split(maps, cells, found, regions)
    return tuple(RegionShare.model_validate(row) for row in rows), gap


def _average_curves(tests: pd.DataFrame, method: str) -> MapCurves | None:
    """Return the mean curves over subjects; None of a method that was not tested."""
    own = tests[tests["method"] == method] if len(tests) else tests
    if not len(own):
        return None
    curves = {}
    for name in ("deletion", "deletion_moved", "insertion", "insertion_moved"):
        kind, _, suffix = name.partition("_")
        column = own[f"{kind}_curve{'_' if suffix else ''}{suffix}"]
        subjects = [
            np.mean(np.stack(list(some)), axis=0) for _, some in column.groupby(own["subject_id"])
        ]
        curves[name] = np.mean(subjects, axis=0).tolist()
    return MapCurves(shares=CURVE_SHARES, **curves)


def measure_all_cells(masks: NDArray[np.float16], maps: Maps) -> NDArray[np.float32]:
    """Return the share of each of the maps' cells that each region covers, a part at a time."""
    parts = [
        measure_cells(masks[start : start + _AT_ONCE], *maps.shape[1:]).astype(np.float32)
        for start in range(0, len(masks), _AT_ONCE)
    ]
    return np.concatenate(parts)


def describe_difference(found: Found) -> RegionGap:
    """Return the difference of the logits between the labels."""
    logits = found.rows["logit"].to_numpy()[:, None, None]
    return _split(logits, np.ones((len(logits), 1, 1, 1)), found, ("crop",))[-1]


def describe_losses(found: Found) -> tuple[RegionGap, ...]:
    """Return, by region, how much of the difference between the labels covering it takes away.

    ``percent`` is of the difference of the logits. Losses do not add up: parts of a face can stand
    in for each other.
    """
    regions = found.species.regions
    if not found.maps:  # no pixel is read
        return ()
    losses = found.rows[list(name_losses(found.species))].to_numpy()
    whole = describe_difference(found)
    return tuple(
        row.model_copy(update={"area": None, "percent": _take_percent(row, whole)})
        for row in _split_values(losses, found, regions)
        if row.region != WHOLE
    )


def describe_blocks(found: Found) -> tuple[RegionGap, ...]:
    """Return what each block of the representation has of the difference, the last row the whole.

    Where folds chose different representations, those that do not read a block have none of it.
    """
    values = found.rows[[f"{BLOCK}{name}" for name in found.blocks]].to_numpy()
    rows = _split_values(values, found, found.blocks)
    return tuple(row.model_copy(update={"area": None, "moved": None}) for row in rows)


def _split_values(
    values: NDArray[Any], found: Found, names: Sequence[str]
) -> tuple[RegionGap, ...]:
    other, label = found.labels
    gap = split_values(values, found.rows, first=other, second=label, names=names)
    rows = list_rows(gap.table, species=found.species)
    return tuple(RegionGap.model_validate(row) for row in rows)


def _take_percent(row: RegionGap, whole: RegionGap) -> float | None:
    """Return how much of a whole that is clear of zero a region has."""
    if not whole.is_clear or whole.gap is None or row.gap is None:
        return None
    return 100 * row.gap / whole.gap


def _split(
    maps: NDArray[Any], cells: NDArray[Any], found: Found, regions: Sequence[str]
) -> tuple[RegionGap, ...]:
    """Return the difference between the labels by region, the last of the whole crop."""
    other, label = found.labels
    gap = split_gap(maps, cells, found.rows, first=other, second=label, regions=regions)
    rows = list_rows(gap.table, species=found.species)
    return tuple(RegionGap.model_validate(row) for row in rows)


def average_maps(
    found: Found, images_rgb: Sequence[Image], places: NDArray[np.int64]
) -> tuple[MeanFace, ...]:
    """Return mean faces and mean maps of the leading method, by condition and by subject.

    Parameters
    ----------
    found
        Of one model.
    images_rgb
        Some of its crops, (H, W, 3) uint8, RGB.
    places
        Which.
    """
    known = _can_align(found.points[places])
    if known.any():  # else as they are: nothing can be aligned
        images_rgb = [image for image, is_known in zip(images_rgb, known, strict=True) if is_known]
        places = places[known]
    maps = next(iter(found.maps.values()))[places]
    rows = found.rows.iloc[places]
    warped, transforms = align_faces(
        images_rgb,
        found.points[places],
        shape=np.reshape(found.species.mean_shape, (-1, 2)),
        anchors=found.species.anchors,
    )
    sizes = np.array([image.shape[1::-1] for image in images_rgb])
    return average_faces(
        warped,
        warp_maps(maps, transforms, sizes),
        labels=rows["label"].tolist(),
        subject_ids=rows["subject_id"].tolist(),
        video_ids=rows["video_id"].tolist(),
    )
