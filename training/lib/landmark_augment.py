"""Crops of annotated faces as a camera, a detector and a dog may vary them.

Pictures are turned, scaled and spoilt in batches on the device that trains, so that the processors
beside a GPU need not keep up with it; on a CPU the same code runs slower.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from canemo.faces.detect.head_fcos import GREY
from canemo.faces.landmarks.model import cell_centres
from canemo.species import DOG
from lib.landmark_faces import FaceTensors


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


def draw_plan(
    faces: int,
    count: int,
    *,
    shift: float,
    zooms: tuple[float, float],
    rotation_deg: float,
    rng: np.random.Generator,
) -> CropPlan:
    """Draw `count` crops of so many faces as a detector, a camera and a dog may vary them."""
    least, most = np.log(zooms).tolist()
    zoom = np.exp(rng.uniform(least, most, count))
    gentle = np.where(rng.random(count) < 0.5, 1.0, 0.4)
    return CropPlan(
        rng.integers(0, faces, count),
        rng.uniform(-shift, shift, (count, 2)).astype(np.float32),
        zoom.astype(np.float32),
        (rng.uniform(-1, 1, count) * gentle * rotation_deg).astype(np.float32),
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
    index = place_beside(faces.regions, plan.index)
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
    flip = place_beside(points, plan.flip)[:, None, None]
    mirrored = points[:, place_beside(points, np.array(DOG.mirrored))]
    return pixels + GREY, torch.where(flip, mirrored, points)


def _crop_to_picture(crops: Tensor, plan: CropPlan) -> tuple[Tensor, Tensor]:
    """Return c (B, 2) and A (B, 2, 2) with picture = A (place - 1/2) + c, places from 0 to 1."""
    side = crops[:, 2:]
    centre = crops[:, :2] + place_beside(crops, plan.shift) * side
    angle = np.deg2rad(plan.angle_deg)
    cos, sin = np.cos(angle), np.sin(angle)
    turn = place_beside(crops, np.stack([cos, sin, -sin, cos], axis=-1)).view(-1, 2, 2)
    mirror = np.where(plan.flip, -1.0, 1.0)
    axes = np.stack([mirror / plan.stretch, plan.stretch], axis=-1) * plan.zoom[:, None]
    return centre, turn * (place_beside(crops, axes) * side)[:, None, :]


def _invert(matrices: Tensor) -> Tensor:
    """Invert (B, 2, 2) matrices; `torch.linalg.inv` would wait for the device to look at them."""
    a, b, c, d = matrices.flatten(1).unbind(dim=1)
    adjugate = torch.stack([d, -b, -c, a], dim=-1).view(-1, 2, 2)
    return adjugate / (a * d - b * c)[:, None, None]


def place_beside(tensor: Tensor, values: NDArray[Any]) -> Tensor:
    """Put numbers on the device of a tensor without waiting for it; floats as float32."""
    values = values.astype(np.float32) if values.dtype.kind == "f" else values
    return torch.from_numpy(values).to(tensor.device, non_blocking=True)


def spoil_pixels(pixels: Tensor, *, hidden_share: float, rng: np.random.Generator) -> Tensor:
    """Change colours, blur, coarsen, hide parts and add noise; (B, 3, S, S), 0 to 255."""
    pixels = _change_colours(pixels, rng)
    pixels = _hide_parts(pixels, hidden_share, rng)
    pixels = _blur(pixels, rng)
    pixels = _coarsen(pixels, rng)
    return _add_noise(pixels, rng).clamp(0, 255)


def _change_colours(pixels: Tensor, rng: np.random.Generator) -> Tensor:
    count = len(pixels)

    def factor(spread: float, width: int = 1) -> Tensor:
        drawn = np.exp(rng.uniform(-spread, spread, (count, width, 1, 1)))
        return place_beside(pixels, np.where(rng.random((count, 1, 1, 1)) < 0.6, drawn, 1.0))

    mean = pixels.mean(dim=(1, 2, 3), keepdim=True)
    pixels = (pixels - mean) * factor(0.4) + mean * factor(0.4)
    saturation = factor(0.5)
    grey = place_beside(pixels, rng.random((count, 1, 1, 1)) < 0.08)
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
    along, down = place_beside(pixels, inside[:, 0]), place_beside(pixels, inside[:, 1])
    colours = place_beside(pixels, rng.uniform(0, 255, (count, 3, 1, 1)))
    other = place_beside(pixels, rng.random((count, 1, 1, 1)) < 0.5)
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
        kernel = place_beside(pixels, kernels[:, axis]).repeat_interleave(3, dim=0)
        shape = (count * 3, 1, -1, 1) if axis else (count * 3, 1, 1, -1)
        pad = (0, 0, radius, radius) if axis else (radius, radius, 0, 0)
        padded = F.pad(flat, pad, mode="replicate")
        flat = F.conv2d(padded, kernel.view(shape), groups=count * 3)
    return flat.view_as(pixels)


def _coarsen(pixels: Tensor, rng: np.random.Generator) -> Tensor:
    """Take a quarter of the pictures down to as little as 24 pixels and up again."""
    count, size = len(pixels), pixels.shape[-1]
    chosen = place_beside(pixels, rng.random(count) < 0.25)
    small = round(math.exp(rng.uniform(math.log(24), math.log(max(25, size * 0.7)))))
    coarse = F.interpolate(pixels, size=(small, small), mode="bilinear", antialias=True)
    coarse = F.interpolate(coarse, size=(size, size), mode="bilinear")
    return torch.where(chosen[:, None, None, None], coarse, pixels)


def _add_noise(pixels: Tensor, rng: np.random.Generator) -> Tensor:
    count = len(pixels)
    strength = np.where(rng.random(count) < 0.3, rng.uniform(0, 12, count), 0.0)
    source = torch.Generator(pixels.device).manual_seed(int(rng.integers(2**31)))
    noise = torch.randn(pixels.shape, generator=source, device=pixels.device)
    return pixels + noise * place_beside(pixels, strength)[:, None, None, None]
