"""What is remembered of the frames of a video once their pixels are gone, packed small.

A video of half an hour at 60 frames per second has 108,000 frames. As Python objects their records
would take a kilobyte each; here it is `struct` rows of about 150 bytes, and pictures are on disk.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from struct import Struct
from typing import IO, Any, overload

from canemo.records import Face

Place = tuple[int, int]
"""Where a byte string is in a `Spool`: its offset and its length."""

_NOWHERE: Place = (0, 0)


@dataclass(frozen=True)
class Cut:
    """A picture cut out of a frame: its rectangle, what was measured on it, where its JPEG is."""

    rectangle: tuple[int, int, int, int]
    brightness: float
    sharpness: float
    at: Place


@dataclass(frozen=True)
class Seen:
    """A frame: its faces, for each the cut made of it (if any), and the whole picture (if kept).

    `between` says that the faces lie between those of frames the detector looked at.
    """

    frame_index: int
    time_s: float
    faces: tuple[Face, ...]
    cuts: tuple[Cut | None, ...]
    whole: Place | None = None
    between: bool = False


class SeenFrames(Sequence[Seen]):
    """The frames of a video in order; each `Seen` is packed when added and made anew when read."""

    def __init__(self) -> None:
        self._frames = _Table("<q d ? q q q")  # ..., place of the whole picture, end of its faces
        self._faces = _Table("<5d 4i 2d 2q")  # box and score, rectangle, brightness, sharpness, at

    def add(self, seen: Seen) -> None:
        """Keep one more frame."""
        for face, cut in zip(seen.faces, seen.cuts, strict=True):
            made = _NO_CUT if cut is None else cut
            self._faces.add(
                *(*face.box_xyxy, face.score, *made.rectangle),
                *(made.brightness, made.sharpness, *made.at),
            )
        place = seen.whole or _NOWHERE
        self._frames.add(seen.frame_index, seen.time_s, seen.between, *place, len(self._faces))

    def __len__(self) -> int:
        return len(self._frames)

    @overload
    def __getitem__(self, position: int) -> Seen: ...
    @overload
    def __getitem__(self, position: slice) -> Sequence[Seen]: ...
    def __getitem__(self, position: int | slice) -> Seen | Sequence[Seen]:
        if isinstance(position, slice):
            return [self[each] for each in range(*position.indices(len(self)))]
        place = range(len(self))[position]
        frame_index, time_s, between, *whole, stop = self._frames[place]
        start = self._frames[place - 1][-1] if place else 0
        rows = [self._faces[each] for each in range(start, stop)]
        return Seen(
            frame_index,
            time_s,
            faces=tuple(Face(row[:4], row[4]) for row in rows),
            cuts=tuple(_read_cut(row[5:]) for row in rows),
            whole=(whole[0], whole[1]) if whole[1] else None,
            between=between,
        )


class Spool:
    """Byte strings on disk that are wanted again only once the video has been seen to its end."""

    def __init__(self, handle: IO[bytes]) -> None:
        self._handle = handle

    def add(self, data: bytes) -> Place:
        """Keep `data` and return where it is."""
        offset = self._handle.seek(0, io.SEEK_END)
        self._handle.write(data)
        return offset, len(data)

    def get(self, at: Place) -> bytes:
        """Return what was kept there."""
        self._handle.seek(at[0])
        return self._handle.read(at[1])


class _Table:
    """Rows of numbers of one layout, packed one after the other."""

    def __init__(self, layout: str) -> None:
        self._row = Struct(layout)
        self._rows = bytearray()

    def add(self, *values: float) -> None:
        self._rows += self._row.pack(*values)

    def __len__(self) -> int:
        return len(self._rows) // self._row.size

    def __getitem__(self, place: int) -> tuple[Any, ...]:
        return self._row.unpack_from(self._rows, place * self._row.size)


_NO_CUT = Cut((0, 0, 0, 0), brightness=0.0, sharpness=0.0, at=_NOWHERE)


def _read_cut(row: tuple[Any, ...]) -> Cut | None:
    *rectangle, brightness, sharpness, offset, length = row
    if not length:
        return None
    x0, y0, x1, y1 = rectangle
    return Cut((x0, y0, x1, y1), brightness, sharpness, at=(offset, length))
