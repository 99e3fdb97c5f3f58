from __future__ import annotations

from typing import Any

import pytest

from canemo.report.terminal import format_result_block
from canemo.report.words.comparison import write_comparison_sentence
from canemo.report.words.methods import write_methods
from canemo.report.words.model import write_model_sentence
from canemo.report.words.verdict import (
    describe_coverage,
    explain_verdict,
    write_first_sentence,
)
from canemo.report.words.wording import (
    DRAWN,
    describe_frames,
    describe_interval,
    describe_split,
    format_interval,
    format_p,
    format_seconds,
    join_ends,
    join_words,
    write_sentence,
)
from canemo.study.records.model import Standing
from canemo.trust.standing import Comparison, compare_with_chance, contradicts, judge, judge_run
from report_fixtures import (
    make_audit,
    make_comparison,
    make_detectable,
    make_environment,
    make_evaluation,
    make_metrics,
    make_permutation,
    record,
    record_comparison,
    with_video_intervals,
)

UNCLEAR = "This result cannot be told from chance: on dogs it had never seen"


def judge_video(metrics: dict[str, Any]) -> Standing:
    return judge(compare_with_chance(record(metrics)))


@pytest.mark.parametrize(
    ("intervals", "reason"),
    [
        ({"accuracy": [0.60, 0.90]}, "includes chance for accuracy (66.0 %)"),
        ({"balanced_accuracy": [0.49, 0.70]}, "includes chance for balanced accuracy (50.0 %)"),
        ({"auroc": [0.5, 0.9]}, "includes chance for AUROC (0.500)"),
        ({"accuracy": None}, "could not be computed for accuracy (66.0 %)"),
        ({"auroc": None}, "could not be computed for AUROC (0.500)"),
    ],
)
def test_an_interval_that_reaches_chance_is_said_first(
    intervals: dict[str, Any], reason: str
) -> None:
    metrics = with_video_intervals(make_metrics(), **intervals)
    assert judge_video(record(metrics)) is Standing.UNCLEAR
    assert write_first_sentence(record(metrics)).startswith(UNCLEAR)
    assert reason in explain_verdict(record(metrics))
    assert "lies above chance for" in explain_verdict(record(metrics))


def test_frame_intervals_do_not_decide() -> None:
    metrics = make_metrics()
    metrics["levels"]["frame"]["interval"]["accuracy"] = [0.1, 0.99]
    assert judge_video(record(metrics)) is Standing.ABOVE


def test_missing_auroc_is_left_out_and_does_not_spoil_the_verdict() -> None:
    metrics = with_video_intervals(make_metrics(), auroc=None)
    metrics["levels"]["video"]["auroc"] = None
    assert [item.measure for item in compare_with_chance(record(metrics))] == [
        "accuracy",
        "balanced_accuracy",
        "macro_f1",
    ]
    assert judge_video(record(metrics)) is Standing.ABOVE


def test_below_the_majority_but_above_chance_otherwise_is_mixed() -> None:
    metrics = with_video_intervals(make_metrics(), accuracy=[0.5, 0.6])
    assert judge_video(record(metrics)) is Standing.MIXED
    assert write_first_sentence(record(metrics)).startswith(
        "This result is above chance by one measure"
    )


def test_below_chance_throughout_is_called_worse() -> None:
    low = {name: [0.1, 0.3] for name in ("accuracy", "balanced_accuracy", "auroc")}
    metrics = with_video_intervals(make_metrics(), **low)
    assert judge_video(record(metrics)) is Standing.BELOW
    assert write_first_sentence(record(metrics)).startswith("This result is worse than chance")


def test_p_stands_in_the_first_sentence() -> None:
    assert write_first_sentence(record(make_metrics())) == (
        "On dogs it had never seen, canemo classified 83 % of clips into the condition they were "
        "filmed in (95 % interval 76 to 90 %, resampling dogs; permutation p = 0.001); always "
        "answering “frustration” would give 66 %."
    )
    assert judge_run(record(make_metrics())) is Standing.ABOVE
    assert explain_verdict(record(make_metrics())) == ""
    stand_in = make_metrics(permutation=make_permutation(0.0004, probe="lda"))
    sentence = write_first_sentence(record(stand_in))
    assert "; permutation p < 0.001 of the closed-form discriminant);" in sentence


@pytest.mark.parametrize("p", [0.0501, 0.123, 1.0])
def test_p_above_the_level_takes_a_result_back_to_chance(p: float) -> None:
    metrics = make_metrics(permutation=make_permutation(p))
    assert judge_run(record(metrics)) is Standing.UNCLEAR
    assert write_first_sentence(record(metrics)).startswith(UNCLEAR)
    explained = explain_verdict(record(metrics))
    assert "lies above chance for accuracy (66.0 %)" in explained
    assert f"does as well or better in {100 * p:.1f} % of cases" in explained
    assert (
        "A balanced accuracy of about 64 % or more would have been told from chance in four of "
        "five such studies (from this run’s own answers;"
    ) in explained
    assert explained.endswith("to plan a study use the number of canemo check).")


