"""How a face moves: what its regions do over the frames of a clip once the head is laid still.

Each face is laid on the mean face of its species frame by frame (`canemo.faces.geometry`), so that
moving, turning in the plane and coming nearer are gone. What is left is smoothed over time, short
gaps are bridged, and speeds are held against those that points of a still face have.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from canemo.faces.geometry import measure_points
from canemo.species import Measure, Species, side_of_point

Array: TypeAlias = NDArray[np.float64]
Mask: TypeAlias = NDArray[np.bool_]

FPS = 15.0
"""Frames per second that dynamics looks at, unless told otherwise."""

SMOOTH_S = 0.08
"""Standard deviation [s] of the Gaussian weights of the smoothing."""

GAP_S = 0.4
"""The longest gap [s] between two frames with a value that is bridged."""

LEAST_S, LEAST_FRAMES = 1.0, 8
"""A clip with points over less time [s], or on fewer frames, has no dynamics."""

_REACH = 4  # standard deviations beyond which a frame has no weight
_LEAST_SPREAD = 1e-9  # square seconds: less is one moment, through which any line goes
_ROUNDING_S = 1e-6
_SIDES = ("left", "right")
_MIDDLE = (0.05, 0.95)
# Measured on 101 clips of still photographs of 12 dogs, panned and zoomed over, at 15 frames per
# second: all that moves there is noise, of points and of boxes. It grows with the doubt, 1 less the
# mean confidence of a part's points, in all parts alike: floor = a exp(b doubt), fitted so that
# 95 % of frames (speed) and of clips (span) stay under it. Of 70 further clips, of 9 dogs, 96 % and
# 95 % did, from 87 % for an ear to 100 % for the forehead.
_SPEED_FLOOR = (0.073, 5.3)
_SPAN_FLOOR = (0.040, 7.2)


@dataclass(frozen=True)
class Motion:
    """The motion of one face over the T frames of a clip that were looked at.

    Attributes
    ----------
    time_s
        (T,) [s], rising.
    known, bridged
        (T,) where the face was measured; where it or some of its points were not, in a gap short
        enough to be bridged.
    measures, values
        M named measures and (T, M) their values, smoothed; NaN where not known.
    parts
        P parts of the face: regions, and sides of those whose points all have one (``ears_left``).
    speed
        (T, P) mean speed of the part's points [face units per second].
    floor
        (T, P) the speed that points of a still face, as sure as these are, seldom pass.
    span, span_floor
        (P,) how far the part's points move, and points of a still face do: from 5 to 95 % of their
        places, mean over them [face units].
    """

    time_s: Array
    known: Mask
    bridged: Mask
    measures: tuple[Measure, ...]
    values: Array
    parts: tuple[str, ...]
    speed: Array
    floor: Array
    span: Array
    span_floor: Array

    @property
    def seconds(self) -> float:
        """Time between the first frame that is known and the last [s]."""
        there = self.time_s[self.known]
        return float(there[-1] - there[0]) if len(there) else 0.0

    @property
    def reason(self) -> str | None:
        """Why the clip has no dynamics, or None."""
        frames = int(self.known.sum())
        if frames < LEAST_FRAMES or self.seconds < LEAST_S:
            return (
                f"{frames} frame(s) with points over {self.seconds:.1f} s; dynamics needs "
                f"{LEAST_FRAMES} over {LEAST_S:g} s"
            )
        return None


def follow_face(
    time_s: Array, xyc: NDArray[np.floating], names: Sequence[str], species: Species
) -> Motion:
    """Follow the points of a face over the frames of a clip.

    Parameters
    ----------
    time_s
        (T,) times of all frames that were looked at [s], by the file's own stamps, rising; they
        need not be evenly apart.
    xyc
        (T, K, 3) x and y [pixels] and confidence, 0 to 1; NaN where a point is not known, as in a
        frame without a face.
    names
        Of the K points.
    species
        Whose face it is.

    Notes
    -----
    A value that is missing between two known ones at most `GAP_S` apart lies on the line between
    them and is marked; nothing is filled before the first, after the last, or in a longer gap.
    Values and speeds are the level and slope of a straight line fitted around each frame with
    Gaussian weights (`SMOOTH_S`), which is a Savitzky-Golay filter for times that are not even.
    Of movements faster than half the sampling rate nothing is known.

    References
    ----------
    Savitzky & Golay (1964), Anal Chem 36, 1627-1639, doi:10.1021/ac60214a047; Fan & Gijbels (1996),
    Local Polynomial Modelling and Its Applications, section 2.3.
    """
    time_s = np.asarray(time_s, dtype=float)
    face = measure_points(xyc, names, species)
    laid = face.points.reshape(len(time_s), -1)
    filled, is_new = bridge_gaps(time_s, np.concatenate([laid, face.values], axis=1))
    level, slope = smooth(time_s, filled)
    places = level[:, : laid.shape[1]].reshape(face.points.shape)
    speeds = np.hypot(*np.moveaxis(slope[:, : laid.shape[1]].reshape(face.points.shape), 2, 0))
    parts = list_parts(face.names, species)
    sure = bridge_gaps(time_s, np.where(face.confidence > 0, face.confidence, np.nan))[0]
    doubts = [1 - _mean(sure[:, own]) for own in parts.values()]
    return Motion(
        time_s,
        known=np.asarray(np.isfinite(laid).any(axis=1)),
        bridged=np.asarray(is_new.any(axis=1)),
        measures=face.measures,
        values=level[:, laid.shape[1] :],
        parts=tuple(parts),
        speed=_columns([_mean(speeds[:, own]) for own in parts.values()], len(time_s)),
        floor=_columns([_set_floor(_SPEED_FLOOR, each) for each in doubts], len(time_s)),
        span=np.array([_measure_span(places[:, own]) for own in parts.values()]),
        span_floor=np.array(
            [_set_floor(_SPAN_FLOOR, _mean(each[None])[0]) for each in doubts], dtype=float
        ),
    )


def _set_floor(law: tuple[float, float], doubt: Array) -> Array:
    return np.asarray(law[0] * np.exp(law[1] * doubt))


def list_parts(names: Sequence[str], species: Species) -> dict[str, list[int]]:
    """Return the points of each part of a face, by position: regions, and sides of sided ones."""
    parts: dict[str, list[int]] = {}
    for region in species.regions:
        own = [i for i, name in enumerate(names) if species.region_of(name) == region]
        if own:
            parts[region] = own
        sides = {side: [i for i in own if side_of_point(names[i]) == side] for side in _SIDES}
        if own and all(sides.values()) and sum(map(len, sides.values())) == len(own):
            parts |= {f"{region}_{side}": some for side, some in sides.items()}
    return parts


def bridge_gaps(time_s: Array, values: Array) -> tuple[Array, Mask]:
    """Return (T, C) values with short gaps between known ones filled, and where they are."""
    filled = values.copy()
    for column in filled.T:
        known = np.flatnonzero(np.isfinite(column))
        for before, after in pairwise(known):
            if after - before > 1 and time_s[after] - time_s[before] <= GAP_S + _ROUNDING_S:
                within = slice(before + 1, after)
                ends = [before, after]
                column[within] = np.interp(time_s[within], time_s[ends], column[ends])
    return filled, np.isfinite(filled) & ~np.isfinite(values)


def smooth(time_s: Array, values: Array) -> tuple[Array, Array]:
    """Return level and slope [per second], (T, C) each, of lines fitted around each time.

    NaN where the value itself is, and the slope of a value alone within reach.
    """
    known = np.isfinite(values)
    values = np.where(known, values, 0.0)
    s0, s1, s2, v0, v1 = (np.zeros(values.shape) for _ in range(5))
    frames, reach = len(time_s), _count_reach(time_s)
    for step in range(-reach, reach + 1):
        here = slice(max(0, -step), frames - max(0, step))
        there = slice(max(0, step), frames - max(0, -step))
        apart = time_s[there] - time_s[here]
        near = np.exp(-((apart / SMOOTH_S) ** 2) / 2) * (np.abs(apart) <= _REACH * SMOOTH_S)
        weights, lag = near[:, None] * known[there], apart[:, None]
        s0[here] += weights
        s1[here] += weights * lag
        s2[here] += weights * lag**2
        v0[here] += weights * values[there]
        v1[here] += weights * lag * values[there]
    with np.errstate(invalid="ignore", divide="ignore"):
        spread = s0 * s2 - s1**2
        is_line = spread > _LEAST_SPREAD * s0**2
        level = np.where(is_line, (s2 * v0 - s1 * v1) / spread, v0 / s0)
        slope = np.where(is_line, (s0 * v1 - s1 * v0) / spread, np.nan)
    return np.where(known, level, np.nan), np.where(known, slope, np.nan)


def _count_reach(time_s: Array) -> int:
    """Return within how many frames, at most, all lie that have weight for one."""
    last = np.searchsorted(time_s, time_s + _REACH * SMOOTH_S, side="right") - 1
    return int((last - np.arange(len(time_s))).max(initial=0))


def _mean(rows: Array) -> Array:
    """Return (T,) the mean of what is known in each row."""
    known = np.isfinite(rows)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(known, rows, 0.0).sum(axis=1) / known.sum(axis=1))


def _measure_span(places: Array) -> float:
    """Return how far (T, N, 2) points move, mean over those that are ever known."""
    there = places[:, np.isfinite(places).any(axis=(0, 2))]
    if not there.size:
        return float("nan")
    low, high = np.nanquantile(there, _MIDDLE, axis=0)
    return float(np.hypot(*(high - low).T).mean())


def _columns(columns: Sequence[Array], frames: int) -> Array:
    return np.stack(columns, axis=1) if columns else np.empty((frames, 0))


def summarise_motion(motion: Motion) -> dict[str, float]:
    """Return what a clip's face did, by name; NaN where that is not known.

    Of each part of the face ``_speed_median`` and ``_speed_95``, the median and 95 % of the speed
    above the noise floor [face units per second], and ``_range``, how far its points move beyond
    what those of a still face do [face units]; of each measure its median, under its own name, and
    of one with sides the mean of both too.
    """
    found: dict[str, float] = {}
    for place, part in enumerate(motion.parts):
        above = np.maximum(motion.speed[:, place] - motion.floor[:, place], 0)
        found[f"{part}_speed_median"] = _quantile(above, 0.5)
        found[f"{part}_speed_95"] = _quantile(above, 0.95)
        found[f"{part}_range"] = float(np.maximum(motion.span[place] - motion.span_floor[place], 0))
    if motion.reason is not None:
        found = dict.fromkeys(found, float("nan"))
    values = motion.values[motion.known]
    medians = {
        each.name: _quantile(column, 0.5)
        for each, column in zip(motion.measures, values.T, strict=True)
    }
    for base, sides in pair_measures(motion.measures).items():
        found[base] = float(np.mean([medians[side] for side in sides]))
    return found | medians


def pair_measures(measures: Sequence[Measure]) -> dict[str, tuple[str, str]]:
    """Return the measures taken on both sides, by their name without the side."""
    names = [each.name for each in measures]
    left = [name.removesuffix("_left") for name in names if name.endswith("_left")]
    return {base: (f"{base}_left", f"{base}_right") for base in left if f"{base}_right" in names}


def _quantile(values: Array, share: float) -> float:
    known = values[np.isfinite(values)]
    return float(np.quantile(known, share)) if len(known) else float("nan")
