"""Learning by linear discriminants: inner folds over the subjects choose all that is offered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from canemo.config import ProbeConfig
from canemo.learn.lda_algebra import (
    SHARPNESS,
    InnerFold,
    Mask,
    Moments,
    TrainingSet,
    arrange,
    compute_inner_losses,
    compute_moments,
    make_inner_fold,
    select_training,
    solve,
)
from canemo.learn.learner import Fitted, Trial
from canemo.learn.material import Material, Rows
from canemo.learn.predictions import Array, Index
from canemo.learn.probe import Probe
from canemo.learn.splits import iter_inner_folds
from canemo.parallel import map_folds


@dataclass(frozen=True)
class Reading:
    """A material as linear discriminants read it: its clips in order, and their moments.

    Attributes
    ----------
    material
        N crops.
    names, label_index
        (V,) the clips in order of first appearance, and their labels as positions.
    clip_index, clip_group
        (N,) the clip of each crop; (V,) the subject of each clip, as positions.
    subjects
        (V,) the subject of each clip.
    moments
        Of the counted crops, by subject.
    """

    material: Material
    names: NDArray[np.object_]
    label_index: Index
    clip_index: Index
    clip_group: Index
    subjects: NDArray[np.object_]
    moments: Moments


def read_material(material: Material) -> Reading:
    """Return the clips of a material in order of first appearance."""
    origin = material.origin
    clip_index, names = pd.factorize(origin["video_id"].to_numpy(dtype=object))
    first = np.unique(clip_index, return_index=True)[1]
    subjects = origin["subject_id"].to_numpy(dtype=object)[first]
    clip_group = pd.factorize(subjects)[0].astype(np.int64)
    counted = material.restrict(np.ones(len(origin), dtype=bool))
    return Reading(
        material,
        names,
        material.label_index[first],
        clip_index.astype(np.int64),
        clip_group,
        subjects,
        replace(
            compute_moments(material.x[counted], clip_index[counted], clip_group),
            weights=material.weights,
        ),
    )


def read_materials(materials: Sequence[Material]) -> tuple[Reading, ...]:
    """Return the clips of several materials; mixes of the same blocks share their moments."""
    kinds = [(id(each.x), id(each.counted)) for each in materials]
    first = dict(zip(kinds, materials, strict=True))
    found = dict(zip(first, map_folds(read_material, list(first.values())), strict=True))
    return tuple(
        replace(
            found[kind],
            material=material,
            moments=replace(found[kind].moments, weights=material.weights),
        )
        for kind, material in zip(kinds, materials, strict=True)
    )


@dataclass(frozen=True)
class DiscriminantLearner:
    """A linear discriminant; inner folds over the subjects choose all that is offered.

    Penalty and temperature are always chosen; where there are several `materials` (poolings, frames
    that count) so is one of them. All have the same crops in the same order.
    """

    materials: tuple[Material, ...]
    probe: ProbeConfig
    independent: ClassVar[bool] = True

    @property
    def material(self) -> Material:
        """The first of the materials."""
        return self.materials[0]

    @property
    def balanced(self) -> bool:
        """Whether labels are taken to be equally frequent."""
        return self.probe.class_weight == "balanced"

    @cached_property
    def readings(self) -> tuple[Reading, ...]:
        """The materials as discriminants read them."""
        return read_materials(self.materials)

    def read(self) -> None:
        """Read the materials."""
        _ = self.readings

    def fit(self, rows: Rows, *, seed: int) -> Fitted:
        """Learn from the rows that are True, (N,); they must be all crops of some subjects."""
        clips = self.select_clips(rows)
        trials: list[Trial] = []
        temperatures: list[float] = []
        for reading in self.readings:
            losses = self.measure_inner_losses(reading, clips, reading.label_index[None], seed=seed)
            factors = choose_factors(losses)[0]
            training = select_training(reading.moments, clips)
            probes = self.fit_probes(reading, training, clips, factors)
            least = losses[0].min(axis=1).tolist()
            offered = zip(self.probe.penalties, least, probes, strict=True)
            trials += [Trial(reading.material, *each) for each in offered]
            temperatures += [float(1 / factor) for factor in factors]
        best = int(choose_trials(np.array([[trial.inner_loss for trial in trials]]))[0])
        chosen = trials[best]
        return Fitted(
            chosen.probe,
            chosen.material,
            penalty=chosen.penalty,
            temperature=temperatures[best],
            trials=tuple(trials),
        )

    def select_clips(self, rows: Rows) -> Mask:
        """Return the clips, (V,), whose crops are the rows that are True, (N,)."""
        reading = self.readings[0]
        clips = np.zeros(len(reading.names), dtype=bool)
        clips[reading.clip_index[rows]] = True
        whole = np.isin(reading.clip_group, reading.clip_group[clips])
        if not (np.array_equal(whole, clips) and np.array_equal(clips[reading.clip_index], rows)):
            raise ValueError("a linear discriminant learns from all crops of whole subjects")
        return clips

    def measure_inner_losses(
        self, reading: Reading, clips: Mask, label_index: Index, *, seed: int
    ) -> Array:
        """Return the loss in inner folds, (R, penalties, factors), under R labellings (R, V).

        The strongest penalty at face value wins where no inner fold can be made.
        """
        folds = self._make_inner_folds(reading, clips, seed=seed)
        if not folds:
            nothing = np.ones((len(label_index), len(self.probe.penalties), len(SHARPNESS)))
            nothing[:, np.argmax(self.probe.penalties), SHARPNESS.index(1.0)] = 0
            return nothing
        return compute_inner_losses(
            folds,
            label_index,
            labels=len(self.material.labels),
            penalties=self.probe.penalties,
            balanced=self.balanced,
        )

    def _make_inner_folds(self, reading: Reading, clips: Mask, *, seed: int) -> list[InnerFold]:
        folds, labels = [], len(self.material.labels)
        within = list(reading.subjects[clips])
        for train, held in iter_inner_folds(within, folds=self.probe.inner_folds, seed=seed):
            trained = clips & np.isin(reading.subjects, list(train))
            if len(np.unique(reading.label_index[trained])) == labels:
                out = clips & np.isin(reading.subjects, list(held))
                folds.append(make_inner_fold(reading.moments, trained, out))
        return folds

    def fit_probes(
        self, reading: Reading, training: TrainingSet, clips: Mask, factors: Array
    ) -> list[Probe]:
        """Return the probe of every penalty, its evidence times the factor that goes with it."""
        labels = self.material.labels
        labelling = arrange(training, reading.label_index[None, clips], labels=len(labels))
        probes = []
        for penalty, factor in zip(self.probe.penalties, factors, strict=True):
            weighed = training.weigh(labelling.units, penalty)
            solution = solve(labelling.units @ weighed, labelling, balanced=self.balanced)
            coef = factor * (weighed @ solution.unit_weights[0]).T
            intercept = factor * solution.intercept[0]
            if len(labels) == 2:
                coef, intercept = coef[1:] - coef[:1], intercept[1:] - intercept[:1]
            probes.append(_make_probe(reading.moments, training, labels, coef, intercept, penalty))
        return probes


def choose_factors(losses: Array) -> Array:
    """Return the factor for the evidence that did best with each penalty, (R, penalties)."""
    return np.asarray(np.array(SHARPNESS)[losses.argmin(axis=2)])


def choose_trials(losses: Array) -> Index:
    """Return which setting did best in each labelling, (R,), from (R, settings) losses."""
    return np.asarray(losses.argmin(axis=1))


def _make_probe(
    moments: Moments,
    training: TrainingSet,
    labels: tuple[str, ...],
    coef: Array,
    intercept: Array,
    penalty: float,
) -> Probe:
    mean = moments.shift + training.mean * moments.spread
    return Probe(labels, mean, training.scale * moments.spread, coef, intercept, penalty)
