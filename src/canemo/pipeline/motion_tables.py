"""Tables of how faces move: a row per clip, frame and event, and what of them is compared."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from canemo.faces.dynamics import Array, Motion, pair_measures, summarise_motion
from canemo.faces.movements import MOUTH_OPEN, Movement, count_movements
from canemo.records import Video
from canemo.species import FACE_UNITS
from canemo.study.records.dynamics import EventCount

PER_SECOND, PER_MINUTE = f"{FACE_UNITS} per second", "per minute"
_ENDS = {
    "_speed_95": (PER_SECOND, "how fast: 95 % of the speed above the noise of its points"),
    "_range": (FACE_UNITS, "how far its points move, beyond what those of a still face do"),
    "_movements": (PER_MINUTE, "how often it moves faster than the noise of its points"),
}
_MOUTH = {
    f"{MOUTH_OPEN}_openings": ("motion", PER_MINUTE, "how often it is seen to open"),
    f"{MOUTH_OPEN}_share": ("posture", "share of time", "how long it is open"),
}


@dataclass(frozen=True)
class FollowedClip:
    """A clip of a study, followed; `frame_index` (T,) are its frames."""

    video: Video
    frame_index: NDArray[np.int64]
    motion: Motion
    mouth_open: Array | None
    movements: list[Movement]


def tabulate_clips(clips: Sequence[FollowedClip]) -> pd.DataFrame:
    """Return a row per clip: whose it is, how much of it was measured, and what the face did."""
    rows = []
    for clip in clips:
        motion, video = clip.motion, clip.video
        rows.append(
            {
                "video_id": video.video_id,
                "subject_id": video.subject_id,
                "label": video.label,
                "frames": len(motion.time_s),
                "measured": int(motion.known.sum()),
                "bridged": int(motion.bridged.sum()),
                "seconds": motion.seconds,
                **summarise_motion(motion),
                **count_movements(motion, clip.movements),
                "reason": motion.reason or "",
            }
        )
    return pd.DataFrame(rows)


def list_facts(clips: Sequence[FollowedClip]) -> dict[str, dict[str, str]]:
    """Return what is compared, by its name in the table of clips.

    Of parts the regions, of measures with two sides the mean of both: fewer questions, asked with
    more power.
    """
    facts: dict[str, dict[str, str]] = {}
    motion = clips[0].motion
    for part in motion.parts:
        if part.endswith(("_left", "_right")):
            continue
        for end, (unit, meaning) in _ENDS.items():
            facts[part + end] = _fact("motion", part, unit, meaning)
    for name, (kind, unit, meaning) in _MOUTH.items():
        facts[name] = _fact(kind, "muzzle", unit, meaning)
    paired = {side: base for base, both in pair_measures(motion.measures).items() for side in both}
    for measure in motion.measures:
        name = paired.get(measure.name, measure.name)
        meaning = f"{measure.meaning}{', mean of both sides' if measure.name in paired else ''}"
        facts.setdefault(name, _fact("posture", measure.region, measure.unit, meaning))
    return facts


def _fact(kind: str, region: str, unit: str, meaning: str) -> dict[str, str]:
    return {"kind": kind, "region": region, "unit": unit, "meaning": meaning}


def count_events(clips: Sequence[FollowedClip], label: str) -> Iterator[EventCount]:
    """Yield how often what happened, and how often a minute in `label` and in the others."""
    minutes = [
        sum(
            c.motion.seconds
            for c in clips
            if (c.video.label == label) == first and not c.motion.reason
        )
        / 60
        for first in (True, False)
    ]
    for code in sorted({each.code for clip in clips for each in clip.movements}):
        own = [(clip, each) for clip in clips for each in clip.movements if each.code == code]
        numbers = [
            sum((c.video.label == label) == first for c, _ in own) for first in (True, False)
        ]
        rates = [n / m if m else None for n, m in zip(numbers, minutes, strict=True)]
        yield EventCount(
            code=code,
            events=len(own),
            clips=len({clip.video.video_id for clip, _ in own}),
            per_minute=(rates[0], rates[1]),
            median_s=float(np.median([each.duration_s for _, each in own])),
        )


def tabulate_frames(clips: Sequence[FollowedClip]) -> pd.DataFrame:
    """Return a row per frame: smoothed measures, and speed and noise floor of each part."""
    tables = []
    for clip in clips:
        motion = clip.motion
        columns: dict[str, Any] = {
            "video_id": clip.video.video_id,
            "frame_index": clip.frame_index,
            "time_s": motion.time_s,
            "measured": motion.known,
            "bridged": motion.bridged,
        }
        if clip.mouth_open is not None:
            columns[MOUTH_OPEN] = clip.mouth_open
        columns |= {m.name: motion.values[:, i] for i, m in enumerate(motion.measures)}
        for place, part in enumerate(motion.parts):
            columns[f"{part}_speed"] = motion.speed[:, place]
            columns[f"{part}_floor"] = motion.floor[:, place]
        tables.append(pd.DataFrame(columns))
    return pd.concat(tables, ignore_index=True)


def tabulate_events(clips: Sequence[FollowedClip]) -> pd.DataFrame:
    """Return the events as `canemo concepts --events` reads them.

    A point event has no end and keeps its duration beside it; a clip in which nothing happened has
    a row without a code; one without dynamics has none.
    """
    rows: list[dict[str, Any]] = []
    for clip in clips:
        if clip.motion.reason is not None:
            continue
        told = {"video_id": clip.video.video_id, "code": "", "observer": "canemo"}
        rows += [told | _describe_movement(each) for each in clip.movements] or [told]
    columns = ["video_id", "code", "start_s", "end_s", "duration_s", "bridged", "observer"]
    return pd.DataFrame(rows, columns=columns)


def _describe_movement(movement: Movement) -> dict[str, Any]:
    return {
        "code": movement.code,
        "start_s": round(movement.start_s, 3),
        "end_s": None if movement.is_quick else round(movement.end_s, 3),
        "duration_s": round(movement.duration_s, 3),
        "bridged": "yes" if movement.is_bridged else "",
    }
