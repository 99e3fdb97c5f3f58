"""The table of predictions: one row per frame and one per video, whoever predicted them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Array: TypeAlias = NDArray[np.float64]

Index: TypeAlias = NDArray[np.int64]

PROBABILITY = "probability_"
"""Start of the columns that hold the probability of a label."""


@dataclass(frozen=True)
class Predictions:
    """What was predicted for N units (clips or frames) of known subjects.

    Attributes
    ----------
    label_index
        (N,) true label as a position in `labels`.
    probability
        (N, K), rows sum to 1.
    subject_ids
        (N,) whose unit it is.
    labels
        The K labels.
    """

    label_index: Index
    probability: Array
    subject_ids: NDArray[np.object_]
    labels: tuple[str, ...]

    @property
    def predicted_index(self) -> Index:
        """(N,) the label with the highest probability."""
        return np.asarray(self.probability.argmax(axis=1), dtype=np.int64)


@dataclass(frozen=True)
class Answers:
    """What was predicted of some frames of a table, and of the videos they make up.

    Attributes
    ----------
    rows
        (T,) which of the table's rows they are; of a video all or none.
    frames, videos
        (N, K) and (V, K) probabilities; videos in order of first appearance.
    """

    rows: NDArray[np.bool_]
    frames: Array
    videos: Array


def tabulate_predictions(
    origin: pd.DataFrame, frames: Array, videos: Array, *, labels: tuple[str, ...]
) -> pd.DataFrame:
    """Return one row per frame and one per video: where it came from and what was predicted.

    Parameters
    ----------
    origin
        N rows, one per frame: video_id, subject_id, label, frame_index, time_s.
    frames, videos
        As in `Answers`, of all of them.
    labels
        The K labels.
    """
    return _tabulate(origin, [Answers(np.ones(len(origin), dtype=bool), frames, videos)], labels)


def tabulate_folds(
    origin: pd.DataFrame, answers: Mapping[int, Answers], *, labels: tuple[str, ...]
) -> pd.DataFrame:
    """As `tabulate_predictions`, of what was tested in each fold; its number is a column."""
    table = _tabulate(origin, list(answers.values()), labels)
    sizes = [len(each.frames) + len(each.videos) for each in answers.values()]
    return table.assign(fold=np.repeat(list(answers), sizes))


def find_firsts(origin: pd.DataFrame) -> NDArray[np.bool_]:
    """Return which rows are the first of their video, (N,)."""
    return ~origin["video_id"].duplicated().to_numpy()


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


def _tabulate(
    origin: pd.DataFrame, answers: Sequence[Answers], labels: tuple[str, ...]
) -> pd.DataFrame:
    first = find_firsts(origin)
    rows = [np.flatnonzero(part) for each in answers for part in (each.rows, each.rows & first)]
    of_video = np.repeat([False, True] * len(answers), [len(part) for part in rows])
    probability = np.concatenate([part for each in answers for part in (each.frames, each.videos)])
    table = origin.take(np.concatenate(rows)).reset_index(drop=True)
    return table.assign(
        frame_index=table["frame_index"].astype("Int64").mask(of_video),
        time_s=table["time_s"].mask(of_video),
        level=np.where(of_video, "video", "frame"),
        **name_probabilities(probability, labels),
        predicted=np.array(labels, dtype=object)[probability.argmax(axis=1)],
    )
