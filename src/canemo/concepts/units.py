"""What is found of each unit: can it be decoded on unseen dogs, and does the condition lean on it.

References
----------
Phipson & Smyth (2010), Permutation p-values should never be zero, Stat Appl Genet Mol Biol 9.
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

from canemo.concepts.coding import SHOWN, UNKNOWN
from canemo.concepts.directions import (
    Emotion,
    correlate_within,
    iter_moved_emotions,
    measure_remaining,
    measure_sensitivity,
    move_labels,
)
from canemo.concepts.moves import Moves, move_coding
from canemo.concepts.probes import (
    Bench,
    Rows,
    average_within,
    bound_mean,
    iter_chunks,
    learn_directions,
    learn_group,
    measure_areas,
    measure_within,
    score_frames,
    sum_codings,
    weigh_frames,
)
from canemo.discriminant import Array, Mask
from canemo.evaluate import finite_or_none
from canemo.metrics import Predictions
from canemo.progress import Progress, silent
from canemo.stats import LEVEL, adjust_holm, compute_intervals

MIN_DOGS = 3
"""Tested dogs that show both states of a unit, below which nothing is claimed of it."""

MIN_FRAMES = 10
"""Frames of either state, below which nothing is claimed."""

_ROUNDING = 1e-9
_NULL_TAILS = (2.5, 97.5)


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
        (M,) by probes that have not seen the dog; not a number where none was tested.
    found
        What is said of it, see `examine_units`.
    """

    name: str
    rows: Rows
    shown: Mask
    scores: Array
    found: dict[str, Any]


def examine_units(
    bench: Bench,
    emotion: Emotion,
    settled: Mapping[str, NDArray[np.int8]],
    *,
    permutations: int = 1000,
    resamples: int = 2000,
    seed: int = 0,
    progress: Progress = silent,
) -> list[Unit]:
    """Decode each unit on unseen dogs and lay its direction beside the condition's.

    Parameters
    ----------
    bench, emotion
        N crops with their folds, and the probe of the condition.
    settled
        Unit -> (N,) what its coders agree on, see `Coding.settle`.
    permutations, resamples, seed
        Codings that are moved, of labellings likewise; resamples of dogs; what draws them.
    progress
        Told how many units are done.

    Returns
    -------
    list of Unit
        `found` holds ``frames``, ``shown``, ``subjects`` (coded, and that show both states), the
        mean AUROC ``within`` dogs with its ``interval``, its ``permutation``, the AUROC of the
        frames of all dogs ``pooled``, ``direction`` and two verdicts; p values are corrected (Holm)
        over the units that were tested.

    Notes
    -----
    The claim is made of the AUROC within dogs. Where dogs differ in how often they show a unit and
    in how they look, the pooled AUROC is above 0.5 for codings that were moved too.
    """
    units = []
    for done, (name, codes) in enumerate(settled.items()):
        progress("concepts", done, len(settled))
        unit = _examine_unit(
            bench, emotion, name, codes, permutations=permutations, resamples=resamples, seed=seed
        )
        units.append(unit)
    progress("concepts", len(settled), len(settled))
    _judge_decoding(units)
    decoded = [unit for unit in units if unit.found["verdict"] == "decodable"]
    _test_labels(bench, emotion, decoded, number=permutations, seed=seed)
    _judge_directions(units)
    return units


def _examine_unit(
    bench: Bench,
    emotion: Emotion,
    name: str,
    codes: NDArray[np.int8],
    *,
    permutations: int,
    resamples: int,
    seed: int,
) -> Unit:
    rows = np.flatnonzero(codes != UNKNOWN)
    shown = codes[rows] == SHOWN
    tested = np.isin(bench.dog[rows], np.concatenate([fold.test for fold in bench.folds]))
    found = _count(bench, rows[tested], shown[tested])
    found["reason"] = _find_obstacle(found)
    if found["reason"] is not None:
        return Unit(name, rows, shown, np.full(len(rows), np.nan), found)
    moves = move_coding(shown, bench.material.origin.iloc[rows], number=permutations, seed=seed)
    observed, scores = _measure(bench, emotion, rows, shown[None])
    null = _measure_moved(bench, emotion, rows, moves)
    found |= _describe_decoding(
        bench, rows, shown, scores[0], observed, null, moves, resamples=resamples, seed=seed
    )
    found["direction"] = _describe_direction(emotion, observed, null, moves)
    return Unit(name, rows, shown, scores[0], found)


