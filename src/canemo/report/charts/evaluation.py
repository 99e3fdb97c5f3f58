"""The charts of a report: each takes numbers and returns a matplotlib figure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from textwrap import fill
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike, NDArray

from canemo.records import Fate
from canemo.report.charts.canvas import (
    ACCENT,
    CHART_WIDTH_IN,
    INK,
    MUTED,
    RULE,
    add_legend,
    count_whole,
    label_colours,
    new_chart,
    new_figure,
    set_literal_text,
    shorten,
    show_percent,
    style_axes,
)
from canemo.report.words.wording import (
    count,
    describe_fate,
    format_percent,
    is_missing,
    quote,
)
from canemo.study.records.run import SubjectResult
from canemo.study.records.scores import Confusion

_MAX_NAMED_SUBJECTS = 60
_MAX_MARKED_FRAMES = 300
_SEXES = {"f": "female", "m": "male"}
_FATE_COLOURS: Mapping[str, str] = {
    Fate.USED: "#9db8c9",
    Fate.NO_FACE: "#D55E00",
    Fate.LOW_SCORE: "#E69F00",
    Fate.TOO_SMALL: "#CC79A7",
    Fate.OTHER_FACE: "#009E73",
    Fate.DECODE_ERROR: "#222222",
}


def draw_subjects(subjects_table: Sequence[Mapping[str, Any]] | None) -> Figure | None:
    """Draw the number of dogs by age and by sex, as figure 1 of Boneh-Shitrit et al. (2022).

    ``age_years`` [years] and ``sex`` are drawn where any dog has them; None where no dog has.
    """
    ages, sexes = _read_panels(subjects_table)
    panels: list[Callable[[Axes], None]] = []
    if ages:
        panels.append(partial(_draw_ages, ages=ages))
    if sexes:
        panels.append(partial(_draw_sexes, sexes=sexes))
    if not panels:
        return None
    ratios = [1.7, 1.0][: len(panels)]
    figure = new_figure(2.0, width_in=CHART_WIDTH_IN if len(panels) == 2 else 3.2)
    for axes, draw in zip(_add_columns(figure, ratios), panels, strict=True):
        draw(axes)
        count_whole(axes.yaxis)
        style_axes(axes, y="dogs", grid="y")
    return set_literal_text(figure)


def describe_panels(subjects_table: Sequence[Mapping[str, Any]] | None) -> str:
    """Return in words what `draw_subjects` counts dogs by, and which column would add the rest."""
    ages, sexes = _read_panels(subjects_table)
    if ages and sexes:
        return "by age and by sex, as far as the table of subjects tells"
    drawn, other, column = ("age", "sex", "sex") if ages else ("sex", "age", "age_years")
    return f"by {drawn}; by {other} needs a column “{column}” in the table of subjects"


def _read_panels(
    subjects_table: Sequence[Mapping[str, Any]] | None,
) -> tuple[list[float | None], list[str | None]]:
    """Return age [years] and sex of each subject; an empty list where none is known."""
    rows = subjects_table or []
    ages = [_read_age(row.get("age_years")) for row in rows]
    sexes = [_read_sex(row.get("sex")) for row in rows]
    return (
        ages if any(age is not None for age in ages) else [],
        sexes if any(sex is not None for sex in sexes) else [],
    )


def draw_label_counts(labels_by_subject: Mapping[str, Mapping[str, int]]) -> Figure:
    """Draw the number of clips of each dog, stacked by label."""
    subjects = list(labels_by_subject)
    labels = sorted({label for counts in labels_by_subject.values() for label in counts})
    colours = label_colours(labels)
    figure, axes = new_chart(2.4)
    base = np.zeros(len(subjects))
    for label in labels:
        counts = np.array([labels_by_subject[subject].get(label, 0) for subject in subjects])
        axes.bar(range(len(subjects)), counts, 0.72, bottom=base, color=colours[label])
        base += counts
    _name_subjects(axes, subjects)
    count_whole(axes.yaxis)
    style_axes(axes, y="clips", grid="y")
    axes.tick_params(axis="x", length=0, labelsize=6.5)
    add_legend(figure, _patches(colours))
    return set_literal_text(figure)


def draw_ledger(fates_by_label: Mapping[str, Mapping[str, int]]) -> Figure:
    """Draw what became of the frames of each label, as shares of the frames looked at."""
    labels = list(fates_by_label)
    fates = _order_fates(
        {fate for counts in fates_by_label.values() for fate, number in counts.items() if number}
    )
    totals = [sum(fates_by_label[label].values()) for label in labels]
    figure, axes = new_chart(0.95 + 0.34 * len(labels))
    left = np.zeros(len(labels))
    for fate in fates:
        counts = np.array([fates_by_label[label].get(fate, 0) for label in labels], dtype=float)
        shares = counts / np.maximum(totals, 1)
        axes.barh(range(len(labels)), shares, 0.62, left=left, color=_FATE_COLOURS.get(fate, MUTED))
        left += shares
    axes.set_yticks(range(len(labels)), labels=[shorten(label) for label in labels])
    axes.invert_yaxis()
    axes.set_xlim(0, 1)
    show_percent(axes.xaxis)
    style_axes(axes, x="share of the frames looked at")
    axes.tick_params(axis="y", length=0)
    _write_right(axes, [count(total, "frame") for total in totals])
    add_legend(figure, _name_fates(fates))
    return set_literal_text(figure)


def draw_subject_accuracy(
    subjects: Sequence[SubjectResult], *, chance: float, majority_label: str
) -> Figure:
    """Draw the share of each dog's clips classified into their condition, dogs sorted by it.

    `chance` is the share of clips that always answering `majority_label` would get right; the tick
    of each dog is its own.
    """
    rows = sorted(subjects, key=lambda row: (-row.accuracy, row.subject_id))
    row_in = min(0.17, 6.2 / max(len(rows), 1))
    figure, axes = new_chart(0.7 + row_in * len(rows))
    y = np.arange(len(rows))
    accuracy = np.array([row.accuracy for row in rows])
    constant = np.array([row.labels.get(majority_label, 0) / max(row.videos, 1) for row in rows])
    axes.hlines(y, 0, accuracy, color=RULE, linewidth=1)
    axes.axvline(chance, color=INK, linewidth=1, linestyle=(0, (4, 3)))
    tall = min(110.0, (0.8 * 72 * row_in) ** 2)  # above and below a dot that lies on the tick
    axes.scatter(constant, y, marker="|", s=tall, color=MUTED, linewidths=1.6, zorder=3)
    axes.scatter(accuracy, y, s=26, color=ACCENT, zorder=4, clip_on=False)
    _label_subject_rows(axes, rows, font_pt=min(7.5, 44 * row_in))
    axes.set_xlim(0, 1)
    show_percent(axes.xaxis)
    axes.set_xlabel("clips classified into the condition they were filmed in")
    return set_literal_text(figure)


def draw_confusion(confusion: Confusion) -> Figure:
    """Draw a confusion matrix: counts, shaded by the share of their row."""
    labels, counts = list(confusion.labels), np.asarray(confusion.counts, dtype=float)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side_in = min(1.7 + 0.75 * len(labels), CHART_WIDTH_IN)
    figure, axes = new_chart(side_in - 0.6, width_in=side_in)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for (row, column), share in np.ndenumerate(shares):
        _write_cell(axes, row, column, number=int(counts[row, column]), share=float(share))
    names = [_wrap(shorten(label, 40)) for label in labels]
    axes.set_xticks(range(len(labels)), labels=names, rotation=0 if len(labels) < 4 else 40)
    axes.set_yticks(range(len(labels)), labels=names)
    style_axes(axes, x="classified as", y="filmed in")
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0, labelsize=7.5)
    return set_literal_text(figure)


def _wrap(name: str) -> str:
    """Return a name on lines of a few words; underscores part words as blanks do."""
    return fill(name.replace("_", "_ "), 16).replace("_ ", "_")


def draw_timeline(
    times_s: ArrayLike,
    probability: ArrayLike,
    fates: Sequence[str],
    *,
    positive_label: str,
    title: str,
    verdict: str,
    is_decided: bool,
) -> Figure:
    """Draw the probability of one label over a video, with gaps where no face was used.

    Parameters
    ----------
    times_s
        (T,) times of the frames looked at [s], increasing.
    probability
        (T,) probability of `positive_label`; ignored where the fate is not ``used``.
    fates
        T fates, one per frame.
    verdict
        Whether the model could be told from chance, which stands above the chart.
    is_decided
        Whether it could; else the curve is grey.
    """
    times = np.asarray(times_s, dtype=float)
    used = np.array([fate == Fate.USED for fate in fates], dtype=bool)
    values = np.asarray(probability, dtype=float)
    if not times.shape == used.shape == values.shape:
        raise ValueError(
            f"lengths differ: times {times.shape}, values {values.shape}, fates {used.shape}"
        )
    figure, axes = new_chart(2.5)
    axes.axhline(0.5, color=INK, linewidth=0.9, linestyle=(0, (4, 3)))
    axes.plot(
        times,
        np.where(used, values, np.nan),
        color=ACCENT if is_decided else MUTED,
        linewidth=1.4,
        marker="o",
        markersize=2.4 if times.size <= _MAX_MARKED_FRAMES else 0,
    )
    missing = _draw_missing(axes, times, fates)
    axes.set_ylim(-0.08 if missing else -0.02, 1.02)
    axes.set_xlim(*_time_limits(times))
    axes.set_title(f"{shorten(title, 70)}\n{verdict}", loc="left", fontsize=8.5, color=INK)
    name = f"probability of\n{quote(shorten(positive_label, 26))}"
    style_axes(axes, x="time [s]", y=name, grid="y")
    if missing:
        add_legend(figure, _name_fates(missing))
    return set_literal_text(figure)


def _add_columns(figure: Figure, ratios: Sequence[float]) -> list[Axes]:
    grid = figure.add_gridspec(1, len(ratios), width_ratios=list(ratios))
    return [figure.add_subplot(grid[0, i]) for i in range(len(ratios))]


def _read_age(value: Any) -> float | None:
    """Return an age [years], or None where the table has none or words instead."""
    try:
        age = float(value)
    except (TypeError, ValueError):
        return None
    return age if np.isfinite(age) and age >= 0 else None


def _read_sex(value: Any) -> str | None:
    if is_missing(value) or not str(value).strip():
        return None
    sex = str(value).strip().lower()
    return _SEXES.get(sex, sex)


def _draw_ages(axes: Axes, ages: Sequence[float | None]) -> None:
    years = Counter(int(age) for age in ages if age is not None)
    axes.bar(list(years), list(years.values()), 0.72, color=ACCENT)
    unknown = sum(age is None for age in ages)
    note = f" ({count(unknown, 'dog')} without)" if unknown else ""
    axes.set_xlabel(f"age [completed years]{note}")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=12))


def _draw_sexes(axes: Axes, sexes: Sequence[str | None]) -> None:
    numbers = Counter(sex or "not stated" for sex in sexes)
    names = sorted(numbers, key=lambda name: (name == "not stated", name))
    axes.bar(range(len(names)), [numbers[name] for name in names], 0.6, color=ACCENT)
    axes.set_xticks(range(len(names)), labels=[shorten(name, 14) for name in names])
    axes.set_xlim(-0.7, len(names) - 0.3)
    axes.set_xlabel("sex")


def _name_subjects(axes: Axes, subjects: Sequence[str]) -> None:
    axes.set_xlim(-0.7, len(subjects) - 0.3)
    if len(subjects) > _MAX_NAMED_SUBJECTS:
        axes.set_xticks([])
        axes.set_xlabel(f"{len(subjects)} dogs")
        return
    names = [shorten(subject, 14) for subject in subjects]
    steep = len(subjects) > 12 or max(map(len, names), default=0) > 6
    axes.set_xticks(range(len(subjects)), labels=names, rotation=90 if steep else 0)


def _label_subject_rows(axes: Axes, rows: Sequence[SubjectResult], *, font_pt: float) -> None:
    style_axes(axes, grid="x")
    axes.set_ylim(len(rows) - 0.4, -0.6)
    named = len(rows) <= _MAX_NAMED_SUBJECTS
    names = [shorten(row.subject_id, 18) for row in rows] if named else []
    axes.set_yticks(range(len(names)), labels=names)
    axes.tick_params(axis="y", length=0, labelsize=font_pt)
    if named:
        _write_right(axes, [count(row.videos, "clip") for row in rows], font_pt=font_pt - 0.5)


def _write_right(axes: Axes, texts: Sequence[str], *, font_pt: float = 7.5) -> None:
    """Write one text per row to the right of `axes`."""
    for y, text in enumerate(texts):
        axes.annotate(
            text,
            (1, y),
            xycoords=axes.get_yaxis_transform(),
            xytext=(9, 0),
            textcoords="offset points",
            va="center",
            fontsize=font_pt,
            color=MUTED,
        )


def _write_cell(axes: Axes, row: int, column: int, *, number: int, share: float) -> None:
    axes.text(
        column,
        row,
        f"{number}\n{format_percent(share, decimals=0)}",
        ha="center",
        va="center",
        fontsize=9,
        linespacing=1.35,
        color="white" if share > 0.55 else INK,
    )


def _draw_missing(axes: Axes, times: NDArray[np.float64], fates: Sequence[str]) -> list[str]:
    """Mark below the curve the frames that gave no probability; return their fates."""
    missing = [fate for fate in _order_fates(set(fates)) if fate != Fate.USED]
    for fate in missing:
        at = times[np.array([each == fate for each in fates], dtype=bool)]
        colour = _FATE_COLOURS.get(fate, MUTED)
        axes.scatter(at, np.full(at.shape, -0.05), marker="|", s=24, color=colour, linewidths=1.2)
    return missing


def _time_limits(times: NDArray[np.float64]) -> tuple[float, float]:
    if times.size == 0:
        return 0.0, 1.0
    margin = max(0.01 * (times[-1] - times[0]), 0.05)
    return float(times[0] - margin), float(times[-1] + margin)


def _order_fates(fates: set[str]) -> list[str]:
    known = [str(fate) for fate in Fate if fate in fates]
    return [*known, *sorted(fates - set(known))]


def _name_fates(fates: Iterable[str]) -> dict[str, Artist]:
    return _patches({describe_fate(fate): _FATE_COLOURS.get(fate, MUTED) for fate in fates})


def _patches(colours: Mapping[str, str]) -> dict[str, Artist]:
    return {name: Patch(facecolor=colour) for name, colour in colours.items()}
