"""Meters say what they were fitted to say, of faces like those they were fitted on only."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from canemo.faces.geometry import place_mean
from canemo.faces.meters import (
    OTHER_POINTS,
    TURNED,
    UNKNOWN,
    UNSURE,
    Meter,
    load_meters,
    parse_meter,
    save_meter,
)
from canemo.files import sha256_file
from canemo.species import DOG, GENERIC

WEIGHTS = Path(__file__).resolve().parents[2] / "src" / "canemo" / "faces" / "weights"
(METER,) = load_meters(DOG)
LOWER = ("lip_lower", "lip_lower_left", "lip_lower_right", "chin", "mouth")


def make_face(confidence: float = 0.9, **shifts: complex) -> NDArray[np.float64]:
    """Return (1, 46, 3): the mean face at 40 pixels a unit, points shifted in face units."""
    z = place_mean(DOG).copy()
    for name, shift in shifts.items():
        z[DOG.points.index(name)] += shift
    z = z * 40 + 100 + 80j
    return np.stack([z.real, z.imag, np.full(len(z), confidence)], axis=1)[None]


def read(xyc: NDArray[np.float64], meter: Meter = METER) -> tuple[float, str]:
    found = meter.read(xyc, DOG, landmarks=meter.landmarks)
    return float(found.probability[0]), found.reason[0]


def test_a_dropped_jaw_is_an_open_mouth() -> None:
    said = [read(make_face(**dict.fromkeys(LOWER, 1j * drop)))[0] for drop in (-0.1, 0.0, 0.2, 0.6)]
    assert said == sorted(said)
    assert said[0] < 0.3 < 0.9 < said[-1]


def test_a_mirrored_face_is_read_alike() -> None:
    rng = np.random.default_rng(0)
    face = make_face()
    face[..., :2] += rng.normal(0, 1, face[..., :2].shape)
    mirrored = face[:, list(DOG.mirrored)].copy()
    mirrored[..., 0] *= -1
    assert read(face)[0] == pytest.approx(read(mirrored)[0], abs=1e-4)


def test_faces_unlike_those_it_was_fitted_on_are_refused_with_the_reason() -> None:
    nothing = np.full((1, len(DOG.points), 3), np.nan)
    nose = [name for name in DOG.points if name.startswith(("nose", "nostril"))]
    aside = make_face(**dict.fromkeys(nose, 0.9))
    up = make_face(**dict.fromkeys(nose, -0.6j))
    for face, why in (
        (nothing, UNKNOWN),
        (make_face(confidence=0.1), UNSURE),
        (aside, TURNED["head_yaw"]),
        (up, TURNED["head_pitch"]),
    ):
        probability, reason = read(face)
        assert reason == why
        assert np.isnan(probability)


def test_only_points_of_the_landmark_model_it_was_fitted_with_are_read() -> None:
    faces = np.concatenate([make_face(), np.full((1, len(DOG.points), 3), np.nan)])
    for other in ("0" * 64, None):
        found = METER.read(faces, DOG, landmarks=other)
        assert found.reason == (OTHER_POINTS, UNKNOWN)
        assert np.isnan(found.probability).all()


def test_each_face_is_read_by_itself() -> None:
    faces = np.concatenate([make_face(), make_face(chin=0.3j), make_face(confidence=0.1)])
    together = METER.read(faces, DOG, landmarks=METER.landmarks)
    assert [read(face[None])[0] for face in faces] == pytest.approx(
        together.probability.tolist(), nan_ok=True
    )


def test_the_meter_in_the_wheel_is_of_the_landmark_model_in_the_wheel() -> None:
    # Where this fails, fit it again: python training/train_meters.py DATA --out FILE
    assert DOG.landmark_weights is not None
    assert METER.landmarks == sha256_file(WEIGHTS / DOG.landmark_weights)
    assert METER.landmarks in (WEIGHTS / "dog_mouth_open.md").read_text(encoding="utf-8")
    assert load_meters(GENERIC) == ()


def test_a_meter_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    save_meter(METER, tmp_path / "again.json")
    again = parse_meter(json.loads((tmp_path / "again.json").read_text()))
    assert again == METER
