"""Charts of an explanation."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image as PilImage

from canemo.files import replacing
from canemo.parallel import Progress
from canemo.records import Image
from canemo.report.charts.canvas import (
    LABEL_COLOURS,
    add_legend,
    new_figure,
    save_figure,
    set_literal_text,
    style_axes,
)
from canemo.report.charts.crops import (
    draw_picture_rows,
    overlay_cam,
    overlay_evidence,
    take_colour,
)
from canemo.report.words import wording
from canemo.species import Species
from canemo.study.records.explanation import ExplainedModel, MapResult

PAGE_FILE = "index.html"


_DONE = {"deletion": "covered", "insertion": "shown"}

SCALE_QUANTILE = 0.99
"""The value at which the colours of signed maps are full: this quantile of all absolute values."""


_SKY = "#56B4E9"
"""A blue that is too like the other to tell two regions apart."""

_PER_LABEL = 3


_MOST_DOGS = 12


@dataclass(frozen=True)
class Example:
    """One crop: `read` gives it, `outline` gives it with its regions outlined in `colour_regions`.

    `maps` are by method, (rows, columns); `logit` is the evidence for the label that is explained;
    `has_bands` says that its regions are fixed bands, not of its landmarks.
    """

    video_id: str
    subject_id: str
    label: str
    frame_index: int
    logit: float
    read: Callable[[], Image]
    outline: Callable[[], Image]
    maps: Mapping[str, NDArray[np.float32]]
    has_bands: bool = False


def colour_regions(species: Species) -> dict[str, str]:
    """Return the colour of each region's outline; the background has none."""
    colours = [colour for colour in LABEL_COLOURS if colour != _SKY]
    return dict(zip(species.regions[:-1], colours, strict=False))


def draw_explanation(
    folder: Path,
    examples: Sequence[Sequence[Example]],
    *,
    faces: Sequence[Sequence[Any]],
    models: Sequence[ExplainedModel],
    progress: Progress,
) -> None:
    """Draw everything but the page: overlays of all crops, and the figures.

    Parameters
    ----------
    folder
        Gets ``overlays/MODEL_METHOD/VIDEO_FRAME.png`` and ``figures/*.png``.
    examples
        Of each model, all its crops.
    faces
        Of each model, mean faces (`canemo.explain.alignment.MeanFace`).
    models
        What explanation.json holds of each.
    progress
        Told how far it is.
    """
    figures = folder / "figures"
    scales = [_find_scales(some, model) for some, model in zip(examples, models, strict=True)]
    for some, model, scale in zip(examples, models, scales, strict=True):
        _write_overlays(folder, some, model, scale, progress)
    chosen = _choose(examples[0])
    save_figure(_draw_regions([examples[0][place] for place in chosen]), figures / "regions.png")
    for method in list_methods(models):
        figure = _draw_grid(method, chosen, examples, models, scales)
        save_figure(figure, figures / f"maps_{method.name}.png")
    for number, (some, model) in enumerate(zip(faces, models, strict=True)):
        lead = model.lead
        if lead is None:
            continue
        unit = model.kind.noun if model.is_labelled else "file"
        whole = _draw_faces(some, lead, dogs=False, unit=unit)
        save_figure(whole, figures / f"faces_{number}.png")
        if model.is_labelled:
            single = _draw_faces(some, lead, dogs=True, unit=unit)
            save_figure(single, figures / f"dogs_{number}.png")


def list_methods(models: Sequence[ExplainedModel]) -> list[MapResult]:
    """Return the methods of all models, each once, in order."""
    found = {method.name: method for model in models for method in model.methods}
    return list(found.values())


def _is_signed(method: MapResult) -> bool:
    return method.gap is not None


def _find_scales(examples: Sequence[Example], model: ExplainedModel) -> dict[str, float]:
    """Return, by signed method, the value at which its colours are full."""
    scales = {}
    for method in model.methods:
        values = np.abs(np.stack([example.maps[method.name] for example in examples]))
        scales[method.name] = max(float(np.quantile(values, SCALE_QUANTILE)), 1e-12)
    return scales


def _overlay(example: Example, model: ExplainedModel, method: MapResult, scale: float) -> Image:
    """Return a crop with its map; one that explains no answer takes all colour from it."""
    values = example.maps[method.name]
    if _is_signed(method):
        drawn = overlay_evidence(example.read(), np.clip(values / scale, -1, 1))
    else:
        positive = np.clip(values, 0, None)
        drawn = overlay_cam(example.read(), positive / max(float(positive.max()), 1e-12))
    return take_colour(drawn) if model.find_flaw(method) else drawn


def _write_overlays(
    folder: Path,
    examples: Sequence[Example],
    model: ExplainedModel,
    scales: Mapping[str, float],
    progress: Progress,
) -> None:
    names = _name_overlays(examples)
    for done, (example, name) in enumerate(zip(examples, names, strict=True)):
        progress(f"draw {model.name}", done, len(examples))
        for method in model.methods:
            place = folder / "overlays" / f"{model.name}_{method.name}"
            with replacing(place / name) as temporary:
                drawn = _overlay(example, model, method, scales[method.name])
                PilImage.fromarray(drawn).save(temporary)
    progress(f"draw {model.name}", len(examples), len(examples))


def _name_overlays(examples: Sequence[Example]) -> list[str]:
    """Return a file name for each, that any file system takes; a number tells those alike apart."""
    names: list[str] = []
    count = Counter[str]()
    for example in examples:
        stem = re.sub(r'[<>:"/\\|?*]', "_", f"{example.video_id}_{example.frame_index:06d}")
        count[stem.casefold()] += 1
        number = count[stem.casefold()]
        names.append(f"{stem}.png" if number == 1 else f"{stem}~{number}.png")
    return names


