"""What is claimed of units, on worlds whose truth is known."""

import numpy as np
import pytest
from scipy.stats import kstest

from canemo.explain.concepts.units import MIN_SUBJECTS
from canemo.report.words.concepts import describe_directions, write_concepts_sentence
from canemo.species import DOG
from concept_worlds import (
    draw_bouts,
    draw_clip_unit,
    draw_world,
    examine,
    plant,
    record_unit,
    with_labels,
)
from evidence_worlds import with_features

UNIT_AT = 5
"""A feature in which no label shows."""


# -- something there -------------------------------------------------------------------------------


def test_planted_unit_is_found_and_one_that_is_not_there_is_not():
    world = draw_world(seed=1, effect=1.5)
    shown = draw_clip_unit(world, seed=0)
    found = examine(
        plant(world, shown, at=UNIT_AT, size=3.0),
        there=shown,
        nowhere=draw_clip_unit(world, seed=1),
    )
    there, nowhere = found["there"], found["nowhere"]
    assert there["verdict"] == "decodable"
    assert there["within"]["auroc"] > 0.8
    assert there["within"]["interval"][0] > 0.5
    assert there["permutation"]["moved"] == "clips"
    assert there["permutation"]["p_holm"] == pytest.approx(2 / 200)
    assert nowhere["verdict"] == "not shown"
    assert nowhere["direction_verdict"] == "not asked"


def test_unit_that_comes_and_goes_within_clips_is_found():
    world = draw_world(seed=2)
    shown = draw_bouts(world, seed=0)
    found = examine(plant(world, shown, at=UNIT_AT, size=2.0), bouts=shown)["bouts"]
    assert found["permutation"]["moved"] == "stretches"
    assert found["verdict"] == "decodable"
    assert found["shown"] == shown.sum()


def test_direction_is_the_conditions_where_the_label_is_made_from_the_unit():
    world = draw_world(seed=3)
    shown = draw_clip_unit(world, seed=0)
    world = with_labels(plant(world, shown, at=UNIT_AT, size=3.0), shown)
    found = examine(world, unit=shown)["unit"]
    direction = found["direction"]
    assert direction["correlation"]["value"] == pytest.approx(1)
    assert found["direction_verdict"] == "aligned"
    assert direction["correlation"]["p_holm"] <= 2 / 200
    assert direction["sensitivity"]["value"] > direction["sensitivity"]["null"][1]
    assert direction["sensitivity"]["p_labels"] <= 2 / 200
    assert direction["removal"]["auroc"]["whole"] > 0.7
    assert direction["removal"]["auroc"]["left"] == 0.5
    assert direction["removal"]["auroc"]["p"] == pytest.approx(1 / 200)


def test_direction_is_turned_round_where_the_label_is_the_units_absence():
    world = draw_world(seed=4)
    shown = draw_clip_unit(world, seed=0)
    world = with_labels(plant(world, shown, at=UNIT_AT, size=3.0), ~shown)
    direction = examine(world, unit=shown)["unit"]["direction"]
    assert direction["correlation"]["value"] == pytest.approx(-1)
    assert direction["correlation"]["p_holm"] <= 2 / 200
    assert direction["sensitivity"]["value"] < direction["sensitivity"]["null"][0]


def test_direction_cannot_be_asked_where_each_dog_has_one_condition():
    world = draw_world(seed=3)
    shown = draw_clip_unit(world, seed=0)
    dog = world.materials[0].origin["subject_id"].rank(method="dense").to_numpy()
    world = with_labels(plant(world, shown, at=UNIT_AT, size=3.0), dog % 2 == 0)
    found = examine(world, unit=shown)["unit"]
    assert found["verdict"] == "decodable"
    assert found["direction"]["correlation"]["p_labels"] is None
    assert found["direction_verdict"] == "cannot be asked"
    reason = DOG.fill(found["direction_reason"])
    assert reason.startswith("no dog has clips of both conditions")
    unit = record_unit(found, direction_reason=reason)
    table = describe_directions([unit], label="frustration")
    [verdict] = [each.show(table.rows[0]) for each in table.columns if each.key == "verdict"]
    assert str(verdict).startswith("cannot be asked: no dog has clips of both conditions")
    assert write_concepts_sentence([unit], label="frustration").endswith(
        "Whether the probe of “frustration” has a direction in common cannot be asked: no dog has "
        "clips of both conditions, so that no label can be moved within dogs."
    )


