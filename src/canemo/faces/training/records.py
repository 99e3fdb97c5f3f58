"""How a Mask R-CNN is trained and what a training did: settings, epochs, the history file."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from canemo.errors import (
    ConfigError,
)
from canemo.faces.detect.mask_rcnn import MaskRCNNSettings

HISTORY_SCHEMA = 1


@dataclass(frozen=True)
class MaskRCNNTraining:
    """How to train; one epoch shows every training image once.

    `learning_rate` is the peak for layers that start fresh; layers that bring trained weights get
    `pretrained_share` of it, and the first `frozen_blocks` blocks of the body keep theirs. The rate
    rises over the first `warm_up_share` of all steps and falls along a cosine. `held_out_share` of
    the subjects measure each epoch. `scale_jitter` and `colour_jitter` are the largest relative
    changes of size, and of brightness, contrast and saturation.

    Raises
    ------
    ConfigError
        If a number is impossible.
    """

    epochs: int = 15
    batch_size: int = 2
    learning_rate: float = 5e-4
    pretrained_share: float = 0.3
    weight_decay: float = 0.02
    warm_up_share: float = 0.1
    frozen_blocks: int = 2
    held_out_share: float = 0.2
    short_side_px: int = 480
    long_side_px: int = 960
    score_threshold: float = 0.5
    flip_share: float = 0.5
    scale_jitter: float = 0.3
    colour_jitter: float = 0.3
    seed: int = 0

    def __post_init__(self) -> None:
        limits = {
            "epochs": (1, math.inf),
            "batch_size": (1, math.inf),
            "learning_rate": (0, math.inf),
            "pretrained_share": (0, 1),
            "weight_decay": (0, math.inf),
            "warm_up_share": (0, 1),
            "frozen_blocks": (0, math.inf),
            "held_out_share": (0, 1),
            "flip_share": (0, 1),
            "scale_jitter": (0, 0.9),
            "colour_jitter": (0, 0.9),
        }
        for name, (least, most) in limits.items():
            value = getattr(self, name)
            if not least <= value <= most:
                raise ConfigError(f"{name} is {value}, {least} to {most} is wanted.")
        MaskRCNNSettings(
            short_side_px=self.short_side_px,
            long_side_px=self.long_side_px,
            score_threshold=self.score_threshold,
        )


@dataclass(frozen=True)
class Counts:
    """How many images, boxes, and boxes with a polygon there are."""

    images: int
    boxes: int
    polygons: int


@dataclass(frozen=True)
class EpochRecord:
    """One epoch: mean losses, then the figures on the held-out subjects.

    `seconds_per_image` is the time of training alone; it does not count when records are compared.
    """

    epoch: int
    losses: Mapping[str, float]
    average_precision: float
    average_precision_50: float
    recall_50: float
    recall_75: float
    false_positives_per_image: float
    seconds_per_image: float = field(compare=False)


@dataclass(frozen=True)
class TrainingRecord:
    """What a training did; the content of the history file.

    `key` tells trainings of other images, settings or starting weights apart.
    """

    key: str
    config: MaskRCNNTraining
    body: str
    started_from: str
    start_sha256: str
    train_subjects: tuple[str, ...]
    held_out_subjects: tuple[str, ...]
    train_counts: Counts
    held_out_counts: Counts
    epochs: tuple[EpochRecord, ...] = ()
    weights_sha256: str = ""

    @property
    def best_epoch(self) -> EpochRecord:
        """The epoch with the highest average precision on the held-out subjects."""
        return max(self.epochs, key=lambda epoch: epoch.average_precision)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        best = self.best_epoch.epoch if self.epochs else None
        return {"schema": HISTORY_SCHEMA, **asdict(self), "best_epoch": best}


def read_record(content: Mapping[str, Any]) -> TrainingRecord:
    """Turn what `TrainingRecord.to_dict` gave back into the record."""
    values = {name: content[name] for name in TrainingRecord.__dataclass_fields__}
    values["config"] = MaskRCNNTraining(**values["config"])
    for name in ("train_subjects", "held_out_subjects"):
        values[name] = tuple(values[name])
    for name in ("train_counts", "held_out_counts"):
        values[name] = Counts(**values[name])
    values["epochs"] = tuple(EpochRecord(**epoch) for epoch in values["epochs"])
    return TrainingRecord(**values)
