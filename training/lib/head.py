"""Train the head detector on boxes: images in memory, augmentation, loop. Everything is seeded."""

from __future__ import annotations

import hashlib
import io
import logging
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import PIL.Image
import PIL.ImageEnhance
import PIL.ImageFilter
import PIL.ImageOps
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torchvision.models.detection import FCOS

from canemo.errors import AnnotationError
from canemo.faces.annotations.annotated_images import open_annotated
from canemo.faces.detect.head_fcos import (
    GREY,
    build_network,
    load_imagenet_backbone,
    normalise_pixels,
    run_network,
)
from canemo.formats.boxes.coco import AnnotatedImage
from canemo.formats.boxes.shapes import measure_area
from canemo.records import Image

_LOG = logging.getLogger(__name__)

Boxes: TypeAlias = NDArray[np.float32]
"""(N, 4) float32, `(x0, y0, x1, y1)` in pixels."""


@dataclass(frozen=True)
class TrainingImage:
    """One image in memory: (H, W, 3) uint8 RGB, all its boxes, and how often it is drawn."""

    image_rgb: Image
    boxes_xyxy: Boxes
    weight: float = 1.0


@dataclass(frozen=True)
class TrainingConfig:
    """How to train; one epoch is `images_per_epoch` freshly augmented images.

    Learning rates are the peaks of a one-cycle schedule. `frozen_blocks` first blocks of the
    backbone keep their weights. `negative_share` of the images show no head at all.
    """

    input_size: int = 288
    epochs: int = 12
    images_per_epoch: int = 2048
    batch_size: int = 16
    head_learning_rate: float = 2e-3
    backbone_learning_rate: float = 5e-4
    weight_decay: float = 0.02
    ema_decay: float = 0.995
    frozen_blocks: int = 2
    mosaic_share: float = 0.3
    negative_share: float = 0.1
    seed: int = 0


def is_held_out(stem: str, *, fraction: float = 0.2) -> bool:
    """Tell whether a file belongs to the held-out part, from the hash of its name alone.

    The same photograph in two folders falls on the same side, whatever else the folders hold.
    """
    digest = hashlib.sha256(stem.encode("utf-8")).digest()
    return bool(int.from_bytes(digest[:8], "big") < fraction * 2**64)


def load_training_image(
    annotated: AnnotatedImage,
    *,
    max_side: int = 400,
    aspect: float | None = None,
    weight: float = 1.0,
) -> TrainingImage:
    """Decode an image, shrunk to what training needs.

    Parameters
    ----------
    annotated
        The image and its boxes.
    max_side
        Longer side of the result at most [px].
    aspect
        True width / height where the file was squashed; None keeps the file's own.
    weight
        How often the image is drawn, relative to the others.

    Raises
    ------
    AnnotationError
        If the file cannot be read or has not the size that the annotations state.
    """
    with open_annotated(annotated) as file:
        image = file.convert("RGB")
    size = _training_size(image.size, aspect, max_side)
    resized = image.resize(size, PIL.Image.Resampling.BICUBIC)
    scale = np.tile(np.divide(size, image.size), 2)
    boxes = np.array(annotated.boxes_xyxy, dtype=np.float32).reshape(-1, 4) * scale
    return TrainingImage(np.asarray(resized), boxes.astype(np.float32), weight)


def _training_size(
    file_size: tuple[int, int], aspect: float | None, max_side: int
) -> tuple[int, int]:
    width, height = float(file_size[0]), float(file_size[1])
    if aspect is not None:
        width, height = (width, width / aspect) if aspect < 1 else (height * aspect, height)
    scale = min(1.0, max_side / max(width, height))
    return max(1, round(width * scale)), max(1, round(height * scale))


