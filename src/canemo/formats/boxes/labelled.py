"""What the readers of the formats hand over: labelled images and labelled videos."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from canemo.errors import AnnotationError
from canemo.formats import tables
from canemo.formats.boxes.shapes import Polygon
from canemo.formats.delimited import TableFileError
from canemo.records import Box

DEFAULT_LABEL = "face"
"""What a face is called where the source has no word for it."""

ORIGIN_FIELDS = ("subject_id", "video_id", "frame_index", "time_s")
"""Fields of an image entry that say where the picture is from."""


@dataclass(frozen=True)
class DrawnFace:
    """One face as drawn, not yet cut to its image; `where` is its place in the source."""

    where: str
    label: str
    box_xyxy: Box
    polygons: tuple[Polygon, ...] = ()


@dataclass(frozen=True)
class LabelledImage:
    """One picture of a source.

    `names` are the file names it may have, the likeliest first; `size` is the width and height
    [px] the source states, if it does.
    """

    where: str
    names: tuple[str, ...]
    faces: tuple[DrawnFace, ...] = ()
    size: tuple[int, int] | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class KeyBox:
    """A face at one place of a track.

    `position` is a frame number of the video, or seconds in a video that is `in_seconds`.
    `visible` holds on that very frame, `continues` from there to the next key box. `is_key` is
    False where the labelling tool, not a person, put the box.
    """

    position: float
    face: DrawnFace
    visible: bool = True
    continues: bool = True
    is_key: bool = True


@dataclass(frozen=True)
class Track:
    """One face over time; `boxes` are in order of their positions, each position once."""

    where: str
    boxes: tuple[KeyBox, ...]


@dataclass(frozen=True)
class LabelledVideo:
    """The tracks drawn on one video.

    `names` are the file names it may have; `size` is the width and height that the boxes refer to,
    None for the pixels of the video.
    """

    where: str
    names: tuple[str, ...]
    tracks: tuple[Track, ...]
    size: tuple[int, int] | None = None
    in_seconds: bool = False


@dataclass(frozen=True)
class Source:
    """All that one source holds; `unlabelled` has a line for each thing nobody has labelled."""

    images: tuple[LabelledImage, ...] = ()
    videos: tuple[LabelledVideo, ...] = ()
    unlabelled: tuple[str, ...] = ()


def read_text(path: Path) -> str:
    """Read a UTF-8 text file; AnnotationError if that fails."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as exc:
        raise AnnotationError(f"{path}: cannot be read ({exc.strerror}).") from exc
    except UnicodeDecodeError as exc:
        raise AnnotationError(f"{path}: is not UTF-8 text; save it as UTF-8.") from exc


def read_headings(path: Path) -> str:
    """Return the first line of a table; AnnotationError if the file cannot be read."""
    try:
        return tables.read_text(path).first_line
    except TableFileError as exc:
        raise AnnotationError(f"{path}: {exc}.") from exc


def read_csv(path: Path, *, required: Sequence[str] = ()) -> tables.Table:
    """Read a table; AnnotationError if that fails or a column is not there."""
    table = tables.read_table(path, required=required)
    if table.is_broken:
        told = "; ".join(problem.describe() for problem in table.problems)
        raise AnnotationError(f"{path.parent}: {told}.")
    return table


def read_json(path: Path) -> Any:
    """Read a JSON file; AnnotationError if that fails."""
    if not path.exists():
        raise AnnotationError(f"{path}: there is no such file")
    try:
        return json.loads(read_text(path))
    except (ValueError, RecursionError) as exc:
        raise AnnotationError(
            f"{path}: is not JSON ({exc}); a file that an annotation tool exported is wanted"
        ) from exc


def read_number(values: Mapping[str, Any], key: str) -> float:
    """Read a finite number, which may be written as text; AnnotationError if it is none."""
    value = values.get(key)
    try:
        number = math.nan if isinstance(value, bool) or value is None else float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise AnnotationError(f"'{key}' is {value!r}, a number is wanted.")
    return number


def read_object(value: object, name: str) -> Mapping[str, Any]:
    """Return a JSON object as it is; AnnotationError if it is something else."""
    if not isinstance(value, dict):
        raise AnnotationError(f"'{name}' is {value!r}, an object is wanted.")
    return value


def read_size(values: Mapping[str, Any], width_key: str, height_key: str) -> tuple[int, int]:
    """Read a width and a height [px] above zero; AnnotationError if they are not."""
    width, height = read_number(values, width_key), read_number(values, height_key)
    if width < 1 or height < 1:
        raise AnnotationError(f"the size is {width:g} x {height:g}, at least 1 x 1 is wanted.")
    return round(width), round(height)


def pick_origin(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields that say where a picture is from, where there are any."""
    return {key: values[key] for key in ORIGIN_FIELDS if values.get(key) not in (None, "")}
