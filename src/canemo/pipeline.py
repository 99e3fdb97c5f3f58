"""The one module that knows the order of the stages. Each command is one function here."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from canemo import environment
from canemo.assessment import Work, assess
from canemo.config import Config, load_config
from canemo.errors import CanemoError
from canemo.faces.detect.head_fcos import load_head_detector
from canemo.faces.detect.registry import ALL_DETECTORS, SHIPPED, load_detector
from canemo.faces.examples import captioned, choose_examples
from canemo.faces.study_crops import StudyCrops
from canemo.features.embed import Features
from canemo.features.extraction import Extraction
from canemo.features.store import load_features
from canemo.files import write_table
from canemo.forecast import keep_rates
from canemo.formats.boxes.kinds import ALL_FORMATS
from canemo.learn.conformal import fit_conformal
from canemo.learn.evidence import settle, write_evidence
from canemo.learn.fold_files import write_folds
from canemo.learn.learner import Fitted
from canemo.learn.predictions import select_level, tabulate_predictions
from canemo.learn.saved_model import SavedModel, save_model
from canemo.learn.splits import save_split
from canemo.networks.backbone_specs import ALL_BACKBONES
from canemo.networks.backbones import find_weights, load_backbone
from canemo.networks.engines.choice import (
    choose_engine,
    describe_machine,
    describe_rule,
    recall_choice,
)
from canemo.parallel import Progress, silent
from canemo.plan import prepare
from canemo.predict import Model, find_videos, name_videos
from canemo.prediction_files import draw_prediction, require_vacant, write_predictions
from canemo.report.charts.canvas import save_figure
from canemo.report.charts.crops import draw_crop_sheet
from canemo.report.pages.run import write_report
from canemo.run_pictures import CAMS_PER_LABEL, draw_examples
from canemo.study.load import load_study
from canemo.study.run_record import RunMetrics
from canemo.study.runs import METRICS_FILE, find_run, new_run, pin_engines, write_hashes
from canemo.study_features import (
    Cost,
    crop_and_embed,
    crop_videos,
    load_configured_backbone,
    load_configured_detector,
)
from canemo.video.drawn import draw_study

DEMO_BACKBONE = "efficientnet_lite0"
DEMO_EFFECT = 1.6  # drawn dogs show their condition clearly: a demo should find what is there
DEMO_CLIPS_PER_SUBJECT = 9  # "roughly nine times", Boneh-Shitrit et al. 2022, section 2


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
    """
    root = Path(study_dir)
    config = config or load_config(root)
    extraction = Extraction(config, load_configured_detector(config), (), root / "cache")
    crops = crop_videos(load_study(root), extraction, progress=progress, cost=Cost())
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
    config = config or load_config(root)
    detector, backbone = load_configured_detector(config), load_configured_backbone(config)
    extraction = Extraction(config, detector, (backbone,), root / "cache")
    _, (embedded,) = crop_and_embed(load_study(root), extraction, progress=progress, cost=Cost())
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
        Name of the run folder under ``study_dir/runs``; None takes the backbone's name.
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
        same numbers.

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
    name = name or config.backbone.name
    with new_run(root, name, config, force=force) as folder:
        save_split(plan.split, folder / "split.json")
        work = assess(plan, progress=progress)
        metrics = _fill_run(folder, work, command, progress)
    keep_rates(work)
    return RunResult(find_run(root, name), metrics)


def report_run(run_dir: Path | str, *, tables: Path | str | None = None) -> Path:
    """Write the report of a finished run and its tables again and return the report's path.

    Parameters
    ----------
    run_dir
        STUDY/runs/NAME.
    tables
        Where the tables go, a file .xlsx or .tex; None writes `tables.xlsx` in the run.

    Raises
    ------
    ModelError
        `run_dir` is not a finished run.
    ConfigError
        `tables` ends otherwise.
    """
    return write_report(Path(run_dir), tables_file=None if tables is None else Path(tables))


def predict_videos(
    model: Model,
    paths: Path | str | Sequence[Path | str],
    out_dir: Path | str,
    *,
    video: bool = False,
    abstain: float | None = None,
    force: bool = False,
    progress: Progress = silent,
) -> pd.DataFrame:
    """Classify videos and write what came out.

    Parameters
    ----------
    model
        From `load_model`.
    paths
        Video files, folders (searched through) or glob patterns.
    out_dir
        Gets ``predicted_frames`` and ``predicted_videos`` as CSV and Parquet,
        ``timelines/*.png`` and, with `video`, ``annotated/*.mp4``.
    video
        Also write annotated copies of the videos.
    abstain
        Share of all clips whose true label may be ruled out: adds the column ``decided``, a label
        or ``undecided``. None answers always.
    force
        Replace an earlier prediction.
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
    ConfigError
        The model rests on too few dogs for `abstain`.
    """
    out_dir = Path(out_dir)
    if abstain is not None:
        model.require_level(abstain)
    named = name_videos(find_videos(paths))
    require_vacant(out_dir, force=force)
    cache_dir = out_dir / ".canemo-cache"  # a stopped prediction continues from it
    results = []
    for done, (video_id, path) in enumerate(named):
        progress("predict", done, len(named))
        results.append(model.predict_video(path, video_id=video_id, cache_dir=cache_dir))
    progress("predict", len(named), len(named))
    decide = None if abstain is None else partial(model.decide, level=abstain)
    videos = write_predictions(results, out_dir, decide=decide)
    for done, result in enumerate(results):
        progress("draw", done, len(results))
        draw_prediction(result, out_dir, positive_label=model.positive_label, video=video)
    progress("draw", len(results), len(results))
    shutil.rmtree(cache_dir, ignore_errors=True)
    return videos


