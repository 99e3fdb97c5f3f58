"""How far the result can be trusted: what each check on it says, in a line and in full."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from canemo.report.words.verdict import describe_detectable, describe_power
from canemo.report.words.wording import (
    format_interval,
    format_measure,
    format_p,
    format_percent,
    group_digits,
    join_words,
    name_in_text,
)
from canemo.study.records.model import Standing
from canemo.study.records.run import MetadataScores, Permutation, Reached, RunMetrics
from canemo.trust.metadata import describe_columns
from canemo.trust.standing import judge_run

SHOWN_COLUMNS = 3


@dataclass(frozen=True)
class Fact:
    """One check: what it is called, a short line for the terminal, the full text for the report.

    `line` is empty where the terminal does not show it.
    """

    title: str
    line: str
    text: str


def list_facts(metrics: RunMetrics) -> list[Fact]:
    """Return the checks that the run has made; those it lacks are left out."""
    facts = [
        _describe_permutation(metrics),
        _describe_metadata(metrics),
        _describe_detectable(metrics),
        _describe_calibration(metrics),
        _describe_abstention(metrics),
        _describe_learning_curve(metrics),
    ]
    return [fact for fact in facts if fact is not None]


def name_columns(columns: Sequence[str], *, shown: int | None = None) -> str:
    """Return the columns that a probe on metadata read, in words; the first `shown` of them."""
    names = describe_columns(columns)
    left = 0 if shown is None else len(names) - shown
    return join_words([*names[:shown], f"{left} more"] if left > 1 else names)


def describe_probe(metrics: RunMetrics) -> str:
    """Return whose labels were permuted where it was not the run's own method; else empty."""
    permutation = metrics.permutation
    if permutation.is_own:
        return ""
    observed = format_measure(permutation.statistic, permutation.observed)
    return (
        "The method of this run cannot be refitted so often: what was permuted is the closed-form "
        "discriminant on the same features and folds. Its own "
        f"{name_in_text(permutation.statistic)} is {observed}, and p belongs to that."
    )


def _describe_permutation(metrics: RunMetrics) -> Fact:
    permutation, title = metrics.permutation, "Permutation test"
    if permutation.p is None:
        reason = (permutation.reason or "it could not be computed").rstrip(".")
        return Fact(title, f"no p: {reason}", f"There is no p value: {reason}.")
    line, text = _shorten_permutation(permutation), _spell_out_permutation(permutation, metrics)
    return Fact(title, line, text)


def _shorten_permutation(permutation: Permutation) -> str:
    name = permutation.statistic
    whose = "" if permutation.is_own else " of the closed-form discriminant"
    return (
        f"{format_p(permutation.p)}, the share of tries with labels moved within dogs that do as "
        f"well; {name_in_text(name)}{whose} {format_measure(name, permutation.observed)}, with "
        f"labels moved {format_measure(name, permutation.null_mean)} on average"
    )


def _spell_out_permutation(permutation: Permutation, metrics: RunMetrics) -> str:
    name = permutation.statistic
    model = "the model" if permutation.is_own else "a discriminant"
    ways = group_digits(permutation.n)
    how = f"in all {ways} ways there are" if permutation.exact else f"{ways} times at random"
    others = [
        f"{name_in_text(measure)} {format_p(p, name='')}"
        for measure, p in permutation.p_by_measure
        if measure != name and p is not None
    ]
    also = f" (by {join_words(others)})" if others else ""
    text = (
        f"The labels of whole clips were moved within each dog, {how}, and {model} was learned "
        f"anew each time, with all its choices. The {name_in_text(name)} was then "
        f"{format_measure(name, permutation.null_mean)} on average and, in one of twenty, "
        f"above {format_measure(name, permutation.null_high)}; with the labels as they are "
        f"it is {format_measure(name, permutation.observed)}: "
        f"{format_p(permutation.p)}{also}."
    )
    return f"{text} {describe_probe(metrics)}".strip()


def _describe_metadata(metrics: RunMetrics) -> Fact | None:
    metadata = metrics.chance.metadata
    if metadata is None or metadata.balanced_accuracy is None:
        return None
    few = name_columns(metadata.columns, shown=SHOWN_COLUMNS)
    reached = format_measure("balanced_accuracy", metadata.balanced_accuracy)
    ends = format_interval("balanced_accuracy", metadata.interval.balanced_accuracy)
    text = (
        f"A probe that sees {name_columns(metadata.columns)} and nothing else of the picture "
        f"reaches a balanced accuracy of {reached} (95 % interval {ends}), on the same dogs. "
        f"{_judge_metadata(metrics, metadata)}"
    )
    line = f"balanced accuracy {reached} ({ends}) without the picture, from {few}"
    return Fact("Metadata alone", line, text)


