"""How far found landmarks are from the true ones, in the units the field reports."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from canemo.species import DOG

FAILURE = 0.2
"""A face has failed where its mean error is a larger share of the inter-ocular distance."""


def _part_of(point: str) -> str:
    part = point.split("_")[0]
    return {"eye": "eyes", "ear": "ears", "brow": "brow"}.get(part, "muzzle")


PARTS: dict[str, tuple[int, ...]] = {
    part: tuple(index for index, point in enumerate(DOG.points) if _part_of(point) == part)
    for part in ("eyes", "ears", "muzzle", "brow")
}
"""Positions in `DOG.points` by part of the face; `muzzle` is nose, mouth, cheeks and chin."""


@dataclass(frozen=True)
class LandmarkMetrics:
    """How well points were found on a number of faces.

    Errors are percentages. `nme_iod` is the mean over faces of the mean distance of a face's points
    from the true ones, divided by its inter-ocular distance, `median_iod` the median over faces,
    `nme_box` and `median_box` the same divided by the square root of the face box's area.
    `by_part` holds (`nme_iod`, `median_iod`) of each of `PARTS`; `failure_rate` is the share of
    faces with an error above `FAILURE` of the inter-ocular distance.
    """

    faces: int
    nme_iod: float
    median_iod: float
    nme_box: float
    median_box: float
    failure_rate: float
    by_part: dict[str, tuple[float, float]]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON."""
        return asdict(self)


def compute_interocular(points: NDArray[np.floating]) -> NDArray[np.float64]:
    """Compute the distance between the eyes' centres, (N,), of points (N, 46, 2)."""
    left, right = (
        (points[:, DOG.points.index(inner)] + points[:, DOG.points.index(outer)]) / 2
        for inner, outer in DOG.eye_corners
    )
    distances: NDArray[np.float64] = np.linalg.norm(left - right, axis=-1).astype(np.float64)
    return distances


def compute_distances(
    found: NDArray[np.floating], true: NDArray[np.floating]
) -> NDArray[np.float64]:
    """Compute the distance of each found point from the true one, (N, 46), in their unit."""
    offsets = found[..., :2].astype(np.float64) - true[..., :2]
    distances: NDArray[np.float64] = np.linalg.norm(offsets, axis=-1)
    return distances


def compute_relative_errors(
    found: NDArray[np.floating], true: NDArray[np.floating]
) -> NDArray[np.float64]:
    """Compute each point's error, (N, 46), in percent of its face's inter-ocular distance."""
    errors: NDArray[np.float64] = 100 * compute_distances(found, true)
    errors /= compute_interocular(true)[:, None]
    return errors


def compare_errors(
    found: NDArray[np.floating],
    other: NDArray[np.floating],
    true: NDArray[np.floating],
    photographs: Sequence[str],
    *,
    resamples: int = 2000,
    seed: int = 0,
) -> dict[str, Any]:
    """Compare two sets of found points on the same faces.

    Parameters
    ----------
    found, other, true
        (N, 46, 2) or more columns, which do not count; one unit for all.
    photographs
        What each face is a picture of: faces of one photograph are drawn together.
    resamples, seed
        Number of bootstrap resamples, and the seed that draws them.

    Returns
    -------
    dict
        `nme_iod` of `found`, its `difference` from that of `other` (below 0 where `found` is
        better), and the `interval` of the difference that 95 % of the resamples lie in.
    """
    errors = compute_relative_errors(found, true).mean(axis=1)
    differences = errors - compute_relative_errors(other, true).mean(axis=1)
    names, owner = np.unique(np.asarray(photographs), return_inverse=True)
    rng = np.random.default_rng(seed)
    counts = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), size=resamples)
    sums, sizes = np.bincount(owner, weights=differences), np.bincount(owner)
    drawn = (counts @ sums) / (counts @ sizes)
    return {
        "nme_iod": float(errors.mean()),
        "difference": float(differences.mean()),
        "interval": np.percentile(drawn, [2.5, 97.5]).tolist(),
    }


def compute_landmark_metrics(
    found: NDArray[np.floating],
    true: NDArray[np.floating],
    box_sizes: NDArray[np.floating],
) -> LandmarkMetrics:
    """Compare found with true points.

    Parameters
    ----------
    found, true
        (N, 46, 2) or more columns, which do not count; N at least 1, one unit for all.
    box_sizes
        (N,), the square root of each true face box's area, in that unit.

    Notes
    -----
    The inter-ocular distance shrinks as a face turns aside, so that errors in its unit grow; those
    in the unit of the box do not. Points are compared wherever they are annotated, hidden or not.

    References
    ----------
    Martvel et al. (2025), Dog facial landmarks detection and its applications for facial analysis,
    Sci Rep 15, doi:10.1038/s41598-025-07040-3.
    """
    distances = 100 * compute_distances(found, true)
    by_iod = compute_relative_errors(found, true)
    faces_iod, faces_box = by_iod.mean(axis=1), distances.mean(axis=1) / box_sizes
    parts = {part: by_iod[:, list(indices)].mean(axis=1) for part, indices in PARTS.items()}
    return LandmarkMetrics(
        faces=len(distances),
        nme_iod=float(faces_iod.mean()),
        median_iod=float(np.median(faces_iod)),
        nme_box=float(faces_box.mean()),
        median_box=float(np.median(faces_box)),
        failure_rate=float((faces_iod > 100 * FAILURE).mean()),
        by_part={
            part: (float(values.mean()), float(np.median(values))) for part, values in parts.items()
        },
    )
