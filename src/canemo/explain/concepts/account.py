"""What the result of `canemo concepts` says of how it came about, and what it warns of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from canemo import environment
from canemo.explain.concepts.coding import Coding, list_unknown_units
from canemo.explain.concepts.directions import ConditionProbe
from canemo.explain.concepts.matching import Matched
from canemo.explain.concepts.options import CodingOptions
from canemo.explain.concepts.units import Unit
from canemo.files import sha256_file
from canemo.formats.events.reading import FORMS, EventFile
from canemo.learn.evidence import Evidence
from canemo.species import Species
from canemo.study.records.document import CONCEPTS, stamp

_SHOWN = 5


def describe_study(
    evidence: Evidence, options: CodingOptions, condition: ConditionProbe, *, command: str
) -> dict[str, Any]:
    """Return the study, the settings of its examination and the programs used."""
    study, settings = evidence.study, evidence.config.evaluate
    content = {
        "study": {
            "name": study.root.resolve().name,
            "species": evidence.config.study.species,
            "videos": len(study.videos),
            "subjects": len(study.subject_ids),
            "labels": list(study.labels),
            "crops": len(evidence.materials[0].origin),
        },
        "protocol": {
            **evidence.protocol,
            "label": condition.label,
            "penalty": options.penalty,
            "permutations": options.permutations,
            "resamples": settings.resamples,
            "seed": settings.seed,
            "point_window_s": options.point_window_s,
            "all_coded": options.all_coded,
        },
        "environment": environment.describe_environment(command=command),
    }
    return stamp(content, CONCEPTS)


def describe_events(
    files: Sequence[EventFile], matched: Matched, coding: Coding, species: Species
) -> dict[str, Any]:
    """Return what was read from the files of events, and what of it was not used."""
    events = [event for file in files for event in file.events]
    return {
        "files": [
            {**f.describe(), "form_words": FORMS[f.form], "sha256": sha256_file(f.path)}
            for f in files
        ],
        "events": sum(event.start_s is not None for event in events),
        "observers": list(coding.observers),
        "unmatched": matched.unmatched,
        "subjects_assumed": matched.assumed,
        "outside": list(coding.outside),
        "unknown_units": list_unknown_units(events, species.units),
        "units_never_used": {who: list(units) for who, units in coding.never_used.items()},
        "clips_coded": len(coding.coded_clips),
        "clips_left_out": list(coding.left_out),
    }


def describe_result(unit: Unit, coding: Coding, species: Species) -> dict[str, Any]:
    """Return what was found of a unit, and how much of its coding could be used."""
    return {
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
