"""Whether two names may be one, spelled in two ways."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from functools import cache

LEAST_LETTERS = 5  # one letter more or less, or two changed places: Mia and Mila are two dogs
LEAST_LETTERS_REPLACED = 6  # one letter for another: so are Rocky and Ricky
_MARKS = re.compile(
    r"\d+|(?<=[a-z])[A-Z]$|(?<![^\W\d_])(?:(?i:[ivx]+)|[^\W\d_])(?![^\W\d_])"
)  # numbers, a capital at the end, Roman numerals and single letters that stand alone


def find_alike(name: str, others: Iterable[str]) -> str | None:
    """Return the first of the others that a name looks like, or None."""
    return next((other for other in others if are_alike(name, other)), None)


def are_alike(first: str, second: str) -> bool:
    """Tell whether two names may be two spellings of one.

    Case, blanks, accents and doubled letters do not count, and zeros before a number. Numbers,
    single letters and Roman numerals that stand for numbers tell names apart; so does what comes
    first, as in typical and atypical. Otherwise long names may differ by one slip of a finger.
    """
    (one, marks), (two, other_marks) = reduce_name(first), reduce_name(second)
    if marks != other_marks:
        return False
    return one == two or (bool(one and two) and one[0] == two[0] and _is_slip(one, two))


@cache
def reduce_name(name: str) -> tuple[str, tuple[str, ...]]:
    """Return the letters of a name that tell it from others, and what numbers it."""
    name = unicodedata.normalize("NFC", name)
    marks = [mark.lstrip("0").casefold() or "0" for mark in _MARKS.findall(name)]
    decomposed = unicodedata.normalize("NFKD", _MARKS.sub("", name).casefold())
    letters = "".join(char for char in decomposed if char.isalpha())
    letters = re.sub("([aou])e", r"\1", letters)  # Bär is Baer where there is no key for it
    return re.sub(r"(.)\1+", r"\1", letters), tuple(marks)


def _is_slip(one: str, two: str) -> bool:
    """Tell whether one letter is missing, replaced (not the last), or has changed places."""
    short, long = sorted((one, two), key=len)
    start = next((n for n, (a, b) in enumerate(zip(short, long, strict=False)) if a != b), None)
    if start is None:
        return len(long) >= LEAST_LETTERS and len(long) - len(short) == 1
    if len(short) < len(long):
        return len(long) >= LEAST_LETTERS and short[start:] == long[start + 1 :]
    turned = long[start : start + 2][::-1] + long[start + 2 :]
    if len(long) >= LEAST_LETTERS and short[start:] == turned:
        return True
    is_last = start == len(long) - 1
    return (
        len(long) >= LEAST_LETTERS_REPLACED
        and not is_last
        and short[start + 1 :] == long[start + 1 :]
    )
