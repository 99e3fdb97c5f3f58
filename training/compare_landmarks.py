"""Compare other ways to find landmarks with the shipped one, face by face; JSON to stdout.

    python training/compare_landmarks.py DATA [--part choice] [--weights FILE] [--engine auto]

DATA is the folder that `train_landmarks.py` takes. What to change is chosen on the part that is
kept to choose by; `trained` shows how much better the shipped weights know the faces they learned
from. Differences come with the 95 % interval from drawing whole photographs anew: some are there
twice. Crops are cut as canemo cuts them, around the annotated boxes.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from canemo.faces.landmarks.model import LandmarkModel, load_landmark_model, load_landmark_network
from canemo.files import sha256_file
from canemo.formats.boxes.shapes import measure_area
from canemo.networks.network_files import choose_weights
from canemo.records import Image
from canemo.species import DOG
from evaluate_landmarks import FOLDERS, cut
from lib.landmark_errors import compare_errors, compute_landmark_metrics
from lib.landmark_faces import crop_box, load_landmark_faces, load_picture, split_faces

Way: TypeAlias = Callable[[Sequence[Image]], NDArray[np.float32]]
"""From N crops to (N, 46, 3), as `LandmarkModel.locate`."""

PARTS = ("trained", "choice", "held_out")
ZOOM = 1.1
UNSURE = 0.8


def average_mirrored(locate: Way, crops: Sequence[Image]) -> NDArray[np.float32]:
    """Locate on crops and on their mirror images, and take the mean."""
    mirrored = locate([np.ascontiguousarray(crop[:, ::-1]) for crop in crops])
    mirrored = mirrored[:, list(DOG.mirrored)]
    mirrored[..., 0] = np.array([[crop.shape[1]] for crop in crops]) - mirrored[..., 0]
    mean: NDArray[np.float32] = np.mean([locate(crops), mirrored], axis=0)
    return mean


def look_again(
    locate: Way, crops: Sequence[Image], *, below: float = np.inf
) -> NDArray[np.float32]:
    """Locate again within `ZOOM` times the hull of the points where these are unsure.

    Unsure are faces with a mean confidence lower than `below`; theirs is the mean of both looks.
    """
    found = locate(crops)
    unsure = np.flatnonzero(found[..., 2].mean(axis=1) < below).tolist()
    boxes = [_box_around(found[i, :, :2], crops[i]) for i in unsure]
    again = locate([cut(crops[i], box) for i, box in zip(unsure, boxes, strict=True)])
    corners = np.array([box[:2] for box in boxes], np.float32).reshape(-1, 1, 2)
    again[..., :2] += corners
    found[unsure] = (found[unsure] + again) / 2
    return found


def _box_around(points: NDArray[np.float32], crop: Image) -> tuple[int, int, int, int]:
    low, high = points.min(axis=0), points.max(axis=0)
    middle, half = (low + high) / 2, (high - low).max() * ZOOM / 2
    left, top = np.maximum(0, np.floor(middle - half)).astype(int).tolist()
    right, bottom = np.minimum(crop.shape[1::-1], np.ceil(middle + half)).astype(int).tolist()
    return left, top, right, bottom


def load_resized(input_size: int, *, engine: str) -> LandmarkModel:
    """Load the shipped weights for another size of input than they were trained at."""
    with choose_weights(None, shipped=DOG.landmark_weights or "") as path:
        network, settings = load_landmark_network(path, points=len(DOG.points))
        resized = replace(settings, input_size=input_size)
        return LandmarkModel(network, resized, weights_sha256=sha256_file(path), engine=engine)


def list_ways(locate: Way, weights: Path | None, *, engine: str) -> dict[str, Way]:
    """Return what is compared with the shipped model's `locate`, by name."""
    ways: dict[str, Way] = {
        "mean_of_crop_and_mirror_image": lambda crops: average_mirrored(locate, crops),
        "mean_of_two_looks": lambda crops: look_again(locate, crops),
        "mean_of_two_looks_where_unsure": lambda crops: look_again(locate, crops, below=UNSURE),
        "input_160_px": load_resized(160, engine=engine).locate,
        "input_224_px": load_resized(224, engine=engine).locate,
    }
    if weights is not None:
        ways["weights"] = load_landmark_model(DOG, weights=weights, engine=engine).locate
    return ways


def main() -> None:
    """Compare and write JSON."""
    arguments = _parse_arguments()
    loaded = [
        f for name in FOLDERS for f in load_landmark_faces(arguments.data / name / "coco.json")
    ]
    parts = dict(zip(PARTS, split_faces(loaded, choice_share=arguments.choice_share), strict=True))
    faces = parts[arguments.part]
    boxes = [crop_box(face) for face in faces]
    crops = [cut(load_picture(face), box) for face, box in zip(faces, boxes, strict=True)]
    true = np.stack(
        [f.points - np.array(b[:2], np.float32) for f, b in zip(faces, boxes, strict=True)]
    )
    sizes = np.sqrt([measure_area(face.box_xyxy) for face in faces])
    photographs = [face.stem for face in faces]
    model = load_landmark_model(DOG, engine=arguments.engine)
    shipped = model.locate(crops)
    compared = {
        name: compare_errors(locate(crops), shipped, true, photographs)
        for name, locate in list_ways(
            model.locate, arguments.weights, engine=arguments.engine
        ).items()
    }
    measured = {
        "part": arguments.part,
        "faces": len(faces),
        "engine": model.engine,
        "shipped": compute_landmark_metrics(shipped, true, sizes).to_dict(),
        "compared": compared,
    }
    json.dump(measured, sys.stdout, indent=2)
    sys.stdout.write("\n")


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("--part", choices=PARTS, default="choice")
    parser.add_argument("--choice-share", type=float, default=0.06)
    parser.add_argument("--weights", type=Path, help="other weights to compare as well")
    parser.add_argument("--engine", default="auto", help="auto, torch or openvino")
    return parser.parse_args()


if __name__ == "__main__":
    main()
