"""Units on real photographs of known dogs, each photograph a clip of one frame."""

import csv
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image as PilImage

from canemo.config import ProbeConfig
from canemo.explain.concepts.directions import learn_condition
from canemo.explain.concepts.probes import set_up
from canemo.explain.concepts.units import Draws, examine_units
from canemo.learn.material import Material
from canemo.learn.splits import make_split
from canemo.networks.backbones import load_backbone

LABELS = ("even", "odd")
FACE_MARGIN = 0.15


@pytest.fixture(scope="module")
def mouths(shared_data):
    """Photographs whose mouth is clearly open or closed, of dogs with both."""
    with (shared_data / "identity_mouth.csv").open(encoding="utf-8") as handle:
        table = pd.DataFrame(csv.DictReader(handle))
    table = table[(table["face"] == "clear") & table["mouth"].isin(["open", "closed"])]
    both = table.groupby("dog_id")["mouth"].transform("nunique") == 2
    return table[both & (table["identity_doubt"] == "")].reset_index(drop=True)


@pytest.fixture(scope="module")
def features(mouths, shared_data):
    boxes = json.loads((shared_data / "identity_faces.json").read_text(encoding="utf-8"))
    backbone = load_backbone("efficientnet_lite0", engine="torch")
    faces = [_cut(shared_data / "identity" / name, boxes[name]) for name in mouths["file"]]
    batches = [backbone.embed(faces[at : at + 16]).cls for at in range(0, len(faces), 16)]
    return np.concatenate([np.asarray(batch) for batch in batches]).astype(np.float32)


def _cut(path: Path, box: list[float]) -> np.ndarray:
    image = PilImage.open(path).convert("RGB")
    x0, y0, x1, y1 = box
    grow_x, grow_y = FACE_MARGIN * (x1 - x0), FACE_MARGIN * (y1 - y0)
    cut = (max(x0 - grow_x, 0), max(y0 - grow_y, 0), x1 + grow_x, y1 + grow_y)
    return np.asarray(image.crop(tuple(int(v) for v in cut)))


def examine(x, mouths, label, **codes):
    origin = pd.DataFrame(
        {
            "video_id": mouths["file"],
            "subject_id": mouths["dog_id"],
            "label": np.array(LABELS, dtype=object)[label.astype(int)],
            "frame_index": 0,
            "time_s": 0.0,
        }
    )
    split = make_split(origin["subject_id"].tolist(), kind="loso")
    probing = set_up(Material(x, origin, LABELS), split, penalty=1.0)
    condition = learn_condition(probing, ProbeConfig(inner_folds=3), label="odd", seed=0)
    settled = {name: shown.astype(np.int8) for name, shown in codes.items()}
    units = examine_units(probing, condition, settled, draws=Draws(99, 200))
    return {unit.name: unit.found for unit in units}


def draw_within(mouths, seed):
    """Draw half of each dog's photographs."""
    rng = np.random.default_rng(seed)
    halves = mouths.groupby("dog_id")["file"].transform(
        lambda names: rng.permutation(np.arange(len(names)) % 2)
    )
    return halves.to_numpy(dtype=bool)


@pytest.mark.slow
def test_an_open_mouth_is_decodable_on_unseen_dogs_and_a_decoy_is_not(features, mouths):
    is_open = (mouths["mouth"] == "open").to_numpy()
    decoy = draw_within(mouths, seed=1)
    found = examine(features, mouths, draw_within(mouths, seed=2), AU25=is_open, decoy=decoy)
    assert len(mouths) > 200
    assert found["AU25"]["verdict"] == "decodable"
    assert found["AU25"]["within"]["auroc"] > 0.65
    assert found["AU25"]["direction_verdict"] == "not shown"
    assert found["decoy"]["verdict"] == "not shown"


@pytest.mark.slow
def test_a_condition_that_is_the_open_mouth_leans_on_it(features, mouths):
    is_open = (mouths["mouth"] == "open").to_numpy()
    found = examine(features, mouths, is_open, AU25=is_open)["AU25"]
    assert found["direction"]["correlation"]["value"] == pytest.approx(1)
    assert found["direction_verdict"] == "aligned"
    assert found["direction"]["removal"]["auroc"]["left"] == 0.5