def _judge_metadata(metrics: RunMetrics, metadata: MetadataScores) -> str:
    own, reached = metrics.levels.video.balanced_accuracy, metadata.balanced_accuracy
    interval = metadata.interval.balanced_accuracy
    if own is not None and reached is not None and reached >= own:
        ends = metrics.levels.video.interval.balanced_accuracy
        apart = ends is not None and interval is not None and ends[1] < interval[0]
        return f"The face crops do {'worse' if apart else 'no better'} than that."
    if interval is not None and interval[0] > 1 / len(metrics.study.labels):
        return "That is above chance: what differs there may carry part of the result."
    return "It cannot be told from chance: there is no sign that these carry the result."


def _describe_detectable(metrics: RunMetrics) -> Fact:
    text, detectable = describe_detectable(metrics), metrics.detectable
    least = detectable.balanced_accuracy
    if least is None:
        return Fact("Could be found", f"not known: {(detectable.reason or '').rstrip('.')}", text)
    often = describe_power(detectable.power)
    line = f"a balanced accuracy of {format_percent(least, decimals=0)} or more, in {often} studies"
    return Fact("Could be found", line, text)


def _describe_calibration(metrics: RunMetrics) -> Fact:
    calibration, labels = metrics.calibration, len(metrics.study.labels)
    idle = 0.25 if labels == 2 else 1 - 1 / labels
    brier, ece = f"{calibration.brier:.3f}", f"{calibration.ece:.3f}"
    text = (
        "How far probabilities can be taken at their word: they are off by "
        f"{100 * calibration.ece:.0f} percentage points on average (expected calibration error "
        f"{ece}). Brier score {brier}, their mean squared error (0 is best; giving every condition "
        f"the same probability, {idle:.3f}); log loss {calibration.log_loss:.3f} (the same, "
        f"{math.log(labels):.3f})."
    )
    if calibration.balanced:
        text += " All conditions weigh the same here, as they do for the probe."
    line = (
        f"probabilities are off by {100 * calibration.ece:.0f} percentage points on average; mean "
        f"squared error (Brier score) {brier}, without any knowledge {idle:.3f}"
    )
    return Fact("Calibration", line, text)


def _describe_abstention(metrics: RunMetrics) -> Fact | None:
    """Return what abstaining does; nothing where a model with this result answers nothing."""
    if judge_run(metrics) is not Standing.ABOVE:
        return None
    abstention = metrics.abstention
    level, dogs = _percent(abstention.level), len(metrics.subjects)
    if not abstention.possible:
        text = (
            f"Missing the true condition in no more than {level} of clips of a new dog could not "
            f"be tested, each dog being judged by the {dogs - 1} others: canemo predict --abstain, "
            f"which judges a new dog by all {dogs}, promises levels from "
            f"{_percent(1 / (dogs + 1))} on."
        )
        return Fact("Abstention", "", text)
    text = (
        f"Where the true condition may be missed in no more than {level} of clips of a new dog, "
        f"the model answers for {format_percent(abstention.decided)} of clips, "
        f"{format_percent(abstention.accuracy_decided)} of these rightly, and leaves "
        f"{format_percent(abstention.undecided)} undecided."
    )
    return Fact("Abstention", "", text)


def _describe_learning_curve(metrics: RunMetrics) -> Fact | None:
    curve = metrics.learning_curve
    if curve is None:
        return None
    measure, further = curve.measure, curve.extrapolation.subjects
    now = max(point.subjects for point in curve.points)
    span = _format_gain(curve.gain)
    if curve.rising:
        line = f"still rising: {further} dogs instead of {now} would probably add {span}"
        text = (
            f"Still rising: more dogs would probably help. Learning from {further} instead of "
            f"{now} dogs would change the {name_in_text(measure)} by about {span}."
        )
    else:
        line = f"not clear whether more dogs of this kind would help ({span})"
        text = (
            "It is not clear whether more dogs of this kind would help: carried on from "
            f"{now} to {further} dogs, the curve would change the {name_in_text(measure)} by "
            f"{span}."
        )
    return Fact("Learning curve", line, f"{text} The form of the curve is an assumption.")


def _format_gain(gain: Reached) -> str:
    """Return the ends of a gain in balanced accuracy, ``"+1.2 to +4.5 percentage points"``."""
    ends = [end for end in (gain.low, gain.high) if end is not None] or [gain.score]
    return " to ".join(f"{100 * end:+.1f}" for end in ends) + " percentage points"


def _percent(share: float) -> str:
    """Return a share with as many decimals as it needs, one at most."""
    return format_percent(share).replace(".0 %", " %")
