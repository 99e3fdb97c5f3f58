"""``explanation.json``: where in the face the evidence lies, and what the maps of it are worth."""

from __future__ import annotations

from canemo.species import Species, get_species
from canemo.study.records.document import EXPLANATION, Document, Part
from canemo.study.records.model import ModelEvaluation
from canemo.study.records.scores import Interval

EXPLANATION_FILE = "explanation.json"


class RegionGap(Part):
    """A region's part of the difference between the labels, as `canemo.explain.gaps.Gap` has it."""

    region: str
    gap: float | None
    gap_low: float | None
    gap_high: float | None
    moved: float | None
    percent: float | None
    p: float | None
    p_holm: float | None
    area: float | None
    dogs: int
    reason: str | None

    @property
    def interval(self) -> Interval | None:
        """The 95 % interval of the gap; None where there is none."""
        return _join_ends(self.gap_low, self.gap_high)

    @property
    def is_clear(self) -> bool:
        """Whether the interval leaves out zero."""
        return self.interval is not None and self.interval[0] * self.interval[1] > 0


class RegionShare(Part):
    """A region's share of the evidence for a label, as `canemo.explain.shares.Shares` has it."""

    label: str
    region: str
    share: float | None
    share_low: float | None
    share_high: float | None
    area: float | None
    ratio: float | None
    ratio_low: float | None
    ratio_high: float | None
    dogs: int
    clips: int
    crops: int
    silent_crops: int
    reason: str | None

    @property
    def interval(self) -> Interval | None:
        """The 95 % interval of the share; None where there is none."""
        return _join_ends(self.share_low, self.share_high)


class MapCheck(Part):
    """A test of a map, as `canemo.explain.report_card.Check` has it."""

    name: str
    title: str
    value: float | None
    low: float | None
    high: float | None
    p: float | None
    passed: bool | None
    reason: str

    @property
    def interval(self) -> Interval | None:
        """The 95 % interval of the value; None where there is none."""
        return _join_ends(self.low, self.high)


class MapCurves(Part):
    """Mean evidence as the `shares` of a picture that a map ranks first are covered, or shown."""

    shares: tuple[float, ...]
    deletion: tuple[float, ...]
    deletion_moved: tuple[float, ...]
    insertion: tuple[float, ...]
    insertion_moved: tuple[float, ...]


class MapResult(Part):
    """What a kind of map found; `shares` and `gap` None of one whose parts do not add up."""

    name: str
    title: str
    explains: str
    values: str
    exact: bool
    passed: bool | None
    verdict: str
    tested_crops: int
    checks: tuple[MapCheck, ...]
    curves: MapCurves | None
    shares: tuple[RegionShare, ...] | None
    gap: tuple[RegionGap, ...] | None


class MeasureGap(Part):
    """A named measure of the face, or all else that a probe reads of its points, or the whole.

    `evidence` is its part of the difference between the labels, `by_dog` that of each with crops of
    both; `value` how the measure itself differs, in the unit that `meaning` ends with; `means` what
    it is by label, over dogs with both where there are any; `follows` its correlation with the
    evidence of the whole geometry within dogs.
    """

    name: str
    region: str
    meaning: str
    evidence: RegionGap
    by_dog: tuple[float, ...]
    value: RegionGap | None
    means: dict[str, float]
    follows: float | None


class PointGap(Part):
    """A point of the face: x, y and confidence together.

    `place` is where the mean training face has it, right of and below the middle of the eyes [face
    units], `slope` what moving it right or down by one unit adds to the logit.
    """

    name: str
    region: str
    place: tuple[float, float]
    slope: tuple[float, float]
    evidence: RegionGap


class GeometryResult(Part):
    """What probes make of the measured face; of each tuple of gaps the last is the whole.

    `unseen` crops show no point and are read as the mean face.
    """

    unseen: int
    regions: tuple[RegionGap, ...]
    measures: tuple[MeasureGap, ...]
    points: tuple[PointGap, ...]


class ExplainedModel(Part):
    """What was found of one model.

    The first of `methods` leads; there are none where no pixel is read. `blocks` are the parts of a
    representation and last the whole, `geometry` is None where it is not read.
    """

    name: str
    backbone: str
    pooling: str
    label: str
    other: str
    is_labelled: bool
    species: str
    evaluation: ModelEvaluation
    crops: int
    clips: int
    dogs: int
    regions: str
    notes: tuple[str, ...]
    difference: RegionGap
    blocks: tuple[RegionGap, ...]
    geometry: GeometryResult | None
    occlusion: tuple[RegionGap, ...]
    methods: tuple[MapResult, ...]

    @property
    def kind(self) -> Species:
        """The kind of animal whose faces they are."""
        return get_species(self.species)

    @property
    def lead(self) -> MapResult | None:
        """The leading map; None where no pixel is read."""
        return self.methods[0] if self.methods else None

    def find_flaw(self, method: MapResult | None = None) -> str:
        """Return why a map, or else the measures, explain no answer; empty where they may."""
        if method is not None and method.passed is False:
            return "Failed its tests"
        is_told = self.evaluation.is_told or (method is not None and method.explains != "decision")
        return "" if is_told else "The result does not stand"


class ExplanationRecord(Document):
    """Models side by side; `truth` names the regions in which the evidence is known to be."""

    FORMAT = EXPLANATION

    canemo: str
    truth: tuple[str, ...]
    models: tuple[ExplainedModel, ...]


def _join_ends(low: float | None, high: float | None) -> Interval | None:
    return None if low is None or high is None else (low, high)
