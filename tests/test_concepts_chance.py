import numpy as np
import pytest

from canemo.concepts.chance import Chance, bound_values, count_beyond, count_reached


def test_p_counts_the_coding_at_hand_and_is_never_zero():
    null = np.arange(99) / 100
    assert count_reached(2.0, null, exact=False) == 1 / 100
    assert count_reached(0.9, null, exact=False) == (9 + 1) / 100
    assert count_reached(2.0, np.array([0.1, 2.0, 0.3]), exact=True) == 1 / 3
    assert count_reached(0.5, np.array([np.nan, 0.1]), exact=False) == 2 / 3  # unknown counts


def test_p_on_both_sides_is_about_what_moved_codings_give():
    null = 0.5 + 0.1 * np.linspace(-1, 1, 99)
    assert count_beyond(0.9, null, exact=False) == 2 / 100
    assert count_beyond(-0.1, null, exact=False) == 2 / 100  # far below them, near to zero
    assert count_beyond(0.5, null, exact=False) == 1.0


def test_p_of_as_little_and_of_as_much():
    chance = Chance({"left": 0.5}, {"left": np.linspace(0.5, 0.9, 99)}, exact=False)
    assert chance.compute_p("left", low=True) == 2 / 100
    assert chance.compute_p("left") == 1.0
    assert chance.compute_p_both_ways("left") == 4 / 100


def test_no_p_where_nothing_else_is_possible_or_nothing_was_measured():
    alone = Chance({"a": 0.5}, {"a": np.array([0.5])}, exact=True)
    assert alone.compute_p("a") is None
    assert alone.compute_p_both_ways("a") is None
    unknown = Chance({"a": np.nan}, {"a": np.array([np.nan, np.nan])}, exact=False)
    assert unknown.know("a") is None
    assert unknown.compute_p("a") is None
    assert unknown.describe_null("a") == {"null_mean": None, "null_high": None}
    assert unknown.bound_null("a") is None


def test_null_is_described_by_what_is_known_of_it():
    chance = Chance({"a": 1.0}, {"a": np.array([*np.arange(101) / 100, np.nan])}, exact=False)
    assert chance.describe_null("a") == pytest.approx({"null_mean": 0.5, "null_high": 0.95})
    assert bound_values(np.arange(1001.0)) == [25.0, 975.0]
