"""What a probe reads of a face beside its pixels: where its regions are, and its measures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from canemo.errors import ConfigError
from canemo.faces.geometry import tabulate_faces
from canemo.faces.points import FacePoints
from canemo.faces.regions import RegionCells, cover_cells
from canemo.features.embed import Array, Features, make_features
from canemo.features.poolings import GEOMETRY, list_needs
from canemo.networks.backbones import Backbone
from canemo.records import Image
from canemo.species import Species


@dataclass(frozen=True)
class Faces:
    """N faces as they were found in the crops before anything was covered.

    Whatever is then done to the pixels, a region stays where it is and a measure what it is: a map
    says what the probe makes of the pixels, not how points are found.

    Attributes
    ----------
    regions
        R names.
    cover
        (N, R, P) float32, of each of the backbone's P positions the share that each region covers.
    geometry
        (N, F) float32, the block `geometry`, or None where no points are known.
    """

    regions: tuple[str, ...]
    cover: Array
    geometry: Array | None = None

    def __len__(self) -> int:
        return len(self.cover)

    def take(self, rows: NDArray[np.integer] | slice) -> Faces:
        """Return some of the faces."""
        geometry = None if self.geometry is None else self.geometry[rows]
        return replace(self, cover=self.cover[rows], geometry=geometry)

    def repeat(self, times: int) -> Faces:
        """Return every face several times in a row."""
        return self.take(np.repeat(np.arange(len(self)), times))

    def share(self, regions: Sequence[str]) -> Array:
        """Return the share of each position in the mean token of some regions, (N, P).

        They sum to 1; all positions count alike where none of the regions is in view.
        """
        cover = self.cover[:, [self.regions.index(name) for name in regions]].sum(axis=1)
        total = cover.sum(axis=1, keepdims=True)
        even = np.full_like(cover, 1 / cover.shape[1])
        return np.asarray(np.where(total > 0, cover / np.where(total > 0, total, 1), even))


def look_at(points: FacePoints, grid_shape: tuple[int, int]) -> Faces:
    """Return what is known of N faces by their points, on a backbone's grid of positions."""
    cells = cover_cells(points.place(), grid_shape, points.species)
    geometry = tabulate_faces(points.xyc, points.names, points.species)
    return Faces(cells.names, cells.shares, geometry)


def look_without(number: int, grid_shape: tuple[int, int], species: Species) -> Faces:
    """Return what is known of faces of which nothing finds points: their bands."""
    cells = cover_cells([None] * number, grid_shape, species)
    return Faces(cells.names, cells.shares)


def see(images_rgb: Sequence[Image], backbone: Backbone, faces: Faces | None) -> Features:
    """Return the features of N crops, float32, with what is known of their faces."""
    embedding = backbone.embed(images_rgb)
    origin = pd.DataFrame(index=range(len(images_rgb)))
    if faces is None:
        return make_features(embedding, backbone.grid_shape, origin)
    cells = RegionCells(faces.regions, faces.cover, np.ones(len(faces), dtype=bool))
    features = make_features(embedding, backbone.grid_shape, origin, regions=cells)
    return replace(features, geometry=faces.geometry)


def reads_pixels(pooling: str) -> bool:
    """Return whether a representation reads more of a face than its measures."""
    return {*list_needs(pooling)} != {GEOMETRY}


def require_faces(faces: Faces | None, pooling: str) -> Faces:
    """Return the faces; ConfigError where a representation reads them and they are not known."""
    if faces is None or (faces.geometry is None and GEOMETRY in list_needs(pooling)):
        raise ConfigError(
            f"the pooling {pooling!r} reads points of the face, which are not known of these crops"
        )
    return faces
