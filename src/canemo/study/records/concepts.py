"""``concepts/NAME.json``: are coded units in the features, and does the condition lean on them."""

from __future__ import annotations

from canemo.study.records.document import CONCEPTS, Document, Part
from canemo.study.records.run import (
    BackboneFacts,
    MeasureFacts,
    MethodFacts,
    StageCost,
    StudyProtocol,
)
from canemo.study.records.scores import Interval


class CodedStudy(Part):
    """What was coded."""

    name: str
    species: str
    videos: int
    subjects: int
    labels: tuple[str, ...]
    crops: int


class ConceptsProtocol(BackboneFacts, MeasureFacts, MethodFacts, StudyProtocol):
    """How it was done; `label` is the condition whose probe is laid beside those of units."""

    label: str
    penalty: float
    permutations: int
    point_window_s: float | None
    all_coded: bool


class Environment(Part):
    """Versions, machine, time and command."""

    canemo: str
    python: str
    platform: str
    processor: str
    cores: int | None
    packages: dict[str, str | None]
    created: str
    command: str


class EventsFile(Part):
    """How a file of events was read; `columns` are its headings by the field they stand for."""

    file: str
    form: str
    form_words: str
    columns: dict[str, str]
    unused_columns: tuple[str, ...]
    events: int
    observers: tuple[str, ...]
    notes: tuple[str, ...]
    left_out: tuple[str, ...]
    sha256: str


class EventsRead(Part):
    """What was read from the files of events, and what of it was not used."""

    files: tuple[EventsFile, ...]
    events: int
    observers: tuple[str, ...]
    unmatched: tuple[str, ...]
    subjects_assumed: tuple[str, ...]
    outside: tuple[str, ...]
    unknown_units: dict[str, int]
    units_never_used: dict[str, tuple[str, ...]]
    clips_coded: int
    clips_left_out: tuple[str, ...]


class CoderPair(Part):
    """How far two coders agree on a unit; `reason` where there is no kappa."""

    unit: str
    observers: tuple[str, str]
    frames: int
    subjects: int
    agreement: float
    prevalence: tuple[float, float]
    kappa: float | None
    interval: Interval | None
    reason: str | None


class Agreement(Part):
    """Coders by pairs, and how their agreement was measured."""

    method: str
    pairs: tuple[CoderPair, ...]


class CodedSubjects(Part):
    """How many subjects were coded, and how many show a unit in some frames and not in others."""

    coded: int
    both_states: int


class WithinSubjects(Part):
    """The mean AUROC by frame within subjects."""

    auroc: float | None
    interval: Interval | None
    subjects: int


class MovedCodings(Part):
    """What moved codings give within subjects; `p_holm` is corrected over the units tested."""

    p: float | None
    n: int
    exact: bool
    null_mean: float | None
    null_high: float | None
    moved: str
    p_holm: float | None = None


class PooledArea(Part):
    """The AUROC over the frames of all subjects."""

    auroc: float | None
    interval: Interval | None
    p: float | None
    null_mean: float | None
    null_high: float | None


class Leaning(Part):
    """A measure of two directions against codings moved (`null`, `p`) and labels moved."""

    value: float | None
    null: Interval | None
    p: float | None
    p_labels: float | None = None
    null_labels: Interval | None = None
    p_greater: float | None = None
    p_holm: float | None = None


class Remainder(Part):
    """A score of the condition, as it is and once the unit is projected out."""

    whole: float | None
    left: float | None
    null: Interval | None
    p: float | None


class Removal(Part):
    """What is left of the condition by clip once the unit is projected out."""

    auroc: Remainder
    balanced_accuracy: Remainder


class Direction(Part):
    """How the direction of a unit lies to that of the condition."""

    label: str
    logit_spread: float | None
    correlation: Leaning
    sensitivity: Leaning
    removal: Removal


class CodedUnit(Part):
    """What was found of a unit; of one that could not be judged, `reason` says why."""

    unit: str
    name: str
    known: bool
    events: int
    events_without_frame: int
    frames_disagreed: int
    frames: int
    shown: int
    prevalence: float | None
    clips: int
    subjects: CodedSubjects
    reason: str | None
    within: WithinSubjects | None = None
    permutation: MovedCodings | None = None
    pooled: PooledArea | None = None
    direction: Direction | None = None
    verdict: str
    direction_verdict: str
    direction_reason: str | None

    @property
    def is_decodable(self) -> bool:
        """Whether it was shown to be in the features."""
        return self.verdict == "decodable"


class ConceptsRecord(Document):
    """Everything that `canemo concepts` found."""

    FORMAT = CONCEPTS

    study: CodedStudy
    protocol: ConceptsProtocol
    environment: Environment
    events: EventsRead
    agreement: Agreement
    units: tuple[CodedUnit, ...]
    warnings: tuple[str, ...]
    cost: dict[str, StageCost]
