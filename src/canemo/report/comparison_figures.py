"""The charts of a comparison of models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, PercentFormatter

from canemo.report.canvas import (
    ACCENT,
    INK,
    MUTED,
    label_colours,
    new_figure,
    set_literal_text,
    shorten,
    style_axes,
)


def draw_curves(curves: pd.DataFrame, *, majority: float) -> Figure | None:
    """Draw loss and accuracy by epoch, all models on shared axes (figure 3 of the 2022 paper).

    Parameters
    ----------
    curves
        Columns model, epoch, train_loss, train_accuracy, test_loss, test_accuracy.
    majority
        Share of frames with the most frequent label; a line in the chart of accuracies.

    Returns
    -------
    Figure or None
        None where nothing was trained in epochs.
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
    accuracy.yaxis.set_major_formatter(PercentFormatter(1.0, symbol=" %", decimals=0))
    for axes, title in ((loss, "loss (log loss by frame)"), (accuracy, "accuracy by frame")):
        axes.set_xlabel("epoch")
        axes.set_title(title, loc="left", fontsize=8)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        style_axes(axes, grid="y")
    _add_line_legend(figure, colours)
    return set_literal_text(figure)


def draw_model_intervals(models: Sequence[Mapping[str, Any]], *, majority: float) -> Figure:
    """Draw each model's accuracy by clip with its interval, and the share of the majority."""
    figure = new_figure(0.75 + 0.28 * len(models))
    axes = figure.add_subplot()
    for y, model in enumerate(models):
        interval = model["video"]["interval"]["accuracy"]
        colour = MUTED if model["random_weights"] else ACCENT
        if interval is not None:
            axes.hlines(y, *interval, color=colour, linewidth=2.2)
        axes.scatter([model["video"]["accuracy"]], [y], s=26, color=colour, zorder=4)
    axes.axvline(majority, color=INK, linewidth=1, linestyle=(0, (4, 3)))
    _name_rows(axes, [model["name"] for model in models])
    axes.set_xlim(0, 1)
    axes.xaxis.set_major_formatter(PercentFormatter(1.0, symbol=" %", decimals=0))
    axes.set_xlabel("accuracy by clip")
    return set_literal_text(figure)


def draw_pair_differences(pairs: Sequence[Mapping[str, Any]]) -> Figure | None:
    """Draw each pair's difference in accuracy by clip with its interval; None without pairs."""
    if not pairs:
        return None
    figure = new_figure(0.75 + 0.28 * len(pairs), width_in=6.7)
    axes = figure.add_subplot()
    for y, pair in enumerate(pairs):
        interval = pair["interval"]["accuracy"]
        if interval is not None:
            axes.hlines(y, *interval, color=ACCENT, linewidth=2.2)
        axes.scatter([pair["difference"]["accuracy"]], [y], s=26, color=ACCENT, zorder=4)
    axes.axvline(0, color=INK, linewidth=1)
    _name_rows(axes, [f"{shorten(p['first'], 30)} – {shorten(p['second'], 30)}" for p in pairs])
    axes.set_xlabel("difference in accuracy by clip")
    return set_literal_text(figure)


def _draw_pair(axes: Axes, part: pd.DataFrame, name: str, colour: str) -> None:
    axes.plot(part["epoch"], part[f"test_{name}"], color=colour, linewidth=1.6)
    axes.plot(
        part["epoch"], part[f"train_{name}"], color=colour, linewidth=1, linestyle=(0, (4, 2))
    )


def _name_rows(axes: Axes, names: Sequence[str]) -> None:
    axes.set_yticks(range(len(names)), labels=[shorten(name, 64) for name in names])
    axes.set_ylim(len(names) - 0.4, -0.6)
    style_axes(axes, grid="x")
    axes.tick_params(axis="y", length=0)


def _add_line_legend(figure: Figure, colours: Mapping[str, str]) -> None:
    handles = [Line2D([], [], color=colour, linewidth=1.6) for colour in colours.values()]
    handles += [
        Line2D([], [], color=INK, linewidth=1.6),
        Line2D([], [], color=INK, linewidth=1, linestyle=(0, (4, 2))),
        Line2D([], [], color=INK, linewidth=1, linestyle=(0, (1, 2))),
    ]
    names = [f" {shorten(name, 28)}" for name in colours]
    names += ["validation (dogs not trained on)", "training", "majority of the frames"]
    figure.legend(
        handles, names, loc="outside lower center", ncols=3, frameon=False, fontsize=8,
        handlelength=1.8, columnspacing=1.6,
    )  # fmt: skip
