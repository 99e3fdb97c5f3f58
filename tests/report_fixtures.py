"""A finished run folder as the pipeline leaves it, drawn up without running anything."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np

FRUSTRATION, ANTICIPATION = "frustration", "positive anticipation"


def make_metrics(
    labels: tuple[str, ...] = (ANTICIPATION, FRUSTRATION), *, n_subjects: int = 29
) -> dict[str, Any]:
    """Return metrics of a study where the last label is the most frequent and 83 % are right."""
    rng = np.random.default_rng(0)
    weights = np.arange(1, len(labels) + 1) / sum(range(1, len(labels) + 1))
    subjects = [_make_subject(i, labels, weights, rng) for i in range(n_subjects)]
    counts = {name: sum(dog["labels"][name] for dog in subjects) for name in labels}
    fates = {
        name: {"used": 13 * n, "no_face": (2 + i) * n // 2, "low_score": n // 3, "too_small": 0}
        for i, (name, n) in enumerate(counts.items())
    }
    total = {fate: sum(row[fate] for row in fates.values()) for fate in fates[labels[0]]}
    n_videos = sum(counts.values())
    return {
        "schema": 1,
        "study": {
            "name": "Labradors waiting for food",
            "videos": n_videos,
            "subjects": n_subjects,
            "labels": counts,
            "labels_by_subject": {dog["subject_id"]: dog["labels"] for dog in subjects},
            "frames": sum(total.values()),
            "crops": total["used"],
            "fates": total,
            "fates_by_label": fates,
            "subjects_table": [_make_facts(dog["subject_id"], rng) for dog in subjects],
        },
        "protocol": _make_protocol(n_subjects, labels[0]),
        "levels": {
            "video": _make_level(counts, value=0.831, half=0.07),
            "frame": _make_level({k: 13 * n for k, n in counts.items()}, value=0.768, half=0.06),
        },
        "subjects": subjects,
        "chance": {
            "majority": {
                "label": labels[-1],
                "video": counts[labels[-1]] / n_videos,
                "frame": counts[labels[-1]] / n_videos,
            }
        },
        "cost": {
            "crop": {"seconds": 312.4, "items": sum(total.values())},
            "embed": {"seconds": 1288.0, "items": total["used"]},
            "evaluate": {"seconds": 41.7, "items": n_subjects},
        },
        "warnings": [],
    }


def make_environment() -> dict[str, Any]:
    return {
        "canemo": "0.1.0",
        "python": "3.11.9",
        "platform": "Linux-6.1-x86_64",
        "processor": "Intel Core i7-1185G7",
        "packages": {"torch": "2.9.0", "timm": "1.0.20", "numpy": "2.3.1", "scikit-learn": "1.7.1"},
        "created": "2026-03-14T09:26:53+00:00",
        "command": "canemo run study --backbone dino_vits8",
    }


def write_run(run_dir: Path, metrics: dict[str, Any] | None = None) -> Path:
    """Write the files of a run that the report reads."""
    run_dir.mkdir(parents=True, exist_ok=True)
    (run_dir / "metrics.json").write_text(json.dumps(metrics or make_metrics()), encoding="utf-8")
    (run_dir / "environment.json").write_text(json.dumps(make_environment()), encoding="utf-8")
    (run_dir / "config.toml").write_text('[backbone]\nname = "dino_vits8"\n', encoding="utf-8")
    return run_dir


def with_video_intervals(metrics: dict[str, Any], **intervals: Any) -> dict[str, Any]:
    """Return a copy of `metrics` whose clip level has other intervals."""
    changed = copy.deepcopy(metrics)
    changed["levels"]["video"]["interval"].update(intervals)
    return changed


def _make_subject(
    index: int, labels: tuple[str, ...], weights: Any, rng: np.random.Generator
) -> dict[str, Any]:
    n = int(rng.integers(7, 11))
    first = rng.multinomial(n - len(labels), weights) + 1
    right = int(rng.binomial(n, 0.83))
    counts = {label: int(k) for label, k in zip(labels, first, strict=True)}
    return {
        "subject_id": f"dog{index + 1:02d}",
        "videos": n,
        "accuracy": right / n,
        "labels": counts,
    }


def _make_facts(subject_id: str, rng: np.random.Generator) -> dict[str, Any]:
    return {
        "subject_id": subject_id,
        "sex": str(rng.choice(["female", "male"], p=[0.58, 0.42])),
        "age_years": float(round(2 + rng.exponential(2.4), 1)),
        "neutered": bool(rng.random() < 0.9),
    }


def _make_protocol(n_subjects: int, positive_label: str) -> dict[str, Any]:
    return {
        "preset": None,
        "backbone": "dino_vits8",
        "backbone_note": "ViT-S/8, self-supervised by DINO on ImageNet",
        "weights_sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "weights_source": "Hugging Face hub, timm/vit_small_patch8_224.dino",
        "engine": "torch",
        "precision": "float32",
        "detector": "dog_head",
        "detector_sha256": "60303ae22b998861bce3b28f33eec1be758a213c86c93c076dbe9f558c11c752",
        "pooling": "cls",
        "split": "loso",
        "folds": n_subjects,
        "seed": 0,
        "positive_label": positive_label,
        "penalties": [0.001, 0.01, 0.1, 1.0, 10.0],
        "penalty_chosen": [0.1 if i % 4 else 1.0 for i in range(n_subjects)],
        "class_weight": "balanced",
        "sampling": "5 frames per second",
        "resamples": 2000,
    }


def _make_level(counts: dict[str, int], *, value: float, half: float) -> dict[str, Any]:
    labels = list(counts)
    confusion = np.zeros((len(labels), len(labels)), dtype=int)
    for i, n in enumerate(counts.values()):
        right = round(value * n)
        confusion[i, i] = right
        confusion[i, (i + 1) % len(labels)] += n - right
    return {
        "n": sum(counts.values()),
        "accuracy": value,
        "balanced_accuracy": value - 0.0123,
        "macro_f1": value - 0.0234,
        "auroc": value + 0.0567,
        "confusion": {"labels": labels, "counts": confusion.tolist()},
        "interval": {
            "accuracy": [value - half, value + half - 0.004],
            "balanced_accuracy": [value - half - 0.02, value + half - 0.02],
            "auroc": [value - 0.01, value + 0.1],
        },
    }
