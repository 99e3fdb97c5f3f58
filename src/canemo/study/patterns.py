"""How the names of video files are made, guessed from the names themselves."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from pathlib import PurePosixPath

_SEPARATORS = re.compile(r"([_\-. /]+)")
_MOST_LABELS = 6
_DEEPEST = 3


def guess_pattern(paths: Sequence[str]) -> str | None:
    """Return a pattern for `canemo.study.propose.propose_videos`, or None where none suggests one.

    The parts of the most usual shape of name are told by how many values they have: the condition
    has the fewest, the subject is the next that is no number; other parts that vary are further
    columns. It is a guess, to be looked at.

    Parameters
    ----------
    paths
        Of the video files, relative, with ``/``. The name alone is read first, then with the
        folders it is in.
    """
    for is_word in (True, False):  # a number is a subject only where no word can be one
        for depth in range(1, _DEEPEST + 1):
            names = [path for path in paths if path.count("/") >= depth - 1]
            found = _guess(["/".join(path.split("/")[-depth:]) for path in names], is_word=is_word)
            if found is not None:
                return found
    return None


def _guess(names: Sequence[str], *, is_word: bool) -> str | None:
    """Return the pattern of names that are all read from the same depth."""
    shapes = [_split(name) for name in names]
    usual = Counter(tuple(parts[1::2]) for parts in shapes).most_common(1)
    if not usual:
        return None
    separators = usual[0][0]
    rows = [parts[::2] for parts in shapes if tuple(parts[1::2]) == separators]
    columns = [tuple(column) for column in zip(*rows, strict=True)]
    fields = _name_columns(columns, is_word=is_word)
    if fields is None:
        return None
    parts = [field or column[0] for field, column in zip(fields, columns, strict=True)]
    stem = "".join(
        part + separator for part, separator in zip(parts, (*separators, ""), strict=True)
    )
    endings = {PurePosixPath(name).suffix.lower() for name in names}
    return stem + (endings.pop() if len(endings) == 1 else "")


def _split(name: str) -> list[str]:
    stem = PurePosixPath(name).with_suffix("").as_posix()
    return _SEPARATORS.split(unicodedata.normalize("NFC", stem))


def _name_columns(columns: Sequence[tuple[str, ...]], *, is_word: bool) -> list[str] | None:
    """Return a field for each column, empty where it never varies; None without dog and label."""
    values = [len(set(column)) for column in columns]
    varying = [place for place, number in enumerate(values) if number > 1]
    words = [place for place in varying if not all(cell.isdigit() for cell in columns[place])]
    few = [place for place in words if values[place] <= _MOST_LABELS]
    if not few:
        return None
    label = min(few, key=lambda place: (values[place], -place))
    others = [place for place in varying if place != label and values[place] < len(columns[0])]
    subjects = [place for place in others if (place in words) is is_word]
    if not subjects:
        return None
    subject = subjects[0]
    names = {label: "{label}", subject: "{subject_id}"}
    further = iter(["{take}", *(f"{{part{number}}}" for number in range(2, 99))])
    return [
        names.get(place) or (next(further) if place in varying else "")
        for place in range(len(columns))
    ]
