"""Read Pascal VOC annotations: one XML file per image, boxes in pixels counted from 1."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

from canemo.errors import AnnotationError
from canemo.formats.boxes.labelled import (
    DEFAULT_LABEL,
    DrawnFace,
    LabelledImage,
    Source,
    read_number,
    read_size,
)
from canemo.formats.boxes.xml_files import child_text, parse_xml
from canemo.formats.problems import Problems
from canemo.records import Box


def read_voc(source: Path, problems: Problems) -> Source:
    """Read a folder of Pascal VOC files, or one file.

    Notes
    -----
    The first and the last pixel belong to the box, and pixels are counted from 1 [1]_: xmin = 1
    and xmax = 10 are the box from 0 to 10.

    References
    ----------
    .. [1] Everingham et al., The PASCAL Visual Object Classes Challenge,
       doi:10.1007/s11263-009-0275-4
    """
    files = sorted(source.rglob("*.xml")) if source.is_dir() else [source]
    if not files:
        raise AnnotationError(f"{source}: holds no XML file; give the folder of the VOC files.")
    images = []
    for file in files:
        where = file.relative_to(source).as_posix() if source.is_dir() else file.name
        with problems.gather(where):
            images.append(_read_file(file, where, problems))
    return Source(images=tuple(images))


def _read_file(file: Path, where: str, problems: Problems) -> LabelledImage:
    root = parse_xml(file)
    if root.tag != "annotation":
        raise AnnotationError(f"the root is <{root.tag}>, <annotation> is wanted.")
    faces = []
    for number, element in enumerate(root.findall("object"), start=1):
        place = f"{where}, object {number}"
        with problems.gather(place):
            label = child_text(element, "name") or DEFAULT_LABEL
            faces.append(DrawnFace(place, label, _read_box(element)))
    # A name without an ending is looked up as any kind of image.
    named = filter(None, (child_text(root, "filename"), file.stem))
    return LabelledImage(where, tuple(named), tuple(faces), _read_stated_size(root))


def _read_box(element: ET.Element) -> Box:
    corners = {corner: child_text(element, f"bndbox/{corner}") for corner in _CORNERS}
    xmin, ymin, xmax, ymax = (read_number(corners, corner) for corner in _CORNERS)
    return xmin - 1, ymin - 1, xmax, ymax


_CORNERS = ("xmin", "ymin", "xmax", "ymax")


def _read_stated_size(root: ET.Element) -> tuple[int, int] | None:
    stated = {side: child_text(root, f"size/{side}") for side in ("width", "height")}
    # Some tools write no size, or 0 for what they did not know.
    if any(text in ("", "0") for text in stated.values()):
        return None
    return read_size(stated, "width", "height")
