"""Mask R-CNN, the face detector of the 2022 paper: network, weights file, inference.

References
----------
Boneh-Shitrit et al. 2022, arXiv 2206.05619, section 2.1.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torchvision.models.detection import MaskRCNN
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.backbone_utils import resnet_fpn_backbone
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor
from torchvision.ops import FrozenBatchNorm2d, MultiScaleRoIAlign, clip_boxes_to_image
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool
from torchvision.ops.poolers import initLevelMapper

from canemo.errors import ConfigError, WeightsError
from canemo.faces.boxes import list_faces
from canemo.faces.detect.head_fcos import PyramidBackbone, fold_batch_norm, scale_image
from canemo.files import sha256_file, sha256_values
from canemo.networks.network_files import fill_network, read_settings, write_network
from canemo.records import Face, Image

logger = logging.getLogger(__name__)

ARCHITECTURES = {
    "resnet50": "mask_rcnn-resnet50_fpn-256",
    "efficientnet_lite0": "mask_rcnn-tf_efficientnet_lite0_fpn-128",
}
"""The bodies there are, and what the weights file calls the network built on each."""

_LITE_CHANNELS = 128
# Torchvision's numbers are for crowded scenes on a GPU; an image here shows a dog or two.
_SAMPLING = {
    "rpn_pre_nms_top_n_train": 400,
    "rpn_post_nms_top_n_train": 200,
    "rpn_pre_nms_top_n_test": 200,
    "rpn_post_nms_top_n_test": 100,
    "rpn_batch_size_per_image": 128,
    "box_batch_size_per_image": 64,
    "box_detections_per_img": 20,
}


@dataclass(frozen=True)
class MaskRCNNSettings:
    """What belongs to a set of weights and travels in the weights file.

    Images are scaled until their shorter side is `short_side_px` [px], or their longer one
    `long_side_px`. `score_threshold` is the score from which a box counts as a face.
    `started_from`, `trained_on` and `version` say where the weights come from.

    Raises
    ------
    ConfigError
        If there is no such body, or a number is impossible.
    """

    body: str = "resnet50"
    short_side_px: int = 480
    long_side_px: int = 960
    score_threshold: float = 0.5
    started_from: str = "nothing"
    trained_on: str = "nothing"
    version: str = "untrained"

    def __post_init__(self) -> None:
        check_body(self.body)
        if not 32 <= self.short_side_px <= self.long_side_px:
            raise ConfigError(
                f"short_side_px is {self.short_side_px} and long_side_px {self.long_side_px}; "
                "32 or more is wanted for both, and the long side no shorter than the short one."
            )
        if not 0 <= self.score_threshold <= 1:
            raise ConfigError(f"score_threshold is {self.score_threshold}, 0 to 1 is wanted.")


def check_body(body: str) -> None:
    """Raise ConfigError unless there is such a body."""
    if body not in ARCHITECTURES:
        raise ConfigError(f"body is {body!r}, one of {sorted(ARCHITECTURES)} is wanted.")


class LitePyramid(PyramidBackbone):
    """EfficientNet-Lite0 and a feature pyramid with strides 8, 16, 32 and 64.

    Its batch normalisation keeps the statistics it was loaded with, also while training.
    """

    def __init__(self) -> None:
        super().__init__(_LITE_CHANNELS)
        self.fpn.extra_blocks = LastLevelMaxPool()

    def train(self, mode: bool = True) -> LitePyramid:
        """Set the mode of the pyramid; the body stays in evaluation mode."""
        super().train(mode)
        self.body.eval()
        return self


def build_network(body: str) -> MaskRCNN:
    """Build the network for faces and background, with random weights.

    Parameters
    ----------
    body
        ``resnet50``: torchvision's `maskrcnn_resnet50_fpn` with frozen batch normalisation.
        ``efficientnet_lite0``: a pyramid of 128 channels without stride 4, and smaller heads; it
        takes about an eighth of the time on a CPU.
    """
    check_body(body)
    network = _build_resnet() if body == "resnet50" else _build_lite()
    _fix_pooling_scales(network, first_level=2 if body == "resnet50" else 3)
    # As torchvision draws it, the last layer starts so sure that its loss drowns all others.
    nn.init.normal_(network.roi_heads.mask_predictor.mask_fcn_logits.weight, std=1e-3)
    return network


def _build_resnet() -> MaskRCNN:
    backbone = resnet_fpn_backbone(backbone_name="resnet50", weights=None, trainable_layers=5)
    for module in backbone.modules():
        if isinstance(module, FrozenBatchNorm2d):
            module.eps = 0.0  # as the COCO weights want it; ImageNet's eps goes into the variance
    return MaskRCNN(backbone, num_classes=2, **_SAMPLING)


def _build_lite() -> MaskRCNN:
    sides = ((32, 45), (64, 90), (128, 181), (256, 362))
    anchors = AnchorGenerator(sizes=sides, aspect_ratios=((1.0,),) * len(sides))
    levels, channels = ["0", "1", "2"], _LITE_CHANNELS
    return MaskRCNN(
        LitePyramid(),
        num_classes=None,
        image_mean=[127 / 255] * 3,
        image_std=[128 / 255] * 3,
        rpn_anchor_generator=anchors,
        box_roi_pool=MultiScaleRoIAlign(levels, output_size=7, sampling_ratio=2),
        box_head=TwoMLPHead(channels * 7 * 7, 256),
        box_predictor=FastRCNNPredictor(256, 2),
        mask_roi_pool=MultiScaleRoIAlign(levels, output_size=14, sampling_ratio=2),
        mask_head=MaskRCNNHeads(channels, (channels,) * 3, 1),
        mask_predictor=MaskRCNNPredictor(channels, channels, 2),
        **_SAMPLING,
    )


def _fix_pooling_scales(network: MaskRCNN, *, first_level: int) -> None:
    """Tell the pooling that its maps have strides 2 ** `first_level` and up.

    Torchvision takes the strides from the first image it happens to see, and is wrong by a factor
    of two for all later ones where that image was small and the border around it wide.
    """
    for pool in (network.roi_heads.box_roi_pool, network.roi_heads.mask_roi_pool):
        last_level = first_level + len(pool.featmap_names) - 1
        pool.scales = [2.0**-level for level in range(first_level, last_level + 1)]
        pool.map_levels = initLevelMapper(first_level, last_level)


def resize_image(image_rgb: Image, short_side_px: int, long_side_px: int) -> Image:
    """Scale an image, aspect kept, to a shorter side; less where the longer one would not fit.

    Parameters
    ----------
    image_rgb
        (H, W, 3) uint8, RGB.
    short_side_px, long_side_px
        Wanted shorter side, and the longer side at most [px].
    """
    height, width = image_rgb.shape[:2]
    scale = min(short_side_px / min(height, width), long_side_px / max(height, width))
    return scale_image(image_rgb, scale)


def run_network(
    network: MaskRCNN, image_rgb: Image, target: Mapping[str, Tensor] | None = None
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Run the network on one image, at the size the image has.

    Images go through one by one: in torchvision's batches the border that fills up a smaller image
    changes what is found in it.

    Parameters
    ----------
    network
        From `build_network`.
    image_rgb
        (H, W, 3) uint8, RGB.
    target
        Torchvision's ``boxes``, ``labels`` and ``masks``, wanted in training mode.

    Returns
    -------
    found
        ``boxes`` (N, 4) in pixels of the image, ``scores`` and, with the mask branch, ``masks``
        (N, 1, 28, 28); empty in training mode.
    losses
        Torchvision's five; empty in evaluation mode.
    """
    device = next(network.parameters()).device
    pixels = torch.tensor(image_rgb, device=device).permute(2, 0, 1) / 255
    batch = network.transform.batch_images([network.transform.normalize(pixels)])
    images = ImageList(
        batch.contiguous(memory_format=torch.channels_last), [(pixels.shape[1], pixels.shape[2])]
    )
    features = network.backbone(images.tensors)
    targets = None if target is None else [dict(target)]
    proposals, rpn_losses = network.rpn(images, features, targets)
    found, roi_losses = network.roi_heads(features, proposals, images.image_sizes, targets)
    return (found[0] if found else {}), {**rpn_losses, **roi_losses}


