"""Regularised linear discriminants in closed form, for many labellings of the same clips at once.

Every clip weighs the same, shared among its frames. The scatter of a training set does not depend
on the labels, so it is factored once and any number of labellings is then a matter of small matrix
products: that is what makes nested choices, permutations and learning curves affordable.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve
from scipy.sparse import csr_array

from canemo.learn.predictions import Array, Index

Mask: TypeAlias = NDArray[np.bool_]

SHARPNESS = tuple(2.0**power for power in range(-6, 7))
"""Factors offered for the evidence; 1 / factor is the temperature of Guo et al. (2017)."""

_CONSTANT = 1e-5  # of the spread over all crops: what crops kept as float32 cannot show


@dataclass(frozen=True)
class Moments:
    """What any set of whole groups needs to know of its crops: N crops, V clips, G groups.

    Attributes
    ----------
    shift, spread
        (F,) mean and standard deviation over all crops; they only keep the arithmetic exact, each
        training set is standardised by itself.
    clips
        (V, F) mean of each clip's crops, shifted and divided by the spread.
    clip_group
        (V,) the group of each clip, as a position.
    products
        (G, F, F) sum over a group's clips of the mean outer product of their crops; None where
        there are fewer crops than features, and `crops` are kept instead.
    crops, crop_share, crop_group
        (N, F) the crops, shifted and divided by the spread, the share each has in its clip, and
        its group; None where there are `products`.
    weights
        (F,) what each feature counts once it is standardised; None where all count the same.
    """

    shift: Array
    spread: Array
    clips: Array
    clip_group: Index
    products: Array | None
    crops: Array | None = None
    crop_share: Array | None = None
    crop_group: Index | None = None
    weights: Array | None = None


def compute_moments(
    features: NDArray[np.floating], clip_index: Index, clip_group: Index
) -> Moments:
    """Return the moments of N crops.

    Parameters
    ----------
    features
        (N, F) float.
    clip_index
        (N,) the clip of each crop, 0 to V - 1; every clip has a crop.
    clip_group
        (V,) the group of each clip, 0 to G - 1: what is trained on or held out as a whole.
    """
    shift = features.mean(axis=0, dtype=np.float64)
    spread = features.std(axis=0, dtype=np.float64)
    spread[spread < 1e-9] = 1.0
    share = (1 / np.bincount(clip_index))[clip_index]
    average = csr_array((share, (clip_index, np.arange(len(clip_index)))))  # (V, N)
    clips = (average @ features - shift) / spread
    group = clip_group[clip_index]
    if features.shape[0] < features.shape[1]:  # (F, F) of each group might not fit into memory
        x = (features - shift) / spread
        return Moments(shift, spread, clips, clip_group, None, x, share, group)
    products = np.empty((int(clip_group.max()) + 1, features.shape[1], features.shape[1]))
    for number in range(len(products)):
        rows = group == number
        weighted = (features[rows] - shift) * np.sqrt(share[rows, None]) / spread
        products[number] = weighted.T @ weighted
    return Moments(shift, spread, clips, clip_group, products)


@dataclass(frozen=True)
class TrainingSet:
    """The V training clips of some groups, standardised by themselves.

    Attributes
    ----------
    mean, scale
        (F,) in the units of `Moments.clips`; `scale` is 1 where a feature is constant, and divided
        by the weights where there are any: a weighed feature is one with a larger variance.
    scatter
        (F, F) covariance of the standardised, weighed crops, each clip weighing the same; None
        where there are fewer crops than features.
    clips
        (V, F) likewise means of the clips.
    rows
        (N, F) whose outer product is the scatter, where that is None: those crops times the roots
        of their shares.
    """

    mean: Array
    scale: Array
    scatter: Array | None
    clips: Array
    rows: Array | None = None

    def standardise(self, clips: NDArray[np.floating]) -> Array:
        """Return rows in the units of `Moments.clips` as this training set sees them."""
        return np.asarray((clips - self.mean) / self.scale, dtype=np.float64)

    def weigh(self, units: Array, penalty: float) -> Array:
        """Return (F, U): U standardised rows (U, F) times the inverse of the penalised scatter.

        With fewer crops than features, R the crops, the inverse taken is N x N (Woodbury):
        ``(R'R + p)^-1 = (1 - R' (RR' + p)^-1 R) / p``.
        """
        if self.rows is None:
            return _solve_penalised(self.scatter, penalty, units.T)
        inner = _solve_penalised(self._gram, penalty, self.rows @ units.T)
        return np.asarray((units.T - self.rows.T @ inner) / penalty)

    def without(self, basis: Array) -> TrainingSet:
        """Return the training set without some directions, orthonormal rows (D, F)."""
        scatter, rows = self.scatter, self.rows
        if scatter is not None:
            half = remove_directions(scatter, basis)
            scatter = remove_directions(half.T, basis)
        if rows is not None:
            rows = remove_directions(rows, basis)
        clips = remove_directions(self.clips, basis)
        return replace(self, scatter=scatter, rows=rows, clips=clips)

    @cached_property
    def _gram(self) -> Array | None:
        """(N, N) of the rows, where they are kept."""
        return None if self.rows is None else self.rows @ self.rows.T


def remove_directions(x: Array, basis: Array) -> Array:
    """Return rows (N, F) without what they have along some orthonormal directions (D, F)."""
    return np.asarray(x - (x @ basis.T) @ basis)


def _solve_penalised(matrix: Array | None, penalty: float, right: Array) -> Array:
    """Return the inverse of (matrix + penalty) times the columns of `right`."""
    penalised = np.array(matrix)
    penalised.flat[:: len(penalised) + 1] += penalty
    factor = cho_factor(penalised, lower=True, overwrite_a=True, check_finite=False)
    return np.asarray(cho_solve(factor, right, check_finite=False))


def select_training(moments: Moments, clips: Mask) -> TrainingSet:
    """Return the training set of the clips that are True, (V,); they must be whole groups."""
    groups = np.unique(moments.clip_group[clips])
    own = moments.clips[clips]
    mean = own.mean(axis=0)
    if moments.products is None:
        rows = _weigh_crops(moments, groups, mean, clips=len(own))
        scale, constant = _measure_scale(np.einsum("nf,nf->f", rows, rows), moments.weights)
        rows /= scale
        rows[:, constant] = 0
        scatter = None
    else:
        rows = None
        scatter = _sum_products(moments.products, groups) / len(own)
        scatter -= np.outer(mean, mean)
        scale, constant = _measure_scale(np.diag(scatter), moments.weights)
        scatter /= scale[:, None]
        scatter /= scale
        scatter[constant] = 0
        scatter[:, constant] = 0
    standardised = (own - mean) / scale
    standardised[:, constant] = 0
    return TrainingSet(mean, scale, scatter, standardised, rows)


def _sum_products(products: Array, groups: Index) -> Array:
    """Return the sum of some groups' products, (F, F), without a copy of them."""
    wanted = np.zeros(len(products))
    wanted[groups] = 1
    return np.asarray((wanted @ products.reshape(len(products), -1)).reshape(products.shape[1:]))


def _weigh_crops(moments: Moments, groups: Index, mean: Array, *, clips: int) -> Array:
    """Return the crops of some groups less their mean, times the roots of their shares."""
    if moments.crops is None or moments.crop_share is None or moments.crop_group is None:
        raise ValueError("neither products nor crops were kept")
    mine = np.isin(moments.crop_group, groups)
    weight = np.sqrt(moments.crop_share[mine] / clips)
    return np.asarray((moments.crops[mine] - mean) * weight[:, None])


def _measure_scale(variance: Array, weights: Array | None) -> tuple[Array, Mask]:
    """Return the scale, see `TrainingSet`, and which features are constant."""
    deviation = np.sqrt(np.maximum(variance, 0))
    constant = deviation < _CONSTANT
    scale = np.where(constant, 1.0, deviation)
    return scale if weights is None else scale / weights, constant


@dataclass(frozen=True)
class Labelling:
    """R ways to put the V clips of a training set under K labels.

    The label means are mixtures of U units: of the clips, or, where there is but one labelling, of
    the label means themselves.

    Attributes
    ----------
    units
        (U, F) standardised.
    mixture
        (R, U, K), columns sum to 1: the mean of label k is ``mixture[r, :, k] @ units``.
    share
        (K,) of the clips under each label, the same in all labellings.
    """

    units: Array
    mixture: Array
    share: Array


def arrange(training: TrainingSet, label_index: Index, *, labels: int) -> Labelling:
    """Return the labellings of a training set's clips.

    Parameters
    ----------
    training
        V clips.
    label_index
        (R, V) label of every clip in each labelling, 0 to K - 1; each label must occur, and in
        every labelling as often as in the first.
    labels
        K.
    """
    count = np.bincount(label_index[0], minlength=labels).astype(float)
    mixture = (label_index[:, :, None] == np.arange(labels)) / count
    share = count / count.sum()
    if len(label_index) > 1:
        return Labelling(training.clips, mixture, share)
    return Labelling(mixture[0].T @ training.clips, np.eye(labels)[None], share)


@dataclass(frozen=True)
class Solution:
    """Discriminants of R labellings into K labels, as weights of the U units of `Labelling`.

    The evidence of x for a label is ``k(x) @ unit_weights[r] + intercept[r]``, where k(x), (U,), is
    the product of x with `TrainingSet.weigh`.

    Attributes
    ----------
    unit_weights
        (R, U, K).
    intercept
        (R, K).
    """

    unit_weights: Array
    intercept: Array


def solve(kernel: Array, labelling: Labelling, *, balanced: bool) -> Solution:
    """Return Fisher's linear discriminant with a penalised scatter for R labellings at once.

    Parameters
    ----------
    kernel
        (U, U) units @ `TrainingSet.weigh`.
    labelling
        The units and how label means are made of them.
    balanced
        Whether labels are taken to be equally frequent; else as frequent as in training.

    Notes
    -----
    With the total scatter T = W + D'D (W within labels, D the label means times the roots of their
    shares), ``(W + p)^-1 D' = (T + p)^-1 D' (1 - D (T + p)^-1 D')^-1`` (Woodbury): the inverse on
    the right side, which depends on the labels, is only K x K.

    References
    ----------
    Hastie, Tibshirani & Friedman (2009), The Elements of Statistical Learning, section 4.3.1;
    Friedman (1989), Regularized discriminant analysis, J Am Stat Assoc 84, 165-175.
    """
    root, mixture = np.sqrt(labelling.share), labelling.mixture
    between = mixture.transpose(0, 2, 1) @ _multiply(kernel, mixture)  # (R, K, K)
    left = np.eye(len(root)) - root[:, None] * between * root
    turn = np.linalg.inv(left) * root[:, None] / root
    intercept = -0.5 * np.einsum("rkl,rlk->rk", between, turn)
    if not balanced:
        intercept = intercept + np.log(labelling.share)
    return Solution(mixture @ turn, intercept)


def measure_evidence(kernel: Array, solution: Solution) -> Array:
    """Return the evidence for each label, (R, H, K), of H rows whose products are (H, U)."""
    evidence = _multiply(kernel, solution.unit_weights) + solution.intercept[:, None]
    return np.asarray(evidence)


def _multiply(kernel: Array, weights: Array) -> Array:
    """Return (H, U) @ (R, U, K) as (R, H, K), in one product."""
    rows, units, labels = weights.shape
    flat = weights.transpose(1, 0, 2).reshape(units, rows * labels)
    return (kernel @ flat).reshape(len(kernel), rows, labels).transpose(1, 0, 2)


@dataclass(frozen=True)
class InnerFold:
    """One inner fold: its training set, the V clips it trains on and the H it holds out."""

    training: TrainingSet
    trained: Mask
    held: Mask
    held_clips: Array


def make_inner_fold(moments: Moments, trained: Mask, held: Mask) -> InnerFold:
    """Return the inner fold that trains on some whole groups and holds out others, (V,) each."""
    training = select_training(moments, trained)
    return InnerFold(training, trained, held, training.standardise(moments.clips[held]))


def compute_inner_losses(
    folds: Sequence[InnerFold],
    label_index: Index,
    *,
    labels: int,
    penalties: Sequence[float],
    balanced: bool,
) -> Array:
    """Return the loss on held-out clips of every penalty and sharpness, (R, penalties, factors).

    Parameters
    ----------
    folds
        The inner folds; every label must occur in each training part.
    label_index
        (R, V) all clips under R labellings that only move labels within groups.
    labels, penalties, balanced
        K; L2 strengths; whether labels weigh equally.

    Notes
    -----
    A held-out clip is judged by the evidence of its mean crop; the loss is the mean log loss over
    the held-out clips of all folds, in units of nats.
    """
    rows = len(label_index)
    losses = np.zeros((rows, len(penalties), len(SHARPNESS)))
    total = np.zeros(rows)
    judged = np.any([fold.held for fold in folds], axis=0)
    count = np.bincount(label_index[0, judged], minlength=labels)
    for fold in folds:
        truth = label_index[:, fold.held]
        weight = 1 / np.maximum(count, 1)[truth] if balanced else np.ones(truth.shape)
        total += weight.sum(axis=1)
        labelling = arrange(fold.training, label_index[:, fold.trained], labels=labels)
        units = len(labelling.units)
        stacked = np.concatenate([labelling.units, fold.held_clips])
        for number, penalty in enumerate(penalties):
            kernel = stacked @ fold.training.weigh(labelling.units, penalty)
            solution = solve(kernel[:units], labelling, balanced=balanced)
            evidence = measure_evidence(kernel[units:], solution)
            losses[:, number] += _sum_losses(evidence, truth, weight)
    return losses / total[:, None, None]


def _sum_losses(evidence: Array, truth: Index, weight: Array) -> Array:
    """Return (R, factors): the weighted log loss of evidence (R, H, K) times each factor."""
    labels = evidence.shape[2]
    others = (truth[:, :, None] + np.arange(1, labels)) % labels
    own = np.take_along_axis(evidence, truth[:, :, None], axis=2)
    against = (np.take_along_axis(evidence, others, axis=2) - own).astype(np.float32)
    sums = []
    for factor in SHARPNESS:
        scaled = against * np.float32(factor)
        loss = np.logaddexp(0, scaled[..., 0]) if labels == 2 else _log_sum(scaled)
        sums.append(np.einsum("rh,rh->r", loss, weight))
    return np.stack(sums, axis=1)


def _log_sum(scaled: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return log(1 + sum of exp) along the last axis."""
    most = np.maximum(scaled.max(axis=-1), 0)
    return np.asarray(most + np.log(np.exp(-most) + np.exp(scaled - most[..., None]).sum(axis=-1)))
