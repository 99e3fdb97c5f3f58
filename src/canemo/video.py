"""Video files: what is in them, and their frames with numbers and times that can be trusted.

The one module that knows PyAV and FFmpeg. PyAV keeps FFmpeg's own log silent, and nothing here
turns it on.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self, cast

import av
import av.error
import av.filter
import numpy as np
from av.container import InputContainer
from av.sidedata.sidedata import Type as SideDataType
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream

from canemo.errors import ConfigError, VideoOpenError
from canemo.records import Frame, Image

__all__ = [
    "LostFrame",
    "Sampling",
    "VideoInfo",
    "VideoReader",
    "iter_frames",
    "probe_video",
]

if TYPE_CHECKING:
    from av.sidedata.sidedata import SideDataContainer

logger = logging.getLogger(__name__)

# Matroska, WebM and FLV round every time stamp to the millisecond. A frame that carries 33 ms
# answers the grid point 1/29.97 s = 33.4 ms.
_LARGEST_ROUNDING_S = Fraction(1, 1000)
# How much earlier than stated the pictures may end in a sound file. Where only the length of the
# whole file is stated, its sound may outlast them.
_TOLERATED_SHORTFALL_S = 0.25
_TOLERATED_SHORTFALL_WITH_SOUND_S = 1.0
_MAX_READ_FAILURES = 20
# Beyond this a pixel's shape is a broken header, not a lens.
_LARGEST_PIXEL_ASPECT = 4


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


@dataclass(frozen=True)
class Sampling:
    """Which frames of a video are looked at: every n-th, or a rate. Exactly one is given.

    Parameters
    ----------
    every_nth
        1 takes every frame, 2 every second one, counted from the first frame of the part read.
    fps
        Wanted rate [frames/s]. The grid 0, 1/fps, 2/fps, ... starts at the start of the part
        read; each grid point takes the first frame at or after it, and a frame is taken once. So
        there are never more frames than the file has, whatever rate is asked for.

    Raises
    ------
    ConfigError
        If none or both are given, or one is not above zero.

    Notes
    -----
    Times are compared as exact fractions; 29.97 means 2997/100 and 30000/1001 can be passed as a
    Fraction. The only tolerance is the rounding of the file's own time stamps, at most 1 ms.
    """

    every_nth: int | None = None
    fps: Fraction | float | None = None

    def __post_init__(self) -> None:
        if (self.every_nth is None) == (self.fps is None):
            raise ConfigError(
                f"sampling has every_nth={self.every_nth} and fps={self.fps}; "
                "give exactly one of them"
            )
        if self.every_nth is not None and not (
            isinstance(self.every_nth, int) and self.every_nth >= 1
        ):
            raise ConfigError(
                f"sampling has every_nth={self.every_nth}; give a whole number from 1"
            )
        if self.fps is not None and not (math.isfinite(self.fps) and self.fps > 0):
            raise ConfigError(f"sampling has fps={self.fps}; give a rate above 0")
        if self.fps is not None:
            # One spelling per rate, so that equal samplings also look equal in a cache key.
            object.__setattr__(self, "fps", _as_written(self.fps))


@dataclass(frozen=True)
class LostFrame:
    """A frame that was to be looked at and whose picture is damaged."""

    frame_index: int
    time_s: float


class VideoReader:
    """Read the sampled frames of one video, once, in constant memory.

    Iterate over it to get `Frame` records; afterwards `damage` and `lost` tell what was wrong
    with the file. Damage never raises: whatever can be decoded is yielded. Use it in a `with`
    block, which closes the file.

    Parameters
    ----------
    path
        The video file.
    sampling
        Which frames are yielded. Only these are turned into RGB.
    start_s, end_s
        The part of the file to read [s]: frames with `start_s <= time_s < end_s`.

    Attributes
    ----------
    damage
        One line on what could not be read, or None. Complete once the iteration has ended.
    lost
        The sampled frames that have a place and a time in the file but a damaged picture. They
        are not yielded.

    Raises
    ------
    VideoOpenError
        If the file cannot be opened or holds no video.
    ConfigError
        If `start_s` or `end_s` is not a time from 0, or the part is empty.

    Notes
    -----
    `frame_index` counts the pictures that the decoder gives out, in display order, from 0 at the
    start of the file, wherever `start_s` lies. That is why a part late in a long file is not
    quick: everything before it is decoded (but not converted). A picture that is missing or
    cannot be decoded at all has no number, so numbers after it are lower than in the original;
    times are not affected.

    `time_s` comes from the time stamps of the file, relative to its first picture, which is at
    0.0 (where the first pictures cannot be decoded: relative to the start the file states). It
    always increases. A picture without a usable time stamp gets the time of the one before plus
    one frame of the mean rate, and a warning is logged.

    Pictures are as displayed: rotation and mirroring of the display matrix applied, pixels made
    square by enlarging the shorter side [1]_, an interlaced picture filled up from its first
    field, transparency shown on black, more than 8 bits reduced to 8. High dynamic range is not
    tone mapped, colours that name no matrix are read as BT.601, FFmpeg's default. FFmpeg's VP9
    decoder does not see the alpha channel of WebM.

    References
    ----------
    .. [1] HTML Standard, pull request 5347: grow a dimension to match the pixel aspect ratio.
    """

    def __init__(
        self,
        path: Path | str,
        *,
        sampling: Sampling,
        start_s: float | None = None,
        end_s: float | None = None,
    ) -> None:
        self.path = Path(path)
        self._part = _Part(start_s, end_s)
        self._sampling = sampling
        self._container = _open_container(self.path)
        self._stream = _choose_stream(self._container, self.path)
        self._losses = _Losses()
        self._converter = _Converter(self._stream)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file. Closing twice does no harm."""
        self._container.close()

    @property
    def damage(self) -> str | None:
        """One line on what could not be read, or None."""
        return self._losses.describe()

    @property
    def lost(self) -> tuple[LostFrame, ...]:
        """The sampled frames whose picture is damaged."""
        return tuple(self._losses.frames)

    def __iter__(self) -> Iterator[Frame]:
        picker = _make_picker(self._sampling, self._part.start_s)
        for frame_index, time_s, picture in self._timed_pictures():
            if self._part.is_after(time_s):
                return
            if self._part.is_before(time_s) or not picker(time_s):
                continue
            frame = self._convert(frame_index, float(time_s.value), picture)
            if frame is not None:
                yield frame
        self._losses.note_end(
            stated_s=_stated_duration_s(self._container, self._stream),
            tolerance_s=_shortfall_tolerance_s(self._container, self._stream),
        )

    def _timed_pictures(self) -> Iterator[tuple[int, _Time, VideoFrame]]:
        self._stream.thread_type = "AUTO"
        clock = _Clock(self._container, self._stream)
        pictures = _decode_pictures(self._container, self._stream, self._losses)
        for frame_index, picture in enumerate(pictures):
            time_s = clock.read(picture, after_loss=self._losses.any)
            self._losses.end_s = float(time_s.value + clock.length_s(picture))
            yield frame_index, time_s, picture

    def _convert(self, frame_index: int, time_s: float, picture: VideoFrame) -> Frame | None:
        if not picture.is_corrupt:
            try:
                return Frame(frame_index, time_s, self._converter.to_rgb(picture))
            except av.error.FFmpegError as exc:
                logger.debug("frame %d of %s: %s", frame_index, self.path, exc)
        self._losses.frames.append(LostFrame(frame_index, time_s))
        return None


