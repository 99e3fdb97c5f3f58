from __future__ import annotations

import sys

import numpy as np
import pytest
import torch
from torch.nn.functional import adaptive_avg_pool2d, interpolate

from canemo.errors import ConfigError, MissingExtraError
from canemo.explain.decision import spread
from canemo.explain.maps.cam import map_gradcam, map_gradcam_plus_plus, map_scorecam
from explain_worlds import CNN, LABELS, RESNET, VIT, decide, draw_crops, load_small

cam_package = pytest.importorskip("pytorch_grad_cam", reason="needs the extra canemo[cam]")
GRADIENTS = [map_gradcam, map_gradcam_plus_plus]


def enlarge_and_reduce(maps):
    """Do to maps (N, rows, columns) what the package does: to the pixels, then 0 to 1."""
    full = interpolate(maps[:, None], (224, 224), mode="bilinear", align_corners=False)[:, 0]
    full = full - full.amin(dim=(1, 2), keepdim=True)
    full = full / full.amax(dim=(1, 2), keepdim=True).clamp(min=1e-7)
    return adaptive_avg_pool2d(full, maps.shape[1:]).numpy()


@pytest.mark.parametrize("name", [CNN, RESNET])
def test_of_a_cnn_it_is_the_positive_part_of_the_contributions(name):
    backbone, crops = load_small(name), draw_crops(4)
    decision = decide(backbone, "mean")
    maps = map_gradcam(crops, backbone, [decision, decision.against()])
    weights = spread(decision, backbone).tokens
    sums = (backbone.embed(crops).tokens * weights).sum(dim=2).reshape(4, *backbone.grid_shape)
    for each, sign in zip(maps, (1, -1), strict=True):
        np.testing.assert_allclose(each, enlarge_and_reduce((sign * sums).clamp(min=0)), atol=0.01)
    assert maps.max() > 0.5


@pytest.mark.parametrize("name", [CNN, VIT])
@pytest.mark.parametrize("compute", GRADIENTS, ids=["gradcam", "gradcam++"])
def test_maps_run_from_zero_to_one_and_depend_on_the_decision(name, compute):
    backbone, crops = load_small(name), draw_crops(4)
    decisions = [decide(backbone, "cls"), decide(backbone, "cls", LABELS[2], labels=LABELS)]
    maps = compute(crops, backbone, decisions)
    assert maps.dtype == np.float32
    assert maps.shape == (2, 4, *backbone.grid_shape)
    assert maps.min() >= 0
    assert maps.max() <= 1
    assert not np.allclose(maps[0], maps[1], atol=0.05)
    for m, decision in enumerate(decisions):
        [[alone]] = compute(crops[3:], backbone, [decision])
        np.testing.assert_allclose(alone, maps[m, 3], atol=1e-3)


def test_score_cam_is_quiet_and_within_its_range(capsys):
    backbone = load_small(RESNET)
    maps = map_scorecam(draw_crops(1), backbone, [decide(backbone, "mean")])
    assert maps.shape == (1, 1, 7, 7)
    assert 0 <= maps.min() < maps.max() <= 1
    captured = capsys.readouterr()
    assert captured.out == captured.err == ""


@pytest.mark.parametrize("name", [CNN, VIT])
def test_backbone_is_left_as_it_was(name):
    backbone, crops = load_small(name), draw_crops(2)
    before = backbone.embed(crops).cls
    map_gradcam(crops, backbone, [decide(backbone, "cls")])
    assert not backbone.net.training
    for module in backbone.readout.modules():
        assert not module._forward_hooks
        assert not module._backward_hooks
    for weight in backbone.net.parameters():
        assert not weight.requires_grad
        assert weight.grad is None
    assert torch.equal(backbone.embed(crops).cls, before)


@pytest.mark.parametrize("name", [CNN, VIT])
def test_a_constant_crop_gives_finite_maps(name):
    backbone = load_small(name)
    grey = np.full((40, 40, 3), 128, np.uint8)
    maps = map_gradcam([grey], backbone, [decide(backbone, "cls")])
    assert np.isfinite(maps).all()


def test_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "pytorch_grad_cam", None)
    with pytest.raises(MissingExtraError, match=r"pytorch-grad-cam.*canemo\[cam\]"):
        map_gradcam(draw_crops(1), load_small(CNN), [decide(load_small(CNN), "mean")])


def test_last_block_without_a_norm_in_front_is_refused(monkeypatch):
    backbone = load_small(VIT)
    decision = decide(backbone, "cls")
    monkeypatch.setattr("canemo.networks.readout._last_blocks", lambda net: (net.blocks[-1].mlp,))
    with pytest.raises(ConfigError, match=r"needs a last block that begins with a norm"):
        map_gradcam(draw_crops(1), backbone, [decision])


def test_earlier_blocks_are_refused():
    backbone = load_small(CNN)
    with pytest.raises(ConfigError, match="'layer2' reads blocks before the last"):
        map_gradcam(draw_crops(1), backbone, [decide(backbone, "layer2")])
