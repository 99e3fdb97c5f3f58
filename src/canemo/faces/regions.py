"""Parts of the face as masks over a crop: drawn from landmarks, or fixed bands without them.

Masks share out a crop: at every pixel they are 0 to 1 and sum to 1, so that a map summed within
each region adds up to the whole map.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PilImage
from PIL import ImageColor

from canemo.records import Box, Image
from canemo.species import Species, side_of_point

BANDS = "fixed bands of the box"
REGIONS_VERSION = 1
STUDY_LANDMARKS = "landmarks of the study"
MODEL_LANDMARKS = "canemo's landmark model"

NEEDED = {"eyes", "muzzle"}
"""Without these in view no regions are drawn from landmarks."""

Points: TypeAlias = Mapping[str, tuple[float, float]]
"""Name -> (x, y): 0 at the left and the top edge of a crop, 1 at the right and the bottom one."""

EYE_DISTANCE = 0.26
"""Between the centres of the eyes, in sides of the square around a loosely drawn box of the face:
the median of 2,517 faces of DogFLW (see `draw_bands`). Stands in where an eye is not known."""

_CELLS_SIDE = 32  # of masks that tokens are averaged by: within 0.001 of 224 in the mean
_SUBSAMPLES = 4  # positions per pixel and direction at which a region is looked up
_EYE_MARGIN = 0.25  # of the width of an eye, on every side: the lids and the skin around them
_MUZZLE_MARGIN = 0.15  # of its greatest extent, likewise: whisker pads, lips and chin
# Reach around the only point of a part, in distances between the eyes: about half the width of an
# eye with its margin, of an ear, of a muzzle; and the number of points that outline the part.
_REACH = {"eyes": 0.2, "ears": 0.3, "muzzle": 0.3, "forehead": 0.1, "cheeks": 0.1}
_OUTLINED = {"eyes": 3, "ears": 4, "muzzle": 6, "forehead": 4, "cheeks": 6}


@dataclass(frozen=True)
class RegionMasks:
    """Regions of N crops.

    Attributes
    ----------
    names
        R names, those of the species.
    masks
        (N, R, side, side) float32, not negative; the sum over R is 1 at every pixel.
    source
        (N,) object: where each crop's masks are from, "landmarks of the study", "canemo's
        landmark model" or "fixed bands of the box".
    missing
        (N,) object: a tuple per crop of the regions that its landmarks do not show, see
        `find_missing_regions`.
    """

    names: tuple[str, ...]
    masks: NDArray[np.float32]
    source: NDArray[np.object_]
    missing: NDArray[np.object_]


def draw_masks(
    points: Sequence[Points | None],
    *,
    side: int,
    species: Species,
    source: str = STUDY_LANDMARKS,
) -> RegionMasks:
    """Draw the regions of N crops, from landmarks where eyes and muzzle are known.

    Parameters
    ----------
    points
        Of each crop, in its own coordinates (see `place_points`), or None.
    side
        Of the masks [pixels].
    species
        Whose faces they are.
    source
        Where the landmarks are from. Crops without an eye or without a muzzle get the fixed bands.
    """
    drawn = [_draw_crop(each or {}, side, species) for each in points]
    shape = (0, len(species.regions), side, side)
    sources, missing = np.empty((2, len(drawn)), dtype=object)
    for i, (_, is_drawn, absent) in enumerate(drawn):
        sources[i] = source if is_drawn else BANDS
        missing[i] = absent
    masks = np.stack([mask for mask, _, _ in drawn]) if drawn else np.empty(shape, np.float32)
    return RegionMasks(species.regions, masks, sources, missing)


def _draw_crop(
    points: Points, side: int, species: Species
) -> tuple[NDArray[np.float32], bool, tuple[str, ...]]:
    if not shows_face(points, species):
        return draw_bands(side, species), False, ()
    missing = find_missing_regions(points, species)
    return draw_regions(points, side=side, species=species), True, missing


def shows_face(points: Points, species: Species) -> bool:
    """Return whether regions can be drawn from points: an eye and the muzzle are known."""
    return _find_regions(points, species) >= NEEDED


def place_points(points: Points, crop_xyxy: Box) -> dict[str, tuple[float, float]]:
    """Return points of a frame [pixels] in coordinates of the rectangle that was cut from it."""
    x0, y0, x1, y1 = crop_xyxy
    return {name: ((x - x0) / (x1 - x0), (y - y0) / (y1 - y0)) for name, (x, y) in points.items()}


def lies_inside(points: Points, species: Species) -> bool:
    """Return whether an eye and the muzzle, where points are of them, have one in the crop."""
    inside = {name: place for name, place in points.items() if min(place) >= 0 and max(place) <= 1}
    wanted = NEEDED - set(find_missing_regions(points, species))
    return bool(inside) and not wanted & set(find_missing_regions(inside, species))


def draw_regions(points: Points, *, side: int, species: Species) -> NDArray[np.float32]:
    """Draw the regions of one crop from its landmarks.

    Parameters
    ----------
    points
        Name -> (x, y) in crop coordinates 0 to 1; points may lie outside. Any scheme whose names
        `Species.region_of` knows; what it does not know is left out.
    side
        Of the masks [pixels].
    species
        Whose face it is.

    Returns
    -------
    NDArray
        (R, side, side) float32 in the order of the species' regions; the sum over R is 1.

    Notes
    -----
    Where regions overlap, the first of eyes, muzzle, ears, forehead, cheeks counts; what none
    covers is background. All are convex hulls:

    - each eye its points, wider by half its width (a quarter on every side), so that lids and the
      skin around them count;
    - muzzle: bridge, nose, lips, corners of the mouth and chin, wider on every side by 0.15 of the
      distance between its two furthest points, for the points run along the lips and the ridge of
      the nose, not around them;
    - each ear its points;
    - forehead: brows, the bases of the ears (their inner ends where both are known), and the upper
      and inner points of the eyes;
    - cheeks: what is left of the hull of all of these but the ears beyond their bases.

    A part with fewer points than outline it (3 for an eye, 4 for an ear or the forehead, 6 for the
    muzzle or the cheeks) grows on all sides. With one point it is a disc with a radius of 0.2
    distances between the eyes for an eye, 0.3 for an ear or the muzzle, 0.1 for forehead and
    cheeks, about half the width of these parts; with each further point the hull grows by less,
    in equal steps, until the points outline the part. Two points are a strip with round ends. Of a
    muzzle this or its margin counts, whichever is wider. The distance between the eyes counts as
    0.26 crops where an eye is unknown.

    A pixel on a border is shared out by where 4 x 4 positions in it lie.
    """
    fine = side * _SUBSAMPLES
    regions = species.regions
    labels = np.full((fine, fine), regions.index("background"), dtype=np.int8)
    for region, hull, reach in reversed(list(_iter_shapes(points, species))):
        _paint(labels, hull, reach, regions.index(region))
    blocks = labels.reshape(side, _SUBSAMPLES, side, _SUBSAMPLES)
    return np.stack(
        [(blocks == k).mean(axis=(1, 3), dtype=np.float32) for k in range(len(regions))]
    )


def find_missing_regions(points: Points, species: Species) -> tuple[str, ...]:
    """Return the parts of the face that no point shows; they fall to cheeks and background."""
    there = _find_regions(points, species)
    return tuple(name for name in species.regions if name not in there and name != "background")


def _find_regions(points: Points, species: Species) -> set[str]:
    return {region for region, _, _ in _iter_shapes(points, species)}


_Shape: TypeAlias = tuple[str, NDArray[np.float64], float]


def _iter_shapes(points: Points, species: Species) -> Iterator[_Shape]:
    """Yield region, corners of a convex hull (n, 2) and reach around it, the first on top."""
    parts = _group_points(points, species)
    eyes = {side: named for (region, side), named in parts.items() if region == "eyes"}
    unit = _measure_eye_distance(eyes)
    for named in eyes.values():
        hull = _hull(named.values())
        reach = _reach_around("eyes", len(named), unit) or _EYE_MARGIN * _diameter(hull)
        yield "eyes", hull, reach
    muzzle = _all_of(parts, "muzzle")
    if muzzle:
        hull = _hull(muzzle.values())
        reach = _reach_around("muzzle", len(muzzle), unit)
        yield "muzzle", hull, max(reach, _MUZZLE_MARGIN * _diameter(hull))
    for (region, _), named in parts.items():
        if region == "ears":
            yield _make_shape("ears", named, unit)
    bases = _find_ear_bases(parts)
    forehead = _all_of(parts, "forehead")
    if len(forehead) + len(bases) >= 2 or (forehead and eyes):
        upper = _without(_all_of(parts, "eyes"), "outer", "lower")
        yield _make_shape("forehead", {**forehead, **_inner(bases), **upper}, unit)
    face = {**_all_of(parts, "eyes"), **muzzle, **forehead, **_all_of(parts, "cheeks"), **bases}
    if len(face) >= 3 or _all_of(parts, "cheeks"):
        yield _make_shape("cheeks", face, unit)


def _make_shape(region: str, named: Points, unit: float) -> _Shape:
    return region, _hull(named.values()), _reach_around(region, len(named), unit)


def _reach_around(region: str, count: int, unit: float) -> float:
    """Return how far a part with few points grows: most with one, less with each further one."""
    outlined = _OUTLINED[region]
    return _REACH[region] * unit * max(0, outlined - count) / (outlined - 1)


def _group_points(
    points: Points, species: Species
) -> dict[tuple[str, str], dict[str, tuple[float, float]]]:
    """Return (region, side) -> its points; an eye or ear without a side is a part by itself."""
    parts: dict[tuple[str, str], dict[str, tuple[float, float]]] = defaultdict(dict)
    for name, place in points.items():
        region = species.region_of(name)
        if region is None or not np.isfinite(place).all():
            continue
        side = side_of_point(name)
        alone = name if region in ("eyes", "ears") else ""
        parts[region, side or alone][name] = place
    return parts


def _all_of(parts: Mapping[tuple[str, str], Points], region: str) -> dict[str, tuple[float, float]]:
    return {
        name: place
        for (its_region, _), named in parts.items()
        if its_region == region
        for name, place in named.items()
    }


def _find_ear_bases(parts: Mapping[tuple[str, str], Points]) -> dict[str, tuple[float, float]]:
    ears = _all_of(parts, "ears")
    return {name: place for name, place in ears.items() if "base" in name.casefold()}


def _inner(named: Points) -> dict[str, tuple[float, float]]:
    """Return the inner ones where any is called so, else all."""
    return {n: p for n, p in named.items() if "inner" in n.casefold()} or dict(named)


def _without(named: Points, *words: str) -> dict[str, tuple[float, float]]:
    return {n: p for n, p in named.items() if not any(word in n.casefold() for word in words)}


def _measure_eye_distance(eyes: Mapping[str, Points]) -> float:
    if len(eyes) != 2:
        return EYE_DISTANCE
    first, second = (np.mean(list(named.values()), axis=0) for named in eyes.values())
    return float(np.linalg.norm(first - second))


def _hull(points: Iterable[tuple[float, float]]) -> NDArray[np.float64]:
    """Return the corners (n, 2) of the convex hull in order (Andrew's monotone chain)."""
    ordered = sorted({(float(x), float(y)) for x, y in points})
    if len(ordered) < 3:
        return np.array(ordered)
    lower, upper = _half_hull(ordered), _half_hull(ordered[::-1])
    return np.array(lower[:-1] + upper[:-1])


def _half_hull(ordered: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    chain: list[tuple[float, float]] = []
    for point in ordered:
        while len(chain) > 1 and _turn(chain[-2], chain[-1], point) <= 0:
            chain.pop()
        chain.append(point)
    return chain


def _turn(a: tuple[float, float], b: tuple[float, float], c: tuple[float, float]) -> float:
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])


