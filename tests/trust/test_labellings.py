from math import comb, factorial, prod

import numpy as np
import pytest

from canemo.trust.labellings import MAX_EXACT, draw_labellings

DOGS = {
    # label of each clip, dog of each clip, ways
    "one dog": ([0, 1, 1], [0, 0, 0], 3),
    "two dogs": ([0, 1, 1, 0, 1], [0, 0, 0, 1, 1], 3 * 2),
    "mixed up": ([0, 1, 1, 0, 1, 0], [3, 1, 3, 1, 1, 3], 3 * 3),
    "three labels": ([0, 1, 2, 2, 1], [0, 0, 0, 0, 0], factorial(5) // (2 * 2)),
    "a dog of one label": ([1, 1, 1, 0, 1], [0, 0, 0, 1, 1], 2),
    "a label that no clip has": ([0, 2, 2, 0], [0, 0, 1, 1], 4),
    "nothing to move": ([0, 0, 1, 1], [0, 0, 1, 1], 1),
}


def count_by_dog(labellings, groups):
    return np.stack(
        [
            [np.bincount(row[groups == group], minlength=3) for group in np.unique(groups)]
            for row in labellings
        ]
    )


@pytest.mark.parametrize("name", DOGS)
def test_every_arrangement_is_listed_once_the_observed_one_among_them(name):
    label_index, groups, ways = (np.array(each) for each in DOGS[name])
    found, exact = draw_labellings(label_index, groups, number=7, seed=0)
    assert exact
    assert len(found) == ways == len({tuple(row) for row in found})
    assert tuple(label_index) in {tuple(row) for row in found}
    counts = count_by_dog(found, groups)
    assert (counts == count_by_dog(label_index[None], groups)).all()


def test_more_ways_than_can_be_listed_are_drawn():
    groups = np.repeat(np.arange(3), 8)
    label_index = np.tile([0, 1, 0, 1, 0, 1, 0, 2], 3)
    assert prod([factorial(8) // (factorial(4) * factorial(3))] * 3) > MAX_EXACT
    found, exact = draw_labellings(label_index, groups, number=50, seed=0)
    assert not exact
    assert found.shape == (50, 24)
    assert (count_by_dog(found, groups) == count_by_dog(label_index[None], groups)).all()
    assert len({tuple(row) for row in found}) > 45
    # Dogs move independently of each other.
    assert any((row[:8] != row[8:16]).any() for row in found)


def test_limit_between_listing_and_drawing():
    for clips, exact in ((14, True), (16, False)):
        assert (comb(clips, clips // 2) <= MAX_EXACT) == exact
        label_index = np.arange(clips) % 2
        found = draw_labellings(label_index, np.zeros(clips, int), number=9, seed=0)
        assert found[1] == exact
        assert len(found[0]) == (comb(clips, clips // 2) if exact else 9)


def test_drawn_arrangements_are_equally_frequent(monkeypatch):
    monkeypatch.setattr("canemo.trust.labellings.MAX_EXACT", 1)
    label_index, groups = np.array([0, 1, 1, 0, 1]), np.array([0, 0, 0, 1, 1])
    found, exact = draw_labellings(label_index, groups, number=6000, seed=3)
    assert not exact
    counts = np.unique(found, axis=0, return_counts=True)[1]
    assert len(counts) == 6
    assert np.abs(counts - 1000).max() < 4 * np.sqrt(1000 * 5 / 6)


def test_seed_decides_and_nothing_given_is_changed():
    label_index, groups = np.tile([0, 1], 20), np.repeat(np.arange(4), 10)
    before = label_index.copy()
    a, b, c = (draw_labellings(label_index, groups, number=20, seed=s)[0] for s in (0, 0, 1))
    np.testing.assert_array_equal(a, b)
    assert (a != c).any()
    np.testing.assert_array_equal(label_index, before)


@pytest.mark.parametrize("others", [0, 1])
def test_dog_with_very_many_clips(others):
    label_index = np.array([0] * 1500 + [1] * others + [0, 1])
    groups = np.array([0] * 1500 + [0] * others + [1, 1])
    found, exact = draw_labellings(label_index, groups, number=5, seed=0)
    assert exact
    assert len(found) == 2 * (1501 if others else 1)
    assert (found.sum(axis=1) == others + 1).all()
