"""Whose words a report uses: it is written for dogs, and of other animals speaks in their words."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from markupsafe import escape
from matplotlib.figure import Figure
from matplotlib.text import Text

from canemo.report.words.wording import PAPER
from canemo.species import DOG, Species, get_species
from canemo.study.records.run import StudyFacts

_WORDS = r"\b(?P<article>[Aa] )?(?P<word>[Dd]ogs?)\b"


@dataclass(frozen=True)
class Voice:
    """A species, and the `names` of a study, which stay as they are whatever is in them.

    Labels stay too, for they stand in quotation marks; so do pictures within a page.
    """

    species: Species = DOG
    names: tuple[str, ...] = ()

    def say(self, text: str) -> str:
        """Return a text of canemo in the words of the species."""
        return text if self.species is DOG else self._pattern.sub(self._replace, text)

    def write_on(self, figure: Figure) -> Figure:
        """Say every text of a chart, and return the chart; names at ticks stay."""
        for text in figure.findobj(Text):
            if isinstance(text, Text):
                text.set_text(self.say(text.get_text()))
        return figure

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        names = [name for name in (PAPER, *self.names) if re.search(_WORDS, name)]
        kept = {re.escape(each) for name in names for each in (name, str(escape(name)))}
        longest_first = sorted(kept, key=len, reverse=True)
        return re.compile("|".join([*longest_first, r"“[^”]*”", 'src="[^"]*"', _WORDS]))

    def _replace(self, found: re.Match[str]) -> str:
        article, word = found["article"], found["word"]
        if word is None:
            return found[0]
        said = self.species.plural if word.endswith("s") else self.species.noun
        if article is not None:
            return _like(f"{self.species.article} {said}", article)
        return _like(said, word)


def find_voice(study: StudyFacts) -> Voice:
    """Return the voice in which the report of a study speaks."""
    facts = study.subjects_table or ()
    return name_voice(
        study.species,
        [study.name, *study.labels, *study.labels_by_subject, *_list_texts(facts)],
    )


def name_voice(species: str, names: Iterable[str]) -> Voice:
    """Return the voice of a species, by its name, that leaves `names` as they are."""
    return Voice(get_species(species), tuple(names))


def _list_texts(facts: Iterable[dict[str, object]]) -> list[str]:
    """Return the headings and texts of the table of subjects."""
    return [str(each) for row in facts for pair in row.items() for each in pair]


def _like(text: str, other: str) -> str:
    """Return a text with a capital where another has one."""
    return text[0].upper() + text[1:] if other[0].isupper() else text
