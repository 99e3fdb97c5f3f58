"""Embeddings of face crops: extracted once per video, cached by content, pooled as one likes.

Each crop keeps its CLS (or pooled) embedding, the mean of its patch tokens and a 4 x 4 grid of mean
tokens, as float16. Poolings and parts of the face are then linear algebra on the cache.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from torch.nn.functional import adaptive_avg_pool2d

from canemo.backbones import Backbone
from canemo.crops import CropFile
from canemo.errors import ConfigError
from canemo.files import hash_values, replacing
from canemo.records import Image

FEATURES_VERSION = 1
GRID_SIDE = 4

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

    Notes
    -----
    The vectors stay float16, as they are stored; `pool` gives float32.
    """

    origin: pd.DataFrame
    cls: Stored
    mean: Stored
    grid: Stored

    def __len__(self) -> int:
        return len(self.origin)


@dataclass(frozen=True)
class FeatureFile:
    """The features of one video: Parquet file, crops in it, whether it was there already."""

    path: Path
    rows: int
    cached: bool


def _part(rows: slice) -> Callable[[Features], Array]:
    def pool(features: Features) -> Array:
        n, _, d = features.grid.shape
        square = features.grid.reshape(n, GRID_SIDE, GRID_SIDE, d)
        return np.asarray(square[:, rows].mean(axis=(1, 2), dtype=np.float32))

    return pool


POOLINGS: dict[str, Callable[[Features], Array | Stored]] = {
    "cls": lambda features: features.cls,
    "mean": lambda features: features.mean,
    "cls_mean": lambda features: np.concatenate([features.cls, features.mean], axis=1),
    "grid": lambda features: features.grid.reshape(len(features), _size_of(features.grid)),
    "upper": _part(slice(0, 2)),
    "lower": _part(slice(2, 4)),
}
"""Name of a pooling -> function from Features to (N, F)."""


_STORED_IN = {"cls": ("cls",), "mean": ("mean",), "cls_mean": ("cls", "mean")}
_ALL_STORED = ("cls", "mean", "grid")


def pool(features: Features, pooling: str) -> Array:
    """Return one row per crop, (N, F) float32; ConfigError names the poolings there are."""
    require_pooling(pooling)
    return np.asarray(POOLINGS[pooling](features), dtype=np.float32)


def require_pooling(pooling: str) -> None:
    """Raise ConfigError, which names the poolings there are, where there is none of that name."""
    if pooling not in POOLINGS:
        raise ConfigError(f"probe.pooling = {pooling!r}; there are {', '.join(POOLINGS)}")


def extract_features(
    crops: CropFile, backbone: Backbone, *, batch_size: int, cache_dir: Path
) -> FeatureFile:
    """Embed every crop of one video, or reuse the cached answer.

    Batches never span two videos, so a video's features do not depend on its company.
    """
    key = hash_values(
        version=FEATURES_VERSION,
        crops=crops.path.stem,
        backbone=backbone.fingerprint,
        batch_size=batch_size,
    )
    path = cache_dir / "features" / f"{key}.parquet"
    cached = path.is_file()
    if not cached:
        _make_feature_file(path, crops, backbone, batch_size=batch_size)
    return FeatureFile(path, rows=pq.read_metadata(path).num_rows, cached=cached)


def _make_feature_file(path: Path, crops: CropFile, backbone: Backbone, *, batch_size: int) -> None:
    schema = _schema(backbone.feature_dim)
    with (
        replacing(path) as temporary,
        pq.ParquetWriter(temporary, schema, use_dictionary=False) as writer,
    ):
        for frame_index, images in crops.iter_crops(batch_size):
            embedded = compute_features(
                backbone, images, pd.DataFrame({"frame_index": frame_index})
            )
            writer.write_table(_to_table(embedded, schema))


def compute_features(
    backbone: Backbone, images_rgb: Sequence[Image], origin: pd.DataFrame
) -> Features:
    """Embed N crops (H, W, 3) uint8, RGB, whose `origin` has N rows; the vectors are float16."""
    embedding = backbone.embed(images_rgb)
    n, _, dim = embedding.tokens.shape
    square = embedding.tokens.transpose(1, 2).reshape(n, dim, *backbone.grid_shape)
    grid = adaptive_avg_pool2d(square, GRID_SIDE).flatten(2).transpose(1, 2)
    vectors = (embedding.cls, embedding.tokens.mean(1), grid)
    return Features(origin, *(vector.numpy().astype(np.float16) for vector in vectors))


def load_features(sources: Sequence[tuple[CropFile, Path]]) -> Features:
    """Load the features of many videos, in the order given, rows in order of time."""
    parts = [_read_features(crops, path, _ALL_STORED) for crops, path in sources]
    return Features(
        pd.concat([part.origin for part in parts], ignore_index=True),
        *(np.concatenate([getattr(part, name) for part in parts]) for name in _ALL_STORED),
    )


def load_pooled(
    sources: Sequence[tuple[CropFile, Path]], pooling: str
) -> tuple[pd.DataFrame, Array]:
    """Load where the crops of many videos come from and their pooled features, (N, F) float32.

    Only what the pooling needs is read: the vectors of a large study would fill a laptop's memory.
    """
    require_pooling(pooling)
    columns = _STORED_IN.get(pooling, _ALL_STORED)
    parts = [_read_features(crops, path, columns) for crops, path in sources]
    pooled = [pool(part, pooling) for part in parts]
    return pd.concat([part.origin for part in parts], ignore_index=True), np.concatenate(pooled)


def _read_features(crops: CropFile, path: Path, columns: Sequence[str]) -> Features:
    """Read the features of one video; what is not among `columns` comes without values."""
    table = pq.read_table(path, columns=["frame_index", *columns])
    ledger = crops.read_ledger().set_index("frame_index")
    index = table["frame_index"].to_numpy()
    origin = ledger.loc[index, ["video_id", "subject_id", "label", "time_s"]].reset_index()
    arrays = {name: to_array(table[name]) for name in columns}
    nothing = np.empty((len(origin), 0), np.float16)
    grid = arrays.get("grid", nothing)
    return Features(
        origin,
        arrays.get("cls", nothing),
        arrays.get("mean", nothing),
        grid.reshape(len(origin), GRID_SIDE**2, grid.shape[1] // GRID_SIDE**2),
    )


def _size_of(vectors: Stored) -> int:
    return int(np.prod(vectors.shape[1:]))  # stated, since -1 fails where there are no rows


def _schema(dim: int) -> pa.Schema:
    sizes = {"cls": dim, "mean": dim, "grid": GRID_SIDE**2 * dim}
    vectors = [(name, pa.list_(pa.float16(), size)) for name, size in sizes.items()]
    return pa.schema([("frame_index", pa.int64()), *vectors])


def _to_table(features: Features, schema: pa.Schema) -> pa.Table:
    vectors = (features.cls, features.mean, features.grid.reshape(len(features), -1))
    frame_index = pa.array(features.origin["frame_index"], pa.int64())
    return pa.Table.from_arrays([frame_index, *map(to_column, vectors)], schema=schema)


def to_column(vectors: Stored) -> pa.FixedSizeListArray:
    """Return (N, F) vectors as a column of N lists."""
    return pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), vectors.shape[1])


def to_array(column: pa.ChunkedArray) -> Stored:
    """Return a column of N lists as (N, F) vectors."""
    size = column.type.list_size
    parts = [chunk.flatten().to_numpy(zero_copy_only=False) for chunk in column.chunks]
    flat = np.concatenate(parts) if parts else np.empty(0, np.float16)
    return np.asarray(flat).reshape(-1, size)
