"""A finished run and a finished comparison as they lie on disk: written and read here alone.

Each JSON file says what it is, `format` and `schema` before all else. Whoever reads one gets frozen
records, or one error that says what was found there and what to do.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from canemo.config import (
    AugmentConfig,
    Config,
    GradientConfig,
    SequenceConfig,
    SweepConfig,
    read_config,
)
from canemo.errors import ModelError
from canemo.files import write_atomically
from canemo.species import Species, get_species
from canemo.study.runs import (
    COMPARISON_FILE,
    CONFIG_FILE,
    CONFOUNDS_FILE,
    METRICS_FILE,
    pin_engines,
)

if TYPE_CHECKING:
    import pandas as pd

logger = logging.getLogger(__name__)

ENVIRONMENT_FILE, EXPLANATION_FILE = "environment.json", "explanation.json"
PREDICTIONS_FILE, CURVES_FILE = "predictions.parquet", "curves.parquet"
Interval: TypeAlias = tuple[float, float]
LevelName: TypeAlias = Literal["video", "frame"]


@dataclass(frozen=True)
class Format:
    """A kind of JSON file: its name and version as they stand in it, what it is, how to get one."""

    name: str
    schema: int
    what: str
    remedy: str


RUN = Format("canemo.run", 2, "a finished run", "make the run again with `canemo run STUDY`")
COMPARISON = Format(
    "canemo.comparison",
    2,
    "a finished comparison",
    "make it again with `canemo compare STUDY`",
)
RUNS_COMPARISON = Format(
    "canemo.runs_comparison",
    2,
    "a comparison of runs",
    "compare them with `canemo compare RUN RUN`",
)
CONFOUNDS = Format(
    "canemo.confounds",
    1,
    "an audit of confounds",
    "make it again with `canemo audit RUN --confounds`",
)
EXPLANATION = Format(
    "canemo.explanation", 3, "an explanation", "explain it again with `canemo explain RUN`"
)
CONCEPTS = Format(
    "canemo.concepts",
    2,
    "a result of concepts",
    "make it again with `canemo concepts STUDY`",
)


class Part(BaseModel):
    """A part of a record: frozen, with no key that it does not know, without NaN."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    def to_dict(self) -> dict[str, Any]:
        """Return it as it stands in the file; keys that it does not have are left out."""
        return self.model_dump(mode="json", exclude_unset=True)


class Document(Part):
    """A whole file."""

    FORMAT: ClassVar[Format]

    def to_dict(self) -> dict[str, Any]:
        """Return what the file holds."""
        return stamp(super().to_dict(), self.FORMAT)

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read the file; ModelError where it is missing, damaged or of another format."""
        content = read_document(path, cls.FORMAT)
        try:
            return cls.model_validate(content)
        except ValidationError as exc:
            raise ModelError(f"{path}: {_describe(exc)}; {cls.FORMAT.remedy}") from exc

    def write(self, path: Path) -> Path:
        """Write the file, complete or not at all."""
        return write_atomically(path, format_json(self.to_dict()))


class Measures(Part):
    """One number per measure; None where it could not be computed."""

    accuracy: float | None
    balanced_accuracy: float | None
    auroc: float | None

    def of(self, measure: str) -> float | None:
        """Return the number of a measure by its name."""
        value: float | None = getattr(self, measure)
        return value


class Intervals(Part):
    """The 95 % interval of each measure; None where there is none."""

    accuracy: Interval | None
    balanced_accuracy: Interval | None
    auroc: Interval | None

    def of(self, measure: str) -> Interval | None:
        """Return the interval of a measure by its name; None of one that has none."""
        ends: Interval | None = getattr(self, measure, None)
        return ends


class Scores(Measures):
    """The measures with their intervals."""

    interval: Intervals


class Confusion(Part):
    """Counts with true labels as rows and predicted ones as columns, both in order of `labels`."""

    labels: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]


class Level(Scores):
    """The scores of all videos, or of all frames."""

    n: int
    macro_f1: float | None
    confusion: Confusion


class Levels(Part):
    """Scores by video, the unit of a claim, and by frame."""

    video: Level
    frame: Level


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
    """What embedded the crops, and what ran it."""

    backbone: str
    backbone_note: str
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


class RunProtocol(Choices, BackboneFacts, MethodFacts, StudyProtocol):
    """How a run was made."""


class ComparisonProtocol(StudyProtocol):
    """What all models of a comparison share; numbers of subjects by fold."""

    train_subjects: tuple[int, ...]
    test_subjects: tuple[int, ...]
    tested_subjects: int


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


class Finding(Part):
    """Something that might carry the result; `severity` is ``alarm`` or ``note``."""

    severity: str
    name: str
    text: str


class Claim(Part):
    """The balanced accuracy that a split would have claimed."""

    frame: float | None
    video: float | None


class Splits(Part):
    """What splits by frame and by clip would have claimed, beside the one by subject."""

    frame_wise: Claim
    clip_wise: Claim
    subject_wise: Claim


class Identity(Part):
    """How often a clip's subject is named from its features."""

    accuracy: float
    chance: float
    subjects: int


