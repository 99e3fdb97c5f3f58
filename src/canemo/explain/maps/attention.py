"""Attention rollout: how much of each patch reaches the embedding through a transformer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn

from canemo.errors import ConfigError
from canemo.explain.decision import Decision, Maps
from canemo.explain.faces import Faces
from canemo.explain.maps.gradients import device_of
from canemo.networks.backbones import Backbone
from canemo.records import Image


def map_rollout(
    images_rgb: Sequence[Image],
    backbone: Backbone,
    decisions: Sequence[Decision],
    _faces: Faces | None = None,
) -> Maps:
    """Return the attention rollout of each crop, (M, N, rows, columns), the same for every probe.

    The attention of every block, averaged over heads and half mixed with the identity for the path
    past it, multiplied through the network; the row of the CLS token, or the mean row where there
    is none. It does not know the probe.

    Raises
    ------
    ConfigError
        The backbone has no attention over its patches.

    References
    ----------
    Abnar & Zuidema (2020), Quantifying attention flow in transformers,
    doi:10.18653/v1/2020.acl-main.385.
    """
    attentions = _find_attentions(backbone)
    pixels = backbone.prepare(images_rgb).to(device_of(backbone))
    with torch.inference_mode(), _watch(attentions) as seen:
        backbone.readout.forward_net(pixels)
        rollout = _multiply(seen)
    prefix = backbone.readout.prefix_tokens
    rows = rollout[:, 0] if prefix else rollout.mean(dim=1)
    maps = rows[:, prefix:].reshape(-1, *backbone.grid_shape).cpu().numpy()
    return np.repeat(maps[None], len(decisions), axis=0)


def _find_attentions(backbone: Backbone) -> list[nn.Module]:
    blocks = getattr(backbone.net, "blocks", None)
    found = [getattr(block, "attn", None) for block in blocks] if blocks is not None else []
    usable = [
        attention
        for attention in found
        if isinstance(attention, nn.Module)
        and hasattr(attention, "fused_attn")
        and hasattr(attention, "attn_drop")
    ]
    if not usable or len(usable) < len(found):
        raise ConfigError(
            f"backbone {backbone.spec.name!r} has no attention of every patch to every other; use "
            "--method contribution, gradient or occlusion"
        )
    return usable


@contextmanager
def _watch(attentions: Sequence[nn.Module]) -> Iterator[list[Tensor]]:
    """Yield a list that fills with the (N, T, T) attention of each block, mean over its heads.

    timm's fused attention never forms the matrix; for the while of this block it is not used.
    """
    seen: list[Tensor] = []
    fused = [attention.fused_attn for attention in attentions]
    hooks = []
    try:
        for attention in attentions:
            attention.fused_attn = False  # type: ignore[assignment]
            drop: nn.Module = attention.attn_drop  # type: ignore[assignment]
            hooks.append(
                drop.register_forward_hook(lambda *told: seen.append(told[2].float().mean(dim=1)))
            )
        yield seen
    finally:
        for hook in hooks:
            hook.remove()
        for attention, was in zip(attentions, fused, strict=True):
            attention.fused_attn = was


def _multiply(attentions: Sequence[Tensor]) -> Tensor:
    total = torch.eye(attentions[0].shape[-1], device=attentions[0].device)
    rollout = total.expand(len(attentions[0]), -1, -1)
    for attention in attentions:
        rollout = (attention + total) / 2 @ rollout
    return rollout
