"""Every clip and every frame behind a report: data frames, and the sheets of a workbook."""

from __future__ import annotations

import pandas as pd

from canemo.learn.predictions import PROBABILITY
from canemo.report.tables import Table, describe_frame
from canemo.report.words.columns import LEDGER
from canemo.report.words.wording import quote
from canemo.study.records.folders import RunRecord

_ORIGIN = {name: LEDGER[name] for name in ("video_id", "subject_id", "label")}
_ANSWER = {
    "predicted": "the condition it was classified as, by a probe that had not seen its dog; empty "
    "where no face was found or its dog was not tested",
    "is_correct": "whether that is the condition it was filmed in",
}
_OF_CLIP = {
    "fold": "the round, from 0, in which its dog was kept aside and tested",
    "frames_used": "frames with a face, which count",
    "frames_looked_at": "frames that were looked at",
    "duration_s": "length of the clip in seconds",
}
_OF_FRAME = {name: LEDGER[name] for name in ("frame_index", "time_s", "fate")}
_OF_FACE = {
    name: LEDGER[name]
    for name in ("score", "box_source", "x0", "y0", "x1", "y1", "brightness", "sharpness")
}
_KEYS = ["video_id", "frame_index"]


def tabulate_clips(run: RunRecord) -> pd.DataFrame:
    """Return one row per clip of a run: whose it is, what was answered, how much of it counts.

    Clips without an answer are there too. Further columns of the table of videos are not.
    """
    answers = _take_level(run.predictions, "video")
    used = run.ledger.assign(used=run.ledger["fate"] == "used").groupby("video_id")["used"]
    counts = used.agg(frames_used="sum", frames_looked_at="size").reset_index()
    clips = run.videos[[*_ORIGIN, "duration_s"]]
    clips = clips.merge(answers.drop(columns=["subject_id", "label"]), how="left", on="video_id")
    clips = clips.merge(counts, how="left", on="video_id")
    wanted = [*_ORIGIN, *_ANSWER, *_list_probabilities(clips), *_OF_CLIP]
    return clips[[name for name in wanted if name in clips]]


def list_row_sheets(run: RunRecord) -> dict[str, Table]:
    """Return the sheets of a run's workbook that have a row for each clip and each frame."""
    clips, frames = tabulate_clips(run), _tabulate_frames(run)
    said = _say_probabilities(clips)
    return {
        "clips": describe_frame(
            "Every clip, and what a probe that had not seen its dog made of it.",
            clips,
            {**_ORIGIN, **_ANSWER, **said, **_OF_CLIP},
        ),
        "frames": describe_frame(
            "Every frame that was looked at, and what became of it.",
            frames,
            {**_ORIGIN, **_OF_FRAME, **_ANSWER, **said, **_OF_FACE},
            elsewhere="frames.parquet and predictions.parquet",
        ),
    }


def _tabulate_frames(run: RunRecord) -> pd.DataFrame:
    answers = _take_level(run.predictions, "frame")
    own = [*_KEYS, *_ANSWER, *_list_probabilities(answers)]
    answers = answers[own].astype({"frame_index": "Int64"})
    return run.ledger.astype({"frame_index": "Int64"}).merge(answers, how="left", on=_KEYS)


def _take_level(predictions: pd.DataFrame, level: str) -> pd.DataFrame:
    rows = predictions[predictions["level"] == level]
    is_correct = (rows["predicted"] == rows["label"]).astype("boolean")
    return rows.drop(columns="level").assign(is_correct=is_correct)


def _say_probabilities(frame: pd.DataFrame) -> dict[str, str]:
    return {
        name: f"how likely {quote(name.removeprefix(PROBABILITY))} is to that probe, 0 to 1"
        for name in _list_probabilities(frame)
    }


def _list_probabilities(frame: pd.DataFrame) -> list[str]:
    return [name for name in map(str, frame.columns) if name.startswith(PROBABILITY)]
