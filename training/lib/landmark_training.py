"""Train the facial landmark model: settings, losses, the loop. Everything is seeded."""

from __future__ import annotations

import copy
import logging
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torchvision.models.detection import FCOS

from canemo.faces.detect.head_fcos import normalise_pixels
from canemo.faces.landmarks.model import LandmarkNetwork, LandmarkSettings, cell_centres
from canemo.species import DOG
from lib.landmark_augment import (
    cut_crops,
    draw_plan,
    place_beside,
    plan_plain,
    spoil_pixels,
)
from lib.landmark_faces import FaceTensors

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class LandmarkTrainingConfig:
    """How to train; a step sees `batch_size` freshly augmented faces.

    Learning rates are the peaks of a one-cycle schedule. `heat_weight` weighs the cross entropy
    between heat maps and a normal density of `heat_sigma_cells` around the true point,
    `scale_weight` the likelihood that teaches how far off points are; the mean distance, in percent
    of the crop's side, counts once. Crops are shifted by up to `shift` of their side, scaled
    between the two `zooms`, turned by up to `rotation_deg`, and hidden in part in `hidden_share` of
    the faces.
    """

    steps: int = 4000
    batch_size: int = 64
    head_learning_rate: float = 3e-3
    body_learning_rate: float = 1e-3
    weight_decay: float = 0.05
    ema_decay: float = 0.998
    heat_weight: float = 0.5
    heat_sigma_cells: float = 1.0
    scale_weight: float = 0.1
    shift: float = 0.1
    zooms: tuple[float, float] = (0.85, 1.25)
    rotation_deg: float = 30.0
    hidden_share: float = 0.3
    seed: int = 0


def train_landmarks(
    faces: FaceTensors,
    config: LandmarkTrainingConfig,
    settings: LandmarkSettings,
    *,
    start: FCOS,
    after: Callable[[int, LandmarkNetwork], None] | None = None,
    report_every: int = 500,
) -> LandmarkNetwork:
    """Train the landmark network on the device that holds the faces.

    Parameters
    ----------
    faces
        From `stack_faces`.
    config, settings
        How to train, and what.
    start
        A head detector whose backbone the network starts from: one filled by
        `canemo.faces.detect.head_fcos.load_imagenet_backbone`, or a trained one. It is not changed.
    after
        Called every `report_every` steps and at the end with the number of steps taken and the
        averaged network.

    Returns
    -------
    LandmarkNetwork
        The exponential moving average of the weights, in evaluation mode, on that device.

    Notes
    -----
    On a GPU the network runs in bfloat16, what reads the heat maps in float32. The same seed gives
    the same crops in the same order; noise and sums of floating point numbers differ between
    devices.
    """
    device = faces.regions.device
    torch.manual_seed(config.seed)
    network = LandmarkNetwork(settings, points=len(DOG.points))
    _copy_body(start, network)
    network.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = _build_optimizer(network, config)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer,
        max_lr=[group["lr"] for group in optimizer.param_groups],
        total_steps=config.steps,
        pct_start=0.1,
    )
    averaged = copy.deepcopy(network).eval()
    followed = _list_floats(averaged), _list_floats(network)
    losses: list[Tensor] = []
    for step in range(config.steps):
        rng = np.random.default_rng([config.seed, step])
        pixels, points = compose_batch(faces, config, settings.input_size, rng)
        losses.append(_take_step(network, pixels, points, optimizer, config))
        schedule.step()
        with torch.no_grad():  # at first the average follows fast
            share = 1 - min(config.ema_decay, (1 + step) / (10 + step))
            torch._foreach_lerp_(*followed, share)
        if (step + 1) % report_every == 0 or step + 1 == config.steps:
            mean = torch.stack(losses).mean(dim=0).tolist()
            _LOG.info("step %d of %d: distance %%, heat, scale %s", step + 1, config.steps, mean)
            losses.clear()
            if after is not None:
                after(step + 1, averaged)
    return averaged


def _copy_body(start: FCOS, network: LandmarkNetwork) -> None:
    wanted = network.body.state_dict()
    given = start.backbone.body.state_dict()
    network.body.load_state_dict({name: given[name] for name in wanted})


def _list_floats(network: nn.Module) -> list[Tensor]:
    """Return weights and statistics, those that an average can be taken of."""
    return [tensor for tensor in network.state_dict().values() if tensor.is_floating_point()]


def _build_optimizer(network: LandmarkNetwork, config: LandmarkTrainingConfig) -> torch.optim.AdamW:
    """Weigh down matrices and kernels only; the body learns slower than what is new."""
    body = {id(parameter) for parameter in network.body.parameters()}
    groups: list[dict[str, Any]] = []
    for in_body, rate in ((True, config.body_learning_rate), (False, config.head_learning_rate)):
        mine = [p for p in network.parameters() if (id(p) in body) is in_body]
        decayed = [p for p in mine if p.ndim > 1]
        plain = [p for p in mine if p.ndim <= 1]
        groups.append({"params": decayed, "lr": rate, "weight_decay": config.weight_decay})
        groups.append({"params": plain, "lr": rate, "weight_decay": 0.0})
    return torch.optim.AdamW(groups, fused=True)


