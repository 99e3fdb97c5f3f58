"""What was found of coded action units, for the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from canemo.report import wording
from canemo.report.concepts import (
    list_remarks,
    tabulate_agreement,
    tabulate_decoding,
    tabulate_direction,
    write_concepts_sentence,
)

SHOWN_LINES = 5


def format_concepts(content: Mapping[str, Any]) -> str:
    """Return what was found as sentences and tables.

    Parameters
    ----------
    content
        What `canemo concepts` writes as JSON.
    """
    parts = [write_concepts_sentence(content), _format_understood(content["events"])]
    parts += filter(
        None,
        [
            _format_decoding(content["units"]),
            _format_directions(content),
            _format_agreement(content["agreement"]),
            "\n".join(f"Warning: {text}" for text in content["warnings"]),
        ],
    )
    return "\n\n".join(parts)


def _format_understood(events: Mapping[str, Any]) -> str:
    lines = [
        f"{file['file']}: {file['form_words']}, {wording.count(file['events'], 'row')}; "
        + ", ".join(f"{ours} = {theirs!r}" for ours, theirs in file["columns"].items())
        for file in events["files"]
    ]
    lines.append(
        f"{wording.count(events['clips_coded'], 'clip')} coded, "
        f"{len(events['clips_left_out'])} left out"
    )
    for title, texts in list_remarks(events):
        lines += [f"{title}: {text}" for text in texts[:SHOWN_LINES]]
        if len(texts) > SHOWN_LINES:
            lines.append(f"{title}: {len(texts) - SHOWN_LINES} more, see the report")
    return "\n".join(lines)


def _format_decoding(units: Sequence[Mapping[str, Any]]) -> str:
    wide = max([len(unit["unit"]) for unit in units], default=0) + 2
    heading = (
        "AUROC of frames of unseen dogs, within dogs and of all dogs pooled; unseen: events that "
        "no frame with a face shows; disagreed: frames left out because coders do"
    )
    lines = [
        heading,
        f"{'unit':<{wide}}{'frames':>7}{'shown':>7}{'dogs':>6}{'within':>8}  {'95 % interval':<16}"
        f"{'p Holm':>8}{'pooled':>8}{'moved':>7}{'unseen':>8}{'disagreed':>11}  verdict",
    ]
    for unit in units:
        row = tabulate_decoding(unit)
        lines.append(
            f"{unit['unit']:<{wide}}{row['frames']:>7}{row['shown']:>7}{row['dogs']:>6}"
            f"{row['within']:>8}  {row['interval']:<16}{row['p_holm']:>8}{row['pooled']:>8}"
            f"{row['pooled_null']:>7}{unit['events_without_frame']:>8}"
            f"{unit['frames_disagreed']:>11}  {row['verdict']}"
        )
    return "\n".join(lines) if units else ""


def _format_directions(content: Mapping[str, Any]) -> str:
    units = [unit for unit in content["units"] if unit["verdict"] == "decodable"]
    if not units:
        return ""
    wide = max(len(unit["unit"]) for unit in units) + 2
    label = content["protocol"]["label"]
    lines = [
        f"direction of {label!r}: correlation of scores within unseen dogs, change of the logit "
        "for one step along the unit, AUROC by clip left without it; in brackets what moved "
        "codings give",
        f"{'unit':<{wide}}{'correlation':<26}{'logit':<26}{'left':<34}{'p Holm':>8}  verdict",
    ]
    for unit in units:
        row = tabulate_direction(unit)
        lines.append(
            f"{unit['unit']:<{wide}}{row['correlation']:<26}{row['sensitivity']:<26}"
            f"{row['left']:<34}{row['p_holm']:>8}  {row['verdict']}"
        )
    return "\n".join(lines)


def _format_agreement(agreement: Mapping[str, Any]) -> str:
    pairs = agreement["pairs"]
    if not pairs:
        return ""
    wide = max(len(pair["unit"]) for pair in pairs) + 2
    lines = [f"agreement, {agreement['method']}"]
    for pair in pairs:
        row = tabulate_agreement(pair)
        lines.append(
            f"{pair['unit']:<{wide}}{row['observers']}: kappa {row['kappa']}, {row['agreement']} "
            f"of {row['frames']} frames alike, shown {row['prevalence']}"
        )
    return "\n".join(lines)
