from __future__ import annotations

import importlib.resources
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from canemo.errors import ConfigError, WeightsError
from canemo.faces.detect.head_fcos import HeadDetector
from canemo.faces.detect.mask_rcnn import (
    MaskRCNNDetector,
    MaskRCNNSettings,
    build_network,
    save_network,
)
from canemo.faces.detect.registry import load_detector
from canemo.records import Face


def test_the_shipped_detector_goes_by_its_name() -> None:
    detector = load_detector("dog_head")
    assert isinstance(detector, HeadDetector)
    assert detector.name == "dog_head"


def test_a_file_says_which_detector_it_is(tmp_path: Path) -> None:
    shipped = importlib.resources.files("canemo.faces") / "weights" / "dog_head.safetensors"
    with importlib.resources.as_file(shipped) as path:
        shutil.copy(path, tmp_path / "mine.safetensors")
    head = load_detector(str(tmp_path / "mine.safetensors"))
    assert isinstance(head, HeadDetector)
    assert head.fingerprint == load_detector("dog_head").fingerprint
    torch.manual_seed(0)
    settings = MaskRCNNSettings("efficientnet_lite0", 64, 96, version="test")
    save_network(build_network(settings.body), tmp_path / "mask.safetensors", settings)
    mask = load_detector(str(tmp_path / "mask.safetensors"))
    assert isinstance(mask, MaskRCNNDetector)
    assert mask.settings == settings


def test_the_control_takes_each_picture_as_a_whole() -> None:
    detector = load_detector("whole_frame")
    pictures = [np.zeros((30, 50, 3), np.uint8), np.zeros((7, 4, 3), np.uint8)]
    assert detector.name == "whole_frame"
    assert detector.detect(pictures) == [
        [Face((0.0, 0.0, 50.0, 30.0), 1.0)],
        [Face((0.0, 0.0, 4.0, 7.0), 1.0)],
    ]
    assert detector.detect([]) == []
    assert detector.score_threshold <= 1
    assert detector.fingerprint != load_detector("dog_head").fingerprint


def test_what_is_no_detector_is_refused(tmp_path: Path) -> None:
    there_are = "detector 'cat_head': there are dog_head, whole_frame, or give the path"
    with pytest.raises(ConfigError, match=there_are):
        load_detector("cat_head")
    save_file({"a": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(WeightsError, match="is no detector: it holds the architecture None"):
        load_detector(str(tmp_path / "other.safetensors"))
    (tmp_path / "text.safetensors").write_text("no weights", encoding="utf-8")
    with pytest.raises(WeightsError, match=r"text\.safetensors: cannot be read"):
        load_detector(str(tmp_path / "text.safetensors"))
