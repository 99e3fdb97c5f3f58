"""``comparison.json``, models side by side, and finished runs side by side."""

from __future__ import annotations

from canemo.species import Species, get_species
from canemo.study.records.document import COMPARISON, RUNS_COMPARISON, Document, Part
from canemo.study.records.run import (
    BackboneFacts,
    Chance,
    MethodFacts,
    Permutation,
    StageCost,
    StudyFacts,
    StudyProtocol,
)
from canemo.study.records.scores import Intervals, Level, Measures, Scores


class ComparisonProtocol(StudyProtocol):
    """What all models of a comparison share; numbers of subjects by fold."""

    train_subjects: tuple[int, ...]
    test_subjects: tuple[int, ...]
    tested_subjects: int


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
