"""Circumstances that go with the condition, such as a camera or a day: further columns of a table.

Where all clips of a condition were filmed on one day and all of another on the next, whatever
differs between the days can be taken for the condition, however well it is told.
"""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from canemo.study.design import Clip

CIRCUMSTANCES = frozenset(
    [
        *("session", "sessions", "visit", "day", "date", "week", "month", "year", "daytime"),
        *("camera", "cam", "device", "phone", "lens", "picture", "background", "light", "lighting"),
        *("place", "location", "site", "room", "lab", "kennel", "shelter", "weather"),
        *("observer", "experimenter", "filmer", "cameraman", "operator"),
    ]
)
"""Words in the name of a column that holds what a clip was filmed under."""

LEAST_P = 0.05


@dataclass(frozen=True)
class Confound:
    """A column each of whose values goes with one label only.

    Attributes
    ----------
    column
        Its name.
    values
        Label -> the column's values that go with it.
    least_p
        The least p that moving whole values between labels can give.
    is_circumstance
        Whether its name says that it is one; else it may be another word for the label.
    """

    column: str
    values: Mapping[str, tuple[str, ...]]
    least_p: float
    is_circumstance: bool

    @property
    def is_total(self) -> bool:
        """Whether there are too few values to tell the label from the circumstance at all."""
        return self.is_circumstance and self.least_p > LEAST_P + 1e-9


def find_confounds(clips: Sequence[Clip]) -> list[Confound]:
    """Return the columns that cannot, or not well, be told from the label.

    Only subjects with more than one label count. A column without repeated values numbers the
    clips; one that is not called a circumstance is returned where each label has one value only.
    """
    labels: dict[str, set[str]] = defaultdict(set)
    for clip in clips:
        labels[clip.subject_id].add(clip.label)
    compared = [clip for clip in clips if len(labels[clip.subject_id]) > 1]
    columns = dict.fromkeys(name for clip in compared for name in clip.extra)
    found = [_examine(column, compared) for column in columns]
    return [each for each in found if each is not None]


def _examine(column: str, clips: Sequence[Clip]) -> Confound | None:
    filled = [clip for clip in clips if clip.extra.get(column)]
    labels: dict[str, set[str]] = defaultdict(set)
    for clip in filled:
        labels[clip.extra[column]].add(clip.label)
    all_labels = sorted({clip.label for clip in filled})
    if len(all_labels) < 2 or any(len(some) > 1 for some in labels.values()):
        return None
    if 2 * len(labels) > len(filled):  # as good as a number for each clip
        return None
    values = {
        label: tuple(value for value in labels if labels[value] == {label}) for label in all_labels
    }
    named = bool(CIRCUMSTANCES & set(re.split(r"[\W\d_]+", column.casefold())))
    if not named and len(labels) > len(all_labels):
        return None
    return Confound(column, values, _find_least_p(column, filled), named)


def _find_least_p(column: str, clips: Sequence[Clip]) -> float:
    """Return the least p with labels moved between values that share subjects, whole values each.

    Where each label has as many values as another, the labels exchanged everywhere say the same.
    """
    labels = {clip.extra[column]: clip.label for clip in clips}
    groups = [Counter(labels[value] for value in group) for group in _join_values(column, clips)]
    ways = math.prod(
        math.factorial(group.total()) // math.prod(map(math.factorial, group.values()))
        for group in groups
    )
    several = len(set(labels.values()))
    are_even = all(len(group) == several and len(set(group.values())) == 1 for group in groups)
    return (math.factorial(several) if are_even else 1) / ways


def _join_values(column: str, clips: Sequence[Clip]) -> list[set[str]]:
    """Return the values in groups that share subjects, be it by way of others."""
    of_subject: dict[str, set[str]] = defaultdict(set)
    for clip in clips:
        of_subject[clip.subject_id].add(clip.extra[column])
    groups: list[set[str]] = []
    for values in of_subject.values():
        joined = values.union(*(group for group in groups if group & values))
        groups = [group for group in groups if not group & values] + [joined]
    return groups
