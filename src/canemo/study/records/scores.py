"""Scores with their intervals, by video and by frame."""

from __future__ import annotations

from typing import Literal, TypeAlias

from canemo.study.records.document import Part

Interval: TypeAlias = tuple[float, float]
LevelName: TypeAlias = Literal["video", "frame"]

_NEARLY_ALL, _MOST = 0.9, 0.8
"""Of all answers, and of those to the clips of each label, where answers hardly differ."""


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


class Favourite(Part):
    """The one label that nearly all clips were given, how many of them, and of how many."""

    label: str
    answers: int
    clips: int


class Confusion(Part):
    """Counts with true labels as rows and predicted ones as columns, both in order of `labels`."""

    labels: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]

    @property
    def favourite(self) -> Favourite | None:
        """The label that nearly all answers name, whatever was filmed; None where there is none.

        Intervals say nothing then: resampled, such answers differ by what was filmed alone.
        """
        clips = sum(map(sum, self.counts))
        for label, given in zip(self.labels, zip(*self.counts, strict=True), strict=True):
            rows = zip(given, map(sum, self.counts), strict=True)
            if sum(given) >= _NEARLY_ALL * clips and all(n >= _MOST * of for n, of in rows):
                return Favourite(label=label, answers=sum(given), clips=clips)
        return None


class Level(Scores):
    """The scores of all videos, or of all frames."""

    n: int
    macro_f1: float | None
    confusion: Confusion


class Levels(Part):
    """Scores by video, the unit of a claim, and by frame."""

    video: Level
    frame: Level
