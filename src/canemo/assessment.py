"""From a study to its numbers: what `run`, `evaluate` and `compare` have in common."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from canemo.backbones import Backbone
from canemo.config import Config
from canemo.detect.protocol import Detector
from canemo.errors import ConfigError, SplitError, StudyError
from canemo.evaluate import Evaluation, evaluate_learner
from canemo.evidence import Evidence, list_representations, make_materials
from canemo.feature_files import load_poolings
from canemo.features import LAYERS, require_pooling
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
from canemo.run_record import RunMetrics
from canemo.splits import Split, make_split
from canemo.study import load_study
from canemo.study_crops import StudyCrops
from canemo.study_features import (
    Cost,
    Sources,
    crop_and_embed,
    load_configured_backbone,
    load_configured_detector,
)
from canemo.video import probe_video
from canemo.views import StudyViews


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
    metrics: RunMetrics
    cost: Cost


def prepare(root: Path, config: Config, *, elsewhere: bool = False) -> Plan:
    """Load all that a run needs; what can be refused is refused here.

    `elsewhere` says that the settings are those of a finished run, perhaps of another machine:
    an engine that is not here is then replaced, with a warning.
    """
    study, cost = load_study(root), Cost()
    require_runnable(study, config)
    split = split_subjects(study, config)
    with cost.measure("load"):
        detector = load_configured_detector(config, elsewhere=elsewhere)
        backbone = load_configured_backbone(config, elsewhere=elsewhere)
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
    crops, sources = crop_and_embed(
        study, config, plan.detector, plan.backbone, progress=progress, cost=cost
    )
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
