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
    join_words,
    quote,
    write_sentence,
)
from canemo.run_record import Audit, Claim, DuplicatePair, Finding, RunMetrics

SHOWN_PAIRS = 20
ALARM = "alarm"

_SPLITS = {
    "frame_wise": "split by frame",
    "clip_wise": "split by clip",
    "subject_wise": "split by dog",
    "selected_outside": "split by dog, frames picked on all dogs",
}
_NAME = "balanced_accuracy"


def describe_audit(audit: Audit) -> dict[str, Any]:
    """Return the audit as the report shows it, numbers as text."""
    return {
        "findings": sort_findings(audit),
        "nothing": "" if audit.findings else "The audit found nothing amiss.",
        "splits": _tabulate_splits(audit),
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


def format_finding(finding: Finding) -> str:
    """Return a finding as one line that names its severity."""
    severity = "Alarm" if finding.severity == ALARM else "Note"
    return f"{severity}: {write_sentence(finding.text)}"


def sort_findings(audit: Audit) -> list[Finding]:
    """Return the findings, alarms first and else in their order."""
    return sorted(audit.findings, key=lambda finding: finding.severity != ALARM)


def state_alarms(metrics: RunMetrics) -> str:
    """Return how many alarms the audit raised, for the head of the report; empty without any."""
    alarms = sum(finding.severity == ALARM for finding in metrics.audit.findings)
    if not alarms:
        return ""
    return f"The audit raises {count(alarms, 'alarm')}: see “Audit” before relying on this result."


def list_audit_charts(metrics: RunMetrics) -> dict[str, tuple[Figure | None, str]]:
    """Return the chart of what each split would have claimed."""
    rows = [
        Row(_SPLITS[name], claim.video, second=claim.frame, muted=name != "subject_wise")
        for name, claim in _list_claims(metrics.audit).items()
    ]
    facts = [f"{row.name} {format_measure(_NAME, row.value)}" for row in rows]
    drawn = draw_rows(
        rows, chance=1 / len(metrics.study.labels), xlabel="balanced accuracy claimed"
    )
    return {"splits": (drawn, f"Balanced accuracy by clip: {'; '.join(facts)}.")}


def _list_claims(audit: Audit) -> dict[str, Claim]:
    picked = Claim(video=audit.selected_outside.balanced_accuracy, frame=None)
    return {**dict(iter(audit.splits)), "selected_outside": picked}


def _tabulate_splits(audit: Audit) -> list[dict[str, str]]:
    return [
        {
            "name": _SPLITS[name],
            "video": format_measure(_NAME, claim.video),
            "frame": format_measure(_NAME, claim.frame),
        }
        for name, claim in _list_claims(audit).items()
    ]


def _tabulate_removed(audit: Audit) -> list[dict[str, str]]:
    return [
        {
            "name": words,
            "value": format_measure(_NAME, found.balanced_accuracy),
            "interval": format_interval(_NAME, found.interval),
        }
        for found, words in (
            (audit.centred, "each dog’s mean removed"),
            (audit.without_subjects, "the directions that name the dog removed"),
        )
    ]


def _state_identity(audit: Audit) -> str:
    identity = audit.identity
    if identity is None:
        return ""
    return (
        f"From the features alone, clips are assigned to the right one of "
        f"{count(identity.subjects, 'dog')} in {format_percent(identity.accuracy)} "
        f"(chance {format_percent(identity.chance)})."
    )


def _state_drops(audit: Audit) -> str:
    drops = audit.drops
    shares = [f"{quote(label)} {format_percent(n)}" for label, n in drops.shares.items()]
    p = "" if drops.p is None else f" (difference between them: {format_p(drops.p)})"
    return f"Frames without a usable face: {join_words(shares)}{p}."


def _state_sessions(audit: Audit) -> str:
    sessions = audit.sessions
    if sessions.column is None or not sessions.shared:
        return ""
    shared = [f"{each.session} ({', '.join(each.subjects)})" for each in sessions.shared]
    named = [*shared[:8], f"{len(shared) - 8} more"] if len(shared) > 9 else shared
    column = quote(sessions.column)
    return f"Shared between dogs in the column {column}: {join_words(named)}."


def _tabulate_duplicates(audit: Audit) -> dict[str, Any] | None:
    duplicates = audit.duplicates
    if not duplicates.n:
        return None
    rows = [
        {
            "first": f"{pair.first} ({pair.first_subject})",
            "second": f"{pair.second} ({pair.second_subject})",
            "cosine": f"{pair.cosine:.4f}",
            "mark": _mark_pair(pair),
        }
        for pair in duplicates.pairs[:SHOWN_PAIRS]
    ]
    threshold = duplicates.threshold
    above = "" if threshold is None else f", cosine of {threshold:g} or more"
    left = duplicates.n - len(rows)
    more = f"; {group_digits(left)} more are not shown" if left > 0 else ""
    number = count(duplicates.n, "pair")
    return {"text": f"{number} of clips nearly alike{above}{more}.", "rows": rows}


def _mark_pair(pair: DuplicatePair) -> str:
    """Return what makes a pair of like clips a trouble."""
    if pair.first_subject != pair.second_subject:
        return "two dogs"
    return "two conditions" if pair.first_label != pair.second_label else ""


def _tabulate_confounds(audit: Audit) -> dict[str, Any] | None:
    confounds = audit.confounds
    if confounds is None:
        return None
    rows = [
        {
            "title": row.title,
            "cells": [
                (format_measure(name, row.of(name)), format_interval(name, row.interval.of(name)))
                for name in (_NAME, "auroc")
            ],
            "clips": group_digits(row.clips),
        }
        for row in confounds.rows
    ]
    return {
        "rows": rows,
        "frames_per_clip": confounds.frames_per_clip,
        "verdict": [write_sentence(text) for text in confounds.verdict],
    }


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
