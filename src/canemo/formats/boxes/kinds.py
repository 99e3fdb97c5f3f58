"""The formats that annotations can be imported from, and which one a source is in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Any

from canemo.errors import AnnotationError, ConfigError
from canemo.formats.boxes.coco import AnnotatedImage, read_coco
from canemo.formats.boxes.cvat import read_cvat
from canemo.formats.boxes.label_studio import read_label_studio
from canemo.formats.boxes.labelled import DrawnFace, LabelledImage, Source, read_headings, read_json
from canemo.formats.boxes.via import PROJECT_KEY, SHAPE_COLUMN, read_via
from canemo.formats.boxes.voc import read_voc
from canemo.formats.boxes.xml_files import parse_xml
from canemo.formats.problems import Problems
from canemo.formats.tables import TABLE_SUFFIXES
from canemo.registry import Registry


class Content:
    """A source as formats recognise it: what it holds is read when it is first asked for."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.suffix = "" if path.is_dir() else path.suffix.lower()

    @cached_property
    def xml_root(self) -> str | None:
        """Tag of the root of an XML file; None of other sources."""
        return parse_xml(self.path).tag if self.suffix == ".xml" else None

    @cached_property
    def headings(self) -> str:
        """First line of a table; nothing of other sources."""
        return read_headings(self.path) if self.suffix in TABLE_SUFFIXES else ""

    @cached_property
    def json(self) -> Any:
        """Content of a file that is neither XML nor CSV; None of other sources."""
        is_other = self.path.is_dir() or self.suffix in (".xml", *TABLE_SUFFIXES)
        return None if is_other else read_json(self.path)


@dataclass(frozen=True)
class Reading:
    """What an import knows of a source beside the source itself.

    `images_dir` is the folder of the images, `frame_rate` the rate [frames/s] at which the tool
    counted frames; None where nobody said.
    """

    images_dir: Path | None = None
    frame_rate: Fraction | float | None = None


@dataclass(frozen=True)
class FaceFormat:
    """A format of face annotations.

    Attributes
    ----------
    title
        The tool and the kind of file, for messages.
    recognises
        Tells whether a source is in this format; asked in turn, canemo's own formats first.
    read
        Reads it. An entry that cannot be used is left to `Problems.gather`, which stops the import
        or leaves the entry out, as the user wants.
    """

    title: str
    recognises: Callable[[Content], bool]
    read: Callable[[Path, Problems, Reading], Source]


def guess_kind(source: Path) -> str:
    """Tell the kind of an annotation source from its content.

    Raises
    ------
    AnnotationError
        If it is none that is known, or cannot be read.
    """
    content, known = Content(source), ALL_FORMATS.load_all()
    unreadable = None
    for kind, each in known.items():
        try:
            if each.recognises(content):
                return kind
        except AnnotationError as exc:  # as JSON, say, which another format need not be
            unreadable = exc
    if unreadable is not None:
        raise unreadable
    raise AnnotationError(
        f"{source}: is none of {', '.join(each.title for each in known.values())}; export the "
        "annotations as one of these, or say which it is with --format (kind)."
    )


def find_format(kind: str) -> FaceFormat:
    """Return the format of that name; ConfigError names those there are."""
    found = ALL_FORMATS.get(kind)
    if found is None:
        raise ConfigError(f"format {kind!r} is unknown; there are {', '.join(ALL_FORMATS)}")
    return found


def _is_voc(content: Content) -> bool:
    if content.path.is_dir():
        return next(content.path.rglob("*.xml"), None) is not None
    return content.xml_root == "annotation"


def _is_coco(content: Content) -> bool:
    return isinstance(content.json, dict) and {"images", "annotations"} <= content.json.keys()


def _is_via(content: Content) -> bool:
    if SHAPE_COLUMN in content.headings:
        return True
    if not isinstance(content.json, dict):
        return False
    entries = content.json.get(PROJECT_KEY, content.json)
    are_images = isinstance(entries, dict) and all(
        isinstance(entry, dict) and "filename" in entry for entry in entries.values()
    )
    return are_images and bool(entries)


def _is_label_studio(content: Content) -> bool:
    tasks = content.json
    return (
        isinstance(tasks, list)
        and bool(tasks)
        and all(isinstance(one, dict) and "data" in one for one in tasks)
    )


def _read_coco(source: Path, problems: Problems, reading: Reading) -> Source:
    annotated = read_coco(source, problems, images_dir=reading.images_dir)
    return Source(images=tuple(map(_from_coco, annotated)))


def _from_coco(image: AnnotatedImage) -> LabelledImage:
    where = f"image {image.path.name!r}"
    drawn = zip(image.categories, image.boxes_xyxy, image.polygons, strict=True)
    return LabelledImage(
        where,
        (str(image.path.absolute()),),
        tuple(DrawnFace(where, *face) for face in drawn),
        (image.width, image.height),
        image.extra,
    )


FORMATS: dict[str, FaceFormat] = {
    "coco": FaceFormat("COCO (JSON)", _is_coco, _read_coco),
    "voc": FaceFormat(
        "Pascal VOC (folder of XML)",
        _is_voc,
        lambda source, problems, reading: read_voc(source, problems),
    ),
    "via": FaceFormat(
        "VIA 2 (JSON or CSV)",
        _is_via,
        lambda source, problems, reading: read_via(source, problems),
    ),
    "cvat": FaceFormat(
        "CVAT 1.1 (XML)",
        lambda content: content.xml_root == "annotations",
        lambda source, problems, reading: read_cvat(source, problems),
    ),
    "label_studio": FaceFormat(
        "Label Studio (JSON)",
        _is_label_studio,
        lambda source, problems, reading: read_label_studio(
            source, problems, frame_rate=reading.frame_rate
        ),
    ),
}


def _admit(offered: object, name: str, origin: str) -> FaceFormat:
    if not isinstance(offered, FaceFormat):
        raise ConfigError(f"it is a {type(offered).__name__}, a FaceFormat is wanted")
    return offered


ALL_FORMATS = Registry("format", FORMATS, _admit)
