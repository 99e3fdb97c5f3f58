"""How a face moves: known motions, still faces, gaps, times that are not even."""

from __future__ import annotations

import numpy as np
import pytest

from canemo.faces.dynamics import (
    GAP_S,
    LEAST_S,
    Array,
    Motion,
    bridge_gaps,
    follow_face,
    smooth,
    summarise_motion,
)
from canemo.faces.geometry import place_mean
from canemo.faces.movements import find_movements
from canemo.species import DOG, GENERIC

NAMES = DOG.points
JAW = [i for i, name in enumerate(NAMES) if name.startswith(("lip_lower", "chin"))]
EAR = [i for i, name in enumerate(NAMES) if name.startswith("ear_") and name.endswith("_left")]
TIMES = np.arange(45) / 15


def draw_face(time_s: Array, *, noise: float = 0.0, jaw: Array | float = 0.0,
              ear: Array | float = 0.0, turn: Array | float = 0.0) -> Array:  # fmt: skip
    """Return (T, 46, 3): the mean face carried through the picture; jaw and ear in face units."""
    rng = np.random.default_rng(0)
    z = np.tile(place_mean(DOG), (len(time_s), 1))
    z = z + noise * (rng.normal(size=z.shape) + 1j * rng.normal(size=z.shape))
    z[:, JAW] += 1j * np.broadcast_to(jaw, len(time_s))[:, None]
    z[:, EAR] -= np.broadcast_to(ear, len(time_s))[:, None]
    scale = (50 + 5 * time_s) * np.exp(1j * np.broadcast_to(turn, len(time_s)))
    z = z * scale[:, None] + (200 + 30 * time_s + 150j)[:, None]
    return np.stack([z.real, z.imag, np.full(z.shape, 0.95)], axis=2)


def follow(time_s: Array = TIMES, **drawn) -> Motion:
    return follow_face(time_s, draw_face(time_s, **drawn), NAMES, DOG)


def of(motion: Motion, part: str) -> Array:
    return motion.speed[:, motion.parts.index(part)]


def test_nothing_is_left_of_a_head_that_moves_as_a_whole():
    motion = follow(turn=np.sin(4 * TIMES))
    assert motion.speed.max() < 1e-9
    assert find_movements(motion) == []
    found = summarise_motion(motion)
    assert all(found[name] == 0 for name in found if name.endswith(("_95", "_median", "_range")))


def test_a_still_face_with_noise_of_its_points_stays_under_the_floor():
    motion = follow(noise=0.004)  # of the distance between the eyes; that of sure points
    assert (motion.speed < motion.floor).mean() > 0.95
    assert (motion.span < motion.span_floor).all()
    assert find_movements(motion) == []


def test_speed_is_that_of_the_points_and_is_told_of_the_part_that_moves():
    motion = follow(ear=0.5 * TIMES)
    assert np.allclose(of(motion, "ears_left"), 0.5)
    assert np.allclose(of(motion, "ears_right"), 0)
    assert np.allclose(of(motion, "ears"), 0.25)
    assert np.allclose(of(motion, "muzzle"), 0)
    assert motion.span[motion.parts.index("ears_left")] == pytest.approx(0.9 * 0.5 * TIMES[-1])


def test_speed_does_not_depend_on_when_frames_were_taken():
    rng = np.random.default_rng(1)
    uneven = np.sort(np.concatenate([[0, 3], rng.uniform(0, 3, 60)]))
    assert np.allclose(of(follow(uneven, ear=0.5 * uneven), "ears_left"), 0.5)
    sway = 0.1 * np.sin(2 * np.pi * uneven)
    fast, even = follow(uneven, ear=sway), follow(ear=0.1 * np.sin(2 * np.pi * TIMES))
    assert of(fast, "ears_left").max() == pytest.approx(of(even, "ears_left").max(), rel=0.1)


def test_an_opening_has_its_onset_and_its_duration():
    jaw = np.where((TIMES > 1) & (TIMES < 2), 0.3, 0)
    (opening,) = [each for each in find_movements(follow(jaw=jaw)) if each.code == "mouth_open"]
    assert opening.start_s == pytest.approx(1, abs=0.1)
    assert opening.duration_s == pytest.approx(1, abs=0.15)
    assert not opening.is_quick


def test_a_flick_of_one_ear_is_a_quick_movement_of_that_ear_alone():
    flick = 0.2 * np.exp(-(((TIMES - 1.5) / 0.08) ** 2))
    found = find_movements(follow(ear=flick))
    assert {each.code for each in found} == {"quick_ears_left"}
    assert all(each.is_quick and 1.1 < each.start_s < each.end_s < 1.9 for each in found)


def test_a_mouth_that_is_open_throughout_does_not_open():
    assert find_movements(follow(jaw=0.3)) == []


