"""Read annotation files in COCO's format: boxes on images, nothing else of the format."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from canemo.errors import AnnotationError
from canemo.records import Box


@dataclass(frozen=True)
class AnnotatedImage:
    """One image of a COCO file and the boxes drawn on it.

    `boxes_xyxy` are pixels of the image as stored, clipped to it; `categories` names each box's
    category; `extra` holds the entry's fields that COCO does not define.
    """

    path: Path
    width: int
    height: int
    boxes_xyxy: tuple[Box, ...] = ()
    categories: tuple[str, ...] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def stem(self) -> str:
        """The file name without folder and ending."""
        return self.path.stem


_IMAGE_FIELDS = frozenset({"id", "file_name", "width", "height"})


def load_coco(
    coco_file: Path,
    *,
    images_dir: Path | None = None,
    categories: Collection[str] | None = None,
) -> tuple[AnnotatedImage, ...]:
    """Load the images of a COCO file with their boxes.

    Parameters
    ----------
    coco_file
        JSON file with ``images``, ``annotations`` and ``categories``.
    images_dir
        Folder of the images. None means ``images/`` beside the file where there is such a folder,
        else the file's own folder.
    categories
        Names of the categories to keep; None keeps all. Images that lose all their boxes stay, as
        images without a box.

    Returns
    -------
    tuple of AnnotatedImage
        In the order of the file.

    Raises
    ------
    AnnotationError
        If the file cannot be read, or an entry is broken or refers to an unknown image or category.

    Notes
    -----
    Crowd regions (``iscrowd`` = 1) are left out. Image files are not opened.
    """
    content = _read_json(coco_file)
    names = _category_names(content, coco_file)
    _check_wanted(categories, names, coco_file)
    boxes = _boxes_by_image(content, names, categories, coco_file)
    folder = images_dir if images_dir is not None else _default_images_dir(coco_file)
    return tuple(
        AnnotatedImage(
            path=folder / entry["file_name"],
            width=entry["width"],
            height=entry["height"],
            boxes_xyxy=tuple(box for box, _ in boxes[image_id]),
            categories=tuple(name for _, name in boxes[image_id]),
            extra={key: value for key, value in entry.items() if key not in _IMAGE_FIELDS},
        )
        for image_id, entry in _images_by_id(content, coco_file).items()
    )


def _default_images_dir(coco_file: Path) -> Path:
    images_dir = coco_file.parent / "images"
    return images_dir if images_dir.is_dir() else coco_file.parent


def _read_json(coco_file: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(coco_file.read_text(encoding="utf-8"))
    except OSError as exc:
        raise AnnotationError(f"{coco_file}: cannot be read ({exc.strerror}).") from exc
    except ValueError as exc:
        raise AnnotationError(f"{coco_file}: is not JSON ({exc}).") from exc
    for key in ("images", "annotations", "categories"):
        if not isinstance(content, dict) or not isinstance(content.get(key), list):
            raise AnnotationError(
                f"{coco_file}: has no list '{key}'. A COCO file has the lists 'images', "
                "'annotations' and 'categories'; export the boxes in COCO's format."
            )
        for index, entry in enumerate(content[key]):
            if not isinstance(entry, dict):
                raise AnnotationError(
                    f"{coco_file}: {key}[{index}] is {entry!r}, an object is wanted."
                )
    return content


def _category_names(content: Mapping[str, Any], coco_file: Path) -> dict[int, str]:
    names = {}
    for index, entry in enumerate(content["categories"]):
        where = f"{coco_file}: categories[{index}]"
        names[_integer(entry, "id", where)] = _text(entry, "name", where)
    return names


def _check_wanted(
    categories: Collection[str] | None, names: Mapping[int, str], coco_file: Path
) -> None:
    unknown = sorted(set(categories or ()) - set(names.values()))
    if unknown:
        raise AnnotationError(
            f"{coco_file}: has no category {unknown[0]!r}; it has {sorted(names.values())}."
        )


def _images_by_id(content: Mapping[str, Any], coco_file: Path) -> dict[int, dict[str, Any]]:
    images: dict[int, dict[str, Any]] = {}
    for index, entry in enumerate(content["images"]):
        where = f"{coco_file}: images[{index}]"
        image_id = _integer(entry, "id", where)
        _text(entry, "file_name", where)
        for key in ("width", "height"):
            if _integer(entry, key, where) < 1:
                raise AnnotationError(f"{where}: '{key}' is {entry[key]}, at least 1 is wanted.")
        if image_id in images:
            raise AnnotationError(f"{where}: the id {image_id} is taken by an earlier image.")
        images[image_id] = entry
    return images


def _boxes_by_image(
    content: Mapping[str, Any],
    names: Mapping[int, str],
    categories: Collection[str] | None,
    coco_file: Path,
) -> dict[int, list[tuple[Box, str]]]:
    images = _images_by_id(content, coco_file)
    boxes: dict[int, list[tuple[Box, str]]] = {image_id: [] for image_id in images}
    for index, entry in enumerate(content["annotations"]):
        where = f"{coco_file}: annotations[{index}]"
        image_id = _integer(entry, "image_id", where)
        category_id = _integer(entry, "category_id", where)
        if image_id not in images:
            raise AnnotationError(f"{where}: 'image_id' is {image_id}, which no image has.")
        if category_id not in names:
            raise AnnotationError(
                f"{where}: 'category_id' is {category_id}, which no category has."
            )
        wanted = categories is None or names[category_id] in categories
        if wanted and not entry.get("iscrowd"):
            box = _clipped_box(entry, images[image_id], where)
            boxes[image_id].append((box, names[category_id]))
    return boxes


def _clipped_box(entry: Mapping[str, Any], image: Mapping[str, Any], where: str) -> Box:
    bbox = entry.get("bbox")
    if not isinstance(bbox, list) or len(bbox) != 4 or not all(map(_is_number, bbox)):
        raise AnnotationError(f"{where}: 'bbox' is {bbox!r}, [x, y, width, height] is wanted.")
    x, y, width, height = (float(value) for value in bbox)
    x0, y0 = max(x, 0.0), max(y, 0.0)
    x1, y1 = min(x + width, float(image["width"])), min(y + height, float(image["height"]))
    if not (x1 > x0 and y1 > y0):
        raise AnnotationError(
            f"{where}: 'bbox' {bbox} has no area inside its image of "
            f"{image['width']} x {image['height']} pixels."
        )
    return x0, y0, x1, y1


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _integer(entry: Mapping[str, Any], key: str, where: str) -> int:
    value = entry.get(key)
    if not isinstance(value, int) or isinstance(value, bool):
        raise AnnotationError(f"{where}: '{key}' is {value!r}, a whole number is wanted.")
    return value


def _text(entry: Mapping[str, Any], key: str, where: str) -> str:
    value = entry.get(key)
    if not isinstance(value, str) or not value:
        raise AnnotationError(f"{where}: '{key}' is {value!r}, a text is wanted.")
    return value
