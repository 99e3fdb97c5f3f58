"""Charts of how faces move."""

from __future__ import annotations

import numpy as np
import pandas as pd

from canemo.report.charts.canvas import (
    ACCENT,
    INK,
    LABEL_COLOURS,
    MUTED,
    Chart,
    new_figure,
    set_literal_text,
    shorten,
    style_axes,
)
from canemo.report.charts.rows import Row, draw_rows
from canemo.report.words.dynamics import name_measure
from canemo.study.records.dynamics import DynamicsRecord


def draw_effects(record: DynamicsRecord) -> Chart:
    """Draw the effect on each measure with its interval over dogs; blue where it was shown."""
    rows = [
        Row(name_measure(each.measure), each.effect, each.effect_interval, muted=not each.differs)
        for each in record.contrasts
        if each.effect is not None
    ]
    if not rows:
        return None, ""
    figure = draw_rows(
        rows, xlabel="effect [standard deviations of clips]", chance=0.0, scale="free",
    )  # fmt: skip
    told = "; ".join(f"{row.name} {row.value:+.2f}" for row in rows)
    return figure, f"Effect on each measure, in standard deviations of clips: {told}."


def choose_clip(events: pd.DataFrame) -> str | None:
    """Return the clip in which most happens; nothing is chosen by its condition."""
    known = events[events["code"] != ""]
    return None if known.empty else str(known["video_id"].value_counts().index[0])


def draw_clip(frames: pd.DataFrame, events: pd.DataFrame) -> Chart:
    """Draw the clip in which most happens: speed of each part, its floor, and the events."""
    name = choose_clip(events)
    if name is None:
        return None, ""
    own, happened = frames[frames["video_id"] == name], events[events["video_id"] == name]
    parts = _list_parts(own)
    figure = new_figure(0.6 + 0.85 * len(parts))
    grid = figure.subplots(len(parts), 1, sharex=True, squeeze=False)[:, 0]
    time_s = own["time_s"].to_numpy(dtype=float)
    for axes, part in zip(grid, parts, strict=True):
        for row in happened[happened["code"].isin(_list_codes(part))].to_dict("records"):
            end_s = row["start_s"] + row["duration_s"]
            axes.axvspan(row["start_s"], end_s, color=LABEL_COLOURS[1], alpha=0.35, linewidth=0)
        axes.plot(time_s, own[f"{part}_speed"].to_numpy(float), color=ACCENT, linewidth=1.3)
        floor = own[f"{part}_floor"].to_numpy(float)
        axes.plot(time_s, floor, color=MUTED, linewidth=0.9, linestyle=(0, (3, 2)))
        axes.set_title(part.replace("_", " "), loc="left", fontsize=8, color=INK)
        axes.set_ylim(0, float(np.nanmax([own[f"{part}_speed"].max(), 1.3 * np.nanmax(floor)])))
        style_axes(axes, grid="y")
    grid[len(parts) // 2].set_ylabel("speed [face units per second]", fontsize=8)
    grid[0].set_title(f"{shorten(name, 50)}: {parts[0].replace('_', ' ')}", loc="left", fontsize=8)
    grid[-1].set_xlabel("time [s]")
    return set_literal_text(figure), f"Speed of each part of the face over time in {name}."


def _list_parts(frames: pd.DataFrame) -> list[str]:
    """Return the parts to draw: sides where a part has them, of these only what is ever known."""
    parts = [str(name).removesuffix("_speed") for name in frames if str(name).endswith("_speed")]
    own = [part for part in parts if f"{part}_left" not in parts]
    return [part for part in own if frames[f"{part}_speed"].notna().any()]


def _list_codes(part: str) -> list[str]:
    return [f"move_{part}", f"quick_{part}", *(["mouth_open"] if part == "muzzle" else [])]
