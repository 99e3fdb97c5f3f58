"""How far the probe of the condition leans on a unit, against units whose coding was moved.

A direction that two probes share says that what one reads is, in these features, what the other
reads. It does not say that the unit is why: whatever goes along with the unit shares it too.

References
----------
Kim et al. (2018), Interpretability beyond feature attribution: quantitative testing with concept
activation vectors (TCAV), ICML, arXiv:1711.11279. Shao, Ziser & Cohen (2023), Gold doesn't always
glitter: spectral removal of linear and nonlinear guarded attribute information, EACL,
arXiv:2203.07893 (projecting out the covariance with an attribute).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from canemo.config import ProbeConfig
from canemo.explain.concepts.probes import (
    Learned,
    Probing,
    Rows,
    iter_chunks,
    learn_directions,
    learn_group,
    score_frames,
    sum_codings,
    weigh_frames,
)
from canemo.explain.decision import Decision
from canemo.learn.lda import DiscriminantLearner
from canemo.learn.lda_algebra import Mask
from canemo.learn.predictions import Array
from canemo.learn.probe import Probe
from canemo.trust.labellings import draw_labellings
from canemo.trust.scores import measure_areas

_ROUNDING = 1e-9


@dataclass(frozen=True)
class Remaining:
    """How well unseen clips' label is told once a unit is projected out, for R codings of it.

    `auroc` and `balanced_accuracy` are (R,), by clip, of one label against the others.
    """

    auroc: Array
    balanced_accuracy: Array


@dataclass(frozen=True)
class ConditionProbe:
    """The probe of the condition: N crops, V clips.

    Attributes
    ----------
    label
        The label whose evidence it gives.
    clips
        (V,) whether a clip has the label.
    learned
        Its direction in every fold, by the same closed form and penalty as those of the units.
    scores
        (N,) of those directions, on unseen subjects.
    gradient
        (F,) change of the logit of the study's own probe, fitted on all subjects, with one standard
        deviation of each feature. The logit is a `Decision`'s: of more than two labels, the label's
        evidence less the mean over all labels, its own among them.
    logit_spread
        How much that logit varies within subjects: its standard deviation.
    whole
        How well unseen clips' label is told by `learned`, nothing projected out.
    everyone
        The same direction learned from all subjects.
    """

    label: str
    clips: Mask
    learned: tuple[Learned, ...]
    scores: Array
    gradient: Array
    logit_spread: float
    whole: Remaining
    everyone: Learned


def learn_condition(
    probing: Probing, probe: ProbeConfig, *, label: str, seed: int
) -> ConditionProbe:
    """Learn the condition, as ``lda`` on all subjects and as the units are in the folds.

    Parameters
    ----------
    probing
        N crops.
    probe
        The study's settings of ``lda``.
    label
        The label whose evidence is looked at. In the folds it is set against all others together;
        the logit of the study's own probe is that of `canemo.explain.decision.Decision`.
    seed
        Of the inner folds in which the probe chooses its penalty.
    """
    reading, rows = probing.reading, np.arange(len(probing.subject))
    clips = reading.label_index == probing.material.labels.index(label)
    sums = sum_codings(probing, rows, clips[probing.clip][None])
    learned = tuple(learn_directions(probing, sums))
    own = _fit_probe(probing, probe, seed=seed)
    gradient = Decision(own, probing.material.pooling, label).direction
    logit = ((probing.material.x - own.mean) / own.scale @ gradient)[None]
    return ConditionProbe(
        label,
        clips,
        learned,
        score_frames(probing, rows, learned)[0],
        gradient,
        float(_measure_spread(logit, probing.subject, weigh_frames(probing, rows))[0]),
        _judge_clips(_score_clips(probing, clips, learned), clips),
        learn_group(probing, sums, probing.everyone),
    )


def _fit_probe(probing: Probing, probe: ProbeConfig, *, seed: int) -> Probe:
    """Return the study's own discriminant, fitted on all subjects."""
    everyone = np.ones(len(probing.subject), dtype=bool)
    classifier = DiscriminantLearner((probing.material,), probe).fit(everyone, seed=seed).classifier
    if not isinstance(classifier, Probe):
        raise TypeError("a linear discriminant gives a linear probe")
    return classifier


def correlate_within(first: Array, second: Array, subject: Rows, weight: Array) -> Array:
    """Return the correlation within subjects of scores (R, M) with others, (M,) or (R, M).

    Each subject's mean is taken away first. Frames without a score are left out; those of one row
    are those of all.

    Notes
    -----
    For scores of two linear probes it is the cosine of their directions in the metric of the
    within-subject covariance of the frames scored.
    """
    known = np.isfinite(first[0]) & np.isfinite(np.atleast_2d(second)[0])
    weight = weight[known]
    one = _centre_subjects(first[:, known], subject[known], weight)
    other = _centre_subjects(np.atleast_2d(second)[:, known], subject[known], weight)
    shared = (one * other) @ weight
    size = np.sqrt((one**2 @ weight) * (other**2 @ weight))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.where(size > 0, shared / size, np.nan))


def _centre_subjects(scores: Array, subject: Rows, weight: Array) -> Array:
    """Return scores (R, M) less the weighted mean of each subject's."""
    _, owner = np.unique(subject, return_inverse=True)
    member = (owner == np.arange(owner.max() + 1)[:, None]) * weight  # (S, M)
    means = scores @ member.T / member.sum(axis=1)
    return np.asarray(scores - means[:, owner])


def _measure_spread(scores: Array, subject: Rows, weight: Array) -> Array:
    """Return the standard deviation within subjects of scores (R, M), (R,)."""
    centred = _centre_subjects(scores, subject, weight)
    return np.asarray(np.sqrt(centred**2 @ weight / weight.sum()))


