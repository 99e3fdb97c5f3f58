"""A meter fitted on the points of known animals, and tested on those it has not seen."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score, roc_auc_score

from canemo.faces.geometry import list_columns, tabulate_faces
from canemo.faces.meters import Limits, Meter
from canemo.species import Species

Array = NDArray[np.float64]
PENALTIES = (0.1, 0.3, 1.0, 3.0, 10.0)
"""Of standardised columns, in units of a mean log loss of 1 over 100 faces; inner folds choose."""

TURNS = ("head_yaw", "head_pitch")
BEYOND = 0.01
"""The share of the faces to fit on that lies beyond each limit: a few are marked wrong."""

LEAST_CONFIDENCE = 0.5
"""Points are put on backgrounds too, and hardly ever are more of them likely right than not."""


@dataclass(frozen=True)
class Faces:
    """N labelled photographs of known animals, each cut in V ways.

    `points` (V, N, K, 3) are in pixels of the crops; `is_on` (N,) is the label, `subject` (N,) who
    it is. Ways of cutting are named by `views`.
    """

    views: tuple[str, ...]
    points: NDArray[np.float32]
    is_on: NDArray[np.bool_]
    subject: NDArray[np.str_]

    def select(self, rows: NDArray[np.bool_]) -> Faces:
        """Return some of the photographs."""
        return Faces(self.views, self.points[:, rows], self.is_on[rows], self.subject[rows])

    def split(self) -> Iterator[tuple[NDArray[np.bool_], Faces]]:
        """Yield for each animal its rows and all others' photographs."""
        for who in np.unique(self.subject):
            own = self.subject == who
            yield own, self.select(~own)


def list_used(species: Species) -> tuple[str, ...]:
    """Return the columns that tell of the mouth: of the muzzle, and how the head is turned."""
    columns = list_columns(species.points, species)
    return tuple(each.name for each in columns if each.region == "muzzle" or each.name in TURNS)


def tabulate(points: NDArray[np.floating], species: Species) -> Array:
    """Return the columns `list_used` of faces, (N, F)."""
    names = [each.name for each in list_columns(species.points, species)]
    place = [names.index(name) for name in list_used(species)]
    return tabulate_faces(points, species.points, species)[:, place].astype(float)


def mirror(points: NDArray[np.floating], species: Species) -> NDArray[np.floating]:
    """Return the points of faces (..., K, 3) as in a mirrored picture."""
    swapped = points[..., list(species.mirrored), :].copy()
    swapped[..., 0] *= -1
    return swapped


@dataclass(frozen=True)
class _Linear:
    """The logit of faces as a linear function of their columns."""

    weights: Array
    intercept: float

    def apply(self, table: Array) -> Array:
        return np.asarray(table @ self.weights + self.intercept)

    def calibrate(self, slope: float, shift: float) -> _Linear:
        return _Linear(slope * self.weights, slope * self.intercept + shift)


