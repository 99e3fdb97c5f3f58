"""What probes read of faces beside their pixels, for crops of a study and for pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache

import numpy as np
import pandas as pd

from canemo.explain.faces import Faces, look_at, look_without
from canemo.faces.crop_file import CropFile
from canemo.faces.points import FacePoints, ModelPoints, PointFinder, join_points
from canemo.features.extraction import Extraction
from canemo.networks.backbones import Backbone
from canemo.records import Image
from canemo.species import Species


class StudyFaces:
    """Looks up faces of a study's crops: the points that were found when they were embedded."""

    def __init__(
        self, extraction: Extraction, files: Mapping[str, CropFile], backbone: Backbone
    ) -> None:
        self._extraction, self._files, self._backbone = extraction, files, backbone
        self._read = cache(self._read_points)  # a clip's rows come one after the other

    @property
    def names(self) -> tuple[str, ...]:
        """Of the points that are found; none where nothing finds any."""
        first = next(iter(self._files))
        return () if self._extraction.finder is None else self._read(first).names

    def look(self, rows: pd.DataFrame, _: Sequence[Image]) -> Faces:
        """Return what is known of the faces of some crops, by video_id and frame_index."""
        grid = self._backbone.grid_shape
        if self._extraction.finder is None:
            return look_without(len(rows), grid, self._extraction.config.species)
        places = rows[["video_id", "frame_index"]].itertuples(index=False)
        found = [self._read(name).select([int(frame)]) for name, frame in places]
        return look_at(join_points(found), grid)

    def _read_points(self, video_id: str) -> FacePoints:
        found = self._extraction.measure(self._files[video_id])
        if found is None:
            raise ValueError("nothing finds points")
        return found.read()


class PictureFaces:
    """Finds points on pictures of faces; without a `finder` their regions are the fixed bands."""

    def __init__(self, finder: PointFinder | None, species: Species, backbone: Backbone) -> None:
        self._finder = finder if isinstance(finder, ModelPoints) else None  # no study is at hand
        self._species, self._backbone = species, backbone

    @property
    def names(self) -> tuple[str, ...]:
        """Of the points that are found."""
        return () if self._finder is None else self._species.points

    def look(self, _: pd.DataFrame, images_rgb: Sequence[Image]) -> Faces:
        """Return what is known of the faces on some crops."""
        grid = self._backbone.grid_shape
        if self._finder is None:
            return look_without(len(images_rgb), grid, self._species)
        whole = np.array([(0, 0, *image.shape[1::-1]) for image in images_rgb], np.float32)
        points = FacePoints(
            self._species.points,
            self._finder.source,
            self._species,
            np.zeros(len(images_rgb), dtype=np.int64),
            self._finder.model.locate(images_rgb),
            whole,
        )
        return look_at(points, grid)
