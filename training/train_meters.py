"""Fit the meter *mouth open* on known dogs, tested on dogs it has not seen; JSON to stdout.

    python training/train_meters.py DATA [--out FILE] [--points FILE]

DATA holds `identity/` with a folder of photographs per dog, `identity_faces.json` with a box of the
face in each, and `identity_mouth.csv`: dog_id, file, face, mouth. Photographs count whose face is
clear and whose mouth is open or closed; the others are only answered, by the meter of all dogs.
Each is cut in several ways, as boxes found in video lie otherwise than given ones. `--points` keeps
the points that the landmark model finds, so that trying another fit does not take minutes again.
"""

from __future__ import annotations

import argparse
import csv
import json
import logging
import sys
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
from numpy.typing import NDArray

from canemo.config import CropConfig
from canemo.faces.boxes import compute_iou
from canemo.faces.crop_images import cut_box, decode_jpeg, encode_jpeg
from canemo.faces.detect.registry import load_detector
from canemo.faces.landmarks.model import load_landmark_model
from canemo.faces.meters import save_meter
from canemo.records import Box, Image
from canemo.species import DOG
from lib.meter_fitting import Faces, Fitter, measure_answers

VIEWS = ("given", "found", "moved_1", "moved_2", "moved_3", "moved_4", "small")
MOST_MOVED, MOST_SCALED = 0.08, (0.85, 1.3)  # of the side of the box
SMALL_PX, SMALL_QUALITY = 48, 70
LEAST_IOU = 0.3
STEPS = (0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0)

_LOG = logging.getLogger(__name__)


def cut_views(image: Image, given: Box, found: Sequence[Box], rng: np.random.Generator) -> Any:
    """Return the crops of one face, in the order of `VIEWS`."""
    box = np.array(given)
    centre, side = (box[:2] + box[2:]) / 2, box[2:] - box[:2]
    near = max(found, key=lambda each: compute_iou(each, given), default=given)
    boxes = [given, near if compute_iou(near, given) > LEAST_IOU else given]
    for _ in range(4):
        scale = np.exp(rng.uniform(*np.log(MOST_SCALED)))
        moved = centre + rng.uniform(-MOST_MOVED, MOST_MOVED, 2) * side
        boxes.append((*(moved - scale * side / 2), *(moved + scale * side / 2)))
    crops = [_cut(image, each) for each in boxes]
    return [*crops, _spoil(crops[0])]


def _cut(image: Image, box: Box) -> Image:
    height, width = image.shape[:2]
    x0, y0, x1, y1 = cut_box(box, width=width, height=height, crop=CropConfig())
    return image[y0:y1, x0:x1]


def _spoil(crop: Image) -> Image:
    """Return a crop as small and as coarse as in poor video."""
    scale = SMALL_PX / min(crop.shape[:2])
    size = (round(crop.shape[1] * scale), round(crop.shape[0] * scale))
    small = PIL.Image.fromarray(crop).resize(size, PIL.Image.Resampling.BICUBIC)
    return decode_jpeg(encode_jpeg(np.asarray(small), quality=SMALL_QUALITY))


def find_points(data: Path, rows: Sequence[dict[str, str]]) -> dict[str, NDArray[Any]]:
    """Return the points (V, N, 46, 3) of all ways to cut N photographs, and who found them."""
    boxes = json.loads((data / "identity_faces.json").read_text(encoding="utf-8"))
    detector, model = load_detector("dog_head", engine="auto"), load_landmark_model(DOG)
    rng, points = np.random.default_rng(0), []
    for done, row in enumerate(rows):
        with PIL.Image.open(data / "identity" / row["file"]) as file:
            image = np.asarray(file.convert("RGB"))
        found = [face.box_xyxy for face in detector.detect([image])[0]]
        crops = cut_views(image, tuple(boxes[row["file"]]), found, rng)
        points.append(model.locate(crops))
        if done % 50 == 0:
            _LOG.info("%d of %d photographs", done, len(rows))
    return {
        "points": np.stack(points, axis=1),
        "files": np.array([row["file"] for row in rows]),
        "landmarks": np.array(model.weights_sha256),
    }


