"""What this study could have shown: the least difference from chance that it would reveal."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_ndtr
from scipy.stats import norm

from canemo.errors import ConfigError
from canemo.learn.predictions import Array, Index, Predictions
from canemo.trust.labellings import count_ways, find_least_p

GRID = np.linspace(0, 0.98, 50)  # of the way from chance to always right
LEAST_PROBABILITY = 1e-3  # bounds the log-odds of answers that are all but certain
LEAST_VARIANCE = 1e-12  # of a balanced accuracy; less is rounding
MOST_SHARE = 0.95
REFITTED_SPREAD = math.sqrt(1 + 2 / math.pi)  # see `foretell_power`


@dataclass(frozen=True)
class _Design:
    """Whose clips there are, and of which label.

    Attributes
    ----------
    label_index
        (N,) true label.
    owner
        (N,) subject as a position.
    member
        (N, S) 1.0 where the clip is the subject's.
    counts
        (S, K) clips of each subject by label.
    worth
        (K,) what one clip answered rightly adds to the balanced accuracy.
    """

    label_index: Index
    owner: Index
    member: Array
    counts: Array
    worth: Array


def find_least_detectable(
    predictions: Predictions,
    *,
    level: float = 0.05,
    power: float = 0.8,
    threshold: float | None = None,
    simulations: int = 400,
    seed: int = 0,
) -> dict[str, Any]:
    """Return the balanced accuracy that a study of these subjects and clips would tell from chance.

    Parameters
    ----------
    predictions
        N out-of-fold clips of S subjects: their labels make the design, their probabilities say
        how alike the answers to one subject's clips are.
    level
        Below which p a study counts as showing something, in (0, 1).
    power
        How often it is to show it, in (0, 1).
    threshold
        The balanced accuracy above which p is at most `level` in the study's own permutation
        test, which learns anew; None stands for `approximate_p`, whose answers stay and vary less,
        so that it foretells too much power.
    simulations, seed
        Number of studies drawn for each balanced accuracy, and the seed that draws them.

    Returns
    -------
    dict
        ``balanced_accuracy`` that is found with this power, ``chance`` and the ``difference`` of
        the two; ``power``, ``level``, ``subject_share`` and ``simulations`` as used; ``curve``,
        the power by expected ``balanced_accuracy``; ``reason`` why there is no such balanced
        accuracy, which is None then, as is the difference. Fit for JSON.

    Raises
    ------
    ConfigError
        A level or power is not in (0, 1), or there is not one simulation.

    Notes
    -----
    The test is one-sided: labels move among each subject's own clips, and p is the share of
    labellings that do better than the study's own (`approximate_p`). The study's own test learns
    anew from every labelling; here the answers are drawn and stay as they are.

    In a drawn study every label of a clip has a score, normal and of variance 1, of which
    `estimate_subject_share` is the same for all clips of a subject; the true label's is higher by
    a fixed amount, and the highest wins. So subjects lean to one label or another but are all as
    readable: were some not readable at all, more subjects would be needed than this says. Without
    effect the answers do not depend on the labels within subjects, and power is the level. It is
    the power of finding a given effect, not that of the effect found, which would only repeat p.

    References
    ----------
    Hoenig & Heisey (2001), The abuse of power, Am Stat 55, 19-24, doi:10.1198/000313001300339897.
    """
    _validate(level=level, power=power, simulations=simulations)
    design = _lay_out(predictions.label_index, predictions.subject_ids, len(predictions.labels))
    share = estimate_subject_share(predictions)
    reason = _find_obstacle(design, predictions.labels, level, counted=threshold is not None)
    tell = partial(_tell_from_chance, design, level=level, threshold=threshold)
    curve = [] if reason else _compute_curve(design, tell, share, simulations, seed)
    return _describe(curve, reason, design, share, level, power, simulations)


def foretell_power(
    label_index: Index,
    subject_ids: NDArray[np.object_],
    *,
    labels: Sequence[str],
    subject_share: float,
    level: float = 0.05,
    power: float = 0.8,
    refitted: bool = True,
    simulations: int = 400,
    seed: int = 0,
) -> dict[str, Any]:
    """Return what `find_least_detectable` does, of a design alone: no clip need be filmed yet.

    Parameters
    ----------
    label_index, subject_ids
        (N,) label of each clip as a position in `labels`, and whose clip it is.
    labels
        The K labels.
    subject_share
        Which share of the variance of answers, label apart, is between subjects: from 0 to 0.95.
    level, power, simulations, seed
        As in `find_least_detectable`.
    refitted
        Whether the study will be tested by labels that are learned anew, as canemo does; otherwise
        by labels moved under answers that stay.

    Returns
    -------
    dict
        As `find_least_detectable`; the curve ends where the power is reached.

    Raises
    ------
    ConfigError
        As `find_least_detectable`.

    Notes
    -----
    When labels are moved and learned anew, answers to two subjects hang together, for each is in
    the training of the other: of S subjects alike in size, what the probe makes of two of them
    correlates by 1 / (S - 1), the signs of it by 2 / pi of that, and the variance of all grows to
    1 + 2 / pi times what it is under answers that stay. On drawn studies of 6 to 20 subjects this
    came within 3 points of the balanced accuracy found with the power asked for; answers that stay
    foretold up to 9 too little.
    """
    _validate(level=level, power=power, simulations=simulations)
    design = _lay_out(label_index, subject_ids, len(labels))
    reason = _find_obstacle(design, labels, level, counted=False)
    spread = REFITTED_SPREAD if refitted else 1.0
    tell = partial(_tell_from_chance, design, level=level, spread=spread)
    curve: list[tuple[float, float]] = []
    if reason is None:
        curve = _compute_curve(design, tell, subject_share, simulations, seed, until=power)
    return _describe(curve, reason, design, subject_share, level, power, simulations)


def _describe(
    curve: list[tuple[float, float]],
    reason: str | None,
    design: _Design,
    share: float,
    level: float,
    power: float,
    simulations: int,
) -> dict[str, Any]:
    found, chance = _interpolate(curve, power), 1 / len(design.worth)
    if found is None and reason is None:
        reason = f"not even {curve[-1][0]:.0%} right would be found with a power of {power:g}"
    return {
        "balanced_accuracy": found,
        "chance": chance,
        "difference": None if found is None else found - chance,
        "power": power,
        "level": level,
        "subject_share": share,
        "simulations": simulations,
        "curve": [{"balanced_accuracy": x, "power": y} for x, y in curve],
        "reason": reason,
    }


def estimate_subject_share(predictions: Predictions) -> float:
    """Return which share of the variance of answers, label apart, is between subjects.

    Parameters
    ----------
    predictions
        N clips of S subjects.

    Returns
    -------
    float
        Intraclass correlation of the centred log probabilities (with two labels, of the log-odds)
        about their mean over the clips of the same label, all K of them pooled; from 0 to 0.95, 0
        where no subject has two clips or there is one subject. Probabilities below 0.001 count as
        0.001, so that answers that are all but certain do not make up the variance.

    References
    ----------
    Donner (1986), A review of inference procedures for the intraclass correlation coefficient in
    the one-way random effects model, Int Stat Rev 54, 67-82 (clusters of unequal size).
    """
    _, owner, clips = np.unique(predictions.subject_ids, return_inverse=True, return_counts=True)
    subjects, units = len(clips), len(owner)
    if subjects < 2 or units == subjects:
        return 0.0
    residual = _remove_label_means(predictions)
    means = np.zeros((subjects, residual.shape[1]))
    np.add.at(means, owner, residual)
    means /= clips[:, None]
    centred = means - residual.mean(axis=0)
    between = float((clips[:, None] * centred**2).sum()) / (subjects - 1)
    within = float(((residual - means[owner]) ** 2).sum()) / (units - subjects)
    usual = (units - (clips**2).sum() / units) / (subjects - 1)
    total = between + (usual - 1) * within
    return float(np.clip((between - within) / total, 0, MOST_SHARE)) if total > 0 else 0.0


def compute_null_moments(
    label_index: Index, predicted_index: Index, subject_ids: NDArray[np.object_]
) -> tuple[Array, Array, Array]:
    """Return balanced accuracy, and its mean and variance with labels moved within subjects.

    Parameters
    ----------
    label_index
        (N,) true label of each clip, every label from 0 to the highest occurring.
    predicted_index
        (R, N) R sets of answers, which stay where they are.
    subject_ids
        (N,) whose clip it is.

    Returns
    -------
    tuple
        Three arrays (R,): exact, not simulated.

    References
    ----------
    Hoeffding (1951), A combinatorial central limit theorem, Ann Math Stat 22, 558-566,
    doi:10.1214/aoms/1177729545, theorem 2: a subject of n clips adds the sum of squares of the
    doubly centred n x n matrix of what each answer is worth with each label, over n - 1.
    """
    design = _lay_out(label_index, subject_ids, int(label_index.max()) + 1)
    return _compute_moments(design, np.asarray(predicted_index))


def approximate_p(
    label_index: Index, predicted_index: Index, subject_ids: NDArray[np.object_]
) -> Array:
    """Return (R,) the one-sided p of balanced accuracy under permutation within subjects.

    Parameters
    ----------
    label_index, predicted_index, subject_ids
        As in `compute_null_moments`.

    Notes
    -----
    The normal approximation without correction for continuity, that is, labellings that do
    exactly as well count half: with answers that stay, the balanced accuracy of two labels takes
    few values, and counting them in full would reject less often than the level. With answers
    learnt anew, as in the study's own test, there are many more values and few ties. 1 where
    labels or answers do not vary within any subject.
    """
    design = _lay_out(label_index, subject_ids, int(label_index.max()) + 1)
    return _approximate_p(design, np.asarray(predicted_index))


def _lay_out(label_index: Index, subject_ids: NDArray[np.object_], labels: int) -> _Design:
    _, owner = np.unique(subject_ids, return_inverse=True)
    member = np.eye(int(owner.max()) + 1)[owner]
    counts = member.T @ np.eye(labels)[label_index]
    totals = np.maximum(counts.sum(axis=0), 1)
    return _Design(label_index, owner, member, counts, 1 / (labels * totals))


def _compute_moments(design: _Design, predicted: Index) -> tuple[Array, Array, Array]:
    observed = (predicted == design.label_index) @ design.worth[design.label_index]
    clips = design.counts.sum(axis=1)
    answers = np.stack(
        [(predicted == label) @ design.member for label in range(len(design.worth))], axis=2
    )  # (R, S, K)
    # Of the matrix (answer, label): rows, columns and all of it, as means; then sums of squares.
    row = design.counts * design.worth / clips[:, None]
    column = answers * design.worth / clips[:, None]
    overall = (answers * row).sum(axis=2) / clips
    squares = (answers * design.counts * design.worth**2).sum(axis=2)
    squares -= clips * (answers * row**2 + design.counts * column**2).sum(axis=2)
    squares += (clips * overall) ** 2
    variance = (squares / np.maximum(clips - 1, 1)).sum(axis=1)
    return observed, (overall * clips).sum(axis=1), variance


def _approximate_p(design: _Design, predicted: Index, *, spread: float = 1.0) -> Array:
    observed, mean, variance = _compute_moments(design, predicted)
    varies = variance > LEAST_VARIANCE
    deviation = np.sqrt(np.where(varies, variance, 1.0)) * spread
    p = norm.sf((observed - mean) / deviation)
    return np.asarray(np.where(varies, p, 1.0), dtype=np.float64)


def _tell_from_chance(
    design: _Design,
    predicted: Index,
    *,
    level: float,
    threshold: float | None = None,
    spread: float = 1.0,
) -> NDArray[np.bool_]:
    """Return (R,) which of R sets of answers would count as showing something."""
    if threshold is None:
        return _approximate_p(design, predicted, spread=spread) <= level
    return _compute_moments(design, predicted)[0] > threshold + 1e-9


def _compute_curve(
    design: _Design,
    tell: Callable[[Index], NDArray[np.bool_]],
    share: float,
    simulations: int,
    seed: int,
    *,
    until: float = math.inf,
) -> list[tuple[float, float]]:
    """Return (balanced accuracy, power) from chance to a power; the power never falls."""
    labels, curve = len(design.worth), []
    lead, other = _draw_scores(design, share, simulations, np.random.default_rng(seed))
    accuracies = 1 / labels + (1 - 1 / labels) * GRID
    # The same draws at every point, so that the points differ by the effect alone.
    power = 0.0
    for accuracy, effect in zip(accuracies, _find_effects(accuracies, labels), strict=True):
        drawn = np.where(lead > -effect, design.label_index, other)
        power = max(power, float(tell(drawn).mean()))
        curve.append((float(accuracy), power))
        if power >= until:
            break
    return curve


def _draw_scores(
    design: _Design, share: float, simulations: int, rng: np.random.Generator
) -> tuple[Array, Index]:
    """Return (R, N) by how much the true label's score leads without effect, and the best other."""
    labels, (units, subjects) = len(design.worth), design.member.shape
    of_subject = rng.normal(size=(simulations, subjects, labels))
    scores = np.sqrt(share) * of_subject[:, design.owner]
    scores += np.sqrt(1 - share) * rng.normal(size=(simulations, units, labels))
    place = np.broadcast_to(design.label_index[:, None], (simulations, units, 1))
    own = np.take_along_axis(scores, place, axis=2)[:, :, 0]
    np.put_along_axis(scores, place, -np.inf, axis=2)
    return own - scores.max(axis=2), scores.argmax(axis=2)


