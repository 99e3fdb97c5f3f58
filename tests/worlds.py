"""Drawn features of studies whose truth is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from canemo.config import ProbeConfig
from canemo.faces.frame_choice import choose_frames
from canemo.features.embed import Features
from canemo.features.poolings import expand_mixes, parse_blocks, pool
from canemo.learn.evaluate import Evaluation
from canemo.learn.lda import DiscriminantLearner
from canemo.learn.material import Material
from canemo.learn.splits import Split, make_split

LABELS = ("anticipation", "frustration")
THREE_LABELS = ("anticipation", "frustration", "play")


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


def drop_crops(features: Features, *, share: float, seed: int = 0) -> Features:
    """Leave crops out at random, never the first of a clip, so that clips differ in length."""
    kept = np.random.default_rng(seed).random(len(features)) >= share
    kept |= ~features.origin["video_id"].duplicated().to_numpy()
    origin = features.origin[kept].reset_index(drop=True)
    return Features(
        origin,
        features.cls[kept],
        features.mean[kept],
        features.grid[kept],
        geometry=None if features.geometry is None else features.geometry[kept],
    )


def make_materials(
    features: Features,
    labels: tuple[str, ...] = LABELS,
    *,
    poolings: Sequence[str] = ("cls",),
    rules: Sequence[str] = ("all",),
) -> tuple[Material, ...]:
    """Return every pooling, of several blocks every mix, with every rule for frames that count."""
    origin = features.origin
    rows = {pooling: pool(features, pooling) for pooling in poolings}
    counted = {rule: choose_frames(origin, pd.DataFrame(), rule) for rule in {*rules} - {"all"}}
    return tuple(
        Material(
            rows[pooling],
            origin,
            labels,
            mix,
            rule,
            counted.get(rule),
            measure_widths(features, pooling),
        )
        for pooling in poolings
        for mix in expand_mixes(pooling)
        for rule in rules
    )


def measure_widths(features: Features, pooling: str) -> tuple[int, ...]:
    """Return how many columns each of several blocks has, as `Material` keeps them."""
    blocks = parse_blocks(pooling)
    widths = tuple(pool(features, block.name).shape[1] for block in blocks)
    return widths if len(blocks) > 1 else ()


def make_discriminant(
    features: Features, labels: tuple[str, ...] = LABELS, **settings: object
) -> DiscriminantLearner:
    """Return a learner of one material with few penalties and inner folds, unless told."""
    probe = ProbeConfig.model_validate({"penalties": (0.1, 10.0), "inner_folds": 3, **settings})
    return DiscriminantLearner(make_materials(features, labels), probe)


def split_subjects(features: Features, kind: str = "loso") -> Split:
    """Divide the subjects of some features into folds."""
    return make_split(features.origin["subject_id"].tolist(), kind=kind)


def relabel_clips(
    features: Features, label_index: NDArray[np.integer], labels: tuple[str, ...] = LABELS
) -> Features:
    """Return the features with other labels for the clips, in order of first appearance."""
    clip, _ = pd.factorize(features.origin["video_id"])
    origin = features.origin.assign(label=np.array(labels, dtype=object)[label_index][clip])
    return replace(features, origin=origin)


def measure_accuracy(evaluation: Evaluation, level: str = "video") -> float:
    """Return the share of frames or clips whose label was told right."""
    rows = evaluation.predictions[evaluation.predictions["level"] == level]
    return float((rows["predicted"] == rows["label"]).mean())
