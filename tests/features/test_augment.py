import numpy as np
import pytest

from canemo.config import AugmentConfig, load_config
from canemo.errors import ConfigError
from canemo.features.augment import augment_crop

STILL = {"flip": 0.0, "brightness": 0.0, "contrast": 0.0, "saturation": 0.0, "hue": 0.0}


@pytest.fixture
def picture():
    rows, columns = np.mgrid[0:120, 0:160].astype(np.float64)
    return np.stack([rows * 2, columns * 1.5, 0 * rows + 90], axis=2).astype(np.uint8)


def corners(view):
    """Return the part of the picture that a view shows, read off its colours: y0, y1, x0, x1."""
    y, x = view[..., 0] / 2.0, view[..., 1] / 1.5
    return y[0].mean(), y[-1].mean(), x[:, 0].mean(), x[:, -1].mean()


def test_without_changes_the_view_is_the_resized_crop(picture):
    settings = AugmentConfig(area=(1.0, 1.0), **STILL)
    view = augment_crop(picture, settings, side_px=224, seed=[1])
    assert view.shape == (224, 224, 3)
    y0, y1, x0, x1 = corners(view)
    assert [y0, y1, x0, x1] == pytest.approx([0, 119, 0, 159], abs=1.0)


def test_parts_have_the_stated_share_of_the_area_and_the_crops_aspect(picture):
    settings = AugmentConfig(**STILL)
    shares, aspects, starts = [], [], []
    for seed in range(200):
        y0, y1, x0, x1 = corners(augment_crop(picture, settings, side_px=224, seed=[seed]))
        height, width = (y1 - y0) / 119, (x1 - x0) / 159
        shares.append(height * width)
        aspects.append(width / height)
        starts.append((y0, x0))
    assert min(shares) > 0.78
    assert max(shares) < 1.01
    assert np.mean(shares) == pytest.approx(0.9, abs=0.02)
    assert aspects == pytest.approx([1.0] * 200, abs=0.03)
    assert np.ptp(np.array(starts), axis=0).min() > 5  # parts lie everywhere, not at one corner


def test_half_of_the_views_are_mirrored(picture):
    settings = AugmentConfig(area=(1.0, 1.0), **{**STILL, "flip": 0.5})
    mirrored = 0
    for seed in range(200):
        _, _, x0, x1 = corners(augment_crop(picture, settings, side_px=64, seed=[seed]))
        mirrored += x0 > x1
    assert 75 < mirrored < 125


def test_colours_change_within_their_strength(picture):
    grey = np.full_like(picture, 100)
    settings = AugmentConfig(area=(1.0, 1.0), **{**STILL, "brightness": 0.2})
    means = [augment_crop(grey, settings, side_px=32, seed=[s]).mean() for s in range(200)]
    assert 80 <= min(means) < 85
    assert 115 < max(means) <= 120


def test_equal_seeds_give_equal_views_and_the_crop_is_untouched(picture):
    before = picture.copy()
    one, same, other = (
        augment_crop(picture, AugmentConfig(), side_px=64, seed=seed)
        for seed in ([3, 1], [3, 1], [3, 2])
    )
    np.testing.assert_array_equal(one, same)
    assert (one != other).any()
    np.testing.assert_array_equal(picture, before)


def test_ranges_the_wrong_way_round_are_refused():
    with pytest.raises(ConfigError, match="from the smaller to the larger"):
        load_config(overrides={"augment": {"area": [1.0, 0.8]}})