def test_short_gaps_are_bridged_and_marked_and_long_ones_are_not():
    xyc = draw_face(TIMES, ear=0.5 * TIMES)
    xyc[10:14] = np.nan  # 5 intervals of 1/15 s from frame 9 to 14
    xyc[25:35] = np.nan
    xyc[:2] = np.nan
    motion = follow_face(TIMES, xyc, NAMES, DOG)
    assert np.flatnonzero(motion.bridged).tolist() == [10, 11, 12, 13]
    assert not motion.known[10:14].any()
    assert np.allclose(of(motion, "ears_left")[2:25], 0.5)
    assert np.isnan(of(motion, "ears_left")[25:35]).all()
    assert np.isnan(of(motion, "ears_left")[:2]).all()
    assert np.allclose(of(motion, "ears_left")[35:], 0.5)


def test_a_movement_on_bridged_frames_says_so_and_ends_where_nothing_is_known():
    xyc = draw_face(TIMES, ear=0.5 * TIMES)
    xyc[10:12] = np.nan
    xyc[20:] = np.nan
    (found,) = find_movements(follow_face(TIMES, xyc, NAMES, DOG))
    assert (found.code, found.is_bridged) == ("move_ears_left", True)
    assert found.end_s <= TIMES[20]


def test_one_point_may_be_missing_in_some_frames():
    xyc = draw_face(TIMES, ear=0.5 * TIMES)
    xyc[5:8, EAR[0]] = np.nan
    xyc[20:40, EAR[1]] = np.nan
    motion = follow_face(TIMES, xyc, NAMES, DOG)
    assert np.flatnonzero(motion.bridged).tolist() == [5, 6, 7]
    assert np.allclose(of(motion, "ears_left"), 0.5)


@pytest.mark.parametrize("frames", [1, 7])
def test_a_clip_of_few_frames_has_no_dynamics_and_says_so(frames):
    times = TIMES[:frames]
    motion = follow_face(times, draw_face(times), NAMES, DOG)
    assert f"{frames} frame(s)" in motion.reason
    found = summarise_motion(motion)
    assert np.isnan(found["ears_speed_95"])
    assert found["jaw_drop"] > 0
    assert find_movements(motion) == []


def test_frames_within_less_than_the_least_time_are_no_dynamics():
    times = np.linspace(0, LEAST_S * 0.9, 30)
    assert follow_face(times, draw_face(times), NAMES, DOG).reason is not None


def test_a_clip_without_a_face_has_nothing():
    motion = follow_face(TIMES, np.full((45, 46, 3), np.nan), NAMES, DOG)
    assert motion.reason.startswith("0 frame(s)")
    assert np.isnan(list(summarise_motion(motion).values())).all()


def test_unsure_points_must_move_more():
    sure, unsure = draw_face(TIMES), draw_face(TIMES)
    unsure[:, EAR, 2] = 0.4
    floors = [follow_face(TIMES, xyc, NAMES, DOG).floor[0] for xyc in (sure, unsure)]
    ears = follow().parts.index("ears_left")
    assert floors[1][ears] > 5 * floors[0][ears]


def test_points_of_an_animal_without_a_scheme_cannot_be_laid():
    motion = follow_face(TIMES, draw_face(TIMES), NAMES, GENERIC)
    assert motion.reason is not None
    assert motion.parts == ()


def test_a_gap_is_bridged_up_to_its_length_between_known_values_only():
    time_s = np.array([0, 0.1, 0.1 + GAP_S, 1.0, 1.0 + GAP_S / 2, 1.0 + 1.1 * GAP_S])
    values = np.array([[1], [np.nan], [np.nan], [2], [np.nan], [4.0]])
    filled, is_new = bridge_gaps(time_s, values)
    assert not is_new.any()  # both gaps are longer
    values[2] = 3
    values[1] = 1
    time_s[5] = 1.0 + GAP_S
    filled, is_new = bridge_gaps(time_s, values)
    assert np.flatnonzero(is_new).tolist() == [4]
    assert filled[4, 0] == pytest.approx(3)


def test_smoothing_keeps_a_line_and_its_slope():
    time_s = np.sort(np.random.default_rng(2).uniform(0, 2, 40))
    level, slope = smooth(time_s, np.column_stack([3 * time_s + 1, -time_s]))
    assert np.allclose(level, np.column_stack([3 * time_s + 1, -time_s]))
    assert np.allclose(slope, [3, -1])


def test_a_value_alone_has_a_level_and_no_slope():
    level, slope = smooth(np.array([0.0, 5.0]), np.array([[1.0], [2.0]]))
    assert level.ravel().tolist() == [1, 2]
    assert np.isnan(slope).all()
