"""Measures of tested predictions, by clip, by frame, by subject, beside chance."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from canemo.config import EvaluateConfig
from canemo.learn.predictions import (
    Predictions,
)
from canemo.trust.intervals import compute_intervals, compute_scores
from canemo.trust.scores import compute_confusion, compute_macro_f1, compute_majority_share


def summarise_scores(predictions: Predictions, *, evaluate: EvaluateConfig) -> dict[str, Any]:
    """Return accuracy, balanced accuracy, AUROC and their ``interval`` as JSON can hold them."""
    intervals = compute_intervals(predictions, resamples=evaluate.resamples, seed=evaluate.seed)
    return {
        **{name: finite_or_none(value) for name, value in compute_scores(predictions).items()},
        "interval": {name: list(pair) if pair else None for name, pair in intervals.items()},
    }


def summarise_level(predictions: Predictions, *, evaluate: EvaluateConfig) -> dict[str, Any]:
    """Return the scores of one level as metrics.json holds them."""
    return {
        "n": len(predictions.label_index),
        **summarise_scores(predictions, evaluate=evaluate),
        "macro_f1": compute_macro_f1(predictions),
        "confusion": {
            "labels": list(predictions.labels),
            "counts": compute_confusion(predictions).tolist(),
        },
    }


def summarise_subjects(videos: pd.DataFrame) -> list[dict[str, Any]]:
    """Return, for each subject, its number of videos by label and the share classified rightly."""
    return [
        {
            "subject_id": subject_id,
            "videos": len(rows),
            "accuracy": float((rows["predicted"] == rows["label"]).mean()),
            "labels": {str(k): int(v) for k, v in rows["label"].value_counts().items()},
        }
        for subject_id, rows in videos.groupby("subject_id", sort=True)
    ]


def summarise_chance(frames: Predictions, videos: Predictions) -> dict[str, Any]:
    """Return what always answering the most frequent label of the videos would give."""
    label, share = compute_majority_share(videos.label_index, videos.labels)
    index = videos.labels.index(label)
    return {
        "majority": {
            "label": label,
            "video": share,
            "frame": float((frames.label_index == index).mean()),
        }
    }


def finite_or_none(value: float) -> float | None:
    """Return the number as JSON can hold it: None where it is not finite."""
    return float(value) if np.isfinite(value) else None
