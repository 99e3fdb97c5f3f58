import pytest

from canemo.study.records.model import Standing
from canemo.trust.standing import summarise_evaluation
from report_fixtures import make_audit, make_metrics, make_permutation, record, with_video_intervals


def test_model_carries_the_numbers_of_its_run():
    metrics = record(make_metrics())
    found, level = summarise_evaluation(metrics), metrics.levels.video
    assert found.is_told
    assert (found.balanced_accuracy, found.interval) == (
        level.balanced_accuracy,
        level.interval.balanced_accuracy,
    )
    assert (found.accuracy, found.accuracy_interval) == (level.accuracy, level.interval.accuracy)
    assert (found.p, found.permuted, found.chance) == (1 / 1001, "own", 0.5)
    assert (found.majority_label, found.majority) == ("frustration", 0.66015625)
    assert found.subjects == 29
    assert sum(found.clips_by_label.values()) == found.clips == level.n
    assert found.clips_by_label == metrics.study.labels  # every clip was tested


def test_model_knows_whether_its_subjects_are_drawn():
    metrics = make_metrics()
    assert not summarise_evaluation(record(metrics)).drawn
    metrics["study"]["drawn"] = True
    assert summarise_evaluation(record(metrics)).drawn


def test_guessing_among_three_labels_is_right_once_in_three():
    found = summarise_evaluation(record(make_metrics(("food", "social", "toy"))))
    assert found.chance == pytest.approx(1 / 3)
    assert list(found.clips_by_label) == ["food", "social", "toy"]


@pytest.mark.parametrize(
    ("metrics", "standing"),
    [
        (make_metrics(permutation=make_permutation(0.3)), Standing.UNCLEAR),
        (make_metrics(permutation=make_permutation(None)), Standing.UNCLEAR),
        (with_video_intervals(make_metrics(), balanced_accuracy=None), Standing.UNCLEAR),
        (with_video_intervals(make_metrics(), accuracy=[0.5, 0.6]), Standing.MIXED),
        (make_metrics(permutation=make_permutation(None, reason="no dog has both")), Standing.VOID),
    ],
)
def test_only_what_is_above_chance_is_told_from_it(metrics, standing):
    found = summarise_evaluation(record(metrics))
    assert found.standing is standing
    assert not found.is_told


def test_reason_goes_with_a_model_of_which_nothing_follows():
    text = "“toy” was filmed on monday only."
    finding = {"severity": "alarm", "name": "aligned", "text": text}
    found = summarise_evaluation(record(make_metrics(audit=make_audit(findings=[finding]))))
    assert (found.standing, found.reason) == (Standing.VOID, text)
    assert summarise_evaluation(record(make_metrics())).reason == ""
