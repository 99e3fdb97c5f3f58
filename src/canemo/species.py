"""What is true of one kind of animal only: its words, its face, the codes of its movements.

`left` and `right` are sides of the picture of an upright animal that looks into the camera, not of
the animal.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Literal, TypeAlias

from canemo.errors import ConfigError

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
        words = _split_words(point)
        for region, pattern in self._patterns.items():
            if any(pattern.fullmatch(word) for word in words):
                return region
        return None

    @cached_property
    def _patterns(self) -> dict[str, re.Pattern[str]]:
        return {
            region: re.compile(rf"(left|right)?({'|'.join(words)})({_PLACES})*")
            for region, words in self.region_words.items()
        }


_PLACES = "s|left|right|base|end|tip|root|edge|inner|outer|upper|lower|top|bottom|mid|middle|corner"


def spell_point(name: str) -> str:
    """Return a landmark's name as canemo spells it: small words, the side last.

    ``L_EyeInner`` and ``left_eye_inner`` are both ``eye_inner_left``.
    """
    side = side_of_point(name)
    words = [_drop_side(word, side) for word in _split_words(name)] if side else _split_words(name)
    return "_".join([*filter(None, words), *([side] if side else [])])


def _drop_side(word: str, side: str) -> str:
    return "" if word == side[0] else word.removeprefix(side).removesuffix(side)


def side_of_point(name: str) -> str:
    """Return ``left`` or ``right`` where a landmark's name says it, else nothing."""
    for word in _split_words(name):
        for side in ("left", "right"):
            if word in (side, side[0]) or word.startswith(side) or word.endswith(side):
                return side
    return ""


def _split_words(name: str) -> list[str]:
    apart = re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|[^A-Za-z]+", " ", name)
    return apart.casefold().split()


def mirror_point(name: str) -> str:
    """Return the name of the same point of the other side, as canemo spells them."""
    if "_left" in name:
        return name.replace("_left", "_right")
    return name.replace("_right", "_left")


_BOTH_SIDES: dict[str, Place] = {  # of the left one
    "ear_base_inner": (0.336, 0.223), "ear_edge_inner": (0.280, 0.294),
    "ear_edge_middle": (0.254, 0.395), "ear_tip": (0.192, 0.500),
    "ear_edge_outer": (0.150, 0.382), "ear_side": (0.166, 0.297),
    "ear_base_outer": (0.260, 0.274), "brow": (0.457, 0.312), "eye_inner": (0.404, 0.432),
    "eye_outer": (0.336, 0.422), "eye_upper": (0.371, 0.400), "eye_lower": (0.367, 0.450),
    "nose_upper": (0.448, 0.617), "bridge": (0.448, 0.523), "cheek": (0.365, 0.513),
    "nostril": (0.444, 0.668), "lip_upper": (0.397, 0.666), "mouth_corner": (0.358, 0.688),
    "lip_lower": (0.422, 0.745),
}  # fmt: skip
_MIDDLE: dict[str, float] = {
    "bridge": 0.513, "nose_top": 0.607, "nose_bottom": 0.668, "philtrum": 0.717,
    "lip_upper": 0.738, "lip_lower": 0.764, "chin": 0.775, "mouth": 0.756,
}  # fmt: skip


def _sides(*names: str) -> tuple[str, ...]:
    return tuple(f"{name}_{side}" for name in names for side in ("left", "right"))


def _place(name: str) -> Place:
    part, _, side = name.rpartition("_")
    if side == "left":
        return _BOTH_SIDES[part]
    if side == "right":
        x, y = _BOTH_SIDES[part]
        return 1 - x, y
    return 0.5, _MIDDLE[name]


# The scheme and its order are those of DogFLW (Martvel et al. 2025, Dog facial landmarks detection
# and its applications for facial analysis, Sci Rep 15, doi:10.1038/s41598-025-07040-3).
_DOG_POINTS: tuple[str, ...] = (
    *_sides("ear_base_inner", "ear_edge_inner", "ear_edge_middle", "ear_tip"),
    *_sides("ear_edge_outer", "ear_side", "ear_base_outer"),  # to 13
    *_sides("brow", "eye_inner", "eye_outer", "eye_upper", "eye_lower"),
    "bridge",  # 24
    "nose_top",
    *_sides("nose_upper", "bridge", "cheek"),
    "nose_bottom",  # 32
    *_sides("nostril"),
    "philtrum",  # 35
    *_sides("lip_upper"),
    "lip_upper",  # 38
    *_sides("mouth_corner"),
    "lip_lower",  # 41
    "chin",
    *_sides("lip_lower"),
    "mouth",  # 45
)

