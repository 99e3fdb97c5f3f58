from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from canemo.errors import ConfigError, WeightsError
from canemo.faces.detect.head_fcos import (
    DetectorSettings,
    HeadDetector,
    build_network,
    fold_batch_norm,
    letterbox_image,
    load_head_detector,
    load_network,
    save_network,
)
from canemo.faces.training.evaluate import evaluate_on_images
from canemo.formats.boxes.coco import AnnotatedImage, load_coco
from eager_detectors import draw_noise
from lib.head import is_held_out, load_imagenet_backbone

HEADS = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "heads"


@pytest.fixture(scope="module")
def detector() -> HeadDetector:
    return load_head_detector()


def test_folding_batch_norm_changes_nothing() -> None:
    torch.manual_seed(0)
    network = build_network()
    load_imagenet_backbone(network)
    network.eval()
    folded = fold_batch_norm(network)
    assert not [m for m in folded.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    pixels = torch.rand(1, 3, 64, 64) * 2 - 1
    with torch.inference_mode():
        wanted, got = network.backbone(pixels), folded.backbone(pixels)
    for level, maps in wanted.items():
        torch.testing.assert_close(got[level], maps, atol=1e-3, rtol=1e-3)


def test_letterbox_keeps_aspect_and_leads_back() -> None:
    image = np.zeros((50, 100, 3), dtype=np.uint8)
    image[10:20, 60:80] = 255
    canvas, letterbox = letterbox_image(image, 64)
    assert canvas.shape == (64, 64, 3)
    rows, columns = np.nonzero(canvas[..., 0] > 200)
    assert (canvas[:16] == 114).all()
    assert (canvas[48:] == 114).all()
    left = (columns.min() - letterbox.offset_x) / letterbox.scale_x
    bottom = (rows.max() + 1 - letterbox.offset_y) / letterbox.scale_y
    assert left == pytest.approx(60, abs=1.5)
    assert bottom == pytest.approx(20, abs=1.5)


def test_shrinking_is_antialiased() -> None:
    stripes = np.zeros((640, 640, 3), dtype=np.uint8)
    stripes[:, ::2] = 255
    canvas, _ = letterbox_image(stripes, 64)
    assert abs(canvas.astype(float) - 127.5).max() < 5


def test_input_sizes_off_the_grid_are_refused() -> None:
    with pytest.raises(ConfigError, match="input_size is 272, a multiple of 32"):
        DetectorSettings(input_size=272)


# ---- weights files


def test_weights_come_back_as_they_were_saved(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = build_network()
    settings = DetectorSettings(input_size=96, score_threshold=0.3, version="test")
    save_network(network, tmp_path / "new" / "w.safetensors", settings)
    loaded, loaded_settings = load_network(tmp_path / "new" / "w.safetensors")
    assert loaded_settings == settings
    for name, tensor in network.state_dict().items():
        torch.testing.assert_close(loaded.state_dict()[name], tensor, atol=1e-3, rtol=1e-3)


def test_fingerprints_tell_weights_and_settings_apart(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = build_network()
    prints = set()
    for index, threshold in enumerate((0.3, 0.4)):
        path = tmp_path / f"{index}.safetensors"
        save_network(network, path, DetectorSettings(64, threshold, "test"))
        prints |= {load_head_detector(path).fingerprint, load_head_detector(path).fingerprint}
    settings = DetectorSettings(64, 0.3, "test")
    prints |= {
        HeadDetector(network, settings, weights_sha256="a", nms_iou=iou).fingerprint
        for iou in (0.5, 0.6)
    }
    assert len(prints) == 4
    assert all(len(print_) == 64 for print_ in prints)


def test_files_that_are_no_weights_are_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"missing\.safetensors: cannot be read"):
        load_head_detector(tmp_path / "missing.safetensors")
    (tmp_path / "text.safetensors").write_text("no weights", encoding="utf-8")
    with pytest.raises(WeightsError, match=r"text\.safetensors: cannot be read"):
        load_head_detector(tmp_path / "text.safetensors")
    from safetensors.torch import save_file

    other = {"a": torch.zeros(1)}
    save_file(other, tmp_path / "other.safetensors")
    with pytest.raises(WeightsError, match="architecture None"):
        load_head_detector(tmp_path / "other.safetensors")
    metadata = {"architecture": "fcos-tf_efficientnet_lite0-80", "settings": json.dumps({})}
    save_file(other, tmp_path / "damaged.safetensors", metadata=metadata)
    with pytest.raises(WeightsError, match="is damaged"):
        load_head_detector(tmp_path / "damaged.safetensors")


# ---- the shipped weights


def test_shipped_weights_are_small_and_carry_their_settings(detector: HeadDetector) -> None:
    from importlib.resources import files

    size_bytes = len((files("canemo.faces") / "weights" / "dog_head.safetensors").read_bytes())
    assert size_bytes < 10_000_000
    assert detector.name == "dog_head"
    assert detector.score_threshold == detector.settings.score_threshold
    assert detector.settings.version != "untrained"


def test_no_face_in_noise_or_nothing(detector: HeadDetector) -> None:
    images = [
        draw_noise(240, 320),
        np.full((240, 320, 3), 127, dtype=np.uint8),
        np.zeros((720, 1280, 3), dtype=np.uint8),
        np.full((40, 40, 3), 255, dtype=np.uint8),
    ]
    for faces in detector.detect(images):
        assert [face for face in faces if face.score >= detector.score_threshold] == []


def _held_out(folder: str) -> tuple[AnnotatedImage, ...]:
    coco_file = HEADS / folder / "coco.json"
    if not coco_file.is_file():
        pytest.skip(f"real photographs are not there: {coco_file}")
    return tuple(image for image in load_coco(coco_file) if is_held_out(image.stem))


def test_heads_are_found_on_held_out_photographs(detector: HeadDetector) -> None:
    metrics = evaluate_on_images(detector, _held_out("whole_photos"))
    assert metrics.recall_50 >= 0.985
    assert metrics.recall_75 >= 0.75
    assert metrics.false_positives_per_image <= 0.05


def test_cats_are_mostly_left_alone(detector: HeadDetector) -> None:
    cats = [
        dataclasses.replace(image, boxes_xyxy=(), categories=())
        for image in _held_out("oxford_pets")
        if "dog_head" not in image.categories
    ]
    assert evaluate_on_images(detector, cats).false_positives_per_image <= 0.15
