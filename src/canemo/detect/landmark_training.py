"""Train the facial landmark model: annotated faces, augmentation, loop. Everything is seeded.

Pictures are turned, scaled and spoilt in batches on the device that trains, so that the processors
beside a GPU need not keep up with it; on a CPU the same code runs slower.
"""

from __future__ import annotations

import copy
import json
import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import PIL.Image
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.detection import FCOS

from canemo.config import CropConfig
from canemo.crop_images import cut_box
from canemo.detect.annotations.shapes import clip_box
from canemo.detect.coco import AnnotatedImage, load_coco
from canemo.detect.fcos import GREY, normalise_pixels
from canemo.detect.landmarks import LandmarkNetwork, LandmarkSettings, cell_centres
from canemo.detect.training import is_held_out
from canemo.errors import AnnotationError
from canemo.face_points import MIRRORED, POINTS
from canemo.records import Box, Image

_LOG = logging.getLogger(__name__)

Points: TypeAlias = NDArray[np.float32]
"""(46, 2) float32, x and y in pixels, in the order of `canemo.face_points.POINTS`."""

_REGION_SCALE = 1.8
"""Side of what is kept around a face, in units of the crop: enough to turn, shift and widen it."""


@dataclass(frozen=True)
class LandmarkTrainingConfig:
    """How to train; a step sees `batch_size` freshly augmented faces.

    Learning rates are the peaks of a one-cycle schedule. `heat_weight` weighs the cross entropy
    between heat maps and a normal density of `heat_sigma_cells` around the true point,
    `scale_weight` the likelihood that teaches how far off points are; the mean distance, in percent
    of the crop's side, counts once. Crops are shifted by up to `shift` of their side, scaled
    between the two `zooms`, turned by up to `rotation_deg`, and hidden in part in `hidden_share` of
    the faces.
    """

    steps: int = 4000
    batch_size: int = 64
    head_learning_rate: float = 3e-3
    body_learning_rate: float = 1e-3
    weight_decay: float = 0.05
    ema_decay: float = 0.998
    heat_weight: float = 0.5
    heat_sigma_cells: float = 1.0
    scale_weight: float = 0.1
    shift: float = 0.1
    zooms: tuple[float, float] = (0.85, 1.25)
    rotation_deg: float = 30.0
    hidden_share: float = 0.3
    seed: int = 0


@dataclass(frozen=True)
class LandmarkFace:
    """One annotated face: where it lies in its picture, at the picture's true aspect.

    `box_xyxy`, `points` and `size` (width, height) are in true-aspect pixels, which are those of
    the file unless it was squashed.
    """

    image: AnnotatedImage
    size: tuple[int, int]
    box_xyxy: Box
    points: Points

    @property
    def stem(self) -> str:
        """The file name without folder and ending."""
        return self.image.stem


def load_landmark_faces(coco_file: Path) -> tuple[LandmarkFace, ...]:
    """Load the faces of a COCO file with 46 keypoints each.

    Where image entries have ``crop_width`` and ``crop_height``, the file was squashed from that
    shape; boxes and points come back at the true one.

    Raises
    ------
    AnnotationError
        As for `load_coco`; or if an annotation has not 46 keypoints.
    """
    images = load_coco(coco_file)
    content = json.loads(coco_file.read_text(encoding="utf-8-sig"))
    ids = [entry["id"] for entry in content["images"]]
    by_id = dict(zip(ids, images, strict=True))
    return tuple(
        _read_face(entry, by_id[entry["image_id"]], where=f"{coco_file}: annotations[{index}]")
        for index, entry in enumerate(content["annotations"])
    )


def _read_face(entry: dict[str, Any], image: AnnotatedImage, *, where: str) -> LandmarkFace:
    numbers = entry.get("keypoints")
    if not isinstance(numbers, list) or len(numbers) != 3 * len(POINTS):
        seen = len(numbers) if isinstance(numbers, list) else repr(numbers)
        raise AnnotationError(
            f"{where}: 'keypoints' has {seen} numbers, {3 * len(POINTS)} are wanted: x, y, v of "
            f"each of the {len(POINTS)} points of canemo.face_points, in its order."
        )
    size = _true_size(image)
    scale = np.divide(size, (image.width, image.height))
    points = np.array(numbers, dtype=np.float64).reshape(-1, 3)[:, :2] * scale
    x, y, width, height = np.array(entry["bbox"], dtype=np.float64) * np.tile(scale, 2)
    box = clip_box((x, y, x + width, y + height), width=size[0], height=size[1])
    return LandmarkFace(image, size, box, points.astype(np.float32))


