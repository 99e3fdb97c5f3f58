"""Coats: colours laid over a raised surface, fur, eyes, nose and light; the result is a sprite."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter

from canemo.video.drawn.dog import Dog, Expression, find_jaw_y
from canemo.video.drawn.surface import (
    Floats,
    Grid,
    Material,
    Surface,
    compute_normals,
    compute_occlusion,
    mix,
    smooth_step,
)

FUR_SPAN = 2.4
"""Half the width of the fur map [head units]."""

FUR_CELLS = 480


@dataclass(frozen=True)
class Light:
    """Where the light of a clip comes from and its colour."""

    direction: tuple[float, float, float]
    ambient: float
    tint: tuple[float, float, float]


@dataclass(frozen=True)
class Fur:
    """Fine hair along the lie of the coat and broad tufts, (FUR_CELLS, FUR_CELLS), mean 0, sd 1."""

    hair: Floats
    tufts: Floats


@lru_cache(maxsize=2)
def grow_fur(seed: int) -> Fur:
    """Smear white noise along the lie of the coat: away from the nose, and downwards."""
    rng = np.random.default_rng(seed)
    noise = rng.standard_normal((FUR_CELLS, FUR_CELLS)).astype(np.float32)
    cells = np.mgrid[:FUR_CELLS, :FUR_CELLS].astype(np.float32)
    y, x = cells * (2 * FUR_SPAN / FUR_CELLS) - FUR_SPAN
    flow = np.stack([0.8 * (y - 0.25) + 0.25, x])
    flow += 12 * uniform_filter(rng.standard_normal(flow.shape), (0, 60, 60))
    flow /= np.linalg.norm(flow, axis=0) + 1e-6
    hair = np.zeros_like(noise)
    for step in range(-7, 8):
        at = np.rint(cells + step * flow).astype(int) % FUR_CELLS
        hair += noise[at[0], at[1]]
    tufts = uniform_filter(uniform_filter(rng.standard_normal(noise.shape), 17), 17)
    return Fur(hair / hair.std(), (tufts / tufts.std()).astype(np.float32))


def _comb(layer: Floats, points: Floats) -> Floats:
    """Sample a layer of fur at the points of a surface."""
    x, y, z = points
    return layer[_find_cells(y - 0.25 * z), _find_cells(x)]


def _find_cells(position: Floats) -> NDArray[np.intp]:
    """Return rows or columns of the fur map, which is mirrored beyond its edges."""
    cells = ((position + FUR_SPAN) * (FUR_CELLS / (2 * FUR_SPAN))).astype(np.intp)
    cells %= 2 * FUR_CELLS
    return np.minimum(cells, 2 * FUR_CELLS - 1 - cells)


def paint_sprite(
    dog: Dog, fur: Fur, surface: Surface, grid: Grid, light: Light, expression: Expression | None
) -> NDArray[np.uint8]:
    """Colour and light a surface.

    Parameters
    ----------
    expression
        Whose eyes are drawn; None for a body, which has none.

    Returns
    -------
    ndarray
        (H, W, 4) uint8, RGBA.
    """
    hair, tufts = _comb(fur.hair, surface.points), _comb(fur.tufts, surface.points)
    albedo = _colour_coat(dog, surface, tufts, is_body=expression is None)
    albedo *= (1 + 0.05 * hair + 0.05 * tufts)[..., None]
    gloss = np.full(hair.shape, 0.10, np.float32)
    _colour_bare_parts(dog, surface, albedo, gloss)
    if expression is None:
        _paint_collar(dog, surface, albedo)
    else:
        _paint_mouth_line(dog, surface, albedo, expression.mouth)
        _paint_eyes(dog, surface, albedo, gloss, expression.eyes)
    furry = np.isin(surface.material, (Material.FUR, Material.EAR))
    bumps = np.where(furry, 0.003 * hair + 0.006 * tufts, 0)
    rgb = _light(surface, surface.height + bumps, albedo, gloss, light, grid.px_per_unit)
    gaps = np.clip(0.7 * hair + 0.3 * tufts, -2, 0.5) - 0.5
    ragged = surface.inside + 0.7 * dog.breed.fluff * gaps * furry
    alpha = np.clip(0.7 * ragged * grid.px_per_unit, 0, 1)
    if expression is not None:
        rgb = _add_eye_lights(dog, surface, rgb, expression.eyes, light)
    rgba = np.concatenate([np.clip(rgb, 0, 1), alpha[..., None]], axis=-1)
    return np.asarray(np.rint(rgba * 255), dtype=np.uint8)


def _light(
    surface: Surface,
    height: Floats,
    albedo: Floats,
    gloss: Floats,
    light: Light,
    px_per_unit: float,
) -> Floats:
    """Return the lit colours: wrapped diffuse light, sky and floor, hollows, a soft shine."""
    normals = compute_normals(height, px_per_unit)
    direction = np.array(light.direction, np.float32) / np.linalg.norm(light.direction)
    facing = np.tensordot(direction, normals, axes=1)
    diffuse = np.clip((facing + 0.35) / 1.35, 0, 1)
    sky = 0.75 - 0.25 * normals[1]
    open_sky = compute_occlusion(surface.height, surface.inside, px_per_unit)
    power = (1 - light.ambient) * diffuse * (
        0.35 + 0.65 * open_sky
    ) + light.ambient * sky * open_sky
    halfway = direction + np.array([0, 0, 1], np.float32)
    shine = np.clip(np.tensordot(halfway / np.linalg.norm(halfway), normals, axes=1), 0, 1) ** 18
    lit = albedo * (1.25 * power)[..., None] + (gloss * shine * open_sky)[..., None]
    return np.asarray(lit * np.array(light.tint, np.float32), dtype=np.float32)


def _colour_coat(dog: Dog, surface: Surface, tufts: Floats, *, is_body: bool) -> Floats:
    """Return the colour of the fur (H, W, 3), before light."""
    coat = dog.coat
    pattern = BODY_PATTERNS if is_body else HEAD_PATTERNS
    ragged = surface.points + 0.025 * tufts
    weight = pattern[coat.pattern](ragged, dog)
    ears = np.isin(surface.material, (Material.EAR, Material.INNER_EAR))
    if not is_body:
        weight = np.where(ears, 1.0 if coat.pattern == "patch" else 0.0, weight)
    base, second = (np.array(colour, np.float32) for colour in (coat.base, coat.second))
    rgb = mix(np.broadcast_to(base, (*tufts.shape, 3)), second, weight)
    shade = np.where(ears, coat.ear_shade, 1.0)
    return np.asarray(rgb * shade[..., None], dtype=np.float32)


def _colour_bare_parts(dog: Dog, surface: Surface, albedo: Floats, gloss: Floats) -> None:
    """Colour what is not fur, in place."""
    base = np.array(dog.coat.base)
    bare = {
        Material.NOSE: (dog.coat.nose, 0.5),
        Material.MOUTH: ((0.13, 0.05, 0.05), 0.05),
        Material.TONGUE: ((0.80, 0.40, 0.42), 0.3),
        Material.TEETH: ((0.92, 0.89, 0.80), 0.3),
        Material.INNER_EAR: (0.35 * base + np.array([0.36, 0.24, 0.21]), 0.02),
    }
    for material, (colour, shine) in bare.items():
        where = surface.material == material
        albedo[where] = colour
        gloss[where] = shine
    nostrils = _paint_nostrils(dog, surface) * (surface.material == Material.NOSE)
    albedo *= (1 - 0.85 * nostrils)[..., None]
    gloss *= 1 - nostrils


def _paint_nostrils(dog: Dog, surface: Surface) -> Floats:
    """Return where the nostrils are, 0 to 1."""
    x, y, _ = surface.points
    width = dog.breed.muzzle_width
    across = (np.abs(x) - 0.095 * width) / 0.045
    return smooth_step(1.15, 0.7, np.hypot(across, (y - 0.455 + 0.3 * (np.abs(x) - 0.1)) / 0.04))


def _paint_collar(dog: Dog, surface: Surface, albedo: Floats) -> None:
    """Put a band around the neck, in place."""
    if dog.collar is None:
        return
    x, y, _ = surface.points
    away = np.abs(y - 1.22 + 0.25 * x**2)
    band = smooth_step(0.10, 0.08, away) * (1 - 0.6 * smooth_step(0.05, 0.09, away))
    albedo[...] = mix(
        albedo * (1 - 0.4 * smooth_step(0.2, 0.08, away))[..., None],
        np.array(dog.collar, np.float32),
        band,
    )


def _paint_mouth_line(dog: Dog, surface: Surface, albedo: Floats, mouth: float) -> None:
    """Darken the groove below the nose and the edges of the lips, in place."""
    x, y, z = surface.points
    width = dog.breed.muzzle_width
    front = smooth_step(0.75, 0.95, z) * (surface.material == Material.FUR)
    groove = smooth_step(0.024, 0.008, np.abs(x)) * smooth_step(0.52, 0.56, y)
    edge_y = 0.80 + 0.05 * np.cos(np.abs(x) / (0.36 * width) * np.pi - 1.6)
    lips = smooth_step(0, 0.07, y - edge_y)
    albedo *= (1 - 0.8 * front * np.maximum(groove * 0.8, lips))[..., None]
    muzzle = smooth_step(0.62, 0.5, np.hypot((np.abs(x) - 0.22 * width) / 0.4, (y - 0.62) / 0.3))
    row = np.sin((x * 0.4 + y) * 75) * np.sin((np.abs(x) - 0.3 * y) * 60)
    dots = smooth_step(0.8, 0.95, row) * muzzle
    albedo *= (1 - 0.3 * front * dots)[..., None]
    lower_lip = smooth_step(0.04, -0.04, y - find_jaw_y(mouth) + 0.05)
    albedo *= (1 - 0.8 * lower_lip * (surface.material == Material.JAW))[..., None]


def _find_eyes(dog: Dog, surface: Surface) -> tuple[Floats, Floats, Floats]:
    """Return x and y in eye radii, mirrored so that +x is outwards, and where the face allows."""
    x, y, z = surface.points
    radius = 0.128 * dog.eye_size
    across = (np.abs(x) - dog.eye_distance) / radius
    down = (y + 0.07) / radius - 0.12 * across
    face = ((surface.material == Material.FUR) & (z > 0.2)).astype(np.float32)
    return across, down, face


def _paint_eyes(dog: Dog, surface: Surface, albedo: Floats, gloss: Floats, openness: float) -> None:
    """Draw rim, iris, pupil and lids, in place."""
    across, down, face = _find_eyes(dog, surface)
    distance = np.hypot(across, down)
    upper = 0.66 * openness * (1 - 0.55 * across**2)
    lower = 0.72 * np.maximum(openness, 0.1) * (1 - 0.7 * across**2)
    slit = np.minimum(down + upper, lower - down)
    opening = face * smooth_step(-0.04, 0.10, slit)
    rim = face * smooth_step(-0.26, -0.08, slit) * smooth_step(1.5, 1.25, np.abs(across))
    socket = face * smooth_step(2.1, 1.1, np.hypot(across, down * 1.15))
    albedo *= (1 - 0.35 * socket)[..., None]
    dark = np.array([0.045, 0.035, 0.035], np.float32)
    iris = np.array(dog.coat.iris, np.float32)
    ball = mix(np.broadcast_to(iris, albedo.shape), 1.35 * iris, smooth_step(-0.1, 0.7, down))
    ball = mix(ball, dark, smooth_step(0.50, 0.40, distance))
    ball = mix(ball, dark, smooth_step(0.66, 0.88, distance))
    albedo[...] = mix(mix(albedo, dark, 0.93 * rim), ball, opening)
    gloss[...] = np.where(rim > 0.5, 0.03, gloss)


def _add_eye_lights(
    dog: Dog, surface: Surface, rgb: Floats, openness: float, light: Light
) -> Floats:
    """Return the picture with a window's reflection in each eye, where the light comes from."""
    x, _, _ = surface.points
    across, down, face = _find_eyes(dog, surface)
    side = np.where(x > 0, 1, -1)
    away = np.hypot(across * side - 0.32 * np.sign(light.direction[0]), down + 0.34)
    glint = face * smooth_step(0.24, 0.12, away) * float(openness > 0.5)
    return mix(rgb, np.array([0.96, 0.97, 1.0], np.float32), 0.95 * glint)


