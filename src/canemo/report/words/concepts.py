"""What is said of coded units."""

from __future__ import annotations

from collections.abc import Sequence

from canemo.report.tables import (
    COUNT,
    P_VALUE,
    PERCENT,
    SIGNED,
    THREE_DECIMALS,
    TWO_DECIMALS,
    Column,
    Noted,
    Table,
    describe_records,
    describe_texts,
)
from canemo.report.words import wording
from canemo.report.words.voice import Voice, name_voice
from canemo.study.records.concepts import (
    CodedUnit,
    CoderPair,
    ConceptsRecord,
    EventsFile,
    EventsRead,
)

MAX_MARKED_FRAMES = 300


_DECODING = {
    "decodable": "decodable",
    "not shown": "not shown to be decodable",
    "too few": "too few to tell",
}


_DIRECTION = {
    "aligned": "shares its direction",
    "not shown": "not shown to share it",
    "not asked": "–",
    "cannot be asked": "cannot be asked",
}


def write_concepts_sentence(units: Sequence[CodedUnit], *, label: str) -> str:
    """Return what was found in words that claim no more than the tests do."""
    if not units:
        return "No unit was coded in any clip with a usable face."
    judged = sum(unit.verdict != "too few" for unit in units)
    if not judged:
        number = wording.count(len(units), "unit")
        return f"Too little was coded to say whether any of {number} can be decoded."
    decoded = [unit.unit for unit in units if unit.is_decodable]
    number = wording.count(judged, "unit")
    if not decoded:
        return (
            f"None of {number} judged can be shown to be decodable on dogs the probe has not seen."
        )
    sentence = (
        f"{wording.join_words(decoded)} can be decoded on dogs the probe has not seen, of {number} "
        "judged."
    )
    return f"{sentence} {_state_directions(units, label=wording.quote(label))}"


def _state_directions(units: Sequence[CodedUnit], *, label: str) -> str:
    decoded = [unit for unit in units if unit.is_decodable]
    if all(unit.direction_verdict == "cannot be asked" for unit in decoded):
        reason = decoded[0].direction_reason
        return f"Whether the probe of {label} has a direction in common cannot be asked: {reason}."
    aligned = [unit.unit for unit in units if unit.direction_verdict == "aligned"]
    if not aligned:
        return f"None that can be decoded is shown to share its direction with {label}."
    shares = "shares its direction" if len(aligned) == 1 else "share their direction"
    return (
        f"{wording.join_words(aligned)} {shares} with the probe of {label}: that is no cause, for "
        "whatever goes along with it has that direction too."
    )


def list_remarks(events: EventsRead) -> list[tuple[str, Sequence[str]]]:
    """Return what was not used or not known in the files of events, by kind, empty kinds apart."""
    unknown = [f"{unit!r}, {wording.count(n, 'time')}" for unit, n in events.unknown_units.items()]
    left_out = [f"{f.file}, {line}" for f in events.files for line in f.left_out]
    unused = [f"{f.file}: {', '.join(f.unused_columns)}" for f in events.files if f.unused_columns]
    moved = [f"{f.file}: {note}" for f in events.files for note in f.notes]
    never = [
        f"{who}, {', '.join(units)}: no witness of their absence"
        for who, units in events.units_never_used.items()
    ]
    kinds = [
        ("not a DogFACS code, kept as given", unknown),
        ("entry left out", left_out),
        ("no video", events.unmatched),
        ("beyond its clip", events.outside),
        ("times moved", moved),
        ("taken for the video's own", events.subjects_assumed),
        ("unit that a coder never used", never),
        ("columns not read", unused),
    ]
    return [(title, texts) for title, texts in kinds if texts]


def list_concept_tables(record: ConceptsRecord) -> dict[str, Table]:
    """Return the tables that there is anything to put into."""
    units, pairs = record.units, record.agreement.pairs
    decodable = [unit for unit in units if unit.is_decodable]
    tables = {
        "decoding": describe_decoding(units),
        "directions": describe_directions(decodable, label=record.protocol.label),
        "agreement": describe_agreement(pairs, method=record.agreement.method),
        "events": _describe_files(record.events.files),
    }
    return {name: table for name, table in tables.items() if table.rows}


def describe_decoding(units: Sequence[CodedUnit]) -> Table:
    """Return what can be decoded, a line per unit."""
    columns = (
        _unit_column(),
        Column("frames", "Frames", "frames with a face that were coded", COUNT, short="frames"),
        Column("shown", "shown", "frames that show the unit", COUNT),
        Column("dogs", "Dogs with both", "dogs with frames of both states", COUNT, short="dogs",
               at="subjects.both_states"),
        Column("within", "Within dogs", "AUROC by frame within a dog, mean over dogs",
               THREE_DECIMALS, short="within", is_main=True, at="within.auroc"),
        Column("interval", "95 % interval", "95 % interval over dogs of the AUROC within dogs",
               THREE_DECIMALS, kind="interval", at="within.interval"),
        Column("p_holm", "p (corrected)", "p of moved codings, corrected for the number of units "
               "(Holm)", P_VALUE, at="permutation.p_holm"),
        Column("pooled", "All dogs pooled", "AUROC over the frames of all dogs", THREE_DECIMALS,
               short="pooled", at="pooled.auroc"),
        Column("pooled_interval", "95 % interval", "95 % interval of the AUROC of all dogs pooled",
               THREE_DECIMALS, kind="interval", at="pooled.interval"),
        Column("pooled_null", "pooled, moved", "what moved codings give over all dogs, on average",
               THREE_DECIMALS, short="moved", at="pooled.null_mean"),
        Column("moved", "Moved", "what changed places within a dog: whole clips or stretches",
               at="permutation.moved"),
        Column("unseen", "Unseen", "events between the frames looked at or where no face was found",
               COUNT, short="unseen", at="events_without_frame"),
        Column("disagreed", "Disagreed", "frames left out because coders disagree", COUNT,
               short="disagreed", at="frames_disagreed"),
        Column("verdict", "Verdict", at=lambda unit: _join_reason(_DECODING[unit.verdict],
                                                                  unit.reason)),
    )  # fmt: skip
    caption = "AUROC of units, by frame of unseen dogs."
    return describe_records(caption, columns, units, style="result")


