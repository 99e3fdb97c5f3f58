"""L2-penalised logistic regression, its penalty chosen in inner folds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.utils.class_weight import compute_sample_weight
from threadpoolctl import threadpool_limits

from canemo.config import ClassWeight, ProbeConfig
from canemo.learn.learner import Fitted
from canemo.learn.material import Material, Rows
from canemo.learn.predictions import Array
from canemo.learn.probe import Probe, average_by_video
from canemo.learn.splits import iter_inner_folds

MAX_ITERATIONS = 2000


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
            "weights": self.material.weights,
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


def fit_probe(
    features: NDArray[np.floating],
    label_index: NDArray[np.int64],
    *,
    labels: Sequence[str],
    penalty: float,
    class_weight: ClassWeight = "balanced",
    weights: Array | None = None,
) -> Probe:
    """Fit a probe with a given penalty.

    Minimises the mean (class-weighted) log loss plus ``penalty / 2 * |w|^2``, so that a penalty
    means the same for few and for many frames.

    Parameters
    ----------
    features
        (N, F) float.
    label_index
        (N,) positions in `labels`; every label must occur.
    labels, penalty, class_weight
        The K labels; L2 strength per sample; ``"balanced"`` weighs labels equally.
    weights
        (F,) what each standardised feature counts; None: all the same.
    """
    return fit_path(
        features,
        label_index,
        labels=labels,
        penalties=[penalty],
        class_weight=class_weight,
        weights=weights,
    )[0]


def fit_path(
    features: NDArray[np.floating],
    label_index: NDArray[np.int64],
    *,
    labels: Sequence[str],
    penalties: Sequence[float],
    class_weight: ClassWeight = "balanced",
    weights: Array | None = None,
) -> list[Probe]:
    """Fit one probe per penalty, each started from its stronger neighbour; order as given."""
    x = np.asarray(features, dtype=np.float64)
    mean, scale = x.mean(axis=0), x.std(axis=0)
    scale[scale < 1e-9] = 1.0
    if weights is not None:
        scale /= weights
    x = (x - mean) / scale
    weight = None if class_weight == "none" else compute_sample_weight("balanced", label_index)
    model = LogisticRegression(max_iter=MAX_ITERATIONS, tol=1e-4, warm_start=True)
    probes: dict[float, Probe] = {}
    with threadpool_limits(1):  # many small products: threads only wait for each other
        for penalty in sorted(set(penalties), reverse=True):
            model.set_params(C=1 / (penalty * len(x))).fit(x, label_index, sample_weight=weight)
            probes[penalty] = Probe(
                tuple(labels), mean, scale, model.coef_.copy(), model.intercept_.copy(), penalty
            )
    return [probes[penalty] for penalty in penalties]


def choose_penalty(
    features: NDArray[np.floating],
    label_index: NDArray[np.int64],
    *,
    subject_ids: NDArray[np.object_],
    video_ids: NDArray[np.object_],
    labels: Sequence[str],
    penalties: Sequence[float],
    class_weight: ClassWeight = "balanced",
    weights: Array | None = None,
    inner_folds: int = 5,
    seed: int = 0,
) -> float:
    """Return the penalty with the least log loss on clips of subjects left out in inner folds.

    Probabilities are averaged over a clip's frames first; labels weigh equally unless
    `class_weight` is ``"none"``. Inner folds in which a label has no training subject are left
    out; where none remains, the strongest penalty is returned.
    """
    if len(penalties) == 1:
        return penalties[0]
    losses: list[list[float]] = []
    for train_ids, held_ids in iter_inner_folds(list(subject_ids), folds=inner_folds, seed=seed):
        train, held = np.isin(subject_ids, list(train_ids)), np.isin(subject_ids, list(held_ids))
        if len(np.unique(label_index[train])) < len(labels) or not held.any():
            continue
        path = fit_path(
            features[train],
            label_index[train],
            labels=labels,
            penalties=penalties,
            class_weight=class_weight,
            weights=weights,
        )
        losses.append(
            [
                _clip_loss(
                    probe.predict_proba(features[held]),
                    label_index[held],
                    video_ids[held],
                    class_weight=class_weight,
                )
                for probe in path
            ]
        )
    if not losses:
        return max(penalties)
    return penalties[int(np.argmin(np.mean(losses, axis=0)))]


def _clip_loss(
    probability: Array,
    label_index: NDArray[np.int64],
    video_ids: NDArray[np.object_],
    *,
    class_weight: ClassWeight,
) -> float:
    names, means = average_by_video(probability, video_ids)
    label_of = dict(zip(video_ids, label_index, strict=True))
    truth = np.array([label_of[name] for name in names])
    weight = None if class_weight == "none" else compute_sample_weight("balanced", truth)
    every = list(range(probability.shape[1]))
    return float(log_loss(truth, means, sample_weight=weight, labels=every))
