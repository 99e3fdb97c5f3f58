"""What `explain` writes: explanation.json, tables, maps, overlays, figures and the page."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from canemo import environment
from canemo.explain.inquiry import Inquiry
from canemo.explain.result_tables import tabulate_columns, tabulate_crops, tabulate_subjects
from canemo.explain.results import MEAN_FACE_CROPS, Found, average_maps, describe_model
from canemo.faces.regions import BANDS, outline_regions
from canemo.files import write_table
from canemo.parallel import Progress
from canemo.records import Image
from canemo.report.charts.explanation import Example, colour_regions, draw_explanation
from canemo.report.pages.explanation import write_page
from canemo.study.records.explanation import EXPLANATION_FILE, ExplanationRecord
from canemo.study.runs import put_in_place


def write_explanation(
    place: Path,
    models: Sequence[Inquiry],
    found: Sequence[Found],
    *,
    truth: Sequence[str],
    progress: Progress,
) -> ExplanationRecord:
    """Write all that was found of some models: numbers, tables, maps, pictures, the page.

    Parameters
    ----------
    place
        The folder; everything is written beside it and then takes its place, or nothing is.
    models, found
        The models and what was found of each.
    truth
        Regions in which the evidence is known to be.
    progress
        Told how far it is.

    Returns
    -------
    ExplanationRecord
        What explanation.json holds.
    """
    place = place.resolve()
    record = ExplanationRecord(
        canemo=environment.version(),
        truth=tuple(truth),
        models=tuple(describe_model(each) for each in found),
    )
    partial_place = place.with_name(f".{place.name}.partial")
    shutil.rmtree(partial_place, ignore_errors=True)
    try:
        for each in found:
            _write_arrays(each, partial_place / "maps")
        write_table(
            join_tables([tabulate_crops(each) for each in found]),
            partial_place / "explained.parquet",
        )
        write_table(
            join_tables([each.tests.assign(model=each.name) for each in found]),
            partial_place / "tests.parquet",
        )
        write_table(
            join_tables([tabulate_subjects(each) for each in found]), partial_place / "dogs.parquet"
        )
        columns = join_tables([tabulate_columns(each) for each in found])
        if len(columns):
            write_table(columns, partial_place / "geometry.parquet")
        pairs = list(zip(models, found, strict=True))
        draw_explanation(
            partial_place,
            [_list_examples(*pair) for pair in pairs],
            faces=[_average(*pair) for pair in pairs],
            models=record.models,
            progress=progress,
        )
        record.write(partial_place / EXPLANATION_FILE)
        write_page(partial_place)
        put_in_place(partial_place, place)
    finally:
        shutil.rmtree(partial_place, ignore_errors=True)
    return record


def _write_arrays(found: Found, folder: Path) -> None:
    """Write the maps of each method as npz, with the origin of each."""
    folder.mkdir(parents=True, exist_ok=True)
    arrays: dict[str, Any] = {
        name: found.rows[name].to_numpy(dtype=str)
        for name in ("video_id", "subject_id", "label", "frame_index")
    }
    arrays["frame_index"] = found.rows["frame_index"].to_numpy(dtype=np.int64)
    arrays |= {name: found.rows[name].to_numpy(dtype=float) for name in ("logit", "intercept")}
    for name, maps in found.maps.items():
        np.savez_compressed(folder / f"{found.name}_{name}.npz", maps=maps, **arrays)


def _list_examples(model: Inquiry, found: Found) -> list[Example]:
    """Return all crops with their maps; pictures are read again when one is drawn."""
    return [
        Example(
            row["video_id"],
            row["subject_id"],
            row["label"],
            int(row["frame_index"]),
            float(row["logit"]),
            partial(_read, model, found, i),
            partial(_outline, model, found, i),
            {name: maps[i] for name, maps in found.maps.items()},
            row["regions"] == BANDS,
        )
        for i, row in enumerate(found.rows.to_dict("records"))
    ]


def _read(model: Inquiry, found: Found, place: int) -> Image:
    return model.read(found.rows.iloc[[place]])[0]


def _outline(model: Inquiry, found: Found, place: int) -> Image:
    masks = found.masks[place].astype(np.float32)
    colours = list(colour_regions(model.species).values())
    return outline_regions(_read(model, found, place), masks, colours=colours)


def _average(model: Inquiry, found: Found) -> tuple[Any, ...]:
    if not found.maps:  # no pixel is read
        return ()
    number = min(len(found.rows), MEAN_FACE_CROPS)
    places = np.unique(np.linspace(0, len(found.rows) - 1, number).round().astype(np.int64))
    return average_maps(found, model.read(found.rows.iloc[places]), places)


def join_tables(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Return tables as one, their rows numbered anew; without any, an empty one."""
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()
