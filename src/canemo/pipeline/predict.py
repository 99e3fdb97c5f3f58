"""The command `predict`: classify videos and write what came out."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from canemo.errors import OutputExistsError, OutputPlaceError, VideoOpenError
from canemo.files import write_atomically, write_table
from canemo.learn.predictions import PROBABILITY
from canemo.learn.saved_model import SavedModel
from canemo.parallel import Progress, silent
from canemo.pipeline.model import UNDECIDED, Model, VideoPrediction, find_videos, name_videos
from canemo.report.charts.canvas import save_figure
from canemo.report.charts.evaluation import draw_timeline
from canemo.report.tables import describe_frame
from canemo.report.words.columns import describe_predicted_clips, describe_predicted_frames
from canemo.report.words.model import describe_model, name_verdict
from canemo.report.words.voice import Voice
from canemo.report.workbook import write_workbook
from canemo.study.runs import RESULTS_FILE
from canemo.video.annotate import annotate_video

logger = logging.getLogger(__name__)
FRAMES_STEM, VIDEOS_STEM = "predicted_frames", "predicted_videos"


def predict_videos(
    model: Model,
    paths: Path | str | Sequence[Path | str],
    out_dir: Path | str,
    *,
    video: bool = False,
    abstain: float | None = None,
    anyway: bool = False,
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
        Gets ``results.xlsx``, ``predicted_frames`` and ``predicted_videos`` as CSV and Parquet,
        ``timelines/*.png`` and, with `video`, ``annotated/*.mp4``.
    video
        Also write annotated copies of the videos.
    abstain
        Share of all clips whose true label may be ruled out: adds the column ``decided``, a label
        or ``undecided``. None adds none.
    anyway
        Answer also where the model could not be told from chance, or only on drawn dogs; without,
        such a model leaves every clip and frame ``undecided``, beside its probabilities.
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
    OutputPlaceError
        Nothing can be written to `out_dir`.
    ConfigError
        The model rests on too few dogs for `abstain`.
    """
    out_dir = Path(out_dir)
    if abstain is not None:
        model.require_level(abstain)
    named = name_videos(find_videos(paths))
    require_vacant(out_dir / f"{VIDEOS_STEM}.csv", force=force)
    require_writable(out_dir)
    cache_dir = out_dir / ".canemo-cache"  # a stopped prediction continues from it
    results = []
    for done, (video_id, path) in enumerate(named):
        progress("predict", done, len(named))
        results.append(
            model.predict_video(path, video_id=video_id, anyway=anyway, cache_dir=cache_dir)
        )
    progress("predict", len(named), len(named))
    frames, videos = _tabulate(results)
    if abstain is not None:
        videos = model.decide(videos, level=abstain, anyway=anyway)
    _write_tables(model.saved, frames, videos, out_dir)
    for done, result in enumerate(results):
        progress("draw", done, len(results))
        draw_prediction(result, model, out_dir, video=video)
    progress("draw", len(results), len(results))
    shutil.rmtree(cache_dir, ignore_errors=True)
    return videos


def require_vacant(table: Path, *, force: bool) -> None:
    """Raise OutputExistsError where the table of an earlier call would be replaced unasked."""
    if table.exists() and not force:
        raise OutputExistsError(
            f"{table.parent} holds earlier results, {table.name}; name another folder with --out, "
            "or replace them with --force"
        )


def require_writable(out_dir: Path) -> None:
    """Make the folder and raise OutputPlaceError where nothing can be written there."""
    if out_dir.is_file():
        raise OutputPlaceError(
            f"{out_dir} is a file, and results go to a folder; name one with --out"
        )
    try:
        write_atomically(out_dir / ".canemo-cache" / "writable", "").unlink()
    except OSError as exc:
        raise OutputPlaceError(
            f"{out_dir}: nothing can be written there ({exc.strerror or exc}); name another folder "
            "with --out"
        ) from exc


def _tabulate(results: Sequence[VideoPrediction]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return one row per frame, and one per video."""
    frames = pd.concat([result.frames for result in results], ignore_index=True)
    videos = pd.DataFrame([result.summary for result in results])
    videos["predicted"] = videos["predicted"].astype("string")
    return frames, videos


def _write_tables(
    saved: SavedModel, frames: pd.DataFrame, videos: pd.DataFrame, out_dir: Path
) -> None:
    """Write the rows as CSV and Parquet, and beside what the model is in one workbook."""
    for table, stem in ((frames, FRAMES_STEM), (videos, VIDEOS_STEM)):
        write_table(table, out_dir / f"{stem}.parquet")
        write_table(table, out_dir / f"{stem}.csv")
    labels = saved.classifier.labels
    tables = {
        "clips": describe_frame(
            "The clips that were classified.", videos, describe_predicted_clips(labels)
        ),
        "frames": describe_frame(
            "The frames of the clips that were looked at.",
            frames,
            describe_predicted_frames(labels),
            elsewhere=f"{FRAMES_STEM}.parquet",
        ),
        "model": describe_model(saved),
    }
    voice = Voice(saved.config.species, (saved.training.study, *labels))
    write_workbook(out_dir / RESULTS_FILE, tables, voice)


def draw_prediction(result: VideoPrediction, model: Model, out_dir: Path, *, video: bool) -> None:
    """Draw the timeline of one video and, with `video`, write an annotated copy.

    A video that cannot be written again is a logged warning: its numbers stand all the same.
    """
    seen = result.frames[result.frames["time_s"].notna()]
    if seen.empty:
        return
    name, path = result.summary["video_id"], Path(result.summary["path"])
    column = PROBABILITY + model.positive_label
    verdict = f"model {name_verdict(model.evaluation)}"
    if result.summary["predicted"] == UNDECIDED:
        verdict = f"{verdict}: {UNDECIDED}"
    timeline = draw_timeline(
        seen["time_s"],
        seen[column],
        seen["fate"].tolist(),
        positive_label=model.positive_label,
        title=path.name,
        verdict=verdict,
        is_decided=model.evaluation.answers,
    )
    save_figure(timeline, out_dir / "timelines" / f"{name}.png")
    if video:
        target = out_dir / "annotated" / f"{name}.mp4"
        try:
            annotate_video(
                path,
                seen,
                target,
                positive_label=model.positive_label,
                column=column,
                verdict=verdict,
                is_decided=model.evaluation.answers,
            )
        except VideoOpenError as exc:
            logger.warning("%s", exc)
