"""What an explanation says in words and tables, for its page, the report and the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from canemo.report import wording

_CHECKS = {
    "deletion": "Deletion",
    "insertion": "Insertion",
    "like_random_probe": "Random probe",
    "like_shuffled": "Shuffled labels",
    "like_random_backbone": "Random backbone",
    "pointing": "Pointing game",
}


def format_explanation(content: Mapping[str, Any]) -> str:
    """Return what was found as plain text for a terminal."""
    lines = []
    for model in content["models"]:
        lines += [f"{model['name']}: {write_sentence(model)}", f"regions: {model['regions']}"]
        lines += [f"note: {note}" for note in model["notes"]]
        lines += [f"{each['title']}: {each['verdict']}" for each in model["methods"]]
        lead = model["methods"][0]
        for heading, rows in (
            (_name_gap(lead), lead["gap"] if model["is_labelled"] else None),
            ("lost when covered", model["occlusion"] if model["is_labelled"] else None),
        ):
            lines += _format_rows(heading, _tabulate_gap(rows))
    return "\n".join(lines)


def _name_gap(method: Mapping[str, Any]) -> str:
    return "difference [logits]" if method["exact"] else "held by the map"


def _format_rows(heading: str, rows: Sequence[Mapping[str, str]]) -> list[str]:
    if not rows:
        return []
    lines = [f"{'region':<12}{heading:>20}{'95 % interval':>18}{'of the whole':>14}{'p':>9}"]
    return lines + [
        f"{row['region']:<12}{row['gap']:>20}{row['interval']:>18}{row['percent']:>14}{row['p']:>9}"
        for row in rows
    ]


def describe_explanation(model: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a page says of one model: sentences and tables."""
    lead = model["methods"][0]
    return {
        **model,
        "sentence": write_sentence(model),
        "cards": [_tabulate_card(method) for method in model["methods"]],
        "gap_rows": _tabulate_gap(lead["gap"]),
        "share_rows": _tabulate_shares(lead["shares"]),
        "loss_rows": _tabulate_gap(model["occlusion"]),
        "logits": _state_difference(model["difference"]),
        "lead": lead,
    }


def write_sentence(model: Mapping[str, Any]) -> str:
    """Return where the difference between the labels lies, claiming no more than was found."""
    lead = model["methods"][0]
    if lead["passed"] is False:
        return (
            f"The leading map ({lead['title']}) failed a test it was put to: "
            f"{lead['verdict'].removeprefix('FAILS: ')}. Do not read the pictures as an "
            "explanation of the decision."
        )
    if not model["is_labelled"]:
        return (
            "These pictures have no known condition: the maps show what the answers rest on, "
            "picture by picture, and no difference between conditions can be told from them."
        )
    if lead["gap"] is None:
        return f"The leading map ({lead['title']}) has no parts that add up to numbers by region."
    if model["difference"]["gap_low"] is None:
        return f"How the labels differ is not known: {model['difference']['reason']}."
    untested = " No test was made of this map." if lead["passed"] is None else ""
    told = _tell_parts(model, lead) if lead["exact"] else _tell_sure_parts(model, lead)
    return f"{told}{untested}"


def _tell_parts(model: Mapping[str, Any], lead: Mapping[str, Any]) -> str:
    """Return where most of the difference lies, of a map whose parts sum to it."""
    rows = [row for row in lead["gap"] if row["percent"] is not None]
    if not rows:
        return "The evidence of the two labels does not differ clearly on these crops."
    parts = [row for row in rows if row["region"] != "all" and row["area"]]
    largest = max(parts, key=lambda row: row["percent"])
    densest = max(parts, key=lambda row: row["percent"] / row["area"])
    text = (
        f"Of the difference in evidence between {wording.quote(model['label'])} and "
        f"{wording.quote(model['other'])} ({model['difference']['gap']:.2f} logits), "
        f"{_state_part(largest)}"
    )
    if densest is not largest:
        text += f"; relative to its area most is in another part: {_state_part(densest)}"
    return f"{text}."


