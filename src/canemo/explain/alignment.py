"""Faces brought onto one mean face, so that pictures and maps of many crops can be averaged.

Places in a picture are (x, y) with (0, 0) at the outer corner of the first pixel, whose middle is
(0.5, 0.5).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

from canemo.records import Image

SIDE = 160
"""Of an aligned face [pixels]."""

_SHAPE_ROUNDS, _SHAPE_CHANGE = 50, 1e-6


def align_faces(
    images_rgb: Sequence[Image],
    points: NDArray[np.floating[Any]],
    *,
    shape: NDArray[np.floating[Any]],
    anchors: Sequence[int] | None = None,
    side: int = SIDE,
) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """Bring faces onto the mean face by turning, scaling and moving them.

    Parameters
    ----------
    images_rgb
        N crops, each (H, W, 3) uint8, RGB, of any size.
    points
        (N, M, 2) places in each crop [pixels]; NaN where a point is not known.
    shape
        (M, 2) where the points shall lie, 0 to 1 of the side.
    anchors
        Positions of the points that decide. None: all.
    side
        Of the aligned pictures [pixels].

    Returns
    -------
    warped
        (N, side, side, 3) uint8; black where there is nothing of the crop.
    transforms
        (N, 2, 3): ``transform @ (x, y, 1)`` takes a place in the crop to one in the aligned
        picture [pixels].

    Raises
    ------
    ValueError
        `points` does not fit `images_rgb` or `shape`.

    Notes
    -----
    The similarity transform without reflection that is best in least squares over the known
    anchors; over all known points where fewer than two anchors are known. A crop with fewer than
    two points is scaled to the side as a whole, and so is a crop whose known points are all at
    one place.

    References
    ----------
    Umeyama (1991), Least-squares estimation of transformation parameters between two point
    patterns, IEEE TPAMI 13, 376-380, doi:10.1109/34.88573.
    """
    wanted = (len(images_rgb), len(shape), 2)
    if points.shape != wanted:
        raise ValueError(
            f"points have shape {points.shape}, expected {wanted} for {len(images_rgb)} crops"
        )
    decisive = np.arange(len(shape)) if anchors is None else np.asarray(anchors, dtype=int)
    target = side * np.asarray(shape, dtype=float)
    transforms = np.empty((len(images_rgb), 2, 3))
    warped = np.zeros((len(images_rgb), side, side, 3), dtype=np.uint8)
    for i, image in enumerate(images_rgb):
        transform = _fit_known(np.asarray(points[i], dtype=float), target, decisive)
        height, width = image.shape[:2]
        transforms[i] = _scale_whole(width, height, side) if transform is None else transform
        pixels = _sample(image.astype(np.float32), transforms[i], side)
        warped[i] = np.rint(np.nan_to_num(pixels, nan=0.0)).clip(0, 255)
    return warped, transforms


def warp_maps(
    maps: NDArray[np.floating[Any]],
    transforms: NDArray[np.floating[Any]],
    sizes: NDArray[Any],
    *,
    side: int = SIDE,
) -> NDArray[np.float32]:
    """Bring maps over crops onto the mean face, as the crops were.

    Parameters
    ----------
    maps
        (N, h, w), each over a whole crop.
    transforms
        (N, 2, 3) from `align_faces`.
    sizes
        (N, 2) width and height of each crop [pixels].
    side
        As given to `align_faces`.

    Returns
    -------
    NDArray
        (N, side, side) float32; NaN where there is nothing of the crop. Values are those of the
        map at each place, interpolated: they show where, and their sum is no longer the map's.
    """
    warped = np.empty((len(maps), side, side), dtype=np.float32)
    rows, columns = maps.shape[1:]
    for i, each in enumerate(maps):
        width, height = (float(value) for value in sizes[i])
        to_crop = np.diag([width / columns, height / rows, 1.0])
        transform = np.asarray(transforms[i], dtype=float) @ to_crop
        warped[i] = _sample(each.astype(np.float32)[..., None], transform, side)[..., 0]
    return warped


def estimate_shape(
    points: NDArray[np.floating[Any]],
    *,
    anchors: Sequence[int] | None = None,
    mirrored: Sequence[int] | None = None,
) -> NDArray[np.float64]:
    """Estimate the mean face of a scheme of points: their median once turn and size are taken out.

    Parameters
    ----------
    points
        (N, M, 2), 0 to 1 of each crop's side; NaN where a point is not known.
    anchors
        Positions of the points that crops are laid on each other by; None: all.
    mirrored
        Position -> position of the same point in a mirrored picture; None: sides may differ.

    Returns
    -------
    NDArray
        (M, 2), of the size and at the place that the medians over crops have.

    Raises
    ------
    ValueError
        A point is known in no crop.

    References
    ----------
    Gower (1975), Generalized Procrustes analysis, Psychometrika 40, 33-51,
    doi:10.1007/BF02291478 (with medians in place of means here).
    """
    nowhere = np.flatnonzero(np.isnan(points).any(axis=2).all(axis=0))
    if len(nowhere):
        raise ValueError(f"point {nowhere[0]} is known in no crop; leave it out of the scheme")
    decisive = np.arange(points.shape[1]) if anchors is None else np.asarray(anchors)
    start = shape = _symmetric(np.nanmedian(points, axis=0), mirrored)
    for _ in range(_SHAPE_ROUNDS):
        fitted = [(_fit_known(each, shape, decisive), each) for each in points]
        laid = [_apply(transform, each) for transform, each in fitted if transform is not None]
        if not laid:
            return start
        median = _symmetric(np.nanmedian(np.stack(laid), axis=0), mirrored)
        back = _fit_known(median, start, decisive)
        before, shape = shape, median if back is None else _apply(back, median)
        if np.abs(shape - before).max() < _SHAPE_CHANGE:
            break
    return shape


def _symmetric(shape: NDArray[np.float64], mirrored: Sequence[int] | None) -> NDArray[np.float64]:
    if mirrored is None:
        return shape
    other = shape[list(mirrored)] * [-1.0, 1.0] + [1.0, 0.0]
    return np.asarray((shape + other) / 2)


def _fit_known(
    source: NDArray[np.float64], target: NDArray[np.float64], decisive: NDArray[np.intp]
) -> NDArray[np.float64] | None:
    known = np.flatnonzero(np.isfinite(source).all(axis=1))
    chosen = np.intersect1d(known, decisive)
    return _fit_similarity(
        *(each[chosen if len(chosen) > 1 else known] for each in (source, target))
    )


def _fit_similarity(
    source: NDArray[np.float64], target: NDArray[np.float64]
) -> NDArray[np.float64] | None:
    """Return the (2, 3) similarity that takes source (M, 2) to target best; None where none does.

    As complex numbers, turning and scaling is one factor and its least-squares value is that of a
    regression through the origin.
    """
    if len(source) < 2:
        return None
    middle, goal = source.mean(axis=0), target.mean(axis=0)
    a, b = ((each - mean) @ np.array([1, 1j]) for each, mean in ((source, middle), (target, goal)))
    spread = float((np.abs(a) ** 2).sum())
    factor = complex((np.conj(a) * b).sum() / spread) if spread > 0 else 0j
    if abs(factor) == 0:
        return None
    turn = np.array([[factor.real, -factor.imag], [factor.imag, factor.real]])
    return np.column_stack([turn, goal - turn @ middle])


def _scale_whole(width: float, height: float, side: int) -> NDArray[np.float64]:
    return np.array([[side / width, 0.0, 0.0], [0.0, side / height, 0.0]])


def _apply(transform: NDArray[np.float64], points: NDArray[Any]) -> NDArray[np.float64]:
    return np.asarray(points @ transform[:, :2].T + transform[:, 2])


def _sample(
    image: NDArray[np.float32], transform: NDArray[np.float64], side: int
) -> NDArray[np.float32]:
    """Return (side, side, C) of an image (H, W, C) under a transform; NaN outside of the image."""
    height, width, channels = image.shape
    inverse = np.linalg.inv(np.vstack([transform, [0.0, 0.0, 1.0]]))[:2]
    middles = np.arange(side) + 0.5
    x, y = np.moveaxis(_apply(inverse, np.stack(np.meshgrid(middles, middles), axis=-1)), -1, 0)
    outside = (x < 0) | (x > width) | (y < 0) | (y > height)
    sampled = np.empty((side, side, channels), dtype=np.float32)
    for k in range(channels):
        sampled[..., k] = map_coordinates(
            image[..., k], [y - 0.5, x - 0.5], order=1, mode="nearest"
        )
    sampled[outside] = np.nan
    return sampled


@dataclass(frozen=True)
class MeanFace:
    """The average of some aligned faces.

    Attributes
    ----------
    label
        The condition.
    subject_id
        The subject, or None for all subjects of the condition.
    image_rgb
        (side, side, 3) uint8, RGB; black where no crop reaches.
    map
        (side, side) float32; NaN where no crop reaches.
    dogs, clips, crops
        How many went in.
    """

    label: str
    subject_id: str | None
    image_rgb: Image
    map: NDArray[np.float32]
    dogs: int
    clips: int
    crops: int


def average_faces(
    warped: NDArray[np.uint8],
    maps: NDArray[np.floating[Any]],
    *,
    labels: Sequence[str],
    subject_ids: Sequence[str],
    video_ids: Sequence[str],
) -> tuple[MeanFace, ...]:
    """Average aligned faces and their maps by condition and by subject within it.

    Parameters
    ----------
    warped
        (N, side, side, 3) from `align_faces`.
    maps
        (N, side, side) from `warp_maps`. Where a map is NaN its picture does not count either.
    labels, subject_ids, video_ids
        Of the N crops.

    Returns
    -------
    tuple of MeanFace
        For each condition in alphabetical order, all its subjects first, then each subject. Crops
        of a clip weigh the same within it, clips within their subject, subjects within the
        condition.

    Raises
    ------
    ValueError
        The numbers of faces, maps and names differ.
    """
    lengths = {len(each) for each in (warped, maps, labels, subject_ids, video_ids)}
    if len(lengths) != 1:
        raise ValueError(f"faces, maps and their names differ in number: {sorted(lengths)}")
    names = [np.asarray(each, dtype=object) for each in (labels, subject_ids, video_ids)]
    faces: list[MeanFace] = []
    for label in sorted(set(labels)):
        of_label = names[0] == label
        means, subjects = [], []
        for subject_id in sorted(set(names[1][of_label])):
            chosen = np.flatnonzero(of_label & (names[1] == subject_id))
            clips = sorted(set(names[2][chosen]))
            parts = [
                _average_crops(warped, maps, chosen[names[2][chosen] == clip]) for clip in clips
            ]
            mean = _mean_known(np.stack(parts))
            means.append(mean)
            subjects.append(_make_face(mean, label, subject_id, (1, len(clips), len(chosen))))
        counts = (
            len(subjects),
            sum(face.clips for face in subjects),
            sum(face.crops for face in subjects),
        )
        faces += [_make_face(_mean_known(np.stack(means)), label, None, counts), *subjects]
    return tuple(faces)


def _average_crops(
    warped: NDArray[np.uint8], maps: NDArray[np.floating[Any]], chosen: NDArray[np.intp]
) -> NDArray[np.float32]:
    """Return (side, side, 4): the mean picture and, last, the mean map of some crops."""
    own = maps[chosen][..., None].astype(np.float32)
    pixels = np.where(np.isnan(own), np.float32(np.nan), warped[chosen])
    return _mean_known(np.concatenate([pixels, own], axis=-1))


def _mean_known(stack: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
    """Return the mean over the first axis of what is not NaN; NaN where nothing is."""
    count = np.isfinite(stack).sum(axis=0)
    total = np.where(np.isfinite(stack), stack, 0).sum(axis=0, dtype=np.float64)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan).astype(np.float32)


def _make_face(
    mean: NDArray[np.float32], label: str, subject_id: str | None, counts: tuple[int, int, int]
) -> MeanFace:
    image = np.rint(np.nan_to_num(mean[..., :3], nan=0.0)).clip(0, 255).astype(np.uint8)
    return MeanFace(label, subject_id, image, mean[..., 3], *counts)
