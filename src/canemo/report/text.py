"""The result of a run as a few lines for the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from canemo.report.comparison import write_comparison_sentence
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


def format_comparison(content: Mapping[str, Any]) -> str:
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
    parts += ["\n".join(map(_format_pair, content["pairs"]))] if content["pairs"] else []
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


def _format_pair(pair: Mapping[str, Any]) -> str:
    difference, interval = pair["difference"]["accuracy"], pair["interval"]["accuracy"]
    ends = "–" if interval is None else f"{100 * interval[0]:+.1f} to {100 * interval[1]:+.1f}"
    p = "–" if pair["p"] is None else f"{pair['p']:.3f}, corrected {pair['p_holm']:.3f}"
    return (
        f"{pair['first']} minus {pair['second']}: {100 * difference:+.1f} points by clip "
        f"(95 % interval {ends}; sign-flip p {p})"
    )


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
