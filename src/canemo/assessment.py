"""From a study to its numbers: what `run`, `evaluate` and `compare` have in common."""

from __future__ import annotations

import threading
import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

from canemo.backbones import Backbone, load_backbone, load_backbone_like
from canemo.config import Config
from canemo.crops import CropFile
from canemo.detect.protocol import Detector
from canemo.detect.registry import load_detector, load_detector_like
from canemo.engines.quantise import CALIBRATION_CROPS, require_int8
from canemo.errors import ConfigError, SplitError, StudyError
from canemo.evaluate import Evaluation, evaluate_learner
from canemo.evidence import Evidence, list_representations, make_materials
from canemo.features import (
    LAYERS,
    FeatureFile,
    extract_features,
    load_poolings,
    name_embedded_frames,
    require_pooling,
)
from canemo.gradient import require_loss
from canemo.learners import make_learner, require_choice
from canemo.learning import Learner, Material
from canemo.progress import Progress
from canemo.records import Image, Study
from canemo.reuse import find_threshold
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

WAITING_VIDEOS = 2

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
    plan, crops, evidence = gather_evidence(plan, progress=progress)
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


def gather_evidence(plan: Plan, *, progress: Progress) -> tuple[Plan, StudyCrops, Evidence]:
    """Crop and embed; return the plan, the crops and all that numbers are computed from.

    The plan comes back with the backbone calibrated, where that takes crops.
    """
    study, config, split, cost = plan.study, plan.config, plan.split, plan.cost
    backbone, crops, sources = embed_videos(
        study, config, plan.detector, plan.backbone, progress=progress, cost=cost
    )
    plan = replace(plan, backbone=backbone)
    evidence = Evidence(
        study,
        config,
        split,
        name_embedded_frames(crops.ledger, sources),
        load_materials(sources, crops, config),
        probe_files(crops),
        describe_run(study, config, split, backbone=plan.backbone, detector=plan.detector),
        (
            *crops.warnings,
            *warn_about_run(config, split, plan.detector),
            *warn_about_backbone(plan.backbone),
        ),
    )
    return plan, crops, evidence


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
    study: Study,
    config: Config,
    detector: Detector,
    *,
    progress: Progress,
    cost: Cost,
    on_file: Callable[[CropFile], None] | None = None,
) -> StudyCrops:
    """Find and keep the face crops of every video of a study; `on_file` is handed each in turn."""
    with cost.measure("crop") as entry:
        crops = extract_study_crops(
            study,
            config,
            detector,
            progress=lambda done, total: progress("crop", done, total),
            on_file=on_file,
        )
        entry["cached"] = sum(file.cached for file in crops.files.values())
        entry["items"] = len(crops.files) - entry["cached"]
    return crops


def embed_videos(
    study: Study,
    config: Config,
    detector: Detector,
    backbone: Backbone,
    *,
    progress: Progress,
    cost: Cost,
) -> tuple[Backbone, StudyCrops, Sources]:
    """Crop and embed every video; the backbone comes back calibrated, where that takes crops."""
    if config.backbone.precision == "int8":  # on crops of the whole study, before any is embedded
        crops = crop_videos(study, config, detector, progress=progress, cost=cost)
        backbone = calibrate_backbone(backbone, crops, config)
        return backbone, crops, embed_crops(crops, backbone, config, progress=progress, cost=cost)
    crops, sources = crop_and_embed(study, config, detector, backbone, progress=progress, cost=cost)
    return backbone, crops, sources


def crop_and_embed(
    study: Study,
    config: Config,
    detector: Detector,
    backbone: Backbone,
    *,
    progress: Progress,
    cost: Cost,
) -> tuple[StudyCrops, Sources]:
    """Crop and embed every video of a study, side by side.

    While a video is embedded in a thread, the next are decoded, searched and cropped. At most
    `WAITING_VIDEOS` of them wait, as files; no picture does. What is cached is not computed again.
    `cost` counts under ``crop`` and ``embed`` the time spent on each, which overlap.
    """
    queue = _EmbeddingQueue(study, config, backbone, progress=progress)
    try:
        crops = crop_videos(
            study, config, detector, progress=progress, cost=cost, on_file=queue.add
        )
        cost.stages["crop"]["seconds"] -= queue.waited
        sources = queue.finish(cost)
    finally:
        queue.stop()
    return crops, sources


