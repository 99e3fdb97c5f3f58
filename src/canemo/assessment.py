"""From a study to its numbers: what `run`, `evaluate` and `compare` have in common."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import pandas as pd

from canemo.backbones import Backbone, load_backbone
from canemo.config import Config
from canemo.crops import CropFile
from canemo.detect.protocol import Detector
from canemo.detect.registry import load_detector
from canemo.errors import ConfigError, SplitError, StudyError
from canemo.evaluate import Evaluation, evaluate_learner
from canemo.evidence import Evidence, list_representations, make_materials
from canemo.features import LAYERS, extract_features, load_poolings, require_pooling
from canemo.gradient import require_loss
from canemo.learners import make_learner, require_choice
from canemo.learning import Learner, Material
from canemo.progress import Progress
from canemo.records import Study
from canemo.run_metrics import (
    compute_metrics,
    describe_run,
    warn_about_backbone,
    warn_about_run,
)
from canemo.splits import Split, make_split
from canemo.study import load_study
from canemo.study_crops import StudyCrops, extract_study_crops
from canemo.video import probe_video
from canemo.views import StudyViews

Sources: TypeAlias = Sequence[tuple[CropFile, Path]]
"""The crops and the features file of each video."""


@dataclass
class Cost:
    """Seconds and items of each stage, as metrics.json holds them.

    `items` were computed in `seconds`; `cached` were there already.
    """

    stages: dict[str, dict[str, float]] = field(default_factory=dict)

    @contextmanager
    def measure(self, stage: str) -> Iterator[dict[str, float]]:
        """Time the block as `stage` and yield its entry, for the numbers of items."""
        entry: dict[str, float] = {"seconds": 0.0, "items": 1, "cached": 0}
        start = time.perf_counter()
        yield entry
        self.stages[stage] = {**entry, "seconds": time.perf_counter() - start}


@dataclass(frozen=True)
class Plan:
    """What is known before the first frame is read, and all that can be refused by then."""

    study: Study
    config: Config
    split: Split
    detector: Detector
    backbone: Backbone
    cost: Cost


@dataclass(frozen=True)
class Work:
    """What is in hand once the numbers are there."""

    plan: Plan
    crops: StudyCrops
    evidence: Evidence
    learner: Learner
    evaluation: Evaluation
    metrics: dict[str, Any]
    cost: Cost


def prepare(root: Path, config: Config) -> Plan:
    """Load all that a run needs; what can be refused is refused here."""
    study, cost = load_study(root), Cost()
    require_runnable(study, config)
    split = split_subjects(study, config)
    with cost.measure("load"):
        detector, backbone = load_detector(config.detect.detector), load_configured_backbone(config)
    stored = ("cls", "mean", "grid", *LAYERS[: len(backbone.layer_dims)])
    for pooling, _ in list_representations(config):
        require_pooling(pooling, stored=stored)
    return Plan(study, config, split, detector, backbone, cost)


def split_subjects(study: Study, config: Config) -> Split:
    """Return the folds that ``evaluate.split`` asks for."""
    labels: dict[str, Counter[str]] = defaultdict(Counter)
    for video in study.videos:
        labels[video.subject_id][video.label] += 1
    split = make_split(
        study.subject_ids,
        kind=config.evaluate.split,
        seed=config.evaluate.seed,
        labels=labels,
    )
    shown = [{name for dog in fold.train for name in labels[dog]} for fold in split.folds]
    if all(names < set(study.labels) for names in shown):
        lacking = sorted(set(study.labels) - shown[0])
        raise SplitError(
            f"split {config.evaluate.split!r}: no fold has training subjects with every label (in "
            f"the first, none shows {lacking[0]!r}); choose another --split or --seed"
        )
    return split


def require_runnable(study: Study, config: Config) -> None:
    """Refuse a study with one label, and settings that do not fit it."""
    if len(study.labels) < 2:
        raise StudyError(
            f"{study.root / 'videos.csv'}: all videos have the label {study.labels[0]!r}; expected "
            "at least two labels to tell apart"
        )
    positive = config.study.positive_label
    if positive is not None and positive not in study.labels:
        raise ConfigError(
            f"study.positive_label = {positive!r}; the labels are {', '.join(study.labels)}"
        )
    offered = list_representations(config)
    for pooling, _ in offered:
        require_pooling(pooling)
    require_choice(config.probe.method, offered)
    require_loss(config.gradient, study.labels)


def assess(plan: Plan, *, progress: Progress) -> Work:
    """Crop, embed, learn and test on unseen subjects, and put the result into numbers."""
    cost = plan.cost
    crops, evidence = gather_evidence(plan, progress=progress)
    learner, evaluation = evaluate_features(
        evidence.materials,
        plan.split,
        plan.config,
        offer_views(crops, plan.backbone, plan.config, progress),
        progress=progress,
        cost=cost,
    )
    with cost.measure("trust"):
        metrics = compute_metrics(evidence, learner, evaluation, progress=progress)
    return Work(plan, crops, evidence, learner, evaluation, metrics, cost)


def gather_evidence(plan: Plan, *, progress: Progress) -> tuple[StudyCrops, Evidence]:
    """Crop and embed; return the crops and all that numbers are computed from."""
    study, config, split, cost = plan.study, plan.config, plan.split, plan.cost
    crops = crop_videos(study, config, plan.detector, progress=progress, cost=cost)
    sources = embed_crops(crops, plan.backbone, config, progress=progress, cost=cost)
    evidence = Evidence(
        study,
        config,
        split,
        crops.ledger,
        load_materials(sources, crops, config),
        probe_files(crops),
        describe_run(study, config, split, backbone=plan.backbone, detector=plan.detector),
        (
            *crops.warnings,
            *warn_about_run(config, split, plan.detector),
            *warn_about_backbone(plan.backbone),
        ),
    )
    return crops, evidence


def load_materials(sources: Sources, crops: StudyCrops, config: Config) -> tuple[Material, ...]:
    """Return what is learned from: every pooling with every choice of frames."""
    poolings = list(dict.fromkeys(pooling for pooling, _ in list_representations(config)))
    origin, pooled = load_poolings(sources, poolings)
    return make_materials(origin, pooled, crops.ledger, labels=crops.study.labels, config=config)


def probe_files(crops: StudyCrops) -> pd.DataFrame:
    """Return one row per video that was cropped: what its file states of length, rate and size."""
    rows = []
    for file in crops.files.values():
        video, info = file.video, probe_video(file.video.path)
        end_s = info.duration_s if video.end_s is None else video.end_s
        rows.append(
            {
                "video_id": video.video_id,
                "duration_s": None if end_s is None else end_s - (video.start_s or 0.0),
                "fps": float(info.fps),
                "width": info.width,
                "height": info.height,
            }
        )
    return pd.DataFrame(rows)


def evaluate_features(
    materials: Sequence[Material],
    split: Split,
    config: Config,
    views: StudyViews,
    *,
    progress: Progress,
    cost: Cost,
) -> tuple[Learner, Evaluation]:
    """Learn as ``probe.method`` says in every fold and predict the subjects left out of it."""
    learner = make_learner(materials, config=config, views=views)
    with cost.measure("evaluate") as entry:
        evaluation = evaluate_learner(
            learner,
            split,
            seed=config.evaluate.seed,
            progress=lambda done, total: progress("evaluate", done, total),
        )
        entry["items"] = len(split.folds)
    if views.made or views.cached:
        seconds = views.seconds
        cost.stages["evaluate"]["seconds"] -= seconds
        cost.stages["augment"] = {
            "seconds": seconds,
            "items": views.made,
            "cached": views.cached,
        }
    return learner, evaluation


def evaluate_evidence(evidence: Evidence, *, progress: Progress) -> tuple[Learner, Evaluation]:
    """Evaluate again from kept features; the method ``gradient`` needs pictures and is refused."""
    learner = make_learner(evidence.materials, config=evidence.config, views=None)
    evaluation = evaluate_learner(
        learner,
        evidence.split,
        seed=evidence.config.evaluate.seed,
        progress=lambda done, total: progress("evaluate", done, total),
    )
    return learner, evaluation


def offer_views(
    crops: StudyCrops, backbone: Backbone, config: Config, progress: Progress
) -> StudyViews:
    """Return the augmented views of a study's crops; none is made before it is asked for."""
    return StudyViews(
        crops.files,
        backbone,
        pooling=config.probe.pooling,
        augment=config.augment,
        gradient=config.gradient,
        seed=config.evaluate.seed,
        batch_size=config.backbone.batch_size,
        cache_dir=crops.study.root / "cache",
        progress=lambda done, total: progress("augment", done, total),
    )


