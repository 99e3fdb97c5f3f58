"""What `predict` writes: tables first, then a timeline and an annotated copy of each video."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd

from canemo.errors import OutputExistsError, VideoOpenError
from canemo.files import write_table
from canemo.learn.predictions import PROBABILITY
from canemo.predict import VideoPrediction
from canemo.report.charts.canvas import save_figure
from canemo.report.charts.evaluation import draw_timeline
from canemo.video.annotate import annotate_video

logger = logging.getLogger(__name__)

FRAMES_STEM, VIDEOS_STEM = "predicted_frames", "predicted_videos"


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
