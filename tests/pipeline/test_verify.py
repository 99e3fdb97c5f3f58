import json
import shutil
import zipfile
from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from canemo.config import format_config
from canemo.errors import CanemoError, ModelError, OutputExistsError
from canemo.features.store import to_column
from canemo.files import write_table
from canemo.learn.curves import CURVE_COLUMNS
from canemo.learn.evaluate import Evaluation
from canemo.pipeline.verify import export_bundle, verify_run
from canemo.report.words.verdict import write_first_sentence
from canemo.study.records.run import RunMetrics
from canemo.study.runs import write_hashes
from canemo.trust.metrics_json import compute_metrics, stand_in_for
from evidence_worlds import assess, draw_evidence, write_run
from explained_runs import change_json
from worlds import THREE_LABELS

FEW = {"subjects": 6, "clips": 4, "frames": 4, "effect": 2.0}
OFFERED = {"sweep": {"poolings": ("cls", "mean"), "frames": ("all",)}}


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    return write_run(draw_evidence(**FEW), tmp_path_factory.mktemp("study") / "run")


@pytest.fixture
def run(original, tmp_path):
    return shutil.copytree(original, tmp_path / "run")


def change_table(path, change):
    table = pd.read_parquet(path)
    change(table)
    table.to_parquet(path, index=False)


def assert_agrees(found):
    assert found["agrees"]
    assert all(found["files"].values())
    assert all(s["agree"] == s["numbers"] and not s["differ"] for s in found["sections"].values())
    json.dumps(found, allow_nan=False)


def differing(found):
    return {name for name, section in found["sections"].items() if section["differ"]}


# -- a fresh run -----------------------------------------------------------------------------------


def test_every_number_of_a_run_is_found_again(run):
    found = verify_run(run)
    assert_agrees(found)
    assert found["predictions"] < 1e-9
    assert found["notes"] == []
    metrics = json.loads((run / "metrics.json").read_text())
    assert set(found["sections"]) == set(metrics) - {"format", "schema", "warnings"}
    assert found["sections"]["levels"]["numbers"] > 30
    assert set(found["files"]) == {p.name for p in run.iterdir()} - {"hashes.json"}


@pytest.mark.parametrize(
    "overrides",
    [
        {"probe": {"method": "logistic"}},
        {"probe": {"method": "sequence_mean"}, "sequence": {"epochs": 3, "hidden": 8}},
        OFFERED,
        {"probe": {"class_weight": "none", "pooling": "mean"}, "evaluate": {"split": "kfold:3"}},
    ],
    ids=["logistic", "sequence", "sweep", "other settings"],
)
def test_other_ways_to_learn_are_found_again_too(tmp_path, overrides):
    found = verify_run(write_run(draw_evidence(**FEW, overrides=overrides), tmp_path / "run"))
    assert_agrees(found)
    assert found["predictions"] < 1e-6


def test_three_labels_and_sessions_are_found_again(tmp_path):
    evidence = draw_evidence(
        subjects=5, clips=6, labels=THREE_LABELS, extra=lambda dog, clip: {"day": f"d{clip % 2}"}
    )
    assert_agrees(verify_run(write_run(evidence, tmp_path / "run")))


def test_same_clips_in_another_folder_are_the_same_run(run, tmp_path):
    assert_agrees(verify_run(run.rename(tmp_path / "another name")))


# -- tampering -------------------------------------------------------------------------------------


def test_changed_probabilities_are_found(run):
    def change(table):
        table.loc[3, ["probability_anticipation", "probability_frustration"]] += [0.01, -0.01]

    change_table(run / "predictions.parquet", change)
    found = verify_run(run)
    assert not found["agrees"]
    assert found["predictions"] == pytest.approx(0.01, abs=1e-6)
    assert [name for name, same in found["files"].items() if not same] == ["predictions.parquet"]
    assert differing(found) == set()


def test_changed_probabilities_are_found_behind_fresh_hashes(run):
    def change(table):
        table.loc[3, "probability_anticipation"] += 1e-4

    change_table(run / "predictions.parquet", change)
    write_hashes(run)
    found = verify_run(run)
    assert all(found["files"].values())
    assert not found["agrees"]


@pytest.mark.parametrize("column", ["label", "subject_id", "fold"])
def test_predictions_of_other_rows_differ_by_all_there_is(run, column):
    def change(table):
        table.loc[0, column] = table[column].iloc[-1] if column != "label" else "other"

    change_table(run / "predictions.parquet", change)
    write_hashes(run)
    found = verify_run(run)
    assert found["predictions"] == 1
    assert not found["agrees"]
    json.dumps(found, allow_nan=False)


