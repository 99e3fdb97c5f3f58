from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest

from canemo.errors import AnnotationError, ConfigError, OutputExistsError
from canemo.faces.annotations.importing import ImportResult, import_annotations
from canemo.formats.boxes.coco import AnnotatedImage, load_coco
from canemo.formats.boxes.kinds import guess_kind
from canemo.formats.boxes.shapes import (
    bound_ellipse,
    bound_points,
    clip_polygon,
    compute_area,
    turn_box,
)


def draw_image(path: Path, *, width: int = 100, height: int = 50, orientation: int = 1) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    exif = PIL.Image.Exif()
    exif[0x0112] = orientation
    pixels = np.full((height, width, 3), 90, dtype=np.uint8)
    PIL.Image.fromarray(pixels).save(path, exif=exif)
    return path


def write(path: Path, content: object) -> Path:
    text = content if isinstance(content, str) else json.dumps(content)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def load(result: ImportResult) -> dict[str, AnnotatedImage]:
    return {image.path.name: image for image in load_coco(result.coco_file)}


# Pascal VOC

VOC = """<annotation><folder>x</folder><filename>{name}</filename>
<size><width>{width}</width><height>50</height><depth>3</depth></size>{objects}</annotation>"""
VOC_OBJECT = """<object><name>{name}</name><bndbox><xmin>{box[0]}</xmin><ymin>{box[1]}</ymin>
<xmax>{box[2]}</xmax><ymax>{box[3]}</ymax></bndbox></object>"""


def voc(name: str = "a.png", *boxes: tuple[object, ...], width: object = 100) -> str:
    objects = "".join(VOC_OBJECT.format(name="dog", box=box) for box in boxes)
    return VOC.format(name=name, width=width, objects=objects)


def test_voc_counts_pixels_from_one_and_the_last_one_is_inside(tmp_path: Path) -> None:
    draw_image(tmp_path / "voc" / "a.png")
    draw_image(tmp_path / "voc" / "b.jpg")
    write(tmp_path / "voc" / "a.xml", voc("a.png", (1, 1, 100, 50), (11, 21, 20, 40)))
    write(tmp_path / "voc" / "b.xml", voc("", width=0))
    result = import_annotations(tmp_path / "voc", tmp_path / "out")
    assert (result.images, result.boxes, result.polygons, result.skipped) == (2, 2, 0, ())
    images = load(result)
    assert images["a.png"].boxes_xyxy == ((0, 0, 100, 50), (10, 20, 20, 40))
    assert images["a.png"].categories == ("dog", "dog")
    assert images["b.jpg"].boxes_xyxy == ()
    assert images["a.png"].path.resolve() == tmp_path / "voc" / "a.png"


def test_one_voc_file_and_the_folders_of_a_voc_data_set(tmp_path: Path) -> None:
    draw_image(tmp_path / "JPEGImages" / "a.png")
    file = write(tmp_path / "Annotations" / "a.xml", voc("a.png", (1, 1, 2, 2)))
    result = import_annotations(file, tmp_path)
    assert json.loads(result.coco_file.read_text())["images"][0]["file_name"] == "JPEGImages/a.png"
    assert load(result)["a.png"].path.is_file()


def test_xml_with_a_document_type_is_refused(tmp_path: Path) -> None:
    bomb = '<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]>' + voc()
    for encoding in ("utf-8", "utf-16"):
        (tmp_path / "a.xml").write_bytes(bomb.encode(encoding))
        with pytest.raises(AnnotationError, match=r"a\.xml: has a document type declaration"):
            import_annotations(tmp_path / "a.xml", tmp_path / "out")


