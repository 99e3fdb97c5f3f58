"""The evaluation: learn from some subjects, test on others, and put the result into numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from canemo.errors import SplitError
from canemo.learn.curves import CURVE_COLUMNS
from canemo.learn.gradient import compute_log_loss
from canemo.learn.learner import Fitted, Learner
from canemo.learn.material import Classifier, Material, Rows
from canemo.learn.predictions import (
    Answers,
    Array,
    find_firsts,
    name_probabilities,
    tabulate_folds,
)
from canemo.learn.splits import Fold, Split
from canemo.parallel import ProgressFn, count_done, map_folds


@dataclass(frozen=True)
class TestedFold:
    """The classifier of a fold: what it learned from, and whom it was tested on.

    Attributes
    ----------
    number
        Of the fold, as `predictions` name it.
    subjects
        Those it has seen, and those it has not.
    pooling, frames
        What it reads, as chosen in this fold.
    classifier
        It.
    """

    number: int
    subjects: Fold
    pooling: str
    frames: str
    classifier: Classifier


@dataclass(frozen=True)
class Evaluation:
    """What came out of testing on unseen subjects.

    Attributes
    ----------
    predictions
        One row per frame and one per video (column ``level``), each predicted by a probe that had
        not seen its subject; columns ``probability_LABEL``, ``predicted``, ``fold``.
    penalties
        The penalty chosen inside each fold; empty where none is chosen.
    temperatures
        Likewise of the temperature that the evidence was divided by.
    trials
        One row per fold, setting offered to the inner folds and test video: ``fold``, ``pooling``,
        ``frames``, ``penalty``, ``inner_loss`` and what the setting's probe answered. Only for
        looking at afterwards; empty where nothing was offered.
    curves
        One row per fold and epoch (`CURVE_COLUMNS`), empty where nothing is trained in epochs.
        The test columns are for looking at afterwards; nothing was chosen by them.
    train_accuracy
        By frame, of the final probe on the crops it was fitted on, as they are: the mean over
        folds, each fold weighing as much as it has crops.
    warnings
        What a reader of the numbers must know.
    folds
        The classifiers, one per fold that could be evaluated.
    """

    predictions: pd.DataFrame
    penalties: tuple[float, ...]
    temperatures: tuple[float, ...]
    trials: pd.DataFrame
    curves: pd.DataFrame
    train_accuracy: float
    warnings: tuple[str, ...]
    folds: tuple[TestedFold, ...] = ()


def evaluate_learner(
    learner: Learner, split: Split, *, seed: int, progress: ProgressFn | None = None
) -> Evaluation:
    """Learn in every fold from its training subjects and predict its test subjects.

    Raises
    ------
    SplitError
        In no fold do the training subjects show every label.
    """
    learner.read()
    numbered = list(enumerate(split.folds))
    tell = count_done(progress, len(numbered))
    answers = map_folds(
        lambda each: tell(_test_fold(learner, *each, seed=seed)),
        numbered,
        at_once=learner.independent,
    )
    done = [answer for answer in answers if isinstance(answer, _Tested)]
    problems = [answer for answer in answers if isinstance(answer, str)]
    if not done:
        raise SplitError(f"no fold can be evaluated; {'; '.join(problems)}")
    fitted = [fold.fitted for fold in done]
    material = learner.material
    curves = [row for fold in done for row in fold.curves]
    told = dict.fromkeys(text for each in fitted for text in each.warnings)
    return Evaluation(
        tabulate_folds(
            material.origin,
            {each.fold.number: each.answers for each in done},
            labels=material.labels,
        ),
        tuple(each.penalty for each in fitted if each.penalty is not None),
        tuple(each.temperature for each in fitted if each.temperature is not None),
        _tabulate_trials(material, done),
        pd.DataFrame(curves, columns=list(CURVE_COLUMNS)),
        sum(fold.train_right for fold in done) / sum(fold.train_crops for fold in done),
        (*problems, *told),
        tuple(each.fold for each in done),
    )


@dataclass(frozen=True)
class _Tested:
    """What came out of one fold: `trials` are what each setting's probe says of its videos."""

    fold: TestedFold
    fitted: Fitted
    answers: Answers
    trials: list[Array]
    curves: list[tuple[float, ...]]
    train_right: int
    train_crops: int


def _test_fold(learner: Learner, number: int, fold: Fold, *, seed: int) -> _Tested | str:
    """Return what came out of a fold, or why it cannot be evaluated."""
    material = learner.material
    owners = material.origin["subject_id"].to_numpy(dtype=object)
    train, test = np.isin(owners, fold.train), np.isin(owners, fold.test)
    problem = _find_problem(material, train, test, fold)
    if problem is not None:
        return f"fold {number}: {problem}"
    fitted = learner.fit(train, seed=seed)
    frames, _ = fitted.material.predict(fitted.classifier, train)
    crops = int(train.sum())
    return _Tested(
        TestedFold(
            number, fold, fitted.material.pooling, fitted.material.frames, fitted.classifier
        ),
        fitted,
        Answers(test, *fitted.material.predict(fitted.classifier, test)),
        [trial.material.predict(trial.probe, test)[1] for trial in fitted.trials],
        _trace_epochs(fitted, test, train_crops=crops, fold=number),
        int((frames.argmax(axis=1) == material.label_index[train]).sum()),
        crops,
    )


def _tabulate_trials(material: Material, tested: Sequence[_Tested]) -> pd.DataFrame:
    """Return what the probe of every setting says of the test videos of each fold."""
    parts = [
        (each, *part)
        for each in tested
        for part in zip(each.fitted.trials, each.trials, strict=True)
    ]
    if not parts:
        return pd.DataFrame()
    first = find_firsts(material.origin)
    rows = np.concatenate([np.flatnonzero(each.answers.rows & first) for each, _, _ in parts])
    settings = pd.DataFrame(
        [
            {
                "fold": each.fold.number,
                "pooling": trial.material.pooling,
                "frames": trial.material.frames,
                "penalty": trial.penalty,
                "inner_loss": trial.inner_loss,
            }
            for each, trial, _ in parts
        ]
    )
    sizes = [len(probability) for _, _, probability in parts]
    probability = np.concatenate([answers for _, _, answers in parts])
    origin = material.origin[["video_id", "subject_id", "label"]].take(rows)
    return pd.concat(
        [
            origin.reset_index(drop=True),
            settings.loc[np.repeat(settings.index, sizes)].reset_index(drop=True),
            pd.DataFrame(name_probabilities(probability, material.labels)),
        ],
        axis=1,
    )


def _trace_epochs(
    fitted: Fitted, test: Rows, *, train_crops: int, fold: int
) -> list[tuple[float, ...]]:
    """Return the rows of `CURVE_COLUMNS` of one fold."""
    if not fitted.epochs:
        return []
    x, y = fitted.material.x[test], fitted.material.label_index[test]
    return [
        (
            fold,
            epoch.number,
            train_crops,
            epoch.loss,
            epoch.accuracy,
            len(y),
            compute_log_loss(epoch.probe, x, y),
            float((epoch.probe.predict_proba(x).argmax(axis=1) == y).mean()),
        )
        for epoch in fitted.epochs
    ]


def _find_problem(material: Material, train: Rows, test: Rows, fold: Fold) -> str | None:
    if not test.any():
        return f"no usable crop of test subject(s) {', '.join(fold.test)}; left out"
    shown = np.bincount(material.label_index[train], minlength=len(material.labels))
    missing = [label for label, n in zip(material.labels, shown, strict=True) if n == 0]
    if missing:
        return f"no training subject shows the label {missing[0]!r}; left out"
    return None
