"""Read annotation files in COCO's format: boxes and outlines on images, nothing else of it."""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from canemo.errors import AnnotationError
from canemo.files import write_atomically
from canemo.formats.boxes.labelled import read_json
from canemo.formats.boxes.shapes import (
    Polygon,
    bound_points,
    clip_box,
    clip_polygon,
    compute_area,
    measure_area,
    pair_up,
)
from canemo.formats.problems import Problems
from canemo.records import Box

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class AnnotatedImage:
    """One image of a COCO file and the boxes drawn on it.

    `boxes_xyxy` are pixels of the image as stored, clipped to it; `categories` names each box's
    category; `extra` holds the entry's fields that COCO does not define. `polygons` has one entry
    per box: the outlines drawn around the same thing, none where only a box was drawn. Left out,
    it is filled up with none.
    """

    path: Path
    width: int
    height: int
    boxes_xyxy: tuple[Box, ...] = ()
    categories: tuple[str, ...] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)
    polygons: tuple[tuple[Polygon, ...], ...] = ()

    def __post_init__(self) -> None:
        if not self.polygons and self.boxes_xyxy:
            object.__setattr__(self, "polygons", ((),) * len(self.boxes_xyxy))

    @property
    def stem(self) -> str:
        """The file name without folder and ending."""
        return self.path.stem


_IMAGE_FIELDS = frozenset({"id", "file_name", "width", "height"})
# Beyond this, and where it is not a number at all, a coordinate is a mistake.
_LARGEST_COORDINATE = 1e9


def load_coco(
    coco_file: Path,
    *,
    images_dir: Path | None = None,
    categories: Collection[str] | None = None,
    skip_invalid: bool = False,
) -> tuple[AnnotatedImage, ...]:
    """Load the images of a COCO file with their boxes and outlines.

    Parameters
    ----------
    coco_file
        JSON file with ``images``, ``annotations`` and ``categories``.
    images_dir
        Folder of the images. None means ``images/`` beside the file where there is such a folder,
        else the file's own folder; an image that is not in ``images/`` but is in the file's own
        folder is taken from there.
    categories
        Names of the categories to keep; None keeps all. Images that lose all their boxes stay, as
        images without a box.
    skip_invalid
        Whether entries that cannot be used are left out, each with a warning in the log, instead
        of being an error.

    Returns
    -------
    tuple of AnnotatedImage
        In the order of the file.

    Raises
    ------
    AnnotationError
        If the file cannot be read, has no such category, or has entries that are broken, repeat an
        id or refer to an unknown image or category. The message lists all such entries.

    Notes
    -----
    Crowd regions (``iscrowd`` = 1) are left out. Run-length masks count as no outline. An outline
    without a box gets the smallest box around it. Image files are not opened. Of images that share
    an id none is kept, as nothing says which of them a box is on.
    """
    problems = Problems(coco_file, skip_invalid=skip_invalid)
    images = read_coco(coco_file, problems, images_dir=images_dir, categories=categories)
    problems.close()
    return images


def read_coco(
    coco_file: Path,
    problems: Problems,
    *,
    images_dir: Path | None = None,
    categories: Collection[str] | None = None,
) -> tuple[AnnotatedImage, ...]:
    """Read the usable part of a COCO file and note the rest in `problems`; see `load_coco`."""
    content = _read_lists(coco_file)
    names = _category_names(content, problems)
    _check_wanted(categories, names, coco_file)
    images = _images_by_id(content, problems)
    drawn = _drawn_by_image(content, images, names, categories, problems)
    _log_masks(content["annotations"], coco_file)
    return tuple(
        _annotated_image(_find_image(entry["file_name"], coco_file, images_dir), entry, faces)
        for entry, faces in ((images[image_id], drawn[image_id]) for image_id in images)
    )


