"""Which frames of a clip count: a rule that looks at each clip by itself and never at a label."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pandas as pd
from numpy.typing import NDArray

_QUALITY = {"score": "score", "sharp": "sharpness"}


def choose_frames(origin: pd.DataFrame, ledger: pd.DataFrame, rule: str) -> NDArray[np.bool_]:
    """Return which crops count, (N,); at least one of each clip.

    Parameters
    ----------
    origin
        N rows, one per crop: video_id and frame_index, in order of time within a video.
    ledger
        Rows of the ledger of at least these frames: video_id, frame_index, score, sharpness.
    rule
        ``all``; ``even:N``, the middle frames of N equal parts of the clip; ``score:SHARE`` or
        ``sharp:SHARE``, the share of the clip's crops with the best detector score or sharpness.
    """
    kind, _, number = rule.partition(":")
    if kind == "all":
        return np.ones(len(origin), dtype=bool)
    counted = np.zeros(len(origin), dtype=bool)
    quality = None if kind == "even" else _look_up(origin, ledger, _QUALITY[kind])
    for rows in origin.groupby("video_id", sort=False).indices.values():
        if quality is None:
            counted[rows[spread_evenly(len(rows), int(number))]] = True
        else:
            best = np.argsort(-quality[rows], kind="stable")
            wanted = math.ceil(Fraction(number) * len(rows))  # 0.55 of 20 is 11, as float 12
            counted[rows[best[:wanted]]] = True
    return counted


def spread_evenly(frames: int, wanted: int) -> NDArray[np.int64]:
    """Return the middle place of each of `wanted` equal parts of so many frames, all of fewer."""
    number = min(wanted, frames)
    return (2 * np.arange(number) + 1) * frames // max(2 * number, 1)


def _look_up(origin: pd.DataFrame, ledger: pd.DataFrame, column: str) -> NDArray[np.float64]:
    """Return a column of the ledger for each crop, the worst value where it is not known."""
    keys = ["video_id", "frame_index"]
    known = ledger.dropna(subset=["frame_index"])[[*keys, column]]
    known = known.astype({"frame_index": "int64"}).drop_duplicates(keys)
    found = origin[keys].astype({"frame_index": "int64"}).merge(known, on=keys, how="left")
    return np.asarray(found[column].fillna(-np.inf), dtype=np.float64)
