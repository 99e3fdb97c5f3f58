import pytest

from canemo.formats.events.codes import read_codes
from canemo.species import DOG


@pytest.mark.parametrize(
    ("text", "units"),
    [
        ("AU25", ("AU25",)),
        ("au 25", ("AU25",)),
        ("AU025", ("AU25",)),
        ("AU25 lips part", ("AU25",)),
        ("AU145 - blink", ("AU145",)),
        ("EAD-103 (ears flattener)", ("EAD103",)),
        ("AU25+26", ("AU25", "AU26")),
        ("AU25 + AD19", ("AU25", "AD19")),
        ("AU25/AU26", ("AU25", "AU26")),
        ("AU25+25", ("AU25",)),
        ("AU25, AU26", ("AU25", "AU26")),
        ("AU25,AU26", ("AU25", "AU26")),
        ("AU25;AU26", ("AU25", "AU26")),
        ("AU25 AU26", ("AU25", "AU26")),
        ("AU25 and AU26", ("AU25", "AU26")),
        ("au 25, au 26, and ad 19", ("AU25", "AU26", "AD19")),
        ("AU25, 26 and 27", ("AU25", "AU26", "AU27")),
        ("AU25+26, AD19 tongue show", ("AU25", "AU26", "AD19")),
        ("AU25+26 AD19", ("AU25", "AU26", "AD19")),
        ("AU25 lips part, AU26 jaw drop", ("AU25", "AU26")),
        ("AU25 (lips part) + AU26 (jaw drop)", ("AU25", "AU26")),
    ],
)
def test_spellings_of_a_code_name_the_same_units(text, units):
    assert read_codes(text, DOG.units) == units


def test_nose_wrinkler_and_upper_lip_raiser_are_one_unit_of_the_manual():
    assert read_codes("AU109+110", DOG.units) == ("AU109+110",)
    assert read_codes("au 109 + au110 + 25", DOG.units) == ("AU109+110", "AU25")
    assert read_codes("AU110", DOG.units) == ("AU110",)
    assert read_codes("AU109, AU110", DOG.units) == ("AU109+110",)
    assert read_codes("AU109+110 nose wrinkler and upper lip raiser", DOG.units) == ("AU109+110",)


@pytest.mark.parametrize(
    "text", ["AU25 wide and long", "AU25, lips part", "AU25 lips part (1/2)", "AU25;", "AU25_Rex"]
)
def test_words_after_a_code_are_read_past(text):
    assert read_codes(text, DOG.units) == ("AU25",)


@pytest.mark.parametrize(
    "text",
    ["yawn", "25", "AU9", "AU25C", "AU25+yawn", "AU25 26", "AU25+26+yawn", "AU109", "LAU12",
     "yawn, AU25", "AU25AU26"],
)  # fmt: skip
def test_what_is_no_code_is_kept_as_given(text):
    assert read_codes(f"  {text} ", DOG.units) == (text,)


@pytest.mark.parametrize(
    "text",
    ["AU25, AU9", "AU25 AU9", "AU25 and AU26C", "AU25, LAU12", "AU25, 9", "AU25, 26 jaw drop",
     "AU25-26", "AU25-AU26", "AU25_AU26", "AU25 | AU26", "AU25 (AU26)", "AU25 not AU26",
     "AU25, not AU26", "AU25 lips part AU26", "AU25 lips part, 26", "AU25 and AU109"],
)  # fmt: skip
def test_code_that_may_have_been_meant_is_not_lost(text):
    """It is listed as given: read as AU25 alone, the other would pass for absent."""
    assert read_codes(text, DOG.units) == (text,)


@pytest.mark.parametrize(
    "text",
    ["AU25 not visible", "AU25 absent", "AU25 NV", "AU25 n/v", "AU25?", "AU25 stop", "AU25_off",
     "AU25 (not lips part)", "AU25 - none", "AU25 0", "AU25+26 end", "no AU25"],
)  # fmt: skip
def test_a_unit_that_was_not_seen_or_ends_is_not_shown(text):
    assert read_codes(text, DOG.units) == (text,)


def test_names_of_movements_and_words_that_hold_such_a_word_deny_nothing():
    for code, name in DOG.units.items():
        assert read_codes(f"{code} {name}", DOG.units) == (code,)
    assert read_codes("AU25 noted, bending, offside, stopped10", DOG.units) == ("AU25",)


def test_nothing_written_names_nothing():
    assert read_codes("  ", DOG.units) == ()


def test_every_code_of_the_table_reads_as_itself():
    assert [read_codes(code, DOG.units) for code in DOG.units] == [(code,) for code in DOG.units]
    assert read_codes("AU25+26", {}) == ("AU25+26",)  # a species without units: as it is written
