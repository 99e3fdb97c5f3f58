"""The stack of the 2022 paper as one writes it from libraries: what canemo is compared with.

Frame by frame, torch in float32: torchvision's Mask R-CNN at its default size finds the face, the
box is cut out and resized to 224 pixels, a backbone of timm embeds it. Weights are drawn, which
costs the same; the detector is limited to the two boxes per picture that a trained one would give,
and the middle of the picture is cut out, so that every frame is embedded.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image as PilImage
from torch import nn
from torchvision.models.detection import maskrcnn_resnet50_fpn

from canemo.networks.backbone_specs import find_backbone
from canemo.networks.backbones import INPUT_SIDE_PX, build_network
from canemo.records import Image
from canemo.video.reader import VideoReader
from canemo.video.times import Sampling

BOXES = 2


def time_paper_stack(
    clips: Sequence[Path], backbone: str, *, frames_per_clip: int = 2
) -> dict[str, float]:
    """Return the seconds per frame of ``decode``, ``detect`` and ``embed``.

    The first frame of every clip warms up and is not counted.
    """
    detector = maskrcnn_resnet50_fpn(
        weights=None, weights_backbone=None, num_classes=2, box_detections_per_img=BOXES
    ).eval()
    net = build_network(find_backbone(backbone)).eval()
    seconds = dict.fromkeys(("decode", "detect", "embed"), 0.0)
    counted = 0
    for clip in clips:
        with VideoReader(clip, sampling=Sampling(every_nth=1)) as reader:
            start = time.perf_counter()
            for number, frame in enumerate(itertools.islice(reader, frames_per_clip + 1)):
                decoded = time.perf_counter()
                spent = (decoded - start, *_time_frame(frame.image_rgb, detector, net))
                if number:
                    counted += 1
                    for stage, each in zip(seconds, spent, strict=True):
                        seconds[stage] += each
                start = time.perf_counter()
    return {stage: total / max(1, counted) for stage, total in seconds.items()}


@torch.inference_mode()
def _time_frame(image_rgb: Image, detector: nn.Module, net: nn.Module) -> tuple[float, float]:
    start = time.perf_counter()
    pixels = torch.from_numpy(image_rgb.copy()).permute(2, 0, 1).float() / 255
    detector([pixels])
    found = time.perf_counter()
    net(_cut_middle(image_rgb))
    return found - start, time.perf_counter() - found


def _cut_middle(image_rgb: Image) -> torch.Tensor:
    height, width = image_rgb.shape[:2]
    side = min(height, width) // 2
    top, left = (height - side) // 2, (width - side) // 2
    crop = PilImage.fromarray(image_rgb[top : top + side, left : left + side])
    resized = crop.resize((INPUT_SIDE_PX, INPUT_SIDE_PX), PilImage.Resampling.BILINEAR)
    pixels = torch.from_numpy(np.array(resized)).permute(2, 0, 1).float()[None] / 255
    return (pixels - 0.45) / 0.225
