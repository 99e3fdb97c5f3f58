"""Drawn features in which units are planted, of studies whose truth is known."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from canemo.explain.concepts.directions import learn_condition
from canemo.explain.concepts.probes import Probing, set_up
from canemo.explain.concepts.units import Draws, examine_units
from canemo.learn.evidence import Evidence
from canemo.study.records.concepts import CodedUnit
from evidence_worlds import draw_evidence, with_features

LABEL = "frustration"


def draw_clip_unit(evidence: Evidence, *, seed: int) -> np.ndarray:
    """Draw a coding that is constant in clips: half of each dog's, whatever their label."""
    origin, rng = evidence.materials[0].origin, np.random.default_rng([7, seed])
    clips = origin.drop_duplicates("video_id")
    half = clips.groupby("subject_id")["video_id"].transform(
        lambda names: rng.permutation(np.arange(len(names)) % 2)
    )
    return origin["video_id"].map(dict(zip(clips["video_id"], half, strict=True))).to_numpy(bool)


def draw_bouts(evidence: Evidence, *, seed: int, stay: float = 0.8) -> np.ndarray:
    """Draw a coding that comes and goes within clips and lasts some frames each time."""
    origin, rng = evidence.materials[0].origin, np.random.default_rng([8, seed])
    shown = np.zeros(len(origin), dtype=bool)
    state = False
    for row, first in enumerate(~origin["video_id"].duplicated()):
        state = rng.random() < 0.4 if first else state if rng.random() < stay else not state
        shown[row] = state
    return shown


def plant(evidence: Evidence, shown: np.ndarray, *, at: int, size: float) -> Evidence:
    """Let a unit add to one feature of the frames that show it."""
    x = evidence.materials[0].x.copy()
    x[shown, at] += size
    return with_features(evidence, x)


def settle(shown: np.ndarray) -> np.ndarray:
    """Return a coding as coders who agree would have it."""
    return shown.astype(np.int8)


def make_probing(evidence: Evidence, *, penalty: float = 1.0) -> Probing:
    return set_up(evidence.materials[0], evidence.split, penalty=penalty)


def examine(evidence: Evidence, permutations: int = 199, seed: int = 0, **settled: np.ndarray):
    """Return what is found of each unit, by name."""
    probing = make_probing(evidence)
    condition = learn_condition(probing, evidence.config.probe, label=LABEL, seed=0)
    codes = {name: settle(shown) for name, shown in settled.items()}
    units = examine_units(probing, condition, codes, draws=Draws(permutations, 200, seed))
    return {unit.name: unit.found for unit in units}


def record_unit(found: dict[str, Any], **changes: Any) -> CodedUnit:
    """Return what is found of a unit as the record that a reader gets."""
    counts = {"events": 9, "events_without_frame": 0, "frames_disagreed": 0}
    return CodedUnit.model_validate(
        {"unit": "AU25", "name": "lips part", "known": True, **counts, **found, **changes}
    )


def make_unit(verdict: str = "too few", direction: str = "not asked", **changes: Any) -> CodedUnit:
    """Return a unit of which nothing could be measured."""
    found = {
        "frames": 1200, "shown": 3, "prevalence": 3 / 1200, "clips": 40,
        "subjects": {"coded": 8, "both_states": 2}, "reason": None, "verdict": verdict,
        "direction_verdict": direction, "direction_reason": None,
    }  # fmt: skip
    return record_unit(found, **changes)


def with_labels(evidence: Evidence, shown: np.ndarray) -> Evidence:
    """Return the evidence with the label made from a coding that is constant in clips."""
    (material,) = evidence.materials
    labels = np.where(shown, LABEL, "anticipation")
    origin = material.origin.assign(label=labels)
    return replace(evidence, materials=(replace(material, origin=origin),))


def draw_world(**settings: object) -> Evidence:
    """Draw a study without any unit."""
    return draw_evidence(**{"subjects": 12, "clips": 8, "frames": 6, **settings})  # type: ignore[arg-type]
