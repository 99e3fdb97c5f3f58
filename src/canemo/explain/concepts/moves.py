"""Other ways in which a coding could have fallen, each subject keeping its own.

Clips of one subject change places and take their coding along. Where a unit comes and goes within
clips, the coding of a clip is stretched to the length of the clip it comes to, so that when in a
clip a unit is shown, and for how long at a time, stays what it was. The coding of a subject's only
clip is turned instead: moved along the clip by some frames, what leaves at the end coming in at the
start, as if one part of a film were like another.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from canemo.learn.lda_algebra import Mask
from canemo.trust.labellings import draw_labellings


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
        Whether whole ``clips`` with one state each were moved, or ``stretches`` of coding that
        comes and goes.
    """

    codings: Mask
    exact: bool
    kind: Literal["clips", "stretches"]

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
        M rows, frames of a clip in order of time: video_id and subject_id.
    number, seed
        How many are drawn, unless all there are can be listed.

    Notes
    -----
    To turn a subject's coding along all its clips put end to end would let what lasts a clip run
    over its end. Of 200 drawn studies in which clips differ and nothing is to be found, that called
    10 % significant at 0.05.

    References
    ----------
    Winkler et al. (2015), Multi-level block permutation, NeuroImage 123, 253-268.
    """
    clip, names = pd.factorize(origin["video_id"])
    mean = np.bincount(clip, shown) / np.bincount(clip, minlength=len(names))
    first = np.unique(clip, return_index=True)[1]
    subject = pd.factorize(origin["subject_id"].to_numpy()[first])[0]
    if np.isin(mean, (0, 1)).all():
        clips, exact = draw_labellings(mean.astype(np.int64), subject, number=number, seed=seed)
        return Moves(clips[:, clip] == 1, exact, "clips")
    codings = np.tile(shown, (number, 1))
    rng = np.random.default_rng(seed)
    for each in np.unique(subject):
        own = [np.flatnonzero(clip == place) for place in np.flatnonzero(subject == each)]
        (_turn if len(own) == 1 else _exchange)(codings, shown, own, rng)
    if (codings == shown).all():
        return Moves(shown[None], True, "stretches")
    return Moves(codings, False, "stretches")


def _turn(
    codings: Mask, shown: Mask, clips: list[NDArray[np.intp]], rng: np.random.Generator
) -> None:
    """Turn the coding of a subject's only clip by some frames, in every row of `codings`."""
    (rows,) = clips
    steps = rng.integers(0, len(rows), size=(len(codings), 1))
    codings[:, rows] = shown[rows][(np.arange(len(rows)) - steps) % len(rows)]


def _exchange(
    codings: Mask, shown: Mask, clips: list[NDArray[np.intp]], rng: np.random.Generator
) -> None:
    """Let the clips of a subject change places, in every row of `codings`."""
    order = rng.permuted(np.tile(np.arange(len(clips)), (len(codings), 1)), axis=1)
    for place, rows in enumerate(clips):
        stretched = np.stack([_stretch(shown[other], len(rows)) for other in clips])
        codings[:, rows] = stretched[order[:, place]]


def _stretch(coding: Mask, length: int) -> Mask:
    """Return a coding over so many frames: each takes the state at its share of the way."""
    return coding[(np.arange(length) * 2 + 1) * len(coding) // (2 * length)]
