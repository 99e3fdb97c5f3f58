"""A detector that finds nothing and returns everything: the whole frame, as a control."""

from __future__ import annotations

from collections.abc import Sequence

from canemo.records import Face, Image


class WholeFrameDetector:
    """Takes each picture as a whole for the face; see `canemo.faces.detect.protocol.Detector`.

    What a model of whole frames reads is not the face: rooms, bowls and people are in them too.
    With ``crop.square`` false the crop is the frame.
    """

    name = "whole_frame"
    fingerprint = "whole_frame-1"
    engine = "torch"
    score_threshold = 0.5

    def detect(self, images_rgb: Sequence[Image]) -> list[list[Face]]:
        """Return a single face per image (H, W, 3), as large as the image, with score 1."""
        sizes = [image.shape[:2] for image in images_rgb]
        return [[Face((0.0, 0.0, float(width), float(height)), 1.0)] for height, width in sizes]
