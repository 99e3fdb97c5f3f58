"""Charts of coded units."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from canemo.report.charts.canvas import (
    ACCENT,
    INK,
    LABEL_COLOURS,
    new_figure,
    set_literal_text,
    shorten,
    style_axes,
)
from canemo.report.pages.page import embed_figure
from canemo.report.words import wording
from canemo.report.words.concepts import MAX_MARKED_FRAMES
from canemo.report.words.voice import Voice
from canemo.study.records.concepts import CodedUnit

CLIPS_DRAWN = 2


def draw_timelines(
    units: Sequence[CodedUnit], frames: pd.DataFrame, voice: Voice
) -> dict[str, Any]:
    """Draw when each unit was coded in some clips; nothing where no clip has any."""
    drawn = {}
    for unit in units:
        own = frames[frames["unit"] == unit.unit]
        clips = choose_clips(own)
        if unit.verdict == "too few" or not clips:
            continue
        figure = draw_coding({name: own[own["video_id"] == name] for name in clips})
        alt = (
            f"When coders saw {unit.unit} in {wording.join_words(clips)}, and the score of the "
            "probe that has not seen the dog."
        )
        drawn[unit.unit] = embed_figure(figure, alt, voice)
    return drawn


def choose_clips(frames: pd.DataFrame, *, number: int = CLIPS_DRAWN) -> list[str]:
    """Return the clips of one unit to draw: those in which it comes and goes most often.

    Where there are none, one that shows it and one that does not. Nothing is chosen by how well the
    probe did.
    """
    scored = frames[frames["score"].notna() & frames["shown"].notna()]
    changes = {
        str(name): int(rows["shown"].astype(int).diff().abs().sum())
        for name, rows in scored.groupby("video_id", sort=False)
    }
    lively = [name for name in sorted(changes, key=lambda n: -changes[n]) if changes[name]]
    if len(lively) >= number:
        return lively[:number]
    means = scored.groupby("video_id", sort=False)["shown"].mean()
    for state in (1.0, 0.0):
        same = [str(name) for name in means.index[means == state]]
        lively += same[:1]
    return lively[:number]


def draw_coding(clips: Mapping[str, pd.DataFrame]) -> Figure:
    """Draw, for each clip, when a unit was coded (shaded) and the score of its probe (line).

    Parameters
    ----------
    clips
        video_id -> rows in order of time: time_s, shown, score.
    """
    figure = new_figure(0.5 + 1.25 * len(clips))
    grid = figure.subplots(len(clips), 1, squeeze=False, sharey=True)[:, 0]
    for axes, (name, rows) in zip(grid, clips.items(), strict=True):
        time_s = rows["time_s"].to_numpy(dtype=float)
        shown = rows["shown"].fillna(False).to_numpy(dtype=bool)
        for start_s, end_s in find_spans(time_s, shown):
            axes.axvspan(start_s, end_s, color=LABEL_COLOURS[1], alpha=0.35, linewidth=0)
        axes.plot(
            time_s,
            rows["score"].to_numpy(dtype=float),
            color=ACCENT,
            linewidth=1.3,
            marker="o",
            markersize=2.4 if len(time_s) <= MAX_MARKED_FRAMES else 0,
        )
        axes.set_ylabel("score")
        axes.set_title(shorten(name, 60), loc="left", fontsize=8.5, color=INK)
        style_axes(axes, grid="y")
    grid[-1].set_xlabel("time [s]")
    return set_literal_text(figure)


def find_spans(time_s: NDArray[np.float64], shown: NDArray[np.bool_]) -> list[tuple[float, float]]:
    """Return (start, end) [s] of each run of frames that show a unit.

    A run reaches half way to the frames beside it; at the ends of the clip as far as a usual frame.
    """
    half = float(np.median(np.diff(time_s))) / 2 if len(time_s) > 1 else 0.1
    middle = (time_s[1:] + time_s[:-1]) / 2
    edges = np.concatenate([[time_s[0] - half], middle, [time_s[-1] + half]])
    change = np.flatnonzero(np.diff(np.concatenate([[False], shown, [False]]).astype(int)))
    return [(float(edges[a]), float(edges[b])) for a, b in change.reshape(-1, 2)]
