"""The measures of a face over a clip, a small chart each."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from canemo.faces.measured import CONFIDENCE
from canemo.report.charts.canvas import (
    LABEL_COLOURS,
    PAGE_WIDTH_IN,
    RULE,
    add_legend,
    new_figure,
    set_literal_text,
    shorten,
    style_axes,
)
from canemo.species import Measure, Species

UNSURE_BELOW = 0.5
_ROW_IN = 1.05
_SIDES = ("left", "right")


def draw_measures(
    frames: pd.DataFrame, species: Species, *, meters: Sequence[str], title: str
) -> Figure:
    """Draw meters and measures of one clip over its time, with gaps where no face was used.

    Parameters
    ----------
    frames
        Rows of the frames looked at, in order of time, with `time_s` [s] and the columns of
        `tabulate_measured`.
    species
        Whose measures they are; those of both sides share a chart.
    meters
        Columns of probabilities.
    title
        Stands above.
    """
    panels: dict[str, list[Measure | None]] = {name: [None] for name in meters}
    for measure in species.measures:
        panels.setdefault(_drop_side(measure.name), []).append(measure)
    rows = (len(panels) + 1) // 2
    figure = new_figure(0.7 + _ROW_IN * rows, width_in=PAGE_WIDTH_IN)
    figure.suptitle(shorten(title, 70), x=0.01, ha="left", fontsize=9)
    drawn = figure.subplots(rows, 2, sharex=True, squeeze=False)
    for axes, (name, measures) in zip(drawn.flat, panels.items(), strict=False):
        _draw_panel(axes, frames, name, measures)
    for axes in drawn.flat[len(panels) :]:
        axes.set_axis_off()
    for axes in (drawn[-1, 0], drawn[(len(panels) - 2) // 2, 1]):
        style_axes(axes, x="time [s]")
        axes.tick_params(labelbottom=True)
    lines = {
        "left in the picture": _line(LABEL_COLOURS[1]),
        "right": _line(LABEL_COLOURS[0]),
        "points unsure": _line(RULE),
    }
    add_legend(figure, lines, length=1.6)
    return set_literal_text(figure)


def _line(colour: str) -> Line2D:
    return Line2D([], [], color=colour, linewidth=2)


def _drop_side(name: str) -> str:
    head, _, tail = name.rpartition("_")
    return head if tail in _SIDES else name


def _draw_panel(
    axes: Axes, frames: pd.DataFrame, name: str, measures: Sequence[Measure | None]
) -> None:
    times = frames["time_s"].to_numpy(dtype=float)
    unit = "probability"
    for measure in measures:
        column = name if measure is None else measure.name
        values = frames[column].to_numpy(dtype=float)
        colour = LABEL_COLOURS[1] if column.endswith("_left") else LABEL_COLOURS[0]
        sure = np.ones(len(values), dtype=bool)
        if measure is not None:
            unit = measure.unit
            sure = frames[column + CONFIDENCE].to_numpy(dtype=float) >= UNSURE_BELOW
        axes.plot(times, values, color=RULE, linewidth=1.2, marker="o", markersize=1.6)
        firm = np.where(sure, values, np.nan)
        axes.plot(times, firm, color=colour, linewidth=1.2, marker="o", markersize=1.6)
    if measures[0] is None:
        axes.set_ylim(-0.04, 1.04)
        axes.axhline(0.5, color=RULE, linewidth=0.9)
    style_axes(axes, grid="y")
    axes.set_title(f"{name.replace('_', ' ')} [{unit}]", loc="left", fontsize=8)
    axes.tick_params(labelsize=7)
