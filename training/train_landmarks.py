"""Train the facial landmark model that ships with canemo.

    python training/train_landmarks.py DATA OUT.safetensors --seed 0 --steps 3100 --device cuda

DATA holds `whole_photos` and `body_crops`, each with `coco.json` (46 keypoints a face) and
`images/`. README.md beside this file says where they come from. Files that `is_held_out` names are
not used, nor is the `--choice-share` that follows them in the hash: it is measured on, and sets the
factor that makes confidences come true.
"""

from __future__ import annotations

import argparse
import json
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torchvision.models.detection import FCOS

from canemo.faces.detect.head_fcos import build_network, load_imagenet_backbone, load_network
from canemo.faces.landmarks.model import LandmarkNetwork, LandmarkSettings, save_landmark_network
from lib.landmark_errors import compute_distances, compute_landmark_metrics
from lib.landmark_faces import (
    FaceTensors,
    LandmarkFace,
    load_landmark_faces,
    split_faces,
    stack_faces,
)
from lib.landmark_training import (
    LandmarkTrainingConfig,
    find_points,
    fit_scale_factor,
    train_landmarks,
)

_LOG = logging.getLogger(__name__)

FOLDERS = ("whole_photos", "body_crops")


def load_parts(
    data_dir: Path, *, choice_share: float
) -> tuple[list[LandmarkFace], list[LandmarkFace]]:
    """Load the faces to train on and those to choose by."""
    faces = [f for folder in FOLDERS for f in load_landmark_faces(data_dir / folder / "coco.json")]
    train, choose, _ = split_faces(faces, choice_share=choice_share)
    return train, choose


def load_start(name: str) -> FCOS:
    """Return a head detector whose backbone to start from: ``"imagenet"`` or a weights file."""
    if name != "imagenet":
        return load_network(Path(name))[0]
    network = build_network()
    load_imagenet_backbone(network)
    return network


def validate_network(
    network: LandmarkNetwork, faces: FaceTensors, settings: LandmarkSettings
) -> dict[str, Any]:
    """Measure on the plain crops of faces, and fit the factor that makes confidences come true."""
    found, true, log_scales = find_points(network, faces, settings.input_size)
    sizes = faces.box_sizes.cpu().numpy()
    side = faces.crops[:, 2].cpu().numpy()[:, None]
    distances = torch.from_numpy(compute_distances(found.numpy(), true.numpy()) / side)
    return {
        **compute_landmark_metrics(found.numpy(), true.numpy(), sizes).to_dict(),
        "scale_factor": fit_scale_factor(distances, log_scales.exp()),
    }


def main() -> None:
    """Train, writing the weights at every report."""
    arguments = _parse_arguments()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    settings = LandmarkSettings(
        input_size=arguments.input_size,
        map_stride=arguments.map_stride,
        channels=arguments.channels,
        version=arguments.version,
    )
    config = replace(
        LandmarkTrainingConfig(),
        **{name: getattr(arguments, name) for name in _TUNED},
    )
    train, choose = load_parts(arguments.data, choice_share=arguments.choice_share)
    train, choose = train[: arguments.limit], choose[: arguments.limit]
    _LOG.info("%d faces to train on, %d to choose by", len(train), len(choose))
    checked = stack_faces(choose, device=arguments.device)

    def save(step: int, network: LandmarkNetwork) -> None:
        measured = validate_network(network, checked, settings)
        factor = round(measured["scale_factor"], 3)
        save_landmark_network(network, arguments.out, replace(settings, scale_factor=factor))
        _LOG.info("step %d: %s", step, json.dumps(_rounded(measured)))

    train_landmarks(
        stack_faces(train, device=arguments.device),
        config,
        settings,
        start=load_start(arguments.start),
        after=save,
        report_every=arguments.report_every,
    )


_TUNED = (
    *("steps", "batch_size", "head_learning_rate", "body_learning_rate", "weight_decay"),
    *("ema_decay", "heat_weight", "heat_sigma_cells", "hidden_share", "seed"),
)


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(each) for key, each in value.items()}
    return np.round(value, 4).tolist() if isinstance(value, float | tuple) else value


def _parse_arguments() -> argparse.Namespace:
    defaults, settings = LandmarkTrainingConfig(), LandmarkSettings()
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--start", default="imagenet", help="or a head detector's weights file")
    parser.add_argument("--choice-share", type=float, default=0.06)
    parser.add_argument("--report-every", type=int, default=500, help="[steps]")
    parser.add_argument("--limit", type=int, help="take the first faces only, to try the script")
    for name in ("input_size", "map_stride", "channels", "version"):
        value = getattr(settings, name) if name != "version" else "1"
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(value), default=value)
    for name in _TUNED:
        value = getattr(defaults, name)
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(value), default=value)
    return parser.parse_args()


if __name__ == "__main__":
    main()
