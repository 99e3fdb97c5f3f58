"""The points of the face on every crop of a video: found once, kept, whatever reads them.

Points are those of the species' landmark model, or those that came with the study from another
program. One Parquet file per video, a row per crop in use.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import ClassVar, Protocol

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from canemo.config import PointsSetting
from canemo.errors import ConfigError, StudyError
from canemo.faces.crop_file import CropFile
from canemo.faces.landmarks.model import LandmarkModel, load_landmark_model
from canemo.faces.landmarks.tables import LandmarkTable, load_landmarks
from canemo.faces.regions import (
    MODEL_LANDMARKS,
    STUDY_LANDMARKS,
    Points,
    lies_inside,
    place_points,
)
from canemo.files import hash_values, replacing
from canemo.records import Box, Fate, Image, Study, Video
from canemo.species import Species, get_species

POINTS_VERSION = 1
_BATCH = 32
_CUT = ["crop_x0", "crop_y0", "crop_x1", "crop_y1"]

LEAST_CONFIDENCE = 0.5
"""A face whose median point is trusted less than this is not used to draw regions."""


@dataclass(frozen=True)
class FacePoints:
    """Points of the faces on N crops of one video.

    Attributes
    ----------
    names
        The K points, as their source calls them.
    source
        "landmarks of the study" or "canemo's landmark model".
    species
        Whose faces they are.
    frame_index
        (N,) the frames.
    xyc
        (N, K, 3) x and y [pixels of the displayed frame] and confidence, 0 to 1 (1 where a study
        states none); NaN where a point is not known.
    crop_xyxy
        (N, 4) the rectangle of the frame that each crop shows [pixels].
    """

    names: tuple[str, ...]
    source: str
    species: Species
    frame_index: NDArray[np.int64]
    xyc: NDArray[np.float32]
    crop_xyxy: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.frame_index)

    def select(self, frame_index: Sequence[int]) -> FacePoints:
        """Return the points of some frames, in their order."""
        rows = np.searchsorted(self.frame_index, frame_index)
        if not np.isin(frame_index, self.frame_index).all():
            raise ValueError("the points are of other frames than the crops")
        return FacePoints(
            self.names,
            self.source,
            self.species,
            self.frame_index[rows],
            self.xyc[rows],
            self.crop_xyxy[rows],
        )

    def place(self) -> list[Points | None]:
        """Return the named points of each crop, 0 to 1 of its sides, or None where they are unsure.

        They are where the median confidence is under `LEAST_CONFIDENCE`, or where no eye or no part
        of the muzzle lies in the crop.
        """
        rows = zip(self.xyc.astype(float), self.crop_xyxy.tolist(), strict=True)
        return [self._place_one(xyc, tuple(cut)) for xyc, cut in rows]

    def _place_one(self, xyc: NDArray[np.float64], cut: Box) -> Points | None:
        known = np.isfinite(xyc).all(axis=1)
        if not known.any() or np.median(xyc[known, 2]) < LEAST_CONFIDENCE:
            return None
        named = {self.names[i]: (float(xyc[i, 0]), float(xyc[i, 1])) for i in np.flatnonzero(known)}
        placed = place_points(named, cut)
        return placed if lies_inside(placed, self.species) else None


def join_points(parts: Sequence[FacePoints]) -> FacePoints:
    """Return points that one source found on crops of several videos as those of N crops."""
    first = parts[0]
    return FacePoints(
        first.names,
        first.source,
        first.species,
        np.concatenate([each.frame_index for each in parts]),
        np.concatenate([each.xyc for each in parts]),
        np.concatenate([each.crop_xyxy for each in parts]),
    )


@dataclass(frozen=True)
class PointsFile:
    """The points of one video.

    They are kept at `path`, a row for each of the `rows` crops; `cached` says whether they were
    there already, `seconds` how long it took to find them, or the file.
    """

    path: Path
    rows: int
    cached: bool
    seconds: float = field(default=0.0, compare=False)

    def read(self) -> FacePoints:
        """Return the points."""
        return read_points(pq.read_table(self.path))


class PointFinder(Protocol):
    """Finds the points of the faces on a video's crops."""

    @property
    def source(self) -> str:
        """Where points are from."""
        ...

    @property
    def setting(self) -> PointsSetting:
        """What `measure.points` is where nothing is left open."""
        ...

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a reader of results must know of the points."""
        ...

    @property
    def fingerprint(self) -> str:
        """What a saved model that reads points must be given again; empty: nothing can be."""
        ...

    def address(self, video: Video) -> str:
        """Return a content address: finders that may answer differently for a video differ."""
        ...

    def find(self, crops: CropFile) -> FacePoints:
        """Return the points of every crop in use, in order of time."""
        ...


@dataclass(frozen=True)
class ModelPoints:
    """Points by the species' landmark model, which is loaded when it is first needed."""

    species: Species
    engine: str = "auto"
    device: str = "cpu"
    source: ClassVar[str] = MODEL_LANDMARKS
    setting: ClassVar[PointsSetting] = "model"
    warnings: ClassVar[tuple[str, ...]] = ()

    @cached_property
    def model(self) -> LandmarkModel:
        """The landmark model."""
        return _load_model(self.species.name, self.engine, self.device)

    @property
    def fingerprint(self) -> str:
        """That of the landmark model."""
        return self.model.fingerprint

    def address(self, video: Video) -> str:
        """Return what weights these are; what runs them differs in the last digits only."""
        return self.fingerprint

    def find(self, crops: CropFile) -> FacePoints:
        """Return the points of every crop in use."""
        frames, cut = _list_cuts(crops)
        found = [
            self._place(images, cut[start : start + len(images)])
            for start, images in _iter_images(crops)
        ]
        names = self.species.points
        xyc = np.concatenate([np.zeros((0, len(names), 3), np.float32), *found])
        return FacePoints(names, self.source, self.species, frames, xyc, cut)

    def _place(
        self, images_rgb: Sequence[Image], cut_xyxy: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """Return points in pixels of the frame; a crop may have been shrunk."""
        found = self.model.locate(images_rgb)
        sizes = np.array([image.shape[1::-1] for image in images_rgb], dtype=np.float32)
        corner, extent = cut_xyxy[:, None, :2], cut_xyxy[:, 2:] - cut_xyxy[:, :2]
        found[:, :, :2] = corner + found[:, :, :2] * (extent / sizes)[:, None]
        return found


@lru_cache(maxsize=2)
def _load_model(species: str, engine: str, device: str) -> LandmarkModel:
    return load_landmark_model(get_species(species), engine=engine, device=device)


@dataclass(frozen=True, eq=False)
class StudyPoints:
    """Points that came with the study, in a scheme of any names."""

    species: Species
    table: LandmarkTable
    source: ClassVar[str] = STUDY_LANDMARKS
    setting: ClassVar[PointsSetting] = "study"
    fingerprint: ClassVar[str] = ""

    @property
    def warnings(self) -> tuple[str, ...]:
        """Those of the table."""
        return self.table.warnings

    @cached_property
    def names(self) -> tuple[str, ...]:
        """All points that are known anywhere, in alphabetical order."""
        return tuple(sorted(self.table.table["point"].unique()))

    def address(self, video: Video) -> str:
        """Return what the study's points of this video are known by."""
        points = self._list_own(video).to_csv(index=False)
        return hash_values(names=self.names, points=points)

    def find(self, crops: CropFile) -> FacePoints:
        """Return the points of every crop in use, NaN where the study has none."""
        frames, cut = _list_cuts(crops)
        xyc = np.full((len(frames), len(self.names), 3), np.nan, dtype=np.float32)
        own = self._list_own(crops.video)
        seen = own[own["frame_index"].isin(frames)].fillna({"score": 1.0})
        rows = np.searchsorted(frames, seen["frame_index"])
        columns = pd.Index(self.names).get_indexer(pd.Index(seen["point"]))
        xyc[rows, columns] = seen[["x", "y", "score"]]
        return FacePoints(self.names, self.source, self.species, frames, xyc, cut)

    def _list_own(self, video: Video) -> pd.DataFrame:
        rows = self.table.table
        return rows[rows["video_id"] == video.video_id].drop(columns="video_id")


def choose_points(
    species: Species, *, points: PointsSetting, engine: str, device: str, study: Study | None = None
) -> PointFinder | None:
    """Return what finds the points of faces, or None where nothing does.

    Parameters
    ----------
    species
        Whose faces they are.
    points
        ``study``, ``model``, ``none``, or ``auto``: the study's landmarks where it has any, else
        the species' model, else none.
    engine, device
        What runs the model.
    study
        Whose landmarks may be taken; None: there is none.

    Raises
    ------
    ConfigError
        The model is asked for, and none ships for the species.
    StudyError
        The study's landmarks are asked for and there are none, or they cannot be used.
    """
    table = None
    if study is not None and points in ("auto", "study"):
        table = _load_own(study, species)
    if table is not None:
        return StudyPoints(species, table)
    if points == "study":
        raise StudyError(
            "measure.points = 'study': there is no landmarks.csv or workbook of that name and no "
            "folder landmarks/ in the study; put it there, or take 'model'"
        )
    if points == "none" or (points == "auto" and species.landmark_weights is None):
        return None
    if species.landmark_weights is None:
        raise ConfigError(
            f"measure.points = 'model': no landmark model ships with canemo for the species "
            f"{species.name!r}; take 'none', or put landmarks of your own into the study"
        )
    return ModelPoints(species, engine, device)


def _load_own(study: Study, species: Species) -> LandmarkTable | None:
    """Return the study's landmarks; an error says how to go on without them, too."""
    try:
        return load_landmarks(study)
    except StudyError as exc:
        other = "none" if species.landmark_weights is None else "model"
        raise StudyError(
            f"{exc}; or leave the study's landmarks aside with --set measure.points={other}"
        ) from exc


def extract_points(crops: CropFile, finder: PointFinder, *, cache_dir: Path) -> PointsFile:
    """Find the points of one video's crops, or take the cached answer."""
    start = time.perf_counter()
    path = locate_points(crops, finder, cache_dir=cache_dir)
    cached = path.is_file()
    if not cached:
        table = tabulate_points(finder.find(crops))
        with replacing(path) as temporary:
            pq.write_table(table, temporary)
    rows = pq.read_metadata(path).num_rows
    return PointsFile(path, rows, cached, seconds=time.perf_counter() - start)


def locate_points(crops: CropFile, finder: PointFinder, *, cache_dir: Path) -> Path:
    """Return where `extract_points` keeps the points of a video, made or not."""
    key = hash_values(
        version=POINTS_VERSION, crops=crops.path.stem, finder=finder.address(crops.video)
    )
    return cache_dir / "points" / f"{key}.parquet"


def tabulate_points(points: FacePoints) -> pa.Table:
    """Return a row per crop; names, source and species are in the table's metadata."""
    flat = points.xyc.reshape(len(points), len(points.names) * 3)
    size = len(points.names) * 3
    columns = {
        "frame_index": pa.array(points.frame_index, pa.int64()),
        "points": pa.FixedSizeListArray.from_arrays(pa.array(flat.ravel(), pa.float32()), size),
        "crop_xyxy": pa.FixedSizeListArray.from_arrays(
            pa.array(points.crop_xyxy.ravel().astype(np.float32), pa.float32()), 4
        ),
    }
    metadata = {
        "point_names": json.dumps(points.names),
        "point_source": points.source,
        "species": points.species.name,
    }
    return pa.table(columns).replace_schema_metadata(metadata)


def read_points(table: pa.Table) -> FacePoints:
    """Return what `tabulate_points` made a table of."""
    notes = {key.decode(): value.decode() for key, value in table.schema.metadata.items()}
    names = tuple(json.loads(notes["point_names"]))
    return FacePoints(
        names,
        notes["point_source"],
        get_species(notes["species"]),
        table["frame_index"].to_numpy(),
        _to_rows(table["points"]).reshape(table.num_rows, len(names), 3),
        _to_rows(table["crop_xyxy"]),
    )


def _to_rows(column: pa.ChunkedArray) -> NDArray[np.float32]:
    parts = [chunk.flatten().to_numpy(zero_copy_only=False) for chunk in column.chunks]
    flat = np.concatenate([np.empty(0, np.float32), *parts])
    return np.asarray(flat, dtype=np.float32).reshape(len(column), column.type.list_size)


def _list_cuts(crops: CropFile) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return the frames in use (N,) and what was cut out of each (N, 4) [pixels]."""
    ledger = crops.read_ledger()
    used = ledger[ledger["fate"] == Fate.USED]
    return used["frame_index"].to_numpy(np.int64), used[_CUT].to_numpy(np.float32)


def _iter_images(crops: CropFile) -> Iterator[tuple[int, list[Image]]]:
    """Yield crops, a batch at a time, and how many came before."""
    start = 0
    for _, images in crops.iter_crops(_BATCH):
        yield start, images
        start += len(images)
