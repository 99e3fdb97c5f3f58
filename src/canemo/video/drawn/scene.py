"""The room of a clip: wall, floor, furniture, plant, light; drawn without regard to the dog."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from canemo.video.drawn.coat import Light
from canemo.video.drawn.dog import Colour

WALLS: tuple[Colour, ...] = (
    (0.80, 0.78, 0.73),
    (0.70, 0.74, 0.77),
    (0.72, 0.76, 0.68),
    (0.84, 0.77, 0.68),
    (0.62, 0.62, 0.64),
    (0.76, 0.70, 0.70),
)
FLOORS: tuple[Colour, ...] = (
    (0.52, 0.38, 0.26),
    (0.63, 0.52, 0.40),
    (0.44, 0.42, 0.41),
    (0.58, 0.58, 0.56),
    (0.36, 0.27, 0.21),
)
FABRICS: tuple[Colour, ...] = (
    (0.35, 0.40, 0.46),
    (0.55, 0.45, 0.36),
    (0.38, 0.46, 0.38),
    (0.58, 0.28, 0.25),
    (0.30, 0.29, 0.30),
    (0.72, 0.69, 0.62),
)


@dataclass(frozen=True)
class Scene:
    """The room and camera of one clip.

    `room` is (H, W, 3) uint8, RGB, without the dog; `floor_y` [pixels] is the foot of the wall;
    `noise` is the standard deviation of the sensor noise [grey levels].
    """

    room: NDArray[np.uint8]
    floor_y: int
    light: Light
    noise: float


def sample_scene(size: tuple[int, int], rng: np.random.Generator) -> Scene:
    """Draw a room of `size` (width, height) [pixels] and choose its light."""
    floor_y = round(size[1] * rng.uniform(0.58, 0.78))
    side = float(rng.choice([-1, 1]))
    warmth = float(rng.uniform(-0.05, 0.06))
    exposure = float(rng.uniform(0.88, 1.10))
    light = Light(
        direction=(side * float(rng.uniform(0.25, 0.75)), -float(rng.uniform(0.5, 0.9)), 0.9),
        ambient=float(rng.uniform(0.42, 0.60)),
        tint=(exposure * (1 + warmth), exposure, exposure * (1 - warmth)),
    )
    room = _draw_wall_and_floor(size, floor_y, rng)
    _furnish(room, floor_y, rng)
    blur_px = size[1] / 360 * rng.uniform(1.2, 2.6)
    room = room.filter(ImageFilter.GaussianBlur(blur_px))
    lit = _light_room(np.asarray(room, np.float32), floor_y, light)
    return Scene(lit, floor_y, light, noise=float(rng.uniform(0.8, 2.2)))


def _draw_wall_and_floor(
    size: tuple[int, int], floor_y: int, rng: np.random.Generator
) -> Image.Image:
    """Return wall, skirting board and a floor of boards or one piece."""
    width, height = size
    wall, floor = WALLS[rng.integers(len(WALLS))], FLOORS[rng.integers(len(FLOORS))]
    room = Image.new("RGB", size, _to_rgb(wall))
    draw = ImageDraw.Draw(room)
    draw.rectangle((0, floor_y, width, height), fill=_to_rgb(floor))
    if rng.random() < 0.6:
        vanishing_x, gap = width * rng.uniform(0.3, 0.7), width * rng.uniform(0.10, 0.18)
        for board in range(-14, 15):
            foot = (vanishing_x + 2.5 * board * gap, height)
            draw.line((vanishing_x + board * gap, floor_y, *foot), fill=_to_rgb(floor, 0.82))
    skirting = max(2, round(0.022 * height))
    draw.rectangle((0, floor_y - skirting, width, floor_y), fill=_to_rgb(wall, 1.12))
    draw.line((0, floor_y, width, floor_y), fill=_to_rgb(floor, 0.6), width=2)
    return room


def _furnish(room: Image.Image, floor_y: int, rng: np.random.Generator) -> None:
    """Put two to four things into the room, in place."""
    things = (_draw_cabinet, _draw_sofa, _draw_plant, _draw_picture, _draw_window)
    for index in rng.permutation(len(things))[: rng.integers(2, 5)]:
        things[index](ImageDraw.Draw(room), room.size, floor_y, rng)


def _draw_cabinet(
    draw: ImageDraw.ImageDraw, size: tuple[int, int], floor_y: int, rng: np.random.Generator
) -> None:
    wide, high = size[0] * rng.uniform(0.18, 0.34), size[1] * rng.uniform(0.22, 0.5)
    x0, y1 = size[0] * rng.uniform(-0.1, 0.9), floor_y + size[1] * 0.03
    wood = FLOORS[rng.integers(len(FLOORS))]
    draw.rectangle((x0, y1 - high, x0 + wide, y1), fill=_to_rgb(wood, 0.9))
    draw.rectangle((x0, y1 - high, x0 + wide, y1 - 0.93 * high), fill=_to_rgb(wood, 1.15))
    for row in range(1, 4):
        y = y1 - high * (0.93 - 0.3 * row)
        draw.line((x0, y, x0 + wide, y), fill=_to_rgb(wood, 0.55), width=2)
        draw.ellipse(_box(x0 + wide / 2, y - 0.15 * high, 0.02 * wide), fill=(190, 185, 170))


def _draw_sofa(
    draw: ImageDraw.ImageDraw, size: tuple[int, int], floor_y: int, rng: np.random.Generator
) -> None:
    wide, high = size[0] * rng.uniform(0.35, 0.6), size[1] * rng.uniform(0.22, 0.34)
    x0, y1 = size[0] * rng.uniform(-0.2, 0.8), floor_y + size[1] * 0.07
    cloth = FABRICS[rng.integers(len(FABRICS))]
    arm = 0.12 * wide
    radius = 0.12 * high
    back = (x0, y1 - high, x0 + wide, y1)
    draw.rounded_rectangle(back, radius, fill=_to_rgb(cloth))
    seat = (x0 + arm, y1 - 0.55 * high, x0 + wide - arm, y1)
    draw.rounded_rectangle(seat, radius, fill=_to_rgb(cloth, 1.15))
    draw.line((x0 + wide / 2, y1 - high, x0 + wide / 2, y1), fill=_to_rgb(cloth, 0.7), width=2)
    for left in (x0, x0 + wide - arm):
        sides = (left, y1 - 0.72 * high, left + arm, y1)
        draw.rounded_rectangle(sides, radius, fill=_to_rgb(cloth, 0.88))


def _draw_plant(
    draw: ImageDraw.ImageDraw, size: tuple[int, int], floor_y: int, rng: np.random.Generator
) -> None:
    x, y = size[0] * rng.uniform(0.05, 0.95), floor_y + size[1] * 0.05
    reach = size[1] * rng.uniform(0.25, 0.42)
    pot = 0.22 * reach
    for _ in range(26):
        angle, length = rng.uniform(-2.7, -0.45), reach * rng.uniform(0.5, 1.0)
        along = np.array([np.cos(angle), np.sin(angle)]) * length
        across = np.array([-along[1], along[0]]) * 0.10
        foot = np.array([x, y - 1.5 * pot])
        leaf = [foot, foot + 0.55 * along + across, foot + along, foot + 0.55 * along - across]
        green = (0.20, 0.38, 0.17) if rng.random() < 0.5 else (0.29, 0.47, 0.22)
        corners = [(float(px), float(py)) for px, py in leaf]
        draw.polygon(corners, fill=_to_rgb(green, float(rng.uniform(0.7, 1.2))))
    draw.polygon(
        [
            (x - pot, y - 1.6 * pot),
            (x + pot, y - 1.6 * pot),
            (x + 0.7 * pot, y),
            (x - 0.7 * pot, y),
        ],
        fill=_to_rgb((0.62, 0.36, 0.26)),
    )


def _draw_picture(
    draw: ImageDraw.ImageDraw, size: tuple[int, int], floor_y: int, rng: np.random.Generator
) -> None:
    x0, y0 = size[0] * rng.uniform(0.05, 0.75), floor_y * rng.uniform(0.05, 0.3)
    x1, y1 = x0 + size[0] * rng.uniform(0.12, 0.22), y0 + floor_y * rng.uniform(0.25, 0.4)
    draw.rectangle((x0, y0, x1, y1), fill=_to_rgb((0.25, 0.2, 0.17)))
    rim = 0.06 * (x1 - x0)
    picture = FABRICS[rng.integers(len(FABRICS))]
    draw.rectangle((x0 + rim, y0 + rim, x1 - rim, y1 - rim), fill=_to_rgb(picture, 1.4))
    horizon = (y0 + y1) / 2
    draw.rectangle((x0 + rim, horizon, x1 - rim, y1 - rim), fill=_to_rgb(picture, 1.0))


def _draw_window(
    draw: ImageDraw.ImageDraw, size: tuple[int, int], floor_y: int, rng: np.random.Generator
) -> None:
    x0, y1 = size[0] * rng.uniform(-0.05, 0.8), floor_y * rng.uniform(0.5, 0.7)
    x1 = x0 + size[0] * rng.uniform(0.2, 0.3)
    draw.rectangle((x0, -5, x1, y1), fill=(244, 244, 240))
    draw.rectangle((x0 + 5, -5, x1 - 5, y1 - 5), fill=(214, 230, 240))
    draw.line(((x0 + x1) / 2, 0, (x0 + x1) / 2, y1), fill=(240, 240, 236), width=4)


def _light_room(rgb: NDArray[np.float32], floor_y: int, light: Light) -> NDArray[np.uint8]:
    """Brighten the side of the lamp, darken corners and the foot of the wall."""
    rows, columns = rgb.shape[:2]
    y, x = np.mgrid[:rows, :columns].astype(np.float32)
    across, down = x / columns - 0.5, y / rows - 0.5
    lamp = np.hypot(across - 0.6 * np.sign(light.direction[0]), down + 0.5)
    gain = 1.12 - 0.30 * lamp - 0.5 * (across**2 + down**2)
    corner = np.exp(-np.abs(y - floor_y) / (0.05 * rows))
    gain = (gain - 0.10 * corner)[..., None] * np.array(light.tint, np.float32)
    return np.asarray(np.clip(rgb * gain, 0, 255), np.uint8)


def _box(x: float, y: float, radius: float) -> tuple[float, float, float, float]:
    """Return the square around a point."""
    return x - radius, y - radius, x + radius, y + radius


def _to_rgb(colour: Colour, gain: float = 1.0) -> tuple[int, int, int]:
    """Return 8-bit RGB."""
    red, green, blue = (min(255, round(255 * gain * part)) for part in colour)
    return red, green, blue