def test_changed_features_are_found(run):
    table = pd.read_parquet(run / "features.parquet")
    rng = np.random.default_rng(0)
    table["cls"] = [np.asarray(v, np.float32) + rng.normal(size=len(v)).astype(np.float32)
                    for v in table["cls"]]  # fmt: skip
    x = np.stack(table["cls"]).astype(np.float32)
    origin = pa.Table.from_pandas(table.drop(columns="cls"), preserve_index=False)
    pq.write_table(origin.append_column("cls", to_column(x)), run / "features.parquet")
    found = verify_run(run)
    assert not found["agrees"]
    assert not found["files"]["features.parquet"]
    assert found["predictions"] > 0.01
    assert {"levels", "audit"} <= differing(found)


def test_changed_numbers_are_named_with_both_values(run):
    before = json.loads((run / "metrics.json").read_text())["levels"]["video"]["accuracy"]
    change_json(run / "metrics.json", lambda m: m["levels"]["video"].update(accuracy=before + 0.05))
    write_hashes(run)
    found = verify_run(run)
    assert not found["agrees"]
    assert differing(found) == {"levels"}
    assert found["sections"]["levels"]["differ"] == [
        {"key": "video.accuracy", "stored": before + 0.05, "recomputed": before}
    ]


@pytest.mark.parametrize(
    ("section", "change"),
    [
        ("subjects", lambda m: m["subjects"].pop()),
        ("study", lambda m: m["study"]["labels"].update(anticipation=99)),
        ("permutation", lambda m: m["permutation"].update(p=0.001)),
    ],
)
def test_what_was_changed_is_found_behind_fresh_hashes(run, section, change):
    change_json(run / "metrics.json", change)
    write_hashes(run)
    found = verify_run(run)
    assert not found["agrees"]
    assert differing(found) == {section}


@pytest.mark.parametrize(
    ("key", "change"),
    [
        ("audit.duplicates", lambda m: m["audit"].pop("duplicates")),
        ("chance", lambda m: m.pop("chance")),
        ("protocol", lambda m: m.pop("protocol")),
    ],
)
def test_what_was_left_out_is_named(run, key, change):
    change_json(run / "metrics.json", change)
    write_hashes(run)
    with pytest.raises(ModelError, match=rf"metrics\.json: {key}: field required; make the run"):
        verify_run(run)


def test_a_changed_file_and_a_missing_one_are_told_by_their_hash(run):
    change_json(run / "hashes.json", lambda h: h["sha256"].update({"inputs.json": "0" * 64}))
    found = verify_run(run)
    assert not found["agrees"]
    assert found["files"]["inputs.json"] is False
    assert differing(found) == set()


# -- bundles ---------------------------------------------------------------------------------------


def test_bundle_is_verified_alone_in_an_empty_folder(run, tmp_path, monkeypatch):
    bundle = export_bundle(run, tmp_path / "out" / "bundle.zip")
    shutil.rmtree(run)
    (tmp_path / "empty").mkdir()
    alone = shutil.move(bundle, tmp_path / "empty" / "run.zip")
    monkeypatch.chdir(tmp_path / "empty")
    assert_agrees(verify_run("run.zip"))
    assert [p.name for p in (tmp_path / "empty").iterdir()] == [alone.name]


def test_bundle_holds_what_is_hashed_and_no_picture(run, tmp_path):
    pages = ("report.html", "results.xlsx", "predictions.csv", "clips.json")
    for name in ("figures/eigencam.png", *pages, "me at the lake.jpg", "confounds.json"):
        (run / name).parent.mkdir(exist_ok=True)
        (run / name).write_bytes(b"picture")
    with zipfile.ZipFile(export_bundle(run, tmp_path / "b.zip")) as bundle:
        hashed = json.loads((run / "hashes.json").read_text())["sha256"]
        assert set(bundle.namelist()) == {*hashed, "hashes.json", "README.md"}
        assert {name.rpartition(".")[2] for name in bundle.namelist()} == {
            "json", "md", "parquet", "safetensors", "toml",
        }  # fmt: skip


def test_bundle_says_first_whether_its_result_can_be_told_from_chance(run, tmp_path):
    metrics = RunMetrics.read(run / "metrics.json")
    with zipfile.ZipFile(export_bundle(run, tmp_path / "b.zip")) as bundle:
        assert bundle.namelist()[0] == "README.md"
        text = bundle.read("README.md").decode()
    assert write_first_sentence(metrics) in text
    assert "canemo verify" in text


