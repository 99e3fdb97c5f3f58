import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from canemo.config import SequenceConfig, load_config
from canemo.errors import ModelError
from canemo.learn.conformal import Conformal
from canemo.learn.probe import Probe
from canemo.learn.saved_model import SavedModel, read_model, save_model
from canemo.learn.sequence import HEADS, SequenceProbe, fit_sequence
from canemo.report.words.model import write_card
from report_fixtures import make_evaluation, make_training

CONFORMAL = Conformal(np.array([0.2, 0.6]), np.array([1.0, 1.0]), subjects=2)


@pytest.fixture
def model():
    rng = np.random.default_rng(0)
    probe = Probe(
        ("Vorfreude", 'schöne "Frustration"'),
        rng.normal(size=5),
        rng.random(5) + 0.5,
        rng.normal(size=(1, 5)),
        rng.normal(size=1),
        0.1,
    )
    config = load_config(overrides={"video": {"every_nth": 2}, "probe": {"pooling": "lower"}})
    return SavedModel(
        probe,
        config,
        "Vorfreude",
        "a" * 64,
        "b" * 64,
        None,
        make_training(),
        make_evaluation(),
        CONFORMAL,
    )


def replace_arrays(model, other):
    """Return a model with the arrays of another, which no `==` compares."""
    return dataclasses.replace(model, classifier=other.classifier, conformal=other.conformal)


def test_saved_model_comes_back_equal_to_the_last_bit(model, tmp_path):
    again = read_model(save_model(model, tmp_path / "model"))
    features = np.random.default_rng(1).normal(size=(7, 5))
    np.testing.assert_array_equal(
        again.classifier.predict_proba(features), model.classifier.predict_proba(features)
    )
    assert again.config == model.config
    assert replace_arrays(again, model) == model


def test_model_whose_weights_lie_transposed_in_memory_comes_back_equal(model, tmp_path):
    rng = np.random.default_rng(0)
    probe = dataclasses.replace(
        model.classifier,
        labels=("a", "b", "c"),
        coef=rng.normal(size=(5, 3)).T,  # as the discriminant has it of three labels
        intercept=rng.normal(size=3),
    )
    saved = dataclasses.replace(model, classifier=probe, positive_label="a")
    again = read_model(save_model(saved, tmp_path)).classifier
    np.testing.assert_array_equal(again.coef, probe.coef)


def test_what_undecided_answers_rest_on_comes_back_to_the_last_bit(model, tmp_path):
    scores, weights = np.array([0.1, 1 / 3, 0.7]), np.array([0.5, 0.5, 1.0])
    saved = dataclasses.replace(model, conformal=Conformal(scores, weights, subjects=2))
    again = read_model(save_model(saved, tmp_path)).conformal
    np.testing.assert_array_equal(again.scores, scores)
    np.testing.assert_array_equal(again.weights, weights)
    assert again.subjects == 2


def test_run_folder_is_accepted(model, tmp_path):
    save_model(model, tmp_path / "run" / "model")
    assert read_model(tmp_path / "run").classifier.labels == model.classifier.labels


def test_no_part_of_a_model_is_a_pickle(model, tmp_path):
    save_model(model, tmp_path)
    assert {p.suffix for p in tmp_path.iterdir()} == {".json", ".safetensors"}


def test_what_testing_gave_comes_back(model, tmp_path):
    again = read_model(save_model(model, tmp_path))
    assert (again.evaluation, again.training) == (model.evaluation, model.training)


def test_model_from_before_says_that_it_carries_no_verdict(model, tmp_path):
    path = save_model(model, tmp_path / "run" / "model") / "model.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    del content["evaluation"], content["format"]
    path.write_text(json.dumps({**content, "schema": 1}), encoding="utf-8")
    for folder in (path.parent, path.parent.parent):
        with pytest.raises(ModelError, match=r"this model carries no verdict.*`canemo run STUDY`"):
            read_model(folder)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"standing": "good"}, "standing: input should be 'above', 'unclear'"),
        ({"p": float("inf")}, "p: input should be a finite number"),
        ({"said": "good"}, "said: extra inputs are not permitted"),
    ],
)
def test_verdict_that_cannot_be_is_not_read(model, tmp_path, changes, message):
    path = save_model(model, tmp_path) / "model.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    content["evaluation"] |= changes
    path.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(ModelError, match=message):
        read_model(tmp_path)


