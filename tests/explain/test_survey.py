from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from canemo.explain.maps.contribution import map_contributions
from canemo.explain.maps.methods import METHODS, Method
from canemo.explain.scoring import correlate_maps, trace_curves
from canemo.explain.survey import Controls, examine_case, map_case
from canemo.networks.backbones import randomise
from canemo.species import DOG
from explain_worlds import CNN, VIT, TextureBackbone, draw_crops, load_small, mark, read_checks
from map_worlds import make_case

BACKBONE = TextureBackbone()
CONTRIBUTION = METHODS["contribution"]
CONTROLS = Controls(TextureBackbone(seed=1), truth=(DOG.regions.index("muzzle"),))
AREAS = ["deletion", "insertion", "deletion_moved", "insertion_moved"]


def examine(case, method=CONTRIBUTION, controls=CONTROLS):
    maps = map_case(case, method, BACKBONE)
    return examine_case(case, maps, method, backbone=BACKBONE, controls=controls)


@pytest.fixture(scope="module")
def case():
    return make_case(1, read_checks(), crops=2)


@pytest.fixture(scope="module")
def table(case):
    return examine(case)


def trace(case, ranked):
    return trace_curves(
        case.images_rgb, ranked, backbone=BACKBONE, decision=case.decision
    ).areas()  # fmt: skip


# -- crops and their maps --------------------------------------------------------------------------


def test_maps_of_a_case_are_those_of_its_decision(case):
    [wanted] = map_contributions(case.images_rgb, BACKBONE, [case.decision])
    np.testing.assert_array_equal(map_case(case, CONTRIBUTION, BACKBONE), wanted)


def test_only_the_crops_to_be_tested_are(case):
    some = examine(replace(case, tested=np.array([False, True])))
    assert some["video_id"].tolist() == ["dog1 clip1"]
    assert {*case.origin.columns, *AREAS} <= set(some.columns)
    assert examine(replace(case, tested=np.zeros(2, bool))).empty


def test_a_case_forgets_its_pictures_and_no_more_than_digits_else(case):
    forgot = case.forget_images()
    assert len(forgot.images_rgb) == 0
    assert len(case.images_rgb) == 2
    assert forgot.origin is case.origin
    assert forgot.points is case.points
    assert forgot.masks.nbytes == case.masks.nbytes / 2
    np.testing.assert_allclose(forgot.masks, case.masks, atol=1e-3)


def test_pictures_and_maps_are_left_alone(case):
    maps, images = map_case(case, CONTRIBUTION, BACKBONE), [each.copy() for each in case.images_rgb]
    before, origin = maps.copy(), case.origin.copy()
    examine_case(case, maps, CONTRIBUTION, backbone=BACKBONE, controls=CONTROLS)
    np.testing.assert_array_equal(maps, before)
    np.testing.assert_array_equal(case.images_rgb, images)
    assert case.origin.equals(origin)


# -- evidence for the answer given -----------------------------------------------------------------


def test_the_best_places_are_those_that_speak_for_the_answer(case, table):
    # The first crop has the pattern, the second its inverse: there the map is turned round.
    assert np.sign(case.origin["logit"]).tolist() == [1, -1]
    maps = map_case(case, CONTRIBUTION, BACKBONE)
    deletion, insertion = trace(case, maps * np.array([1, -1])[:, None, None])
    np.testing.assert_allclose(table["deletion"], deletion)
    np.testing.assert_allclose(table["insertion"], insertion)
    assert (table["deletion"] < table["deletion_moved"]).all()
    assert (table["insertion"] > table["insertion_moved"]).all()


def test_of_maps_without_a_sign_the_evidence_against_is_mapped(case):
    def show_positive(images_rgb, backbone, decisions, faces=None):
        return np.clip(map_contributions(images_rgb, backbone, decisions, faces), 0, None)

    method = Method("positive", "positive part", "decision", "logit", show_positive, signed=False)
    found = examine(case, method)
    deletion, insertion = trace(
        case,
        np.stack(
            [
                show_positive(case.images_rgb, BACKBONE, [case.decision])[0, 0],
                show_positive(case.images_rgb, BACKBONE, [case.decision.against()])[0, 1],
            ]
        ),
    )
    np.testing.assert_allclose(found["deletion"], deletion)
    np.testing.assert_allclose(found["insertion"], insertion)
    assert found["hit"].tolist() == [1, 1]


def test_maps_of_the_backbone_are_taken_as_they_are(case):
    found = examine(case, METHODS["eigencam"])
    deletion, _ = trace(case, map_case(case, METHODS["eigencam"], BACKBONE))
    np.testing.assert_allclose(found["deletion"], deletion)
    np.testing.assert_allclose(found["like_random_probe"], 1)
    np.testing.assert_allclose(found["like_shuffled"], 1)


# -- controls --------------------------------------------------------------------------------------