def test_everything_wrong_with_voc_files_is_told_at_once(tmp_path: Path) -> None:
    source = tmp_path / "voc"
    for name in "abcd":
        draw_image(source / f"{name}.png")
    write(source / "a.xml", voc("a.png", ("x", 1, 2, 2), (90, 1, 80, 2), (200, 1, 210, 9)))
    write(source / "b.xml", voc("b.png", (1, 1, 9, 9), width=640))
    write(source / "c.xml", "<annotations/>")
    write(source / "d.xml", "<annot")
    write(source / "e.xml", voc("e.png", (1, 1, 9, 9)))
    write(source / "f.xml", voc("a.png", (1, 1, 9, 9)))
    told = (
        r"voc: 8 entries cannot be used:",
        r"a\.xml, object 1: 'xmin' is 'x', a number is wanted",
        r"c\.xml: the root is <annotations>, <annotation> is wanted",
        r"d\.xml: .*is not XML",
        r"a\.xml, object 2: the box .* no area inside",
        r"a\.xml, object 3: the box .* no area inside its image of 100 x 50",
        r"b\.xml: .*has 100 x 50 pixels, but was labelled with 640 x 50",
        r"e\.xml: there is no image 'e\.png' in .*voc; say where",
        r"f\.xml: .*a\.png is labelled twice",
    )
    with pytest.raises(AnnotationError, match=r"[\s\S]*".join(told)):
        import_annotations(source, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    result = import_annotations(source, tmp_path / "out", skip_invalid=True)
    assert (result.images, result.boxes, len(result.skipped)) == (1, 0, 8)


# VGG Image Annotator


def via_image(name: str, *regions: tuple[dict[str, Any], dict[str, Any]]) -> dict[str, Any]:
    return {
        "filename": name,
        "size": 9,
        "file_attributes": {"video_id": "v1"},
        "regions": [{"shape_attributes": a, "region_attributes": b} for a, b in regions],
    }


RECT = {"name": "rect", "x": 10, "y": 5, "width": 20, "height": 30}
TRIANGLE = {"name": "polygon", "all_points_x": [10, 30, 20], "all_points_y": [5, 8, 35]}
VIA = {
    "a.png9": via_image(
        "a.png",
        (RECT, {"kind": "dog", "age": "3"}),
        (TRIANGLE, {"kind": {"cat": False, "pug": True}}),
        ({**TRIANGLE, "name": "polyline"}, {}),
        ({"name": "circle", "cx": 50, "cy": 20, "r": 10}, {"kind": ""}),
        ({"name": "ellipse", "cx": 50, "cy": 20, "rx": 10, "ry": 5}, {}),
    )
}
VIA_BOXES = (
    (10, 5, 30, 35),
    (10, 5, 30, 35),
    (10, 5, 30, 35),
    (40, 10, 60, 30),
    (40, 15, 60, 25),
)


def write_via_csv(path: Path) -> Path:
    columns = ["filename", "file_attributes", "region_shape_attributes", "region_attributes"]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["#" + columns[0], *columns[1:]])
        for region in VIA["a.png9"]["regions"]:
            cells = [json.dumps(region[key]) for key in ("shape_attributes", "region_attributes")]
            writer.writerow(["a.png", '{"video_id": "v1"}', *cells])
        writer.writerow(["b.png", "{}", "{}", "{}"])
    return path


def test_via_project_export_and_csv_say_the_same(tmp_path: Path) -> None:
    draw_image(tmp_path / "a.png")
    draw_image(tmp_path / "b.png")
    content = {**VIA, "b.png9": via_image("b.png")}
    sources = [
        write(tmp_path / "project.json", {"_via_settings": {}, "_via_img_metadata": content}),
        write(tmp_path / "export.json", content),
        write_via_csv(tmp_path / "export.csv"),
    ]
    for source in sources:
        result = import_annotations(source, tmp_path / source.name.replace(".", "_"))
        image = load(result)["a.png"]
        assert image.boxes_xyxy == VIA_BOXES
        assert image.categories == ("dog", "pug", "face", "face", "face")
        assert image.polygons[1] == (((10, 5), (30, 8), (20, 35)),)
        assert image.polygons[1] == image.polygons[2]
        assert image.polygons[0] == image.polygons[3] == ()
        assert image.extra == {"video_id": "v1"}
        assert (result.images, result.boxes, result.polygons) == (2, 5, 2)


@pytest.mark.parametrize(
    ("shape", "match"),
    [
        ({"name": "point", "cx": 1, "cy": 1}, "region 0: the shape is 'point'; a rect"),
        ({**RECT, "width": None}, "region 0: 'width' is None, a number is wanted"),
        ({**RECT, "width": 0}, "region 0: the box .* has no area inside"),
        ({**TRIANGLE, "all_points_x": [1]}, "region 0: 'all_points_x' and .* one length"),
        ({"name": "polygon", "all_points_x": [1], "all_points_y": [1]}, "polygon has 2 numbers"),
        ("{", "region 0: 'shape_attributes' is '{', which is not JSON"),
    ],
)
def test_broken_via_regions_are_named(tmp_path: Path, shape: Any, match: str) -> None:
    draw_image(tmp_path / "a.png")
    source = write(tmp_path / "via.json", {"a": via_image("a.png", (shape, {}), (RECT, {}))})
    with pytest.raises(AnnotationError, match=r"via\.json: image 'a\.png', " + f".*{match}"):
        import_annotations(source, tmp_path / "out")
    assert import_annotations(source, tmp_path / "out", skip_invalid=True).boxes == 1


