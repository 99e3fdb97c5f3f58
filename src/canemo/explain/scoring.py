"""Tests that a map can fail: whether it points at what matters and depends on the probe."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.integrate import trapezoid
from scipy.ndimage import maximum_filter
from scipy.stats import rankdata
from torch.nn.functional import interpolate

from canemo.explain.decision import Decision, Maps
from canemo.explain.faces import Faces
from canemo.explain.maps.occlusion import CELLS, blur, cover, fit_to_input, measure_logits
from canemo.networks.backbones import Backbone
from canemo.records import Image

SHARES = (0.0625, 0.125, 0.25, 0.5, 0.75)
"""Shares of the crop that are covered (deletion) or shown (insertion), besides none and all."""

CURVE_SHARES = (0.0, *SHARES, 1.0)
"""At which curves are known."""

ALIKE = 0.5
"""Mean absolute rank correlation above which two maps count as the same: a quarter of variance."""

_LEAST_SPREAD = 1e-12


@dataclass(frozen=True)
class Curves:
    """Evidence for the answer given, as parts of N crops are covered or shown, in logits.

    Attributes
    ----------
    shares
        (F,) from 0 to 1.
    deletion, insertion
        (N, F): the best places covered first; the best places shown first.
    """

    shares: NDArray[np.float64]
    deletion: NDArray[np.float64]
    insertion: NDArray[np.float64]

    def areas(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the areas (N,) under deletion (low is good) and insertion (high is good)."""
        deletion = trapezoid(self.deletion, self.shares, axis=1)
        return deletion, trapezoid(self.insertion, self.shares, axis=1)


def trace_curves(
    images_rgb: Sequence[Image],
    ranked: Maps,
    *,
    backbone: Backbone,
    decision: Decision,
    faces: Faces | None = None,
) -> Curves:
    """Cover and show the places of each crop in the order of a map.

    Parameters
    ----------
    images_rgb
        N crops (H, W, 3) uint8, RGB.
    ranked
        (N, h, w), greatest where the evidence for the answer given is said to be; brought to 8 x 8
        cells.
    backbone, decision
        Asked about each of the covered crops, 12 per crop.
    faces
        Of the crops, where the decision reads more than pixels; what is covered moves none of it.

    References
    ----------
    Petsiuk et al. (2018), RISE, arXiv 1806.07421 (deletion and insertion; there of probabilities).
    """
    orders = np.argsort(-resize_maps(ranked, CELLS).reshape(len(ranked), -1), kind="stable")
    perturbed, times = _iter_perturbed(images_rgb, orders), 2 * len(SHARES) + 2
    seen = None if faces is None else faces.repeat(times)
    logits = measure_logits(perturbed, backbone, [decision], seen)[0]
    by_crop = logits.reshape(len(images_rgb), times)
    by_crop = by_crop * np.where(by_crop[:, :1] < 0, -1, 1)  # towards the answer given
    whole, nothing = by_crop[:, :1], by_crop[:, 1:2]
    deletion, insertion = np.split(by_crop[:, 2:], 2, axis=1)
    return Curves(
        np.array(CURVE_SHARES),
        np.concatenate([whole, deletion, nothing], axis=1),
        np.concatenate([nothing, insertion, whole], axis=1),
    )


def displace(maps: Maps, *, seed: int) -> Maps:
    """Return each of (N, h, w) maps moved to a random place, wrapped around, perhaps mirrored.

    The same heights and the same shapes in other places. A map that marks the middle of every crop
    would often do better than that, for faces are there: what speaks for the map itself is that
    it depends on the probe.
    """
    rng = np.random.default_rng(seed)
    moved = []
    for each in maps:
        rows, columns = divmod(int(rng.integers(1, each.size)), each.shape[1])  # never (0, 0)
        turned = each[:, ::-1] if rng.integers(2) else each
        moved.append(np.roll(turned, (rows, columns), axis=(0, 1)))
    return np.stack(moved) if moved else maps


def correlate_maps(first: Maps, second: Maps) -> NDArray[np.float64]:
    """Return the Spearman correlation (N,) over the positions of (N, h, w) maps.

    Not a number where one of the two is the same everywhere.
    """
    ranks = [rankdata(each.reshape(len(each), -1), axis=1) for each in (first, second)]
    a, b = (each - each.mean(axis=1, keepdims=True) for each in ranks)
    spread = np.sqrt((a**2).sum(axis=1) * (b**2).sum(axis=1))
    products = np.asarray((a * b).sum(axis=1))
    correlation = np.full(len(products), np.nan)
    np.divide(products, spread, out=correlation, where=spread > _LEAST_SPREAD)
    return correlation


def point(
    ranked: Maps, truth: NDArray[np.floating]
) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Tell whether each map is greatest in the true part (the pointing game).

    Parameters
    ----------
    ranked
        (N, h, w) maps.
    truth
        (N, side, side), the share of each pixel that belongs to the true part.

    Returns
    -------
    tuple
        (N,) whether the map, enlarged, is greatest no further from the true part than half of one
        of its positions, all that it can resolve; (N,) the area of the places that would count.

    References
    ----------
    Zhang et al. (2018), Top-down neural attention by excitation backprop,
    doi:10.1007/s11263-017-1059-x (there 15 pixels off are allowed).
    """
    side = truth.shape[-1]
    reach = side // (2 * max(ranked.shape[1:]))
    near = maximum_filter(truth >= 0.5, size=(1, 2 * reach + 1, 2 * reach + 1))
    best = resize_maps(ranked, side).reshape(len(ranked), -1).argmax(axis=1)
    hit = near.reshape(len(near), -1)[np.arange(len(near)), best]
    return np.asarray(hit), np.asarray(near.mean(axis=(1, 2)))


def resize_maps(maps: Maps, side: int) -> Maps:
    """Return (N, side, side) maps: averaged to fewer cells, interpolated to more."""
    mode = "area" if maps.shape[1] >= side else "bilinear"
    whole = torch.from_numpy(np.ascontiguousarray(maps, dtype=np.float32))[:, None]
    align = None if mode == "area" else False
    return np.asarray(interpolate(whole, (side, side), mode=mode, align_corners=align)[:, 0])


def _iter_perturbed(images_rgb: Sequence[Image], orders: NDArray[np.int64]) -> Iterator[Image]:
    """Yield each crop whole, all covered, then with its best places covered, then shown."""
    for image, order in zip(images_rgb, orders, strict=True):
        whole = fit_to_input(image)
        blurred = blur(whole)
        yield whole
        yield blurred
        masks = [_mask(order, share) for share in SHARES]
        yield from (cover(whole, blurred, mask) for mask in masks)
        yield from (cover(whole, blurred, 1 - mask) for mask in masks)


def _mask(order: NDArray[np.int64], share: float) -> NDArray[np.float64]:
    mask = np.zeros(CELLS * CELLS)
    mask[order[: round(share * len(order))]] = 1
    return mask.reshape(CELLS, CELLS)