# -- what is no model ------------------------------------------------------------------------------


def test_study_given_for_a_model_lists_its_runs(model, tmp_path):
    study = tmp_path / "study"
    study.mkdir()
    (study / "videos.csv").write_text("video_id,path,subject_id,label\n")
    with pytest.raises(ModelError, match=r"study without a finished run.*canemo run .*study`"):
        read_model(study)
    for name in ("lite", "dino"):
        save_model(model, study / "runs" / name / "model")
    with pytest.raises(
        ModelError, match=r"a study, not a model; give one of its runs: (.*)"
    ) as found:
        read_model(study)
    named = str(found.value).partition("runs: ")[2].split(", ")
    assert named == [str(study / "runs" / name) for name in ("dino", "lite")]
    with pytest.raises(ModelError, match=r"not a model; give one of its runs: .*dino, .*lite"):
        read_model(study / "runs")
    for name in named:
        read_model(Path(name))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("clip.MP4", "a video, and the model comes first"),
        ("notes.txt", "a file, and a model is a folder"),
        ("absent", "there is no such folder"),
        ("model.json", "a model is the folder of this file; give "),
        (".", r"not a saved model, model\.json is missing; give the folder of a finished run"),
    ],
)
def test_what_is_no_model_is_told_what_to_give(tmp_path, name, message):
    if "." in name[1:]:
        (tmp_path / name).write_text("{}")
    place = tmp_path / ("empty" if name == "." else name)
    if name == ".":
        place.mkdir()
    with pytest.raises(ModelError, match=message):
        read_model(place)


def test_comparison_holds_no_model(tmp_path):
    (tmp_path / "comparison.json").write_text("{}")
    with pytest.raises(ModelError, match="a comparison, which holds no model"):
        read_model(tmp_path)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / "probe.safetensors").write_bytes(b"x"), "not a canemo model"),
        (lambda folder: (folder / "model.json").write_text("{}"), "schema is None, .* train it"),
        (lambda folder: (folder / "model.json").write_text("{"), "not valid JSON"),
        (lambda folder: (folder / "model.json").unlink(), "not a saved model, model.json is miss"),
    ],
)
def test_damaged_model_is_named(model, tmp_path, damage, message):
    damage(save_model(model, tmp_path))
    with pytest.raises(ModelError, match=message):
        read_model(tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"schema": 1, "format": None}, "schema is 1, this version of canemo reads schema 4 of"),
        ({"schema": 99}, "schema is 99, this version of canemo reads schema 4 of 'canemo.model'"),
        ({"format": "canemo.run"}, "format is 'canemo.run', wanted 'canemo.model'"),
    ],
)
def test_model_of_another_version_says_what_to_do(model, tmp_path, changes, message):
    path = save_model(model, tmp_path) / "model.json"
    content = {**json.loads(path.read_text()), **changes}
    content["config"]["study"] = {"reuse": True}  # a setting that this version does not know
    path.write_text(json.dumps(content))
    with pytest.raises(ModelError, match=f"{message}.*train it again with `canemo run STUDY`"):
        read_model(tmp_path)


def test_model_says_what_it_is_and_holds_every_key_that_is_read(model, tmp_path):
    path = save_model(model, tmp_path) / "model.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    assert list(content) == [
        "format", "schema", "labels", "positive_label", "penalty", "backbone_sha256",
        "detector_sha256", "points_sha256", "config", "training", "evaluation", "conformal",
    ]  # fmt: skip
    assert content["penalty"] == 0.1
    for key in ("labels", "positive_label", "config", "training", "conformal"):
        lacking = {name: value for name, value in content.items() if name != key}
        path.write_text(json.dumps(lacking), encoding="utf-8")
        with pytest.raises(ModelError, match=f"not a canemo model .'{key}'"):
            read_model(tmp_path)


