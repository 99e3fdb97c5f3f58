"""A chart of one measure, one row for each of the things compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.offsetbox import AnnotationBbox, DrawingArea
from matplotlib.patches import Rectangle

from canemo.report.charts.canvas import (
    ACCENT,
    CHART_WIDTH_IN,
    INK,
    MUTED,
    new_chart,
    set_literal_text,
    shorten,
    show_percent,
    style_axes,
)
from canemo.report.words.wording import format_measure

GRID_SIDE = 4
_ROW_IN = 0.27
_CELL_PT = 3.6
_SCHEME_PT = GRID_SIDE * _CELL_PT


@dataclass(frozen=True)
class Row:
    """One row: a value with its interval, in grey a second value, and a tick at its own chance.

    `cells` are those of a 4 x 4 grid over the crop that are filled in the scheme beside the name;
    they count from 0 in reading order. None draws no scheme.
    """

    name: str
    value: float | None
    interval: tuple[float, float] | None = None
    second: float | None = None
    tick: float | None = None
    muted: bool = False
    cells: tuple[int, ...] | None = None


def draw_rows(
    rows: Sequence[Row],
    *,
    xlabel: str,
    chance: float | None = None,
    scale: Literal["percent", "share", "free"] = "percent",
    width_in: float = CHART_WIDTH_IN,
) -> Figure:
    """Draw each row's value and interval, top to bottom, beside the value of chance, dashed.

    The scale is ``"percent"`` from 0 to 100 %, ``"share"`` from 0 to 1, ``"free"`` as values lie.
    """
    figure, axes = new_chart(0.62 + _ROW_IN * len(rows), width_in=width_in)
    if chance is not None:
        axes.axvline(chance, color=INK, linewidth=1, linestyle=(0, (4, 3)))
    for y, row in enumerate(rows):
        _draw_row(axes, y, row)
    axes.set_yticks(range(len(rows)), labels=[shorten(row.name, 64) for row in rows])
    axes.set_ylim(len(rows) - 0.4, -0.6)
    if scale != "free":
        axes.set_xlim(0, 1)
    if scale == "percent":
        show_percent(axes.xaxis)
    style_axes(axes, x=xlabel, grid="x")
    drawn = any(row.cells is not None for row in rows)
    axes.tick_params(axis="y", length=0, pad=_SCHEME_PT + 9 if drawn else 4)
    return set_literal_text(figure)


def describe_rows(rows: Sequence[Row]) -> str:
    """Return each row's balanced accuracy in words."""
    facts = [f"{row.name} {format_measure('balanced_accuracy', row.value)}" for row in rows]
    return "; ".join(facts)


def _draw_row(axes: Axes, y: int, row: Row) -> None:
    colour = MUTED if row.muted else ACCENT
    if row.interval is not None:
        axes.hlines(y, *row.interval, color=colour, linewidth=2.2)
    if row.second is not None:
        axes.scatter([row.second], [y], s=20, color="#b4b4b4", zorder=3, clip_on=False)
    if row.value is not None:
        axes.scatter([row.value], [y], s=26, color=colour, zorder=4, clip_on=False)
    if row.tick is not None:
        axes.scatter([row.tick], [y], marker="|", s=90, color=INK, linewidths=1.4, zorder=3)
    if row.cells is not None:
        _draw_scheme(axes, y, row.cells)


def _draw_scheme(axes: Axes, y: int, cells: tuple[int, ...]) -> None:
    """Draw which cells of the crop's grid a row is about, left of the axes."""
    area = DrawingArea(_SCHEME_PT, _SCHEME_PT)
    for cell in range(GRID_SIDE**2):
        line, column = divmod(cell, GRID_SIDE)
        corner = (column * _CELL_PT, (GRID_SIDE - 1 - line) * _CELL_PT)
        face = ACCENT if cell in cells else "white"
        area.add_artist(
            Rectangle(corner, _CELL_PT, _CELL_PT, facecolor=face, edgecolor=MUTED, linewidth=0.4)
        )
    box = AnnotationBbox(
        area, (0, y), xybox=(-5, 0), boxcoords="offset points", box_alignment=(1, 0.5),
        frameon=False, pad=0, annotation_clip=False,
    )  # fmt: skip
    axes.add_artist(box)
