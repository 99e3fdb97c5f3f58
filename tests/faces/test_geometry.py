"""Faces laid upright and measured, whatever their size, tilt and scheme of points."""

from __future__ import annotations

import numpy as np
import pytest

from canemo.faces.geometry import (
    Array,
    Geometry,
    list_columns,
    measure_points,
    place_mean,
    tabulate_faces,
)
from canemo.species import DOG, GENERIC

EYES = [i for i, name in enumerate(DOG.points) if name.startswith("eye_")]


def make_face(turn: complex = 40, move: complex = 100 + 80j, **shifts: complex) -> Array:
    """Return (1, 46, 3): the mean face turned, scaled and moved, points shifted in face units."""
    z = place_mean(DOG).copy()
    for name, shift in shifts.items():
        z[DOG.points.index(name)] += shift
    z = z * turn + move
    return np.stack([z.real, z.imag, np.full(len(z), 0.9)], axis=1)[None]


def measure(xyc: Array) -> Geometry:
    return measure_points(xyc, DOG.points, DOG)


def read(xyc: Array, name: str) -> float:
    return float(measure(xyc).value_of(name)[0])


def spell_like_another_program(name: str) -> str:
    """Return ``L_EyeInner`` for the point on the dog's left, which is right in the picture."""
    part, _, side = name.rpartition("_")
    if side not in ("left", "right"):
        return name
    words = "".join(word.capitalize() for word in part.split("_"))
    return ("R_" if side == "left" else "L_") + words


def test_the_mean_face_is_found_again_however_it_is_turned():
    found = measure(make_face(turn=55 * np.exp(1j * np.radians(25)), move=300 - 20j))
    assert np.allclose(found.points[0, :, 0] + 1j * found.points[0, :, 1], place_mean(DOG))
    assert found.unit[0] == pytest.approx(55)
    assert found.roll[0] == pytest.approx(25)
    assert found.origin[0] == pytest.approx([300, -20])
    assert read(make_face(turn=55 * np.exp(1j * np.radians(25))), "head_roll") == pytest.approx(25)


def test_measures_are_in_the_units_they_say():
    plain = make_face()
    opened = make_face(chin=0.5j, lip_lower=0.3j, lip_lower_left=0.3j, lip_lower_right=0.3j)
    assert read(opened, "jaw_drop") - read(plain, "jaw_drop") == pytest.approx(0.5)
    assert read(opened, "mouth_opening") - read(plain, "mouth_opening") == pytest.approx(
        0.3, abs=0.01
    )
    assert read(plain, "lip_raise") == pytest.approx(0)
    raised = make_face(lip_upper_left=-0.02j, lip_upper_right=-0.02j)
    assert read(raised, "lip_raise") > 0
    assert read(plain, "head_pitch") == pytest.approx(0)
    assert read(plain, "head_yaw") == pytest.approx(0)


@pytest.mark.parametrize("side", ["left", "right"])
def test_an_ear_points_up_outwards_or_down(side):
    outwards = -1 if side == "left" else 1
    base = np.mean(
        [place_mean(DOG)[DOG.points.index(f"ear_base_{end}_{side}")] for end in ("inner", "outer")]
    )
    tip = place_mean(DOG)[DOG.points.index(f"ear_tip_{side}")]
    for direction, angle in ((-1j, 0), (outwards, 90), (1j, 180), (-outwards * 0.5 + 1j, 206.57)):
        face = make_face(**{f"ear_tip_{side}": base + direction - tip})
        assert read(face, f"ear_angle_{side}") == pytest.approx(angle, abs=0.01)
    higher = make_face(**{f"ear_tip_{side}": -0.25j})
    assert read(higher, f"ear_height_{side}") - read(
        make_face(), f"ear_height_{side}"
    ) == pytest.approx(0.25)


def test_one_misplaced_eye_does_not_tilt_the_face():
    wrong = make_face()
    wrong[0, [i for i in EYES if DOG.points[i].endswith("_left")], 1] += 40  # a whole face unit
    wrong[0, [i for i in EYES if DOG.points[i].endswith("_left")], 2] = 0.4
    assert abs(measure(wrong).roll[0]) < 3


