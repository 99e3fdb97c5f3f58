"""Drawn features of studies whose truth is known."""

from __future__ import annotations

import numpy as np
import pandas as pd

from canemo.features import Features

LABELS = ("anticipation", "frustration")


def draw_features(
    *,
    subjects: int = 8,
    clips: int = 6,
    frames: int = 4,
    dim: int = 12,
    effect: float = 0.0,
    dog_effect: float = 2.0,
    labels: tuple[str, ...] = LABELS,
    seed: int = 0,
) -> Features:
    """Draw features with a strong dog signal, a clip signal and, if asked, a label signal."""
    rng = np.random.default_rng(seed)
    rows, vectors = [], []
    for s in range(subjects):
        dog = dog_effect * rng.normal(size=dim)
        for c in range(clips):
            label = c % len(labels)
            clip = dog + rng.normal(size=dim)
            clip[label] += effect
            for f in range(frames):
                rows.append((f"v{s}_{c}", f"s{s}", labels[label], f, f / 5))
                vectors.append(clip + 0.3 * rng.normal(size=dim))
    columns = ["video_id", "subject_id", "label", "frame_index", "time_s"]
    origin = pd.DataFrame(rows, columns=columns)
    cls = np.array(vectors, dtype=np.float32)
    grid = np.repeat(cls[:, None, :], 16, axis=1) * np.arange(16, dtype=np.float32)[None, :, None]
    return Features(origin, cls, 2 * cls, grid)