class _EmbeddingQueue:
    """Embeds videos in a thread, in the order they are added.

    `waited` is how long adding had to wait for the line to become shorter [s].
    """

    def __init__(
        self, study: Study, config: Config, backbone: Backbone, *, progress: Progress
    ) -> None:
        self._study, self._config, self._backbone = study, config, backbone
        self._progress = progress
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="embed")
        self._stopped = threading.Event()
        self._waiting: deque[Future[None]] = deque()
        self._done: list[tuple[CropFile, FeatureFile]] = []
        self._seconds = 0.0
        self.waited = 0.0

    def add(self, found: CropFile) -> None:
        """Put a video in line; waits while the line is long."""
        start = time.perf_counter()
        while self._waiting and (self._waiting[0].done() or len(self._waiting) > WAITING_VIDEOS):
            self._waiting.popleft().result()
        self.waited += time.perf_counter() - start
        self._waiting.append(self._thread.submit(self._embed, found))

    def finish(self, cost: Cost) -> Sources:
        """Wait for all of them, and return the files in the order they were added."""
        while self._waiting:
            self._waiting.popleft().result()
        files = [file for _, file in self._done]
        self._progress("embed", len(files), len(files))  # fewer than videos where some are broken
        cost.stages["embed"] = {
            "seconds": self._seconds,
            "items": sum(file.embedded for file in files if not file.cached),
            "cached": sum(file.embedded for file in files if file.cached),
            "carried": sum(file.rows - file.embedded for file in files),
        }
        return [(found, file.path) for found, file in self._done]

    def stop(self) -> None:
        """End the thread after the batch at hand; nothing half written is left."""
        self._stopped.set()
        self._thread.shutdown(wait=True, cancel_futures=True)

    def _embed(self, found: CropFile) -> None:
        try:
            self._embed_video(found)
        except BaseException:
            self._stopped.set()
            raise

    def _embed_video(self, found: CropFile) -> None:
        start = time.perf_counter()
        file = extract_features(
            found,
            self._backbone,
            batch_size=self._config.backbone.batch_size,
            cache_dir=self._study.root / "cache",
            reuse_threshold=find_threshold(self._config),
            on_batch=self._go_on,
        )
        self._seconds += time.perf_counter() - start
        self._done.append((found, file))
        self._progress("embed", len(self._done), len(self._study.videos))

    def _go_on(self) -> None:
        if self._stopped.is_set():
            raise CancelledError


def load_configured_detector(config: Config, *, elsewhere: bool = False) -> Detector:
    """Load the detector that the settings name; `elsewhere` as for `prepare`."""
    load = load_detector_like if elsewhere else load_detector
    settings = config.detect
    return load(settings.detector, engine=settings.engine, device=config.backbone.device)


def load_configured_backbone(config: Config, *, elsewhere: bool = False) -> Backbone:
    """Load the backbone that the settings name; `elsewhere` as for `prepare`.

    For int8 it is still to be calibrated.
    """
    settings = config.backbone
    if settings.precision == "int8":
        require_int8(settings.engine, settings.device)
        return load_backbone(settings.name, weights=settings.weights)
    return (load_backbone_like if elsewhere else load_backbone)(
        settings.name,
        weights=settings.weights,
        device=settings.device,
        engine=settings.engine,
        precision=settings.precision,
    )


def calibrate_backbone(backbone: Backbone, crops: StudyCrops, config: Config) -> Backbone:
    """Return the backbone in int8, calibrated on crops of the study, where that is asked for."""
    if config.backbone.precision != "int8":
        return backbone
    used = crops.used
    rows = np.unique(np.linspace(0, len(used) - 1, CALIBRATION_CROPS).round().astype(int))
    return backbone.quantised(read_crops(crops, used.iloc[rows]))


def read_crops(crops: StudyCrops, rows: pd.DataFrame) -> list[Image]:
    """Return the crops of rows of a study's ledger, (H, W, 3) uint8, RGB each."""
    places = rows[["video_id", "frame_index"]].itertuples(index=False)
    return [crops.files[video_id].read_crop(int(frame)) for video_id, frame in places]


def embed_crops(
    crops: StudyCrops, backbone: Backbone, config: Config, *, progress: Progress, cost: Cost
) -> Sources:
    """Embed the crops and return the files; what is cached is not computed again.

    `cost` counts under ``carried`` the crops that have another's embedding.
    """
    queue = _EmbeddingQueue(crops.study, config, backbone, progress=progress)
    try:
        for found in crops.files.values():
            queue.add(found)
        return queue.finish(cost)
    finally:
        queue.stop()
