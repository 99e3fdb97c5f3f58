import dataclasses
import json

import numpy as np
import pytest

from canemo.config import load_config
from canemo.errors import ModelError
from canemo.model import SavedModel, read_model, save_model
from canemo.probe import Probe


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
    training = {
        "canemo": "0.1.0", "study": "s", "subjects": 29, "videos": 248, "split": "loso",
        "accuracy": 0.81, "interval": [0.7, 0.9], "majority": 0.66,
    }  # fmt: skip
    config = load_config(overrides={"video": {"every_nth": 2}, "probe": {"pooling": "lower"}})
    return SavedModel(probe, config, "Vorfreude", "a" * 64, "b" * 64, training)


def test_saved_model_comes_back_equal_to_the_last_bit(model, tmp_path):
    again = read_model(save_model(model, tmp_path / "model"))
    features = np.random.default_rng(1).normal(size=(7, 5))
    np.testing.assert_array_equal(
        again.classifier.predict_proba(features), model.classifier.predict_proba(features)
    )
    assert again.config == model.config
    assert dataclasses.replace(again, classifier=model.classifier) == model


def test_run_folder_is_accepted(model, tmp_path):
    save_model(model, tmp_path / "run" / "model")
    assert read_model(tmp_path / "run").classifier.labels == model.classifier.labels


def test_no_part_of_a_model_is_a_pickle(model, tmp_path):
    save_model(model, tmp_path)
    assert {p.suffix for p in tmp_path.iterdir()} == {".json", ".safetensors", ".md"}


def test_card_says_what_the_model_does_and_does_not_say(model, tmp_path):
    card = (save_model(model, tmp_path) / "README.md").read_text(encoding="utf-8")
    assert "29 subjects in 248 videos" in " ".join(card.split())
    assert "0.810" in card
    assert "does not say what an animal feels" in card


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / "probe.safetensors").write_bytes(b"x"), "not a canemo model"),
        (lambda folder: (folder / "model.json").write_text("{}"), "not a canemo model"),
        (lambda folder: (folder / "model.json").unlink(), "not a canemo model"),
    ],
)
def test_damaged_model_is_named(model, tmp_path, damage, message):
    damage(save_model(model, tmp_path))
    with pytest.raises(ModelError, match=message):
        read_model(tmp_path)


def test_model_of_another_version_says_what_to_do(model, tmp_path):
    path = save_model(model, tmp_path) / "model.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "schema": 99}))
    with pytest.raises(ModelError, match="schema 99, expected 1; train the model again"):
        read_model(tmp_path)
