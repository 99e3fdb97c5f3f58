"""``dynamics.json``: how faces move in a study's clips, and in which condition they move more."""

from __future__ import annotations

from typing import Literal

from canemo.study.records.concepts import Environment
from canemo.study.records.document import DYNAMICS, Document, Part
from canemo.study.records.run import StageCost
from canemo.study.records.scores import Interval

DYNAMICS_FILE = "dynamics.json"


class MovingStudy(Part):
    """What was looked at; `moving` counts the clips that have dynamics."""

    name: str
    species: str
    drawn: bool
    videos: int
    subjects: int
    labels: tuple[str, ...]
    measured: int
    moving: int
    bridged: float


class DynamicsProtocol(Part):
    """How it was done; times in seconds, `openings` says when the mouth counts as open."""

    label: str
    others: str
    detector: str
    points: str
    fps: float | None
    every_nth: int | None
    smooth_s: float
    gap_s: float
    least_s: float
    least_frames: int
    quick_s: float
    least_event_s: float
    rise: float
    fall: float
    openings: str
    draws: int
    seed: int


class MeasureContrast(Part):
    """A measure in the clips of `label` and in the others, within subjects.

    `effect` is the difference in standard deviations of clips of one subject in one condition;
    `reason` says why a number is missing.
    """

    measure: str
    kind: Literal["motion", "posture"]
    region: str
    unit: str
    meaning: str
    clips: int
    subjects: int
    means: tuple[float, float] | None
    difference: float | None
    interval: Interval | None
    effect: float | None
    effect_interval: Interval | None
    p: float | None
    p_holm: float | None
    reason: str | None

    @property
    def differs(self) -> bool:
        """Whether it was shown to differ."""
        return self.p_holm is not None and self.p_holm <= 0.05


class EventCount(Part):
    """How often something happened: in all, in how many clips, and a minute in each condition."""

    code: str
    events: int
    clips: int
    per_minute: tuple[float | None, float | None]
    median_s: float


class LeftClip(Part):
    """A clip without dynamics, and why."""

    video_id: str
    reason: str


class DynamicsRecord(Document):
    """Everything that `canemo dynamics` found."""

    FORMAT = DYNAMICS

    study: MovingStudy
    protocol: DynamicsProtocol
    environment: Environment
    contrasts: tuple[MeasureContrast, ...]
    events: tuple[EventCount, ...]
    left: tuple[LeftClip, ...]
    warnings: tuple[str, ...]
    cost: dict[str, StageCost]