# CVAT for images

CVAT_IMAGES = """<annotations><version>1.1</version>
<image id="0" name="sub/a.png" width="100" height="50">
<box label="dog" xtl="10.5" ytl="5" xbr="30" ybr="35.25" occluded="0"/>
<polygon label="dog" points="10,5;30,8;20,35"/>
<ellipse label="dog" cx="50" cy="20" rx="10" ry="5" rotation="90"/>
<box label="dog" xtl="40" ytl="20" xbr="60" ybr="30" rotation="90"/>
<tag label="blurred"/></image>{more}</annotations>"""


def test_cvat_images(tmp_path: Path) -> None:
    draw_image(tmp_path / "sub" / "a.png")
    source = write(tmp_path / "cvat.xml", CVAT_IMAGES.format(more=""))
    image = load(import_annotations(source, tmp_path / "out"))["a.png"]
    assert image.boxes_xyxy[:2] == ((10.5, 5, 30, 35.25), (10, 5, 30, 35))
    assert image.boxes_xyxy[2] == pytest.approx((45, 10, 55, 30))
    assert image.boxes_xyxy[3] == pytest.approx((45, 15, 55, 35))
    assert image.polygons == ((), (((10, 5), (30, 8), (20, 35)),), (), ())


def test_broken_cvat_images_are_named(tmp_path: Path) -> None:
    draw_image(tmp_path / "sub" / "a.png")
    more = """<image id="1" width="9" height="9"/><image id="2" name="b.png" width="0" height="9"/>
    <image id="3" name="a.png" width="100" height="50"><points label="x" points="1,1"/>
    <polygon label="x" points="1,1;2"/></image>"""
    source = write(tmp_path / "cvat.xml", CVAT_IMAGES.format(more=more))
    told = (
        "5 entries",
        "image None: 'name' is missing",
        "image 'b.png': the size is 0 x 9",
        "points 1: the shape is a points; a box",
        "polygon 2: a polygon has 3 numbers",
        "labelled twice",
    )
    with pytest.raises(AnnotationError, match=r"[\s\S]*".join(told)):
        import_annotations(source, tmp_path / "out")


# Label Studio, images


def task(result: list[dict[str, Any]], image: str = "a.png", **fields: Any) -> dict[str, Any]:
    done = [{"result": result, "was_cancelled": False}]
    return {"id": 5, "data": {"image": image, "subject_id": "rex"}, "annotations": done, **fields}


def drawn(kind: str, size: tuple[int, int] = (100, 50), **value: Any) -> dict[str, Any]:
    width, height = size
    return {"type": kind, "value": value, "original_width": width, "original_height": height}


LS_BOX = {"x": 10, "y": 10, "width": 20, "height": 60, "rectanglelabels": ["dog"]}


@pytest.mark.parametrize(
    "address",
    [
        "/data/upload/1/ab12cd34-a%20b.png",
        "/data/local-files/?d=photos/a%20b.png",
        "https://example.org/x/a%20b.png?token=1",
        "s3://bucket/a b.png",
    ],
)
def test_label_studio_images(tmp_path: Path, address: str) -> None:
    draw_image(tmp_path / "photos" / "a b.png")
    results = [
        drawn("rectanglelabels", **LS_BOX),
        drawn("polygonlabels", points=[[10, 10], [30, 16], [20, 70]], polygonlabels=["pug"]),
        drawn("rectanglelabels", **{**LS_BOX, "x": 50, "rotation": 90}),
        {"type": "choices", "value": {"choices": ["good"]}},
    ]
    source = write(tmp_path / "tasks.json", [task(results, address)])
    image = load(import_annotations(source, tmp_path / "out"))["a b.png"]
    assert image.boxes_xyxy[:2] == ((10, 5, 30, 35), (10, 5, 30, 35))
    # 20 x 30 pixels turned about the corner at (50, 5) lie to its left.
    assert image.boxes_xyxy[2] == pytest.approx((20, 5, 50, 25))
    assert image.categories == ("dog", "pug", "dog")
    assert image.polygons[1] == (((10, 5), (30, 8), (20, 35)),)
    assert image.extra == {"subject_id": "rex"}


def test_tasks_nobody_has_labelled_are_no_images_without_a_face(tmp_path: Path) -> None:
    draw_image(tmp_path / "a.png")
    tasks = [task([]), task([], "b.png", annotations=[])]
    result = import_annotations(write(tmp_path / "tasks.json", tasks), tmp_path / "out")
    assert (result.images, result.boxes) == (1, 0)
    assert result.skipped == ("task 5: nobody has labelled it yet.",)