def _find_effects(accuracies: Array, labels: int) -> Array:
    """Return by how much the true label's score must be higher for it to win so often.

    With score z + effect it beats K - 1 others, all standard normal: E[Phi(z + effect)^(K - 1)].
    """
    nodes, weights = np.polynomial.hermite_e.hermegauss(80)
    effects = np.linspace(0, 8, 1601)
    winning = np.exp((labels - 1) * log_ndtr(nodes + effects[:, None]))
    share = winning @ weights / np.sqrt(2 * np.pi)
    return np.asarray(np.interp(accuracies, share, effects))


def _interpolate(curve: list[tuple[float, float]], power: float) -> float | None:
    """Return the balanced accuracy where the curve first reaches the power; None where never."""
    accuracies, powers = [x for x, _ in curve], [y for _, y in curve]
    if not powers or powers[-1] < power:
        return None
    upper = int(np.searchsorted(powers, power, side="left"))
    if upper == 0:
        return accuracies[0]
    around = slice(upper - 1, upper + 1)
    return float(np.interp(power, powers[around], accuracies[around]))


def _find_obstacle(
    design: _Design, labels: Sequence[str], level: float, *, counted: bool
) -> str | None:
    """Return why no effect, however large, could be shown; None where nothing stands against it.

    Where labellings were `counted` already, those of training subjects too, there are enough of
    them.
    """
    counts = design.counts
    totals = counts.sum(axis=0)
    if not totals.all():
        return f"no clip has the label {labels[int(totals.argmin())]!r}"
    if ((counts > 0).sum(axis=1) < 2).all():
        return (
            "no subject has clips of more than one label, so that moving labels within subjects "
            "changes nothing"
        )
    if not counted and find_least_p(design.label_index, design.owner) > level * (1 + 1e-9):
        ways = count_ways(design.label_index, design.owner)
        return (
            f"labels can be moved within subjects in only {ways} ways, so that p cannot be "
            f"{level:g} or less"
        )
    return None


def _remove_label_means(predictions: Predictions) -> Array:
    """Return (N, K) centred log probabilities minus their mean over clips of the same label."""
    logs = np.log(np.maximum(predictions.probability, LEAST_PROBABILITY))
    residual: Array = logs - logs.mean(axis=1, keepdims=True)
    for label in np.unique(predictions.label_index):
        rows = predictions.label_index == label
        residual[rows] -= residual[rows].mean(axis=0)
    return residual


def _validate(*, level: float, power: float, simulations: int) -> None:
    for name, value in (("level", level), ("power", power)):
        if not 0 < value < 1:
            raise ConfigError(f"{name} must lie between 0 and 1, not {value!r}")
    if simulations < 1:
        raise ConfigError(f"simulations must be at least 1, not {simulations}")
