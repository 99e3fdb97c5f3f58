"""Random changes to a face crop before it is embedded for training (2022 paper, section 3.2)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image as PilImage
from torchvision.transforms.v2 import functional

from canemo.config import AugmentConfig
from canemo.records import Image


def augment_crop(
    image_rgb: Image, settings: AugmentConfig, *, side_px: int, seed: Sequence[int]
) -> Image:
    """Return one augmented view of a crop: a part of it, resized, perhaps flipped, colours shifted.

    Parameters
    ----------
    image_rgb
        (H, W, 3) uint8, RGB; not changed.
    settings
        How strong the changes are.
    side_px
        Side of the result [pixels].
    seed
        Whole numbers; equal ones give equal views.

    Returns
    -------
    Image
        (side_px, side_px, 3) uint8, RGB.

    Notes
    -----
    The part is resized as the whole crop is at test time (bicubic, antialiased), so that only the
    stated changes tell training from test.

    References
    ----------
    Boneh-Shitrit et al. (2022), section 3.2, arXiv:2206.05619.
    """
    rng = np.random.default_rng(list(seed))
    box = _draw_part(image_rgb.shape[1], image_rgb.shape[0], settings, rng)
    view = PilImage.fromarray(image_rgb).resize(
        (side_px, side_px), PilImage.Resampling.BICUBIC, box=box
    )
    if rng.random() < settings.flip:
        view = view.transpose(PilImage.Transpose.FLIP_LEFT_RIGHT)
    return np.asarray(_jitter_colours(view, settings, rng))


def _draw_part(
    width: int, height: int, settings: AugmentConfig, rng: np.random.Generator
) -> tuple[float, float, float, float]:
    """Return (x0, y0, x1, y1) of a part with the drawn share of the area and relative aspect."""
    area = rng.uniform(*settings.area)
    aspect = np.exp(rng.uniform(*np.log(settings.aspect)))
    w = width * min(1.0, float(np.sqrt(area * aspect)))
    h = height * min(1.0, float(np.sqrt(area / aspect)))
    x0, y0 = rng.uniform(0, width - w), rng.uniform(0, height - h)
    return x0, y0, min(x0 + w, width), min(y0 + h, height)


def _jitter_colours(
    view: PilImage.Image, settings: AugmentConfig, rng: np.random.Generator
) -> PilImage.Image:
    """Apply torchvision's four colour changes in random order, as its ColorJitter does."""
    changes = (
        (functional.adjust_brightness, settings.brightness, 1.0),
        (functional.adjust_contrast, settings.contrast, 1.0),
        (functional.adjust_saturation, settings.saturation, 1.0),
        (functional.adjust_hue, settings.hue, 0.0),
    )
    for index in rng.permutation(len(changes)):
        adjust, strength, neutral = changes[index]
        if strength > 0:
            view = adjust(view, float(rng.uniform(neutral - strength, neutral + strength)))
    return view
