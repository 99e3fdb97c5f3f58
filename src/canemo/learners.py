"""The ways to learn labels from frozen features, behind one interface: rows in, classifier out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from canemo.config import Config, GradientConfig, ProbeConfig, SequenceConfig
from canemo.discriminant_learner import DiscriminantLearner
from canemo.errors import ConfigError
from canemo.features.views import StudyViews
from canemo.gradient import Epoch, choose_learning_rate, fit_gradient, is_still_falling
from canemo.learning import Fitted, Learner, Material, Rows
from canemo.probe import choose_penalty, fit_probe
from canemo.sequence import fit_sequence


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
