"""The one module that knows the order of the stages. Each command is one function here."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from canemo import environment
from canemo.annotate import annotate_video
from canemo.backbones import BACKBONES, Backbone, find_weights, load_backbone
from canemo.config import Config, format_config, load_config
from canemo.crops import LEDGER_COLUMNS, CropFile, extract_crops
from canemo.detect.evaluate import evaluate_detector as measure_detector
from canemo.detect.protocol import Detector
from canemo.detect.registry import load_detector
from canemo.drawn import draw_study
from canemo.errors import ConfigError, NoFacesError, OutputExistsError, StudyError, VideoOpenError
from canemo.evaluate import Evaluation, evaluate_probe, fit_nested
from canemo.examples import ExampleCrop, choose_examples
from canemo.explain.eigencam import map_crops
from canemo.features import POOLINGS, Features, extract_features, load_features, pool
from canemo.files import replacing, write_atomically
from canemo.model import SavedModel, save_model
from canemo.predict import Model, VideoPrediction, find_videos, name_videos
from canemo.predictions import PROBABILITY, tabulate_predictions
from canemo.records import Fate, Study, Video
from canemo.report.canvas import save_figure
from canemo.report.figures import draw_timeline
from canemo.report.html import write_report
from canemo.report.pictures import draw_cam_grid, draw_crop_sheet
from canemo.run_metrics import compute_metrics, write_metrics
from canemo.splits import Split, make_split, save_split
from canemo.study import load_study
from canemo.video import Sampling

logger = logging.getLogger(__name__)

DEMO_BACKBONE = "efficientnet_lite0"

Progress = Callable[[str, int, int], None]
"""Told (stage, items done, items in all) as work goes on."""


def _silent(stage: str, done: int, total: int) -> None:
    """Tell nobody."""


@dataclass
class Cost:
    """Seconds and items of each stage, as metrics.json holds them."""

    stages: dict[str, dict[str, float]] = field(default_factory=dict)

    @contextmanager
    def measure(self, stage: str, items: int) -> Iterator[None]:
        """Time the block as `stage`."""
        start = time.perf_counter()
        yield
        self.stages[stage] = {"seconds": time.perf_counter() - start, "items": items}


@dataclass(frozen=True)
class Crops:
    """The crops of a study.

    Attributes
    ----------
    study
        Whose videos they are.
    files
        video_id -> crops and ledger; a video that cannot be opened is not in it.
    ledger
        One row per frame that was looked at, and one per video that cannot be opened.
    warnings
        One line per video that something must be known of.
    """

    study: Study
    files: Mapping[str, CropFile]
    ledger: pd.DataFrame
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class RunResult:
    """A finished run: its folder and what metrics.json holds."""

    folder: Path
    metrics: Mapping[str, Any]

    @property
    def report(self) -> Path:
        """The HTML report."""
        return self.folder / "report.html"

    @property
    def model(self) -> Path:
        """The model folder, for `load_model`."""
        return self.folder / "model"


def crop_study(
    study_dir: Path,
    *,
    config: Config | None = None,
    sheet: Path | None = None,
    detector: Detector | None = None,
    progress: Progress = _silent,
) -> Crops:
    """Find and keep the face crops of every video of a study.

    Parameters
    ----------
    study_dir
        Folder with videos.csv.
    config
        Settings; None reads the study's canemo.toml over the defaults.
    sheet
        PNG to draw a contact sheet of example crops into.
    detector
        A loaded detector; None loads the one that `config` names.
    progress
        Told how far it is.

    Raises
    ------
    StudyError
        The tables cannot be used.
    NoFacesError
        No frame of any video has a usable face.
    """
    config = config or load_config(study_dir)
    crops = _crop_all(load_study(study_dir), config, detector=detector, progress=progress)
    if sheet is not None:
        save_figure(draw_crop_sheet(_captioned(choose_examples(crops.ledger, crops.files))), sheet)
    return crops


def embed_study(
    study_dir: Path, *, config: Config | None = None, progress: Progress = _silent
) -> Features:
    """Return the features of every crop of a study; what is cached is not computed again.

    Raises
    ------
    StudyError, NoFacesError
        As `crop_study`.
    WeightsError
        The backbone's weights cannot be had.
    """
    config = config or load_config(study_dir)
    backbone = _load_backbone(config)
    crops = _crop_all(load_study(study_dir), config, progress=progress)
    return _embed_all(crops, backbone, config, cache_dir=study_dir / "cache", progress=progress)


def run(
    study_dir: Path,
    *,
    config: Config | None = None,
    name: str | None = None,
    force: bool = False,
    command: str = "canemo.run",
    progress: Progress = _silent,
) -> RunResult:
    """Do everything: crops, features, evaluation on unseen subjects, model, pictures, report.

    Parameters
    ----------
    study_dir
        Folder with videos.csv.
    config
        Settings; None reads the study's canemo.toml over the defaults.
    name
        Name of the run folder under ``study_dir/runs``; None takes the backbone's name.
    force
        Replace a run of that name made with other settings.
    command
        What asked for the run, for its records.
    progress
        Told how far it is.

    Returns
    -------
    RunResult
        The run folder with metrics, predictions, report and model. Running again with the same
        settings does only what is missing and writes the same numbers.

    Raises
    ------
    StudyError, SplitError, NoFacesError
        The study does not allow an evaluation on unseen subjects.
    WeightsError
        The backbone's weights cannot be had.
    OutputExistsError
        A run of that name was made with other settings.
    """
    config = config or load_config(study_dir)
    study = load_study(study_dir)
    _require_runnable(study, config)
    folder = _open_run_folder(study_dir, name or config.backbone.name, config, force=force)
    split = make_split(study.subject_ids, kind=config.evaluate.split, seed=config.evaluate.seed)
    save_split(split, folder / "split.json")
    work = _assess(study, config, split, progress=progress)
    cost = work.cost
    with cost.measure("explain", len(study.labels)):
        _draw_examples(work.crops, work.backbone, folder / "figures", progress=progress)
    with cost.measure("model", 1):
        _save_model(folder / "model", work.features, work.metrics, config, study=study)
    metrics = {**work.metrics, "cost": cost.stages}
    _write_results(folder, work, metrics, command=command)
    progress("report", 0, 1)
    write_report(folder)
    progress("report", 1, 1)
    return RunResult(folder, metrics)


def evaluate_study(
    study_dir: Path, *, config: Config | None = None, progress: Progress = _silent
) -> dict[str, Any]:
    """Test a probe on unseen subjects and return what metrics.json would hold; only cache.

    Raises
    ------
    StudyError, SplitError, NoFacesError, WeightsError
        As `run`.
    """
    config = config or load_config(study_dir)
    study = load_study(study_dir)
    _require_runnable(study, config)
    split = make_split(study.subject_ids, kind=config.evaluate.split, seed=config.evaluate.seed)
    work = _assess(study, config, split, progress=progress)
    return {**work.metrics, "cost": work.cost.stages}


def demo(folder: Path, *, seed: int = 0, progress: Progress = _silent) -> RunResult:
    """Draw a small study of dogs into `folder` (unless it is there already) and run it.

    The heads are found by the detector that ships with canemo, the backbone is
    ``efficientnet_lite0``. The drawings exercise the software; they show nothing about real dogs.
    """
    if not (folder / "videos.csv").is_file():
        draw_study(folder, seed=seed, progress=lambda done, total: progress("draw", done, total))
    config = load_config(folder, overrides={"backbone": {"name": DEMO_BACKBONE}})
    return run(folder, config=config, command="canemo demo", force=True, progress=progress)


def evaluate_detector(
    coco: Path,
    *,
    images_dir: Path | None = None,
    detector: str | None = None,
    category: str | None = None,
) -> dict[str, Any]:
    """Return recall, average precision, false positives per image and images per second.

    Raises
    ------
    AnnotationError
        The COCO file or an image cannot be used.
    """
    loaded = load_detector(detector or load_config().detect.detector)
    return measure_detector(loaded, coco, images_dir=images_dir, category=category).to_dict()


def doctor() -> dict[str, dict[str, str]]:
    """Return what is installed and, for each backbone, where its weights are or what is missing."""
    found = environment.describe_environment(command="")
    detector = load_detector(load_config().detect.detector)
    return {
        "canemo": {key: found[key] for key in ("canemo", "python", "platform", "processor")},
        "packages": found["packages"],
        "backbones": {name: find_weights(name) for name in BACKBONES},
        "detectors": {detector.name: f"ready, threshold {detector.score_threshold:.2f}"},
    }


def explain_run(run_dir: Path, *, per_label: int = 6, progress: Progress = _silent) -> list[Path]:
    """Draw the example crops and EigenCAM grid of a finished run again, with more examples.

    Raises
    ------
    ModelError
        `run_dir` is not a finished run inside a study.
    """
    config, study_dir = environment.read_run_config(run_dir), run_dir.resolve().parent.parent
    crops = _crop_all(load_study(study_dir), config, progress=progress)
    return _draw_examples(
        crops, _load_backbone(config), run_dir / "figures", per_label=per_label, progress=progress
    )


def report_run(run_dir: Path) -> Path:
    """Write the report of a finished run again and return its path.

    Raises
    ------
    ModelError
        `run_dir` is not a finished run.
    """
    return write_report(run_dir)


def predict_videos(
    model: Model,
    paths: Sequence[Path | str],
    out_dir: Path,
    *,
    video: bool = False,
    force: bool = False,
    progress: Progress = _silent,
) -> pd.DataFrame:
    """Classify videos and write what came out.

    Parameters
    ----------
    model
        From `load_model`.
    paths
        Video files, folders (searched through) or glob patterns.
    out_dir
        Gets ``frames`` and ``videos`` as CSV and Parquet, ``timelines/*.png`` and, with `video`,
        ``annotated/*.mp4``.
    video
        Also write annotated copies of the videos.
    force
        Replace the tables of an earlier prediction.
    progress
        Told how far it is.

    Returns
    -------
    DataFrame
        One row per video; `status` is ``ok``, ``no_face`` or ``failed``.

    Raises
    ------
    StudyError
        Nothing that looks like a video is found.
    OutputExistsError
        `out_dir` holds an earlier prediction and `force` is not given.
    """
    named = name_videos(find_videos(paths))
    if (out_dir / "videos.csv").exists() and not force:
        raise OutputExistsError(
            f"{out_dir} holds an earlier prediction; name another folder with --out, or replace it "
            "with --force"
        )
    cache_dir = out_dir / "cache"
    results: list[VideoPrediction] = []
    for done, (video_id, path) in enumerate(named):
        progress("predict", done, len(named))
        result = model.predict_video(path, video_id=video_id, cache_dir=cache_dir)
        results.append(result)
        if not result.failed:
            _draw_prediction(result, video_id, path, model, out_dir, video=video)
    progress("predict", len(named), len(named))
    frames = pd.concat([result.frames for result in results], ignore_index=True)
    videos = pd.DataFrame([result.summary for result in results])
    for table, stem in ((frames, "frames"), (videos, "videos")):
        _write_table(table, out_dir / f"{stem}.parquet")
        _write_table(table, out_dir / f"{stem}.csv")
    shutil.rmtree(cache_dir, ignore_errors=True)
    return videos


def _require_runnable(study: Study, config: Config) -> None:
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
    if config.probe.pooling not in POOLINGS:
        raise ConfigError(
            f"probe.pooling = {config.probe.pooling!r}; there are {', '.join(POOLINGS)}"
        )


@dataclass(frozen=True)
class _Work:
    """What `run` and `evaluate` have in hand once the numbers are there."""

    crops: Crops
    features: Features
    evaluation: Evaluation
    backbone: Backbone
    metrics: dict[str, Any]
    cost: Cost


def _assess(study: Study, config: Config, split: Split, *, progress: Progress) -> _Work:
    cost, cache_dir = Cost(), study.root / "cache"
    with cost.measure("load", 2):
        detector, backbone = load_detector(config.detect.detector), _load_backbone(config)
    with cost.measure("crop", len(study.videos)):
        crops = _crop_all(study, config, detector=detector, progress=progress)
    with cost.measure("embed", int((crops.ledger["fate"] == Fate.USED).sum())):
        features = _embed_all(crops, backbone, config, cache_dir=cache_dir, progress=progress)
    with cost.measure("evaluate", len(split.folds)):
        evaluation = evaluate_probe(
            features,
            split,
            labels=study.labels,
            probe=config.probe,
            seed=config.evaluate.seed,
            progress=lambda done, total: progress("evaluate", done, total),
        )
        metrics = compute_metrics(
            study=study,
            config=config,
            ledger=crops.ledger,
            evaluation=evaluation,
            split=split,
            backbone=backbone,
            detector=detector,
            warnings=crops.warnings,
        )
    return _Work(crops, features, evaluation, backbone, metrics, cost)


def _open_run_folder(study_dir: Path, name: str, config: Config, *, force: bool) -> Path:
    folder = study_dir / "runs" / name.replace("/", "_").replace(":", "_")
    wanted, path = format_config(config), folder / "config.toml"
    if path.is_file() and path.read_text(encoding="utf-8") != wanted and not force:
        raise OutputExistsError(
            f"{folder} was made with other settings; give the new run a name with --name, or "
            "replace the old one with --force"
        )
    write_atomically(path, wanted)
    return folder


def _load_backbone(config: Config) -> Backbone:
    settings = config.backbone
    return load_backbone(settings.name, weights=settings.weights, device=settings.device)


def _crop_all(
    study: Study, config: Config, *, detector: Detector | None = None, progress: Progress
) -> Crops:
    detector = detector or load_detector(config.detect.detector)
    sampling = Sampling(every_nth=config.video.every_nth, fps=config.video.fps)
    files: dict[str, CropFile] = {}
    ledgers, warnings = [], []
    for done, video in enumerate(study.videos):
        progress("crop", done, len(study.videos))
        try:
            found = extract_crops(
                video,
                detector,
                sampling=sampling,
                detect=config.detect,
                crop=config.crop,
                cache_dir=study.root / "cache",
            )
        except VideoOpenError as exc:
            ledgers.append(_unopened(video))
            warnings.append(str(exc))
            continue
        files[video.video_id] = found
        ledgers.append(found.read_ledger())
        warnings += _warn_about(video, found, ledgers[-1])
    progress("crop", len(study.videos), len(study.videos))
    ledger = pd.concat([part for part in ledgers if len(part)], ignore_index=True)
    if not (ledger["fate"] == Fate.USED).any():
        raise NoFacesError(
            f"{study.root}: no usable face in any of {len(study.videos)} videos "
            f"({_count_fates(ledger)}); look at the clips, lower detect.score_threshold or "
            "detect.min_side_px, or train a detector on frames of this study"
        )
    for line in warnings:
        logger.warning("%s", line)
    return Crops(study, files, ledger, tuple(warnings))


def _unopened(video: Video) -> pd.DataFrame:
    row = {"video_id": video.video_id, "subject_id": video.subject_id, "label": video.label}
    table = pd.DataFrame([{**row, "frame_index": 0, "fate": Fate.DECODE_ERROR.value}])
    return table.reindex(columns=LEDGER_COLUMNS)


def _warn_about(video: Video, found: CropFile, ledger: pd.DataFrame) -> list[str]:
    lines = []
    if found.damage is not None:
        lines.append(f"video {video.video_id!r} ({video.path.name}) is damaged: {found.damage}")
    if found.persistent_faces > 1:
        lines.append(
            f"video {video.video_id!r}: {found.persistent_faces} faces are there for a good part "
            "of it; check that the right dog was kept"
        )
    if not (ledger["fate"] == Fate.USED).any():
        lines.append(f"video {video.video_id!r} has no usable face: {_count_fates(ledger)}")
    return lines


def _count_fates(ledger: pd.DataFrame) -> str:
    counts = ledger["fate"].value_counts()
    return ", ".join(f"{number} frames {fate}" for fate, number in counts.items())


def _embed_all(
    crops: Crops, backbone: Backbone, config: Config, *, cache_dir: Path, progress: Progress
) -> Features:
    sources = []
    for done, found in enumerate(crops.files.values()):
        progress("embed", done, len(crops.files))
        path = extract_features(
            found, backbone, batch_size=config.backbone.batch_size, cache_dir=cache_dir
        )
        sources.append((found, path))
    progress("embed", len(crops.files), len(crops.files))
    return load_features(sources)


def _captioned(examples: Mapping[str, Sequence[ExampleCrop]]) -> dict[str, list[tuple[str, Any]]]:
    return {label: [(e.caption, e.image_rgb) for e in some] for label, some in examples.items()}


def _draw_examples(
    crops: Crops,
    backbone: Backbone,
    figures_dir: Path,
    *,
    per_label: int = 6,
    progress: Progress,
) -> list[Path]:
    progress("explain", 0, 1)
    examples = choose_examples(crops.ledger, crops.files, per_label=2 * per_label)
    few = {label: some[:per_label] for label, some in examples.items()}
    paths = [figures_dir / "crops.png", figures_dir / "eigencam.png"]
    save_figure(draw_crop_sheet(_captioned(examples)), paths[0])
    maps = {label: map_crops([e.image_rgb for e in some], backbone) for label, some in few.items()}
    grid = {
        label: [(e.caption, e.image_rgb, cam) for e, cam in zip(some, maps[label], strict=True)]
        for label, some in few.items()
    }
    save_figure(draw_cam_grid(grid), paths[1])
    progress("explain", 1, 1)
    return paths


def _save_model(
    folder: Path, features: Features, metrics: Mapping[str, Any], config: Config, *, study: Study
) -> None:
    x = pool(features, config.probe.pooling)
    probe = fit_nested(
        x, features.origin, labels=study.labels, probe=config.probe, seed=config.evaluate.seed
    )
    protocol, level = metrics["protocol"], metrics["levels"]["video"]
    training = {
        "canemo": environment.version(),
        "study": metrics["study"]["name"],
        "subjects": metrics["study"]["subjects"],
        "videos": metrics["study"]["videos"],
        "split": protocol["split"],
        "accuracy": level["accuracy"],
        "interval": level["interval"]["accuracy"],
        "majority": metrics["chance"]["majority"]["video"],
    }
    saved = SavedModel(
        probe,
        config,
        protocol["positive_label"],
        protocol["weights_sha256"],
        protocol["detector_sha256"],
        training,
    )
    save_model(saved, folder)
    answers = tabulate_predictions(features.origin, probe.predict_proba(x), labels=study.labels)
    _write_table(answers, folder / "training_predictions.parquet")


def _write_results(folder: Path, work: _Work, metrics: Mapping[str, Any], *, command: str) -> None:
    _write_table(work.crops.ledger, folder / "frames.parquet")
    _write_table(work.evaluation.predictions, folder / "predictions.parquet")
    environment.write_environment(folder / "environment.json", command=command)
    write_metrics(metrics, folder / "metrics.json")


def _draw_prediction(
    result: VideoPrediction, video_id: str, path: Path, model: Model, out_dir: Path, *, video: bool
) -> None:
    column = PROBABILITY + model.positive_label
    seen = result.frames[result.frames["time_s"].notna()]
    if seen.empty:
        return
    timeline = draw_timeline(
        seen["time_s"],
        seen[column],
        seen["fate"].tolist(),
        positive_label=model.positive_label,
        title=path.name,
    )
    save_figure(timeline, out_dir / "timelines" / f"{video_id}.png")
    if video:
        annotate_video(
            path,
            seen,
            out_dir / "annotated" / f"{video_id}.mp4",
            positive_label=model.positive_label,
            column=column,
        )


def _write_table(table: pd.DataFrame, path: Path) -> None:
    with replacing(path) as temporary:
        if path.suffix == ".csv":
            table.to_csv(temporary, index=False, encoding="utf-8-sig")
        else:
            table.to_parquet(temporary, index=False)
