"""Which names are asked about, and which are not."""

from itertools import combinations

import pytest

from canemo.formats.tables import Row
from canemo.study.names import find_resemblances
from canemo.study.spelling import are_alike, find_alike


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("Bela", "Bella"),
        ("nofod", "nofood"),
        ("no food", "nofood"),
        ("rex1", "rex 1"),
        ("rex1", "Rex_01"),
        ("S1", "S001"),
        ("Zoë", "zoe"),
        ("Bär", "Baer"),
        ("frustration", "frustation"),
        ("anticipation", "anticpation"),
        ("Stella", "Stelal"),
        ("Labrador1", "Labradro1"),
        ("Frieda", "Frida"),
        ("anticipation", "antizipation"),
    ],
)
def test_two_spellings_of_one(first, second):
    assert are_alike(first, second)
    assert are_alike(second, first)


@pytest.mark.parametrize(
    "names",
    [
        [f"dog{number}" for number in range(1, 21)],
        [f"S{number:02d}" for number in range(30)],
        ["A", "B", "C", "a1", "A2", "A3"],
        ["rex1", "rex2", "rex"],
        ["Max", "Mia", "Mila", "Mika", "Leo", "Leon", "Lea", "Leah", "Luna", "Lena", "Lina"],
        ["Molly", "Polly", "Holly", "Rocky", "Ricky", "Bella", "Stella", "Della"],
        ["Luna", "Luna B", "Luna K", "LunaM"],
        ["Rex I", "Rex II", "Rex III", "Rex IV"],
        ["food", "nofood", "fed", "food2"],
        ["positive", "negative", "neutral", "typical", "atypical", "happy", "unhappy"],
        ["condition_a", "condition_b", "groupA", "groupB"],
        ["active", "inactive", "safe", "unsafe", "left", "right", "male", "female", "pre", "post"],
        ["baseline1", "baseline2", "K9-01", "K9-02"],
    ],
)
def test_names_that_are_rightly_different(names):
    assert [pair for pair in combinations(names, 2) if are_alike(*pair)] == []


def make_rows(*pairs):
    return [
        Row(number, {"subject_id": subject_id, "label": label})
        for number, (subject_id, label) in enumerate(pairs, start=2)
    ]


def test_the_one_with_fewer_clips_is_asked_about_and_dogs_of_one_condition_first():
    rows = make_rows(
        ("Frieda", "food"), ("Frida", "food"), ("Frida", "none"), ("Frieda", "none"),
        ("Bela", "none"), ("Bella", "food"), ("Bella", "none"), ("Bella", "nonne"),
    )  # fmt: skip
    bela, label, frieda = find_resemblances(rows)
    assert str(bela.problem) == (
        "warning: videos.csv, row 6, column subject_id: 'Bela' (1 clip, 'none' only) looks like "
        "'Bella' (3 clips); one spelling, if they are the same"
    )
    assert (label.name, label.problem.column) == ("nonne", "label")
    assert frieda.problem.seen == "'Frida' (2 clips) looks like 'Frieda' (2 clips)"


def test_three_spellings_are_asked_about_twice():
    rows = make_rows(*[("Bella", "food")] * 3, *[("Bela", "food")] * 2, ("bella", "food"))
    assert [each.name for each in find_resemblances(rows)] == ["Bela", "bella"]


def test_thousands_of_names_take_no_time():
    rows = make_rows(*((f"dog {number}", "food") for number in range(3000)))
    assert find_resemblances(rows) == []


def test_the_nearest_is_found_among_others():
    assert find_alike("dog21", ["dog1", "dog2"]) is None
    assert find_alike("Bela", ["Rex", "Bella"]) == "Bella"
