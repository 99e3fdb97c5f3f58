from __future__ import annotations

import numpy as np
import pytest

from canemo.explain.decision import Decision
from canemo.explain.maps.occlusion import (
    blur,
    cover,
    fit_to_input,
    map_occlusion,
    measure_logits,
    measure_losses,
)
from canemo.features.poolings import pool
from explain_worlds import (
    CNN,
    LABELS,
    TextureBackbone,
    decide,
    draw_crop,
    draw_crops,
    draw_textures,
    embed,
    load_small,
    make_probe,
    mark,
    read_checks,
)

CORNER = Decision(make_probe([10.0, *[0.0] * 15]), "grid", LABELS[1])
"""Reads the mean brightness of the upper left of 4 x 4 cells; the rest of the crop is nothing."""


def bright_corner(*, corner=255, rest=0):
    crop = np.full((224, 224, 3), rest, np.uint8)
    crop[:56, :56] = corner
    return crop


def mask_of(rows, columns, side=8):
    mask = np.zeros((side, side))
    mask[rows, columns] = 1
    return mask


# -- a probe that looks at one place ---------------------------------------------------------------


def test_what_is_read_at_one_place_is_lost_there_and_nowhere_else():
    [[found]] = map_occlusion([bright_corner()], TextureBackbone(parts=1), [CORNER])
    assert found.shape == (8, 8)
    assert np.unravel_index(found.argmax(), found.shape) == (0, 0)
    assert found[:2, :2].min() > 0.4
    # Squares that touch the corner reach two cells further; beyond them not even a border is near.
    assert found[:3, :3].min() > 0
    assert np.abs(found[4:]).max() == np.abs(found[:, 4:]).max() == 0


def test_loss_is_what_the_blurred_part_lacks():
    crop, backbone = bright_corner(), TextureBackbone(parts=1)
    blurred = blur(crop)
    lost = 10 * (1 - blurred[:56, :56].mean() / 255)
    [[[found]]] = measure_losses(
        [crop], mask_of(slice(2), slice(2))[None, None], backbone, [CORNER]
    )
    assert found == pytest.approx(lost, rel=0.1)  # less a border of a few pixels


def test_evidence_that_is_covered_against_the_label_is_a_negative_loss():
    dark = bright_corner(corner=0, rest=255)
    [[found]] = map_occlusion([dark], TextureBackbone(parts=1), [CORNER])
    assert found[0, 0] == found.min() < -0.5


@pytest.mark.parametrize("place", [(0, 6), (3, 2), (5, 5)])
def test_a_pattern_is_lost_where_it_is(place):
    crop = draw_textures(place, 1, rng=np.random.default_rng(0))
    [[found]] = map_occlusion([crop], TextureBackbone(), [read_checks()])
    planted = mark(place) > 0
    assert found[planted].min() > 1.3 * found[~planted].max()


def test_evidence_that_adds_up_is_found_in_the_size_it_has():
    crop, backbone = draw_textures((3, 2), 1, rng=np.random.default_rng(0)), TextureBackbone()
    planted = mark((3, 2))[None, None].astype(float)
    [[[lost]]] = measure_losses([crop], planted, backbone, [read_checks()])
    [[found]] = map_occlusion([crop], backbone, [read_checks()])
    assert lost > 1
    assert found.sum() == pytest.approx(lost, rel=0.15)


# -- masks -----------------------------------------------------------------------------------------


def test_covering_nothing_loses_nothing_and_covering_all_leaves_the_blurred_crop():
    crops, backbone = draw_crops(3), load_small(CNN)
    decision = decide(backbone, "mean")
    masks = np.stack([np.zeros((3, 5, 7)), np.ones((3, 5, 7))], axis=1)
    [losses] = measure_losses(crops, masks, backbone, [decision])
    assert losses.shape == (3, 2)
    np.testing.assert_array_equal(losses[:, 0], 0)
    whole = [fit_to_input(crop) for crop in crops]
    [before] = measure_logits(whole, backbone, [decision])
    [after] = measure_logits([blur(crop) for crop in whole], backbone, [decision])
    np.testing.assert_allclose(losses[:, 1], before - after, atol=1e-5)
    assert np.abs(losses[:, 1]).min() > 1e-3


