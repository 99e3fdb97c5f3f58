"""Boxes: overlap, area, blending."""

from __future__ import annotations

from collections.abc import Sequence

from canemo.formats.boxes.shapes import measure_area
from canemo.records import Box, Face


def compute_iou(a: Box, b: Box) -> float:
    """Return the intersection over union of two boxes, 0 to 1."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    overlap = width * height
    return overlap / (measure_area(a) + measure_area(b) - overlap)


def blend_boxes(a: Box, b: Box, share: float) -> Box:
    """Return the box that lies `share`, 0 to 1, of the way from `a` to `b`."""
    x0, y0, x1, y1 = (u + share * (v - u) for u, v in zip(a, b, strict=True))
    return (x0, y0, x1, y1)


def list_faces(boxes_xyxy: Sequence[Sequence[float]], scores: Sequence[float]) -> list[Face]:
    """Return the faces that a detector's boxes and scores stand for; empty boxes are none."""
    return [
        Face((x0, y0, x1, y1), score)
        for (x0, y0, x1, y1), score in zip(boxes_xyxy, scores, strict=True)
        if x1 > x0 and y1 > y0
    ]