def _tell_sure_parts(model: Mapping[str, Any], lead: Mapping[str, Any]) -> str:
    """Return which parts can be told from chance, of a map whose parts sum to no logit."""
    text = (
        f"The logits of {wording.quote(model['label'])} and {wording.quote(model['other'])} differ "
        f"by {model['difference']['gap']:.2f}; the parts of the leading map ({lead['title']}) do "
        "not sum to that. "
    )
    sure = [
        f"the {row['region']} ({row['gap']:+.2f} in {100 * row['area']:.0f} % of the area)"
        for row in sorted(lead["gap"], key=lambda row: -abs(row["gap"] or 0))
        if row["region"] != "all" and _is_sure(row)
    ]
    if not sure:
        return f"{text}By this map no part of the face can be told from chance."
    return f"{text}Told from chance: {', '.join(sure)}."


def _is_sure(row: Mapping[str, Any]) -> bool:
    return row["p_holm"] is not None and row["p_holm"] <= wording.P_LEVEL


def _state_part(row: Mapping[str, Any]) -> str:
    """Return a region's part of the difference, and whether it can be told from chance."""
    area = f"{100 * row['area']:.0f} % of the area"
    part = f"{row['percent']:.0f} % lies in the {row['region']}, {area}"
    return part if _is_sure(row) else f"{part} (which cannot be told from chance)"


def _tabulate_card(method: Mapping[str, Any]) -> dict[str, Any]:
    checks = {check["name"]: check for check in method["checks"]}
    return {
        "title": method["title"],
        "explains": method["explains"],
        "passed": method["passed"],
        "verdict": method["verdict"],
        "unmade": [check["reason"] for check in method["checks"] if check["passed"] is None],
        "cells": [_show_check(checks.get(name)) for name in _CHECKS],
    }


def list_checks() -> list[str]:
    """Return the headings of the report card's columns."""
    return list(_CHECKS.values())


def _show_check(check: Mapping[str, Any] | None) -> dict[str, str]:
    if check is None or check["value"] is None:
        return {"value": "–", "interval": "", "mark": ""}
    interval = ""
    if check["low"] is not None:
        interval = f"{check['low']:.2f} to {check['high']:.2f}"
    mark = {True: "pass", False: "FAIL", None: ""}[check["passed"]]
    return {"value": f"{check['value']:.2f}", "interval": interval, "mark": mark}


def _tabulate_gap(rows: Sequence[Mapping[str, Any]] | None) -> list[dict[str, str]]:
    return [
        {
            "region": row["region"],
            "area": _show_percent(row["area"], 100),
            "gap": _show(row["gap"]),
            "interval": _show_interval(row, "gap"),
            "moved": _show(row["moved"]),
            "percent": _show_percent(row["percent"], 1),
            "p": _show_p(row["p_holm"] if row["region"] != "all" else row["p"]),
        }
        for row in rows or []
    ]


def _state_difference(row: Mapping[str, Any]) -> str:
    interval = "" if row["gap_low"] is None else f" ({_show_interval(row, 'gap')})"
    return f"{_show(row['gap'])}{interval}"


def _tabulate_shares(rows: Sequence[Mapping[str, Any]] | None) -> list[dict[str, str]]:
    return [
        {
            "label": row["label"],
            "region": row["region"],
            "share": _show_percent(row["share"], 100),
            "interval": " to ".join(
                _show_percent(row[name], 100) for name in ("share_low", "share_high")
            )
            if row["share_low"] is not None
            else "–",
            "area": _show_percent(row["area"], 100),
            "ratio": _show(row["ratio"]),
        }
        for row in rows or []
    ]


def _show(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def _show_percent(value: float | None, factor: float) -> str:
    return "–" if value is None else f"{factor * value:.0f} %"


def _show_interval(row: Mapping[str, Any], name: str) -> str:
    low, high = row[f"{name}_low"], row[f"{name}_high"]
    return "–" if low is None else f"{low:.2f} to {high:.2f}"


def _show_p(p: float | None) -> str:
    return "–" if p is None else "< 0.001" if p < 0.001 else f"{p:.3f}"