def _count(bench: Bench, rows: Rows, shown: Mask) -> dict[str, Any]:
    """Return how much there is of a unit among the coded frames of tested dogs."""
    dog = bench.dog[rows]
    states = {(int(each), bool(state)) for each, state in zip(dog, shown, strict=True)}
    both = sum((each, True) in states and (each, False) in states for each in np.unique(dog))
    return {
        "frames": len(rows),
        "shown": int(shown.sum()),
        "prevalence": finite_or_none(float(shown.mean())) if len(rows) else None,
        "clips": len(np.unique(bench.clip[rows])),
        "subjects": {"coded": len(np.unique(dog)), "both_states": both},
    }


def _find_obstacle(found: Mapping[str, Any]) -> str | None:
    """Return why a unit cannot be judged, with the numbers; None where it can."""
    dogs, shown = found["subjects"]["both_states"], found["shown"]
    if dogs < MIN_DOGS:
        return (
            f"{dogs} tested dog(s) show it in some coded frames and not in others; at least "
            f"{MIN_DOGS} are needed"
        )
    least = min(shown, found["frames"] - shown)
    if least < MIN_FRAMES:
        return (
            f"{shown} of {found['frames']} frames show it; at least {MIN_FRAMES} must and must not"
        )
    return None


def _measure(
    bench: Bench, emotion: Emotion, rows: Rows, codings: Mask
) -> tuple[dict[str, Array], Array]:
    """Return what is measured of R codings, (R,) each, and their scores (R, M)."""
    sums = sum_codings(bench, rows, codings)
    learned = learn_directions(bench, sums)
    scores = score_frames(bench, rows, learned)
    known = np.isfinite(scores[0])
    dog = bench.dog[rows]
    remaining = measure_remaining(bench, emotion, learned)
    everyone = learn_group(bench, sums, bench.everyone)
    weight = weigh_frames(bench, rows)
    return {
        "auroc": measure_areas(scores[:, known], codings[:, known]),
        "within": average_within(scores[:, known], codings[:, known], dog[known]),
        "correlation": correlate_within(scores, emotion.scores[rows], dog, weight),
        "sensitivity": measure_sensitivity(bench, emotion, rows, everyone),
        "remaining_auroc": remaining.auroc,
        "remaining_balanced_accuracy": remaining.balanced_accuracy,
    }, scores


def _measure_moved(bench: Bench, emotion: Emotion, rows: Rows, moves: Moves) -> dict[str, Array]:
    parts: dict[str, list[Array]] = defaultdict(list)
    for some in iter_chunks(bench, moves.codings):
        for name, values in _measure(bench, emotion, rows, some)[0].items():
            parts[name].append(values)
    return {name: np.concatenate(values) for name, values in parts.items()}


def _describe_decoding(
    bench: Bench,
    rows: Rows,
    shown: Mask,
    scores: Array,
    observed: Mapping[str, Array],
    null: Mapping[str, Array],
    moves: Moves,
    *,
    resamples: int,
    seed: int,
) -> dict[str, Any]:
    known = np.isfinite(scores)
    dog = bench.dog[rows][known]
    within = measure_within(scores[None, known], shown[None, known], dog)[0]
    within = within[np.isfinite(within)]
    ends = bound_mean(within)
    return {
        "within": {
            "auroc": finite_or_none(observed["within"][0]),
            "interval": None if ends is None else list(ends),
            "subjects": len(within),
        },
        "permutation": {
            "p": _compute_p(observed["within"], null["within"], moves),
            "n": len(moves.codings),
            "exact": moves.exact,
            "moved": moves.kind,
            **_describe_null(null["within"]),
        },
        "pooled": {
            "auroc": finite_or_none(observed["auroc"][0]),
            "interval": _bound_area(
                scores[known], shown[known], dog, resamples=resamples, seed=seed
            ),
            "p": _compute_p(observed["auroc"], null["auroc"], moves),
            **_describe_null(null["auroc"]),
        },
    }


def _describe_null(null: Array) -> dict[str, float | None]:
    """Return the mean of what moved codings give, and what one in twenty exceeds."""
    return {
        "null_mean": finite_or_none(float(np.mean(null))),
        "null_high": finite_or_none(float(np.quantile(null, 1 - LEVEL))),
    }


def _bound_area(
    scores: Array, shown: Mask, dog: Rows, *, resamples: int, seed: int
) -> list[float] | None:
    """Return the 95 % interval of the AUROC from resampling dogs."""
    second = expit((scores - scores.mean()) / max(scores.std(), _ROUNDING))
    probability = np.stack([1 - second, second], axis=1)
    predictions = Predictions(
        shown.astype(np.int64), probability, dog.astype(object), ("absent", "shown")
    )
    ends = compute_intervals(predictions, resamples=resamples, seed=seed)["auroc"]
    return None if ends is None else list(ends)


