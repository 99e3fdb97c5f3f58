"""Other ways in which a coding could have fallen, each dog keeping how often a unit is shown.

Where a unit is shown in all or none of the frames of every clip, whole clips change places within
a dog. Else each dog's coding is turned: its clips are put end to end, and the coding is moved along
them by a random number of frames, what leaves at the end coming in at the start. That keeps how
long the unit is shown at a time; it takes the frames of a dog to be alike but for the unit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from canemo.labellings import draw_labellings

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Moves:
    """R other codings of M frames.

    Attributes
    ----------
    codings
        (R, M); where `exact` the one at hand is among them.
    exact
        Whether these are all there are.
    kind
        ``clips`` moved within a dog, or ``turn``.
    """

    codings: Mask
    exact: bool
    kind: Literal["clips", "turn"]

    @property
    def possible(self) -> bool:
        """Whether there is any other coding."""
        return not self.exact or len(self.codings) > 1


def move_coding(shown: Mask, origin: pd.DataFrame, *, number: int, seed: int) -> Moves:
    """Draw other codings of M frames.

    Parameters
    ----------
    shown
        (M,) the coding.
    origin
        M rows, frames of a clip in order of time, clips of a dog in their order: video_id and
        subject_id.
    number, seed
        How many are drawn, unless all there are can be listed.

    References
    ----------
    Winkler et al. (2015), Multi-level block permutation, NeuroImage 123, 253-268.
    """
    clip, names = pd.factorize(origin["video_id"])
    mean = np.bincount(clip, shown) / np.bincount(clip, minlength=len(names))
    if np.isin(mean, (0, 1)).all():
        first = np.unique(clip, return_index=True)[1]
        dog = pd.factorize(origin["subject_id"].to_numpy()[first])[0]
        clips, exact = draw_labellings(mean.astype(np.int64), dog, number=number, seed=seed)
        return Moves(clips[:, clip] == 1, exact, "clips")
    return _turn_codings(shown, pd.factorize(origin["subject_id"])[0], number=number, seed=seed)


def _turn_codings(shown: Mask, dog: NDArray[np.integer], *, number: int, seed: int) -> Moves:
    rng = np.random.default_rng(seed)
    codings = np.empty((number, len(shown)), dtype=bool)
    moved = False
    for each in np.unique(dog):
        rows = np.flatnonzero(dog == each)
        steps = rng.integers(0, len(rows), size=(number, 1))
        codings[:, rows] = shown[rows][(np.arange(len(rows)) - steps) % len(rows)]
        moved |= bool(shown[rows].any() and not shown[rows].all())
    return Moves(codings, not moved, "turn") if moved else Moves(shown[None], True, "turn")
