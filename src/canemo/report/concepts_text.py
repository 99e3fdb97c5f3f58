"""What was found of coded action units, for the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from canemo.report import wording
from canemo.report.concepts import (
    find_concepts_voice,
    list_concept_tables,
    list_remarks,
    write_concepts_sentence,
)
from canemo.report.tables import format_text

SHOWN_LINES = 5


def format_concepts(content: Mapping[str, Any]) -> str:
    """Return what was found as sentences and tables.

    Parameters
    ----------
    content
        What `canemo concepts` writes as JSON.
    """
    tables = list_concept_tables(content)
    shown = {
        "decoding": "unit frames shown dogs within interval p_holm pooled pooled_null unseen "
        "disagreed verdict",
        "directions": "unit correlation sensitivity whole left p_holm verdict",
        "agreement": "unit observers kappa agreement frames first second reason",
    }
    parts = [write_concepts_sentence(content), _format_understood(content["events"])]
    parts += [
        format_text(tables[name].pick(*keys.split()))
        for name, keys in shown.items()
        if name in tables
    ]
    parts += ["\n".join(f"Warning: {text}" for text in content["warnings"])]
    return find_concepts_voice(content).say("\n\n".join(filter(None, parts)))


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