def _describe_direction(
    emotion: Emotion, observed: Mapping[str, Array], null: Mapping[str, Array], moves: Moves
) -> dict[str, Any]:
    """Return how the unit's direction lies to the condition's, against codings moved."""
    described: dict[str, Any] = {"label": emotion.label, "logit_spread": emotion.logit_spread}
    for name in ("correlation", "sensitivity"):
        described[name] = {
            "value": finite_or_none(observed[name][0]),
            "null": _bound_null(null[name]),
            "p": _compute_p_both_ways(observed[name], null[name], moves),
        }
    described["removal"] = {
        measure: {
            "whole": finite_or_none(float(getattr(emotion.whole, measure)[0])),
            "left": finite_or_none(observed[f"remaining_{measure}"][0]),
            "null": _bound_null(null[f"remaining_{measure}"]),
            "p": _compute_p(
                -observed[f"remaining_{measure}"], -null[f"remaining_{measure}"], moves
            ),
        }
        for measure in ("auroc", "balanced_accuracy")
    }
    return described


def _bound_null(values: Array) -> list[float] | None:
    """Return the middle 95 % of what moved codings give."""
    usable = values[np.isfinite(values)]
    return [float(v) for v in np.percentile(usable, _NULL_TAILS)] if len(usable) else None


def _compute_p(observed: Array, null: Array, moves: Moves) -> float | None:
    """Return the share of codings that give at least as much; the one at hand counts."""
    if not moves.possible or not np.isfinite(observed[0]):
        return None
    return count_reached(float(observed[0]), null, exact=moves.exact)


def _compute_p_both_ways(observed: Array, null: Array, moves: Moves) -> float | None:
    """Return p of a value as far out as this on either side of what moved codings give."""
    if not moves.possible or not np.isfinite(observed[0]):
        return None
    return count_beyond(float(observed[0]), null, exact=moves.exact)


def count_beyond(observed: float, null: Array, *, exact: bool) -> float:
    """Return twice the smaller of the two one-sided p, at most 1.

    What a unit has in common with the condition by how often each dog shows it stays as it is when
    codings move, so that what they give need not lie around zero.
    """
    sides = [count_reached(s * observed, s * null, exact=exact) for s in (1, -1)]
    return min(1.0, 2 * min(sides))


def count_reached(observed: float, null: Array, *, exact: bool) -> float:
    """Return p: the share of the values that reach the observed one, which counts as one of them.

    What is not a number counts as reaching it.
    """
    reached = int((~(null < observed - _ROUNDING)).sum())
    return reached / len(null) if exact else (reached + 1) / (len(null) + 1)


def _test_labels(
    bench: Bench, emotion: Emotion, units: Sequence[Unit], *, number: int, seed: int
) -> None:
    """Add to each unit the p of its correlation where the labels are moved instead."""
    parts: dict[str, list[Array]] = defaultdict(list)
    if not units:
        return
    labellings, exact = move_labels(bench, emotion, number=number, seed=seed)
    for scores in iter_moved_emotions(bench, labellings):
        for unit in units:
            parts[unit.name].append(_correlate(bench, unit, scores))
    for unit in units:
        null = np.concatenate(parts[unit.name])
        correlation = unit.found["direction"]["correlation"]
        possible = correlation["value"] is not None and not (exact and len(null) == 1)
        correlation["null_labels"] = _bound_null(null) if possible else None
        correlation["p_labels"] = (
            count_beyond(correlation["value"], null, exact=exact) if possible else None
        )


def _correlate(bench: Bench, unit: Unit, scores: Array) -> Array:
    weight = weigh_frames(bench, unit.rows)
    own = np.broadcast_to(unit.scores, (len(scores), len(unit.rows)))
    return correlate_within(own, scores[:, unit.rows], bench.dog[unit.rows], weight)


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
    """Set whether the condition leans on a unit: aligned, not shown, or not asked.

    Both the coding and the labels must have been moved without reaching the correlation; of the two
    p the greater is corrected over the units that can be decoded.
    """
    asked = []
    for unit in units:
        unit.found["direction_verdict"] = "not asked"
        if unit.found["verdict"] == "decodable":
            unit.found["direction_verdict"] = "not shown"
            correlation = unit.found["direction"]["correlation"]
            p_values = [correlation["p"], correlation["p_labels"]]
            if None not in p_values:
                correlation["p_greater"] = max(p_values)
                asked.append(unit.found)
    corrected = adjust_holm([found["direction"]["correlation"]["p_greater"] for found in asked])
    for found, p in zip(asked, corrected, strict=True):
        found["direction"]["correlation"]["p_holm"] = p
        if p <= LEVEL:
            found["direction_verdict"] = "aligned"
