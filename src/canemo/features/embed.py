"""Embeddings of face crops, and how they become one row per crop.

Each crop keeps its CLS (or pooled) embedding, the mean of its patch tokens, a 4 x 4 grid of mean
tokens, the mean token of each region of the face and the vectors of the three blocks before the
last, as float16. Poolings and parts of the face are then linear algebra on the cache, which
`canemo.features.store` keeps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from canemo.faces.regions import RegionCells
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
    region, region_share, region_names
        (N, R, D) mean token of each region of the face, (N, R) how much of the crop it covers, 0
        where it is not in view, and the R names; None and () where none are kept.
    geometry
        (N, F) float32, the face measured by its points, or None without any.

    Notes
    -----
    The vectors stay float16, as they are stored; `pool` gives float32.
    """

    origin: pd.DataFrame
    cls: Stored
    mean: Stored
    grid: Stored
    layers: tuple[Stored, ...] = ()
    region: Stored | None = None
    region_share: Array | None = None
    region_names: tuple[str, ...] = ()
    geometry: Array | None = None

    def __len__(self) -> int:
        return len(self.origin)

    @property
    def names(self) -> tuple[str, ...]:
        """What is kept of each crop: ``cls``, ``mean``, ``grid``, and of the rest what there is."""
        further = [name for name in ("region", "geometry") if getattr(self, name) is not None]
        return ("cls", "mean", "grid", *LAYERS[: len(self.layers)], *further)

    def as_rows(self, name: str) -> Stored:
        """Return what is kept under a name as one row per crop, (N, F)."""
        if name in LAYERS:
            return self.layers[LAYERS.index(name)]
        vectors: Stored = getattr(self, name)
        return vectors.reshape(len(self), int(np.prod(vectors.shape[1:])))


def compute_features(
    backbone: Backbone,
    images_rgb: Sequence[Image],
    origin: pd.DataFrame,
    *,
    regions: RegionCells | None = None,
) -> Features:
    """Embed N crops (H, W, 3) uint8, RGB, whose `origin` has N rows; the vectors are float16.

    `regions` are those of the crops on the backbone's grid, to average their tokens over.
    """
    exact = make_features(backbone.embed(images_rgb), backbone.grid_shape, origin, regions=regions)
    cls, mean, grid, *layers = (
        vectors.astype(np.float16) for vectors in (exact.cls, exact.mean, exact.grid, *exact.layers)
    )
    region = None if exact.region is None else exact.region.astype(np.float16)
    return replace(exact, cls=cls, mean=mean, grid=grid, layers=tuple(layers), region=region)


def make_features(
    embedding: Embedding,
    grid_shape: tuple[int, int],
    origin: pd.DataFrame,
    *,
    regions: RegionCells | None = None,
) -> Features:
    """Return what is kept of the embedding of N crops whose `origin` has N rows, float32."""
    plain = Features(
        origin,
        embedding.cls.numpy(),
        embedding.tokens.mean(1).numpy(),
        average_cells(embedding.tokens, grid_shape).numpy(),
        tuple(layer.numpy() for layer in embedding.layers),
    )
    if regions is None:
        return plain
    return replace(
        plain,
        region=average_regions(embedding.tokens, regions.shares),
        region_share=regions.shares.mean(axis=2),
        region_names=regions.names,
    )


def average_regions(tokens: Tensor, shares: NDArray[np.float32]) -> Array:
    """Return the mean tokens of R regions, (N, R, D), of (N, P, D) tokens and (N, R, P) shares.

    A token counts as much as the region covers of its cell; a region that covers none gives 0.
    """
    total = shares.sum(axis=2, keepdims=True)
    weights = torch.from_numpy(shares / np.where(total > 0, total, 1))
    return np.asarray((weights @ tokens).numpy(), dtype=np.float32)


def average_cells(tokens: Tensor, grid_shape: tuple[int, int]) -> Tensor:
    """Return the mean tokens of a 4 x 4 grid, (N, 16, D), of (N, P, D) tokens in reading order."""
    n, _, dim = tokens.shape
    square = tokens.transpose(1, 2).reshape(n, dim, *grid_shape)
    return adaptive_avg_pool2d(square, GRID_SIDE).flatten(2).transpose(1, 2)
