"""Sets of labels that hold the true one as often as asked, from clips of subjects not learnt from.

A clip drawn at random from each of S subjects gives S scores that are exchangeable with the score
of a clip of a further subject; two clips of one subject are not. So each subject weighs 1 here,
shared among its clips.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from canemo.errors import ConfigError
from canemo.learn.predictions import Array, Predictions

SLACK = 1e-9  # shares of a subject, like 1/3, do not add up to 1 exactly


@dataclass(frozen=True)
class Conformal:
    """How unlike their label the clips of S subjects looked to a probe that knew none of them.

    Attributes
    ----------
    scores
        (n,) float, 1 minus the probability of the true label, for each clip.
    weights
        (n,) float, what each clip weighs; the clips of one subject weigh 1 together.
    subjects
        S.

    Notes
    -----
    The p value of a label is the mean, over all ways of drawing one clip per subject, of the
    plain conformal p value. Each of those keeps its level; their mean is sure to only at twice
    the level (Vovk & Wang), while on average over subjects the plain level holds in practice
    (Dunn et al., who compare this with other ways). It errs to the safe side: the new clip counts
    as one of S + 1, and where clips are many, so that weights beyond a score take any value, sets
    hold the true label in about 1 - level + (1 - level) / S of clips.

    The promise is for new subjects filmed as these were, and on average over them: of a subject
    who is hard to read, most sets may fail.

    References
    ----------
    Vovk, Gammerman & Shafer (2005), Algorithmic Learning in a Random World, section 2.2.
    Vovk & Wang (2020), Combining p-values via averaging, Biometrika 107, 791-808,
    doi:10.1093/biomet/asaa027.
    Dunn, Wasserman & Ramdas (2023), Distribution-free prediction sets for two-layer hierarchical
    models, J Am Stat Assoc 118, 2491-2502, doi:10.1080/01621459.2022.2060112.
    """

    scores: Array
    weights: Array
    subjects: int

    @property
    def least_level(self) -> float:
        """The least level that can be promised, 1 / (S + 1)."""
        return 1 / (self.subjects + 1)

    def p_values(self, probability: Array) -> Array:
        """Return (V, K) how usual each label would be of each of V clips, in (0, 1].

        Parameters
        ----------
        probability
            (V, K) of clips of subjects that are not among the S.
        """
        order = np.argsort(self.scores)
        beyond = np.append(np.cumsum(self.weights[order][::-1])[::-1], 0.0)
        place = np.searchsorted(self.scores[order], 1 - probability, side="left")
        return np.asarray((1 + beyond[place]) / (self.subjects + 1))

    def require_level(self, level: float, *, plural: str = "subjects") -> None:
        """Raise ConfigError where a level cannot be promised; `plural` is what subjects are called.

        It is not in (0, 1), or is less than so few subjects allow.
        """
        _validate_level(level)
        if level < self.least_level - SLACK:
            raise ConfigError(
                f"with {self.subjects} {plural} no level below 1/{self.subjects + 1} = "
                f"{self.least_level:.4g} can be promised, and {level:g} was asked for; "
                f"give at least that, or film more {plural}"
            )

    def predict_sets(self, probability: Array, level: float) -> NDArray[np.bool_]:
        """Return (V, K) whether each label is in the set of each clip: p value above `level`.

        A set may hold several labels, the clip being undecided, or none, the clip being unlike any
        seen.

        Parameters
        ----------
        probability
            (V, K) of clips of subjects that are not among the S.
        level
            How often the true label may be missing, in (0, 1).

        Raises
        ------
        ConfigError
            The level is not in (0, 1), or is less than so few subjects can promise.
        """
        self.require_level(level)
        return np.asarray(self.p_values(probability) > level + SLACK)

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON can hold it."""
        return {
            "scores": self.scores.tolist(),
            "weights": self.weights.tolist(),
            "subjects": self.subjects,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Conformal:
        """Return what `to_dict` wrote down.

        Raises
        ------
        ValueError
            Something is missing or cannot be.
        """
        missing = [name for name in ("scores", "weights", "subjects") if name not in data]
        if missing:
            raise ValueError(f"conformal scores lack {', '.join(missing)}")
        subjects = data["subjects"]
        if isinstance(subjects, bool) or not isinstance(subjects, int) or subjects < 1:
            raise ValueError(f"subjects must be a whole number from 1, not {subjects!r}")
        scores, weights = (_read_numbers(data[name], name) for name in ("scores", "weights"))
        if len(scores) != len(weights):
            raise ValueError(f"{len(scores)} scores and {len(weights)} weights, not one for each")
        if (scores < -SLACK).any() or (scores > 1 + SLACK).any():
            raise ValueError(f"scores must lie from 0 to 1, not {scores.min()} to {scores.max()}")
        if (weights <= 0).any():
            raise ValueError(f"weights must be above 0, not {weights.min()}")
        if not np.isclose(weights.sum(), subjects):
            raise ValueError(f"weights of {subjects} subjects sum to {weights.sum():g}")
        return cls(scores, weights, subjects)


def fit_conformal(predictions: Predictions) -> Conformal:
    """Return the scores of out-of-fold clips, each subject weighing 1.

    Parameters
    ----------
    predictions
        N clips, each predicted by a probe that had not seen its subject.
    """
    _, owner, clips = np.unique(predictions.subject_ids, return_inverse=True, return_counts=True)
    of_truth = predictions.probability[np.arange(len(owner)), predictions.label_index]
    return Conformal(1 - of_truth, 1 / clips[owner], len(clips))


def evaluate_conformal(predictions: Predictions, *, level: float) -> dict[str, Any]:
    """Return how sets turn out for each subject when they are drawn from the others' scores.

    Parameters
    ----------
    predictions
        N out-of-fold clips of S subjects.
    level
        How often the true label may be missing, in (0, 1).

    Returns
    -------
    dict
        ``level``; ``least_level``, 1 / S, for S - 1 others judge each subject; ``possible``,
        whether that level can be promised; ``coverage``, the mean over subjects of the share of
        clips whose set holds the true label; ``decided``, the share of clips whose set is one
        label, ``accuracy_decided``, how often that label is true, None where none is decided;
        ``undecided``, the share of clips with several labels or none. Where it is not possible,
        the last four are None. Fit for JSON.

    Raises
    ------
    ConfigError
        The level is not in (0, 1).
    """
    _validate_level(level)
    fitted = fit_conformal(predictions)
    least = 1 / max(fitted.subjects, 1)
    possible = fitted.subjects > 1 and level >= least - SLACK
    found = _summarise_sets(predictions, fitted, level) if possible else {}
    names = ("coverage", "decided", "accuracy_decided", "undecided")
    return {
        "level": level,
        "least_level": least,
        "possible": possible,
        **{name: found.get(name) for name in names},
    }


def _summarise_sets(
    predictions: Predictions, fitted: Conformal, level: float
) -> dict[str, float | None]:
    sets = np.zeros(predictions.probability.shape, dtype=bool)
    for subject in np.unique(predictions.subject_ids):
        own = predictions.subject_ids == subject
        others = Conformal(fitted.scores[~own], fitted.weights[~own], fitted.subjects - 1)
        sets[own] = others.predict_sets(predictions.probability[own], level)
    held = sets[np.arange(len(sets)), predictions.label_index]
    decided = sets.sum(axis=1) == 1
    return {
        "coverage": float((held * fitted.weights).sum() / fitted.subjects),
        "decided": float(decided.mean()),
        "accuracy_decided": float(held[decided].mean()) if decided.any() else None,
        "undecided": float(1 - decided.mean()),
    }


def _validate_level(level: float) -> None:
    if not 0 < level < 1:
        raise ConfigError(f"level must lie between 0 and 1, not {level!r}")


def _read_numbers(values: Any, name: str) -> Array:
    try:
        numbers = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as exc:
        raise ValueError(f"{name} must be a list of numbers") from exc
    if numbers.ndim != 1 or not np.isfinite(numbers).all():
        raise ValueError(f"{name} must be a list of finite numbers")
    return numbers
