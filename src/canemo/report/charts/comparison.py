"""The charts of a comparison of models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from canemo.report.charts.canvas import (
    INK,
    PAGE_WIDTH_IN,
    add_legend,
    count_whole,
    label_colours,
    new_figure,
    set_literal_text,
    shorten,
    show_percent,
    style_axes,
)
from canemo.report.charts.rows import Row, draw_rows
from canemo.study.records.comparison import ComparedModel, Pair


def draw_curves(curves: pd.DataFrame, *, majority: float) -> Figure | None:
    """Draw loss and accuracy by epoch, all models on shared axes (figure 3 of the 2022 paper).

    Columns are model, epoch, train_loss, train_accuracy, test_loss, test_accuracy; `majority` is
    the share of frames with the most frequent label. None where nothing was trained in epochs.
    """
    if curves.empty:
        return None
    models = list(dict.fromkeys(curves["model"]))
    colours = label_colours(models)
    figure = new_figure(2.9, width_in=6.7)
    loss, accuracy = figure.subplots(1, 2)
    for model in models:
        part = curves[curves["model"] == model]
        _draw_pair(loss, part, "loss", colours[model])
        _draw_pair(accuracy, part, "accuracy", colours[model])
    accuracy.axhline(majority, color=INK, linewidth=1, linestyle=(0, (1, 2)))
    show_percent(accuracy.yaxis)
    for axes, title in ((loss, "loss (log loss by frame)"), (accuracy, "accuracy by frame")):
        axes.set_title(title, loc="left", fontsize=8)
        count_whole(axes.xaxis)
        style_axes(axes, x="epoch", grid="y")
    add_legend(figure, _list_lines(colours), length=1.8)
    return set_literal_text(figure)


def draw_model_intervals(models: Sequence[ComparedModel], *, majority: float) -> Figure:
    """Draw each model's accuracy by clip with its interval, and the share of the majority."""
    rows = [
        Row(
            model.name,
            model.video.accuracy,
            model.video.interval.accuracy,
            muted=model.random_weights,
        )
        for model in models
    ]
    return draw_rows(rows, chance=majority, xlabel="accuracy by clip")


def draw_pair_differences(pairs: Sequence[Pair]) -> Figure | None:
    """Draw each pair's difference in accuracy by clip with its interval; None without pairs."""
    if not pairs:
        return None
    rows = [
        Row(
            f"{shorten(pair.first, 30)} – {shorten(pair.second, 30)}",
            pair.difference.accuracy,
            pair.interval.accuracy,
        )
        for pair in pairs
    ]
    xlabel = "difference in accuracy by clip"
    return draw_rows(rows, chance=0, xlabel=xlabel, scale="free", width_in=PAGE_WIDTH_IN)


def _draw_pair(axes: Axes, part: pd.DataFrame, name: str, colour: str) -> None:
    axes.plot(part["epoch"], part[f"test_{name}"], color=colour, linewidth=1.6)
    axes.plot(
        part["epoch"], part[f"train_{name}"], color=colour, linewidth=1, linestyle=(0, (4, 2))
    )


def _list_lines(colours: Mapping[str, str]) -> dict[str, Artist]:
    """Return the lines of a legend: a colour per model, a dash per kind of curve."""
    lines: dict[str, Artist] = {
        shorten(name, 28): Line2D([], [], color=colour, linewidth=1.6)
        for name, colour in colours.items()
    }
    return lines | {
        "validation (dogs not trained on)": Line2D([], [], color=INK, linewidth=1.6),
        "training": Line2D([], [], color=INK, linewidth=1, linestyle=(0, (4, 2))),
        "majority of the frames": Line2D([], [], color=INK, linewidth=1, linestyle=(0, (1, 2))),
    }