def _true_size(image: AnnotatedImage) -> tuple[int, int]:
    """Return width and height at the true aspect, no side smaller than in the file."""
    if "crop_width" not in image.extra:
        return image.width, image.height
    aspect = image.extra["crop_width"] / image.extra["crop_height"]
    stretch = aspect * image.height / image.width
    if stretch < 1:
        return image.width, round(image.height / stretch)
    return round(image.width * stretch), image.height


def load_picture(face: LandmarkFace) -> Image:
    """Decode a face's whole picture at its true aspect, (H, W, 3) uint8, RGB.

    Raises
    ------
    AnnotationError
        If the file cannot be read or has not the size that the annotations state.
    """
    image = _open_picture(face.image)
    if image.size != face.size:
        image = image.resize(face.size, PIL.Image.Resampling.BICUBIC)
    return np.asarray(image)


def _open_picture(annotated: AnnotatedImage) -> PIL.Image.Image:
    try:
        with PIL.Image.open(annotated.path) as file:
            image = file.convert("RGB")
    except OSError as exc:
        raise AnnotationError(f"{annotated.path}: the image cannot be read ({exc}).") from exc
    if image.size != (annotated.width, annotated.height):
        raise AnnotationError(
            f"{annotated.path}: is {image.size[0]} x {image.size[1]} pixels, but its annotations "
            f"say {annotated.width} x {annotated.height}. Mark the points on the file itself."
        )
    return image


def crop_box(face: LandmarkFace) -> tuple[int, int, int, int]:
    """Return the rectangle that canemo cuts for a face's box (see `cut_box`)."""
    return cut_box(face.box_xyxy, width=face.size[0], height=face.size[1], crop=CropConfig())


def split_faces(
    faces: Sequence[LandmarkFace], *, choice_share: float
) -> tuple[list[LandmarkFace], list[LandmarkFace], list[LandmarkFace]]:
    """Split faces by their files' names into a part to train on, one to choose by, and the rest.

    The rest is held out as `is_held_out` says; the part to choose by are the names that a fifth
    grown by `choice_share` would hold out too.
    """
    train, choose, held_out = [], [], []
    for face in faces:
        if is_held_out(face.stem):
            held_out.append(face)
        elif is_held_out(face.stem, fraction=0.2 + choice_share):
            choose.append(face)
        else:
            train.append(face)
    return train, choose, held_out


@dataclass(frozen=True)
class FaceTensors:
    """N faces on one device, each with what is around it.

    `regions` (N, 3, C, C) uint8 RGB shows the part `region_boxes` (N, 4) of each picture, squeezed
    into a square. `crops` (N, 3) are the centre x, y and the side of the square that canemo would
    cut, `points` (N, 46, 2), `box_sizes` (N,) the square root of the box's area. All in true-aspect
    pixels of the picture.
    """

    regions: Tensor
    region_boxes: Tensor
    crops: Tensor
    points: Tensor
    box_sizes: Tensor

    def __len__(self) -> int:
        return len(self.regions)


def stack_faces(
    faces: Sequence[LandmarkFace], *, canvas_px: int = 320, device: str = "cpu"
) -> FaceTensors:
    """Decode faces and put them on a device.

    Raises
    ------
    AnnotationError
        If there are none, or a file cannot be read.
    """
    if not faces:
        raise AnnotationError("there are no faces with landmarks to train on; annotate some.")
    regions, boxes, crops = zip(*(_cut_region(face, canvas_px) for face in faces), strict=True)
    sizes = [math.sqrt((x1 - x0) * (y1 - y0)) for x0, y0, x1, y1 in (f.box_xyxy for f in faces)]
    return FaceTensors(
        torch.from_numpy(np.stack(regions)).permute(0, 3, 1, 2).contiguous().to(device),
        torch.tensor(boxes, dtype=torch.float32, device=device),
        torch.tensor(crops, dtype=torch.float32, device=device),
        torch.from_numpy(np.stack([face.points for face in faces])).to(device),
        torch.tensor(sizes, dtype=torch.float32, device=device),
    )


