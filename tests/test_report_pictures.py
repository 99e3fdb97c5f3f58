from __future__ import annotations

import numpy as np
import pytest
from matplotlib import colormaps

from canemo.records import Image
from canemo.report.canvas import render_png
from canemo.report.pictures import (
    COLOUR_MAP,
    OPACITY,
    draw_cam_grid,
    draw_crop_sheet,
    overlay_cam,
)


def noise(height: int = 20, width: int = 30, seed: int = 0) -> Image:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_overlay_of_zeros_is_the_image_and_the_input_is_left_alone() -> None:
    image = noise()
    before = image.copy()
    result = overlay_cam(image, np.zeros((4, 4)))
    np.testing.assert_array_equal(result, image)
    np.testing.assert_array_equal(image, before)
    assert result is not image


def test_overlay_of_ones_is_the_fixed_blend() -> None:
    image = noise()
    top = np.array(colormaps[COLOUR_MAP](1.0)[:3]) * 255
    expected = np.rint((1 - OPACITY) * image + OPACITY * top).astype(np.uint8)
    np.testing.assert_array_equal(overlay_cam(image, np.ones((3, 5))), expected)


def test_overlay_puts_the_peak_where_the_map_has_it() -> None:
    grey = np.full((80, 120, 3), 128, dtype=np.uint8)
    cam = np.zeros((4, 6), dtype=np.float32)
    cam[1, 4] = 1.0  # its cell is rows 20 to 40, columns 80 to 100
    change = np.abs(overlay_cam(grey, cam).astype(int) - 128).sum(axis=2)
    row, column = np.unravel_index(change.argmax(), change.shape)
    assert 20 <= row < 40
    assert 80 <= column < 100
    assert change[70, 10] == 0


def test_overlay_is_bilinear_between_cell_centres() -> None:
    black = np.zeros((8, 8, 3), dtype=np.uint8)
    cam = np.array([[0.0, 1.0], [0.0, 1.0]])
    middle = 0.5 + 0.5 / 4  # pixel 4 lies an eighth of a cell right of the middle between centres
    expected = np.rint(OPACITY * middle * np.array(colormaps[COLOUR_MAP](middle)[:3]) * 255)
    np.testing.assert_allclose(overlay_cam(black, cam)[3, 4], expected, atol=1)


@pytest.mark.parametrize(
    ("cam", "message"),
    [
        (np.ones((2, 2, 1)), "got shape"),
        (np.full((2, 2), 1.5), "0 to 1, got 1.5 to 1.5"),
        (np.full((2, 2), np.nan), "0 to 1, got nan"),
    ],
)
def test_overlay_refuses_what_is_no_map(cam: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        overlay_cam(noise(), cam)


def test_crop_sheet_shows_each_crop_once_by_label() -> None:
    crops = {
        "food": [(f"dog{i}", noise(seed=i)) for i in range(7)],
        "$x_": [("a", noise(40, 10))],
    }
    figure = draw_crop_sheet(crops)
    assert len(figure.axes) == 8
    texts = [text.get_text() for text in figure.texts]
    assert texts.index("food") < texts.index("dog6") < texts.index("$x_")
    first, seventh, other = (figure.axes[i].get_position() for i in (0, 6, 7))
    assert first.y0 > seventh.y1 > seventh.y0 > other.y1
    np.testing.assert_array_equal(figure.axes[7].images[0].get_array(), crops["$x_"][0][1])
    assert render_png(figure).startswith(b"\x89PNG")


def test_cam_grid_sets_the_overlay_right_of_its_crop() -> None:
    image, cam = noise(), np.random.default_rng(1).random((7, 7))
    figure = draw_cam_grid({"food": [("dog1", image, cam)], "toy": [("dog2", image, cam)]})
    crop, overlay = figure.axes[:2]
    np.testing.assert_array_equal(crop.images[0].get_array(), image)
    np.testing.assert_array_equal(overlay.images[0].get_array(), overlay_cam(image, cam))
    assert overlay.get_position().x0 > crop.get_position().x1
    assert overlay.get_position().y1 == pytest.approx(crop.get_position().y1)
    assert len(figure.axes) == 5  # two pairs and the one colour scale
    assert all(axes.get_position().y0 >= 0 for axes in figure.axes)
