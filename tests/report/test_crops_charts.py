from __future__ import annotations

import numpy as np
import pytest
from matplotlib import colormaps
from matplotlib.image import AxesImage
from matplotlib.transforms import Bbox

from canemo.records import Image
from canemo.report.charts.canvas import render_png
from canemo.report.charts.crops import (
    AGAINST_RGB,
    COLOUR_MAP,
    FOR_RGB,
    OPACITY,
    draw_crop_sheet,
    draw_picture_rows,
    overlay_cam,
    overlay_evidence,
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


def find_place(image: AxesImage) -> Bbox:
    """Return where a picture stands on its sheet, as shares of the sheet's sides."""
    return image.get_window_extent().transformed(image.figure.transFigure.inverted())


def test_crop_sheet_shows_each_crop_once_by_label() -> None:
    crops = {
        "food": [(f"dog{i}", noise(seed=i)) for i in range(7)],
        "$x_": [("a", noise(40, 10))],
    }
    figure = draw_crop_sheet(crops)
    shown = figure.axes[0].images
    assert len(shown) == 8
    texts = [text.get_text() for text in figure.texts]
    assert texts.index("food") < texts.index("dog6") < texts.index("$x_")
    first, seventh, other = (find_place(shown[i]) for i in (0, 6, 7))
    assert first.y0 > seventh.y1 > seventh.y0 > other.y1
    np.testing.assert_array_equal(shown[7].get_array(), crops["$x_"][0][1])
    assert render_png(figure).startswith(b"\x89PNG")


# -- signed maps ----------------------------------------------------------------------------------


def test_evidence_of_nothing_is_the_image_and_the_input_is_left_alone() -> None:
    image, evidence = noise(), np.zeros((4, 4), dtype=np.float32)
    before = image.copy()
    result = overlay_evidence(image, evidence)
    np.testing.assert_array_equal(result, image)
    np.testing.assert_array_equal(image, before)
    np.testing.assert_array_equal(evidence, 0)
    assert result is not image


@pytest.mark.parametrize(("value", "colour"), [(1.0, FOR_RGB), (-1.0, AGAINST_RGB)])
def test_evidence_has_the_colour_of_its_side(value: float, colour: tuple[int, int, int]) -> None:
    image = noise()
    expected = np.rint((1 - OPACITY) * image + OPACITY * np.array(colour)).astype(np.uint8)
    np.testing.assert_array_equal(overlay_evidence(image, np.full((3, 5), value)), expected)


def test_evidence_covers_as_much_as_it_is_strong_whatever_its_sign() -> None:
    image = noise()
    half = OPACITY / 2
    for sign, colour in ((1, FOR_RGB), (-1, AGAINST_RGB)):
        expected = np.rint((1 - half) * image + half * np.array(colour))
        np.testing.assert_array_equal(
            overlay_evidence(image, np.full((2, 2), sign * 0.5)), expected
        )


def test_evidence_on_both_sides_keeps_its_places() -> None:
    grey = np.full((40, 80, 3), 128, dtype=np.uint8)
    shown = overlay_evidence(grey, np.array([[1.0, -1.0]])).astype(int)
    assert shown[20, 10, 0] > 128 > shown[20, 10, 2]  # orange on the left
    assert shown[20, 70, 0] < 128 < shown[20, 70, 2]  # blue on the right
    np.testing.assert_allclose(shown[:, 39:41], 128, atol=3)  # nothing in between


@pytest.mark.parametrize(
    ("evidence", "message"),
    [
        (np.ones((2, 2, 1)), "got shape"),
        (np.ones((0, 2)), "got shape"),
        (np.full((2, 2), -1.5), "-1 to 1, got -1.5 to -1.5"),
        (np.full((2, 2), 1.5), "-1 to 1, got 1.5 to 1.5"),
        (np.full((2, 2), np.nan), "-1 to 1, got nan"),
    ],
)
def test_evidence_that_is_no_signed_map_is_refused(evidence: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        overlay_evidence(noise(), evidence)


# -- rows of pictures -----------------------------------------------------------------------------


def test_picture_rows_stand_in_order_under_their_label() -> None:
    pictures = [noise(seed=i) for i in range(5)]
    first, second, third, fourth, fifth = pictures
    figure = draw_picture_rows(
        {
            "food & <toy>": [[("dog1", first), ("", second)], [("dog2", third)]],
            "$x_": [[("dog3", fourth), ("", fifth)]],
        }
    )
    [sheet] = figure.axes  # no scale of colours where nothing is said of it
    for image, picture in zip(sheet.images, pictures, strict=True):
        np.testing.assert_array_equal(image.get_array(), picture)
    one, right, below, other, _ = map(find_place, sheet.images)
    assert right.x0 > one.x1
    assert right.y1 == pytest.approx(one.y1)
    assert one.y0 > below.y1 > below.y0 > other.y1
    texts = [text.get_text() for text in figure.texts if text.get_text()]
    assert texts == ["food & <toy>", "dog1", "dog2", "$x_", "dog3"]
    assert render_png(figure).startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("signed", "ticks"), [(False, ["0", "0.5", "1"]), (True, ["-1", "0", "1"])]
)
def test_picture_rows_stand_over_one_scale(signed: bool, ticks: list[str]) -> None:
    figure = draw_picture_rows(
        {"food": [[("dog1", noise())]]}, scale_title="evidence", signed=signed
    )
    sheet, scale = figure.axes
    [picture] = sheet.images
    assert [tick.get_text() for tick in scale.get_xticklabels()] == ticks
    assert "evidence" in {text.get_text() for text in figure.texts}
    assert 0 <= scale.get_position().y1 < find_place(picture).y0
    colours = scale.images[0].get_array()[0].astype(int)
    grey = np.full((1, 1, 3), 128, dtype=np.uint8)
    least, most = (-1.0, 1.0) if signed else (0.0, 1.0)
    overlay = overlay_evidence if signed else overlay_cam
    np.testing.assert_array_equal(colours[0], overlay(grey, np.array([[least]]))[0, 0])
    np.testing.assert_array_equal(colours[-1], overlay(grey, np.array([[most]]))[0, 0])


def test_no_picture_at_all_is_an_empty_sheet() -> None:
    assert [image for axes in draw_picture_rows({}).axes for image in axes.images] == []
