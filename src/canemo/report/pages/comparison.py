"""The report of a comparison: its words, its tables, and one HTML file that needs nothing else."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from canemo.files import write_atomically
from canemo.report.charts import comparison, evaluation
from canemo.report.charts.canvas import Chart
from canemo.report.pages.page import (
    embed_charts,
    embed_files,
    render_page,
)
from canemo.report.rows import list_comparison_sheets
from canemo.report.tables import Table
from canemo.report.words import comparison as words
from canemo.report.words.comparison import PICTURES, list_comparison_tables
from canemo.report.words.voice import find_voice
from canemo.report.workbook import write_workbook
from canemo.study.records.comparison import ComparisonRecord
from canemo.study.records.folders import ComparisonFolder, read_comparison
from canemo.study.runs import REPORT_FILE, RESULTS_FILE


def write_comparison_report(folder: Path) -> Path:
    """Write report and workbook from the files of a comparison, and return the report's path.

    Raises
    ------
    ModelError
        `folder` is not a finished comparison.
    """
    record = read_comparison(folder)
    tables = list_comparison_tables(record)
    page = _render(record, tables)
    sheets = {**tables, **list_comparison_sheets(record)}
    write_workbook(folder / RESULTS_FILE, sheets, find_voice(record.comparison.study))
    return write_atomically(folder / REPORT_FILE, page)


def _render(record: ComparisonFolder, tables: dict[str, Table]) -> str:
    content = record.comparison
    drawn = embed_charts(_draw_charts(content, record.curves), find_voice(content.study))
    return render_page(
        "comparison.html.j2",
        describe_panels=evaluation.describe_panels,
        tables=tables,
        pictures=drawn | embed_files(record.pictures, PICTURES),
        voice=find_voice(content.study),
        record=record,
        content=content,
        study=content.study,
        protocol=content.protocol,
        warnings=content.warnings,
        environment=record.environment,
        departures=", ".join(
            f"{key} = {', '.join(map(str, value)) if isinstance(value, list) else value}"
            for key, value in content.protocol.preset_departures.items()
            if value is not None
        ),
        words=words,
    )


def _draw_charts(content: ComparisonRecord, curves: pd.DataFrame) -> dict[str, Chart]:
    majority = content.chance.majority
    return {
        "subjects": (
            evaluation.draw_subjects(content.study.subjects_table),
            f"Bar chart of the number of dogs "
            f"{evaluation.describe_panels(content.study.subjects_table)}.",
        ),
        "curves": (
            comparison.draw_curves(curves, majority=majority.frame),
            "Loss and accuracy by epoch of every model, on training and on validation dogs.",
        ),
        "models": (
            comparison.draw_model_intervals(content.models, majority=majority.video),
            "Accuracy by clip of every model with its 95 % interval.",
        ),
        "pairs": (
            comparison.draw_pair_differences(content.pairs),
            "Difference in accuracy of every pair of models with its 95 % interval.",
        ),
    }
