from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from canemo.detect.coco import load_coco
from canemo.errors import AnnotationError


def _content() -> dict[str, Any]:
    return {
        "images": [
            {"id": 7, "file_name": "a.jpg", "width": 100, "height": 50, "breed": "Pug"},
            {"id": 3, "file_name": "b.jpg", "width": 40, "height": 40},
        ],
        "annotations": [
            {"id": 1, "image_id": 7, "category_id": 1, "bbox": [10, 5, 20, 30]},
            {"id": 2, "image_id": 7, "category_id": 2, "bbox": [90.5, -2, 20, 10]},
            {"id": 3, "image_id": 3, "category_id": 1, "bbox": [0, 0, 9, 9], "iscrowd": 1},
        ],
        "categories": [{"id": 1, "name": "dog"}, {"id": 2, "name": "cat"}],
    }


def _write(folder: Path, content: object) -> Path:
    path = folder / "faces.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def test_boxes_become_corners_clipped_to_the_image(tmp_path: Path) -> None:
    first, second = load_coco(_write(tmp_path, _content()))
    assert first.boxes_xyxy == ((10.0, 5.0, 30.0, 35.0), (90.5, 0.0, 100.0, 8.0))
    assert first.categories == ("dog", "cat")
    assert (first.width, first.height, first.stem) == (100, 50, "a")
    assert first.extra == {"breed": "Pug"}
    assert second.boxes_xyxy == ()  # a crowd region is no box


def test_unwanted_categories_leave_images_without_boxes(tmp_path: Path) -> None:
    first, second = load_coco(_write(tmp_path, _content()), categories=["cat"])
    assert first.categories == ("cat",)
    assert second.boxes_xyxy == ()


def test_images_are_beside_the_file_or_in_images_or_where_one_says(tmp_path: Path) -> None:
    path = _write(tmp_path, _content())
    assert load_coco(path)[0].path == tmp_path / "a.jpg"
    (tmp_path / "images").mkdir()
    assert load_coco(path)[0].path == tmp_path / "images" / "a.jpg"
    assert load_coco(path, images_dir=tmp_path / "x")[0].path == tmp_path / "x" / "a.jpg"


@pytest.mark.parametrize(
    ("part", "index", "key", "value", "match"),
    [
        ("images", 1, "width", 0, r"images\[1\]: 'width' is 0, at least 1"),
        ("images", 0, "file_name", None, r"images\[0\]: 'file_name' is None, a text"),
        ("images", 1, "id", 7, r"images\[1\]: the id 7 is taken"),
        ("annotations", 0, "bbox", [1, 2, 3], r"annotations\[0\]: 'bbox' is \[1, 2, 3\]"),
        ("annotations", 0, "bbox", [200, 2, 3, 4], r"annotations\[0\].* no area inside"),
        ("annotations", 2, "image_id", 99, r"annotations\[2\]: 'image_id' is 99, which no image"),
        ("annotations", 1, "category_id", 5, r"annotations\[1\]: 'category_id' is 5, which no"),
        ("categories", 1, "name", "", r"categories\[1\]: 'name' is '', a text"),
    ],
)
def test_broken_entries_are_named(
    tmp_path: Path, part: str, index: int, key: str, value: object, match: str
) -> None:
    content = _content()
    content[part][index][key] = value
    with pytest.raises(AnnotationError, match=r"faces\.json: " + match):
        load_coco(_write(tmp_path, content))


def test_an_unknown_category_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(AnnotationError, match=r"no category 'wolf'; it has \['cat', 'dog'\]"):
        load_coco(_write(tmp_path, _content()), categories=["wolf"])


def test_files_that_are_no_coco_are_refused(tmp_path: Path) -> None:
    with pytest.raises(AnnotationError, match="cannot be read"):
        load_coco(tmp_path / "missing.json")
    with pytest.raises(AnnotationError, match="has no list 'images'"):
        load_coco(_write(tmp_path, []))
    with pytest.raises(AnnotationError, match=r"images\[0\] is 5, an object"):
        load_coco(_write(tmp_path, {**_content(), "images": [5]}))
    (tmp_path / "faces.json").write_text("{", encoding="utf-8")
    with pytest.raises(AnnotationError, match="is not JSON"):
        load_coco(tmp_path / "faces.json")