def test_batch_gives_the_same_as_one_by_one():
    crops, backbone = draw_crops(8), load_small(CNN)
    decisions = [decide(backbone, "mean"), decide(backbone, "layer2")]
    masks = np.random.default_rng(0).integers(0, 2, (8, 2, 4, 4)).astype(float)
    together = measure_losses(crops, masks, backbone, decisions)
    for i in range(8):
        alone = measure_losses([crops[i]], masks[i : i + 1], backbone, decisions)
        np.testing.assert_allclose(alone[:, 0], together[:, i], atol=1e-4)


def test_losses_are_in_logits_whatever_the_pooling():
    crops, backbone = draw_crops(2), load_small(CNN)
    decision = decide(backbone, "last4", LABELS[2], labels=LABELS)
    [logits] = measure_logits(crops, backbone, [decision])
    wanted = decision.measure_logits(pool(embed(backbone, crops), "last4"))
    np.testing.assert_allclose(logits, wanted, atol=1e-5)
    losses = measure_losses(crops, np.ones((2, 1, 2, 2)), backbone, [decision, decision.against()])
    np.testing.assert_allclose(losses[0], -losses[1], atol=1e-6)


def test_no_crops_have_no_logits_and_few_are_held_at_a_time():
    backbone = TextureBackbone(parts=1)
    assert measure_logits([], backbone, [CORNER, CORNER]).shape == (2, 0)
    made = []

    def make():
        for i in range(40):
            made.append(i)
            assert len(made) - sum(backbone.seen) <= 16
            yield bright_corner(corner=i)

    [logits] = measure_logits(make(), backbone, [CORNER])
    np.testing.assert_allclose(logits, 10 * np.arange(40) / 255, atol=1e-5)
    assert backbone.seen == [16, 16, 8]


# -- covering --------------------------------------------------------------------------------------


def test_cover_leaves_what_the_mask_does_not_touch():
    crop = fit_to_input(draw_crop(0))
    before, blurred = crop.copy(), blur(crop)
    covered = cover(crop, blurred, mask_of(slice(2, 4), slice(4, 6)))
    np.testing.assert_array_equal(crop, before)
    border = 10  # pixels: more than four standard deviations of the soft edge
    inside = np.s_[56 + border : 112 - border, 112 + border : 168 - border]
    np.testing.assert_array_equal(covered[inside], blurred[inside])
    outside = np.ones(crop.shape[:2], bool)
    outside[56 - border : 112 + border, 112 - border : 168 + border] = False
    np.testing.assert_array_equal(covered[outside], crop[outside])


def test_cover_with_half_a_mask_is_halfway():
    crop = np.zeros((224, 224, 3), np.uint8)
    covered = cover(crop, np.full_like(crop, 200), np.full((4, 4), 0.5))
    assert np.abs(covered.astype(int) - 100).max() <= 1
    beyond = cover(crop, np.full_like(crop, 200), np.full((4, 4), 7.0))
    assert (beyond == 200).all()


def test_blurred_crop_shows_no_part_and_keeps_the_light():
    checks = np.kron(np.indices((16, 16)).sum(axis=0) % 2, np.ones((14, 14)))
    crop = np.repeat((checks * 255).astype(np.uint8)[:, :, None], 3, axis=2)
    blurred = blur(crop)
    assert blurred.mean() == pytest.approx(crop.mean(), abs=2)
    assert blurred.std() < 0.1 * crop.std()


def test_crops_of_any_size_are_taken_as_the_backbone_takes_them():
    assert fit_to_input(draw_crop(0, size=(12, 8))).shape == (224, 224, 3)
    tiny, backbone = draw_crop(0, size=(6, 8)), load_small(CNN)
    decision = decide(backbone, "mean")
    logits = measure_logits([tiny, fit_to_input(tiny)], backbone, [decision])[0]
    assert logits[0] == pytest.approx(logits[1], abs=1e-5)


def test_a_constant_crop_loses_nothing():
    grey = np.full((60, 40, 3), 90, np.uint8)
    backbone = load_small(CNN)
    [[found]] = map_occlusion([grey], backbone, [decide(backbone, "mean")])
    np.testing.assert_allclose(found, 0, atol=1e-5)
