"""Boxes and polygons as drawn: cut to their image, turned, bounded. Pixels, x to the right."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias

from canemo.errors import AnnotationError
from canemo.records import Box

Point: TypeAlias = tuple[float, float]
"""`(x, y)` in pixels."""

Polygon: TypeAlias = tuple[Point, ...]
"""The corners of a closed outline, `(x, y)` in pixels."""


def measure_area(box: Box) -> float:
    """Return the area of a box in square pixels."""
    return (box[2] - box[0]) * (box[3] - box[1])


def clip_box(box_xyxy: Box, *, width: int, height: int) -> Box:
    """Cut a box to an image of `width` x `height` pixels.

    Raises
    ------
    AnnotationError
        If no area of the box is inside the image.
    """
    x0, y0, x1, y1 = box_xyxy
    clipped = max(x0, 0.0), max(y0, 0.0), min(x1, float(width)), min(y1, float(height))
    if not (clipped[2] > clipped[0] and clipped[3] > clipped[1]):
        raise AnnotationError(
            f"the box from ({x0:g}, {y0:g}) to ({x1:g}, {y1:g}) has no area inside its image of "
            f"{width} x {height} pixels."
        )
    return clipped


def clip_polygon(polygon: Polygon, *, width: int, height: int) -> Polygon:
    """Cut a polygon to an image, empty where no area of it is inside.

    References
    ----------
    .. [1] Sutherland & Hodgman, Reentrant polygon clipping, doi:10.1145/360767.360802
    """
    for axis, limit, keeps_above in (
        (0, 0, True),
        (0, width, False),
        (1, 0, True),
        (1, height, False),
    ):
        polygon = _cut_at(polygon, axis, float(limit), keeps_above=keeps_above)
    return polygon if compute_area(polygon) > 0 else ()


def _cut_at(polygon: Polygon, axis: int, limit: float, *, keeps_above: bool) -> Polygon:
    def inside(point: Point) -> bool:
        return point[axis] >= limit if keeps_above else point[axis] <= limit

    kept: list[Point] = []
    for start, end in zip((*polygon[-1:], *polygon[:-1]), polygon, strict=True):
        if inside(start) != inside(end):
            kept.append(_crossing(start, end, axis, limit))
        if inside(end):
            kept.append(end)
    return tuple(kept)


def _crossing(start: Point, end: Point, axis: int, limit: float) -> Point:
    share = (limit - start[axis]) / (end[axis] - start[axis])
    other = start[1 - axis] + share * (end[1 - axis] - start[1 - axis])
    return (limit, other) if axis == 0 else (other, limit)


def compute_area(polygon: Polygon) -> float:
    """Compute the area of a polygon [px²] by the shoelace formula."""
    doubled = sum(
        x0 * y1 - x1 * y0
        for (x0, y0), (x1, y1) in zip(polygon, (*polygon[1:], *polygon[:1]), strict=True)
    )
    return abs(doubled) / 2


def bound_points(points: Iterable[Point]) -> Box:
    """Return the smallest box around points."""
    xs, ys = zip(*points, strict=True)
    return min(xs), min(ys), max(xs), max(ys)


def pair_up(flat: Sequence[float]) -> Polygon:
    """Turn x, y, x, y, ... into a polygon.

    Raises
    ------
    AnnotationError
        If the numbers are not pairs, or fewer than three points.
    """
    if len(flat) % 2 or len(flat) < 6:
        raise AnnotationError(
            f"a polygon has {len(flat)} numbers, x and y of three points or more are wanted."
        )
    return tuple((float(x), float(y)) for x, y in zip(flat[::2], flat[1::2], strict=True))


def turn_box(box_xyxy: Box, *, angle_deg: float, about: Point) -> Polygon:
    """Turn a box clockwise, as seen on the screen, about a point."""
    x0, y0, x1, y1 = box_xyxy
    turn = _turner(math.radians(angle_deg), about)
    return tuple(turn(corner) for corner in ((x0, y0), (x1, y0), (x1, y1), (x0, y1)))


def _turner(angle_rad: float, about: Point) -> Callable[[Point], Point]:
    cosine, sine = math.cos(angle_rad), math.sin(angle_rad)

    def turn(point: Point) -> Point:
        dx, dy = point[0] - about[0], point[1] - about[1]
        return about[0] + dx * cosine - dy * sine, about[1] + dx * sine + dy * cosine

    return turn


def bound_ellipse(centre: Point, radii: Point, *, angle_rad: float = 0.0) -> Box:
    """Return the smallest box around an ellipse that is turned by `angle_rad`."""
    cosine, sine = math.cos(angle_rad), math.sin(angle_rad)
    half_width = math.hypot(radii[0] * cosine, radii[1] * sine)
    half_height = math.hypot(radii[0] * sine, radii[1] * cosine)
    x, y = centre
    return x - half_width, y - half_height, x + half_width, y + half_height
