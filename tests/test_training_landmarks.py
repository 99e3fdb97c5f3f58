from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch
from numpy.typing import NDArray

from canemo.errors import AnnotationError
from canemo.faces.detect.head_fcos import build_network, load_imagenet_backbone
from canemo.faces.landmarks.model import LandmarkModel, LandmarkSettings, average_places
from canemo.records import Image
from canemo.species import DOG
from compare_landmarks import average_mirrored, look_again
from lib.head import is_held_out
from lib.landmark_augment import CropPlan, cut_crops, plan_plain
from lib.landmark_errors import (
    PARTS,
    compare_errors,
    compute_interocular,
    compute_landmark_metrics,
)
from lib.landmark_faces import (
    FaceTensors,
    crop_box,
    load_landmark_faces,
    load_picture,
    split_faces,
    stack_faces,
)
from lib.landmark_training import (
    LandmarkTrainingConfig,
    compose_batch,
    compute_losses,
    fit_scale_factor,
    target_heat,
    train_landmarks,
)

# ---- heat maps and losses


def test_reading_a_drawn_heat_map_gives_back_the_point_it_was_drawn_about() -> None:
    points = torch.tensor([[0.31, 0.62]]).repeat(len(DOG.points), 1)[None]
    heat = target_heat(points, torch.zeros(1, len(DOG.points), 24, 24), sigma_cells=1.5)
    np.testing.assert_allclose(average_places(heat, 24, 24).numpy(), points.numpy(), atol=1e-4)


def test_the_scale_factor_is_that_by_which_scales_were_too_small() -> None:
    rng = np.random.default_rng(0)
    scales = rng.uniform(0.01, 0.1, 100_000)
    distances = rng.exponential(1.0, (100_000, 2)).sum(axis=1) * scales * 1.7
    factor = fit_scale_factor(torch.from_numpy(distances), torch.from_numpy(scales))
    assert factor == pytest.approx(1.7, rel=0.01)


def test_the_scale_loss_is_least_at_half_the_mean_distance() -> None:
    config = LandmarkTrainingConfig()
    points, logits = torch.full((1, len(DOG.points), 2), 0.5), torch.zeros(1, len(DOG.points), 4, 4)
    found = points + torch.tensor([0.06, 0.08])  # 0.1 off
    losses = {
        b: float(
            compute_losses(
                found, torch.full((1, len(DOG.points)), math.log(b)), logits, points, config
            )[2]
        )
        for b in (0.04, 0.05, 0.06)
    }
    assert min(losses, key=lambda b: losses[b]) == 0.05
    distance = compute_losses(found, torch.zeros(1, len(DOG.points)), logits, points, config)[0]
    assert float(distance) == pytest.approx(10.0, abs=1e-3)  # percent of the side


def test_points_cut_off_teach_no_place() -> None:
    config = LandmarkTrainingConfig()
    points = torch.full((1, len(DOG.points), 2), 0.5)
    points[:, 1:] = 1.2
    found, logits = torch.full((1, len(DOG.points), 2), 0.4), torch.zeros(1, len(DOG.points), 4, 4)
    distance = compute_losses(found, torch.zeros(1, len(DOG.points)), logits, points, config)[0]
    assert float(distance) == pytest.approx(100 * math.hypot(0.1, 0.1), abs=1e-3)


# ---- errors


def _shape() -> NDArray[np.float64]:
    """A face with eyes' centres at (30, 40) and (70, 40)."""
    shape = np.random.default_rng(3).uniform(0, 100, (len(DOG.points), 2))
    for side, x in (("left", 30.0), ("right", 70.0)):
        shape[DOG.points.index(f"eye_inner_{side}")] = (x - 5, 38.0)
        shape[DOG.points.index(f"eye_outer_{side}")] = (x + 5, 42.0)
    return shape


def test_interocular_distance_is_that_between_the_eyes_centres() -> None:
    np.testing.assert_allclose(compute_interocular(_shape()[None]), [40.0])


