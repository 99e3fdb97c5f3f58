"""Measure the facial landmark model on the faces its training held out; JSON to stdout.

    python training/evaluate_landmarks.py DATA [--weights FILE] [--engine auto]

DATA is the folder that `train_landmarks.py` takes. Crops are cut as canemo cuts them, around the
annotated boxes and around the boxes of canemo's own head detector. `mean_shape` is what the mean
of the training faces scores, which looks at no picture.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from canemo.faces.boxes import compute_iou
from canemo.faces.detect.head_fcos import HeadDetector, load_head_detector
from canemo.faces.landmarks.model import NEAR, LandmarkModel, load_landmark_model
from canemo.formats.boxes.shapes import measure_area
from canemo.records import Image
from canemo.species import DOG
from lib.landmark_errors import (
    compute_distances,
    compute_interocular,
    compute_landmark_metrics,
)
from lib.landmark_faces import (
    LandmarkFace,
    crop_box,
    load_landmark_faces,
    load_picture,
    split_faces,
)

FOLDERS = ("whole_photos", "body_crops")
LEAST_IOU = 0.5
CONFIDENCE_STEPS = (0.0, 0.2, 0.4, 0.6, 0.8, 0.9, 0.95, 1.0)


@dataclass(frozen=True)
class Answers:
    """What a model gave for faces: points (N, 46, 3) in pixels of the crops, and the truth there.

    `sides` and `box_sizes` are (N,): the crops' longer side, and the square root of the area of the
    annotated box.
    """

    found: NDArray[np.float32]
    true: NDArray[np.float32]
    sides: NDArray[np.float64]
    box_sizes: NDArray[np.float64]


def ask(
    model: LandmarkModel, faces: Sequence[LandmarkFace], boxes: Sequence[tuple[int, int, int, int]]
) -> Answers:
    """Cut the boxes out of the faces' pictures and locate the points."""
    crops = [cut(load_picture(face), box) for face, box in zip(faces, boxes, strict=True)]
    corners = np.array([box[:2] for box in boxes], dtype=np.float32)
    areas = [measure_area(face.box_xyxy) for face in faces]
    return Answers(
        model.locate(crops),
        np.stack([face.points for face in faces]) - corners[:, None],
        np.array([max(crop.shape[:2]) for crop in crops], dtype=np.float64),
        np.sqrt(areas),
    )


def cut(picture: Image, box: tuple[int, int, int, int]) -> Image:
    """Cut whole pixels out of a picture."""
    left, top, right, bottom = box
    return picture[top:bottom, left:right]


def find_crops(
    detector: HeadDetector, faces: Sequence[LandmarkFace]
) -> list[tuple[int, int, int, int] | None]:
    """Return the rectangle around the best box of the detector, None where it is no such face."""
    found = detector.detect([load_picture(face) for face in faces])
    return [
        crop_box(replace(face, box_xyxy=heads[0].box_xyxy))
        if heads
        and heads[0].score >= detector.score_threshold
        and compute_iou(heads[0].box_xyxy, face.box_xyxy) >= LEAST_IOU
        else None
        for heads, face in zip(found, faces, strict=True)
    ]


def describe(answers: Answers) -> dict[str, Any]:
    """Return the errors as plain values."""
    metrics = compute_landmark_metrics(answers.found, answers.true, answers.box_sizes)
    return metrics.to_dict()


def describe_confidence(answers: Answers) -> dict[str, Any]:
    """Compare confidences with what came true, by point, and with a face's error, by face."""
    distances = compute_distances(answers.found, answers.true)
    shares = distances / answers.sides[:, None]
    confidence = answers.found[..., 2]
    by_point = [
        {
            "from": low,
            "to": high,
            "points": int(chosen.sum()),
            "mean_confidence": float(confidence[chosen].mean()),
            "share_near": float((shares[chosen] <= NEAR).mean()),
            "mean_error_percent_of_side": 100 * float(shares[chosen].mean()),
        }
        for low, high in pairwise(CONFIDENCE_STEPS)
        if (chosen := (confidence >= low) & (confidence < high)).any()
    ]
    errors = 100 * (distances / compute_interocular(answers.true)[:, None]).mean(axis=1)
    order = np.argsort(confidence.mean(axis=1))
    quarters = [
        {
            "mean_confidence": float(confidence[part].mean()),
            "nme_iod": float(errors[part].mean()),
            "median_iod": float(np.median(errors[part])),
        }
        for part in np.array_split(order, 4)
    ]
    return {"by_point": by_point, "faces_by_confidence": quarters}


def compute_mean_shape(faces: Sequence[LandmarkFace]) -> NDArray[np.float64]:
    """Return the mean place of each point, (46, 2), as shares of the crop's longer side."""
    shapes = []
    for face in faces:
        left, top, right, bottom = crop_box(face)
        shapes.append((face.points - np.array([left, top])) / max(right - left, bottom - top))
    mean: NDArray[np.float64] = np.mean(shapes, axis=0)
    return mean


def evaluate_folder(model: LandmarkModel, detector: HeadDetector, folder: Path) -> dict[str, Any]:
    """Measure on the held-out faces of one folder."""
    train, _, faces = split_faces(load_landmark_faces(folder / "coco.json"), choice_share=0.0)
    annotated = ask(model, faces, [crop_box(face) for face in faces])
    shape = compute_mean_shape(train) * annotated.sides[:, None, None]
    pairs = list(zip(faces, find_crops(detector, faces), strict=True))
    seen = [(face, box) for face, box in pairs if box is not None]
    detected = ask(model, [face for face, _ in seen], [box for _, box in seen])
    return {
        "annotated_boxes": describe(annotated),
        "found_boxes": {**describe(detected), "not_found": len(pairs) - len(seen)},
        "mean_shape": describe(replace(annotated, found=shape.astype(np.float32))),
        "confidence": describe_confidence(annotated),
        "crops_per_second": measure_speed(model, faces[:64]),
    }


def measure_speed(model: LandmarkModel, faces: Sequence[LandmarkFace]) -> float:
    """Return crops per second, decoding not counted: the best of three rounds."""
    crops = [cut(load_picture(face), crop_box(face)) for face in faces]
    seconds = []
    for _ in range(3):
        started_s = time.perf_counter()
        model.locate(crops)
        seconds.append(time.perf_counter() - started_s)
    return len(crops) / min(seconds)


def main() -> None:
    """Evaluate and write JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("--weights", type=Path, help="default: the weights that ship with canemo")
    parser.add_argument("--engine", default="auto", help="auto, torch or openvino")
    arguments = parser.parse_args()
    model = load_landmark_model(DOG, weights=arguments.weights, engine=arguments.engine)
    detector = load_head_detector()
    measured = {
        folder: evaluate_folder(model, detector, arguments.data / folder) for folder in FOLDERS
    }
    json.dump({"engine": model.engine, **measured}, sys.stdout, indent=2)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
