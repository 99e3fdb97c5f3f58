"""Embeddings of face crops: extracted once per video, cached by content, pooled as one likes.

Each crop keeps its CLS (or pooled) embedding, the mean of its patch tokens, a 4 x 4 grid of mean
tokens and the vectors of the three blocks before the last, as float16. Poolings and parts of the
face are then linear algebra on the cache.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
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

FEATURES_VERSION = 2
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
class FeatureFile:
    """The features of one video: Parquet file, crops in it, whether it was there already."""

    path: Path
    rows: int
    cached: bool


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


def require_pooling(pooling: str, *, stored: Collection[str] | None = None) -> None:
    """Raise ConfigError, which names the poolings there are, where there is none of that name.

    Parameters
    ----------
    pooling
        The name.
    stored
        What is kept of each crop (`Features.names`); None leaves it open.

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
            f"probe.pooling = {pooling!r} needs layers before the last, which this backbone does "
            f"not have; there are {', '.join(usable)}"
        )


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
    schema = _schema(backbone.feature_dim, backbone.layer_dims)
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
    cells = adaptive_avg_pool2d(square, GRID_SIDE).flatten(2).transpose(1, 2)
    cls, mean, grid, *layers = (
        vectors.numpy().astype(np.float16)
        for vectors in (embedding.cls, embedding.tokens.mean(1), cells, *embedding.layers)
    )
    return Features(origin, cls, mean, grid, tuple(layers))


def load_features(sources: Sequence[tuple[CropFile, Path]]) -> Features:
    """Load the features of many videos, in the order given, rows in order of time."""
    parts = [_read_features(crops, path) for crops, path in sources]
    by_layer = zip(*(part.layers for part in parts), strict=True)
    return Features(
        pd.concat([part.origin for part in parts], ignore_index=True),
        cls=np.concatenate([part.cls for part in parts]),
        mean=np.concatenate([part.mean for part in parts]),
        grid=np.concatenate([part.grid for part in parts]),
        layers=tuple(np.concatenate(layers) for layers in by_layer),
    )


def load_pooled(
    sources: Sequence[tuple[CropFile, Path]], pooling: str
) -> tuple[pd.DataFrame, Array]:
    """Load where the crops of many videos come from and their pooled features, (N, F) float32.

    Raises
    ------
    ConfigError
        As `load_poolings`.
    """
    origin, pooled = load_poolings(sources, [pooling])
    return origin, pooled[pooling]


def load_poolings(
    sources: Sequence[tuple[CropFile, Path]], poolings: Sequence[str]
) -> tuple[pd.DataFrame, dict[str, Array]]:
    """Load where the crops of many videos come from and several poolings of their features.

    Each video's file is read once, and of it only what the poolings need: all vectors of a large
    study would fill a laptop's memory.

    Parameters
    ----------
    sources
        Crops and file of features of each video.
    poolings
        Keys of `POOLINGS`.

    Returns
    -------
    tuple of DataFrame and dict
        N rows of origin as in `Features`; pooling -> (N, F) float32.

    Raises
    ------
    ConfigError
        There is no such pooling, or none of this backbone; those there are are named.
    """
    for pooling in poolings:
        require_pooling(pooling)
    needed = {name for pooling in poolings for name in POOLINGS[pooling].needs}
    origins: list[pd.DataFrame] = []
    pooled: dict[str, list[Array]] = {pooling: [] for pooling in poolings}
    for crops, path in sources:
        features = _read_features(crops, path, needed)
        origins.append(features.origin)
        for pooling, parts in pooled.items():
            parts.append(pool(features, pooling))
    joined = {pooling: np.concatenate(parts) for pooling, parts in pooled.items()}
    return pd.concat(origins, ignore_index=True), joined


def _read_features(crops: CropFile, path: Path, needed: Collection[str] | None = None) -> Features:
    """Read the features of one video; what is not `needed` (None: all) comes without values."""
    with pq.ParquetFile(path) as file:
        stored = [name for name in file.schema_arrow.names if name != "frame_index"]
        columns = stored if needed is None else [name for name in stored if name in needed]
        table = file.read(columns=["frame_index", *columns])
    origin = _read_origin(crops, table["frame_index"].to_numpy())
    nothing = np.empty((len(origin), 0), np.float16)
    arrays = {name: to_array(table[name]) if name in columns else nothing for name in stored}
    layers = tuple(arrays[name] for name in LAYERS if name in stored)
    dim = arrays["grid"].shape[1] // GRID_SIDE**2
    grid = arrays["grid"].reshape(len(origin), GRID_SIDE**2, dim)
    return Features(origin, arrays["cls"], arrays["mean"], grid, layers)


def _read_origin(crops: CropFile, frame_index: NDArray[np.int64]) -> pd.DataFrame:
    ledger = crops.read_ledger().set_index("frame_index")
    return ledger.loc[frame_index, ["video_id", "subject_id", "label", "time_s"]].reset_index()


def _schema(dim: int, layer_dims: Sequence[int]) -> pa.Schema:
    layers = dict(zip(LAYERS, layer_dims, strict=False))  # a backbone has all of them or none
    sizes = {"cls": dim, "mean": dim, "grid": GRID_SIDE**2 * dim, **layers}
    vectors = [(name, pa.list_(pa.float16(), size)) for name, size in sizes.items()]
    return pa.schema([("frame_index", pa.int64()), *vectors])


def _to_table(features: Features, schema: pa.Schema) -> pa.Table:
    frame_index = pa.array(features.origin["frame_index"], pa.int64())
    vectors = [to_column(features.as_rows(name)) for name in features.names]
    return pa.Table.from_arrays([frame_index, *vectors], schema=schema)


def to_column(vectors: Stored) -> pa.FixedSizeListArray:
    """Return (N, F) vectors as a column of N lists."""
    return pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), vectors.shape[1])


def to_array(column: pa.ChunkedArray) -> Stored:
    """Return a column of N lists as (N, F) vectors."""
    size = column.type.list_size
    parts = [chunk.flatten().to_numpy(zero_copy_only=False) for chunk in column.chunks]
    flat = np.concatenate(parts) if parts else np.empty(0, np.float16)
    return np.asarray(flat).reshape(-1, size)
