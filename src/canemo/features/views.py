"""Augmented views of face crops, embedded once and kept: what a probe is trained on.

The paper's training changes every crop anew in every epoch and passes it through the backbone.
``exact`` does that: as many views as epochs, each seen once. ``views:K`` embeds K views per crop
and draws one of them in every epoch. Both are the same code with another number of views.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pandas as pd
import PIL
import pyarrow as pa
import pyarrow.parquet as pq
import torchvision
from numpy.typing import NDArray

from canemo.config import AugmentConfig, GradientConfig
from canemo.faces.crop_file import CropFile, iter_batches
from canemo.features.augment import augment_crop
from canemo.features.embed import compute_features
from canemo.features.poolings import pool
from canemo.features.store import to_array, to_column
from canemo.files import hash_values, replacing
from canemo.networks.backbones import INPUT_SIDE_PX, Backbone
from canemo.parallel import ProgressFn
from canemo.records import Image

VIEWS_VERSION = 1

Array: TypeAlias = NDArray[np.float16]
ViewBatch: TypeAlias = tuple[NDArray[np.int64], NDArray[np.int64], Array]
"""Frame numbers (n,), numbers of the view (n,) and vectors (n, F)."""


@dataclass
class StudyViews:
    """The augmented views of a study's crops; a video's are made when they are first asked for.

    Attributes
    ----------
    files
        video_id -> crops.
    backbone, pooling
        What embeds a view, and which of its vectors is kept.
    augment, gradient
        How views are made, and how many.
    seed, batch_size, cache_dir
        What draws the views; crops per pass; where they are kept.
    made, cached, seconds
        How many views were embedded, how many were there already, and the time both took [s].
    """

    files: Mapping[str, CropFile]
    backbone: Backbone
    pooling: str
    augment: AugmentConfig
    gradient: GradientConfig
    seed: int
    batch_size: int
    cache_dir: Path
    progress: ProgressFn | None = None
    made: int = 0
    cached: int = 0
    seconds: float = 0.0
    _loaded: dict[str, Array] = field(default_factory=dict)

    def feed(self, video_ids: Sequence[str]) -> Callable[[int], NDArray[np.float16]]:
        """Return what gives the (N, F) features of an epoch, from 0, for the crops of videos.

        Rows are in the order of `video_ids` and of time.
        """
        parts = self._load(video_ids)
        total = sum(map(len, parts))
        exact = self.gradient.feed == "exact"

        def features_of(epoch: int) -> NDArray[np.float16]:
            rng = np.random.default_rng([self.seed, epoch])
            drawn = rng.integers(0, self.gradient.views, total)
            chosen = np.full(total, epoch) if exact else drawn
            out = np.empty((total, parts[0].shape[2]), np.float16)
            start = 0
            for part in parts:
                rows = slice(start, start + len(part))
                out[rows] = part[np.arange(len(part)), chosen[rows]]
                start += len(part)
            return out

        return features_of

    def _load(self, video_ids: Sequence[str]) -> list[Array]:
        start = time.perf_counter()
        for done, video_id in enumerate(video_ids):
            if video_id not in self._loaded:
                self._loaded[video_id] = self._extract(self.files[video_id])
                if self.progress is not None:
                    self.progress(done + 1, len(video_ids))
        self.seconds += time.perf_counter() - start
        return [self._loaded[video_id] for video_id in video_ids]

    def path_of(self, crops: CropFile) -> Path:
        """Return where the views of one video are kept."""
        key = hash_values(
            version=VIEWS_VERSION,
            pixels=(PIL.__version__, torchvision.__version__),
            crops=crops.path.stem,
            backbone=self.backbone.fingerprint,
            pooling=self.pooling,
            augment=self.augment.model_dump(),
            views=self.gradient.views,
            seed=self.seed,
            batch_size=self.batch_size,
        )
        return self.cache_dir / "views" / f"{key}.parquet"

    def _extract(self, crops: CropFile) -> Array:
        """Return the (n, views, F) features of one video, from the cache if they are there."""
        path = self.path_of(crops)
        made = not path.is_file()
        if made:
            write_views(path, self._embed(crops))
        vectors = to_array(pq.read_table(path, columns=["vector"])["vector"]).astype(np.float16)
        if made:
            self.made += len(vectors)
        else:
            self.cached += len(vectors)
        return vectors.reshape(-1, self.gradient.views, vectors.shape[1])

    def _embed(self, crops: CropFile) -> Iterator[ViewBatch]:
        for items in iter_batches(self._iter_views(crops), self.batch_size):
            origin = pd.DataFrame([(frame, view) for frame, view, _ in items])
            features = compute_features(self.backbone, [image for *_, image in items], origin)
            vectors = pool(features, self.pooling).astype(np.float16)
            yield origin[0].to_numpy(), origin[1].to_numpy(), vectors

    def _iter_views(self, crops: CropFile) -> Iterator[tuple[int, int, Image]]:
        """Yield frame, view and picture; a view depends on seed, footage, frame and its number."""
        footage = int(crops.path.stem, 16)
        for frames, images in crops.iter_crops(self.batch_size):
            for frame, image in zip(frames, images, strict=True):
                for view in range(self.gradient.views):
                    seed = (self.seed, footage, frame, view)
                    yield (
                        frame,
                        view,
                        augment_crop(image, self.augment, side_px=INPUT_SIDE_PX, seed=seed),
                    )


def write_views(path: Path, batches: Iterable[ViewBatch]) -> Path:
    """Write the views of one video: frame by frame, and view by view within a frame."""
    writer: pq.ParquetWriter | None = None
    with replacing(path) as temporary:
        for frame_index, view, vectors in batches:
            columns = [
                pa.array(frame_index, pa.int64()),
                pa.array(view, pa.int32()),
                to_column(vectors),
            ]
            table = pa.table(columns, names=["frame_index", "view", "vector"])
            writer = writer or pq.ParquetWriter(temporary, table.schema, use_dictionary=False)
            writer.write_table(table)
        if writer is not None:
            writer.close()
    return path
