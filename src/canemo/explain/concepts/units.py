"""What is found of each unit: is it decoded on unseen subjects, and does the condition lean on it.

References
----------
Holm (1979), A simple sequentially rejective multiple test procedure, Scand J Stat 6, 65-70.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from canemo.explain.concepts.coding import SHOWN, UNKNOWN
from canemo.explain.concepts.directions import (
    ConditionProbe,
    correlate_within,
    iter_moved_conditions,
    measure_remaining,
    measure_sensitivity,
    measure_steps,
    move_labels,
)
from canemo.explain.concepts.moves import move_coding
from canemo.explain.concepts.probes import (
    Learned,
    Probing,
    Rows,
    average_within,
    iter_chunks,
    learn_directions,
    learn_group,
    measure_within,
    score_frames,
    sum_codings,
    weigh_frames,
)
from canemo.learn.lda_algebra import Mask
from canemo.learn.predictions import Array, Predictions
from canemo.parallel import Progress, silent
from canemo.trust.chance import Chance
from canemo.trust.intervals import LEVEL, bound_mean, compute_intervals
from canemo.trust.pairs import adjust_holm
from canemo.trust.scores import measure_areas
from canemo.trust.summaries import finite_or_none

MIN_SUBJECTS = 3
"""Tested subjects that show both states of a unit, below which nothing is claimed of it."""

MIN_FRAMES = 10
"""Frames of either state, below which nothing is claimed."""

_ROUNDING = 1e-9


@dataclass(frozen=True)
class Draws:
    """How much is drawn: codings and labellings moved, subjects resampled; and the seed."""

    permutations: int = 1000
    resamples: int = 2000
    seed: int = 0


@dataclass(frozen=True)
class Unit:
    """One unit as it is decoded.

    Attributes
    ----------
    name
        Its code.
    rows, shown
        (M,) the crops that coders agree on, and whether they show it.
    scores
        (M,) by probes that have not seen the subject; not a number where none was tested.
    found
        What is said of it, see `examine_units`.
    """

    name: str
    rows: Rows
    shown: Mask
    scores: Array
    found: dict[str, Any]


def examine_units(
    probing: Probing,
    condition: ConditionProbe,
    settled: Mapping[str, NDArray[np.int8]],
    *,
    draws: Draws,
    progress: Progress = silent,
) -> list[Unit]:
    """Decode each unit on unseen subjects and lay its direction beside the condition's.

    Parameters
    ----------
    probing, condition
        N crops with their folds, and the probe of the condition.
    settled
        Unit -> (N,) what its coders agree on, see `Coding.settle`.
    draws
        How many codings and labellings are moved, and subjects resampled.
    progress
        Told how many units are done.

    Returns
    -------
    list of Unit
        `found` holds ``frames``, ``shown``, ``subjects`` (coded, and that show both states), the
        mean AUROC ``within`` subjects with its ``interval``, its ``permutation``, the AUROC of the
        frames of all subjects ``pooled``, ``direction``, and two verdicts with the reason where one
        cannot be given; p values are corrected (Holm) over the units that were tested.

    Notes
    -----
    The claim is made of the AUROC within subjects. Where subjects differ in how often they show a
    unit and in how they look, the pooled AUROC is above 0.5 for codings that were moved too.
    """
    units = []
    for done, (name, codes) in enumerate(settled.items()):
        progress("concepts", done, len(settled))
        units.append(_examine_unit(probing, condition, name, codes, draws=draws))
    progress("concepts", len(settled), len(settled))
    _judge_decoding(units)
    decoded = [unit for unit in units if unit.found["verdict"] == "decodable"]
    _test_labels(probing, condition, decoded, draws=draws)
    _judge_directions(units)
    return units


def _examine_unit(
    probing: Probing, condition: ConditionProbe, name: str, codes: NDArray[np.int8], *, draws: Draws
) -> Unit:
    rows = np.flatnonzero(codes != UNKNOWN)
    shown = codes[rows] == SHOWN
    tested = np.isin(probing.subject[rows], np.concatenate([fold.test for fold in probing.folds]))
    found = _count(probing, rows[tested], shown[tested])
    found["reason"] = _find_obstacle(found)
    if found["reason"] is not None:
        return Unit(name, rows, shown, np.full(len(rows), np.nan), found)
    origin = probing.material.origin.iloc[rows]
    moves = move_coding(shown, origin, number=draws.permutations, seed=draws.seed)
    observed, scores = _measure(probing, condition, rows, shown[None])
    unit = Unit(name, rows, shown, scores[0], found)
    chance = Chance(
        {measure: float(values[0]) for measure, values in observed.items()},
        _measure_moved(probing, condition, rows, moves.codings),
        moves.exact,
    )
    found |= _describe_decoding(probing, unit, chance, draws=draws)
    found["permutation"]["moved"] = moves.kind
    found["direction"] = _describe_direction(condition, chance)
    return unit


def _count(probing: Probing, rows: Rows, shown: Mask) -> dict[str, Any]:
    """Return how much there is of a unit among the coded frames of tested subjects."""
    subject = probing.subject[rows]
    states = {(int(each), bool(state)) for each, state in zip(subject, shown, strict=True)}
    both = sum((each, True) in states and (each, False) in states for each in np.unique(subject))
    return {
        "frames": len(rows),
        "shown": int(shown.sum()),
        "prevalence": finite_or_none(float(shown.mean())) if len(rows) else None,
        "clips": len(np.unique(probing.clip[rows])),
        "subjects": {"coded": len(np.unique(subject)), "both_states": both},
    }


def _find_obstacle(found: Mapping[str, Any]) -> str | None:
    """Return why a unit cannot be judged, with the numbers; None where it can."""
    subjects, shown = found["subjects"]["both_states"], found["shown"]
    if subjects < MIN_SUBJECTS:
        return (
            f"{subjects} tested {{noun}}(s) show it in some coded frames and not in others; at "
            f"least {MIN_SUBJECTS} are needed"
        )
    least = min(shown, found["frames"] - shown)
    if least < MIN_FRAMES:
        return (
            f"{shown} of {found['frames']} frames show it; at least {MIN_FRAMES} must and must not"
        )
    return None


def _measure(
    probing: Probing, condition: ConditionProbe, rows: Rows, codings: Mask
) -> tuple[dict[str, Array], Array]:
    """Return what is measured of R codings, (R,) each, and their scores (R, M)."""
    sums = sum_codings(probing, rows, codings)
    learned = learn_directions(probing, sums)
    scores = score_frames(probing, rows, learned)
    known = np.isfinite(scores[0])
    subject = probing.subject[rows]
    remaining = measure_remaining(probing, condition, learned)
    everyone = learn_group(probing, sums, probing.everyone)
    weight = weigh_frames(probing, rows)
    return {
        "auroc": measure_areas(scores[:, known], codings[:, known]),
        "within": average_within(scores[:, known], codings[:, known], subject[known]),
        "correlation": correlate_within(scores, condition.scores[rows], subject, weight),
        "sensitivity": measure_sensitivity(probing, condition, rows, everyone),
        "remaining_auroc": remaining.auroc,
        "remaining_balanced_accuracy": remaining.balanced_accuracy,
    }, scores


def _measure_moved(
    probing: Probing, condition: ConditionProbe, rows: Rows, codings: Mask
) -> dict[str, Array]:
    """Return what is measured of R codings, some at a time, (R,) each."""
    parts: dict[str, list[Array]] = defaultdict(list)
    for some in iter_chunks(probing, codings):
        for name, values in _measure(probing, condition, rows, some)[0].items():
            parts[name].append(values)
    return {name: np.concatenate(values) for name, values in parts.items()}


def _describe_decoding(
    probing: Probing, unit: Unit, chance: Chance, *, draws: Draws
) -> dict[str, Any]:
    known = np.isfinite(unit.scores)
    scores, shown = unit.scores[known], unit.shown[known]
    subject = probing.subject[unit.rows][known]
    within = measure_within(scores[None], shown[None], subject)[0]
    within = within[np.isfinite(within)]
    ends = bound_mean(within)
    return {
        "within": {
            "auroc": chance.know("within"),
            "interval": None if ends is None else [max(ends[0], 0.0), min(ends[1], 1.0)],
            "subjects": len(within),
        },
        "permutation": {
            "p": chance.compute_p("within"),
            "n": len(chance.null["within"]),
            "exact": chance.exact,
            **chance.describe_null("within"),
        },
        "pooled": {
            "auroc": chance.know("auroc"),
            "interval": _bound_area(scores, shown, subject, draws=draws),
            "p": chance.compute_p("auroc"),
            **chance.describe_null("auroc"),
        },
    }


def _bound_area(scores: Array, shown: Mask, subject: Rows, *, draws: Draws) -> list[float] | None:
    """Return the 95 % interval of the AUROC from resampling subjects."""
    second = expit((scores - scores.mean()) / max(scores.std(), _ROUNDING))
    probability = np.stack([1 - second, second], axis=1)
    predictions = Predictions(
        shown.astype(np.int64), probability, subject.astype(object), ("absent", "shown")
    )
    ends = compute_intervals(predictions, resamples=draws.resamples, seed=draws.seed)["auroc"]
    return None if ends is None else list(ends)


def _describe_direction(condition: ConditionProbe, chance: Chance) -> dict[str, Any]:
    """Return how the unit's direction lies to the condition's, against codings moved."""
    described: dict[str, Any] = {"label": condition.label, "logit_spread": condition.logit_spread}
    for name in ("correlation", "sensitivity"):
        described[name] = {
            "value": chance.know(name),
            "null": chance.bound_null(name),
            "p": chance.compute_p_both_ways(name),
        }
    whole = {
        "auroc": condition.whole.auroc,
        "balanced_accuracy": condition.whole.balanced_accuracy,
    }
    described["removal"] = {
        measure: {
            "whole": finite_or_none(float(values[0])),
            "left": chance.know(f"remaining_{measure}"),
            "null": chance.bound_null(f"remaining_{measure}"),
            "p": chance.compute_p(f"remaining_{measure}", low=True),
        }
        for measure, values in whole.items()
    }
    return described


def _test_labels(
    probing: Probing, condition: ConditionProbe, units: Sequence[Unit], *, draws: Draws
) -> None:
    """Add to each unit's direction what labels that are moved instead give, and the p of that."""
    if not units:
        return
    labellings, exact = move_labels(probing, condition, number=draws.permutations, seed=draws.seed)
    own = {unit.name: _learn_unit(probing, unit) for unit in units}
    parts: dict[str, list[Array]] = defaultdict(list)
    steps: dict[str, list[Array]] = defaultdict(list)
    for scores, everyone in iter_moved_conditions(probing, labellings):
        for unit in units:
            parts[unit.name].append(_correlate(probing, unit, scores))
            steps[unit.name].append(measure_steps(probing, everyone, unit.rows, own[unit.name]))
    for unit in units:
        direction = unit.found["direction"]
        step = float(measure_steps(probing, condition.everyone, unit.rows, own[unit.name])[0])
        chance = Chance(
            {"correlation": _read(direction["correlation"]["value"]), "sensitivity": step},
            {
                "correlation": np.concatenate(parts[unit.name]),
                "sensitivity": np.concatenate(steps[unit.name]),
            },
            exact,
        )
        direction["correlation"]["null_labels"] = chance.bound_null("correlation")
        for name in ("correlation", "sensitivity"):
            direction[name]["p_labels"] = chance.compute_p_both_ways(name)


