"""Raised surfaces: ellipsoids seen from the front, merged into one height field and lit.

Space is measured in head units (about half the width of a skull): x to the right, y down, z towards
the viewer. A picture is the orthographic view along z.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, uniform_filter

Floats: TypeAlias = NDArray[np.float32]

FAR = -9.0
"""Height [head units] where nothing was drawn."""


class Material(IntEnum):
    """What a part is made of."""

    NOTHING = 0
    FUR = 1
    EAR = 2
    INNER_EAR = 3
    NOSE = 4
    MOUTH = 5
    TONGUE = 6
    TEETH = 7
    JAW = 8


@dataclass(frozen=True)
class Part:
    """An ellipsoid; the columns of `axes` are the directions of its `radii`.

    `blend` [head units] is how softly it merges with what was drawn before; 0 cuts hard.
    """

    centre: tuple[float, float, float]
    radii: tuple[float, float, float]
    material: Material = Material.FUR
    blend: float = 0.12
    axes: Floats = field(default_factory=lambda: np.eye(3, dtype=np.float32))


@dataclass(frozen=True)
class Grid:
    """The window of space that is drawn, and its resolution in pixels per head unit."""

    x0: float
    y0: float
    x1: float
    y1: float
    px_per_unit: float

    def compute_axes(self) -> tuple[Floats, Floats]:
        """Return x (1, W) and y (H, 1) of the pixel centres [head units]."""
        columns = round((self.x1 - self.x0) * self.px_per_unit)
        rows = round((self.y1 - self.y0) * self.px_per_unit)
        x = self.x0 + (np.arange(columns, dtype=np.float32) + 0.5) / self.px_per_unit
        y = self.y0 + (np.arange(rows, dtype=np.float32) + 0.5) / self.px_per_unit
        return x[None, :], y[:, None]


@dataclass(frozen=True)
class Surface:
    """A height field of merged parts.

    Attributes
    ----------
    height
        (H, W) z of the front [head units], `FAR` where there is nothing.
    inside
        (H, W) distance to the outline [head units], positive inside.
    material
        (H, W) `Material` of the frontmost part.
    points
        (3, H, W) the front in the coordinates of the parts, before they were turned.
    """

    height: Floats
    inside: Floats
    material: NDArray[np.uint8]
    points: Floats


def make_rotation(yaw_deg: float = 0.0, pitch_deg: float = 0.0, roll_deg: float = 0.0) -> Floats:
    """Return the rotation that rolls, then nods (positive: down), then turns (positive: right)."""
    yaw, pitch, roll = np.radians([yaw_deg, pitch_deg, roll_deg])
    about_y = [[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]]
    about_x = [[1, 0, 0], [0, np.cos(pitch), np.sin(pitch)], [0, -np.sin(pitch), np.cos(pitch)]]
    about_z = [[np.cos(roll), -np.sin(roll), 0], [np.sin(roll), np.cos(roll), 0], [0, 0, 1]]
    return np.asarray(np.array(about_y) @ about_x @ about_z, dtype=np.float32)


def fit_grid(
    parts: Sequence[Part], rotation: Floats, px_per_unit: float, *, margin: float = 0.1
) -> Grid:
    """Return the smallest window that shows all the parts with a margin [head units]."""
    bounds = [_find_bounds(part, rotation) for part in parts]
    x0, y0 = np.min([low for low, _ in bounds], axis=0) - margin
    x1, y1 = np.max([high for _, high in bounds], axis=0) + margin
    return Grid(float(x0), float(y0), float(x1), float(y1), px_per_unit)


def _find_bounds(part: Part, rotation: Floats) -> tuple[Floats, Floats]:
    """Return the low and high corner (x, y) of a turned ellipsoid."""
    centre = (rotation @ np.asarray(part.centre, np.float32))[:2]
    radii = (rotation @ part.axes * np.asarray(part.radii, np.float32))[:2]
    reach = np.linalg.norm(radii, axis=1).astype(np.float32)
    return centre - reach, centre + reach


def raise_surface(parts: Sequence[Part], rotation: Floats, grid: Grid) -> Surface:
    """Merge turned parts into one height field; later parts win where heights are equal."""
    x, y = grid.compute_axes()
    shape = (y.shape[0], x.shape[1])
    height = np.full(shape, FAR, np.float32)
    inside = np.full(shape, FAR, np.float32)
    material = np.zeros(shape, np.uint8)
    for part in parts:
        _add_part(part, rotation, (x, y), (height, inside, material))
    seen = np.stack([np.broadcast_to(x, shape), np.broadcast_to(y, shape), height])
    points = np.tensordot(rotation.T, seen, axes=1).astype(np.float32)
    return Surface(height, inside, material, points)


def _add_part(
    part: Part,
    rotation: Floats,
    axes_xy: tuple[Floats, Floats],
    layers: tuple[Floats, Floats, NDArray[np.uint8]],
) -> None:
    """Merge one turned ellipsoid into the layers (height, inside, material), in place."""
    centre = rotation @ np.asarray(part.centre, np.float32)
    turned = rotation @ part.axes
    form = (turned / np.square(part.radii)) @ turned.T
    window = _find_window(axes_xy, *_find_bounds(part, rotation))
    dx, dy = axes_xy[0][:, window[1]] - centre[0], axes_xy[1][window[0]] - centre[1]
    depth = form[2, 2]
    slope = form[0, 2] * dx + form[1, 2] * dy
    quadratic = form[0, 0] * dx**2 + 2 * form[0, 1] * dx * dy + form[1, 1] * dy**2
    root = slope**2 - depth * (quadratic - 1)
    rim = 1 - np.sqrt(np.maximum(1 - root / depth, 0))
    beyond = 4 * np.minimum(rim, 0)
    front = centre[2] + (np.sqrt(np.maximum(root, 0)) - slope) / depth + beyond
    height, inside, material = layers[0][window], layers[1][window], layers[2][window]
    material[(front > height) & (rim > 0)] = part.material
    hard = np.where((rim > 0) & (front > height), front, height)
    height[...] = _merge_softly(height, front, part.blend) if part.blend > 0 else hard
    np.maximum(inside, rim * min(part.radii[0], part.radii[1]), out=inside)


def _find_window(axes_xy: tuple[Floats, Floats], low: Floats, high: Floats) -> tuple[slice, slice]:
    """Return the rows and columns around an ellipsoid, with room for blending."""
    room = 0.125 * (high - low) + 0.02
    columns = np.searchsorted(axes_xy[0][0], [low[0] - room[0], high[0] + room[0]])
    rows = np.searchsorted(axes_xy[1][:, 0], [low[1] - room[1], high[1] + room[1]])
    return slice(*map(int, rows)), slice(*map(int, columns))


def _merge_softly(height: Floats, front: Floats, blend: float) -> Floats:
    """Return the larger height, rounded off where the two lie within `blend` of each other."""
    overlap = np.maximum(blend - np.abs(height - front), 0)
    return np.asarray(np.maximum(height, front) + overlap**2 / (4 * blend), dtype=np.float32)


def compute_normals(height: Floats, px_per_unit: float) -> Floats:
    """Return the unit normals (3, H, W) of a height field, softened by a third of a pixel."""
    smooth = gaussian_filter(np.maximum(height, -2.0), 0.8)
    down, right = np.gradient(smooth * np.float32(px_per_unit))
    normals = np.stack([-right, -down, np.ones_like(smooth)])
    return np.asarray(normals / np.linalg.norm(normals, axis=0), dtype=np.float32)


def compute_occlusion(height: Floats, inside: Floats, px_per_unit: float) -> Floats:
    """Return how open each point lies to the room, (H, W), 1 = open, less in hollows and folds."""
    solid = inside > 0
    floor = np.where(solid, height, height[solid].min() if solid.any() else 0)
    openness = np.ones_like(height)
    for radius, strength in ((0.06, 3.0), (0.22, 0.9)):
        size = max(3, round(2 * radius * px_per_unit))
        around = uniform_filter(uniform_filter(floor, size), size)
        openness *= np.exp(-strength * np.clip(around - floor, 0, 0.5))
    return openness


def smooth_step(low: float, high: float, value: Floats) -> Floats:
    """Return 0 below `low`, 1 above `high` and a smooth ramp between; `low` may exceed `high`."""
    ramp = np.clip((value - low) / (high - low), 0, 1)
    return np.asarray(ramp * ramp * (3 - 2 * ramp), dtype=np.float32)


def mix(first: Floats, second: Floats, weight: Floats) -> Floats:
    """Return `first` where `weight` (H, W) is 0 and `second` where it is 1, colours (..., 3)."""
    return np.asarray(first + (second - first) * weight[..., None], dtype=np.float32)