def describe_directions(units: Sequence[CodedUnit], *, label: str) -> Table:
    """Return which of the units that can be decoded share their direction with a condition."""
    codings, of = "middle 95 % of moved codings", "direction.correlation"
    step, left = "direction.sensitivity", "direction.removal.auroc"
    columns = (
        _unit_column(),
        Column("correlation", "Correlation", "of the scores of both probes within unseen dogs",
               SIGNED, kind="estimate", ends=codings, is_main=True, at=f"{of}.value",
               ends_at=f"{of}.null"),
        Column("null_labels", "labels moved", "middle 95 % of moved labels", SIGNED,
               kind="interval", at=f"{of}.null_labels"),
        Column("p", "p, coding moved", "of the correlation, codings being moved", P_VALUE,
               at=f"{of}.p"),
        Column("p_labels", "p, labels moved", "of the correlation, labels being moved", P_VALUE,
               at=f"{of}.p_labels"),
        Column("p_holm", "p (corrected)", "the greater p, corrected for the number of units (Holm)",
               P_VALUE, at=f"{of}.p_holm"),
        Column("sensitivity", "Change of the logit", "for one step along the unit", SIGNED,
               unit="logits", short="logit", kind="estimate", ends=codings, at=f"{step}.value",
               ends_at=f"{step}.null"),
        Column("p_sensitivity", "p, greater", "of the change of the logit: the greater of that of "
               "moved codings and that of moved labels", P_VALUE, at=_take_greater),
        Column("whole", "AUROC", "of the condition by clip, as it is", THREE_DECIMALS,
               at=f"{left}.whole"),
        Column("left", "AUROC left", "of the condition by clip, once the unit is taken out of the "
               "features", THREE_DECIMALS, short="left", kind="estimate", ends=codings,
               at=f"{left}.left", ends_at=f"{left}.null"),
        Column("verdict", "Verdict", at=lambda unit: _join_reason(
            _DIRECTION[unit.direction_verdict], unit.direction_reason)),
    )  # fmt: skip
    caption = f"Directions of units and of {wording.quote(label)}, each value with the {codings}."
    return describe_records(caption, columns, units, style="result")


def _unit_column(*, is_named: bool = True) -> Column:
    return Column("unit", "Unit", "code of the action unit", kind="noted", ends="Name",
                  at=lambda row: Noted(row.unit, row.name if is_named else ""))  # fmt: skip


def _join_reason(verdict: str, reason: str | None) -> str:
    return f"{verdict}: {reason}" if reason else verdict


def _take_greater(unit: CodedUnit) -> float | None:
    """Return the greater of the p of moved codings and that of moved labels."""
    if unit.direction is None:
        return None
    p_values = (unit.direction.sensitivity.p, unit.direction.sensitivity.p_labels)
    known = [p for p in p_values if p is not None]
    return max(known) if len(known) == len(p_values) else None


def describe_agreement(pairs: Sequence[CoderPair], *, method: str) -> Table:
    """Return how far coders agree, a line per unit and pair of coders."""
    columns = [
        _unit_column(is_named=False),
        Column("observers", "Coders", at=lambda pair: " and ".join(pair.observers)),
        Column("frames", "Frames", "that both coded", COUNT),
        Column("subjects", "Dogs", format=COUNT),
        Column("agreement", "Alike", "share of frames that both coded alike", PERCENT),
        Column("first", "Shown, first", "share of frames in which the first coder saw it", PERCENT,
               at=lambda pair: pair.prevalence[0]),
        Column("second", "Shown, second", "the same of the second coder", PERCENT,
               at=lambda pair: pair.prevalence[1]),
        Column("kappa", "Kappa", "agreement beyond chance", TWO_DECIMALS, kind="estimate",
               ends="95 % interval, over resampled dogs", is_main=True, ends_at="interval"),
    ]  # fmt: skip
    if any(pair.kappa is None for pair in pairs):
        columns.append(Column("reason", "Not known", at=lambda pair: pair.reason or ""))
    caption = f"{method}; interval: 95 % percentiles over resampled dogs."
    return describe_records(caption, columns, pairs, style="result")


def _describe_files(files: Sequence[EventsFile]) -> Table:
    texts = {
        file.file: f"{file.form_words}, {wording.count(file.events, 'row')}, coded by "
        f"{', '.join(file.observers)}; "
        + ", ".join(f"{ours} = {wording.quote(theirs)}" for ours, theirs in file.columns.items())
        for file in files
    }
    return describe_texts("The files of events.", texts)


def find_concepts_voice(record: ConceptsRecord) -> Voice:
    """Return the voice in which the concepts of a study are spoken of."""
    study = record.study
    return name_voice(study.species, [study.name, *study.labels])
