"""How well a face among another dog's is found, on photographs of known dogs."""

from __future__ import annotations

import csv
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image as PilImage
from sklearn.metrics import roc_auc_score

from bench.measurement import Measurement, measure_peak_mib
from canemo.config import CropConfig
from canemo.faces.crop_images import cut_box, shrink
from canemo.features.embed import compute_features
from canemo.features.poolings import pool
from canemo.networks.backbones import Backbone, load_backbone
from canemo.parallel import Progress, silent
from canemo.records import Image
from canemo.trust.strangers import BACKBONE, POOLING, THRESHOLD, compare_subjects

LOTS = ((4, 3), (4, 4), (6, 4), (8, 6))
"""Dogs, and photographs of each, of the studies that are drawn."""

DRAWN = 100
BATCH = 32


@dataclass(frozen=True)
class _Photographs:
    """Features of photographs, whose folder each lies in, and whether it shows that dog.

    `verdict` is ``right``, ``other`` or ``doubt``.
    """

    x: NDArray[np.float32]
    dog: NDArray[np.str_]
    verdict: NDArray[np.str_]


def measure_strangers(folder: Path, *, progress: Progress = silent) -> list[Measurement]:
    """Measure on a folder with ``identity/DOG/``, ``identity_faces.json``, ``identity_wrong.csv``.

    Every photograph counts as a clip of one frame. Of photographs that are right, studies are drawn
    in which one of them is swapped for one of another dog, of the study or of none in it.
    """
    start = time.perf_counter()
    photographs = _embed(folder, load_backbone(BACKBONE), progress)
    margin = _compare(photographs.x, photographs.dog)
    right, other = (photographs.verdict == name for name in ("right", "other"))
    known = ~np.isnan(margin) & (right | other)
    area = roc_auc_score(other[known], -margin[known])
    note = (
        f"AUROC {area:.3f}; below {THRESHOLD:g}: {_count(margin[other])} of other dogs, "
        f"{_count(margin[right])} of the right one"
    )
    line = _make_line("all photographs", len(margin), start, note)
    return [line, *(_measure_lot(photographs, *lot) for lot in LOTS)]


def _measure_lot(photographs: _Photographs, dogs: int, each: int) -> Measurement:
    """Draw studies of some dogs, and in each exchange one photograph."""
    start, rng = time.perf_counter(), np.random.default_rng(0)
    x, dog = photographs.x, photographs.dog
    untouched: list[float] = []
    of_study: list[float] = []
    of_none: list[float] = []
    for _ in range(DRAWN):
        rows, spare = _draw_lot(photographs, dogs, each, rng)
        untouched += _compare(x[rows], dog[rows]).tolist()
        place = int(rng.integers(len(rows)))
        others = spare[dog[spare] != dog[rows[place]]]
        is_known = np.isin(dog[others], dog[rows])
        for found, pool_of in ((of_study, others[is_known]), (of_none, others[~is_known])):
            shown = rows.copy()
            shown[place] = rng.choice(pool_of)
            found.append(_compare(x[shown], dog[rows])[place])
    note = (
        f"below {THRESHOLD:g}: {_count(of_study)} of another dog of the study, "
        f"{_count(of_none)} of a dog that is not in it, {_count(untouched)} of the right one"
    )
    return _make_line(f"{dogs} dogs x {each}", DRAWN, start, note)


def _draw_lot(
    photographs: _Photographs, dogs: int, each: int, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return photographs that are right, `each` of some dogs, and all others that are right."""
    right = np.flatnonzero(photographs.verdict == "right")
    dog = photographs.dog[right]
    names, counts = np.unique(dog, return_counts=True)
    chosen = rng.choice(names[counts >= each], dogs, replace=False)
    rows = np.concatenate([rng.choice(right[dog == name], each, replace=False) for name in chosen])
    return rows, np.setdiff1d(right, rows)


def _compare(x: NDArray[np.float32], dog: NDArray[np.str_]) -> NDArray[np.float64]:
    """Return the margin of each photograph, NaN where there is nothing to compare it with."""
    names = [str(place) for place in range(len(x))]
    found = compare_subjects(x, pd.DataFrame({"video_id": names, "subject_id": dog}))
    return np.array([found[name].margin if name in found else np.nan for name in names])


def _embed(folder: Path, backbone: Backbone, progress: Progress) -> _Photographs:
    boxes = json.loads((folder / "identity_faces.json").read_text(encoding="utf-8"))
    with (folder / "identity_wrong.csv").open(encoding="utf-8", newline="") as handle:
        wrong = {row["file"]: row["verdict"] for row in csv.DictReader(handle)}
    files = sorted(name for name, box in boxes.items() if box is not None)
    parts = []
    for first in range(0, len(files), BATCH):
        progress("embed", first, len(files))
        some = files[first : first + BATCH]
        crops = [_cut(folder / "identity" / name, boxes[name]) for name in some]
        origin = pd.DataFrame({"frame_index": range(len(crops))})
        parts.append(pool(compute_features(backbone, crops, origin), POOLING))
    progress("embed", len(files), len(files))
    dog = np.array([name.partition("/")[0] for name in files])
    verdict = np.array([wrong.get(name, "right") for name in files])
    return _Photographs(np.concatenate(parts), dog, verdict)


def _cut(path: Path, box: Sequence[float]) -> Image:
    """Return the face as `crop` would cut it."""
    settings = CropConfig()
    with PilImage.open(path) as picture:
        pixels = np.asarray(picture.convert("RGB"))
    x0, y0, x1, y1 = box
    height, width = pixels.shape[:2]
    left, top, right, bottom = cut_box((x0, y0, x1, y1), width=width, height=height, crop=settings)
    face = np.ascontiguousarray(pixels[top:bottom, left:right])
    return shrink(face, max_short_side_px=settings.max_short_side_px)


def _count(margins: Sequence[float] | NDArray[np.float64]) -> str:
    """Return how many lie below the threshold, and of how many."""
    return f"{int((np.asarray(margins) < THRESHOLD).sum())} of {len(margins)}"


def _make_line(what: str, items: int, start: float, note: str) -> Measurement:
    seconds = time.perf_counter() - start
    return Measurement("strangers", what, items, seconds, measure_peak_mib(), note)
