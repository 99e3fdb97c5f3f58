"""The report of a run: one HTML file that needs nothing else, for screen, phone and paper."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
from matplotlib.figure import Figure

from canemo.curves import average_curves
from canemo.files import write_atomically
from canemo.records import Fate
from canemo.report import figures, wording
from canemo.report.audit import describe_audit, list_audit_charts, state_alarms
from canemo.report.canvas import CHART_WIDTH_IN, render_png
from canemo.report.comparison_figures import draw_curves
from canemo.report.explanation_text import describe_explanation
from canemo.report.methods import write_methods
from canemo.report.parts import describe_parts, list_part_charts
from canemo.report.trust import list_facts
from canemo.report.trust_figures import list_trust_charts
from canemo.report.verdict import (
    Comparison,
    compare_with_chance,
    describe_coverage,
    explain_verdict,
    judge_run,
    write_first_sentence,
)
from canemo.run_record import LevelName, RunMetrics, RunRecord, read_run

REPORT_FILE = "report.html"

_SETTINGS = {
    "preset": "Preset",
    "preset_departures": "Departs from the preset in",
    "sampling": "Frames",
    "detector": "Face detector",
    "detector_sha256": "Detector, SHA-256",
    "backbone": "Backbone",
    "backbone_note": "About the backbone",
    "weights_source": "Weights from",
    "weights_sha256": "Weights, SHA-256",
    "pooling": "Pooling",
    "engine": "Engine",
    "precision": "Precision",
    "split": "Split",
    "folds": "Folds",
    "seed": "Seed",
    "positive_label": "Positive label",
    "class_weight": "Class weight",
    "method": "Method",
    "gradient": "Training",
    "augment": "Augmentation",
    "sequence": "Training",
    "penalties": "Penalties offered",
    "penalty_chosen": "Penalty chosen, by fold",
    "temperature_chosen": "Temperature chosen, by fold",
    "frames": "Frames that count",
    "sweep": "Offered to the inner folds",
    "interval": "Kind of interval",
    "resamples": "Resamples of dogs",
}


_ALTS = {
    "crops.png": "Sheet of example face crops, grouped by condition.",
    "eigencam.png": "Face crops, each with its EigenCAM map laid over it, by condition.",
    "decision.png": "Face crops, each with what speaks for and against a condition laid over it.",
}


@dataclass(frozen=True)
class Picture:
    """One figure: its data address, what it shows in words, its width [% of the text]."""

    address: str
    alt: str
    width_percent: int


def write_report(run_dir: Path) -> Path:
    """Write `run_dir/report.html` from the files of the run, and return its path.

    Parameters
    ----------
    run_dir
        The folder of a finished run. Only files in it are read.

    Raises
    ------
    ModelError
        `run_dir` is not a finished run.
    """
    return write_atomically(run_dir / REPORT_FILE, render_report(read_run(run_dir)))


def render_report(run: RunRecord) -> str:
    """Return the report as one HTML page, every text of the study escaped."""
    metrics = run.metrics
    return open_template("run.html.j2").render(
        study=metrics["study"],
        protocol=metrics["protocol"],
        warnings=metrics["warnings"],
        environment=run.environment,
        config_toml=run.config_toml,
        first_sentence=wording.join_units(write_first_sentence(metrics)),
        details=[
            wording.join_units(text)
            for text in (
                explain_verdict(metrics),
                describe_coverage(metrics),
                state_alarms(metrics),
            )
            if text
        ],
        standing=str(judge_run(metrics)),
        reads_clips=metrics["protocol"].get("method", "").startswith("sequence"),
        majority_label=metrics["chance"]["majority"]["label"],
        split_words=wording.describe_split(
            metrics["protocol"]["split"], metrics["protocol"]["folds"]
        ),
        narrow_intervals=metrics["protocol"].get("interval", "percentile") == "percentile",
        has_metadata=bool(metrics["chance"].get("metadata")),
        levels=_tabulate_levels(metrics),
        trust=list_facts(metrics),
        parts=describe_parts(metrics),
        audit=describe_audit(metrics.get("audit")),
        explanation=describe_explanation(run.explanation) if run.explanation else None,
        fates=_tabulate_fates(metrics["study"]),
        subjects=_tabulate_subjects(metrics),
        settings=_tabulate_settings(metrics.protocol.to_dict()),
        cost=_tabulate_cost(metrics["cost"]),
        methods=wording.join_units(write_methods(metrics, run.environment)).split("\n\n"),
        paper=wording.PAPER,
        paper_url=wording.PAPER_URL,
        pictures=_draw_pictures(run),
        count=wording.count,
        quote=wording.quote,
        join_words=wording.join_words,
        join_units=wording.join_units,
        write_sentence=wording.write_sentence,
        percent=_format_percent,
        group_digits=wording.group_digits,
    )


def open_template(name: str) -> jinja2.Template:
    """Return a page template beside this file; every text put into it is escaped."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(name)