def _cut_region(
    face: LandmarkFace, canvas_px: int
) -> tuple[Image, tuple[float, ...], tuple[float, ...]]:
    left, top, right, bottom = crop_box(face)
    x, y, side = (left + right) / 2, (top + bottom) / 2, float(max(right - left, bottom - top))
    half = side * _REGION_SCALE / 2
    width, height = face.size
    box = (max(0.0, x - half), max(0.0, y - half), min(width, x + half), min(height, y + half))
    to_file = np.tile(np.divide((face.image.width, face.image.height), face.size), 2)
    region = _open_picture(face.image).resize(
        (canvas_px, canvas_px),
        PIL.Image.Resampling.BILINEAR,
        box=tuple((np.array(box) * to_file).tolist()),
    )
    return np.asarray(region), box, (x, y, side)


@dataclass(frozen=True)
class CropPlan:
    """Where crops are taken, one entry a crop.

    `index` is the face, `shift` (B, 2) and `zoom` move and widen its square by these shares of its
    side, `angle_deg` turns the picture clockwise, `stretch` widens it by a factor and lowers it by
    the same, `flip` mirrors it.
    """

    index: NDArray[np.int64]
    shift: NDArray[np.float32]
    zoom: NDArray[np.float32]
    angle_deg: NDArray[np.float32]
    stretch: NDArray[np.float32]
    flip: NDArray[np.bool_]


def plan_plain(index: NDArray[np.int64]) -> CropPlan:
    """Plan the crops as canemo cuts them."""
    one, nought = np.ones(len(index), np.float32), np.zeros(len(index), np.float32)
    return CropPlan(
        index, np.zeros((len(index), 2), np.float32), one, nought, one, np.zeros(len(index), bool)
    )


def draw_plan(faces: int, config: LandmarkTrainingConfig, rng: np.random.Generator) -> CropPlan:
    """Draw a batch of crops as a detector, a camera and a dog may vary them."""
    count = config.batch_size
    least, most = np.log(config.zooms).tolist()
    zoom = np.exp(rng.uniform(least, most, count))
    gentle = np.where(rng.random(count) < 0.5, 1.0, 0.4)
    return CropPlan(
        rng.integers(0, faces, count),
        rng.uniform(-config.shift, config.shift, (count, 2)).astype(np.float32),
        zoom.astype(np.float32),
        (rng.uniform(-1, 1, count) * gentle * config.rotation_deg).astype(np.float32),
        np.exp(rng.normal(0, 0.04, count)).astype(np.float32),
        rng.random(count) < 0.5,
    )


def cut_crops(
    faces: FaceTensors, plan: CropPlan, size: int, *, padding: str = "zeros"
) -> tuple[Tensor, Tensor]:
    """Cut planned crops and move their points along.

    Parameters
    ----------
    faces
        From `stack_faces`.
    plan
        Where to cut.
    size
        Side of the crops [px].
    padding
        What is outside the pictures: ``"zeros"`` for grey, ``"border"`` or ``"reflection"``.

    Returns
    -------
    pixels
        (B, 3, size, size) float32, RGB, 0 to 255.
    points
        (B, 46, 2) x and y as shares of the crop's side; outside 0 to 1 where a point is cut off.
    """
    index = _beside(faces.regions, plan.index)
    centre, linear = _crop_to_picture(faces.crops[index], plan)
    places = cell_centres(size, size, like=faces.points) - 0.5
    in_picture = places @ linear.transpose(1, 2) + centre[:, None]
    boxes = faces.region_boxes[index][:, None]
    grid = (in_picture - boxes[..., :2]) / (boxes[..., 2:] - boxes[..., :2]) * 2 - 1
    pixels = F.grid_sample(
        faces.regions[index].float() - GREY,
        grid.view(-1, size, size, 2),
        padding_mode=padding,
        align_corners=False,
    )
    points = (faces.points[index] - centre[:, None]) @ _invert(linear).transpose(1, 2) + 0.5
    flip = _beside(points, plan.flip)[:, None, None]
    mirrored = points[:, _beside(points, np.array(MIRRORED))]
    return pixels + GREY, torch.where(flip, mirrored, points)


def _crop_to_picture(crops: Tensor, plan: CropPlan) -> tuple[Tensor, Tensor]:
    """Return c (B, 2) and A (B, 2, 2) with picture = A (place - 1/2) + c, places from 0 to 1."""
    side = crops[:, 2:]
    centre = crops[:, :2] + _beside(crops, plan.shift) * side
    angle = np.deg2rad(plan.angle_deg)
    cos, sin = np.cos(angle), np.sin(angle)
    turn = _beside(crops, np.stack([cos, sin, -sin, cos], axis=-1)).view(-1, 2, 2)
    mirror = np.where(plan.flip, -1.0, 1.0)
    axes = np.stack([mirror / plan.stretch, plan.stretch], axis=-1) * plan.zoom[:, None]
    return centre, turn * (_beside(crops, axes) * side)[:, None, :]


