"""The facial landmark model that ships with canemo: network, weights file, points on face crops."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from canemo.errors import ConfigError
from canemo.faces.detect.head_fcos import Letterbox, fold_batch_norm, letterbox_images
from canemo.files import hash_values, sha256_file
from canemo.networks.engines.choice import make_engine
from canemo.networks.engines.protocol import FrozenNetwork
from canemo.networks.engines.runner import Runner
from canemo.networks.network_files import choose_weights, fill_network, read_settings, write_network
from canemo.records import Image
from canemo.species import Species

ARCHITECTURE = "heatmaps-tf_efficientnet_lite0"
NEAR = 0.05
"""What `confidence` asks for: a point no further off than this share of the crop's longer side."""

_COARSEST_STRIDE = 32
_LEVEL_OF_STRIDE = {4: 1, 8: 2}


@dataclass(frozen=True)
class LandmarkSettings:
    """What belongs to a set of weights and travels in the weights file.

    `input_size` [px] is the side of the square that crops are letterboxed to, `map_stride` [px] the
    side of a heat map's cell on it, `channels` the decoder's width, `scale_factor` what learned
    scales are multiplied by so that confidences come true on faces not trained on, `version` the
    name of this training.

    Raises
    ------
    ConfigError
        If `input_size` is no multiple of 32, `map_stride` neither 4 nor 8, or `scale_factor` not
        above 0.
    """

    input_size: int = 192
    map_stride: int = 8
    channels: int = 128
    scale_factor: float = 1.0
    version: str = "untrained"

    def __post_init__(self) -> None:
        if self.input_size < _COARSEST_STRIDE or self.input_size % _COARSEST_STRIDE:
            raise ConfigError(
                f"input_size is {self.input_size}, a multiple of {_COARSEST_STRIDE} is wanted."
            )
        if self.map_stride not in _LEVEL_OF_STRIDE:
            raise ConfigError(f"map_stride is {self.map_stride}, 4 or 8 is wanted.")
        if not self.scale_factor > 0:
            raise ConfigError(f"scale_factor is {self.scale_factor}, more than 0 is wanted.")


