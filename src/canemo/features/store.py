"""Features on disk: extracted once per video, cached by content, loaded for many videos.

One Parquet file per video, a row per crop in use.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from canemo.faces.crop_file import CropFile
from canemo.faces.geometry import tabulate_faces
from canemo.faces.points import FacePoints, PointsFile, read_points, tabulate_points
from canemo.faces.regions import REGIONS_VERSION, cover_cells
from canemo.features.embed import GRID_SIDE, LAYERS, Array, Features, Stored, compute_features
from canemo.features.poolings import GEOMETRY, REGION, list_needs, pool
from canemo.files import hash_values, replacing
from canemo.networks.backbones import Backbone
from canemo.parallel import read_ahead
from canemo.species import Species

FEATURES_VERSION = 4
STORED = ("cls", "mean", "grid", *LAYERS)
_REGIONS = ("region", "region_share")
_POINTS = ("points", "crop_xyxy")
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
    species: Species,
    points: PointsFile | None = None,
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
    species
        Whose faces they are: whose regions tokens are averaged over.
    points
        Those of the crops, kept beside the features; without them, regions are the fixed bands.
    batch_size
        Crops per pass. Batches never span two videos, so a video's features do not depend on its
        company.
    cache_dir
        Where the file is kept.
    on_batch
        Called before every batch; what it raises ends the work, and no file is left.
    """
    start = time.perf_counter()
    path = locate_features(
        crops, backbone, species=species, points=points, batch_size=batch_size, cache_dir=cache_dir
    )
    cached = path.is_file()
    if not cached:
        parts = _embed_batches(
            crops, backbone, species, points, batch_size=batch_size, on_batch=on_batch or _go_on
        )
        schema = _make_schema(backbone, species, points)
        with (
            replacing(path) as temporary,
            pq.ParquetWriter(temporary, schema, use_dictionary=False) as writer,
        ):
            for part in parts:
                writer.write_table(_to_table(part, schema))
    rows = pq.read_metadata(path).num_rows
    return FeatureFile(path, rows, cached, seconds=time.perf_counter() - start)


def locate_features(
    crops: CropFile,
    backbone: Backbone,
    *,
    species: Species,
    points: PointsFile | None = None,
    batch_size: int,
    cache_dir: Path,
) -> Path:
    """Return where `extract_features` keeps the features of a video, made or not."""
    key = hash_values(
        version=FEATURES_VERSION,
        crops=crops.path.stem,
        backbone=backbone.fingerprint,
        batch_size=batch_size,
        regions=(REGIONS_VERSION, species.name, None if points is None else points.path.stem),
    )
    return cache_dir / "features" / f"{key}.parquet"


_Part: TypeAlias = tuple[Features, NDArray[np.bool_], FacePoints | None]
"""The features of some crops, whether landmarks drew their regions, and their points."""


def _embed_batches(
    crops: CropFile,
    backbone: Backbone,
    species: Species,
    points: PointsFile | None,
    *,
    batch_size: int,
    on_batch: Callable[[], None],
) -> Iterator[_Part]:
    known = None if points is None else points.read()
    with closing(read_ahead(crops.iter_crops(batch_size), BATCHES_AHEAD)) as batches:
        for frames, images in batches:
            on_batch()
            own = None if known is None else known.select(frames)
            placed = [None] * len(frames) if own is None else own.place()
            cells = cover_cells(placed, backbone.grid_shape, species)
            origin = pd.DataFrame({"frame_index": frames})
            yield compute_features(backbone, images, origin, regions=cells), cells.is_drawn, own


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
        region=_join([part.region for part in parts]),
        region_share=_join([part.region_share for part in parts]),
        region_names=parts[0].region_names,
        geometry=_join([part.geometry for part in parts]),
    )


