"""The charts of how far the result can be trusted."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from canemo.report.charts.canvas import (
    ACCENT,
    INK,
    MUTED,
    Chart,
    count_whole,
    new_chart,
    set_literal_text,
    shorten,
    show_percent,
    style_axes,
)
from canemo.report.charts.rows import Row, describe_rows, draw_rows
from canemo.report.words.wording import count, format_measure, format_percent, name_in_text, quote
from canemo.study.records.run import (
    CalibrationBin,
    CurvePoint,
    LearningCurve,
    RunMetrics,
)


def list_trust_charts(metrics: RunMetrics) -> dict[str, Chart]:
    """Return the charts that the run has data for, each with its words."""
    rows, bins = list_yardsticks(metrics), metrics.calibration.bins
    curve = metrics.learning_curve
    labels = len(metrics.study.labels)
    label = quote(metrics.calibration.positive_label) if labels == 2 else "predicted condition"
    charts: dict[str, Chart] = {
        "calibration": (draw_calibration(bins, label=label), _describe_bins(bins))
    }
    if len(rows) > 1:
        drawn = draw_rows(rows, chance=1 / labels, xlabel="balanced accuracy by clip")
        facts = describe_rows(rows)
        alt = f"Balanced accuracy beside what it is to be compared with. {facts}."
        charts["yardsticks"] = (drawn, alt)
    if curve is not None:
        charts["learning_curve"] = (draw_learning_curve(curve), _describe_curve(curve))
    return charts


def list_yardsticks(metrics: RunMetrics) -> list[Row]:
    """Return the run's balanced accuracy and what it stands beside, as rows of a chart."""
    video, metadata = metrics.levels.video, metrics.chance.metadata
    mean, high = metrics.permutation.null_mean, metrics.permutation.null_high
    rows = [Row("this run", video.balanced_accuracy, video.interval.balanced_accuracy)]
    if mean is not None:
        span = None if high is None else (mean, high)
        rows.append(Row("labels moved within dogs", mean, span, muted=True))
    if metadata is not None and metadata.balanced_accuracy is not None:
        interval = metadata.interval.balanced_accuracy
        rows.append(Row("metadata alone", metadata.balanced_accuracy, interval, muted=True))
    least = metrics.detectable.balanced_accuracy
    if least is not None:
        rows.append(Row("least this study could show", least, muted=True))
    return rows


def draw_calibration(bins: Sequence[CalibrationBin], *, label: str) -> Figure:
    """Draw how often a condition was true by how probable it was said to be; clips are area."""
    figure, axes = new_chart(3.1, width_in=3.3)
    axes.plot([0, 1], [0, 1], color=INK, linewidth=0.9, linestyle=(0, (4, 3)))
    x, y = [each.probability for each in bins], [each.share for each in bins]
    number = np.array([each.n for each in bins], dtype=float)
    axes.plot(x, y, color=ACCENT, linewidth=1, alpha=0.5)
    axes.scatter(x, y, s=8 + 140 * number / max(number.max(), 1), color=ACCENT, zorder=4)
    axes.set(xlim=(-0.04, 1.04), ylim=(-0.04, 1.04))
    axes.set_aspect("equal")
    show_percent(axes.xaxis, axes.yaxis)
    name = f"probability of {shorten(label, 30)}"
    style_axes(axes, x=name, y="share of clips filmed in it", grid="y")
    return set_literal_text(figure)


def draw_learning_curve(curve: LearningCurve) -> Figure:
    """Draw the score by the number of dogs learned from, and where the fitted curve leads."""
    figure, axes = new_chart(2.5)
    ends = [curve.points[-1], curve.extrapolation]
    for points, colour, style in ((curve.points, ACCENT, "-"), (ends, MUTED, (0, (4, 3)))):
        x, y = [point.subjects for point in points], [point.score for point in points]
        axes.plot(x, y, color=colour, linewidth=1.2, linestyle=style)
    for point in curve.points:
        _draw_point(axes, point, ACCENT)
    _draw_point(axes, curve.extrapolation, MUTED)
    show_percent(axes.yaxis)
    count_whole(axes.xaxis)
    axes.set_xlim(left=0)
    style_axes(axes, x="dogs learned from", y=name_in_text(curve.measure), grid="y")
    return set_literal_text(figure)


def _draw_point(axes: Axes, point: CurvePoint, colour: str) -> None:
    if point.low is not None and point.high is not None:
        axes.vlines(point.subjects, point.low, point.high, color=colour, linewidth=2)
    axes.scatter([point.subjects], [point.score], s=26, color=colour, zorder=4)


def _describe_bins(bins: Sequence[CalibrationBin]) -> str:
    facts = [
        f"said {format_percent(each.probability, decimals=0)}, was "
        f"{format_percent(each.share, decimals=0)} of {count(each.n, 'clip')}"
        for each in bins
    ]
    return f"Reliability diagram: {'; '.join(facts)}."


def _describe_curve(curve: LearningCurve) -> str:
    facts = [
        f"{count(point.subjects, 'dog')} {format_measure(curve.measure, point.score)}"
        for point in (*curve.points, curve.extrapolation)
    ]
    return f"Score by number of dogs learned from, the last extrapolated: {'; '.join(facts)}."
