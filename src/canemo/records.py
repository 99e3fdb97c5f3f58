"""The records that stages hand to each other: plain, frozen, without behaviour of their own.

Boxes are `(x0, y0, x1, y1)` in pixels of the displayed frame (rotation applied), origin at the top
left corner. Frame numbers count from 0; times are seconds of the file's own timestamps.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pandas as pd

Image: TypeAlias = NDArray[np.uint8]
"""One image, (H, W, 3) uint8, RGB."""

Box: TypeAlias = tuple[float, float, float, float]
"""`(x0, y0, x1, y1)` in pixels."""


class Fate(StrEnum):
    """What became of a frame that was looked at."""

    USED = "used"
    NO_FACE = "no_face"
    LOW_SCORE = "low_score"
    TOO_SMALL = "too_small"
    OTHER_FACE = "other_face"
    DECODE_ERROR = "decode_error"


@dataclass(frozen=True)
class Video:
    """One row of `videos.csv`.

    `path` is absolute; `start_s` and `end_s` [s] cut the part of the file that counts.
    """

    video_id: str
    path: Path
    subject_id: str
    label: str
    start_s: float | None = None
    end_s: float | None = None
    extra: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Study:
    """A folder of labelled clips of known subjects.

    `subjects` is the table of `subjects.csv` indexed by `subject_id`, or None where there is none;
    `drawn` says that its animals are drawings, as those of `canemo demo` are.
    """

    root: Path
    videos: tuple[Video, ...]
    subjects: pd.DataFrame | None = None
    drawn: bool = False

    @property
    def labels(self) -> tuple[str, ...]:
        """The distinct labels in alphabetical order."""
        return tuple(sorted({video.label for video in self.videos}))

    @property
    def subject_ids(self) -> tuple[str, ...]:
        """The distinct subjects in alphabetical order."""
        return tuple(sorted({video.subject_id for video in self.videos}))


@dataclass(frozen=True)
class Frame:
    """One decoded frame: `image_rgb` is (H, W, 3) uint8, RGB, as it is meant to be displayed."""

    frame_index: int
    time_s: float
    image_rgb: Image


@dataclass(frozen=True)
class Face:
    """One face found in an image: a box in pixels and the detector's score, 0 to 1."""

    box_xyxy: Box
    score: float
