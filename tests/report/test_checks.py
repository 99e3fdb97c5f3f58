from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from canemo.report.charts.rows import Row, draw_rows
from canemo.report.charts.trust import draw_calibration, draw_learning_curve, list_yardsticks
from canemo.report.terminal import format_result_block
from canemo.report.words.checks import list_facts
from canemo.study.records.run import LearningCurve
from report_fixtures import (
    make_detectable,
    make_intervals,
    make_learning_curve,
    make_metrics,
    make_permutation,
    record,
)


def tell(title: str, metrics: dict[str, Any]) -> str:
    """Return the full text of one check."""
    return next(fact.text for fact in list_facts(record(metrics)) if fact.title == title)


def tell_short(title: str, metrics: dict[str, Any]) -> str:
    return next(fact.line for fact in list_facts(record(metrics)) if fact.title == title)


def test_permutation_states_null_and_p_by_measure() -> None:
    assert tell("Permutation test", make_metrics()) == (
        "The labels of whole clips were moved within each dog, 1,000 times at random, and the "
        "model was learned anew each time, with all its choices. The balanced accuracy was then "
        "50.2 % on average and, in one of twenty, above 57.3 %; with the labels as they are it is "
        "81.9 %: p = 0.001 (by accuracy 0.002 and AUROC 0.004)."
    )
    exact = make_metrics(permutation=make_permutation(3 / 252, n=252, exact=True))
    assert "in all 252 ways there are" in tell("Permutation test", exact)
    assert tell_short("Permutation test", exact).startswith("p = 0.012, the share of tries")


def test_permuted_stand_in_is_named_with_its_own_value() -> None:
    metrics = make_metrics(permutation=make_permutation(0.02, probe="lda", observed=0.7))
    text = tell("Permutation test", metrics)
    assert "a discriminant was learned anew" in text
    assert "The method of this run cannot be refitted so often" in text
    assert "Its own balanced accuracy is 70.0 %, and p belongs to that." in text
    assert "of the closed-form discriminant 70.0 %" in tell_short("Permutation test", metrics)


def test_permutation_without_p_gives_the_reason() -> None:
    metrics = make_metrics(permutation=make_permutation(None, reason="no label can be moved"))
    assert tell("Permutation test", metrics) == "There is no p value: no label can be moved."


@pytest.mark.parametrize(
    ("score", "interval", "end"),
    [
        (0.551, [0.463, 0.638], "It cannot be told from chance: there is no sign that these"),
        (0.62, [0.53, 0.7], "That is above chance: what differs there may carry part"),
        (0.8187, [0.7, 0.9], "The face crops do no better than that."),
        (0.83, [0.7, 0.9], "The face crops do no better than that."),
        (0.97, [0.95, 0.99], "The face crops do worse than that."),
        (0.551, None, "It cannot be told from chance"),
    ],
)
def test_metadata_alone_is_judged(score: float, interval: list[float] | None, end: str) -> None:
    metrics = make_metrics()
    metrics["chance"]["metadata"] |= {
        "balanced_accuracy": score,
        "interval": make_intervals(balanced_accuracy=interval),
    }
    text = tell("Metadata alone", metrics)
    assert (
        "A probe that sees session, duration and brightness and nothing else of the picture" in text
    )
    assert f"balanced accuracy of {100 * score:.1f} %" in text
    assert end in text


def test_many_metadata_columns_are_cut_in_the_terminal_only() -> None:
    metrics = make_metrics()
    metrics["chance"]["metadata"]["columns"] = [
        "order", "session", "box_x", "box_y", "box_size", "sharpness",
    ]  # fmt: skip
    short = tell_short("Metadata alone", metrics)
    assert short.endswith("from order in videos.csv, session, place of the face and 2 more")
    assert "place of the face, size of the face and sharpness" in tell("Metadata alone", metrics)


def test_detectable_states_what_or_why_not() -> None:
    text = tell("Could be found", make_metrics())
    assert "A balanced accuracy of about 64 % or more" in text
    assert "in four of five such studies" in text
    none = make_detectable(balanced_accuracy=None, difference=None, curve=[], reason="few clips")
    text = tell("Could be found", make_metrics(detectable=none))
    assert text.endswith("told from chance: few clips.")


def test_calibration_stands_beside_equal_probabilities() -> None:
    text = tell("Calibration", make_metrics())
    assert "off by 5 percentage points on average (expected calibration error 0.047)" in text
    assert "Brier score 0.132, their mean squared error (0 is best; giving every cond" in text
    assert "the same probability, 0.250); log loss 0.421 (the same, 0.693)." in text
    three = make_metrics(("food", "social", "toy"))
    assert "same probability, 0.667)" in tell("Calibration", three)