Pattern = Callable[[Floats, Dog], Floats]


def _shade_head(points: Floats, dog: Dog) -> Floats:
    """Return the second colour of a self-coloured head: paler muzzle, cheeks and brows."""
    x, y, z = points
    muzzle = smooth_step(0.62, 1.1, z) * smooth_step(0.3, 0.6, y)
    cheeks = 0.6 * smooth_step(0.2, 0.7, y)
    brows = 0.6 * smooth_step(0.26, 0.12, np.hypot(np.abs(x) - 0.25, y + 0.36))
    return np.asarray(np.maximum(np.maximum(muzzle, cheeks), brows), dtype=np.float32)


def _blaze_head(points: Floats, dog: Dog) -> Floats:
    """Return a white blaze between the eyes that widens over the muzzle."""
    x, y, z = points
    half_width = 0.09 + 0.3 * smooth_step(0.05, 0.6, y) + 0.05 * smooth_step(-0.4, -0.9, y)
    blaze = smooth_step(0.04, -0.03, np.abs(x) - half_width)
    return np.asarray(np.maximum(blaze, smooth_step(0.55, 0.7, y) * smooth_step(0.1, 0.5, z)))


def _mask_head(points: Floats, dog: Dog) -> Floats:
    """Return a dark muzzle that runs up between the eyes."""
    x, y, z = points
    muzzle = smooth_step(0.55, 0.85, z) * smooth_step(0.1, 0.4, y)
    bridge = 0.75 * smooth_step(0.34, 0.12, np.abs(x)) * smooth_step(0.55, 0.75, z)
    forehead = 0.45 * smooth_step(-0.35, -0.85, y)
    return np.asarray(np.maximum(np.maximum(muzzle, bridge), forehead), dtype=np.float32)


