"""When a face moves: movements of its parts and openings of the mouth, with onset and duration."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from canemo.faces.dynamics import Array, Mask, Motion, bridge_gaps, smooth

RISE, FALL = 2.0, 1.0
"""A movement is where the speed stays above `FALL` times its floor and passes `RISE` times it."""

OPEN, CLOSE = 0.15, 0.08
"""The mouth is open where the jaw is lower than at rest by `CLOSE` and passes `OPEN` [face units].

Rest is the lower quartile of the clip: of a mouth that is open throughout nothing is told.
"""

REST = 0.25
LIKELY, UNLIKELY = 0.6, 0.4
"""Where the meter reads these points, the mouth is open from above `LIKELY` to below `UNLIKELY`."""

LEAST_S = 0.1
"""What is shorter is no movement and no opening, and a shorter pause ends none [s]."""

QUICK_S = 0.6
"""A movement no longer than this is a quick one, a point event [s]."""

MOUTH_OPEN, JAW = "mouth_open", "jaw_drop"
_KINDS = ("move", "quick")


@dataclass(frozen=True)
class Movement:
    """A movement of a part of the face, or an opening of the mouth.

    Attributes
    ----------
    code
        ``move_`` or, of a quick one, ``quick_`` and the part; or ``mouth_open``.
    start_s, end_s
        Half way to the frames before and after [s].
    is_quick
        Whether it counts as a point event.
    is_bridged
        Whether it rests in part on frames that were bridged.
    """

    code: str
    start_s: float
    end_s: float
    is_quick: bool = False
    is_bridged: bool = False

    @property
    def duration_s(self) -> float:
        """How long it lasts [s]."""
        return self.end_s - self.start_s


def find_movements(motion: Motion, *, mouth_open: Array | None = None) -> list[Movement]:
    """Return the movements of a clip in order of time; none of a clip without dynamics.

    A part with sides is told of by its sides alone: one ear may flick. `mouth_open` (T,) is how
    likely that is by a meter; without, the jaw is held against its own rest.
    """
    if motion.reason is not None:
        return []
    found = list(_find_openings(motion, mouth_open))
    for place, part in enumerate(motion.parts):
        if f"{part}_left" in motion.parts:
            continue
        with np.errstate(invalid="ignore"):
            above = motion.speed[:, place] / motion.floor[:, place]
        for start_s, end_s, bridged in find_runs(motion, above, low=FALL, high=RISE):
            quick = end_s - start_s <= QUICK_S
            name = f"{_KINDS[quick]}_{part}"
            found.append(Movement(name, start_s, end_s, quick, bridged))
    return sorted(found, key=lambda each: (each.start_s, each.code))


def count_movements(motion: Motion, movements: Sequence[Movement]) -> dict[str, float]:
    """Return how often each part of a face moved, and its mouth opened, a minute; NaN if unknown.

    A part with sides counts the movements of both. ``mouth_open_openings`` are those whose onset is
    seen, ``mouth_open_share`` is a share of the time.
    """
    known = motion.reason is None
    minutes = motion.seconds / 60 if known else float("nan")
    found = {}
    for part in motion.parts:
        codes = {f"{kind}_{part}{side}" for kind in _KINDS for side in ("", "_left", "_right")}
        found[f"{part}_movements"] = sum(each.code in codes for each in movements) / minutes
    opened = [each for each in movements if each.code == MOUTH_OPEN]
    seen = [each for each in opened if each.start_s > motion.time_s[motion.known][0]]
    found[f"{MOUTH_OPEN}_openings"] = len(seen) / minutes
    found[f"{MOUTH_OPEN}_share"] = sum(each.duration_s for each in opened) / (60 * minutes)
    return found


def _find_openings(motion: Motion, mouth_open: Array | None) -> Iterator[Movement]:
    signal, low, high = _choose_signal(motion, mouth_open)
    for start_s, end_s, bridged in find_runs(motion, signal, low=low, high=high):
        yield Movement(MOUTH_OPEN, start_s, end_s, False, bridged)


def _choose_signal(motion: Motion, mouth_open: Array | None) -> tuple[Array, float, float]:
    """Return a (T,) signal that is high where the mouth is open, and its two thresholds."""
    if mouth_open is not None:
        filled, _ = bridge_gaps(motion.time_s, mouth_open[:, None])
        return smooth(motion.time_s, filled)[0][:, 0], UNLIKELY, LIKELY
    names = [each.name for each in motion.measures]
    jaw = (
        motion.values[:, names.index(JAW)] if JAW in names else np.full(len(motion.time_s), np.nan)
    )
    rest = np.nanquantile(jaw, REST) if np.isfinite(jaw).any() else np.nan
    return jaw - rest, CLOSE, OPEN


def find_runs(
    motion: Motion, signal: Array, *, low: float, high: float
) -> Iterator[tuple[float, float, bool]]:
    """Yield start, end [s] and whether bridged of each run of a (T,) signal above `low`.

    It passes `high` somewhere and lasts `LEAST_S`; shorter pauses between two runs are none. Where
    the signal is not known a run ends.
    """
    time_s = motion.time_s
    edges = _find_edges(time_s)
    with np.errstate(invalid="ignore"):
        above = signal > low
    runs: list[tuple[int, int]] = []
    for start, end in _list_runs(above):
        if runs and _is_pause(signal, edges, runs[-1][1], start):
            runs[-1] = (runs[-1][0], end)
        else:
            runs.append((start, end))
    for start, end in runs:
        if edges[end] - edges[start] >= LEAST_S and np.nanmax(signal[start:end]) > high:
            yield float(edges[start]), float(edges[end]), bool(motion.bridged[start:end].any())


def _find_edges(time_s: Array) -> Array:
    """Return (T + 1,) where frames end and the next begin [s]: half way between them."""
    half = (time_s[1:] + time_s[:-1]) / 2
    return np.concatenate([time_s[:1], half, time_s[-1:]])


def _list_runs(above: Mask) -> list[tuple[int, int]]:
    change = np.flatnonzero(np.diff(np.concatenate([[False], above, [False]]).astype(int)))
    return [(int(start), int(end)) for start, end in change.reshape(-1, 2)]


def _is_pause(signal: Array, edges: Array, end: int, start: int) -> bool:
    return bool(np.isfinite(signal[end:start]).all() and edges[start] - edges[end] < LEAST_S)