def _choose(examples: Sequence[Example]) -> list[int]:
    """Return the places of a few examples of each label, each of another dog where there are."""
    chosen: list[int] = []
    for label in sorted({example.label for example in examples}):
        own = [i for i, example in enumerate(examples) if example.label == label]
        dogs = list({examples[i].subject_id: i for i in reversed(own)}.values())[::-1]
        some = dogs if len(dogs) >= _PER_LABEL else own
        step = max(1, len(some) // _PER_LABEL)
        chosen += some[::step][:_PER_LABEL]
    return chosen


def _draw_regions(examples: Sequence[Example]) -> Figure:
    rows: dict[str, list[list[tuple[str, Image]]]] = {}
    for example in examples:
        caption = example.subject_id + (" (fixed bands)" if example.has_bands else "")
        rows.setdefault(example.label, [[]])[0].append((caption, example.outline()))
    return draw_picture_rows(rows)


def _draw_grid(
    method: MapResult,
    chosen: Sequence[int],
    examples: Sequence[Sequence[Example]],
    models: Sequence[ExplainedModel],
    scales: Sequence[Mapping[str, float]],
) -> Figure:
    """Draw a method's maps of some crops, a column per model (paper's figure 4)."""
    columns = [
        (some, model, scale)
        for some, model, scale in zip(examples, models, scales, strict=True)
        if method.name in scale
    ]
    rows: dict[str, list[list[tuple[str, Image]]]] = {}
    for place in chosen:
        first = examples[0][place]
        line = [(first.subject_id, first.read())]
        for some, model, scale in columns:
            name = f"{model.name} " if len(columns) > 1 else ""
            caption = f"{name}{some[place].logit:+z.1f} logits"
            line.append((caption, _overlay(some[place], model, method, scale[method.name])))
        rows.setdefault(first.label, []).append(line)
    signed = _is_signed(method)
    label = models[0].label
    title = (
        f"{method.title}: for (1) and against (-1) {label}; 1 is as strong as the strongest 1 %"
        if signed
        else f"{method.title}, from 0 to each map's greatest value"
    )
    return draw_picture_rows(_pack(rows), scale_title=title, signed=signed)


def _pack(
    rows: Mapping[str, Sequence[Sequence[tuple[str, Image]]]],
) -> dict[str, list[list[tuple[str, Image]]]]:
    """Put several short rows on one line of up to six pictures."""
    packed: dict[str, list[list[tuple[str, Image]]]] = {}
    for label, lines in rows.items():
        per_line = max(1, 6 // len(lines[0]))
        groups = [lines[i : i + per_line] for i in range(0, len(lines), per_line)]
        packed[label] = [[cell for line in group for cell in line] for group in groups]
    return packed


def _draw_faces(faces: Sequence[Any], method: MapResult, *, dogs: bool, unit: str) -> Figure:
    """Draw mean faces beside their mean maps: of the conditions, or of single dogs.

    `unit` is what a condition's are means of: the animal, or "file" where nobody knows which.
    """
    shown = [face for face in faces if (face.subject_id is not None) == dogs]
    whole = [np.abs(face.map[np.isfinite(face.map)]) for face in faces if face.subject_id is None]
    scale = max(float(np.quantile(np.concatenate(whole), SCALE_QUANTILE)), 1e-12)
    rows: dict[str, list[list[tuple[str, Image]]]] = {}
    for face in shown:
        values = np.nan_to_num(face.map)
        caption = face.subject_id or wording.count(face.dogs, unit)
        if _is_signed(method):
            drawn = overlay_evidence(face.image_rgb, np.clip(values / scale, -1, 1))
        else:
            drawn = overlay_cam(face.image_rgb, np.clip(values / scale, 0, 1))
        rows.setdefault(face.label, []).append([(caption, face.image_rgb), ("", drawn)])
    packed = _pack({label: lines[:_MOST_DOGS] for label, lines in rows.items()})
    return draw_picture_rows(packed, scale_title=f"mean {method.title}", signed=_is_signed(method))


def _draw_curves(model: ExplainedModel) -> Figure | None:
    """Draw deletion and insertion of each method, dashed those of the map moved elsewhere."""
    tested = [(method, method.curves) for method in model.methods if method.curves is not None]
    if not tested:
        return None
    figure = new_figure(2.3)
    for axes, kind in zip(
        figure.subplots(1, 2, sharey=True), ("deletion", "insertion"), strict=True
    ):
        for (method, curves), colour in zip(tested, itertools.cycle(LABEL_COLOURS), strict=False):
            own, moved = (getattr(curves, name) for name in (kind, f"{kind}_moved"))
            axes.plot(curves.shares, own, color=colour, label=method.title)
            axes.plot(curves.shares, moved, color=colour, linestyle=(0, (4, 3)), linewidth=1)
        axes.set_title(
            "best places covered first" if kind == "deletion" else "best places shown first"
        )
        axes.set_xlabel(f"share {_DONE[kind]}")
        style_axes(axes, grid="y")
    figure.axes[0].set_ylabel("evidence for\nthe answer [logits]")
    lines, titles = figure.axes[0].get_legend_handles_labels()
    add_legend(figure, dict(zip(titles, lines, strict=True)), length=1.8)
    return set_literal_text(figure)


CHARTS: Mapping[str, tuple[Callable[[ExplainedModel], Figure | None], str]] = {
    "curves": (
        _draw_curves,
        "Deletion and insertion curves of each map and of the map moved elsewhere.",
    ),
}
