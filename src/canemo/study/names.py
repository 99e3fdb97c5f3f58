"""Names of dogs and conditions that look like two spellings of one.

A dog that is written in two ways counts as two, and its clips are then tested with a probe that has
seen it. Who is who is never guessed here, only asked.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from canemo.formats.tables import Problem, Row
from canemo.study.load import VIDEOS_CSV
from canemo.study.spelling import find_alike, reduce_name


@dataclass(frozen=True)
class Resemblance:
    """A name that looks like another with more clips.

    Attributes
    ----------
    name
        The one that may be misspelled.
    problem
        What to say of it, with the first row that has it.
    is_lonely
        Whether it is a subject of one label only and the other is not.
    """

    name: str
    problem: Problem
    is_lonely: bool


def find_resemblances(rows: Sequence[Row], *, file: str = VIDEOS_CSV) -> list[Resemblance]:
    """Return the labels and subjects that look like others; first subjects with one label only.

    `file` is what messages call the table.
    """
    found = [each for column in ("label", "subject_id") for each in _compare(rows, column, file)]
    return sorted(found, key=lambda each: not each.is_lonely)


def _compare(rows: Sequence[Row], column: str, file: str) -> Iterator[Resemblance]:
    """Yield each name that looks like one before it, those with most clips being first."""
    named = [row for row in rows if row.get(column)]
    clips = Counter(row.get(column) for row in named)
    labels: dict[str, set[str]] = defaultdict(set)
    first_rows: dict[str, int] = {}
    for row in named:
        labels[row.get(column)].add(row.get("label"))
        first_rows.setdefault(row.get(column), row.number)
    known: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for name in sorted(clips, key=lambda name: (-clips[name], -len(labels[name]))):
        of_its_marks = known[reduce_name(name)[1]]
        other = find_alike(name, of_its_marks)
        of_its_marks.append(name)
        if other is not None:
            lonely = column == "subject_id" and len(labels[name]) == 1 < len(labels[other])
            only = f", {next(iter(labels[name]))!r} only" if lonely else ""
            seen = f"{_count(name, clips, only)} looks like {_count(other, clips)}"
            wanted = "one spelling, if they are the same"
            problem = Problem("warning", file, first_rows[name], column, seen, wanted)
            yield Resemblance(name, problem, lonely)


def _count(name: str, clips: Mapping[str, int], only: str = "") -> str:
    return f"{name!r} ({clips[name]} clip{'' if clips[name] == 1 else 's'}{only})"
