from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from canemo.errors import AnnotationError
from canemo.formats.boxes.coco import AnnotatedImage, load_coco


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
    (tmp_path / "b.jpg").touch()
    assert load_coco(path)[1].path == tmp_path / "b.jpg"  # not below, but beside


@pytest.mark.parametrize(
    ("part", "index", "key", "value", "match"),
    [
        ("images", 1, "id", [], r"[\s\S]*images\[1\]: 'id' is \[\], a whole number"),
        ("images", 1, "width", 0, r"images\[1\]: 'width' is 0, at least 1"),
        ("images", 0, "file_name", None, r"images\[0\]: 'file_name' is None, a text"),
        ("annotations", 0, "bbox", [1, 2, 3], r"annotations\[0\]: 'bbox' is \[1, 2, 3\]"),
        ("annotations", 0, "bbox", [200, 2, 3, 4], r"annotations\[0\].* no area inside"),
        ("annotations", 2, "image_id", 99, r"annotations\[2\]: 'image_id' is 99, which no image"),
        ("annotations", 1, "category_id", 5, r"annotations\[1\]: 'category_id' is 5, which no"),
        ("annotations", 1, "id", 1, r"annotations\[1\]: the id 1 is taken by an earlier annot"),
        (
            "annotations",
            0,
            "bbox",
            [1, 2, float("nan"), 4],
            r"annotations\[0\]: 'bbox' is \[1, 2, n",
        ),
        ("annotations", 0, "bbox", [1, 2, 0, 4], r"annotations\[0\]: .* no area inside"),
        ("annotations", 0, "segmentation", [[1, 2, 3]], r"annotations\[0\]: a polygon has 3 numb"),
        (
            "annotations",
            0,
            "segmentation",
            [["a"]],
            r"annotations\[0\]: 'segmentation' has \['a'\]",
        ),
        ("annotations", 0, "segmentation", "x", r"annotations\[0\]: 'segmentation' is 'x'"),
        ("categories", 1, "name", "", r"categories\[1\]: 'name' is '', a text"),
        ("categories", 1, "id", 1, r"[\s\S]*categories\[1\]: the id 1 is taken by an earlier"),
    ],
)
def test_broken_entries_are_named(
    tmp_path: Path, part: str, index: int, key: str, value: object, match: str
) -> None:
    content = _content()
    content[part][index][key] = value
    with pytest.raises(AnnotationError, match=r"faces\.json: " + match):
        load_coco(_write(tmp_path, content))


def _spoil(content: dict[str, Any]) -> dict[str, Any]:
    content["images"].append({"id": 7, "file_name": "c.jpg", "width": 9, "height": 9})
    content["annotations"] += [
        {"id": 4, "image_id": 3, "category_id": 1, "bbox": [50, 0, 5, 5]},
        {"id": 5, "image_id": 3, "category_id": 1, "bbox": [1, 1, 5, 5]},
        {"id": 6, "image_id": 8, "category_id": 1, "bbox": [1, 1, 5, 5]},
        "nothing",
    ]
    return content


def test_all_problems_of_a_file_are_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(AnnotationError, match=r"faces\.json: 4 entries cannot be used") as caught:
        load_coco(_write(tmp_path, _spoil(_content())))
    told = str(caught.value).splitlines()
    assert told[1].startswith("- images[2]: the id 7 is taken by an earlier image")
    assert "annotations[3]: the box from (50, 0) to (55, 5) has no area inside" in told[2]
    assert "annotations[5]: 'image_id' is 8, which no image has" in told[3]
    assert "annotations[6] is 'nothing', an object is wanted" in told[4]
    assert "skip_invalid" in told[5]


def test_a_long_list_of_problems_is_cut(tmp_path: Path) -> None:
    content = _content()
    content["annotations"] = [{"image_id": 7, "category_id": 1, "bbox": [0]} for _ in range(23)]
    with pytest.raises(AnnotationError, match=r"annotations\[19\][^\n]*\n- and 3 more\n"):
        load_coco(_write(tmp_path, content))


def test_the_usable_entries_are_kept_and_the_others_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (image,) = load_coco(_write(tmp_path, _spoil(_content())), skip_invalid=True)
    # Nothing says which of the two images with the id 7 its boxes are on.
    assert (image.stem, image.boxes_xyxy) == ("b", ((1.0, 1.0, 6.0, 6.0),))
    assert len(caplog.records) == 4
    assert "annotations[5]: 'image_id' is 8" in caplog.text


def test_outlines_travel_with_their_boxes_clipped_to_the_image(tmp_path: Path) -> None:
    content = _content()
    square = [90, 10, 110, 10, 110, 30, 90, 30]
    content["annotations"][0]["segmentation"] = [[10, 5, 30, 5, 20, 35], square]
    image, _ = load_coco(_write(tmp_path, content))
    triangle, clipped = image.polygons[0]
    assert triangle == ((10.0, 5.0), (30.0, 5.0), (20.0, 35.0))
    assert sorted(clipped) == [(90.0, 10.0), (90.0, 30.0), (100.0, 10.0), (100.0, 30.0)]
    assert image.polygons[1] == ()


def test_an_outline_without_a_box_gets_the_box_around_it(tmp_path: Path) -> None:
    content = _content()
    content["annotations"][0] |= {"bbox": [], "segmentation": [10, 5, 30, 8, 20, 70]}
    image, _ = load_coco(_write(tmp_path, content))
    assert image.boxes_xyxy[0] == (10.0, 5.0, 30.0, 50.0)
    assert len(image.polygons[0]) == 1


def test_masks_are_no_outlines_and_that_is_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    content = _content()
    for entry in content["annotations"]:
        entry["segmentation"] = {"counts": [0, 9], "size": [3, 3]}
    image, _ = load_coco(_write(tmp_path, content))
    assert image.polygons == ((), ())
    assert len(caplog.records) == 1
    assert "3 masks are run-length encoded and not read" in caplog.text


def test_boxes_without_outlines_have_none() -> None:
    image = AnnotatedImage(Path("a.jpg"), 9, 9, ((0.0, 0.0, 1.0, 1.0),), ("dog",))
    assert image.polygons == ((),)


def test_an_unknown_category_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(AnnotationError, match=r"no category 'wolf'; it has \['cat', 'dog'\]"):
        load_coco(_write(tmp_path, _content()), categories=["wolf"])


def test_files_that_are_no_coco_are_refused(tmp_path: Path) -> None:
    with pytest.raises(AnnotationError, match="there is no such file"):
        load_coco(tmp_path / "missing.json")
    with pytest.raises(AnnotationError, match="has no list 'images'"):
        load_coco(_write(tmp_path, []))
    with pytest.raises(AnnotationError, match=r"images\[0\] is 5, an object"):
        load_coco(_write(tmp_path, {**_content(), "images": [5]}))
    (tmp_path / "faces.json").write_text("{", encoding="utf-8")
    with pytest.raises(AnnotationError, match="is not JSON"):
        load_coco(tmp_path / "faces.json")
