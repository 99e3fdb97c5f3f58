"""What a classifier learns from: rows, their origin and features."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Protocol, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from canemo.features.poolings import weigh_blocks
from canemo.learn.predictions import Array, label_positions

Rows: TypeAlias = NDArray[np.bool_]
"""(N,) which rows are meant."""


class Classifier(Protocol):
    """What was learned: answers for frames and for their clips."""

    @property
    def labels(self) -> tuple[str, ...]:
        """The K labels, in the order of the probabilities."""
        ...

    def predict(
        self,
        features: NDArray[np.floating],
        *,
        video_ids: NDArray[np.object_],
        time_s: NDArray[np.floating],
    ) -> tuple[Array, Array]:
        """Return the probabilities of N frames, (N, K), and of their V clips, (V, K)."""
        ...


@dataclass(frozen=True)
class Material:
    """What is learned from: N crops.

    Attributes
    ----------
    x
        (N, F) float32, one row per crop, as the pooling gives them.
    origin
        N rows: video_id, subject_id, label, frame_index, time_s.
    labels
        The K labels.
    pooling, frames
        How `x` was made of the features, and the rule that `counted` follows.
    counted
        (N,) the crops that a clip's answer rests on and that are learned from; at least one of each
        clip. None means all.
    widths
        How many columns each block of the pooling has, where it has several.
    """

    x: NDArray[np.float32]
    origin: pd.DataFrame
    labels: tuple[str, ...]
    pooling: str = "cls"
    frames: str = "all"
    counted: Rows | None = None
    widths: tuple[int, ...] = ()

    @cached_property
    def weights(self) -> Array | None:
        """(F,) what each standardised column counts; None where all count the same."""
        return weigh_blocks(self.pooling, self.widths) if self.widths else None

    @cached_property
    def label_index(self) -> NDArray[np.int64]:
        """(N,) each row's label as a position in `labels`."""
        return label_positions(self.origin, self.labels)

    @cached_property
    def video_ids(self) -> NDArray[np.object_]:
        """(N,) the video of each row."""
        return self.origin["video_id"].to_numpy(dtype=object)

    @cached_property
    def time_s(self) -> NDArray[np.float64]:
        """(N,) the time of each row in its video [s]."""
        return self.origin["time_s"].to_numpy(dtype=float)

    def restrict(self, rows: Rows) -> Rows:
        """Return those of the rows that are counted, (N,)."""
        return rows if self.counted is None else rows & self.counted

    def select(self, rows: Rows) -> Material:
        """Return the material of the rows that are True alone, (N,)."""
        origin = self.origin[rows].reset_index(drop=True)
        counted = None if self.counted is None else self.counted[rows]
        return replace(self, x=self.x[rows], origin=origin, counted=counted)

    def predict(self, classifier: Classifier, rows: Rows) -> tuple[Array, Array]:
        """Return the probabilities of the chosen frames and, from the counted ones, of their clips.

        Returns
        -------
        tuple
            (N, K) and (V, K), clips in order of first appearance.
        """
        frames, videos = self._answer(classifier, rows)
        if self.counted is not None:
            videos = self._answer(classifier, self.restrict(rows))[1]
        return frames, videos

    def _answer(self, classifier: Classifier, rows: Rows) -> tuple[Array, Array]:
        frames, videos = classifier.predict(
            self.x[rows], video_ids=self.video_ids[rows], time_s=self.time_s[rows]
        )
        return np.asarray(frames, dtype=float), np.asarray(videos, dtype=float)
