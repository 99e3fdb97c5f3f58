"""What the result of `canemo concepts` says of how it came about, and what it warns of."""

from __future__ import annotations

from collections.abc import Sequence

from canemo.explain.concepts.coding import Coding, list_unknown_units
from canemo.explain.concepts.directions import ConditionProbe
from canemo.explain.concepts.matching import Matched
from canemo.explain.concepts.options import CodingOptions
from canemo.explain.concepts.units import Unit
from canemo.files import sha256_file
from canemo.formats.events.reading import FORMS, EventFile
from canemo.learn.evidence import Evidence
from canemo.species import Species
from canemo.study.records.concepts import (
    CodedStudy,
    CodedUnit,
    ConceptsProtocol,
    EventsFile,
    EventsRead,
)

_SHOWN = 5


def describe_study(evidence: Evidence) -> CodedStudy:
    """Return what was coded."""
    study = evidence.study
    return CodedStudy(
        name=study.root.resolve().name,
        species=evidence.config.study.species,
        videos=len(study.videos),
        subjects=len(study.subject_ids),
        labels=study.labels,
        crops=len(evidence.materials[0].origin),
    )


def describe_protocol(
    evidence: Evidence, options: CodingOptions, condition: ConditionProbe
) -> ConceptsProtocol:
    """Return the settings of the examination."""
    settings = evidence.config.evaluate
    return ConceptsProtocol.model_validate(
        {
            **evidence.protocol,
            "label": condition.label,
            "penalty": options.penalty,
            "permutations": options.permutations,
            "resamples": settings.resamples,
            "seed": settings.seed,
            "point_window_s": options.point_window_s,
            "all_coded": options.all_coded,
        }
    )


def describe_events(
    files: Sequence[EventFile], matched: Matched, coding: Coding, species: Species
) -> EventsRead:
    """Return what was read from the files of events, and what of it was not used."""
    events = [event for file in files for event in file.events]
    return EventsRead(
        files=tuple(_describe_file(file) for file in files),
        events=sum(event.start_s is not None for event in events),
        observers=coding.observers,
        unmatched=tuple(matched.unmatched),
        subjects_assumed=tuple(matched.assumed),
        outside=tuple(coding.outside),
        unknown_units=list_unknown_units(events, species.units),
        units_never_used={who: tuple(units) for who, units in coding.never_used.items()},
        clips_coded=len(coding.coded_clips),
        clips_left_out=tuple(coding.left_out),
    )


def _describe_file(file: EventFile) -> EventsFile:
    return EventsFile(
        file=file.path.name,
        form=file.form,
        form_words=FORMS[file.form],
        columns=dict(file.columns),
        unused_columns=tuple(file.unused),
        events=len(file.events),
        observers=tuple(sorted({event.observer for event in file.events})),
        notes=tuple(file.notes),
        left_out=tuple(file.left_out),
        sha256=sha256_file(file.path),
    )


def describe_result(unit: Unit, coding: Coding, species: Species) -> CodedUnit:
    """Return what was found of a unit, and how much of its coding could be used."""
    return CodedUnit.model_validate(
        {
            "unit": unit.name,
            "name": species.units.get(unit.name, ""),
            "known": unit.name in species.units,
            "events": coding.events[unit.name],
            "events_without_frame": coding.unseen[unit.name],
            "frames_disagreed": coding.count_disagreements(unit.name),
            **unit.found,
            **{
                key: species.fill(unit.found[key])
                for key in ("reason", "direction_reason")
                if unit.found[key] is not None
            },
        }
    )


def list_warnings(evidence: Evidence, coding: Coding, options: CodingOptions) -> list[str]:
    """Return what a reader has to know to read the numbers right."""
    config = evidence.config
    warnings = _warn_of_coders(coding)
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


def _warn_of_coders(coding: Coding) -> list[str]:
    """Return who never used which unit, where there are several coders."""
    never = [
        f"{who!r} never used {', '.join(units[:_SHOWN])}{', ...' if len(units) > _SHOWN else ''}"
        for who, units in coding.never_used.items()
    ]
    if not never:
        return []
    more = f"; {len(never) - _SHOWN} more coders likewise" if len(never) > _SHOWN else ""
    return [
        f"coder {'; coder '.join(never[:_SHOWN])}{more}: of these units that coder does not count; "
        "files of one coder belong together under one name, --events CODER=FILE for each"
    ]