def iter_frames(
    path: Path | str,
    *,
    sampling: Sampling,
    start_s: float | None = None,
    end_s: float | None = None,
    on_damage: Callable[[str], None] | None = None,
) -> Iterator[Frame]:
    """Yield the sampled frames of one video in display order, in constant memory.

    Parameters
    ----------
    path
        The video file.
    sampling
        Which frames are yielded.
    start_s, end_s
        The part of the file to read [s]: frames with `start_s <= time_s < end_s`.
    on_damage
        Called once after the last frame, with one line on what could not be read, if anything
        could not. Without it the line is logged as a warning.

    Yields
    ------
    Frame
        See the notes of `VideoReader` on numbers, times and pixels.

    Raises
    ------
    VideoOpenError
        If the file cannot be opened or holds no video. Raised by the call, before any frame.
    ConfigError
        If `start_s` or `end_s` is not a time from 0, or the part is empty.
    """
    reader = VideoReader(path, sampling=sampling, start_s=start_s, end_s=end_s)
    return _iter_and_close(reader, on_damage)


def _iter_and_close(
    reader: VideoReader, on_damage: Callable[[str], None] | None
) -> Iterator[Frame]:
    with reader:
        yield from reader
        damage = reader.damage
    if damage is None:
        return
    if on_damage is None:
        logger.warning("%s: %s", reader.path, damage)
    else:
        on_damage(damage)


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
    with _open_container(path) as container:
        stream = _choose_stream(container, path)
        picture = next(_decode_pictures(container, stream, _Losses()), None)
        if picture is None:
            raise _open_error(path, "holds no picture that can be decoded", _COPY_AGAIN)
        orientation = _Orientation.of(picture)
        width, height = _square_size(picture, stream)
        return VideoInfo(
            width=height if orientation.transposed else width,
            height=width if orientation.transposed else height,
            fps=_mean_rate(stream),
            duration_s=_stated_duration_s(container, stream),
            frames=stream.frames or None,
            rotation_deg=orientation.rotation_deg,
            codec=stream.codec_context.name,
        )


