"""The 46 points of a dog's face that canemo knows by name, and which region a name belongs to.

The scheme and its order are those of DogFLW (Martvel et al. 2025, Dog facial landmarks detection
and its applications for facial analysis, Sci Rep 15, doi:10.1038/s41598-025-07040-3). `left` and
`right` are sides of the picture of an upright dog that looks into the camera, not of the dog.
"""

from __future__ import annotations

import re
from functools import cache

REGIONS = ("eyes", "ears", "muzzle", "forehead", "cheeks", "background")
"""Parts of a crop; together they cover it and none overlaps another.

`muzzle` is nose, mouth and chin, `cheeks` what remains of the face, `background` all around it.
"""

_PAIRED_EAR = ("base_inner", "edge_inner", "edge_middle", "tip", "edge_outer", "side", "base_outer")


def _sides(name: str) -> tuple[str, str]:
    return f"{name}_left", f"{name}_right"


POINTS: tuple[str, ...] = (
    *(point for part in _PAIRED_EAR for point in _sides(f"ear_{part}")),  # 0 to 13
    *_sides("brow"),
    *_sides("eye_inner"),
    *_sides("eye_outer"),
    *_sides("eye_upper"),
    *_sides("eye_lower"),
    "bridge",  # 24
    "nose_top",
    *_sides("nose_upper"),
    *_sides("bridge"),  # 28, 29
    *_sides("cheek"),
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
"""Names in the order of the scheme."""

MIRRORED: tuple[int, ...] = tuple(
    POINTS.index(
        name.replace("_left", "_right") if "_left" in name else name.replace("_right", "_left")
    )
    for name in POINTS
)
"""Position -> position of the same point in a mirrored picture."""

EYE_CORNERS: tuple[tuple[str, str], tuple[str, str]] = (
    ("eye_inner_left", "eye_outer_left"),
    ("eye_inner_right", "eye_outer_right"),
)
"""Corners whose middle is the centre of the left and of the right eye."""


# In this order: an eyebrow is no eye.
_WORDS = {
    "forehead": ("eyebrow", "brow", "forehead", "glabella"),
    "ears": ("ear", "pinna"),
    "eyes": ("eyelid", "eye", "pupil", "iris", "canthus"),
    "muzzle": (
        "muzzle", "snout", "nose", "nostril", "naris", "mouth", "lip", "jaw", "chin", "whisker",
        "philtrum", "bridge", "tongue", "tooth", "teeth",
    ),
    "cheeks": ("cheek", "jowl", "zygoma"),
}  # fmt: skip
_PLACES = "s|left|right|base|end|tip|root|edge|inner|outer|upper|lower|top|bottom|mid|middle|corner"


def region_of_point(name: str) -> str | None:
    """Return the region that a landmark belongs to by its name, or None.

    Names fall into words at anything but letters and at a capital after a small letter. A word
    decides that is one of these, alone, in the plural, after left or right, or before a place
    such as base, end, tip, inner or corner (`left_earbase`, `mouth_end_right`, `L_EyeInner`):

    - forehead: eyebrow, brow, forehead, glabella;
    - ears: ear, pinna;
    - eyes: eye, eyelid, pupil, iris, canthus;
    - muzzle: muzzle, snout, nose, nostril, naris, mouth, lip, jaw, chin, whisker, philtrum,
      bridge, tongue, tooth, teeth;
    - cheeks: cheek, jowl, zygoma.

    Of several, the first in this order decides.
    """
    words = _split_words(name)
    for region, pattern in _patterns().items():
        if any(pattern.fullmatch(word) for word in words):
            return region
    return None


def side_of_point(name: str) -> str:
    """Return ``left`` or ``right`` where a name says it, else nothing."""
    for word in _split_words(name):
        for side in ("left", "right"):
            if word in (side, side[0]) or word.startswith(side) or word.endswith(side):
                return side
    return ""


def _split_words(name: str) -> list[str]:
    apart = re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|[^A-Za-z]+", " ", name)
    return apart.casefold().split()


@cache
def _patterns() -> dict[str, re.Pattern[str]]:
    return {
        region: re.compile(rf"(left|right)?({'|'.join(words)})({_PLACES})*")
        for region, words in _WORDS.items()
    }
