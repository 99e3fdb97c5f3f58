"""All that a run's numbers are computed from, in a form that outlives the videos."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from canemo.config import SWEEP_POOLINGS, Config, SweepConfig
from canemo.errors import ModelError
from canemo.faces.frame_choice import choose_frames
from canemo.features.embed import Array as Array32
from canemo.features.poolings import expand_mixes, has_pooling, name_blocks, parse_blocks
from canemo.features.store import to_array, to_column
from canemo.files import replacing, write_table
from canemo.learn.material import Material
from canemo.learn.splits import Split, load_split
from canemo.records import Study, Video
from canemo.study.records.folders import LEDGER_FILE, VIDEOS_FILE, RunRecord

FEATURES_FILE, SUBJECTS_FILE = "features.parquet", "subjects.parquet"
SPLIT_FILE = "split.json"
_ORIGIN = ["video_id", "subject_id", "label", "frame_index", "time_s"]


@dataclass(frozen=True)
class Evidence:
    """What the numbers of a run are computed from.

    Attributes
    ----------
    study
        Its videos with all columns of the tables; the files themselves are not needed.
    config, split
        The settings and the folds.
    ledger
        One row per frame that was looked at.
    materials
        What is learned from: the probe's pooling and frames, or all that the sweep offers.
    clips
        One row per video: video_id, duration_s, fps, width, height, as its file states them.
    protocol
        What metrics.json says of how it was done.
    warnings
        What a reader of the numbers must know, so far.
    """

    study: Study
    config: Config
    split: Split
    ledger: pd.DataFrame
    materials: tuple[Material, ...]
    clips: pd.DataFrame
    protocol: Mapping[str, Any]
    warnings: tuple[str, ...] = ()


def list_representations(config: Config) -> list[tuple[str, str]]:
    """Return the pooling and the rule for frames of every material, the probe's own first.

    Of several blocks without shares, each mix is a material; the even one comes first.
    """
    offered = (config.probe.pooling, *config.sweep.poolings)
    poolings = [mix for pooling in offered for mix in expand_mixes(pooling)]
    frames = (config.probe.frames, *config.sweep.frames)
    return [
        (pooling, rule) for pooling in dict.fromkeys(poolings) for rule in dict.fromkeys(frames)
    ]


def offer_what_is_there(config: Config, *, stored: Collection[str]) -> Config:
    """Return the settings in which `--sweep` offers only what is stored of each crop.

    Parameters
    ----------
    config
        Settings; poolings that were named one by one stay, to be refused where they are not there.
    stored
        As `Features.names`.
    """
    if config.sweep.poolings != SWEEP_POOLINGS:
        return config
    regions = config.species.regions[:-1]  # the last is no part of the face
    there = tuple(each for each in SWEEP_POOLINGS if has_pooling(each, stored, regions))
    sweep = config.sweep.model_copy(update={"poolings": there})
    return config.model_copy(update={"sweep": sweep})


def list_blocks(config: Config) -> list[str]:
    """Return the blocks that the materials are made of."""
    poolings = [pooling for pooling, _ in list_representations(config)]
    return list(dict.fromkeys(block.name for each in poolings for block in parse_blocks(each)))


def settle(config: Config, material: Material) -> Config:
    """Return the settings with the pooling and frames that were chosen, nothing left to choose."""
    own = {"pooling": material.pooling, "frames": material.frames}
    probe = config.probe.model_copy(update=own)
    return config.model_copy(update={"probe": probe, "sweep": SweepConfig()})


def make_materials(
    origin: pd.DataFrame,
    pooled: Mapping[str, Array32],
    ledger: pd.DataFrame,
    *,
    labels: tuple[str, ...],
    config: Config,
) -> tuple[Material, ...]:
    """Return every pooling with every choice of frames.

    Parameters
    ----------
    origin
        N rows, one per crop.
    pooled
        Block -> (N, F) float32, see `list_blocks`.
    ledger, labels, config
        Of the study.

    Raises
    ------
    ModelError
        Features are not numbers.
    """
    rules = {rule for _, rule in list_representations(config)} - {"all"}
    counted = {rule: choose_frames(origin, ledger, rule) for rule in rules}
    for pooling, x in pooled.items():
        broken = ~np.isfinite(x).all(axis=1)
        if broken.any():
            name = origin["video_id"].to_numpy()[broken][0]
            raise ModelError(
                f"features ({pooling}) of {int(broken.sum())} crop(s) are not finite numbers, "
                f"first in video {name!r}: the weights file is damaged or its numbers overflow; "
                "check backbone.weights, then delete cache/features and run again"
            )
    representations = list_representations(config)
    rows = {
        name: _join([pooled[block] for block in name.split(",")])
        for name in dict.fromkeys(name_blocks(pooling) for pooling, _ in representations)
    }
    return tuple(
        Material(
            rows[name_blocks(pooling)],
            origin,
            labels,
            pooling,
            rule,
            counted.get(rule),
            widths=_measure_widths(pooled, pooling),
        )
        for pooling, rule in representations
    )


def _join(blocks: Sequence[Array32]) -> Array32:
    return blocks[0] if len(blocks) == 1 else np.concatenate(blocks, axis=1)


def _measure_widths(pooled: Mapping[str, Array32], pooling: str) -> tuple[int, ...]:
    widths = tuple(pooled[block.name].shape[1] for block in parse_blocks(pooling))
    return widths if len(widths) > 1 else ()


def _split_blocks(materials: Sequence[Material]) -> dict[str, Array32]:
    """Return what `make_materials` was handed: block -> (N, F)."""
    blocks: dict[str, Array32] = {}
    for each in materials:
        parts = np.split(each.x, np.cumsum(each.widths)[:-1], axis=1) if each.widths else [each.x]
        blocks |= dict(zip(name_blocks(each.pooling).split(","), parts, strict=True))
    return blocks


def write_evidence(evidence: Evidence, folder: Path) -> None:
    """Write features, ledger, videos and subjects; config and split lie there already."""
    study = evidence.study
    write_table(evidence.ledger, folder / LEDGER_FILE)
    write_table(_tabulate_videos(study).merge(evidence.clips, how="left"), folder / VIDEOS_FILE)
    if study.subjects is not None:
        write_table(study.subjects.reset_index(), folder / SUBJECTS_FILE)
    first = evidence.materials[0]
    table = pa.Table.from_pandas(first.origin[_ORIGIN], preserve_index=False)
    for block, x in _split_blocks(evidence.materials).items():
        half = x.astype(np.float16)  # as features are cached; means of them need more digits
        exact = np.array_equal(half.astype(np.float32), x)
        table = table.append_column(block, to_column(half if exact else x))
    with replacing(folder / FEATURES_FILE) as temporary:
        pq.write_table(table, temporary, use_dictionary=_ORIGIN[:3])


def read_evidence(run: RunRecord) -> Evidence:
    """Read what `write_evidence` wrote into the folder of a run.

    Raises
    ------
    ModelError
        A file is missing or damaged.
    """
    folder, config = run.folder, run.config
    try:
        videos = pd.read_parquet(folder / VIDEOS_FILE)
        ledger = pd.read_parquet(folder / LEDGER_FILE)
        subjects = None
        if (folder / SUBJECTS_FILE).is_file():
            subjects = pd.read_parquet(folder / SUBJECTS_FILE).set_index("subject_id")
        study = Study(
            folder,
            tuple(_read_video(dict(row)) for row in videos.to_dict("records")),
            subjects,
            drawn=run.metrics.study.drawn,
        )
        origin, pooled = _read_features(folder / FEATURES_FILE)
        materials = make_materials(origin, pooled, ledger, labels=study.labels, config=config)
    except (OSError, ValueError, KeyError, pa.ArrowException) as exc:
        if isinstance(exc, ModelError):
            raise
        raise ModelError(
            f"{folder}: its evidence cannot be read ({str(exc).splitlines()[0]}); give the folder "
            "of a run that this version of canemo finished, or an exported bundle"
        ) from exc
    return Evidence(
        study,
        config,
        load_split(folder / SPLIT_FILE),
        ledger,
        materials,
        videos[["video_id", "duration_s", "fps", "width", "height"]],
        run.metrics.protocol.to_dict(),
    )


def _tabulate_videos(study: Study) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "video_id": video.video_id,
                "subject_id": video.subject_id,
                "label": video.label,
                "extra": json.dumps(dict(video.extra), ensure_ascii=False),
            }
            for video in study.videos
        ]
    )


def _read_video(row: Mapping[Any, Any]) -> Video:
    return Video(
        row["video_id"],
        Path(row["video_id"]),
        row["subject_id"],
        row["label"],
        extra=json.loads(row["extra"]),
    )


def _read_features(path: Path) -> tuple[pd.DataFrame, dict[str, Array32]]:
    table = pq.read_table(path)
    blocks = [name for name in table.column_names if name not in _ORIGIN]
    origin = table.select(_ORIGIN).to_pandas()
    return origin, {name: to_array(table[name]).astype(np.float32) for name in blocks}