@pytest.mark.parametrize(
    ("entry", "match"),
    [
        (task([drawn("brushlabels", rle=[1])]), "task 5, result 0: the type is 'brushlabels'"),
        (task([drawn("rectanglelabels", x=1)]), "task 5, result 0: 'y' is None, a number"),
        (task([drawn("polygonlabels", points=[1])]), r"task 5, result 0: 'points' is \[1\]"),
        (task([{"type": "rectanglelabels", "value": LS_BOX}]), "'original_width' is None"),
        (task([], image=""), "task 5: 'image' of the data is ''"),
        (task([], annotations=[{"result": []}] * 2), "task 5: there are 2 annotations; mark one"),
        ({"id": 5, "data": {"image": "a.png"}, "label": []}, "not 'JSON-MIN'"),
        (
            task([drawn("rectanglelabels", (100, 99), **LS_BOX)]),
            "100 x 50 pixels, but was labelled with 100 x 99",
        ),
    ],
)
def test_broken_label_studio_tasks_are_named(tmp_path: Path, entry: object, match: str) -> None:
    draw_image(tmp_path / "a.png")
    source = write(tmp_path / "tasks.json", [entry])
    with pytest.raises(AnnotationError, match=match):
        import_annotations(source, tmp_path / "out", kind="label_studio")


def test_the_ground_truth_counts_where_several_have_labelled(tmp_path: Path) -> None:
    draw_image(tmp_path / "a.png")
    done = [{"result": []}, {"result": [drawn("rectangle", **LS_BOX)], "ground_truth": True}]
    source = write(tmp_path / "tasks.json", [task([], annotations=done)])
    assert import_annotations(source, tmp_path / "out").boxes == 1


# COCO, and what all have in common


def coco(*images: dict[str, Any], annotations: list[dict[str, Any]] | None = None) -> object:
    entries = [
        {"id": number, "width": 100, "height": 50, **image} for number, image in enumerate(images)
    ]
    categories = [{"id": 1, "name": "dog"}]
    return {"images": entries, "annotations": annotations or [], "categories": categories}


def test_coco_is_brought_into_one_form(tmp_path: Path) -> None:
    draw_image(tmp_path / "images" / "a.png")
    outline = {"image_id": 0, "category_id": 1, "segmentation": [[10, 5, 30, 8, 20, 350]]}
    source = write(
        tmp_path / "coco.json", coco({"file_name": "a.png", "breed": "Pug"}, annotations=[outline])
    )
    result = import_annotations(source, tmp_path)
    image = load(result)["a.png"]
    assert image.path == tmp_path / "images" / "a.png"
    assert image.boxes_xyxy == ((10, 5, 30, 50),)
    assert image.extra == {"breed": "Pug"}
    assert (result.boxes, result.polygons) == (1, 1)
    again = import_annotations(result.coco_file, tmp_path / "again")
    assert load(again)["a.png"].polygons == image.polygons


def test_problems_of_a_coco_file_and_of_its_images_are_told_together(tmp_path: Path) -> None:
    draw_image(tmp_path / "a.jpg", orientation=6)
    write(tmp_path / "b.png", "no image")
    images = [{"file_name": name} for name in ("a.jpg", "b.png", "c.png")]
    source = write(
        tmp_path / "coco.json", coco(*images, annotations=[{"image_id": 9, "category_id": 1}])
    )
    told = (
        r"coco\.json: 4 entries",
        "'image_id' is 9",
        "stored turned or mirrored .EXIF orientation 6",
        r"b\.png: the image cannot be read",
        r"no image '.*c\.png'",
    )
    with pytest.raises(AnnotationError, match=r"[\s\S]*".join(told)):
        import_annotations(source, tmp_path / "out")


def test_nothing_is_overwritten_unless_asked_for(tmp_path: Path) -> None:
    draw_image(tmp_path / "a.png")
    source = write(tmp_path / "coco.json", coco({"file_name": "a.png"}))
    write(tmp_path / "faces.json", "mine")
    with pytest.raises(OutputExistsError, match=r"faces\.json: is there already; .* --force"):
        import_annotations(source, tmp_path)
    assert (tmp_path / "faces.json").read_text() == "mine"
    assert import_annotations(source, tmp_path, force=True).images == 1
    with pytest.raises(ConfigError, match="step=0"):
        import_annotations(source, tmp_path / "out", step=0)


