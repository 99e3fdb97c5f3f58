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
    Array,
    Predictions,
    compute_confusion,
    compute_macro_f1,
    compute_majority_share,
)
from canemo.probe import Probe, average_by_video, choose_penalty, fit_probe
from canemo.splits import Fold, Split
from canemo.stats import compute_intervals, compute_scores

PROBABILITY = "probability_"
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
    y = _label_index(origin, labels)
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


def tabulate_predictions(
    origin: pd.DataFrame, probability: Array, *, labels: tuple[str, ...], fold: int | None = None
) -> pd.DataFrame:
    """Return one row per frame and one per video: where it came from and what was predicted.

    A video's probabilities are the mean over its frames.
    """
    names, means = average_by_video(probability, origin["video_id"].to_numpy())
    videos = origin.drop_duplicates("video_id").set_index("video_id").loc[list(names)].reset_index()
    videos = videos.drop(columns=["frame_index", "time_s"])
    frames = _with_answer(origin.assign(level="frame"), probability, labels)
    clips = _with_answer(videos.assign(level="video"), means, labels)
    table = pd.concat([frames, clips], ignore_index=True)
    table["frame_index"] = table["frame_index"].astype("Int64")
    return table if fold is None else table.assign(fold=fold)


def select_level(table: pd.DataFrame, level: str, labels: tuple[str, ...]) -> Predictions:
    """Return the predictions of one level (``frame`` or ``video``) as arrays."""
    rows = table[table["level"] == level]
    return Predictions(
        _label_index(rows, labels),
        rows[[PROBABILITY + label for label in labels]].to_numpy(dtype=float),
        rows["subject_id"].to_numpy(dtype=object),
        labels,
    )


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


def _with_answer(table: pd.DataFrame, probability: Array, labels: tuple[str, ...]) -> pd.DataFrame:
    columns = {PROBABILITY + label: probability[:, i] for i, label in enumerate(labels)}
    answers = np.array(labels, dtype=object)[probability.argmax(axis=1)]
    return table.assign(**columns, predicted=answers)


def _label_index(
    table: pd.DataFrame, labels: tuple[str, ...]
) -> np.ndarray[Any, np.dtype[np.int64]]:
    positions = {label: i for i, label in enumerate(labels)}
    return np.array([positions[label] for label in table["label"]], dtype=np.int64)


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
