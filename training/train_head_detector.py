"""Train the dog-head detector that ships with canemo.

    python training/train_head_detector.py DATA OUT.safetensors --seed 0 --epochs 12

DATA holds `whole_photos`, `body_crops` and `oxford_pets`, each with `coco.json` and `images/`.
README.md beside this file says where they come from. Files that `is_held_out` names are not used.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from torchvision.models.detection import FCOS

from canemo.faces.detect.head_fcos import DetectorSettings, save_network
from canemo.formats.boxes.coco import AnnotatedImage, load_coco
from lib.head import (
    TrainingConfig,
    TrainingImage,
    crop_beside_head,
    is_held_out,
    load_training_image,
    train_head_detector,
)

_LOG = logging.getLogger(__name__)

WHOLE_PHOTO_WEIGHT = 4.0
CAT_WEIGHT = 2.0


def load_training_set(data_dir: Path) -> list[TrainingImage]:
    """Load what is not held out: photographs, bodies, parts of bodies without the head, cats."""
    images = list(_load_folder(data_dir / "whole_photos", weight=WHOLE_PHOTO_WEIGHT))
    bodies = list(_load_folder(data_dir / "body_crops"))
    images += bodies
    images += [part for body in bodies if (part := crop_beside_head(body)) is not None]
    images += _load_cats(data_dir / "oxford_pets")
    return images


def training_part(folder: Path) -> tuple[AnnotatedImage, ...]:
    """List the annotated images of a folder that are not held out."""
    return tuple(i for i in load_coco(folder / "coco.json") if not is_held_out(i.stem))


def _load_folder(folder: Path, *, weight: float = 1.0) -> Iterator[TrainingImage]:
    for annotated in training_part(folder):
        extra = annotated.extra
        squashed = "crop_width" in extra
        aspect = extra["crop_width"] / extra["crop_height"] if squashed else None
        yield load_training_image(annotated, aspect=aspect, weight=weight)


def _load_cats(folder: Path) -> Iterator[TrainingImage]:
    """Load cats as images without a dog's head.

    The dogs there are left out: their boxes are drawn tighter than DogFLW's.
    """
    for annotated in training_part(folder):
        if "dog_head" not in annotated.categories:
            no_boxes = replace(annotated, boxes_xyxy=(), categories=())
            yield load_training_image(no_boxes, weight=CAT_WEIGHT)


def main() -> None:
    """Train, writing the weights after every epoch."""
    arguments = _parse_arguments()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    images = load_training_set(arguments.data)
    _LOG.info(
        "%d images, of which %d show no head",
        len(images),
        sum(not len(i.boxes_xyxy) for i in images),
    )
    config = TrainingConfig(
        seed=arguments.seed,
        epochs=arguments.epochs,
        images_per_epoch=arguments.images_per_epoch,
        input_size=arguments.input_size,
    )
    settings = DetectorSettings(
        input_size=arguments.input_size,
        score_threshold=arguments.score_threshold,
        version=arguments.version,
    )

    def save(epoch: int, network: FCOS) -> None:
        save_network(network, arguments.out, settings)
        _LOG.info("epoch %d: wrote %s", epoch, arguments.out)

    train_head_detector(images, config, after_epoch=save)


def _parse_arguments() -> argparse.Namespace:
    defaults = TrainingConfig()
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seed", type=int, default=defaults.seed)
    parser.add_argument("--epochs", type=int, default=defaults.epochs)
    parser.add_argument("--images-per-epoch", type=int, default=defaults.images_per_epoch)
    parser.add_argument("--input-size", type=int, default=defaults.input_size, help="[px]")
    parser.add_argument("--score-threshold", type=float, default=0.5)
    parser.add_argument("--version", default="1")
    return parser.parse_args()


if __name__ == "__main__":
    main()
