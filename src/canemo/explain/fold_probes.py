"""Which probe explains which subject: one that had not seen it, as when it was tested."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from canemo.errors import ModelError
from canemo.explain.decision import Decision
from canemo.learn.evaluate import TestedFold
from canemo.learn.evidence import Evidence
from canemo.learn.learner import Learner
from canemo.learn.material import Classifier, Material
from canemo.learn.methods import make_learner
from canemo.learn.probe import Probe
from canemo.learn.splits import Fold
from canemo.parallel import count_done


def list_unseen(folds: Sequence[TestedFold], *, label: str, place: Path) -> dict[str, Decision]:
    """Return, for each tested subject, the decision of the probe of its fold.

    Parameters
    ----------
    folds
        Of a finished run.
    label
        Whose evidence is explained.
    place
        The folder of the run, for what is said where it cannot be explained.

    Raises
    ------
    ConfigError
        There is no such label.
    ModelError
        What the run fitted is no linear probe on features.
    """
    decisions: dict[str, Decision] = {}
    for fold in folds:
        decision = Decision(require_probe(fold.classifier, place), fold.pooling, label)
        decisions |= dict.fromkeys(fold.subjects.test, decision)
    return decisions


def require_probe(classifier: Classifier, place: Path) -> Probe:
    """Return the classifier; ModelError where it is no linear probe on frames."""
    if not isinstance(classifier, Probe):
        raise ModelError(
            f"{place}: only a linear probe on frames can be explained; this is a model of the "
            "whole clip. Evaluate with --method lda or logistic"
        )
    return classifier


def fit_shuffled(
    evidence: Evidence,
    decisions: Mapping[str, Decision],
    *,
    label: str,
    tell: Callable[[int, int], None],
) -> dict[str, Decision]:
    """Learn anew, after the labels of clips were put in a random order, another per fold.

    The pooling and the penalty are those that most of `decisions` rest on; they are not chosen
    anew.
    """
    if not decisions:
        return {}
    config = evidence.config
    pooling, penalty = Counter(
        (each.pooling, each.probe.penalty) for each in decisions.values()
    ).most_common(1)[0][0]
    material = next(each for each in evidence.materials if each.pooling == pooling)
    probe = config.probe.model_copy(update={"penalties": (penalty,)})
    config = config.model_copy(update={"probe": probe})
    count, shuffled = count_done(tell, len(evidence.split.folds)), dict[str, Decision]()
    for number, fold in enumerate(evidence.split.folds):
        moved = move_labels(material, seed=config.evaluate.seed + number)
        learner = make_learner([moved], config=config, views=None)
        learner.read()
        decision = count(_fit_fold(learner, fold, label, seed=config.evaluate.seed))
        shuffled |= {} if decision is None else dict.fromkeys(fold.test, decision)
    return shuffled


def move_labels(material: Material, *, seed: int) -> Material:
    """Return the material with the labels of its clips in a random order over all subjects.

    Moved within subjects, as the permutation test does it, labels would still be those of the
    subjects: a map of what tells subjects apart would stay.
    """
    clips = material.origin.drop_duplicates("video_id").set_index("video_id")["label"]
    moved = np.random.default_rng(seed).permutation(clips.to_numpy())
    labels = material.origin["video_id"].map(dict(zip(clips.index, moved, strict=True)))
    return replace(material, origin=material.origin.assign(label=labels))


def _fit_fold(learner: Learner, fold: Fold, label: str, *, seed: int) -> Decision | None:
    """Return the decision learned in a fold; None where its training subjects lack a label."""
    material = learner.material
    train = np.isin(material.origin["subject_id"].to_numpy(dtype=object), fold.train)
    if len(np.unique(material.label_index[train])) < len(material.labels):
        return None
    fitted = learner.fit(train, seed=seed)
    probe = require_probe(fitted.classifier, Path("the run"))
    return Decision(probe, fitted.material.pooling, label)
