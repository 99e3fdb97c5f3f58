from __future__ import annotations

import numpy as np
import pytest
import torch

from canemo.errors import ConfigError
from canemo.explain.maps.attention import map_rollout
from explain_worlds import CNN, LABELS, RESNET, VIT, decide, draw_crops, load_small, make_small

WITHOUT_CLS = "timm:test_vit_relpos"


def attentions_of(net):
    return [block.attn for block in net.blocks]


@pytest.fixture(scope="module")
def decision():
    return decide(load_small(VIT), "cls")


def roll_out_by_hand(backbone, crops):
    """Return the rollout's CLS row over patches, from each block's queries and keys."""
    entered = []
    hooks = [
        block.register_forward_pre_hook(lambda _, args: entered.append(args[0]))
        for block in backbone.net.blocks
    ]
    with torch.inference_mode():
        backbone.readout.forward_net(backbone.prepare(crops))
        total = torch.eye(entered[0].shape[1])
        for block, x in zip(backbone.net.blocks, entered, strict=True):
            n, tokens, dim = x.shape
            heads = block.attn.num_heads
            qkv = block.attn.qkv(block.norm1(x)).reshape(n, tokens, 3, heads, dim // heads)
            queries, keys, _ = qkv.permute(2, 0, 3, 1, 4)
            scores = queries @ keys.transpose(2, 3) / (dim // heads) ** 0.5
            attention = scores.softmax(dim=3).mean(dim=1)
            total = (attention + torch.eye(tokens)) / 2 @ total
    for hook in hooks:
        hook.remove()
    return total[:, 0, 1:].reshape(n, *backbone.grid_shape).numpy()


def test_map_is_the_product_of_the_mean_attentions_with_the_path_past_them(decision):
    backbone, crops = load_small(VIT), draw_crops(2)
    [maps] = map_rollout(crops, backbone, [decision])
    np.testing.assert_allclose(maps, roll_out_by_hand(backbone, crops), rtol=1e-3, atol=1e-7)
    assert not np.allclose(maps[0], maps[1], rtol=1e-3)


@pytest.mark.parametrize("name", [VIT, WITHOUT_CLS])
def test_shares_are_not_negative_and_sum_to_no_more_than_one(name, decision):
    backbone = load_small(name)
    [maps] = map_rollout(draw_crops(4), backbone, [decision])
    assert maps.min() >= 0
    sums = maps.sum(axis=(1, 2))
    assert sums.max() <= 1 + 1e-5
    if not backbone.has_cls_token:  # the mean row over patches, and there is nothing but patches
        np.testing.assert_allclose(sums, 1, atol=1e-5)


def test_even_attention_is_shared_evenly(decision):
    backbone = make_small(VIT)
    for attention in attentions_of(backbone.net):
        torch.nn.init.zeros_(attention.qkv.weight)
        torch.nn.init.zeros_(attention.qkv.bias)
    [[found]] = map_rollout(draw_crops(1), backbone, [decision])
    blocks, tokens = len(backbone.net.blocks), 197
    # With A = J / T, which is its own square, the product of L of (A + I) / 2 is A + (I - A) / 2^L.
    np.testing.assert_allclose(found, (1 - 0.5**blocks) / tokens, rtol=1e-5)


def test_it_knows_no_probe_and_a_batch_is_as_one_by_one(decision):
    backbone, crops = load_small(VIT), draw_crops(8)
    other = decide(backbone, "mean", LABELS[0])
    maps = map_rollout(crops, backbone, [decision, other])
    np.testing.assert_array_equal(maps[0], maps[1])
    for i in (0, 7):
        np.testing.assert_allclose(
            map_rollout([crops[i]], backbone, [decision])[0, 0], maps[0, i], rtol=1e-4
        )


def require_untouched(backbone):
    assert all(each.fused_attn is True for each in attentions_of(backbone.net))
    assert not any(each.attn_drop._forward_hooks for each in attentions_of(backbone.net))


def test_fused_attention_is_back_also_after_an_error(decision, monkeypatch):
    backbone, crops = load_small(VIT), draw_crops(2)
    before = backbone.embed(crops).cls
    require_untouched(backbone)
    map_rollout(crops, backbone, [decision])
    require_untouched(backbone)
    assert torch.equal(backbone.embed(crops).cls, before)

    def fail(*_, **__):
        raise RuntimeError("no memory")

    monkeypatch.setattr(backbone.net.blocks[3].mlp, "forward", fail)
    with pytest.raises(RuntimeError, match="no memory"):
        map_rollout(crops, backbone, [decision])
    require_untouched(backbone)


@pytest.mark.parametrize("name", [CNN, RESNET, "timm:test_convnext"])
def test_networks_without_attention_are_refused(name, decision):
    with pytest.raises(ConfigError, match=f"'{name}' has no attention of every patch .*occlusion"):
        map_rollout(draw_crops(1), load_small(name), [decision])