def test_images_say_where_they_are_from(tmp_path: Path) -> None:
    for name in ("v1__000123.png", "v9__000001.png", "x.png"):
        draw_image(tmp_path / name)
    write(tmp_path / "frames.csv", "file_name,video_id,frame_index,time_s\nx.png,v2,7,soon\n")
    names = [{"file_name": path.name} for path in sorted(tmp_path.glob("*.png"))]
    source = write(tmp_path / "coco.json", coco(*names))
    with pytest.raises(AnnotationError, match=r"'soon' as time_s of x\.png, a number is wanted"):
        import_annotations(source, tmp_path / "out")
    write(tmp_path / "frames.csv", "file_name;video_id;frame_index;time_s\nx.png;v2;7;0,28\n")
    images = load(import_annotations(source, tmp_path / "out", videos={"v1": tmp_path / "v.mp4"}))
    assert images["v1__000123.png"].extra == {"video_id": "v1", "frame_index": 123}
    assert images["v9__000001.png"].extra == {}
    assert images["x.png"].extra == {"video_id": "v2", "frame_index": 7, "time_s": 0.28}


def test_a_name_that_two_images_have_is_not_guessed(tmp_path: Path) -> None:
    draw_image(tmp_path / "one" / "a.png")
    draw_image(tmp_path / "two" / "a.png")
    source = write(tmp_path / "x" / "via.json", {"a": via_image("a.png", (RECT, {}))})
    with pytest.raises(AnnotationError, match=r"there are 2 images 'a\.png'"):
        import_annotations(source, tmp_path / "out", images_dir=tmp_path)
    result = import_annotations(source, tmp_path / "out", images_dir=tmp_path / "two")
    assert load(result)["a.png"].path.resolve() == tmp_path / "two" / "a.png"


def test_an_image_hidden_by_the_images_folder_is_found_again(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "images"):
        draw_image(folder / "a.png")
    source = write(tmp_path / "x" / "via.json", {"a": via_image("a.png", (RECT, {}))})
    result = import_annotations(source, tmp_path, images_dir=tmp_path)
    assert load(result)["a.png"].path == tmp_path / "a.png"


@pytest.mark.parametrize(
    ("name", "content", "kind"),
    [
        ("a.xml", "<annotation/>", "voc"),
        ("a.xml", "<annotations/>", "cvat"),
        ("a.csv", "#filename,region_shape_attributes\n", "via"),
        ("a.json", {"_via_img_metadata": VIA}, "via"),
        ("a.json", VIA, "via"),
        ("a.json", coco(), "coco"),
        ("a.json", [task([])], "label_studio"),
    ],
)
def test_the_kind_is_told_by_the_content(
    tmp_path: Path, name: str, content: object, kind: str
) -> None:
    assert guess_kind(write(tmp_path / name, content)) == kind


@pytest.mark.parametrize(
    ("name", "content"),
    [("a.xml", "<x/>"), ("a.csv", "a,b"), ("a.json", []), ("a.json", 5), ("a.json", {})],
)
def test_an_unknown_kind_is_refused_with_the_known_ones(
    tmp_path: Path, name: str, content: object
) -> None:
    with pytest.raises(AnnotationError, match=r"is none of COCO .*, Pascal VOC .* Label Studio"):
        guess_kind(write(tmp_path / name, content))
    with pytest.raises(AnnotationError, match="is none of COCO"):
        guess_kind(draw_image(tmp_path / "photos" / "a.png").parent)


def test_a_missing_source_and_an_empty_one_are_refused(tmp_path: Path) -> None:
    with pytest.raises(AnnotationError, match="there is no such file"):
        import_annotations(tmp_path / "none.json", tmp_path)
    with pytest.raises(AnnotationError, match="holds no labelled image"):
        import_annotations(write(tmp_path / "coco.json", coco()), tmp_path)


# Shapes


def test_a_polygon_is_cut_at_every_side_of_the_image() -> None:
    diamond = ((5.0, -5.0), (15.0, 5.0), (5.0, 15.0), (-5.0, 5.0))
    clipped = clip_polygon(diamond, width=10, height=10)
    assert compute_area(clipped) == 100
    assert bound_points(clipped) == (0, 0, 10, 10)
    assert clip_polygon(((20.0, 0.0), (30.0, 0.0), (20.0, 9.0)), width=10, height=10) == ()


def test_turning_is_clockwise_on_the_screen() -> None:
    turned = turn_box((0, 0, 2, 1), angle_deg=90, about=(0, 0))
    assert turned[1] == pytest.approx((0, 2))
    assert bound_ellipse((0, 0), (3, 4), angle_rad=np.pi / 4) == pytest.approx(
        (-np.sqrt(12.5), -np.sqrt(12.5), np.sqrt(12.5), np.sqrt(12.5))
    )
