"""Detectors by name: what ships with canemo, or weights trained on one's own boxes."""

from __future__ import annotations

import logging
from pathlib import Path

from canemo.detect import fcos, mask_rcnn
from canemo.detect.network_files import read_metadata
from canemo.detect.protocol import Detector
from canemo.detect.whole_frame import WholeFrameDetector
from canemo.errors import ConfigError, EngineError, MissingExtraError, WeightsError
from canemo.species import SPECIES

logger = logging.getLogger(__name__)

SHIPPED = tuple(each.detector for each in SPECIES.values() if each.detector is not None)
WHOLE_FRAME = WholeFrameDetector.name


def load_detector(name: str, *, engine: str = "torch", device: str = "cpu") -> Detector:
    """Return the detector `name`: ``dog_head``, ``whole_frame``, or the path of a weights file.

    The file says of itself whether it holds a head detector or a Mask R-CNN. `engine` is what runs
    it: ``"torch"``, ``"openvino"``, or ``"auto"`` for the faster one here; `device` is a torch
    device. A Mask R-CNN has torch only.

    Raises
    ------
    ConfigError
        There is neither a detector nor a file of that name, or it does not run on the engine.
    MissingExtraError, EngineError
        The engine asked for is not installed, or cannot run the detector.
    WeightsError
        The file is no detector weights.
    """
    if name in SHIPPED:
        return fcos.load_head_detector(engine=engine, device=device)
    if name == WHOLE_FRAME:
        return WholeFrameDetector()
    path = Path(name)
    if path.is_file():
        return _load_file(path, engine, device)
    raise ConfigError(
        f"detector {name!r}: there are {' and '.join(map(repr, (*SHIPPED, WHOLE_FRAME)))}, or give "
        "the path of a weights file"
    )


def load_detector_like(name: str, *, engine: str, device: str = "cpu") -> Detector:
    """As `load_detector`, for something that was made elsewhere.

    Where this machine has not got the engine or device, a warning says so and what ``auto`` means
    here takes its place: it answers alike.
    """
    try:
        return load_detector(name, engine=engine, device=device)
    except (MissingExtraError, EngineError) as exc:
        found = load_detector(name, engine="auto")
        logger.warning("%s; %s runs the detector instead", exc, found.engine)
        return found


def _load_file(path: Path, engine: str, device: str) -> Detector:
    architecture = read_metadata(path).get("architecture")
    if architecture == fcos.ARCHITECTURE:
        return fcos.load_head_detector(path, engine=engine, device=device)
    if architecture in mask_rcnn.ARCHITECTURES.values():
        if engine == "openvino":
            raise ConfigError(f"{path}: a Mask R-CNN runs on the engine torch only")
        return mask_rcnn.load_mask_rcnn(path, device=device)
    known = [fcos.ARCHITECTURE, *mask_rcnn.ARCHITECTURES.values()]
    raise WeightsError(
        f"{path}: is no detector: it holds the architecture {architecture!r}, one of {known} is "
        "wanted. Give a file that a training of canemo's detectors wrote."
    )