def _format_percent(share: float | None) -> str:
    return wording.join_units(wording.format_percent(share))


def _tabulate_levels(metrics: RunMetrics) -> list[dict[str, Any]]:
    nouns: dict[LevelName, str] = {"video": "clip", "frame": "frame"}
    metadata = {"video": metrics["chance"].get("metadata") or {}, "frame": {}}
    return [
        {
            "title": wording.count(metrics["levels"][level]["n"], noun),
            "rows": [
                _tabulate_comparison(item, metadata[level].get(item.measure))
                for item in compare_with_chance(metrics, level)
            ],
        }
        for level, noun in nouns.items()
    ]


def _tabulate_comparison(item: Comparison, metadata: float | None) -> dict[str, str]:
    return {
        "measure": wording.MEASURES[item.measure],
        "value": wording.format_measure(item.measure, item.value),
        "interval": wording.format_interval(item.measure, item.interval),
        "chance": wording.format_measure(item.measure, item.chance),
        "metadata": wording.format_measure(item.measure, metadata),
    }


def _tabulate_fates(study: Mapping[str, Any]) -> dict[str, Any]:
    """Return frames by fate (rows) and label (columns), with totals and the share used."""
    by_label = study["fates_by_label"]
    used = {
        label: counts.get(Fate.USED, 0) / max(sum(counts.values()), 1)
        for label, counts in by_label.items()
    }
    rows = [
        (wording.describe_fate(fate), [by_label[label].get(fate, 0) for label in by_label], total)
        for fate, total in study["fates"].items()
    ]
    totals = [sum(counts.values()) for counts in by_label.values()]
    return {
        "labels": list(by_label),
        "rows": rows,
        "totals": [*totals, sum(study["fates"].values())],
        "used": used,
    }


def _tabulate_subjects(metrics: RunMetrics) -> list[dict[str, Any]]:
    """Return the facts about each dog beside its result, in the order of `metrics.json`."""
    table = metrics["study"].get("subjects_table") or []
    facts = {row["subject_id"]: row for row in table}
    columns = list(dict.fromkeys(key for row in table for key in row if key != "subject_id"))
    return [
        {
            **row,
            "facts": {
                _name_column(key): _show(facts.get(row["subject_id"], {}).get(key))
                for key in columns
            },
        }
        for row in metrics["subjects"]
    ]


def _tabulate_settings(protocol: Mapping[str, Any]) -> dict[str, str]:
    named = {title: _show(protocol[key]) for key, title in _SETTINGS.items() if key in protocol}
    further = {key: _show(value) for key, value in protocol.items() if key not in _SETTINGS}
    return {**named, **further}


def _tabulate_cost(cost: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, str, str, str]]:
    return [
        (
            stage,
            wording.format_seconds(entry["seconds"]),
            wording.group_digits(entry["items"]),
            f"{entry['items'] / entry['seconds']:,.1f}" if entry["seconds"] > 0 else "–",
        )
        for stage, entry in cost.items()
    ]


def _name_column(key: str) -> str:
    """Return a column of the subjects table as a heading: ``age_years`` is "Age [years]"."""
    name, _, unit = key.rpartition("_")
    words = f"{name} [{unit}]" if name and unit in ("years", "months", "kg", "cm") else key
    return words.replace("_", " ").capitalize() if key.islower() else words


def _show(value: Any) -> str:
    if wording.is_missing(value) or value == "":
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_show(each)}" for key, each in value.items()) or "–"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return _show_sequence(value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def _show_sequence(values: Sequence[Any]) -> str:
    """Return the values joined; a run of equal values, as one per fold, is counted."""
    shown = [_show(value) for value in values]
    if len(shown) <= 8:
        return ", ".join(shown)
    return ", ".join(f"{text} ({shown.count(text)} times)" for text in dict.fromkeys(shown))


