"""The strip of a video's pictures, and cuts in it."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image as PilImage

from canemo.faces.footage import CUT_STEP_S, FACE_RGB, STRIP_PICTURES, Footage
from canemo.records import Frame

RNG = np.random.default_rng(3)


def draw_scene(seed: int, *, shift: int = 0) -> np.ndarray:
    """Draw blocks in the colours of one place; `shift` moves the camera sideways."""
    rng = np.random.default_rng(seed)
    palette = rng.integers(0, 256, (3, 3))
    blocks = palette[rng.integers(0, 3, (6, 16))].astype(np.uint8)
    return np.roll(np.kron(blocks, np.ones((20, 20, 1), np.uint8)), shift, axis=1)


def watch(pictures, *, step_s: float = 0.2) -> Footage:
    footage = Footage()
    for number, picture in enumerate(pictures):
        footage.watch(Frame(number, number * step_s, picture))
    return footage


def test_a_cut_is_noted_where_another_place_comes_into_view():
    footage = watch([draw_scene(1)] * 4 + [draw_scene(2)] * 4)
    assert footage.cuts_s == pytest.approx([0.8])


@pytest.mark.parametrize(
    "pictures",
    [
        [draw_scene(1, shift=8 * n) for n in range(8)],
        [np.clip(draw_scene(1).astype(int) + 12 * n, 0, 255).astype(np.uint8) for n in range(4)],
        [np.full((60, 80, 3), 128, np.uint8)] * 4,
    ],
    ids=["camera turns", "light comes up", "nothing to see"],
)
def test_a_film_without_a_cut_has_none(pictures):
    assert watch(pictures).cuts_s == []


def test_nothing_is_said_of_pictures_far_apart_in_time():
    assert watch([draw_scene(1), draw_scene(2)], step_s=2 * CUT_STEP_S).cuts_s == []


@pytest.mark.parametrize("frames", [1, 5, 13, 100])
def test_the_strip_is_from_all_over_the_video_and_never_long(frames):
    footage = watch([draw_scene(1)] * frames)
    shown = [n for n in range(frames) if footage.outline(n, None, []) is not None]
    assert len(shown) == min(frames, STRIP_PICTURES)
    assert shown[0] <= frames / 4
    assert shown[-1] >= 0.7 * (frames - 1)


def test_the_face_is_outlined_in_the_small_picture_where_it_is_in_the_frame():
    footage = watch([np.zeros((480, 640, 3), np.uint8)])
    jpeg = footage.outline(0, (160, 120, 480, 360), [(0, 0, 40, 40)])
    with PilImage.open(io.BytesIO(jpeg)) as picture:
        small = np.asarray(picture).astype(int)
    assert small.shape == (80, 107, 3)
    assert np.abs(small[20, 53] - FACE_RGB).max() < 90
    assert small[40, 53].max() < 60
    assert small[0, 3].min() > 120
