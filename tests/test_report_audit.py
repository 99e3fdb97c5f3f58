from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from canemo.errors import ModelError
from canemo.report.audit import describe_audit, list_audit_charts, state_alarms
from canemo.report.text import format_audit
from canemo.run_record import Audit, read_run
from report_fixtures import make_audit, make_duplicates, make_metrics, record, write_run


def audited(**changes: Any) -> Audit:
    return Audit.model_validate(make_audit(**changes))


def squeeze(text: str) -> set[str]:
    """Return the lines, however wide their columns are."""
    return {" ".join(line.split()) for line in text.splitlines()}


def test_audit_in_the_terminal_has_every_number() -> None:
    text = format_audit(audited())
    squeezed = " ".join(text.split())
    assert text.startswith("Alarm: Two clips are nearly alike.\nNote: Frames are lost unevenly.")
    for fact in (
        "split by frame                 99.6 %   99.1 %",
        "split by clip                  91.4 %   87.1 %",
        "split by dog                   81.9 %   75.6 %",
        "each dog’s mean removed                    84.2 %   77.0 to 90.0 %",
        "the directions that name the dog removed   80.3 %                –",
        "clips are assigned to the right one of 29 dogs in 93.7 % (chance 4.1 %).",
        "“positive anticipation” 11.2 % and “frustration” 18.7 % (difference between them: "
        "p = 0.031)",
        "Shared between dogs in the column “session”: monday (dog01, dog02) and "
        "tuesday (dog03, dog04).",
        "22 pairs of clips nearly alike, cosine of 0.99 or more; 2 more are not shown.",
        "0.9999  clip000 (dog01) – copy000 (dog02)  two dogs\n",
        "0.9998  clip001 (dog01) – copy001 (dog01)\n",
        "the background, dog masked          58.0 %   66.0 to 83.0 %   0.620     256",
        "The background alone does not carry the result.",
    ):
        assert " ".join(fact.split()) in squeezed
    assert "clip019" in text
    assert "clip020" not in text


@pytest.mark.parametrize("key", ["identity", "confounds"])
def test_what_could_not_be_audited_is_left_out(key: str) -> None:
    full, shown = format_audit(audited()), format_audit(audited(**{key: None}))
    assert len(shown) < len(full)
    assert squeeze(shown) <= squeeze(full)


def test_no_finding_is_said_only_where_there_is_none() -> None:
    assert format_audit(audited(findings=[])).startswith("The audit found nothing amiss.")
    assert "nothing amiss" not in format_audit(audited())


def test_sessions_and_pairs_as_the_audit_writes_them() -> None:
    pair = make_audit()["duplicates"]["pairs"][1]
    labelled = {**pair, "first_label": "a", "second_label": "b"}
    shown = describe_audit(
        audited(
            sessions={"column": "day", "shared": [{"session": "1", "subjects": ["x", "y"]}]},
            duplicates=make_duplicates([labelled], threshold=None),
            selected_outside={"balanced_accuracy": 0.95, "interval": None},
        )
    )
    assert shown["sessions"] == "Shared between dogs in the column “day”: 1 (x, y)."
    assert shown["duplicates"]["text"] == "1 pair of clips nearly alike."
    assert shown["duplicates"]["rows"][0]["mark"] == "two conditions"
    assert shown["splits"][-1] == {
        "name": "split by dog, frames picked on all dogs",
        "video": "95.0 %",
        "frame": "–",
    }


def test_many_shared_sessions_are_cut() -> None:
    shared = [{"session": f"day {i}", "subjects": ["x", "y"]} for i in range(12)]
    shown = describe_audit(audited(sessions={"column": "day", "shared": shared}))
    assert shown["sessions"].endswith("day 7 (x, y) and 4 more.")


def test_alarms_are_counted() -> None:
    none = make_metrics(audit=make_audit(findings=[]))
    assert state_alarms(record(none)) == ""
    assert state_alarms(record(make_metrics())).startswith("The audit raises 1 alarm:")


def test_splits_are_drawn_with_this_run_s_own_in_colour() -> None:
    figure, alt = list_audit_charts(record(make_metrics()))["splits"]
    assert figure is not None
    names = [tick.get_text() for tick in figure.axes[0].get_yticklabels()]
    assert names == [
        "split by frame",
        "split by clip",
        "split by dog",
        "split by dog, frames picked on all dogs",
    ]
    assert "split by frame 99.6 %; split by clip 91.4 %; split by dog 81.9 %" in alt


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