def crop_beside_head(image: TrainingImage, *, min_side: int = 64) -> TrainingImage | None:
    """Return the largest part of an image with one box that lies wholly beside the box.

    It shows a dog's body or the background: what is near a head but is none. None where no part
    is at least `min_side` [px] wide and high.
    """
    if len(image.boxes_xyxy) != 1:
        return None
    height, width = image.image_rgb.shape[:2]
    x0, y0, x1, y1 = (round(float(value)) for value in image.boxes_xyxy[0])
    parts = [(0, 0, x0, height), (x1, 0, width, height), (0, 0, width, y0), (0, y1, width, height)]
    left, top, right, bottom = max(parts, key=measure_area)
    if min(right - left, bottom - top) < min_side:
        return None
    return TrainingImage(image.image_rgb[top:bottom, left:right], np.zeros((0, 4), np.float32))


class _Pool:
    """Images to draw from, by weight: with a head, and without."""

    def __init__(self, images: Sequence[TrainingImage]) -> None:
        self.positives = [image for image in images if len(image.boxes_xyxy)]
        self.negatives = [image for image in images if not len(image.boxes_xyxy)]
        self._edges = {
            id(group): np.cumsum([image.weight for image in group])
            for group in (self.positives, self.negatives)
        }

    def draw(self, rng: np.random.Generator, *, negative: bool = False) -> TrainingImage:
        group = self.negatives if negative and self.negatives else self.positives
        edges = self._edges[id(group)]
        index = int(np.searchsorted(edges, rng.random() * edges[-1], side="right"))
        return group[min(index, len(group) - 1)]


def compose_image(
    pool: Sequence[TrainingImage] | _Pool, config: TrainingConfig, rng: np.random.Generator
) -> tuple[Image, Boxes]:
    """Make one training image: windows of one or four images, distorted as video is.

    Returns
    -------
    canvas
        (S, S, 3) uint8, RGB.
    boxes_xyxy
        (N, 4) float32 in pixels of the canvas.
    """
    images = pool if isinstance(pool, _Pool) else _Pool(pool)
    size = config.input_size
    if rng.random() < config.mosaic_share:
        canvas, boxes = _compose_mosaic(images, size, rng)
    else:
        negative = rng.random() < config.negative_share
        canvas, boxes = _compose_single(images, size, rng, negative=negative)
    if rng.random() < 0.5:
        canvas, boxes = np.ascontiguousarray(canvas[:, ::-1]), _flip_boxes(boxes, size)
    if rng.random() < 0.35:
        canvas, boxes = _rotate(canvas, boxes, float(rng.uniform(-15, 15)))
    return _distort_pixels(canvas, rng), boxes


def _flip_boxes(boxes: Boxes, width: int) -> Boxes:
    flipped = boxes.copy()
    flipped[:, 0], flipped[:, 2] = width - boxes[:, 2], width - boxes[:, 0]
    return flipped


def _compose_mosaic(pool: _Pool, size: int, rng: np.random.Generator) -> tuple[Image, Boxes]:
    canvas = np.full((size, size, 3), GREY, dtype=np.uint8)
    middle_x, middle_y = (int(v) for v in rng.uniform(0.3, 0.7, 2) * size)
    boxes = []
    for left, right in ((0, middle_x), (middle_x, size)):
        for top, bottom in ((0, middle_y), (middle_y, size)):
            image = pool.draw(rng, negative=rng.random() < 0.3)
            zoom = math.exp(rng.uniform(math.log(0.85), math.log(2.2)))
            tile, found = _cut_window(image, (right - left, bottom - top), zoom, rng)
            canvas[top:bottom, left:right] = tile
            boxes.append(found + np.array([left, top, left, top], np.float32))
    return canvas, np.concatenate(boxes)


def _compose_single(
    pool: _Pool, size: int, rng: np.random.Generator, *, negative: bool
) -> tuple[Image, Boxes]:
    image = pool.draw(rng, negative=negative)
    if negative or rng.random() < 0.5:
        zoom = math.exp(rng.uniform(math.log(0.85), math.log(1.5)))
    else:
        zoom = _zoom_to_head(image, rng)
    background = None
    if zoom < 0.9 and pool.negatives and rng.random() < 0.6:
        background, _ = _cut_window(pool.draw(rng, negative=True), (size, size), 1.5, rng)
    return _cut_window(image, (size, size), zoom, rng, background=background)


