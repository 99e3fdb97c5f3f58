"""The command `concepts`: coded action units of a study's clips against its frozen features."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from canemo import environment
from canemo.assessment import gather_evidence, prepare
from canemo.concepts.agreement import METHOD, compare_coders
from canemo.concepts.coding import Clip, Coding, code_frames, list_unknown_units
from canemo.concepts.directions import Emotion, find_emotion
from canemo.concepts.dogfacs import UNITS, describe_unit
from canemo.concepts.events import FORMS, EventFile, read_events
from canemo.concepts.matching import Matched, match_events
from canemo.concepts.probes import Bench, set_up
from canemo.concepts.units import Draws, Unit, examine_units
from canemo.config import Config, ProbeConfig, VideoConfig, load_config
from canemo.errors import AnnotationError, ConfigError, OutputExistsError
from canemo.evidence import Evidence
from canemo.files import sha256_file, write_atomically, write_table
from canemo.progress import Progress, silent
from canemo.records import Study
from canemo.report.concepts import write_concepts_report
from canemo.study import load_study

CONCEPTS_SCHEMA = 1
FOLDER = "concepts"
_SHOWN_UNMATCHED = 5


@dataclass(frozen=True)
class ConceptsResult:
    """What came out: the content of `path`, and the page and table beside it."""

    content: dict[str, Any]
    path: Path
    table: Path
    report: Path


@dataclass(frozen=True)
class CodingOptions:
    """How events become frames and what is done with them; see `concepts_study`."""

    all_coded: bool
    point_window_s: float | None
    permutations: int
    penalty: float


def concepts_study(
    study_dir: Path | str,
    events: Path | str | Sequence[Path | str],
    *,
    config: Config | None = None,
    name: str | None = None,
    columns: Mapping[str, str] | None = None,
    all_coded: bool = False,
    point_window_s: float | None = None,
    permutations: int | None = None,
    penalty: float | None = None,
    skip_invalid: bool = False,
    force: bool = False,
    command: str = "",
    progress: Progress = silent,
) -> ConceptsResult:
    """Say of each coded unit whether it is in the features, and whether the condition leans on it.

    Parameters
    ----------
    study_dir
        Folder with videos.csv; its crops and features are made or taken from the cache.
    events
        Files of coded events, see `canemo.concepts.events.read_events`. ``NAME=FILE`` names who
        coded a file; else a column ``observer`` does, else each file is a coder of its own.
    config
        Settings; None reads the study's canemo.toml over the defaults. Pooling, frames, folds, seed
        and resamples are theirs.
    name
        Of the results, ``STUDY/concepts/NAME.json``; None takes that of the first file.
    columns
        Field -> heading, where a table has other headings.
    all_coded
        Whether clips that no row names count as coded, with nothing seen; else they are left out.
    point_window_s
        Frames so far from a point event show it, either side [s]; None and anything less take half
        the sampling interval.
    permutations
        Codings and labellings that are moved; None takes ``evaluate.permutations``.
    penalty
        Of the concept probes; None takes the middle one of ``probe.penalties``.
    skip_invalid
        Whether entries that cannot be used are left out and named.
    force
        Whether results of this name may be replaced.
    command
        How it was asked for, for the record.
    progress
        Told how far it is.

    Raises
    ------
    AnnotationError
        A file of events cannot be used, or names no video of the study.
    ConfigError
        A setting is impossible.
    OutputExistsError
        There are results of this name, and `force` is not given.
    StudyError, SplitError, NoFacesError, WeightsError
        As `run`.
    """
    root = Path(study_dir)
    config = config or load_config(root)
    sources = _list_sources(events)
    options = _set_options(
        config,
        all_coded=all_coded,
        point_window_s=point_window_s,
        permutations=permutations,
        penalty=penalty,
    )
    place = root / FOLDER / f"{_name_results(name or sources[0][1].stem)}.json"
    _require_free(place, force=force)
    files = [
        read_events(path, observer=who, columns=columns, skip_invalid=skip_invalid)
        for who, path in sources
    ]
    matched = _match(files, load_study(root))
    plan, _, evidence = gather_evidence(prepare(root, config), progress=progress)
    examined = _examine(evidence, matched, options, progress=progress)
    content = {
        **_describe_study(evidence, options, examined.emotion, command=command),
        "events": _describe_events(files, matched, examined.coding),
        "agreement": {"method": METHOD, "pairs": examined.agreement},
        "units": [_describe_unit(unit, examined.coding) for unit in examined.units],
        "warnings": [*evidence.warnings, *_warn(evidence, examined.coding, options)],
        "cost": plan.cost.stages,
    }
    return _write(content, examined, place)


# -- what is asked for -----------------------------------------------------------------------------


def _list_sources(events: Path | str | Sequence[Path | str]) -> list[tuple[str, Path]]:
    """Return who coded each file, empty where that is not said, and the file."""
    given = [events] if isinstance(events, str | Path) else list(events)
    if not given:
        raise AnnotationError("no file of events; give at least one with --events FILE")
    sources = [_parse_source(each) for each in given]
    unnamed = Counter(path.stem for who, path in sources if not who)
    for stem, number in unnamed.items():
        if number > 1:
            raise AnnotationError(
                f"{number} files of events are called {stem!r}, so that their coders would pass "
                f"for one; say who coded each, with --events CODER={stem}..."
            )
    return sources


def _parse_source(given: Path | str) -> tuple[str, Path]:
    text = str(given)
    who, equals, file = text.partition("=")
    if isinstance(given, Path) or not equals or Path(text).exists() or "/" in who or "\\" in who:
        return "", Path(text)
    return who.strip(), Path(file)


def _set_options(
    config: Config,
    *,
    all_coded: bool,
    point_window_s: float | None,
    permutations: int | None,
    penalty: float | None,
) -> CodingOptions:
    penalties = sorted(config.probe.penalties)
    penalty = penalties[(len(penalties) - 1) // 2] if penalty is None else penalty
    permutations = config.evaluate.permutations if permutations is None else permutations
    if penalty <= 0:
        raise ConfigError(f"penalty = {penalty:g}; expected more than 0, such as 1")
    if permutations < 1:
        raise ConfigError(f"permutations = {permutations}; expected at least 1, such as 1000")
    if point_window_s is not None and point_window_s < 0:
        raise ConfigError(f"point_window_s = {point_window_s:g}; expected seconds from 0")
    return CodingOptions(all_coded, point_window_s, permutations, penalty)


def _name_results(name: str) -> str:
    return name.replace("/", "_").replace("\\", "_").replace(":", "_")


def _require_free(place: Path, *, force: bool) -> None:
    if place.exists() and not force:
        raise OutputExistsError(
            f"{place} is there already; give the new results a name with --name, or replace the "
            "old ones with --force"
        )


def _match(files: Sequence[EventFile], study: Study) -> Matched:
    """Return the events by video, at least one."""
    matched = match_events((event for file in files for event in file.events), study)
    _require_matched(files, matched, study)
    return matched


def _require_matched(files: Sequence[EventFile], matched: Matched, study: Study) -> None:
    """Raise AnnotationError where no row is about a video of the study, or none is an event."""
    names = ", ".join(file.path.name for file in files)
    if any(matched.by_video.values()):
        return
    if matched.coded:
        raise AnnotationError(
            f"{names}: no event of a video of the study, only rows without a code; code at least "
            "one event"
        )
    told = "".join(f"\n- {line}" for line in matched.unmatched[:_SHOWN_UNMATCHED])
    if not told:
        raise AnnotationError(f"{names}: no row could be used; at least one event is needed")
    known = ", ".join(video.video_id for video in study.videos[:3])
    raise AnnotationError(
        f"{names}: none of {len(matched.unmatched)} row(s) names a video of {study.root} (such as "
        f"{known}); say which column holds it with --column video_id=THEIR_NAME or --column "
        f"media=THEIR_NAME:{told}"
    )


# -- what is done ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Examined:
    coding: Coding
    agreement: list[dict[str, Any]]
    bench: Bench
    emotion: Emotion
    units: list[Unit]


def _examine(
    evidence: Evidence, matched: Matched, options: CodingOptions, *, progress: Progress
) -> _Examined:
    config = evidence.config
    settings = config.evaluate
    bench = set_up(evidence.materials[0], evidence.split, penalty=options.penalty)
    origin = bench.material.origin
    coding = code_frames(
        origin,
        matched,
        list_clips(evidence.study, evidence.clips, config.video),
        point_window_s=options.point_window_s or 0.0,
        all_coded=options.all_coded,
    )
    agreement = compare_coders(
        coding,
        origin["subject_id"].to_numpy(dtype=object),
        resamples=settings.resamples,
        seed=settings.seed,
    )
    label = config.study.positive_label or bench.material.labels[0]
    probe = config.probe if config.probe.method == "lda" else ProbeConfig()
    emotion = find_emotion(bench, probe, label=label, seed=settings.seed)
    units = examine_units(
        bench,
        emotion,
        {unit: coding.settle(unit) for unit in coding.units},
        draws=Draws(options.permutations, settings.resamples, settings.seed),
        progress=progress,
    )
    return _Examined(coding, agreement, bench, emotion, units)


def list_clips(study: Study, files: pd.DataFrame, video: VideoConfig) -> dict[str, Clip]:
    """Return each video's part in its file's own time, and how far its frames are apart.

    Parameters
    ----------
    study
        Its videos.
    files
        video_id, duration_s (of the part) and fps, as the files state them.
    video
        How frames are sampled.
    """
    stated = files.set_index("video_id")
    clips = {}
    for each in study.videos:
        start_s = each.start_s or 0.0
        duration_s = stated["duration_s"].get(each.video_id)
        fps = float(stated["fps"].get(each.video_id, np.nan))
        nth_s = (video.every_nth or 1) / fps
        wanted_s = 0.0 if video.fps is None else 1 / video.fps
        interval_s = max(wanted_s, nth_s) if np.isfinite(nth_s) else wanted_s
        end_s = None if duration_s is None else start_s + float(duration_s)
        end_s = end_s if end_s is not None and np.isfinite(end_s) else None
        clips[each.video_id] = Clip(start_s, end_s, interval_s)
    return clips


# -- what is said ----------------------------------------------------------------------------------


def _describe_study(
    evidence: Evidence, options: CodingOptions, emotion: Emotion, *, command: str
) -> dict[str, Any]:
    study, settings = evidence.study, evidence.config.evaluate
    return {
        "schema": CONCEPTS_SCHEMA,
        "study": {
            "name": study.root.resolve().name,
            "videos": len(study.videos),
            "subjects": len(study.subject_ids),
            "labels": list(study.labels),
            "crops": len(evidence.materials[0].origin),
        },
        "protocol": {
            **evidence.protocol,
            "label": emotion.label,
            "penalty": options.penalty,
            "permutations": options.permutations,
            "resamples": settings.resamples,
            "seed": settings.seed,
            "point_window_s": options.point_window_s,
            "all_coded": options.all_coded,
        },
        "environment": environment.describe_environment(command=command),
    }


def _describe_events(
    files: Sequence[EventFile], matched: Matched, coding: Coding
) -> dict[str, Any]:
    events = [event for file in files for event in file.events]
    return {
        "files": [
            {**f.describe(), "form_words": FORMS[f.form], "sha256": sha256_file(f.path)}
            for f in files
        ],
        "events": sum(event.start_s is not None for event in events),
        "observers": list(coding.observers),
        "unmatched": matched.unmatched,
        "outside": list(coding.outside),
        "unknown_units": list_unknown_units(events, UNITS),
        "clips_coded": len(coding.coded_clips),
        "clips_left_out": list(coding.left_out),
    }


def _describe_unit(unit: Unit, coding: Coding) -> dict[str, Any]:
    return {
        "unit": unit.name,
        "name": describe_unit(unit.name),
        "known": unit.name in UNITS,
        "events": coding.events[unit.name],
        "events_without_frame": coding.unseen[unit.name],
        "frames_disagreed": coding.count_disagreements(unit.name),
        **unit.found,
    }


def _warn(evidence: Evidence, coding: Coding, options: CodingOptions) -> list[str]:
    config, warnings = evidence.config, []
    if coding.left_out:
        warnings.append(
            f"{len(coding.left_out)} clip(s) have no event and are left out: whether they were "
            "coded cannot be told; if they were, say so with --all-coded"
        )
    parts = [v.video_id for v in evidence.study.videos if v.start_s or v.end_s is not None]
    if parts:
        warnings.append(
            f"{len(parts)} clip(s) are parts of a file (start_s, end_s): events count in the time "
            "of the whole file"
        )
    if config.probe.method != "lda":
        warnings.append(
            f"the condition is read by the closed-form discriminant, not by {config.probe.method!r}"
            ": directions can be compared between linear probes alone"
        )
    if len(evidence.materials) > 1:
        first = evidence.materials[0]
        warnings.append(f"of the sweep only pooling {first.pooling!r} is looked at")
    windows = options.point_window_s
    if windows is not None and config.video.fps and windows < 0.5 / config.video.fps:
        least = 0.5 / config.video.fps
        warnings.append(
            f"--point-window {windows:g} s is less than half the sampling interval: {least:g} s is "
            "taken, so that some frame can show a point event"
        )
    return warnings


def tabulate_frames(examined: _Examined) -> pd.DataFrame:
    """Return one row per unit and coded frame: the coding, and scores of unseen dogs.

    ``shown`` is empty where coders disagree, ``score`` and ``emotion_score`` where no fold tests
    the dog or the unit was not judged.
    """
    origin = examined.bench.material.origin
    columns = ["video_id", "subject_id", "label", "frame_index", "time_s"]
    tables: list[pd.DataFrame] = []
    for unit in examined.units:
        seen = (examined.coding.by_observer[:, examined.coding.units.index(unit.name)] >= 0).any(0)
        score = np.full(len(origin), np.nan)
        score[unit.rows] = unit.scores
        shown = pd.array(np.zeros(len(origin), dtype=bool), dtype="boolean")
        shown[unit.rows] = unit.shown
        shown[np.setdiff1d(np.arange(len(origin)), unit.rows)] = pd.NA
        table = origin.loc[:, columns].assign(
            unit=unit.name, shown=shown, score=score, emotion_score=examined.emotion.scores
        )
        tables.append(table.iloc[np.flatnonzero(seen)])
    return pd.concat(tables, ignore_index=True) if tables else _make_empty_table(origin, columns)


def _make_empty_table(origin: pd.DataFrame, columns: list[str]) -> pd.DataFrame:
    """Return the table of no unit."""
    table = origin.loc[:, columns].iloc[:0]
    return table.assign(unit="", shown=pd.array([], dtype="boolean"), score=0.0, emotion_score=0.0)


def _write(content: dict[str, Any], examined: _Examined, place: Path) -> ConceptsResult:
    """Write table, page and, last, the numbers: where they are, the others are too."""
    frames = tabulate_frames(examined)
    table = write_table(frames, place.with_suffix(".parquet"))
    report = write_concepts_report(place.with_suffix(".html"), content, frames)
    write_atomically(place, json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False))
    return ConceptsResult(content, place, table, report)
