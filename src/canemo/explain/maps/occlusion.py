"""Occlusion: what the logit loses when a part of the crop cannot be seen."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PilImage
from PIL import ImageFilter

from canemo.explain.decision import Decision, Maps
from canemo.explain.faces import Faces, see
from canemo.features.poolings import pool
from canemo.networks.backbones import INPUT_SIDE_PX, Backbone
from canemo.records import Image

CELLS = 8
"""Rows and columns of an occlusion map."""

WINDOW = 2  # cells: a covered square is a quarter of the crop wide
BLUR = 0.1
"""Standard deviation of the blur that covers a part, as a share of the crop's side."""

_FEATHER = 0.01  # likewise of the border of a covered part: a hard edge is a sight of its own
_AT_ONCE = 16


def map_occlusion(
    images_rgb: Sequence[Image],
    backbone: Backbone,
    decisions: Sequence[Decision],
    faces: Faces | None = None,
) -> Maps:
    """Return what each logit loses when a square around a place is covered, (M, N, 8, 8).

    A square of a quarter of the crop's width, blurred beyond recognition, goes over the crop in
    steps of an eighth; the loss of each is shared out evenly over its four cells, and a cell has
    the mean of its shares. Evidence that adds up is thus found in the size it has, but for some of
    it at the border. 50 passes of the backbone per crop serve all M decisions.

    References
    ----------
    Zeiler & Fergus (2014), Visualizing and understanding convolutional networks,
    doi:10.1007/978-3-319-10590-1_53.
    """
    windows = _slide()
    masks = np.repeat(windows[None], len(images_rgb), axis=0)
    losses = measure_losses(images_rgb, masks, backbone, decisions, faces)  # (M, N, W)
    share = windows / windows.sum(axis=0) / WINDOW**2
    return np.asarray(np.einsum("mnw,wrc->mnrc", losses, share), dtype=np.float32)


def measure_losses(
    images_rgb: Sequence[Image],
    masks: NDArray[np.floating],
    backbone: Backbone,
    decisions: Sequence[Decision],
    faces: Faces | None = None,
) -> NDArray[np.float64]:
    """Return what each logit loses when parts of each crop are covered, (M, N, R).

    Parameters
    ----------
    images_rgb
        N crops (H, W, 3) uint8, RGB.
    masks
        (N, R, h, w), 0 to 1, of any size: 1 where a part is covered.
    backbone
        Embeds every crop R + 1 times.
    decisions
        M of them.
    faces
        Of the crops, where a decision reads more than pixels; what is covered moves none of it.
    """
    covered, times = _iter_covered(images_rgb, masks), masks.shape[1] + 1
    seen = None if faces is None else faces.repeat(times)
    logits = measure_logits(covered, backbone, decisions, seen)
    by_crop = logits.reshape(len(decisions), len(images_rgb), times)
    return np.asarray(by_crop[..., :1] - by_crop[..., 1:])


def measure_logits(
    images_rgb: Iterable[Image],
    backbone: Backbone,
    decisions: Sequence[Decision],
    faces: Faces | None = None,
) -> NDArray[np.float64]:
    """Return the logits of crops, (M, N); no more than a few crops are held at a time.

    `faces` are of the N crops, where a decision reads more than pixels.
    """
    crops, parts, start = iter(images_rgb), [], 0
    poolings = dict.fromkeys(decision.pooling for decision in decisions)
    while some := list(islice(crops, _AT_ONCE)):
        own = None if faces is None else faces.take(slice(start, start + len(some)))
        features = see(some, backbone, own)
        pooled = {pooling: pool(features, pooling) for pooling in poolings}
        parts.append(np.stack([each.measure_logits(pooled[each.pooling]) for each in decisions]))
        start += len(some)
    return np.concatenate(parts, axis=1) if parts else np.empty((len(decisions), 0))


def fit_to_input(image_rgb: Image) -> Image:
    """Return a crop as large as a backbone takes it."""
    size = (INPUT_SIDE_PX, INPUT_SIDE_PX)
    resized = PilImage.fromarray(image_rgb).resize(size, PilImage.Resampling.BICUBIC)
    return np.asarray(resized)


def blur(image_rgb: Image) -> Image:
    """Return a crop of the backbone's size in which no part of a face can be recognised."""
    radius = BLUR * INPUT_SIDE_PX
    return np.asarray(PilImage.fromarray(image_rgb).filter(ImageFilter.GaussianBlur(radius)))


def cover(image_rgb: Image, blurred_rgb: Image, mask: NDArray[np.floating]) -> Image:
    """Return a crop with its blurred self where a mask (h, w), 0 to 1, is 1."""
    height, width = image_rgb.shape[:2]
    small = PilImage.fromarray((np.clip(mask, 0, 1) * 255).round().astype(np.uint8))
    full = small.resize((width, height), PilImage.Resampling.NEAREST)
    soft = full.filter(ImageFilter.GaussianBlur(_FEATHER * width))
    layers = PilImage.fromarray(blurred_rgb), PilImage.fromarray(image_rgb)
    return np.asarray(PilImage.composite(*layers, soft))


def _iter_covered(images_rgb: Sequence[Image], masks: NDArray[np.floating]) -> Iterator[Image]:
    """Yield each crop as it is, then with each of its parts covered."""
    for image, parts in zip(images_rgb, masks, strict=True):
        whole = fit_to_input(image)
        blurred = blur(whole)
        yield whole
        for part in parts:
            yield cover(whole, blurred, part)


def _slide() -> NDArray[np.float64]:
    """Return the squares, (W, 8, 8), 1 where one covers a cell."""
    steps = CELLS - WINDOW + 1
    windows = np.zeros((steps * steps, CELLS, CELLS))
    for number in range(len(windows)):
        row, column = divmod(number, steps)
        windows[number, row : row + WINDOW, column : column + WINDOW] = 1
    return windows
