"""Read CVAT's XML, version 1.1: 'CVAT for images' and 'CVAT for video'."""

from __future__ import annotations

import math
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from canemo.errors import AnnotationError
from canemo.formats.boxes.labelled import (
    DEFAULT_LABEL,
    DrawnFace,
    KeyBox,
    LabelledImage,
    LabelledVideo,
    Source,
    Track,
    read_number,
    read_size,
)
from canemo.formats.boxes.shapes import Polygon, bound_ellipse, bound_points, pair_up, turn_box
from canemo.formats.boxes.xml_files import child_text, parse_xml
from canemo.formats.problems import Problems
from canemo.records import Box

_SHAPES = frozenset(
    {"box", "polygon", "polyline", "points", "ellipse", "mask", "cuboid", "skeleton"}
)


def read_cvat(source: Path, problems: Problems) -> Source:
    """Read a CVAT XML file of an image task or a video task.

    Notes
    -----
    CVAT writes frame numbers of the video itself, not of the task: a task that starts at frame 100
    and takes every fifth frame has the frames 100, 105, 110 and so on. A number off that grid is
    an error. Of ellipses and turned boxes the smallest box around them is kept. Tags are ignored.
    """
    root = parse_xml(source)
    if root.tag != "annotations":
        raise AnnotationError(f"{source}: the root is <{root.tag}>, <annotations> is wanted.")
    videos = [_read_video(root, problems)] if root.find("track") is not None else []
    images = []
    for element in root.findall("image"):
        where = f"image {element.get('name')!r}"
        with problems.gather(where):
            images.append(_read_image(where, element, problems))
    return Source(images=tuple(images), videos=tuple(filter(None, videos)))


def _read_image(where: str, element: ET.Element, problems: Problems) -> LabelledImage:
    name = element.get("name")
    if not name:
        raise AnnotationError("'name' is missing, the image's file name is wanted.")
    faces = []
    for number, shape in enumerate(_iter_shapes(element), start=1):
        place = f"{where}, {shape.tag} {number}"
        with problems.gather(place):
            faces.append(_read_face(place, shape, shape.get("label")))
    return LabelledImage(where, (name,), tuple(faces), read_size(element.attrib, "width", "height"))


def _iter_shapes(element: ET.Element) -> Iterator[ET.Element]:
    return (child for child in element if child.tag in _SHAPES)


def _read_face(where: str, shape: ET.Element, label: str | None) -> DrawnFace:
    box, polygons = _read_shape(shape)
    return DrawnFace(where, label or DEFAULT_LABEL, box, polygons)


def _read_shape(shape: ET.Element) -> tuple[Box, tuple[Polygon, ...]]:
    values = shape.attrib
    if shape.tag == "box":
        return _read_box(values), ()
    if shape.tag == "polygon":
        polygon = _read_points(values.get("points", ""))
        return bound_points(polygon), (polygon,)
    if shape.tag == "ellipse":
        cx, cy, rx, ry = (read_number(values, key) for key in ("cx", "cy", "rx", "ry"))
        angle_rad = math.radians(_angle_deg(values))
        return bound_ellipse((cx, cy), (rx, ry), angle_rad=angle_rad), ()
    raise AnnotationError(f"the shape is a {shape.tag}; a box, polygon or ellipse is wanted.")


def _angle_deg(values: Mapping[str, str]) -> float:
    return read_number(values, "rotation") if values.get("rotation") else 0.0


def _read_box(values: Mapping[str, str]) -> Box:
    x0, y0, x1, y1 = (read_number(values, key) for key in ("xtl", "ytl", "xbr", "ybr"))
    angle_deg = _angle_deg(values)
    if not angle_deg:
        return x0, y0, x1, y1
    # CVAT turns a box about its centre.
    centre = (x0 + x1) / 2, (y0 + y1) / 2
    return bound_points(turn_box((x0, y0, x1, y1), angle_deg=angle_deg, about=centre))