def save_network(network: MaskRCNN, path: Path, settings: MaskRCNNSettings) -> None:
    """Write a network and its settings to one weights file."""
    write_network(network, path, settings, architecture=ARCHITECTURES[settings.body])


def read_mask_rcnn_settings(path: Path) -> MaskRCNNSettings:
    """Return the settings in a file that `save_network` wrote.

    Raises
    ------
    WeightsError
        If the file cannot be read, is damaged or holds another architecture.
    """
    architecture, settings = read_settings(
        path,
        MaskRCNNSettings,
        architectures=ARCHITECTURES.values(),
        made_by="the training of a Mask R-CNN",
    )
    if ARCHITECTURES[settings.body] != architecture:
        raise WeightsError(
            f"{path}: is damaged: it holds {architecture!r}, its settings say {settings.body!r}."
        )
    return settings


def load_network(path: Path) -> tuple[MaskRCNN, MaskRCNNSettings]:
    """Read a file that `save_network` wrote.

    Returns
    -------
    network
        In evaluation mode.
    settings
        As they were saved.

    Raises
    ------
    WeightsError
        If the file cannot be read, holds another architecture, or a tensor does not fit.
    """
    settings = read_mask_rcnn_settings(path)
    network = build_network(settings.body)
    fill_network(network, path)
    return network, settings


