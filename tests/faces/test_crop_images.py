import numpy as np
import pytest
from PIL import Image as PilImage
from PIL import ImageFilter

from canemo.config import CropConfig
from canemo.faces.crop_images import (
    compute_brightness,
    compute_sharpness,
    cut_box,
    decode_jpeg,
    encode_jpeg,
    shrink,
)
from painted import GREY, paint


def textured(short_side=160, seed=0):
    noise = np.random.default_rng(seed).integers(0, 256, (10, 14, 3), dtype=np.uint8)
    return np.kron(noise, np.ones((short_side // 10, short_side // 10, 1), np.uint8))


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        ((10, 20, 50, 40), (10, 10, 50, 50)),  # square around the box
        ((0, 0, 20, 40), (0, 0, 40, 40)),  # moved inside at the left
        ((80, 30, 100, 70), (60, 30, 100, 70)),  # moved inside at the right
        ((0, 0, 100, 80), (0, 0, 100, 80)),  # larger than the picture: cut off, not padded
    ],
)
def test_square_is_moved_inside_the_picture(box, expected):
    assert cut_box(box, width=100, height=80, crop=CropConfig()) == expected


def test_box_itself_is_cut_without_square():
    crop = CropConfig(square=False, margin=0.5)
    assert cut_box((40, 30, 60, 40), width=100, height=80, crop=crop) == (30, 25, 70, 45)


def test_jpeg_keeps_colours_and_shrinking_keeps_the_aspect():
    image = paint(("red", 40, 40, 40))
    assert np.abs(decode_jpeg(encode_jpeg(image, quality=95)).astype(int) - image).mean() < 1.5
    assert shrink(image, max_short_side_px=60).shape == (60, 80, 3)
    assert shrink(image, max_short_side_px=500) is image
    assert image[0, 0].tolist() == [GREY] * 3


def test_brightness_is_mean_luma_and_a_dimmed_copy_is_darker():
    red = np.broadcast_to(np.uint8([255, 0, 0]), (20, 30, 3))
    assert compute_brightness(red) == pytest.approx(0.299 * 255, abs=0.5)  # ITU-R BT.601
    image = textured()
    half = compute_brightness(image // 2)
    assert half == pytest.approx(compute_brightness(image) / 2, abs=1)


def test_sharpness_has_the_known_answer():
    image = np.zeros((112, 112, 3), np.uint8)
    assert compute_sharpness(image) == 0
    image[50, 60] = 10  # one point: -40 at it, 10 at its four neighbours, of 110 x 110
    assert compute_sharpness(image) == pytest.approx((40**2 + 4 * 10**2) / 110**2)


def test_blurred_copy_is_less_sharp_however_large_the_picture():
    image, larger = textured(240), textured(480)
    blurred = PilImage.fromarray(image).filter(ImageFilter.GaussianBlur(3))
    assert compute_sharpness(np.asarray(blurred)) < compute_sharpness(image) / 2
    assert compute_sharpness(larger) == pytest.approx(compute_sharpness(image), rel=0.15)
    assert compute_brightness(larger) == pytest.approx(compute_brightness(image), rel=0.01)
