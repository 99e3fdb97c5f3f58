"""How coders spell the codes of DogFACS, and of systems that write theirs alike.

References
----------
Waller, Peirce, Caeiro, Scheider, Burrows, McCune & Kaminski (2013), Paedomorphic facial expressions
give dogs a selective advantage, PLoS ONE 8(12), e82686, doi:10.1371/journal.pone.0082686; Waller,
Caeiro, Peirce, Burrows & Kaminski (2013), DogFACS: the Dog Facial Action Coding System manual.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

_JOINED = ("AU109", "AU110")  # coded together, one code of the manual
_NUMBER = r"(EAD|AU|AD)?[\s_\-.]*0*([1-9][0-9]*)"
_CODE = r"(?:EAD|AU|AD)[\s_\-.]*0*[1-9][0-9]*(?![0-9A-Z])"
_SIGN = r"\s*[+&/]\s*"
_COMMA = r"(?:\s*[,;]\s*(?:and\s+)?|\s+and\s+)"
_BARE = r"0*[1-9][0-9]*(?![0-9A-Z])"
_LONE = rf"{_BARE}(?=\s*(?:[+&/,;]|and\b|$))"
_RUN = rf"{_CODE}(?:{_SIGN}(?:{_CODE}|{_BARE})|{_COMMA}(?:{_CODE}|{_LONE})|\s+{_CODE})*"
_RUNS = re.compile(rf"(?:^|{_SIGN}|{_COMMA})({_RUN})", re.IGNORECASE)
_READ = "\n"  # stands where a run was; no text has one once its blanks are single
_FURTHER = re.compile(
    r"\n\s*[+&/]"  # AU25+yawn
    r"|\n[\s_\-\u2013.:|]*[0-9]"  # AU25 26, AU25-26
    r"|(?<![0-9])(?:[+&/,;]|\band\b)\s*[0-9]"  # AU25, 26 jaw drop; but not 1/2
    r"|(?<![A-Z])[LR]?(?:EAD|AU|AD)[\s_\-.]*[0-9]",  # AU25 not AU26, AU25, AU26C
    re.IGNORECASE,
)

_DENIAL = re.compile(
    r"\?|(?<![A-Z0-9])(?:no|not|none|never|without|absent|nv|n/v|invisible|unclear|false|0"
    r"|off|offset|stop|end)(?![A-Z0-9])",
    re.IGNORECASE,
)


def read_codes(text: str, units: Mapping[str, str]) -> tuple[str, ...]:
    """Return the units that a coder's text names, each as DogFACS writes it.

    Parameters
    ----------
    text
        Such as ``"au 25"``, ``"AU25 lips part"``, ``"AU25+26"`` or ``"AU25, AU26"``. Codes follow
        one another after ``+``, ``&``, ``/``, a comma, a semicolon, "and", or a blank where both
        have their letters; words may come after a code.
    units
        Code -> name of a movement, those of the species.

    Returns
    -------
    tuple
        Codes of `units`. Where any of what is written is not one of them, or what is not read
        looks like a further code or says that the unit was not seen or ends, the text itself, its
        blanks made single: nothing is guessed and nothing is lost. Empty for an empty text.
    """
    plain = " ".join(text.split())
    runs, rest = _RUNS.findall(plain), _RUNS.sub(_READ, plain)
    codes = [code for run in runs for code in _join(_list_codes(run.upper()))]
    understood = rest.startswith(_READ) and not _FURTHER.search(rest) and not is_denial(rest)
    if understood and all(code in units for code in codes):
        return tuple(dict.fromkeys(codes))
    return (plain,) if plain else ()


def is_denial(text: str) -> bool:
    """Return whether words beside a code say that it was not seen, is in doubt, or ends here."""
    return _DENIAL.search(text) is not None


def is_unit(text: str, units: Mapping[str, str]) -> bool:
    """Return whether a text, such as the name of a tier, names known units and no other."""
    codes = read_codes(text, units)
    return bool(codes) and all(code in units for code in codes)


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
