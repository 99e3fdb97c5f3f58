"""Clips whose face looks more like another subject's than like the rest of their own."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from canemo.trust.duplicates import normalise

BACKBONE, POOLING = "efficientnet_lite0", "cls"
"""What the threshold was chosen for: `python benchmarks/run.py strangers` measures it."""

THRESHOLD = -0.1
NEAREST = 3
NEAR_COPY = 0.9
MOST_CROPS = 8
"""Of each clip, evenly spaced."""


@dataclass(frozen=True)
class Likeness:
    """How much more a clip looks like the others of its subject than like those of any other.

    `margin` is a difference of cosines, `nearest` the other subject with the clip most like it.
    """

    margin: float
    nearest: str

    @property
    def is_strange(self) -> bool:
        """Whether that is so little that a person should look."""
        return self.margin < THRESHOLD


def compare_subjects(x: NDArray[np.float32], origin: pd.DataFrame) -> dict[str, Likeness]:
    """Compare every clip with the other clips of its subject and with those of all others.

    Parameters
    ----------
    x
        (N, F) features of crops.
    origin
        N rows: video_id and subject_id.

    Returns
    -------
    dict
        By video_id; a clip with nothing to compare it with is not in it: one whose subject has no
        other clip, or near copies of it alone, and every clip where there is one subject only.

    Notes
    -----
    Cosines are between standardised features. Of each crop the most alike crop of every other clip
    counts, of each subject the mean of its `NEAREST` clips, of a clip the median over its crops.
    Near copies of a clip say nothing of whom it shows, for a wrong clip may lie there twice. A
    subject none of whose clips looks like another is not found out by this.
    """
    clip, names = pd.factorize(origin["video_id"].to_numpy(dtype=object))
    order = np.argsort(clip, kind="stable")
    x, clip = normalise(x[order]), clip[order]
    starts = np.flatnonzero(np.diff(clip, prepend=-1))
    first = origin.drop_duplicates("video_id").set_index("video_id").loc[names]
    owner = first["subject_id"].to_numpy(dtype=object)
    found = {}
    for number, rows in enumerate(np.split(np.arange(len(x)), starts[1:])):
        nearest = np.maximum.reduceat(x[rows] @ x.T, starts, axis=1).astype(float)
        likeness = _compare_clip(nearest, owner, number)
        if likeness is not None:
            found[str(names[number])] = likeness
    return found


def _compare_clip(
    nearest: NDArray[np.float64], owner: NDArray[np.object_], number: int
) -> Likeness | None:
    """Compare a clip by the (crops, clips) cosines of its crops to the nearest of every clip."""
    typical = np.median(nearest, axis=0)
    foreign = owner != owner[number]
    own = ~foreign & (np.arange(len(owner)) != number) & (typical < NEAR_COPY)
    if not own.any() or not foreign.any():
        return None
    others = sorted(set(owner[foreign]))
    like = np.stack([_average_nearest(nearest[:, owner == other]) for other in others])
    margin = float(np.median(_average_nearest(nearest[:, own]) - like.max(axis=0)))
    return Likeness(margin, str(owner[np.where(foreign, typical, -np.inf).argmax()]))


def _average_nearest(cosines: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean of the `NEAREST` clips of each crop, (crops,)."""
    return np.asarray(np.sort(cosines, axis=1)[:, -NEAREST:].mean(axis=1))
