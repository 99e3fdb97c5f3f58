"""Gradient x activation through the last block: for probes that read the CLS token."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager

import numpy as np
import torch
from timm.layers.norm import LayerNorm2d
from torch import Tensor, nn

from canemo.errors import ConfigError
from canemo.explain.decision import Decision, Maps, spread
from canemo.explain.faces import Faces
from canemo.networks.backbones import Backbone
from canemo.records import Image


def map_gradients(
    images_rgb: Sequence[Image],
    backbone: Backbone,
    decisions: Sequence[Decision],
    faces: Faces | None = None,
) -> Maps:
    """Return gradient x activation at the input of the last block, (M, N, rows, columns).

    The gradient of the logit by each activation that enters the last block, times the activation,
    summed over channels: to first order, what the logit would lose without that position. It is no
    exact account: the last block is not linear, and the CLS token's own way past the attention,
    which belongs to no position, is left out.

    Layer norms keep the scale that they have for the crop. Left to themselves they undo any change
    of a token's length, so that the gradient is at right angles to the activation: of a probe on
    the CLS token, which sees the patches through a norm, the map would be zero but for rounding.

    Parameters
    ----------
    images_rgb
        N crops (H, W, 3) uint8, RGB.
    backbone
        Run by torch for this, whatever runs it otherwise.
    decisions
        M of them; one pass of the backbone serves all.
    faces
        Of the crops, where a decision reads more than pixels.

    Raises
    ------
    ConfigError
        The network has no recognisable last block, or the pooling reads blocks before the last.

    References
    ----------
    Shrikumar et al. (2016), Not just a black box, arXiv 1605.01713 (gradient x input); Ali et al.
    (2022), XAI for transformers: better explanations through conservative propagation, arXiv
    2202.07304 (norms at a fixed scale).
    """
    readout = backbone.readout
    block = readout.last_block
    if block is None:
        raise ConfigError(
            f"backbone {backbone.spec.name!r} has no recognisable blocks; use --method occlusion"
        )
    weights = [spread(decision, backbone, faces) for decision in decisions]
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
        with torch.enable_grad(), _hold_scales([*block.modules(), *backbone.net.children()]):
            features = backbone.readout.forward_net(pixels)
            return kept[0], backbone.readout.split(features)
    finally:
        hook.remove()


@contextmanager
def _hold_scales(modules: Iterable[nn.Module]) -> Iterator[None]:
    """Let gradients pass through layer norms as if these divided by a constant."""
    with ExitStack() as stack:
        for module in modules:
            if isinstance(module, nn.LayerNorm):
                stack.callback(module.register_forward_hook(_hold_scale).remove)
        yield


def _hold_scale(norm: nn.LayerNorm, args: tuple[Tensor], output: Tensor) -> Tensor:
    """Return what a norm gave, as a function of its input but not of that input's spread."""
    channels, shape = (1, (-1, 1, 1)) if isinstance(norm, LayerNorm2d) else (-1, (-1,))
    variance = args[0].var(dim=channels, correction=0, keepdim=True).detach()
    scale = torch.rsqrt(variance + norm.eps)
    slope = norm.weight.view(shape) if norm.elementwise_affine else 1.0
    linear = (args[0] - args[0].mean(dim=channels, keepdim=True)) * scale * slope
    return output.detach() + linear - linear.detach()


def _sum_channels(products: Tensor, backbone: Backbone) -> Maps:
    if products.ndim == 4:  # (N, D, h, w) in CNNs; (N, h, w, D) in some transformers
        channels = 1 if backbone.is_cnn else 3
        return np.asarray(products.sum(dim=channels).cpu().numpy())
    sums = products.sum(dim=2)[:, backbone.readout.prefix_tokens :]
    return np.asarray(sums.reshape(len(sums), *backbone.grid_shape).cpu().numpy())
