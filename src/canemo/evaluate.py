"""The evaluation: learn from some dogs, test on others, and put the result into numbers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from canemo.config import EvaluateConfig
from canemo.curves import CURVE_COLUMNS
from canemo.errors import SplitError
from canemo.gradient import compute_log_loss
from canemo.learners import Fitted, Learner, Material, Rows
from canemo.metrics import (
    Predictions,
    compute_confusion,
    compute_macro_f1,
    compute_majority_share,
)
from canemo.predictions import tabulate_predictions
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
        The penalty chosen inside each fold; empty where none is chosen.
    curves
        One row per fold and epoch (`CURVE_COLUMNS`), empty where nothing is trained in epochs.
        The test columns are for looking at afterwards; nothing was chosen by them.
    train_accuracy
        By frame, of the final probe on the crops it was fitted on, as they are: the mean over
        folds, each fold weighing as much as it has crops.
    warnings
        What a reader of the numbers must know.
    """

    predictions: pd.DataFrame
    penalties: tuple[float, ...]
    curves: pd.DataFrame
    train_accuracy: float
    warnings: tuple[str, ...]


def evaluate_learner(
    learner: Learner, split: Split, *, seed: int, progress: ProgressFn | None = None
) -> Evaluation:
    """Learn in every fold from its training subjects and predict its test subjects.

    Raises
    ------
    SplitError
        In no fold do the training subjects show every label.
    """
    material = learner.material
    owners = material.origin["subject_id"].to_numpy()
    tables, curves, penalties, warnings = [], [], [], []
    train_right = train_crops = 0.0
    for number, fold in enumerate(split.folds):
        train, test = np.isin(owners, fold.train), np.isin(owners, fold.test)
        problem = _find_problem(material.origin[train], test, fold, material.labels)
        if problem is not None:
            warnings.append(f"fold {number}: {problem}")
            continue
        fitted = learner.fit(train, seed=seed)
        warnings += [text for text in fitted.warnings if text not in warnings]
        penalties += [] if fitted.penalty is None else [fitted.penalty]
        curves += _trace_epochs(material, fitted, test, train_crops=int(train.sum()), fold=number)
        frames, _ = material.predict(fitted.classifier, train)
        train_right += float((frames.argmax(axis=1) == material.label_index[train]).sum())
        train_crops += float(train.sum())
        answers = material.predict(fitted.classifier, test)
        origin = material.origin[test]
        tables.append(tabulate_predictions(origin, *answers, labels=material.labels, fold=number))
        if progress is not None:
            progress(number + 1, len(split.folds))
    if not tables:
        raise SplitError(f"no fold can be evaluated; {'; '.join(warnings)}")
    return Evaluation(
        pd.concat(tables, ignore_index=True),
        tuple(penalties),
        pd.DataFrame(curves, columns=list(CURVE_COLUMNS)),
        train_right / train_crops,
        tuple(warnings),
    )


def _trace_epochs(
    material: Material, fitted: Fitted, test: Rows, *, train_crops: int, fold: int
) -> list[tuple[float, ...]]:
    """Return the rows of `CURVE_COLUMNS` of one fold."""
    x, y = material.x[test], material.label_index[test]
    return [
        (
            fold,
            epoch.number,
            train_crops,
            epoch.loss,
            epoch.accuracy,
            len(y),
            compute_log_loss(epoch.probe, x, y),
            float((epoch.probe.predict_proba(x).argmax(axis=1) == y).mean()),
        )
        for epoch in fitted.epochs
    ]


def summarise_level(predictions: Predictions, *, evaluate: EvaluateConfig) -> dict[str, Any]:
    """Return the scores of one level as metrics.json holds them."""
    intervals = compute_intervals(predictions, resamples=evaluate.resamples, seed=evaluate.seed)
    return {
        "n": len(predictions.label_index),
        **{name: finite_or_none(value) for name, value in compute_scores(predictions).items()},
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


def finite_or_none(value: float) -> float | None:
    """Return the number as JSON can hold it: None where it is not finite."""
    return float(value) if np.isfinite(value) else None
