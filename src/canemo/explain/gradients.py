"""Gradient x activation through the last block: for probes that read the CLS token."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from canemo.backbones import Backbone
from canemo.errors import ConfigError
from canemo.explain.decision import Decision, Maps, spread
from canemo.records import Image


def map_gradients(
    images_rgb: Sequence[Image], backbone: Backbone, decisions: Sequence[Decision]
) -> Maps:
    """Return gradient x activation at the input of the last block, (M, N, rows, columns).

    The gradient of the logit by each activation that enters the last block, times the activation,
    summed over channels: to first order, what the logit would lose without that position. It is no
    exact account: the last block is not linear, and the CLS token's own way past the attention,
    which belongs to no position, is left out.

    Parameters
    ----------
    images_rgb
        N crops (H, W, 3) uint8, RGB.
    backbone
        Run by torch for this, whatever runs it otherwise.
    decisions
        M of them; one pass of the backbone serves all.

    Raises
    ------
    ConfigError
        The network has no recognisable last block, or the pooling reads blocks before the last.

    References
    ----------
    Shrikumar et al. (2016), Not just a black box, arXiv 1605.01713 (gradient x input).
    """
    readout = backbone.readout
    block = readout.last_block
    if block is None:
        raise ConfigError(
            f"backbone {backbone.spec.name!r} has no recognisable blocks; use --method occlusion"
        )
    weights = [spread(decision, backbone) for decision in decisions]
    pixels = backbone.prepare(images_rgb).to(device_of(backbone))
    entering, (cls, tokens) = _run_from(block, backbone, pixels)
    maps = []
    for number, each in enumerate(weights):
        logits = each.to(tokens.device).measure_logits(cls, tokens)
        (gradient,) = torch.autograd.grad(
            logits.sum(), entering, retain_graph=number + 1 < len(weights)
        )
        maps.append(_sum_channels(gradient * entering.detach(), backbone))
    return np.stack(maps)


def device_of(backbone: Backbone) -> torch.device:
    """Return where the torch network of a backbone lies."""
    return next(backbone.readout.parameters()).device


def _run_from(
    block: nn.Module, backbone: Backbone, pixels: Tensor
) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """Return what enters a block, as a leaf, and CLS and tokens as functions of it."""
    kept: list[Tensor] = []

    def keep(_: nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        kept.append(args[0].detach().requires_grad_())
        return (kept[0], *args[1:])

    hook = block.register_forward_pre_hook(keep)
    try:
        with torch.enable_grad():
            features = backbone.readout.forward_net(pixels)
            return kept[0], backbone.readout.split(features)
    finally:
        hook.remove()


def _sum_channels(products: Tensor, backbone: Backbone) -> Maps:
    if products.ndim == 4:  # (N, D, h, w) in CNNs; (N, h, w, D) in some transformers
        channels = 1 if backbone.is_cnn else 3
        return np.asarray(products.sum(dim=channels).cpu().numpy())
    sums = products.sum(dim=2)[:, backbone.readout.prefix_tokens :]
    return np.asarray(sums.reshape(len(sums), *backbone.grid_shape).cpu().numpy())
