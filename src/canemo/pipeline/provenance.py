"""How a run was made, in the words of metrics.json."""

from __future__ import annotations

from typing import Any

from canemo.config import Config, find_departures
from canemo.faces.detect.protocol import Detector
from canemo.faces.points import PointFinder
from canemo.features.poolings import reads_face
from canemo.features.store import count_bands
from canemo.learn.evidence import list_blocks
from canemo.learn.gradient import choose_learning_rate
from canemo.learn.splits import Split
from canemo.networks.backbones import Backbone
from canemo.networks.engines.gates import read_refusal
from canemo.pipeline.extract import Sources
from canemo.records import Study


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


def warn_about_points(config: Config, finder: PointFinder | None, sources: Sources) -> list[str]:
    """Return what a reader must know of the points by which faces are measured and parted.

    Nothing where no representation of the run reads them.
    """
    if not any(map(reads_face, list_blocks(config))):
        return []
    bands, crops = count_bands(sources)
    lines = list(finder.warnings) if finder is not None else []
    if bands:
        lines.append(
            f"{bands} of {crops} crops: nothing finds sure points of an eye and the muzzle, so the "
            "regions of the face are fixed bands of the crop there (docs/explain.md)"
        )
    return lines


def warn_about_backbone(backbone: Backbone) -> list[str]:
    """Return what a reader must know of the backbone, a line each."""
    engine = backbone.engine
    refusal = read_refusal(backbone.network, engine.name, engine.precision)
    lines = [f"{engine.precision} of {backbone.spec.name}: {refusal}"] if refusal else []
    if not backbone.is_random:
        return lines
    return [
        *lines,
        f"the weights file of {backbone.spec.name} ({backbone.weights_source}) says of itself that "
        "its tensors are random: the run shows cost and architecture, no figure of it is a result",
    ]


def describe_run(
    study: Study,
    config: Config,
    split: Split,
    *,
    backbone: Backbone,
    detector: Detector,
    finder: PointFinder | None,
) -> dict[str, Any]:
    """Return what metrics.json says of how a run was made, but for what came out."""
    return {
        **describe_protocol(study, config, split, detector),
        "points": "none" if finder is None else finder.setting,
        **describe_method(config, backbone),
        "backbone": backbone.spec.name,
        "backbone_note": backbone.spec.note,
        **backbone.describe_engine(),
        "weights_sha256": backbone.weights_sha256,
        "weights_source": backbone.weights_source,
    }


def describe_choice(reason: str) -> dict[str, str]:
    """Return why that backbone, where ``auto`` chose it."""
    return {"backbone_reason": reason} if reason else {}


def describe_protocol(
    study: Study, config: Config, split: Split, detector: Detector
) -> dict[str, Any]:
    """Return how crops were made and dogs were split, whatever learns from them."""
    rate, nth = config.video.fps, config.video.every_nth
    return {
        "preset": config.preset,
        "preset_departures": find_departures(config),
        "split": split.kind,
        "folds": len(split.folds),
        "seed": config.evaluate.seed,
        "positive_label": config.study.positive_label or study.labels[0],
        "class_weight": None if config.probe.class_weight == "none" else config.probe.class_weight,
        "pooling": config.probe.pooling,
        "frames": config.probe.frames,
        "sampling": f"{rate:g} frames per second" if nth is None else f"every {nth} frame(s)",
        "resamples": config.evaluate.resamples,
        "detector": detector.name,
        "detector_sha256": detector.fingerprint,
        "detector_engine": detector.engine,
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
    if config.sweep.poolings or config.sweep.frames:
        return {"method": method, "sweep": config.sweep.model_dump(mode="json")}
    return {"method": method}