def _zoom_to_head(image: TrainingImage, rng: np.random.Generator) -> float:
    """Choose a zoom that gives the first head 8 to 100 % of the canvas, evenly in the logarithm."""
    x0, y0, x1, y1 = image.boxes_xyxy[0]
    share = float(max(x1 - x0, y1 - y0)) / max(image.image_rgb.shape[:2])
    wanted = math.exp(rng.uniform(math.log(0.08), math.log(1.0)))
    return float(np.clip(wanted / share, 0.15, 3.0))


def _cut_window(
    image: TrainingImage,
    size: tuple[int, int],
    zoom: float,
    rng: np.random.Generator,
    *,
    background: Image | None = None,
) -> tuple[Image, Boxes]:
    """Cut a window (width, height) out of an image; at zoom 1 the whole image just fits in.

    Windows that cut a head in half are drawn again: it would be neither a head nor none.
    """
    for _ in range(8):
        window = _draw_window(image, size, zoom, rng)
        boxes, clear = _window_boxes(image.boxes_xyxy, window, size)
        if clear:
            break
    else:
        window = _draw_window(image, size, min(zoom, 1.0), rng)
        boxes, _ = _window_boxes(image.boxes_xyxy, window, size)
    return _render_window(image.image_rgb, window, size, background), boxes


_Window: TypeAlias = tuple[float, float, float, float]
"""Origin x, y in source pixels, then canvas pixels per source pixel in x and y."""


def _draw_window(
    image: TrainingImage, size: tuple[int, int], zoom: float, rng: np.random.Generator
) -> _Window:
    height, width = image.image_rgb.shape[:2]
    scale = min(size[0] / width, size[1] / height) * zoom
    stretch = math.exp(rng.normal(0.0, 0.07))
    scale_x, scale_y = scale * stretch, scale / stretch
    free_x, free_y = width - size[0] / scale_x, height - size[1] / scale_y
    return rng.random() * free_x, rng.random() * free_y, scale_x, scale_y


def _window_boxes(boxes: Boxes, window: _Window, size: tuple[int, int]) -> tuple[Boxes, bool]:
    """Return the boxes as the window shows them, and whether none is cut in half."""
    x, y, scale_x, scale_y = window
    moved = (boxes - np.array([x, y, x, y])) * np.array([scale_x, scale_y, scale_x, scale_y])
    clipped = np.clip(moved, 0, np.array([*size, *size]))
    visible = _areas(clipped) / _areas(moved)
    kept = (visible >= 0.6) & (np.minimum(*_sides(clipped)) >= 8)
    clear = bool(np.all(kept | (visible < 0.08)))
    return clipped[kept].astype(np.float32), clear


def _sides(boxes: NDArray[np.floating]) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    return boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]


def _areas(boxes: NDArray[np.floating]) -> NDArray[np.floating]:
    widths, heights = _sides(boxes)
    return widths * heights


def _render_window(
    image_rgb: Image, window: _Window, size: tuple[int, int], background: Image | None
) -> Image:
    x, y, scale_x, scale_y = window
    height, width = image_rgb.shape[:2]
    left, top = max(x, 0.0), max(y, 0.0)
    right, bottom = min(x + size[0] / scale_x, width), min(y + size[1] / scale_y, height)
    to_x, to_y = round((left - x) * scale_x), round((top - y) * scale_y)
    new_size = (
        min(size[0] - to_x, max(1, round((right - left) * scale_x))),
        min(size[1] - to_y, max(1, round((bottom - top) * scale_y))),
    )
    part = PIL.Image.fromarray(image_rgb).resize(
        new_size, PIL.Image.Resampling.BILINEAR, box=(left, top, right, bottom)
    )
    canvas = (
        background.copy()
        if background is not None
        else np.full((size[1], size[0], 3), GREY, dtype=np.uint8)
    )
    canvas[to_y : to_y + new_size[1], to_x : to_x + new_size[0]] = np.asarray(part)
    return canvas


