"""A drawn clip: one dog in one room with one expression, moving a little."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache, partial

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from canemo.records import Box
from canemo.video.drawn.coat import Fur, grow_fur, paint_sprite
from canemo.video.drawn.dog import Dog, Expression, make_body, make_head
from canemo.video.drawn.scene import Scene, sample_scene
from canemo.video.drawn.surface import (
    Grid,
    Material,
    Surface,
    fit_grid,
    make_rotation,
    raise_surface,
    smooth_step,
)

MOUTH_SWING = 0.10
"""How far breathing moves the mouth to either side of its expression."""

OVERSIZE = 1.15
"""Size of a head's sprite over its size in the frame, so that turning it does not blur it."""

GRAIN_SHIFT = 97
"""By how many pixels at most the sensor noise of two frames is shifted."""

BOX_MARGIN = 0.03
"""What a head box adds on each side, as a share of its width and height."""


@dataclass(frozen=True)
class Pose:
    """Where the dog sits and how it holds its head; slow sways have a phase and a period.

    `x` and `y` [share of the frame] place the middle of the skull, `unit` [share of the frame's
    height] is one head unit.
    """

    x: float
    y: float
    unit: float
    yaw_deg: float
    pitch_deg: float
    roll_deg: float
    body_yaw_deg: float
    phases: tuple[float, float, float, float]
    periods_s: tuple[float, float, float, float]
    blink_s: float


@dataclass(frozen=True)
class Clip:
    """Everything that decides the pixels of a clip."""

    dog: Dog
    scene: Scene
    pose: Pose
    expression: Expression
    size: tuple[int, int]
    noise_seed: int


@dataclass(frozen=True)
class HeadPlace:
    """Boxes of the head and of the parts that carry the expression, in pixels of the frame."""

    box_xyxy: Box
    left_ear_xyxy: Box
    right_ear_xyxy: Box
    mouth_xyxy: Box


@dataclass(frozen=True)
class DrawnFrame:
    """A frame of a drawn clip: (H, W, 3) uint8, RGB, and where the head is in it."""

    image_rgb: NDArray[np.uint8]
    head: HeadPlace


@dataclass(frozen=True)
class _Sprite:
    """A picture with transparency; `origin_xy` is the pixel of the head's origin."""

    image: Image.Image
    origin_xy: tuple[float, float]


@dataclass(frozen=True)
class _Head:
    """The sprite of a head and the outlines of its parts.

    `outlines` holds (N, 2) points relative to the origin [pixels of the sprite], in the order of
    `HeadPlace`.
    """

    sprite: _Sprite
    outlines: tuple[NDArray[np.float64], ...]


def sample_pose(rng: np.random.Generator) -> Pose:
    """Draw a pose."""
    phases = rng.uniform(0, 2 * np.pi, 4)
    periods_s = rng.uniform((2.5, 3.0, 1.4, 0.45), (5.0, 6.0, 2.4, 0.75))
    return Pose(
        x=float(rng.uniform(0.36, 0.64)),
        y=float(rng.uniform(0.36, 0.46)),
        unit=float(rng.uniform(0.140, 0.185)),
        yaw_deg=float(np.clip(rng.normal(0, 9), -22, 22)),
        pitch_deg=float(rng.uniform(-2, 12)),
        roll_deg=float(np.clip(rng.normal(0, 5), -12, 12)),
        body_yaw_deg=float(rng.uniform(-20, 20)),
        phases=(float(phases[0]), float(phases[1]), float(phases[2]), float(phases[3])),
        periods_s=tuple(map(float, periods_s)),  # type: ignore[arg-type]
        blink_s=float(rng.uniform(0.2, 1.8)),
    )


def make_clip(
    dog: Dog, expression: Expression, *, size: tuple[int, int], rng: np.random.Generator
) -> Clip:
    """Choose room, light and pose for an expression, without looking at the expression."""
    scene = sample_scene(size, rng)
    return Clip(dog, scene, sample_pose(rng), expression, size, int(rng.integers(2**31)))


def iter_frames(clip: Clip, *, frames: int, fps: int) -> Iterator[DrawnFrame]:
    """Yield the frames of a clip.

    Notes
    -----
    The head is raised and lit once for each of three openings of the mouth, and with closed eyes;
    frames move, turn and stretch these pictures. The same clip gives the same pixels.
    """
    fur = grow_fur(clip.dog.fur_seed)
    draw_head = cache(partial(_draw_head, clip, fur))
    stage = draw_stage(clip, fur)
    rng = np.random.default_rng(clip.noise_seed)
    grain = _make_grain(clip, rng)
    for index in range(frames):
        time_s = index / fps
        breath = _sway(clip.pose, 3, time_s)
        is_blink = 0 <= time_s - clip.pose.blink_s < 0.16
        head = draw_head(round(1.2 * breath), 0.12 if is_blink else 1.0)
        matrix = _find_head_matrix(clip, time_s)
        image = stage.copy()
        _paste(image, head.sprite, matrix)
        row, column = rng.integers(0, GRAIN_SHIFT, 2)
        noise = grain[row : row + clip.size[1], column : column + clip.size[0]]
        image_rgb = _expose(image, 1 + 0.02 * _sway(clip.pose, 1, time_s), noise)
        yield DrawnFrame(image_rgb, _place_head(head, matrix, clip.size))


