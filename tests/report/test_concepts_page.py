import numpy as np
import pandas as pd
import pytest

from canemo.report.charts.concepts import choose_clips, draw_coding, find_spans
from canemo.report.words.concepts import (
    describe_agreement,
    describe_decoding,
    describe_directions,
    write_concepts_sentence,
)
from canemo.study.records.concepts import CoderPair
from concept_worlds import make_unit, record_unit


@pytest.mark.parametrize(
    ("units", "sentence"),
    [
        ([], "No unit was coded in any clip with a usable face."),
        (
            [("AU25", "too few", "not asked")],
            "Too little was coded to say whether any of 1 unit can be decoded.",
        ),
        (
            [("AU25", "not shown", "not asked"), ("AU26", "too few", "not asked")],
            "None of 1 unit judged can be shown to be decodable on dogs the probe has not seen.",
        ),
        (
            [("AU25", "decodable", "not shown"), ("AU26", "not shown", "not asked")],
            "AU25 can be decoded on dogs the probe has not seen, of 2 units judged. None that can "
            "be decoded is shown to share its direction with “frustration”.",
        ),
        (
            [("AU25", "decodable", "aligned")],
            "AU25 can be decoded on dogs the probe has not seen, of 1 unit judged. AU25 shares its "
            "direction with the probe of “frustration”: that is no cause, for whatever goes along "
            "with it has that direction too.",
        ),
    ],
)
def test_first_sentence_claims_no_more_than_was_found(units, sentence):
    made = [make_unit(verdict, direction, unit=name) for name, verdict, direction in units]
    assert write_concepts_sentence(made, label="frustration") == sentence


def show(table):
    """Return the one line of a table as text, by key."""
    (row,) = table.rows
    return {column.key: str(column.show(row)) for column in table.columns}


def test_unit_that_was_not_judged_has_dashes_and_its_reason():
    unit = make_unit(name="", reason="2 tested dog(s) show it", events_without_frame=4)
    row = show(describe_decoding([unit]))
    assert (row["frames"], row["within"], row["interval"], row["p_holm"], row["moved"]) == (
        "1,200",
        "–",
        "–",
        "–",
        "–",
    )
    assert (row["unseen"], row["disagreed"]) == ("4", "0")
    assert row["verdict"] == "too few to tell: 2 tested dog(s) show it"


def test_direction_has_both_nulls_and_the_greater_p():
    tested = {"value": 0.418, "null": [-0.1, 0.12], "null_labels": [-0.2, 0.3], "p": 0.01}
    left = {"whole": 0.9, "left": 0.85, "null": [0.84, 0.91], "p": 0.2}
    direction = {
        "label": "frustration",
        "logit_spread": 1.5,
        "correlation": {**tested, "p_labels": 0.2, "p_holm": 0.4},
        "sensitivity": {**tested, "p_labels": 0.3},
        "removal": {"auroc": left, "balanced_accuracy": left},
    }
    changes = {"direction_verdict": "not shown", "direction_reason": ""}
    unit = record_unit(make_unit("decodable").to_dict(), direction=direction, **changes)
    row = show(describe_directions([unit], label="frustration"))
    assert row["correlation"] == "+0.42 (-0.10 to +0.12)"
    assert row["null_labels"] == "-0.20 to +0.30"
    assert (row["p"], row["p_labels"], row["p_holm"]) == ("0.010", "0.200", "0.400")
    assert row["p_sensitivity"] == "0.300"
    assert (row["whole"], row["left"]) == ("0.900", "0.850 (0.840 to 0.910)")
    assert row["verdict"] == "not shown to share it"


def test_kappa_that_is_not_defined_says_why():
    pair = {
        "unit": "AU25", "observers": ["ann", "ben"], "frames": 10, "subjects": 1, "agreement": 1.0,
        "prevalence": [0.0, 0.0], "kappa": None, "interval": None, "reason": "never seen",
    }  # fmt: skip
    row = show(describe_agreement([CoderPair(**pair)], method="kappa"))
    assert (row["kappa"], row["reason"]) == ("–", "never seen")
    known = {**pair, "kappa": 0.6123, "interval": [0.4, 0.7], "reason": None}
    row = show(describe_agreement([CoderPair(**known)], method="kappa"))
    assert row["kappa"] == "0.61 (0.40 to 0.70)"
    assert row["observers"] == "ann and ben"
    assert "reason" not in row


def frames(**clips):
    rows = [
        (name, place / 2, state == "1", 0.1 * place)
        for name, states in clips.items()
        for place, state in enumerate(states)
    ]
    table = pd.DataFrame(rows, columns=["video_id", "time_s", "shown", "score"])
    return table.astype({"shown": "boolean"})


def test_clips_drawn_are_those_in_which_a_unit_comes_and_goes():
    assert choose_clips(frames(a="0000", b="0110", c="0101", d="0011")) == ["c", "b"]
    assert choose_clips(frames(a="0000", b="0000", c="1111", d="0001")) == ["d", "c"]
    assert choose_clips(frames(a="0000", b="0000", c="1111")) == ["c", "a"]
    assert choose_clips(frames(a="0000")) == ["a"]


def test_spans_reach_half_way_to_the_frames_beside_them():
    time_s = np.array([0.0, 0.5, 1.0, 1.6, 2.1])
    shown = np.array([True, False, True, True, False])
    assert find_spans(time_s, shown) == [
        pytest.approx((-0.25, 0.25)),
        pytest.approx((0.75, 1.85)),
    ]
    assert find_spans(time_s, np.zeros(5, bool)) == []
    assert find_spans(np.array([1.0]), np.array([True])) == [pytest.approx((0.9, 1.1))]


def test_timeline_shades_what_was_coded_and_draws_the_score():
    table = frames(a="0110", b="0001")
    figure = draw_coding({name: table[table["video_id"] == name] for name in ("a", "b")})
    upper, lower = figure.axes
    (line,) = upper.lines
    assert line.get_xdata().tolist() == [0, 0.5, 1, 1.5]
    assert line.get_ydata() == pytest.approx([0, 0.1, 0.2, 0.3])
    assert [len(axes.patches) for axes in (upper, lower)] == [1, 1]
    assert upper.get_title(loc="left") == "a"
    assert upper.get_ylim() == lower.get_ylim()


def test_step_that_labels_cannot_be_asked_about_has_no_greater_p():
    measured = {"value": 0.4, "null": [-0.1, 0.1], "p": 0.01}
    left = {"whole": 0.9, "left": 0.85, "null": [0.84, 0.91], "p": 0.2}
    direction = {
        "label": "frustration", "logit_spread": 1.5, "correlation": measured,
        "sensitivity": {**measured, "p_labels": None},
        "removal": {"auroc": left, "balanced_accuracy": left},
    }  # fmt: skip
    changes = {"direction_verdict": "cannot be asked", "direction_reason": "why"}
    unit = record_unit(make_unit("decodable").to_dict(), direction=direction, **changes)
    row = show(describe_directions([unit], label="frustration"))
    assert (row["p_sensitivity"], row["p_labels"], row["null_labels"]) == ("–", "–", "–")
    assert row["verdict"] == "cannot be asked: why"
