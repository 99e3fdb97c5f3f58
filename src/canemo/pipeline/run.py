"""The commands `crop`, `embed`, `evaluate`, `run` and `report`, a function each."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from canemo import environment
from canemo.config import Config, load_config
from canemo.faces.examples import captioned, choose_examples
from canemo.faces.points import PointFinder
from canemo.faces.study_crops import StudyCrops
from canemo.features.embed import Features
from canemo.features.extraction import Extraction
from canemo.features.poolings import reads_face
from canemo.features.store import load_features
from canemo.files import (
    require_output,
    require_writable,
    sha256_file,
    write_atomically,
    write_table,
)
from canemo.learn.conformal import fit_conformal
from canemo.learn.evidence import settle, write_evidence
from canemo.learn.fold_files import write_folds
from canemo.learn.learner import Fitted
from canemo.learn.predictions import select_level, tabulate_predictions
from canemo.learn.saved_model import SavedModel, save_model
from canemo.learn.splits import save_split
from canemo.parallel import Progress, silent
from canemo.pipeline.assess import Work, assess
from canemo.pipeline.extract import Cost, crop_and_embed, crop_videos
from canemo.pipeline.forecast import keep_rates
from canemo.pipeline.material import describe_clips
from canemo.pipeline.pictures import CAMS_PER_LABEL, draw_examples
from canemo.pipeline.plan import (
    choose_configured_points,
    load_configured_backbone,
    load_configured_detector,
    prepare,
    settle_backbone,
)
from canemo.report.charts.canvas import save_figure
from canemo.report.charts.crops import draw_crop_sheet
from canemo.report.pages.run import write_report
from canemo.report.words.model import write_card
from canemo.study.load import load_study
from canemo.study.records.model import ModelTraining
from canemo.study.records.run import RunMetrics
from canemo.study.runs import (
    CLIPS_FILE,
    METRICS_FILE,
    find_run,
    keep_added,
    new_run,
    pin_engines,
    write_hashes,
)
from canemo.trust.standing import summarise_evaluation

CARD_FILE = "README.md"


@dataclass(frozen=True)
class RunResult:
    """A finished run: its folder and what metrics.json holds."""

    folder: Path
    metrics: RunMetrics

    @property
    def report(self) -> Path:
        """The HTML report."""
        return self.folder / "report.html"

    @property
    def model(self) -> Path:
        """The model folder, for `load_model`."""
        return self.folder / "model"


def crop_study(
    study_dir: Path | str,
    *,
    config: Config | None = None,
    sheet: Path | None = None,
    progress: Progress = silent,
) -> StudyCrops:
    """Find and keep the face crops of every video of a study.

    Parameters
    ----------
    study_dir
        Folder with videos.csv.
    config
        Settings; None reads the study's canemo.toml over the defaults.
    sheet
        PNG to draw a contact sheet of example crops into.
    progress
        Told how far it is.

    Raises
    ------
    StudyError
        The tables cannot be used, or the same footage is listed twice.
    NoFacesError
        No frame of any video, or of any with one of the labels, has a usable face.
    ConfigError
        `sheet` does not end in .png, or nothing can be written there or into the study.
    """
    root = Path(study_dir)
    if sheet is not None:
        require_output(sheet, endings=(".png",))
    study = load_study(root)
    require_writable(root)
    config = config or load_config(root)
    extraction = Extraction(config, load_configured_detector(config), (), root / "cache")
    crops = crop_videos(study, extraction, progress=progress, cost=Cost())
    if sheet is not None:
        examples = choose_examples(crops.used, crops.files, per_label=2 * CAMS_PER_LABEL)
        save_figure(draw_crop_sheet(captioned(examples)), sheet)
    return crops


def embed_study(
    study_dir: Path | str, *, config: Config | None = None, progress: Progress = silent
) -> Features:
    """Return the features of every crop of a study; what is cached is not computed again.

    Raises
    ------
    StudyError, NoFacesError
        As `crop_study`.
    WeightsError
        The backbone's weights cannot be had.
    """
    root = Path(study_dir)
    study = load_study(root)
    require_writable(root)
    config, _ = settle_backbone(root, config or load_config(root))
    detector, backbone = load_configured_detector(config), load_configured_backbone(config)
    finder = choose_configured_points(study, config)
    extraction = Extraction(config, detector, (backbone,), root / "cache", finder)
    _, (embedded,) = crop_and_embed(study, extraction, progress=progress, cost=Cost())
    return load_features(embedded.sources)


def evaluate_study(
    study_dir: Path | str, *, config: Config | None = None, progress: Progress = silent
) -> RunMetrics:
    """Test a probe on unseen subjects; return what metrics.json would hold, write only the cache.

    Raises
    ------
    StudyError, SplitError, NoFacesError, WeightsError
        As `run`.
    """
    root = Path(study_dir)
    work = assess(prepare(root, config or load_config(root)), progress=progress)
    return work.metrics.with_cost(work.cost.stages)


def run(
    study_dir: Path | str,
    *,
    config: Config | None = None,
    name: str | None = None,
    force: bool = False,
    command: str = "canemo.run",
    progress: Progress = silent,
) -> RunResult:
    """Do everything: crops, features, evaluation on unseen subjects, model, pictures, report.

    Parameters
    ----------
    study_dir
        Folder with videos.csv.
    config
        Settings; None reads the study's canemo.toml over the defaults.
    name
        Name of the run folder under ``study_dir/runs``; None takes the name of the backbone that it
        was made with.
    force
        Replace a run of that name made from other settings or tables.
    command
        What asked for the run, for its records.
    progress
        Told how far it is.

    Returns
    -------
    RunResult
        The run folder with metrics, predictions, report and model. It appears when it is
        complete. Running again with the same settings does only what is missing and gives the
        same numbers; the backbone ``auto`` then is what it was, and what `explain` and
        the confound battery added to the run stays.

    Raises
    ------
    StudyError, SplitError, NoFacesError
        The study does not allow an evaluation on unseen subjects.
    WeightsError
        The backbone's weights cannot be had.
    OutputExistsError
        A run of that name was made from other settings or tables.
    """
    root = Path(study_dir)
    config = config or load_config(root)
    plan = prepare(root, config)
    name = name or plan.config.backbone.name
    with new_run(root, name, plan.config, force=force) as folder:
        save_split(plan.split, folder / "split.json")
        work = assess(plan, progress=progress)
        metrics = _fill_run(folder, work, command, progress, old=find_run(root, name))
    keep_rates(work)
    return RunResult(find_run(root, name), metrics)


def report_run(run_dir: Path | str, *, tables: Path | str | None = None) -> Path:
    """Write the report of a finished run and its tables again and return the report's path.

    Parameters
    ----------
    run_dir
        STUDY/runs/NAME.
    tables
        Where the tables go, a file .xlsx or .tex; None writes `results.xlsx` in the run.

    Raises
    ------
    ModelError
        `run_dir` is not a finished run.
    ConfigError
        `tables` ends otherwise.
    """
    place = None if tables is None else Path(tables)
    if place is not None:
        require_output(place, endings=(".xlsx", ".tex"))
    return write_report(Path(run_dir), tables_file=place)


def _fill_run(
    folder: Path, work: Work, command: str, progress: Progress, *, old: Path
) -> RunMetrics:
    with work.cost.measure("model"):
        everyone = np.ones(len(work.learner.material.origin), dtype=bool)
        fitted = work.learner.fit(everyone, seed=work.plan.config.evaluate.seed)
        _save_model(folder / "model", work, fitted)
    with work.cost.measure("explain"):
        draw_examples(work, fitted, folder / "figures", progress=progress)
    with work.cost.measure("look"):
        sheet = describe_clips(
            work.plan.study,
            work.crops.files,
            work.plan.extraction,
            copies=work.metrics.audit.duplicates.pairs,  # one page cannot say both
            progress=progress,
        )
    sheet.write(folder / CLIPS_FILE)
    metrics = work.metrics.with_cost(work.cost.stages)
    write_evidence(work.evidence, folder)
    write_folds(work.evaluation.folds, folder)
    write_table(work.evaluation.predictions, folder / "predictions.parquet")
    if len(work.evaluation.curves):
        write_table(work.evaluation.curves, folder / "curves.parquet")
    environment.write_environment(folder / "environment.json", command=command)
    metrics.write(folder / METRICS_FILE)
    write_hashes(folder)
    keep_added(old, folder)
    progress("report", 0, 1)
    with work.cost.measure("report"):
        write_report(folder)
    progress("report", 1, 1)
    return metrics


def _save_model(folder: Path, work: Work, fitted: Fitted) -> None:
    material = fitted.material
    config = settle(work.plan.config, material)
    engine = work.plan.backbone.engine
    config = pin_engines(
        config,
        engine=engine.name,
        precision=engine.precision,
        detector_engine=work.plan.detector.engine,
    )
    metrics, files = work.metrics, {crops.video.path for crops in work.crops.files.values()}
    training = ModelTraining(
        canemo=environment.version(),
        created=datetime.now(UTC).date().isoformat(),
        study=metrics.study.name,
        backbone=metrics.protocol.backbone,
        split=metrics.protocol.split,
        folds=metrics.protocol.folds,
        subjects=int(material.origin["subject_id"].nunique()),
        videos=int(material.origin["video_id"].nunique()),
        files_sha256=tuple(sorted({sha256_file(path) for path in files})),
    )
    videos = select_level(work.evaluation.predictions, "video", material.labels)
    saved = SavedModel(
        fitted.classifier,
        config,
        positive_label=metrics.protocol.positive_label,
        backbone_sha256=metrics.protocol.weights_sha256,
        detector_sha256=metrics.protocol.detector_sha256,
        points_sha256=_name_points(work.plan.finder, config.probe.pooling),
        training=training,
        evaluation=summarise_evaluation(metrics),
        conformal=fit_conformal(videos),
    )
    write_atomically(folder / CARD_FILE, write_card(saved))
    save_model(saved, folder)
    everyone = np.ones(len(material.origin), dtype=bool)
    answers = material.predict(fitted.classifier, everyone)
    table = tabulate_predictions(material.origin, *answers, labels=material.labels)
    write_table(table, folder / "training_predictions.parquet")


def _name_points(finder: PointFinder | None, pooling: str) -> str | None:
    """Return what must find the points that a model reads: empty where nothing can, None: none."""
    return finder.fingerprint if finder is not None and reads_face(pooling) else None
