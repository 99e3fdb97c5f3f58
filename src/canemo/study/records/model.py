"""What a saved model carries of its study: what it was made from, and what testing it gave."""

from __future__ import annotations

from enum import StrEnum

from canemo.study.records.document import Part
from canemo.study.records.scores import Favourite, Interval


class Standing(StrEnum):
    """Where an interval, or a whole result, lies with respect to chance.

    `VOID` is a whole result from which nothing follows about the condition, wherever it lies.
    """

    ABOVE = "above"
    UNCLEAR = "unclear"
    MIXED = "mixed"
    BELOW = "below"
    VOID = "void"


class ModelEvaluation(Part):
    """What subjects it had not seen gave, clip by clip, and how far to believe it.

    Attributes
    ----------
    standing
        Whether it can be told from chance.
    reason
        Why nothing can be concluded, where that is so; else empty.
    balanced_accuracy, accuracy, interval, accuracy_interval
        By clip, with 95 % intervals that resample subjects.
    chance
        The balanced accuracy of guessing.
    majority_label, majority
        The most frequent label, and the share of clips that always answering it gets right.
    p, permuted
        Of the permutation test, and what was refitted for it: ``own``, or what stood in.
    subjects, clips, clips_by_label
        What it was tested on.
    favourite
        The answer that nearly all clips got; None where answers differ.
    drawn
        Whether a program drew the subjects: then nothing follows about real ones.
    """

    standing: Standing
    reason: str
    balanced_accuracy: float | None
    interval: Interval | None
    accuracy: float | None
    accuracy_interval: Interval | None
    chance: float
    majority_label: str
    majority: float
    p: float | None
    permuted: str
    subjects: int
    clips: int
    clips_by_label: dict[str, int]
    favourite: Favourite | None
    drawn: bool

    @property
    def is_told(self) -> bool:
        """Whether it was told from chance."""
        return self.standing is Standing.ABOVE

    @property
    def answers(self) -> bool:
        """Whether the model answers unasked: told from chance, and on subjects that exist."""
        return self.is_told and not self.drawn


class ModelTraining(Part):
    """What a model was made from, with what, and when.

    `files_sha256` are the files of its videos, in no order: of these its answers say nothing.
    """

    canemo: str
    created: str
    study: str
    backbone: str
    split: str
    folds: int
    subjects: int
    videos: int
    files_sha256: tuple[str, ...]
