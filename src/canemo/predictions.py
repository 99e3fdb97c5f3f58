"""The table of predictions: one row per frame and one per video, whoever predicted them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from canemo.metrics import Array, Predictions

PROBABILITY = "probability_"
"""Start of the columns that hold the probability of a label."""


def tabulate_predictions(
    origin: pd.DataFrame,
    frames: Array,
    videos: Array,
    *,
    labels: tuple[str, ...],
    fold: int | None = None,
) -> pd.DataFrame:
    """Return one row per frame and one per video: where it came from and what was predicted.

    Parameters
    ----------
    origin
        N rows, one per frame: video_id, subject_id, label, frame_index, time_s.
    frames, videos
        (N, K) and (V, K) probabilities; videos in order of first appearance in `origin`.
    labels, fold
        The K labels; the fold for the column of that name.
    """
    clips = origin.drop_duplicates("video_id").drop(columns=["frame_index", "time_s"])
    by_frame = _with_answer(origin.assign(level="frame"), frames, labels)
    by_video = _with_answer(clips.assign(level="video"), videos, labels)
    table = pd.concat([by_frame, by_video], ignore_index=True)
    table["frame_index"] = table["frame_index"].astype("Int64")
    return table if fold is None else table.assign(fold=fold)


def select_level(table: pd.DataFrame, level: str, labels: tuple[str, ...]) -> Predictions:
    """Return the predictions of one level (``frame`` or ``video``) as arrays."""
    return read_predictions(table[table["level"] == level], labels)


def read_predictions(rows: pd.DataFrame, labels: tuple[str, ...]) -> Predictions:
    """Return rows of predictions, one per unit, as arrays."""
    return Predictions(
        label_positions(rows, labels),
        rows[[PROBABILITY + label for label in labels]].to_numpy(dtype=float),
        rows["subject_id"].to_numpy(dtype=object),
        labels,
    )


def label_positions(
    table: pd.DataFrame, labels: tuple[str, ...]
) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Return each row's label as a position in `labels`, (N,)."""
    positions = {label: i for i, label in enumerate(labels)}
    return np.array([positions[label] for label in table["label"]], dtype=np.int64)


def name_probabilities(probability: Array, labels: tuple[str, ...]) -> dict[str, Array]:
    """Return the columns of (N, K) probabilities by the names they have in tables."""
    return {PROBABILITY + label: probability[:, i] for i, label in enumerate(labels)}


def _with_answer(table: pd.DataFrame, probability: Array, labels: tuple[str, ...]) -> pd.DataFrame:
    answers = np.array(labels, dtype=object)[probability.argmax(axis=1)]
    return table.assign(**name_probabilities(probability, labels), predicted=answers)
