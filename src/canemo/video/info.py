"""What a video file states of itself."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from canemo.video.container import (
    COPY_AGAIN,
    Losses,
    choose_stream,
    decode_pictures,
    open_container,
    open_error,
    stated_duration_s,
)
from canemo.video.pictures import Orientation, square_size
from canemo.video.times import mean_rate

VIDEO_SUFFIXES = frozenset(
    [
        *(".3gp", ".asf", ".avi", ".flv", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4"),
        *(".mpeg", ".mpg", ".mts", ".ogv", ".ts", ".webm", ".wmv"),
    ]
)
"""File name endings taken for a video, in lower case."""


@dataclass(frozen=True)
class VideoInfo:
    """What a video file says about itself.

    Parameters
    ----------
    width, height
        Size of a frame [px] as displayed: pixels made square, rotation applied.
    fps
        Mean rate [frames/s], exact. Frames of a file with a variable rate keep their own times.
    duration_s
        Stated length [s], or None where the file does not state one.
    frames
        Stated number of frames, or None where the file does not state one.
    rotation_deg
        Clockwise turn from the stored picture to the displayed one: 0, 90, 180 or 270.
    codec
        FFmpeg's name of the codec.
    """

    width: int
    height: int
    fps: Fraction
    duration_s: float | None
    frames: int | None
    rotation_deg: int
    codec: str


def probe_video(path: Path | str) -> VideoInfo:
    """Read what a video file says about itself, and decode its first frame.

    Raises
    ------
    VideoOpenError
        If the file is missing, empty, not a video, without pictures, or if not one of its
        pictures can be decoded. `path` of the error is the file.

    Notes
    -----
    Length, number of frames and rate are what the file states; a truncated file states what it
    once was.
    """
    path = Path(path)
    with open_container(path) as container:
        stream = choose_stream(container, path)
        picture = next(decode_pictures(container, stream, Losses()), None)
        if picture is None:
            raise open_error(path, "holds no picture that can be decoded", COPY_AGAIN)
        orientation = Orientation.of(picture)
        width, height = square_size(picture, stream)
        return VideoInfo(
            width=height if orientation.transposed else width,
            height=width if orientation.transposed else height,
            fps=mean_rate(stream),
            duration_s=stated_duration_s(container, stream),
            frames=stream.frames or None,
            rotation_deg=orientation.rotation_deg,
            codec=stream.codec_context.name,
        )