def _rotate(canvas: Image, boxes: Boxes, angle_deg: float) -> tuple[Image, Boxes]:
    """Rotate about the middle; a box becomes the box around its turned inscribed ellipse."""
    size = canvas.shape[0]
    turned = PIL.Image.fromarray(canvas).rotate(
        angle_deg, PIL.Image.Resampling.BILINEAR, fillcolor=(GREY, GREY, GREY)
    )
    cos, sin = math.cos(math.radians(angle_deg)), math.sin(math.radians(angle_deg))
    x, y = (boxes[:, 0] + boxes[:, 2] - size) / 2, (boxes[:, 1] + boxes[:, 3] - size) / 2
    a, b = (boxes[:, 2] - boxes[:, 0]) / 2, (boxes[:, 3] - boxes[:, 1]) / 2
    new_x, new_y = x * cos + y * sin + size / 2, y * cos - x * sin + size / 2
    new_a, new_b = np.hypot(a * cos, b * sin), np.hypot(a * sin, b * cos)
    new = np.stack([new_x - new_a, new_y - new_b, new_x + new_a, new_y + new_b], axis=1)
    clipped = np.clip(new, 0, size).astype(np.float32)
    kept = _areas(clipped) > 0.5 * _areas(new)
    return np.asarray(turned), clipped[kept]


def _distort_pixels(canvas: Image, rng: np.random.Generator) -> Image:
    image = PIL.Image.fromarray(canvas)
    for enhancer, spread in (
        (PIL.ImageEnhance.Brightness, 0.35),
        (PIL.ImageEnhance.Contrast, 0.3),
        (PIL.ImageEnhance.Color, 0.4),
    ):
        if rng.random() < 0.5:
            image = enhancer(image).enhance(float(rng.uniform(1 - spread, 1 + spread)))
    if rng.random() < 0.08:
        image = PIL.ImageOps.grayscale(image).convert("RGB")
    if rng.random() < 0.12:
        image = image.filter(PIL.ImageFilter.GaussianBlur(float(rng.uniform(0.4, 1.8))))
    if rng.random() < 0.1:
        image = _lose_resolution(image, float(rng.uniform(0.3, 0.7)))
    if rng.random() < 0.2:
        image = _compress_jpeg(image, int(rng.integers(15, 70)))
    pixels = np.asarray(image)
    return _tint_and_add_noise(pixels, rng) if rng.random() < 0.3 else pixels


def _lose_resolution(image: PIL.Image.Image, factor: float) -> PIL.Image.Image:
    small = image.resize((round(image.width * factor), round(image.height * factor)))
    return small.resize(image.size, PIL.Image.Resampling.BILINEAR)


def _compress_jpeg(image: PIL.Image.Image, quality: int) -> PIL.Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    with PIL.Image.open(buffer) as file:
        return file.convert("RGB")


def _tint_and_add_noise(pixels: Image, rng: np.random.Generator) -> Image:
    gains = rng.uniform(0.85, 1.15, 3).astype(np.float32)
    noise = rng.standard_normal(pixels.shape, dtype=np.float32) * rng.uniform(0, 10)
    return np.clip(pixels * gains + noise, 0, 255).astype(np.uint8)


def train_head_detector(
    images: Sequence[TrainingImage],
    config: TrainingConfig,
    *,
    start: FCOS | None = None,
    after_epoch: Callable[[int, FCOS], None] | None = None,
) -> FCOS:
    """Train the head detector.

    Parameters
    ----------
    images
        With boxes and, as examples of what is no head, without.
    config
        How to train.
    start
        A network to start from, for example the shipped one, to fine-tune it; None starts from
        ImageNet weights. It is not changed.
    after_epoch
        Called with the number of finished epochs and the averaged network, to save it.

    Returns
    -------
    FCOS
        The exponential moving average of the weights, in evaluation mode.

    Raises
    ------
    AnnotationError
        If no image has a box.

    Notes
    -----
    Batch normalisation keeps its ImageNet statistics: the batches are small. The same seed gives
    the same images in the same order; the sums of floating point numbers may still differ between
    machines.
    """
    pool = _Pool(images)
    if not pool.positives:
        raise AnnotationError(
            f"None of the {len(images)} training images has a box; mark at least one head."
        )
    torch.manual_seed(config.seed)
    network = build_network()
    if start is None:
        load_imagenet_backbone(network)
    else:
        network.load_state_dict(start.state_dict())
    network.to(memory_format=torch.channels_last)
    return _run_epochs(network, pool, config, after_epoch)


