"""Which part of the picture carried the result, and what picking the best part would claim."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from canemo.report.charts.rows import GRID_SIDE
from canemo.report.tables import COUNT, Column, Table, describe_measures, describe_records
from canemo.report.words.voice import find_voice
from canemo.report.words.wording import count, describe_frames, format_percent, join_words
from canemo.study.records.run import RunMetrics, SweepPart

_ALL = tuple(range(GRID_SIDE**2))
_CENTRE = (5, 6, 9, 10)

PARTS: Mapping[str, tuple[str, tuple[int, ...]]] = {
    "cls": ("whole crop, summed up by the backbone", _ALL),
    "mean": ("whole crop, mean over all places", _ALL),
    "cls_mean": ("whole crop, summed up and mean", _ALL),
    "layer2": ("whole crop, second last layer", _ALL),
    "layer3": ("whole crop, third last layer", _ALL),
    "layer4": ("whole crop, fourth last layer", _ALL),
    "last4": ("whole crop, last four layers", _ALL),
    "grid": ("whole crop, all 16 cells apart", _ALL),
    "upper": ("upper half", _ALL[:8]),
    "lower": ("lower half", _ALL[8:]),
    "row1": ("top quarter", _ALL[:4]),
    "row2": ("second quarter", _ALL[4:8]),
    "row3": ("third quarter", _ALL[8:12]),
    "row4": ("bottom quarter", _ALL[12:]),
    "centre": ("centre", _CENTRE),
    "rim": ("outer ring", tuple(cell for cell in _ALL if cell not in _CENTRE)),
    "geometry": ("measured geometry of the face", ()),
}


def describe_parts(metrics: RunMetrics) -> Table | None:
    """Return what each setting on offer reaches alone; None where there was but one."""
    parts = list_parts(metrics)
    if len(parts) < 2:
        return None
    columns = [
        Column("part", "Part", "what the model saw", at=lambda part: name_pooling(part.pooling)),
        Column(
            "frames", "Frames", "those that counted", at=lambda each: _shorten_frames(each.frames)
        ),
        *describe_measures("balanced_accuracy", "auroc"),
        Column("chosen", "Rounds", "rounds that chose it", COUNT),
    ]
    if len({part.frames for part in parts}) == 1:
        del columns[1]
    caption = "What each part reaches alone, with the number of rounds that chose it."
    return describe_records(caption, columns, parts, style="result")


def vary_parts(metrics: RunMetrics) -> bool:
    """Tell whether parts of the picture were on offer, not frames alone."""
    return len({part.pooling for part in list_parts(metrics)}) > 1


def describe_optimism(metrics: RunMetrics) -> str:
    """Return what picking by the test result would have claimed; empty where it is not known."""
    if metrics.sweep is None:
        return ""
    optimism = metrics.sweep.optimism
    nested, best = optimism.nested, optimism.best
    if nested is None or best is None:
        return ""
    setting = (
        f"{name_pooling(optimism.pooling)}, {describe_frames(optimism.frames)}, "
        f"penalty {optimism.penalty:g}"
    )
    return (
        "Chosen within each round, without the dogs it is tested on, the setting reached a "
        f"balanced accuracy of {format_percent(nested)}. Picking the best of "
        f"{count(optimism.settings, 'setting')} by the result on the test dogs themselves would "
        f"have claimed {format_percent(best)} ({setting}), "
        f"{_state_gap(best - nested)}"
    )


def format_optimism(metrics: RunMetrics) -> str:
    """Return the honest figure beside the best of all settings, in one or two plain sentences."""
    text = describe_optimism(metrics) or (
        "What picking the best setting by its test result would have claimed is not known: this "
        "run recorded no settings to choose from."
    )
    return find_voice(metrics.study).say(text)


def name_pooling(pooling: str) -> str:
    """Return what a representation is about, in words, with the shares of its blocks if fixed.

    Several representations, as a page of explanations has them, stay apart by semicolons.
    """
    named = [
        " with ".join(_name_block(*block.partition("*")) for block in each.split(","))
        for each in pooling.split("; ")
    ]
    return "; ".join(named)


def _name_block(name: str, star: str, share: str) -> str:
    kind, _, regions = name.partition(":")
    words = PARTS.get(name, (name, ()))[0]
    if kind == "region":
        words = join_words(regions.split("+"))
    return f"{words} ({format_percent(float(share), decimals=0)})" if star else words


def _state_gap(gap: float) -> str:
    points = f"{100 * abs(gap):.1f} percentage points"
    if points.startswith("0.0"):
        return "the same; here picking by the test result would have changed nothing."
    if gap < 0:
        return f"{points} less."
    return f"{points} more than can be expected of new dogs."


def list_parts(metrics: RunMetrics) -> list[SweepPart]:
    """Return the parts, the whole crop first, then its bands from top to bottom."""
    parts = () if metrics.sweep is None else metrics.sweep.parts
    order = {name: place for place, name in enumerate(PARTS)}
    return sorted(parts, key=lambda part: order.get(part.pooling, len(order)))


def name_part(part: SweepPart, parts: Sequence[SweepPart]) -> str:
    """Return what tells a part from the others: its name and, where these vary, its frames.

    That a part is the whole crop is left to the scheme beside it.
    """
    name = name_pooling(part.pooling).removeprefix("whole crop, ")
    if len({each.frames for each in parts}) < 2:
        return name
    return f"{name}; {_shorten_frames(part.frames)}"


def _shorten_frames(rule: str) -> str:
    kind, _, number = rule.partition(":")
    if kind in ("score", "sharp"):
        return f"{'sharpest' if kind == 'sharp' else 'best'} {100 * float(number):g} %"
    return f"{number} frames" if kind == "even" else rule
