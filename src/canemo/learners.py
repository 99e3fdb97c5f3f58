"""The ways to learn labels from frozen features, behind one interface: rows in, classifier out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Protocol, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from canemo.config import Config, GradientConfig, ProbeConfig, SequenceConfig
from canemo.discriminant import (
    SHARPNESS,
    Index,
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
from canemo.errors import ConfigError
from canemo.gradient import Epoch, choose_learning_rate, fit_gradient, is_still_falling
from canemo.predictions import label_positions
from canemo.probe import Array, Probe, choose_penalty, fit_probe
from canemo.sequence import SequenceProbe, fit_sequence
from canemo.splits import iter_inner_folds
from canemo.views import StudyViews

Rows: TypeAlias = NDArray[np.bool_]
Classifier: TypeAlias = Probe | SequenceProbe


@dataclass(frozen=True)
class Material:
    """What is learned from: N crops.

    Attributes
    ----------
    x
        (N, F) float32, one row per crop, as the pooling gives them.
    origin
        N rows: video_id, subject_id, label, frame_index, time_s.
    labels
        The K labels.
    pooling, frames
        How `x` was made of the features, and the rule that `counted` follows.
    counted
        (N,) the crops that a clip's answer rests on and that are learned from; at least one of each
        clip. None means all.
    """

    x: NDArray[np.float32]
    origin: pd.DataFrame
    labels: tuple[str, ...]
    pooling: str = "cls"
    frames: str = "all"
    counted: Rows | None = None

    @cached_property
    def label_index(self) -> NDArray[np.int64]:
        """(N,) each row's label as a position in `labels`."""
        return label_positions(self.origin, self.labels)

    def restrict(self, rows: Rows) -> Rows:
        """Return those of the rows that are counted, (N,)."""
        return rows if self.counted is None else rows & self.counted

    def predict(self, classifier: Classifier, rows: Rows) -> tuple[Array, Array]:
        """Return the probabilities of the chosen frames and, from the counted ones, of their clips.

        Returns
        -------
        tuple
            (N, K) and (V, K), clips in order of first appearance.
        """
        frames, videos = self._answer(classifier, rows)
        if self.counted is not None:
            videos = self._answer(classifier, self.restrict(rows))[1]
        return frames, videos

    def _answer(self, classifier: Classifier, rows: Rows) -> tuple[Array, Array]:
        some = self.origin[rows]
        frames, videos = classifier.predict(
            self.x[rows],
            video_ids=some["video_id"].to_numpy(dtype=object),
            time_s=some["time_s"].to_numpy(dtype=float),
        )
        return np.asarray(frames, dtype=float), np.asarray(videos, dtype=float)


@dataclass(frozen=True)
class Trial:
    """One setting that inner folds could choose: how it did there, and its probe."""

    material: Material
    penalty: float
    inner_loss: float
    probe: Probe


@dataclass(frozen=True)
class Fitted:
    """What came out of learning: the classifier and how it was arrived at.

    `material` is what it reads, `penalty` and `temperature` were chosen in inner folds, `trials`
    are the settings that the choice was made from (``lda``), `epochs` are all there were
    (``gradient``), `warnings` say what a reader of the numbers must know.
    """

    classifier: Classifier
    material: Material
    penalty: float | None = None
    temperature: float | None = None
    trials: tuple[Trial, ...] = ()
    epochs: tuple[Epoch, ...] = ()
    warnings: tuple[str, ...] = ()