def _point_head(points: Floats, dog: Dog) -> Floats:
    """Return tan brows, cheeks and sides of the muzzle."""
    x, y, z = points
    brows = smooth_step(1.25, 0.8, np.hypot((np.abs(x) - 0.27) / 0.11, (y + 0.32) / 0.09))
    side = (
        smooth_step(0.11, 0.2, np.abs(x)) * smooth_step(0.6, 0.75, z) * smooth_step(0.42, 0.55, y)
    )
    cheeks = smooth_step(1.2, 0.8, np.hypot((np.abs(x) - 0.52) / 0.26, (y - 0.52) / 0.22))
    return np.asarray(np.maximum(np.maximum(brows, side), cheeks), dtype=np.float32)


def _patch_head(points: Floats, dog: Dog) -> Floats:
    """Return a patch over one eye, and over both in half of the dogs."""
    x, y, _ = points
    side = 1 if dog.fur_seed % 2 else -1
    patch = smooth_step(1.1, 0.9, np.hypot((x * side - 0.52) / 0.4, (y + 0.22) / 0.52))
    other = smooth_step(1.1, 0.9, np.hypot((x * side + 0.62) / 0.36, (y + 0.4) / 0.5))
    return np.asarray(np.maximum(patch, other * float(dog.fur_seed % 4 > 1)), dtype=np.float32)


