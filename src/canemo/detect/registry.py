"""Detectors by name: the one that ships with canemo, or weights trained on one's own boxes."""

from __future__ import annotations

from pathlib import Path

from canemo.detect.fcos import load_head_detector
from canemo.detect.protocol import Detector
from canemo.errors import ConfigError

SHIPPED = "dog_head"


def load_detector(name: str) -> Detector:
    """Return the detector `name`: ``dog_head``, or the path of a weights file.

    Raises
    ------
    ConfigError
        There is neither a detector nor a file of that name.
    WeightsError
        The file is no detector weights.
    """
    if name == SHIPPED:
        return load_head_detector()
    path = Path(name)
    if path.is_file():
        return load_head_detector(path)
    raise ConfigError(
        f"detector {name!r}: there is {SHIPPED!r}, or give the path of a weights file"
    )
