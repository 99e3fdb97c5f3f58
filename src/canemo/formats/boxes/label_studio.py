"""Read Label Studio's JSON export: boxes and polygons on images, boxes followed through videos."""

from __future__ import annotations

import re
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from canemo.errors import AnnotationError
from canemo.formats.boxes.labelled import (
    DEFAULT_LABEL,
    DrawnFace,
    KeyBox,
    LabelledImage,
    LabelledVideo,
    Source,
    Track,
    pick_origin,
    read_json,
    read_number,
    read_object,
    read_size,
)
from canemo.formats.boxes.shapes import Polygon, bound_points, pair_up, turn_box
from canemo.formats.problems import Problems
from canemo.records import Box

_PERCENT = (100, 100)
_VIDEO_TYPE = "videorectangle"
_UPLOAD_PREFIX = re.compile(r"^[0-9a-f]{8}-")


def read_label_studio(
    source: Path, problems: Problems, *, frame_rate: Fraction | float | None
) -> Source:
    """Read a Label Studio JSON export (not JSON-MIN).

    Parameters
    ----------
    source
        The exported file.
    problems
        Where unusable tasks and regions are noted.
    frame_rate
        The rate [frames/s] at which Label Studio counted the frames of the videos.

    Raises
    ------
    AnnotationError
        If the file is none of Label Studio's, or has video tasks and `frame_rate` is None.

    Notes
    -----
    Label Studio states boxes in percent of the picture and turns them about their top left corner;
    of a turned box the smallest box around it is kept. It numbers the frames of a video from 1 at
    a rate of its own, whatever the file's rate is. Frame n is shown at (n - 1) / `frame_rate`
    seconds. A key box that is not `enabled` is the last one that is shown.
    """
    tasks = read_json(source)
    if not isinstance(tasks, list):
        raise AnnotationError(f"{source}: is no list of tasks; export from Label Studio as 'JSON'.")
    rate = _check_rate(frame_rate, source) if any(map(_is_video, tasks)) else Fraction(1)
    images, videos, unlabelled = [], [], []
    for number, task in enumerate(tasks):
        where = f"task {task.get('id', number) if isinstance(task, dict) else number}"
        with problems.gather(where):
            results = _read_results(read_object(task, "task"))
            if results is None:
                unlabelled.append(f"{where}: nobody has labelled it yet.")
            elif _is_video(task):
                videos.append(_read_video(where, task, results, rate, problems))
            else:
                images.append(_read_image(where, task, results, problems))
    return Source(tuple(images), tuple(videos), tuple(unlabelled))


def _read_results(task: Mapping[str, Any]) -> list[Any] | None:
    """Return what was drawn in a task, None where nobody has worked on it."""
    annotations = task.get("annotations")
    if not isinstance(annotations, list):
        raise AnnotationError(
            "there is no list 'annotations'; export from Label Studio as 'JSON', not 'JSON-MIN'."
        )
    done = [read_object(one, "annotations") for one in annotations]
    done = [one for one in done if not one.get("was_cancelled")]
    if len(done) > 1:
        done = [one for one in done if one.get("ground_truth")] or done
    if len(done) > 1:
        raise AnnotationError(
            f"there are {len(done)} annotations; mark one of them as ground truth."
        )
    if not done:
        return None
    results = done[0].get("result")
    if not isinstance(results, list):
        raise AnnotationError(f"'result' is {results!r}, a list is wanted.")
    return results


def _is_video(task: object) -> bool:
    data = task.get("data") if isinstance(task, dict) else None
    return isinstance(data, dict) and "video" in data


def _check_rate(frame_rate: Fraction | float | None, source: Path) -> Fraction:
    if frame_rate is None:
        raise AnnotationError(
            f"{source}: has video tasks, whose frames Label Studio counts at a rate of its own (24 "
            "per second unless the labelling configuration says otherwise); give that rate with "
            "--frame-rate."
        )
    rate = frame_rate if isinstance(frame_rate, Fraction) else Fraction(str(frame_rate))
    if rate <= 0:
        raise AnnotationError(f"--frame-rate is {frame_rate}; give a rate above 0.")
    return rate


def _read_image(
    where: str, task: Mapping[str, Any], results: list[Any], problems: Problems
) -> LabelledImage:
    faces, sizes = [], set()
    for number, result in enumerate(results):
        place = f"{where}, result {number}"
        with problems.gather(place):
            result = read_object(result, "result")
            value = read_object(result.get("value") or {}, "value")
            if not _is_drawn(value):
                continue
            size = read_size(result, "original_width", "original_height")
            sizes.add(size)
            faces.append(_read_face(place, result.get("type"), value, size))
    if len(sizes) > 1:
        raise AnnotationError(f"the results state different sizes of the image: {sorted(sizes)}.")
    data = read_object(task.get("data"), "data")
    names = _candidate_names(data, "image")
    return LabelledImage(where, names, tuple(faces), next(iter(sizes), None), pick_origin(data))


