from __future__ import annotations

import importlib.util

import numpy as np
import pytest

from canemo.errors import ConfigError
from canemo.explain.maps.methods import (
    BATCH_SIZE,
    METHODS,
    choose_method,
    find_method,
    iter_maps,
    map_decisions,
)
from explain_worlds import (
    CNN,
    LABELS,
    RESNET,
    VIT,
    TextureBackbone,
    decide,
    draw_crop,
    draw_crops,
    load_small,
    read_checks,
)

QUICK = [name for name in METHODS if name not in ("occlusion", "scorecam")]
WITH_PACKAGE = ("gradcam", "gradcam++", "scorecam")


def need_package(name):
    if name in WITH_PACKAGE and importlib.util.find_spec("pytorch_grad_cam") is None:
        pytest.skip("needs the extra canemo[cam]")


def fitting(name):
    """Return the smallest backbone that a method takes."""
    return load_small(VIT if name == "rollout" else RESNET)


def test_methods_go_by_their_names():
    assert all(find_method(name) is method for name, method in METHODS.items())
    with pytest.raises(ConfigError, match="map 'lime' is unknown; there are contribution, gradien"):
        find_method("lime")


@pytest.mark.parametrize(
    ("name", "pooling", "method"),
    [
        (VIT, "mean", "contribution"), (VIT, "lower", "contribution"), (VIT, "cls", "gradient"),
        (VIT, "cls_mean", "gradient"), (VIT, "layer3", "occlusion"), (VIT, "last4", "occlusion"),
        (CNN, "cls", "contribution"), (CNN, "cls_mean", "contribution"), (CNN, "last4",
        "occlusion"),
    ],
)  # fmt: skip
def test_the_map_that_explains_a_decision_best_is_chosen(name, pooling, method):
    backbone = load_small(name)
    assert choose_method(decide(backbone, pooling), backbone).name == method


def test_occlusion_is_chosen_where_no_gradient_can_be_had(monkeypatch):
    backbone = load_small(VIT)
    decision = decide(backbone, "cls")
    monkeypatch.setattr("canemo.networks.readout._last_blocks", lambda net: ())
    assert choose_method(decision, backbone).name == "occlusion"


# -- what all of them must do ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[pytest.mark.slow] * (name == "scorecam")) for name in METHODS],
)
def test_every_method_maps_and_leaves_the_crops_alone(name):
    need_package(name)
    backbone, crops = fitting(name), draw_crops(2)
    before = [crop.copy() for crop in crops]
    decision = decide(backbone, "mean")
    maps = map_decisions(
        crops, METHODS[name], backbone=backbone, decisions=[decision, decision.against()]
    )
    assert maps.dtype == np.float32
    assert maps.shape[:2] == (2, 2)
    assert np.isfinite(maps).all()
    assert np.ptp(maps[0], axis=(1, 2)).min() > 0
    for crop, was in zip(crops, before, strict=True):
        np.testing.assert_array_equal(crop, was)
    if METHODS[name].explains == "backbone":
        np.testing.assert_array_equal(maps[0], maps[1])
    elif METHODS[name].signed:
        np.testing.assert_allclose(maps[0], -maps[1], atol=1e-4)
    else:
        assert maps.min() >= 0
        assert not np.allclose(maps[0], maps[1], atol=0.1)


@pytest.mark.parametrize("name", QUICK)
def test_many_crops_give_the_same_as_few(name):
    need_package(name)
    backbone, crops = fitting(name), draw_crops(BATCH_SIZE + 2)
    decision = decide(backbone, "mean")
    [maps] = map_decisions(crops, METHODS[name], backbone=backbone, decisions=[decision])
    one_by_one = list(iter_maps(crops[-3:], METHODS[name], backbone=backbone, decision=decision))
    scale = np.abs(maps).max()
    np.testing.assert_allclose(one_by_one, maps[-3:], atol=1e-3 * scale)


@pytest.mark.parametrize("name", QUICK)
@pytest.mark.parametrize("size", [(30, 30), (6, 8)], ids=["constant", "smaller than a patch"])
def test_crops_of_one_colour_and_tiny_ones_give_finite_maps(name, size):
    need_package(name)
    backbone = fitting(name)
    crop = np.full((*size, 3), 77, np.uint8) if size[0] == 30 else draw_crop(0, size)
    maps = map_decisions(
        [crop], METHODS[name], backbone=backbone, decisions=[decide(backbone, "mean")]
    )
    assert np.isfinite(maps).all()


# -- few at a time ---------------------------------------------------------------------------------


def test_no_crop_gives_no_map():
    backbone = TextureBackbone()
    decisions = [read_checks(), read_checks()]
    maps = map_decisions([], METHODS["contribution"], backbone=backbone, decisions=decisions)
    assert maps.shape == (2, 0, 8, 8)
    assert list(iter_maps([], METHODS["contribution"], backbone=backbone, decision=decisions[0]))\
        == []  # fmt: skip


def test_crops_are_asked_for_as_maps_are_taken():
    backbone, taken = TextureBackbone(), []

    def read():
        for i in range(3 * BATCH_SIZE):
            taken.append(i)
            yield np.full((224, 224, 3), i, np.uint8)

    maps = iter_maps(read(), METHODS["contribution"], backbone=backbone, decision=read_checks())
    next(maps)
    assert len(taken) == BATCH_SIZE
    assert len(list(maps)) == 3 * BATCH_SIZE - 1
    assert backbone.seen == [BATCH_SIZE] * 3


def test_one_cell_is_nothing_to_map():
    backbone = TextureBackbone()
    backbone.grid_shape = (1, 1)
    with pytest.raises(ConfigError, match="'texture' has a single position for the whole crop"):
        map_decisions(
            draw_crops(1), METHODS["occlusion"], backbone=backbone, decisions=[read_checks()]
        )


@pytest.mark.parametrize("name", ["contribution", "gradient", "gradcam"])
def test_methods_of_the_last_block_refuse_earlier_ones(name):
    need_package(name)
    backbone = load_small(CNN)
    decision = decide(backbone, "layer2", LABELS[0])
    with pytest.raises(ConfigError, match="use --method occlusion"):
        map_decisions(draw_crops(1), METHODS[name], backbone=backbone, decisions=[decision])