def crop_videos(
    study: Study, config: Config, detector: Detector, *, progress: Progress, cost: Cost
) -> StudyCrops:
    """Find and keep the face crops of every video of a study."""
    with cost.measure("crop") as entry:
        crops = extract_study_crops(
            study, config, detector, progress=lambda done, total: progress("crop", done, total)
        )
        entry["cached"] = sum(file.cached for file in crops.files.values())
        entry["items"] = len(crops.files) - entry["cached"]
    return crops


def load_configured_backbone(config: Config) -> Backbone:
    """Load the backbone that the settings name."""
    settings = config.backbone
    return load_backbone(settings.name, weights=settings.weights, device=settings.device)


def embed_crops(
    crops: StudyCrops, backbone: Backbone, config: Config, *, progress: Progress, cost: Cost
) -> Sources:
    """Embed every crop and return the files; what is cached is not computed again."""
    sources = []
    with cost.measure("embed") as entry:
        entry["items"] = 0
        for done, found in enumerate(crops.files.values()):
            progress("embed", done, len(crops.files))
            embedded = extract_features(
                found,
                backbone,
                batch_size=config.backbone.batch_size,
                cache_dir=crops.study.root / "cache",
            )
            entry["cached" if embedded.cached else "items"] += embedded.rows
            sources.append((found, embedded.path))
        progress("embed", len(crops.files), len(crops.files))
    return sources
