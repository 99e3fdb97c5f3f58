"""Detectors by name: canemo's own, those that packages add, or weights of one's own training."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeAlias

from canemo.errors import ConfigError, EngineError, MissingExtraError, WeightsError
from canemo.faces.detect import head_fcos, mask_rcnn
from canemo.faces.detect.drawn_boxes import load_drawn_boxes
from canemo.faces.detect.protocol import Detector
from canemo.faces.detect.whole_frame import WholeFrameDetector
from canemo.files import hash_values
from canemo.networks.network_files import read_metadata
from canemo.records import Face, Image
from canemo.registry import Registry
from canemo.species import SPECIES

logger = logging.getLogger(__name__)

SHIPPED = tuple(each.detector for each in SPECIES.values() if each.detector is not None)
WHOLE_FRAME = WholeFrameDetector.name

DetectorFactory: TypeAlias = Callable[[str, str], Detector]
"""Makes a detector for an engine (``"torch"``, ``"openvino"``, ``"auto"``) and a torch device."""

DETECTORS: dict[str, DetectorFactory] = {
    **dict.fromkeys(
        SHIPPED,
        lambda engine, device: head_fcos.load_head_detector(engine=engine, device=device),
    ),
    WHOLE_FRAME: lambda engine, device: WholeFrameDetector(),
}

_WANTED = ("fingerprint", "engine", "score_threshold", "detect")


class AddedDetector:
    """A detector that a package adds, known by that package and its version too."""

    def __init__(self, detector: Detector, name: str, origin: str) -> None:
        self.name = name
        self.fingerprint = hash_values(name=name, origin=origin, fingerprint=detector.fingerprint)
        self.engine = detector.engine
        self.score_threshold = detector.score_threshold
        self._detector = detector

    def detect(self, images_rgb: Sequence[Image]) -> list[list[Face]]:
        """Return the faces of each image, best score first."""
        return self._detector.detect(images_rgb)


def _admit(offered: object, name: str, origin: str) -> DetectorFactory:
    if not callable(offered):
        raise ConfigError(
            f"it is a {type(offered).__name__}, a function (engine, device) -> Detector is wanted"
        )

    def make(engine: str, device: str) -> Detector:
        detector = offered(engine, device)
        lacking = [each for each in _WANTED if not hasattr(detector, each)]
        if lacking:
            raise ConfigError(
                f"the detector {name!r} of {origin} has no {', '.join(lacking)}; see "
                "canemo.faces.detect.protocol.Detector"
            )
        return AddedDetector(detector, name, origin)

    return make


ALL_DETECTORS = Registry("detector", DETECTORS, _admit)


def load_detector(name: str, *, engine: str = "torch", device: str = "cpu") -> Detector:
    """Return the detector `name`, one of `ALL_DETECTORS`, or that of the path of a file.

    A ``.json`` file holds boxes drawn on frames of a study, which stand in for a detector there.
    A weights file says of itself whether it holds a head detector or a Mask R-CNN. `engine` is what
    runs it: ``"torch"``, ``"openvino"``, or ``"auto"`` for the faster one here; `device` is a torch
    device. A Mask R-CNN has torch only.

    Raises
    ------
    ConfigError
        There is neither a detector nor a file of that name, or it does not run on the engine.
    MissingExtraError, EngineError
        The engine asked for is not installed, or cannot run the detector.
    WeightsError
        The file is no detector weights.
    AnnotationError
        The boxes cannot be used.
    """
    make = ALL_DETECTORS.get(name)
    if make is not None:
        return make(engine, device)
    path = Path(name)
    if path.is_file() and is_drawn(name):
        return load_drawn_boxes(path)
    if path.is_file():
        return _load_file(path, engine, device)
    raise ConfigError(
        f"detector {name!r}: there are {', '.join(ALL_DETECTORS)}, or give the path of a weights "
        "file, or of a study's faces.json"
    )


def is_drawn(name: str) -> bool:
    """Return whether a detector's name is that of a file of boxes, which know one study only."""
    return Path(name).suffix == ".json"


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
    if architecture == head_fcos.ARCHITECTURE:
        return head_fcos.load_head_detector(path, engine=engine, device=device)
    if architecture in mask_rcnn.ARCHITECTURES.values():
        if engine == "openvino":
            raise ConfigError(f"{path}: a Mask R-CNN runs on the engine torch only")
        return mask_rcnn.load_mask_rcnn(path, device=device)
    known = [head_fcos.ARCHITECTURE, *mask_rcnn.ARCHITECTURES.values()]
    raise WeightsError(
        f"{path}: is no detector: it holds the architecture {architecture!r}, one of {known} is "
        "wanted. Give a file that a training of canemo's detectors wrote."
    )