def demo(folder: Path | str, *, seed: int = 0, progress: Progress = silent) -> RunResult:
    """Draw a small study of dogs into `folder` (unless it is there already) and run it.

    The heads are found by the detector that ships with canemo, the backbone is
    ``efficientnet_lite0``. The drawings exercise the software; they show nothing about real dogs.

    Raises
    ------
    OutputExistsError
        `folder` holds something else.
    """
    folder = Path(folder)
    if not (folder / "truth.json").is_file():
        draw_study(
            folder,
            clips_per_subject=DEMO_CLIPS_PER_SUBJECT,
            effect=DEMO_EFFECT,
            seed=seed,
            progress=lambda done, total: progress("draw", done, total),
        )
    config = load_config(folder, overrides={"backbone": {"name": DEMO_BACKBONE}})
    return run(folder, config=config, name="demo", command="canemo demo", progress=progress)


def doctor(*, measure: bool = False, again: bool = False) -> dict[str, dict[str, str]]:
    """Return what is installed, where the weights of backbones are, and what runs them here.

    With `measure`, the engines of every backbone that can be had are timed now, where they have not
    been, instead of at its first use; with `again`, also where they have been.
    """
    describe_choice = partial(_describe_choice, measure=measure or again, again=again)
    found = environment.describe_environment(command="")
    added = {
        **ALL_BACKBONES.describe_added(),
        **ALL_DETECTORS.describe_added(),
        **ALL_FORMATS.describe_added(),
    }
    backbones = {name: find_weights(name) for name in ALL_BACKBONES.load_all()}
    ready = [name for name, where in backbones.items() if where.startswith("ready")]
    return {
        "canemo": {key: found[key] for key in ("canemo", "python", "platform", "processor")},
        "packages": found["packages"],
        "backbones": backbones,
        "detectors": _describe_detector(load_config().detector),
        **({"added by packages": added} if added else {}),
        "engines": {
            **describe_machine(),
            "auto": describe_rule(),
            **{name: describe_choice(name) for name in (*ready, *SHIPPED)},
        },
    }


def _describe_choice(name: str, *, measure: bool, again: bool) -> str:
    try:
        network = load_head_detector().network if name in SHIPPED else load_backbone(name).network
        known = choose_engine(network, again=again) if measure else recall_choice(network)
    except CanemoError as exc:
        return f"cannot be used: {exc}"
    return "not measured yet: canemo doctor --measure" if known is None else known.describe()


def _fill_run(folder: Path, work: Work, command: str, progress: Progress) -> RunMetrics:
    with work.cost.measure("model"):
        everyone = np.ones(len(work.learner.material.origin), dtype=bool)
        fitted = work.learner.fit(everyone, seed=work.plan.config.evaluate.seed)
        _save_model(folder / "model", work, fitted)
    with work.cost.measure("explain"):
        draw_examples(work, fitted, folder / "figures", progress=progress)
    metrics = work.metrics.with_cost(work.cost.stages)
    write_evidence(work.evidence, folder)
    write_folds(work.evaluation.folds, folder)
    write_table(work.evaluation.predictions, folder / "predictions.parquet")
    if len(work.evaluation.curves):
        write_table(work.evaluation.curves, folder / "curves.parquet")
    environment.write_environment(folder / "environment.json", command=command)
    metrics.write(folder / METRICS_FILE)
    write_hashes(folder)
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
    metrics, level = work.metrics, work.metrics.levels.video
    training = {
        "canemo": environment.version(),
        "study": metrics.study.name,
        "subjects": int(material.origin["subject_id"].nunique()),
        "videos": int(material.origin["video_id"].nunique()),
        "split": metrics.protocol.split,
        "accuracy": level.accuracy,
        "interval": level.interval.accuracy,
        "majority": metrics.chance.majority.video,
    }
    videos = select_level(work.evaluation.predictions, "video", material.labels)
    saved = SavedModel(
        fitted.classifier,
        config,
        positive_label=metrics.protocol.positive_label,
        backbone_sha256=metrics.protocol.weights_sha256,
        detector_sha256=metrics.protocol.detector_sha256,
        training=training,
        conformal=fit_conformal(videos),
    )
    save_model(saved, folder)
    everyone = np.ones(len(material.origin), dtype=bool)
    answers = material.predict(fitted.classifier, everyone)
    table = tabulate_predictions(material.origin, *answers, labels=material.labels)
    write_table(table, folder / "training_predictions.parquet")


def _describe_detector(name: str) -> dict[str, str]:
    try:
        detector = load_detector(name)
    except CanemoError as exc:
        return {name: f"cannot be used: {exc}"}
    return {detector.name: f"ready, threshold {detector.score_threshold:.2f}"}