_COPY_AGAIN = "copy it again from its source, or take it out of videos.csv"
_CHECK_PATH = "check the path, which is relative to the study folder in videos.csv"
_CONVERT = "check that it is a video, or convert it to MP4 (H.264)"


def _open_error(path: Path, what: str, advice: str) -> VideoOpenError:
    return VideoOpenError(f"{path}: {what}; {advice}", path=path)


def _open_container(path: Path) -> InputContainer:
    _require_content(path)
    try:
        # Absolute, so that no name is taken for a protocol; a tag in another encoding must not
        # keep a video from being read.
        return av.open(str(path.absolute()), "r", metadata_errors="replace")
    except PermissionError as exc:
        raise _open_error(path, "may not be read", "change its permissions") from exc
    except (av.error.FFmpegError, OSError, ValueError) as exc:
        raise _open_error(path, "is not a video or is damaged at its start", _CONVERT) from exc


def _require_content(path: Path) -> None:
    try:
        size_bytes = path.stat().st_size
    except PermissionError as exc:
        raise _open_error(path, "may not be read", "change its permissions") from exc
    except (OSError, ValueError) as exc:
        raise _open_error(path, "there is no such file", _CHECK_PATH) from exc
    if path.is_dir():
        raise _open_error(path, "is a folder, not a video", _CHECK_PATH)
    if size_bytes == 0:
        raise _open_error(path, "is empty (0 bytes)", _COPY_AGAIN)


def _choose_stream(container: InputContainer, path: Path) -> VideoStream:
    # FFmpeg's tty format draws any text file as pictures; cover art of a sound file is no video.
    streams = [
        stream
        for stream in container.streams.video
        if not stream.disposition & Disposition.attached_pic and container.format.name != "tty"
    ]
    if not streams:
        sound = " (only sound)" if container.streams.audio else ""
        container.close()
        raise _open_error(path, f"holds no video{sound}", _CONVERT)
    best = container.streams.best("video")
    return best if best in streams else streams[0]


def _mean_rate(stream: VideoStream) -> Fraction:
    return stream.average_rate or stream.guessed_rate or stream.base_rate or Fraction(25)


def _stated_duration_s(container: InputContainer, stream: VideoStream) -> float | None:
    duration_s = _in_seconds(stream.duration or None, stream.time_base)
    if duration_s is not None:
        return float(duration_s)
    if container.duration:
        return float(Fraction(container.duration, av.time_base))
    return None


def _shortfall_tolerance_s(container: InputContainer, stream: VideoStream) -> float:
    if stream.duration or len(container.streams) == 1:
        return _TOLERATED_SHORTFALL_S
    return _TOLERATED_SHORTFALL_WITH_SOUND_S