def _learn_unit(probing: Probing, unit: Unit) -> Learned:
    return learn_group(probing, sum_codings(probing, unit.rows, unit.shown[None]), probing.everyone)


def _read(value: float | None) -> float:
    return np.nan if value is None else value


def _correlate(probing: Probing, unit: Unit, scores: Array) -> Array:
    """Return the correlation of a unit's scores, (M,), with others of all crops, (R, N)."""
    weight = weigh_frames(probing, unit.rows)
    own = np.broadcast_to(unit.scores, (len(scores), len(unit.rows)))
    return correlate_within(own, scores[:, unit.rows], probing.subject[unit.rows], weight)


def _judge_decoding(units: Iterable[Unit]) -> None:
    """Set the corrected p and the verdict of each unit: decodable, not shown, or too few."""
    tested = [
        unit.found
        for unit in units
        if unit.found["reason"] is None and unit.found["permutation"]["p"] is not None
    ]
    corrected = adjust_holm([found["permutation"]["p"] for found in tested])
    for found, p in zip(tested, corrected, strict=True):
        found["permutation"]["p_holm"] = p
    for unit in units:
        unit.found["verdict"] = _name_decoding(unit.found)


def _name_decoding(found: Mapping[str, Any]) -> str:
    if found["reason"] is not None:
        return "too few"
    p, interval = found["permutation"].get("p_holm"), found["within"]["interval"]
    clear = p is not None and p <= LEVEL and interval is not None and interval[0] > 0.5
    return "decodable" if clear else "not shown"


