"""How good predictions are: pure functions of true labels and probabilities."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata
from sklearn.metrics import confusion_matrix, f1_score

from canemo.learn.predictions import Array, Index, Predictions


def compute_confusion(predictions: Predictions) -> Index:
    """Return (K, K) counts, rows = true label, columns = predicted label."""
    return np.asarray(
        confusion_matrix(
            predictions.label_index,
            predictions.predicted_index,
            labels=range(len(predictions.labels)),
        )
    )


def compute_macro_f1(predictions: Predictions) -> float:
    """Return the unweighted mean F1 over labels; a label never predicted counts 0."""
    return float(
        f1_score(
            predictions.label_index,
            predictions.predicted_index,
            labels=range(len(predictions.labels)),
            average="macro",
            zero_division=0,
        )
    )


def compute_majority_share(label_index: Index, labels: Sequence[str]) -> tuple[str, float]:
    """Return the most frequent label and the accuracy of always answering it."""
    counts = np.bincount(label_index, minlength=len(labels))
    return labels[int(counts.argmax())], float(counts.max() / counts.sum())


def compute_weighted_scores(predictions: Predictions, weights: Array) -> dict[str, Array]:
    """Return accuracy, balanced accuracy and AUROC under R weightings of the units at once.

    Parameters
    ----------
    predictions
        N units.
    weights
        (R, N), not negative: how often each unit counts in each of R resamples; a row of ones
        gives the plain figures.

    Returns
    -------
    dict
        ``accuracy``, ``balanced_accuracy``, ``auroc``, each (R,); not a number where a resample
        lacks a label. AUROC of more than two labels is the mean over one label against the rest.
    """
    right = (predictions.predicted_index == predictions.label_index).astype(float)
    true = np.eye(len(predictions.labels))[predictions.label_index]  # (N, K)
    support = weights @ true
    with np.errstate(invalid="ignore", divide="ignore"):
        recall = (weights @ (true * right[:, None])) / support
    return {
        "accuracy": (weights @ right) / weights.sum(axis=1),
        "balanced_accuracy": recall.mean(axis=1),
        "auroc": _weighted_auroc(predictions, weights),
    }


def measure_areas(scores: Array, positive: NDArray[np.bool_]) -> Array:
    """Return the area under the ROC curve of each row of (R, N), ties counting half.

    Not a number where a row is all positive or has no positive.
    """
    many = positive.sum(axis=1)
    ranks = np.where(positive, rankdata(scores, axis=1), 0).sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        area = (ranks - many * (many + 1) / 2) / (many * (positive.shape[1] - many))
    return np.asarray(area)


def _weighted_auroc(predictions: Predictions, weights: Array) -> Array:
    k = len(predictions.labels)
    columns = [1] if k == 2 else list(range(k))
    each = [
        _weighted_area(
            predictions.probability[:, column], predictions.label_index == column, weights
        )
        for column in columns
    ]
    return np.asarray(np.mean(each, axis=0))


def _weighted_area(score: Array, positive: NDArray[np.bool_], weights: Array) -> Array:
    """Return the area (R,) of one row of scores under R weightings; see `measure_areas`."""
    _, rank = np.unique(score, return_inverse=True)
    order = np.argsort(rank, kind="stable")
    starts = np.flatnonzero(np.diff(rank[order], prepend=-1))
    tied = np.add.reduceat(weights[:, order] * positive[order], starts, axis=1)
    against = np.add.reduceat(weights[:, order] * ~positive[order], starts, axis=1)
    below = np.cumsum(against, axis=1) - against
    pairs = tied.sum(axis=1) * against.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray((tied * (below + against / 2)).sum(axis=1) / pairs)