class _Losses:
    """What could not be read, gathered while reading."""

    def __init__(self) -> None:
        self.frames: list[LostFrame] = []
        self.end_s: float | None = None  # where the last picture so far ends
        self._failures = 0
        self._damaged = 0
        self._first_at_s: float | None = None
        self._shortfall: str | None = None

    @property
    def any(self) -> bool:
        """Whether anything was lost so far."""
        return self._failures > 0

    def note_failure(self) -> None:
        """Count a stretch of the file that could not be decoded."""
        self._failures += 1
        self._note_place()

    def note_damaged_picture(self) -> None:
        """Count a picture that came out, but damaged."""
        self._damaged += 1
        self._note_place()

    def _note_place(self) -> None:
        if self._first_at_s is None:
            self._first_at_s = self.end_s or 0.0

    def note_end(self, *, stated_s: float | None, tolerance_s: float) -> None:
        """Compare where the pictures end with where the file says they end."""
        if self.end_s is None:
            self._shortfall = "no picture could be decoded"
        elif stated_s is not None and stated_s - self.end_s > tolerance_s:
            self._shortfall = f"the pictures end at {self.end_s:.2f} s of {stated_s:.2f} s"

    def describe(self) -> str | None:
        """Put everything in one line, or None if there is nothing to tell."""
        parts = []
        if self._failures:
            parts.append(f"decoding failed in {self._failures} place(s)")
        if self._damaged:
            parts.append(f"{self._damaged} picture(s) came out damaged")
        if parts:
            parts.append(f"the first near {self._first_at_s:.2f} s")
        if self._shortfall:
            parts.append(self._shortfall)
        return ", ".join(parts) or None


def _decode_pictures(
    container: InputContainer, stream: VideoStream, losses: _Losses
) -> Iterator[VideoFrame]:
    for packet in _demux(container, stream, losses):
        try:
            pictures = stream.decode(packet)
        except av.error.EOFError:  # flushed already
            continue
        except av.error.FFmpegError as exc:
            logger.debug("%s: %s", container.name, exc)
            losses.note_failure()
            continue
        for picture in pictures:
            if picture.is_corrupt:
                losses.note_damaged_picture()
            yield picture


def _demux(
    container: InputContainer, stream: VideoStream, losses: _Losses
) -> Iterator[av.Packet[VideoStream] | None]:
    """Yield packets, past read errors; the last is empty or None and flushes the decoder."""
    for _ in range(_MAX_READ_FAILURES):
        try:
            yield from container.demux(stream)
        except av.error.FFmpegError as exc:
            logger.debug("%s: %s", container.name, exc)
            losses.note_failure()
        except IndexError:
            # At the end PyAV looks up streams that turned up late (in damaged MPEG-TS) by a
            # number that its list does not have.
            break
        else:
            return
    yield None


@dataclass(frozen=True)
class _Time:
    """A time [s] and how far below the true one its rounding may have brought it."""

    value: Fraction
    rounding: Fraction

    @property
    def latest(self) -> Fraction:
        return self.value + self.rounding


class _Clock:
    """Read the time of each picture from its time stamp, from 0 and always increasing."""

    def __init__(self, container: InputContainer, stream: VideoStream) -> None:
        self._name = container.name
        self._step = 1 / _mean_rate(stream)
        self._stated_start = _in_seconds(stream.start_time, stream.time_base)
        # AVI stores pictures in decoding order without presentation times. FFmpeg numbers them
        # in that order, which is wrong as soon as there are B-frames; decoding times are right.
        self._in_decoding_order = container.format.name == "avi"
        self._origin: Fraction | None = None
        self._last: Fraction | None = None
        self._warned = self._in_decoding_order

    def read(self, picture: VideoFrame, *, after_loss: bool) -> _Time:
        """Return the time of the next picture in display order."""
        ticks = picture.dts if self._in_decoding_order else picture.pts
        stamp = _in_seconds(ticks, picture.time_base)
        if self._origin is None:
            self._origin = self._find_origin(stamp, after_loss)
        time_s = None if stamp is None else stamp - self._origin
        if self._last is not None and (time_s is None or time_s <= self._last):
            self._warn()
            time_s = self._last + self._step
        self._last = time_s if time_s is not None else Fraction(0)
        unit_s = picture.time_base or Fraction(0)
        return _Time(self._last, min(unit_s, self._step / 4, _LARGEST_ROUNDING_S))

    def length_s(self, picture: VideoFrame) -> Fraction:
        """Return how long the picture is shown [s]."""
        return _in_seconds(picture.duration or None, picture.time_base) or self._step

    def _find_origin(self, stamp: Fraction | None, after_loss: bool) -> Fraction:
        # The first picture is at 0, unless pictures before it are gone.
        if after_loss and self._stated_start is not None and stamp is not None:
            return min(self._stated_start, stamp)
        return stamp or Fraction(0)

    def _warn(self) -> None:
        if not self._warned:
            logger.warning(
                "%s: pictures without a usable time stamp; their times follow the mean rate",
                self._name,
            )
        self._warned = True