def _read_points(text: str) -> Polygon:
    numbers = [part for point in text.split(";") for part in point.split(",")]
    return pair_up([read_number({"points": number}, "points") for number in numbers])


@dataclass(frozen=True)
class _Task:
    """Which frames of the video a task is about."""

    names: tuple[str, ...]
    size: tuple[int, int] | None
    start_frame: int
    stop_frame: int | None
    step: int

    def has(self, frame_index: int) -> bool:
        is_inside = self.start_frame <= frame_index and (
            self.stop_frame is None or frame_index <= self.stop_frame
        )
        return is_inside and (frame_index - self.start_frame) % self.step == 0

    def check(self, frame_index: int) -> None:
        if not self.has(frame_index):
            raise AnnotationError(
                f"frame {frame_index} is none of the task's frames, which go from "
                f"{self.start_frame} to {self.stop_frame} in steps of {self.step}."
            )


def _read_video(root: ET.Element, problems: Problems) -> LabelledVideo | None:
    with problems.gather("<meta>"):
        task = _read_task(root)
        tracks = []
        for number, element in enumerate(root.findall("track")):
            track = _read_track(element, f"track {element.get('id', number)}", task, problems)
            if track.boxes:
                tracks.append(track)
        return LabelledVideo("the task", task.names, tuple(tracks), task.size)
    return None


def _read_task(root: ET.Element) -> _Task:
    tasks = [*root.iterfind("meta//task"), *root.iterfind("meta//job")]
    if len(tasks) != 1:
        raise AnnotationError(
            f"there are {len(tasks)} tasks, one is wanted; export each by itself."
        )
    (task,) = tasks
    names = (
        child_text(task, "source"),
        child_text(root, "meta/source"),
        child_text(task, "name"),
    )
    return _Task(
        names=tuple(filter(None, names)),
        size=_read_original_size(root),
        start_frame=_whole(child_text(task, "start_frame") or "0", "start_frame"),
        stop_frame=_read_stop_frame(task),
        step=_read_step(child_text(task, "frame_filter")),
    )


def _read_original_size(root: ET.Element) -> tuple[int, int] | None:
    element = root.find("meta//original_size")
    if element is None:
        return None
    stated = {side: child_text(element, side) for side in ("width", "height")}
    return read_size(stated, "width", "height")


def _read_stop_frame(task: ET.Element) -> int | None:
    text = child_text(task, "stop_frame")
    return _whole(text, "stop_frame") if text else None


def _read_step(frame_filter: str) -> int:
    if not frame_filter:
        return 1
    key, _, value = frame_filter.partition("=")
    step = _whole(value, "frame_filter") if key.strip() == "step" else 0
    if step < 1:
        raise AnnotationError(
            f"'frame_filter' is {frame_filter!r}, 'step=' and a number is wanted."
        )
    return step


def _read_track(element: ET.Element, where: str, task: _Task, problems: Problems) -> Track:
    boxes: dict[int, KeyBox] = {}
    for shape in _iter_shapes(element):
        place = f"{where}, {shape.tag} at frame {shape.get('frame')}"
        with problems.gather(place):
            frame_index = _whole(shape.get("frame", ""), "frame")
            is_outside = shape.get("outside") == "1"
            # The end of a track is written one step on, which may be past the last frame.
            if not is_outside:
                task.check(frame_index)
            if frame_index in boxes:
                raise AnnotationError("the track has another shape at this frame.")
            boxes[frame_index] = KeyBox(
                position=frame_index,
                face=_read_face(place, shape, element.get("label")),
                visible=not is_outside,
                continues=not is_outside,
                is_key=shape.get("keyframe", "1") == "1" and task.has(frame_index),
            )
    return Track(where, tuple(boxes[frame_index] for frame_index in sorted(boxes)))


def _whole(text: str, name: str) -> int:
    try:
        return int(text)
    except ValueError as exc:
        raise AnnotationError(f"'{name}' is {text!r}, a whole number is wanted.") from exc
