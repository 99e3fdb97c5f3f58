"""Several backbones or methods side by side on the same crops, dogs and folds: comparison.json."""

from __future__ import annotations

import json
import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import pandas as pd

from canemo.config import Config, Method
from canemo.learn.curves import average_curves
from canemo.learn.evaluate import Evaluation
from canemo.learn.predictions import Predictions, select_level
from canemo.learn.splits import Split
from canemo.networks.backbone_specs import find_backbone
from canemo.networks.backbones import Backbone
from canemo.records import Study
from canemo.study.records.comparison import ComparisonRecord
from canemo.trust.pairs import adjust_holm, compare_pair
from canemo.trust.summaries import finite_or_none, summarise_chance, summarise_level

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Entrant:
    """One line of a comparison: a backbone and a method, under the `name` it is shown by."""

    name: str
    backbone: str
    method: Method
    weights: Path | None

    def configure(self, config: Config) -> Config:
        """Return the settings with this entrant's backbone, weights and method."""
        backbone = config.backbone.model_copy(
            update={"name": self.backbone, "weights": self.weights}
        )
        probe = config.probe.model_copy(update={"method": self.method})
        return config.model_copy(update={"backbone": backbone, "probe": probe})


@dataclass(frozen=True)
class Result:
    """What an entrant came to; the mappings are as in metrics.json, `facts` describe it."""

    entrant: Entrant
    facts: Mapping[str, Any]
    evaluation: Evaluation
    permutation: Mapping[str, Any]
    cost: Mapping[str, Mapping[str, float]]


def list_entrants(config: Config) -> list[Entrant]:
    """Return every backbone with every method; what is not listed is the run's own.

    Raises
    ------
    ConfigError
        Weights were given for a backbone that does not exist.
    """
    backbones = config.compare.backbones or (config.backbone.name,)
    methods = config.compare.methods or (config.probe.method,)
    for name in config.compare.weights:
        if find_backbone(name).name not in backbones:
            logger.warning("weights were given for %s, which is not compared", name)
    own = {config.backbone.name: config.backbone.weights} if config.backbone.weights else {}
    weights: dict[str, Path | None] = {**own, **config.compare.weights}
    return [
        Entrant(
            _name(backbone, method, backbones, methods), backbone, method, weights.get(backbone)
        )
        for backbone in dict.fromkeys(backbones)
        for method in dict.fromkeys(methods)
    ]


def describe_entrant(entrant: Entrant, backbone: Backbone) -> dict[str, Any]:
    """Return what is to be known of an entrant beside its numbers."""
    return {
        "name": entrant.name,
        "backbone": entrant.backbone,
        "backbone_note": backbone.spec.note,
        "method": entrant.method,
        "feature_dim": backbone.feature_dim,
        "parameters": backbone.parameters,
        "weights_source": backbone.weights_source,
        "weights_sha256": backbone.weights_sha256,
        "random_weights": backbone.is_random,
        **backbone.describe_engine(),
    }


def compute_comparison(
    results: Sequence[Result],
    *,
    missing: Mapping[str, str],
    study: Study,
    study_facts: Mapping[str, Any],
    protocol: Mapping[str, Any],
    config: Config,
    split: Split,
    warnings: Sequence[str],
) -> ComparisonRecord:
    """Return what comparison.json holds.

    Parameters
    ----------
    results
        One per entrant that could be tested, all on the same crops and folds.
    missing
        Name of an entrant -> why it could not be had.
    study, study_facts
        The study, and what metrics.json says of it.
    protocol, config, split
        What all share, as metrics.json says it; the settings and the folds.
    warnings
        What a reader of the numbers must know.
    """
    first = results[0].evaluation.predictions
    frames, videos = (select_level(first, level, study.labels) for level in ("frame", "video"))
    own = [
        f"{result.entrant.name}: {text}"
        for result in results
        for text in result.evaluation.warnings
    ]
    content = {
        "study": study_facts,
        "protocol": {
            **protocol,
            "train_subjects": [len(fold.train) for fold in split.folds],
            "test_subjects": [len(fold.test) for fold in split.folds],
            "tested_subjects": len(set(videos.subject_ids)),
        },
        "chance": summarise_chance(frames, videos),
        "models": [_summarise(result, study, config) for result in results],
        "missing": [{"name": name, "reason": reason} for name, reason in missing.items()],
        "pairs": _compare_results(results, study, config),
        "warnings": [*warnings, *own, *_warn_about_random(results)],
    }
    return ComparisonRecord.model_validate(content)


