import numpy as np
import pandas as pd
import pytest

from canemo.trust.contrasts import ALL_ALIKE, NO_SUBJECT, ONE_SUBJECT, contrast_clips


def draw_clips(rng, *, dogs=6, clips=8, effect=0.0, measures=1):
    dog = np.repeat(np.arange(dogs), clips)
    first = np.tile(np.arange(clips) % 3 == 0, dogs)
    values = rng.normal(size=(dogs * clips, measures)) + rng.normal(size=dogs)[dog, None] * 3
    values[:, 0] += effect * first
    return pd.DataFrame(values, columns=[f"m{i}" for i in range(measures)]), dog.astype(str), first


def test_p_is_uniform_where_nothing_differs():
    rng = np.random.default_rng(0)
    p = np.array([contrast_clips(*draw_clips(rng), draws=199, seed=i)[0].p for i in range(500)])
    for level in (0.05, 0.1, 0.25, 0.5, 0.75):
        assert abs((p <= level).mean() - level) < 3 * np.sqrt(level * (1 - level) / 500)


def test_a_difference_is_found_where_it_is_and_nowhere_else():
    values, dogs, first = draw_clips(np.random.default_rng(1), effect=1.5, measures=6)
    there, *others = contrast_clips(values, dogs, first, draws=1999)
    assert there.p_holm <= 0.05
    assert there.interval[0] < 1.5 < there.interval[1]
    assert there.effect == pytest.approx(there.difference, rel=0.4)  # clips vary by 1
    assert all(other.p_holm > 0.05 for other in others)


def test_the_gap_is_that_of_each_subjects_means():
    values = pd.DataFrame({"m": [1.0, 3.0, 2.0, 10.0, 20.0, np.nan]})
    (found,) = contrast_clips(values, list("aaabbb"), [1, 1, 0, 1, 0, 0])
    assert found.means == (6.0, 11.0)
    assert found.difference == -5.0
    assert (found.clips, found.subjects) == (5, 2)
    assert 0 < found.p <= 1


def test_p_counts_every_way_where_these_can_be_listed():
    values = pd.DataFrame({"m": [5.0, 1.0, 7.0, 2.0, 9.0, 1.0]})
    (found,) = contrast_clips(values, list("aabbcc"), [1, 0, 1, 0, 1, 0])
    assert found.p == 2 / 8


@pytest.mark.parametrize(
    ("dogs", "first", "values", "reason"),
    [
        ("aabb", [1, 1, 0, 0], [1, 2, 3, 4], NO_SUBJECT),
        ("aaaa", [1, 1, 0, 0], [1, 2, 3, 4], ONE_SUBJECT),
        ("aabb", [1, 0, 1, 0], [1, 1, 1, 1], ALL_ALIKE),
        ("aabb", [1, 0, 1, 0], [1, np.nan, np.nan, 1], NO_SUBJECT),
    ],
)
def test_why_there_is_no_test_is_said(dogs, first, values, reason):
    (found,) = contrast_clips(pd.DataFrame({"m": np.array(values, float)}), list(dogs), first)
    assert found.reason == reason
    assert found.p is None
    assert found.p_holm is None
