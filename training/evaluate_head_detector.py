"""Measure the dog-head detector on the files its training held out; JSON to stdout.

    python training/evaluate_head_detector.py DATA [--weights FILE] [--threshold 0.5]

DATA is the folder that `train_head_detector.py` takes.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from canemo.faces.detect.head_fcos import HeadDetector, load_head_detector
from canemo.faces.training.evaluate import (
    DetectionMetrics,
    compute_detection_metrics,
    evaluate_on_images,
)
from canemo.formats.boxes.coco import AnnotatedImage, load_coco
from canemo.records import Box
from lib.head import TrainingImage, is_held_out, load_training_image


def held_out_part(folder: Path) -> tuple[AnnotatedImage, ...]:
    """List the annotated images of a folder that training does not see."""
    return tuple(i for i in load_coco(folder / "coco.json") if is_held_out(i.stem))


def evaluate_held_out(detector: HeadDetector, data_dir: Path) -> dict[str, DetectionMetrics]:
    """Measure on held-out whole photographs, bodies at their true aspect, and cats."""
    cats = [
        replace(image, boxes_xyxy=(), categories=())
        for image in held_out_part(data_dir / "oxford_pets")
        if "dog_head" not in image.categories
    ]
    return {
        "whole_photos": evaluate_on_images(detector, held_out_part(data_dir / "whole_photos")),
        "body_crops": _evaluate_bodies(detector, held_out_part(data_dir / "body_crops")),
        "cats": evaluate_on_images(detector, cats),
    }


def _evaluate_bodies(
    detector: HeadDetector, annotated: Sequence[AnnotatedImage]
) -> DetectionMetrics:
    bodies = [_load_body(image) for image in annotated]
    started_s = time.perf_counter()
    found = detector.detect([body.image_rgb for body in bodies])
    seconds = time.perf_counter() - started_s
    return compute_detection_metrics(
        found,
        [_boxes_of(body) for body in bodies],
        score_threshold=detector.score_threshold,
        detector=detector.name,
        seconds=seconds,
    )


def _load_body(image: AnnotatedImage) -> TrainingImage:
    aspect = image.extra["crop_width"] / image.extra["crop_height"]
    return load_training_image(image, aspect=aspect)


def _boxes_of(image: TrainingImage) -> list[Box]:
    return [(x0, y0, x1, y1) for x0, y0, x1, y1 in image.boxes_xyxy.tolist()]


def main() -> None:
    """Evaluate and write JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("--weights", type=Path, help="default: the weights that ship with canemo")
    parser.add_argument("--threshold", type=float, help="default: the weights' own")
    arguments = parser.parse_args()
    detector = load_head_detector(arguments.weights)
    if arguments.threshold is not None:
        detector.score_threshold = arguments.threshold
    metrics = evaluate_held_out(detector, arguments.data)
    json.dump({part: m.to_dict() for part, m in metrics.items()}, sys.stdout, indent=2)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
