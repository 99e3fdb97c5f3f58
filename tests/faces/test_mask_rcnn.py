from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import PIL.ImageDraw
import pytest
import torch
from safetensors.torch import load_file, save_file
from torchvision.models import resnet18
from torchvision.models.detection import MaskRCNN, maskrcnn_resnet50_fpn
from torchvision.ops import FrozenBatchNorm2d

from canemo.errors import (
    AnnotationError,
    ConfigError,
    OutputExistsError,
    SplitError,
    WeightsError,
)
from canemo.faces.detect.mask_rcnn import (
    MaskRCNNDetector,
    MaskRCNNSettings,
    build_network,
    load_mask_rcnn,
    load_network,
    resize_image,
    run_network,
    save_network,
)
from canemo.faces.training.evaluate import evaluate_on_images
from canemo.faces.training.mask_rcnn import compute_rate, train_mask_rcnn
from canemo.faces.training.records import MaskRCNNTraining, TrainingRecord
from canemo.faces.training.samples import compose_sample, draw_held_out, rasterise_polygons
from canemo.faces.training.start import build_from_start, find_start
from canemo.formats.boxes.coco import AnnotatedImage, Polygon
from canemo.records import Image
from eager_detectors import LITE, draw_noise, make_lite_network, set_lite

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def lite_network() -> MaskRCNN:
    return make_lite_network()


def test_fingerprints_tell_weights_settings_and_options_apart(lite_network: MaskRCNN) -> None:
    def fingerprint(settings: MaskRCNNSettings, **options: Any) -> str:
        options = {"weights_sha256": "a", **options}
        return MaskRCNNDetector(lite_network, settings, **options).fingerprint

    prints = [
        fingerprint(set_lite()),
        fingerprint(set_lite(), weights_sha256="b"),
        fingerprint(set_lite(short_side_px=64)),
        fingerprint(set_lite(score_threshold=0.4)),
        fingerprint(set_lite(), nms_iou=0.3),
        fingerprint(set_lite(), score_floor=0.1),
    ]
    assert len(set(prints)) == 6
    assert fingerprint(set_lite()) == prints[0]
    assert all(len(print_) == 64 for print_ in prints)


def test_images_keep_their_aspect_and_the_long_side_is_capped() -> None:
    assert resize_image(draw_noise(100, 150), 50, 100).shape == (50, 75, 3)
    assert resize_image(draw_noise(150, 100), 50, 100).shape == (75, 50, 3)
    assert resize_image(draw_noise(20, 200), 50, 100).shape == (10, 100, 3)
    assert resize_image(draw_noise(1, 400), 50, 100).shape == (1, 100, 3)


def test_folding_frozen_batch_norm_changes_nothing() -> None:
    torch.manual_seed(0)
    network = build_network("resnet50").eval()
    for norm in network.modules():
        if isinstance(norm, FrozenBatchNorm2d):
            norm.weight.uniform_(0.2, 0.6)
            norm.running_mean.uniform_(-0.1, 0.1)
            norm.running_var.uniform_(0.5, 2.0)
    settings = MaskRCNNSettings(short_side_px=64)
    folded = MaskRCNNDetector(network, settings, weights_sha256="")._network
    pixels = torch.rand(1, 3, 32, 32)
    with torch.inference_mode():
        wanted, got = network.backbone(pixels), folded.backbone(pixels)
    for level, maps in wanted.items():
        torch.testing.assert_close(got[level], maps, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"body": "resnet51"}, "body is 'resnet51', one of"),
        ({"short_side_px": 200}, "short_side_px is 200 and long_side_px 160"),
        ({"score_threshold": 1.5}, "score_threshold is 1.5"),
    ],
)
def test_impossible_settings_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        set_lite(**changes)


def test_the_first_image_does_not_set_the_scale(lite_network: MaskRCNN) -> None:
    narrow, image = draw_noise(200, 7), draw_noise(90, 120)
    answers = []
    for images in ([narrow, image], [image, narrow]):
        detector = MaskRCNNDetector(lite_network, set_lite(), weights_sha256="")
        answers.append(detector.detect(images))
    assert answers[0] == answers[1][::-1]