def _diameter(hull: NDArray[np.float64]) -> float:
    return float(np.linalg.norm(hull[:, None] - hull[None], axis=2).max())


def _paint(labels: NDArray[np.int8], hull: NDArray[np.float64], reach: float, value: int) -> None:
    """Write `value` where the middle of a small pixel is in the hull or within reach of it."""
    fine = len(labels)
    low = np.floor((hull.min(axis=0) - reach) * fine).clip(0, fine).astype(int)
    high = np.ceil((hull.max(axis=0) + reach) * fine).clip(0, fine).astype(int)
    x, y = ((np.arange(low[k], high[k]) + 0.5) / fine for k in (0, 1))
    window = labels[low[1] : high[1], low[0] : high[0]]
    if window.size:
        window[_covers(hull, reach, x[None, :], y[:, None])] = value


def _covers(
    hull: NDArray[np.float64], reach: float, x: NDArray[np.float64], y: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """Return whether places are in a convex hull or at most `reach` from its edges."""
    shape = np.broadcast_shapes(x.shape, y.shape)
    inside = np.full(shape, len(hull) > 2)
    near = np.zeros(shape, dtype=bool)
    for (ax, ay), (bx, by) in zip(hull, np.roll(hull, -1, axis=0), strict=True):
        dx, dy = bx - ax, by - ay
        inside &= dx * (y - ay) - dy * (x - ax) >= 0
        if reach > 0:
            length = dx * dx + dy * dy
            along = ((x - ax) * dx + (y - ay) * dy) / (length if length > 0 else 1.0)
            along = along.clip(0, 1)
            near |= (x - ax - along * dx) ** 2 + (y - ay - along * dy) ** 2 <= reach**2
    return inside | near


def draw_bands(side: int, species: Species) -> NDArray[np.float32]:
    """Return fixed bands of a crop: where the regions are in a typical face that looks ahead.

    Parameters
    ----------
    side
        Of the masks [pixels].
    species
        Whose face it is.

    Returns
    -------
    NDArray
        (R, side, side) float32 in the order of the species' regions; the sum over R is 1.

    Notes
    -----
    Those of dogs: boxes on a grid of 1/20 of the crop, alike on both sides, chosen one edge at a
    time so that the mean over regions of intersection over union with what `draw_regions` draws is
    highest in 2,517 photographs of DogFLW, each in the square around its (loosely drawn) box of the
    face; then the eyes: their median points and the margin of `draw_regions`. Of the area of these
    photographs, bands and landmarks give 71 % to the same region (the most any fixed map reaches
    is 74 %); of an eye's area 16 %, an ear's 44 %, the muzzle's 54 %, the forehead's 60 %, the
    cheeks' 27 %. So bands tell upper from lower face and face from background, and no more: a head
    turns, tilts and differs by breed. ``test_bands_lie_where_landmarks_do`` repeats a part of it.

    References
    ----------
    Martvel et al. (2025), Dog facial landmarks detection and its applications for facial analysis,
    Sci Rep 15, doi:10.1038/s41598-025-07040-3 (the points; boxes and photographs are its).
    """
    bounds = np.arange(side + 1) / side
    masks = np.zeros((len(species.regions), side, side))
    masks[species.regions.index("background")] = 1
    for region, x0, y0, x1, y1 in species.region_boxes:
        cover = np.outer(_overlap(bounds, y0, y1), _overlap(bounds, x0, x1))
        masks *= 1 - cover
        masks[species.regions.index(region)] += cover
    return masks.astype(np.float32)


def _overlap(bounds: NDArray[np.float64], low: float, high: float) -> NDArray[np.float64]:
    """Return the share of each pixel that lies between `low` and `high`."""
    inside = np.clip(bounds, low, high)
    return np.diff(inside) / np.diff(bounds)


def measure_cells(masks: NDArray[Any], rows: int, columns: int) -> NDArray[np.float64]:
    """Measure the share of each cell of a coarser grid that each region covers.

    Parameters
    ----------
    masks
        (N, R, side, side), as in `RegionMasks`.
    rows, columns
        Of the grid that divides the crop, say a map's.

    Returns
    -------
    NDArray
        (N, R, rows, columns) float64, averages over each cell's area; the sum over R is 1.
    """
    down = _average_matrix(masks.shape[-2], rows)
    across = _average_matrix(masks.shape[-1], columns)
    shares = down @ masks.astype(np.float64) @ across.T
    whole = shares.sum(axis=1, keepdims=True)
    return np.asarray(shares / whole)


def _average_matrix(size: int, cells: int) -> NDArray[np.float64]:
    """Return (cells, size) weights, each row summing to 1: how much of a pixel is in a cell."""
    edges = np.arange(cells + 1) / cells
    bounds = np.arange(size + 1) / size
    inside = np.clip(bounds[None], edges[:-1, None], edges[1:, None])
    return np.asarray(np.diff(inside, axis=1) * cells)


@dataclass(frozen=True)
class RegionCells:
    """How much of each cell of a grid over N crops the regions of the face cover.

    Attributes
    ----------
    names
        R names, those of the species but the background.
    shares
        (N, R, P) float32, 0 to 1, P cells in reading order.
    is_drawn
        (N,) whether a crop's regions are drawn from landmarks; else they are the fixed bands.
    """

    names: tuple[str, ...]
    shares: NDArray[np.float32]
    is_drawn: NDArray[np.bool_]


def cover_cells(
    points: Sequence[Points | None], grid_shape: tuple[int, int], species: Species
) -> RegionCells:
    """Return what the regions of N crops cover of a grid of (rows, columns); see `draw_masks`."""
    drawn = draw_masks(points, side=_CELLS_SIDE, species=species)
    shares = measure_cells(drawn.masks, *grid_shape)[:, :-1]
    flat = shares.reshape(*shares.shape[:2], -1).astype(np.float32)
    return RegionCells(species.regions[:-1], flat, np.asarray(drawn.source != BANDS))


def outline_regions(image_rgb: Image, masks: NDArray[Any], *, colours: Sequence[str]) -> Image:
    """Lay the borders of the regions over a picture.

    Parameters
    ----------
    image_rgb
        (H, W, 3) uint8, RGB.
    masks
        (R, side, side) of this crop, as in `RegionMasks`.
    colours
        One per region but the last, the background, as HTML writes them (``#0072B2``).

    Returns
    -------
    Image
        A new (H, W, 3) uint8 picture. Each region's border runs along its inside.
    """
    height, width = image_rgb.shape[:2]
    full = [
        np.asarray(
            PilImage.fromarray(mask.astype(np.float32)).resize(
                (width, height), PilImage.Resampling.BILINEAR
            )
        )
        for mask in masks
    ]
    labels = np.argmax(full, axis=0)
    drawn: Image = image_rgb.copy()
    thickness = max(1, round(min(height, width) / 120))
    for index, colour in enumerate(colours):
        border = _find_border(labels == index, thickness)
        drawn[border] = ImageColor.getrgb(colour)[:3]
    return drawn


def _find_border(region: NDArray[np.bool_], thickness: int) -> NDArray[np.bool_]:
    """Return the pixels of a region that lie within `thickness` of its outside."""
    inner = region
    for _ in range(thickness):
        around = np.pad(inner, 1, mode="edge")
        inner = inner & around[:-2, 1:-1] & around[2:, 1:-1] & around[1:-1, :-2] & around[1:-1, 2:]
    return region & ~inner
