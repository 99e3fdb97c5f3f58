"""What the settings that inner folds chose from give, and what picking one by that claims."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from canemo.config import EvaluateConfig
from canemo.features.poolings import name_blocks
from canemo.learn.evaluate import Evaluation
from canemo.learn.predictions import read_predictions
from canemo.trust.intervals import compute_scores
from canemo.trust.summaries import finite_or_none, summarise_scores

_PART = ["pooling", "frames"]


def summarise_sweep(
    evaluation: Evaluation, *, labels: tuple[str, ...], evaluate: EvaluateConfig
) -> dict[str, Any] | None:
    """Return each part's result, its penalty and mix chosen inside, and the best of all afterwards.

    Returns
    -------
    dict or None
        ``settings`` tried; ``parts``, one per pooling, which all mixes of the same blocks are, and
        choice of frames; ``optimism``: the
        balanced accuracy of the nested choice beside that of the setting that did best on the very
        subjects it is reported for. None where nothing was offered.
    """
    trials = evaluation.trials
    if trials.empty:
        return None
    by_part = trials.assign(pooling=trials["pooling"].map(name_blocks))
    least = by_part.groupby(["fold", *_PART])["inner_loss"].transform("min")
    inside = by_part[by_part["inner_loss"] == least].drop_duplicates(["fold", *_PART, "video_id"])
    overall = by_part.groupby("fold")["inner_loss"].transform("min")
    chosen = by_part[by_part["inner_loss"] == overall].drop_duplicates("fold")
    times = chosen.groupby(_PART).size()
    parts = []
    for part, rows in inside.groupby(_PART, sort=False):
        predictions = read_predictions(rows, labels)
        parts.append(
            {
                **dict(zip(_PART, part, strict=True)),
                **summarise_scores(predictions, evaluate=evaluate),
                "chosen": int(times.get(part, 0)),
            }
        )
    return {
        "settings": len(trials.drop_duplicates([*_PART, "penalty"])),
        "parts": parts,
        "optimism": _measure_optimism(trials, evaluation.predictions, labels),
    }


def _measure_optimism(
    trials: pd.DataFrame, predictions: pd.DataFrame, labels: tuple[str, ...]
) -> dict[str, Any]:
    scores = {
        setting: compute_scores(read_predictions(rows, labels))["balanced_accuracy"]
        for setting, rows in trials.groupby([*_PART, "penalty"], sort=False)
    }
    best = max(scores, key=lambda setting: np.nan_to_num(scores[setting]))
    nested = read_predictions(predictions[predictions["level"] == "video"], labels)
    return {
        "nested": finite_or_none(compute_scores(nested)["balanced_accuracy"]),
        "best": finite_or_none(scores[best]),
        **dict(zip([*_PART, "penalty"], best, strict=True)),
        "settings": len(scores),
    }