def test_likeness_is_that_of_the_maps_of_the_controls_without_sign(case, table):
    own, shuffled = map_contributions(case.images_rgb, BACKBONE, [case.decision, case.shuffled])
    [of_drawn] = map_contributions(case.images_rgb, CONTROLS.random_backbone, [case.decision])
    np.testing.assert_allclose(table["like_shuffled"], np.abs(correlate_maps(own, shuffled)))
    np.testing.assert_allclose(table["like_random_backbone"], np.abs(correlate_maps(own, of_drawn)))
    assert table["like_random_probe"].between(0, 0.5).all()
    flipped = examine(replace(case, shuffled=case.decision.against()))
    np.testing.assert_allclose(flipped["like_shuffled"], 1)


def test_without_shuffled_labels_that_check_is_left_open(case):
    found = examine(replace(case, shuffled=None))
    assert found["like_shuffled"].isna().all()
    assert found["like_random_probe"].notna().all()


def test_draws_are_the_same_again_and_others_for_other_seeds_and_dogs(case, table):
    assert examine(case).equals(table)
    other = examine(case, controls=replace(CONTROLS, seed=1))
    assert not np.allclose(other["like_random_probe"], table["like_random_probe"])
    renamed = replace(case, origin=case.origin.assign(video_id=["x", "y"]))
    assert not np.allclose(examine(renamed)["like_random_probe"], table["like_random_probe"])
    for name in ("deletion", "insertion", "like_shuffled", "like_random_backbone", "hit"):
        np.testing.assert_array_equal(other[name], table[name])


# -- the pointing game -----------------------------------------------------------------------------


def test_planted_evidence_is_pointed_at(case, table):
    assert table["hit"].tolist() == [1, 1]
    # 2 x 2 of 64 cells of 7 x 7 pixels, and 3 pixels around them where they do not leave the crop.
    assert table["truth_area"].between(17**2 / 56**2 - 1e-9, 20**2 / 56**2 + 1e-9).all()


def test_other_regions_are_missed_and_several_count_as_one(case):
    eyes = examine(case, controls=replace(CONTROLS, truth=(DOG.regions.index("eyes"),)))
    assert eyes["hit"].tolist() == [0, 0]
    assert eyes["truth_area"].tolist() == [0, 0]
    both = tuple(DOG.regions.index(name) for name in ("muzzle", "background"))
    every = examine(case, controls=replace(CONTROLS, truth=both))
    assert every["hit"].tolist() == [1, 1]
    np.testing.assert_allclose(every["truth_area"], 1)


def test_without_a_known_truth_nothing_is_pointed_at(case):
    found = examine(case, controls=replace(CONTROLS, truth=()))
    assert found[["hit", "truth_area"]].isna().all(axis=None)


def test_planted_places_are_the_true_part(case):
    muzzle = case.masks[:, DOG.regions.index("muzzle")]
    maps = map_case(case, CONTRIBUTION, BACKBONE)
    for each, mask in zip(np.abs(maps), muzzle, strict=True):
        best = np.sort(each.ravel())[-4:]
        row, column = np.argwhere(each >= best[0]).min(axis=0)
        np.testing.assert_array_equal(mask, np.kron(mark((row, column)), np.ones((7, 7))))


# -- the network with drawn weights ----------------------------------------------------------------


@pytest.mark.parametrize("name", [VIT, CNN])
def test_drawn_network_is_the_same_with_other_weights(name):
    backbone, crops = load_small(name), draw_crops(2)
    before = {key: value.clone() for key, value in backbone.net.state_dict().items()}
    torch.manual_seed(3)
    state = torch.random.get_rng_state()
    drawn = randomise(backbone)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert (drawn.spec, drawn.grid_shape) == (backbone.spec, backbone.grid_shape)
    assert drawn.feature_dim == backbone.feature_dim
    assert drawn.is_random
    assert drawn.fingerprint != backbone.fingerprint
    assert not drawn.net.training
    assert not any(each.requires_grad for each in drawn.net.parameters())
    assert drawn.net.state_dict().keys() == before.keys()
    for key, value in backbone.net.state_dict().items():
        assert torch.equal(value, before[key])
    # The backbone has drawn weights itself, of the same seed: the control has others all the same.
    changed = [
        not torch.equal(value, before[key])
        for key, value in drawn.net.state_dict().items()
        if value.ndim > 1
    ]
    assert all(changed)
    own, other = (each.embed(crops).tokens.flatten() for each in (backbone, drawn))
    assert abs(torch.corrcoef(torch.stack([own, other]))[0, 1]) < 0.5


def test_seed_decides_what_is_drawn():
    backbone, crops = load_small(CNN), draw_crops(1)
    first, again, other = (randomise(backbone, seed=seed) for seed in (0, 0, 9))
    assert torch.equal(first.embed(crops).cls, again.embed(crops).cls)
    assert not torch.allclose(first.embed(crops).cls, other.embed(crops).cls)
    assert first.fingerprint == again.fingerprint != other.fingerprint
