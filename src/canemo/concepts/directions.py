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

from canemo.concepts.probes import (
    Bench,
    Learned,
    Rows,
    iter_chunks,
    learn_directions,
    learn_group,
    score_frames,
    sum_codings,
    weigh_frames,
)
from canemo.config import ProbeConfig
from canemo.discriminant import Array, Mask
from canemo.discriminant_learner import DiscriminantLearner
from canemo.explain.decision import Decision
from canemo.labellings import draw_labellings
from canemo.metrics import measure_areas
from canemo.probe import Probe

_ROUNDING = 1e-9


@dataclass(frozen=True)
class Remaining:
    """How well unseen clips' label is told once a unit is projected out, for R codings of it.

    `auroc` and `balanced_accuracy` are (R,), by clip, of one label against the others.
    """

    auroc: Array
    balanced_accuracy: Array


@dataclass(frozen=True)
class Emotion:
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
        (N,) of those directions, on unseen dogs.
    gradient
        (F,) change of the logit of the study's own probe, fitted on all dogs, with one standard
        deviation of each feature. The logit is a `Decision`'s: of more than two labels, the label's
        evidence less the mean over all labels, its own among them.
    logit_spread
        How much that logit varies within dogs: its standard deviation.
    whole
        How well unseen clips' label is told by `learned`, nothing projected out.
    everyone
        The same direction learned from all dogs.
    """

    label: str
    clips: Mask
    learned: tuple[Learned, ...]
    scores: Array
    gradient: Array
    logit_spread: float
    whole: Remaining
    everyone: Learned


def find_emotion(bench: Bench, probe: ProbeConfig, *, label: str, seed: int) -> Emotion:
    """Learn the condition, as ``lda`` on all dogs and as the units are in the folds.

    Parameters
    ----------
    bench
        N crops.
    probe
        The study's settings of ``lda``.
    label
        The label whose evidence is looked at. In the folds it is set against all others together;
        the logit of the study's own probe is that of `canemo.explain.decision.Decision`.
    seed
        Of the inner folds in which the probe chooses its penalty.
    """
    reading, rows = bench.reading, np.arange(len(bench.dog))
    clips = reading.label_index == bench.material.labels.index(label)
    sums = sum_codings(bench, rows, clips[bench.clip][None])
    learned = tuple(learn_directions(bench, sums))
    own = _fit_probe(bench, probe, seed=seed)
    gradient = Decision(own, bench.material.pooling, label).direction
    logit = ((bench.material.x - own.mean) / own.scale @ gradient)[None]
    return Emotion(
        label,
        clips,
        learned,
        score_frames(bench, rows, learned)[0],
        gradient,
        float(_measure_spread(logit, bench.dog, weigh_frames(bench, rows))[0]),
        _judge_clips(_score_clips(bench, clips, learned), clips),
        learn_group(bench, sums, bench.everyone),
    )


def _fit_probe(bench: Bench, probe: ProbeConfig, *, seed: int) -> Probe:
    """Return the study's own discriminant, fitted on all dogs."""
    everyone = np.ones(len(bench.dog), dtype=bool)
    classifier = DiscriminantLearner((bench.material,), probe).fit(everyone, seed=seed).classifier
    if not isinstance(classifier, Probe):
        raise TypeError("a linear discriminant gives a linear probe")
    return classifier


def correlate_within(first: Array, second: Array, dog: Rows, weight: Array) -> Array:
    """Return the correlation within dogs of scores (R, M) with others, (M,) or (R, M).

    Each dog's mean is taken away first. Frames without a score are left out; those of one row are
    those of all.

    Notes
    -----
    For scores of two linear probes it is the cosine of their directions in the metric of the
    within-dog covariance of the frames scored.
    """
    known = np.isfinite(first[0]) & np.isfinite(np.atleast_2d(second)[0])
    weight = weight[known]
    one = _centre_dogs(first[:, known], dog[known], weight)
    other = _centre_dogs(np.atleast_2d(second)[:, known], dog[known], weight)
    shared = (one * other) @ weight
    size = np.sqrt((one**2 @ weight) * (other**2 @ weight))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.where(size > 0, shared / size, np.nan))


