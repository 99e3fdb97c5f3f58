"""Features on disk: extracted once per video, cached by content, loaded for many videos.

One Parquet file per video. Where a crop hardly differs from the one embedded before it, it can have
that one's vectors: the file then names the frame and keeps no copy.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from canemo.ahead import read_ahead
from canemo.backbones import Backbone
from canemo.crops import CropFile
from canemo.features import (
    GRID_SIDE,
    LAYERS,
    POOLINGS,
    Array,
    Features,
    Stored,
    compute_features,
    pool,
    require_pooling,
)
from canemo.files import hash_values, replacing
from canemo.records import Image
from canemo.reuse import MAX_AGE_S, REUSE_VERSION, EmbeddingChooser, find_successors

FEATURES_VERSION = 3
BATCHES_AHEAD = 2  # of decoded crops, while the batch before them is embedded
FRAME_COLUMNS = ("frame_index", "embedded_frame")


@dataclass(frozen=True)
class FeatureFile:
    """The features of one video.

    Attributes
    ----------
    path
        Parquet file.
    rows, embedded
        Crops in it, and how many of them were embedded themselves; the others carry the embedding
        of an earlier one.
    cached
        Whether the file was there already.
    """

    path: Path
    rows: int
    embedded: int
    cached: bool


def extract_features(
    crops: CropFile,
    backbone: Backbone,
    *,
    batch_size: int,
    cache_dir: Path,
    reuse_threshold: float | None = None,
    on_batch: Callable[[], None] | None = None,
) -> FeatureFile:
    """Embed the crops of one video, or reuse the cached answer.

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
    reuse_threshold
        A crop that changed no more since the crop last embedded has that one's embedding (see
        `canemo.reuse`); None embeds every crop.
    on_batch
        Called before every batch; what it raises ends the work, and no file is left.
    """
    key = hash_values(
        version=FEATURES_VERSION,
        crops=crops.path.stem,
        backbone=backbone.fingerprint,
        batch_size=batch_size,
        reuse=None if reuse_threshold is None else (REUSE_VERSION, reuse_threshold, MAX_AGE_S),
    )
    path = cache_dir / "features" / f"{key}.parquet"
    cached = path.is_file()
    if not cached:
        _make_feature_file(
            path,
            crops,
            backbone,
            batch_size=batch_size,
            reuse_threshold=reuse_threshold,
            on_batch=on_batch or _go_on,
        )
    frames = pq.read_table(path, columns=list(FRAME_COLUMNS)).to_pandas()
    return FeatureFile(path, rows=len(frames), embedded=int(_is_own(frames).sum()), cached=cached)


def _make_feature_file(
    path: Path,
    crops: CropFile,
    backbone: Backbone,
    *,
    batch_size: int,
    reuse_threshold: float | None,
    on_batch: Callable[[], None],
) -> None:
    schema = _schema(backbone.feature_dim, backbone.layer_dims)
    with (
        replacing(path) as temporary,
        pq.ParquetWriter(temporary, schema, use_dictionary=False) as writer,
        closing(
            read_ahead(_iter_batches(crops, batch_size, reuse_threshold), BATCHES_AHEAD)
        ) as batches,
    ):
        for frames, images in batches:
            on_batch()
            embedded = compute_features(backbone, images, frames[_is_own(frames)])
            writer.write_table(_to_table(embedded, frames, schema))


def _go_on() -> None:
    """Do nothing between two batches."""


def _iter_batches(
    crops: CropFile, batch_size: int, reuse_threshold: float | None
) -> Iterator[tuple[pd.DataFrame, list[Image]]]:
    """Yield frames, and the crops of those of them that are embedded, up to `batch_size` of them.

    A crop that carries an embedding comes with the crop that has it.
    """
    rows: list[tuple[int, int]] = []
    images: list[Image] = []
    for frame_index, embedded_frame, image in _iter_choices(crops, batch_size, reuse_threshold):
        if frame_index == embedded_frame:
            if len(images) == batch_size:
                yield pd.DataFrame(rows, columns=FRAME_COLUMNS), images
                rows, images = [], []
            images.append(image)
        rows.append((frame_index, embedded_frame))
    if rows:
        yield pd.DataFrame(rows, columns=FRAME_COLUMNS), images


def _iter_choices(
    crops: CropFile, batch_size: int, reuse_threshold: float | None
) -> Iterator[tuple[int, int, Image]]:
    """Yield each crop's frame, the frame whose embedding it has, and the crop."""
    if reuse_threshold is None:
        for frames, images in crops.iter_crops(batch_size):
            yield from zip(frames, frames, images, strict=True)
        return
    ledger = crops.read_ledger()
    follows = find_successors(ledger)
    time_s = ledger.dropna(subset=["frame_index"]).set_index("frame_index")["time_s"].to_dict()
    chooser = EmbeddingChooser(reuse_threshold)
    for frames, images in crops.iter_crops(batch_size):
        for frame, image in zip(frames, images, strict=True):
            chosen = chooser.choose(
                image, frame_index=frame, time_s=time_s[frame], follows=frame in follows
            )
            yield frame, chosen, image


