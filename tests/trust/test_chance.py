import numpy as np
import pytest

from canemo.trust.chance import Chance


def test_p_on_both_sides_is_about_what_moved_codings_give():
    null = 0.5 + 0.1 * np.linspace(-1, 1, 99)
    observed = {"above": 0.9, "below": -0.1, "amid": 0.5}  # the second is nearer to zero
    chance = Chance(observed, dict.fromkeys(observed, null), exact=False)
    assert chance.compute_p_both_ways("above") == 2 / 100
    assert chance.compute_p_both_ways("below") == 2 / 100
    assert chance.compute_p_both_ways("amid") == 1.0


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
    assert chance.bound_null("a") == pytest.approx([0.025, 0.975])
