"""One picture: where it is cut out, how it is coded and shrunk, how bright and how sharp it is."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image as PilImage

from canemo.config import CropConfig
from canemo.records import Box, Image

SHARPNESS_SIDE_PX = 112


def cut_box(box: Box, *, width: int, height: int, crop: CropConfig) -> tuple[int, int, int, int]:
    """Return the whole-pixel rectangle to cut for a face box.

    A square that sticks out of the picture is moved back inside; only where it is larger than
    the picture is it cut off. Nothing is ever padded.
    """
    x0, y0, x1, y1 = box
    w, h = (x1 - x0) * (1 + 2 * crop.margin), (y1 - y0) * (1 + 2 * crop.margin)
    if crop.square:
        w = h = max(w, h)
    left, right = _fit((x0 + x1) / 2, w, width)
    top, bottom = _fit((y0 + y1) / 2, h, height)
    return left, top, right, bottom


def decode_jpeg(data: bytes) -> Image:
    """Return the picture (H, W, 3) uint8, RGB."""
    with PilImage.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("RGB"))


def encode_jpeg(image_rgb: Image, *, quality: int) -> bytes:
    """Return JPEG bytes without chroma subsampling."""
    buffer = io.BytesIO()
    PilImage.fromarray(image_rgb).save(buffer, "JPEG", quality=quality, subsampling=0)
    return buffer.getvalue()


def shrink(image_rgb: Image, *, max_short_side_px: int) -> Image:
    """Return the picture with its short side at most `max_short_side_px`, aspect kept."""
    if min(image_rgb.shape[:2]) <= max_short_side_px:
        return image_rgb
    return np.asarray(_resize(PilImage.fromarray(image_rgb), short_side_px=max_short_side_px))


def compute_brightness(image_rgb: Image) -> float:
    """Compute the mean luma (ITU-R BT.601) of a picture (H, W, 3) uint8, RGB: 0 to 255."""
    return float(np.asarray(_luma(image_rgb)).mean())


def compute_sharpness(image_rgb: Image) -> float:
    """Compute the variance of the Laplacian of a picture's luma, at 112 pixels of short side.

    Parameters
    ----------
    image_rgb
        (H, W, 3) uint8, RGB.

    Returns
    -------
    float
        Squared steps of luma (0 to 255); 0 where all is one colour, larger where edges are crisp.

    Notes
    -----
    One size for all, so that a near dog is not sharper than a far one merely for its pixels; a
    smaller crop is enlarged and is as soft as it looks. Noise counts as sharpness.

    References
    ----------
    Pech-Pacheco et al. (2000), Diatom autofocusing in brightfield microscopy: a comparative study,
    ICPR, doi:10.1109/ICPR.2000.903548.
    """
    luma = np.asarray(_resize(_luma(image_rgb), short_side_px=SHARPNESS_SIDE_PX), dtype=np.float32)
    inner = luma[1:-1, 1:-1]
    around = luma[:-2, 1:-1] + luma[2:, 1:-1] + luma[1:-1, :-2] + luma[1:-1, 2:]
    return float((around - 4 * inner).var(dtype=np.float64))


def _luma(image_rgb: Image) -> PilImage.Image:
    return PilImage.fromarray(image_rgb).convert("L")


def _resize(image: PilImage.Image, *, short_side_px: int) -> PilImage.Image:
    scale = short_side_px / min(image.size)
    width, height = (max(1, round(side * scale)) for side in image.size)
    return image.resize((width, height), PilImage.Resampling.BICUBIC, reducing_gap=3)


def _fit(centre: float, size: float, limit: int) -> tuple[int, int]:
    size = min(size, limit)
    start = min(max(0.0, centre - size / 2), limit - size)
    first = int(start)
    return first, max(first + 1, min(limit, round(start + size)))
