"""The command `concepts`: coded action units of a study's clips against its frozen features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from canemo import environment
from canemo.config import Config, ProbeConfig, VideoConfig, load_config
from canemo.errors import AnnotationError, OutputExistsError
from canemo.explain.concepts.account import (
    describe_events,
    describe_protocol,
    describe_result,
    describe_study,
    list_warnings,
)
from canemo.explain.concepts.agreement import METHOD, compare_coders
from canemo.explain.concepts.coding import Clip, Coding, code_frames
from canemo.explain.concepts.directions import ConditionProbe, learn_condition
from canemo.explain.concepts.matching import Matched, match_events
from canemo.explain.concepts.options import CodingOptions, list_sources, set_options
from canemo.explain.concepts.probes import Probing, set_up
from canemo.explain.concepts.units import Draws, Unit, examine_units
from canemo.files import write_table
from canemo.formats.events.reading import EventFile, read_events
from canemo.learn.evidence import Evidence
from canemo.parallel import Progress, silent
from canemo.pipeline.assess import gather_evidence
from canemo.pipeline.plan import prepare
from canemo.records import Study
from canemo.report.pages.concepts import write_concepts_report
from canemo.study.load import load_study
from canemo.study.records.concepts import (
    Agreement,
    CoderPair,
    ConceptsRecord,
    Environment,
)
from canemo.study.records.run import StageCost

FOLDER = "concepts"
_SHOWN_UNMATCHED = 5


@dataclass(frozen=True)
class ConceptsResult:
    """What came out: what `path` holds, and the page and table beside it."""

    record: ConceptsRecord
    path: Path
    table: Path
    report: Path


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
        Files of coded events, see `canemo.formats.events.reading.read_events`. ``NAME=FILE`` names
        who coded a file; else a column ``observer`` does, else each file is a coder of its own.
    config
        Settings; None reads the study's canemo.toml over the defaults. Pooling, frames, folds, seed
        and resamples are theirs.
    name
        Of the results, ``STUDY/concepts/NAME.json``; None takes that of the first file.
    columns
        Field -> heading, where a table has other headings.
    all_coded
        Whether every coder coded every clip, with nothing seen where no row of theirs names it;
        else a clip counts for the coders who name it, and is left out where none does.
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
    sources = list_sources(events)
    options = set_options(
        config,
        all_coded=all_coded,
        point_window_s=point_window_s,
        permutations=permutations,
        penalty=penalty,
    )
    place = root / FOLDER / f"{_name_results(name or sources[0][1].stem)}.json"
    _require_free(place, force=force)
    files = [
        read_events(
            path,
            units=config.species.units,
            observer=who,
            columns=columns,
            skip_invalid=skip_invalid,
        )
        for who, path in sources
    ]
    matched = _match(files, load_study(root))
    plan = prepare(root, config)
    _, evidence = gather_evidence(plan, progress=progress)
    examined = _examine(evidence, matched, options, progress=progress)
    coding = examined.coding
    record = ConceptsRecord(
        study=describe_study(evidence),
        protocol=describe_protocol(evidence, options, examined.condition),
        environment=Environment.model_validate(environment.describe_environment(command=command)),
        events=describe_events(files, matched, coding, config.species),
        agreement=Agreement(method=METHOD, pairs=examined.agreement),
        units=tuple(describe_result(unit, coding, config.species) for unit in examined.units),
        warnings=(*evidence.warnings, *list_warnings(evidence, coding, options)),
        cost={name: StageCost.model_validate(each) for name, each in plan.cost.stages.items()},
    )
    return _write(record, examined, place)


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


@dataclass(frozen=True)
class _Examined:
    coding: Coding
    agreement: tuple[CoderPair, ...]
    probing: Probing
    condition: ConditionProbe
    units: list[Unit]


def _examine(
    evidence: Evidence, matched: Matched, options: CodingOptions, *, progress: Progress
) -> _Examined:
    config = evidence.config
    settings = config.evaluate
    probing = set_up(evidence.materials[0], evidence.split, penalty=options.penalty)
    origin = probing.material.origin
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
    label = config.study.positive_label or probing.material.labels[0]
    probe = config.probe if config.probe.method == "lda" else ProbeConfig()
    condition = learn_condition(probing, probe, label=label, seed=settings.seed)
    units = examine_units(
        probing,
        condition,
        {unit: coding.settle(unit) for unit in coding.units},
        draws=Draws(options.permutations, settings.resamples, settings.seed),
        progress=progress,
    )
    return _Examined(coding, agreement, probing, condition, units)


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


def tabulate_frames(examined: _Examined) -> pd.DataFrame:
    """Return one row per unit and coded frame: the coding, and scores of unseen subjects.

    ``shown`` is empty where coders disagree, ``score`` and ``condition_score`` where no fold tests
    the subject or the unit was not judged.
    """
    origin = examined.probing.material.origin
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
            unit=unit.name, shown=shown, score=score, condition_score=examined.condition.scores
        )
        tables.append(table.iloc[np.flatnonzero(seen)])
    return pd.concat(tables, ignore_index=True) if tables else _make_empty_table(origin, columns)


def _make_empty_table(origin: pd.DataFrame, columns: list[str]) -> pd.DataFrame:
    """Return the table of no unit."""
    table = origin.loc[:, columns].iloc[:0]
    return table.assign(
        unit="", shown=pd.array([], dtype="boolean"), score=0.0, condition_score=0.0
    )


def _write(record: ConceptsRecord, examined: _Examined, place: Path) -> ConceptsResult:
    """Write table, page and, last, the numbers: where they are, the others are too."""
    frames = tabulate_frames(examined)
    table = write_table(frames, place.with_suffix(".parquet"))
    report = write_concepts_report(place.with_suffix(".html"), record, frames)
    record.write(place)
    return ConceptsResult(record, place, table, report)