def test_the_confidence_of_a_measure_is_that_of_its_weakest_part():
    face = make_face()
    face[0, DOG.points.index("chin"), 2] = 0.2
    found = measure(face)
    names = [each.name for each in found.measures]
    assert found.trust[0, names.index("jaw_drop")] == pytest.approx(0.2)
    assert found.trust[0, names.index("mouth_width")] == pytest.approx(0.9)


def test_other_spellings_and_the_animals_own_sides_are_understood():
    face = make_face(ear_tip_left=-0.4j)
    names = [spell_like_another_program(name) for name in DOG.points]
    found = measure_points(face, names, DOG)
    assert {each.name for each in found.measures} == {each.name for each in DOG.measures}
    assert found.value_of("ear_height_left")[0] == pytest.approx(read(face, "ear_height_left"))
    columns = [each.name for each in list_columns(names, DOG)]
    table = tabulate_faces(face, names, DOG)
    place = columns.index("ear_tip_left_y")
    assert table[0, place] == pytest.approx(found.points[0, found.names.index("ear_tip_left"), 1])


def test_a_scheme_with_few_points_gives_the_measures_it_has():
    names = ["left_eye", "right_eye", "nose", "jaw"]
    face = np.array([[[0, 0, 1], [40, 0, 1], [20, 25, 1], [20, 50, np.nan]]], dtype=float)
    found = measure_points(face, names, DOG)
    assert found.measures == ()
    assert found.confidence[0].tolist() == [1, 1, 1, 1]
    assert found.points[0, names.index("jaw"), 1] > found.points[0, names.index("nose"), 1]
    assert tabulate_faces(face, names, DOG).shape == (1, len(list_columns(names, DOG)))


def test_a_hidden_eye_leaves_the_rest_of_the_face_measured():
    face = make_face()
    face[0, [i for i in EYES if DOG.points[i].endswith("_left")]] = np.nan
    found = measure(face)
    assert np.isnan(found.value_of("eye_opening_left")[0])
    assert found.value_of("eye_opening_right")[0] == pytest.approx(
        read(make_face(), "eye_opening_right")
    )
    assert found.value_of("jaw_drop")[0] == pytest.approx(read(make_face(), "jaw_drop"))


@pytest.mark.parametrize("known", [0, 1])
def test_a_face_with_hardly_a_point_is_not_measured_and_stands_as_the_mean_face(known):
    face = np.full((1, len(DOG.points), 3), np.nan)
    face[0, EYES[:known]] = [10, 20, 0.9]
    found = measure(face)
    assert np.isnan(found.values).all()
    assert not found.confidence.any()
    table = tabulate_faces(face, DOG.points, DOG)
    mean = tabulate_faces(make_face(), DOG.points, DOG)
    measured = len(list_columns(DOG.points, DOG)) - len(DOG.points)
    assert np.allclose(table[:, :measured], mean[:, :measured], atol=1e-6)
    assert not table[:, measured:].any()


def test_a_point_far_off_the_face_is_not_known():
    face = make_face(ear_tip_left=9 + 0j)
    found = measure(face)
    assert found.confidence[0, DOG.points.index("ear_tip_left")] == 0
    assert np.isnan(found.value_of("ear_height_left")[0])


def test_a_species_without_points_has_no_measures():
    names = ["left_eye", "right_eye"]
    found = measure_points(np.ones((2, 2, 3)), names, GENERIC)
    assert len(found) == 2
    assert found.values.shape == (2, 0)


def test_no_face_at_all_gives_empty_tables():
    found = measure(np.empty((0, len(DOG.points), 3)))
    assert found.values.shape == (0, len(DOG.measures))
    assert tabulate_faces(np.empty((0, len(DOG.points), 3)), DOG.points, DOG).shape[0] == 0


def test_every_measure_rests_on_points_of_its_species():
    for each in DOG.measures:
        assert set(each.points) <= set(DOG.points)
        assert each.region in (*DOG.regions, "head")
    names = [each.name for each in list_columns(DOG.points, DOG)]
    assert len(set(names)) == len(names)
