"""What was found of coded action units: words, cells of tables, and one HTML file."""

from __future__ import annotations

from pathlib import Path

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
from canemo.report.words.parts import name_pooling
from canemo.report.workbook import write_workbook
from canemo.study.records.concepts import ConceptsRecord


def write_concepts_report(path: Path, record: ConceptsRecord, frames: pd.DataFrame) -> Path:
    """Write the page of `record` and a workbook of its tables beside it; return the page's path.

    Parameters
    ----------
    path
        The HTML file.
    record
        What `canemo concepts` writes as JSON.
    frames
        One row per unit and coded frame: video_id, subject_id, time_s, unit, shown, score.
    """
    tables, voice = list_concept_tables(record), find_concepts_voice(record)
    protocol = record.protocol
    page = render_page(
        "concepts.html.j2",
        tables=tables,
        pictures=draw_timelines(record.units, frames, voice),
        voice=voice,
        record=record,
        study=record.study,
        protocol=protocol,
        environment=record.environment,
        warnings=record.warnings,
        sentence=write_concepts_sentence(record.units, label=protocol.label),
        remarks=list_remarks(record.events),
        name_pooling=name_pooling,
        split_words=wording.describe_split(protocol.split, protocol.folds),
    )
    write_workbook(path.with_suffix(".xlsx"), tables, voice)
    return write_atomically(path, page)
