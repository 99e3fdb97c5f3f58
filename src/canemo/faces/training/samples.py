"""What a Mask R-CNN is trained on: subjects kept aside, images changed at random, masks."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import PIL.Image
import PIL.ImageDraw
import PIL.ImageEnhance
import torch
from numpy.typing import NDArray
from torch import Tensor

from canemo.errors import SplitError
from canemo.faces.annotations.annotated_images import open_annotated
from canemo.faces.detect.mask_rcnn import resize_image
from canemo.faces.training.evaluate import load_image
from canemo.faces.training.records import Counts, MaskRCNNTraining
from canemo.formats.boxes.coco import AnnotatedImage
from canemo.formats.boxes.shapes import Polygon
from canemo.records import Box, Image

logger = logging.getLogger(__name__)


def draw_held_out(
    images: Sequence[AnnotatedImage], subject_ids: Sequence[str], *, share: float, seed: int
) -> tuple[str, ...]:
    """Draw the subjects that measure the training, among those with a box.

    Parameters
    ----------
    images, subject_ids
        The images and, in the same order, whom they show.
    share
        Share of the subjects, at least one of them.
    seed
        Of the draw.

    Raises
    ------
    SplitError
        If the lengths differ or fewer than two subjects have a box.
    """
    if len(images) != len(subject_ids):
        raise SplitError(
            f"There are {len(images)} images and {len(subject_ids)} subjects for them."
        )
    marked = sorted(
        {who for who, image in zip(subject_ids, images, strict=True) if image.boxes_xyxy}
    )
    if len(marked) < 2:
        raise SplitError(
            f"Boxes are drawn on images of {len(marked)} subjects {marked}; two are the least: one "
            "to train on and one to measure on. Mark faces of another subject."
        )
    count = min(max(1, round(share * len(marked))), len(marked) - 1)
    drawn = np.random.default_rng(seed).permutation(len(marked))[:count]
    return tuple(sorted(marked[index] for index in drawn))


def check_files(images: Iterable[AnnotatedImage]) -> None:
    """Open every file's header, so that a broken one is found before hours of training.

    Raises
    ------
    AnnotationError
        If an image cannot be read or has not the size its annotations say.
    """
    for image in images:
        with open_annotated(image):
            pass


def count_boxes(images: Sequence[AnnotatedImage]) -> Counts:
    """Count images, boxes and boxes with a polygon."""
    boxes = [polygons for image in images for polygons in image.polygons]
    return Counts(len(images), len(boxes), sum(1 for polygons in boxes if polygons))


def warn_of_bare_boxes(counts: Counts) -> None:
    """Say once how many boxes train with box-shaped masks."""
    bare = counts.boxes - counts.polygons
    if bare:
        logger.warning(
            "%d of %d boxes have no polygon: the whole box counts as the face's mask there; boxes "
            "are learnt all the same, outlines are not",
            bare,
            counts.boxes,
        )


@dataclass(frozen=True)
class TrainingSample:
    """What the network sees: (H, W, 3) uint8 RGB, boxes (N, 4) [px], masks (N, H, W) of 0 and 1."""

    image_rgb: Image
    boxes_xyxy: NDArray[np.float32]
    masks: NDArray[np.uint8]

    def to_target(self, device: str) -> dict[str, Tensor]:
        """Return torchvision's target; every box is a face."""
        return {
            "boxes": torch.tensor(self.boxes_xyxy, device=device),
            "labels": torch.ones(len(self.boxes_xyxy), dtype=torch.int64, device=device),
            "masks": torch.tensor(self.masks, device=device),
        }


def compose_sample(
    annotated: AnnotatedImage, config: MaskRCNNTraining, rng: np.random.Generator
) -> TrainingSample:
    """Decode an image and change size, side and colours at random; its faces go along."""
    image_rgb = load_image(annotated)
    jitter = math.exp(rng.uniform(*np.log([1 - config.scale_jitter, 1 + config.scale_jitter])))
    resized = resize_image(
        image_rgb, round(config.short_side_px * jitter), round(config.long_side_px * jitter)
    )
    height, width = resized.shape[:2]
    scale = width / annotated.width, height / annotated.height
    boxes = np.array(annotated.boxes_xyxy, np.float32).reshape(-1, 4) * np.tile(scale, 2)
    masks = [
        rasterise_polygons(polygons or (_corners(box),), (width, height), scale=scale)
        for box, polygons in zip(annotated.boxes_xyxy, annotated.polygons, strict=True)
    ]
    stacked = np.stack(masks) if masks else np.zeros((0, height, width), np.uint8)
    if rng.random() < config.flip_share:
        resized, stacked = resized[:, ::-1], stacked[:, :, ::-1]
        boxes[:, [0, 2]] = width - boxes[:, [2, 0]]
    return TrainingSample(
        _change_colours(resized, config.colour_jitter, rng),
        boxes.astype(np.float32),
        np.ascontiguousarray(stacked),
    )


def _corners(box: Box) -> Polygon:
    x0, y0, x1, y1 = box
    return (x0, y0), (x1, y0), (x1, y1), (x0, y1)


def rasterise_polygons(
    polygons: Sequence[Polygon], size: tuple[int, int], *, scale: tuple[float, float] = (1.0, 1.0)
) -> NDArray[np.uint8]:
    """Fill outlines into a mask: a pixel belongs to the face if its middle lies inside.

    Parameters
    ----------
    polygons
        One or more outlines; the mask is their union.
    size
        Width and height of the mask [px].
    scale
        Mask pixels per polygon pixel in x and y.

    Returns
    -------
    ndarray
        (H, W) uint8, 0 and 1.
    """
    fine = 4  # Pillow draws on whole pixels, edges included; a finer grid makes that a quarter
    factor = np.multiply(scale, fine)
    canvas = PIL.Image.new("L", (size[0] * fine, size[1] * fine))
    draw = PIL.ImageDraw.Draw(canvas)
    for polygon in polygons:
        corners = np.rint(np.asarray(polygon, np.float64) * factor)
        draw.polygon([(x, y) for x, y in corners.tolist()], fill=1)
    return np.asarray(canvas)[fine // 2 :: fine, fine // 2 :: fine].copy()


def _change_colours(image_rgb: Image, spread: float, rng: np.random.Generator) -> Image:
    image = PIL.Image.fromarray(np.ascontiguousarray(image_rgb))
    for enhancer in (
        PIL.ImageEnhance.Brightness,
        PIL.ImageEnhance.Contrast,
        PIL.ImageEnhance.Color,
    ):
        image = enhancer(image).enhance(float(rng.uniform(1 - spread, 1 + spread)))
    return np.asarray(image)