def _invert(matrices: Tensor) -> Tensor:
    """Invert (B, 2, 2) matrices; `torch.linalg.inv` would wait for the device to look at them."""
    a, b, c, d = matrices.flatten(1).unbind(dim=1)
    adjugate = torch.stack([d, -b, -c, a], dim=-1).view(-1, 2, 2)
    return adjugate / (a * d - b * c)[:, None, None]


def _beside(tensor: Tensor, values: NDArray[Any]) -> Tensor:
    """Put numbers on the device of a tensor without waiting for it; floats as float32."""
    values = values.astype(np.float32) if values.dtype.kind == "f" else values
    return torch.from_numpy(values).to(tensor.device, non_blocking=True)


def spoil_pixels(
    pixels: Tensor, config: LandmarkTrainingConfig, rng: np.random.Generator
) -> Tensor:
    """Change colours, blur, coarsen, hide parts and add noise; (B, 3, S, S), 0 to 255."""
    pixels = _change_colours(pixels, rng)
    pixels = _hide_parts(pixels, config.hidden_share, rng)
    pixels = _blur(pixels, rng)
    pixels = _coarsen(pixels, rng)
    return _add_noise(pixels, rng).clamp(0, 255)


def _change_colours(pixels: Tensor, rng: np.random.Generator) -> Tensor:
    count = len(pixels)

    def factor(spread: float, width: int = 1) -> Tensor:
        drawn = np.exp(rng.uniform(-spread, spread, (count, width, 1, 1)))
        return _beside(pixels, np.where(rng.random((count, 1, 1, 1)) < 0.6, drawn, 1.0))

    mean = pixels.mean(dim=(1, 2, 3), keepdim=True)
    pixels = (pixels - mean) * factor(0.4) + mean * factor(0.4)
    saturation = factor(0.5)
    grey = _beside(pixels, rng.random((count, 1, 1, 1)) < 0.08)
    luma = pixels.mean(dim=1, keepdim=True)
    pixels = luma + (pixels - luma) * torch.where(grey, 0.0, saturation)
    return (pixels * factor(0.12, 3)).clamp(0, 255)


def _hide_parts(pixels: Tensor, share: float, rng: np.random.Generator) -> Tensor:
    """Lay a rectangle of one colour, or of another picture, over some pictures."""
    count, size = len(pixels), pixels.shape[-1]
    chosen = rng.random(count) < share
    sides = np.where(chosen[:, None], rng.uniform(0.1, 0.4, (count, 2)), 0.0) * size
    start = rng.uniform(0, 1, (count, 2)) * (size - sides)
    place = np.arange(size) + 0.5
    inside = (place >= start[..., None]) & (place < (start + sides)[..., None])
    along, down = _beside(pixels, inside[:, 0]), _beside(pixels, inside[:, 1])
    colours = _beside(pixels, rng.uniform(0, 255, (count, 3, 1, 1)))
    other = _beside(pixels, rng.random((count, 1, 1, 1)) < 0.5)
    over = torch.where(other, pixels.roll(1, dims=0), colours)
    return torch.where((along[:, None, :] & down[:, :, None])[:, None], over, pixels)


def _blur(pixels: Tensor, rng: np.random.Generator, *, radius: int = 5) -> Tensor:
    """Blur some pictures with a normal kernel along both axes, or along one: motion."""
    count, size = len(pixels), pixels.shape[-1]
    sigma = np.where(rng.random((count, 1)) < 0.25, rng.uniform(0.3, 2.5, (count, 2)), 0.01)
    still = rng.random(count) < 0.4
    sigma[still, rng.integers(0, 2)] = 0.01
    places = np.arange(-radius, radius + 1)
    kernels = np.exp(-0.5 * (places / sigma[..., None]) ** 2)
    kernels /= kernels.sum(axis=-1, keepdims=True)
    flat = pixels.reshape(1, count * 3, size, size)
    for axis in (0, 1):
        kernel = _beside(pixels, kernels[:, axis]).repeat_interleave(3, dim=0)
        shape = (count * 3, 1, -1, 1) if axis else (count * 3, 1, 1, -1)
        pad = (0, 0, radius, radius) if axis else (radius, radius, 0, 0)
        padded = F.pad(flat, pad, mode="replicate")
        flat = F.conv2d(padded, kernel.view(shape), groups=count * 3)
    return flat.view_as(pixels)


