"""What probes make of a measured face: an exact sum over its distances, angles and points."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from canemo.explain.decision import Decision
from canemo.explain.gaps import WHOLE, Gap, split_values
from canemo.explain.parts import average_within_subjects, list_rows
from canemo.faces.geometry import Column
from canemo.learn.predictions import Array
from canemo.species import Species
from canemo.study.records.explanation import GeometryResult, MeasureGap, PointGap, RegionGap

PLACES, CONFIDENCES = "places of all points", "confidences of all points"
"""What a probe reads of a face beside its named measures."""

_AXES = 3  # columns of a point: x, y, confidence


@dataclass(frozen=True)
class Measured:
    """The measured faces of N crops and what the probes make of them.

    Attributes
    ----------
    columns, points
        F columns, as `canemo.faces.geometry.list_columns` gives them for K points: named measures,
        then x, y and confidence of the points.
    values
        (N, F) as the probes read them.
    evidence
        (N, F) what each column adds to the logit, compared with the mean training crop.
    means, slopes
        (F,) of the mean training crop, and what one more of each adds to the logit; means over the
        probes.
    """

    columns: tuple[Column, ...]
    points: tuple[str, ...]
    values: Array
    evidence: Array
    means: Array
    slopes: Array

    @cached_property
    def measures(self) -> tuple[Column, ...]:
        """The M named measures."""
        return self.columns[: len(self.columns) - _AXES * len(self.points)]

    def split_points(self, columns: NDArray[Any]) -> NDArray[Any]:
        """Return x, y and confidence of the points, (..., 3, K), of (..., F)."""
        own = columns[..., len(self.measures) :]
        return own.reshape(*columns.shape[:-1], _AXES, len(self.points))

    @property
    def unseen(self) -> NDArray[np.bool_]:
        """(N,) which crops show no point: their faces are read as the mean face."""
        return np.asarray(~(self.split_points(self.values)[:, 2] > 0).any(axis=1))

    @property
    def parts(self) -> dict[str, Array]:
        """(N,) what each named measure adds, and what places and confidences of points do."""
        own = dict(zip([each.name for each in self.measures], self.evidence.T, strict=False))
        x, y, confidence = np.moveaxis(self.split_points(self.evidence), 1, 0)
        return {**own, PLACES: (x + y).sum(axis=1), CONFIDENCES: confidence.sum(axis=1)}

    @property
    def regions(self) -> dict[str, Array]:
        """(N,) what the columns of each part of the face add."""
        names = [column.region for column in self.columns]
        return {
            name: self.evidence[:, [each == name for each in names]].sum(axis=1)
            for name in dict.fromkeys(names)
        }


def measure_columns(
    values: Array,
    decisions: Sequence[Decision | None],
    *,
    columns: tuple[Column, ...],
    points: int,
) -> Measured:
    """Split what N probes make of the geometry of N faces into its columns.

    Parameters
    ----------
    values
        (N, F) the block `geometry`.
    decisions
        For each face, what its probe makes of that block; None where the probe does not read it.
    columns
        What the F values are.
    points
        How many points they are of.
    """
    evidence = np.zeros_like(values, dtype=float)
    for row, decision in enumerate(decisions):
        if decision is not None:
            evidence[row] = (values[row] - decision.probe.mean) * decision.slopes
    probes = {id(each): each for each in decisions if each is not None}.values()
    means = np.mean([each.probe.mean for each in probes], axis=0)
    slopes = np.mean([each.slopes for each in probes], axis=0)
    names = tuple(
        each.name.removesuffix("_confidence") for each in columns[len(columns) - points :]
    )
    return Measured(columns, names, values, evidence, means, slopes)


def describe_geometry(
    measured: Measured, rows: pd.DataFrame, *, labels: tuple[str, str], species: Species
) -> GeometryResult:
    """Return what explanation.json holds of the measured faces.

    Parameters
    ----------
    measured
        Of N crops.
    rows
        Of these: video_id, subject_id, label.
    labels
        The others, and the label whose evidence is explained.
    species
        Whose faces they are.
    """

    def split(parts: Mapping[str, Array]) -> Gap:
        values = np.stack(list(parts.values()), axis=1)
        return split_values(values, rows, first=labels[0], second=labels[1], names=list(parts))

    evidence = split(measured.parts)
    by_point = measured.split_points(measured.evidence).sum(axis=1)
    of_points = _list_gaps(split(dict(zip(measured.points, by_point.T, strict=True))), species)
    places, slopes = (measured.split_points(each) for each in (measured.means, measured.slopes))
    return GeometryResult(
        unseen=int(measured.unseen.sum()),
        regions=tuple(_list_gaps(split(measured.regions), species).values()),
        measures=_describe_measures(measured, rows, evidence, species),
        points=tuple(
            PointGap(
                name=name,
                region=_find_region(measured, name),
                place=(float(places[0, k]), float(places[1, k])),
                slope=(float(slopes[0, k]), float(slopes[1, k])),
                evidence=of_points[name],
            )
            for k, name in enumerate(measured.points)
        ),
    )


def _find_region(measured: Measured, point: str) -> str:
    return measured.columns[len(measured.measures) + measured.points.index(point)].region


def _list_gaps(gap: Gap, species: Species) -> dict[str, RegionGap]:
    """Return the rows of a difference by name; they have no area and nothing moves."""
    table = gap.table.assign(area=np.nan, moved=np.nan)
    rows = (RegionGap.model_validate(row) for row in list_rows(table, species=species))
    return {row.region: row for row in rows}


def _describe_measures(
    measured: Measured, rows: pd.DataFrame, evidence: Gap, species: Species
) -> tuple[MeasureGap, ...]:
    """Return the named measures, then what is read beside them, last the whole."""
    names = [column.name for column in measured.measures]
    values = measured.values[:, : len(names)]
    gaps, by_dog = _list_gaps(evidence, species), evidence.by_subject.set_index("region")["gap"]
    differ = _compare_values(values, rows, evidence, names, species)
    means = average_within_subjects({"value": values}, rows, names)["value"]
    both = means.groupby(level="subject_id").filter(lambda own: len(own) == 2)
    by_label = (both if len(both) else means).groupby(level="label").mean()
    follows = dict(zip(names, _correlate(values, measured.evidence.sum(axis=1), rows), strict=True))
    told = {column.name: column for column in measured.measures}
    return tuple(
        MeasureGap(
            name=name,
            region=told[name].region if name in told else "",
            meaning=told[name].meaning if name in told else "",
            evidence=gap,
            by_dog=tuple(by_dog.loc[[name]]) if name in by_dog.index else (),
            value=differ.get(name),
            means=by_label[name].to_dict() if name in told else {},
            follows=follows[name] if np.isfinite(follows.get(name, np.nan)) else None,
        )
        for name, gap in gaps.items()
    )


def _compare_values(
    values: Array, rows: pd.DataFrame, gap: Gap, names: Sequence[str], species: Species
) -> dict[str, RegionGap]:
    """Return how each measure itself differs between the conditions, in its own unit."""
    if not names:
        return {}
    differ = split_values(values, rows, first=gap.first, second=gap.second, names=names)
    found = _list_gaps(differ, species)
    return {
        name: row.model_copy(
            update={"percent": None, "reason": row.reason if row.gap is None else None}
        )
        for name, row in found.items()
        if name != WHOLE  # a sum of distances and angles
    }


def _correlate(values: Array, evidence: Array, rows: pd.DataFrame) -> list[float]:
    """Return the correlation of each measure with the evidence, within subjects, where it varies.

    A measure that a probe gives no weight may still go with its answers, by the other columns that
    move with it (Haufe et al. 2014, doi:10.1016/j.neuroimage.2013.10.067).
    """
    subjects = rows["subject_id"].to_numpy()
    table = pd.DataFrame(values).assign(evidence=evidence)
    spread = table - table.groupby(subjects).transform("mean")
    return spread.drop(columns="evidence").corrwith(spread["evidence"]).tolist()
