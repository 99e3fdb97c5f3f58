"""Sheets of face crops and of heat maps laid over them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image as PilImage

from canemo.records import Image
from canemo.report.charts.canvas import INK, MUTED, PAGE_WIDTH_IN, set_literal_text, shorten

COLOUR_MAP = "inferno"
FOR_RGB, AGAINST_RGB = (230, 97, 0), (30, 100, 220)
"""Colours of evidence for a label and against it; they stay apart for the colour-blind."""

OPACITY = 0.75
"""How much of the crop the colour covers where the map is 1; where it is 0 the crop shows whole."""

_HEADING_IN, _CAPTION_IN, _GAP_IN, _SCALE_IN = 0.34, 0.19, 0.07, 0.55


def draw_crop_sheet(
    crops: Mapping[str, Sequence[tuple[str, Image]]], *, columns: int = 6
) -> Figure:
    """Draw example crops, label by label, as figure 2 of Boneh-Shitrit et al. (2022).

    `crops` are, by label, pairs of a caption (say, the dog) and a crop (H, W, 3) uint8, RGB.
    """
    rows = {
        label: [pairs[first : first + columns] for first in range(0, len(pairs), columns)]
        for label, pairs in crops.items()
    }
    return draw_picture_rows(rows, columns=columns)


def draw_model_cams(
    rows: Mapping[str, Sequence[tuple[str, Image, Sequence[NDArray[np.floating[Any]]]]]],
    *,
    models: Sequence[str],
    scale_title: str,
) -> Figure:
    """Draw maps of several models on the same crops: a line per crop, the crop on the left.

    Parameters
    ----------
    rows
        By label, triples of a caption, a crop (H, W, 3) uint8, RGB, and one map (h, w), 0 to 1, per
        model. As figure 4 of Boneh-Shitrit et al. (2022), with one example or several per label.
    models
        Names of the columns, in the order of the maps.
    scale_title
        What the colours mean. One scale from 0 to 1 holds for all maps.
    """
    lines = {
        label: [
            [(caption, image)]
            + [(model, overlay_cam(image, cam)) for model, cam in zip(models, cams, strict=True)]
            for caption, image, cams in some
        ]
        for label, some in rows.items()
    }
    return draw_picture_rows(lines, scale_title=scale_title)


def draw_picture_rows(
    rows: Mapping[str, Sequence[Sequence[tuple[str, Image]]]],
    *,
    scale_title: str = "",
    signed: bool = False,
    columns: int = 4,
) -> Figure:
    """Draw rows of captioned pictures, label by label, over one scale of colours if it has a title.

    A picture is (H, W, 3) uint8, RGB. The scale runs from 0 to 1 (`overlay_cam`) or, `signed`, from
    -1 to 1 (`overlay_evidence`). There is room for as many `columns` at least.
    """
    widest = max((len(pairs) for lines in rows.values() for pairs in lines), default=1)
    bottom_in = _SCALE_IN if scale_title else 0
    figure = _lay_out(rows, columns=max(widest, columns), bottom_in=bottom_in)
    if scale_title:
        _add_scale(figure, scale_title, signed=signed)
    return set_literal_text(figure)


def overlay_cam(image_rgb: Image, cam: NDArray[np.floating[Any]]) -> Image:
    """Lay a map over an image: the greater the value, the more its colour covers the image.

    Parameters
    ----------
    image_rgb
        (H, W, 3) uint8, RGB.
    cam
        (h, w) values 0 to 1, of any size; brought to (H, W) bilinearly.

    Returns
    -------
    Image
        A new (H, W, 3) uint8 image; equal to `image_rgb` where the map is 0.

    Raises
    ------
    ValueError
        `cam` is not two-dimensional or holds values outside 0 to 1.
    """
    _check_cam(cam, 0)
    full = _enlarge(cam, image_rgb).clip(0, 1)
    return _blend(image_rgb, colormaps[COLOUR_MAP](full)[..., :3] * 255, full)


def overlay_evidence(image_rgb: Image, evidence: NDArray[np.floating[Any]]) -> Image:
    """Do the same with a map of -1 to 1: orange where it speaks for a label, blue against it."""
    _check_cam(evidence, -1)
    full = _enlarge(evidence, image_rgb).clip(-1, 1)
    colour = np.where(full[..., None] >= 0, np.array(FOR_RGB), np.array(AGAINST_RGB))
    return _blend(image_rgb, colour, np.abs(full))


def take_colour(image_rgb: Image) -> Image:
    """Return an image in grey, as large as it was."""
    grey = np.asarray(PilImage.fromarray(image_rgb).convert("L"))
    return np.repeat(grey[..., np.newaxis], 3, axis=2)


def _enlarge(cam: NDArray[np.floating[Any]], image_rgb: Image) -> NDArray[np.float32]:
    height, width = image_rgb.shape[:2]
    small = PilImage.fromarray(np.ascontiguousarray(cam, dtype=np.float32))
    return np.asarray(small.resize((width, height), PilImage.Resampling.BILINEAR))


def _blend(image_rgb: Image, colour: NDArray[Any], strength: NDArray[np.floating[Any]]) -> Image:
    """Return the image, covered by the colour (H, W, 3) the more the greater the strength."""
    cover = (OPACITY * strength)[..., np.newaxis]
    blended: Image = np.rint((1 - cover) * image_rgb + cover * colour).astype(np.uint8)
    return blended


def _check_cam(cam: NDArray[np.floating[Any]], least: int) -> None:
    if cam.ndim != 2 or cam.size == 0:
        raise ValueError(f"a map is (h, w), got shape {cam.shape}")
    low, high = float(cam.min()), float(cam.max())
    if not (low >= least - 1e-6 and high <= 1 + 1e-6):
        raise ValueError(
            f"a map holds values {least} to 1, got {low:g} to {high:g}; scale it first"
        )


def _lay_out(
    rows: Mapping[str, Sequence[Sequence[tuple[str, Image]]]], *, columns: int, bottom_in: float
) -> Figure:
    """Place pictures on a sheet of page width, one block with a heading per label."""
    side = (PAGE_WIDTH_IN + _GAP_IN) / columns - _GAP_IN
    line = side + _CAPTION_IN + _GAP_IN
    height = sum(_HEADING_IN + len(lines) * line for lines in rows.values()) + bottom_in
    figure = Figure(figsize=(PAGE_WIDTH_IN, height or _HEADING_IN), facecolor="white")
    axes = _add_sheet(figure)
    top = height
    for label, lines in rows.items():
        top -= _HEADING_IN
        heading_y = (top + 0.1) / height
        figure.text(0, heading_y, shorten(label, 80), fontsize=10.5, fontweight="bold", color=INK)
        for pairs in lines:
            for column, (caption, image) in enumerate(pairs):
                left = column * (side + _GAP_IN)
                _place(axes, image, left_in=left, top_in=top, side_in=side)
                x, y = left / PAGE_WIDTH_IN, (top - side - 0.04) / height
                text = shorten(caption, max(int(side * 14), 4))
                figure.text(x, y, text, fontsize=8, color=MUTED, va="top")
            top -= line
    return figure


def _add_sheet(figure: Figure) -> Axes:
    """Add what all pictures lie on [inches from below left]; one for each would take long."""
    axes = figure.add_axes((0, 0, 1, 1))
    width, height = figure.get_size_inches()
    axes.set(xlim=(0, width), ylim=(0, height), autoscale_on=False)
    axes.axis("off")
    return axes


def _place(axes: Axes, image: Image, *, left_in: float, top_in: float, side_in: float) -> None:
    """Put a picture in the upper left of its square, as large as it can be."""
    height, width = image.shape[:2]
    scale = side_in / max(height, width)
    edges = (left_in, left_in + width * scale, top_in - height * scale, top_in)
    axes.imshow(image, interpolation="antialiased", aspect="auto", extent=edges)


def _add_scale(figure: Figure, title: str, *, signed: bool = False) -> None:
    """Draw the one colour scale under the sheet, as it looks over a mid-grey picture."""
    height = figure.get_figheight()
    least = -1 if signed else 0
    axes = figure.add_axes((0.25, 0.33 / height, 0.5, 0.09 / height))
    grey = np.full((1, 256, 3), 128, dtype=np.uint8)
    overlay = overlay_evidence if signed else overlay_cam
    steps = overlay(grey, np.linspace(least, 1, 256)[np.newaxis])
    axes.imshow(steps, aspect="auto", extent=(least, 1, 0, 1))
    axes.set_yticks([])
    ticks = (-1, 0, 1) if signed else (0, 0.5, 1)
    axes.set_xticks(ticks, labels=[f"{tick:g}" for tick in ticks])
    axes.tick_params(labelsize=8, length=2, color=MUTED, labelcolor=INK, pad=1.5)
    axes.spines[:].set_visible(False)
    figure.text(0.5, 0.01 / height, title, fontsize=8, color=MUTED, ha="center", va="bottom")
