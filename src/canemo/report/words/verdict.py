"""The one sentence that says whether a result can be told from chance, and what it rests on."""

from __future__ import annotations

from collections.abc import Sequence

from canemo.report.words.wording import (
    count,
    format_measure,
    format_p,
    format_percent,
    join_ends,
    join_words,
    name_in_text,
    quote,
    warn_of_drawings,
)
from canemo.study.records.model import Standing
from canemo.study.records.run import RunMetrics
from canemo.study.records.scores import Favourite
from canemo.trust.standing import (
    Comparison,
    compare_with_chance,
    fails_permutation,
    find_obstacle,
    judge_run,
    select_tested,
)

NOTHING = "Nothing can be concluded about the condition: "
_OPENING_WORDS = {"All", "An", "Each", "Every", "In", "No", "Only", "The", "This", "With", "Within"}


def write_first_sentence(metrics: RunMetrics) -> str:
    """Return the result on clips in one plain sentence that never claims more than it may."""
    standing, conclusion = judge_run(metrics), conclude(metrics)
    accuracy = _state_accuracy(metrics, compare_with_chance(metrics)[0])
    if standing in (Standing.ABOVE, Standing.VOID):
        accuracy = accuracy[0].upper() + accuracy[1:]
    joint = ". " if standing is Standing.VOID else ": "
    opening = conclusion and f"{conclusion}{joint}"
    return warn_of_drawings(drawn=metrics.study.drawn) + opening + accuracy


def conclude(metrics: RunMetrics) -> str:
    """Return what keeps the result from being read, without a full stop; empty if nothing does."""
    return {
        Standing.ABOVE: "",
        Standing.VOID: f"{NOTHING}{continue_sentence(find_obstacle(metrics))}",
        Standing.UNCLEAR: "This result cannot be told from chance",
        Standing.MIXED: "This result is above chance by one measure and below it by another",
        Standing.BELOW: "This result is worse than chance",
    }[judge_run(metrics)]


def explain_verdict(metrics: RunMetrics) -> str:
    """Return what keeps the result from standing above chance; empty if nothing does.

    That is which measures on clips are above chance and which are not and, where the permutation
    test is what speaks against it, what this study could have shown.
    """
    standing = judge_run(metrics)
    if standing in (Standing.ABOVE, Standing.VOID):
        return ""
    parts = []
    if metrics.levels.video.confusion.favourite is None:
        parts.append(_explain_intervals(select_tested(compare_with_chance(metrics))))
    if fails_permutation(metrics.permutation):
        parts += [_explain_p(metrics), describe_detectable(metrics)]
    return " ".join(filter(None, parts))


def describe_detectable(metrics: RunMetrics) -> str:
    """Return what this study could have told from chance, or why that is not known."""
    least, reason = metrics.detectable.balanced_accuracy, metrics.detectable.reason
    if least is None:
        return (
            "No balanced accuracy can be named that this study would have told from chance: "
            f"{(reason or '').rstrip('.')}."
        )
    often = describe_power(metrics.detectable.power)
    return (
        f"A balanced accuracy of about {format_percent(least, decimals=0)} or more would have been "
        f"told from chance in {often} such studies (from this run’s own answers; to plan a study "
        "use the number of canemo check)."
    )


def describe_power(power: float) -> str:
    """Return how often an effect would be found, as it stands before "such studies"."""
    return "four of five" if abs(power - 0.8) < 1e-9 else f"{100 * power:g} % of"


def _explain_p(metrics: RunMetrics) -> str:
    if metrics.permutation.p is None:
        return "No permutation test says how often moved labels would do as well."
    return (
        "With the labels of whole clips moved within each dog, a probe does as well or better in "
        f"{format_percent(metrics.permutation.p)} of cases: too often to speak of more than chance."
    )