def _coarsen(pixels: Tensor, rng: np.random.Generator) -> Tensor:
    """Take a quarter of the pictures down to as little as 24 pixels and up again."""
    count, size = len(pixels), pixels.shape[-1]
    chosen = _beside(pixels, rng.random(count) < 0.25)
    small = round(math.exp(rng.uniform(math.log(24), math.log(max(25, size * 0.7)))))
    coarse = F.interpolate(pixels, size=(small, small), mode="bilinear", antialias=True)
    coarse = F.interpolate(coarse, size=(size, size), mode="bilinear")
    return torch.where(chosen[:, None, None, None], coarse, pixels)


def _add_noise(pixels: Tensor, rng: np.random.Generator) -> Tensor:
    count = len(pixels)
    strength = np.where(rng.random(count) < 0.3, rng.uniform(0, 12, count), 0.0)
    source = torch.Generator(pixels.device).manual_seed(int(rng.integers(2**31)))
    noise = torch.randn(pixels.shape, generator=source, device=pixels.device)
    return pixels + noise * _beside(pixels, strength)[:, None, None, None]


def train_landmarks(
    faces: FaceTensors,
    config: LandmarkTrainingConfig,
    settings: LandmarkSettings,
    *,
    start: FCOS,
    after: Callable[[int, LandmarkNetwork], None] | None = None,
    report_every: int = 500,
) -> LandmarkNetwork:
    """Train the landmark network on the device that holds the faces.

    Parameters
    ----------
    faces
        From `stack_faces`.
    config, settings
        How to train, and what.
    start
        A head detector whose backbone the network starts from: one filled by
        `canemo.detect.training.load_imagenet_backbone`, or a trained one. It is not changed.
    after
        Called every `report_every` steps and at the end with the number of steps taken and the
        averaged network.

    Returns
    -------
    LandmarkNetwork
        The exponential moving average of the weights, in evaluation mode, on that device.

    Notes
    -----
    On a GPU the network runs in bfloat16, what reads the heat maps in float32. The same seed gives
    the same crops in the same order; noise and sums of floating point numbers differ between
    devices.
    """
    device = faces.regions.device
    torch.manual_seed(config.seed)
    network = LandmarkNetwork(settings)
    _copy_body(start, network)
    network.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = _build_optimizer(network, config)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer,
        max_lr=[group["lr"] for group in optimizer.param_groups],
        total_steps=config.steps,
        pct_start=0.1,
    )
    averaged = copy.deepcopy(network).eval()
    followed = _list_floats(averaged), _list_floats(network)
    losses: list[Tensor] = []
    for step in range(config.steps):
        rng = np.random.default_rng([config.seed, step])
        pixels, points = compose_batch(faces, config, settings.input_size, rng)
        losses.append(_take_step(network, pixels, points, optimizer, config))
        schedule.step()
        with torch.no_grad():  # at first the average follows fast
            share = 1 - min(config.ema_decay, (1 + step) / (10 + step))
            torch._foreach_lerp_(*followed, share)
        if (step + 1) % report_every == 0 or step + 1 == config.steps:
            mean = torch.stack(losses).mean(dim=0).tolist()
            _LOG.info("step %d of %d: distance %%, heat, scale %s", step + 1, config.steps, mean)
            losses.clear()
            if after is not None:
                after(step + 1, averaged)
    return averaged


def _copy_body(start: FCOS, network: LandmarkNetwork) -> None:
    wanted = network.body.state_dict()
    given = start.backbone.body.state_dict()
    network.body.load_state_dict({name: given[name] for name in wanted})


def _list_floats(network: nn.Module) -> list[Tensor]:
    """Return weights and statistics, those that an average can be taken of."""
    return [tensor for tensor in network.state_dict().values() if tensor.is_floating_point()]


def _build_optimizer(network: LandmarkNetwork, config: LandmarkTrainingConfig) -> torch.optim.AdamW:
    """Weigh down matrices and kernels only; the body learns slower than what is new."""
    body = {id(parameter) for parameter in network.body.parameters()}
    groups: list[dict[str, Any]] = []
    for in_body, rate in ((True, config.body_learning_rate), (False, config.head_learning_rate)):
        mine = [p for p in network.parameters() if (id(p) in body) is in_body]
        decayed = [p for p in mine if p.ndim > 1]
        plain = [p for p in mine if p.ndim <= 1]
        groups.append({"params": decayed, "lr": rate, "weight_decay": config.weight_decay})
        groups.append({"params": plain, "lr": rate, "weight_decay": 0.0})
    return torch.optim.AdamW(groups, fused=True)


