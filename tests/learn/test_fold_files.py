import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import load_file, save

from canemo.errors import ModelError
from canemo.learn.evidence import read_evidence
from canemo.learn.fold_files import FOLDS_FILE, read_folds, write_folds
from canemo.pipeline.verify import export_bundle, verify_run
from canemo.study.records.folders import read_run
from evidence_worlds import assess, draw_evidence, write_run
from worlds import THREE_LABELS

FEW = {"subjects": 5, "clips": 4, "frames": 4, "effect": 2.0}
WAYS = {
    "lda": {},
    "logistic": {"probe": {"method": "logistic"}},
    "sequence": {"probe": {"method": "sequence_mean"}, "sequence": {"epochs": 2, "hidden": 8}},
    "sweep": {"sweep": {"poolings": ("cls", "mean"), "frames": ("all", "even:2")}},
    "other folds": {"evaluate": {"split": "kfold:3"}},
}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return write_run(draw_evidence(**FEW), tmp_path_factory.mktemp("study") / "run")


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("labels", [None, THREE_LABELS], ids=["two labels", "three labels"])
def test_kept_classifiers_give_the_predictions_of_the_run(tmp_path, way, labels):
    drawn = {**FEW, **({"labels": labels, "clips": 6} if labels else {})}
    run = write_run(draw_evidence(**drawn, overrides=WAYS[way]), tmp_path / "run")
    evidence = read_evidence(read_run(run))
    told = pd.read_parquet(run / "predictions.parquet")
    by_name = {(each.pooling, each.frames): each for each in evidence.materials}
    folds = read_folds(run)
    assert [fold.subjects for fold in folds] == list(evidence.split.folds)
    for fold in folds:
        material = by_name[fold.pooling, fold.frames]
        test = material.origin["subject_id"].isin(fold.subjects.test).to_numpy()
        answers = material.predict(fold.classifier, test)
        own = told[told["fold"] == fold.number]
        assert set(own["subject_id"]) == set(fold.subjects.test)
        for level, found in zip(("frame", "video"), answers, strict=True):
            columns = [f"probability_{label}" for label in fold.classifier.labels]
            rows = own.loc[own["level"] == level, columns].to_numpy()
            np.testing.assert_allclose(found, rows, rtol=0, atol=1e-12)


def test_fold_that_could_not_be_evaluated_is_not_there(tmp_path):
    # The second label is that of a single dog: without it there is nothing to learn.
    evidence = draw_evidence(subjects=5, clips=4, label_of=lambda dog, clip: int(dog == 3))
    _, evaluation = assess(evidence)
    folds = read_folds(write_folds(evaluation.folds, tmp_path).parent)
    assert [fold.number for fold in folds] == [0, 1, 2, 4]
    assert all(fold.subjects == evidence.split.folds[fold.number] for fold in folds)


def test_kept_classifiers_are_hashed_exported_and_verified(run, tmp_path):
    bundle = export_bundle(run, tmp_path / "bundle.zip")
    for place in (run, bundle):
        found = verify_run(place)
        assert found["agrees"]
        assert found["files"][FOLDS_FILE]
    (first, *others) = read_folds(run)
    turned = replace(first.classifier, coef=-first.classifier.coef)
    content = (run / FOLDS_FILE).read_bytes()
    write_folds([replace(first, classifier=turned), *others], run)
    found = verify_run(run)
    (run / FOLDS_FILE).write_bytes(content)
    assert not found["agrees"]
    assert [name for name, same in found["files"].items() if not same] == [FOLDS_FILE]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda path: path.unlink(), "cannot be read .* run that this version .* finished"),
        (lambda path: path.write_bytes(b"x"), "cannot be read"),
        (lambda path: path.write_bytes(path.read_bytes()[:-8]), "cannot be read"),
        (lambda path: path.write_bytes(save(load_file(path))), "cannot be read .'canemo'."),
        (
            lambda path: path.write_bytes(
                save(load_file(path), metadata={"canemo": json.dumps({"schema": 0, "folds": []})})
            ),
            r"schema is 0, this version of canemo reads schema 2 of 'canemo.folds'; run the study ",
        ),
    ],
)
def test_damaged_or_foreign_file_is_named(run, tmp_path, damage, message):
    path = tmp_path / FOLDS_FILE
    path.write_bytes((run / FOLDS_FILE).read_bytes())
    damage(path)
    with pytest.raises(ModelError, match=f"{FOLDS_FILE}: .*{message}"):
        read_folds(tmp_path)
