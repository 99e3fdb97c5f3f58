from __future__ import annotations

from typing import Any

import pytest

from canemo.report.text import format_result_block
from canemo.report.verdict import (
    Comparison,
    Standing,
    compare_with_chance,
    describe_coverage,
    explain_verdict,
    judge,
    write_first_sentence,
)
from canemo.report.wording import describe_split, format_interval, format_seconds, join_words
from report_fixtures import make_metrics, with_video_intervals

UNCLEAR = "This result cannot be told from chance: on dogs it had never seen"


def judge_video(metrics: dict[str, Any]) -> Standing:
    return judge(compare_with_chance(metrics))


def test_first_sentence_states_the_numbers_of_the_metrics() -> None:
    assert write_first_sentence(make_metrics()) == (
        "On dogs it had never seen, canemo classified 83 % of clips into the condition they were "
        "filmed in (95 % interval 76 to 90 %, resampling dogs); always answering “frustration” "
        "would give 66 %."
    )
    assert explain_verdict(make_metrics()) == ""


@pytest.mark.parametrize(
    ("intervals", "reason"),
    [
        ({"accuracy": [0.60, 0.90]}, "includes chance for accuracy (66.0 %)"),
        ({"balanced_accuracy": [0.49, 0.70]}, "includes chance for balanced accuracy (50.0 %)"),
        ({"auroc": [0.5, 0.9]}, "includes chance for AUROC (0.500)"),
        ({"accuracy": None}, "could not be computed for accuracy (66.0 %)"),
        ({"auroc": [float("nan"), float("nan")]}, "could not be computed for AUROC (0.500)"),
    ],
)
def test_an_interval_that_reaches_chance_is_said_first(
    intervals: dict[str, Any], reason: str
) -> None:
    metrics = with_video_intervals(make_metrics(), **intervals)
    assert judge_video(metrics) is Standing.UNCLEAR
    assert write_first_sentence(metrics).startswith(UNCLEAR)
    assert reason in explain_verdict(metrics)
    assert "lies above chance for" in explain_verdict(metrics)


def test_frame_intervals_do_not_decide() -> None:
    metrics = make_metrics()
    metrics["levels"]["frame"]["interval"]["accuracy"] = [0.1, 0.99]
    assert judge_video(metrics) is Standing.ABOVE


def test_missing_auroc_is_left_out_and_does_not_spoil_the_verdict() -> None:
    metrics = with_video_intervals(make_metrics(), auroc=None)
    metrics["levels"]["video"]["auroc"] = None
    assert [item.measure for item in compare_with_chance(metrics)] == [
        "accuracy",
        "balanced_accuracy",
        "macro_f1",
    ]
    assert judge_video(metrics) is Standing.ABOVE


def test_below_the_majority_but_above_chance_otherwise_is_mixed() -> None:
    metrics = with_video_intervals(make_metrics(), accuracy=[0.5, 0.6])
    assert judge_video(metrics) is Standing.MIXED
    assert write_first_sentence(metrics).startswith("This result is above chance by one measure")


def test_below_chance_throughout_is_called_worse() -> None:
    low = {name: [0.1, 0.3] for name in ("accuracy", "balanced_accuracy", "auroc")}
    metrics = with_video_intervals(make_metrics(), **low)
    assert judge_video(metrics) is Standing.BELOW
    assert write_first_sentence(metrics).startswith("This result is worse than chance")


def test_chance_of_three_labels() -> None:
    metrics = make_metrics(("food", "social", "toy"))
    share = metrics["chance"]["majority"]["video"]
    chance = {item.measure: item.chance for item in compare_with_chance(metrics)}
    assert chance["balanced_accuracy"] == pytest.approx(1 / 3)
    assert chance["auroc"] == 0.5
    # the constant answer: precision = share, recall = 1 for one label, 0 for the other two
    assert chance["macro_f1"] == pytest.approx(2 * share / (share + 1) / 3)
    metrics = with_video_intervals(metrics, balanced_accuracy=[0.34, 0.45])
    assert judge_video(metrics) is Standing.ABOVE


def test_decimals_are_added_where_whole_percents_would_hide_the_order() -> None:
    metrics = with_video_intervals(make_metrics(), accuracy=[0.6642, 0.9])
    sentence = write_first_sentence(metrics)
    assert "66.4 to 90.0 %" in sentence
    assert "would give 66.0 %" in sentence


@pytest.mark.parametrize(
    ("interval", "standing"),
    [
        ((0.51, 0.9), Standing.ABOVE),
        ((0.5, 0.9), Standing.UNCLEAR),
        ((0.1, 0.5), Standing.UNCLEAR),
        ((0.1, 0.49), Standing.BELOW),
        (None, Standing.UNCLEAR),
    ],
)
def test_standing_of_one_measure(interval: tuple[float, float] | None, standing: Standing) -> None:
    assert Comparison("auroc", 0.6, interval, 0.5).standing is standing


def test_result_block_has_both_levels_and_the_warnings() -> None:
    metrics = make_metrics()
    metrics["warnings"] = ["One clip could not be opened."]
    block = format_result_block(metrics)
    assert block.startswith("On dogs it had never seen")
    assert block.index("256 clips") < block.index("3,328 frames")
    assert "83.1 %   76.1 to 89.7 %     66.0 %" in block
    assert block.endswith("Warning: One clip could not be opened.")


def test_clips_and_dogs_that_were_not_tested_are_said() -> None:
    metrics = make_metrics()
    assert describe_coverage(metrics) == ""
    metrics["study"] |= {"videos": 260, "subjects": 30}
    coverage = "The result rests on 256 of 260 clips and 29 of 30 dogs"
    assert describe_coverage(metrics).startswith(coverage)
    assert coverage in format_result_block(metrics)


@pytest.mark.parametrize(
    ("split", "folds", "words"),
    [
        ("loso", 29, "leave one dog out, 29 folds"),
        ("kfold:10", 10, "10-fold cross-validation by dog"),
        ("holdout:1", 1, "1 dog held out"),
        ("file:/home/me/split.json", 5, "a saved split by dog, 5 folds"),
    ],
)
def test_splits_in_words(split: str, folds: int, words: str) -> None:
    assert describe_split(split, folds) == words


def test_wording() -> None:
    assert join_words(["a"]) == "a"
    assert join_words(["a", "b", "c"]) == "a, b and c"
    assert join_words([]) == ""
    assert format_interval("accuracy", [0.75, 0.9]) == "75.0 to 90.0 %"
    assert format_interval("auroc", None) == "–"
    assert [format_seconds(s) for s in (4.2, 200, 7500)] == ["4.2 s", "3 min 20 s", "2 h 5 min"]
