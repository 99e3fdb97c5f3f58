"""Decoded pictures as they are meant to be displayed."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, cast

import av
import av.error
import av.filter
import numpy as np
from av.sidedata.sidedata import Type as SideDataType
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream

from canemo.records import Image

if TYPE_CHECKING:
    from av.sidedata.sidedata import SideDataContainer

# Beyond this a pixel's shape is a broken header, not a lens.
_LARGEST_PIXEL_ASPECT = 4


class Converter:
    """Turn decoded pictures into RGB as displayed."""

    def __init__(self, stream: VideoStream) -> None:
        self._stream = stream
        self._reformatter = VideoReformatter()
        self._orientation: tuple[int, Orientation] | None = None

    def to_rgb(self, picture: VideoFrame) -> Image:
        """Convert one picture to (H, W, 3) uint8, RGB."""
        orientation = self._read_orientation(picture)
        if picture.interlaced_frame:
            picture = _deinterlace(picture)
        width, height = square_size(picture, self._stream)
        pixel_format = "rgba" if _has_alpha(picture) else "rgb24"
        converted = self._reformatter.reformat(picture, width, height, pixel_format)
        pixels: Image = np.asarray(converted.to_ndarray(), dtype=np.uint8)
        return orientation.apply(_on_black(pixels) if pixel_format == "rgba" else pixels)

    def _read_orientation(self, picture: VideoFrame) -> Orientation:
        # Reading side data ties a picture into a reference cycle, and pictures that wait for the
        # garbage collector pile up: read it only where the angle, which is free, has changed.
        angle = picture.rotation
        if self._orientation is None or self._orientation[0] != angle:
            self._orientation = angle, Orientation.of(picture)
        return self._orientation[1]


def _has_alpha(picture: VideoFrame) -> bool:
    pixel_format = picture.format
    return pixel_format.has_palette or any(part.is_alpha for part in pixel_format.components)


def _on_black(pixels_rgba: Image) -> Image:
    colour = pixels_rgba[..., :3].astype(np.uint16)
    opacity = pixels_rgba[..., 3:].astype(np.uint16)
    return ((colour * opacity + 127) // 255).astype(np.uint8)


def _deinterlace(picture: VideoFrame) -> VideoFrame:
    # Within one picture, so that the frames between samples need not be looked at.
    graph = av.filter.Graph()
    source = graph.add_buffer(
        width=picture.width,
        height=picture.height,
        format=picture.format,
        time_base=picture.time_base or Fraction(1, 1000),
    )
    graph.link_nodes(source, graph.add("estdif", mode="frame"), graph.add("buffersink"))
    graph.configure()
    graph.vpush(picture)
    graph.vpush(None)
    return graph.vpull()


def square_size(picture: VideoFrame, stream: VideoStream) -> tuple[int, int]:
    """Compute the width and height [px] of a stored picture once its pixels are square."""
    aspect = stream.sample_aspect_ratio
    if not aspect or not 1 / _LARGEST_PIXEL_ASPECT <= aspect <= _LARGEST_PIXEL_ASPECT:
        return picture.width, picture.height
    if aspect >= 1:
        return round(picture.width * aspect), picture.height
    return picture.width, round(picture.height / aspect)


@dataclass(frozen=True)
class Orientation:
    """How a stored picture is laid out for display: transposed first, then mirrored."""

    transposed: bool = False
    mirrored_x: bool = False
    mirrored_y: bool = False

    @classmethod
    def of(cls, picture: VideoFrame) -> Orientation:
        """Read the display matrix; turns that are no multiple of 90 degrees go to the nearest."""
        # PyAV types this as a dict of motion vectors; it maps every kind of side data.
        side_data = cast("SideDataContainer", picture.side_data)
        if SideDataType.DISPLAYMATRIX not in side_data:
            return cls()
        data = bytes(side_data[SideDataType.DISPLAYMATRIX])
        # libavutil/display.h: x' = a x + c y + tx and y' = b x + d y + ty
        (a, b, _), (c, d, _), _ = np.frombuffer(data, dtype=np.int32).reshape(3, 3).tolist()
        if abs(b) + abs(c) > abs(a) + abs(d):
            return cls(transposed=True, mirrored_x=c < 0, mirrored_y=b < 0)
        return cls(mirrored_x=a < 0, mirrored_y=d < 0)

    @property
    def rotation_deg(self) -> int:
        """Clockwise turn [degrees], not counting a mirror image."""
        if self.transposed:
            return 90 if self.mirrored_x else 270
        return 180 if self.mirrored_y else 0

    def apply(self, pixels: Image) -> Image:
        """Lay out (H, W, 3) pixels for display."""
        if self.transposed:
            pixels = pixels.transpose(1, 0, 2)
        if self.mirrored_x:
            pixels = pixels[:, ::-1]
        if self.mirrored_y:
            pixels = pixels[::-1]
        return np.ascontiguousarray(pixels)