def _draw_pictures(run: RunRecord) -> dict[str, Picture]:
    """Return the figures of the report by name; those that the run has no data for are absent."""
    metrics, study = run.metrics, run.metrics["study"]
    majority = metrics["chance"]["majority"]
    confusion = metrics["levels"]["video"]["confusion"]
    comparisons = {
        "clips": compare_with_chance(metrics, "video"),
        "frames": compare_with_chance(metrics, "frame"),
    }
    charts: dict[str, tuple[Figure | None, str]] = {
        "subjects": (
            figures.draw_subjects(study.get("subjects_table")),
            "Bar charts of the number of dogs by age and by sex.",
        ),
        "label_counts": (
            figures.draw_label_counts(study["labels_by_subject"]),
            "Stacked bar chart of the number of clips of each dog by condition.",
        ),
        "ledger": (figures.draw_ledger(study["fates_by_label"]), _describe_ledger(study)),
        "intervals": (figures.draw_intervals(comparisons), _describe_intervals(comparisons)),
        "subject_accuracy": (
            figures.draw_subject_accuracy(
                metrics["subjects"], chance=majority["video"], majority_label=majority["label"]
            ),
            _describe_subjects(metrics["subjects"]),
        ),
        "curves": (_draw_curves(run), "Loss and accuracy by epoch, in training and validation."),
        "confusion": (figures.draw_confusion(confusion), _describe_confusion(confusion)),
    }
    charts |= list_trust_charts(metrics) | list_part_charts(metrics) | list_audit_charts(metrics)
    drawn = {name: embed_figure(*chart) for name, chart in charts.items()}
    found = {
        name: embed_file(path, _ALTS.get(name, path.stem)) for name, path in run.pictures.items()
    }
    return {name: picture for name, picture in (drawn | found).items() if picture is not None}


def _draw_curves(run: RunRecord) -> Figure | None:
    if run.curves.empty:
        return None
    curves = average_curves(run.curves).assign(model=run.metrics["protocol"]["backbone"])
    return draw_curves(curves, majority=run.metrics["chance"]["majority"]["frame"])


def embed_figure(figure: Figure | None, alt: str) -> Picture | None:
    """Return a chart as a picture as wide as it was drawn; None where there is no chart."""
    if figure is None:
        return None
    return Picture(_data_address(render_png(figure)), alt, _width_percent(figure))


def _width_percent(figure: Figure) -> int:
    return round(100 * figure.get_figwidth() / CHART_WIDTH_IN)


def embed_file(path: Path, alt: str) -> Picture:
    """Return a PNG file as a picture as wide as the text."""
    return Picture(_data_address(path.read_bytes()), alt, 100)


def _data_address(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode("ascii")


def _describe_ledger(study: Mapping[str, Any]) -> str:
    facts = [
        f"{label}: {counts.get(Fate.USED, 0)} of {sum(counts.values())} frames used"
        for label, counts in study["fates_by_label"].items()
    ]
    return f"Stacked bars of what became of the frames. {'; '.join(facts)}."


def _describe_intervals(levels: Mapping[str, Sequence[Comparison]]) -> str:
    facts = [
        f"{wording.MEASURES[item.measure]} on {name} "
        f"{wording.format_measure(item.measure, item.value)}"
        for name, items in levels.items()
        for item in items
    ]
    return f"Each measure with its 95 % interval and chance. {'; '.join(facts)}."


def _describe_subjects(subjects: Sequence[Mapping[str, Any]]) -> str:
    values = [row["accuracy"] for row in subjects]
    return (
        f"Dot plot of the accuracy of each of {wording.count(len(values), 'dog')}, from "
        f"{wording.format_percent(min(values), decimals=0)} to "
        f"{wording.format_percent(max(values), decimals=0)}."
    )


def _describe_confusion(confusion: Mapping[str, Any]) -> str:
    labels = confusion["labels"]
    facts = [
        f"{number} clips filmed in {true} classified as {predicted}"
        for true, row in zip(labels, confusion["counts"], strict=True)
        for predicted, number in zip(labels, row, strict=True)
    ]
    return f"Confusion matrix: {'; '.join(facts)}."
