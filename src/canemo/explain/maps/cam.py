"""Grad-CAM, Grad-CAM++ and Score-CAM as the package pytorch-grad-cam has them (extra `cam`)."""

from __future__ import annotations

import contextlib
import importlib
import io
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d

from canemo.errors import ConfigError, MissingExtraError
from canemo.explain.decision import Decision, Maps, TokenWeights, spread
from canemo.explain.faces import Faces
from canemo.explain.maps.gradients import device_of
from canemo.networks.backbones import Backbone
from canemo.records import Image


class _Judge(nn.Module):
    """A backbone and the probes of several decisions as one network: pixels to logits (N, M)."""

    def __init__(self, backbone: Backbone, weights: Sequence[TokenWeights]) -> None:
        super().__init__()
        self.backbone = backbone
        self.weights = weights
        self.last = nn.Identity()  # its output is the last map or the last tokens
        self.readout = backbone.readout

    def forward(self, pixels: Tensor) -> Tensor:
        features = self.last(self.readout.forward_net(pixels))
        cls, tokens = self.readout.split(features)
        return torch.stack([each.measure_logits(cls, tokens) for each in self.weights], dim=1)

    def find_layer(self) -> nn.Module:
        """Return what is looked at: a CNN's last map, else what the last block normalises first."""
        if self.backbone.is_cnn:
            return self.last
        layer = getattr(self.readout.last_block, "norm1", None)
        if not isinstance(layer, nn.Module):
            raise ConfigError(
                f"backbone {self.backbone.spec.name!r}: pytorch-grad-cam needs a last block that "
                "begins with a norm; use --method contribution, gradient or occlusion"
            )
        return layer

    def arrange(self, tokens: Tensor) -> Tensor:
        """Return tokens (N, T, D) as maps (N, D, rows, columns)."""
        if tokens.ndim == 4:
            return tokens
        patches = tokens[:, self.readout.prefix_tokens :]
        return patches.transpose(1, 2).reshape(len(tokens), -1, *self.backbone.grid_shape)


def map_with_package(
    name: str,
    images_rgb: Sequence[Image],
    backbone: Backbone,
    decisions: Sequence[Decision],
    faces: Faces | None = None,
) -> Maps:
    """Return the maps of one class of pytorch-grad-cam, (M, N, rows, columns), 0 to 1.

    Parameters
    ----------
    name
        ``GradCAM``, ``GradCAMPlusPlus`` or ``ScoreCAM``.
    images_rgb, backbone, decisions, faces
        As the other methods take them. Score-CAM runs the backbone once per channel and crop.

    Raises
    ------
    MissingExtraError
        The package is not installed.
    ConfigError
        The network is none that it can look into.

    References
    ----------
    Selvaraju et al. (2017), doi:10.1109/ICCV.2017.74; Chattopadhyay et al. (2018),
    doi:10.1109/WACV.2018.00097; Wang et al. (2020), doi:10.1109/CVPRW50498.2020.00020.
    """
    make = _import_class(name)
    device = device_of(backbone)
    judge = _Judge(backbone, [spread(each, backbone, faces).to(device) for each in decisions])
    pixels = backbone.prepare(images_rgb).to(device)
    # Its progress bars, one per crop, are no messages of ours.
    with (
        contextlib.redirect_stderr(io.StringIO()),
        make(judge, [judge.find_layer()], reshape_transform=judge.arrange) as cam,
    ):
        cam.compute_input_gradient = True  # frozen weights alone would give no gradient
        maps = [cam(pixels, [_choose(number)] * len(pixels)) for number in range(len(decisions))]
    full = torch.from_numpy(np.stack(maps).astype(np.float32))
    return np.asarray(adaptive_avg_pool2d(full, backbone.grid_shape).numpy())


map_gradcam = partial(map_with_package, "GradCAM")
map_gradcam_plus_plus = partial(map_with_package, "GradCAMPlusPlus")


def map_scorecam(
    images_rgb: Sequence[Image],
    backbone: Backbone,
    decisions: Sequence[Decision],
    faces: Faces | None = None,
) -> Maps:
    """Return maps of Score-CAM, crop by crop: it asks about many copies of one crop at a time."""
    alone = [
        map_with_package(
            "ScoreCAM",
            [image],
            backbone,
            decisions,
            None if faces is None else faces.take(slice(number, number + 1)),
        )
        for number, image in enumerate(images_rgb)
    ]
    return np.concatenate(alone, axis=1)


def _choose(number: int) -> Callable[[Tensor], Tensor]:
    return lambda logits: logits[number]


def _import_class(name: str) -> Any:
    try:
        return getattr(importlib.import_module("pytorch_grad_cam"), name)
    except ImportError as exc:
        raise MissingExtraError(
            "this map needs the package pytorch-grad-cam, which is not installed; "
            "pip install 'canemo[cam]'"
        ) from exc