def test_bundle_replaces_a_file_only_when_told(run, tmp_path):
    out = tmp_path / "b.zip"
    out.write_bytes(b"mine")
    with pytest.raises(OutputExistsError, match="--force"):
        export_bundle(run, out)
    assert out.read_bytes() == b"mine"
    assert zipfile.is_zipfile(export_bundle(run, out, force=True))


def test_tampered_bundle_is_found(run, tmp_path):
    change_json(run / "metrics.json", lambda m: m["levels"]["video"].update(accuracy=1.5))
    found = verify_run(export_bundle(run, tmp_path / "b.zip"))
    assert not found["files"]["metrics.json"]
    assert differing(found) == {"levels"}


@pytest.mark.parametrize("keep", [0, 0.5, 0.98])
def test_cut_off_bundle_is_a_stated_error(run, tmp_path, keep):
    bundle = export_bundle(run, tmp_path / "b.zip")
    bundle.write_bytes(bundle.read_bytes()[: int(keep * bundle.stat().st_size)])
    with pytest.raises(ModelError, match=r"b\.zip: neither a run folder nor an exported bundle"):
        verify_run(bundle)


@pytest.mark.parametrize("place", [0.1, 0.5, 0.8])
def test_bundle_with_damaged_bytes_is_a_stated_error(run, tmp_path, place):
    bundle = export_bundle(run, tmp_path / "b.zip")
    content = bytearray(bundle.read_bytes())
    at = int(place * len(content))
    content[at : at + 200] = bytes(200)
    bundle.write_bytes(content)
    with pytest.raises(ModelError, match=r"b\.zip: neither a run folder nor an exported bundle"):
        verify_run(bundle)


def test_zip_of_something_else_is_no_bundle(tmp_path):
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as other:
        other.writestr("readme.txt", "hello")
    with pytest.raises(ModelError, match="not a finished run"):
        verify_run(tmp_path / "x.zip")


# -- what is no run --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("metrics.json", r"metrics\.json is missing|metrics\.json: not valid JSON"),
        ("hashes.json", "hashes.json is missing or damaged"),
        ("predictions.parquet", "predictions.parquet is missing or damaged"),
        ("features.parquet", "its evidence cannot be read"),
        ("videos.parquet", "its evidence cannot be read"),
        ("frames.parquet", "its evidence cannot be read"),
        ("config.toml", "not valid TOML|not a finished run"),
        ("split.json", "split.json"),
    ],
)
@pytest.mark.parametrize("damage", ["missing", "damaged"])
def test_missing_and_damaged_files_are_stated_errors(run, name, message, damage):
    if damage == "missing":
        (run / name).unlink()
    else:
        (run / name).write_bytes(b"\x00nonsense")
    with pytest.raises(CanemoError, match=message):
        verify_run(run)


def test_export_names_what_a_run_lacks(run, tmp_path):
    (run / "features.parquet").unlink()
    with pytest.raises(ModelError, match=r"features\.parquet is missing"):
        export_bundle(run, tmp_path / "b.zip")
    assert not (tmp_path / "b.zip").exists()
    with pytest.raises(ModelError, match="not a finished run"):
        export_bundle(tmp_path, tmp_path / "b.zip")


def test_old_run_without_hashes_is_not_exported(run, tmp_path):
    (run / "hashes.json").unlink()
    with pytest.raises(ModelError, match="this version of canemo"):
        export_bundle(run, tmp_path / "b.zip")


def test_augmented_views_cannot_be_learned_from_again_and_that_is_said(tmp_path):
    # The method's own predictions are taken; its numbers follow from them.
    evidence = draw_evidence(**FEW)
    folder = write_run(evidence, tmp_path / "run")
    config = evidence.config.model_copy(
        update={"probe": evidence.config.probe.model_copy(update={"method": "gradient"})}
    )
    other = replace(evidence, config=config)
    evaluation = assess(evidence)[1]
    curves = pd.DataFrame([[0, 1, 8, 0.5, 0.9, 4, 0.6, 0.8]], columns=list(CURVE_COLUMNS))
    taken = Evaluation(
        evaluation.predictions, (), (), pd.DataFrame(), curves, evaluation.train_accuracy, ()
    )
    (folder / "config.toml").write_text(format_config(config), encoding="utf-8")
    write_table(curves, folder / "curves.parquet")
    metrics = compute_metrics(other, stand_in_for(evidence.materials[0]), taken)
    metrics.write(folder / "metrics.json")
    write_hashes(folder)
    found = verify_run(folder)
    assert_agrees(found)
    assert found["predictions"] is None
    assert "augmented views" in found["notes"][0]
    (folder / "curves.parquet").unlink()
    with pytest.raises(ModelError, match=r"curves\.parquet is missing"):
        verify_run(folder)