class Learner(Protocol):
    """Learns from some rows of its material; it never looks at the others."""

    @property
    def material(self) -> Material:
        """What it learns from."""
        ...

    @property
    def independent(self) -> bool:
        """Whether folds may be worked on side by side."""
        ...

    def read(self) -> None:
        """Do what is done once for all folds."""
        ...

    def fit(self, rows: Rows, *, seed: int) -> Fitted:
        """Learn from the rows that are True, (N,)."""
        ...


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
    """

    material: Material
    names: NDArray[np.object_]
    label_index: Index
    clip_index: Index
    clip_group: Index
    subjects: NDArray[np.object_]

    @cached_property
    def moments(self) -> Moments:
        """Of the counted crops, by subject."""
        counted = self.material.restrict(np.ones(len(self.clip_index), dtype=bool))
        return compute_moments(self.material.x[counted], self.clip_index[counted], self.clip_group)


def read_material(material: Material) -> Reading:
    """Return the clips of a material in order of first appearance."""
    origin = material.origin
    clip_index, names = pd.factorize(origin["video_id"].to_numpy(dtype=object))
    first = np.unique(clip_index, return_index=True)[1]
    subjects = origin["subject_id"].to_numpy(dtype=object)[first]
    return Reading(
        material,
        names,
        material.label_index[first],
        clip_index.astype(np.int64),
        pd.factorize(subjects)[0].astype(np.int64),
        subjects,
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
        return tuple(map(read_material, self.materials))

    def read(self) -> None:
        """Read the materials."""
        for reading in self.readings:
            _ = reading.moments

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


@dataclass(frozen=True)
class LogisticLearner:
    """L2-penalised logistic regression, its penalty chosen in inner folds over the subjects."""

    material: Material
    probe: ProbeConfig
    independent: ClassVar[bool] = False

    def read(self) -> None:
        """Do nothing: there is nothing that folds share."""

    def fit(self, rows: Rows, *, seed: int) -> Fitted:
        """Learn from the rows that are True, (N,)."""
        rows = self.material.restrict(rows)
        x, origin = self.material.x[rows], self.material.origin[rows]
        y = self.material.label_index[rows]
        shared: dict[str, Any] = {
            "labels": self.material.labels,
            "class_weight": self.probe.class_weight,
        }
        penalty = choose_penalty(
            x,
            y,
            subject_ids=origin["subject_id"].to_numpy(),
            video_ids=origin["video_id"].to_numpy(),
            penalties=self.probe.penalties,
            inner_folds=self.probe.inner_folds,
            seed=seed,
            **shared,
        )
        return Fitted(fit_probe(x, y, penalty=penalty, **shared), self.material, penalty)


@dataclass(frozen=True)
class GradientLearner:
    """The linear probe of the 2022 paper: Adam on augmented views; the last epoch is taken."""

    material: Material
    probe: ProbeConfig
    gradient: GradientConfig
    learning_rate: float
    views: StudyViews
    independent: ClassVar[bool] = False

    def read(self) -> None:
        """Do nothing: there is nothing that folds share."""

    def fit(self, rows: Rows, *, seed: int) -> Fitted:
        """Learn from the rows that are True, (N,); they must be whole videos."""
        videos = list(self.material.origin.loc[rows, "video_id"].unique())
        epochs = fit_gradient(
            self.views.feed(videos),
            self.material.label_index[rows],
            labels=self.material.labels,
            settings=self.gradient,
            learning_rate=self.learning_rate,
            class_weight=self.probe.class_weight,
            seed=seed,
        )
        return Fitted(
            epochs[-1].probe, self.material, epochs=tuple(epochs), warnings=self._warn(epochs)
        )

    def _warn(self, epochs: list[Epoch]) -> tuple[str, ...]:
        if not is_still_falling(epochs):
            return ()
        return (
            f"the training loss still fell when training stopped after {len(epochs)} epochs at "
            f"learning rate {self.learning_rate:g}: with fewer crops than the 2022 paper had, its "
            "recipe takes fewer steps and stops early",
        )


@dataclass(frozen=True)
class SequenceLearner:
    """A model of the whole clip."""

    material: Material
    probe: ProbeConfig
    head: str
    sequence: SequenceConfig
    independent: ClassVar[bool] = False

    def read(self) -> None:
        """Do nothing: there is nothing that folds share."""

    def fit(self, rows: Rows, *, seed: int) -> Fitted:
        """Learn from the rows that are True, (N,)."""
        rows = self.material.restrict(rows)
        origin = self.material.origin[rows]
        classifier = fit_sequence(
            self.material.x[rows],
            self.material.label_index[rows],
            video_ids=origin["video_id"].to_numpy(dtype=object),
            time_s=origin["time_s"].to_numpy(dtype=float),
            labels=self.material.labels,
            head=self.head,
            settings=self.sequence,
            class_weight=self.probe.class_weight,
            seed=seed,
        )
        return Fitted(classifier, self.material)


def require_choice(method: str, offered: Sequence[tuple[str, str]]) -> None:
    """Raise ConfigError where a method cannot choose among, or use, these poolings and frames."""
    if method == "lda":
        return
    if len(offered) > 1:
        raise ConfigError(
            f"probe.method = {method!r}: only 'lda' chooses among poolings and frames in inner "
            "folds; take the sweep out, or choose that method"
        )
    frames = offered[0][1]
    if method == "gradient" and frames != "all":
        raise ConfigError(
            f"probe.frames = {frames!r}: the method 'gradient' learns from all frames"
        )


def make_learner(
    materials: Sequence[Material], *, config: Config, views: StudyViews | None
) -> Learner:
    """Return the learner that ``probe.method`` asks for; only ``gradient`` uses the views.

    Raises
    ------
    ConfigError
        There are several materials to choose from, or frames were chosen, and the method cannot.
    """
    method, _, head = config.probe.method.partition("_")
    require_choice(config.probe.method, [(each.pooling, each.frames) for each in materials])
    if method == "lda":
        return DiscriminantLearner(tuple(materials), config.probe)
    material = materials[0]
    if method == "sequence":
        return SequenceLearner(material, config.probe, head, config.sequence)
    if method == "gradient":
        if views is None:
            raise ConfigError("the method 'gradient' learns from pictures, and there are none here")
        rate = choose_learning_rate(config.gradient, is_cnn=views.backbone.is_cnn)
        return GradientLearner(material, config.probe, config.gradient, rate, views)
    return LogisticLearner(material, config.probe)