def compose_batch(
    faces: FaceTensors, config: LandmarkTrainingConfig, size: int, rng: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """Make a training batch: pixels (B, 3, size, size), 0 to 255, and points as shares."""
    padding = str(rng.choice(["zeros", "border", "reflection"], p=[0.5, 0.25, 0.25]))
    pixels, points = cut_crops(faces, draw_plan(len(faces), config, rng), size, padding=padding)
    return spoil_pixels(pixels, config, rng), points


def _take_step(
    network: LandmarkNetwork,
    pixels: Tensor,
    points: Tensor,
    optimizer: torch.optim.Optimizer,
    config: LandmarkTrainingConfig,
) -> Tensor:
    network.train()
    with torch.autocast(pixels.device.type, torch.bfloat16, enabled=pixels.is_cuda):
        features = network.decode(normalise_pixels(pixels))
        logits = network.heat(features)
    logits = logits.float()
    found, log_scales = network.read_heat(features.float(), logits)
    losses = compute_losses(found, log_scales, logits, points, config)
    optimizer.zero_grad(set_to_none=True)
    total: Tensor = losses[0] + config.heat_weight * losses[1] + config.scale_weight * losses[2]
    total.backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_(network.parameters(), 10.0)
    optimizer.step()
    return losses.detach()


def compute_losses(
    found: Tensor,
    log_scales: Tensor,
    logits: Tensor,
    points: Tensor,
    config: LandmarkTrainingConfig,
) -> Tensor:
    """Return distance [% of the side], heat-map and scale loss, each a mean over points; (3,).

    Points cut off count for the scale alone: the network shall know that it is far off.
    """
    offset = found - points
    distance = offset.square().sum(dim=-1).add(1e-8).sqrt()
    inside = ((points > 0) & (points < 1)).all(dim=-1).float()
    heat = -(target_heat(points, logits, config.heat_sigma_cells) * log_heat(logits)).sum(dim=-1)
    scale = 2 * log_scales + distance.detach() / log_scales.exp()
    count = inside.sum().clamp_min(1)
    return torch.stack(
        [
            100 * (distance * inside).sum() / count,
            (heat * inside).sum() / count,
            scale.mean(),
        ]
    )


def log_heat(logits: Tensor) -> Tensor:
    """Return the logarithm of each heat map, (N, K, H * W)."""
    return logits.flatten(2).log_softmax(dim=-1)


def target_heat(points: Tensor, logits: Tensor, sigma_cells: float) -> Tensor:
    """Return heat maps, (N, K, H * W), normal about the points, of the shape of the logits."""
    rows, columns = logits.shape[-2:]
    places = cell_centres(rows, columns, like=points)
    cells = _beside(points, np.array([columns, rows]))
    squares = ((places - points[:, :, None]) * cells).square().sum(dim=-1)
    return (-squares / (2 * sigma_cells**2)).softmax(dim=-1)


@torch.inference_mode()
def find_points(
    network: LandmarkNetwork, faces: FaceTensors, size: int, *, batch_size: int = 64
) -> tuple[Tensor, Tensor, Tensor]:
    """Run a network on the plain crops of faces.

    Returns
    -------
    found, true
        (N, 46, 2), in true-aspect pixels, the origin at the crop's corner.
    log_scales
        (N, 46), as shares of the crop's side.
    """
    network.eval()
    parts = []
    for indices in np.array_split(np.arange(len(faces)), math.ceil(len(faces) / batch_size)):
        pixels, points = cut_crops(faces, plan_plain(indices), size)
        found, log_scales = network(normalise_pixels(pixels))
        side = faces.crops[torch.from_numpy(indices).to(faces.crops.device), 2, None, None]
        parts.append((found * side, points * side, log_scales))
    found, true, log_scales = (torch.cat(part).cpu() for part in zip(*parts, strict=True))
    return found, true, log_scales


def fit_scale_factor(distances: Tensor, scales: Tensor) -> float:
    """Return the factor f for scales b that makes the distances r most likely.

    With the density exp(-r / (f b)) / (2 pi (f b)^2), that of `compute_confidence`, it is half the
    mean of r / b.
    """
    return float((distances / scales).mean() / 2)
