"""How the report writes numbers and names things, the same in HTML, terminal and methods text."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from canemo.records import Fate

PAPER = (
    "Boneh-Shitrit T, Amir S, Bremhorst A, Mills DS, Riemer S, Fried D, Zamansky A (2022). "
    "Deep learning models for automated classification of dog emotional states from facial "
    "expressions. arXiv:2206.05619."
)
PAPER_URL = "https://arxiv.org/abs/2206.05619"

MEASURES = {
    "accuracy": "Accuracy",
    "balanced_accuracy": "Balanced accuracy",
    "macro_f1": "Macro F1",
    "auroc": "AUROC",
}

MEANINGS = {
    "accuracy": "share classified into the condition they were filmed in",
    "balanced_accuracy": "the same, each condition weighing as much as the others",
    "macro_f1": "harmonic mean of precision and recall, averaged over conditions",
    "auroc": "of two clips, one of a condition and one not, how often the first is given more of "
    "its probability; 0.5 by chance",
}
"""What each of `MEASURES` is."""

DRAWN = "The dogs of this study are drawn by a program: nothing here is about real dogs."

P_LEVEL = 0.05
"""A p above this cannot be told from chance."""

_INTERVALS = {
    "log-odds t": "bootstrap standard error with Student’s t, symmetric in the log-odds of a share",
}

_QUALITIES = {"score": "best detector score", "sharp": "highest sharpness"}

_FATES: Mapping[str, str] = {
    Fate.USED: "used",
    Fate.NO_FACE: "no face found",
    Fate.LOW_SCORE: "face too uncertain",
    Fate.TOO_SMALL: "face too small",
    Fate.OTHER_FACE: "another face, or what looked like one",
    Fate.DECODE_ERROR: "frame could not be decoded",
}


def describe_fate(fate: str) -> str:
    """Return what happened to a frame, in words; an unknown fate is spelled out."""
    return _FATES.get(fate, fate.replace("_", " "))


def describe_split(split: str, folds: int) -> str:
    """Return how dogs were split into training and test, in words."""
    kind, _, detail = split.partition(":")
    if kind == "kfold":
        return f"cross-validation by dog in {count(folds, 'round')}"
    number, _, how = detail.partition(":")
    if kind == "holdout" and number.isdigit():
        balance = ", drawn so that labels are shared out alike" if how == "balanced" else ""
        return f"{count(int(number), 'dog')} held out{balance}"
    names = {"loso": "leave one dog out", "file": "a saved split by dog"}
    return f"{names.get(kind, split)}, {count(folds, 'round')}"


def format_percent(share: float | None, *, decimals: int = 1) -> str:
    """Return a share of 0 to 1 as ``"83.1 %"``, or a dash where it is not known."""
    return "–" if is_missing(share) else f"{100 * float(share or 0):.{decimals}f} %"


def warn_of_drawings(*, drawn: bool) -> str:
    """Return, with a blank behind it, that a study's animals are drawn; empty where not."""
    return f"{DRAWN} " if drawn else ""


def name_in_text(measure: str) -> str:
    """Return the name of one of `MEASURES` as it stands inside a sentence."""
    name = MEASURES[measure]
    return name if name.isupper() else name[0].lower() + name[1:]


def format_measure(measure: str, value: float | None) -> str:
    """Return the value of one of `MEASURES` as it is customary: percent, or three decimals."""
    if is_missing(value):
        return "–"
    if measure in ("accuracy", "balanced_accuracy"):
        return format_percent(value)
    return f"{float(value or 0):.3f}"


def format_interval(measure: str, interval: Sequence[float] | None) -> str:
    """Return both ends of an interval, ``"75.0 to 90.2 %"``, or a dash where there is none."""
    if interval is None or any(is_missing(end) for end in interval):
        return "–"
    return join_ends(*(format_measure(measure, end) for end in interval))


def join_ends(low: str, high: str) -> str:
    """Return ``"75.0 to 90.2 %"`` for the ends of an interval, which may be the same number."""
    if low == high:
        return f"{high} throughout"
    return f"{low.removesuffix(' %')} to {high}"


def format_p(p: float | None, *, name: str = "p") -> str:
    """Return a p value as ``"p = 0.012"`` or ``"p < 0.001"``; without a name, ``"0.012"``.

    A fourth decimal is shown where three would hide on which side of 0.05 it lies.
    """
    if is_missing(p):
        return f"{name} –".strip()
    value = float(p or 0)
    if value < 0.0005:
        return f"{name} < 0.001".strip()
    text = f"{value:.3f}"
    if text == "0.050" and value > P_LEVEL:
        text = f"{value:.4f}"
    return f"{name} = {text}" if name else text


def describe_interval(kind: str) -> str:
    """Return how the ends of intervals were computed, in words."""
    return _INTERVALS.get(kind, kind)


def describe_frames(rule: str) -> str:
    """Return which frames of a clip counted, in words: ``"all"``, ``"even:8"``, ``"sharp:0.5"``."""
    kind, _, number = rule.partition(":")
    if kind == "even" and number.isdigit():
        return "the middle frame" if number == "1" else f"{number} evenly spaced frames"
    if kind in _QUALITIES:
        return f"the {100 * float(number):g} % of frames with the {_QUALITIES[kind]}"
    return "all frames" if rule == "all" else rule


def format_seconds(seconds: float) -> str:
    """Return a duration as ``"2 h 5 min"``, ``"3 min 20 s"`` or ``"4.2 s"``."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def count(number: int, noun: str) -> str:
    """Return number and noun, ``"1 dog"`` or ``"29 dogs"``, with thousands set apart."""
    return f"{group_digits(number)} {noun}{'' if number == 1 else 's'}"


def group_digits(number: int) -> str:
    """Return an integer with a comma between thousands."""
    return f"{number:,}"


def join_words(words: Sequence[str]) -> str:
    """Return ``"a, b and c"``."""
    *head, last = words or ("",)
    return f"{', '.join(head)} and {last}" if head else last


def join_units(text: str) -> str:
    """Return `text` with the space before each percent sign made one that no line breaks at."""
    return text.replace(" %", "\N{NO-BREAK SPACE}%")


def write_sentence(text: str) -> str:
    """Return `text` with a capital at its start and one full stop at its end."""
    text = text.strip().rstrip(".")
    return f"{text[:1].upper()}{text[1:]}."


def quote(label: str) -> str:
    """Return a label in the quotation marks that set it apart from the running text."""
    return f"“{label}”"


def is_missing(value: Any) -> bool:
    """Tell whether a number was not computed: None, or NaN as some JSON writers leave it."""
    return value is None or (isinstance(value, float) and math.isnan(value))