def _run_epochs(
    network: FCOS,
    pool: _Pool,
    config: TrainingConfig,
    after_epoch: Callable[[int, FCOS], None] | None,
) -> FCOS:
    optimizer = _build_optimizer(network, config)
    steps = config.epochs * math.ceil(config.images_per_epoch / config.batch_size)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer,
        max_lr=[group["lr"] for group in optimizer.param_groups],
        total_steps=steps,
        pct_start=0.1,
    )
    follow = get_ema_multi_avg_fn(config.ema_decay)  # type: ignore[no-untyped-call]
    average = AveragedModel(network, multi_avg_fn=follow)
    averaged: FCOS = average.module.eval()
    for epoch in range(config.epochs):
        losses = []
        for pixels, boxes in _compose_batches(pool, config, epoch):
            losses.append(_take_step(network, pixels, boxes, optimizer))
            schedule.step()
            average.update_parameters(network)
        loss = np.mean(losses, axis=0).round(3).tolist()
        _LOG.info("epoch %d of %d: loss (class, box, centre) %s", epoch + 1, config.epochs, loss)
        if after_epoch is not None:
            after_epoch(epoch + 1, averaged)
    return averaged


def _compose_batches(
    pool: _Pool, config: TrainingConfig, epoch: int
) -> Iterator[tuple[Tensor, list[Tensor]]]:
    """Yield an epoch's batches; its n-th image is a function of seed, epoch and n alone."""
    for start in range(0, config.images_per_epoch, config.batch_size):
        images, boxes = [], []
        for index in range(start, min(start + config.batch_size, config.images_per_epoch)):
            rng = np.random.default_rng([config.seed, epoch, index])
            canvas, found = compose_image(pool, config, rng)
            images.append(torch.tensor(canvas).permute(2, 0, 1))
            boxes.append(torch.tensor(found))
        yield torch.stack(images), boxes


def _build_optimizer(network: FCOS, config: TrainingConfig) -> torch.optim.AdamW:
    body = network.backbone.body
    frozen: list[nn.Module] = [body.conv_stem, body.bn1, *body.blocks[: config.frozen_blocks]]
    for module in frozen:
        module.requires_grad_(requires_grad=False)
    body_parameters = {id(parameter) for parameter in body.parameters()}
    groups: list[dict[str, object]] = [
        {"params": parameters, "lr": rate}
        for rate, parameters in (
            (config.backbone_learning_rate, [p for p in body.parameters() if p.requires_grad]),
            (
                config.head_learning_rate,
                [p for p in network.parameters() if id(p) not in body_parameters],
            ),
        )
    ]
    return torch.optim.AdamW(groups, weight_decay=config.weight_decay)


def _take_step(
    network: FCOS, pixels: Tensor, boxes: list[Tensor], optimizer: torch.optim.Optimizer
) -> tuple[float, ...]:
    network.train()
    network.backbone.body.eval()  # frozen batch-normalisation statistics
    outputs, anchors, counts = run_network(network, normalise_pixels(pixels))
    targets = [{"boxes": b, "labels": torch.zeros(len(b), dtype=torch.int64)} for b in boxes]
    losses = network.compute_loss(targets, outputs, anchors, counts)
    optimizer.zero_grad(set_to_none=True)
    loss = losses["classification"] + 2.0 * losses["bbox_regression"] + losses["bbox_ctrness"]
    loss.backward()
    nn.utils.clip_grad_norm_(network.parameters(), 10.0)
    optimizer.step()
    return tuple(float(value.detach()) for value in losses.values())
