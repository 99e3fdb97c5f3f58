"""What a run would do and how long it would take on this machine, told without doing any of it.

Frames are counted from what files state, the cache is asked for what it holds, and seconds are what
an item took when a run last did the same here.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from canemo.config import Config, VideoConfig
from canemo.errors import VideoOpenError
from canemo.faces.study_crops import StudyCrops
from canemo.features.store import count_bytes
from canemo.networks.engines.choice import Choice, recall_choice
from canemo.parallel import silent
from canemo.pipeline.assess import Work, offer_views
from canemo.pipeline.plan import Plan, prepare, settle_backbone
from canemo.pipeline.rates import keep_rate, recall_rate
from canemo.records import Video
from canemo.study.load import load_study
from canemo.study.runs import pin_engines, require_replaceable
from canemo.video.info import VideoInfo, probe_video

COUNTED = ("measure", "embed", "augment")
"""Stages that say themselves how many crops, or views of them, they made."""

PER_CROP = ("evaluate", "trust", "model", "look")
"""Stages that take longer the more crops there are; those of `ONCE` take what they take."""

ONCE = ("explain", "report")

FRAME_BYTES = 30_000
"""Room that a frame takes in the cache with its crop, at most 320 pixels a side: of real clips."""

REPORT_BYTES = 10_000_000
"""Room that pictures, report and workbook of a run take."""


@dataclass(frozen=True)
class Stage:
    """One stage of a run.

    Attributes
    ----------
    name, unit
        What is done, and to what.
    items, cached
        How many there are at most, and how many of them are there already.
    seconds
        How long the others take here; None where that was never measured.
    bytes
        About how much room on the disk they take.
    """

    name: str
    unit: str
    items: int
    cached: int
    seconds: float | None
    bytes: int = 0


@dataclass(frozen=True)
class Forecast:
    """What a run would do.

    Attributes
    ----------
    videos, cropped, embedded
        How many videos the study has, and of how many there are crops and features already.
    stages
        In their order.
    notes
        What else must be known, a line each.
    """

    videos: int
    cropped: int
    embedded: int
    stages: tuple[Stage, ...]
    notes: tuple[str, ...]

    @property
    def unknown(self) -> tuple[str, ...]:
        """The stages whose seconds are not known."""
        return tuple(stage.name for stage in self.stages if stage.seconds is None)

    @property
    def seconds(self) -> float:
        """How long all that is known takes; crops are embedded while others are cut."""
        spent = {stage.name: stage.seconds or 0.0 for stage in self.stages}
        return sum(spent.values()) - min(spent["crop"], spent["embed"])

    @property
    def bytes(self) -> int:
        """About how much room on the disk it takes, cache and run together."""
        return sum(stage.bytes for stage in self.stages)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        told = {"seconds": self.seconds, "bytes": self.bytes, "unknown": self.unknown}
        return {**asdict(self), **told}


@dataclass(frozen=True)
class _Clip:
    """What is to be done with a video, and what was done: crops are at most as many as frames."""

    frames: int = 0
    crops: int = 0
    is_cropped: bool = False
    is_measured: bool = False
    is_embedded: bool = False
    is_viewed: bool = False


def foresee_run(
    root: Path, config: Config, *, name: str | None = None, force: bool = False
) -> Forecast:
    """Say what `canemo.run` would do; parameters and errors are its own.

    No frame is decoded but the first of each video that is not cropped yet, no engine is measured
    and nothing is written; weights that are not here are fetched.
    """
    load_study(root)  # what is wrong with it is said before weights are looked for
    config, reason = settle_backbone(root, config)
    require_replaceable(root, name or config.backbone.name, config, force=force)
    plan, choice, notes = _settle_engines(root, config)
    if reason:
        notes.insert(0, f"the backbone auto is {config.backbone.name} here")
    clips = []
    for video in plan.study.videos:
        try:
            clips.append(_look_at(video, plan, is_settled=choice is not None))
        except VideoOpenError as exc:
            clips.append(_Clip())
            notes.append(str(exc))
    found = Forecast(
        len(clips),
        sum(clip.is_cropped for clip in clips),
        sum(clip.is_embedded for clip in clips),
        tuple(_iter_stages(clips, plan, choice)),
        tuple(notes),
    )
    return replace(found, notes=(*notes, *_warn_of_room(root, found.bytes)))


def _warn_of_room(root: Path, needed: int) -> Iterator[str]:
    free = shutil.disk_usage(root).free
    if needed > free:
        yield (
            f"the disk of {root} has room for {free / 1e6:,.0f} MB only; make room, or put the "
            "study on another disk"
        )


def keep_rates(work: Work) -> None:
    """Keep how long each stage of a run took here, for whoever asks beforehand the next time."""
    stages = work.cost.stages
    cut = [file for file in work.crops.files.values() if not file.cached]
    done: dict[str, int] = {
        "crop": sum(len(file.read_ledger()) for file in cut),
        **{
            name: int(stages[name]["items"])
            for name in ("measure", "embed", "augment")
            if name in stages
        },
        **dict.fromkeys(PER_CROP, len(work.crops.used)),
        "look": len(work.crops.used) if cut else 0,  # else the faces were compared before, perhaps
        **dict.fromkeys(ONCE, 1),
    }
    for name, what in _describe_stages(work.plan).items():
        if name in stages and done[name]:
            keep_rate(stages[name]["seconds"], done[name], stage=name, **what)


def _settle_engines(root: Path, config: Config) -> tuple[Plan, Choice | None, list[str]]:
    """Load what a run loads, run by what it would take, and say what was not measured yet.

    The choice is that of the backbone; it is None, and everything runs on torch, where a run would
    have to measure first.
    """
    plain = pin_engines(config, engine="torch", precision="float32", detector_engine="torch")
    plan, asked = prepare(root, plain), config.backbone
    choice = recall_choice(
        plan.backbone.network, engine=asked.engine, precision=asked.precision, device=asked.device
    )
    finder = _recall_detector_engine(plan, config)
    unmeasured = [
        f"{name}: what runs it fastest here was not measured yet (`canemo doctor --measure`), so "
        "neither its speed nor what is cached is known"
        for name, engine in ((asked.name, choice), (plan.detector.name, finder))
        if engine is None
    ]
    if choice is None or finder is None:
        return replace(plan, config=config), None, unmeasured
    pinned = pin_engines(
        config, engine=choice.engine, precision=choice.precision, detector_engine=finder
    )
    settled = plan if pinned == plain else prepare(root, pinned, split=plan.split)
    return replace(settled, config=config), choice, []


def _recall_detector_engine(plan: Plan, config: Config) -> str | None:
    """Return what runs the detector here, or None where a run would measure it first."""
    network = getattr(plan.detector, "network", None)
    if network is None:  # there is one way only to run it
        return plan.detector.engine
    choice = recall_choice(
        network,
        engine=config.detect.engine,
        precision="float32",
        device=config.backbone.device,
    )
    return None if choice is None else choice.engine


def _look_at(video: Video, plan: Plan, *, is_settled: bool) -> _Clip:
    """Return what is to be done with a video; where engines are not settled nothing is cached."""
    crops = plan.extraction.find_crops(video) if is_settled else None
    if crops is None:
        frames = count_frames(video, probe_video(video.path), plan.config.video)
        return _Clip(frames, frames)
    ledger = crops.read_ledger()
    found = StudyCrops(plan.study, {video.video_id: crops}, ledger, ())
    views = offer_views(found, plan.backbone, plan.config, silent)
    return _Clip(
        len(ledger),
        len(found.used),
        is_cropped=True,
        is_measured=plan.extraction.find_points(crops) is not None,
        is_embedded=plan.extraction.is_embedded(crops),
        is_viewed=views.path_of(crops).is_file(),
    )


def count_frames(video: Video, info: VideoInfo, sampling: VideoConfig) -> int:
    """Return how many frames of a video are looked at, if its file holds what it states."""
    fps = float(info.fps)
    stated_s = info.duration_s if info.duration_s is not None else (info.frames or 0) / fps
    end_s = stated_s if video.end_s is None else min(video.end_s, stated_s)
    span_s = max(0.0, end_s - (video.start_s or 0.0))
    rate = fps / (sampling.every_nth or 1) if sampling.fps is None else min(fps, sampling.fps)
    return math.ceil(round(span_s * rate, 3))


def _iter_stages(clips: Sequence[_Clip], plan: Plan, choice: Choice | None) -> Iterator[Stage]:
    rates = {
        name: None if choice is None else recall_rate(stage=name, **what)
        for name, what in _describe_stages(plan).items()
    }
    if rates["embed"] is None:
        rates["embed"] = _recall_speed(plan, choice)
    views, own = plan.config.gradient.views, plan.backbone
    room = {
        "crop": FRAME_BYTES,
        "embed": count_bytes(own, plan.config.species),
        "augment": own.feature_dim * np.float16().itemsize,
        "report": REPORT_BYTES,
    }
    foresee = partial(_foresee, rates=rates, room=room)
    yield Stage("load", "run", 1, 0, plan.cost.stages["load"]["seconds"])
    yield foresee("crop", "frames", [(c.frames, c.is_cropped) for c in clips])
    if plan.finder is not None:
        yield foresee("measure", "crops", [(c.crops, c.is_measured) for c in clips])
    yield foresee("embed", "crops", [(c.crops, c.is_embedded) for c in clips])
    if plan.config.probe.method == "gradient":
        yield foresee("augment", "views", [(views * c.crops, c.is_viewed) for c in clips])
    for name in PER_CROP:
        yield foresee(name, "crops", [(c.crops, False) for c in clips])
    for name in ONCE:
        yield foresee(name, "run", [(1, False)])


def _foresee(
    name: str,
    unit: str,
    numbers: Sequence[tuple[int, bool]],
    *,
    rates: Mapping[str, float | None],
    room: Mapping[str, int],
) -> Stage:
    """Return a stage from numbers of items and whether they are there already."""
    items = sum(number for number, _ in numbers)
    cached = sum(number for number, is_there in numbers if is_there)
    rate, left = rates[name], items - cached
    seconds = 0.0 if not left else rate and rate * left
    return Stage(name, unit, items, cached, seconds, left * room.get(name, 0))


def _recall_speed(plan: Plan, choice: Choice | None) -> float | None:
    """Return the seconds a picture took where the backbone's engines were measured."""
    known = recall_choice(plan.backbone.network, device=plan.config.backbone.device)
    pair = choice and (choice.engine, choice.precision)
    for trial in known.trials if known else ():
        if (trial.engine, trial.precision) == pair and trial.pictures_per_second:
            return 1 / trial.pictures_per_second
    return None


def _describe_stages(plan: Plan) -> dict[str, dict[str, Any]]:
    """Return, by stage, what decides how long an item takes besides the machine."""
    config, detector = plan.config, plan.detector
    backbone = {
        "backbone": plan.backbone.fingerprint,
        "batch_size": config.backbone.batch_size,
    }
    learning = {
        "features": plan.backbone.feature_dim,
        **config.model_dump(include={"probe", "sweep", "gradient", "sequence"}),
        "evaluate": config.evaluate.model_dump(exclude={"seed"}),
    }
    finding = {
        "detector": (detector.fingerprint, detector.engine),
        "video": config.video.model_dump(),
        "looks": (config.detect.follow, config.detect.key_every_s),
    }
    finder = plan.finder
    return {
        "crop": finding,
        "measure": {"finder": None if finder is None else (finder.source, finder.fingerprint)},
        "embed": backbone,
        "augment": backbone,
        **dict.fromkeys(PER_CROP, learning),
        "look": {"detector": detector.fingerprint, "video": config.video.model_dump()},
        "explain": backbone,
        "report": {},
    }