def _make_grain(clip: Clip, rng: np.random.Generator) -> NDArray[np.int16]:
    """Return sensor noise (H, W, 1) larger than a frame, to be cut at another place each time."""
    width, height = clip.size
    grain = rng.standard_normal((height + GRAIN_SHIFT, width + GRAIN_SHIFT, 1), np.float32)
    return np.asarray(np.rint(clip.scene.noise * grain), np.int16)


def _expose(image: Image.Image, gain: float, noise: NDArray[np.int16]) -> NDArray[np.uint8]:
    """Return the pixels under a lamp of strength `gain`, with sensor noise."""
    lit = image.point([min(255, round(gain * level)) for level in range(256)] * 3)
    noisy = np.asarray(lit, np.int16) + noise
    return np.clip(noisy, 0, 255, out=noisy).astype(np.uint8)


def _sway(pose: Pose, which: int, time_s: float) -> float:
    """Return a slow oscillation between -1 and 1."""
    return float(np.sin(2 * np.pi * time_s / pose.periods_s[which] + pose.phases[which]))


def _draw_head(clip: Clip, fur: Fur, swing: int, eyes: float) -> _Head:
    """Return the head at one moment of breathing, larger than in the frame by `OVERSIZE`."""
    mouth = clip.expression.mouth
    mouth = float(np.clip(mouth + swing * MOUTH_SWING * (0.3 + mouth), 0, 1.1))
    expression = replace(clip.expression, mouth=mouth, eyes=eyes)
    turn = make_rotation(clip.pose.yaw_deg, clip.pose.pitch_deg, clip.pose.roll_deg)
    parts = make_head(clip.dog, expression)
    grid = fit_grid(parts, turn, OVERSIZE * clip.pose.unit * clip.size[1])
    surface = raise_surface(parts, turn, grid)
    rgba = paint_sprite(clip.dog, fur, surface, grid, clip.scene.light, expression)
    sprite = _make_sprite(rgba, grid)
    origin_xy = -grid.px_per_unit * np.array([grid.x0, grid.y0])
    masks = _find_parts(surface, rgba[..., 3] > 127)
    return _Head(sprite, tuple(_trace_outline(mask) - origin_xy for mask in masks))


def _find_parts(surface: Surface, solid: NDArray[np.bool_]) -> list[NDArray[np.bool_]]:
    """Return masks of the head, the ears on the left and on the right, and the mouth.

    The head ends at the chin: a tongue that hangs out further is not part of it.
    """
    x, y, z = surface.points
    ears = solid & np.isin(surface.material, (Material.EAR, Material.INNER_EAR))
    inner = (Material.JAW, Material.MOUTH, Material.TONGUE, Material.TEETH)
    mouth = np.isin(surface.material, inner) | ((y > 0.62) & (z > 0.4))
    head = solid & (surface.material != Material.TONGUE)
    return [head, ears & (x < 0), ears & (x >= 0), solid & mouth]


