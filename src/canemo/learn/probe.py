"""The linear probe: standardised features, L2-penalised logistic regression."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, softmax

from canemo.learn.predictions import Array


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
