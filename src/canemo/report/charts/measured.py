"""Charts of what a probe makes of a measured face."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Polygon
from numpy.typing import NDArray
from scipy.spatial import ConvexHull, QhullError

from canemo.report.charts.canvas import (
    INK,
    MUTED,
    RULE,
    new_chart,
    new_figure,
    set_literal_text,
    shorten,
    style_axes,
)
from canemo.report.charts.crops import AGAINST_RGB, FOR_RGB
from canemo.report.words.measured import name_measure
from canemo.report.words.wording import quote
from canemo.species import Measure
from canemo.study.records.explanation import (
    ExplainedModel,
    GeometryResult,
    MeasureGap,
    PointGap,
)

FOR, AGAINST = ("#{:02x}{:02x}{:02x}".format(*rgb) for rgb in (FOR_RGB, AGAINST_RGB))
"""Of what speaks for a label and against it, as on maps."""

_ARROW = {"arrowstyle": "-|>", "color": INK, "linewidth": 0.8, "mutation_scale": 6}
_MOST_MEASURES = 14
_LONGEST = 0.35  # face units: of the longest arrow
_LEAST = 0.15  # of the longest: shorter arrows are not drawn


def draw_face(model: ExplainedModel) -> Figure | None:
    """Draw the mean face with what its measures, and what its points add to the difference.

    Measures are lines between their points; an arrow shows where a point must move to raise the
    evidence.
    """
    geometry = model.geometry
    if geometry is None:
        return None
    figure = new_figure(2.9)
    left, right = figure.subplots(1, 2, sharex=True, sharey=True)
    for axes, title in ((left, "distances and angles"), (right, "points, and what raises it")):
        _draw_outline(axes, geometry)
        axes.set_title(title, fontsize=8, color=INK)
        axes.set_aspect("equal")
        axes.set_axis_off()
    _draw_measures(left, model, geometry)
    _draw_points(right, geometry.points)
    left.invert_yaxis()
    figure.supxlabel(
        f"orange: for {quote(shorten(model.label))}, blue: against; the more, the thicker",
        fontsize=7,
        color=INK,
    )
    return set_literal_text(figure)


def _draw_outline(axes: Axes, geometry: GeometryResult) -> None:
    """Draw each part of the face, its sides apart, as the hull of its points."""
    for some in _group_points(geometry.points):
        places = np.array([point.place for point in some])
        axes.plot(*places.T, ".", color=RULE, markersize=2, zorder=1)
        try:
            corners = places[ConvexHull(places).vertices]
        except (QhullError, ValueError):  # too few, or on one line
            corners = places
        axes.add_patch(Polygon(corners, facecolor="#f4f4f4", edgecolor=RULE, zorder=0))


def _group_points(points: Sequence[PointGap]) -> Iterable[list[PointGap]]:
    groups: dict[tuple[str, str], list[PointGap]] = {}
    for point in points:
        side = point.name.rpartition("_")[2] if point.region in ("ears", "eyes", "cheeks") else ""
        groups.setdefault((point.region, side), []).append(point)
    return groups.values()


def _draw_measures(axes: Axes, model: ExplainedModel, geometry: GeometryResult) -> None:
    places = {point.name: complex(*point.place) for point in geometry.points}
    lines = {measure.name: measure for measure in model.kind.measures}
    shown = [row for row in geometry.measures if row.name in lines and row.evidence.gap is not None]
    full = max((abs(row.evidence.gap or 0) for row in shown), default=0) or 1
    for row in sorted(shown, key=lambda row: abs(row.evidence.gap or 0)):
        share = (row.evidence.gap or 0) / full
        colour, width = FOR if share > 0 else AGAINST, 0.4 + 3.6 * abs(share)
        for pair in _place_pairs(lines[row.name], places):
            axes.plot(pair.real, pair.imag, color=colour, linewidth=width, alpha=0.75, zorder=3)


def _place_pairs(
    measure: Measure, places: Mapping[str, complex]
) -> Iterable[NDArray[np.complex128]]:
    for pair in measure.pairs:
        yield np.array([np.mean([places[name] for name in group]) for group in pair])


def _draw_points(axes: Axes, points: Sequence[PointGap]) -> None:
    gaps = np.array([point.evidence.gap or 0 for point in points])
    places, slopes = (np.array([getattr(each, name) for each in points]) for name in
                      ("place", "slope"))  # fmt: skip
    full, steepest = np.abs(gaps).max() or 1, np.hypot(*slopes.T).max() or 1
    axes.scatter(
        places[:, 0],
        places[:, 1],
        s=3 + 57 * np.abs(gaps) / full,
        c=[FOR if gap > 0 else AGAINST for gap in gaps],
        alpha=0.75,
        linewidths=0,
        zorder=3,
    )
    for place, slope in zip(places, slopes / steepest, strict=True):
        if np.hypot(*slope) >= _LEAST:
            axes.annotate(
                "",
                place + _LONGEST * slope,
                place,
                arrowprops={
                    "arrowstyle": "-|>",
                    "color": INK,
                    "linewidth": 0.8,
                    "mutation_scale": 6,
                },
                zorder=4,
            )


def draw_measures(model: ExplainedModel) -> Figure | None:
    """Draw the part of each measure in the difference, with its interval and every dog's own."""
    if model.geometry is None or not model.is_labelled:
        return None
    rows = sorted(model.geometry.measures[:-1], key=lambda row: -abs(row.evidence.gap or 0))
    rows = [row for row in rows if row.evidence.gap is not None][:_MOST_MEASURES]
    if not rows:
        return None
    figure, axes = new_chart(0.6 + 0.22 * len(rows))
    axes.axvline(0, color=RULE, linewidth=1, zorder=0)
    for height, row in enumerate(rows):
        _draw_row(axes, height, row)
    axes.set_yticks(range(len(rows)), [shorten(name_measure(row.name)) for row in rows])
    axes.invert_yaxis()
    style_axes(axes, x=f"evidence for {quote(shorten(model.label))} [logits]", grid="x")
    return set_literal_text(figure)


def _draw_row(axes: Axes, height: int, row: MeasureGap) -> None:
    gap = row.evidence.gap or 0
    colour = FOR if gap > 0 else AGAINST
    axes.plot(row.by_dog, [height] * len(row.by_dog), "o", color=MUTED, alpha=0.35, markersize=3,
              markeredgewidth=0)  # fmt: skip
    if row.evidence.interval is not None:
        axes.plot(row.evidence.interval, [height, height], color=colour, linewidth=1.6)
    axes.plot([gap], [height], "o", color=colour, markersize=5)


MEASURED_CHARTS: Mapping[str, tuple[Callable[[ExplainedModel], Figure | None], str]] = {
    "measured_face": (
        draw_face,
        "Mean face with what its measures and points add to the difference in evidence.",
    ),
    "measures": (
        draw_measures,
        "What each measure adds to the difference in evidence, with every dog’s own.",
    ),
}