def test_setting_that_is_no_longer_known_is_refused(model, tmp_path):
    path = save_model(model, tmp_path) / "model.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    content["config"]["backbone"]["quantised"] = True
    path.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(ModelError, match="not a canemo model"):
        read_model(tmp_path)


# -- models of the whole clip ----------------------------------------------------------------------


def clips(seed=0, videos=6, frames=5, features=4):
    rng = np.random.default_rng(seed)
    return {
        "features": rng.normal(size=(videos * frames, features)).astype(np.float32),
        "video_ids": np.repeat([f"v{i}" for i in range(videos)], frames).astype(object),
        "time_s": np.tile(np.arange(frames) / 5, videos),
    }


@pytest.mark.parametrize("head", HEADS)
def test_saved_model_of_a_clip_answers_to_the_last_bit_as_before(model, tmp_path, head):
    settings = SequenceConfig(hidden=5, epochs=3, window_s=0.7)
    rows = clips()
    classifier = fit_sequence(
        **rows,
        label_index=np.repeat([0, 1, 0, 1, 0, 1], 5),
        labels=model.classifier.labels,
        head=head,
        settings=settings,
    )
    saved = dataclasses.replace(model, classifier=classifier)
    folder = save_model(saved, tmp_path / "model")
    again = read_model(folder)
    assert isinstance(again.classifier, SequenceProbe)
    assert (again.classifier.head, again.classifier.hidden) == (head, 5)
    assert again.classifier.window_s == 0.7
    assert replace_arrays(again, saved) == saved
    new = clips(seed=1)
    before, after = classifier.predict(**new), again.classifier.predict(**new)
    for a, b in zip(before, after, strict=True):
        np.testing.assert_array_equal(a, b)
    assert np.ptp(after[0]) > 0.01
    assert {p.suffix for p in folder.iterdir()} == {".json", ".safetensors"}
    card = write_card(again)
    assert f"A model of the whole clip ({head})" in card
    assert "window_s 0.7" in card


def test_model_of_a_clip_that_lacks_a_setting_is_named(model, tmp_path):
    classifier = fit_sequence(
        **clips(),
        label_index=np.repeat([0, 1, 0, 1, 0, 1], 5),
        labels=("a", "b"),
        head="gru",
        settings=SequenceConfig(hidden=5, epochs=1),
    )
    path = save_model(dataclasses.replace(model, classifier=classifier), tmp_path) / "model.json"
    content = json.loads(path.read_text())
    del content["window_s"]
    path.write_text(json.dumps(content))
    with pytest.raises(ModelError, match="not a canemo model"):
        read_model(tmp_path)


@pytest.mark.parametrize("damage", ["layer", "head"])
def test_damaged_model_of_a_whole_clip_is_refused_when_it_is_read(model, tmp_path, damage):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(40, 4)), np.repeat([0, 1], 20)
    clips = np.array([f"c{i // 4}" for i in range(40)], dtype=object)
    classifier = fit_sequence(
        x, y, video_ids=clips, time_s=np.arange(40.0), labels=("a", "b"), head="gru",
        settings=SequenceConfig(epochs=1, hidden=4),
    )  # fmt: skip
    saved = dataclasses.replace(model, classifier=classifier, positive_label="a")
    save_model(saved, tmp_path)
    assert read_model(tmp_path).classifier.head == "gru"
    if damage == "head":
        text = (tmp_path / "model.json").read_text(encoding="utf-8")
        (tmp_path / "model.json").write_text(text.replace('"gru"', '"lstm"'), encoding="utf-8")
    else:
        arrays = load_file(tmp_path / "probe.safetensors")
        arrays.pop(next(name for name in arrays if name.startswith("state.")))
        save_file(arrays, tmp_path / "probe.safetensors")
    with pytest.raises(ModelError, match="not a canemo model"):
        read_model(tmp_path)