def _spectacle_head(points: Floats, dog: Dog) -> Floats:
    """Return a pale face below a dark cap with a widow's peak."""
    x, y, _ = points
    eyebrow = smooth_step(1.2, 0.85, np.hypot((np.abs(x) - 0.28) / 0.11, (y + 0.3) / 0.09))
    line = -0.06 + 0.42 * smooth_step(0.25, 0.0, np.abs(x)) * smooth_step(0.55, 0.2, y)
    face = smooth_step(0, 0.12, y - line)
    return np.asarray(np.maximum(face, eyebrow), dtype=np.float32)


def _chest(points: Floats, dog: Dog) -> Floats:
    """Return a bib from the throat down, and paws."""
    x, y, _ = points
    bib = smooth_step(0.62, 0.45, np.abs(x)) * smooth_step(2.6, 2.2, y)
    return np.asarray(np.maximum(bib, smooth_step(3.7, 3.9, y)), dtype=np.float32)


def _faint_chest(points: Floats, dog: Dog) -> Floats:
    return 0.6 * _chest(points, dog)


def _no_chest(points: Floats, dog: Dog) -> Floats:
    return np.zeros_like(points[0])


def _spots(points: Floats, dog: Dog) -> Floats:
    x, y, _ = points
    return smooth_step(1.1, 0.9, np.hypot((x - 0.75) / 0.5, (y - 2.2) / 0.6))


HEAD_PATTERNS: dict[str, Pattern] = {
    "shaded": _shade_head,
    "blaze": _blaze_head,
    "mask": _mask_head,
    "points": _point_head,
    "patch": _patch_head,
    "spectacles": _spectacle_head,
}

BODY_PATTERNS: dict[str, Pattern] = {
    "shaded": _faint_chest,
    "blaze": _chest,
    "mask": _no_chest,
    "points": _faint_chest,
    "patch": _spots,
    "spectacles": _chest,
}
