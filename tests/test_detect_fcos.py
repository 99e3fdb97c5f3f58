from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import PIL.Image
import PIL.ImageDraw
import pytest
import torch

from canemo.detect.coco import AnnotatedImage, load_coco
from canemo.detect.evaluate import compute_iou, evaluate_on_images
from canemo.detect.fcos import (
    DetectorSettings,
    HeadDetector,
    build_network,
    fold_batch_norm,
    letterbox_image,
    load_head_detector,
    load_network,
    save_network,
)
from canemo.detect.training import (
    TrainingConfig,
    TrainingImage,
    compose_image,
    crop_beside_head,
    is_held_out,
    load_imagenet_backbone,
    load_training_image,
    train_head_detector,
)
from canemo.errors import AnnotationError, ConfigError, WeightsError
from canemo.records import Image

HEADS = Path(__file__).resolve().parents[1].parent / "shared" / "data" / "heads"


@pytest.fixture(scope="module")
def detector() -> HeadDetector:
    return load_head_detector()


def _noise(height: int, width: int, seed: int = 0) -> Image:
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (height, width, 1), dtype=np.uint8).repeat(3, axis=2)


def _drawn_head(*, width: int = 200, height: int = 160, left: int, top: int, side: int) -> Image:
    """Draw a brown disc with ears, eyes and a nose on green."""
    image = PIL.Image.new("RGB", (width, height), (60, 130, 60))
    draw = PIL.ImageDraw.Draw(image)

    def at(*shares: float) -> list[float]:
        origin = (left, top)
        return [origin[index % 2] + share * side for index, share in enumerate(shares)]

    draw.ellipse(at(0.0, 0.0, 1.0, 1.0), fill=(140, 90, 40))
    draw.ellipse(at(0.0, 0.1, 0.22, 0.75), fill=(70, 40, 20))
    draw.ellipse(at(0.78, 0.1, 1.0, 0.75), fill=(70, 40, 20))
    draw.ellipse(at(0.3, 0.3, 0.4, 0.4), fill=(0, 0, 0))
    draw.ellipse(at(0.6, 0.3, 0.7, 0.4), fill=(0, 0, 0))
    draw.ellipse(at(0.4, 0.55, 0.6, 0.7), fill=(20, 20, 20))
    return np.asarray(image)


# ---- the detector's contract, with weights whose answers do not matter


@pytest.fixture(scope="module")
def eager_detector() -> HeadDetector:
    """An untrained network that says many things everywhere."""
    torch.manual_seed(0)
    network = build_network()
    load_imagenet_backbone(network)
    torch.nn.init.constant_(network.head.classification_head.cls_logits.bias, 0.0)
    settings = DetectorSettings(input_size=128)
    return HeadDetector(network.eval(), settings, weights_sha256="0" * 64)


def test_a_batch_answers_as_its_images_one_by_one(eager_detector: HeadDetector) -> None:
    sizes = [(90, 160), (160, 90), (64, 64), (31, 200), (128, 128), (50, 60), (200, 64), (99, 99)]
    images = [_noise(*size, seed=index) for index, size in enumerate(sizes)]
    together = eager_detector.detect(images)
    for image, faces in zip(images, together, strict=True):
        (alone,) = eager_detector.detect([image])
        assert len(alone) == len(faces) > 0
        np.testing.assert_allclose(
            [face.box_xyxy for face in alone], [face.box_xyxy for face in faces], atol=0.05
        )
        np.testing.assert_allclose(
            [face.score for face in alone], [face.score for face in faces], atol=1e-4
        )


def test_boxes_lie_inside_the_image_and_scores_fall(eager_detector: HeadDetector) -> None:
    (faces,) = eager_detector.detect([_noise(37, 211)])
    boxes = np.array([face.box_xyxy for face in faces])
    assert (boxes >= 0).all()
    assert (boxes <= [211, 37, 211, 37]).all()
    assert (boxes[:, 2:] > boxes[:, :2]).all()
    scores = [face.score for face in faces]
    assert scores == sorted(scores, reverse=True)
    assert 0.05 <= min(scores) <= max(scores) <= 1


def test_images_are_not_changed_and_may_be_read_only(eager_detector: HeadDetector) -> None:
    image = _noise(60, 80)
    before = image.copy()
    image.setflags(write=False)
    eager_detector.detect([image, image[:, ::-1], image[::2]])
    np.testing.assert_array_equal(image, before)


def test_no_images_give_no_answers(eager_detector: HeadDetector) -> None:
    assert eager_detector.detect([]) == []


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


# ---- training data


HELD_OUT_DOGS = [index in (0, 2, 3, 4) for index in range(12)]


def test_held_out_files_are_a_stable_fifth() -> None:
    stems = [f"n0208{index}" for index in range(5000)]
    held_out = [is_held_out(stem) for stem in stems]
    assert np.mean(held_out) == pytest.approx(0.2, abs=0.02)
    assert [is_held_out(f"dog_{index}") for index in range(12)] == HELD_OUT_DOGS


