"""A meter fitted on known animals finds in others what is there, and nothing where nothing is."""

from __future__ import annotations

import numpy as np
import PIL.Image
import pytest

from canemo.faces.geometry import place_mean
from canemo.species import DOG
from lib.meter_fitting import Faces, Fitter, measure_answers
from train_meters import SMALL_PX, VIEWS, answer_unseen, cut_views


def draw_faces(drop: float, *, dogs: int = 6, each: int = 20) -> Faces:
    """Return mean faces with noise; where the label is on, the lower lip is `drop` further down."""
    rng = np.random.default_rng(3)
    on = np.tile(np.arange(each) % 2 == 0, dogs)
    z = np.repeat(place_mean(DOG)[None], len(on), axis=0)
    z = z + rng.normal(0, 0.04, z.shape) + 1j * rng.normal(0, 0.04, z.shape)
    lower = [i for i, name in enumerate(DOG.points) if "lower" in name or name == "chin"]
    z[np.ix_(on, lower)] += drop * 1j
    confidence = rng.uniform(0.7, 1, z.shape)
    points = np.stack([z.real * 40, z.imag * 40, confidence], axis=-1).astype(np.float32)
    return Faces(("given",), points[None], on, np.repeat([f"dog{i}" for i in range(dogs)], each))


def test_a_planted_movement_is_found_in_unseen_dogs() -> None:
    faces = draw_faces(0.25)
    report = answer_unseen(Fitter(faces, DOG), faces)
    assert report["without_limits"]["given"]["auroc"] > 0.97
    assert report["without_limits"]["given"]["within_subject_balanced_accuracy"] > 0.9
    assert 0.6 < report["answered"]["given"]["answered"] <= 1
    assert sum(row[2] for row in report["calibration"]) <= len(faces.is_on)


def test_nothing_is_found_where_nothing_is() -> None:
    faces = draw_faces(0.0)
    report = answer_unseen(Fitter(faces, DOG), faces)
    assert abs(report["without_limits"]["given"]["auroc"] - 0.5) < 0.2


def test_the_unseen_dog_takes_no_part() -> None:
    faces = draw_faces(0.25)
    fitter = Fitter(faces, DOG)
    own = faces.subject == "dog0"
    before, limits = fitter.fit(~own)
    changed = Faces(faces.views, faces.points.copy(), faces.is_on ^ own, faces.subject)
    changed.points[:, own, :, :2] += 5
    after, same = Fitter(changed, DOG).fit(~own)
    assert np.array_equal(before.weights, after.weights)
    assert limits == same


def test_a_dog_with_one_state_only_has_no_accuracy_of_its_own() -> None:
    on = np.array([True, True, False, True])
    found = measure_answers(
        np.array([1.0, 2.0, -1.0, 1.0]), np.ones(4, bool), on, np.array(["a", "a", "b", "b"])
    )
    assert found["subjects_with_both"] == 1
    assert found["within_subject_balanced_accuracy"] == found["auroc"] == 1.0


@pytest.mark.parametrize("found", [[], [(0.0, 0.0, 20.0, 20.0)], [(52.0, 40.0, 148.0, 138.0)]])
def test_a_face_is_cut_around_the_box_that_was_found_where_one_is_it(found) -> None:
    image = np.asarray(PIL.Image.effect_noise((200, 180), 60).convert("RGB"))
    crops = cut_views(image, (50, 40, 150, 140), found, np.random.default_rng(0))
    assert len(crops) == len(VIEWS)
    assert crops[0].shape == (100, 100, 3)
    assert min(crops[-1].shape[:2]) == SMALL_PX
    is_it = bool(found) and found[0][0] > 0
    assert np.array_equal(crops[0], crops[1]) != is_it
