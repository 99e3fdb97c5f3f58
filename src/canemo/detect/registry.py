"""Detectors by name: the one that ships with canemo, or weights trained on one's own boxes."""

from __future__ import annotations

from pathlib import Path

from canemo.detect import fcos, mask_rcnn
from canemo.detect.protocol import Detector
from canemo.errors import ConfigError, WeightsError

SHIPPED = "dog_head"


def load_detector(name: str, *, engine: str = "torch") -> Detector:
    """Return the detector `name`: ``dog_head``, or the path of a weights file.

    The file says of itself whether it holds a head detector or a Mask R-CNN. `engine` is what runs
    it: ``"torch"``, ``"openvino"``, or ``"auto"`` for the faster one here; a Mask R-CNN has torch
    only.

    Raises
    ------
    ConfigError
        There is neither a detector nor a file of that name, or it does not run on the engine.
    MissingExtraError, EngineError
        The engine asked for is not installed, or cannot run the detector.
    WeightsError
        The file is no detector weights.
    """
    if name == SHIPPED:
        return fcos.load_head_detector(engine=engine)
    path = Path(name)
    if path.is_file():
        return _load_file(path, engine)
    raise ConfigError(
        f"detector {name!r}: there is {SHIPPED!r}, or give the path of a weights file"
    )


def _load_file(path: Path, engine: str) -> Detector:
    architecture = mask_rcnn.read_metadata(path).get("architecture")
    if architecture == fcos.ARCHITECTURE:
        return fcos.load_head_detector(path, engine=engine)
    if architecture in mask_rcnn.ARCHITECTURES.values():
        if engine == "openvino":
            raise ConfigError(f"{path}: a Mask R-CNN runs on the engine torch only")
        return mask_rcnn.load_mask_rcnn(path)
    known = [fcos.ARCHITECTURE, *mask_rcnn.ARCHITECTURES.values()]
    raise WeightsError(
        f"{path}: is no detector: it holds the architecture {architecture!r}, one of {known} is "
        "wanted. Give a file that a training of canemo's detectors wrote."
    )
