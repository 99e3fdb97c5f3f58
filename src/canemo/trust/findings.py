"""What an audit's measurements say, in plain words: alarms and notes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import random_table

from canemo.records import Study
from canemo.species import Species
from canemo.trust.intervals import LEVEL, count_reached
from canemo.trust.metadata import describe_columns, list_categories

DRAWS = 999
WORTH_SAYING = 0.05  # of balanced accuracy


@dataclass(frozen=True)
class Finding:
    """One thing the author must know; an alarm puts the result itself in doubt."""

    severity: str
    name: str
    text: str

    def to_dict(self) -> dict[str, str]:
        """Return plain values for JSON."""
        return {"severity": self.severity, "name": self.name, "text": self.text}


def find_alignment(study: Study, species: Species) -> list[Finding]:
    """Return alarms where the label cannot be told from something else by any analysis."""
    found: list[Finding] = []
    noun, plural = species.noun, species.plural
    shown: dict[str, set[str]] = {}
    for video in study.videos:
        shown.setdefault(video.subject_id, set()).add(video.label)
    if all(len(labels) == 1 for labels in shown.values()):
        found.append(
            Finding(
                "alarm",
                "aligned",
                f"nothing can be concluded about the condition: every {noun} was filmed in one "
                f"condition only, so that condition and {noun} cannot be told apart",
            )
        )
    for column, values in list_categories(study).items():
        seen: dict[str, set[str]] = {}
        owners: dict[str, set[str]] = {}
        for video in study.videos:
            if video.video_id not in values:
                continue
            seen.setdefault(values[video.video_id], set()).add(video.label)
            owners.setdefault(values[video.video_id], set()).add(video.subject_id)
        if any(len(labels) > 1 for labels in seen.values()):
            continue
        if any(len(each) > 1 for each in owners.values()):
            text = (
                f"nothing can be concluded about the condition: each {column} has clips of one "
                f"condition only and {plural} share them, so that whatever differs between the "
                f"values of {column} (place, light, camera, time) is the condition to any "
                f"analysis; if {column} only repeats the label, take it out of videos.csv"
            )
            found.append(Finding("alarm", "aligned", text))
        else:
            text = (
                f"within every {noun}, each {column} has clips of one condition only: what differs "
                f"between two of them in the same way for all {plural} counts as the condition"
            )
            found.append(Finding("note", "nested", text))
    return found


def judge_metadata(found: Mapping[str, Any] | None, *, labels: int) -> list[Finding]:
    """Return an alarm where metadata alone predict the label of unseen subjects."""
    interval = None if found is None else found["interval"]["balanced_accuracy"]
    if found is None or interval is None or interval[0] <= 1 / labels:
        return []
    return [
        Finding(
            "alarm",
            "metadata",
            f"metadata alone ({', '.join(describe_columns(found['columns']))}) reach a balanced "
            f"accuracy of {100 * found['balanced_accuracy']:.0f} %: how, when or where clips were "
            "filmed goes with the condition, and part of the result may be that",
        )
    ]


def judge_parts(parts: Mapping[str, Any], study: Study, species: Species) -> list[Finding]:
    """Return what the measured parts of an audit say, as `audit_evidence` returns them."""
    honest = parts["splits"]["subject_wise"]["video"]
    return [
        *_judge_duplicates(parts["duplicates"], species),
        *_judge_sessions(parts["sessions"], species),
        *_judge_drops(parts["drops"]),
        *_judge_splits(parts["splits"], honest, species),
        *_judge_identity(parts, study, honest, species),
        *_judge_selection(parts["selected_outside"], honest, species),
    ]


def _judge_duplicates(found: Mapping[str, Any], species: Species) -> list[Finding]:
    across = [pair for pair in found["pairs"] if pair["first_subject"] != pair["second_subject"]]
    within = [pair for pair in found["pairs"] if pair["first_subject"] == pair["second_subject"]]
    lines = []
    if found["threshold"] is None:
        text = (
            "duplicates were not looked for: crops next to each other in time do not show how "
            "alike pictures of the same footage are (single crops, or all clips look alike)"
        )
        lines.append(Finding("note", "not_compared", text))
    if across:
        first = across[0]
        lines.append(
            Finding(
                "alarm",
                "duplicates",
                f"{found['n_across']} pair(s) of clips of different {species.plural} look like the "
                f"same footage, first {first['first']!r} ({first['first_subject']!r}) and "
                f"{first['second']!r} ({first['second_subject']!r}): as alike as frames next to "
                "each other in time; they are in training and test at once",
            )
        )
    if within:
        first = within[0]
        lines.append(
            Finding(
                "note",
                "two_labels",
                f"{found['n_within']} pair(s) of clips of one {species.noun} with different labels "
                f"look like the same footage, first {first['first']!r} and {first['second']!r}",
            )
        )
    return lines


def _judge_sessions(found: Mapping[str, Any], species: Species) -> list[Finding]:
    if not found["shared"]:
        return []
    number = len(found["shared"])
    return [
        Finding(
            "note",
            "sessions",
            f"{number} value(s) of {found['column']!r} have clips of several {species.plural}: "
            "where that is one recording, training and test share its light, place and camera",
        )
    ]


def _judge_drops(found: Mapping[str, Any]) -> list[Finding]:
    if found["p"] is None or found["p"] > LEVEL:
        return []
    shares = ", ".join(f"{label} {100 * share:.0f} %" for label, share in found["shares"].items())
    return [
        Finding(
            "alarm",
            "drops",
            f"frames were lost more often in one condition than in another (of a clip's frames, "
            f"{shares}; p = {found['p']:.3f}): whether a face could be used goes with the "
            "condition",
        )
    ]


def _judge_splits(
    found: Mapping[str, Any], honest: float | None, species: Species
) -> list[Finding]:
    claims = {name: found[f"{name}_wise"]["video"] for name in ("frame", "clip")}
    worst = max(claims, key=lambda name: claims[name] or 0)
    if honest is None or claims[worst] is None or claims[worst] - honest < WORTH_SAYING:
        return []
    return [
        Finding(
            "note",
            "splits",
            f"a split by {worst} would have claimed a balanced accuracy of "
            f"{100 * claims[worst]:.0f} %, a split by {species.noun} with the same penalty "
            f"{100 * honest:.0f} %: features know the {species.noun} and the clip",
        )
    ]


def _judge_identity(
    parts: Mapping[str, Any], study: Study, honest: float | None, species: Species
) -> list[Finding]:
    lines = []
    table = pd.crosstab(
        [video.subject_id for video in study.videos],
        [video.label for video in study.videos],
    )
    if _test_dependence(table.to_numpy()) < LEVEL:
        share = table.div(table.sum(axis=1), axis=0)
        widest = (share.max() - share.min()).idxmax()
        lines.append(
            Finding(
                "alarm",
                "identity",
                f"{species.plural} differ in how often they were filmed in each condition "
                f"({widest}: {100 * share[widest].min():.0f} to {100 * share[widest].max():.0f} % "
                f"of {species.one}'s clips): any evaluation that knows the {species.noun} knows "
                "something about the label",
            )
        )
    free = parts["without_subjects"]
    low = None if free["interval"] is None else free["interval"][0]
    chance = 1 / len(study.labels)
    if honest is not None and low is not None and honest > chance + 0.1 and low <= chance:
        lines.append(
            Finding(
                "note",
                "subject_directions",
                f"without the directions in which {species.plural} differ on average the result "
                f"can no longer be told from chance "
                f"({100 * (free['balanced_accuracy'] or 0):.0f} %)",
            )
        )
    return lines


def _test_dependence(counts: NDArray[np.int64]) -> float:
    """Return p of rows and columns of (S, K) counts being unrelated, by tables of equal margins."""
    margins = counts.sum(axis=1), counts.sum(axis=0)
    expected = np.outer(*margins) / counts.sum()
    drawn = random_table(*margins, seed=0).rvs(DRAWS)
    observed = float(_measure_dependence(counts, expected))
    return count_reached(observed, _measure_dependence(drawn, expected), exact=False)


def _measure_dependence(counts: NDArray[Any], expected: NDArray[Any]) -> NDArray[Any]:
    return np.asarray(((counts - expected) ** 2 / expected).sum(axis=(-2, -1)))


def _judge_selection(
    found: Mapping[str, Any], honest: float | None, species: Species
) -> list[Finding]:
    claimed = found["balanced_accuracy"]
    if honest is None or claimed is None or claimed - honest < WORTH_SAYING:
        return []
    return [
        Finding(
            "note",
            "selection",
            f"keeping the frames that a probe fitted to all {species.plural} is sure of would have "
            f"claimed {100 * claimed:.0f} % instead of {100 * honest:.0f} %",
        )
    ]
