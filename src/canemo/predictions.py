"""The table of predictions: one row per frame and one per video, whoever predicted them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from canemo.metrics import Array, Predictions
from canemo.probe import average_by_video

PROBABILITY = "probability_"
"""Start of the columns that hold the probability of a label."""


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


def _with_answer(table: pd.DataFrame, probability: Array, labels: tuple[str, ...]) -> pd.DataFrame:
    columns = {PROBABILITY + label: probability[:, i] for i, label in enumerate(labels)}
    answers = np.array(labels, dtype=object)[probability.argmax(axis=1)]
    return table.assign(**columns, predicted=answers)
