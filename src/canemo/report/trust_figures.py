"""The charts of how far the result can be trusted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from canemo.report.canvas import (
    ACCENT,
    INK,
    MUTED,
    new_figure,
    set_literal_text,
    shorten,
    style_axes,
)
from canemo.report.rows import Row, draw_rows
from canemo.report.wording import (
    count,
    format_measure,
    format_percent,
    is_missing,
    name_in_text,
    quote,
    read_interval,
)
from canemo.run_record import RunMetrics


def list_trust_charts(metrics: RunMetrics) -> dict[str, tuple[Figure | None, str]]:
    """Return the charts that the run has data for, each with its words."""
    rows, calibration = list_yardsticks(metrics), metrics.get("calibration") or {}
    curve, detectable = metrics.get("learning_curve"), metrics.get("detectable") or {}
    chance = 1 / len(metrics["study"]["labels"])
    charts: dict[str, tuple[Figure | None, str]] = {}
    if len(rows) > 1:
        drawn = draw_rows(rows, chance=chance, xlabel="balanced accuracy by clip")
        charts["yardsticks"] = (drawn, _describe_rows(rows))
    if calibration.get("bins"):
        title = "predicted condition" if len(metrics["study"]["labels"]) > 2 else None
        label = title or quote(str(calibration.get("positive_label")))
        charts["calibration"] = (
            draw_calibration(calibration["bins"], label=label),
            _describe_bins(calibration["bins"]),
        )
    if curve:
        charts["learning_curve"] = (draw_learning_curve(curve), _describe_curve(curve))
    if len(detectable.get("curve") or []) > 1:
        charts["power"] = (draw_power(detectable), "Line chart of power by balanced accuracy.")
    return charts


def list_yardsticks(metrics: RunMetrics) -> list[Row]:
    """Return the run's balanced accuracy and what it stands beside, as rows of a chart."""
    video = metrics["levels"]["video"]
    permutation = metrics.get("permutation") or {}
    metadata = metrics["chance"].get("metadata") or {}
    name = "balanced_accuracy"
    rows = [Row("this run", video[name], read_interval(video, name))]
    if permutation.get("statistic") == name and not is_missing(permutation.get("null_mean")):
        mean, high = permutation["null_mean"], permutation.get("null_high")
        span = None if high is None or is_missing(high) else (float(mean), float(high))
        rows.append(Row("labels moved within dogs", mean, span, muted=True))
    if not is_missing(metadata.get(name)):
        rows.append(
            Row("metadata alone", metadata[name], read_interval(metadata, name), muted=True)
        )
    least = (metrics.get("detectable") or {}).get(name)
    if not is_missing(least):
        rows.append(Row("least this study could show", least, muted=True))
    return rows


def draw_calibration(bins: Sequence[Mapping[str, Any]], *, label: str) -> Figure:
    """Draw how often a condition was true by how probable it was said to be.

    Parameters
    ----------
    bins
        Each with ``probability``, ``share`` and the number ``n`` of clips, drawn as area.
    label
        What the probability is of.
    """
    figure = new_figure(3.1, width_in=3.3)
    axes = figure.add_subplot()
    axes.plot([0, 1], [0, 1], color=INK, linewidth=0.9, linestyle=(0, (4, 3)))
    x, y = ([each[name] for each in bins] for name in ("probability", "share"))
    number = np.array([each["n"] for each in bins], dtype=float)
    axes.plot(x, y, color=ACCENT, linewidth=1, alpha=0.5)
    axes.scatter(x, y, s=8 + 140 * number / max(number.max(), 1), color=ACCENT, zorder=4)
    axes.set(xlim=(-0.04, 1.04), ylim=(-0.04, 1.04))
    axes.set_aspect("equal")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(PercentFormatter(1.0, symbol=" %", decimals=0))
    axes.set_xlabel(f"probability of {shorten(label, 30)}")
    axes.set_ylabel("share of clips filmed in it")
    style_axes(axes, grid="y")
    return set_literal_text(figure)


def draw_learning_curve(curve: Mapping[str, Any]) -> Figure:
    """Draw the score by the number of dogs learnt from, and where the fitted curve leads."""
    figure = new_figure(2.5)
    axes = figure.add_subplot()
    points = [point for point in curve["points"] if not is_missing(point.get("score"))]
    further = curve["extrapolation"]
    x = [point["subjects"] for point in points]
    axes.plot(x, [point["score"] for point in points], color=ACCENT, linewidth=1.2)
    for point in points:
        _draw_point(axes, point, ACCENT)
    if points and not is_missing(further.get("score")):
        ends = [points[-1], further]
        axes.plot(
            [end["subjects"] for end in ends], [end["score"] for end in ends],
            color=MUTED, linewidth=1.2, linestyle=(0, (4, 3)),
        )  # fmt: skip
        _draw_point(axes, further, MUTED)
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, symbol=" %", decimals=0))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlim(left=0)
    axes.set_xlabel("dogs learnt from")
    axes.set_ylabel(name_in_text(curve.get("measure", "balanced_accuracy")))
    style_axes(axes, grid="y")
    return set_literal_text(figure)


def draw_power(detectable: Mapping[str, Any]) -> Figure:
    """Draw how often a study like this one would find each balanced accuracy."""
    figure = new_figure(2.3, width_in=3.3)
    axes = figure.add_subplot()
    x, y = ([each[name] for each in detectable["curve"]] for name in ("balanced_accuracy", "power"))
    axes.plot(x, y, color=ACCENT, linewidth=1.6)
    axes.axhline(detectable["power"], color=INK, linewidth=0.9, linestyle=(0, (4, 3)))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(PercentFormatter(1.0, symbol=" %", decimals=0))
    axes.set_ylim(0, 1.02)
    axes.set_xlabel("balanced accuracy by clip, if that is the truth")
    axes.set_ylabel("studies that find it")
    style_axes(axes, grid="y")
    return set_literal_text(figure)


def _draw_point(axes: Axes, point: Mapping[str, Any], colour: str) -> None:
    if not (is_missing(point.get("low")) or is_missing(point.get("high"))):
        axes.vlines(point["subjects"], point["low"], point["high"], color=colour, linewidth=2)
    axes.scatter([point["subjects"]], [point["score"]], s=26, color=colour, zorder=4)


def _describe_rows(rows: Sequence[Row]) -> str:
    facts = [f"{row.name} {format_measure('balanced_accuracy', row.value)}" for row in rows]
    return f"Balanced accuracy beside what it is to be compared with. {'; '.join(facts)}."


def _describe_bins(bins: Sequence[Mapping[str, Any]]) -> str:
    facts = [
        f"said {format_percent(each['probability'], decimals=0)}, was "
        f"{format_percent(each['share'], decimals=0)} of {count(each['n'], 'clip')}"
        for each in bins
    ]
    return f"Reliability diagram: {'; '.join(facts)}."


def _describe_curve(curve: Mapping[str, Any]) -> str:
    points = [*curve["points"], curve["extrapolation"]]
    facts = [
        f"{count(point['subjects'], 'dog')} "
        f"{format_measure(curve.get('measure', 'balanced_accuracy'), point.get('score'))}"
        for point in points
    ]
    return f"Score by number of dogs learnt from, the last extrapolated: {'; '.join(facts)}."
