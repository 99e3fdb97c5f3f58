"""The tables of a run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from canemo.report.tables import (
    COUNT,
    MISSING,
    NUMBER,
    ONE_DECIMAL,
    P_VALUE,
    PERCENT,
    SECONDS,
    TEXT,
    Column,
    Line,
    Table,
    choose_format,
    describe_records,
    describe_texts,
    show_value,
)
from canemo.report.words import wording
from canemo.report.words.audit import ALARM, describe_findings, list_audit_tables
from canemo.report.words.checks import list_facts
from canemo.report.words.parts import describe_parts, name_pooling
from canemo.report.words.verdict import (
    describe_coverage,
    explain_favourite,
    explain_verdict,
    write_first_sentence,
)
from canemo.study.records.folders import PREDICTIONS_FILE, RunRecord
from canemo.study.records.run import RunMetrics, StudyFacts
from canemo.study.records.scores import LevelName
from canemo.trust.standing import compare_with_chance

_MOST_NAMED = 12
"""Of rounds whose dogs are named beside what the round chose."""

_NOUNS: Mapping[LevelName, str] = {"video": "clip", "frame": "frame"}

_SETTINGS = {
    "preset": "Preset",
    "preset_departures": "Departs from the preset in",
    "sampling": "Frames",
    "detector": "Face detector",
    "detector_sha256": "Detector, SHA-256",
    "backbone": "Backbone",
    "backbone_reason": "Why this backbone",
    "backbone_note": "About the backbone",
    "weights_source": "Weights from",
    "weights_sha256": "Weights, SHA-256",
    "pooling": "Part of the features",
    "engine": "Program that runs the network",
    "engine_reason": "Why this program",
    "detector_engine": "Program that runs the detector",
    "device": "Processor or graphics card",
    "precision": "Precision of numbers",
    "split": "Split",
    "folds": "Rounds of training and testing",
    "seed": "Seed of random numbers",
    "positive_label": "Condition that probabilities are of",
    "class_weight": "Weight of conditions",
    "method": "Method",
    "gradient": "Training",
    "augment": "Augmentation",
    "sequence": "Training",
    "penalties": "Penalties offered",
    "penalty_chosen": "Penalty chosen, by round",
    "temperature_chosen": "Temperature chosen, by round",
    "frames": "Frames that count",
    "sweep": "Offered to choose from",
    "interval": "Kind of interval",
    "resamples": "Times that dogs were drawn again",
}

_STAGES = {
    "load": "open the network",
    "crop": "find faces and cut them out",
    "measure": "find the points of the faces",
    "embed": "turn faces into features",
    "evaluate": "learn and test",
    "trust": "checks and audit",
    "model": "learn from all dogs",
    "explain": "maps",
}

_METHODS = {
    "lda": "linear discriminant",
    "logistic": "logistic regression",
    "gradient": "linear layer, trained in epochs",
    "sequence_mean": "model of the whole clip, mean over time",
    "sequence_attention": "model of the whole clip, attention over time",
    "sequence_convolution": "model of the whole clip, convolution over time",
    "sequence_gru": "model of the whole clip, recurrent",
}

_TELL: Mapping[str, Callable[[Any], Any]] = {
    "method": lambda name: f"{_METHODS[name]} ({name})" if name in _METHODS else name,
    "pooling": lambda name: f"{name_pooling(name)} ({name})",
    "frames": wording.describe_frames,
    "interval": wording.describe_interval,
    "sweep": lambda sweep: _tell_sweep(**sweep),
    "class_weight": lambda weight: "all alike" if weight == "balanced" else "by number of clips",
}
"""Settings whose values need more words than settings have."""


def list_run_tables(run: RunRecord) -> dict[str, Table]:
    """Return the tables of a run that hold anything, by name, in the order of its report."""
    metrics = run.metrics
    tables = {
        "fates": _describe_fates(metrics.study),
        "result": describe_result(metrics),
        "confusion": _describe_confusion(metrics),
        "subjects": _describe_subjects(metrics),
        "checks": describe_texts(
            "Checks on the result, on clips of dogs not seen in training.",
            {fact.title: fact.text for fact in list_facts(metrics)},
            style="settings facts",
        ),
        "permutation": _describe_permutation(metrics),
        "calibration": _describe_calibration(metrics),
        "learning_curve": _describe_learning_curve(metrics),
        "parts": describe_parts(metrics),
        **list_audit_tables(metrics.audit),
        "findings": _add_doubts(describe_findings(metrics.audit), run),
        "settings": describe_settings(_name_rounds(run)),
        "cost": _describe_cost(metrics),
        "versions": describe_versions(run.environment),
    }
    return {name: table for name, table in tables.items() if table is not None and table.rows}


def _name_rounds(run: RunRecord) -> dict[str, Any]:
    """Return the settings, what each round chose beside the dog that it kept aside."""
    protocol = run.metrics.protocol.to_dict()
    if protocol["split"] != "loso" or not (run.folder / PREDICTIONS_FILE).is_file():
        return protocol
    rounds = run.predictions.drop_duplicates("fold").sort_values("fold")
    for key in ("penalty_chosen", "temperature_chosen"):
        chosen = protocol.get(key) or ()
        if len(chosen) == len(rounds) <= _MOST_NAMED:
            protocol[key] = dict(zip(rounds["subject_id"], chosen, strict=True))
    return protocol


def describe_verdict(run: RunRecord) -> Table:
    """Return whether the result stands and its main numbers, for whoever gets one file only."""
    metrics = run.metrics
    doubtful = 0 if run.clips is None else sum(bool(clip.doubts) for clip in run.clips.clips)
    alarms = sum(each.severity == ALARM for each in metrics.audit.findings)
    found = f"{wording.count(alarms, 'alarm')}, {wording.count(doubtful, 'doubtful clip')}"
    texts = {
        "Verdict": write_first_sentence(metrics),
        "Why": explain_verdict(metrics),
        "Same answers": explain_favourite(metrics.levels.video.confusion.favourite),
        "Rests on": describe_coverage(metrics),
        "Findings": f"{found}: see the sheet findings." if alarms or doubtful else "",
    }
    for line in _list_results(metrics, "video"):
        value, ends = (
            str(show_value(line.values[key], line.format or TEXT)) for key in ("value", "interval")
        )
        texts[line.values["measure"]] = f"{value}, 95 % interval {ends}"
    texts["More"] = "The sheet columns says what the columns of the other sheets mean."
    return describe_texts("The verdict.", {key: text for key, text in texts.items() if text})


def _add_doubts(findings: Table, run: RunRecord) -> Table:
    """Return the findings of the audit and, below, what is doubtful of single clips."""
    lines = [
        Line(
            {"severity": "Doubt", "text": f"{clip.video_id}: {wording.write_sentence(doubt.text)}"}
        )
        for clip in (() if run.clips is None else run.clips.clips)
        for doubt in clip.doubts
    ]
    return replace(findings, rows=(*findings.rows, *lines))


def describe_result(metrics: RunMetrics) -> Table:
    """Return every measure beside chance, of clips first and of frames second."""
    majority, metadata = metrics.chance.majority, metrics.chance.metadata
    always = f"Always {wording.quote(majority.label)}"
    columns = [
        Column("measure", "Measure"),
        Column("value", "Value", "on dogs not seen in training", PERCENT, is_main=True),
        Column("interval", "95 % interval", "95 % interval, dogs drawn again and again", PERCENT,
               kind="interval"),
        Column("chance", always, "what always giving this answer would reach", PERCENT),
    ]  # fmt: skip
    beside = ""
    if metadata is not None:
        meaning = f"a probe that sees {len(metadata.columns)} facts about clip and face, no picture"
        columns.append(Column("metadata", "Metadata alone", meaning, PERCENT))
        beside = ", and beside a probe on metadata alone"
    caption = (
        "Result on dogs not seen in training, beside a classifier that always answers "
        f"{wording.quote(majority.label)}{beside}."
    )
    rows = [row for level in _NOUNS for row in _list_results(metrics, level)]
    return Table(
        caption,
        tuple(columns),
        tuple(rows),
        look_for=explain_favourite(metrics.levels.video.confusion.favourite),
        groups="Level",
        style="result",
    )


def _list_results(metrics: RunMetrics, level: LevelName) -> list[Line]:
    group = wording.count(getattr(metrics.levels, level).n, _NOUNS[level])
    metadata = metrics.chance.metadata
    rows = []
    for item in compare_with_chance(metrics, level):
        if item.measure == "macro_f1":  # says what balanced accuracy says; metrics.json has it
            continue
        values: dict[str, Any] = {
            "measure": wording.MEASURES[item.measure],
            "value": item.value,
            "interval": item.interval,
            "chance": item.chance,
        }
        if metadata is not None:
            values["metadata"] = getattr(metadata, item.measure) if level == "video" else None
        rows.append(Line(values, choose_format(item.measure), group))
    return rows


def _describe_fates(study: StudyFacts) -> Table:
    """Return frames by fate and label, with totals."""
    by_label = study.fates_by_label
    columns = [Column("fate", "Fate", "what became of a frame that was looked at")]
    columns += _list_labels(by_label, "frames of clips filmed in {}")
    columns.append(Column("all", "All", "frames", COUNT))
    rows = [
        Line({"fate": wording.describe_fate(fate), "all": total}
            | {f"label {label}": counts.get(fate, 0) for label, counts in by_label.items()})
        for fate, total in study.fates.items()
    ]  # fmt: skip
    totals = {f"label {label}": sum(counts.values()) for label, counts in by_label.items()}
    rows.append(Line({"fate": "All", "all": sum(study.fates.values()), **totals}, is_total=True))
    return Table("Frames by fate and condition.", tuple(columns), tuple(rows))


def _list_labels(labels: Iterable[str], meaning: str) -> list[Column]:
    return [
        Column(f"label {label}", label, meaning.format(wording.quote(label)), COUNT)
        for label in labels
    ]


def _describe_confusion(metrics: RunMetrics) -> Table:
    confusion = metrics.levels.video.confusion
    columns = [Column("filmed", "Filmed in"), *_list_labels(confusion.labels, "classified as {}")]
    keys = [column.key for column in columns]
    rows = [
        Line(dict(zip(keys, (label, *counts), strict=True)))
        for label, counts in zip(confusion.labels, confusion.counts, strict=True)
    ]
    caption = "Clips by the condition they were filmed in and the one they were classified as."
    return Table(caption, tuple(columns), tuple(rows))


def _describe_subjects(metrics: RunMetrics) -> Table:
    """Return the facts about each dog beside its result, in the order of `metrics.json`."""
    table = metrics.study.subjects_table or ()
    facts = {row["subject_id"]: row for row in table}
    keys = dict.fromkeys(key for row in table for key in row if key != "subject_id")
    labels = _list_labels(metrics.study.labels, "clips filmed in {}")
    columns = [
        Column("subject_id", "Dog"),
        *(_describe_fact(key, [row.get(key) for row in table]) for key in keys),
        *labels,
        Column("videos", "Clips", "clips that were tested", COUNT),
        Column("accuracy", "Accuracy", wording.MEANINGS["accuracy"], PERCENT, is_main=True),
    ]
    rows = []
    for subject in metrics.subjects:
        own = facts.get(subject.subject_id, {})
        values = {f"fact {key}": own.get(key) if own.get(key) != "" else None for key in keys}
        values |= {column.key: subject.labels.get(column.heading, 0) for column in labels}
        result = {key: getattr(subject, key) for key in ("subject_id", "videos", "accuracy")}
        rows.append(Line({**result, **values}))
    return Table("The dogs.", tuple(columns), tuple(rows), style="subjects")


def _describe_fact(key: str, values: Sequence[Any]) -> Column:
    """Return a column of the subjects table; ``age_years`` has the heading "Age [years]"."""
    name, _, unit = key.rpartition("_")
    words = f"{name} [{unit}]" if name and unit in ("years", "months", "kg", "cm") else key
    heading = words.replace("_", " ").capitalize() if key.islower() else words
    known = [value for value in values if not wording.is_missing(value)]
    are_numbers = all(type(value) in (int, float) for value in known)
    return Column(f"fact {key}", heading, format=NUMBER if known and are_numbers else TEXT)


def _describe_permutation(metrics: RunMetrics) -> Table:
    columns = (
        Column("statistic", "Statistic", at=lambda test: wording.MEASURES[test.statistic]),
        Column("observed", "Observed", "with the labels as they are", PERCENT),
        Column("null_mean", "Mean", "with labels moved within dogs", PERCENT),
        Column("null_high", "High", "exceeded one time in twenty with labels moved", PERCENT),
        Column("p", "p", "share of labellings that do as well", P_VALUE),
        Column("n", "Labellings", "how many were tried", COUNT),
    )
    return describe_records("The permutation test.", columns, [metrics.permutation])


def _describe_calibration(metrics: RunMetrics) -> Table:
    columns = (
        Column("low", "From", "least probability of the bin", PERCENT),
        Column("high", "To", "greatest probability of the bin", PERCENT),
        Column("n", "Clips", format=COUNT),
        Column("probability", "Probability", "mean of what was said", PERCENT),
        Column("share", "Share", "how many were filmed in it", PERCENT),
    )
    label = wording.quote(metrics.calibration.positive_label)
    caption = f"How often clips were filmed in {label} that were given it with a probability."
    return describe_records(caption, columns, metrics.calibration.bins)


def _describe_learning_curve(metrics: RunMetrics) -> Table | None:
    curve = metrics.learning_curve
    if curve is None:
        return None
    form = choose_format(curve.measure)
    columns = (
        Column("subjects", "Dogs", "learned from", COUNT),
        Column("score", wording.MEASURES[curve.measure], format=form),
        Column("low", "Low", "lower end of the 95 % interval", form),
        Column("high", "High", "upper end of the 95 % interval", form),
    )
    caption = "What models reach that learned from fewer dogs; the last line is extrapolated."
    return describe_records(caption, columns, [*curve.points, curve.extrapolation])


def _describe_cost(metrics: RunMetrics) -> Table:
    columns = (
        Column("stage", "Stage"),
        Column("seconds", "Time", "of the clock", SECONDS, unit="s"),
        Column("items", "Items", "frames, crops or rounds", COUNT),
        Column("rate", "Items per second", format=ONE_DECIMAL,
               at=lambda cost: cost.items / cost.seconds if cost.seconds > 0 and cost.items > 1
               else None),
    )  # fmt: skip
    cost = {_STAGES.get(stage, stage): each for stage, each in metrics.cost.items()}
    return describe_records("Time by stage.", columns, cost)


def _tell_sweep(poolings: Sequence[str], frames: Sequence[str]) -> str:
    offers = [[name_pooling(name) for name in poolings], list(map(wording.describe_frames, frames))]
    return "; ".join(", ".join(offer) for offer in offers if offer)


def _leave(value: Any) -> Any:
    return value


def describe_settings(protocol: Mapping[str, Any]) -> Table:
    """Return how something was made, a line per setting; those without a name come last."""
    told = dict(protocol) | {
        key: tell(protocol[key]) for key, tell in _TELL.items() if key in protocol
    }
    if "split" in told and "folds" in told:
        told["split"] = wording.describe_split(told["split"], told.pop("folds"))
    named = {title: _tell(told[key]) for key, title in _SETTINGS.items() if key in told}
    further = {key: _tell(value) for key, value in told.items() if key not in _SETTINGS}
    texts = {name: text for name, text in {**named, **further}.items() if text not in ("", MISSING)}
    return describe_texts("Settings.", texts)


def describe_versions(environment: Mapping[str, Any]) -> Table:
    """Return with which programs, on which machine, by which command something was made."""
    texts = {
        "canemo": environment["canemo"],
        "Python": environment["python"],
        "Platform": environment["platform"],
        "Processor": environment["processor"] or None,
        **environment["packages"],
        "Command": environment["command"],
        "Created": environment["created"],
    }
    return describe_texts("Versions.", texts)


def _tell(value: Any) -> str:
    """Return a setting as text; a long run of equal values, as one per fold, is counted."""
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_tell(each)}" for key, each in value.items()) or "–"
    if isinstance(value, Sequence) and not isinstance(value, str):
        texts = [_tell(each) for each in value]
        if len(texts) > 8:
            texts = [f"{text} ({texts.count(text)} times)" for text in dict.fromkeys(texts)]
        return ", ".join(texts)
    form = NUMBER if isinstance(value, float) else TEXT
    return str(show_value(None if value == "" else value, form))
