"""What was found of coded action units: words, cells of tables, and one HTML file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from canemo.files import write_atomically
from canemo.report.charts.concepts import draw_timelines
from canemo.report.pages.page import render_page
from canemo.report.words import wording
from canemo.report.words.concepts import (
    find_concepts_voice,
    list_concept_tables,
    list_remarks,
    write_concepts_sentence,
)
from canemo.report.workbook import write_workbook

# -- page ------------------------------------------------------------------------------------------


def write_concepts_report(path: Path, content: Mapping[str, Any], frames: pd.DataFrame) -> Path:
    """Write the page of `content` and a workbook of its tables beside it; return the page's path.

    Parameters
    ----------
    path
        The HTML file.
    content
        What `canemo concepts` writes as JSON.
    frames
        One row per unit and coded frame: video_id, subject_id, time_s, unit, shown, score.
    """
    tables, voice = list_concept_tables(content), find_concepts_voice(content)
    protocol = content["protocol"]
    page = render_page(
        "concepts.html.j2",
        tables=tables,
        pictures=draw_timelines(content["units"], frames, voice),
        voice=voice,
        content=content,
        study=content["study"],
        protocol=protocol,
        environment=content["environment"],
        warnings=content["warnings"],
        sentence=write_concepts_sentence(content),
        remarks=list_remarks(content["events"]),
        split_words=wording.describe_split(protocol["split"], protocol["folds"]),
    )
    write_workbook(path.with_suffix(".xlsx"), tables, voice)
    return write_atomically(path, page)
