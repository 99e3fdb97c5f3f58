"""A painted study with finished runs of a tiny transformer, to be explained in seconds."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import canemo
from canemo.config import load_config
from canemo.networks.backbones import write_random_weights
from canemo.species import DOG
from painted import PaintedFaceDetector, leave_undrawn, put_in_place, write_painted_study

NETWORK = "timm:test_vit"
DOGS, CLIPS, FRAMES = 4, 2, 3
LABELS = ("anticipation", "frustration")
EXACT, READS_CLS = "mean", "cls"
"""Names of the runs, which are their poolings: one is a sum over positions, the other is none."""

_PROBES = {
    EXACT: {"method": "logistic", "penalties": (1.0,)},
    READS_CLS: {"method": "lda", "penalties": (0.9,)},
}


def write_explainable_study(folder: Path) -> Path:
    """Write a study of painted clips and run it twice; return its folder."""
    study = write_painted_study(folder / "study", subjects=DOGS, clips=CLIPS, frames=FRAMES)
    weights = write_random_weights(NETWORK, folder / "drawn.safetensors")
    for name, probe in _PROBES.items():
        overrides = {
            "backbone": {"name": NETWORK, "weights": str(weights)},
            "probe": {"pooling": name, "inner_folds": 2, **probe},
            "evaluate": {"resamples": 100, "permutations": 100},
        }
        with pytest.MonkeyPatch.context() as patch:
            put_in_place(patch, PaintedFaceDetector())
            leave_undrawn(patch)
            if name != EXACT:  # pictures of one run are enough
                patch.setattr("canemo.pipeline.run.draw_examples", lambda *_, **__: None)
            canemo.run(study, config=load_config(study, overrides=overrides), name=name)
    return study


def write_landmarks(path: Path, *, prefix: str = "") -> Path:
    """Write where the points of the painted faces are, were they shaped like the mean face."""
    rows = []
    for dog in range(DOGS):
        side = 50 + 5 * dog
        for clip in range(CLIPS):
            for frame in range(FRAMES):
                x, y = 20 + 3 * dog + frame, 20 + frame
                rows += [
                    (f"{prefix}s{dog}c{clip}", frame, name, x + side * u, y + side * v)
                    for name, (u, v) in zip(DOG.points, DOG.mean_shape, strict=True)
                ]
    table = pd.DataFrame(rows, columns=["video_id", "frame_index", "point", "x", "y"])
    table.to_csv(path, index=False)
    return path


def copy_run(study: Path, folder: Path, *names: str) -> list[Path]:
    """Copy a study with some of its runs; return the folders of these."""
    copy = folder / "study"
    shutil.copytree(study, copy, ignore=shutil.ignore_patterns("runs"))
    for name in names:
        shutil.copytree(study / "runs" / name, copy / "runs" / name)
    return [copy / "runs" / name for name in names]


def change_json(path: Path, change: Callable[[Any], None]) -> None:
    """Change what a JSON file holds."""
    content = json.loads(path.read_text(encoding="utf-8"))
    change(content)
    path.write_text(json.dumps(content), encoding="utf-8")


def list_files(folder: Path) -> dict[str, bytes]:
    """Return every file below a folder with what it holds."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
