"""What learning is handed and what it hands back, whichever way something is learned."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Protocol, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from canemo.gradient import Epoch
from canemo.predictions import label_positions
from canemo.probe import Array, Probe
from canemo.sequence import SequenceProbe

Rows: TypeAlias = NDArray[np.bool_]
Classifier: TypeAlias = Probe | SequenceProbe


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
    """

    x: NDArray[np.float32]
    origin: pd.DataFrame
    labels: tuple[str, ...]
    pooling: str = "cls"
    frames: str = "all"
    counted: Rows | None = None

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


@dataclass(frozen=True)
class Trial:
    """One setting that inner folds could choose: how it did there, and its probe."""

    material: Material
    penalty: float
    inner_loss: float
    probe: Probe


@dataclass(frozen=True)
class Fitted:
    """What came out of learning: the classifier and how it was arrived at.

    `material` is what it reads, `penalty` and `temperature` were chosen in inner folds, `trials`
    are the settings that the choice was made from (``lda``), `epochs` are all there were
    (``gradient``), `warnings` say what a reader of the numbers must know.
    """

    classifier: Classifier
    material: Material
    penalty: float | None = None
    temperature: float | None = None
    trials: tuple[Trial, ...] = ()
    epochs: tuple[Epoch, ...] = ()
    warnings: tuple[str, ...] = ()


class Learner(Protocol):
    """Learns from some rows of its material; it never looks at the others."""

    @property
    def material(self) -> Material:
        """What it learns from."""
        ...

    @property
    def independent(self) -> bool:
        """Whether folds may be worked on side by side."""
        ...

    def read(self) -> None:
        """Do what is done once for all folds."""
        ...

    def fit(self, rows: Rows, *, seed: int) -> Fitted:
        """Learn from the rows that are True, (N,)."""
        ...
