from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import PIL.Image
import PIL.ImageDraw
import pytest

from canemo.errors import AnnotationError
from canemo.faces.boxes import compute_iou
from canemo.faces.detect.head_fcos import DetectorSettings, HeadDetector
from canemo.formats.boxes.coco import AnnotatedImage
from canemo.records import Image
from eager_detectors import draw_noise
from lib.head import (
    TrainingConfig,
    TrainingImage,
    compose_image,
    crop_beside_head,
    is_held_out,
    load_training_image,
    train_head_detector,
)


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


# ---- training data


HELD_OUT_DOGS = [index in (0, 2, 3, 4) for index in range(12)]


def test_held_out_files_are_a_stable_fifth() -> None:
    stems = [f"n0208{index}" for index in range(5000)]
    held_out = [is_held_out(stem) for stem in stems]
    assert np.mean(held_out) == pytest.approx(0.2, abs=0.02)
    assert [is_held_out(f"dog_{index}") for index in range(12)] == HELD_OUT_DOGS


def test_squashed_images_get_their_aspect_back(tmp_path: Path) -> None:
    path = tmp_path / "dog.png"
    PIL.Image.fromarray(draw_noise(100, 100)).save(path)
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
    pool = [TrainingImage(draw_noise(50, 60), np.array([[5, 5, 40, 40]], dtype=np.float32))]
    config = TrainingConfig(input_size=96)
    first, second, other = (
        compose_image(pool, config, np.random.default_rng(s)) for s in (3, 3, 4)
    )
    np.testing.assert_array_equal(first[0], second[0])
    np.testing.assert_array_equal(first[1], second[1])
    assert not np.array_equal(first[0], other[0])


def test_training_without_a_single_box_is_refused() -> None:
    empty = TrainingImage(draw_noise(20, 20), np.zeros((0, 4), dtype=np.float32))
    with pytest.raises(AnnotationError, match="None of the 1 training images has a box"):
        train_head_detector([empty], TrainingConfig())


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
        images_per_epoch=160,
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
