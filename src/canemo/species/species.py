"""A kind of animal: its words, its face, the codes of its movements."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from canemo.species.measure import Measure, Place
from canemo.species.point_names import PLACES, mirror_point, split_words


@dataclass(frozen=True, eq=False)
class Species:
    """A kind of animal, as `study.species` names it.

    Attributes
    ----------
    name
        Short name, for settings and files.
    noun, plural, article
        What texts call one and several of them, and what stands before one.
    regions
        Parts of a crop, the last one ``background``; together they cover it, none overlaps another.
    region_boxes
        (region, x0, y0, x1, y1), shares of the crop, later ones over earlier ones: where the
        regions are taken to be in a face without landmarks.
    bands
        Part of the face -> its upper and lower edge, as shares of the height of the face box: what
        is painted over to see what a part carries. Empty: nothing is.
    detector, landmark_weights
        The detector that ships with canemo, and the weights file of its landmark model; None where
        there is none.
    points
        Names of the landmark model's points, in its order.
    eye_corners
        Points whose middle is the centre of the left and of the right eye; none where `points` is
        empty.
    mean_shape
        Places of `points` in the mean face, 0 to 1 of its side.
    anchors
        Positions of the points that faces are laid on each other by.
    measures
        Distances and angles of the face that have a name.
    meters
        Files of the meters that read movements off its landmark model's points.
    region_words
        Region -> words that put a point of any scheme into it by its name; of several regions, the
        first decides. Without these, landmarks of a study draw no regions.
    units
        Code -> name of a movement of the face.
    """

    name: str
    noun: str
    plural: str
    article: str
    regions: tuple[str, ...]
    region_boxes: tuple[tuple[str, float, float, float, float], ...]
    bands: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    detector: str | None = None
    landmark_weights: str | None = None
    points: tuple[str, ...] = ()
    eye_corners: tuple[tuple[str, str], ...] = ()
    mean_shape: tuple[Place, ...] = ()
    anchors: tuple[int, ...] = ()
    measures: tuple[Measure, ...] = ()
    meters: tuple[str, ...] = ()
    region_words: Mapping[str, Sequence[str]] = field(default_factory=dict)
    units: Mapping[str, str] = field(default_factory=dict)

    @property
    def one(self) -> str:
        """One of them, with its article."""
        return f"{self.article} {self.noun}"

    @cached_property
    def mirrored(self) -> tuple[int, ...]:
        """Position -> position of the same point in a mirrored picture."""
        return tuple(self.points.index(mirror_point(name)) for name in self.points)

    def count(self, number: int) -> str:
        """Return a number of them in words, such as "1 dog" or "3 dogs"."""
        return f"{number} {self.noun if number == 1 else self.plural}"

    def fill(self, text: str) -> str:
        """Return a text in which ``{noun}``, ``{plural}`` and ``{one}`` are this species' words."""
        return text.format(noun=self.noun, plural=self.plural, one=self.one)

    def region_of(self, point: str) -> str | None:
        """Return the region that a landmark belongs to by its name, or None.

        Names fall into words at anything but letters and at a capital after a small letter. A word
        decides that is one of `region_words`, alone, in the plural, after left or right, or before
        a place such as base, end, tip, inner or corner (`left_earbase`, `mouth_end_right`,
        `L_EyeInner`). Of several regions, the first in the order of `region_words` decides.
        """
        if point not in self._known:
            words = split_words(point)
            self._known[point] = next(
                (
                    region
                    for region, pattern in self._patterns.items()
                    if any(pattern.fullmatch(word) for word in words)
                ),
                None,
            )
        return self._known[point]

    @cached_property
    def _known(self) -> dict[str, str | None]:
        """Point -> its region, of the points asked for so far."""
        return {}

    @cached_property
    def _patterns(self) -> dict[str, re.Pattern[str]]:
        return {
            region: re.compile(rf"(left|right)?({'|'.join(words)})({PLACES})*")
            for region, words in self.region_words.items()
        }
