"""What a run, a comparison or an audit found, as a few lines for the terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence

from canemo.report.tables import describe_texts, format_text
from canemo.report.words.audit import format_audit, format_finding, sort_findings
from canemo.report.words.checks import list_facts
from canemo.report.words.comparison import (
    describe_clips,
    describe_frames,
    describe_pairs,
    list_reasons,
    write_comparison_sentence,
)
from canemo.report.words.concepts import (
    find_concepts_voice,
    list_concept_tables,
    list_remarks,
    write_concepts_sentence,
)
from canemo.report.words.dynamics import (
    describe_contrasts,
    describe_counts,
    find_dynamics_voice,
    write_dynamics_sentence,
)
from canemo.report.words.parts import format_optimism
from canemo.report.words.run import describe_result
from canemo.report.words.verdict import describe_coverage, explain_verdict, write_first_sentence
from canemo.report.words.voice import find_voice
from canemo.report.words.wording import MEANINGS, MEASURES, count
from canemo.study.records.comparison import ComparisonRecord
from canemo.study.records.concepts import ConceptsRecord, EventsRead
from canemo.study.records.dynamics import DynamicsRecord
from canemo.study.records.run import RunMetrics
from canemo.trust.standing import compare_with_chance

__all__ = ["format_audit", "format_comparison", "format_optimism", "format_result_block"]

SHOWN_LINES = 5


def format_result_block(metrics: RunMetrics) -> str:
    """Return the result sentence, a table, and a line for each check on the result.

    Clips come first, frames second. Of the audit's findings at most five are shown, alarms first.
    """
    result = describe_result(metrics).pick("measure", "value", "interval", "chance")
    checks = {fact.title: fact.line for fact in list_facts(metrics) if fact.line}
    parts = [
        write_first_sentence(metrics),
        explain_verdict(metrics),
        describe_coverage(metrics),
        format_text(result, is_captioned=False),
        result.look_for,
        _explain_measures(metrics),
        format_text(describe_texts("", checks), is_captioned=False),
        _show_first("finding", map(format_finding, sort_findings(metrics.audit))),
        _format_warnings(metrics.warnings),
    ]
    return find_voice(metrics.study).say("\n\n".join(filter(None, parts)))


def _explain_measures(metrics: RunMetrics) -> str:
    """Return what the lines of the table of results are."""
    names = [item.measure for item in compare_with_chance(metrics) if item.measure != "macro_f1"]
    facts = [f"{MEASURES[name]}: {MEANINGS[name]}" for name in names]
    return textwrap.fill(f"({'; '.join(facts)})", 100)


def format_comparison(content: ComparisonRecord) -> str:
    """Return a comparison as a sentence and its tables: the models, and their differences."""
    parts = [
        write_comparison_sentence(content),
        format_text(describe_frames(content), is_explained=True),
        format_text(describe_clips(content), is_explained=True),
        format_text(describe_pairs(content.pairs), is_explained=True) if content.pairs else "",
        "\n".join(f"Missing: {reason}" for reason in list_reasons(content)),
        _format_warnings(content.warnings),
    ]
    return find_voice(content.study).say("\n\n".join(filter(None, parts)))


def _format_warnings(warnings: Sequence[str]) -> str:
    return _show_first("warning", [f"Warning: {warning}" for warning in warnings])


def _show_first(noun: str, texts: Iterable[str]) -> str:
    """Return the first few texts, a line each, and how many more there are."""
    lines = list(texts)
    more = len(lines) - SHOWN_LINES
    left = [f"{count(more, f'more {noun}')}: see the report"] if more > 0 else []
    return "\n".join(lines[:SHOWN_LINES] + left)


def format_concepts(record: ConceptsRecord) -> str:
    """Return what `canemo concepts` found as sentences and tables."""
    tables = list_concept_tables(record)
    shown = {
        "decoding": "unit frames shown dogs within interval p_holm pooled pooled_null unseen "
        "disagreed verdict",
        "directions": "unit correlation sensitivity whole left p_holm verdict",
        "agreement": "unit observers kappa agreement frames first second reason",
    }
    parts = [
        write_concepts_sentence(record.units, label=record.protocol.label),
        _format_understood(record.events),
    ]
    parts += [
        format_text(tables[name].pick(*keys.split()), is_explained=True)
        for name, keys in shown.items()
        if name in tables
    ]
    parts += ["\n".join(f"Warning: {text}" for text in record.warnings)]
    return find_concepts_voice(record).say("\n\n".join(filter(None, parts)))


def _format_understood(events: EventsRead) -> str:
    lines = [
        f"{file.file}: {file.form_words}, {count(file.events, 'row')}; "
        + ", ".join(f"{ours} = {theirs!r}" for ours, theirs in file.columns.items())
        for file in events.files
    ]
    lines.append(
        f"{count(events.clips_coded, 'clip')} coded, {len(events.clips_left_out)} left out"
    )
    for title, texts in list_remarks(events):
        lines += [f"{title}: {text}" for text in texts[:SHOWN_LINES]]
        if len(texts) > SHOWN_LINES:
            lines.append(f"{title}: {len(texts) - SHOWN_LINES} more, see the report")
    return "\n".join(lines)


def format_dynamics(record: DynamicsRecord) -> str:
    """Return what `canemo dynamics` found as a sentence and tables."""
    contrasts = describe_contrasts(record).pick("measure", "effect", "p", "p_holm", "verdict")
    parts = [
        write_dynamics_sentence(record),
        format_text(contrasts) if record.contrasts else "",
        format_text(describe_counts(record)) if record.events else "",
        f"{len(record.left)} clip(s) without dynamics" if record.left else "",
        _format_warnings(record.warnings),
    ]
    return find_dynamics_voice(record).say("\n\n".join(filter(None, parts)))
