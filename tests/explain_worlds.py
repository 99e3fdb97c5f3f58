"""Small backbones, drawn crops and probes, of which it is known where the evidence is."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from canemo.explain.decision import Decision
from canemo.features.embed import Features, compute_features, make_features
from canemo.features.poolings import pool
from canemo.learn.logistic import fit_probe
from canemo.learn.probe import Probe
from canemo.networks.backbones import (
    INPUT_SIDE_PX,
    Backbone,
    Embedding,
    load_backbone,
    write_random_weights,
)
from canemo.records import Image

VIT, CNN, RESNET = "timm:test_vit", "timm:test_efficientnet", "timm:test_resnet"
LABELS = ("calm", "eager", "tense")
CELLS = 8
PATTERN = 4  # parts of a cell a side


@cache
def load_small(name: str) -> Backbone:
    """Return a backbone of a few hundred thousand drawn weights, the same object each time."""
    return make_small(name)


def make_small(name: str) -> Backbone:
    """Return a new one, for tests that change it.

    A transformer's blocks are made strong: as they are drawn they pass on what enters them, and
    attend to all alike.
    """
    with TemporaryDirectory() as folder:
        weights = write_random_weights(name, Path(folder) / "weights.safetensors")
        backbone = load_backbone(name, weights=weights)
    for key, weight in backbone.net.named_parameters():
        if key.endswith("gamma"):
            weight.fill_(1.0)
        if key.endswith(("qkv.weight", "proj.weight", "fc1.weight", "fc2.weight")):
            weight *= 5
    return backbone


def draw_crop(seed: int, size: tuple[int, int] = (90, 120)) -> Image:
    """Draw squares of random colours, (H, W, 3) uint8, RGB."""
    height, width = size
    few = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return np.kron(few, np.ones((height // 6, width // 8, 1), np.uint8))


def draw_crops(number: int) -> list[Image]:
    return [draw_crop(seed) for seed in range(number)]


def embed(backbone: Backbone, crops: Sequence[Image]) -> Features:
    """Return exact features, as float32."""
    origin = pd.DataFrame(index=range(len(crops)))
    return make_features(backbone.embed(crops), backbone.grid_shape, origin)


def embed_half(backbone: Backbone, crops: Sequence[Image]) -> Features:
    """Return features as a run keeps them, as float16."""
    return compute_features(backbone, crops, pd.DataFrame(index=range(len(crops))))


def fit_drawn(
    backbone: Backbone, pooling: str, *, labels: Sequence[str] = LABELS[:2], crops: int = 12
) -> Probe:
    """Fit a probe to labels that go round."""
    x = pool(_embed_drawn(backbone, crops), pooling)
    return fit_probe(x, np.arange(crops) % len(labels), labels=labels, penalty=1.0)


@cache
def _embed_drawn(backbone: Backbone, number: int) -> Features:
    return embed(backbone, draw_crops(number))


def decide(backbone: Backbone, pooling: str, label: str = LABELS[1], **kwargs) -> Decision:
    """Return the decision of a probe that was fitted to drawn crops."""
    return Decision(fit_drawn(backbone, pooling, **kwargs), pooling, label)


def make_probe(coef: Sequence[float], *, intercept: float = 0.0) -> Probe:
    """Return a probe of two labels with the weights given, of features as they are."""
    size = len(coef)
    return Probe(
        LABELS[:2], np.zeros(size), np.ones(size), np.array([coef], float), np.array([intercept]), 1
    )


class TextureBackbone:
    """Reads what can be seen of each of 8 x 8 cells: its brightness, or the pattern in it.

    Parameters
    ----------
    parts
        Parts of a cell a side whose brightness is a number of its token: D = parts squared.
    seed
        None, or drawn weights: patterns are mixed and cells change places.
    """

    has_cls_token, is_cnn = False, True
    grid_shape = (CELLS, CELLS)

    def __init__(self, parts: int = PATTERN, *, seed: int | None = None) -> None:
        self.spec = SimpleNamespace(name="texture")
        self.parts, self.feature_dim = parts, parts**2
        self.readout = SimpleNamespace(last_block=None)
        self.seen: list[int] = []
        self._mixing, self._order = np.eye(self.feature_dim), np.arange(CELLS**2)
        if seed is not None:
            rng = np.random.default_rng(seed)
            self._mixing = rng.standard_normal((self.feature_dim,) * 2)
            self._order = rng.permutation(CELLS**2)

    def embed(self, images_rgb: Sequence[Image]) -> Embedding:
        self.seen.append(len(images_rgb))
        side = CELLS * self.parts
        grey = np.stack([image.mean(axis=2) / 255 for image in images_rgb])
        small = grey.reshape(len(grey), side, INPUT_SIDE_PX // side, side, -1).mean(axis=(2, 4))
        cells = small.reshape(len(grey), CELLS, self.parts, CELLS, self.parts)
        tokens = cells.transpose(0, 1, 3, 2, 4).reshape(len(grey), CELLS**2, -1)
        mixed = torch.tensor((tokens @ self._mixing)[:, self._order], dtype=torch.float32)
        return Embedding(mixed.mean(1), mixed, mixed)

    def activations(self, images_rgb: Sequence[Image]) -> torch.Tensor:
        return self.embed(images_rgb).activations


CHECKS = np.where(np.indices((PATTERN, PATTERN)).sum(axis=0) % 2, -0.5, 0.5).ravel()
"""The pattern that a planted probe looks for, of mean 0: blurred, it is gone."""


def draw_textures(
    place: tuple[int, int], sign: float, *, rng: np.random.Generator, noise: float = 0.15
) -> Image:
    """Draw a crop of noise in which 2 x 2 cells from `place` on have the pattern (or its inverse).

    As large as backbones take it, (224, 224, 3) uint8, grey.
    """
    tokens = 0.5 + noise * rng.uniform(-1, 1, (CELLS, CELLS, PATTERN**2))
    row, column = place
    tokens[row : row + 2, column : column + 2] = 0.5 + 0.4 * sign * np.sign(CHECKS)
    cells = tokens.reshape(CELLS, CELLS, PATTERN, PATTERN).transpose(0, 2, 1, 3)
    small = (255 * cells.reshape(CELLS * PATTERN, -1)).round().astype(np.uint8)
    size = INPUT_SIDE_PX // len(small)
    return np.repeat(np.kron(small, np.ones((size, size), np.uint8))[:, :, None], 3, axis=2)


def read_checks(scale: float = 20.0) -> Decision:
    """Return the decision of a probe that looks for the pattern, wherever it is."""
    return Decision(make_probe(scale * CHECKS), "mean", LABELS[1])


def mark(place: tuple[int, int]) -> NDArray[np.float32]:
    """Return a map (8, 8) that is 1 in the 2 x 2 cells from `place` on."""
    planted = np.zeros((CELLS, CELLS), np.float32)
    planted[place[0] : place[0] + 2, place[1] : place[1] + 2] = 1
    return planted
