"""A drawn dog: what is the same in all its clips, and the shape of its head and body."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np

from canemo.video.drawn.surface import Floats, Material, Part

Point: TypeAlias = tuple[float, float, float]
Colour: TypeAlias = tuple[float, float, float]


@dataclass(frozen=True)
class Coat:
    """Colours (RGB, 0 to 1) and how they are laid out.

    `pattern` names where `second` replaces `base`, see `canemo.video.drawn.coat`.
    """

    base: Colour
    second: Colour
    pattern: str
    ear_shade: float = 0.9
    nose: Colour = (0.09, 0.08, 0.085)
    iris: Colour = (0.32, 0.18, 0.085)


@dataclass(frozen=True)
class Breed:
    """What dogs of one breed share; lengths in head units."""

    name: str
    coats: tuple[Coat, ...]
    ears: str
    ear_length: float = 1.0
    muzzle_length: float = 1.0
    muzzle_width: float = 1.0
    skull_width: float = 1.0
    fluff: float = 0.03
    body_width: float = 1.0


YELLOW = Coat((0.80, 0.64, 0.42), (0.91, 0.81, 0.64), "shaded", 0.86)
CHOCOLATE = Coat((0.33, 0.19, 0.11), (0.42, 0.26, 0.16), "shaded", 0.85, (0.22, 0.13, 0.10))
BLACK = Coat((0.12, 0.115, 0.115), (0.19, 0.18, 0.175), "shaded", 0.9)
GOLD = Coat((0.70, 0.48, 0.26), (0.90, 0.72, 0.46), "shaded", 0.82)
RUSSET = Coat((0.55, 0.32, 0.18), (0.64, 0.42, 0.26), "shaded", 0.85, (0.33, 0.19, 0.15))
SABLE = Coat((0.66, 0.45, 0.25), (0.15, 0.12, 0.105), "mask", 0.62)
BLACK_WHITE = Coat((0.115, 0.11, 0.115), (0.93, 0.91, 0.88), "blaze", 0.95)
RED_WHITE = Coat((0.62, 0.33, 0.16), (0.94, 0.91, 0.86), "blaze", 0.88)
BLACK_TAN = Coat((0.11, 0.10, 0.10), (0.64, 0.37, 0.17), "points", 0.95)
PIED = Coat((0.93, 0.91, 0.87), (0.55, 0.31, 0.16), "patch", 1.0)
TRICOLOUR = Coat((0.66, 0.41, 0.21), (0.94, 0.91, 0.86), "blaze", 0.72)
WOLF_GREY = Coat((0.40, 0.40, 0.42), (0.93, 0.93, 0.92), "spectacles", 0.8, iris=(0.45, 0.58, 0.72))

BREEDS = (
    Breed("Labrador Retriever", (YELLOW, CHOCOLATE, BLACK), "drop", 0.9, 1.0, 1.05, 1.03, 0.02),
    Breed("Golden Retriever", (GOLD, YELLOW), "drop", 1.0, 1.0, 1.0, 1.0, 0.05),
    Breed("German Shepherd", (SABLE,), "prick", 1.05, 1.15, 0.92, 0.95, 0.035),
    Breed("Border Collie", (BLACK_WHITE, RED_WHITE), "button", 1.0, 0.95, 0.86, 0.96, 0.055),
    Breed("Rottweiler", (BLACK_TAN,), "drop", 0.72, 0.92, 1.12, 1.1, 0.015, 1.15),
    Breed("Jack Russell Terrier", (PIED,), "button", 0.8, 0.85, 0.86, 0.94, 0.02, 0.85),
    Breed("Beagle", (TRICOLOUR,), "drop", 1.12, 0.95, 0.95, 0.95, 0.015, 0.9),
    Breed("Siberian Husky", (WOLF_GREY,), "prick", 0.85, 0.95, 0.95, 1.0, 0.055),
    Breed("Vizsla", (RUSSET,), "drop", 1.08, 1.05, 0.92, 0.95, 0.01, 0.9),
)


@dataclass(frozen=True)
class Dog:
    """One individual: its breed, its own coat colours and small deviations of its shape."""

    subject_id: str
    breed: Breed
    coat: Coat
    eye_size: float
    eye_distance: float
    brow: float
    collar: Colour | None
    fur_seed: int


@dataclass(frozen=True)
class Expression:
    """The face of one moment.

    Attributes
    ----------
    ears
        -1 flattened and back, 0 at rest, 1 raised and forward.
    mouth
        0 closed, 1 lips parted, jaw dropped, tongue out.
    eyes
        0 closed, 1 open.
    """

    ears: float
    mouth: float
    eyes: float = 1.0


def sample_dog(subject_id: str, breed: Breed, rng: np.random.Generator) -> Dog:
    """Draw an individual of a breed."""

    def vary(value: float, spread: float) -> float:
        return value * float(rng.uniform(1 - spread, 1 + spread))

    individual = replace(
        breed,
        ear_length=vary(breed.ear_length, 0.08),
        muzzle_length=vary(breed.muzzle_length, 0.07),
        muzzle_width=vary(breed.muzzle_width, 0.06),
        skull_width=vary(breed.skull_width, 0.05),
    )
    coat = breed.coats[int(rng.integers(len(breed.coats)))]
    tint = rng.uniform(0.88, 1.12) * rng.uniform(0.96, 1.04, 3)
    base = np.clip(np.array(coat.base) * tint, 0, 0.97)
    collars = ((0.65, 0.12, 0.12), (0.12, 0.25, 0.55), (0.15, 0.15, 0.15), (0.2, 0.45, 0.25), None)
    return Dog(
        subject_id=subject_id,
        breed=individual,
        coat=replace(coat, base=(float(base[0]), float(base[1]), float(base[2]))),
        eye_size=vary(1.0, 0.12),
        eye_distance=vary(0.36, 0.07),
        brow=vary(1.0, 0.2),
        collar=collars[int(rng.integers(len(collars)))],
        fur_seed=int(rng.integers(2**31)),
    )


JAW_DROP = 0.34
"""How far the jaw drops when the mouth opens fully [head units]."""


def make_head(dog: Dog, expression: Expression) -> list[Part]:
    """Return the parts of the head, ears first so that the face lies over them where they tie."""
    return [
        *_make_ear(dog, expression.ears, side=-1),
        *_make_ear(dog, expression.ears, side=1),
        *_make_skull(dog),
        *_make_jaw(dog, expression.mouth),
        *_make_muzzle(dog, expression.mouth),
    ]


def _make_skull(dog: Dog) -> list[Part]:
    """Return skull, brows, cheeks and eyeballs."""
    width, eye_x = dog.breed.skull_width, dog.eye_distance
    parts = [
        Part((0, -0.16, -0.05), (0.76 * width, 0.64, 0.74), blend=0.2),
        Part((0, 0.24, -0.05), (0.62 * width, 0.52, 0.56), blend=0.4),
        Part((0, -0.02, 0.34), (0.40, 0.48, 0.34), blend=0.4),
    ]
    for side in (-1, 1):
        parts += [
            Part((side * 0.40 * width, 0.22, 0.12), (0.32, 0.40, 0.38), blend=0.45),
            Part((side * 0.34, -0.28, 0.36), (0.22, 0.16, 0.14 * dog.brow), blend=0.3),
            Part((side * eye_x, -0.07, 0.51), (0.15, 0.13, 0.15), blend=0.2),
        ]
    return parts


def _make_muzzle(dog: Dog, mouth: float) -> list[Part]:
    """Return bridge, upper lips and nose."""
    length, width = dog.breed.muzzle_length, dog.breed.muzzle_width
    tip = _find_muzzle_tip(dog)
    lift = -0.03 * mouth
    parts = [
        Part((0, 0.32, 0.50), (0.31 * width, 0.34, 0.72 * length), blend=0.35),
        Part((0, 0.54 + lift, tip - 0.22), (0.33 * width, 0.26, 0.42), blend=0.25),
    ]
    for side in (-1, 1):
        lip = (side * 0.19 * width, 0.64 + lift, tip - 0.36)
        parts.append(Part(lip, (0.28 * width, 0.28, 0.50 * length), blend=0.2))
    nose_y = 0.42 + lift
    parts += [
        Part((0, nose_y, tip + 0.10), (0.225 * width, 0.14, 0.15), Material.NOSE, 0),
        Part((0, nose_y + 0.08, tip + 0.09), (0.13 * width, 0.14, 0.12), Material.NOSE, 0.06),
    ]
    return parts


def _find_muzzle_tip(dog: Dog) -> float:
    """Return how far the muzzle stands out [head units]."""
    return 0.50 + 0.66 * dog.breed.muzzle_length


def find_jaw_y(mouth: float) -> float:
    """Return how low the lower jaw lies [head units]."""
    return 0.80 + JAW_DROP * mouth


def _make_jaw(dog: Dog, mouth: float) -> list[Part]:
    """Return lower jaw, the dark of the open mouth, tongue and teeth."""
    width, tip = dog.breed.muzzle_width, _find_muzzle_tip(dog)
    drop = JAW_DROP * mouth
    jaw = Part((0, find_jaw_y(mouth), tip - 0.50), (0.27 * width, 0.17, 0.44), Material.JAW, 0.15)
    throat = Part((0, 0.62 + 0.7 * drop, tip - 0.85), (0.30 * width, 0.30, 0.45), blend=0.2)
    if mouth < 0.08:
        return [throat, jaw]
    cave_y, cave_height = 0.76 + 0.5 * drop, 0.13 + 0.5 * drop
    cave = Part((0, cave_y, tip - 0.44), (0.225 * width, cave_height, 0.41), Material.MOUTH, 0)
    parts = [throat, jaw, cave, *_make_teeth(width, tip, drop)]
    return parts + _make_tongue(width, tip, mouth) if mouth > 0.3 else parts


def _make_tongue(width: float, tip: float, mouth: float) -> list[Part]:
    """Return a tongue that lies in the jaw and hangs out further the wider the mouth opens."""
    out = mouth - 0.3
    bend: Sequence[Point] = (
        (0, 0.84 + 0.20 * mouth, tip - 0.45),
        (0, 0.84 + 0.36 * mouth, tip - 0.10 + 0.2 * out),
        (0, 0.88 + 0.36 * mouth + 0.45 * out, tip - 0.06 + 0.1 * out),
    )
    widths = [width * share for share in (0.14, 0.15, 0.16, 0.17, 0.175, 0.175, 0.17, 0.15, 0.11)]
    return _make_strip(bend, widths, 0.05, (0, -0.3, 1), Material.TONGUE)


def _make_teeth(width: float, tip: float, drop: float) -> list[Part]:
    """Return the two lower canines."""
    y = 0.74 + drop
    return [
        Part((side * 0.17 * width, y, tip - 0.18), (0.026, 0.055, 0.03), Material.TEETH, 0)
        for side in (-1, 1)
    ]


EAR_BENDS: dict[str, tuple[tuple[Point, Point, Point], ...]] = {
    # base, bend, tip of the right-hand ear: back, at rest, raised
    "drop": (
        ((0.58, -0.24, -0.25), (0.92, -0.22, -0.55), (0.70, 0.46, -0.60)),
        ((0.54, -0.50, 0.00), (1.00, -0.56, 0.10), (0.82, 0.42, 0.20)),
        ((0.50, -0.62, 0.08), (1.14, -0.86, 0.25), (1.04, 0.18, 0.46)),
    ),
    "prick": (
        ((0.58, -0.42, -0.10), (0.94, -0.66, -0.35), (1.30, -0.56, -0.80)),
        ((0.48, -0.58, 0.05), (0.66, -0.95, 0.02), (0.78, -1.36, 0.00)),
        ((0.42, -0.62, 0.08), (0.54, -1.05, 0.10), (0.56, -1.50, 0.16)),
    ),
    "button": (
        ((0.58, -0.36, -0.15), (1.06, -0.56, -0.40), (1.08, 0.02, -0.65)),
        ((0.50, -0.58, 0.05), (0.90, -1.12, 0.10), (1.02, -0.36, 0.40)),
        ((0.44, -0.64, 0.08), (0.72, -1.58, 0.15), (0.94, -0.84, 0.60)),
    ),
}

EAR_WIDTHS = {
    "drop": (0.20, 0.25, 0.29, 0.31, 0.32, 0.31, 0.285, 0.25, 0.20, 0.15, 0.09),
    "prick": (0.33, 0.34, 0.335, 0.32, 0.295, 0.265, 0.23, 0.19, 0.145, 0.095, 0.04),
    "button": (0.30, 0.315, 0.32, 0.32, 0.31, 0.29, 0.26, 0.22, 0.18, 0.13, 0.07),
}


def _make_ear(dog: Dog, posture: float, *, side: int) -> list[Part]:
    """Return one ear as a strip of flat ellipsoids bent to its posture."""
    kind = dog.breed.ears
    back, rest, raised = (np.array(bend) for bend in EAR_BENDS[kind])
    end = raised if posture > 0 else back
    bend = rest + (end - rest) * abs(posture)
    bend[1:] = bend[0] + (bend[1:] - bend[0]) * dog.breed.ear_length
    bend *= (side * dog.breed.skull_width, 1, 1)
    facing = (side * 0.45, 0.0, 1.0)
    points = [(float(x), float(y), float(z)) for x, y, z in bend]
    ear = _make_strip(points, EAR_WIDTHS[kind], 0.10, facing, Material.EAR)
    if kind != "prick" or posture < -0.6:
        return ear
    inner = [(x, y + 0.04, z + 0.11) for x, y, z in points]
    inner_widths = [0.62 * width for width in EAR_WIDTHS[kind]]
    return ear + _make_strip(inner, inner_widths, 0.04, facing, Material.INNER_EAR)


def _make_strip(
    bend: Sequence[Point],
    widths: Sequence[float],
    thickness: float,
    facing: Point,
    material: Material,
) -> list[Part]:
    """Return flat ellipsoids along the curve through base, bend and tip (quadratic Bezier)."""
    base, middle, tip = (np.array(point, np.float32) for point in bend)
    parts = []
    for at, width in zip(np.linspace(0, 1, len(widths)), widths, strict=True):
        centre = (1 - at) ** 2 * base + 2 * at * (1 - at) * middle + at**2 * tip
        along = (1 - at) * (middle - base) + at * (tip - middle)
        step = float(np.linalg.norm(tip - middle) + np.linalg.norm(middle - base)) / len(widths)
        x, y, z = map(float, centre)
        radii = (width, max(step * 1.8, 0.05), thickness)
        axes = _make_axes(along, np.array(facing, np.float32))
        parts.append(Part((x, y, z), radii, material, 0.08, axes))
    return parts


def _make_axes(along: Floats, facing: Floats) -> Floats:
    """Return orthonormal columns: across, along, and as close to `facing` as they allow."""
    along = along / np.linalg.norm(along)
    across = np.cross(along, facing)
    across = across / np.linalg.norm(across)
    return np.stack([across, along, np.cross(across, along)], axis=1).astype(np.float32)


def make_body(dog: Dog) -> list[Part]:
    """Return neck, chest, shoulders, flanks and forelegs of a sitting dog seen from the front."""
    width = dog.breed.body_width
    parts = [
        Part((0, 2.9, -1.35), (1.12 * width, 1.7, 1.0), blend=0.3),
        Part((0, 0.75, -0.65), (0.62 * width, 1.15, 0.60), blend=0.4),
        Part((0, 1.85, -0.60), (0.86 * width, 1.25, 0.70), blend=0.5),
    ]
    for side in (-1, 1):
        parts += [
            Part((side * 0.62 * width, 2.0, -0.6), (0.42, 0.85, 0.5), blend=0.3),
            Part((side * 0.46 * width, 3.15, -0.35), (0.25, 1.15, 0.28), blend=0.2),
            Part((side * 0.47 * width, 4.22, -0.15), (0.29, 0.19, 0.42), blend=0.15),
            Part((side * 1.12 * width, 4.05, -0.9), (0.45, 0.33, 0.6), blend=0.2),
        ]
    return parts