class Fitter:
    """Fits meters on all or some of labelled faces, whose columns are computed once."""

    def __init__(self, faces: Faces, species: Species) -> None:
        self._on, self._subject = faces.is_on, faces.subject
        self._plain = [tabulate(view, species) for view in faces.points]
        mirrored = [tabulate(mirror(view, species), species) for view in faces.points]
        self._all = np.stack([*self._plain, *mirrored])
        self._names = list_used(species)

    def fit(self, rows: NDArray[np.bool_]) -> tuple[_Linear, Limits]:
        """Fit on some photographs, choosing and calibrating on animals left out among them."""
        scores = {each: self._hold_out(rows, each) for each in PENALTIES}
        on = self._on[rows]
        best = min(PENALTIES, key=lambda each: _compute_loss(_rescale(scores[each], on), on))
        slope, shift = _fit_line(scores[best], on)
        return self._fit(rows, best).calibrate(slope, shift), self._limit(rows)

    def _hold_out(self, rows: NDArray[np.bool_], penalty: float) -> Array:
        """Return the logit of each of some photographs, by those of other animals."""
        score = np.zeros(len(rows))
        for who in np.unique(self._subject[rows]):
            own = rows & (self._subject == who)
            score[own] = self.score(self._fit(rows & ~own, penalty), own)[0]
        return score[rows]

    def score(self, linear: _Linear, rows: NDArray[np.bool_]) -> Array:
        """Return the logits of some photographs by each way of cutting, (V, n)."""
        return np.stack([linear.apply(view[rows]) for view in self._plain])

    def _fit(self, rows: NDArray[np.bool_], penalty: float) -> _Linear:
        table = self._all[:, rows].reshape(-1, len(self._names))
        on = np.tile(self._on[rows], len(self._all))
        mean, scale = table.mean(axis=0), table.std(axis=0) + 1e-9
        model = LogisticRegression(
            C=100 / (penalty * len(table)),
            class_weight="balanced",
            solver="newton-cholesky",
        ).fit((table - mean) / scale, on)
        weights = model.coef_[0] / scale
        return _Linear(weights, float(model.intercept_[0] - mean @ weights))

    def _limit(self, rows: NDArray[np.bool_]) -> Limits:
        """Return what all but a few of the photographs lie within, alike for both sides."""
        table = self._all[:, rows].reshape(-1, len(self._names))
        turn = {}
        for name in TURNS:
            low, high = np.quantile(table[:, self._names.index(name)], (BEYOND, 1 - BEYOND))
            turn[name] = (float(low), float(high))
        sure = float(np.quantile(self.confide(table), BEYOND))
        return Limits(max(sure, LEAST_CONFIDENCE), turn)

    def confide(self, table: Array) -> Array:
        """Return the mean confidence of the points read of each face."""
        sure = [i for i, name in enumerate(self._names) if name.endswith("_confidence")]
        return np.asarray(table[:, sure].mean(axis=1))

    def is_within(self, limits: Limits, rows: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Return whether the limits allow an answer, (V, n)."""
        views = []
        for table in (view[rows] for view in self._plain):
            good = self.confide(table) >= limits.confidence
            for name, (low, high) in limits.turn.items():
                values = table[:, self._names.index(name)]
                good &= (values >= low) & (values <= high)
            views.append(good)
        return np.stack(views)

    def make_meter(self, linear: _Linear, limits: Limits, **about: Any) -> Meter:
        """Return what was fitted as a meter."""
        weights = dict(zip(self._names, linear.weights.tolist(), strict=True))
        return Meter(intercept=linear.intercept, weights=weights, limits=limits, **about)


def _fit_line(score: Array, on: NDArray[np.bool_]) -> tuple[float, float]:
    """Return slope and shift by which logits come true (Platt 1999), even odds beforehand."""
    model = LogisticRegression(C=np.inf, class_weight="balanced").fit(score[:, None], on)
    return float(model.coef_[0, 0]), float(model.intercept_[0])


def _rescale(score: Array, on: NDArray[np.bool_]) -> Array:
    slope, shift = _fit_line(score, on)
    return slope * score + shift


def _compute_loss(score: Array, on: NDArray[np.bool_]) -> float:
    """Return the mean log loss, both labels counting alike."""
    each = np.logaddexp(0, np.where(on, -score, score))
    return float((each[on].mean() + each[~on].mean()) / 2)


def measure_answers(
    logit: Array, answered: NDArray[np.bool_], on: NDArray[np.bool_], subject: NDArray[np.str_]
) -> dict[str, Any]:
    """Return what the answers to one way of cutting are worth; `logit`, `answered` are (N,)."""
    on, said, subject = on[answered], logit[answered], subject[answered]
    within = [
        balanced_accuracy_score(on[subject == who], said[subject == who] > 0)
        for who in np.unique(subject)
        if 0 < on[subject == who].mean() < 1
    ]
    return {
        "answered": float(answered.mean()),
        "auroc": float(roc_auc_score(on, said)),
        "balanced_accuracy": float(balanced_accuracy_score(on, said > 0)),
        "within_subject_balanced_accuracy": float(np.mean(within)),
        "subjects_with_both": len(within),
    }