class Balanced(Part):
    """A balanced accuracy by clip and its interval."""

    balanced_accuracy: float | None
    interval: Interval | None


class DuplicatePair(Part):
    """Two clips that are nearly alike."""

    first: str
    second: str
    first_subject: str
    second_subject: str
    first_label: str
    second_label: str
    cosine: float


class Duplicates(Part):
    """Clips nearly alike, of two subjects or of two labels; `threshold` None: not compared."""

    threshold: float | None
    n: int
    n_across: int
    n_within: int
    pairs: tuple[DuplicatePair, ...]


class Drops(Part):
    """Share of frames lost by label, the largest difference and its p."""

    shares: dict[str, float]
    difference: float
    p: float | None


class SharedSession(Part):
    """A session that several subjects share."""

    session: str
    subjects: tuple[str, ...]


class Sessions(Part):
    """Which column of videos.csv names sessions, and those that several subjects share."""

    column: str | None
    shared: tuple[SharedSession, ...]


class ConfoundRow(Scores):
    """What a probe reached that was shown one part of the picture."""

    name: str
    title: str
    clips: int


class Confounds(Document):
    """``confounds.json``: what the label can be read from besides the face."""

    FORMAT = CONFOUNDS

    rows: tuple[ConfoundRow, ...]
    frames_per_clip: int
    verdict: tuple[str, ...]


class Audit(Part):
    """What could fool the author; `confounds` None where no pictures were embedded for it."""

    findings: tuple[Finding, ...]
    splits: Splits
    identity: Identity | None
    centred: Balanced
    without_subjects: Balanced
    selected_outside: Balanced
    duplicates: Duplicates
    drops: Drops
    sessions: Sessions
    confounds: Confounds | None

    def with_confounds(self, confounds: Confounds) -> Self:
        """Return the same audit with the battery of confounds."""
        return self.model_copy(update={"confounds": confounds})


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


class Epoch(Part):
    """Loss and accuracy of an epoch, averaged over folds."""

    epoch: int
    train_loss: float | None
    train_accuracy: float | None
    test_loss: float | None
    test_accuracy: float | None


class ComparedModel(BackboneFacts, MethodFacts):
    """One line of a comparison."""

    name: str
    feature_dim: int
    parameters: int
    random_weights: bool
    train_accuracy: float
    last_epoch: Epoch | None
    best_epoch: Epoch | None
    video: Level
    frame: Level
    permutation: Permutation | None
    cost: dict[str, StageCost]


class MissingModel(Part):
    """A model that could not be had, and why."""

    name: str
    reason: str


class Pair(Part):
    """The first of two models, or runs, minus the second, by clip."""

    first: str
    second: str
    difference: Measures
    interval: Intervals
    p: float | None
    p_holm: float | None
    flips: int
    exact: bool
    effect_size: float | None
    random_weights: bool = False


class ComparisonRecord(Document):
    """``comparison.json``: models side by side on identical crops, subjects and folds."""

    FORMAT = COMPARISON

    study: StudyFacts
    protocol: ComparisonProtocol
    chance: Chance
    models: tuple[ComparedModel, ...]
    missing: tuple[MissingModel, ...]
    pairs: tuple[Pair, ...]
    warnings: tuple[str, ...]


class WhatRan(Part):
    """What tells runs apart."""

    backbone: str
    method: str
    split: str
    seed: int


class ComparedRun(Scores):
    """A finished run on the videos that all runs tested; `folder` as it was given."""

    name: str
    folder: str
    protocol: WhatRan


class RunsComparison(Document):
    """Finished runs side by side; printed, never kept."""

    FORMAT = RUNS_COMPARISON

    species: str
    runs: tuple[ComparedRun, ...]
    videos: int
    subjects: int
    left_out: int
    pairs: tuple[Pair, ...]
    warnings: tuple[str, ...]

    @property
    def kind(self) -> Species:
        """The kind of animal that was studied."""
        return get_species(self.species)


@dataclass(frozen=True)
class _Folder:
    """A folder of results; what is not its numbers is read when it is asked for."""

    folder: Path

    @cached_property
    def config_toml(self) -> str:
        """The settings as text."""
        return _read_text(self.folder / CONFIG_FILE, RUN)

    @cached_property
    def environment(self) -> Mapping[str, Any]:
        """Versions, machine and time."""
        return _parse_json(self.folder / ENVIRONMENT_FILE, RUN)

    @cached_property
    def predictions(self) -> pd.DataFrame:
        """What was predicted of every video and frame."""
        return _read_table(self.folder / PREDICTIONS_FILE)

    @cached_property
    def curves(self) -> pd.DataFrame:
        """Loss and accuracy by epoch; empty where nothing was trained in epochs."""
        return _read_table(self.folder / CURVES_FILE, wanted=False)

    @cached_property
    def pictures(self) -> dict[str, Path]:
        """The PNG files under ``figures/`` by name."""
        return {path.name: path for path in sorted((self.folder / "figures").glob("*.png"))}


