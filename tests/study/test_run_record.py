"""What a run and a comparison hold on disk: there and back, and nothing else is taken for one."""

import json

import pandas as pd
import pytest
from pydantic import ValidationError

import canemo
from canemo.errors import ModelError
from canemo.report.pages.comparison import write_comparison_report
from canemo.report.pages.explanation import write_page
from canemo.report.pages.run import write_report
from canemo.study.records.audit import Confounds
from canemo.study.records.comparison import ComparisonRecord
from canemo.study.records.document import COMPARISON, EXPLANATION, RUN, read_document
from canemo.study.records.folders import read_comparison, read_run
from canemo.study.records.run import RunMetrics
from report_fixtures import (
    make_audit,
    make_comparison,
    make_metrics,
    record,
    record_comparison,
    write_explanation,
    write_run,
)


def change(path, **changes):
    """Change keys of a JSON file; a key whose value is None goes."""
    content = json.loads(path.read_text(encoding="utf-8")) | changes
    kept = {key: value for key, value in content.items() if value is not None}
    path.write_text(json.dumps(kept), encoding="utf-8")


# -- there and back -------------------------------------------------------------------------------


def test_run_comes_back_as_it_was_written(tmp_path):
    metrics = record(make_metrics())
    metrics.write(tmp_path / "metrics.json")
    assert read_run(tmp_path).metrics == metrics


def test_file_says_what_it_is_and_holds_every_key_that_was_given(tmp_path):
    path = record(make_metrics()).write(tmp_path / "metrics.json")
    content = json.loads(path.read_text(encoding="utf-8"))
    assert list(content)[:2] == ["format", "schema"]
    assert content == {"format": "canemo.run", "schema": RUN.schema, **make_metrics()}


def test_sections_that_a_method_has_not_are_not_in_the_file(tmp_path):
    metrics = make_metrics()
    del metrics["protocol"]["sweep"]
    written = record(metrics)
    assert written.protocol.sweep is None
    assert "sweep" not in written.to_dict()["protocol"]


def test_comparison_comes_back_as_it_was_written(tmp_path):
    comparison = record_comparison(make_comparison(effect_size=1.5))
    comparison.write(tmp_path / "comparison.json")
    assert read_comparison(tmp_path).comparison == comparison
    content = json.loads((tmp_path / "comparison.json").read_text(encoding="utf-8"))
    assert content == {
        "format": "canemo.comparison", "schema": COMPARISON.schema,
        **make_comparison(effect_size=1.5),
    }  # fmt: skip


def test_cost_and_confounds_join_a_record_and_leave_the_first_alone():
    first = record(make_metrics(audit=make_audit(confounds=None), cost={}))
    cost = {"crop": {"seconds": 1.5, "items": 3, "cached": 0}}
    confounds = Confounds.model_validate(make_audit()["confounds"])
    joined = first.with_cost(cost).with_confounds(confounds)
    assert joined.to_dict()["cost"] == cost
    assert joined.audit.confounds == confounds
    assert first.cost == {}
    assert first.audit.confounds is None


def test_tables_of_a_run_are_read_when_they_are_asked_for(tmp_path):
    run = read_run(write_run(tmp_path))
    table = pd.DataFrame({"video_id": ["a"], "predicted": ["b"]})
    table.to_parquet(tmp_path / "predictions.parquet")
    pd.testing.assert_frame_equal(run.predictions, table)
    assert run.curves.empty  # nothing was trained in epochs
    (tmp_path / "predictions.parquet").unlink()
    with pytest.raises(ModelError, match=r"predictions\.parquet is missing or damaged"):
        _ = read_run(tmp_path).predictions


def test_settings_come_with_the_engines_that_ran(tmp_path):
    run = read_run(write_run(tmp_path))
    assert run.config.backbone.engine == run.config.detect.engine == "torch"


# -- what is refused ------------------------------------------------------------------------------


def test_unknown_key_is_refused(tmp_path):
    for changes in ({"extra": 1}, {"training": {"frame_accuracy": 0.5, "extra": 1}}):
        with pytest.raises(ValidationError, match="Extra inputs"):
            record(make_metrics(**changes))
    change(write_run(tmp_path) / "metrics.json", extra=1)
    with pytest.raises(ModelError, match=r"metrics\.json: extra: extra inputs .*make the run"):
        read_run(tmp_path)