def compose_batch(
    faces: FaceTensors, config: LandmarkTrainingConfig, size: int, rng: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """Make a training batch: pixels (B, 3, size, size), 0 to 255, and points as shares."""
    padding = str(rng.choice(["zeros", "border", "reflection"], p=[0.5, 0.25, 0.25]))
    plan = draw_plan(
        len(faces),
        config.batch_size,
        shift=config.shift,
        zooms=config.zooms,
        rotation_deg=config.rotation_deg,
        rng=rng,
    )
    pixels, points = cut_crops(faces, plan, size, padding=padding)
    return spoil_pixels(pixels, hidden_share=config.hidden_share, rng=rng), points


def _take_step(
    network: LandmarkNetwork,
    pixels: Tensor,
    points: Tensor,
    optimizer: torch.optim.Optimizer,
    config: LandmarkTrainingConfig,
) -> Tensor:
    network.train()
    with torch.autocast(pixels.device.type, torch.bfloat16, enabled=pixels.is_cuda):
        features = network.decode(normalise_pixels(pixels))
        logits = network.heat(features)
    logits = logits.float()
    found, log_scales = network.read_heat(features.float(), logits)
    losses = compute_losses(found, log_scales, logits, points, config)
    optimizer.zero_grad(set_to_none=True)
    total: Tensor = losses[0] + config.heat_weight * losses[1] + config.scale_weight * losses[2]
    total.backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_(network.parameters(), 10.0)
    optimizer.step()
    return losses.detach()


def compute_losses(
    found: Tensor,
    log_scales: Tensor,
    logits: Tensor,
    points: Tensor,
    config: LandmarkTrainingConfig,
) -> Tensor:
    """Return distance [% of the side], heat-map and scale loss, each a mean over points; (3,).

    Points cut off count for the scale alone: the network shall know that it is far off.
    """
    offset = found - points
    distance = offset.square().sum(dim=-1).add(1e-8).sqrt()
    inside = ((points > 0) & (points < 1)).all(dim=-1).float()
    heat = -(target_heat(points, logits, config.heat_sigma_cells) * log_heat(logits)).sum(dim=-1)
    scale = 2 * log_scales + distance.detach() / log_scales.exp()
    count = inside.sum().clamp_min(1)
    return torch.stack(
        [
            100 * (distance * inside).sum() / count,
            (heat * inside).sum() / count,
            scale.mean(),
        ]
    )


def log_heat(logits: Tensor) -> Tensor:
    """Return the logarithm of each heat map, (N, K, H * W)."""
    return logits.flatten(2).log_softmax(dim=-1)


def target_heat(points: Tensor, logits: Tensor, sigma_cells: float) -> Tensor:
    """Return heat maps, (N, K, H * W), normal about the points, of the shape of the logits."""
    rows, columns = logits.shape[-2:]
    places = cell_centres(rows, columns, like=points)
    cells = place_beside(points, np.array([columns, rows]))
    squares = ((places - points[:, :, None]) * cells).square().sum(dim=-1)
    return (-squares / (2 * sigma_cells**2)).softmax(dim=-1)


@torch.inference_mode()
def find_points(
    network: LandmarkNetwork, faces: FaceTensors, size: int, *, batch_size: int = 64
) -> tuple[Tensor, Tensor, Tensor]:
    """Run a network on the plain crops of faces.

    Returns
    -------
    found, true
        (N, 46, 2), in true-aspect pixels, the origin at the crop's corner.
    log_scales
        (N, 46), as shares of the crop's side.
    """
    network.eval()
    parts = []
    for indices in np.array_split(np.arange(len(faces)), math.ceil(len(faces) / batch_size)):
        pixels, points = cut_crops(faces, plan_plain(indices), size)
        found, log_scales = network(normalise_pixels(pixels))
        side = faces.crops[torch.from_numpy(indices).to(faces.crops.device), 2, None, None]
        parts.append((found * side, points * side, log_scales))
    found, true, log_scales = (torch.cat(part).cpu() for part in zip(*parts, strict=True))
    return found, true, log_scales


def fit_scale_factor(distances: Tensor, scales: Tensor) -> float:
    """Return the factor f for scales b that makes the distances r most likely.

    With the density exp(-r / (f b)) / (2 pi (f b)^2), that of `compute_confidence`, it is half the
    mean of r / b.
    """
    return float((distances / scales).mean() / 2)