@dataclass(frozen=True)
class RunRecord(_Folder):
    """A finished run.

    What `confounds.json` holds, where an audit has left it, stands in `metrics` under ``audit``.
    """

    metrics: RunMetrics

    @cached_property
    def config(self) -> Config:
        """The settings, engines as they were chosen."""
        protocol, _ = self.metrics.protocol, self.config_toml  # it is there
        return pin_engines(
            read_config(self.folder / CONFIG_FILE),
            engine=protocol.engine,
            precision=protocol.precision,
            detector_engine=protocol.detector_engine,
        )

    @cached_property
    def curves(self) -> pd.DataFrame:
        """Loss and accuracy by epoch; empty where nothing was trained in epochs."""
        wanted = self.config.probe.method == "gradient"
        return _read_table(self.folder / CURVES_FILE, wanted=wanted)

    @cached_property
    def explanation(self) -> Mapping[str, Any] | None:
        """What `canemo explain` left of this run, or None; what cannot be read is not shown."""
        path = self.folder / "explain" / EXPLANATION_FILE
        if not path.is_file():
            return None
        try:
            content = read_document(path, EXPLANATION)
        except ModelError as exc:
            logger.warning("not shown: %s", exc)
            return None
        name = self.folder.resolve().name
        return next((each for each in content["models"] if each["name"] == name), None)


@dataclass(frozen=True)
class ComparisonFolder(_Folder):
    """A finished comparison."""

    comparison: ComparisonRecord


def read_run(folder: Path) -> RunRecord:
    """Read a finished run.

    Parameters
    ----------
    folder
        STUDY/runs/NAME.

    Raises
    ------
    ModelError
        `metrics.json` is missing or damaged, or is not what this version of canemo writes. The
        record's tables and texts are read when they are first asked for, and raise it then.
    """
    metrics = RunMetrics.read(folder / METRICS_FILE)
    if (folder / CONFOUNDS_FILE).is_file():
        metrics = metrics.with_confounds(Confounds.read(folder / CONFOUNDS_FILE))
    return RunRecord(folder, metrics)


def read_comparison(folder: Path) -> ComparisonFolder:
    """Read a finished comparison, STUDY/comparisons/NAME; ModelError as `read_run`."""
    return ComparisonFolder(folder, ComparisonRecord.read(folder / COMPARISON_FILE))


def stamp(content: Mapping[str, Any], kind: Format) -> dict[str, Any]:
    """Return what a file of this format holds."""
    return {"format": kind.name, "schema": kind.schema, **content}


def format_json(content: Mapping[str, Any]) -> str:
    """Return JSON as every file has it; numbers that are not finite are an error, never NaN."""
    return json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)


def read_document(path: Path, kind: Format) -> dict[str, Any]:
    """Return what a JSON file holds besides its format and schema, which must be those of `kind`.

    Raises
    ------
    ModelError
        It is missing or damaged, or something else.
    """
    content = _parse_json(path, kind)
    name, schema = content.pop("format", None), content.pop("schema", None)
    if schema != kind.schema:
        raise ModelError(
            f"{path}: schema is {schema!r}, this version of canemo reads schema {kind.schema} of "
            f"{kind.name!r}; {kind.remedy}"
        )
    if name != kind.name:
        raise ModelError(f"{path}: format is {name!r}, wanted {kind.name!r}; {kind.remedy}")
    return content


def _parse_json(path: Path, kind: Format) -> dict[str, Any]:
    try:
        content = json.loads(_read_text(path, kind))
    except json.JSONDecodeError as exc:
        raise ModelError(f"{path}: not valid JSON ({exc}); {kind.remedy}") from exc
    if not isinstance(content, dict):
        found = type(content).__name__
        raise ModelError(f"{path}: holds a {found}, wanted an object; {kind.remedy}")
    return content


def _read_text(path: Path, kind: Format) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError) as exc:
        raise ModelError(
            f"{path.parent}: not {kind.what}, {path.name} is missing; {kind.remedy}, or name the "
            f"folder that holds {path.name}"
        ) from exc
    except (OSError, UnicodeDecodeError) as exc:
        raise ModelError(f"{path}: cannot be read ({exc}); {kind.remedy}") from exc


def _read_table(path: Path, *, wanted: bool = True) -> pd.DataFrame:
    import pandas as pd
    import pyarrow as pa

    if not wanted and not path.is_file():
        return pd.DataFrame()
    try:
        return pd.read_parquet(path)
    except (OSError, ValueError, pa.ArrowException) as exc:
        reason = str(exc).splitlines()[0]
        raise ModelError(f"{path} is missing or damaged ({reason}); {RUN.remedy}") from exc


def _describe(exc: ValidationError) -> str:
    """Return the first thing that is wrong, and how many more there are."""
    first = exc.errors(include_url=False)[0]
    place = ".".join(map(str, first["loc"]))
    more = f" and {exc.error_count() - 1} more like it" if exc.error_count() > 1 else ""
    return f"{place}: {first['msg'].lower()}{more}"
