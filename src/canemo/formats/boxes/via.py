"""Read annotations of the VGG Image Annotator, version 2: project, exported JSON, exported CSV."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from canemo.errors import AnnotationError
from canemo.formats.boxes.labelled import (
    DEFAULT_LABEL,
    DrawnFace,
    LabelledImage,
    Source,
    pick_origin,
    read_csv,
    read_json,
    read_number,
    read_object,
)
from canemo.formats.boxes.shapes import Polygon, bound_ellipse, bound_points, pair_up
from canemo.formats.problems import Problems
from canemo.formats.tables import TABLE_SUFFIXES
from canemo.records import Box

PROJECT_KEY = "_via_img_metadata"
"""Where a project file keeps the images."""

SHAPE_COLUMN = "region_shape_attributes"
"""The column that only VIA's CSV files have."""


def read_via(source: Path, problems: Problems) -> Source:
    """Read a VIA project or the annotations exported from one, as JSON or CSV.

    Notes
    -----
    Rectangles and polygons stay what they are; a polyline of three points or more is taken for an
    outline that its ends close; of circles and ellipses the smallest box around them is kept. The
    label is a region's first attribute.
    """
    entries = (
        _csv_entries(source) if source.suffix.lower() in TABLE_SUFFIXES else _json_entries(source)
    )
    images = []
    for where, entry in entries:
        with problems.gather(where):
            images.append(_read_image(where, read_object(entry, where), problems))
    return Source(images=tuple(images))


def _json_entries(source: Path) -> Iterator[tuple[str, Any]]:
    content = read_json(source)
    if isinstance(content, dict):
        content = content.get(PROJECT_KEY, content)
    if not isinstance(content, dict):
        raise AnnotationError(f"{source}: is no VIA file; export the annotations as JSON or CSV.")
    for key, entry in content.items():
        yield f"image {key!r}", entry


def _csv_entries(source: Path) -> Iterable[tuple[str, Any]]:
    images: dict[str, dict[str, Any]] = {}
    for row in read_csv(source):
        name = row.get("filename") or row.get("#filename")  # as older versions write it
        image = images.setdefault(name, {"filename": name, "regions": []})
        image["file_attributes"] = row.get("file_attributes") or "{}"
        # An image without a region has a row with an empty shape.
        if row.get(SHAPE_COLUMN) not in ("", "{}"):
            image["regions"].append(
                {_SHAPE: row.get(SHAPE_COLUMN), _ATTRIBUTES: row.get("region_attributes")}
            )
    return [(f"image {name!r}", image) for name, image in images.items()]


_SHAPE, _ATTRIBUTES = "shape_attributes", "region_attributes"


def _read_image(where: str, entry: Mapping[str, Any], problems: Problems) -> LabelledImage:
    name = entry.get("filename")
    if not isinstance(name, str) or not name:
        raise AnnotationError(f"'filename' is {name!r}, a text is wanted.")
    regions = entry.get("regions") or []
    faces = []
    # Version 1 keeps the regions in an object.
    listed = regions.values() if isinstance(regions, dict) else regions
    for number, region in enumerate(listed):
        place = f"image {name!r}, region {number}"
        with problems.gather(place):
            faces.append(_read_region(place, read_object(region, "region")))
    about = _read_attributes(entry.get("file_attributes") or {}, "file_attributes")
    return LabelledImage(where, (name,), tuple(faces), extra=pick_origin(about))


def _read_region(where: str, region: Mapping[str, Any]) -> DrawnFace:
    shape = _read_attributes(region.get(_SHAPE), _SHAPE)
    attributes = _read_attributes(region.get(_ATTRIBUTES) or {}, _ATTRIBUTES)
    box, polygons = _read_shape(shape)
    return DrawnFace(where, _read_label(attributes), box, polygons)


def _read_attributes(value: object, name: str) -> Mapping[str, Any]:
    """Return attributes, which are JSON in a cell of the CSV file."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError as exc:
            raise AnnotationError(f"'{name}' is {value!r}, which is not JSON.") from exc
    return read_object(value, name)


def _read_label(attributes: Mapping[str, Any]) -> str:
    value = next(iter(attributes.values()), "")
    if isinstance(value, dict):  # ticked boxes
        value = next((name for name, ticked in value.items() if ticked), "")
    return str(value).strip() or DEFAULT_LABEL


def _read_shape(shape: Mapping[str, Any]) -> tuple[Box, tuple[Polygon, ...]]:
    name = shape.get("name")
    if name == "rect":
        x, y, width, height = (read_number(shape, key) for key in ("x", "y", "width", "height"))
        return (x, y, x + width, y + height), ()
    if name in ("polygon", "polyline"):
        polygon = _read_points(shape)
        return bound_points(polygon), (polygon,)
    if name in ("circle", "ellipse"):
        return _bound_round(shape, is_circle=name == "circle"), ()
    raise AnnotationError(f"the shape is {name!r}; a rect, polygon, circle or ellipse is wanted.")


def _bound_round(shape: Mapping[str, Any], *, is_circle: bool) -> Box:
    centre = read_number(shape, "cx"), read_number(shape, "cy")
    radii = ("r", "r") if is_circle else ("rx", "ry")
    angle_rad = read_number(shape, "theta") if shape.get("theta") else 0.0
    rx, ry = (read_number(shape, radius) for radius in radii)
    return bound_ellipse(centre, (rx, ry), angle_rad=angle_rad)


def _read_points(shape: Mapping[str, Any]) -> Polygon:
    xs, ys = shape.get("all_points_x"), shape.get("all_points_y")
    if not isinstance(xs, list) or not isinstance(ys, list) or len(xs) != len(ys):
        raise AnnotationError("'all_points_x' and 'all_points_y' are not two lists of one length.")
    flat = [value for pair in zip(xs, ys, strict=True) for value in pair]
    return pair_up([read_number({"point": value}, "point") for value in flat])