class LandmarkNetwork(nn.Module):
    """EfficientNet-Lite0, a decoder that sums its levels, and one heat map per point.

    A point is the mean of its heat map (soft-argmax; Sun et al. 2018, Integral human pose
    regression, doi:10.1007/978-3-030-01231-1_33). How far off it may be is read from the decoder's
    features under the map and from the map's spread.
    """

    def __init__(self, settings: LandmarkSettings, *, points: int) -> None:
        super().__init__()
        self.points = points
        levels = tuple(range(_LEVEL_OF_STRIDE[settings.map_stride], 5))
        body: Any = timm.create_model(
            "tf_efficientnet_lite0", features_only=True, out_indices=levels
        )
        self.body = body
        channels, count = settings.channels, points
        self.laterals = nn.ModuleList(
            nn.Sequential(nn.Conv2d(width, channels, 1, bias=False), nn.BatchNorm2d(channels))
            for width in body.feature_info.channels()
        )
        self.blocks = nn.ModuleList(_separable_block(channels) for _ in levels)
        self.heat = nn.Conv2d(channels, count, 1)
        self.scale_weights = nn.Parameter(torch.zeros(count, channels))
        self.spread_weights = nn.Parameter(torch.full((count,), 0.5))
        self.scale_bias = nn.Parameter(torch.full((count,), -1.5))

    def decode(self, pixels: Tensor) -> Tensor:
        """Return the decoder's finest features, (N, C, H, W)."""
        maps = self.body(pixels)
        merged: Tensor | None = None
        for features, lateral, block in reversed(
            list(zip(maps, self.laterals, self.blocks, strict=True))
        ):
            added = lateral(features)
            if merged is not None:
                added = added + F.interpolate(merged, scale_factor=2.0, mode="nearest")
            merged = block(torch.relu(added))
        assert merged is not None
        return merged

    def read_heat(self, features: Tensor, logits: Tensor) -> tuple[Tensor, Tensor]:
        """Return points (N, K, 2) and log scales (N, K), as shares of the input's side.

        The log scales' gradient ends here: how sure the network is does not move its points.
        """
        heat = logits.flatten(2).softmax(dim=-1)
        points = average_places(heat, logits.shape[-2], logits.shape[-1])
        return points, self._read_scales(features.detach(), heat.detach(), points.detach())

    def _read_scales(self, features: Tensor, heat: Tensor, points: Tensor) -> Tensor:
        places = cell_centres(features.shape[-2], features.shape[-1], like=features)
        spread = (heat @ places.square()) - points.square()
        log_spread = 0.5 * spread.sum(dim=-1).clamp_min(1e-6).log()
        under = heat @ features.flatten(2).transpose(1, 2)
        seen: Tensor = (under * self.scale_weights).sum(dim=-1)
        return seen + self.spread_weights * log_spread + self.scale_bias

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Return points (N, K, 2) and log scales (N, K) for (N, 3, S, S) pixels."""
        features = self.decode(pixels)
        return self.read_heat(features, self.heat(features))


def _separable_block(channels: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, channels, 5, padding=2, groups=channels, bias=False),
        nn.BatchNorm2d(channels),
        nn.ReLU(inplace=True),
        nn.Conv2d(channels, channels, 1, bias=False),
        nn.BatchNorm2d(channels),
        nn.ReLU(inplace=True),
    )


def cell_centres(rows: int, columns: int, *, like: Tensor) -> Tensor:
    """Return x, y of the middle of each cell of a map, row by row, as shares of it; (H * W, 2).

    They are on the device, and of the type, of the tensor `like`.
    """
    y = (torch.arange(rows, device=like.device, dtype=like.dtype) + 0.5) / rows
    x = (torch.arange(columns, device=like.device, dtype=like.dtype) + 0.5) / columns
    return torch.stack([x.repeat(rows), y.repeat_interleave(columns)], dim=-1)


def average_places(heat: Tensor, rows: int, columns: int) -> Tensor:
    """Return the mean place x, y of each map, as shares of it.

    Parameters
    ----------
    heat
        (N, K, H * W), at least 0, each map with the sum 1.
    rows, columns
        H and W.

    Returns
    -------
    Tensor
        (N, K, 2).
    """
    return heat @ cell_centres(rows, columns, like=heat)


def compute_confidence(log_scales: Tensor, *, scale_factor: float = 1.0) -> Tensor:
    """Return the probability that a point is no further off than `NEAR`.

    Parameters
    ----------
    log_scales
        Logarithms of b, as shares of the crop's longer side, of a density in the plane that falls
        as exp(-r / b) with the distance r from the point.
    scale_factor
        Multiplies every b.

    Notes
    -----
    Of that density 1 - (1 + t / b) exp(-t / b) lies within t of the point.
    """
    ratio = NEAR / (log_scales.exp() * scale_factor)
    return 1 - (1 + ratio) * torch.exp(-ratio)


def save_landmark_network(network: LandmarkNetwork, path: Path, settings: LandmarkSettings) -> None:
    """Write a network and its settings to one weights file."""
    write_network(network, path, settings, architecture=ARCHITECTURE)


def load_landmark_network(path: Path, *, points: int) -> tuple[LandmarkNetwork, LandmarkSettings]:
    """Read a file that `save_landmark_network` wrote.

    Raises
    ------
    WeightsError
        If the file cannot be read, is damaged or holds another architecture.
    """
    _, settings = read_settings(
        path, LandmarkSettings, architectures={ARCHITECTURE}, made_by="training/train_landmarks.py"
    )
    network = LandmarkNetwork(settings, points=points)
    fill_network(network, path)
    return network, settings


class LandmarkModel:
    """Finds points of faces on crops of them: the 46 of `canemo.species.DOG` with its weights.

    Parameters
    ----------
    network
        From `load_landmark_network` or training; it is copied.
    settings
        Of the same weights.
    weights_sha256
        SHA-256 of the weights file.
    batch_size
        Crops that go through the network together.
    engine
        What runs the network: ``"torch"``, ``"openvino"``, or ``"auto"`` for the faster one here.
    device
        A torch device.

    Attributes
    ----------
    name, version, fingerprint
        The model's name, that of its training, and a content address: models that may answer
        differently differ there.
    weights_sha256
        Of the weights file.
    engine, engine_reason
        What runs the network, and what ``"auto"`` was measured to mean, or nothing.

    Notes
    -----
    A crop is the square around a box of the dog-head detector, as
    `canemo.faces.crop_images.cut_box` cuts it. Every point is given for every crop, hidden ones and
    those of a crop that shows no dog too: the confidence is what tells.
    """

    name = "dog_landmarks"

    def __init__(
        self,
        network: LandmarkNetwork,
        settings: LandmarkSettings,
        *,
        weights_sha256: str,
        batch_size: int = 8,
        engine: str = "torch",
        device: str = "cpu",
    ) -> None:
        self.settings, self.version = settings, settings.version
        self.weights_sha256 = weights_sha256
        self._batch_size, self._points = batch_size, network.points
        self.fingerprint = hash_values(
            architecture=ARCHITECTURE,
            weights=weights_sha256,
            settings=asdict(settings),
            near=NEAR,
            timm=timm.__version__,
        )
        self.network = FrozenNetwork(
            self.name,
            fold_batch_norm(network),
            self.fingerprint,
            side_px=settings.input_size,
            channels_last=True,
        )
        made, self.engine_reason = make_engine(
            self.network, engine=engine, precision="float32", device=device
        )
        self._runner = Runner(made)
        self.engine: str = made.name

    def locate(self, images_rgb: Sequence[Image]) -> NDArray[np.float32]:
        """Return the points of each face crop.

        Parameters
        ----------
        images_rgb
            N crops, each (H, W, 3) uint8, RGB; sizes and aspects may differ.

        Returns
        -------
        ndarray
            (N, 46, 3) in the order of `canemo.species.DOG.points`: x and y in pixels of the crop,
            inside it, and the confidence, 0 to 1: the probability that the point is no further
            off than 5 % of the crop's longer side (`NEAR`).
        """
        starts = range(0, len(images_rgb), self._batch_size)
        parts = [self._locate_batch(images_rgb[i : i + self._batch_size]) for i in starts]
        return np.concatenate([np.zeros((0, self._points, 3), np.float32), *parts])

    @torch.inference_mode()
    def _locate_batch(self, images_rgb: Sequence[Image]) -> NDArray[np.float32]:
        size = self.settings.input_size
        pixels, letterboxes = letterbox_images(images_rgb, size)
        points, log_scales = self._runner.run(pixels)
        confidence = compute_confidence(log_scales, scale_factor=self.settings.scale_factor)
        found = torch.cat([points * size, confidence[..., None]], dim=-1).numpy()
        for one, letterbox, image in zip(found, letterboxes, images_rgb, strict=True):
            one[:, :2] = _to_image(one[:, :2], letterbox, image)
        return found


def _to_image(
    points_px: NDArray[np.float32], letterbox: Letterbox, image_rgb: Image
) -> NDArray[np.float32]:
    """Bring points from the canvas to the image it was made of, and inside it."""
    offset = np.array([letterbox.offset_x, letterbox.offset_y], dtype=np.float32)
    scale = np.array([letterbox.scale_x, letterbox.scale_y], dtype=np.float32)
    height, width = image_rgb.shape[:2]
    placed: NDArray[np.float32] = (points_px - offset) / scale
    return placed.clip(0, np.array([width, height], dtype=np.float32))


def load_landmark_model(
    species: Species, *, weights: Path | None = None, engine: str = "auto", device: str = "cpu"
) -> LandmarkModel:
    """Load the facial landmark model of a species.

    Parameters
    ----------
    species
        Whose points it finds.
    weights
        A file from `save_landmark_network`; None takes the weights that ship with canemo.
    engine, device
        As for `LandmarkModel`.

    Raises
    ------
    ConfigError
        If none ships for the species, and none is given.
    WeightsError
        If the file is missing, damaged or of another architecture.
    """
    shipped = species.landmark_weights
    if weights is None and shipped is None:
        raise ConfigError(f"no landmark model ships with canemo for the species {species.name!r}")
    with choose_weights(weights, shipped=shipped or "") as path:
        network, settings = load_landmark_network(path, points=len(species.points))
        digest = sha256_file(path)
    return LandmarkModel(network, settings, weights_sha256=digest, engine=engine, device=device)
