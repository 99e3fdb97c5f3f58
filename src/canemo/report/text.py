"""What a run, a comparison or an audit found, as a few lines for the terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from canemo.report.audit import format_audit, format_finding, sort_findings
from canemo.report.comparison import (
    describe_clips,
    describe_frames,
    describe_pairs,
    list_reasons,
    write_comparison_sentence,
)
from canemo.report.parts import format_optimism
from canemo.report.run_tables import describe_result
from canemo.report.tables import describe_texts, format_text
from canemo.report.trust import list_facts
from canemo.report.verdict import describe_coverage, explain_verdict, write_first_sentence
from canemo.report.voice import find_voice
from canemo.report.wording import count
from canemo.study.run_record import ComparisonRecord, RunMetrics

__all__ = ["format_audit", "format_comparison", "format_optimism", "format_result_block"]

SHOWN_WARNINGS = 5
SHOWN_FINDINGS = 5
_FINDING_LENGTH = 200


def format_result_block(metrics: RunMetrics) -> str:
    """Return the result sentence, a table, and a line for each check on the result.

    Parameters
    ----------
    metrics
        The content of ``metrics.json``.

    Notes
    -----
    Clips come first, frames second. Of the audit's findings at most five are shown, alarms first.
    """
    result = describe_result(metrics).pick("measure", "value", "interval", "chance")
    checks = {fact.title: fact.line for fact in list_facts(metrics) if fact.line}
    parts = [
        write_first_sentence(metrics),
        explain_verdict(metrics),
        describe_coverage(metrics),
        format_text(result, is_captioned=False),
        format_text(describe_texts("", checks), is_captioned=False),
        _list_findings(metrics),
        format_warnings(metrics.warnings),
    ]
    return find_voice(metrics.study).say("\n\n".join(filter(None, parts)))


def format_comparison(content: ComparisonRecord) -> str:
    """Return a comparison as a sentence and its tables: the models, and their differences.

    Parameters
    ----------
    content
        The content of ``comparison.json``.
    """
    parts = [
        write_comparison_sentence(content),
        format_text(describe_frames(content)),
        format_text(describe_clips(content)),
        format_text(describe_pairs(content.pairs)) if content.pairs else "",
        "\n".join(f"Missing: {reason}" for reason in list_reasons(content)),
        format_warnings(content.warnings),
    ]
    return find_voice(content.study).say("\n\n".join(filter(None, parts)))


def format_warnings(warnings: Sequence[str]) -> str:
    """Return the first few warnings, a line each, and how many more there are."""
    lines = [f"Warning: {warning}" for warning in warnings[:SHOWN_WARNINGS]]
    more = len(warnings) - len(lines)
    if more > 0:
        lines.append(f"{count(more, 'more warning')}: see the report")
    return "\n".join(lines)


def _list_findings(metrics: RunMetrics) -> str:
    findings = sort_findings(metrics.audit)
    lines = [
        textwrap.shorten(format_finding(finding), _FINDING_LENGTH, placeholder=" …")
        for finding in findings[:SHOWN_FINDINGS]
    ]
    more = len(findings) - len(lines)
    if more > 0:
        lines.append(f"{count(more, 'more finding')}: see the report")
    return "\n".join(lines)