def compare_every_pair(
    videos: Mapping[str, Predictions],
    *,
    untested: Collection[str] = (),
    resamples: int,
    seed: int,
) -> list[dict[str, Any]]:
    """Return every pair as JSON can hold it, the one further up the list first.

    Parameters
    ----------
    videos
        Name -> what was predicted for the same videos in the same order.
    untested
        Names whose pairs show a difference and no p value: there is nothing to test.
    resamples, seed
        As for `canemo.trust.pairs.compare_pair`.

    Returns
    -------
    list of dict
        ``first``, ``second``, then what `canemo.trust.pairs.PairedDifference` holds, and
        ``p_holm``: p corrected for the number of pairs that have one.
    """
    pairs: list[dict[str, Any]] = []
    for first, second in combinations(videos, 2):
        found = compare_pair(videos[first], videos[second], resamples=resamples, seed=seed)
        pairs.append(
            {
                "first": first,
                "second": second,
                "difference": {k: finite_or_none(v) for k, v in found.difference.items()},
                "interval": {k: list(v) if v else None for k, v in found.interval.items()},
                "p": None if {first, second} & set(untested) else found.p,
                "p_holm": None,
                "flips": found.flips,
                "exact": found.exact,
                "effect_size": found.effect_size,
            }
        )
    tested = [pair for pair in pairs if pair["p"] is not None]
    for pair, p in zip(tested, adjust_holm([pair["p"] for pair in tested]), strict=True):
        pair["p_holm"] = p
    return pairs


def tabulate_models(content: ComparisonRecord) -> pd.DataFrame:
    """Return table 1 of the paper and what it lacks, one row per model, missing ones included."""
    rows = []
    for model in content.models:
        video, best = model.video, model.best_epoch
        low, high = video.interval.accuracy or (None, None)
        rows.append(
            {
                "model": model.name,
                "status": "random weights" if model.random_weights else "ok",
                "train_accuracy": (model.last_epoch or model).train_accuracy,
                "validation_accuracy": model.frame.accuracy,
                "best_epoch": best and best.epoch,
                "best_epoch_validation_accuracy": best and best.test_accuracy,
                "clip_accuracy": video.accuracy,
                "clip_accuracy_low": low,
                "clip_accuracy_high": high,
                "clip_balanced_accuracy": video.balanced_accuracy,
                "clip_auroc": video.auroc,
                "permutation_p": model.permutation and model.permutation.p,
                "majority_share": content.chance.majority.video,
            }
        )
    rows += [{"model": each.name, "status": "missing"} for each in content.missing]
    return pd.DataFrame(rows)


def gather_curves(results: Sequence[Result]) -> pd.DataFrame:
    """Return the curves of all entrants, averaged over folds, with a column ``model``."""
    parts = [
        average_curves(result.evaluation.curves).assign(model=result.entrant.name)
        for result in results
        if len(result.evaluation.curves)
    ]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def _name(backbone: str, method: str, backbones: Sequence[str], methods: Sequence[str]) -> str:
    if len(methods) == 1:
        return backbone
    return method if len(backbones) == 1 else f"{backbone} {method}"


def _summarise(result: Result, study: Study, config: Config) -> dict[str, Any]:
    table, curves = result.evaluation.predictions, average_curves(result.evaluation.curves)
    levels = {
        level: summarise_level(select_level(table, level, study.labels), evaluate=config.evaluate)
        for level in ("video", "frame")
    }
    epochs: list[dict[str, Any]] = json.loads(curves.to_json(orient="records"))
    return {
        **result.facts,
        "train_accuracy": result.evaluation.train_accuracy,
        "last_epoch": epochs[-1] if epochs else None,
        "best_epoch": max(epochs, key=lambda epoch: epoch["test_accuracy"], default=None),
        **levels,
        "permutation": None if result.facts["random_weights"] else result.permutation,
        "cost": result.cost,
    }


def _compare_results(
    results: Sequence[Result], study: Study, config: Config
) -> list[dict[str, Any]]:
    """Return every pair of results; those with random weights are marked, and not tested."""
    videos = {
        result.entrant.name: select_level(result.evaluation.predictions, "video", study.labels)
        for result in results
    }
    random = {result.entrant.name for result in results if result.facts["random_weights"]}
    settings = config.evaluate
    pairs = compare_every_pair(
        videos, untested=random, resamples=settings.resamples, seed=settings.seed
    )
    return [
        {**pair, "random_weights": bool(random & {pair["first"], pair["second"]})} for pair in pairs
    ]


def _warn_about_random(results: Sequence[Result]) -> list[str]:
    names = [r.entrant.name for r in results if r.facts["random_weights"]]
    if not names:
        return []
    return [
        f"{', '.join(names)}: the weights file says of itself that its tensors are random; the "
        "line shows cost and architecture, no figure in it is a result"
    ]
