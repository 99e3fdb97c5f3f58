"""The report of a comparison: its words, its tables, and one HTML file that needs nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from canemo.files import write_atomically
from canemo.report.charts import comparison, evaluation
from canemo.report.pages.page import (
    REPORT_FILE,
    TABLES_FILE,
    Picture,
    embed_figure,
    embed_file,
    render_page,
)
from canemo.report.tables import (
    Table,
)
from canemo.report.words import wording
from canemo.report.words.comparison import (
    PICTURES,
    list_comparison_tables,
    list_reasons,
    shows_epochs,
    shows_p,
    write_comparison_sentence,
)
from canemo.report.words.voice import find_voice
from canemo.report.workbook import write_workbook
from canemo.study.run_record import (
    ComparisonFolder,
    ComparisonRecord,
    read_comparison,
)


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
    write_workbook(folder / TABLES_FILE, tables, find_voice(record.comparison.study))
    return write_atomically(folder / REPORT_FILE, page)


def _render(record: ComparisonFolder, tables: dict[str, Table]) -> str:
    content = record.comparison
    found = {
        name: embed_file(path, PICTURES[name])
        for name, path in record.pictures.items()
        if name in PICTURES
    }
    return render_page(
        "comparison.html.j2",
        tables=tables,
        pictures=_draw_pictures(content, record.curves) | found,
        voice=find_voice(content.study),
        study=content.study,
        protocol=content.protocol,
        majority=content.chance.majority,
        pairs=content.pairs,
        warnings=content.warnings,
        reasons=list_reasons(content),
        has_p=shows_p(content),
        has_epochs=shows_epochs(content),
        first_sentence=write_comparison_sentence(content),
        split_words=wording.describe_split(content.protocol.split, content.protocol.folds),
        departures=", ".join(
            f"{key} = {', '.join(map(str, value)) if isinstance(value, list) else value}"
            for key, value in content.protocol.preset_departures.items()
            if value is not None
        ),
        environment=record.environment,
        config_toml=record.config_toml,
    )


def _draw_pictures(content: ComparisonRecord, curves: pd.DataFrame) -> dict[str, Picture | None]:
    majority = content.chance.majority
    charts: dict[str, tuple[Any, str]] = {
        "subjects": (
            evaluation.draw_subjects(content.study.subjects_table),
            "Bar charts of the number of dogs by age and by sex.",
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
    voice = find_voice(content.study)
    return {name: embed_figure(*chart, voice) for name, chart in charts.items()}
