"""Which further columns of a table cannot be told from the condition, and which are harmless."""

from itertools import product

import pytest

from canemo.study.circumstances import find_confounds
from canemo.study.design import Clip


def make_clips(name, value, *, dogs=4, labels=("food", "none"), each=3):
    """Clips of each dog and label; `value` of (dog, label, number of the clip) fills the column."""
    return [
        Clip(f"dog{dog}", label, None, {name: value(dog, label, number)})
        for dog, label, number in product(range(dogs), labels, range(each))
    ]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("camera", lambda dog, label, number: {"food": "A", "none": "B"}[label]),
        ("filming_date", lambda dog, label, number: {"food": "1 May", "none": "2 May"}[label]),
        ("session", lambda dog, label, number: {"food": "1", "none": "2"}[label]),
        ("day", lambda dog, label, number: f"{label} {number}"),  # three days each
    ],
)
def test_circumstances_that_cannot_be_told_from_the_condition(name, value):
    (found,) = find_confounds(make_clips(name, value))
    assert found.column == name
    assert found.is_total
    assert set(found.values) == {"food", "none"}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("take", lambda dog, label, number: str(number)),
        ("clip", lambda dog, label, number: f"{dog}{label}{number}"),
        ("date", lambda dog, label, number: f"day of dog {dog}"),
        ("date", lambda dog, label, number: f"{dog}{label}{number}"),
        ("camera", lambda dog, label, number: "A"),
        ("camera", lambda dog, label, number: "A" if label == "food" and number else "B"),
        ("camera", lambda dog, label, number: "A" if label == "food" else ""),
        ("notes", lambda dog, label, number: f"{label}, {number % 2}"),
    ],
)
def test_columns_that_say_nothing_against_a_design(name, value):
    assert find_confounds(make_clips(name, value)) == []


def test_many_sessions_of_one_condition_each_are_a_doubt_only():
    (found,) = find_confounds(make_clips("session", lambda dog, label, _: f"{dog}{label}", dogs=7))
    assert found.is_circumstance
    assert found.least_p == pytest.approx(1 / 64)
    assert not found.is_total


def test_days_that_all_dogs_share_change_places_as_a_whole():
    (found,) = find_confounds(
        make_clips("day", lambda dog, label, number: f"{label} {number}", each=5)
    )
    assert found.least_p == pytest.approx(2 / 252)


def test_another_word_for_the_condition_is_only_asked_about():
    (found,) = find_confounds(make_clips("valence", lambda _, label, __: label[0]))
    assert not found.is_circumstance
    assert not found.is_total


def test_dogs_of_one_condition_do_not_count():
    clips = make_clips("camera", lambda dog, label, number: "AB"[number % 2])
    alone = [Clip("other", "food", None, {"camera": "C"})] * 3
    assert find_confounds([*clips, *alone]) == []