def measure_sensitivity(
    probing: Probing, condition: ConditionProbe, rows: Rows, learned: Learned
) -> Array:
    """Return the change of the logit for one step along the direction of each of R units, (R,).

    Parameters
    ----------
    probing, condition
        The crops, and the probe of the condition.
    rows
        (M,) the coded crops.
    learned
        Directions from all subjects.

    Notes
    -----
    The step moves standardised features along the probe of the unit until its score has risen by
    one standard deviation within subjects. For a linear probe TCAV's share of positive derivatives
    is 0 or 1: this is its size.
    """
    step = _find_step(probing, rows, learned)
    return np.asarray(step @ condition.gradient)


def _find_step(probing: Probing, rows: Rows, learned: Learned) -> Array:
    """Return one step along each of R units, (R, F) in standard deviations of the features."""
    scores = learned.score(probing.centre(rows))
    spread = _measure_spread(scores, probing.subject[rows], weigh_frames(probing, rows))
    size = np.einsum("rf,rf->r", learned.direction, learned.direction)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(learned.direction * (spread / size)[:, None])


def measure_steps(probing: Probing, conditions: Learned, rows: Rows, unit: Learned) -> Array:
    """Return the change of R conditions' scores for one step along a unit, (R,).

    It is in standard deviations of each condition's scores within subjects, so that conditions can
    be compared: those of labels that were moved among them.

    Parameters
    ----------
    probing
        N crops.
    conditions
        R directions from all subjects.
    rows, unit
        The crops coded for the unit, and its direction from all subjects.
    """
    (step,) = _find_step(probing, rows, unit)
    everything = np.arange(len(probing.subject))
    scores = conditions.score(probing.centre(everything))
    spread = _measure_spread(scores, probing.subject, weigh_frames(probing, everything))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(conditions.direction @ step / spread)


def measure_remaining(
    probing: Probing, condition: ConditionProbe, learned: Sequence[Learned]
) -> Remaining:
    """Learn the condition from features in which a unit's difference is projected out.

    Parameters
    ----------
    probing, condition
        The crops, and the probe of the condition.
    learned
        Directions of R codings of the unit, in the same folds.

    Notes
    -----
    In each fold the covariance d of the standardised features with the coding is projected out,
    after which no linear probe of the training frames finds the unit. With A the penalised scatter
    and A b = m the condition's probe, the probe without d is the constrained one,
    ``b - A^-1 d (d' b) / (d' A^-1 d)``.
    """
    without = [
        replace(fold, direction=remove_difference(own.direction[0], fold))
        for fold, own in zip(learned, condition.learned, strict=True)
    ]
    return _judge_clips(_score_clips(probing, condition.clips, without), condition.clips)


def _score_clips(probing: Probing, positive: Mask, learned: Sequence[Learned]) -> Array:
    """Return the evidence of R directions for the unseen clips' label, (R, V).

    It is 0 half way between the means of the training clips with the label and of the others.
    """
    scores = np.full((len(learned[0].direction), len(positive)), np.nan)
    group = probing.reading.clip_group
    for fold in learned:
        test = np.isin(group, fold.group.test)
        clips = fold.standardise(probing.reading.moments.clips)
        middle = _find_middle(clips, positive, np.isin(group, fold.group.train))
        scores[:, test] = ((clips[test] - middle) @ fold.direction.T).T
    return scores


def remove_difference(direction: Array, learned: Learned) -> Array:
    """Return a direction, (F,), without each of R units, (R, F); as it is where a unit is zero."""
    along = np.einsum("rf,rf->r", learned.difference, learned.direction)
    share = np.zeros(len(along))
    np.divide(learned.difference @ direction, along, out=share, where=along > 0)
    left = direction - share[:, None] * learned.direction
    nothing = np.abs(left).max(axis=1) < _ROUNDING * np.abs(direction).max()
    left[nothing] = 0
    return np.asarray(left)


def _find_middle(clips: Array, positive: Mask, train: Mask) -> Array:
    """Return the point between the two means of the training clips, (F,)."""
    means = [clips[train & (positive == state)] for state in (True, False)]
    return np.asarray(sum(part.mean(axis=0) for part in means if len(part)) / 2)


def _judge_clips(scores: Array, positive: Mask) -> Remaining:
    known = np.isfinite(scores[0])
    scores, positive = scores[:, known], positive[known]
    shown = np.broadcast_to(positive, scores.shape)
    said = scores > 0
    with np.errstate(invalid="ignore", divide="ignore"):
        recall = [
            (said == state)[:, positive == state].mean(axis=1)
            if (positive == state).any()
            else np.full(len(scores), np.nan)
            for state in (True, False)
        ]
    return Remaining(measure_areas(scores, shown), np.mean(recall, axis=0))


def move_labels(
    probing: Probing, condition: ConditionProbe, *, number: int, seed: int
) -> tuple[Mask, bool]:
    """Return (R, V) ways to move the condition within subjects, and whether these are all.

    `number` and `seed` are as `draw_labellings` takes them.
    """
    positive = condition.clips.astype(np.int64)
    moved, exact = draw_labellings(positive, probing.reading.clip_group, number=number, seed=seed)
    return moved == 1, exact


def iter_moved_conditions(probing: Probing, labellings: Mask) -> Iterator[tuple[Array, Learned]]:
    """Yield scores (R, N) of the condition under some of the labellings (R, V) at a time.

    It is learned anew in every fold; with the scores come its directions from all subjects.
    """
    rows = np.arange(len(probing.subject))
    for some in iter_chunks(probing, labellings[:, probing.clip]):
        sums = sum_codings(probing, rows, some)
        scores = score_frames(probing, rows, learn_directions(probing, sums))
        yield scores, learn_group(probing, sums, probing.everyone)
