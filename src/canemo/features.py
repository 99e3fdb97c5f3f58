"""Embeddings of face crops, and how they become one row per crop.

Each crop keeps its CLS (or pooled) embedding, the mean of its patch tokens, a 4 x 4 grid of mean
tokens and the vectors of the three blocks before the last, as float16. Poolings and parts of the
face are then linear algebra on the cache, which `canemo.feature_files` keeps.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from canemo.errors import ConfigError
from canemo.networks.backbones import Backbone, Embedding
from canemo.records import Image

GRID_SIDE = 4
LAYERS = ("layer2", "layer3", "layer4")  # counted from the end, where cls is the first

Array: TypeAlias = NDArray[np.float32]
Stored: TypeAlias = NDArray[np.float16] | NDArray[np.float32]


@dataclass(frozen=True)
class Features:
    """Embeddings of N crops and where each crop came from.

    Attributes
    ----------
    origin
        N rows: video_id, subject_id, label, frame_index, time_s.
    cls
        (N, D), CLS token or pooled map.
    mean
        (N, D), mean patch token.
    grid
        (N, 16, D), mean tokens of a 4 x 4 grid over the crop, in reading order.
    layers
        The second, third and fourth block from the end, (N, D) each, or nothing where the
        backbone has no recognisable blocks; D of a CNN differs from stage to stage.

    Notes
    -----
    The vectors stay float16, as they are stored; `pool` gives float32.
    """

    origin: pd.DataFrame
    cls: Stored
    mean: Stored
    grid: Stored
    layers: tuple[Stored, ...] = ()

    def __len__(self) -> int:
        return len(self.origin)

    @property
    def names(self) -> tuple[str, ...]:
        """What is kept of each crop: ``cls``, ``mean``, ``grid`` and the layers there are."""
        return ("cls", "mean", "grid", *LAYERS[: len(self.layers)])

    def as_rows(self, name: str) -> Stored:
        """Return what is kept under a name as one row per crop, (N, F)."""
        if name in LAYERS:
            return self.layers[LAYERS.index(name)]
        vectors: Stored = getattr(self, name)
        return vectors.reshape(len(self), int(np.prod(vectors.shape[1:])))


@dataclass(frozen=True)
class Pooling:
    """How features become one row per crop: what it takes, and the function to (N, F)."""

    needs: tuple[str, ...]
    compute: Callable[[Features], Array | Stored]


def _join(*names: str) -> Pooling:
    def compute(features: Features) -> Stored:
        return np.concatenate([features.as_rows(name) for name in names], axis=1)

    return Pooling(names, compute)


def _average(*cells: int) -> Pooling:
    """Average cells of the grid; they count from 0 in reading order."""

    def compute(features: Features) -> Array:
        return np.asarray(features.grid[:, cells].mean(axis=1, dtype=np.float32))

    return Pooling(("grid",), compute)


_CENTRE = (5, 6, 9, 10)

POOLINGS: dict[str, Pooling] = {
    "cls": _join("cls"),
    "mean": _join("mean"),
    "cls_mean": _join("cls", "mean"),
    **{name: _join(name) for name in LAYERS},
    "last4": _join("cls", *LAYERS),
    "grid": _join("grid"),
    "upper": _average(*range(8)),
    "lower": _average(*range(8, 16)),
    **{f"row{row + 1}": _average(*range(4 * row, 4 * row + 4)) for row in range(GRID_SIDE)},
    "centre": _average(*_CENTRE),
    "rim": _average(*(cell for cell in range(GRID_SIDE**2) if cell not in _CENTRE)),
}
"""Name of a pooling -> what it is.

`last4` is what DINO's own linear evaluation of a ViT-S takes (its eval_linear.py, n_last_blocks=4;
Caron et al. 2021, doi:10.1109/ICCV48922.2021.00951).
"""


def pool(features: Features, pooling: str) -> Array:
    """Return one row per crop, (N, F) float32.

    Raises
    ------
    ConfigError
        There is no such pooling, or none of features without layers; those there are are named.
    """
    require_pooling(pooling, stored=features.names)
    return np.asarray(POOLINGS[pooling].compute(features), dtype=np.float32)


def require_pooling(
    pooling: str, *, stored: Collection[str] | None = None, owner: str = "this backbone"
) -> None:
    """Raise ConfigError, which names the poolings there are, where there is none of that name.

    Parameters
    ----------
    pooling
        The name.
    stored
        What is kept of each crop (`Features.names`); None leaves it open.
    owner
        Of which backbone.

    Raises
    ------
    ConfigError
        There is no such pooling, or what it needs is not stored.
    """
    usable = [
        name for name, each in POOLINGS.items() if stored is None or set(each.needs) <= set(stored)
    ]
    if pooling not in POOLINGS:
        raise ConfigError(f"probe.pooling = {pooling!r}; there are {', '.join(usable)}")
    if pooling not in usable:
        raise ConfigError(
            f"probe.pooling = {pooling!r} needs layers before the last, which {owner} does not "
            f"have; there are {', '.join(usable)}"
        )


def compute_features(
    backbone: Backbone, images_rgb: Sequence[Image], origin: pd.DataFrame
) -> Features:
    """Embed N crops (H, W, 3) uint8, RGB, whose `origin` has N rows; the vectors are float16."""
    exact = make_features(backbone.embed(images_rgb), backbone.grid_shape, origin)
    cls, mean, grid, *layers = (
        vectors.astype(np.float16) for vectors in (exact.cls, exact.mean, exact.grid, *exact.layers)
    )
    return Features(origin, cls, mean, grid, tuple(layers))


def make_features(
    embedding: Embedding, grid_shape: tuple[int, int], origin: pd.DataFrame
) -> Features:
    """Return what is kept of the embedding of N crops whose `origin` has N rows, float32."""
    return Features(
        origin,
        embedding.cls.numpy(),
        embedding.tokens.mean(1).numpy(),
        average_cells(embedding.tokens, grid_shape).numpy(),
        tuple(layer.numpy() for layer in embedding.layers),
    )


def average_cells(tokens: Tensor, grid_shape: tuple[int, int]) -> Tensor:
    """Return the mean tokens of a 4 x 4 grid, (N, 16, D), of (N, P, D) tokens in reading order."""
    n, _, dim = tokens.shape
    square = tokens.transpose(1, 2).reshape(n, dim, *grid_shape)
    return adaptive_avg_pool2d(square, GRID_SIDE).flatten(2).transpose(1, 2)