def test_p_at_the_level_stands() -> None:
    metrics = make_metrics(permutation=make_permutation(0.05))
    assert judge_run(record(metrics)) is Standing.ABOVE


def test_a_small_p_does_not_lift_intervals_that_reach_chance() -> None:
    metrics = with_video_intervals(make_metrics(), auroc=[0.4, 0.9])
    assert judge_run(record(metrics)) is Standing.UNCLEAR
    assert write_first_sentence(record(metrics)).startswith(UNCLEAR)
    explained = explain_verdict(record(metrics))
    assert "includes chance for AUROC" in explained
    assert "told from chance" not in explained


def test_what_could_be_shown_is_left_out_where_it_is_not_known() -> None:
    few = make_detectable(balanced_accuracy=None, reason="too few clips")
    metrics = make_metrics(permutation=make_permutation(0.3), detectable=few)
    assert explain_verdict(record(metrics)).endswith("told from chance: too few clips.")
    metrics["detectable"] = make_detectable(power=0.9)
    assert "in 90 % of such studies" in explain_verdict(record(metrics))


def test_labels_that_cannot_be_moved_leave_nothing_to_conclude() -> None:
    reason = "Each dog was filmed in one condition only."
    metrics = make_metrics(permutation=make_permutation(None, reason=reason))
    assert judge_run(record(metrics)) is Standing.VOID
    assert write_first_sentence(record(metrics)).startswith(
        "Nothing can be concluded about the condition: each dog was filmed in one condition only. "
        "On dogs it had never seen"
    )
    assert explain_verdict(record(metrics)) == ""


@pytest.mark.parametrize(
    "text",
    [
        "“toy” was filmed on monday only.",
        "nothing can be concluded about the condition: “toy” was filmed on monday only",
    ],
)
def test_aligned_labels_leave_nothing_to_conclude_whatever_p_is(text: str) -> None:
    finding = {"severity": "alarm", "name": "aligned", "text": text}
    metrics = make_metrics(audit=make_audit(findings=[finding]))
    assert judge_run(record(metrics)) is Standing.VOID
    assert write_first_sentence(record(metrics)).startswith(
        "Nothing can be concluded about the condition: “toy” was filmed on monday only. On dogs"
    )


def test_what_was_not_put_to_the_test_is_not_told_from_chance() -> None:
    metrics = record(make_metrics(permutation=make_permutation(None)))
    assert judge_run(metrics) is Standing.UNCLEAR
    assert write_first_sentence(metrics).startswith(UNCLEAR)
    assert "No permutation test says how often" in explain_verdict(metrics)


@pytest.mark.parametrize(
    ("p", "text"),
    [
        (1 / 1001, "p = 0.001"),
        (0.0004, "p < 0.001"),
        (0.0123, "p = 0.012"),
        (0.05, "p = 0.050"),
        (0.0502, "p = 0.0502"),
        (1.0, "p = 1.000"),
        (None, "p –"),
    ],
)
def test_p_in_words(p: float | None, text: str) -> None:
    assert format_p(p) == text


def test_p_in_tables_has_no_name() -> None:
    assert [format_p(p, name="") for p in (0.012, 0.0001, None)] == ["0.012", "< 0.001", "–"]


def test_chance_of_three_labels() -> None:
    metrics = make_metrics(("food", "social", "toy"))
    share = metrics["chance"]["majority"]["video"]
    chance = {item.measure: item.chance for item in compare_with_chance(record(metrics))}
    assert chance["balanced_accuracy"] == pytest.approx(1 / 3)
    assert chance["auroc"] == 0.5
    # the constant answer: precision = share, recall = 1 for one label, 0 for the other two
    assert chance["macro_f1"] == pytest.approx(2 * share / (share + 1) / 3)
    metrics = with_video_intervals(metrics, balanced_accuracy=[0.34, 0.45])
    assert judge_video(record(metrics)) is Standing.ABOVE


def test_decimals_are_added_where_whole_percents_would_hide_the_order() -> None:
    metrics = with_video_intervals(make_metrics(), accuracy=[0.6642, 0.9])
    sentence = write_first_sentence(record(metrics))
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
    block = format_result_block(record(metrics))
    assert block.startswith("On dogs it had never seen")
    assert block.index("256 clips") < block.index("3,328 frames")
    assert "Accuracy 83.1 % 76.1 to 89.7 % 66.0 %" in " ".join(block.split())
    assert block.endswith("Warning: One clip could not be opened.")


