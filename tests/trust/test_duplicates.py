from dataclasses import replace

import numpy as np
import pytest

from canemo.trust.duplicates import MAX_PAIRS, find_duplicates
from evidence_worlds import copy_clip, draw_evidence, with_features

NOT_COMPARED = {"threshold": None, "n": 0, "n_across": 0, "n_within": 0, "pairs": []}


def found(evidence):
    return find_duplicates(evidence.materials[0])


def pairs(evidence):
    return {(pair["first"], pair["second"]) for pair in found(evidence)["pairs"]}


@pytest.mark.parametrize("seed", range(5))
def test_clean_world_has_no_pair(seed):
    assert found(draw_evidence(dim=24, seed=seed))["n"] == 0


@pytest.mark.parametrize("seed", range(5))
def test_every_copied_clip_is_found_and_nothing_else(seed):
    evidence = draw_evidence(dim=24, seed=seed)
    for source, target in (("v01_2", "v04_0"), ("v03_3", "v08_5")):
        evidence = copy_clip(evidence, source, target)
    assert pairs(evidence) == {("v01_2", "v04_0"), ("v03_3", "v08_5")}


def test_threshold_is_the_median_cosine_of_neighbours_in_time():
    evidence = draw_evidence(subjects=2, clips=2, frames=3)
    material = evidence.materials[0]
    z = material.x - material.x.mean(axis=0)
    z /= material.x.std(axis=0)
    z /= np.linalg.norm(z, axis=1, keepdims=True)
    cosines = [z[4 * 0 + 3 * c + f] @ z[3 * c + f + 1] for c in range(4) for f in range(2)]
    assert found(evidence)["threshold"] == pytest.approx(np.median(cosines), abs=1e-6)


def test_a_part_of_a_longer_clip_is_found():
    evidence = draw_evidence(subjects=4, clips=3, frames=10)
    (material,) = evidence.materials
    videos = material.origin["video_id"]
    kept = ~((videos == "v02_1") & (material.origin["frame_index"] >= 4)).to_numpy()
    x = material.x.copy()
    target, source = ((videos == name).to_numpy() for name in ("v02_1", "v00_2"))
    x[np.flatnonzero(target)[:4]] = x[np.flatnonzero(source)[3:7]]
    part = replace(material, x=x[kept], origin=material.origin[kept].reset_index(drop=True))
    [pair] = find_duplicates(part)["pairs"]
    assert (pair["first"], pair["second"]) == ("v00_2", "v02_1")
    assert pair["cosine"] == pytest.approx(1, abs=1e-5)


def test_order_of_rows_does_not_matter():
    evidence = copy_clip(draw_evidence(), "v01_2", "v04_0")
    (material,) = evidence.materials
    order = np.random.default_rng(0).permutation(material.origin["video_id"].unique())
    rows = np.concatenate([np.flatnonzero(material.origin["video_id"] == name) for name in order])
    moved = replace(
        material, x=material.x[rows], origin=material.origin.iloc[rows].reset_index(drop=True)
    )
    [one], [other] = found(evidence)["pairs"], find_duplicates(moved)["pairs"]
    assert {one["first"], one["second"]} == {other["first"], other["second"]}
    assert other["cosine"] == pytest.approx(one["cosine"], abs=1e-5)


def test_single_frames_give_no_measure_of_likeness():
    assert found(draw_evidence(frames=1)) == NOT_COMPARED


@pytest.mark.parametrize("noise", [0.0, 1.0])
def test_features_that_tell_no_footage_apart_make_no_duplicates(noise):
    (material,) = draw_evidence(subjects=3).materials
    x = noise * np.random.default_rng(0).normal(size=material.x.shape)
    nothing = find_duplicates(replace(material, x=x.astype(np.float32)))
    assert nothing == NOT_COMPARED


def test_noisy_features_still_tell_copies_from_other_clips():
    evidence = draw_evidence(dim=200, dog_effect=1.0)
    (material,) = evidence.materials
    x = material.x + np.random.default_rng(0).normal(size=material.x.shape)
    evidence = copy_clip(with_features(evidence, x), "v01_2", "v04_0", noise=0.5)
    assert pairs(evidence) == {("v01_2", "v04_0")}


def test_many_pairs_are_counted_and_the_most_alike_listed():
    evidence = draw_evidence(subjects=30, clips=1, dim=24)
    for dog in range(1, 15):
        evidence = copy_clip(evidence, "v00_0", f"v{dog:02}_0", noise=0.01 * dog)
    many = found(evidence)
    assert many["n"] == 15 * 14 / 2
    assert len(many["pairs"]) == MAX_PAIRS
    cosines = [pair["cosine"] for pair in many["pairs"]]
    assert cosines == sorted(cosines, reverse=True)
