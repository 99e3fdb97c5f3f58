"""``metrics.json``: every number of a run, and how it was made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from pydantic import Field

from canemo.config import (
    AugmentConfig,
    GradientConfig,
    PointsSetting,
    SequenceConfig,
    SweepConfig,
)
from canemo.records import Fate
from canemo.species import Species, get_species
from canemo.study.records.audit import Audit, Confounds
from canemo.study.records.document import RUN, Document, Part
from canemo.study.records.scores import Levels, Measures, Scores


class StudyFacts(Part):
    """What was studied, and what became of its frames."""

    name: str
    species: str
    videos: int
    subjects: int
    labels: dict[str, int]
    labels_by_subject: dict[str, dict[str, int]]
    frames: int
    crops: int
    fates: dict[str, int]
    fates_by_label: dict[str, dict[str, int]]
    subjects_table: tuple[dict[str, Any], ...] | None
    drawn: bool = False

    @property
    def has_lost_frames(self) -> bool:
        """Whether any frame that was looked at was not used."""
        return any(n for fate, n in self.fates.items() if fate != Fate.USED)

    @property
    def kind(self) -> Species:
        """The kind of animal that was studied."""
        return get_species(self.species)


class StudyProtocol(Part):
    """How crops were made and subjects were split, whatever learns from them."""

    preset: str | None
    preset_departures: dict[str, Any]
    split: str
    folds: int
    seed: int
    positive_label: str
    class_weight: str | None
    pooling: str
    frames: str
    sampling: str
    resamples: int
    detector: str
    detector_sha256: str
    detector_engine: str


class MethodFacts(Part):
    """How was learned; each section is there with the methods that it belongs to."""

    method: str
    gradient: GradientConfig | None = None
    augment: AugmentConfig | None = None
    sequence: SequenceConfig | None = None
    sweep: SweepConfig | None = None


class BackboneFacts(Part):
    """What embedded the crops, and what ran it; `backbone_reason` is why ``auto`` chose it."""

    backbone: str
    backbone_note: str
    backbone_reason: str = ""
    engine: str
    precision: str
    device: str
    engine_reason: str
    weights_sha256: str
    weights_source: str


class Choices(Part):
    """What was offered to inner folds and what they chose, by fold; the kind of interval."""

    penalties: tuple[float, ...]
    penalty_chosen: tuple[float, ...]
    temperature_chosen: tuple[float, ...]
    interval: str


class MeasureFacts(Part):
    """Where the points of the faces are from, as `measure.points` names it; None: not known."""

    points: PointsSetting | None = None


class RunProtocol(Choices, BackboneFacts, MeasureFacts, MethodFacts, StudyProtocol):
    """How a run was made."""


class SubjectResult(Part):
    """How a subject's videos came out when it had not been seen."""

    subject_id: str
    videos: int
    accuracy: float
    labels: dict[str, int]


class Majority(Part):
    """The most frequent label of the videos, and its share of them and of the frames."""

    label: str
    video: float
    frame: float


class MetadataScores(Scores):
    """What a probe on `columns` of metadata alone reaches."""

    columns: tuple[str, ...]


class Chance(Part):
    """What is reached without looking at a face; `metadata` None where no column varies."""

    majority: Majority
    metadata: MetadataScores | None = None


class Permutation(Part):
    """The permutation test; `probe` is ``own`` or what was refitted in the method's place."""

    statistic: str
    observed: float | None
    p: float | None
    n: int
    exact: bool
    null_mean: float | None
    null_high: float | None
    critical: float | None
    p_by_measure: Measures
    reason: str | None
    probe: str

    @property
    def is_own(self) -> bool:
        """Whether it was the run's own method that was refitted."""
        return self.probe == "own"


class PowerPoint(Part):
    """How often a balanced accuracy would be found."""

    balanced_accuracy: float
    power: float


class Detectable(Part):
    """The least effect that this study could tell from chance; `reason` where it is not known."""

    balanced_accuracy: float | None
    chance: float
    difference: float | None
    power: float
    level: float
    subject_share: float
    simulations: int
    curve: tuple[PowerPoint, ...]
    reason: str | None


class CalibrationBin(Part):
    """Clips whose probability lies from `low` to `high`: its mean, and how often it came true."""

    low: float
    high: float
    n: int
    probability: float
    share: float


class Calibration(Part):
    """Whether probabilities come true."""

    brier: float
    ece: float
    log_loss: float
    bins: tuple[CalibrationBin, ...]
    positive_label: str
    balanced: bool


class Abstention(Part):
    """What answering only when sure would give; None where the level cannot be promised."""

    level: float
    least_level: float
    possible: bool
    coverage: float | None
    decided: float | None
    accuracy_decided: float | None
    undecided: float | None


class SweepPart(Scores):
    """A pooling with a choice of frames, and how many folds chose it."""

    pooling: str
    frames: str
    chosen: int


class Optimism(Part):
    """The nested choice beside the setting that did best on the subjects it is reported for."""

    nested: float | None
    best: float | None
    pooling: str
    frames: str
    penalty: float
    settings: int


class Sweep(Part):
    """What inner folds could choose from."""

    settings: int
    parts: tuple[SweepPart, ...]
    optimism: Optimism


class Reached(Part):
    """A score and its interval, None where there is none."""

    score: float
    low: float | None
    high: float | None


class CurvePoint(Reached):
    """What was reached with fewer subjects, or would be with more."""

    subjects: int


class LearningCurve(Part):
    """What was learned from fewer subjects, and where a curve through it leads."""

    measure: str
    repeats: int
    points: tuple[CurvePoint, ...]
    asymptote: float
    exponent: float | None
    extrapolation: CurvePoint
    gain: Reached
    rising: bool


class Training(Part):
    """How well training frames were classified, on average over folds."""

    frame_accuracy: float


class StageCost(Part):
    """`items` computed in `seconds`; `cached` were there already."""

    seconds: float
    items: int
    cached: int


class RunMetrics(Document):
    """``metrics.json``: every number of a run."""

    FORMAT = RUN

    study: StudyFacts
    protocol: RunProtocol
    levels: Levels
    subjects: tuple[SubjectResult, ...]
    chance: Chance
    permutation: Permutation
    detectable: Detectable
    calibration: Calibration
    abstention: Abstention
    sweep: Sweep | None
    learning_curve: LearningCurve | None
    audit: Audit
    training: Training
    warnings: tuple[str, ...]
    cost: dict[str, StageCost] = Field(default_factory=dict)

    def with_cost(self, stages: Mapping[str, Mapping[str, float]]) -> Self:
        """Return the same numbers with what they took."""
        cost = {name: StageCost.model_validate(entry) for name, entry in stages.items()}
        return self.model_copy(update={"cost": cost})

    def with_confounds(self, confounds: Confounds) -> Self:
        """Return the same numbers with what an audit of a finished run found besides."""
        return self.model_copy(update={"audit": self.audit.with_confounds(confounds)})
