"""What every face detector can do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from canemo.records import Face, Frame, Image, Video


class Detector(Protocol):
    """Finds faces in images.

    Attributes
    ----------
    name
        Short name shown in reports, e.g. ``"dog_head"``.
    fingerprint
        SHA-256 of weights and settings: two detectors that may answer differently differ here. Of a
        detector that another package adds, name and version of the package count too, so they need
        not be part of it; but a package must change its version whenever its code may answer
        differently.
    engine
        What runs it, ``"torch"`` or ``"openvino"``: the same answers but for rounding.
    score_threshold
        Scores at or above it count as a face. `detect` may return fainter ones, so that the ledger
        can tell "nothing there" from "something faint there".
    """

    name: str
    fingerprint: str
    engine: str
    score_threshold: float

    def detect(self, images_rgb: Sequence[Image]) -> list[list[Face]]:
        """Return the faces of each image, best score first.

        Parameters
        ----------
        images_rgb
            N images, each (H, W, 3) uint8, RGB; sizes may differ.

        Returns
        -------
        list of list of Face
            N lists; boxes in pixels of the image given, clipped to it.
        """
        ...


@runtime_checkable
class FrameDetector(Protocol):
    """Knows the faces of a video by which frame it is asked about, not by what the frame shows."""

    def detect_in(self, frames: Sequence[Frame]) -> list[list[Face]]:
        """Return the faces of each frame, best score first, as `Detector.detect` does."""
        ...


@runtime_checkable
class VideoDetector(Protocol):
    """A detector that must know which video it is asked about."""

    def in_video(self, video: Video, *, max_gap_s: float) -> FrameDetector:
        """Return what answers for the frames of one video.

        Parameters
        ----------
        video
            Which.
        max_gap_s
            How far apart two frames may be that something is said between [s].
        """
        ...
