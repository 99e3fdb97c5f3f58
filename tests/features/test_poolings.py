from dataclasses import replace

import numpy as np
import pytest

from canemo.errors import ConfigError
from canemo.features.poolings import (
    expand_mixes,
    list_needs,
    name_blocks,
    parse_blocks,
    pool,
    require_pooling,
    weigh_blocks,
)
from worlds import draw_features

REGIONS = ("eyes", "ears", "muzzle")


@pytest.fixture
def features():
    plain = draw_features(subjects=1, clips=1, frames=3, dim=2)
    region = np.array([[[1, 2], [3, 4], [7, 8]]] * 3, np.float16)
    share = np.array([[0.1, 0.0, 0.3], [0.2, 0.2, 0.0], [0.0, 0.5, 0.0]], np.float32)
    region[share == 0] = np.nan
    geometry = np.arange(12, dtype=np.float32).reshape(3, 4)
    return replace(
        plain, region=region, region_share=share, region_names=REGIONS, geometry=geometry
    )


def test_a_region_is_its_mean_token(features):
    np.testing.assert_array_equal(pool(features, "region:eyes")[:2], [[1, 2]] * 2)
    np.testing.assert_array_equal(pool(features, "region:muzzle")[0], [7, 8])


def test_regions_together_weigh_by_what_they_cover(features):
    both = pool(features, "region:eyes+muzzle")
    np.testing.assert_allclose(both[0], [(1 + 3 * 7) / 4, (2 + 3 * 8) / 4], rtol=1e-6)
    np.testing.assert_array_equal(both[1], [1, 2])
    np.testing.assert_array_equal(both, pool(features, "region:muzzle+eyes"))


def test_where_no_region_is_in_view_the_mean_token_stands_in(features):
    both = pool(features, "region:eyes+muzzle")
    np.testing.assert_array_equal(both[2], features.mean[2])
    assert both.dtype == np.float32


def test_blocks_lie_side_by_side_as_they_are(features):
    joined = pool(features, "region:ears*0.8,geometry*0.2")
    np.testing.assert_array_equal(joined[:, :2], pool(features, "region:ears"))
    np.testing.assert_array_equal(joined[:, 2:], features.geometry)
    np.testing.assert_array_equal(joined, pool(features, " region:ears , geometry"))


@pytest.mark.parametrize("widths", [(384, 100), (3, 700)])
def test_blocks_have_their_shares_of_the_variance(widths):
    weights = weigh_blocks("cls*0.8,geometry*0.2", widths)
    x = np.random.default_rng(0).normal(size=(50, sum(widths)))
    x = (x - x.mean(0)) / x.std(0) * weights
    first = x[:, : widths[0]].var(axis=0).sum()
    assert first == pytest.approx(0.8 * sum(widths))
    assert x.var(axis=0).sum() == pytest.approx(sum(widths))
    assert weigh_blocks("cls", (384,)) is None
    even = weigh_blocks("cls,geometry", widths)
    np.testing.assert_array_equal(even, weigh_blocks("cls*0.5,geometry*0.5", widths))


def test_mixes_are_the_even_one_and_one_led_by_each_block():
    assert expand_mixes("region:muzzle,geometry") == (
        "region:muzzle*0.5,geometry*0.5",
        "region:muzzle*0.8,geometry*0.2",
        "region:muzzle*0.2,geometry*0.8",
    )
    assert len(expand_mixes("cls,mean,geometry")) == 4
    for mix in expand_mixes("cls,mean,geometry"):
        assert expand_mixes(mix) == (mix,)
        assert name_blocks(mix) == "cls,mean,geometry"
        assert sum(block.share for block in parse_blocks(mix)) == pytest.approx(1)


def test_what_is_settled_stays():
    assert expand_mixes("cls") == ("cls",)
    assert expand_mixes("cls*3,mean*1") == ("cls*0.75,mean*0.25",)


def test_needs_are_those_of_all_blocks():
    assert list_needs("cls_mean,region:eyes,geometry") == ("cls", "mean", "region", "geometry")


@pytest.mark.parametrize(
    ("pooling", "reason"),
    [
        ("median", "there are cls, mean, .*region:NAME, geometry$"),
        ("cls,", "there are cls, mean"),
        ("region:", "there are cls, mean"),
        ("region:eyes+", "there are cls, mean"),
        ("region:eyes+eyes", "there are cls, mean"),
        ("cls,cls", "names a block twice"),
        ("cls*0.8", "shares are for several blocks"),
        ("cls*0.8,mean", "shares are for several blocks and for all"),
        ("cls*much,mean*1", "the share 'much' is no number above 0"),
        ("cls*0,mean*1", "the share '0' is no number above 0"),
        ("cls*inf,mean*1", "the share 'inf' is no number above 0"),
    ],
)
def test_what_cannot_be_read_is_refused(pooling, reason):
    with pytest.raises(ConfigError, match=reason):
        parse_blocks(pooling)


def test_what_is_not_there_is_refused_and_what_is_there_is_named(features):
    with pytest.raises(ConfigError, match=r"no region 'tail'; .*region:muzzle, geometry$"):
        pool(features, "region:eyes+tail")
    without = replace(features, geometry=None)
    with pytest.raises(ConfigError, match=r"needs points of the face, .*region:muzzle$"):
        pool(without, "cls,geometry")
    plain = draw_features(subjects=1, clips=1)
    with pytest.raises(ConfigError, match=r"needs regions of the face, .*centre, rim$"):
        pool(plain, "region:eyes")
    require_pooling("region:tail,geometry")