def test_errors_are_those_worked_out_by_hand() -> None:
    true = np.stack([_shape(), _shape()])
    found = true.copy()
    found[0] += [3.0, 4.0]  # 5 of 40: 12.5 %
    found[1, list(PARTS["ears"])] += [0.0, 40.0]  # 14 of 46 points are 100 % off
    metrics = compute_landmark_metrics(found, true, np.array([50.0, 200.0]))
    of_second = 100 * 14 / 46
    assert metrics.faces == 2
    assert metrics.nme_iod == pytest.approx((12.5 + of_second) / 2)
    assert metrics.median_iod == pytest.approx((12.5 + of_second) / 2)
    assert metrics.nme_box == pytest.approx((100 * 5 / 50 + 40 * of_second / 200) / 2)
    assert metrics.failure_rate == 0.5
    assert metrics.by_part["ears"][0] == pytest.approx((12.5 + 100) / 2)
    assert metrics.by_part["eyes"][0] == pytest.approx(12.5 / 2)


def test_parts_share_out_the_points() -> None:
    assert sorted(sum(PARTS.values(), ())) == list(range(len(DOG.points)))
    assert {part: len(points) for part, points in PARTS.items()} == {
        "eyes": 8,
        "ears": 14,
        "muzzle": 22,
        "brow": 2,
    }


def test_a_difference_is_paired_and_faces_of_one_photograph_are_drawn_together() -> None:
    true = np.stack([_shape()] * 4)
    other = true + np.array([4.0, 8.0, 0.0, 0.0])[:, None, None] * [1.0, 0.0]  # 10 and 20 % off
    of_each = compare_errors(true, other, true, ["a", "b", "c", "d"])
    assert of_each["nme_iod"] == pytest.approx(0.0)
    assert of_each["difference"] == pytest.approx(-7.5)
    low, high = of_each["interval"]
    assert low < -7.5 < high <= 0.0
    of_one = compare_errors(true, other, true, ["a"] * 4)
    np.testing.assert_allclose(of_one["interval"], [-7.5, -7.5])


# ---- other ways to look


def _locate_dot(crops: Sequence[Image]) -> NDArray[np.float32]:
    """Lay a face that is its own mirror image around the white dot."""
    around = np.random.default_rng(5).uniform(-15, 15, (len(DOG.points), 2))
    around = (around + np.array([-1, 1]) * around[list(DOG.mirrored)]) / 2 * [-1, 1]
    found = []
    for crop in crops:
        y, x = np.nonzero(crop[..., 0] > 200)
        places = np.array([x.mean() + 0.5, y.mean() + 0.5]) + around
        found.append(np.column_stack([places, np.full(len(DOG.points), crop.shape[1] / 100)]))
    return np.array(found, np.float32).reshape(-1, len(DOG.points), 3)


def _dotted_crop() -> Image:
    crop = np.full((80, 100, 3), 90, np.uint8)
    crop[28:31, 60:65] = 255
    return crop


def test_points_of_a_mirror_image_come_back_to_their_places() -> None:
    crop = _dotted_crop()
    np.testing.assert_allclose(
        average_mirrored(_locate_dot, [crop])[0, :, :2], _locate_dot([crop])[0, :, :2], atol=1e-4
    )


def test_a_second_look_brings_points_back_and_is_taken_where_the_first_is_unsure() -> None:
    crop = _dotted_crop()
    first = _locate_dot([crop])  # its confidence is the crop's width
    second = look_again(_locate_dot, [crop])
    np.testing.assert_allclose(second[..., :2], first[..., :2], atol=1e-4)
    assert np.all(second[..., 2] < first[..., 2])
    np.testing.assert_array_equal(look_again(_locate_dot, [crop], below=0.9), first)


# ---- training samples: a point stays on what it marks


def _dotted(where: int, *, side: int = 200) -> FaceTensors:
    """One grey face of 100 pixels in a picture of 200, with a white dot on one point."""
    points = np.random.default_rng(where).uniform(70, 130, (len(DOG.points), 2)).astype(np.float32)
    y, x = np.mgrid[0:side, 0:side] + 0.5
    dot = np.hypot(x - points[where, 0], y - points[where, 1]) < 3
    region = np.where(dot, 255, 114).astype(np.uint8)
    return FaceTensors(
        torch.from_numpy(region)[None, None].repeat(1, 3, 1, 1),
        torch.tensor([[0.0, 0.0, side, side]]),
        torch.tensor([[100.0, 100.0, 100.0]]),
        torch.from_numpy(points)[None],
        torch.tensor([100.0]),
    )