def _explain_intervals(tested: Sequence[Comparison]) -> str:
    kinds = {
        "could not be computed for": [item for item in tested if item.interval is None],
        "includes chance for": _select(tested, Standing.UNCLEAR),
        "lies below chance for": _select(tested, Standing.BELOW),
        "lies above chance for": _select(tested, Standing.ABOVE),
    }
    facts = [f"{verb} {_list_measures(items)}" for verb, items in kinds.items() if items]
    return f"The 95 % interval {join_words(facts)}."


def describe_coverage(metrics: RunMetrics) -> str:
    """Return how much of the study the result rests on; empty where it is all of it."""
    study, clips, dogs = metrics.study, metrics.levels.video.n, len(metrics.subjects)
    if clips == study.videos and dogs == study.subjects:
        return ""
    return (
        f"The result rests on {clips:,} of {count(study.videos, 'clip')} and {dogs} of "
        f"{count(study.subjects, 'dog')}; the others gave no usable face crop or were not "
        "tested."
    )


def continue_sentence(text: str) -> str:
    """Return a sentence so that it can stand after `NOTHING`, which it may have said already."""
    text = text.strip().rstrip(".")
    if text.casefold().startswith(NOTHING.casefold()):
        text = text[len(NOTHING) :]
    first = text.partition(" ")[0]
    return text[0].lower() + text[1:] if first in _OPENING_WORDS else text


def _state_accuracy(metrics: RunMetrics, accuracy: Comparison) -> str:
    decimals = choose_decimals(accuracy)
    low_high = "no interval could be computed"
    if accuracy.interval is not None:
        ends = join_ends(*(format_percent(end, decimals=decimals) for end in accuracy.interval))
        low_high = f"95 % interval {ends}, resampling dogs"
    same = describe_favourite(metrics.levels.video.confusion.favourite)
    if same:
        low_high, same = "its 95 % interval says nothing then", f"{same}, and "
    tested = _state_p(metrics)
    value = format_percent(accuracy.value, decimals=decimals)
    label = quote(metrics.chance.majority.label)
    chance = format_percent(accuracy.chance, decimals=decimals)
    return (
        f"on dogs it had never seen, canemo {same}classified {value} of clips into the condition "
        f"they were filmed in ({low_high}{tested}); always answering {label} would give {chance}."
    )


def explain_favourite(favourite: Favourite | None) -> str:
    """Return why intervals say nothing where nearly all answers are the same; empty elsewhere."""
    same = describe_favourite(favourite)
    return same and (
        f"The model {same}. The intervals of accuracy and balanced accuracy say nothing then, "
        "however narrow: they show how often the dogs were filmed in that condition, not how "
        "sure the result is."
    )


def describe_favourite(favourite: Favourite | None) -> str:
    """Return that nearly all clips got the same answer, to stand after who gave it; else empty."""
    if favourite is None:
        return ""
    given, clips = favourite.answers, favourite.clips
    most = f"all {clips:,}" if given == clips else f"{given:,} of {clips:,}"
    return f"gave {most} clips the same answer, {quote(favourite.label)}"


def _state_p(metrics: RunMetrics) -> str:
    """Return p, and whose it is where it was not the run's own method that was permuted."""
    permutation = metrics.permutation
    if permutation.p is None:
        return ""
    whose = "" if permutation.is_own else " of the closed-form discriminant"
    return f"; permutation {format_p(permutation.p)}{whose}"


def choose_decimals(accuracy: Comparison) -> int:
    """Return 1 where whole percents would hide on which side of chance an end lies."""
    ends = (accuracy.value, *(accuracy.interval or ()))
    chance = format_percent(accuracy.chance, decimals=0)
    return int(any(format_percent(end, decimals=0) == chance for end in ends))


def _select(comparisons: Sequence[Comparison], standing: Standing) -> list[Comparison]:
    return [item for item in comparisons if item.interval and item.standing is standing]


def _list_measures(comparisons: Sequence[Comparison]) -> str:
    """Return the measures with the value of chance, ``"accuracy (66.0 %) and AUROC (0.500)"``."""
    facts = [(item.measure, format_measure(item.measure, item.chance)) for item in comparisons]
    return join_words([f"{name_in_text(measure)} ({chance})" for measure, chance in facts])
