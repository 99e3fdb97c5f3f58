from __future__ import annotations

import dataclasses
import json
from importlib import resources
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file

from canemo.errors import ConfigError, WeightsError
from canemo.faces.landmarks.model import (
    ARCHITECTURE,
    NEAR,
    LandmarkModel,
    LandmarkNetwork,
    LandmarkSettings,
    average_places,
    compute_confidence,
    load_landmark_model,
    load_landmark_network,
    save_landmark_network,
)
from canemo.records import Image
from canemo.species import DOG
from lib.landmark_errors import compute_distances, compute_interocular, compute_landmark_metrics
from lib.landmark_faces import (
    LandmarkFace,
    crop_box,
    load_landmark_faces,
    load_picture,
    split_faces,
)


@pytest.fixture(scope="module")
def model() -> LandmarkModel:
    return load_landmark_model(DOG, engine="torch")


def _noise(height: int, width: int, seed: int = 0) -> Image:
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
    return np.asarray(PIL.Image.fromarray(coarse).resize((width, height)))


# ---- heat maps and confidences


def test_a_point_is_the_mean_of_its_heat_map() -> None:
    heat = torch.zeros(1, 3, 4, 8)
    heat[0, 0, 1, 5] = 1.0  # one cell: its middle
    heat[0, 1, 0, 0], heat[0, 1, 0, 4] = 0.25, 0.75  # two cells: between them
    heat[0, 2] = 1 / 32  # everywhere: the middle
    points = average_places(heat.flatten(2), 4, 8)
    wanted = [[5.5 / 8, 1.5 / 4], [3.5 / 8, 0.5 / 4], [0.5, 0.5]]
    np.testing.assert_allclose(points[0].numpy(), wanted, atol=1e-6)


def test_confidence_is_the_share_of_points_that_come_near() -> None:
    scale, factor = 0.02, 1.5
    # With a density of exp(-r / b) in the plane, r is the sum of two exponential draws.
    r = np.random.default_rng(0).exponential(scale * factor, (200_000, 2)).sum(axis=1)
    confidence = compute_confidence(torch.tensor(scale).log(), scale_factor=factor)
    assert float(confidence) == pytest.approx(float((r <= NEAR).mean()), abs=0.003)
    assert float(compute_confidence(torch.tensor(-20.0))) == 1.0
    assert float(compute_confidence(torch.tensor(5.0))) == pytest.approx(0.0, abs=1e-6)


# ---- weights


def test_a_saved_network_answers_as_before(tmp_path: Path) -> None:
    torch.manual_seed(0)
    settings = LandmarkSettings(input_size=64, map_stride=4, scale_factor=1.3, version="x")
    network = LandmarkNetwork(settings, points=len(DOG.points)).eval()
    save_landmark_network(network, tmp_path / "w.safetensors", settings)
    loaded, read = load_landmark_network(tmp_path / "w.safetensors", points=len(DOG.points))
    assert read == settings
    pixels = torch.rand(1, 3, 64, 64) * 2 - 1
    with torch.inference_mode():
        for before, after in zip(network(pixels), loaded(pixels), strict=True):
            torch.testing.assert_close(after, before, atol=5e-3, rtol=5e-3)


def test_files_that_are_no_landmark_weights_are_refused(tmp_path: Path) -> None:
    missing, rubbish, other, damaged = (tmp_path / f"{n}.safetensors" for n in "abcd")
    rubbish.write_bytes(b"no weights")
    save_file({"a": torch.zeros(1)}, other, metadata={"architecture": "fcos"})
    save_file({"a": torch.zeros(1)}, damaged, metadata={
        "architecture": ARCHITECTURE, "settings": json.dumps({"input_size": 64}),
    })  # fmt: skip
    for path in (missing, rubbish):
        with pytest.raises(WeightsError, match="cannot be read as a safetensors file"):
            load_landmark_model(DOG, weights=path)
    with pytest.raises(WeightsError, match="holds the architecture 'fcos', 'heatmaps-"):
        load_landmark_model(DOG, weights=other)
    with pytest.raises(WeightsError, match="is damaged"):
        load_landmark_model(DOG, weights=damaged)


def test_settings_that_cannot_be_are_refused() -> None:
    with pytest.raises(ConfigError, match="input_size is 100, a multiple of 32"):
        LandmarkSettings(input_size=100)
    with pytest.raises(ConfigError, match="map_stride is 16, 4 or 8"):
        LandmarkSettings(map_stride=16)
    with pytest.raises(ConfigError, match="scale_factor is 0, more than 0"):
        LandmarkSettings(scale_factor=0)


def test_the_shipped_file_is_small_and_its_card_names_it() -> None:
    weights = resources.files("canemo.faces") / "weights"
    data = (weights / "dog_landmarks.safetensors").read_bytes()
    assert len(data) < 10_000_000
    import hashlib

    card = (weights / "dog_landmarks.md").read_text(encoding="utf-8")
    assert hashlib.sha256(data).hexdigest() in card


