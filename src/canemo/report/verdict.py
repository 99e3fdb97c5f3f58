"""Whether a result can be told from chance, and the one sentence that says so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from canemo.report.wording import (
    MEASURES,
    count,
    format_measure,
    format_percent,
    is_missing,
    join_words,
    name_in_text,
    quote,
)


class Standing(StrEnum):
    """Where an interval, or a whole result, lies with respect to chance."""

    ABOVE = "above"
    UNCLEAR = "unclear"
    MIXED = "mixed"
    BELOW = "below"


@dataclass(frozen=True)
class Comparison:
    """One measure beside what a classifier that always gives the same answer would reach."""

    measure: str
    value: float | None
    interval: tuple[float, float] | None
    chance: float

    @property
    def standing(self) -> Standing:
        """`ABOVE` or `BELOW` where the whole interval is; `UNCLEAR` where it includes chance."""
        if self.interval is None:
            return Standing.UNCLEAR
        low, high = self.interval
        if low > self.chance:
            return Standing.ABOVE
        return Standing.BELOW if high < self.chance else Standing.UNCLEAR


def compare_with_chance(metrics: Mapping[str, Any], level: str = "video") -> list[Comparison]:
    """Set the measures of one level beside the answer "always the most frequent label".

    Parameters
    ----------
    metrics
        The content of ``metrics.json``.
    level
        ``"video"`` or ``"frame"``.

    Returns
    -------
    list of Comparison
        In the order of `MEASURES`; AUROC is left out where it was not computed.
    """
    numbers = metrics["levels"][level]
    n_labels = len(numbers["confusion"]["labels"])
    share = metrics["chance"]["majority"][level]
    chance = {
        "accuracy": share,
        "balanced_accuracy": 1 / n_labels,
        # the constant answer has F1 = 2 share / (1 + share) for its own label, 0 for the others
        "macro_f1": 2 * share / (1 + share) / n_labels,
        "auroc": 0.5,
    }
    return [
        Comparison(name, numbers[name], _read_interval(numbers, name), chance[name])
        for name in MEASURES
        if not is_missing(numbers[name])
    ]


def judge(comparisons: Sequence[Comparison]) -> Standing:
    """Return the standing of the whole result: above chance only if every tested measure is.

    Notes
    -----
    Accuracy, balanced accuracy and AUROC are tested. Macro F1 is not: its value for guessing at
    random is above its value for a constant answer.
    """
    standings = {item.standing for item in _tested(comparisons)}
    if Standing.UNCLEAR in standings or not standings:
        return Standing.UNCLEAR
    return Standing.MIXED if len(standings) > 1 else standings.pop()


def write_first_sentence(metrics: Mapping[str, Any]) -> str:
    """Return the result on clips in one plain sentence that never claims more than it may."""
    openings = {
        Standing.ABOVE: "",
        Standing.UNCLEAR: "This result cannot be told from chance: ",
        Standing.MIXED: "This result is above chance by one measure and below it by another: ",
        Standing.BELOW: "This result is worse than chance: ",
    }
    comparisons = compare_with_chance(metrics)
    opening = openings[judge(comparisons)]
    sentence = opening + _state_accuracy(metrics, comparisons[0])
    return sentence[0].upper() + sentence[1:]


def explain_verdict(metrics: Mapping[str, Any]) -> str:
    """Return which measures on clips are above chance and which are not; empty if all are above."""
    tested = _tested(compare_with_chance(metrics))
    if judge(tested) is Standing.ABOVE:
        return ""
    kinds = {
        "could not be computed for": [item for item in tested if item.interval is None],
        "includes chance for": _select(tested, Standing.UNCLEAR),
        "lies below chance for": _select(tested, Standing.BELOW),
        "lies above chance for": _select(tested, Standing.ABOVE),
    }
    facts = [f"{verb} {_list_measures(items)}" for verb, items in kinds.items() if items]
    return f"The 95 % interval {join_words(facts)}."


def describe_coverage(metrics: Mapping[str, Any]) -> str:
    """Return how much of the study the result rests on; empty where it is all of it."""
    study, clips, dogs = metrics["study"], metrics["levels"]["video"]["n"], len(metrics["subjects"])
    if clips == study["videos"] and dogs == study["subjects"]:
        return ""
    return (
        f"The result rests on {clips:,} of {count(study['videos'], 'clip')} and {dogs} of "
        f"{count(study['subjects'], 'dog')}; the others gave no usable face crop or were not "
        "tested."
    )


def _tested(comparisons: Sequence[Comparison]) -> list[Comparison]:
    return [item for item in comparisons if item.measure != "macro_f1"]


def _read_interval(numbers: Mapping[str, Any], measure: str) -> tuple[float, float] | None:
    ends = (numbers.get("interval") or {}).get(measure)
    if ends is None or any(is_missing(end) for end in ends):
        return None
    return (float(ends[0]), float(ends[1]))


def _state_accuracy(metrics: Mapping[str, Any], accuracy: Comparison) -> str:
    decimals = _choose_decimals(accuracy)
    low_high = "no interval could be computed"
    if accuracy.interval is not None:
        low, high = (format_percent(end, decimals=decimals) for end in accuracy.interval)
        low_high = f"95 % interval {low.removesuffix(' %')} to {high}, resampling dogs"
    value = format_percent(accuracy.value, decimals=decimals)
    label = quote(str(metrics["chance"]["majority"]["label"]))
    chance = format_percent(accuracy.chance, decimals=decimals)
    return (
        f"on dogs it had never seen, canemo classified {value} of clips into the condition they "
        f"were filmed in ({low_high}); always answering {label} would give {chance}."
    )


def _choose_decimals(accuracy: Comparison) -> int:
    """Return 1 where whole percents would hide on which side of chance an end lies."""
    ends = (accuracy.value, *(accuracy.interval or ()))
    chance = format_percent(accuracy.chance, decimals=0)
    return int(any(format_percent(end, decimals=0) == chance for end in ends))


def _select(comparisons: Sequence[Comparison], standing: Standing) -> list[Comparison]:
    return [item for item in comparisons if item.interval and item.standing is standing]


def _list_measures(comparisons: Sequence[Comparison]) -> str:
    """Return the measures with the value of chance, ``"accuracy (66.0 %) and AUROC (0.500)"``."""
    return join_words(
        [
            f"{name_in_text(item.measure)} ({format_measure(item.measure, item.chance)})"
            for item in comparisons
        ]
    )