def test_abstention_says_what_can_be_promised() -> None:
    metrics = make_metrics()
    text = tell("Abstention", metrics)
    assert "answers for 62.2 % of clips, 87.4 % of these rightly, and leaves 37.8 %" in text
    metrics["abstention"] = {
        "level": 0.02, "least_level": 1 / 29, "possible": False, "coverage": None,
        "decided": None, "accuracy_decided": None, "undecided": None,
    }  # fmt: skip
    text = tell("Abstention", metrics)
    assert "the true condition in no more than 2 % of clips of a new dog could not be" in text
    assert "each dog being judged by the 28 others" in text
    assert "by all 29, promises levels from 3.3 % on" in text


def test_a_model_that_answers_nothing_has_no_word_on_abstaining() -> None:
    facts = list_facts(record(make_metrics(permutation=make_permutation(0.2))))
    assert "Abstention" not in {fact.title for fact in facts}


def test_learning_curve_says_whether_it_rises() -> None:
    flat = tell("Learning curve", make_metrics())
    assert flat.startswith("It is not clear whether more dogs of this kind would help")
    assert "from 28 to 56 dogs" in flat
    assert "by -0.1 to +4.5 percentage points" in flat
    metrics = make_metrics(learning_curve=make_learning_curve(rising=True))
    assert "Learning from 56 instead of 28 dogs" in tell("Learning curve", metrics)
    assert "by about +1.2 to +4.5 percentage points" in tell("Learning curve", metrics)
    metrics["learning_curve"]["gain"] = {"score": 0.02, "low": None, "high": None}
    assert "by about +2.0 percentage points" in tell("Learning curve", metrics)


def test_result_block_has_one_line_for_each_check() -> None:
    block = format_result_block(record(make_metrics()))
    for line in (
        "\nPermutation test   p = 0.001, the share of tries with labels moved within dogs that do",
        "\nMetadata alone     balanced accuracy 55.1 % (46.3 to 63.8 %) without the picture, from",
        "\nCould be found     a balanced accuracy of 64 % or more, in four of five studies",
        "\nCalibration        probabilities are off by 5 percentage points on average; mean",
        "(Accuracy: share classified into the condition they were filmed in; Balanced accuracy:",
        "\nLearning curve     not clear whether more dogs of this kind would help (-0.1 to +4.5",
        "\nAlarm: Two clips are nearly alike.\nNote: Frames are lost unevenly.",
    ):
        assert line in block


def test_result_block_shows_five_findings_alarms_first() -> None:
    metrics = make_metrics()
    notes = [{"severity": "note", "name": "n", "text": f"note {i} {'x ' * 200}"} for i in range(6)]
    metrics["audit"]["findings"] = [*notes, {"severity": "alarm", "name": "a", "text": "worst"}]
    block = format_result_block(record(metrics))
    assert block.index("Alarm: Worst.") < block.index("Note: Note 0")
    assert "Note: Note 4" not in block
    assert "2 more findings: see the report" in block
    assert f"Note: Note 0 {'x ' * 199}x." in block  # whole: a cut sentence says nothing


def test_yardsticks_hold_the_numbers_of_the_metrics() -> None:
    rows = {row.name: row for row in list_yardsticks(record(make_metrics()))}
    assert rows["this run"].value == pytest.approx(0.8187)
    assert rows["this run"].interval == pytest.approx((0.741, 0.881))
    assert rows["labels moved within dogs"].interval == (0.502, 0.573)
    assert rows["metadata alone"].interval == (0.463, 0.638)
    assert rows["least this study could show"].value == 0.638


def test_rows_are_drawn_where_their_values_are() -> None:
    rows = [Row("a", 0.7, (0.6, 0.8), second=0.65), Row("b $x$", None, cells=(0, 1))]
    figure = draw_rows(rows, chance=0.5, xlabel="accuracy")
    axes = figure.axes[0]
    offsets = np.concatenate([points.get_offsets() for points in axes.collections[1:]])
    assert {tuple(point) for point in offsets} == {(0.7, 0.0), (0.65, 0.0)}
    assert axes.collections[0].get_segments()[0][:, 0].tolist() == [0.6, 0.8]
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["a", "b $x$"]


def test_calibration_and_learning_curve_show_their_points() -> None:
    metrics = record(make_metrics())
    bins = metrics.calibration.bins
    axes = draw_calibration(bins, label="x").axes[0]
    assert axes.collections[0].get_offsets().tolist() == [
        [each.probability, each.share] for each in bins
    ]
    axes = draw_learning_curve(metrics.learning_curve).axes[0]
    assert axes.lines[0].get_xdata().tolist() == [4, 8, 14, 20, 28]
    assert axes.lines[1].get_xdata().tolist() == [28, 56]


def test_points_without_interval_are_drawn_bare() -> None:
    curve = make_learning_curve()
    for point in (*curve["points"], curve["extrapolation"]):
        point |= {"low": None, "high": None}
    axes = draw_learning_curve(LearningCurve.model_validate(curve)).axes[0]
    assert len(axes.collections) == 6