def name_embedded_frames(
    ledger: pd.DataFrame, sources: Sequence[tuple[CropFile, Path]]
) -> pd.DataFrame:
    """Return a ledger with ``embedded_frame``: the frame whose embedding stands for each crop's.

    It is the frame itself where its crop was embedded, an earlier one where an embedding was
    carried over, and empty where there is no crop.

    Parameters
    ----------
    ledger
        Rows of one or more videos, as `CropFile.read_ledger` gives them.
    sources
        Crops and file of features of each of these videos that could be read.
    """
    parts = [
        pq.read_table(path, columns=list(FRAME_COLUMNS))
        .to_pandas()
        .astype("Int64")
        .assign(video_id=crops.video.video_id)
        for crops, path in sources
    ]
    keys = ["video_id", "frame_index"]
    return ledger.merge(pd.concat(parts), on=keys, how="left", validate="many_to_one")


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
        stored = [name for name in file.schema_arrow.names if name not in FRAME_COLUMNS]
        columns = stored if needed is None else [name for name in stored if name in needed]
        table = file.read(columns=[*FRAME_COLUMNS, *columns])
    origin = _read_origin(crops, table["frame_index"].to_numpy())
    carry = _find_rows(table.select(FRAME_COLUMNS).to_pandas())
    nothing = np.empty((len(origin), 0), np.float16)
    arrays = {name: carry(to_array(table[name])) if name in columns else nothing for name in stored}
    layers = tuple(arrays[name] for name in LAYERS if name in stored)
    dim = arrays["grid"].shape[1] // GRID_SIDE**2
    grid = arrays["grid"].reshape(len(origin), GRID_SIDE**2, dim)
    return Features(origin, arrays["cls"], arrays["mean"], grid, layers)


def _read_origin(crops: CropFile, frame_index: NDArray[np.int64]) -> pd.DataFrame:
    ledger = crops.read_ledger().set_index("frame_index")
    return ledger.loc[frame_index, ["video_id", "subject_id", "label", "time_s"]].reset_index()


def _is_own(frames: pd.DataFrame) -> NDArray[np.bool_]:
    """Return which crops were embedded themselves."""
    return (frames["frame_index"] == frames["embedded_frame"]).to_numpy()


def _find_rows(frames: pd.DataFrame) -> Callable[[Stored], Stored]:
    """Return what gives every crop its row of the vectors that are kept, one per embedded crop."""
    own = _is_own(frames)
    if own.all():
        return lambda vectors: vectors
    kept = frames["frame_index"].to_numpy()[own]  # in order of time, so in ascending order
    rows = np.searchsorted(kept, frames["embedded_frame"].to_numpy())
    return lambda vectors: vectors[rows]


def _schema(dim: int, layer_dims: Sequence[int]) -> pa.Schema:
    layers = dict(zip(LAYERS, layer_dims, strict=False))  # a backbone has all of them or none
    sizes = {"cls": dim, "mean": dim, "grid": GRID_SIDE**2 * dim, **layers}
    vectors = [(name, pa.list_(pa.float16(), size)) for name, size in sizes.items()]
    return pa.schema([*((name, pa.int64()) for name in FRAME_COLUMNS), *vectors])


def _to_table(embedded: Features, frames: pd.DataFrame, schema: pa.Schema) -> pa.Table:
    """Return a row per frame; one that carries an embedding has no vectors of its own."""
    own = _is_own(frames)
    numbers = [pa.array(frames[name], pa.int64()) for name in FRAME_COLUMNS]
    vectors = [to_column(embedded.as_rows(name)) for name in embedded.names]
    if not own.all():
        rows = pa.array(np.cumsum(own) - 1, mask=~own)
        vectors = [column.take(rows) for column in vectors]
    return pa.Table.from_arrays([*numbers, *vectors], schema=schema)


def to_column(vectors: Stored) -> pa.FixedSizeListArray:
    """Return (N, F) vectors as a column of N lists."""
    return pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), vectors.shape[1])


def to_array(column: pa.ChunkedArray) -> Stored:
    """Return a column of lists as (N, F) vectors, N without those that are null."""
    size = column.type.list_size
    parts = [chunk.flatten().to_numpy(zero_copy_only=False) for chunk in column.chunks]
    flat = np.concatenate(parts) if parts else np.empty(0, np.float16)
    return np.asarray(flat).reshape(-1, size)
