"""What is said of how faces move."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pandas as pd

from canemo.report.tables import (
    COUNT,
    P_VALUE,
    SECONDS,
    SIGNED,
    THREE_DECIMALS,
    TWO_DECIMALS,
    Column,
    Noted,
    Table,
    describe_frame,
    describe_records,
    list_lines,
)
from canemo.report.words import wording
from canemo.report.words.voice import Voice, name_voice
from canemo.study.records.dynamics import DynamicsRecord, LeftClip, MeasureContrast

_CLIPS = {
    "video_id": "the clip",
    "subject_id": "the dog it shows",
    "label": "the condition it was filmed in",
    "frames": "frames that were looked at",
    "measured": "frames in which the face was measured",
    "bridged": "frames in which something was missing for so short that it was bridged",
    "seconds": "from the first frame measured to the last [s]",
}
_EVENTS = {
    "video_id": "the clip",
    "code": "move_ or, of a point event, quick_ and the part of the face; mouth_open; empty: "
    "nothing happened in the clip",
    "start_s": "onset, seconds from the first picture of the file",
    "end_s": "end; empty of a point event",
    "duration_s": "how long it lasted [s]",
    "bridged": "yes where it rests in part on frames that were bridged",
    "observer": "who coded it",
}
_ENDS = {
    "_speed_median": "median speed above the noise of its points [face units per second]",
    "_speed_95": "95 % of the speed above the noise of its points [face units per second]",
    "_range": "how far its points move, beyond what those of a still face do [face units]",
    "_movements": "movements a minute",
    "_openings": "times it is seen to open, a minute",
    "_share": "share of the time",
}


def find_dynamics_voice(record: DynamicsRecord) -> Voice:
    """Return the voice in which the result is told."""
    names = [record.study.name, *record.study.labels, *(each.video_id for each in record.left)]
    return name_voice(record.study.species, names)


def write_dynamics_sentence(record: DynamicsRecord) -> str:
    """Return what was found in words that claim no more than the tests do."""
    tested = [each for each in record.contrasts if each.p is not None]
    label, others = wording.quote(record.protocol.label), name_others(record)
    if not tested:
        reasons = list(dict.fromkeys(e.reason for e in record.contrasts if e.reason))
        why = f": {reasons[0]}" if reasons else ""
        return f"Nothing could be compared between {label} and {others}{why}."
    parts = [
        _say_differing(
            [each for each in tested if each.kind == kind and each.differs],
            sum(each.kind == kind for each in tested),
            what,
        )
        for kind, what in (("motion", "of motion"), ("posture", "of posture"))
    ]
    return f"Between {label} and {others}, {'; '.join(parts)}."


def name_others(record: DynamicsRecord) -> str:
    """Return what the condition was compared with."""
    others = record.protocol.others
    return wording.quote(others) if others in record.study.labels else others


def _say_differing(found: Sequence[MeasureContrast], tested: int, what: str) -> str:
    number = f"{wording.count(tested, 'measure')} {what}"
    if not found:
        return f"none of {number} can be shown to differ within dogs"
    names = wording.join_words([name_measure(each.measure) for each in found])
    return f"of {number} these differ within dogs: {names}"


def name_measure(name: str) -> str:
    """Return the name of a measure in words."""
    if name == "mouth_open_openings":
        return "openings of the mouth"
    if name == "mouth_open_share":
        return "time with open mouth"
    for end, what in (("_speed_95", "speed"), ("_range", "range"), ("_movements", "movements")):
        if name.endswith(end):
            return f"{what} of the {name.removesuffix(end)}"
    return name.replace("_", " ")


def list_dynamics_tables(
    record: DynamicsRecord, clips: pd.DataFrame, events: pd.DataFrame
) -> dict[str, Table]:
    """Return the tables that there is anything to put into."""
    tables = {
        "contrasts": describe_contrasts(record),
        "counts": describe_counts(record),
        "left": _describe_left(record.left),
        "clips": describe_frame("Clips.", clips, _describe_clips(clips)),
        "events": describe_frame("Events.", events, _EVENTS, elsewhere="events.csv"),
    }
    return {name: table for name, table in tables.items() if table.rows}


def describe_contrasts(record: DynamicsRecord) -> Table:
    """Return how each measure differs, a line each, motion before posture."""
    label, others = wording.quote(record.protocol.label), name_others(record)
    columns = (
        Column("measure", "Measure", "what is compared, and its unit", kind="noted", ends="Unit",
               at=lambda row: Noted(name_measure(row.measure), row.unit)),
        Column("first", label, f"mean in {label}", THREE_DECIMALS,
               at=lambda row: row.means and row.means[0]),
        Column("second", others, f"mean in {others}", THREE_DECIMALS,
               at=lambda row: row.means and row.means[1]),
        Column("effect", "Effect", f"{label} less {others} within a dog, mean over dogs, in "
               "standard deviations of clips of one dog in one condition", SIGNED, kind="estimate",
               ends_at="effect_interval", ends="95 % interval over dogs", is_main=True),
        Column("difference", "Difference", "the same in the unit of the measure", THREE_DECIMALS),
        Column("p", "p", "of labels of whole clips moved within dogs", P_VALUE),
        Column("p_holm", "p (corrected)", "corrected for the number of measures (Holm)", P_VALUE),
        *_count_dogs(record.contrasts),
        Column("verdict", "Verdict", at=_judge),
    )  # fmt: skip
    kinds = {"motion": "Motion", "posture": "Posture: median over the clip"}
    rows = sorted(record.contrasts, key=lambda each: each.kind)
    lines = [
        replace(line, group=kinds[row.kind])
        for line, row in zip(list_lines(columns, rows), rows, strict=True)
    ]
    caption = f"Measures of {label} against {others}, within {_tell_dogs(record)}."
    return Table(caption, columns, tuple(lines), style="result", groups="Kind")


def _count_dogs(contrasts: Sequence[MeasureContrast]) -> tuple[Column, ...]:
    """Return how many dogs and clips a line rests on, where they are not the same on all."""
    if len({(each.subjects, each.clips) for each in contrasts}) == 1:
        return ()
    return (
        Column("subjects", "Dogs", "with clips of both in which it is known", COUNT),
        Column("clips", "Clips", "of these dogs", COUNT),
    )


def _tell_dogs(record: DynamicsRecord) -> str:
    """Return the dogs that all measures are compared within, and how many where that is one."""
    counts = {(each.subjects, each.clips) for each in record.contrasts}
    if len(counts) != 1:
        return "dogs"
    ((dogs, clips),) = counts
    return f"{dogs} dogs, {clips} clips"


def _judge(row: MeasureContrast) -> str:
    if row.p_holm is None:
        return row.reason or "–"
    return "differs" if row.differs else "not shown"


def describe_counts(record: DynamicsRecord) -> Table:
    """Return how often what happened, a line per code."""
    label, others = wording.quote(record.protocol.label), name_others(record)
    columns = (
        Column("code", "Event"),
        Column("events", "Events", "in all", COUNT),
        Column("clips", "Clips", "in which there is one", COUNT),
        Column("first", label, f"events a minute in {label}", TWO_DECIMALS,
               at=lambda row: row.per_minute[0]),
        Column("second", others, f"events a minute in {others}", TWO_DECIMALS,
               at=lambda row: row.per_minute[1]),
        Column("median_s", "Duration", "median [s]", SECONDS),
    )  # fmt: skip
    caption = "Events, a minute in each condition, all clips together; no test."
    return describe_records(caption, columns, record.events)


def _describe_left(left: Sequence[LeftClip]) -> Table:
    columns = (Column("video_id", "Clip"), Column("reason", "Why"))
    return describe_records("Clips without dynamics.", columns, left)


def _describe_clips(clips: pd.DataFrame) -> dict[str, str]:
    meanings = dict(_CLIPS)
    for name in map(str, clips.columns):
        if name not in meanings and name != "reason":
            end = next((end for end in _ENDS if name.endswith(end)), "")
            meanings[name] = (
                f"{name.removesuffix(end).replace('_', ' ')}: {_ENDS[end]}"
                if end
                else "median over the clip, as docs/measures.md defines it"
            )
    return meanings | {"reason": "why the clip has no dynamics"}
