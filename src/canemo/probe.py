"""The linear probe: standardised features, L2-penalised logistic regression."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, softmax
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.utils.class_weight import compute_sample_weight
from threadpoolctl import threadpool_limits

from canemo.config import ClassWeight
from canemo.splits import iter_inner_folds

Array: TypeAlias = NDArray[np.float64]
MAX_ITERATIONS = 2000


@dataclass(frozen=True)
class Probe:
    """A fitted linear probe over F features and K labels.

    Attributes
    ----------
    labels
        The K labels; columns of probabilities are in this order.
    mean, scale
        (F,) of the training features; `scale` is 1 where a feature was constant.
    coef, intercept
        (1, F) and (1,) for two labels (evidence for the second), else (K, F) and (K,).
    penalty
        L2 strength per sample it was fitted with.
    """

    labels: tuple[str, ...]
    mean: Array
    scale: Array
    coef: Array
    intercept: Array
    penalty: float

    def predict_proba(self, features: NDArray[np.floating]) -> Array:
        """Return (N, K) probabilities for (N, F) features."""
        weights = self.coef / self.scale  # no standardised copy of many features
        logits = features @ weights.T + (self.intercept - weights @ self.mean)
        if len(self.labels) > 2:
            return np.asarray(softmax(logits, axis=1))
        second = expit(logits[:, 0])
        return np.stack([1 - second, second], axis=1)

    def predict(
        self,
        features: NDArray[np.floating],
        *,
        video_ids: NDArray[np.object_],
        time_s: NDArray[np.floating],
    ) -> tuple[Array, Array]:
        """Return the probabilities of each frame, (N, K), and of each clip, (V, K).

        A clip's are the mean over its frames; clips are in order of first appearance.
        """
        frames = self.predict_proba(features)
        return frames, average_by_video(frames, video_ids)[1]


def fit_probe(
    features: NDArray[np.floating],
    label_index: NDArray[np.int64],
    *,
    labels: Sequence[str],
    penalty: float,
    class_weight: ClassWeight = "balanced",
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
    """
    return fit_path(
        features, label_index, labels=labels, penalties=[penalty], class_weight=class_weight
    )[0]


def fit_path(
    features: NDArray[np.floating],
    label_index: NDArray[np.int64],
    *,
    labels: Sequence[str],
    penalties: Sequence[float],
    class_weight: ClassWeight = "balanced",
) -> list[Probe]:
    """Fit one probe per penalty, each started from its stronger neighbour; order as given."""
    x = np.asarray(features, dtype=np.float64)
    mean, scale = x.mean(axis=0), x.std(axis=0)
    scale[scale < 1e-9] = 1.0
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


def average_by_video(
    probability: Array, video_ids: NDArray[np.object_]
) -> tuple[NDArray[np.object_], Array]:
    """Return the distinct videos in order of first appearance and their mean rows, (V, K)."""
    names, first, inverse = np.unique(video_ids, return_index=True, return_inverse=True)
    sums = np.zeros((len(names), probability.shape[1]))
    np.add.at(sums, inverse, probability)
    means = sums / np.bincount(inverse)[:, None]
    order = np.argsort(first)
    return names[order], means[order]


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
