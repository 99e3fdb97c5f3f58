"""Every clip, frame and crop behind a report: data frames, and the sheets of its workbook."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from canemo.learn.predictions import PROBABILITY
from canemo.report.tables import Table, describe_frame
from canemo.report.words.columns import LEDGER
from canemo.report.words.wording import quote
from canemo.study.records.folders import PREDICTIONS_FILE, ComparisonFolder, RunRecord

_ORIGIN = {name: LEDGER[name] for name in ("video_id", "subject_id", "label")}
_MODEL = {"model": "the model that was asked"}
_ANSWER = {
    "predicted": "the condition it was classified as, by a probe that had not seen its dog; empty "
    "where no face was found or its dog was not tested",
    "is_correct": "whether that is the condition it was filmed in",
}
_ROUND = {"round": "the round in which its dog was kept aside and tested"}
_COUNTS = {
    "frames_used": "frames with a face, which count",
    "frames_looked_at": "frames that were looked at",
    "duration_s": "length of the clip in seconds",
}
_DOUBTS = {"doubts": "what is doubtful of the clip by some rule, which is no verdict"}
_KEYS = ["video_id", "frame_index"]

_MAPPED = {
    **_MODEL,
    "method": "how the map was made, as in the report's tables",
    "logit": "what the probe made of the crop: above 0 one condition, below 0 the other; the "
    "farther from 0, the surer",
    "regions": "where the outlines of the regions are from",
    "not_shown": "regions that cannot be seen in the crop",
}
_OF_REGION = {
    "part_": "how much of the map lies on: {}",
    "area_": "share of the crop that is covered by: {}",
    "loss_": "how much of the logit is lost when this is blurred beyond recognition: {}",
}
_OF_SUBJECT = {
    "subject_id": LEDGER["subject_id"],
    "region": "part of the face",
    "gap": "its part of the difference between the conditions, in logits; empty without crops of "
    "both conditions",
}
_OF_LABEL = {
    "share_": "share of the evidence for the condition that lies there, in crops of {}",
    "area_": "share of the crops that it covers, in crops of {}",
}


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
    if run.clips is not None:
        doubts = {each.video_id: "; ".join(d.text for d in each.doubts) for each in run.clips.clips}
        clips["doubts"] = clips["video_id"].map(doubts)
    wanted = [*_ORIGIN, *_ANSWER, *_list_probabilities(clips), *_ROUND, *_COUNTS, *_DOUBTS]
    return clips[[name for name in wanted if name in clips]]


def list_run_sheets(run: RunRecord) -> dict[str, Table]:
    """Return the sheets of a run's workbook that have a row for each clip and each frame."""
    clips = tabulate_clips(run)
    said = _say_probabilities(clips)
    return {
        "clips": describe_frame(
            "Every clip, and what a probe that had not seen its dog made of it.",
            clips,
            {**_ORIGIN, **_ANSWER, **said, **_ROUND, **_COUNTS, **_DOUBTS},
        ),
        "frames": describe_frame(
            "Every frame that was looked at, and what became of it.",
            _tabulate_frames(run),
            {**LEDGER, **_ANSWER, **said},
            elsewhere="frames.parquet and predictions.parquet",
        ),
    }


def list_comparison_sheets(record: ComparisonFolder) -> dict[str, Table]:
    """Return the sheet that has a row for each clip and model; none without predictions."""
    if not (record.folder / PREDICTIONS_FILE).is_file():
        return {}
    clips = _take_level(record.predictions, "video")
    said = {**_MODEL, **_ORIGIN, **_ANSWER, **_say_probabilities(clips), **_ROUND}
    caption = "Every clip, and what each model made of it, which had not seen its dog."
    return {"every clip": describe_frame(caption, clips, said, elsewhere=PREDICTIONS_FILE)}


def list_explanation_sheets(folder: Path) -> dict[str, Table]:
    """Return the sheets that have a row for each crop and map, and for each dog and region."""
    told: Mapping[str, tuple[str, dict[str, str], dict[str, str]]] = {
        "explained": (
            "Every crop with each of its maps, by part of the face.",
            {**LEDGER, **_MAPPED},
            _OF_REGION,
        ),
        "dogs": (
            "Every dog, by part of the face, of maps whose parts add up.",
            {**_OF_SUBJECT, **_MODEL, "method": _MAPPED["method"]},
            _OF_LABEL,
        ),
    }
    sheets = {}
    for name, (caption, said, starts) in told.items():
        file = folder / f"{name}.parquet"
        if file.is_file():
            frame = pd.read_parquet(file)
            meanings = {**said, **_say_starts(frame, starts)}
            sheets[name] = describe_frame(caption, frame, meanings, elsewhere=file.name)
    return sheets


def _tabulate_frames(run: RunRecord) -> pd.DataFrame:
    answers = _take_level(run.predictions, "frame")
    own = [*_KEYS, *_ANSWER, *_list_probabilities(answers)]
    answers = answers[own].astype({"frame_index": "Int64"})
    return run.ledger.astype({"frame_index": "Int64"}).merge(answers, how="left", on=_KEYS)


def _take_level(predictions: pd.DataFrame, level: str) -> pd.DataFrame:
    rows = predictions[predictions["level"] == level]
    is_correct = (rows["predicted"] == rows["label"]).astype("boolean")
    return rows.drop(columns="level").assign(is_correct=is_correct, round=rows["fold"] + 1)


def _say_probabilities(frame: pd.DataFrame) -> dict[str, str]:
    return _say_starts(frame, {PROBABILITY: "how likely {} is to that probe, 0 to 1"})


def _say_starts(frame: pd.DataFrame, starts: Mapping[str, str]) -> dict[str, str]:
    """Return what the columns mean that begin in one of some ways."""
    return {
        name: text.format(quote(name.removeprefix(start)))
        for start, text in starts.items()
        for name in map(str, frame.columns)
        if name.startswith(start)
    }


def _list_probabilities(frame: pd.DataFrame) -> list[str]:
    return list(_say_probabilities(frame))
