"""The report of a comparison: one HTML file that needs nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from canemo.files import write_atomically
from canemo.report import comparison_figures, figures, wording
from canemo.report.html import REPORT_FILE, embed_figure, embed_file, open_template
from canemo.run_record import ComparisonRecord, read_comparison

_PICTURES = {
    "crops.png": "Sheet of example face crops, grouped by condition.",
    "eigencam.png": "Face crops, each with the EigenCAM map of every model beside it.",
}


def write_comparison_report(folder: Path) -> Path:
    """Write `folder/report.html` from the files of a comparison, and return its path.

    Raises
    ------
    ModelError
        `folder` is not a finished comparison.
    """
    record = read_comparison(folder)
    content = record.comparison
    pictures = _draw_pictures(content, record.curves)
    found = {
        name: embed_file(path, _PICTURES[name])
        for name, path in record.pictures.items()
        if name in _PICTURES
    }
    page = open_template("comparison.html.j2").render(
        content=content,
        study=content["study"],
        protocol=content["protocol"],
        majority=content["chance"]["majority"],
        models=[_describe_model(model) for model in content["models"]],
        missing=content["missing"],
        reasons=list(dict.fromkeys(each["reason"] for each in content["missing"])),
        pairs=[_describe_pair(pair) for pair in content["pairs"]],
        has_p=any(model.get("permutation") for model in content["models"]),
        has_effects=any("effect_size" in pair for pair in content["pairs"]),
        has_epochs=any(model["best_epoch"] for model in content["models"]),
        first_sentence=wording.join_units(write_comparison_sentence(content)),
        split_words=wording.describe_split(
            content["protocol"]["split"], content["protocol"]["folds"]
        ),
        departures=", ".join(
            f"{key} = {_show(value)}"
            for key, value in content["protocol"]["preset_departures"].items()
            if value is not None
        ),
        environment=record.environment,
        config_toml=record.config_toml,
        pictures=pictures | found,
        paper=wording.PAPER,
        paper_url=wording.PAPER_URL,
        count=wording.count,
        quote=wording.quote,
        percent=lambda share: wording.join_units(wording.format_percent(share)),
        group_digits=wording.group_digits,
    )
    return write_atomically(folder / REPORT_FILE, page)


def write_comparison_sentence(content: ComparisonRecord) -> str:
    """Return what the comparison found, claiming no more than dogs and number of models allow."""
    real = [model for model in content["models"] if not model["random_weights"]]
    if not real:
        return "Every line rests on random weights: this page shows cost and architecture only."
    best = max(real, key=lambda model: model["video"]["accuracy"])
    majority = content["chance"]["majority"]
    told = [model["name"] for model in real if _is_told(model, majority["video"])]
    sentences = [] if told else ["No model can be told from chance."]
    sentences.append(_state_best(best, len(real), majority))
    if told and best["name"] not in told:
        sentences.append(_state_told(best, told, majority["video"]))
    return " ".join([*sentences, *_state_leads(best, real, content)])


def _is_told(model: Mapping[str, Any], share: float) -> bool:
    """Tell whether interval and, where there is one, permutation test are above chance."""
    p = _read_p(model)
    return _lowest(model) > share and (p is None or p <= wording.P_LEVEL)


def _state_told(best: Mapping[str, Any], told: Sequence[str], share: float) -> str:
    if _lowest(best) > share:
        p = wording.format_p(_read_p(best))
        others = wording.join_words(told)
        return f"The permutation test cannot tell it from chance ({p}), but it can {others}."
    return f"Its interval includes that share; above it lies that of {wording.join_words(told)}."


def _read_p(model: Mapping[str, Any]) -> float | None:
    p: float | None = (model.get("permutation") or {}).get("p")
    return None if wording.is_missing(p) else p


def _lowest(model: Mapping[str, Any]) -> float:
    interval = model["video"]["interval"]["accuracy"]
    return 0.0 if interval is None else float(interval[0])


def _state_best(best: Mapping[str, Any], number: int, majority: Mapping[str, Any]) -> str:
    chosen = f", the best of {number} on these dogs and for that a little flattered,"
    interval = best["video"]["interval"]["accuracy"]
    return (
        f"{best['name']}{chosen if number > 1 else ''} classified "
        f"{wording.format_percent(best['video']['accuracy'])} of the clips of unseen dogs into the "
        "condition they were filmed in (95 % interval "
        f"{wording.format_interval('accuracy', interval)}); always answering "
        f"{wording.quote(majority['label'])} would give "
        f"{wording.format_percent(majority['video'])}."
    )


def _state_leads(
    best: Mapping[str, Any], real: Sequence[Mapping[str, Any]], content: ComparisonRecord
) -> list[str]:
    """Return from whom the best can be told apart, corrected for the number of pairs."""
    others = {model["name"] for model in real} - {best["name"]}
    pairs = {
        other: pair
        for pair in content["pairs"]
        if best["name"] in (pair["first"], pair["second"])
        and (other := _other(pair, best["name"])) in others
    }
    apart = [name for name, pair in pairs.items() if _is_apart(pair)]
    alike = [name for name, pair in pairs.items() if not _is_apart(pair)]
    lead = f"Its lead over {wording.join_words(apart)} stands, corrected for the number of pairs."
    tie = f"From {wording.join_words(alike)} these dogs cannot tell it apart."
    return [text for text, names in ((lead, apart), (tie, alike)) if names]


def _show(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _is_apart(pair: Mapping[str, Any]) -> bool:
    """Tell whether interval and corrected test both say that two models differ."""
    interval = pair["interval"]["accuracy"]
    if interval is None or pair["p_holm"] is None:
        return False
    return bool((interval[0] > 0 or interval[1] < 0) and pair["p_holm"] < 0.05)


def _other(pair: Mapping[str, Any], name: str) -> str:
    return str(pair["second"] if pair["first"] == name else pair["first"])


def _describe_model(model: Mapping[str, Any]) -> dict[str, Any]:
    """Return the cells of a model's line in the tables, as text."""
    video, best, last = model["video"], model["best_epoch"], model["last_epoch"]
    show = {
        name: (
            wording.format_measure(name, video[name]),
            wording.format_interval(name, video["interval"][name]),
        )
        for name in ("accuracy", "balanced_accuracy", "auroc")
    }
    seconds = {stage: entry["seconds"] for stage, entry in model["cost"].items()}
    return {
        **model,
        "train": wording.format_percent((last or model)["train_accuracy"]),
        "last": wording.format_percent(model["frame"]["accuracy"]),
        "best": wording.format_percent(best["test_accuracy"]) if best else "–",
        "best_number": int(best["epoch"]) if best else None,
        "clips": show,
        "p_text": wording.format_p(_read_p(model), name=""),
        "seconds": wording.format_seconds(sum(seconds.values())),
    }


