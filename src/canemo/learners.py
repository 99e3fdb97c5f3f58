"""The ways to learn labels from frozen features, behind one interface: rows in, classifier out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from canemo.config import Config, GradientConfig, ProbeConfig, SequenceConfig
from canemo.gradient import Epoch, choose_learning_rate, fit_gradient, is_still_falling
from canemo.predictions import label_positions
from canemo.probe import Array, Probe, choose_penalty, fit_probe
from canemo.sequence import SequenceProbe, fit_sequence
from canemo.views import StudyViews

Rows: TypeAlias = NDArray[np.bool_]
Classifier: TypeAlias = Probe | SequenceProbe


@dataclass(frozen=True)
class Fitted:
    """What came out of learning: the classifier and how it was arrived at.

    `penalty` was chosen in inner folds (``logistic``), `epochs` are all there were (``gradient``),
    `warnings` say what a reader of the numbers must know.
    """

    classifier: Classifier
    penalty: float | None = None
    epochs: tuple[Epoch, ...] = ()
    warnings: tuple[str, ...] = ()


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
    """

    x: NDArray[np.float32]
    origin: pd.DataFrame
    labels: tuple[str, ...]

    @property
    def label_index(self) -> NDArray[np.int64]:
        """(N,) each row's label as a position in `labels`."""
        return label_positions(self.origin, self.labels)

    def predict(self, classifier: Classifier, rows: Rows) -> tuple[Array, Array]:
        """Return the probabilities of the chosen frames and of their clips."""
        some = self.origin[rows]
        frames, videos = classifier.predict(
            self.x[rows],
            video_ids=some["video_id"].to_numpy(dtype=object),
            time_s=some["time_s"].to_numpy(dtype=float),
        )
        return np.asarray(frames, dtype=float), np.asarray(videos, dtype=float)


class Learner(Protocol):
    """Learns from some rows of its material; it never looks at the others."""

    @property
    def material(self) -> Material:
        """What it learns from."""
        ...

    def fit(self, rows: Rows, *, seed: int) -> Fitted:
        """Learn from the rows that are True, (N,)."""
        ...


@dataclass(frozen=True)
class LogisticLearner:
    """L2-penalised logistic regression, its penalty chosen in inner folds over the subjects."""

    material: Material
    probe: ProbeConfig

    def fit(self, rows: Rows, *, seed: int) -> Fitted:
        """Learn from the rows that are True, (N,)."""
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
        return Fitted(fit_probe(x, y, penalty=penalty, **shared), penalty)


@dataclass(frozen=True)
class GradientLearner:
    """The linear probe of the 2022 paper: Adam on augmented views; the last epoch is taken."""

    material: Material
    probe: ProbeConfig
    gradient: GradientConfig
    learning_rate: float
    views: StudyViews

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
        return Fitted(epochs[-1].probe, epochs=tuple(epochs), warnings=self._warn(epochs))

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

    def fit(self, rows: Rows, *, seed: int) -> Fitted:
        """Learn from the rows that are True, (N,)."""
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
        return Fitted(classifier)


def make_learner(material: Material, *, config: Config, views: StudyViews) -> Learner:
    """Return the learner that ``probe.method`` asks for; only ``gradient`` uses the views."""
    method, _, head = config.probe.method.partition("_")
    if method == "sequence":
        return SequenceLearner(material, config.probe, head, config.sequence)
    if method == "gradient":
        rate = choose_learning_rate(config.gradient, is_cnn=views.backbone.is_cnn)
        return GradientLearner(material, config.probe, config.gradient, rate, views)
    return LogisticLearner(material, config.probe)