def _find_dot(pixels: torch.Tensor) -> NDArray[np.float64]:
    """Return the dot's middle as shares of the crop, x and y."""
    light = np.clip(pixels[0].numpy() - 130, 0, None)
    y, x = np.mgrid[0 : light.shape[0], 0 : light.shape[1]] + 0.5
    middle = [(light * axis).sum() / light.sum() / light.shape[0] for axis in (x, y)]
    return np.array(middle)


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("name", ["ear_tip_left", "eye_outer_right", "nose_bottom"])
def test_a_moved_turned_and_mirrored_picture_has_its_points_at_the_dots(
    name: str, flip: bool
) -> None:
    where = DOG.points.index(name)
    plan = CropPlan(
        np.array([0]),
        np.array([[0.07, -0.05]], np.float32),
        np.array([1.2], np.float32),
        np.array([25.0], np.float32),
        np.array([1.05], np.float32),
        np.array([flip]),
    )
    pixels, points = cut_crops(_dotted(where), plan, 96)
    marked = DOG.mirrored[where] if flip else where
    np.testing.assert_allclose(points[0, marked].numpy(), _find_dot(pixels[0]), atol=0.004)
    assert (DOG.points[marked] == name) is (not flip or name == "nose_bottom")


def test_a_turn_is_clockwise_by_its_angle() -> None:
    faces = _dotted(0)
    faces.points[0, 0] = torch.tensor([130.0, 100.0])  # right of the middle
    plan = dataclasses.replace(plan_plain(np.array([0])), angle_deg=np.array([90.0], np.float32))
    _, points = cut_crops(faces, plan, 32)
    np.testing.assert_allclose(points[0, 0].numpy(), [0.5, 0.8], atol=1e-5)  # now below it


def test_batches_are_a_function_of_the_seed() -> None:
    faces, config = _dotted(0), LandmarkTrainingConfig(batch_size=4)
    batches = [
        compose_batch(faces, config, 32, np.random.default_rng([seed, 7])) for seed in (0, 0, 1)
    ]
    assert torch.equal(batches[0][0], batches[1][0])
    assert torch.equal(batches[0][1], batches[1][1])
    assert not torch.equal(batches[0][1], batches[2][1])
    assert float(batches[0][0].min()) >= 0
    assert float(batches[0][0].max()) <= 255


# ---- annotations


def _write_dotted_coco(folder: Path, **changes: Any) -> Path:
    """Write a picture of 200 x 100 pixels, squashed to 100 x 100, with a dot on each point."""
    rng = np.random.default_rng(0)
    true = rng.uniform([60, 20], [130, 80], (len(DOG.points), 2))
    y, x = np.mgrid[0:100, 0:100] + 0.5
    picture = np.full((100, 100, 3), 114, np.uint8)
    picture[np.hypot(2 * x - true[0, 0], y - true[0, 1]) < 4] = 255
    PIL.Image.fromarray(picture).save(folder / "one.png")
    squashed = true / [2, 1]
    keypoints = np.column_stack([squashed, np.full(len(DOG.points), 2.0)]).ravel().tolist()
    annotation = {"id": 1, "image_id": 7, "category_id": 1, "bbox": [25, 10, 45, 80]}
    image = {"id": 7, "file_name": "one.png", "width": 100, "height": 100}
    content = {
        "images": [{**image, "crop_width": 400, "crop_height": 200}],
        "annotations": [{**annotation, "keypoints": keypoints, **changes}],
        "categories": [{"id": 1, "name": "dog_face"}],
    }
    path = folder / "coco.json"
    path.write_text(json.dumps(content))
    return path


