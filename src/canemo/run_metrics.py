"""metrics.json: the contract that every tool and test reads a run by."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from canemo.backbones import Backbone
from canemo.config import Config, find_departures
from canemo.detect.protocol import Detector
from canemo.evaluate import (
    Evaluation,
    summarise_chance,
    summarise_level,
    summarise_subjects,
)
from canemo.files import write_atomically
from canemo.gradient import choose_learning_rate
from canemo.predictions import select_level
from canemo.records import Fate, Study
from canemo.splits import Split

METRICS_SCHEMA = 1


def compute_metrics(
    *,
    study: Study,
    config: Config,
    ledger: pd.DataFrame,
    evaluation: Evaluation,
    split: Split,
    backbone: Backbone,
    detector: Detector,
    warnings: Sequence[str],
) -> dict[str, Any]:
    """Return everything metrics.json holds but the cost."""
    table = evaluation.predictions
    frames, videos = (select_level(table, level, study.labels) for level in ("frame", "video"))
    return {
        "schema": METRICS_SCHEMA,
        "study": describe_study(study, ledger),
        "protocol": {
            **describe_protocol(study, config, split, detector),
            **describe_method(config, backbone),
            "penalties": list(config.probe.penalties) if evaluation.penalties else [],
            "penalty_chosen": list(evaluation.penalties),
            "backbone": backbone.spec.name,
            "backbone_note": backbone.spec.note,
            "weights_sha256": backbone.weights_sha256,
            "weights_source": backbone.weights_source,
        },
        "levels": {
            "video": summarise_level(videos, evaluate=config.evaluate),
            "frame": summarise_level(frames, evaluate=config.evaluate),
        },
        "subjects": summarise_subjects(table[table["level"] == "video"]),
        "chance": summarise_chance(frames, videos),
        "training": {"frame_accuracy": evaluation.train_accuracy},
        "warnings": [
            *warnings,
            *evaluation.warnings,
            *warn_about_run(config, split, detector),
            *_warn_about_backbone(backbone),
        ],
    }


def write_metrics(metrics: Mapping[str, Any], path: Path) -> Path:
    """Write metrics.json; numbers that are not finite are an error, never NaN in the file."""
    text = json.dumps(metrics, indent=1, ensure_ascii=False, allow_nan=False)
    return write_atomically(path, text)


def warn_about_run(config: Config, split: Split, detector: Detector) -> list[str]:
    """Return what a reader must know of the settings, a line each."""
    lines = []
    if config.probe.class_weight == "none" and len(split.folds) > 1:
        lines.append(
            "labels were not weighted equally: every fold's probabilities lean towards the label "
            "its training subjects showed more often, so an AUROC pooled over folds can come out "
            "too low"
        )
    if config.preset == "paper" and detector.name != "mask_rcnn":
        lines.append(
            "the 2022 paper crops with a Mask R-CNN trained on about 200 frames of its own study; "
            f"this run used {detector.name} (`canemo frames` picks frames to annotate, `canemo "
            "detector train` trains one, --detector uses it)"
        )
    return lines


def _warn_about_backbone(backbone: Backbone) -> list[str]:
    if not backbone.is_random:
        return []
    return [
        f"the weights file of {backbone.spec.name} ({backbone.weights_source}) says of itself that "
        "its tensors are random: the run shows cost and architecture, no figure of it is a result"
    ]


def describe_study(study: Study, ledger: pd.DataFrame) -> dict[str, Any]:
    """Return what metrics.json says of a study and of what became of its frames."""
    videos = pd.DataFrame([(v.subject_id, v.label) for v in study.videos], columns=["s", "label"])
    by_label = {str(k): _counts(rows["fate"]) for k, rows in ledger.groupby("label")}
    return {
        "name": study.root.resolve().name,
        "videos": len(study.videos),
        "subjects": len(study.subject_ids),
        "labels": _counts(videos["label"]),
        "labels_by_subject": {str(k): _counts(rows["label"]) for k, rows in videos.groupby("s")},
        "frames": int((ledger["fate"] != Fate.DECODE_ERROR).sum()),
        "crops": int((ledger["fate"] == Fate.USED).sum()),
        "fates": _counts(ledger["fate"]),
        "fates_by_label": by_label,
        "subjects_table": _tabulate_subjects(study),
    }


def describe_protocol(
    study: Study, config: Config, split: Split, detector: Detector
) -> dict[str, Any]:
    """Return how crops were made and dogs were split, whatever learns from them."""
    rate, nth = config.video.fps, config.video.every_nth
    return {
        "preset": config.preset,
        "preset_departures": find_departures(config),
        "engine": "torch",
        "precision": "float32",
        "split": split.kind,
        "folds": len(split.folds),
        "seed": config.evaluate.seed,
        "positive_label": config.study.positive_label or study.labels[0],
        "class_weight": None if config.probe.class_weight == "none" else config.probe.class_weight,
        "pooling": config.probe.pooling,
        "sampling": f"{rate:g} frames per second" if nth is None else f"every {nth} frame(s)",
        "resamples": config.evaluate.resamples,
        "detector": detector.name,
        "detector_sha256": detector.fingerprint,
    }


def describe_method(config: Config, backbone: Backbone) -> dict[str, Any]:
    """Return how was learned, defaults that depend on the backbone filled in."""
    method = config.probe.method
    if method == "gradient":
        rate = choose_learning_rate(config.gradient, is_cnn=backbone.is_cnn)
        return {
            "method": method,
            "gradient": {**config.gradient.model_dump(mode="json"), "learning_rate": rate},
            "augment": config.augment.model_dump(mode="json"),
        }
    if method.startswith("sequence"):
        return {"method": method, "sequence": config.sequence.model_dump(mode="json")}
    return {"method": method}


def _counts(values: pd.Series) -> dict[str, int]:
    return {str(key): int(number) for key, number in values.value_counts().sort_index().items()}


def _tabulate_subjects(study: Study) -> list[dict[str, Any]] | None:
    if study.subjects is None:
        return None
    present = study.subjects[study.subjects.index.isin(study.subject_ids)].reset_index()
    rows: list[dict[str, Any]] = json.loads(present.to_json(orient="records"))
    return rows
