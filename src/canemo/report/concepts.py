"""What was found of coded action units: words, cells of tables, and one HTML file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from canemo.files import write_atomically
from canemo.report import wording
from canemo.report.canvas import (
    ACCENT,
    INK,
    LABEL_COLOURS,
    new_figure,
    set_literal_text,
    shorten,
    style_axes,
)
from canemo.report.html import embed_figure, open_template

CLIPS_DRAWN = 2
_MAX_MARKED_FRAMES = 300

_DECODING = {
    "decodable": "decodable",
    "not shown": "not shown to be decodable",
    "too few": "too few to tell",
}
_MOVED = {"clips": "clips", "stretches": "stretches"}
_DIRECTION = {
    "aligned": "shares its direction",
    "not shown": "not shown to share it",
    "not asked": "–",
    "cannot be asked": "cannot be asked",
}


# -- words -----------------------------------------------------------------------------------------


def write_concepts_sentence(content: Mapping[str, Any]) -> str:
    """Return what was found in words that claim no more than the tests do."""
    units = content["units"]
    if not units:
        return "No unit was coded in any clip with a usable face."
    judged = sum(unit["verdict"] != "too few" for unit in units)
    if not judged:
        number = wording.count(len(units), "unit")
        return f"Too little was coded to say whether any of {number} can be decoded."
    decoded = [unit["unit"] for unit in units if unit["verdict"] == "decodable"]
    number = wording.count(judged, "unit")
    if not decoded:
        return (
            f"None of {number} judged can be shown to be decodable on dogs the probe has not seen."
        )
    sentence = (
        f"{wording.join_words(decoded)} can be decoded on dogs the probe has not seen, of {number} "
        "judged."
    )
    return f"{sentence} {_state_directions(content)}"


def _state_directions(content: Mapping[str, Any]) -> str:
    label = wording.quote(content["protocol"]["label"])
    units = [u["unit"] for u in content["units"] if u["direction_verdict"] == "aligned"]
    decoded = [u for u in content["units"] if u["verdict"] == "decodable"]
    if all(unit["direction_verdict"] == "cannot be asked" for unit in decoded):
        reason = decoded[0]["direction_reason"]
        return f"Whether the probe of {label} has a direction in common cannot be asked: {reason}."
    if not units:
        return f"None that can be decoded is shown to share its direction with {label}."
    shares = "shares its direction" if len(units) == 1 else "share their direction"
    return (
        f"{wording.join_words(units)} {shares} with the probe of {label}: that is no cause, for "
        "whatever goes along with it has that direction too."
    )


def list_remarks(events: Mapping[str, Any]) -> list[tuple[str, list[str]]]:
    """Return what was not used or not known in the files of events, by kind, empty kinds apart."""
    unknown = [
        f"{unit!r}, {wording.count(n, 'time')}" for unit, n in events["unknown_units"].items()
    ]
    left_out = [f"{f['file']}, {line}" for f in events["files"] for line in f["left_out"]]
    unused = [
        f"{f['file']}: {', '.join(f['unused_columns'])}"
        for f in events["files"]
        if f["unused_columns"]
    ]
    moved = [f"{f['file']}: {note}" for f in events["files"] for note in f["notes"]]
    never = [
        f"{who}, {', '.join(units)}: no witness of their absence"
        for who, units in events["units_never_used"].items()
    ]
    kinds = [
        ("not a DogFACS code, kept as given", unknown),
        ("entry left out", left_out),
        ("no video", events["unmatched"]),
        ("beyond its clip", events["outside"]),
        ("times moved", moved),
        ("taken for the video's own", events["subjects_assumed"]),
        ("unit that a coder never used", never),
        ("columns not read", unused),
    ]
    return [(title, texts) for title, texts in kinds if texts]


def tabulate_decoding(unit: Mapping[str, Any]) -> dict[str, str]:
    """Return the cells of a unit's line in the table of what can be decoded."""
    reason = unit.get("reason")
    verdict = _DECODING[unit["verdict"]]
    within, pooled, test = (unit.get(key) or {} for key in ("within", "pooled", "permutation"))
    return {
        "frames": wording.group_digits(unit["frames"]),
        "shown": wording.group_digits(unit["shown"]),
        "dogs": str(unit["subjects"]["both_states"]),
        "within": wording.format_measure("auroc", within.get("auroc")),
        "interval": wording.format_interval("auroc", within.get("interval")),
        "p": wording.format_p(test.get("p"), name=""),
        "p_holm": wording.format_p(test.get("p_holm"), name=""),
        "moved": _MOVED.get(test.get("moved", ""), "–"),
        "pooled": wording.format_measure("auroc", pooled.get("auroc")),
        "pooled_interval": wording.format_interval("auroc", pooled.get("interval")),
        "pooled_null": wording.format_measure("auroc", pooled.get("null_mean")),
        "verdict": f"{verdict}: {reason}" if reason else verdict,
    }