def _thaw_batch_norm(network: MaskRCNN) -> MaskRCNN:
    """Return a copy whose frozen normalisations are plain ones, which can be folded."""
    thawed = copy.deepcopy(network)
    for module in list(thawed.modules()):
        for name, norm in list(module.named_children()):
            if isinstance(norm, FrozenBatchNorm2d):
                plain = nn.BatchNorm2d(len(norm.weight), eps=norm.eps).to(norm.weight.device)
                plain.load_state_dict(norm.state_dict(), strict=False)
                setattr(module, name, plain)
    return thawed.eval()


class MaskRCNNDetector:
    """Finds faces with a Mask R-CNN; a `canemo.faces.detect.protocol.Detector`.

    Parameters
    ----------
    network
        From `load_network` or training; it is copied.
    settings
        Input size, default threshold and origin of the weights.
    weights_sha256
        SHA-256 of the weights file.
    score_floor
        Fainter boxes are not returned at all.
    nms_iou
        Of two boxes that overlap more, the fainter is dropped.
    max_faces
        Boxes per image at most, the best by score.
    device
        A torch device, e.g. ``"cpu"`` or ``"cuda"``.

    Notes
    -----
    Only boxes are asked for, so the mask branch is left out: it shapes the features in training
    and takes time here. Images go through the network one by one, see `run_network`.
    """

    name = "mask_rcnn"
    engine = "torch"

    def __init__(
        self,
        network: MaskRCNN,
        settings: MaskRCNNSettings,
        *,
        weights_sha256: str,
        score_floor: float = 0.05,
        nms_iou: float = 0.5,
        max_faces: int = 20,
        device: str = "cpu",
    ) -> None:
        self.settings = settings
        self.score_threshold = settings.score_threshold
        self._network = fold_batch_norm(_thaw_batch_norm(network)).to(device)
        heads = self._network.roi_heads
        heads.mask_roi_pool = heads.mask_head = heads.mask_predictor = None
        heads.score_thresh, heads.nms_thresh = score_floor, nms_iou
        heads.detections_per_img = max_faces
        self.fingerprint = sha256_values(
            settings=asdict(settings),
            score_floor=score_floor,
            nms_iou=nms_iou,
            max_faces=max_faces,
            sampling=_SAMPLING,
            weights=weights_sha256,
        )

    def detect(self, images_rgb: Sequence[Image]) -> list[list[Face]]:
        """Return the faces of each image, down to the score floor; see `Detector.detect`."""
        return [self._detect_one(image) for image in images_rgb]

    @torch.inference_mode()
    def _detect_one(self, image_rgb: Image) -> list[Face]:
        height, width = image_rgb.shape[:2]
        resized = resize_image(image_rgb, self.settings.short_side_px, self.settings.long_side_px)
        found, _ = run_network(self._network, resized)
        scale = torch.tensor([width / resized.shape[1], height / resized.shape[0]] * 2)
        boxes = clip_boxes_to_image(found["boxes"].cpu() * scale, (height, width))
        return list_faces(boxes.tolist(), found["scores"].tolist())


def load_mask_rcnn(weights: Path, *, device: str = "cpu") -> MaskRCNNDetector:
    """Load a Mask R-CNN detector from a file that the training wrote.

    Raises
    ------
    WeightsError
        If the file is missing, damaged or of another architecture.
    """
    network, settings = load_network(weights)
    digest = sha256_file(weights)
    return MaskRCNNDetector(network, settings, weights_sha256=digest, device=device)
