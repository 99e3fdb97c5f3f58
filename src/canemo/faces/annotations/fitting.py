"""Faces as drawn, cut to the picture they are on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from canemo.formats.boxes.coco import AnnotatedImage
from canemo.formats.boxes.labelled import DrawnFace
from canemo.formats.boxes.shapes import Point, clip_box, clip_polygon
from canemo.formats.problems import Problems


def fit_face(face: DrawnFace, size: tuple[int, int]) -> DrawnFace:
    """Cut a face's box and outlines to a picture of the given width and height [px].

    Raises
    ------
    AnnotationError
        If no area of the box is inside.
    """
    width, height = size
    inside = (clip_polygon(polygon, width=width, height=height) for polygon in face.polygons)
    box = clip_box(face.box_xyxy, width=width, height=height)
    return replace(face, box_xyxy=box, polygons=tuple(filter(None, inside)))


def fit_faces(
    faces: Sequence[DrawnFace], size: tuple[int, int], problems: Problems
) -> list[DrawnFace]:
    """Cut faces to their picture; those with no area inside are noted and left out."""
    fitted = []
    for face in faces:
        with problems.gather(face.where):
            fitted.append(fit_face(face, size))
    return fitted


def scale_face(face: DrawnFace, factors: Point) -> DrawnFace:
    """Multiply all x and y of a face by the two factors."""
    by_x, by_y = factors
    x0, y0, x1, y1 = face.box_xyxy
    polygons = tuple(tuple((x * by_x, y * by_y) for x, y in one) for one in face.polygons)
    return replace(face, box_xyxy=(x0 * by_x, y0 * by_y, x1 * by_x, y1 * by_y), polygons=polygons)


def annotate(
    path: Path, size: tuple[int, int], faces: Sequence[DrawnFace], extra: Mapping[str, Any]
) -> AnnotatedImage:
    """Put faces that are cut to an image and the image together."""
    return AnnotatedImage(
        path=path,
        width=size[0],
        height=size[1],
        boxes_xyxy=tuple(face.box_xyxy for face in faces),
        categories=tuple(face.label for face in faces),
        extra=extra,
        polygons=tuple(face.polygons for face in faces),
    )
