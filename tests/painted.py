"""Faces whose place is known exactly: plain coloured squares, and a detector that finds them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image as PilImage

from canemo.networks.backbones import write_random_weights
from canemo.records import Face, Image
from clips import write_clip

COLOURS = {"red": (220, 30, 30), "blue": (30, 30, 220)}
GREY = 128

PaintedBox = tuple[str, int, int, int]
"""Colour, left, top and side [px] of a square."""


def paint(*boxes: PaintedBox, size: tuple[int, int] = (160, 120)) -> Image:
    """Paint squares on grey, (H, W, 3) uint8, RGB."""
    width, height = size
    image = np.full((height, width, 3), GREY, np.uint8)
    for colour, x, y, side in boxes:
        image[y : y + side, x : x + side] = COLOURS[colour]
    return image


def painter(boxes: Callable[[int], Sequence[PaintedBox]], **kwargs) -> Callable[[int], Image]:
    """Return a function that draws frame number -> picture, for `write_clip`."""
    return lambda number: paint(*boxes(number), **kwargs)


class PaintedFaceDetector:
    """Finds the bounding box of each colour; the score of a face is fixed by its colour."""

    name = "painted"
    fingerprint = "painted-1"
    engine = "torch"

    def __init__(self, *, score_threshold: float = 0.5, **scores: float) -> None:
        self.score_threshold = score_threshold
        self.scores = {"red": 0.9, "blue": 0.8, **scores}
        self.images_seen = 0

    def detect(self, images_rgb: Sequence[Image]) -> list[list[Face]]:
        self.images_seen += len(images_rgb)
        return [self._find(image) for image in images_rgb]

    def _find(self, image: Image) -> list[Face]:
        faces = []
        for colour, score in self.scores.items():
            distance = np.abs(image.astype(int) - COLOURS[colour]).max(axis=2)
            ys, xs = np.nonzero(distance < 50)
            if len(xs):
                box = (float(xs.min()), float(ys.min()), xs.max() + 1.0, ys.max() + 1.0)
                faces.append(Face(box, score))
        return sorted(faces, key=lambda face: -face.score)


def write_painted_study(
    folder: Path, *, subjects: int = 4, clips: int = 4, frames: int = 5, faces: bool = True
) -> Path:
    """Write a study of painted clips: the face has a white chin where the label is anticipation."""
    rows = ["video_id,path,subject_id,label"]
    for s in range(subjects):
        for c in range(clips):
            label = ("anticipation", "frustration")[c % 2]
            path = folder / "videos" / f"dog{s} clip{c}.mp4"
            path.parent.mkdir(parents=True, exist_ok=True)
            draw = _paint_clip(s, c, chin=label == "anticipation", face=faces)
            write_clip(path, frames=frames, rate=5, size=(160, 120), draw=draw)
            rows.append(f"s{s}c{c},videos/{path.name},dog{s},{label}")
    (folder / "videos.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return folder


def _paint_clip(subject: int, clip: int, *, chin: bool, face: bool) -> Callable[[int], Image]:
    """Return a painter; a white mark at the upper edge makes no two clips the same."""
    side = 50 + 5 * subject

    def draw(number: int) -> Image:
        x, y = 20 + 3 * subject + number, 20 + number
        image = paint(*[("red", x, y, side)] if face else [])
        image[:6, 24 * subject + 6 * clip : 24 * subject + 6 * clip + 4] = 255
        if face:
            image[y + 8 : y + 14, x + 8 : x + 16] = 20
            image[y + 8 : y + 14, x + side - 16 : x + side - 8] = 20
        if face and chin:
            image[y + side // 2 : y + side - 6, x + 10 : x + side - 10] = 250
        return image

    return draw


def draw_small_network(folder: Path) -> dict[str, str]:
    """Return the settings of a backbone that embeds in no time; its weights are drawn."""
    name = "timm:test_efficientnet"
    return {"name": name, "weights": str(write_random_weights(name, folder / "small.safetensors"))}


def leave_undrawn(patch: pytest.MonkeyPatch) -> None:
    """Let figures be made up as ever but come out as one white pixel, which takes no time."""
    buffer = BytesIO()
    PilImage.new("RGB", (1, 1), "white").save(buffer, format="png")
    patch.setattr(Figure, "savefig", lambda figure, file, **_: file.write(buffer.getvalue()))


def put_in_place(patch: pytest.MonkeyPatch, detector: PaintedFaceDetector) -> PaintedFaceDetector:
    """Let every part of canemo that loads a detector get this one."""
    for module in ("pipeline.plan", "pipeline.doctor", "faces.detect.registry"):
        patch.setattr(f"canemo.{module}.load_detector", lambda name, **_: detector)
    return detector
