"""From a study to its numbers: what `run`, `evaluate` and `compare` have in common."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from canemo.config import Config
from canemo.faces.study_crops import StudyCrops
from canemo.features.store import load_poolings
from canemo.features.views import StudyViews
from canemo.learn.evaluate import Evaluation, evaluate_learner
from canemo.learn.evidence import Evidence, list_blocks, make_materials
from canemo.learn.learner import Learner
from canemo.learn.material import Material
from canemo.learn.methods import make_learner
from canemo.learn.splits import Split
from canemo.networks.backbones import Backbone
from canemo.parallel import Progress
from canemo.pipeline.extract import Cost, Sources, crop_and_embed
from canemo.pipeline.plan import Plan
from canemo.pipeline.provenance import (
    describe_choice,
    describe_run,
    warn_about_backbone,
    warn_about_points,
    warn_about_run,
)
from canemo.study.records.run import RunMetrics
from canemo.trust.metrics_json import compute_metrics
from canemo.video.info import probe_video


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
    crops, (embedded,) = crop_and_embed(study, plan.extraction, progress=progress, cost=cost)
    cost.stages["embed"] = embedded.cost
    evidence = Evidence(
        study,
        config,
        split,
        crops.ledger,
        load_materials(embedded.sources, crops, config),
        probe_files(crops),
        {
            **describe_run(
                study,
                config,
                split,
                backbone=plan.backbone,
                detector=plan.detector,
                finder=plan.finder,
            ),
            **describe_choice(plan.backbone_reason),
        },
        (
            *crops.warnings,
            *warn_about_run(config, split, plan.detector),
            *warn_about_backbone(plan.backbone),
            *warn_about_points(config, plan.finder, embedded.sources),
        ),
    )
    return crops, evidence


def load_materials(sources: Sources, crops: StudyCrops, config: Config) -> tuple[Material, ...]:
    """Return what is learned from: every pooling with every choice of frames."""
    origin, pooled = load_poolings(sources, list_blocks(config))
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
