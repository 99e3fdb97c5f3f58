"""Measure a detector against boxes drawn by hand."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from canemo.errors import AnnotationError
from canemo.faces.annotations.annotated_images import open_annotated
from canemo.faces.boxes import compute_iou
from canemo.faces.detect.protocol import Detector
from canemo.formats.boxes.coco import AnnotatedImage, load_coco
from canemo.records import Box, Face, Image

IOU_LADDER = tuple(round(0.5 + 0.05 * step, 2) for step in range(10))
"""The IoU thresholds over which COCO averages."""


@dataclass(frozen=True)
class DetectionMetrics:
    """How well a detector finds the faces of a set of images.

    `recall_50` and `recall_75` are the shares of faces found with IoU 0.5 and 0.75 or more by
    boxes that score at least `score_threshold`; `false_positives_per_image` counts such boxes that
    find no face at IoU 0.5. `average_precision_50` and `average_precision` (mean over IoU 0.50 to
    0.95) use all boxes. Figures that need a face are NaN where there is none. `images_per_second`
    and `seconds_per_image` are the detector alone, from pixels to boxes; decoding the image files
    does not count.
    """

    detector: str
    score_threshold: float
    images: int
    faces: int
    recall_50: float
    recall_75: float
    average_precision_50: float
    average_precision: float
    false_positives_per_image: float
    images_per_second: float
    seconds_per_image: float

    def to_dict(self) -> dict[str, Any]:
        """Return the figures as plain values for JSON, NaN as None."""
        return {key: None if value != value else value for key, value in asdict(self).items()}


def evaluate_detector(
    detector: Detector,
    coco_file: Path,
    *,
    images_dir: Path | None = None,
    category: str | None = None,
    batch_size: int = 8,
) -> DetectionMetrics:
    """Run a detector over the images of a COCO file and compare.

    Parameters
    ----------
    detector
        What to measure.
    coco_file
        Images and boxes.
    images_dir
        Folder of the images; None means ``images/`` beside the file, else the file's folder.
    category
        Name of the category that counts as a face; None counts every box.
    batch_size
        Images decoded and handed to the detector together.

    Raises
    ------
    AnnotationError
        If the file is broken or an image cannot be read.
    """
    categories = None if category is None else [category]
    annotated = load_coco(coco_file, images_dir=images_dir, categories=categories)
    return evaluate_on_images(detector, annotated, batch_size=batch_size)


def evaluate_on_images(
    detector: Detector, annotated: Sequence[AnnotatedImage], *, batch_size: int = 8
) -> DetectionMetrics:
    """Run a detector over annotated images and compare; see `evaluate_detector`."""
    if not annotated:
        raise AnnotationError("There is no image to evaluate on; give at least one.")
    found: list[list[Face]] = []
    detector.detect([load_image(annotated[0])])  # the first call also builds what later ones reuse
    seconds = 0.0
    for start in range(0, len(annotated), batch_size):
        images = [load_image(entry) for entry in annotated[start : start + batch_size]]
        started_s = time.perf_counter()
        found += detector.detect(images)
        seconds += time.perf_counter() - started_s
    return compute_detection_metrics(
        found,
        [entry.boxes_xyxy for entry in annotated],
        score_threshold=detector.score_threshold,
        detector=detector.name,
        seconds=seconds,
    )


def load_image(annotated: AnnotatedImage) -> Image:
    """Decode an annotated image, (H, W, 3) uint8 RGB (see `open_annotated`)."""
    with open_annotated(annotated) as file:
        return np.asarray(file.convert("RGB"))


def compute_detection_metrics(
    found: Sequence[Sequence[Face]],
    boxes_xyxy: Sequence[Sequence[Box]],
    *,
    score_threshold: float,
    detector: str = "",
    seconds: float = float("nan"),
) -> DetectionMetrics:
    """Compare the faces found with the boxes drawn, image by image.

    Parameters
    ----------
    found
        The detector's faces of each image, faint ones included.
    boxes_xyxy
        The true boxes of each image.
    score_threshold
        Score from which a face counts for recall and false positives.
    detector
        Name for the record.
    seconds
        What the detector took for all images.
    """
    matches = {iou: _match_all(found, boxes_xyxy, iou) for iou in IOU_LADDER}
    faces = sum(len(boxes) for boxes in boxes_xyxy)
    precisions = [_average_precision(matches[iou], faces) for iou in IOU_LADDER]
    false_positives = sum(1 for score, hit in matches[0.5] if score >= score_threshold and not hit)
    return DetectionMetrics(
        detector=detector,
        score_threshold=score_threshold,
        images=len(found),
        faces=faces,
        recall_50=_recall(matches[0.5], faces, score_threshold),
        recall_75=_recall(matches[0.75], faces, score_threshold),
        average_precision_50=precisions[0],
        average_precision=float(np.mean(precisions)),
        false_positives_per_image=false_positives / len(found),
        images_per_second=len(found) / seconds if seconds else float("nan"),
        seconds_per_image=seconds / len(found),
    )


_Match: TypeAlias = tuple[float, bool]
"""A found face's score, and whether it is the one that finds a true box."""


def _match_all(
    found: Sequence[Sequence[Face]], boxes_xyxy: Sequence[Sequence[Box]], min_iou: float
) -> list[_Match]:
    matches: list[_Match] = []
    for faces, boxes in zip(found, boxes_xyxy, strict=True):
        matches += match_faces(faces, boxes, min_iou=min_iou)
    return matches


def match_faces(
    faces: Sequence[Face], boxes_xyxy: Sequence[Box], *, min_iou: float
) -> list[tuple[float, bool]]:
    """Match the faces found in one image with its true boxes, as COCO does.

    The best-scored face chooses first; each takes the free box it overlaps most, if the IoU is at
    least `min_iou`. Returns each face's score and whether it took a box, best score first.
    """
    free = list(boxes_xyxy)
    matches = []
    for face in sorted(faces, key=lambda face: -face.score):
        overlaps = [compute_iou(face.box_xyxy, box) for box in free]
        best = int(np.argmax(overlaps)) if overlaps else -1
        hit = best >= 0 and overlaps[best] >= min_iou
        if hit:
            free.pop(best)
        matches.append((face.score, hit))
    return matches


def _recall(matches: Sequence[_Match], faces: int, score_threshold: float) -> float:
    hits = sum(1 for score, hit in matches if hit and score >= score_threshold)
    return hits / faces if faces else float("nan")


def _average_precision(matches: Sequence[_Match], faces: int) -> float:
    """Compute COCO's average precision: mean of the precision envelope at 101 recalls."""
    if not faces:
        return float("nan")
    ordered = sorted(matches, key=lambda match: -match[0])
    hits = np.array([hit for _, hit in ordered], dtype=bool)
    true_positives = np.cumsum(hits)
    recall = true_positives / faces
    precision = true_positives / np.arange(1, len(hits) + 1)
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    return float(np.mean(_precision_at(np.linspace(0, 1, 101), recall, envelope)))


def _precision_at(
    wanted: NDArray[np.float64], recall: NDArray[np.float64], precision: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the precision where each wanted recall is first reached, 0 where it never is."""
    index = np.searchsorted(recall, wanted - 1e-9, side="left")
    return np.append(precision, 0.0)[index]
