"""Which tool an annotation source is from, told by its content."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

from canemo.detect.annotations.source import read_headings, read_json
from canemo.detect.annotations.via import PROJECT_KEY, SHAPE_COLUMN
from canemo.detect.annotations.xml_files import parse_xml
from canemo.errors import AnnotationError

AnnotationKind: TypeAlias = Literal["coco", "voc", "via", "cvat", "label_studio"]
"""The formats that can be imported."""

KINDS: tuple[AnnotationKind, ...] = get_args(AnnotationKind)


def guess_kind(source: Path) -> AnnotationKind:
    """Tell the kind of an annotation source from its content.

    Raises
    ------
    AnnotationError
        If it is none that is known, or cannot be read.
    """
    kind: AnnotationKind | None = None
    suffix = source.suffix.lower()
    if source.is_dir():
        kind = "voc" if next(source.rglob("*.xml"), None) is not None else None
    elif suffix == ".xml":
        kind = _XML_ROOTS.get(parse_xml(source).tag)
    elif suffix == ".csv":
        kind = "via" if SHAPE_COLUMN in read_headings(source) else None
    else:
        kind = _guess_json(read_json(source))
    if kind is None:
        raise AnnotationError(
            f"{source}: is none of COCO (JSON), Pascal VOC (folder of XML), VIA 2 (JSON or CSV), "
            "CVAT 1.1 (XML) and Label Studio (JSON); export the annotations as one of these, or "
            "say which it is with --format (kind)."
        )
    return kind


_XML_ROOTS: dict[str, AnnotationKind] = {"annotation": "voc", "annotations": "cvat"}


def _guess_json(content: Any) -> AnnotationKind | None:
    if isinstance(content, list):
        is_tasks = all(isinstance(one, dict) and "data" in one for one in content)
        return "label_studio" if is_tasks and content else None
    if not isinstance(content, dict):
        return None
    if "images" in content and "annotations" in content:
        return "coco"
    entries = content.get(PROJECT_KEY, content)
    are_images = isinstance(entries, dict) and all(
        isinstance(entry, dict) and "filename" in entry for entry in entries.values()
    )
    return "via" if are_images and entries else None
