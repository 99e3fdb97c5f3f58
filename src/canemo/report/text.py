"""What a run, a comparison or an audit found, as a few lines for the terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from canemo.report.audit import format_audit, format_finding, sort_findings
from canemo.report.comparison import write_comparison_sentence
from canemo.report.parts import format_optimism
from canemo.report.trust import list_facts
from canemo.report.verdict import (
    Comparison,
    compare_with_chance,
    describe_coverage,
    explain_verdict,
    write_first_sentence,
)
from canemo.report.wording import MEASURES, count, format_interval, format_measure, format_p
from canemo.run_record import ComparisonRecord, LevelName, RunMetrics

__all__ = ["format_audit", "format_comparison", "format_optimism", "format_result_block"]

SHOWN_WARNINGS = 5
SHOWN_FINDINGS = 5
_FINDING_LENGTH = 200


def format_result_block(metrics: RunMetrics) -> str:
    """Return the result sentence, two small tables, and a line for each check on the result.

    Parameters
    ----------
    metrics
        The content of ``metrics.json``.

    Notes
    -----
    Clips come first, frames second. Of the audit's findings at most five are shown, alarms first.
    """
    details = [explain_verdict(metrics), describe_coverage(metrics)]
    parts = [write_first_sentence(metrics), *filter(None, details)]
    parts += [_format_level(metrics, "video", "clip"), _format_level(metrics, "frame", "frame")]
    parts += filter(None, [_list_facts(metrics), _list_findings(metrics)])
    return "\n\n".join([*parts, *_list_warnings(metrics["warnings"])])


def format_comparison(content: ComparisonRecord) -> str:
    """Return a comparison as a sentence and two small tables: the models, and their differences.

    Parameters
    ----------
    content
        The content of ``comparison.json``.
    """
    majority = content["chance"]["majority"]
    always = f"always {majority['label']}"
    names = [each["name"] for each in (*content["models"], *content["missing"])]
    width = max(map(len, [*names, always])) + 2
    lines = [f"{'model':<{width}}{'train':>8}{'val.':>8}{'best*':>8}{'clips':>9}   95 % interval"]
    lines += [_format_model(model, width) for model in content["models"]]
    lines += [f"{each['name']:<{width}}missing" for each in content["missing"]]
    shares = [format_measure("accuracy", majority[level]) for level in ("frame", "video")]
    lines.append(f"{always:<{width}}{'':>8}{shares[0]:>8}{'':>8}{shares[1]:>9}")
    notes = "train, val., best: accuracy by frame; clips: accuracy by clip of unseen dogs."
    if any(model["best_epoch"] for model in content["models"]):
        notes += "\n* best epoch on the test dogs, not chosen; val. is the last epoch, which is."
    parts = [write_comparison_sentence(content), "\n".join(lines), notes]
    parts += ["\n".join(map(format_pair, content["pairs"]))] if content["pairs"] else []
    reasons = dict.fromkeys(each["reason"] for each in content["missing"])
    parts += ["\n".join(f"Missing: {reason}" for reason in reasons)] if reasons else []
    return "\n\n".join([*parts, *_list_warnings(content["warnings"])])


def _format_model(model: Mapping[str, Any], width: int) -> str:
    video, best, last = model["video"], model["best_epoch"] or {}, model["last_epoch"] or model
    cells = [last["train_accuracy"], model["frame"]["accuracy"], best.get("test_accuracy")]
    shown = "".join(f"{format_measure('accuracy', cell):>8}" for cell in cells)
    clips = format_measure("accuracy", video["accuracy"])
    interval = format_interval("accuracy", video["interval"]["accuracy"])
    mark = "  random weights: no result" if model["random_weights"] else ""
    return f"{model['name']:<{width}}{shown}{clips:>9}   {interval}{mark}"


def format_pair(pair: Mapping[str, Any]) -> str:
    """Return one of the ``pairs`` of a comparison, of models or of finished runs, as a line."""
    difference, interval = pair["difference"]["accuracy"], pair["interval"]["accuracy"]
    ends = "–" if interval is None else f"{100 * interval[0]:+.1f} to {100 * interval[1]:+.1f}"
    p = format_p(pair["p"], name="sign-flip p")
    corrected = "" if pair["p"] is None else f", corrected {format_p(pair['p_holm'], name='')}"
    effect = "" if pair.get("effect_size") is None else f"; d_z {pair['effect_size']:+.2f}"
    return (
        f"{pair['first']} minus {pair['second']}: {100 * difference:+.1f} points by clip "
        f"(95 % interval {ends}; {p}{corrected}{effect})"
    )


def _list_facts(metrics: RunMetrics) -> str:
    facts = [fact for fact in list_facts(metrics) if fact.line]
    width = max((len(fact.title) for fact in facts), default=0) + 3
    return "\n".join(f"{fact.title:<{width}}{fact.line}" for fact in facts)


def _list_findings(metrics: RunMetrics) -> str:
    findings = sort_findings(metrics.get("audit"))
    lines = [
        textwrap.shorten(format_finding(finding), _FINDING_LENGTH, placeholder=" …")
        for finding in findings[:SHOWN_FINDINGS]
    ]
    more = len(findings) - len(lines)
    if more > 0:
        lines.append(f"{count(more, 'more finding')}: see the report")
    return "\n".join(lines)


def _list_warnings(warnings: Sequence[str]) -> list[str]:
    lines = [f"Warning: {warning}" for warning in warnings[:SHOWN_WARNINGS]]
    more = len(warnings) - len(lines)
    if more > 0:
        lines.append(f"{count(more, 'more warning')}: see the report")
    return ["\n".join(lines)] if lines else []


def _format_level(metrics: RunMetrics, level: LevelName, noun: str) -> str:
    number = count(metrics["levels"][level]["n"], noun)
    heading = f"{number:<20}{'value':>8}   {'95 % interval':<16}   chance"
    rows = [_format_row(item) for item in compare_with_chance(metrics, level)]
    return "\n".join([heading, *rows])


def _format_row(item: Comparison) -> str:
    value = format_measure(item.measure, item.value)
    interval = format_interval(item.measure, item.interval)
    chance = format_measure(item.measure, item.chance)
    return f"  {MEASURES[item.measure]:<18}{value:>8}   {interval:<16}   {chance}"