def load_rows(data: Path) -> list[dict[str, str]]:
    """Return the labelled photographs in which a face was boxed."""
    boxes = json.loads((data / "identity_faces.json").read_text(encoding="utf-8"))
    with (data / "identity_mouth.csv").open(encoding="utf-8") as file:
        return [
            row for row in csv.DictReader(file) if row["face"] != "none" and row["file"] in boxes
        ]


def answer_unseen(fitter: Fitter, faces: Faces) -> dict[str, Any]:
    """Fit without each dog in turn, all choices included, and answer for its photographs."""
    logits = np.zeros((len(faces.views), len(faces.is_on)))
    within = np.zeros(logits.shape, dtype=bool)
    for own, _ in faces.split():
        linear, limits = fitter.fit(~own)
        logits[:, own], within[:, own] = fitter.score(linear, own), fitter.is_within(limits, own)
    on, who = faces.is_on, faces.subject
    everything = np.ones(len(on), dtype=bool)
    return {
        "answered": {
            view: measure_answers(logits[i], within[i], on, who)
            for i, view in enumerate(faces.views)
        },
        "without_limits": {
            view: measure_answers(logits[i], everything, on, who)
            for i, view in enumerate(faces.views)
        },
        "calibration": _tabulate_calibration(logits[0][within[0]], on[within[0]]),
        "wrong": [
            (i, float(1 / (1 + np.exp(-logits[0, i]))))
            for i in np.flatnonzero(within[0] & ((logits[0] > 0) != on))
        ],
    }


def _tabulate_calibration(logit: NDArray[np.float64], on: NDArray[np.bool_]) -> list[Any]:
    """Return for steps of the probability: faces, their mean, and the share that is open."""
    probability = 1 / (1 + np.exp(-logit))
    rows = []
    for low, high in pairwise(STEPS):
        some = (probability >= low) & (probability < high)
        if some.any():
            rows.append((low, high, int(some.sum()), probability[some].mean(), on[some].mean()))
    return rows


def main() -> None:
    """Fit, test and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--points", type=Path, help="npz to keep the found points in")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    rows = load_rows(arguments.data)
    if arguments.points is not None and arguments.points.is_file():
        kept = dict(np.load(arguments.points))
    else:
        kept = find_points(arguments.data, rows)
        if arguments.points is not None:
            np.savez(
                arguments.points,
                points=kept["points"],
                files=kept["files"],
                landmarks=kept["landmarks"],
            )
    labelled = np.array([r["face"] == "clear" and r["mouth"] != "unclear" for r in rows])
    is_open = np.array([row["mouth"] == "open" for row in rows])
    everything = Faces(VIEWS, kept["points"], is_open, np.array([row["dog_id"] for row in rows]))
    faces = everything.select(labelled)
    fitter = Fitter(faces, DOG)
    report = answer_unseen(fitter, faces)
    files = kept["files"][labelled]
    report["wrong"] = [(str(files[i]), round(p, 3)) for i, p in report["wrong"]]
    meter = fitter.make_meter(
        *fitter.fit(np.ones(len(faces.is_on), dtype=bool)),
        name="mouth_open",
        meaning="the jaws are visibly parted",
        units=("AU25", "AU26"),
        landmarks=str(kept["landmarks"]),
    )
    report["others"] = {
        face: _answer(meter, kept["points"][0][[r["face"] == face for r in rows] & ~labelled])
        for face in ("clear", "partial")
    }
    if arguments.out is not None:
        save_meter(meter, arguments.out)
    json.dump(report, sys.stdout, indent=1, default=lambda value: np.asarray(value).tolist())
    sys.stdout.write("\n")


def _answer(meter: Any, points: NDArray[np.float32]) -> dict[str, Any]:
    """Return what a meter says of photographs that were not labelled open or closed."""
    reading = meter.read(points, DOG, landmarks=meter.landmarks)
    said = reading.probability[np.isfinite(reading.probability)]
    reasons = {why: reading.reason.count(why) for why in sorted(set(reading.reason)) if why}
    return {
        "faces": len(points),
        "refused": reasons,
        "quartiles": np.quantile(said, (0.25, 0.5, 0.75)),
    }


if __name__ == "__main__":
    main()