def _centre_dogs(scores: Array, dog: Rows, weight: Array) -> Array:
    """Return scores (R, M) less the weighted mean of each dog's."""
    _, owner = np.unique(dog, return_inverse=True)
    member = (owner == np.arange(owner.max() + 1)[:, None]) * weight  # (S, M)
    means = scores @ member.T / member.sum(axis=1)
    return np.asarray(scores - means[:, owner])


def _measure_spread(scores: Array, dog: Rows, weight: Array) -> Array:
    """Return the standard deviation within dogs of scores (R, M), (R,)."""
    centred = _centre_dogs(scores, dog, weight)
    return np.asarray(np.sqrt(centred**2 @ weight / weight.sum()))


def measure_sensitivity(bench: Bench, emotion: Emotion, rows: Rows, learned: Learned) -> Array:
    """Return the change of the logit for one step along the direction of each of R units, (R,).

    Parameters
    ----------
    bench, emotion
        The crops, and the probe of the condition.
    rows
        (M,) the coded crops.
    learned
        Directions from all dogs.

    Notes
    -----
    The step moves standardised features along the probe of the unit until its score has risen by
    one standard deviation within dogs. For a linear probe TCAV's share of positive derivatives is 0
    or 1: this is its size.
    """
    step = _find_step(bench, rows, learned)
    return np.asarray(step @ emotion.gradient)


def _find_step(bench: Bench, rows: Rows, learned: Learned) -> Array:
    """Return one step along each of R units, (R, F) in standard deviations of the features."""
    scores = (learned.standardise(bench.centre(rows)) @ learned.direction.T).T
    spread = _measure_spread(scores, bench.dog[rows], weigh_frames(bench, rows))
    size = np.einsum("rf,rf->r", learned.direction, learned.direction)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(learned.direction * (spread / size)[:, None])


def measure_steps(bench: Bench, conditions: Learned, rows: Rows, unit: Learned) -> Array:
    """Return the change of R conditions' scores for one step along a unit, (R,).

    It is in standard deviations of each condition's scores within dogs, so that conditions can be
    compared: those of labels that were moved among them.

    Parameters
    ----------
    bench
        N crops.
    conditions
        R directions from all dogs.
    rows, unit
        The crops coded for the unit, and its direction from all dogs.
    """
    (step,) = _find_step(bench, rows, unit)
    everything = np.arange(len(bench.dog))
    scores = (conditions.standardise(bench.centre(everything)) @ conditions.direction.T).T
    spread = _measure_spread(scores, bench.dog, weigh_frames(bench, everything))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(conditions.direction @ step / spread)


def measure_remaining(bench: Bench, emotion: Emotion, learned: Sequence[Learned]) -> Remaining:
    """Learn the condition from features in which a unit's difference is projected out.

    Parameters
    ----------
    bench, emotion
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
        for fold, own in zip(learned, emotion.learned, strict=True)
    ]
    return _judge_clips(_score_clips(bench, emotion.clips, without), emotion.clips)


def _score_clips(bench: Bench, positive: Mask, learned: Sequence[Learned]) -> Array:
    """Return the evidence of R directions for the unseen clips' label, (R, V).

    It is 0 half way between the means of the training clips with the label and of the others.
    """
    scores = np.full((len(learned[0].direction), len(positive)), np.nan)
    group = bench.reading.clip_group
    for fold in learned:
        test = np.isin(group, fold.group.test)
        clips = fold.standardise(bench.reading.moments.clips)
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


def move_labels(bench: Bench, emotion: Emotion, *, number: int, seed: int) -> tuple[Mask, bool]:
    """Return (R, V) ways to move the condition among each dog's clips, and whether these are all.

    `number` and `seed` are as `draw_labellings` takes them.
    """
    positive = emotion.clips.astype(np.int64)
    moved, exact = draw_labellings(positive, bench.reading.clip_group, number=number, seed=seed)
    return moved == 1, exact


def iter_moved_emotions(bench: Bench, labellings: Mask) -> Iterator[tuple[Array, Learned]]:
    """Yield scores (R, N) of the condition under some of the labellings (R, V) at a time.

    It is learned anew in every fold; with the scores come its directions from all dogs.
    """
    rows = np.arange(len(bench.dog))
    for some in iter_chunks(bench, labellings[:, bench.clip]):
        sums = sum_codings(bench, rows, some)
        scores = score_frames(bench, rows, learn_directions(bench, sums))
        yield scores, learn_group(bench, sums, bench.everyone)
