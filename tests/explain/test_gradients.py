from __future__ import annotations

import gc

import numpy as np
import pytest
import torch
from torch import nn

from canemo.errors import ConfigError
from canemo.explain.decision import spread
from canemo.explain.maps.contribution import map_contributions
from canemo.explain.maps.gradients import map_gradients
from canemo.explain.maps.occlusion import measure_logits
from canemo.networks.backbones import Backbone
from explain_worlds import CNN, LABELS, RESNET, VIT, decide, draw_crops, load_small, make_small


class MixTokens(nn.Module):
    """A linear block: each token becomes a mixture of all."""

    def __init__(self, tokens: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.mixing = nn.Parameter(torch.rand(tokens, tokens, generator=generator) / tokens)

    def forward(self, x, **_):
        return self.mixing @ x


def with_last_block(block, *, norm=True):
    """Return a transformer that ends in the block, with or without a final norm."""
    net = make_small(VIT).net
    net.blocks[-1] = block
    if not norm:
        net.norm = nn.Identity()
    return rebuild(net, VIT)


def rebuild(net, name):
    spec = load_small(name).spec
    return Backbone(spec, net, sha256="0" * 64, source="patched", is_random=True)


def centred_by(decision, backbone):
    """Return what contributions take off each position and gradients do not, (rows, columns)."""
    return spread(decision, backbone).offsets.reshape(backbone.grid_shape).numpy()


# -- where the last block is linear, nothing is left out -------------------------------------------


@pytest.mark.parametrize("norm", [False, True], ids=["no norm", "norm"])
@pytest.mark.parametrize("pooling", ["mean", "row2"])
def test_through_a_block_that_does_nothing_the_map_is_the_exact_contribution(pooling, norm):
    backbone = with_last_block(nn.Identity(), norm=norm)
    decision, crops = decide(backbone, pooling), draw_crops(2)
    [maps] = map_gradients(crops, backbone, [decision])
    [exact] = map_contributions(crops, backbone, [decision])
    np.testing.assert_allclose(maps, exact + centred_by(decision, backbone), atol=1e-4)


def test_through_a_linear_convolution_the_parts_of_a_place_sum_to_its_contribution():
    net = make_small(RESNET).net
    halve = nn.Conv2d(net.layer3[-1].conv3.out_channels, net.num_features, 2, stride=2, bias=False)
    net.layer4 = halve
    backbone = rebuild(net, RESNET)
    decision, crops = decide(backbone, "grid"), draw_crops(2)
    [maps] = map_gradients(crops, backbone, [decision])
    [exact] = map_contributions(crops, backbone, [decision])
    assert maps.shape == (2, 14, 14)  # what enters the block is twice as fine as what leaves it
    parts = maps.reshape(2, 7, 2, 7, 2).sum(axis=(2, 4))
    np.testing.assert_allclose(parts, exact + centred_by(decision, backbone), atol=1e-4)


def test_cls_token_that_reads_no_patch_gives_an_empty_map():
    backbone = with_last_block(nn.Identity())
    [maps] = map_gradients(draw_crops(2), backbone, [decide(backbone, "cls")])
    assert not maps.any()


def test_cls_token_is_explained_by_the_patches_it_mixes():
    block = MixTokens(197)
    backbone = with_last_block(block, norm=False)
    decision, crops = decide(backbone, "cls"), draw_crops(2)
    [maps] = map_gradients(crops, backbone, [decision])
    weights, entering = spread(decision, backbone), []
    hook = block.register_forward_pre_hook(lambda _, args: entering.append(args[0]))
    backbone.embed(crops)
    hook.remove()
    by_token = block.mixing[0] * (entering[0] @ weights.cls)
    wanted = by_token[:, 1:].reshape(2, 14, 14).numpy()
    np.testing.assert_allclose(maps, wanted, atol=1e-5)
    assert np.abs(maps).max() > 1e-3


# -- where it is not, gradients are those of the logit ---------------------------------------------


@pytest.mark.parametrize(("name", "pooling"), [(VIT, "cls"), (VIT, "cls_mean"), (CNN, "mean")])
def test_map_is_the_change_of_the_logit_as_one_position_grows(name, pooling):
    backbone, [crop] = load_small(name), draw_crops(1)
    decision = decide(backbone, pooling)
    [[found]] = map_gradients([crop], backbone, [decision])
    assert np.abs(found).max() > 1e-3
    scales = record_scales(backbone, crop)
    for place in [(0, 0), (3, 5), (6, 2)]:
        step = 0.02
        grown, shrunk = (
            measure_grown(backbone, crop, decision, place, 1 + sign * step, scales)
            for sign in (1, -1)
        )
        assert (grown - shrunk) / (2 * step) == pytest.approx(
            found[place], rel=0.03, abs=0.01 * float(np.abs(found).max())
        )


def run(backbone, crop, hooks):
    try:
        with torch.inference_mode():
            return backbone.readout.forward_net(backbone.prepare([crop]))
    finally:
        for hook in hooks:
            hook.remove()


def record_scales(backbone, crop):
    """Return each norm of the last block, and the final one, with what it divides tokens by."""
    modules = [*backbone.readout.last_block.modules(), getattr(backbone.net, "norm", None)]
    norms = [each for each in modules if isinstance(each, nn.LayerNorm)]
    scales = {}

    def record(norm, args, _):
        scales[norm] = torch.sqrt(args[0].var(-1, correction=0, keepdim=True) + norm.eps)

    run(backbone, crop, [norm.register_forward_hook(record) for norm in norms])
    return scales


def measure_grown(backbone, crop, decision, place, factor, scales):
    """Return the logit where a position enters the last block so many times as strong."""
    row, column = place

    def grow(_, args):
        x = args[0].clone()
        if backbone.is_cnn:
            x[:, :, row, column] *= factor
        else:
            x[:, 1 + row * backbone.grid_shape[1] + column] *= factor
        return (x, *args[1:])

    def divide(norm, args, _):
        centred = args[0] - args[0].mean(-1, keepdim=True)
        return centred / scales[norm] * norm.weight + norm.bias

    hooks = [norm.register_forward_hook(divide) for norm in scales]
    hooks += [backbone.readout.last_block.register_forward_pre_hook(grow)]
    cls, tokens = backbone.readout.split(run(backbone, crop, hooks))
    return float(spread(decision, backbone).measure_logits(cls, tokens))


@pytest.mark.parametrize(("name", "pooling"), [(VIT, "cls"), ("timm:test_convnext", "mean")])
def test_norms_do_not_hide_what_stands_before_them(name, pooling):
    # A norm undoes any change of a token's length: the plain gradient is at right angles to it.
    backbone, crops = load_small(name), draw_crops(4)
    decision = decide(backbone, pooling)
    [maps] = map_gradients(crops, backbone, [decision])
    [logits] = measure_logits(crops, backbone, [decision])
    assert np.abs(maps).sum(axis=(1, 2)).min() > 0.1 * np.abs(logits).max()


@pytest.mark.parametrize("name", [VIT, CNN, RESNET])
def test_evidence_against_gives_the_negative_map(name):
    backbone = load_small(name)
    decision = decide(backbone, "cls")
    maps = map_gradients(draw_crops(3), backbone, [decision, decision.against()])
    assert maps.dtype == np.float32
    np.testing.assert_allclose(maps[1], -maps[0], atol=1e-5)
    assert np.ptp(maps[0], axis=(1, 2)).min() > 0


@pytest.mark.parametrize("name", [VIT, CNN])
def test_batch_gives_the_same_as_one_by_one(name):
    backbone, crops = load_small(name), draw_crops(8)
    decisions = [decide(backbone, "cls"), decide(backbone, "grid", LABELS[2], labels=LABELS)]
    together = map_gradients(crops, backbone, decisions)
    for i in (0, 7):
        alone = np.stack([map_gradients([crops[i]], backbone, [each])[0, 0] for each in decisions])
        np.testing.assert_allclose(alone, together[:, i], atol=2e-5)


# -- the backbone is left as it was ----------------------------------------------------------------


def require_untouched(backbone):
    assert not backbone.net.training
    assert not any(each.requires_grad for each in backbone.net.parameters())
    assert all(each.grad is None for each in backbone.net.parameters())
    for module in backbone.readout.modules():
        assert not module._forward_hooks
        assert not module._forward_pre_hooks


def test_backbone_is_left_frozen_and_without_hooks(monkeypatch):
    backbone, crops = load_small(VIT), draw_crops(2)
    decision = decide(backbone, "cls")
    before = backbone.embed(crops)
    map_gradients(crops, backbone, [decision, decision])
    require_untouched(backbone)
    after = backbone.embed(crops)
    assert torch.equal(before.cls, after.cls)
    assert not after.cls.requires_grad

    def fail(*_, **__):
        raise RuntimeError("no memory")

    monkeypatch.setattr(backbone.readout.last_block.attn, "forward", fail)
    with pytest.raises(RuntimeError, match="no memory"):
        map_gradients(crops, backbone, [decision])
    require_untouched(backbone)


def count_numbers():
    gc.collect()
    return sum(each.numel() for each in gc.get_objects() if isinstance(each, torch.Tensor))


@pytest.mark.filterwarnings("ignore")  # of what else the collector knows, when it is asked for
def test_nothing_is_kept_from_call_to_call():
    backbone, crops = load_small(VIT), draw_crops(2)
    decisions = [decide(backbone, "cls"), decide(backbone, "mean")]
    map_gradients(crops, backbone, decisions)
    first = count_numbers()
    for _ in range(3):
        map_gradients(crops, backbone, decisions)
    assert count_numbers() == first


# -- refusals --------------------------------------------------------------------------------------


def test_network_without_blocks_is_refused(monkeypatch):
    backbone = load_small(VIT)
    decision = decide(backbone, "cls")
    monkeypatch.setattr("canemo.networks.readout._last_blocks", lambda net: ())
    with pytest.raises(ConfigError, match=r"has no recognisable blocks; .*occlusion"):
        map_gradients(draw_crops(1), backbone, [decision])


def test_earlier_blocks_are_refused():
    backbone = load_small(VIT)
    with pytest.raises(ConfigError, match="'last4' reads blocks before the last"):
        map_gradients(draw_crops(1), backbone, [decide(backbone, "last4")])


def test_logit_of_a_constant_crop_is_finite():
    backbone = load_small(VIT)
    grey = np.full((50, 50, 3), 128, np.uint8)
    [[each]] = map_gradients([grey], backbone, [decide(backbone, "cls")])
    assert np.isfinite(each).all()
