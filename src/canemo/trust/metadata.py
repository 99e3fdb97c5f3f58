"""What is known of a clip without an embedding: tables, file, face boxes, light and blur of crops.

A probe on these numbers says how far the circumstances of filming alone predict the label.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from canemo.config import ProbeConfig
from canemo.learn.evaluate import evaluate_learner
from canemo.learn.evidence import Evidence
from canemo.learn.lda import DiscriminantLearner
from canemo.learn.material import Material
from canemo.learn.predictions import Predictions, select_level
from canemo.records import Fate, Study
from canemo.trust.summaries import summarise_scores

GEOMETRY = ("box_x", "box_y", "box_size", "box_aspect", "box_motion", "used_share")
LIGHT = ("brightness", "brightness_change", "sharpness")
FILE = ("duration_s", "fps", "width", "height")
MAX_VALUES = 20


def describe_clips(evidence: Evidence) -> pd.DataFrame:
    """Return one row per clip that has a crop: its metadata as numbers, indexed by video_id.

    The order of a subject's rows in videos.csv counts as that of filming, unless they are sorted by
    label.

    Columns named ``NAME=VALUE`` are 1 where a column of videos.csv has that value. Columns without
    variation are left out, and so are texts with more values than half of the clips.
    """
    used = evidence.ledger[evidence.ledger["fate"] == Fate.USED]
    clips = used["video_id"].drop_duplicates().tolist()
    own = evidence.clips.set_index("video_id").reindex(clips)
    parts = [
        _read_tables(evidence.study).reindex(clips),
        own[list(FILE)],
        _measure_boxes(evidence.ledger, own).reindex(clips),
        _measure_light(used).reindex(clips),
    ]
    table = pd.concat(parts, axis=1).astype(float)
    table = table.fillna(table.median())
    return table.loc[:, table.nunique() > 1]


_COLUMNS = {
    "order": "order in videos.csv",
    "duration_s": "duration",
    "fps": "frame rate",
    "width": "size of the picture",
    "height": "size of the picture",
    "box_x": "place of the face",
    "box_y": "place of the face",
    "box_size": "size of the face",
    "box_aspect": "shape of the face box",
    "box_motion": "motion of the face",
    "used_share": "share of frames with a face",
    "brightness_change": "change of brightness",
}
"""What the columns of metadata are, in words."""


def describe_columns(columns: Sequence[str]) -> list[str]:
    """Return columns of metadata in words, each once."""
    return list(dict.fromkeys(_COLUMNS.get(column, column) for column in columns))


def name_columns(columns: Sequence[str]) -> list[str]:
    """Return the names without the values that categories were split into."""
    return list(dict.fromkeys(str(name).partition("=")[0] for name in columns))


def list_categories(study: Study) -> Mapping[str, dict[str, str]]:
    """Return column -> video_id -> value of the further columns of videos.csv that hold groups.

    A column with more values than half its clips holds none; clips without a value are not in it.
    """
    names = dict.fromkeys(name for video in study.videos for name in video.extra)
    found = {}
    for name in names:
        values = {v.video_id: str(v.extra[name]) for v in study.videos if v.extra.get(name)}
        if 2 <= len(set(values.values())) <= len(values) / 2:
            found[name] = values
    return found


def _read_tables(study: Study) -> pd.DataFrame:
    """Return the order within each subject and the further columns of videos.csv as numbers."""
    videos = pd.DataFrame(
        [(video.subject_id, video.label) for video in study.videos], columns=["subject", "label"]
    )
    index = pd.Index([video.video_id for video in study.videos], name="video_id")
    columns: dict[str, NDArray[np.float64]] = {}
    if not _is_sorted_by_label(videos):
        columns["order"] = videos.groupby("subject").cumcount().to_numpy().astype(float)
    groups = list_categories(study)
    for name in dict.fromkeys(name for video in study.videos for name in video.extra):
        texts = pd.Series([str(video.extra.get(name) or "") for video in study.videos])
        numbers = pd.to_numeric(texts.replace("", None), errors="coerce")
        if numbers.notna().any() and numbers.notna().sum() == (texts != "").sum():
            columns[name] = numbers.to_numpy(dtype=float)
        elif name in groups:
            for value in texts[texts != ""].value_counts().index[:MAX_VALUES]:
                columns[f"{name}={value}"] = (texts == value).to_numpy(dtype=float)
    return pd.DataFrame(columns, index=index)


def _is_sorted_by_label(videos: pd.DataFrame) -> bool:
    """Tell whether each subject's rows come label by label, as tables sorted by file name do.

    The order of such rows is not that of filming.
    """
    changes = videos["label"].ne(videos.groupby("subject")["label"].shift())
    blocks = changes.groupby(videos["subject"]).sum()
    return bool((blocks == videos.groupby("subject")["label"].nunique()).all())


def _measure_boxes(ledger: pd.DataFrame, clips: pd.DataFrame) -> pd.DataFrame:
    """Return where the face is, how large and how it moves, in shares of the picture."""
    used = ledger[ledger["fate"] == Fate.USED]
    size = clips[["width", "height"]].reindex(used["video_id"]).to_numpy(dtype=float)
    box = used[["x0", "y0", "x1", "y1"]].to_numpy(dtype=float) / np.tile(size, 2)
    w, h = box[:, 2] - box[:, 0], box[:, 3] - box[:, 1]
    frames = pd.DataFrame(
        {
            "video_id": used["video_id"].to_numpy(),
            "box_x": (box[:, 0] + box[:, 2]) / 2,
            "box_y": (box[:, 1] + box[:, 3]) / 2,
            "box_size": np.sqrt(w * h),
            "box_aspect": w / h,
        }
    )
    by_clip = frames.groupby("video_id")
    share = (ledger["fate"] == Fate.USED).groupby(ledger["video_id"]).mean()
    motion = by_clip[["box_x", "box_y"]].std().mean(axis=1)
    return by_clip.mean().assign(box_motion=motion, used_share=share)


def _measure_light(used: pd.DataFrame) -> pd.DataFrame:
    by_clip = used.groupby("video_id")
    return pd.DataFrame(
        {
            "brightness": by_clip["brightness"].mean(),
            "brightness_change": by_clip["brightness"].std(),
            "sharpness": np.log1p(by_clip["sharpness"].mean()),
        }
    )


def score_metadata(evidence: Evidence, first: Material) -> dict[str, Any] | None:
    """Return how well metadata alone predict the label of unseen subjects, clip by clip.

    Returns
    -------
    dict or None
        Scores, their ``interval`` and the ``columns`` read; None where no column varies.
    """
    table = describe_clips(evidence)
    if table.empty:
        return None
    videos = predict_clips(table, first, evidence)
    return {
        **summarise_scores(videos, evaluate=evidence.config.evaluate),
        "columns": name_columns(list(table.columns)),
    }


def predict_clips(table: pd.DataFrame, first: Material, evidence: Evidence) -> Predictions:
    """Return what a probe on numbers of each clip says of clips of unseen subjects.

    Parameters
    ----------
    table
        (V, F) indexed by video_id.
    first
        Its clips are tested.
    evidence
        Gives the folds.
    """
    origin = first.origin.drop_duplicates("video_id").reset_index(drop=True)
    x = table.loc[origin["video_id"]].to_numpy(dtype=np.float32)
    return evaluate_clips(Material(x, origin, first.labels, pooling="metadata"), evidence)


def evaluate_clips(material: Material, evidence: Evidence) -> Predictions:
    """Return what a discriminant with default settings says of clips of unseen subjects."""
    learner = DiscriminantLearner((material,), ProbeConfig())
    found = evaluate_learner(learner, evidence.split, seed=evidence.config.evaluate.seed)
    return select_level(found.predictions, "video", material.labels)