def test_a_squashed_picture_comes_back_at_its_true_aspect(tmp_path: Path) -> None:
    (face,) = load_landmark_faces(_write_dotted_coco(tmp_path))
    assert face.size == (200, 100)
    assert face.box_xyxy == (50.0, 10.0, 140.0, 90.0)
    assert load_picture(face).shape == (100, 200, 3)
    assert crop_box(face) == (50, 5, 140, 95)  # the square about the box
    pixels, points = cut_crops(stack_faces([face], canvas_px=200), plan_plain(np.array([0])), 90)
    np.testing.assert_allclose(points[0, 0].numpy(), _find_dot(pixels[0]), atol=0.006)
    np.testing.assert_allclose(points[0].numpy() * 90 + [50, 5], face.points, atol=1e-3)


def test_faces_without_all_their_points_are_refused(tmp_path: Path) -> None:
    path = _write_dotted_coco(tmp_path, keypoints=[1.0, 2.0, 2.0])
    with pytest.raises(AnnotationError, match=r"annotations\[0\]: 'keypoints' has 3 numbers, 138"):
        load_landmark_faces(path)
    with pytest.raises(AnnotationError, match="there are no faces with landmarks"):
        stack_faces([])


def test_a_picture_of_another_size_is_refused(tmp_path: Path) -> None:
    (face,) = load_landmark_faces(_write_dotted_coco(tmp_path))
    PIL.Image.new("RGB", (50, 100)).save(tmp_path / "one.png")
    with pytest.raises(AnnotationError, match="is 50 x 100 pixels, but its annotations say 100 x"):
        load_picture(face)


def test_no_picture_is_on_two_sides_and_the_held_out_are_the_detectors(tmp_path: Path) -> None:
    (face,) = load_landmark_faces(_write_dotted_coco(tmp_path))
    faces = [
        dataclasses.replace(face, image=dataclasses.replace(face.image, path=Path(f"{n}.jpg")))
        for n in range(500)
    ]
    train, choose, held_out = split_faces(faces, choice_share=0.2)
    assert {f.stem for f in held_out} == {f.stem for f in faces if is_held_out(f.stem)}
    assert len({f.stem for f in (*train, *choose, *held_out)}) == 500
    assert len(train) + len(choose) + len(held_out) == 500
    assert 70 < len(choose) < 130
    assert split_faces(faces, choice_share=0.0)[1] == []


# ---- a world of known truth


@pytest.mark.slow
def test_training_learns_where_a_disc_is() -> None:
    rng = np.random.default_rng(0)
    y, x = np.mgrid[0:96, 0:96] + 0.5
    where = rng.uniform(30, 66, (64, 2))
    discs = np.hypot(x - where[:, 0, None, None], y - where[:, 1, None, None]) < 6
    regions = np.where(discs[:, None], 230, 60).repeat(3, axis=1).astype(np.uint8)
    faces = FaceTensors(
        torch.from_numpy(regions),
        torch.tensor([[0.0, 0.0, 96.0, 96.0]]).repeat(64, 1),
        torch.tensor([[48.0, 48.0, 64.0]]).repeat(64, 1),
        torch.from_numpy(where.astype(np.float32))[:, None].repeat(1, len(DOG.points), 1),
        torch.full((64,), 64.0),
    )
    start = build_network()
    load_imagenet_backbone(start)
    before = start.backbone.body.conv_stem.weight.clone()
    config = LandmarkTrainingConfig(steps=80, batch_size=8, hidden_share=0.0, ema_decay=0.9)
    settings = LandmarkSettings(input_size=64)
    steps: list[int] = []
    network = train_landmarks(
        faces, config, settings, start=start, after=lambda n, _: steps.append(n), report_every=50
    )
    assert steps == [50, 80]
    assert not network.training
    assert torch.equal(start.backbone.body.conv_stem.weight, before)
    model = LandmarkModel(network, settings, weights_sha256="0")
    crops = [region.transpose(1, 2, 0)[16:80, 16:80] for region in regions[:16]]
    found = model.locate(crops)[..., :2]
    off = np.linalg.norm(found - (where[:16, None] - 16), axis=-1)
    assert off.mean() < 4  # of 64 pixels; the mean of all faces is 15 off
