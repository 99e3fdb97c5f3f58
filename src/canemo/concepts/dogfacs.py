"""The codes of DogFACS, and how coders spell them.

References
----------
Waller, Peirce, Caeiro, Scheider, Burrows, McCune & Kaminski (2013), Paedomorphic facial expressions
give dogs a selective advantage, PLoS ONE 8(12), e82686, doi:10.1371/journal.pone.0082686; Waller,
Caeiro, Peirce, Burrows & Kaminski (2013), DogFACS: the Dog Facial Action Coding System manual.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

UNITS: Mapping[str, str] = {
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
}
"""Code -> name of the movement: action units, action descriptors, ear action descriptors."""

_JOINED = ("AU109", "AU110")  # coded together, one code of the manual
_NUMBER = r"(EAD|AU|AD)?[\s_\-.]*0*([1-9][0-9]*)"
_CODES = re.compile(
    rf"(EAD|AU|AD)[\s_\-.]*0*[1-9][0-9]*(?:\s*[+&/]\s*{_NUMBER})*(?![0-9A-Z]|\s*[+&/0-9])"
)


def read_codes(text: str) -> tuple[str, ...]:
    """Return the units that a coder's text names, each as DogFACS writes it.

    Parameters
    ----------
    text
        Such as ``"au 25"``, ``"AU25 lips part"`` or ``"AU25+26"``.

    Returns
    -------
    tuple
        Codes of `UNITS`. Where any of what is written is not one of them, the text itself, its
        blanks made single: nothing is guessed. Empty for an empty text.
    """
    plain = " ".join(text.split())
    found = _CODES.match(plain.upper())
    codes = tuple(_join(_list_codes(found.group()))) if found else ()
    if codes and all(code in UNITS for code in codes):
        return tuple(dict.fromkeys(codes))
    return (plain,) if plain else ()


def describe_unit(code: str) -> str:
    """Return the name of a unit's movement, empty where DogFACS has no such code."""
    return UNITS.get(code, "")


def _list_codes(text: str) -> list[str]:
    """Return the codes of ``AU25+26``: a number without letters has those before it."""
    codes, letters = [], ""
    for match in re.finditer(_NUMBER, text):
        letters = match[1] or letters
        codes.append(letters + match[2])
    return codes


def _join(codes: list[str]) -> Iterator[str]:
    """Yield the codes, the pair that the manual codes as one made one."""
    place = 0
    while place < len(codes):
        if tuple(codes[place : place + 2]) == _JOINED:
            yield "AU109+110"
            place += 1
        else:
            yield codes[place]
        place += 1
