"""The command `dynamics`: how faces move in the clips of a study, and in which condition more."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from canemo import environment
from canemo.config import Config, VideoConfig, load_config
from canemo.errors import ConfigError
from canemo.faces import movements as moving
from canemo.faces.crop_file import CropFile
from canemo.faces.dynamics import (
    FPS,
    GAP_S,
    LEAST_FRAMES,
    LEAST_S,
    SMOOTH_S,
    Array,
    follow_face,
)
from canemo.faces.meters import load_meters
from canemo.faces.movements import MOUTH_OPEN, find_movements
from canemo.faces.points import FacePoints, ModelPoints, PointFinder
from canemo.faces.study_crops import StudyCrops
from canemo.features.extraction import Extraction
from canemo.files import write_table
from canemo.parallel import Progress, silent
from canemo.pipeline.extract import Cost, crop_videos
from canemo.pipeline.motion_tables import (
    FollowedClip,
    count_events,
    list_facts,
    tabulate_clips,
    tabulate_events,
    tabulate_frames,
)
from canemo.pipeline.plan import choose_configured_points, load_configured_detector
from canemo.pipeline.predict import require_vacant, require_writable
from canemo.records import Fate, Study
from canemo.report.pages.dynamics import write_dynamics_report
from canemo.species import Species
from canemo.study.load import load_study
from canemo.study.records.concepts import Environment
from canemo.study.records.dynamics import (
    DYNAMICS_FILE,
    DynamicsProtocol,
    DynamicsRecord,
    LeftClip,
    MeasureContrast,
    MovingStudy,
)
from canemo.study.records.run import StageCost
from canemo.trust.contrasts import DRAWS, Contrast, contrast_clips

FOLDER = "dynamics"


@dataclass(frozen=True)
class DynamicsResult:
    """What came out: what `path` holds, and the page and tables beside it."""

    record: DynamicsRecord
    path: Path
    report: Path
    clips: pd.DataFrame
    events: Path


def dynamics_study(
    study_dir: Path | str,
    *,
    out_dir: Path | str | None = None,
    config: Config | None = None,
    fps: float | None = FPS,
    draws: int = DRAWS,
    force: bool = False,
    command: str = "",
    progress: Progress = silent,
) -> DynamicsResult:
    """Say how faces move in a study's clips, and which measures differ between conditions.

    Parameters
    ----------
    study_dir
        Folder with videos.csv; its crops and points are made or taken from the cache.
    out_dir
        Gets ``dynamics.json``, ``dynamics.html``, ``results.xlsx``, ``dynamics_clips`` and
        ``dynamics_frames`` and ``events.csv``; None: ``STUDY/dynamics``.
    config
        Settings; None reads the study's canemo.toml over the defaults.
    fps
        Frames per second that are looked at, whatever ``video.fps`` is; None: what `config` says.
    draws
        Labellings drawn, for each measure.
    force
        Replace what is there.
    command
        How it was asked for, for the record.
    progress
        Told how far it is.

    Raises
    ------
    ConfigError
        A setting is impossible, or nothing finds the points of these faces.
    OutputExistsError, OutputPlaceError
        There are results and `force` is not given, or nothing can be written.
    StudyError, NoFacesError
        As `run`.
    """
    root = Path(study_dir)
    config = config or load_config(root)
    if fps is not None:
        config = config.model_copy(update={"video": VideoConfig(fps=fps)})
    folder = Path(out_dir) if out_dir is not None else root / FOLDER
    require_vacant(folder / DYNAMICS_FILE, force=force)
    study, cost = load_study(root), Cost()
    label = _choose_label(study, config)
    finder = _require_points(study, config)
    require_writable(folder)
    detector = load_configured_detector(config)
    extraction = Extraction(config, detector, (), root / "cache", finder)
    crops = crop_videos(study, extraction, progress=progress, cost=cost)
    with cost.measure("measure") as entry:
        clips = list(_follow(crops, extraction, progress=progress))
        entry["items"] = len(clips)
    table = tabulate_clips(clips)
    contrasts = _contrast(table, label, clips, draws=draws, seed=config.evaluate.seed)
    record = DynamicsRecord(
        study=_describe_study(study, config, clips),
        protocol=_describe_protocol(study, config, label, detector.name, finder, draws),
        environment=Environment.model_validate(environment.describe_environment(command=command)),
        contrasts=tuple(contrasts),
        events=tuple(count_events(clips, label)),
        left=tuple(_list_left(study, clips)),
        warnings=(*crops.warnings, *_list_warnings(study, label, finder)),
        cost={name: StageCost.model_validate(each) for name, each in cost.stages.items()},
    )
    return _write(folder, record, table, clips)


def _choose_label(study: Study, config: Config) -> str:
    label = config.study.positive_label or study.labels[0]
    if label not in study.labels:
        raise ConfigError(
            f"study.positive_label = {label!r}; the labels are {', '.join(study.labels)}"
        )
    return label


def _require_points(study: Study, config: Config) -> PointFinder:
    finder = choose_configured_points(study, config)
    if finder is None:
        raise ConfigError(
            f"nothing finds the points of these faces (species {config.study.species!r}, "
            f"measure.points = {config.measure.points!r}), and motion is that of points; put "
            "landmarks of your own into the study, or take measure.points = 'auto'"
        )
    return finder


def _follow(
    crops: StudyCrops, extraction: Extraction, *, progress: Progress
) -> Iterator[FollowedClip]:
    species = extraction.config.species
    for done, file in enumerate(crops.files.values()):
        progress("measure", done, len(crops.files))
        points = extraction.measure(file)
        if points is not None:
            yield _follow_clip(file, points.read(), extraction.finder, species)
    progress("measure", len(crops.files), len(crops.files))


def _follow_clip(
    file: CropFile, points: FacePoints, finder: PointFinder | None, species: Species
) -> FollowedClip:
    """Follow the face over all frames that were looked at and could be read."""
    ledger = file.read_ledger()
    ledger = ledger[ledger["fate"] != Fate.DECODE_ERROR].dropna(subset=["frame_index"])
    frames = ledger["frame_index"].to_numpy(np.int64)
    xyc = np.full((len(frames), len(points.names), 3), np.nan)
    xyc[np.searchsorted(frames, points.frame_index)] = points.xyc
    motion = follow_face(ledger["time_s"].to_numpy(float), xyc, points.names, species)
    mouth_open = _read_mouth(xyc, finder, species)
    found = find_movements(motion, mouth_open=mouth_open)
    return FollowedClip(file.video, frames, motion, mouth_open, found)


def _read_mouth(xyc: Array, finder: PointFinder | None, species: Species) -> Array | None:
    """Return (T,) how likely the mouth is open, None where no meter reads these points."""
    meter = next((each for each in load_meters(species) if each.name == MOUTH_OPEN), None)
    if meter is None or not isinstance(finder, ModelPoints):
        return None
    reading = meter.read(xyc, species, landmarks=finder.model.weights_sha256)
    return reading.probability if np.isfinite(reading.probability).any() else None


def _contrast(
    table: pd.DataFrame, label: str, clips: Sequence[FollowedClip], *, draws: int, seed: int
) -> list[MeasureContrast]:
    facts = list_facts(clips)
    names = [name for name in facts if name in table and table[name].notna().any()]
    found = contrast_clips(
        table[names],
        list(table["subject_id"]),
        list(table["label"] == label),
        draws=draws,
        seed=seed,
    )
    noun = {"noun": "dog"}
    return [_describe_contrast(each, facts[each.measure], noun) for each in found]


def _describe_contrast(
    found: Contrast, facts: dict[str, str], noun: dict[str, str]
) -> MeasureContrast:
    told = {**asdict(found), **facts}
    told["reason"] = found.reason and found.reason.format(**noun)
    return MeasureContrast.model_validate(told)


def _describe_study(study: Study, config: Config, clips: Sequence[FollowedClip]) -> MovingStudy:
    looked = sum(len(clip.motion.time_s) for clip in clips)
    return MovingStudy(
        name=study.root.resolve().name,
        species=config.study.species,
        drawn=study.drawn,
        videos=len(study.videos),
        subjects=len(study.subject_ids),
        labels=study.labels,
        measured=sum(int(clip.motion.known.sum()) for clip in clips),
        moving=sum(clip.motion.reason is None for clip in clips),
        bridged=sum(int(clip.motion.bridged.sum()) for clip in clips) / max(1, looked),
    )


def _describe_protocol(
    study: Study, config: Config, label: str, detector: str, finder: PointFinder, draws: int
) -> DynamicsProtocol:
    others = [each for each in study.labels if each != label]
    return DynamicsProtocol(
        label=label,
        others=others[0] if len(others) == 1 else "all others",
        detector=detector,
        points=finder.source,
        fps=config.video.fps,
        every_nth=config.video.every_nth,
        smooth_s=SMOOTH_S,
        gap_s=GAP_S,
        least_s=LEAST_S,
        least_frames=LEAST_FRAMES,
        quick_s=moving.QUICK_S,
        least_event_s=moving.LEAST_S,
        rise=moving.RISE,
        fall=moving.FALL,
        openings=_name_openings(finder),
        draws=draws,
        seed=config.evaluate.seed,
    )


def _name_openings(finder: PointFinder) -> str:
    if isinstance(finder, ModelPoints) and load_meters(finder.species):
        return f"the meter “{MOUTH_OPEN}” passes {moving.LIKELY} and stays above {moving.UNLIKELY}"
    return (
        f"the chin is {moving.OPEN} face units lower than at rest (the lower quartile of the clip) "
        f"and stays {moving.CLOSE} lower"
    )


def _list_left(study: Study, clips: Sequence[FollowedClip]) -> Iterator[LeftClip]:
    opened = {clip.video.video_id: clip for clip in clips}
    for video in study.videos:
        clip = opened.get(video.video_id)
        reason = "the file cannot be read" if clip is None else clip.motion.reason
        if reason is not None:
            yield LeftClip(video_id=video.video_id, reason=reason)


def _list_warnings(study: Study, label: str, finder: PointFinder) -> Iterator[str]:
    if len(study.labels) < 2:
        yield f"all clips have the label {label!r}: there is nothing to compare"
    if not isinstance(finder, ModelPoints):
        yield (
            "the points came with the study: the noise floor was measured on those of canemo's own "
            "model, and may be too low or too high for these"
        )


def _write(
    folder: Path, record: DynamicsRecord, table: pd.DataFrame, clips: Sequence[FollowedClip]
) -> DynamicsResult:
    """Write tables, page and, last, the numbers: where they are, the others are too."""
    frames, events = tabulate_frames(clips), tabulate_events(clips)
    for suffix in (".csv", ".parquet"):
        write_table(table, folder / f"dynamics_clips{suffix}")
    write_table(frames, folder / "dynamics_frames.parquet")
    place = write_table(events, folder / "events.csv")
    report = write_dynamics_report(folder / "dynamics.html", record, table, frames, events)
    path = record.write(folder / DYNAMICS_FILE)
    return DynamicsResult(record, path, report, table, place)
