"""Who was filmed in which condition and for how long: what is known of a study without pictures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Clip:
    """One row of videos.csv as the design counts it: `extra` are its further cells."""

    subject_id: str
    label: str
    seconds: float | None
    extra: Mapping[str, str]


@dataclass(frozen=True)
class SubjectClips:
    """How many clips there are of one subject by label, and how long they are together [s].

    `seconds` counts the clips whose length is known.
    """

    subject_id: str
    clips: Mapping[str, int]
    seconds: Mapping[str, float]


@dataclass(frozen=True)
class Condition:
    """How many clips a label has, of how many subjects, and how long they are together [s]."""

    label: str
    clips: int
    subjects: int
    seconds: float


@dataclass(frozen=True)
class Design:
    """The clips of a study by subject and label.

    Attributes
    ----------
    labels
        In alphabetical order.
    subjects
        In the order of the table.
    """

    labels: tuple[str, ...]
    subjects: tuple[SubjectClips, ...]

    @property
    def conditions(self) -> tuple[Condition, ...]:
        """The labels, in their order, with what there is of each."""
        return tuple(self._sum_up(label, [label]) for label in self.labels)

    @property
    def total(self) -> Condition:
        """What there is of all labels."""
        return self._sum_up("All", self.labels)

    @property
    def compared(self) -> tuple[SubjectClips, ...]:
        """The subjects that were filmed in more than one condition."""
        return tuple(each for each in self.subjects if sum(map(bool, each.clips.values())) > 1)

    @property
    def names(self) -> tuple[str, ...]:
        """All labels and subjects."""
        return (*self.labels, *(each.subject_id for each in self.subjects))

    def list_clips(self) -> tuple[NDArray[np.int64], NDArray[np.object_]]:
        """Return (N,) label, as a position, and (N,) subject of every clip."""
        pairs = [
            (place, each.subject_id)
            for each in self.subjects
            for place, label in enumerate(self.labels)
            for _ in range(each.clips[label])
        ]
        labels, subject_ids = zip(*pairs, strict=True)
        return np.array(labels, dtype=np.int64), np.array(subject_ids, dtype=object)

    def _sum_up(self, name: str, labels: Sequence[str]) -> Condition:
        clips = [sum(each.clips[label] for label in labels) for each in self.subjects]
        seconds = sum(each.seconds[label] for each in self.subjects for label in labels)
        return Condition(name, sum(clips), sum(map(bool, clips)), seconds)


def describe_design(clips: Iterable[Clip]) -> Design:
    """Count the clips of each subject by label."""
    of_subject: dict[str, list[Clip]] = {}
    for clip in clips:
        of_subject.setdefault(clip.subject_id, []).append(clip)
    labels = sorted({clip.label for some in of_subject.values() for clip in some})
    subjects = [_count_clips(name, some, labels) for name, some in of_subject.items()]
    return Design(tuple(labels), tuple(subjects))


def _count_clips(subject_id: str, clips: list[Clip], labels: list[str]) -> SubjectClips:
    counts = Counter(clip.label for clip in clips)
    seconds = dict.fromkeys(labels, 0.0)
    for clip in clips:
        seconds[clip.label] += clip.seconds or 0.0
    return SubjectClips(subject_id, {label: counts[label] for label in labels}, seconds)
