"""From events to frames: in which of the frames looked at is a unit shown, by whose coding."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from canemo.explain.concepts.matching import Matched
from canemo.formats.events.event import Event
from canemo.learn.lda_algebra import Mask

ABSENT, SHOWN, UNKNOWN = 0, 1, -1
_ROUNDING_S = 1e-6


@dataclass(frozen=True)
class Clip:
    """When a clip's part of its file begins and ends and how far apart its frames are [s]."""

    start_s: float
    end_s: float | None
    interval_s: float


@dataclass(frozen=True)
class Coding:
    """N frames under U units as C coders saw them.

    Attributes
    ----------
    units, observers
        Names of the units and coders, sorted.
    by_observer
        (C, U, N) int8: `SHOWN`, `ABSENT`, or `UNKNOWN` where that coder did not code the clip or
        never used the unit.
    events, unseen
        Unit -> number of its events in the study; of these, those that no frame shows because they
        fall between frames or where there was no face.
    outside
        Sentences about events that reach beyond their clip: cut, or left out.
    never_used
        Coder -> the units that this coder never used, so that their absence was not coded either.
    coded_clips, left_out
        The clips that count as coded, and those with no event that do not.
    """

    units: tuple[str, ...]
    observers: tuple[str, ...]
    by_observer: NDArray[np.int8]
    events: Mapping[str, int]
    unseen: Mapping[str, int]
    outside: tuple[str, ...]
    never_used: Mapping[str, tuple[str, ...]]
    coded_clips: tuple[str, ...]
    left_out: tuple[str, ...]

    def settle(self, unit: str) -> NDArray[np.int8]:
        """Return (N,) what the coders of each frame agree on, `UNKNOWN` elsewhere."""
        seen = self.by_observer[:, self.units.index(unit)]
        shown, absent = (seen == SHOWN).any(axis=0), (seen == ABSENT).any(axis=0)
        settled = np.full(seen.shape[1], UNKNOWN, dtype=np.int8)
        settled[shown & ~absent], settled[absent & ~shown] = SHOWN, ABSENT
        return settled

    def count_disagreements(self, unit: str) -> int:
        """Return the number of frames on which coders disagree."""
        seen = self.by_observer[:, self.units.index(unit)]
        return int(((seen == SHOWN).any(axis=0) & (seen == ABSENT).any(axis=0)).sum())


def code_frames(
    origin: pd.DataFrame,
    matched: Matched,
    clips: Mapping[str, Clip],
    *,
    point_window_s: float = 0.0,
    all_coded: bool = False,
) -> Coding:
    """Lay events over frames.

    Parameters
    ----------
    origin
        N frames: video_id and time_s, seconds of the file's own time.
    matched
        The events by video.
    clips
        video_id -> its part and its sampling.
    point_window_s
        A point event is shown by frames so far from it, either side [s]; never less than half the
        sampling interval, so that some frame can show it.
    all_coded
        Whether every coder coded every clip: one that no row of theirs names shows nothing.

    Notes
    -----
    A state event is shown by the frames with start <= time < stop. A coder who never used a unit,
    in whatever video, may not have looked for it: they are no witness that it is absent, also where
    `all_coded` is said.
    """
    events, outside = _clip_events(matched, clips)
    observers = tuple(sorted({observer for _, observer in matched.coded}))
    units = tuple(sorted({unit for all_ in events.values() for e in all_ for unit in e.units}))
    named = {video_id for video_id, _ in matched.coded}
    seen = np.full((len(observers), len(units), len(origin)), UNKNOWN, dtype=np.int8)
    groups = origin.groupby("video_id", sort=False).indices.items()
    rows_of = {str(name): np.asarray(rows) for name, rows in groups}
    used = [[(who, unit) in matched.used for unit in units] for who in observers]
    for name, rows in rows_of.items():
        for place, observer in enumerate(observers):
            if (name, observer) in matched.coded or all_coded:
                seen[place][np.ix_(np.array(used[place], dtype=bool), rows)] = ABSENT
    unseen: Counter[str] = Counter()
    time_s, nowhere = origin["time_s"].to_numpy(dtype=float), np.array([], dtype=np.intp)
    for name, event in ((name, event) for name, all_ in events.items() for event in all_):
        rows = rows_of.get(name, nowhere)
        window_s = max(point_window_s, clips[name].interval_s / 2)
        shown = rows[_find_frames(event, time_s[rows], window_s)]
        for unit in event.units:
            seen[observers.index(event.observer), units.index(unit), shown] = SHOWN
            unseen[unit] += not len(shown)
    return Coding(
        units,
        observers,
        seen,
        Counter(unit for all_ in events.values() for event in all_ for unit in event.units),
        unseen,
        tuple(outside),
        _list_never_used(observers, units, matched),
        tuple(name for name in clips if name in named or (all_coded and observers)),
        tuple(name for name in clips if name not in named and not all_coded),
    )


def _list_never_used(
    observers: Sequence[str], units: Sequence[str], matched: Matched
) -> dict[str, tuple[str, ...]]:
    never = {
        who: tuple(unit for unit in units if (who, unit) not in matched.used) for who in observers
    }
    return {who: absent for who, absent in never.items() if absent}


def _find_frames(event: Event, time_s: NDArray[np.float64], window_s: float) -> Mask:
    start_s = 0.0 if event.start_s is None else event.start_s
    if event.end_s is None:
        return np.asarray(np.abs(time_s - start_s) <= window_s + _ROUNDING_S)
    return np.asarray((time_s >= start_s - _ROUNDING_S) & (time_s < event.end_s - _ROUNDING_S))


def _clip_events(
    matched: Matched, clips: Mapping[str, Clip]
) -> tuple[dict[str, list[Event]], list[str]]:
    """Return the events that lie in their clips, and sentences about those that reach beyond.

    An event of a file of which videos.csv lists parts is told of only where no part shows it whole.
    """
    kept: dict[str, list[Event]] = defaultdict(list)
    whole: set[int] = set()
    partly: dict[int, tuple[Event, list[str]]] = {}
    for name, events in matched.by_video.items():
        for event in events:
            clip = clips[name]
            inside = _measure_inside(event, clip)
            if inside != "outside":
                kept[name].append(event)
            if inside == "whole":
                whole.add(id(event))
                continue
            end = "its end" if clip.end_s is None else f"{clip.end_s:g} s"
            span = f"video {name!r} ({clip.start_s:g} s to {end})"
            what = "reaches beyond" if inside == "partly" else "lies outside"
            partly.setdefault(id(event), (event, []))[1].append(f"{what} {span}")
    told = [
        f"{event}: {'; '.join(texts)}" for key, (event, texts) in partly.items() if key not in whole
    ]
    return kept, told


def _measure_inside(event: Event, clip: Clip) -> str:
    """Return whether the clip shows the ``whole`` event, ``partly``, or it lies ``outside``."""
    start_s = 0.0 if event.start_s is None else event.start_s
    end_s = start_s if event.end_s is None else event.end_s
    last_s = np.inf if clip.end_s is None else clip.end_s
    if start_s >= last_s or end_s < clip.start_s or (end_s == clip.start_s and not event.is_point):
        return "outside"
    slack_s = clip.interval_s / 2  # programs that round to frames end a little late
    return "whole" if clip.start_s <= start_s and end_s <= last_s + slack_s else "partly"


def list_unknown_units(events: Sequence[Event], known: Mapping[str, str]) -> dict[str, int]:
    """Return the units that are no code of DogFACS, as written, and how often."""
    units = Counter(unit for event in events for unit in event.units if unit not in known)
    return dict(sorted(units.items()))