def test_unit_beside_another_cue_is_decodable_and_not_aligned():
    world = draw_world(seed=5, effect=3.0)
    shown = draw_clip_unit(world, seed=1)
    found = examine(plant(world, shown, at=UNIT_AT, size=3.0), unit=shown)["unit"]
    assert found["verdict"] == "decodable"
    assert found["direction_verdict"] == "not shown"
    assert abs(found["direction"]["correlation"]["value"]) < 0.5
    removal = found["direction"]["removal"]["auroc"]
    assert removal["left"] > 0.8  # the condition stands without the unit
    assert removal["p"] > 0.05


# -- nothing there ---------------------------------------------------------------------------------


def test_identity_alone_is_decodable_in_no_dog():
    """Dogs that look one way show the unit often: pooled it seems decodable, within dogs not."""
    world = draw_world(seed=6, subjects=16)
    (material,) = world.materials
    often = material.origin["subject_id"].str[1:].astype(int).to_numpy() % 2 == 0
    x = material.x.copy()
    x[often, UNIT_AT] += 12.0  # what these dogs have in common
    rng = np.random.default_rng(0)
    shown = draw_bouts(world, seed=3)
    shown = np.where(often, shown | (rng.random(len(x)) < 0.7), shown & (rng.random(len(x)) < 0.3))
    found = examine(with_features(world, x), unit=shown)["unit"]
    assert found["pooled"]["auroc"] > 0.75
    assert found["pooled"]["interval"][0] > 0.5
    assert found["pooled"]["null_mean"] > 0.75  # and so it would with any coding
    assert found["within"]["auroc"] == pytest.approx(0.5, abs=0.1)
    assert found["verdict"] == "not shown"


def test_too_little_is_said_with_the_numbers_and_without_a_p():
    world = draw_world()
    dog = world.materials[0].origin["subject_id"].to_numpy()
    row = np.arange(len(dog))
    few_dogs = np.isin(dog, ["s00", "s01"]) & (row % 2 == 0)
    few_frames = row % 72 == 0
    found = examine(world, few_dogs=few_dogs, few_frames=few_frames, never=row < 0)
    assert {unit["verdict"] for unit in found.values()} == {"too few"}
    assert DOG.fill(found["few_dogs"]["reason"]).startswith("2 tested dog(s) show it")
    assert found["few_dogs"]["reason"].endswith(f"at least {MIN_SUBJECTS} are needed")
    assert DOG.fill(found["never"]["reason"]).startswith("0 tested dog(s) show it")
    assert found["few_frames"]["reason"].startswith("8 of 576 frames show it")
    assert all("permutation" not in unit for unit in found.values())


def measure_p(seed, draw, **settings):
    """Return p of a unit that is nowhere, and of its direction from both nulls."""
    world = draw_world(subjects=8, clips=6, frames=4, seed=seed, **settings)
    found = examine(world, unit=draw(world, seed=seed), permutations=99, seed=seed)["unit"]
    direction = found["direction"]
    return (
        found["permutation"]["p"],
        direction["correlation"]["p"],
        direction["sensitivity"]["p"],
        direction["removal"]["auroc"]["p"],
    )


@pytest.mark.slow
@pytest.mark.parametrize("draw", [draw_clip_unit, draw_bouts])
def test_p_of_nothing_is_uniform_up_to_ties(draw):
    p = np.array([measure_p(seed, draw, effect=1.0) for seed in range(200)])
    for values in p.T[[0, 3]]:
        assert kstest(values, "uniform").statistic < 1.63 / 200**0.5 + 1 / 100  # 1 %
    assert ((p <= 0.05).mean(axis=0) <= 0.05 + 2.6 * (0.05 * 0.95 / 200) ** 0.5).all()
    assert (p <= 0.2).mean(axis=0) == pytest.approx(np.full(4, 0.2), abs=0.09)


@pytest.mark.slow
def test_units_beside_the_condition_are_rarely_called_aligned():
    """A unit that is there, labels that have nothing to do with it: at most one in twenty."""
    called = []
    for seed in range(60):
        world = draw_world(subjects=8, clips=6, frames=4, seed=seed, effect=2.0)
        shown = draw_clip_unit(world, seed=seed)
        found = examine(plant(world, shown, at=UNIT_AT, size=4.0), unit=shown, permutations=99)
        if found["unit"]["verdict"] == "decodable":
            sensitivity = found["unit"]["direction"]["sensitivity"]
            moved = max(sensitivity["p"], sensitivity["p_labels"]) <= 0.05
            called.append((found["unit"]["direction_verdict"] == "aligned", moved))
    assert len(called) > 40
    most = 0.05 + 2.33 * (0.05 * 0.95 / len(called)) ** 0.5
    assert (np.mean(called, axis=0) <= most).all()