def _join(parts: Sequence[NDArray[Any] | None]) -> NDArray[Any] | None:
    """Return all rows, or None where a part has none."""
    there = [part for part in parts if part is not None]
    return np.concatenate(there) if len(there) == len(parts) else None


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
        there = file.schema_arrow.names
        wanted = set(there) if needed is None else {"frame_index", *needed}
        wanted |= {*_POINTS} if GEOMETRY in wanted else set()
        wanted |= {*_REGIONS} if REGION in wanted else set()
        table = file.read(columns=[name for name in there if name in wanted])
    origin = _read_origin(crops, table["frame_index"].to_numpy())
    nothing = np.empty((len(origin), 0), np.float16)
    stored = [name for name in STORED if name in there]
    read = {name: to_array(table[name]) if name in wanted else nothing for name in stored}
    grid = read["grid"].reshape(len(origin), GRID_SIDE**2, read["grid"].shape[1] // GRID_SIDE**2)
    layers = tuple(read[name] for name in LAYERS if name in stored)
    features = Features(origin, read["cls"], read["mean"], grid, layers)
    return _add_geometry(_add_regions(features, table), table)


def _add_regions(features: Features, table: pa.Table) -> Features:
    if REGION not in table.column_names:
        return features
    share = to_array(table["region_share"]).astype(np.float32)
    names = tuple(json.loads(table.schema.metadata[b"region_names"]))
    flat = to_array(table[REGION])
    tokens = flat.reshape(len(features), len(names), flat.shape[1] // len(names))
    return replace(features, region=tokens, region_share=share, region_names=names)


def _add_geometry(features: Features, table: pa.Table) -> Features:
    if not {*_POINTS} <= {*table.column_names}:
        return features
    points = read_points(table)
    return replace(features, geometry=tabulate_faces(points.xyc, points.names, points.species))


def count_bands(sources: Sequence[tuple[CropFile, Path]]) -> tuple[int, int]:
    """Return of how many crops the regions are the fixed bands, for want of points, and of all."""
    drawn = [pq.read_table(path, columns=["is_drawn"])["is_drawn"] for _, path in sources]
    crops = sum(map(len, drawn))
    return crops - sum(pc.sum(each).as_py() or 0 for each in drawn), crops


def _read_origin(crops: CropFile, frame_index: NDArray[np.int64]) -> pd.DataFrame:
    ledger = crops.read_ledger().set_index("frame_index")
    return ledger.loc[frame_index, ["video_id", "subject_id", "label", "time_s"]].reset_index()


def count_bytes(backbone: Backbone, species: Species) -> int:
    """Return how much room the features of one crop take on disk [bytes]."""
    sizes = _list_sizes(backbone, len(species.regions) - 1)
    return sum(sizes.values()) * np.float16().itemsize


def _list_sizes(backbone: Backbone, regions: int) -> dict[str, int]:
    """Return how many numbers are kept of a crop, by the name of the column."""
    dim = backbone.feature_dim
    layers = dict(zip(LAYERS, backbone.layer_dims, strict=False))  # all of them or none
    return {"cls": dim, "mean": dim, "grid": GRID_SIDE**2 * dim, **layers, REGION: regions * dim}


def _make_schema(backbone: Backbone, species: Species, points: PointsFile | None) -> pa.Schema:
    names = species.regions[:-1]
    sizes = _list_sizes(backbone, len(names))
    schema = pa.schema(
        [
            ("frame_index", pa.int64()),
            *((name, pa.list_(pa.float16(), size)) for name, size in sizes.items()),
            ("region_share", pa.list_(pa.float32(), len(names))),
            ("is_drawn", pa.bool_()),
        ]
    )
    notes = {b"region_names": json.dumps(names).encode()}
    if points is None:
        return schema.with_metadata(notes)
    kept = pq.read_schema(points.path)
    for name in _POINTS:
        schema = schema.append(kept.field(name))
    return schema.with_metadata({**kept.metadata, **notes})


def _to_table(part: _Part, schema: pa.Schema) -> pa.Table:
    """Return a row per crop."""
    features, is_drawn, points = part
    vectors = {name: to_column(features.as_rows(name)) for name in features.names}
    columns = {
        "frame_index": pa.array(features.origin["frame_index"], pa.int64()),
        **vectors,
        "region_share": to_column(features.as_rows("region_share")),
        "is_drawn": pa.array(is_drawn),
    }
    if points is not None:
        table = tabulate_points(points)
        columns |= {name: table[name].combine_chunks() for name in _POINTS}
    return pa.Table.from_arrays([columns[name] for name in schema.names], schema=schema)


def to_column(vectors: Stored) -> pa.FixedSizeListArray:
    """Return (N, F) vectors as a column of N lists."""
    return pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), vectors.shape[1])


def to_array(column: pa.ChunkedArray) -> Stored:
    """Return a column of N lists as (N, F) vectors."""
    size = column.type.list_size
    parts = [chunk.flatten().to_numpy(zero_copy_only=False) for chunk in column.chunks]
    flat = np.concatenate(parts) if parts else np.empty(0, np.float16)
    return np.asarray(flat).reshape(-1, size)