def _judge_directions(units: Sequence[Unit]) -> None:
    """Set whether the condition leans on a unit: aligned, not shown, not asked, cannot be asked.

    Both the coding and the labels must have been moved without reaching the correlation; of the two
    p the greater is corrected over the units that can be decoded.
    """
    asked = []
    for unit in units:
        unit.found.update(direction_verdict="not asked", direction_reason=None)
        if unit.found["verdict"] == "decodable":
            correlation = unit.found["direction"]["correlation"]
            p_values = [correlation["p"], correlation["p_labels"]]
            if None in p_values:
                unit.found["direction_verdict"] = "cannot be asked"
                unit.found["direction_reason"] = _find_hindrance(correlation)
                continue
            unit.found["direction_verdict"] = "not shown"
            correlation["p_greater"] = max(p_values)
            asked.append(unit.found)
    corrected = adjust_holm([found["direction"]["correlation"]["p_greater"] for found in asked])
    for found, p in zip(asked, corrected, strict=True):
        found["direction"]["correlation"]["p_holm"] = p
        if p <= LEVEL:
            found["direction_verdict"] = "aligned"


def _find_hindrance(correlation: Mapping[str, Any]) -> str:
    """Return why nothing can be asked of a correlation that has no p."""
    if correlation["value"] is None:
        return "the scores of unit or condition do not vary within {plural}"
    return "no {noun} has clips of both conditions, so that no label can be moved within {plural}"