def tabulate_direction(unit: Mapping[str, Any]) -> dict[str, str]:
    """Return the cells of a unit's line in the table of directions."""
    direction = unit["direction"]
    correlation, sensitivity = direction["correlation"], direction["sensitivity"]
    left, reason = direction["removal"]["auroc"], unit["direction_reason"]
    verdict = _DIRECTION[unit["direction_verdict"]]
    remaining = [wording.format_measure("auroc", left[key]) for key in ("whole", "left")]
    return {
        "correlation": _show_signed(correlation["value"], correlation["null"]),
        "null_labels": _show_range(correlation.get("null_labels"), signed=True),
        "p": wording.format_p(correlation["p"], name=""),
        "p_labels": wording.format_p(correlation.get("p_labels"), name=""),
        "p_holm": wording.format_p(correlation.get("p_holm"), name=""),
        "sensitivity": _show_signed(sensitivity["value"], sensitivity["null"]),
        "p_sensitivity": wording.format_p(_take_greater(sensitivity), name=""),
        "left": f"{' to '.join(remaining)} [{_show_range(left['null'], signed=False)}]",
        "verdict": f"{verdict}: {reason}" if reason else verdict,
    }


def _take_greater(tested: Mapping[str, Any]) -> float | None:
    """Return the greater of the p of moved codings and that of moved labels."""
    both = [tested["p"], tested.get("p_labels")]
    return None if any(wording.is_missing(p) for p in both) else max(both)


def _show_signed(value: float | None, null: Sequence[float] | None) -> str:
    text = "–" if wording.is_missing(value) else f"{value:+.2f}"
    return f"{text} [{_show_range(null, signed=True)}]"


def _show_range(ends: Sequence[float] | None, *, signed: bool) -> str:
    if ends is None:
        return "–"
    return " to ".join(f"{end:+.2f}" if signed else f"{end:.3f}" for end in ends)


def tabulate_agreement(pair: Mapping[str, Any]) -> dict[str, str]:
    """Return the cells of a pair's line in the table of agreement."""
    ends = _show_range(pair["interval"], signed=True)
    known = pair["kappa"] is not None
    return {
        "observers": " and ".join(pair["observers"]),
        "kappa": f"{pair['kappa']:.2f} ({ends})" if known else f"– ({pair['reason']})",
        "agreement": wording.format_percent(pair["agreement"]),
        "prevalence": " and ".join(wording.format_percent(share) for share in pair["prevalence"]),
        "frames": wording.group_digits(pair["frames"]),
        "subjects": str(pair["subjects"]),
    }


# -- page ------------------------------------------------------------------------------------------


def write_concepts_report(path: Path, content: Mapping[str, Any], frames: pd.DataFrame) -> Path:
    """Write the page of `content`, and return its path.

    Parameters
    ----------
    path
        The HTML file.
    content
        What `canemo concepts` writes as JSON.
    frames
        One row per unit and coded frame: video_id, subject_id, time_s, unit, shown, score.
    """
    units = content["units"]
    page = open_template("concepts.html.j2").render(
        content=content,
        study=content["study"],
        protocol=content["protocol"],
        environment=content["environment"],
        sentence=write_concepts_sentence(content),
        decoding=[(unit, tabulate_decoding(unit)) for unit in units],
        directions=[
            (unit, tabulate_direction(unit)) for unit in units if unit["verdict"] == "decodable"
        ],
        agreement=[(pair, tabulate_agreement(pair)) for pair in content["agreement"]["pairs"]],
        remarks=list_remarks(content["events"]),
        pictures=_draw_timelines(units, frames),
        split_words=wording.describe_split(
            content["protocol"]["split"], content["protocol"]["folds"]
        ),
        count=wording.count,
        quote=wording.quote,
        join_units=wording.join_units,
    )
    return write_atomically(path, page)


def _draw_timelines(units: Sequence[Mapping[str, Any]], frames: pd.DataFrame) -> dict[str, Any]:
    drawn = {}
    for unit in units:
        own = frames[frames["unit"] == unit["unit"]]
        clips = choose_clips(own)
        if unit["verdict"] == "too few" or not clips:
            continue
        figure = draw_coding({name: own[own["video_id"] == name] for name in clips})
        alt = (
            f"When coders saw {unit['unit']} in {wording.join_words(clips)}, and the score of the "
            "probe that has not seen the dog."
        )
        drawn[unit["unit"]] = embed_figure(figure, alt)
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
            markersize=2.4 if len(time_s) <= _MAX_MARKED_FRAMES else 0,
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
