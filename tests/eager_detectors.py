"""Detectors with networks whose heads are not trained: they say many things everywhere."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import torch
from torchvision.models.detection import MaskRCNN

from canemo.faces.detect.head_fcos import DetectorSettings, HeadDetector, build_network
from canemo.faces.detect.mask_rcnn import MaskRCNNDetector, MaskRCNNSettings
from canemo.faces.training.start import build_from_start, find_start
from canemo.records import Image
from lib.head import load_imagenet_backbone

LITE = "efficientnet_lite0"


def draw_noise(height: int, width: int, seed: int = 0) -> Image:
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (height, width, 1), dtype=np.uint8).repeat(3, axis=2)


@cache
def make_eager_head_detector() -> HeadDetector:
    torch.manual_seed(0)
    network = build_network()
    load_imagenet_backbone(network)
    torch.nn.init.constant_(network.head.classification_head.cls_logits.bias, 0.0)
    settings = DetectorSettings(input_size=128)
    return HeadDetector(network.eval(), settings, weights_sha256="0" * 64)


@cache
def make_lite_network() -> MaskRCNN:
    torch.manual_seed(0)
    return build_from_start(find_start(body=LITE))[0]


def set_lite(**changes: Any) -> MaskRCNNSettings:
    return MaskRCNNSettings(**{"body": LITE, "short_side_px": 96, "long_side_px": 160, **changes})


@cache
def make_eager_mask_rcnn() -> MaskRCNNDetector:
    return MaskRCNNDetector(make_lite_network(), set_lite(), weights_sha256="0" * 64)
