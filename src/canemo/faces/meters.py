"""Meters: how likely a movement of the face is, read from its points, without labels.

A meter is a logistic function of columns of `canemo.faces.geometry`. Its coefficients are in a file
beside the weights of the landmark model whose points it was fitted on; it reads no others.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np
from numpy.typing import NDArray

from canemo.faces.geometry import list_columns, tabulate_faces
from canemo.files import write_atomically
from canemo.species import Species

UNKNOWN = "no points"
OTHER_POINTS = "points of another source than those the meter was fitted on"
UNSURE = "points unsure"
TURNED = {"head_yaw": "face turned aside", "head_pitch": "face turned up or down, or a short nose"}


@dataclass(frozen=True)
class Limits:
    """Within which a meter answers: where it was fitted, nothing is known of faces beyond.

    Attributes
    ----------
    confidence
        The least mean confidence of the points it reads.
    turn
        Measure of the head -> its lowest and highest value.
    """

    confidence: float
    turn: Mapping[str, tuple[float, float]]


@dataclass(frozen=True)
class Reading:
    """What a meter says of N faces: a probability (N,), NaN where a reason (N,) says why not."""

    probability: NDArray[np.float64]
    reason: tuple[str, ...]


@dataclass(frozen=True)
class Meter:
    """Reads how likely a movement is off the points of a face.

    Attributes
    ----------
    name
        Of its column in tables.
    meaning
        What the probability is of.
    units
        The action units it is about.
    landmarks
        SHA-256 of the weights of the landmark model it was fitted with.
    intercept, weights
        The logit is the intercept plus the sum of each column of `tabulate_faces` times its weight.
    limits
        Within which it answers.
    """

    name: str
    meaning: str
    units: tuple[str, ...]
    landmarks: str
    intercept: float
    weights: Mapping[str, float]
    limits: Limits

    def read(
        self, xyc: NDArray[np.floating], species: Species, *, landmarks: str | None
    ) -> Reading:
        """Read the probability off N faces.

        Parameters
        ----------
        xyc
            (N, K, 3) the species' points: x and y [pixels] and confidence.
        species
            Whose faces they are.
        landmarks
            SHA-256 of the weights of the model that found them; None where they are not a model's.
        """
        known = np.isfinite(xyc[:, :, 0]).any(axis=1)
        if landmarks != self.landmarks:
            why = [OTHER_POINTS if each else UNKNOWN for each in known]
            return Reading(np.full(len(xyc), np.nan), tuple(why))
        columns = {each.name: i for i, each in enumerate(list_columns(species.points, species))}
        table = tabulate_faces(xyc, species.points, species).astype(float)
        reason = [
            self._refuse({name: float(row[i]) for name, i in columns.items()}) if each else UNKNOWN
            for row, each in zip(table, known, strict=True)
        ]
        used = table[:, [columns[name] for name in self.weights]]
        logit = self.intercept + used @ np.array(list(self.weights.values()))
        said = np.array([not why for why in reason], dtype=bool)
        return Reading(np.where(said, 1 / (1 + np.exp(-logit)), np.nan), tuple(reason))

    def _refuse(self, face: Mapping[str, float]) -> str:
        """Return why nothing is said of a face, or nothing."""
        sure = [face[name] for name in self.weights if name.endswith("_confidence")]
        if np.mean(sure) < self.limits.confidence:
            return UNSURE
        for name, (low, high) in self.limits.turn.items():
            if not low <= face[name] <= high:
                return TURNED[name]
        return ""


@cache
def load_meters(species: Species) -> tuple[Meter, ...]:
    """Return the meters that ship with canemo for a species; there may be none."""
    folder = files("canemo.faces") / "weights"
    return tuple(
        parse_meter(json.loads((folder / name).read_text(encoding="utf-8")))
        for name in species.meters
    )


def parse_meter(content: Mapping[str, Any]) -> Meter:
    """Return the meter that a file describes."""
    limits = content["limits"]
    turn = {name: (low, high) for name, (low, high) in limits["turn"].items()}
    return Meter(
        content["name"],
        content["meaning"],
        tuple(content["units"]),
        content["landmarks_sha256"],
        content["intercept"],
        content["weights"],
        Limits(limits["confidence"], turn),
    )


def save_meter(meter: Meter, path: Any) -> None:
    """Write a meter to a file that `parse_meter` reads."""
    content = {
        "name": meter.name,
        "meaning": meter.meaning,
        "units": meter.units,
        "landmarks_sha256": meter.landmarks,
        "limits": {
            "confidence": round(meter.limits.confidence, 4),
            "turn": {k: [round(v, 4) for v in ends] for k, ends in meter.limits.turn.items()},
        },
        "intercept": round(meter.intercept, 6),
        "weights": {name: round(weight, 6) for name, weight in meter.weights.items()},
    }
    write_atomically(path, json.dumps(content, indent=1) + "\n")
