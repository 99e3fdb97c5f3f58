"""The command `predict`: classify videos and write what came out."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import pandas as pd

from canemo.errors import OutputExistsError, VideoOpenError
from canemo.files import write_table
from canemo.learn.predictions import PROBABILITY
from canemo.parallel import Progress, silent
from canemo.pipeline.model import Model, VideoPrediction, find_videos, name_videos
from canemo.report.charts.canvas import save_figure
from canemo.report.charts.evaluation import draw_timeline
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


def require_vacant(out_dir: Path, *, force: bool) -> None:
    """Raise OutputExistsError where an earlier prediction would be replaced unasked."""
    if (out_dir / f"{VIDEOS_STEM}.csv").exists() and not force:
        raise OutputExistsError(
            f"{out_dir} holds an earlier prediction; name another folder with --out, or replace it "
            "with --force"
        )


def write_predictions(
    results: Sequence[VideoPrediction],
    out_dir: Path,
    *,
    decide: Callable[[pd.DataFrame], pd.DataFrame] | None = None,
) -> pd.DataFrame:
    """Write one row per frame and one per video, CSV and Parquet; return the rows of the videos.

    `decide` adds what is made of the rows of the videos, where anything is.
    """
    frames = pd.concat([result.frames for result in results], ignore_index=True)
    videos = pd.DataFrame([result.summary for result in results])
    videos["predicted"] = videos["predicted"].astype("string")
    videos = videos if decide is None else decide(videos)
    for table, stem in ((frames, FRAMES_STEM), (videos, VIDEOS_STEM)):
        write_table(table, out_dir / f"{stem}.parquet")
        write_table(table, out_dir / f"{stem}.csv")
    return videos


def draw_prediction(
    result: VideoPrediction, out_dir: Path, *, positive_label: str, video: bool
) -> None:
    """Draw the timeline of one video and, with `video`, write an annotated copy.

    A video that cannot be written again is a logged warning: its numbers stand all the same.
    """
    seen = result.frames[result.frames["time_s"].notna()]
    if seen.empty:
        return
    name, path = result.summary["video_id"], Path(result.summary["path"])
    column = PROBABILITY + positive_label
    timeline = draw_timeline(
        seen["time_s"],
        seen[column],
        seen["fate"].tolist(),
        positive_label=positive_label,
        title=path.name,
    )
    save_figure(timeline, out_dir / "timelines" / f"{name}.png")
    if video:
        target = out_dir / "annotated" / f"{name}.mp4"
        try:
            annotate_video(path, seen, target, positive_label=positive_label, column=column)
        except VideoOpenError as exc:
            logger.warning("%s", exc)
