"""Where the regions of a face are in a crop: from landmarks of the study, the model, or bands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from canemo.errors import StudyError
from canemo.faces.landmarks.model import LandmarkModel
from canemo.faces.landmarks.tables import LandmarkTable
from canemo.faces.points import LEAST_CONFIDENCE
from canemo.faces.regions import (
    BANDS,
    MODEL_LANDMARKS,
    STUDY_LANDMARKS,
    Points,
    RegionMasks,
    draw_masks,
    lies_inside,
    place_points,
    shows_face,
)
from canemo.records import Image
from canemo.species import Species

RegionSource: TypeAlias = Literal["auto", "study", "model", "bands"]
MASK_SIDE = 56


@dataclass(frozen=True)
class FoundFaces:
    """Regions of N crops, and points to align them by, (N, K, 2) in pixels of each crop.

    The K points are those of the species; they are the model's where it knows the face, whatever
    the regions are from: those of a study may be few or have other names. NaN where unknown.
    """

    regions: RegionMasks
    points: NDArray[np.float64]


@dataclass(frozen=True)
class FaceFinder:
    """Finds the regions of faces; the first source that knows an eye and the muzzle is taken.

    Attributes
    ----------
    species
        Whose faces they are.
    table
        Landmarks of the study, or None.
    model
        canemo's landmark model, or None: then bands are what is left.
    """

    species: Species
    table: LandmarkTable | None = None
    model: LandmarkModel | None = None

    def find(self, rows: pd.DataFrame, images_rgb: Sequence[Image]) -> FoundFaces:
        """Return the regions of N crops.

        Parameters
        ----------
        rows
            N rows with video_id, frame_index and, for landmarks of a study, the rectangle that was
            cut: crop_x0, crop_y0, crop_x1, crop_y1 [pixels].
        images_rgb
            Their crops (H, W, 3) uint8, RGB.
        """
        own, located = self._look_up(rows), self._locate(images_rgb)
        modelled = np.array(
            [
                face is not None and not shows_face(mine or {}, self.species)
                for mine, face in zip(own, located, strict=True)
            ],
            dtype=bool,
        )
        points = [
            face if is_modelled else mine
            for mine, face, is_modelled in zip(own, located, modelled, strict=True)
        ]
        masks = draw_masks(points, side=MASK_SIDE, species=self.species)
        masks.source[modelled & (masks.source != BANDS)] = MODEL_LANDMARKS
        aligned = [face or mine for mine, face in zip(own, located, strict=True)]
        return FoundFaces(masks, _to_pixels(aligned, images_rgb, self.species.points))

    def note_matches(self, rows: pd.DataFrame, *, required: bool) -> list[str]:
        """Return how many crops have no landmarks of the study, or none that lie in them.

        Raises
        ------
        StudyError
            They are `required`, and no crop has any.
        """
        if self.table is None:
            return []
        placed = self._place(rows)
        absent = sum(points is None for points in placed)
        astray = sum(
            points is not None and not lies_inside(points, self.species) for points in placed
        )
        if required and absent + astray == len(rows):
            raise StudyError(
                f"{self.table.source}: of {len(rows)} frames that are looked at, {astray} have "
                "landmarks outside the face and the others none; frames count from 0 over all "
                "frames of the video, points are pixels of the frame as it is displayed"
            )
        notes = []
        if absent:
            notes.append(f"{absent} of {len(rows)} crops have no landmarks of the study")
        if astray:
            notes.append(
                f"landmarks of {astray} crop(s) are not used, for no eye or no part of the muzzle "
                "lies in the crop: they may be of another size of the video, or of other frames"
            )
        return notes

    def _look_up(self, rows: pd.DataFrame) -> list[Points | None]:
        placed = self._place(rows)
        return [
            points if points and lies_inside(points, self.species) else None for points in placed
        ]

    def _place(self, rows: pd.DataFrame) -> list[Points | None]:
        """Return the study's landmarks of each crop, wherever they lie, or None."""
        if self.table is None:
            return [None] * len(rows)
        found: list[Points | None] = []
        for row in rows.to_dict("records"):
            points = self.table.points_of(row["video_id"], int(row["frame_index"]))
            found.append(place_points(points, _rectangle(row)) if points else None)
        return found

    def _locate(self, images_rgb: Sequence[Image]) -> list[Points | None]:
        if self.model is None:
            return [None] * len(images_rgb)
        found = self.model.locate(images_rgb)
        return [
            _name_points(points, image, self.species.points)
            if np.median(points[:, 2]) >= LEAST_CONFIDENCE
            else None
            for points, image in zip(found, images_rgb, strict=True)
        ]


def describe_sources(sources: Sequence[str]) -> str:
    """Return in one sentence where the regions of crops are from."""
    names = (STUDY_LANDMARKS, MODEL_LANDMARKS, BANDS)
    counts = {name: list(sources).count(name) for name in names}
    parts = [f"{name} ({count} of {len(sources)} crops)" for name, count in counts.items() if count]
    text = "; ".join(parts)
    if counts[BANDS]:
        text += ". Bands tell upper from lower face and face from background, and no more"
    return text


def _rectangle(row: Mapping[Any, Any]) -> tuple[float, float, float, float]:
    x0, y0, x1, y1 = (float(row[f"crop_{name}"]) for name in ("x0", "y0", "x1", "y1"))
    return x0, y0, x1, y1


def _name_points(points: NDArray[np.floating], image: Image, names: Sequence[str]) -> Points:
    height, width = image.shape[:2]
    places = points[:, :2] / np.array([width, height])
    return {name: (float(x), float(y)) for name, (x, y) in zip(names, places, strict=True)}


def _to_pixels(
    points: Sequence[Points | None], images_rgb: Sequence[Image], names: Sequence[str]
) -> NDArray[np.float64]:
    nowhere = (np.nan, np.nan)
    places = np.empty((len(points), len(names), 2))
    for i, (named, image) in enumerate(zip(points, images_rgb, strict=True)):
        height, width = image.shape[:2]
        known = [(named or {}).get(name, nowhere) for name in names]
        places[i] = np.reshape(known, (len(names), 2)) * (width, height)
    return places
