"""Every number of a run, put together as metrics.json holds them."""

from __future__ import annotations

import json
from typing import Any

import pandas as pd

from canemo.config import Config, ProbeConfig
from canemo.learn.conformal import evaluate_conformal
from canemo.learn.evaluate import Evaluation
from canemo.learn.evidence import Evidence
from canemo.learn.lda import DiscriminantLearner
from canemo.learn.learner import Learner
from canemo.learn.material import Material
from canemo.learn.predictions import Predictions, select_level
from canemo.learn.splits import Split
from canemo.parallel import Progress, silent
from canemo.records import Fate, Study
from canemo.study.records.run import RunMetrics
from canemo.trust.audit import audit_evidence
from canemo.trust.calibration import compute_calibration
from canemo.trust.intervals import INTERVAL_METHOD, LEVEL
from canemo.trust.labellings import find_least_p
from canemo.trust.learning_curve import choose_most_often, estimate_learning_curve
from canemo.trust.metadata import score_metadata
from canemo.trust.permutation import compare_labellings, describe_permutation
from canemo.trust.power import find_least_detectable
from canemo.trust.summaries import summarise_chance, summarise_level, summarise_subjects
from canemo.trust.sweep import summarise_sweep

CHOICES = ("penalties", "penalty_chosen", "temperature_chosen", "interval")
"""The keys of ``protocol`` that come out of the evaluation."""


def compute_metrics(
    evidence: Evidence, learner: Learner, evaluation: Evaluation, *, progress: Progress = silent
) -> RunMetrics:
    """Return everything metrics.json holds but the cost.

    Parameters
    ----------
    evidence
        What the numbers are computed from.
    learner, evaluation
        What learned, and what came out of testing it on unseen subjects.
    progress
        Told how far it is.

    Notes
    -----
    A discriminant is refitted for the permutations, the learning curve and the audit. Where the run
    learned by another method, a discriminant on the same features and folds stands in for it.
    """
    config, labels = evidence.config, evidence.study.labels
    table = evaluation.predictions
    frames, videos = (select_level(table, level, labels) for level in ("frame", "video"))
    stand_in = find_discriminant(learner)
    penalty = find_penalty(config, evaluation)
    metadata = score_metadata(evidence, stand_in.material)
    permutation = summarise_permutation(learner, evidence.split, config, progress=progress)
    metrics = {
        "study": describe_study(evidence.study, evidence.ledger, species=config.study.species),
        "protocol": {**evidence.protocol, **_describe_choices(evidence, evaluation)},
        "levels": {
            "video": summarise_level(videos, evaluate=config.evaluate),
            "frame": summarise_level(frames, evaluate=config.evaluate),
        },
        "subjects": summarise_subjects(table[table["level"] == "video"]),
        "chance": {
            **summarise_chance(frames, videos),
            "metadata": metadata,
        },
        "permutation": permutation,
        "detectable": find_least_detectable(
            videos,
            threshold=permutation["critical"] if _can_show(stand_in) else None,
            seed=config.evaluate.seed,
        ),
        "calibration": _calibrate(videos, evidence),
        "abstention": evaluate_conformal(videos, level=config.audit.abstain_level),
        "sweep": summarise_sweep(evaluation, labels=labels, evaluate=config.evaluate),
        "learning_curve": estimate_learning_curve(stand_in, penalty, seed=config.evaluate.seed),
        "audit": audit_evidence(evidence, stand_in, penalty=penalty, metadata=metadata),
        "training": {"frame_accuracy": evaluation.train_accuracy},
        "warnings": [*evidence.warnings, *evaluation.warnings],
    }
    return RunMetrics.model_validate(metrics)


def _can_show(learner: DiscriminantLearner) -> bool:
    """Tell whether any result could pass the permutation test; else none does, however high."""
    reading = learner.readings[0]
    return find_least_p(reading.label_index, reading.clip_group) <= LEVEL


def find_discriminant(learner: Learner) -> DiscriminantLearner:
    """Return the learner itself, or the discriminant that stands in for another."""
    if isinstance(learner, DiscriminantLearner):
        return learner
    return stand_in_for(learner.material)


def find_penalty(config: Config, evaluation: Evaluation) -> float:
    """Return the strength of discriminants that choose none: what the run's folds chose most."""
    if config.probe.method != "lda":  # a penalty of another method means another thing
        return choose_most_often((), offered=ProbeConfig().penalties)
    return choose_most_often(evaluation.penalties, offered=config.probe.penalties)


def stand_in_for(material: Material) -> DiscriminantLearner:
    """Return the discriminant that stands in for another learner of the same material."""
    return DiscriminantLearner((material,), ProbeConfig())


def summarise_permutation(
    learner: Learner, split: Split, config: Config, *, progress: Progress = silent
) -> dict[str, Any]:
    """Return what metrics.json says of the permutation test; ``probe`` says what was refitted."""
    test = compare_labellings(
        find_discriminant(learner),
        split,
        permutations=config.evaluate.permutations,
        seed=config.evaluate.seed,
        progress=lambda done, total: progress("permute", done, total),
    )
    probe = "own" if config.probe.method == "lda" else "lda"
    return {**describe_permutation(test, config.species), "probe": probe}


def _calibrate(videos: Predictions, evidence: Evidence) -> dict[str, Any]:
    positive_label = str(evidence.protocol["positive_label"])
    balanced = evidence.config.probe.class_weight == "balanced"
    found = compute_calibration(
        videos, positive=videos.labels.index(positive_label), balanced=balanced
    )
    return {**found, "positive_label": positive_label, "balanced": balanced}


def _describe_choices(evidence: Evidence, evaluation: Evaluation) -> dict[str, Any]:
    offered = evidence.config.probe.penalties
    return {
        "penalties": list(offered) if evaluation.penalties else [],
        "penalty_chosen": list(evaluation.penalties),
        "temperature_chosen": list(evaluation.temperatures),
        "interval": INTERVAL_METHOD,
    }


def describe_study(study: Study, ledger: pd.DataFrame, *, species: str) -> dict[str, Any]:
    """Return what metrics.json says of a study and of what became of its frames."""
    videos = pd.DataFrame([(v.subject_id, v.label) for v in study.videos], columns=["s", "label"])
    by_label = {str(k): _counts(rows["fate"]) for k, rows in ledger.groupby("label")}
    return {
        "name": study.root.resolve().name,
        "species": species,
        "videos": len(study.videos),
        "subjects": len(study.subject_ids),
        "labels": _counts(videos["label"]),
        "labels_by_subject": {str(k): _counts(rows["label"]) for k, rows in videos.groupby("s")},
        "frames": int((ledger["fate"] != Fate.DECODE_ERROR).sum()),
        "crops": int((ledger["fate"] == Fate.USED).sum()),
        "fates": _counts(ledger["fate"]),
        "fates_by_label": by_label,
        "subjects_table": _tabulate_subjects(study),
        "drawn": study.drawn,
    }


def _counts(values: pd.Series) -> dict[str, int]:
    return {str(key): int(number) for key, number in values.value_counts().sort_index().items()}


def _tabulate_subjects(study: Study) -> list[dict[str, Any]] | None:
    if study.subjects is None:
        return None
    present = study.subjects[study.subjects.index.isin(study.subject_ids)].reset_index()
    rows: list[dict[str, Any]] = json.loads(present.to_json(orient="records"))
    return rows