_EYES: dict[str, Group] = {
    side: (f"eye_inner_{side}", f"eye_outer_{side}") for side in ("left", "right")
}
_BOTH_EYES: Group = (*_EYES["left"], *_EYES["right"])
_LIPS = tuple(((f"lip_upper{end}",), (f"lip_lower{end}",)) for end in ("_left", "", "_right"))


def _measure_side(side: str) -> tuple[Measure, ...]:
    """Return the measures of one side of a dog's face."""
    base: Group = (f"ear_base_inner_{side}", f"ear_base_outer_{side}")
    tip: Group = (f"ear_tip_{side}",)
    lids = ((f"eye_upper_{side}",), (f"eye_lower_{side}",))
    brow: Group = (f"brow_{side}",)
    corner: Group = (f"mouth_corner_{side}",)
    return (
        Measure(
            f"eye_opening_{side}", "distance", (lids,), "eyes", FACE_UNITS,
            "from the upper to the lower lid",
        ),
        Measure(
            f"brow_to_eye_{side}", "distance", ((brow, _EYES[side]),), "forehead", FACE_UNITS,
            "from the brow to the middle of the eye",
        ),
        Measure(
            f"mouth_corner_{side}", "height", ((("nose_bottom",), corner),), "muzzle", FACE_UNITS,
            "how far the corner of the mouth is above the lower edge of the nose",
        ),
        Measure(
            f"ear_angle_{side}", "tilt", ((base, tip),), "ears", DEGREES,
            "where the tip of the ear lies seen from its base: 0 up, 90 outwards, 180 down",
        ),
        Measure(
            f"ear_height_{side}", "height", ((_BOTH_EYES, tip),), "ears", FACE_UNITS,
            "how far the tip of the ear is above the eyes",
        ),
    )  # fmt: skip


_DOG_MEASURES: tuple[Measure, ...] = (
    Measure(
        "mouth_opening", "distance", _LIPS, "muzzle", FACE_UNITS,
        "from the upper to the lower lip, mean of middle and both sides",
    ),
    Measure(
        "jaw_drop", "distance", ((("nose_bottom",), ("chin",)),), "muzzle", FACE_UNITS,
        "from the lower edge of the nose to the chin",
    ),
    Measure(
        "mouth_width", "distance", ((("mouth_corner_left",), ("mouth_corner_right",)),), "muzzle",
        FACE_UNITS, "between the corners of the mouth",
    ),
    Measure(
        "lip_raise", "shortening",
tuple(((f"eye_inner_{side}",), (f"lip_upper_{side}",)) for side in ("left", "right")),
        "muzzle", FACE_UNITS,
        "how much nearer the upper lip is to the eyes than in the mean face, mean of both sides",
    ),
    *_measure_side("left"),
    *_measure_side("right"),
    Measure(
        "ear_spread", "distance", ((("ear_tip_left",), ("ear_tip_right",)),), "ears", FACE_UNITS,
        "between the tips of the ears",
    ),
    Measure(
        "nose_to_eyes", "distance", ((_BOTH_EYES, ("nose_top",)),), "muzzle", FACE_UNITS,
        "from the middle of the eyes to the upper edge of the nose",
    ),
    Measure(
        "head_roll", "roll", ((_EYES["left"], _EYES["right"]),), "head", DEGREES,
        "how far the head is tilted in the picture, clockwise",
    ),
    Measure(
        "head_yaw", "yaw", ((_EYES["left"], _EYES["right"]), (_BOTH_EYES, ("nose_top",))), "head",
        FACE_UNITS,
        "how far the nose is from the middle of the eyes, along their line; a stand-in",
    ),
    Measure(
        "head_pitch", "pitch", ((_EYES["left"], _EYES["right"]), (_BOTH_EYES, ("nose_top",))),
        "head", FACE_UNITS,
        "how much further the nose is below the line of the eyes than in the mean face; a stand-in",
    ),
)  # fmt: skip