def test_squashed_images_get_their_aspect_back(tmp_path: Path) -> None:
    path = tmp_path / "dog.png"
    PIL.Image.fromarray(_noise(100, 100)).save(path)
    annotated = AnnotatedImage(path, 100, 100, ((10.0, 20.0, 50.0, 60.0),), ("dog",))
    wide = load_training_image(annotated, aspect=2.0)
    assert wide.image_rgb.shape == (100, 200, 3)
    np.testing.assert_allclose(wide.boxes_xyxy, [[20, 20, 100, 60]])
    small = load_training_image(annotated, max_side=50)
    np.testing.assert_allclose(small.boxes_xyxy, [[5, 10, 25, 30]])
    with pytest.raises(AnnotationError, match="is 100 x 100 pixels, but its annotations say 9 x"):
        load_training_image(dataclasses.replace(annotated, width=9))


def test_the_part_beside_a_head_shows_none_of_it() -> None:
    image = np.zeros((100, 200, 3), dtype=np.uint8)
    image[10:60, 20:70] = 255
    box = np.array([[20, 10, 70, 60]], dtype=np.float32)
    part = crop_beside_head(TrainingImage(image, box))
    assert part is not None
    assert part.image_rgb.shape == (100, 130, 3)
    assert part.image_rgb.max() == 0
    assert len(part.boxes_xyxy) == 0
    assert crop_beside_head(TrainingImage(image, box), min_side=140) is None


def test_boxes_follow_their_pixels_through_augmentation() -> None:
    image = np.zeros((120, 160, 3), dtype=np.uint8)
    image[30:80, 50:110] = (255, 0, 0)
    image[80:] = (0, 0, 90)
    pool = [TrainingImage(image, np.array([[50, 30, 110, 80]], dtype=np.float32))]
    config = TrainingConfig(input_size=128, mosaic_share=0.5)
    overlaps = []
    for seed in range(60):
        canvas, boxes = compose_image(pool, config, np.random.default_rng(seed))
        assert canvas.shape == (128, 128, 3)
        assert canvas.dtype == np.uint8
        assert ((boxes >= 0) & (boxes <= 128)).all()
        if len(boxes) == 1 and canvas[..., 0].std() > 5:
            pixels = canvas.astype(int)
            rows, columns = np.nonzero(pixels[..., 0] - pixels[..., 1] > 60)
            if len(rows):
                seen = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
                overlaps.append(compute_iou(seen, tuple(boxes[0])))
    assert len(overlaps) > 15
    assert np.median(overlaps) > 0.85  # rotation and blur loosen single ones


def test_the_same_seed_composes_the_same_image() -> None:
    pool = [TrainingImage(_noise(50, 60), np.array([[5, 5, 40, 40]], dtype=np.float32))]
    config = TrainingConfig(input_size=96)
    first, second, other = (
        compose_image(pool, config, np.random.default_rng(s)) for s in (3, 3, 4)
    )
    np.testing.assert_array_equal(first[0], second[0])
    np.testing.assert_array_equal(first[1], second[1])
    assert not np.array_equal(first[0], other[0])


def test_training_without_a_single_box_is_refused() -> None:
    empty = TrainingImage(_noise(20, 20), np.zeros((0, 4), dtype=np.float32))
    with pytest.raises(AnnotationError, match="None of the 1 training images has a box"):
        train_head_detector([empty], TrainingConfig())


@pytest.fixture
def one_thread() -> Iterator[None]:
    """On so small a network threads wait for each other more than they work."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.slow
@pytest.mark.usefixtures("one_thread")
def test_training_learns_drawn_heads() -> None:
    places = ((20, 30, 90), (90, 40, 100), (60, 10, 120), (10, 70, 80))
    images = [
        TrainingImage(
            _drawn_head(left=left, top=top, side=side),
            np.array([[left, top, left + side, top + side]], dtype=np.float32),
        )
        for left, top, side in places
    ]
    config = TrainingConfig(
        input_size=128,
        epochs=2,
        images_per_epoch=240,
        batch_size=8,
        mosaic_share=0.0,
        ema_decay=0.9,
    )
    epochs = []
    network = train_head_detector(images, config, after_epoch=lambda epoch, _: epochs.append(epoch))
    detector = HeadDetector(network, DetectorSettings(128), weights_sha256="")
    found = detector.detect([image.image_rgb for image in images])
    for faces, image in zip(found, images, strict=True):
        assert compute_iou(faces[0].box_xyxy, tuple(image.boxes_xyxy[0])) > 0.7
    assert epochs == [1, 2]


# ---- the shipped weights


def test_shipped_weights_are_small_and_carry_their_settings(detector: HeadDetector) -> None:
    from importlib.resources import files

    size_bytes = len((files("canemo.detect") / "weights" / "dog_head.safetensors").read_bytes())
    assert size_bytes < 10_000_000
    assert detector.name == "dog_head"
    assert detector.score_threshold == detector.settings.score_threshold
    assert detector.settings.version != "untrained"


def test_no_face_in_noise_or_nothing(detector: HeadDetector) -> None:
    images = [
        _noise(240, 320),
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
