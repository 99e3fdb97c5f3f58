"""The page of `canemo explain`: where in the face the evidence is, and what the maps are worth."""

from __future__ import annotations

from pathlib import Path

from canemo.files import write_atomically
from canemo.report.charts.explanation import CHARTS, PAGE_FILE, colour_regions, list_methods
from canemo.report.charts.measured import MEASURED_CHARTS
from canemo.report.pages.page import Picture, embed_figure, embed_file, render_page
from canemo.report.rows import list_explanation_sheets
from canemo.report.words.explanation import (
    describe_explanation,
    find_explanation_voice,
    list_explanation_tables,
    state_worth,
    write_sentence,
    write_verdict,
)
from canemo.report.words.parts import name_pooling
from canemo.report.workbook import write_workbook
from canemo.study.records.explanation import EXPLANATION_FILE, ExplanationRecord
from canemo.study.runs import RESULTS_FILE


def write_page(folder: Path) -> Path:
    """Write page and workbook from ``explanation.json`` and the figures in the folder.

    Returns the path of the page.

    Raises
    ------
    ModelError
        The folder holds no explanation.
    """
    record = ExplanationRecord.read(folder / EXPLANATION_FILE)
    models = record.models
    voice = find_explanation_voice(models)
    pictures: dict[str, Picture | None] = {
        path.name: embed_file(path, _describe_picture(path.stem))
        for path in sorted((folder / "figures").glob("*.png"))
    }
    for number, model in enumerate(models):
        for name, (draw, alt) in {**CHARTS, **MEASURED_CHARTS}.items():
            pictures[f"{name}_{number}"] = embed_figure(draw(model), alt, voice)
    tables = list_explanation_tables(record)
    page = render_page(
        "explanation.html.j2",
        tables=tables,
        pictures=pictures,
        voice=voice,
        truth=record.truth,
        models=models,
        tell_where=write_sentence,
        write_verdict=write_verdict,
        state_worth=state_worth,
        name_pooling=name_pooling,
        methods=list_methods(models),
        measured=any(model.geometry for model in models),
        colours=colour_regions(voice.species),
        environment={"canemo": record.canemo},
        warnings=(),
    )
    sheets = {voice.say(name): table for name, table in list_explanation_sheets(folder).items()}
    first = {"result": describe_explanation(record)}
    write_workbook(folder / RESULTS_FILE, first | tables | sheets, voice)
    return write_atomically(folder / PAGE_FILE, page)


def _describe_picture(name: str) -> str:
    words = {
        "regions": "Face crops with the outlines of the regions",
        "maps": "Face crops with their maps",
        "faces": "Mean face and mean map of each condition",
        "dogs": "Mean face and mean map of each dog",
    }
    return words.get(name.partition("_")[0], name)