# ---- the model


def test_no_crops_give_no_points(model: LandmarkModel) -> None:
    found = model.locate([])
    assert found.shape == (0, 46, 3)
    assert found.dtype == np.float32


def test_a_batch_answers_as_its_crops_one_by_one(model: LandmarkModel) -> None:
    sizes = [(90, 160), (160, 90), (24, 24), (31, 200), (192, 192), (50, 60), (300, 320), (99, 99)]
    crops = [_noise(*size, seed=index) for index, size in enumerate(sizes)]
    before = [crop.copy() for crop in crops]
    together = model.locate(crops)
    for crop, found in zip(crops, together, strict=True):
        np.testing.assert_allclose(model.locate([crop])[0], found, atol=0.02, rtol=1e-4)
    for crop, copy in zip(crops, before, strict=True):
        np.testing.assert_array_equal(crop, copy)


def test_points_lie_inside_the_crop_and_confidences_from_0_to_1(model: LandmarkModel) -> None:
    found = model.locate([_noise(37, 211)])[0]
    assert (found >= 0).all()
    assert (found <= [211, 37, 1]).all()


def test_fingerprints_differ_where_answers_may() -> None:
    network, settings = load_landmark_network(_shipped(), points=len(DOG.points))
    made = [
        LandmarkModel(network, one, weights_sha256=sha)
        for one, sha in (
            (settings, "a"),
            (settings, "a"),
            (settings, "b"),
            (dataclasses.replace(settings, scale_factor=2.0), "a"),
        )
    ]
    prints = [each.fingerprint for each in made]
    assert prints[0] == prints[1]
    assert len(set(prints)) == 3


def _shipped() -> Path:
    return Path(str(resources.files("canemo.faces") / "weights" / "dog_landmarks.safetensors"))


@pytest.mark.slow
def test_openvino_answers_as_torch(model: LandmarkModel) -> None:
    other = load_landmark_model(DOG, engine="openvino")
    assert (model.engine, other.engine) == ("torch", "openvino")
    crops = [_noise(60, 60), _noise(200, 150, seed=1)]
    np.testing.assert_allclose(other.locate(crops), model.locate(crops), atol=0.05)


# ---- real faces, held out


@pytest.fixture(scope="module")
def real_faces(shared_data: Path) -> list[LandmarkFace]:
    faces = load_landmark_faces(shared_data / "heads" / "whole_photos" / "coco.json")
    return split_faces(faces, choice_share=0.0)[2][:16]


def _cut(face: LandmarkFace) -> tuple[Image, NDArray[np.float32]]:
    left, top, right, bottom = crop_box(face)
    corner = np.array([left, top], dtype=np.float32)
    return load_picture(face)[top:bottom, left:right], face.points - corner


def test_points_on_real_faces_are_far_nearer_than_the_mean_face(
    model: LandmarkModel, real_faces: list[LandmarkFace]
) -> None:
    crops, true = zip(*map(_cut, real_faces), strict=True)
    truth = np.stack(true)
    found = model.locate(crops)
    sides = np.array([max(crop.shape[:2]) for crop in crops], dtype=float)
    mean_shape = (truth / sides[:, None, None]).mean(axis=0) * sides[:, None, None]
    error = compute_landmark_metrics(found, truth, sides).nme_iod
    of_mean = compute_landmark_metrics(mean_shape, truth, sides).nme_iod
    assert error < 15  # percent of the inter-ocular distance
    assert error < of_mean / 3  # although that mean is of these very faces


def test_a_mirrored_face_has_mirrored_points(
    model: LandmarkModel, real_faces: list[LandmarkFace]
) -> None:
    crop, true = _cut(real_faces[0])
    found, mirrored = model.locate([crop, np.ascontiguousarray(crop[:, ::-1])])
    back = mirrored[list(DOG.mirrored)]
    back[:, 0] = crop.shape[1] - back[:, 0]
    eyes = float(compute_interocular(true[None])[0])
    assert compute_distances(back, found).mean() < 0.1 * eyes


def test_points_it_is_sure_of_are_nearer(
    model: LandmarkModel, real_faces: list[LandmarkFace]
) -> None:
    crops, true = zip(*map(_cut, real_faces), strict=True)
    found = model.locate(crops)
    sides = np.array([max(crop.shape[:2]) for crop in crops])[:, None]
    shares = compute_distances(found, np.stack(true)) / sides
    sure = found[..., 2] > 0.9
    assert 0.1 < sure.mean() < 0.9
    assert shares[sure].mean() < shares[~sure].mean() / 2
    assert (shares[sure] <= NEAR).mean() > 0.9
