"""What the audit found: what might carry a result other than the condition, worst first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

from canemo.report.rows import Row, draw_rows
from canemo.report.wording import (
    count,
    format_interval,
    format_measure,
    format_p,
    format_percent,
    group_digits,
    is_missing,
    join_words,
    quote,
    write_sentence,
)
from canemo.run_record import Audit, RunMetrics

SHOWN_PAIRS = 20
ALARM = "alarm"

_SPLITS = {
    "frame_wise": "split by frame",
    "clip_wise": "split by clip",
    "subject_wise": "split by dog",
    "selected_outside": "split by dog, frames picked on all dogs",
}
_REMOVED = {
    "centred": "each dog’s mean removed",
    "without_subjects": "the directions that name the dog removed",
}
_NAME = "balanced_accuracy"


def describe_audit(audit: Audit | None) -> dict[str, Any] | None:
    """Return the audit as the report shows it, numbers as text; None where there was none."""
    if not audit:
        return None
    return {
        "findings": sort_findings(audit),
        "nothing": "The audit found nothing amiss." if audit.get("findings") == [] else "",
        "splits": _tabulate_splits(audit),
        "picked": "selected_outside" in _read_splits(audit),
        "identity": _state_identity(audit),
        "removed": _tabulate_removed(audit),
        "drops": _state_drops(audit),
        "sessions": _state_sessions(audit),
        "duplicates": _tabulate_duplicates(audit),
        "confounds": _tabulate_confounds(audit),
    }


def format_audit(audit: Audit) -> str:
    """Return the audit as a few short blocks for the terminal.

    Parameters
    ----------
    audit
        ``audit`` of ``metrics.json``.
    """
    shown = describe_audit(audit)
    if shown is None:
        return "There was no audit."
    blocks = [
        "\n".join(map(format_finding, shown["findings"])) or shown["nothing"],
        _format_rows(
            ["balanced accuracy claimed by", "clips", "frames"],
            [[row["name"], row["video"], row["frame"]] for row in shown["splits"]],
        ),
        _format_rows(
            ["balanced accuracy with", "clips", "95 % interval"],
            [[row["name"], row["value"], row["interval"]] for row in shown["removed"]],
        ),
        "\n".join(filter(None, [shown["identity"], shown["drops"], shown["sessions"]])),
        _format_duplicates(shown["duplicates"]),
        _format_confounds(shown["confounds"]),
    ]
    return "\n\n".join(filter(None, blocks))


def format_finding(finding: Mapping[str, Any]) -> str:
    """Return a finding as one line that names its severity."""
    severity = "Alarm" if finding["severity"] == ALARM else "Note"
    return f"{severity}: {write_sentence(finding['text'])}"


def sort_findings(audit: Audit | None) -> list[Mapping[str, Any]]:
    """Return the findings, alarms first and else in their order."""
    findings = (audit or {}).get("findings") or []
    return sorted(findings, key=lambda finding: finding["severity"] != ALARM)


def state_alarms(metrics: RunMetrics) -> str:
    """Return how many alarms the audit raised, for the head of the report; empty without any."""
    alarms = sum(each["severity"] == ALARM for each in sort_findings(metrics.get("audit")))
    if not alarms:
        return ""
    return f"The audit raises {count(alarms, 'alarm')}: see “Audit” before relying on this result."


def list_audit_charts(metrics: RunMetrics) -> dict[str, tuple[Figure | None, str]]:
    """Return the chart of what each split would have claimed; nothing where it is not known."""
    splits = _read_splits(metrics.get("audit") or {})
    if not splits:
        return {}
    rows = [
        Row(_SPLITS[name], claim.get("video"), second=claim.get("frame"), muted=muted)
        for name, claim in splits.items()
        for muted in [name != "subject_wise"]
    ]
    facts = [f"{row.name} {format_measure(_NAME, row.value)}" for row in rows]
    drawn = draw_rows(
        rows, chance=1 / len(metrics["study"]["labels"]), xlabel="balanced accuracy claimed"
    )
    return {"splits": (drawn, f"Balanced accuracy by clip: {'; '.join(facts)}.")}


def _read_splits(audit: Audit) -> dict[str, Mapping[str, Any]]:
    splits = dict(audit.get("splits") or {})
    selected = audit.get("selected_outside")
    if splits and selected:
        splits["selected_outside"] = {"video": selected.get(_NAME), "frame": None}
    return {name: splits[name] for name in _SPLITS if splits.get(name)}


def _tabulate_splits(audit: Audit) -> list[dict[str, str]]:
    return [
        {
            "name": _SPLITS[name],
            "video": format_measure(_NAME, claim.get("video")),
            "frame": format_measure(_NAME, claim.get("frame")),
        }
        for name, claim in _read_splits(audit).items()
    ]


def _tabulate_removed(audit: Audit) -> list[dict[str, str]]:
    return [
        {
            "name": words,
            "value": format_measure(_NAME, audit[name].get(_NAME)),
            "interval": format_interval(_NAME, audit[name].get("interval")),
        }
        for name, words in _REMOVED.items()
        if audit.get(name)
    ]


def _state_identity(audit: Audit) -> str:
    identity = audit.get("identity")
    if not identity or is_missing(identity.get("accuracy")):
        return ""
    return (
        f"From the features alone, clips are assigned to the right one of "
        f"{count(identity['subjects'], 'dog')} in {format_percent(identity['accuracy'])} "
        f"(chance {format_percent(identity['chance'])})."
    )


def _state_drops(audit: Audit) -> str:
    drops = audit.get("drops")
    if not drops or not drops.get("shares"):
        return ""
    shares = [f"{quote(label)} {format_percent(n)}" for label, n in drops["shares"].items()]
    p = "" if is_missing(drops.get("p")) else f" (difference between them: {format_p(drops['p'])})"
    return f"Frames without a usable face: {join_words(shares)}{p}."


def _state_sessions(audit: Audit) -> str:
    sessions = audit.get("sessions")
    if not sessions or not sessions.get("column") or not sessions.get("shared"):
        return ""
    shared = [_name_session(each) for each in sessions["shared"]]
    named = [*shared[:8], f"{len(shared) - 8} more"] if len(shared) > 9 else shared
    column = quote(str(sessions["column"]))
    return f"Shared between dogs in the column {column}: {join_words(named)}."


def _name_session(shared: Any) -> str:
    """Return a session and the dogs that share it."""
    return f"{shared.session} ({', '.join(shared.subjects)})"


def _tabulate_duplicates(audit: Audit) -> dict[str, Any] | None:
    duplicates = audit.get("duplicates")
    if not duplicates or not duplicates.get("n"):
        return None
    pairs = duplicates.get("pairs") or []
    rows = [
        {
            "first": _name_clip(pair["first"], pair.get("first_subject")),
            "second": _name_clip(pair["second"], pair.get("second_subject")),
            "cosine": f"{pair['cosine']:.4f}",
            "mark": _mark_pair(pair),
        }
        for pair in pairs[:SHOWN_PAIRS]
    ]
    threshold = duplicates.get("threshold")
    above = "" if is_missing(threshold) else f", cosine of {threshold:g} or more"
    left = duplicates["n"] - len(rows)
    more = f"; {group_digits(left)} more are not shown" if left > 0 else ""
    number = count(duplicates["n"], "pair")
    return {"text": f"{number} of clips nearly alike{above}{more}.", "rows": rows}


def _mark_pair(pair: Mapping[str, Any]) -> str:
    """Return what makes a pair of like clips a trouble."""
    if pair.get("first_subject") != pair.get("second_subject"):
        return "two dogs"
    return "two conditions" if pair.get("first_label") != pair.get("second_label") else ""


def _name_clip(video_id: Any, subject_id: Any) -> str:
    return str(video_id) if subject_id is None else f"{video_id} ({subject_id})"


def _tabulate_confounds(audit: Audit) -> dict[str, Any] | None:
    confounds = audit.get("confounds")
    if not confounds or not confounds.get("rows"):
        return None
    rows = [
        {
            "title": row.get("title") or row["name"],
            "cells": [_read_cell(row, name) for name in (_NAME, "auroc")],
            "clips": "–" if row.get("clips") is None else group_digits(row["clips"]),
        }
        for row in confounds["rows"]
    ]
    return {
        "rows": rows,
        "frames_per_clip": confounds.get("frames_per_clip"),
        "verdict": [write_sentence(text) for text in confounds.get("verdict") or []],
    }


def _read_cell(row: Mapping[str, Any], name: str) -> tuple[str, str]:
    interval = (row.get("interval") or {}).get(name)
    return format_measure(name, row.get(name)), format_interval(name, interval)


def _format_duplicates(duplicates: Mapping[str, Any] | None) -> str:
    if duplicates is None:
        return ""
    lines = [
        f"  {row['cosine']}  {row['first']} – {row['second']}  {row['mark']}".rstrip()
        for row in duplicates["rows"]
    ]
    return "\n".join([duplicates["text"], *lines])


def _format_confounds(confounds: Mapping[str, Any] | None) -> str:
    if confounds is None:
        return ""
    heading = ["what was shown", "bal. accuracy", "95 % interval", "AUROC", "clips"]
    rows = [
        [row["title"], *row["cells"][0], row["cells"][1][0], row["clips"]]
        for row in confounds["rows"]
    ]
    return "\n".join([_format_rows(heading, rows), *confounds["verdict"]])


def _format_rows(heading: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table of text: the first column to the left, numbers to the right."""
    if not rows:
        return ""
    lines = [list(heading), *map(list, rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(heading))]
    return "\n".join(
        line[0].ljust(widths[0])
        + "".join(f"   {cell:>{width}}" for cell, width in zip(line[1:], widths[1:], strict=True))
        for line in lines
    )