def test_number_that_is_none_is_refused():
    with pytest.raises(ValidationError, match="finite number"):
        record(make_metrics(training={"frame_accuracy": float("nan")}))


def test_record_cannot_be_changed():
    with pytest.raises(ValidationError, match="frozen"):
        record(make_metrics()).training.frame_accuracy = 1.0


def test_missing_key_is_named_with_the_number_of_others(tmp_path):
    metrics = json.loads((write_run(tmp_path) / "metrics.json").read_text(encoding="utf-8"))
    del metrics["study"]["fates_by_label"], metrics["levels"]["video"]["n"]
    (tmp_path / "metrics.json").write_text(json.dumps(metrics), encoding="utf-8")
    with pytest.raises(ModelError, match=r"study\.fates_by_label: field required and 1 more"):
        read_run(tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"schema": 1}, r"schema is 1, this version of canemo reads schema \d+ of 'canemo\.run'"),
        ({"schema": 99}, "schema is 99"),
        ({"format": None, "schema": 1}, "schema is 1"),  # as 0.1.0 wrote it
        (
            {"format": "canemo.comparison"},
            r"format is 'canemo\.comparison', wanted 'canemo\.run'",
        ),
        ({"format": None}, "format is None"),
    ],
)
def test_other_format_or_schema_is_named_with_the_wanted_one(tmp_path, changes, message):
    change(write_run(tmp_path) / "metrics.json", **changes)
    with pytest.raises(ModelError, match=rf"metrics\.json: {message}.*make the run again"):
        read_run(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [("{", "not valid JSON"), ("[]", "holds a list"), ("\x00", "not valid JSON")],
)
def test_damaged_file_is_named(tmp_path, text, message):
    (write_run(tmp_path) / "metrics.json").write_text(text, encoding="utf-8")
    with pytest.raises(ModelError, match=rf"metrics\.json: {message}.*make the run again"):
        read_run(tmp_path)
    (tmp_path / "metrics.json").write_bytes(b"\xff\xfe")
    with pytest.raises(ModelError, match=r"metrics\.json: cannot be read"):
        read_run(tmp_path)


COMMANDS = {
    "report": write_report,
    "compare": lambda run: canemo.compare_runs([run, run.parent / "other"]),
    "audit": canemo.audit_study,
    "explain": canemo.explain_models,
    "export": lambda run: canemo.export_bundle(run, run.parent / "bundle.zip"),
    "verify": canemo.verify_run,
    "predict": canemo.load_model,
}


@pytest.mark.parametrize("command", COMMANDS)
def test_run_of_another_schema_is_refused_by_every_command(tmp_path, command):
    (tmp_path / "study" / "videos.csv").parent.mkdir()
    (tmp_path / "study" / "videos.csv").write_text("video_id,path,subject_id,label\n")
    runs = tmp_path / "study" / "runs"
    for name in ("run", "other"):
        change(write_run(runs / name) / "metrics.json", schema=1)
        (runs / name / "model").mkdir()
        (runs / name / "model" / "model.json").write_text("{}")
    before = sorted(path for path in tmp_path.rglob("*"))
    with pytest.raises(ModelError, match=r"metrics\.json: schema is 1.*make the run again"):
        COMMANDS[command](runs / "run")
    assert sorted(path for path in tmp_path.rglob("*")) == before


def test_comparison_of_another_schema_is_refused(tmp_path):
    path = record_comparison(make_comparison()).write(tmp_path / "comparison.json")
    change(path, schema=1)
    with pytest.raises(ModelError, match=r"comparison\.json: schema is 1.*`canemo compare STUDY`"):
        write_comparison_report(tmp_path)


def test_explanation_of_another_schema_is_refused(tmp_path):
    path = write_explanation(tmp_path) / "explanation.json"
    assert set(read_document(path, EXPLANATION)) == {"canemo", "truth", "models"}
    change(path, schema=1)
    with pytest.raises(ModelError, match=r"explanation\.json: schema is 1.*explain it again"):
        write_page(tmp_path)


def test_records_are_of_their_own_format():
    assert (RunMetrics.FORMAT, ComparisonRecord.FORMAT) == (RUN, COMPARISON)
