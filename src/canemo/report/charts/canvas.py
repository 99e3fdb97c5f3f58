"""The sheet that charts and pictures are drawn on: its size, colours, type and file format.

Nothing here touches pyplot or matplotlib's settings, so figures can be drawn in any thread.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Literal

from matplotlib import font_manager
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import MaxNLocator, PercentFormatter

from canemo.files import write_atomically

PAGE_WIDTH_IN = 6.7
"""Width of the text on an A4 page [inches]."""

CHART_WIDTH_IN = 4.4
"""Width of a chart [inches]: shown as wide as a phone its letters are still legible."""

TEXT_WIDTH_IN = 5.2
"""Width [inches] of a chart that is shown as wide as the text of a page on a large screen."""

DPI = 200
INK, MUTED, RULE = "#222222", "#6e6e6e", "#dcdcdc"
ACCENT = "#1f5f8b"

# Okabe and Ito's palette, which stays apart in the common kinds of colour blindness, in an order
# whose neighbours also differ in lightness, so that a grey print still tells them apart.
LABEL_COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#B8B000")

_FALLBACK_FONTS = (
    "Noto Sans CJK JP", "Noto Sans CJK SC", "Hiragino Sans", "PingFang SC", "Yu Gothic",
    "Microsoft YaHei", "Malgun Gothic", "Arial Unicode MS", "Segoe UI Emoji",
)  # fmt: skip


Chart = tuple[Figure | None, str]
"""A figure, None where there is nothing to draw, and what it shows in words."""


def new_figure(height_in: float, *, width_in: float = CHART_WIDTH_IN) -> Figure:
    """Return an empty white figure of the given size [inches] that lays itself out."""
    return Figure(figsize=(width_in, height_in), layout="constrained", facecolor="white")


def label_colours(labels: Sequence[str]) -> dict[str, str]:
    """Return one colour per label, by the order of `labels`; the palette repeats after seven."""
    return {label: LABEL_COLOURS[i % len(LABEL_COLOURS)] for i, label in enumerate(labels)}


def new_chart(height_in: float, *, width_in: float = CHART_WIDTH_IN) -> tuple[Figure, Axes]:
    """Return such a figure with axes in it."""
    figure = new_figure(height_in, width_in=width_in)
    return figure, figure.add_subplot()


def style_axes(
    axes: Axes, *, x: str = "", y: str = "", grid: Literal["x", "y"] | None = None
) -> None:
    """Take the box off `axes`, name them, and draw hairlines across one direction if asked."""
    axes.set(xlabel=x or axes.get_xlabel(), ylabel=y or axes.get_ylabel())
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(MUTED)
    axes.tick_params(labelsize=8, colors=INK, color=MUTED, length=3)
    for label in (axes.xaxis.label, axes.yaxis.label, axes.title):
        label.set_fontsize(8)
        label.set_color(INK)
    if grid is not None:
        axes.grid(axis=grid, color=RULE, linewidth=0.6)
        axes.set_axisbelow(True)


def count_whole(*axes: Axis) -> None:
    """Put ticks at whole numbers only."""
    for axis in axes:
        axis.set_major_locator(MaxNLocator(integer=True))


def show_percent(*axes: Axis) -> None:
    """Write the ticks of an axis, whose values are shares, as percent."""
    for axis in axes:
        axis.set_major_formatter(PercentFormatter(1.0, symbol=" %", decimals=0))


def add_legend(figure: Figure, handles: Mapping[str, Artist], *, length: float = 1.0) -> None:
    """Put a frameless legend under the chart, with as many columns as its names leave room for."""
    names = [shorten(name, 40) for name in handles]
    longest = max(map(len, names), default=0)
    legend = figure.legend(
        list(handles.values()),
        [f" {name}" for name in names],  # a leading "_" would hide the entry
        loc="outside lower center",
        ncols=max(1, min(len(handles), 64 // (longest + 4))),
        frameon=False,
        fontsize=8,
        handlelength=length,
        handleheight=1.0,
        columnspacing=1.6,
        handletextpad=0.3,
    )
    legend.set_in_layout(True)


def set_literal_text(figure: Figure) -> Figure:
    """Make every text of `figure` appear as written: a ``$`` in a label is no formula."""
    for child in figure.get_children():
        if isinstance(child, Axes) and not child.axison:
            continue  # looking for its ticks would make them, and they do not show
        for text in child.findobj(Text):
            if isinstance(text, Text):
                text.set_parse_math(False)
                text.set_usetex(False)
                text.set_fontfamily(list(_font_families()))
    return figure


def shorten(text: str, length: int = 26) -> str:
    """Return `text` on one line; where it is longer than `length`, its start and its end.

    Long names often differ at the end only, so the middle is what an ellipsis may replace.
    """
    line = " ".join(text.split())
    if len(line) <= length:
        return line
    tail = (length - 1) // 3
    return line[: length - 1 - tail].rstrip() + "…" + line[-tail:].lstrip()


def render_png(figure: Figure) -> bytes:
    """Return `figure` as PNG bytes that depend on nothing but the figure.

    Notes
    -----
    A character that no installed font holds appears as a box; the tables of the report show it.
    """
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"Glyph .* missing from")
        figure.savefig(buffer, format="png", dpi=DPI, metadata={"Software": None})
    return buffer.getvalue()


def save_figure(figure: Figure, path: Path) -> None:
    """Write `figure` to `path` as PNG; the file is there whole or not at all."""
    write_atomically(path, render_png(figure))


@cache
def _font_families() -> tuple[str, ...]:
    installed: Iterable[str] = set(font_manager.get_font_names())
    return ("DejaVu Sans", *(name for name in _FALLBACK_FONTS if name in installed))
