"""A distance or an angle of the face that has a name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

Place: TypeAlias = tuple[float, float]
Group: TypeAlias = tuple[str, ...]
"""Points whose middle counts."""

FACE_UNITS = "face units"
DEGREES = "degrees"


@dataclass(frozen=True)
class Measure:
    """A distance or an angle of the face that has a name; `canemo.faces.geometry` takes it.

    Attributes
    ----------
    name
        For tables. ``left`` and ``right`` are sides of the picture.
    kind
        ``distance``: the mean distance of each pair; ``shortening``: how much less that is than in
        the mean face; ``height``: how far the second group is above the first; ``tilt``: where the
        second group lies seen from the first, 0 is straight up, 90 outwards, 180 down;
        ``roll``, ``yaw``, ``pitch``: of the head, `pairs` are the eyes and, of yaw and pitch, the
        middle of the eyes with the nose.
    pairs
        What is measured, all of it in a face turned upright.
    region
        The part of the face it belongs to, or ``head``.
    unit
        `FACE_UNITS`, in which the eyes of the mean face are 1 apart, or `DEGREES`.
    meaning
        In a few words, for tables and figures.
    """

    name: str
    kind: Literal["distance", "shortening", "height", "tilt", "roll", "yaw", "pitch"]
    pairs: tuple[tuple[Group, Group], ...]
    region: str
    unit: str
    meaning: str

    @property
    def points(self) -> tuple[str, ...]:
        """All points it rests on."""
        return tuple(dict.fromkeys(name for pair in self.pairs for group in pair for name in group))
