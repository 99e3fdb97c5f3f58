"""The XML of a workbook, read within bounds: what no program writes is refused, not unpacked."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from typing import IO
from xml.etree.ElementTree import Element, iterparse, parse

from canemo.formats.delimited import TableFileError

_MOST_BYTES = 32 * 1024**2  # between two rows, and of what has none
_DOCTYPE = b"<!DOCTYPE"


def iter_elements(
    archive: zipfile.ZipFile, part: str, *, ends: str
) -> Iterator[tuple[str, Element]]:
    """Yield "start" and "end" of each element of a part.

    Parameters
    ----------
    ends
        Name of the elements that the caller clears: little may be kept of what lies between.
    """
    with archive.open(part) as handle:
        bounded = _Bounded(handle)
        for event, element in iterparse(bounded, events=("start", "end")):
            yield event, element
            if event == "end" and element.tag.endswith(ends):
                bounded.kept = 0


def read_element(archive: zipfile.ZipFile, part: str) -> Element:
    """Return the root of a part that is small."""
    with archive.open(part) as handle:
        return parse(_Bounded(handle)).getroot()


class _Bounded:
    """A part that is read as a file is, without declarations of entities and endless texts."""

    def __init__(self, handle: IO[bytes]) -> None:
        self._handle, self._before = handle, b""
        self.kept = 0

    def read(self, size: int = -1) -> bytes:
        content = self._handle.read(size)
        self.kept += len(content)
        if self.kept > _MOST_BYTES:
            raise TableFileError("holds a row without an end", "a workbook with only the table")
        # UTF-16 has a zero beside each letter
        if _DOCTYPE in (self._before + content).replace(b"\0", b""):
            raise TableFileError("holds an XML document type", "a workbook, which has none")
        self._before = content[-2 * len(_DOCTYPE) :]
        return content
