from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from canemo.errors import ModelError
from canemo.report.terminal import format_audit
from canemo.report.words.audit import (
    list_audit_tables,
    state_alarms,
    state_below,
    state_drops,
    state_duplicates,
    state_own,
    state_removed,
    state_sessions,
)
from canemo.report.words.voice import Voice
from canemo.study.records.audit import Audit
from canemo.study.records.folders import read_run
from report_fixtures import make_audit, make_duplicates, make_metrics, record, write_run


def audited(**changes: Any) -> Audit:
    return Audit.model_validate(make_audit(**changes))


def squeeze(text: str) -> set[str]:
    """Return the lines, however wide their columns are."""
    return {" ".join(line.split()) for line in text.splitlines()}


def test_audit_in_the_terminal_has_every_number() -> None:
    text = format_audit(audited(), Voice())
    squeezed = " ".join(text.split())
    assert text.startswith("Alarm: Two clips are nearly alike.\nNote: Frames are lost unevenly.")
    for fact in (
        "split by frame                            99.6 %   99.1 %",
        "split by clip                             91.4 %   87.1 %",
        "split by dog                              81.9 %   75.6 %",
        "split by dog, frames picked on all dogs   95.3 %        –",
        "each dog’s mean removed                               84.2 %   77.0 to 90.0 %",
        "the directions that name the dog removed              80.3 %                –",
        "clips are assigned to the right one of 29 dogs in 93.7 % (chance 4.1 %).",
        "“positive anticipation” 11.2 % and “frustration” 18.7 % (difference between them: "
        "p = 0.031)",
        "Shared between dogs in the column “session”: monday (dog01, dog02) and "
        "tuesday (dog03, dog04).",
        "22 pairs of clips nearly alike, a likeness of 0.99 or more; 2 more are not shown.",
        "clip000 (dog01)   copy000 (dog02)   0.9999   two dogs\n",
        "clip001 (dog01)   copy001 (dog01)   0.9998\n",
        "the background, dog masked   58.0 % (66.0 to 83.0 %)   0.620 (0.700 to 0.880)     256",
        "The background alone does not carry the result.",
    ):
        assert " ".join(fact.split()) in squeezed
    assert "clip019" in text
    assert "clip020" not in text


@pytest.mark.parametrize("key", ["identity", "confounds"])
def test_what_could_not_be_audited_is_left_out(key: str) -> None:
    full, shown = format_audit(audited(), Voice()), format_audit(audited(**{key: None}), Voice())
    assert len(shown) < len(full)
    assert squeeze(shown) <= squeeze(full)


def test_no_finding_is_said_only_where_there_is_none() -> None:
    assert format_audit(audited(findings=[]), Voice()).startswith("The audit found nothing amiss.")
    assert "nothing amiss" not in format_audit(audited(), Voice())


def test_sessions_and_pairs_as_the_audit_writes_them() -> None:
    pair = make_audit()["duplicates"]["pairs"][1]
    labelled = {**pair, "first_label": "a", "second_label": "b"}
    audit = audited(
        sessions={"column": "day", "shared": [{"session": "1", "subjects": ["x", "y"]}]},
        duplicates=make_duplicates([labelled], threshold=None),
    )
    assert state_sessions(audit) == "Shared between dogs in the column “day”: 1 (x, y)."
    table = list_audit_tables(audit)["duplicates"]
    assert len({column.heading for column in table.columns}) == len(table.columns)
    assert table.caption == "1 pair of clips nearly alike."
    assert table.rows[0].values["mark"] == "two conditions"


def test_what_was_not_looked_at_or_not_found_is_said() -> None:
    none = make_duplicates([], threshold=0.99)
    audit = audited(sessions={"column": None, "shared": []}, duplicates=none)
    assert state_sessions(audit).startswith("Whether dogs were filmed on the same day or in the")
    assert state_duplicates(audit) == "No two clips are nearly alike: none was found twice."
    alone = audited(sessions={"column": "day", "shared": []})
    assert state_sessions(alone) == "No session in the column “day” is shared between dogs."
    assert state_duplicates(alone) == ""


def test_numbers_without_the_dog_are_called_no_result() -> None:
    assert "may not be reported as such, however high" in state_removed(audited())


def test_many_shared_sessions_are_cut() -> None:
    shared = [{"session": f"day {i}", "subjects": ["x", "y"]} for i in range(12)]
    audit = audited(sessions={"column": "day", "shared": shared})
    assert state_sessions(audit).endswith("day 7 (x, y) and 4 more.")
    nine = audited(sessions={"column": "day", "shared": shared[:9]})
    assert state_sessions(nine).endswith("day 7 (x, y) and day 8 (x, y).")


def test_findings_are_a_table_worst_first() -> None:
    findings = list_audit_tables(audited())["findings"]
    assert [line.values["severity"] for line in findings.rows] == ["Alarm", "Note"]


def test_alarms_are_counted() -> None:
    none = make_metrics(audit=make_audit(findings=[]))
    assert state_alarms(record(none)) == ""
    assert state_alarms(record(make_metrics())).startswith("The audit raises 1 alarm:")


def test_confounds_file_of_a_run_joins_its_audit(tmp_path: Path) -> None:
    run_dir = write_run(tmp_path, make_metrics(audit=make_audit(confounds=None)))
    assert read_run(run_dir).metrics.audit.confounds is None
    confounds = audited().confounds
    assert confounds is not None
    confounds.write(run_dir / "confounds.json")
    assert read_run(run_dir).metrics.audit.confounds == confounds
    (run_dir / "confounds.json").write_text("[", encoding="utf-8")
    with pytest.raises(ModelError, match=r"confounds\.json: not valid JSON"):
        read_run(run_dir)


def test_two_numbers_for_the_split_by_dog_are_told_apart() -> None:
    metrics = make_metrics()
    metrics["audit"]["splits"]["subject_wise"]["video"] = 0.833
    text = state_own(record(metrics))
    assert "reads 83.3 % here and 81.9 % there" in text
    metrics["audit"]["splits"]["subject_wise"]["video"] = 0.8187
    assert "here and" not in state_own(record(metrics))


def test_split_far_below_chance_is_explained() -> None:
    metrics = make_metrics()
    assert state_below(record(metrics)) == ""
    metrics["audit"]["splits"]["clip_wise"]["video"] = 0.357
    assert "is no slip" in state_below(record(metrics))


def test_no_share_is_given_where_no_frame_was_lost() -> None:
    metrics = make_metrics()
    metrics["audit"]["drops"] = {"shares": {"a": 0.0, "b": 0.0}, "difference": 0.0, "p": 1.0}
    text = state_drops(record(metrics).audit)
    assert text == "Every frame that was looked at had a usable face."
