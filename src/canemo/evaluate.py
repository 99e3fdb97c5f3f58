"""The evaluation: fit on some dogs, test on others, and put the result into numbers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from canemo.config import EvaluateConfig, ProbeConfig
from canemo.errors import SplitError
from canemo.features import Features, pool
from canemo.metrics import (
    Predictions,
    compute_confusion,
    compute_macro_f1,
    compute_majority_share,
)
from canemo.predictions import label_positions, tabulate_predictions
from canemo.probe import Probe, choose_penalty, fit_probe
from canemo.splits import Fold, Split
from canemo.stats import compute_intervals, compute_scores

ProgressFn = Callable[[int, int], None]


@dataclass(frozen=True)
class Evaluation:
    """What came out of testing on unseen subjects.

    Attributes
    ----------
    predictions
        One row per frame and one per video (column ``level``), each predicted by a probe that had
        not seen its subject; columns ``probability_LABEL``, ``predicted``, ``fold``.
    penalties
        The penalty chosen inside each fold.
    warnings
        What a reader of the numbers must know.
    """

    predictions: pd.DataFrame
    penalties: tuple[float, ...]
    warnings: tuple[str, ...]


def evaluate_probe(
    features: Features,
    split: Split,
    *,
    labels: tuple[str, ...],
    probe: ProbeConfig,
    seed: int,
    progress: ProgressFn | None = None,
) -> Evaluation:
    """Fit a probe in every fold, its penalty chosen in inner folds, and predict the test subjects.

    Raises
    ------
    SplitError
        In no fold do the training subjects show every label.
    """
    x = pool(features, probe.pooling)
    owners = features.origin["subject_id"].to_numpy()
    tables, penalties, warnings = [], [], []
    for number, fold in enumerate(split.folds):
        train, test = np.isin(owners, fold.train), np.isin(owners, fold.test)
        problem = _find_problem(features.origin[train], test, fold, labels)
        if problem is not None:
            warnings.append(f"fold {number}: {problem}")
            continue
        fitted = fit_nested(x[train], features.origin[train], labels=labels, probe=probe, seed=seed)
        penalties.append(fitted.penalty)
        tables.append(
            tabulate_predictions(
                features.origin[test], fitted.predict_proba(x[test]), labels=labels, fold=number
            )
        )
        if progress is not None:
            progress(number + 1, len(split.folds))
    if not tables:
        raise SplitError(f"no fold can be evaluated; {'; '.join(warnings)}")
    return Evaluation(pd.concat(tables, ignore_index=True), tuple(penalties), tuple(warnings))


def fit_nested(
    x: np.ndarray[Any, np.dtype[np.float32]],
    origin: pd.DataFrame,
    *,
    labels: tuple[str, ...],
    probe: ProbeConfig,
    seed: int,
) -> Probe:
    """Fit a probe on all rows given, its penalty chosen in inner folds over their subjects."""
    y = label_positions(origin, labels)
    penalty = choose_penalty(
        x,
        y,
        subject_ids=origin["subject_id"].to_numpy(),
        video_ids=origin["video_id"].to_numpy(),
        labels=labels,
        penalties=probe.penalties,
        class_weight=probe.class_weight,
        inner_folds=probe.inner_folds,
        seed=seed,
    )
    return fit_probe(x, y, labels=labels, penalty=penalty, class_weight=probe.class_weight)


def summarise_level(predictions: Predictions, *, evaluate: EvaluateConfig) -> dict[str, Any]:
    """Return the scores of one level as metrics.json holds them."""
    intervals = compute_intervals(predictions, resamples=evaluate.resamples, seed=evaluate.seed)
    return {
        "n": len(predictions.label_index),
        **{name: _number(value) for name, value in compute_scores(predictions).items()},
        "macro_f1": compute_macro_f1(predictions),
        "confusion": {
            "labels": list(predictions.labels),
            "counts": compute_confusion(predictions).tolist(),
        },
        "interval": {name: list(pair) if pair else None for name, pair in intervals.items()},
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


def _find_problem(
    train: pd.DataFrame,
    test: np.ndarray[Any, np.dtype[np.bool_]],
    fold: Fold,
    labels: tuple[str, ...],
) -> str | None:
    if not test.any():
        return f"no usable crop of test subject(s) {', '.join(fold.test)}; left out"
    missing = sorted(set(labels) - set(train["label"]))
    if missing:
        return f"no training subject shows the label {missing[0]!r}; left out"
    return None


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