def write_coco(coco_file: Path, images: Sequence[AnnotatedImage]) -> Path:
    """Write images, boxes and outlines to a COCO file, complete or not at all.

    The path of each image is written as its file name, as it is; coordinates are rounded to 1/1000
    pixel. `load_coco` reads the same images from the file.
    """
    names = sorted({name for image in images for name in image.categories})
    entries: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for image_id, image in enumerate(images, start=1):
        size = {"width": image.width, "height": image.height}
        entries.append({**image.extra, "id": image_id, "file_name": image.path.as_posix(), **size})
        drawn = zip(image.boxes_xyxy, image.categories, image.polygons, strict=True)
        for box, name, polygons in drawn:
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image_id,
                    "category_id": names.index(name) + 1,
                    **_describe_drawn(box, polygons),
                }
            )
    categories = [{"id": number, "name": name} for number, name in enumerate(names, start=1)]
    content = {"images": entries, "annotations": annotations, "categories": categories}
    return write_atomically(coco_file, json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def _describe_drawn(box: Box, polygons: Sequence[Polygon]) -> dict[str, Any]:
    x0, y0, x1, y1 = box
    areas = [compute_area(polygon) for polygon in polygons]
    return {
        "bbox": [round(value, 3) for value in (x0, y0, x1 - x0, y1 - y0)],
        "area": round(sum(areas) if areas else measure_area(box), 3),
        "segmentation": [
            [round(value, 3) for point in polygon for value in point] for polygon in polygons
        ],
        "iscrowd": 0,
    }


@dataclass(frozen=True)
class _Drawn:
    box_xyxy: Box
    category: str
    polygons: tuple[Polygon, ...]


def _annotated_image(
    path: Path, entry: Mapping[str, Any], drawn: Sequence[_Drawn]
) -> AnnotatedImage:
    return AnnotatedImage(
        path=path,
        width=entry["width"],
        height=entry["height"],
        boxes_xyxy=tuple(one.box_xyxy for one in drawn),
        categories=tuple(one.category for one in drawn),
        extra={key: value for key, value in entry.items() if key not in _IMAGE_FIELDS},
        polygons=tuple(one.polygons for one in drawn),
    )


def _find_image(file_name: str, coco_file: Path, images_dir: Path | None) -> Path:
    if images_dir is not None:
        return images_dir / file_name
    beside, below = coco_file.parent / file_name, coco_file.parent / "images" / file_name
    is_below = below.parent.is_dir() and (below.is_file() or not beside.is_file())
    return below if is_below else beside


def _read_lists(coco_file: Path) -> dict[str, Any]:
    content: dict[str, Any] = read_json(coco_file)
    for key in ("images", "annotations", "categories"):
        if not isinstance(content, dict) or not isinstance(content.get(key), list):
            raise AnnotationError(
                f"{coco_file}: has no list '{key}'. A COCO file has the lists 'images', "
                "'annotations' and 'categories'; export the boxes in COCO's format."
            )
    return content


def _iter_objects(
    content: Mapping[str, Any], part: str, problems: Problems
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each entry of a part that is an object, with its place in the file."""
    for index, entry in enumerate(content[part]):
        where = f"{part}[{index}]"
        if isinstance(entry, dict):
            yield where, entry
        else:
            problems.add(f"{where} is {entry!r}, an object is wanted.")


def _category_names(content: Mapping[str, Any], problems: Problems) -> dict[int, str | None]:
    """Return the name of each category id, None where it is broken and already noted."""
    names: dict[int, str | None] = {}
    for where, entry in _iter_objects(content, "categories", problems):
        with problems.gather(where):
            category_id = _integer(entry, "id")
            if category_id in names:
                raise AnnotationError(f"the id {category_id} is taken by an earlier category.")
            names[category_id] = None
            names[category_id] = _text(entry, "name")
    return names


def _check_wanted(
    categories: Collection[str] | None, names: Mapping[int, str | None], coco_file: Path
) -> None:
    known = {name for name in names.values() if name is not None}
    unknown = sorted(set(categories or ()) - known)
    if unknown:
        raise AnnotationError(
            f"{coco_file}: has no category {unknown[0]!r}; it has {sorted(known)}."
        )


def _images_by_id(content: Mapping[str, Any], problems: Problems) -> dict[int, dict[str, Any]]:
    images: dict[int, dict[str, Any]] = {}
    shared: set[int] = set()
    for where, entry in _iter_objects(content, "images", problems):
        with problems.gather(where):
            image_id = _integer(entry, "id")
            if image_id in images:
                shared.add(image_id)
                raise AnnotationError(f"the id {image_id} is taken by an earlier image.")
            _check_image(entry)
            images[image_id] = entry
    return {image_id: entry for image_id, entry in images.items() if image_id not in shared}


def _check_image(entry: Mapping[str, Any]) -> None:
    _text(entry, "file_name")
    for key in ("width", "height"):
        if _integer(entry, key) < 1:
            raise AnnotationError(f"'{key}' is {entry[key]}, at least 1 is wanted.")


def _drawn_by_image(
    content: Mapping[str, Any],
    images: Mapping[int, Mapping[str, Any]],
    names: Mapping[int, str | None],
    categories: Collection[str] | None,
    problems: Problems,
) -> dict[int, list[_Drawn]]:
    drawn: dict[int, list[_Drawn]] = {image_id: [] for image_id in images}
    listed = [entry.get("id") for entry in content["images"] if isinstance(entry, dict)]
    listed_ids = {image_id for image_id in listed if isinstance(image_id, int)}
    annotation_ids: set[int] = set()
    for where, entry in _iter_objects(content, "annotations", problems):
        with problems.gather(where):
            _check_annotation_id(entry, annotation_ids)
            image_id = _known(entry, "image_id", listed_ids, "image")
            name = names[_known(entry, "category_id", names, "category")]
            # An image or a category that is listed but broken is noted where it is listed.
            if image_id not in images or name is None:
                continue
            if (categories is None or name in categories) and not entry.get("iscrowd"):
                drawn[image_id].append(_read_drawn(entry, name, images[image_id]))
    return drawn


def _check_annotation_id(entry: Mapping[str, Any], taken: set[int]) -> None:
    if entry.get("id") is None:
        return
    annotation_id = _integer(entry, "id")
    if annotation_id in taken:
        raise AnnotationError(f"the id {annotation_id} is taken by an earlier annotation.")
    taken.add(annotation_id)


def _known(entry: Mapping[str, Any], key: str, known: Collection[Any], noun: str) -> int:
    value = _integer(entry, key)
    if value not in known:
        raise AnnotationError(f"'{key}' is {value}, which no {noun} has.")
    return value


def _read_drawn(entry: Mapping[str, Any], category: str, image: Mapping[str, Any]) -> _Drawn:
    width, height = image["width"], image["height"]
    polygons = _read_polygons(entry)
    box = _read_box(entry, polygons)
    inside = (clip_polygon(polygon, width=width, height=height) for polygon in polygons)
    return _Drawn(clip_box(box, width=width, height=height), category, tuple(filter(None, inside)))


def _read_box(entry: Mapping[str, Any], polygons: Sequence[Polygon]) -> Box:
    bbox = entry.get("bbox")
    if not bbox and polygons:
        return bound_points(point for polygon in polygons for point in polygon)
    if not isinstance(bbox, list) or len(bbox) != 4 or not all(map(_is_coordinate, bbox)):
        raise AnnotationError(f"'bbox' is {bbox!r}, [x, y, width, height] is wanted.")
    x, y, width, height = (float(value) for value in bbox)
    return x, y, x + width, y + height


def _read_polygons(entry: Mapping[str, Any]) -> tuple[Polygon, ...]:
    rings = entry.get("segmentation")
    if not rings or isinstance(rings, dict):
        return ()
    if not isinstance(rings, list):
        raise AnnotationError(f"'segmentation' is {rings!r}, a list of polygons is wanted.")
    # Some tools leave out the list around a single polygon.
    rings = rings if isinstance(rings[0], list) else [rings]
    return tuple(_read_ring(ring) for ring in rings)


def _read_ring(ring: object) -> Polygon:
    if not isinstance(ring, list) or not all(map(_is_coordinate, ring)):
        raise AnnotationError(f"'segmentation' has {ring!r}, a list of x, y, x, y is wanted.")
    return pair_up(ring)


def _log_masks(annotations: Sequence[Any], coco_file: Path) -> None:
    kinds = Counter(
        type(entry.get("segmentation")) for entry in annotations if isinstance(entry, dict)
    )
    if kinds[dict]:
        logger.warning(
            "%s: %d masks are run-length encoded and not read; their boxes have no outline. "
            "Export polygons if the outlines matter.",
            coco_file,
            kinds[dict],
        )


def _is_coordinate(value: object) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and -_LARGEST_COORDINATE < value < _LARGEST_COORDINATE  # type: ignore[operator]


def _integer(entry: Mapping[str, Any], key: str) -> int:
    value = entry.get(key)
    if not isinstance(value, int) or isinstance(value, bool):
        raise AnnotationError(f"'{key}' is {value!r}, a whole number is wanted.")
    return value


def _text(entry: Mapping[str, Any], key: str) -> str:
    value = entry.get(key)
    if not isinstance(value, str) or not value:
        raise AnnotationError(f"'{key}' is {value!r}, a text is wanted.")
    return value
