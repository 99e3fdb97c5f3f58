"""What the words of a page mean: at most twelve, each linked from where it is first used."""

from __future__ import annotations

import re
from dataclasses import dataclass

from markupsafe import escape

MOST_WORDS = 12
PLACE = "<!-- glossary -->"
"""Where a page has its glossary."""


@dataclass(frozen=True)
class Term:
    """A word, what it means in plain words, and the pattern that finds it."""

    name: str
    meaning: str
    pattern: str

    @property
    def anchor(self) -> str:
        """Its address within a page."""
        return "word-" + re.sub(r"\W+", "-", self.name.lower()).strip("-")


TERMS = (
    Term(
        "probe",
        "The small classifier that is learned here: it turns the features of a face into "
        "probabilities of the conditions.",
        r"probes?",
    ),
    Term(
        "backbone",
        "A network that learned to see from millions of other pictures. It turns each face into a "
        "list of numbers, the features; nothing in it is changed here.",
        r"backbones?",
    ),
    Term(
        "round",
        "One division of the dogs into those that are learned from and those that are tested (also "
        "called a fold). Over all rounds each dog is tested by a model that has not seen it.",
        r"rounds?",
    ),
    Term(
        "balanced accuracy",
        "The share of clips classified as the condition they were filmed in, worked out for each "
        "condition alone and then averaged, so that no condition counts for more because it has "
        "more clips. Guessing gives 50 % where there are two conditions.",
        r"balanced accurac(?:y|ies)",
    ),
    Term(
        "95 % interval",
        "Where the number would probably lie had others of the same kind been filmed: it is worked "
        "out again and again from random draws of those there are. “Throughout” stands where all "
        "draws gave the same, mostly because the model gave one answer to every clip: that is no "
        "certainty.",
        r"95\s% intervals?",
    ),
    Term(
        "permutation test",
        "The labels of whole clips are moved about within each dog and everything is learned anew. "
        "p is the share of such tries that do as well as the labels as they are: a small p says "
        "that chance alone seldom does as well.",
        r"permutation (?:test|p)\b|labels moved within dogs",
    ),
    Term(
        "AUROC",
        "Of two clips, one filmed in a condition and one not, how often the first is given the "
        "higher probability of it: 0.5 by chance, 1 without a mistake.",
        r"AUROC",
    ),
    Term(
        "logit",
        "The scale on which evidence adds up: 0 is undecided, above speaks for one condition, "
        "below for the other; each step of 1 multiplies the odds by 2.7.",
        r"logits?",
    ),
    Term(
        "map",
        "A picture of which places of a crop a method holds to matter. It may be wrong, and is "
        "tested for that reason.",
        r"maps",
    ),
    Term(
        "EigenCAM",
        "A map of where the backbone is most active. It never sees the probe, so it cannot say why "
        "a clip was classified as it was.",
        r"EigenCAM",
    ),
    Term(
        "direction",
        "A way in which features differ, such as from frames that show a unit to frames that do "
        "not. Two that are alike go along with each other; neither need cause the other.",
        r"(?:its|their|a|of the) directions?",
    ),
    Term(
        "action unit",
        "A movement of the face as DogFACS codes it, such as AU25, lips parting.",
        r"(?:coded |action )units?",
    ),
    Term(
        "decoded",
        "Told from the features of frames of dogs that the probe has not seen, more often than "
        "chance would have it.",
        r"decod(?:ed|able)",
    ),
    Term("Kappa", "Agreement beyond what chance would give: 1 is full, 0 chance.", r"kappa"),
    Term(
        "metadata",
        "What is known of a clip without looking at the face: its place in the list, length, "
        "light, where and how large the face is.",
        r"metadata",
    ),
    Term(
        "penalty",
        "How strongly the probe is held back from following each detail of the clips it learned "
        "from.",
        r"penalt(?:y|ies)",
    ),
    Term(
        "epoch",
        "One pass of training over all pictures that are learned from.",
        r"epochs?",
    ),
    Term(
        "corrected",
        "Whoever tests many things finds some by chance; a corrected p (Holm) allows for their "
        "number.",
        r"corrected",
    ),
    Term(
        "Brier score",
        "The mean squared error of the probabilities: 0 is best.",
        r"Brier score",
    ),
    Term(
        "calibration",
        "Whether probabilities can be taken at their word: of clips that are given 80 %, about 80 "
        "in 100 should be of that condition.",
        r"calibrat(?:ion|ed)",
    ),
    Term(
        "features",
        "The list of numbers that a backbone makes of a face. What is alike has alike features.",
        r"features",
    ),
    Term("face crop", "The part of a frame that shows the face, cut out.", r"face crops?"),
    Term(
        "chance",
        "What is reached without looking: by guessing, or by always giving the same answer.",
        r"(?:by|from|than|above|below) chance",
    ),
)
"""All words there are, the hardest first: where a page uses more, it explains the first."""

_TAG = re.compile(r"(<!--.*?-->|<[^>]*>)", re.DOTALL)
_SILENT_CLASS = re.compile('class="(?:methods|settings)"')
_SILENT = ("head", "style", "pre", "code", "a", "summary", "h1", "h2", "h3", "svg", "script")


def explain_words(page: str) -> str:
    """Return a page whose hard words lead to what they mean, which stands at its end.

    Headings, code, settings and the methods paragraph are left as they are.
    """
    if PLACE not in page:
        return page
    pieces = _TAG.split(page)
    seen = _list_texts(pieces)
    used = [term for term in TERMS if any(_find(term, pieces[at]) for at in seen)][:MOST_WORDS]
    open_terms = {term.anchor: term for term in used}
    for at in seen:
        pieces[at] = _link(pieces[at], open_terms)
    return "".join(pieces).replace(PLACE, _write_list(used))


def _list_texts(pieces: list[str]) -> list[int]:
    """Return the places of the texts that a reader sees in passing."""
    places: list[int] = []
    silent: list[str] = []
    for at, piece in enumerate(pieces):
        name = re.match(r"</?(\w+)", piece) if at % 2 else None
        if name is None:
            if not at % 2 and not silent and piece.strip():
                places.append(at)
        elif silent:
            if name[1] == silent[0]:
                silent = silent[:-1] if piece.startswith("</") else [*silent, silent[0]]
        elif name[1] in _SILENT or _SILENT_CLASS.search(piece):
            silent = [name[1]]
    return places


def _find(term: Term, text: str) -> re.Match[str] | None:
    return re.search(rf"\b(?:{term.pattern})(?!\w)", text, re.IGNORECASE)


def _link(text: str, terms: dict[str, Term]) -> str:
    """Return a text with a link at the first use of each term, which leaves `terms` with that."""
    hits = [(_find(term, text), term) for term in terms.values()]
    found = [(hit.start(), hit.end(), term) for hit, term in hits if hit]
    end = len(text)
    for first, last, term in sorted(found, key=lambda each: each[0], reverse=True):
        if last <= end:
            link = f'<a class="word" href="#{term.anchor}">{text[first:last]}</a>'
            text, end = text[:first] + link + text[last:], first
            del terms[term.anchor]
    return text


def _write_list(used: list[Term]) -> str:
    items = "\n".join(
        f'<dt id="{term.anchor}">{escape(term.name)}</dt><dd>{escape(term.meaning)}</dd>'
        for term in sorted(used, key=lambda each: each.name.lower())
    )
    return f'<section id="words">\n<h2>Words</h2>\n<dl class="words">\n{items}\n</dl>\n</section>'
