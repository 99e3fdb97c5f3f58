"""Features on disk: extracted once per video, cached by content, loaded for many videos.

One Parquet file per video, a row per crop in use.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from canemo.faces.crop_file import CropFile
from canemo.features.embed import GRID_SIDE, LAYERS, Array, Features, Stored, compute_features
from canemo.features.poolings import list_needs, pool
from canemo.files import hash_values, replacing
from canemo.networks.backbones import Backbone
from canemo.parallel import read_ahead

FEATURES_VERSION = 3
STORED = ("cls", "mean", "grid", *LAYERS)
BATCHES_AHEAD = 2  # of decoded crops, while the batch before them is embedded


@dataclass(frozen=True)
class FeatureFile:
    """The features of one video.

    Attributes
    ----------
    path
        Parquet file.
    rows
        Crops in it.
    cached
        Whether the file was there already.
    seconds
        How long it took to make or to find [s].
    """

    path: Path
    rows: int
    cached: bool
    seconds: float = field(default=0.0, compare=False)


def extract_features(
    crops: CropFile,
    backbone: Backbone,
    *,
    batch_size: int,
    cache_dir: Path,
    on_batch: Callable[[], None] | None = None,
) -> FeatureFile:
    """Embed the crops of one video, or take the cached answer.

    Parameters
    ----------
    crops
        The video's crops.
    backbone
        What embeds them.
    batch_size
        Crops per pass. Batches never span two videos, so a video's features do not depend on its
        company.
    cache_dir
        Where the file is kept.
    on_batch
        Called before every batch; what it raises ends the work, and no file is left.
    """
    start = time.perf_counter()
    path = locate_features(crops, backbone, batch_size=batch_size, cache_dir=cache_dir)
    cached = path.is_file()
    if not cached:
        _make_feature_file(
            path, crops, backbone, batch_size=batch_size, on_batch=on_batch or _go_on
        )
    rows = pq.read_metadata(path).num_rows
    return FeatureFile(path, rows, cached, seconds=time.perf_counter() - start)


def locate_features(
    crops: CropFile, backbone: Backbone, *, batch_size: int, cache_dir: Path
) -> Path:
    """Return where `extract_features` keeps the features of a video, made or not."""
    key = hash_values(
        version=FEATURES_VERSION,
        crops=crops.path.stem,
        backbone=backbone.fingerprint,
        batch_size=batch_size,
        reuse=None,  # says nothing any more; without it, no cache made so far would be found
    )
    return cache_dir / "features" / f"{key}.parquet"


def _make_feature_file(
    path: Path,
    crops: CropFile,
    backbone: Backbone,
    *,
    batch_size: int,
    on_batch: Callable[[], None],
) -> None:
    schema = _schema(backbone.feature_dim, backbone.layer_dims)
    with (
        replacing(path) as temporary,
        pq.ParquetWriter(temporary, schema, use_dictionary=False) as writer,
        closing(read_ahead(crops.iter_crops(batch_size), BATCHES_AHEAD)) as batches,
    ):
        for frames, images in batches:
            on_batch()
            origin = pd.DataFrame({"frame_index": frames})
            embedded = compute_features(backbone, images, origin)
            writer.write_table(_to_table(embedded, schema))


def _go_on() -> None:
    """Do nothing between two batches."""


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
        Representations, see `canemo.features.poolings`.

    Returns
    -------
    tuple of DataFrame and dict
        N rows of origin as in `Features`; pooling -> (N, F) float32.

    Raises
    ------
    ConfigError
        There is no such pooling, or none of this backbone; those there are are named.
    """
    needed = {name for pooling in poolings for name in list_needs(pooling)}
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
        stored = [name for name in STORED if name in file.schema_arrow.names]
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


def count_bytes(backbone: Backbone) -> int:
    """Return how much room the features of one crop take on disk [bytes]."""
    _, *vectors = _schema(backbone.feature_dim, backbone.layer_dims).types
    return sum(int(vector.list_size) for vector in vectors) * np.float16().itemsize


def _schema(dim: int, layer_dims: Sequence[int]) -> pa.Schema:
    layers = dict(zip(LAYERS, layer_dims, strict=False))  # a backbone has all of them or none
    sizes = {"cls": dim, "mean": dim, "grid": GRID_SIDE**2 * dim, **layers}
    vectors = [(name, pa.list_(pa.float16(), size)) for name, size in sizes.items()]
    return pa.schema([("frame_index", pa.int64()), *vectors])


def _to_table(embedded: Features, schema: pa.Schema) -> pa.Table:
    """Return a row per crop."""
    frames = pa.array(embedded.origin["frame_index"], pa.int64())
    vectors = [to_column(embedded.as_rows(name)) for name in embedded.names]
    return pa.Table.from_arrays([frames, *vectors], schema=schema)


def to_column(vectors: Stored) -> pa.FixedSizeListArray:
    """Return (N, F) vectors as a column of N lists."""
    return pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), vectors.shape[1])


def to_array(column: pa.ChunkedArray) -> Stored:
    """Return a column of N lists as (N, F) vectors."""
    size = column.type.list_size
    parts = [chunk.flatten().to_numpy(zero_copy_only=False) for chunk in column.chunks]
    flat = np.concatenate(parts) if parts else np.empty(0, np.float16)
    return np.asarray(flat).reshape(-1, size)
