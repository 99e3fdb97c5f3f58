"""How far probabilities can be taken at their word: pure functions of predictions."""

from __future__ import annotations

from typing import Any

import numpy as np

from canemo.learn.predictions import Array, Index, Predictions

LEAST_PROBABILITY = float(np.finfo(np.float64).eps)


def compute_calibration(
    predictions: Predictions, *, positive: int, bins: int = 10, balanced: bool = False
) -> dict[str, Any]:
    """Return Brier score, expected calibration error, log loss and the reliability diagram.

    Parameters
    ----------
    predictions
        N units.
    positive
        Position of the label whose probability the diagram of two labels is about; with more
        labels it changes nothing.
    bins
        Number of bins of equal width that part the probabilities from 0 to 1. A bin holds its
        lower edge, the last one also 1.
    balanced
        Whether all labels weigh the same, as they do for a probe that takes them to be equally
        frequent: its probabilities are meant for such clips. Else every unit counts the same.

    Returns
    -------
    dict
        ``brier``; ``ece``; ``log_loss`` [nats]; ``bins``, the bins that hold a unit, from low to
        high, each with its edges ``low`` and ``high``, its number of units ``n``, their mean
        ``probability`` and the ``share`` of them with the positive label. Fit for JSON.

    Raises
    ------
    ValueError
        There are no units, no bins, or no such label.

    Notes
    -----
    With two labels the Brier score is the mean of (p - y)^2 for the positive label, from 0 to 1:
    half of Brier's own sum over both labels. With more labels it is that sum, from 0 to 2. The
    calibration error is the mean of |probability - share| over bins, each weighing its units.
    With more than two labels, ``probability`` is that of the label predicted and ``share`` is how
    often it is right. The calibration error is above 0 by chance alone where bins hold few units.
    In the log loss a probability below 2.2e-16 counts as 2.2e-16.

    References
    ----------
    Brier (1950), Monthly Weather Review 78, 1-3.
    Naeini, Cooper & Hauskrecht (2015), AAAI 29, 2901-2907, doi:10.1609/aaai.v29i1.9602 (two
    labels). Guo, Pleiss, Sun & Weinberger (2017), ICML, PMLR 70, 1321-1330 (more labels).
    """
    units, labels = predictions.probability.shape
    if units == 0:
        raise ValueError("there is nothing predicted to compute the calibration of")
    if bins < 1:
        raise ValueError(f"bins must be at least 1, not {bins}")
    if not 0 <= positive < labels:
        raise ValueError(f"positive must be a position from 0 to {labels - 1}, not {positive}")
    weight = _weigh_units(predictions, balanced=balanced)
    probability, hit = _select_claim(predictions, positive)
    rows, gaps = _fill_bins(probability, hit, weight, bins)
    of_truth = predictions.probability[np.arange(units), predictions.label_index]
    return {
        "brier": _compute_brier(predictions, weight),
        "ece": float(sum(gaps)),
        "log_loss": float(weight @ -np.log(np.maximum(of_truth, LEAST_PROBABILITY))),
        "bins": rows,
    }


def _weigh_units(predictions: Predictions, *, balanced: bool) -> Array:
    """Return (N,) weights that sum to 1."""
    index = predictions.label_index
    weight = 1 / np.bincount(index)[index] if balanced else np.ones(len(index))
    return np.asarray(weight / weight.sum())


def _compute_brier(predictions: Predictions, weight: Array) -> float:
    labels = predictions.probability.shape[1]
    true = np.eye(labels)[predictions.label_index]
    total = float(weight @ ((predictions.probability - true) ** 2).sum(axis=1))
    return total / 2 if labels == 2 else total


def _select_claim(predictions: Predictions, positive: int) -> tuple[Array, Array]:
    """Return (N,) the probability claimed of each unit and (N,) 1.0 where the claim was true."""
    if predictions.probability.shape[1] == 2:
        truth = predictions.label_index == positive
        return predictions.probability[:, positive], truth.astype(np.float64)
    right = predictions.predicted_index == predictions.label_index
    return predictions.probability.max(axis=1), right.astype(np.float64)


def _fill_bins(
    probability: Array, hit: Array, weight: Array, bins: int
) -> tuple[list[dict[str, Any]], list[float]]:
    """Return the bins that hold a unit, and the part each has in the calibration error."""
    edges = np.arange(bins + 1) / bins  # 3 / 10 is 0.3 exactly, which a sum of steps is not
    place: Index = np.digitize(probability, edges[1:-1])
    rows, gaps = [], []
    for index in np.unique(place):
        inside = place == index
        mass = float(weight[inside].sum())
        row = {
            "low": float(edges[index]),
            "high": float(edges[index + 1]),
            "n": int(inside.sum()),
            "probability": float(weight[inside] @ probability[inside] / mass),
            "share": float(weight[inside] @ hit[inside] / mass),
        }
        rows.append(row)
        gaps.append(mass * abs(row["probability"] - row["share"]))
    return rows, gaps