def _trace_outline(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the (N, 2) left and right ends of a mask's rows; its corner if it is empty."""
    rows = np.flatnonzero(mask.any(axis=1))
    if not rows.size:
        return np.zeros((1, 2))
    left = mask[rows].argmax(axis=1)
    right = mask.shape[1] - mask[rows, ::-1].argmax(axis=1)
    ends = [np.stack([left, rows], 1), np.stack([right, rows + 1], 1)]
    return np.concatenate(ends).astype(np.float64)


def _make_sprite(rgba: NDArray[np.uint8], grid: Grid) -> _Sprite:
    """Wrap RGBA pixels, cut to what is not transparent."""
    x, y = -grid.x0 * grid.px_per_unit, -grid.y0 * grid.px_per_unit
    image = Image.fromarray(rgba)
    left, top, right, bottom = image.getchannel("A").getbbox() or (0, 0, *image.size)
    return _Sprite(image.crop((left, top, right, bottom)), (x - left, y - top))


def _find_head_matrix(clip: Clip, time_s: float) -> NDArray[np.float64]:
    """Return the (2, 3) matrix from sprite pixels (relative to its origin) to frame pixels."""
    width, height = clip.size
    pose = clip.pose
    roll = np.radians(2.2 * _sway(pose, 0, time_s))
    scale = (1 + 0.012 * _sway(pose, 2, time_s)) / OVERSIZE
    x = pose.x * width + 0.10 * pose.unit * height * _sway(pose, 1, time_s)
    y = pose.y * height + 0.05 * pose.unit * height * _sway(pose, 2, time_s)
    cosine, sine = scale * np.cos(roll), scale * np.sin(roll)
    return np.array([[cosine, -sine, x], [sine, cosine, y]])


def _paste(image: Image.Image, sprite: _Sprite, matrix: NDArray[np.float64]) -> None:
    """Draw a sprite through a (2, 3) matrix onto an RGB picture, in place."""
    corners = _apply(matrix, _list_corners(sprite))
    x0, y0 = np.floor(corners.min(axis=0)).astype(int)
    x1, y1 = np.ceil(corners.max(axis=0)).astype(int)
    back = np.linalg.inv(matrix[:, :2])
    shift = np.array(sprite.origin_xy) + back @ (np.array([x0, y0]) - matrix[:, 2])
    data = (*back[0], shift[0], *back[1], shift[1])
    moved = sprite.image.transform(
        (x1 - x0, y1 - y0),
        Image.Transform.AFFINE,
        tuple(map(float, data)),
        Image.Resampling.BILINEAR,
    )
    image.paste(moved, (int(x0), int(y0)), moved)


def _list_corners(sprite: _Sprite) -> NDArray[np.float64]:
    """Return the four corners of a sprite relative to its origin."""
    width, height = sprite.image.size
    corners = np.array([(0, 0), (width, 0), (0, height), (width, height)], np.float64)
    return np.asarray(corners - np.array(sprite.origin_xy))


def _apply(matrix: NDArray[np.float64], points_xy: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return (N, 2) points moved by a (2, 3) matrix."""
    return np.asarray(points_xy @ matrix[:, :2].T + matrix[:, 2])


def _place_head(head: _Head, matrix: NDArray[np.float64], size: tuple[int, int]) -> HeadPlace:
    """Return the boxes of the moved outlines; that of the head has a margin."""
    whole, left_ear, right_ear, mouth = (_apply(matrix, outline) for outline in head.outlines)
    return HeadPlace(
        _find_box(whole, size, margin=BOX_MARGIN),
        _find_box(left_ear, size),
        _find_box(right_ear, size),
        _find_box(mouth, size),
    )


def _find_box(points_xy: NDArray[np.float64], size: tuple[int, int], *, margin: float = 0.0) -> Box:
    """Return the box around points, clipped to the frame."""
    low, high = points_xy.min(axis=0), points_xy.max(axis=0)
    extra = margin * (high - low)
    x0, y0 = np.clip(low - extra, 0, size)
    x1, y1 = np.clip(high + extra, 0, size)
    return float(x0), float(y0), float(x1), float(y1)


def draw_stage(clip: Clip, fur: Fur) -> Image.Image:
    """Return the room with the dog's body and its shadow, but without its head."""
    pose, (width, height) = clip.pose, clip.size
    unit_px = pose.unit * height
    grid = Grid(-2.1, -0.2, 2.1, min(4.7, (1 - pose.y) / pose.unit), unit_px)
    turn = make_rotation(pose.body_yaw_deg, 4)
    surface = raise_surface(make_body(clip.dog), turn, grid)
    rgba = paint_sprite(clip.dog, fur, surface, grid, clip.scene.light, None)
    sprite = _make_sprite(_shade_below_head(rgba, grid), grid)
    room = _cast_shadow(clip, unit_px)
    matrix = np.array([[1.0, 0, pose.x * width], [0, 1, pose.y * height]])
    _paste(room, sprite, matrix)
    return room


def _shade_below_head(rgba: NDArray[np.uint8], grid: Grid) -> NDArray[np.uint8]:
    """Darken throat and neck, where the head keeps the light out."""
    x, y = grid.compute_axes()
    shadow = 0.5 * np.exp(-((x / 0.85) ** 2) - (np.maximum(y - 0.5, 0) / 0.6) ** 2)
    shaded = rgba.copy()
    shaded[..., :3] = rgba[..., :3] * (1 - shadow)[..., None]
    return shaded


def _cast_shadow(clip: Clip, unit_px: float) -> Image.Image:
    """Return the room with a soft shadow on the floor around the dog's feet."""
    width, height = clip.size
    y, x = np.mgrid[:height, :width].astype(np.float32)
    side = -np.sign(clip.scene.light.direction[0])
    away = np.hypot(
        (x - clip.pose.x * width - 0.5 * side * unit_px) / (1.9 * unit_px),
        (y - clip.pose.y * height - 4.2 * unit_px) / (0.55 * unit_px),
    )
    shadow = smooth_step(1.35, 0.6, away)
    return Image.fromarray((clip.scene.room * (1 - 0.5 * shadow)[..., None]).astype(np.uint8))
