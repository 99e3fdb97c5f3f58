"""What the name of a landmark says, in the spelling of any program."""

from __future__ import annotations

import re
from functools import lru_cache

PLACES = "s|left|right|base|end|tip|root|edge|inner|outer|upper|lower|top|bottom|mid|middle|corner"


def spell_point(name: str) -> str:
    """Return a landmark's name as canemo spells it: small words, the side last.

    ``L_EyeInner`` and ``left_eye_inner`` are both ``eye_inner_left``.
    """
    side = side_of_point(name)
    words = [_drop_side(word, side) for word in split_words(name)] if side else split_words(name)
    return "_".join([*filter(None, words), *([side] if side else [])])


def _drop_side(word: str, side: str) -> str:
    return "" if word == side[0] else word.removeprefix(side).removesuffix(side)


@lru_cache(maxsize=4096)
def side_of_point(name: str) -> str:
    """Return ``left`` or ``right`` where a landmark's name says it, else nothing."""
    for word in split_words(name):
        for side in ("left", "right"):
            if word in (side, side[0]) or word.startswith(side) or word.endswith(side):
                return side
    return ""


def split_words(name: str) -> list[str]:
    """Return the words of a name, small; capitals, digits and signs part them."""
    apart = re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|[^A-Za-z]+", " ", name)
    return apart.casefold().split()


def mirror_point(name: str) -> str:
    """Return the name of the same point of the other side, as canemo spells them."""
    if "_left" in name:
        return name.replace("_left", "_right")
    return name.replace("_right", "_left")