# ---- weights files


def test_weights_come_back_as_they_were_saved(lite_network: MaskRCNN, tmp_path: Path) -> None:
    settings = set_lite(started_from="here", trained_on="3 images", version="test")
    save_network(lite_network, tmp_path / "new" / "w.safetensors", settings)
    loaded, loaded_settings = load_network(tmp_path / "new" / "w.safetensors")
    assert loaded_settings == settings
    assert not loaded.training
    for name, tensor in lite_network.state_dict().items():
        torch.testing.assert_close(loaded.state_dict()[name], tensor, atol=1e-3, rtol=1e-3)


def test_equal_networks_give_equal_files(lite_network: MaskRCNN, tmp_path: Path) -> None:
    contents = set()
    for _ in range(8):
        save_network(lite_network, tmp_path / "w.safetensors", set_lite())
        contents.add((tmp_path / "w.safetensors").read_bytes())
    assert len(contents) == 1


@pytest.fixture
def saved(lite_network: MaskRCNN, tmp_path: Path) -> Path:
    save_network(lite_network, tmp_path / "saved.safetensors", set_lite())
    return tmp_path / "saved.safetensors"


def test_files_that_are_no_weights_are_refused(saved: Path, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"missing\.safetensors: cannot be read"):
        load_mask_rcnn(tmp_path / "missing.safetensors")
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(saved.read_bytes()[:-1000])
    with pytest.raises(WeightsError, match=r"cut\.safetensors: cannot be read"):
        load_mask_rcnn(cut)
    save_file({"a": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(WeightsError, match=r"holds the architecture None, .* or .* is wanted"):
        load_mask_rcnn(tmp_path / "other.safetensors")


def test_the_first_tensor_that_does_not_fit_is_named(saved: Path, tmp_path: Path) -> None:
    tensors = load_file(saved)
    metadata = {
        "architecture": "mask_rcnn-tf_efficientnet_lite0_fpn-128",
        "settings": json.dumps({"body": LITE}),
    }
    damaged = tmp_path / "damaged.safetensors"
    name = "roi_heads.box_predictor.cls_score.weight"
    save_file({**tensors, name: torch.zeros(3, 256)}, damaged, metadata=metadata)
    with pytest.raises(WeightsError, match=rf"{name} has the shape \(3, 256\), \(2, 256\) is want"):
        load_mask_rcnn(damaged)
    save_file({n: t for n, t in tensors.items() if n != name}, damaged, metadata=metadata)
    with pytest.raises(WeightsError, match=f"is damaged: the tensor {name} is missing"):
        load_mask_rcnn(damaged)
    save_file({**tensors, "extra": torch.zeros(1)}, damaged, metadata=metadata)
    with pytest.raises(WeightsError, match="the tensor extra is none of the network's"):
        load_mask_rcnn(damaged)
    for settings in ("{", '{"colour": 1}', '{"body": "resnet50"}'):
        save_file(tensors, damaged, metadata={**metadata, "settings": settings})
        with pytest.raises(WeightsError, match="is damaged: it"):
            load_mask_rcnn(damaged)


# ---- where a training starts


def _filled(state: dict[str, torch.Tensor], value: float = 0.25) -> dict[str, torch.Tensor]:
    """Give tensors of these names and shapes values that take no room in a file."""
    return {name: torch.tensor(value).expand(t.shape) for name, t in state.items()}


@pytest.fixture(scope="module")
def coco_state() -> dict[str, torch.Tensor]:
    with torch.device("meta"):
        network = maskrcnn_resnet50_fpn(weights=None, weights_backbone=None)
    return _filled(network.state_dict())


def _old_name(name: str) -> str:
    """Spell a name as torchvision's first releases did."""
    for number in range(4):
        new, old = f"roi_heads.mask_head.{number}.0.", f"roi_heads.mask_head.mask_fcn{number + 1}."
        name = name.replace(new, old)
        for blocks in ("inner_blocks", "layer_blocks"):
            name = name.replace(f"fpn.{blocks}.{number}.0.", f"fpn.{blocks}.{number}.")
    return name.replace("rpn.head.conv.0.0.", "rpn.head.conv.")


@pytest.mark.parametrize("spell", [str, _old_name])
def test_coco_weights_fill_all_but_the_predictors(
    coco_state: dict[str, torch.Tensor], spell: Callable[[str], str], tmp_path: Path
) -> None:
    path = tmp_path / "coco.pth"
    torch.save({spell(name): tensor for name, tensor in coco_state.items()}, path)
    start = find_start(path)
    assert (start.body, start.kind) == ("resnet50", "coco")
    network, fresh = build_from_start(start)
    assert fresh == {
        f"roi_heads.{name}.{part}"
        for name in (
            "box_predictor.cls_score",
            "box_predictor.bbox_pred",
            "mask_predictor.mask_fcn_logits",
        )
        for part in ("weight", "bias")
    }
    state = network.state_dict()
    assert state["roi_heads.box_predictor.cls_score.weight"].shape == (2, 1024)
    for name, tensor in state.items():
        assert bool((tensor == 0.25).all()) == (name not in fresh), name


def test_imagenet_weights_fill_the_body(
    coco_state: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    body = "backbone.body."
    state = {n.removeprefix(body): t for n, t in coco_state.items() if n.startswith(body)}
    torch.save({**state, "fc.weight": torch.zeros(1000, 2048)}, tmp_path / "resnet.pth")
    start = find_start(tmp_path / "resnet.pth", body="resnet50")
    assert (start.body, start.kind) == ("resnet50", "imagenet")
    network, fresh = build_from_start(start)
    assert not [name for name in fresh if name.startswith(body)]
    assert "rpn.head.conv.0.0.weight" in fresh
    tensors = network.state_dict()
    assert bool((tensors["backbone.body.layer4.2.conv3.weight"] == 0.25).all())
    variance = tensors["backbone.body.bn1.running_var"]
    torch.testing.assert_close(variance, torch.full((64,), 0.25 + 1e-5))


def test_a_trained_file_is_trained_further(saved: Path) -> None:
    start = find_start(saved)
    assert (start.body, start.kind) == (LITE, "canemo")
    assert start.description.startswith("a Mask R-CNN for faces on efficientnet_lite0 (saved.safet")
    assert start.sha256[:12] in start.description
    network, fresh = build_from_start(start)
    assert fresh == frozenset()
    stored = load_network(saved)[0].state_dict()
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, stored[name])
    with pytest.raises(WeightsError, match="weights for the body 'resnet50' are wanted"):
        find_start(saved, body="resnet50")


def test_foreign_files_are_refused_and_say_why(
    coco_state: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    path = tmp_path / "foreign.pth"
    torch.save({"cls_token": torch.zeros(1, 1, 8)}, path)
    with pytest.raises(WeightsError, match=r"a ResNet-50, the tensor conv1\.weight is missing"):
        find_start(path)
    with torch.device("meta"):
        small = resnet18()
    torch.save(_filled(small.state_dict()), path)
    with pytest.raises(WeightsError, match=r"layer1\.0\.conv1\.weight has the shape \(64, 64, 3, "):
        find_start(path)
    torch.save({n: t for n, t in coco_state.items() if "box_head.fc7" not in n}, path)
    with pytest.raises(WeightsError, match=r"ResNet-50, the tensor roi_heads\.box_head\.fc7\.wei"):
        find_start(path)
    with pytest.raises(WeightsError, match="there is no such weights file"):
        find_start(tmp_path / "missing.pth")
    shipped = Path(__file__).parents[2] / "src/canemo/faces/weights/dog_head.safetensors"
    with pytest.raises(WeightsError, match="holds the architecture 'fcos-"):
        find_start(shipped)
    drawn = tmp_path / "drawn.safetensors"
    save_file({"conv1.weight": torch.zeros(1)}, drawn, metadata={"canemo_random": "yes"})
    with pytest.raises(WeightsError, match="says of itself that it is random"):
        find_start(drawn)


class FakeHub:
    """Stands in for `fetch_url`: gives files for some of the addresses and notes what was asked."""

    def __init__(self, files: dict[str, Path]) -> None:
        self.files = files
        self.asked: list[str] = []

    def __call__(self, url: str, *, fetch: bool = True) -> Path | None:
        self.asked.append(url)
        return next((path for part, path in self.files.items() if part in url), None)


@pytest.mark.parametrize(
    ("there", "body", "wanted", "asked"),
    [
        (("maskrcnn", "resnet50-"), None, ("resnet50", "coco"), 1),
        (("resnet50-",), None, ("resnet50", "imagenet"), 2),
        ((), None, (LITE, "imagenet"), 2),
        (("maskrcnn",), LITE, (LITE, "imagenet"), 0),
        (("resnet50-",), "resnet50", ("resnet50", "imagenet"), 2),
    ],
)
def test_the_best_weights_there_are_start_and_the_log_says_which(
    there: tuple[str, ...],
    body: str | None,
    wanted: tuple[str, str],
    asked: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    (tmp_path / "file.pth").write_bytes(b"weights")
    hub = FakeHub(dict.fromkeys(there, tmp_path / "file.pth"))
    monkeypatch.setattr("canemo.faces.training.start.fetch_url", hub)
    caplog.set_level(logging.INFO, "canemo")
    start = find_start(body=body)
    assert (start.body, start.kind) == wanted
    assert len(hub.asked) == asked
    assert f"training starts from {start.description}" in caplog.text
    assert start.sha256[:12] in start.description


def test_nothing_starts_from_chance_or_from_a_damaged_download(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("canemo.faces.training.start.fetch_url", FakeHub({}))
    with pytest.raises(WeightsError, match="No weights to start a resnet50 from: https://down"):
        find_start(body="resnet50")
    with pytest.raises(ConfigError, match="body is 'resnet', one of"):
        find_start(body="resnet")
    damaged = tmp_path / "maskrcnn_resnet50_fpn_coco-bf2d0c1e.pth"
    damaged.write_bytes(b"half of it")
    monkeypatch.setattr("canemo.faces.training.start.fetch_url", FakeHub({"maskrcnn": damaged}))
    with pytest.raises(WeightsError, match="its publisher gave bf2d0c1e"):
        find_start()


# ---- subjects and samples


def _bare(who: str, *, marked: bool = True) -> AnnotatedImage:
    boxes = ((1.0, 1.0, 9.0, 9.0),) if marked else ()
    return AnnotatedImage(Path(f"{who}.png"), 10, 10, boxes, ("face",) * len(boxes))


def test_held_out_subjects_are_a_seeded_share_with_a_face() -> None:
    subjects = [f"dog{number % 10}" for number in range(40)]
    images = [_bare(who, marked=who != "dog3") for who in subjects]
    drawn = {seed: draw_held_out(images, subjects, share=0.2, seed=seed) for seed in range(20)}
    assert {len(held_out) for held_out in drawn.values()} == {2}
    assert draw_held_out(images, subjects, share=0.2, seed=3) == drawn[3]
    assert set().union(*drawn.values()) == set(subjects) - {"dog3"}
    assert len(draw_held_out(images, subjects, share=0.0, seed=0)) == 1
    assert len(draw_held_out(images, subjects, share=1.0, seed=0)) == 8


def test_one_subject_cannot_be_split() -> None:
    images = [_bare("a"), _bare("b", marked=False)]
    with pytest.raises(SplitError, match=r"1 subjects \['a'\]; two are the least"):
        draw_held_out(images, ["a", "b"], share=0.2, seed=0)
    with pytest.raises(SplitError, match="2 images and 1 subjects"):
        draw_held_out(images, ["a"], share=0.2, seed=0)


def test_polygons_fill_the_area_they_enclose() -> None:
    square: Polygon = ((10.0, 20.0), (30.0, 20.0), (30.0, 50.0), (10.0, 50.0))
    mask = rasterise_polygons([square], (64, 60))
    assert mask.shape == (60, 64)
    assert mask.sum() == 20 * 30
    assert mask[20:50, 10:30].all()
    beside: Polygon = tuple((x + 10, y) for x, y in square)
    assert rasterise_polygons([square, beside], (64, 60)).sum() == 30 * 30
    assert rasterise_polygons([square], (32, 30), scale=(0.5, 0.5)).sum() == 10 * 15
    triangle: Polygon = ((0.0, 0.0), (60.0, 0.0), (0.0, 60.0))
    assert int(rasterise_polygons([triangle], (64, 60)).sum()) == pytest.approx(1800, rel=0.03)
    assert rasterise_polygons([], (64, 60)).sum() == 0


def test_boxes_and_masks_follow_their_pixels(tmp_path: Path) -> None:
    image = PIL.Image.new("RGB", (160, 120), (0, 0, 90))
    outline: Polygon = ((50.0, 30.0), (110.0, 40.0), (90.0, 80.0))
    PIL.ImageDraw.Draw(image).polygon(outline, fill=(255, 0, 0))
    PIL.ImageDraw.Draw(image).rectangle((5, 90, 24, 109), fill=(0, 255, 0))
    image.save(tmp_path / "a.png")
    boxes = ((50.0, 30.0, 110.0, 80.0), (5.0, 90.0, 25.0, 110.0))
    annotated = AnnotatedImage(
        tmp_path / "a.png", 160, 120, boxes, ("face",) * 2, polygons=((outline,), ())
    )
    config = MaskRCNNTraining(short_side_px=100, long_side_px=200, colour_jitter=0.0)
    widths, left = set(), set()
    for seed in range(12):
        sample = compose_sample(annotated, config, np.random.default_rng(seed))
        height, width = sample.image_rgb.shape[:2]
        widths.add(width)
        assert sample.masks.shape == (2, height, width)
        for mask, box, channel in zip(sample.masks, sample.boxes_xyxy, (0, 1), strict=True):
            seen = sample.image_rgb[..., channel] > 127
            assert (seen & (mask == 1)).sum() / (seen | (mask == 1)).sum() > 0.85
            rows, columns = np.nonzero(seen)
            bounds = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
            np.testing.assert_allclose(box, bounds, atol=2)
        left.add(bool(sample.boxes_xyxy[1, 0] < width / 2))
    assert len(widths) > 6
    assert min(widths) >= 0.7 * 133 - 1
    assert max(widths) <= 1.3 * 133 + 1
    assert left == {True, False}


def test_an_image_without_a_face_gives_losses(lite_network: MaskRCNN, tmp_path: Path) -> None:
    PIL.Image.fromarray(draw_noise(48, 64)).save(tmp_path / "a.png")
    annotated = AnnotatedImage(tmp_path / "a.png", 64, 48)
    config = MaskRCNNTraining(short_side_px=48, long_side_px=64)
    sample = compose_sample(annotated, config, np.random.default_rng(0))
    lite_network.train()
    assert not lite_network.backbone.body.training
    found, losses = run_network(lite_network, sample.image_rgb, sample.to_target("cpu"))
    lite_network.eval()
    assert found == {}
    assert all(torch.isfinite(loss.detach()) for loss in losses.values())
    assert losses["loss_mask"].item() == 0


def test_the_rate_rises_and_falls() -> None:
    rates = [compute_rate(step, 100, warm_up_share=0.1) for step in range(100)]
    assert rates[:11] == sorted(rates[:11])
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert max(rates) == rates[10] == 1.0
    assert 0 < rates[0] < 0.1
    assert 0 < rates[-1] < 0.01
    assert compute_rate(0, 1, warm_up_share=0.0) == 1.0


@pytest.mark.parametrize(
    "changes", [{"epochs": 0}, {"held_out_share": 1.5}, {"scale_jitter": 1}, {"short_side_px": 9}]
)
def test_impossible_trainings_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(
        ConfigError, match=f"{next(iter(changes))} is {next(iter(changes.values()))}"
    ):
        MaskRCNNTraining(**changes)


# ---- the training


def _draw_face(rng: np.random.Generator, size: tuple[int, int]) -> tuple[Image, int, int, int]:
    """Draw a brown disc with eyes and a nose among rectangles; returns left, top and side too."""
    width, height = size
    image = PIL.Image.new("RGB", size, tuple(rng.integers(60, 200, 3).tolist()))
    draw = PIL.ImageDraw.Draw(image)
    for _ in range(3):
        x, y, side = (int(v) for v in rng.integers((0, 0, 20), (width, height, 60)))
        colour = tuple(rng.integers(0, 256, 3).tolist())
        draw.rectangle((x, y, x + side, y + side), fill=colour)
    side = int(rng.integers(40, 80))
    x, y = int(rng.integers(0, width - side)), int(rng.integers(0, height - side))
    draw.ellipse((x, y, x + side - 1, y + side - 1), fill=(140, 90, 40))
    for eye in (0.3, 0.7):
        left, top = x + side * (eye - 0.08), y + side * 0.3
        draw.ellipse((left, top, left + side * 0.16, top + side * 0.16), fill=(0, 0, 0))
    nose = (x + side * 0.4, y + side * 0.6, x + side * 0.6, y + side * 0.75)
    draw.ellipse(nose, fill=(20, 20, 20))
    return np.asarray(image), x, y, side


def _draw_faces(
    folder: Path, *, images: int, subjects: int, outlined: int
) -> tuple[list[AnnotatedImage], list[str]]:
    """Draw images of faces, the first `outlined` with a polygon, and whom they show."""
    rng = np.random.default_rng(0)
    angles = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    annotated = []
    for index in range(images):
        size = ((160, 120), (120, 160))[index % 2]
        pixels, x, y, side = _draw_face(rng, size)
        path = folder / f"{index}.png"
        PIL.Image.fromarray(pixels).save(path)
        half = side / 2
        disc = tuple((x + half + half * np.cos(a), y + half + half * np.sin(a)) for a in angles)
        box = (float(x), float(y), float(x + side), float(y + side))
        polygons = ((disc,) if index < outlined else (),)
        annotated.append(AnnotatedImage(path, *size, (box,), ("face",), polygons=polygons))
    return annotated, [f"dog{index // 2 % subjects}" for index in range(images)]


@pytest.mark.slow
def test_training_learns_drawn_faces_of_dogs_it_was_not_shown(tmp_path: Path) -> None:
    images, subjects = _draw_faces(tmp_path, images=24, subjects=6, outlined=18)
    out = tmp_path / "trained.safetensors"
    config = MaskRCNNTraining(epochs=4, short_side_px=112, long_side_px=160)
    record = train_mask_rcnn(images, subjects, out, config=config, start=find_start(body=LITE))
    best = record.best_epoch
    assert best.recall_50 >= 0.8
    assert best.average_precision_50 >= 0.8
    assert best.false_positives_per_image <= 1
    assert record.epochs[-1].losses["mask"] < 0.5 * record.epochs[0].losses["mask"]

    held_out = [
        i for i, who in zip(images, subjects, strict=True) if who in record.held_out_subjects
    ]
    detector = load_mask_rcnn(out)
    metrics = evaluate_on_images(detector, held_out)
    assert metrics.average_precision == pytest.approx(best.average_precision)
    assert metrics.recall_50 == best.recall_50
    assert detector.settings.trained_on.endswith(" with a polygon")
    assert detector.settings.started_from == record.started_from


TINY = MaskRCNNTraining(
    epochs=2, batch_size=1, short_side_px=64, long_side_px=96, learning_rate=1e-3
)


@pytest.fixture(scope="module")
def tiny_set(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[AnnotatedImage], list[str]]:
    return _draw_faces(tmp_path_factory.mktemp("drawn"), images=4, subjects=2, outlined=3)


def _train(
    tiny_set: tuple[list[AnnotatedImage], list[str]],
    out: Path,
    config: MaskRCNNTraining = TINY,
    **options: Any,
) -> TrainingRecord:
    start = find_start(body=LITE)
    return train_mask_rcnn(*tiny_set, out, config=config, start=start, **options)


def test_an_interrupted_training_ends_as_if_it_had_not_been(
    tiny_set: tuple[list[AnnotatedImage], list[str]],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "canemo")
    steps: list[tuple[int, int]] = []
    whole = _train(tiny_set, tmp_path / "whole.safetensors", progress=lambda *s: steps.append(s))
    assert "1 of 4 boxes have no polygon: the whole box counts as the face's mask" in caplog.text
    images = whole.train_counts.images
    assert steps[-1] == (2 * images, 2 * images)
    assert not set(whole.train_subjects) & set(whole.held_out_subjects)
    assert {*whole.train_subjects, *whole.held_out_subjects} == {"dog0", "dog1"}
    assert whole.train_counts.boxes + whole.held_out_counts.boxes == 4

    def interrupt(done: int, total: int) -> None:
        if done > images:
            raise KeyboardInterrupt

    out = tmp_path / "out.safetensors"
    with pytest.raises(KeyboardInterrupt):
        _train(tiny_set, out, progress=interrupt)
    assert out.with_suffix(".checkpoint.pt").is_file()
    assert len(json.loads(out.with_suffix(".json").read_text("utf-8"))["epochs"]) == 1
    resumed = _train(tiny_set, out)
    assert "going on after epoch 1 of 2" in caplog.text
    assert resumed == whole
    assert [epoch.epoch for epoch in resumed.epochs] == [1, 2]
    assert sorted(path.name for path in tmp_path.glob("out*")) == ["out.json", "out.safetensors"]

    steps.clear()
    assert _train(tiny_set, out, progress=lambda *s: steps.append(s)) == whole
    assert steps == []
    content = json.loads(out.with_suffix(".json").read_text("utf-8"))
    assert content["schema"] == 1
    assert content["best_epoch"] == whole.best_epoch.epoch
    assert content["config"]["short_side_px"] == 64


def test_other_weights_are_not_overwritten_and_other_checkpoints_not_used(
    tiny_set: tuple[list[AnnotatedImage], list[str]],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "canemo")
    out = tmp_path / "out.safetensors"
    out.write_bytes(b"somebody's")
    torch.save({"key": "other"}, out.with_suffix(".checkpoint.pt"))
    config = MaskRCNNTraining(epochs=1, short_side_px=48, long_side_px=64)
    with pytest.raises(OutputExistsError, match=r"out\.safetensors: exists, and other images"):
        _train(tiny_set, out, config)
    assert out.read_bytes() == b"somebody's"
    assert len(_train(tiny_set, out, config, force=True).epochs) == 1
    assert "out.checkpoint.pt: is of another training and not used" in caplog.text
    other = MaskRCNNTraining(epochs=1, short_side_px=48, long_side_px=64, seed=1)
    with pytest.raises(OutputExistsError):
        _train(tiny_set, out, other)
    (tmp_path / "faces.json").write_text('{"images": []}', encoding="utf-8")
    with pytest.raises(OutputExistsError, match=r"faces\.json: exists"):
        _train(tiny_set, tmp_path / "faces.safetensors", other)


def test_a_damaged_checkpoint_is_said(
    tiny_set: tuple[list[AnnotatedImage], list[str]], tmp_path: Path
) -> None:
    (tmp_path / "out.checkpoint.pt").write_bytes(b"half of it")
    with pytest.raises(WeightsError, match=r"out\.checkpoint\.pt: is damaged .* delete it"):
        _train(tiny_set, tmp_path / "out.safetensors")


def test_broken_images_are_found_before_the_training(tmp_path: Path) -> None:
    images, subjects = _draw_faces(tmp_path, images=4, subjects=2, outlined=4)
    PIL.Image.new("RGB", (20, 20)).save(images[2].path)
    with pytest.raises(AnnotationError, match=r"2\.png: is 20 x 20 pixels, but its annotations"):
        _train((images, subjects), tmp_path / "out.safetensors")
    images[2].path.write_bytes(b"no image")
    with pytest.raises(AnnotationError, match=r"2\.png: the image cannot be read"):
        _train((images, subjects), tmp_path / "out.safetensors")
    with pytest.raises(ConfigError, match=r"ends in '\.pth', '\.safetensors' is wanted"):
        _train((images, subjects), tmp_path / "out.pth")
