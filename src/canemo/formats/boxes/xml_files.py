"""XML files of labelling tools, without the parts of XML that can be used to do harm."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

from canemo.errors import AnnotationError


class _PlainBuilder(ET.TreeBuilder):
    """Build the tree of a document that declares no type, so that it cannot declare entities."""

    def doctype(self, name: str, pubid: str | None, system: str | None) -> None:
        """Refuse the declaration, which comes before anything that could use it."""
        raise AnnotationError(
            f"has a document type declaration (DOCTYPE {name}), which annotation files do not "
            "need and canemo does not read; take the declaration out if you trust the file."
        )


def parse_xml(path: Path) -> ET.Element:
    """Parse an XML file and return its root.

    Raises
    ------
    AnnotationError
        If the file cannot be read, is not XML, or has a DOCTYPE or entity declaration.
    """
    parser = ET.XMLParser(target=_PlainBuilder())
    try:
        return ET.fromstring(path.read_bytes(), parser=parser)
    except OSError as exc:
        raise AnnotationError(f"{path}: cannot be read ({exc.strerror}).") from exc
    except (ET.ParseError, ValueError, LookupError) as exc:
        reason = exc if isinstance(exc, AnnotationError) else f"is not XML ({exc})."
        raise AnnotationError(f"{path}: {reason}") from exc


def child_text(element: ET.Element, path: str) -> str:
    """Return the stripped text of a descendant, empty where it is missing."""
    return (element.findtext(path) or "").strip()
