"""Faces with annotated landmarks: read, split, cut out and stacked for training."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import PIL.Image
import torch
from numpy.typing import NDArray
from torch import Tensor

from canemo.config import CropConfig
from canemo.errors import AnnotationError
from canemo.faces.annotations.annotated_images import open_annotated
from canemo.faces.crop_images import cut_box
from canemo.formats.boxes.coco import AnnotatedImage, load_coco
from canemo.formats.boxes.shapes import clip_box, measure_area
from canemo.records import Box, Image
from canemo.species import DOG
from lib.head import is_held_out

Points: TypeAlias = NDArray[np.float32]
"""(46, 2) float32, x and y in pixels, in the order of `canemo.species.DOG.points`."""

_REGION_SCALE = 1.8
"""Side of what is kept around a face, in units of the crop: enough to turn, shift and widen it."""


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
    if not isinstance(numbers, list) or len(numbers) != 3 * len(DOG.points):
        seen = len(numbers) if isinstance(numbers, list) else repr(numbers)
        raise AnnotationError(
            f"{where}: 'keypoints' has {seen} numbers, {3 * len(DOG.points)} are wanted: "
            f"x, y, v of each of the {len(DOG.points)} points of canemo.species, in its order."
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
    with open_annotated(face.image) as file:
        image = file.convert("RGB")
    if image.size != face.size:
        image = image.resize(face.size, PIL.Image.Resampling.BICUBIC)
    return np.asarray(image)


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
    sizes = [math.sqrt(measure_area(face.box_xyxy)) for face in faces]
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
    with open_annotated(face.image) as file:
        region = file.convert("RGB").resize(
            (canvas_px, canvas_px),
            PIL.Image.Resampling.BILINEAR,
            box=tuple((np.array(box) * to_file).tolist()),
        )
    return np.asarray(region), box, (x, y, side)