def _describe_pair(pair: Mapping[str, Any]) -> dict[str, Any]:
    return {
        **pair,
        "cells": [
            _signed_cell(name, pair["difference"][name], pair["interval"][name])
            for name in ("accuracy", "balanced_accuracy", "auroc")
        ],
        "p_text": wording.format_p(pair["p"], name=""),
        "p_holm_text": wording.format_p(pair["p_holm"], name=""),
        "effect_text": _show_effect(pair.get("effect_size")),
    }


def _show_effect(effect_size: float | None) -> str:
    return "–" if effect_size is None else f"{effect_size:+.2f}"


def _signed(measure: str, value: float | None) -> str:
    if value is None:
        return "–"
    if measure == "auroc":
        return f"{value:+.3f}"
    return f"{100 * value:+.1f}"


def _signed_cell(
    measure: str, value: float | None, interval: tuple[float, float] | None
) -> tuple[str, str]:
    ends = [] if interval is None else [_signed(measure, end) for end in interval]
    return _signed(measure, value), " to ".join(ends) or "–"


def _draw_pictures(content: ComparisonRecord, curves: pd.DataFrame) -> dict[str, Any]:
    majority = content["chance"]["majority"]
    charts = {
        "subjects": (
            figures.draw_subjects(content["study"].get("subjects_table")),
            "Bar charts of the number of dogs by age and by sex.",
        ),
        "curves": (
            comparison_figures.draw_curves(curves, majority=majority["frame"]),
            "Loss and accuracy by epoch of every model, on training and on validation dogs.",
        ),
        "models": (
            comparison_figures.draw_model_intervals(content["models"], majority=majority["video"]),
            "Accuracy by clip of every model with its 95 % interval.",
        ),
        "pairs": (
            comparison_figures.draw_pair_differences(content["pairs"]),
            "Difference in accuracy of every pair of models with its 95 % interval.",
        ),
    }
    drawn = {name: embed_figure(*chart) for name, chart in charts.items()}
    return {name: picture for name, picture in drawn.items() if picture is not None}