def test_clips_and_dogs_that_were_not_tested_are_said() -> None:
    metrics = make_metrics()
    assert describe_coverage(record(metrics)) == ""
    metrics["study"] |= {"videos": 260, "subjects": 30}
    coverage = "The result rests on 256 of 260 clips and 29 of 30 dogs"
    assert describe_coverage(record(metrics)).startswith(coverage)
    assert coverage in format_result_block(record(metrics))


@pytest.mark.parametrize(
    ("split", "folds", "words"),
    [
        ("loso", 29, "leave one dog out, 29 rounds"),
        ("kfold:10", 10, "cross-validation by dog in 10 rounds"),
        ("holdout:1", 1, "1 dog held out"),
        ("file:/home/me/split.json", 5, "a saved split by dog, 5 rounds"),
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
    assert write_sentence("each dog was moved. ") == "Each dog was moved."
    assert describe_interval("log-odds t").startswith("bootstrap standard error")
    assert describe_interval("own kind") == "own kind"


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ("all", "all frames"),
        ("even:8", "8 evenly spaced frames"),
        ("even:1", "the middle frame"),
        ("score:.25", "the 25 % of frames with the best detector score"),
        ("sharp:0.5", "the 50 % of frames with the highest sharpness"),
    ],
)
def test_frames_in_words(rule: str, words: str) -> None:
    assert describe_frames(rule) == words


def test_drawn_dogs_are_called_drawn_before_anything_is_said_of_them() -> None:
    metrics = make_metrics()
    assert not write_first_sentence(record(metrics)).startswith(DRAWN)
    metrics["study"]["drawn"] = True
    drawn = record(metrics)
    assert write_first_sentence(drawn).startswith(f"{DRAWN} On dogs it had never seen, canemo")
    assert format_result_block(drawn).startswith(DRAWN)
    assert write_methods(drawn, make_environment()).startswith(DRAWN)
    comparison = make_comparison()
    comparison["study"]["drawn"] = True
    assert write_comparison_sentence(record_comparison(comparison)).startswith(DRAWN)


def test_interval_without_spread_is_no_pair_of_equal_numbers() -> None:
    assert join_ends("50.0 %", "50.0 %") == "50.0 % throughout"
    metrics = with_video_intervals(make_metrics(), balanced_accuracy=[0.5, 0.5])
    assert "50.0 % throughout" in format_result_block(record(metrics))


def test_model_whose_numbers_deny_its_verdict_contradicts_itself() -> None:
    assert not contradicts(make_evaluation())
    for changes in (
        {"p": None}, {"p": 0.2}, {"reason": "all clips are of one dog"}, {"interval": None},
        {"interval": (0.4, 0.9)}, {"accuracy_interval": (0.5, 0.9)}, {"majority": 0.99},
    ):  # fmt: skip
        assert contradicts(make_evaluation(**changes)), changes
        assert not contradicts(make_evaluation(standing="unclear", **changes))


def answer_alike(*counts: tuple[int, int]) -> dict[str, Any]:
    """Return metrics that cannot be told from chance, with these answers to each condition."""
    metrics = make_metrics(permutation=make_permutation(0.664))
    metrics["levels"]["video"]["confusion"]["counts"] = counts
    return metrics


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        (((7, 0), (7, 0)), "gave all 14 clips the same answer, “positive anticipation”, and"),
        (((0, 7), (1, 6)), "gave 13 of 14 clips the same answer, “frustration”, and"),
    ],
)
def test_one_answer_for_nearly_all_is_said_first_and_in_place_of_intervals(
    counts: Any, said: str
) -> None:
    metrics = record(answer_alike(*counts))
    sentence = write_first_sentence(metrics)
    assert f"on dogs it had never seen, canemo {said}" in sentence
    assert "(its 95 % interval says nothing then; permutation p = 0.664)" in sentence
    assert "95 % interval" not in explain_verdict(metrics)
    evaluation = make_evaluation(answer_alike(*counts))
    assert f"(it {said.removesuffix(', and')}; balanced" in write_model_sentence(evaluation)
    assert "95 % interval" not in write_model_sentence(evaluation)
    for text in (write_methods(metrics, make_environment()), format_result_block(metrics)):
        assert "The intervals of accuracy and balanced accuracy say nothing then" in text


@pytest.mark.parametrize("counts", [((7, 0), (4, 3)), ((65, 0), (0, 5))])
def test_answers_that_differ_keep_their_intervals(counts: Any) -> None:
    metrics = record(answer_alike(*counts))
    assert "the same answer" not in write_first_sentence(metrics)
    assert "95 % interval 76 to 90 %" in write_first_sentence(metrics)
