"""Linear concept probes: which way in the features a unit lies, and its scores on unseen subjects.

The direction of a unit is that of the penalised linear discriminant between frames that show it and
frames that do not, with the scatter of all training crops: for many codings of the same frames a
matter of one factored matrix (see `canemo.learn.lda_algebra`). The penalty is fixed: chosen by
nobody's coding, it is the same for every coding that is moved.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from canemo.learn.lda import Reading, read_material
from canemo.learn.lda_algebra import Mask, TrainingSet, select_training
from canemo.learn.material import Material
from canemo.learn.predictions import Array
from canemo.learn.splits import Split
from canemo.parallel import map_folds
from canemo.trust.scores import measure_areas

Rows = NDArray[np.integer]
_ROUNDING = 1e-9
CHUNK_VALUES = 8_000_000  # scores at a time: bounds the memory


@dataclass(frozen=True)
class Group:
    """Which subjects, as positions, are learned from and which are tested."""

    train: Rows
    test: Rows


@dataclass(frozen=True)
class Probing:
    """What every unit is learned and tested on: N crops, V clips, S subjects.

    Attributes
    ----------
    reading
        The crops and their moments; all of them are counted.
    folds
        Those in which there are crops to learn from and to test.
    subject, clip
        (N,) the subject and the clip of each crop, as positions.
    penalty
        Added to the scatter of standardised features, whose diagonal is 1.
    """

    reading: Reading
    folds: tuple[Group, ...]
    subject: Rows
    clip: Rows
    penalty: float

    @property
    def material(self) -> Material:
        """The crops."""
        return self.reading.material

    @property
    def subjects(self) -> int:
        """S."""
        return int(self.subject.max()) + 1

    @property
    def everyone(self) -> Group:
        """All subjects learned from, none tested."""
        return Group(np.arange(self.subjects), np.array([], dtype=np.intp))

    def centre(self, rows: Rows | Mask) -> Array:
        """Return crops, (M, F), in the units of `Moments.clips`."""
        moments = self.reading.moments
        return np.asarray((self.material.x[rows] - moments.shift) / moments.spread)


def set_up(material: Material, split: Split, *, penalty: float) -> Probing:
    """Prepare crops and folds; frames that do not count are left out.

    Parameters
    ----------
    material
        Crops, as the study's settings pool them.
    split
        The study's folds; each subject is tested at most once.
    penalty
        See `Probing`.
    """
    counted = material.restrict(np.ones(len(material.origin), dtype=bool))
    reading = read_material(material.select(counted))
    subject, names = pd.factorize(reading.material.origin["subject_id"].to_numpy(dtype=object))
    folds = [
        Group(np.flatnonzero(np.isin(names, f.train)), np.flatnonzero(np.isin(names, f.test)))
        for f in split.folds
    ]
    some = tuple(fold for fold in folds if len(fold.train) and len(fold.test))
    return Probing(reading, some, subject, reading.clip_index, penalty)


@dataclass(frozen=True)
class Sums:
    """Sums over each subject's frames, of R codings of M frames, each clip weighing the same.

    Attributes
    ----------
    products
        (S, R, F) of weight times coding times features.
    shown
        (S, R) of weight times coding.
    features
        (S, F) of weight times features.
    weight
        (S,) of weight.
    """

    products: Array
    shown: Array
    features: Array
    weight: Array


def sum_codings(probing: Probing, rows: Rows, codings: Mask) -> Sums:
    """Return the sums that directions are made of.

    Parameters
    ----------
    probing
        N crops.
    rows
        (M,) the crops that are coded.
    codings
        (R, M).
    """
    weight = weigh_frames(probing, rows)
    subjects, features = probing.subjects, probing.material.x.shape[1]
    sums = Sums(
        np.zeros((subjects, len(codings), features)),
        np.zeros((subjects, len(codings))),
        np.zeros((subjects, features)),
        np.bincount(probing.subject[rows], weight, minlength=subjects).astype(np.float64),
    )
    for each in np.unique(probing.subject[rows]):
        own = probing.subject[rows] == each
        x, share = probing.centre(rows[own]), weight[own]
        coded = codings[:, own] * share
        sums.products[each] = coded @ x
        sums.shown[each] = coded.sum(axis=1)
        sums.features[each] = share @ x
    return sums


def weigh_frames(probing: Probing, rows: Rows) -> Array:
    """Return the share of each coded crop in its clip, (M,)."""
    return np.asarray(1 / np.bincount(probing.clip[rows])[probing.clip[rows]])


@dataclass(frozen=True)
class Learned:
    """R directions learned from a group of subjects.

    Attributes
    ----------
    group
        Who was learned from, and who is tested.
    mean, scale
        (F,) of the training crops, in the units of `Moments.clips`.
    difference
        (R, F) covariance of the standardised features with the coding: how frames that show the
        unit differ from those that do not.
    direction
        (R, F) the difference, weighed by the inverse of the penalised scatter: a linear probe.
    """

    group: Group
    mean: Array
    scale: Array
    difference: Array
    direction: Array

    def standardise(self, x: Array) -> Array:
        """Return rows in the units of `Moments.clips` as these subjects see them."""
        return np.asarray((x - self.mean) / self.scale)

    def score(self, x: Array) -> Array:
        """Return the score of each of M rows by each of the R probes, (R, M)."""
        return np.asarray((self.standardise(x) @ self.direction.T).T)


def learn_directions(probing: Probing, sums: Sums) -> list[Learned]:
    """Return the directions of R codings, learned in every fold from its training subjects."""
    return map_folds(lambda fold: learn_group(probing, sums, fold), probing.folds)


def learn_group(probing: Probing, sums: Sums, group: Group) -> Learned:
    """Return the directions of R codings, learned from a group of subjects.

    They are zero where the group's coded frames all show the unit, or none does.
    """
    moments = probing.reading.moments
    training = select_training(moments, np.isin(probing.reading.clip_group, group.train))
    difference = _difference_means(sums, training, group.train)
    direction = training.weigh(difference, probing.penalty).T
    return Learned(
        group, training.mean, training.scale, difference, np.ascontiguousarray(direction)
    )


def _difference_means(sums: Sums, training: TrainingSet, subjects: Rows) -> Array:
    weight = sums.weight[subjects].sum()
    if not weight:
        return np.zeros(sums.products.shape[1:])
    shown = sums.shown[subjects].sum(axis=0) / weight
    mean = sums.features[subjects].sum(axis=0) / weight
    covariance = sums.products[subjects].sum(axis=0) / weight - shown[:, None] * mean
    covariance /= training.scale
    covariance[:, _find_constant(training)] = 0
    alike = (shown < _ROUNDING) | (shown > 1 - _ROUNDING)
    covariance[alike] = 0
    return np.asarray(covariance)


def _find_constant(training: TrainingSet) -> Mask:
    if training.rows is not None:
        return np.asarray(~training.rows.any(axis=0))
    return np.asarray(np.diag(np.asarray(training.scatter)) == 0)


def score_frames(probing: Probing, rows: Rows, learned: Sequence[Learned]) -> Array:
    """Score M crops by R probes that have not seen their subject.

    Returns
    -------
    ndarray
        (R, M), not a number where no fold tests the subject; 0 where the training subjects do not
        show both states of the unit.
    """
    scores = np.full((len(learned[0].direction), len(rows)), np.nan)
    for fold in learned:
        at = np.flatnonzero(np.isin(probing.subject[rows], fold.group.test))
        scores[:, at] = fold.score(probing.centre(rows[at]))
    return scores


def iter_chunks(probing: Probing, codings: Mask) -> Iterator[Mask]:
    """Yield codings, (R, M), a bounded number at a time."""
    width = max(codings.shape[1], probing.subjects * probing.material.x.shape[1])
    step = max(1, CHUNK_VALUES // width)
    for start in range(0, len(codings), step):
        yield codings[start : start + step]


def measure_within(scores: Array, shown: Mask, subject: Rows) -> Array:
    """Return the AUROC within each subject, (R, S), not a number of a subject with but one state.

    Parameters
    ----------
    scores, shown
        (R, M)
    subject
        (M,)
    """
    owns = [subject == each for each in np.unique(subject)]
    each = [measure_areas(scores[:, own], shown[:, own]) for own in owns]
    return np.stack(each, axis=1)


def average_within(scores: Array, shown: Mask, subject: Rows) -> Array:
    """Return the mean AUROC over the subjects that show both states, (R,); arguments likewise."""
    within = measure_within(scores, shown, subject)
    known = np.isfinite(within)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(known, within, 0).sum(axis=1) / known.sum(axis=1))
