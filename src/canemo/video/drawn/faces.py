"""Drawn faces alone, cut out as face crops are: something to calibrate a network on."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from canemo.video.drawn.clip import iter_frames, make_clip
from canemo.video.drawn.dog import BREEDS, sample_dog
from canemo.video.drawn.plan import LABELS, sample_expression

SIZES = ((320, 240), (640, 480), (960, 720))
"""Of the frames: heads of about 90, 180 and 270 pixels, as crops differ in sharpness."""


def draw_faces(number: int, *, seed: int) -> list[NDArray[np.uint8]]:
    """Draw faces of different dogs in different rooms, (H, W, 3) uint8, RGB each.

    Equal arguments give equal pixels.
    """
    return [_draw_face(np.random.default_rng([seed, index])) for index in range(number)]


def _draw_face(rng: np.random.Generator) -> NDArray[np.uint8]:
    dog = sample_dog("", BREEDS[rng.integers(len(BREEDS))], rng)
    label = LABELS[rng.integers(len(LABELS))]
    expression = sample_expression(label, effect=1.0, habit=(0.0, 0.0), rng=rng)
    size = SIZES[rng.integers(len(SIZES))]
    (frame,) = iter_frames(make_clip(dog, expression, size=size, rng=rng), frames=1, fps=1)
    x0, y0, x1, y1 = (round(value) for value in frame.head.box_xyxy)
    return frame.image_rgb[y0:y1, x0:x1]