DOG = Species(
    name="dog",
    noun="dog",
    plural="dogs",
    article="a",
    # `muzzle` is nose, mouth and chin, `cheeks` what remains of the face.
    regions=("eyes", "ears", "muzzle", "forehead", "cheeks", "background"),
    region_boxes=(
        ("cheeks", 0.25, 0.20, 0.75, 0.60),
        ("ears", 0.15, 0.20, 0.30, 0.55),
        ("ears", 0.70, 0.20, 0.85, 0.55),
        ("forehead", 0.35, 0.20, 0.65, 0.45),
        ("muzzle", 0.30, 0.55, 0.70, 0.85),
        ("eyes", 0.32, 0.38, 0.42, 0.47),
        ("eyes", 0.58, 0.38, 0.68, 0.47),
    ),
    bands={"ears": (0.0, 0.3), "eyes": (0.3, 0.55), "muzzle": (0.55, 1.0)},
    detector="dog_head",
    landmark_weights="dog_landmarks.safetensors",
    points=_DOG_POINTS,
    eye_corners=(
        ("eye_inner_left", "eye_outer_left"),
        ("eye_inner_right", "eye_outer_right"),
    ),
    # Measured: `estimate_shape` of 2,515 faces of DogFLW, each in the square around its box of the
    # face, by the anchors and with both sides alike; rounded to 1/1000.
    # ``test_mean_shape_is_that_of_real_faces`` repeats it.
    mean_shape=tuple(_place(name) for name in _DOG_POINTS),
    # Ears beyond their bases, lips, corners of the mouth and chin are none: how these stand is what
    # is to be seen.
    anchors=tuple(
        index
        for index, name in enumerate(_DOG_POINTS)
        if name.startswith(("eye_", "brow_", "bridge", "nose_", "nostril_", "ear_base_"))
    ),
    measures=_DOG_MEASURES,
    region_words={  # in this order: an eyebrow is no eye
        "forehead": ("eyebrow", "brow", "forehead", "glabella"),
        "ears": ("ear", "pinna"),
        "eyes": ("eyelid", "eye", "pupil", "iris", "canthus"),
        "muzzle": (
            "muzzle", "snout", "nose", "nostril", "naris", "mouth", "lip", "jaw", "chin",
            "whisker", "philtrum", "bridge", "tongue", "tooth", "teeth",
        ),
        "cheeks": ("cheek", "jowl", "zygoma"),
    },
    # DogFACS (Waller et al. 2013, the Dog Facial Action Coding System manual): action units, action
    # descriptors, ear action descriptors.
    units={
        "AU101": "inner brow raiser",
        "AU143": "eye closure",
        "AU145": "blink",
        "AU109+110": "nose wrinkler and upper lip raiser",
        "AU110": "upper lip raiser",
        "AU12": "lip corner puller",
        "AU116": "lower lip depressor",
        "AU118": "lip pucker",
        "AU25": "lips part",
        "AU26": "jaw drop",
        "AU27": "mouth stretch",
        "AD19": "tongue show",
        "AD33": "blow",
        "AD35": "lip suck",
        "AD37": "lip wipe",
        "AD40": "sniff",
        "AD126": "panting",
        "AD137": "nose lick",
        "EAD101": "ears forward",
        "EAD102": "ears adductor",
        "EAD103": "ears flattener",
        "EAD104": "ears rotator",
        "EAD105": "ears downward",
    },
)  # fmt: skip

GENERIC = Species(
    name="generic",
    noun="animal",
    plural="animals",
    article="an",
    # Nothing is known of the face but its box: a rim around it, and thirds of what is within.
    regions=("upper", "middle", "lower", "background"),
    region_boxes=(
        ("upper", 0.125, 0.125, 0.875, 0.375),
        ("middle", 0.125, 0.375, 0.875, 0.625),
        ("lower", 0.125, 0.625, 0.875, 0.875),
    ),
    bands={"upper": (0.0, 1 / 3), "middle": (1 / 3, 2 / 3), "lower": (2 / 3, 1.0)},
)

SPECIES: Mapping[str, Species] = MappingProxyType(
    {species.name: species for species in (DOG, GENERIC)}
)
"""Name -> species."""


def get_species(name: str) -> Species:
    """Return the species of that name.

    Raises
    ------
    ConfigError
        There is none; the message names the known ones.
    """
    if name not in SPECIES:
        near = difflib.get_close_matches(name, SPECIES, n=1, cutoff=0.0)[0]
        raise ConfigError(
            f"species {name!r} is unknown, the nearest is {near!r}; there are {', '.join(SPECIES)}"
        )
    return SPECIES[name]
