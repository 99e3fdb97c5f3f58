"""The result of a run as a few lines for the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from canemo.report.verdict import (
    Comparison,
    compare_with_chance,
    describe_coverage,
    explain_verdict,
    write_first_sentence,
)
from canemo.report.wording import MEASURES, count, format_interval, format_measure

SHOWN_WARNINGS = 5


def format_result_block(metrics: Mapping[str, Any]) -> str:
    """Return the result sentence and a small table, clips first, frames second.

    Parameters
    ----------
    metrics
        The content of ``metrics.json``.
    """
    details = [explain_verdict(metrics), describe_coverage(metrics)]
    parts = [write_first_sentence(metrics), *filter(None, details)]
    parts += [_format_level(metrics, "video", "clip"), _format_level(metrics, "frame", "frame")]
    return "\n\n".join([*parts, *_list_warnings(metrics["warnings"])])


def _list_warnings(warnings: Sequence[str]) -> list[str]:
    lines = [f"Warning: {warning}" for warning in warnings[:SHOWN_WARNINGS]]
    more = len(warnings) - len(lines)
    if more > 0:
        lines.append(f"{count(more, 'more warning')}: see the report")
    return ["\n".join(lines)] if lines else []


def _format_level(metrics: Mapping[str, Any], level: str, noun: str) -> str:
    number = count(metrics["levels"][level]["n"], noun)
    heading = f"{number:<20}{'value':>8}   {'95 % interval':<16}   chance"
    rows = [_format_row(item) for item in compare_with_chance(metrics, level)]
    return "\n".join([heading, *rows])


def _format_row(item: Comparison) -> str:
    value = format_measure(item.measure, item.value)
    interval = format_interval(item.measure, item.interval)
    chance = format_measure(item.measure, item.chance)
    return f"  {MEASURES[item.measure]:<18}{value:>8}   {interval:<16}   {chance}"