def _in_seconds(ticks: int | None, unit_s: Fraction | None) -> Fraction | None:
    return None if ticks is None or unit_s is None else ticks * unit_s


class _Part:
    """The part of a file to read, `start_s <= time_s < end_s`."""

    def __init__(self, start_s: float | None, end_s: float | None) -> None:
        self.start_s = _exact_time("start_s", start_s) or Fraction(0)
        self._end_s = _exact_time("end_s", end_s)
        if self._end_s is not None and self._end_s <= self.start_s:
            raise ConfigError(f"start_s={start_s} and end_s={end_s}: give an end after the start")

    def is_before(self, time: _Time) -> bool:
        return time.latest < self.start_s

    def is_after(self, time: _Time) -> bool:
        return self._end_s is not None and time.latest >= self._end_s


def _exact_time(name: str, time_s: float | None) -> Fraction | None:
    if time_s is None:
        return None
    if not (math.isfinite(time_s) and time_s >= 0):
        raise ConfigError(f"{name}={time_s}: give seconds from 0")
    return _as_written(time_s)


def _as_written(number: Fraction | float) -> Fraction:
    """Take 29.97 for 2997/100, not for the binary fraction next to it."""
    return number if isinstance(number, Fraction) else Fraction(str(number))


def _make_picker(sampling: Sampling, start_s: Fraction) -> Callable[[_Time], bool]:
    if sampling.fps is not None:
        return _GridPicker(_as_written(sampling.fps), start_s)
    return _NthPicker(sampling.every_nth or 1)


class _NthPicker:
    def __init__(self, every_nth: int) -> None:
        self._every_nth = every_nth
        self._seen = 0

    def __call__(self, time: _Time) -> bool:
        self._seen += 1
        return (self._seen - 1) % self._every_nth == 0


class _GridPicker:
    def __init__(self, fps: Fraction, start_s: Fraction) -> None:
        self._fps = fps
        self._start_s = start_s
        self._next_tick = 0

    def __call__(self, time: _Time) -> bool:
        ticks_passed = math.floor((time.latest - self._start_s) * self._fps)
        if ticks_passed < self._next_tick:
            return False
        self._next_tick = ticks_passed + 1
        return True


class _Converter:
    """Turn decoded pictures into RGB as displayed."""

    def __init__(self, stream: VideoStream) -> None:
        self._stream = stream
        self._reformatter = VideoReformatter()
        self._orientation: tuple[int, _Orientation] | None = None

    def to_rgb(self, picture: VideoFrame) -> Image:
        """Convert one picture to (H, W, 3) uint8, RGB."""
        orientation = self._read_orientation(picture)
        if picture.interlaced_frame:
            picture = _deinterlace(picture)
        width, height = _square_size(picture, self._stream)
        pixel_format = "rgba" if _has_alpha(picture) else "rgb24"
        converted = self._reformatter.reformat(picture, width, height, pixel_format)
        pixels: Image = np.asarray(converted.to_ndarray(), dtype=np.uint8)
        return orientation.apply(_on_black(pixels) if pixel_format == "rgba" else pixels)

    def _read_orientation(self, picture: VideoFrame) -> _Orientation:
        # Reading side data ties a picture into a reference cycle, and pictures that wait for the
        # garbage collector pile up: read it only where the angle, which is free, has changed.
        angle = picture.rotation
        if self._orientation is None or self._orientation[0] != angle:
            self._orientation = angle, _Orientation.of(picture)
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


def _square_size(picture: VideoFrame, stream: VideoStream) -> tuple[int, int]:
    """Compute the width and height [px] of a stored picture once its pixels are square."""
    aspect = stream.sample_aspect_ratio
    if not aspect or not 1 / _LARGEST_PIXEL_ASPECT <= aspect <= _LARGEST_PIXEL_ASPECT:
        return picture.width, picture.height
    if aspect >= 1:
        return round(picture.width * aspect), picture.height
    return picture.width, round(picture.height / aspect)


@dataclass(frozen=True)
class _Orientation:
    """How a stored picture is laid out for display: transposed first, then mirrored."""

    transposed: bool = False
    mirrored_x: bool = False
    mirrored_y: bool = False

    @classmethod
    def of(cls, picture: VideoFrame) -> _Orientation:
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
