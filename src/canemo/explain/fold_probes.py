"""Which probe explains which dog: one that had not seen it, as when it was tested."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd

from canemo.errors import ModelError
from canemo.evidence import Evidence
from canemo.explain.decision import Decision
from canemo.learners import make_learner
from canemo.learning import Learner, Material
from canemo.probe import Probe
from canemo.splits import Fold


def fit_unseen(
    evidence: Evidence, *, label: str, tell: Callable[[int, int], None]
) -> dict[str, Decision]:
    """Return, for each tested dog, the decision of the probe of its fold.

    Parameters
    ----------
    evidence
        Of a finished run.
    label
        Whose evidence is explained.
    tell
        Told how many folds are done.

    Raises
    ------
    ModelError
        What the run fits is no linear probe on features.
    """
    learner = make_learner(evidence.materials, config=evidence.config, views=None)
    return _fit_folds(learner, evidence, label, tell)


def fit_shuffled(
    evidence: Evidence, *, label: str, tell: Callable[[int, int], None]
) -> dict[str, Decision]:
    """As `fit_unseen`, after the labels of whole clips were moved at random within each dog.

    Empty where no dog has clips of two labels, so that nothing can be moved.
    """
    seed = evidence.config.evaluate.seed
    moved = tuple(move_labels(material, seed=seed) for material in evidence.materials)
    if moved[0].origin["label"].equals(evidence.materials[0].origin["label"]):
        return {}
    learner = make_learner(moved, config=evidence.config, views=None)
    return _fit_folds(learner, evidence, label, tell)


def move_labels(material: Material, *, seed: int) -> Material:
    """Return the material with the labels of clips in a random order within each dog."""
    rng = np.random.default_rng(seed)
    clips = material.origin.drop_duplicates("video_id").set_index("video_id")
    moved = pd.concat(
        pd.Series(rng.permutation(dog["label"].to_numpy()), index=dog.index)
        for _, dog in clips.groupby("subject_id", sort=True)
    )
    labels = material.origin["video_id"].map(moved)
    return replace(material, origin=material.origin.assign(label=labels))


def _fit_folds(
    learner: Learner, evidence: Evidence, label: str, tell: Callable[[int, int], None]
) -> dict[str, Decision]:
    learner.read()
    decisions: dict[str, Decision] = {}
    for done, fold in enumerate(evidence.split.folds):
        tell(done, len(evidence.split.folds))
        decision = _fit_fold(learner, fold, label, seed=evidence.config.evaluate.seed)
        decisions |= dict.fromkeys(fold.test, decision) if decision is not None else {}
    tell(len(evidence.split.folds), len(evidence.split.folds))
    return decisions


def _fit_fold(learner: Learner, fold: Fold, label: str, *, seed: int) -> Decision | None:
    """Return the decision learned in a fold; None where its training dogs lack a label."""
    material = learner.material
    train = np.isin(material.origin["subject_id"].to_numpy(dtype=object), fold.train)
    if len(np.unique(material.label_index[train])) < len(material.labels):
        return None
    fitted = learner.fit(train, seed=seed)
    if not isinstance(fitted.classifier, Probe):
        raise ModelError(
            "only a linear probe on frames can be explained; this run fits a model of the whole "
            "clip. Evaluate with --method lda or logistic"
        )
    return Decision(fitted.classifier, fitted.material.pooling, label)
