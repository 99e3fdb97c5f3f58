"""Clips that look like the same footage, found in cached features."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from canemo.learn.material import Material

MATCHED = 0.5
MAX_PAIRS = 100
_NOT_COMPARED: dict[str, Any] = {
    "threshold": None,
    "n": 0,
    "n_across": 0,
    "n_within": 0,
    "pairs": [],
}


def find_duplicates(material: Material) -> dict[str, Any]:
    """Return pairs of clips of different subjects, or of different labels, that look alike.

    Returns
    -------
    dict
        ``threshold``, the median cosine of crops next to each other in time; ``n`` pairs found,
        ``n_across`` subjects and ``n_within`` one subject, and the first `MAX_PAIRS` of either kind
        as ``pairs``, those across subjects first, most alike first, each with names, subjects and
        labels of both clips and ``cosine``, the median over the matched crops.

    Notes
    -----
    Cosines are between standardised features. Two clips are a pair where at least half of the crops
    of one of them have a crop in the other that is as alike as neighbours in time are. Where that
    holds of most clips of different subjects, features cannot tell footage apart: ``threshold`` is
    None then, as where no clip has two crops, and there is no pair.
    """
    origin, x = material.origin, normalise(material.x)
    clip, names = pd.factorize(origin["video_id"].to_numpy(dtype=object))
    order = np.argsort(clip, kind="stable")
    x, clip = x[order], clip[order]
    threshold = _calibrate(x, clip)
    if threshold is None:
        return dict(_NOT_COMPARED)
    first = origin.drop_duplicates("video_id").set_index("video_id").loc[names]
    subjects, labels = first["subject_id"].to_numpy(), first["label"].to_numpy()
    starts = np.flatnonzero(np.diff(clip, prepend=-1))
    found: list[tuple[int, int, float]] = []
    between: list[float] = []  # how alike clips of different subjects are
    for number, start in enumerate(starts):
        rows = slice(start, starts[number + 1] if number + 1 < len(starts) else len(clip))
        nearest = np.maximum.reduceat(x[rows] @ x.T, starts, axis=1)  # (crops, clips)
        nearest = nearest.astype(float)
        typical = np.median(nearest, axis=0)
        between += typical[subjects != subjects[number]].tolist()
        share = (nearest >= threshold).mean(axis=0)
        for other in np.flatnonzero(share >= MATCHED):
            differ = subjects[number] != subjects[other] or labels[number] != labels[other]
            if other != number and differ:
                found.append((number, int(other), float(typical[other])))
    if between and np.median(between) >= threshold:
        return dict(_NOT_COMPARED)
    best: dict[tuple[int, int], float] = {}
    for a, b, cosine in found:
        pair = (min(a, b), max(a, b))
        best[pair] = max(cosine, best.get(pair, -1.0))
    ranked = sorted(best.items(), key=lambda item: -item[1])
    across = [item for item in ranked if subjects[item[0][0]] != subjects[item[0][1]]]
    within = [item for item in ranked if subjects[item[0][0]] == subjects[item[0][1]]]
    return {
        "threshold": threshold,
        "n": len(ranked),
        "n_across": len(across),
        "n_within": len(within),
        "pairs": [
            {
                "first": str(names[a]),
                "second": str(names[b]),
                "first_subject": str(subjects[a]),
                "second_subject": str(subjects[b]),
                "first_label": str(labels[a]),
                "second_label": str(labels[b]),
                "cosine": cosine,
            }
            for (a, b), cosine in [*across[:MAX_PAIRS], *within[:MAX_PAIRS]]
        ],
    }


def normalise(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Standardise features (N, F) and bring each row to length 1."""
    scale = x.std(axis=0)
    scale[scale < 1e-6] = 1
    centred = (x - x.mean(axis=0)) / scale
    length = np.linalg.norm(centred, axis=1, keepdims=True)
    return np.asarray(centred / np.maximum(length, 1e-12), dtype=np.float32)


def _calibrate(x: NDArray[np.float32], clip: NDArray[np.int64]) -> float | None:
    """Return the median cosine of neighbours in time; None where no clip has two crops."""
    close = np.diff(clip) == 0
    if not close.any():
        return None
    cosine = np.einsum("nf,nf->n", x[:-1][close], x[1:][close])
    return float(np.median(cosine))
