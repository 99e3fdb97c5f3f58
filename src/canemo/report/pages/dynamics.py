"""How faces move: words, cells of tables, and one HTML file."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from canemo.files import write_atomically
from canemo.report.charts.dynamics import choose_clip, draw_clip, draw_effects
from canemo.report.pages.page import embed_charts, render_page
from canemo.report.words import wording
from canemo.report.words.dynamics import (
    find_dynamics_voice,
    list_dynamics_tables,
    write_dynamics_sentence,
)
from canemo.report.workbook import write_workbook
from canemo.study.records.dynamics import DynamicsRecord
from canemo.study.runs import RESULTS_FILE


def write_dynamics_report(
    path: Path,
    record: DynamicsRecord,
    clips: pd.DataFrame,
    frames: pd.DataFrame,
    events: pd.DataFrame,
) -> Path:
    """Write the page of `record` and a workbook of its tables beside it; return the page's path.

    Parameters
    ----------
    path
        The HTML file.
    record
        What `canemo dynamics` writes as JSON.
    clips, frames, events
        A row per clip, per frame and per event, as the tables beside the page have them.
    """
    tables, voice = list_dynamics_tables(record, clips, events), find_dynamics_voice(record)
    charts = {"effects": draw_effects(record), "clip": draw_clip(frames, events)}
    drawn = wording.warn_of_drawings(drawn=record.study.drawn)
    page = render_page(
        "dynamics.html.j2",
        tables=tables,
        pictures=embed_charts(charts, voice),
        voice=voice,
        record=record,
        study=record.study,
        protocol=record.protocol,
        environment=record.environment,
        warnings=[*filter(None, [drawn]), *record.warnings],
        sentence=write_dynamics_sentence(record),
        clip=choose_clip(events),
    )
    write_workbook(path.with_name(RESULTS_FILE), tables, voice)
    return write_atomically(path, page)