def _is_drawn(value: Mapping[str, Any]) -> bool:
    """Whether a result is something drawn, not a choice or a text about the whole image."""
    return any(key in value for key in ("x", "points", "rle", "vertices"))


def _read_face(
    where: str, kind: object, value: Mapping[str, Any], size: tuple[int, int]
) -> DrawnFace:
    label = _read_label(value)
    if kind in ("rectanglelabels", "rectangle"):
        return DrawnFace(where, label, _read_box(value, size))
    if kind in ("polygonlabels", "polygon"):
        polygon = _read_polygon(value, size)
        return DrawnFace(where, label, bound_points(polygon), (polygon,))
    raise AnnotationError(f"the type is {kind!r}; a rectangle or a polygon is wanted.")


def _read_label(value: Mapping[str, Any]) -> str:
    for key in ("rectanglelabels", "polygonlabels", "labels"):
        named = value.get(key)
        if isinstance(named, list) and named:
            return str(named[0])
    return DEFAULT_LABEL


def _read_box(value: Mapping[str, Any], size: tuple[int, int]) -> Box:
    x, y, width, height = (read_number(value, key) for key in ("x", "y", "width", "height"))
    angle_deg = read_number(value, "rotation") if value.get("rotation") else 0.0
    corner = x * size[0] / 100, y * size[1] / 100
    box = *corner, (x + width) * size[0] / 100, (y + height) * size[1] / 100
    return bound_points(turn_box(box, angle_deg=angle_deg, about=corner)) if angle_deg else box


def _read_polygon(value: Mapping[str, Any], size: tuple[int, int]) -> Polygon:
    points = value.get("points")
    pairs = points if isinstance(points, list) else []
    if not all(isinstance(pair, list) and len(pair) == 2 for pair in pairs):
        raise AnnotationError(f"'points' is {points!r}, a list of [x, y] is wanted.")
    flat = [
        read_number({"points": coordinate}, "points") * side / 100
        for pair in pairs
        for coordinate, side in zip(pair, size, strict=True)
    ]
    return pair_up(flat)


def _read_video(
    where: str, task: Mapping[str, Any], results: list[Any], rate: Fraction, problems: Problems
) -> LabelledVideo:
    tracks = []
    for number, result in enumerate(results):
        place = f"{where}, result {number}"
        with problems.gather(place):
            result = read_object(result, "result")
            if result.get("type") == _VIDEO_TYPE:
                value = read_object(result.get("value"), "value")
                tracks.append(_read_track(place, value, rate, problems))
    names = _candidate_names(read_object(task.get("data"), "data"), "video")
    kept = tuple(track for track in tracks if track.boxes)
    return LabelledVideo(where, names, kept, _PERCENT, in_seconds=True)


def _read_track(where: str, value: Mapping[str, Any], rate: Fraction, problems: Problems) -> Track:
    sequence = value.get("sequence")
    if not isinstance(sequence, list):
        raise AnnotationError(f"'sequence' is {sequence!r}, a list is wanted.")
    label = _read_label(value)
    boxes: dict[float, KeyBox] = {}
    for number, key in enumerate(sequence):
        place = f"{where}, key {number}"
        with problems.gather(place):
            box = _read_key(place, label, read_object(key, "sequence"), rate)
            if box.position in boxes:
                raise AnnotationError(f"frame {key['frame']} has another key.")
            boxes[box.position] = box
    return Track(where, tuple(boxes[position] for position in sorted(boxes)))


def _read_key(where: str, label: str, key: Mapping[str, Any], rate: Fraction) -> KeyBox:
    frame = read_number(key, "frame")
    if frame < 1 or frame != int(frame):
        raise AnnotationError(f"'frame' is {frame:g}, a whole number from 1 is wanted.")
    return KeyBox(
        position=float((int(frame) - 1) / rate),
        face=DrawnFace(where, label, _read_box(key, _PERCENT)),
        continues=bool(key.get("enabled", True)),
    )


def _candidate_names(data: Mapping[str, Any], key: str) -> tuple[str, ...]:
    """Return the file names that a task's data may stand for, the whole path first."""
    address = data.get(key)
    if not isinstance(address, str) or not address:
        raise AnnotationError(f"'{key}' of the data is {address!r}, a file name is wanted.")
    parts = urlsplit(address)
    # Files of a local storage are addressed as /data/local-files/?d=folder/name.jpg.
    path = parse_qs(parts.query).get("d", [unquote(parts.path)])[0]
    stripped = _UPLOAD_PREFIX.sub("", PurePosixPath(path).name)
    return tuple(dict.fromkeys((path, stripped)))
