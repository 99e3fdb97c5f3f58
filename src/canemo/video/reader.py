"""The frames of a video file, with numbers and times that can be trusted.

PyAV keeps FFmpeg's own log silent, and nothing here turns it on.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import av
import av.error
import av.filter
from av.video.frame import VideoFrame

from canemo.records import Frame
from canemo.video.container import (
    Losses,
    LostFrame,
    choose_stream,
    decode_pictures,
    open_container,
    shortfall_tolerance_s,
    stated_duration_s,
)
from canemo.video.pictures import Converter
from canemo.video.times import Clock, Part, Sampling, Time, make_picker

logger = logging.getLogger(__name__)


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
        self._part = Part(start_s, end_s)
        self._sampling = sampling
        self._container = open_container(self.path)
        self._stream = choose_stream(self._container, self.path)
        self._losses = Losses()
        self._converter = Converter(self._stream)

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
        picker = make_picker(self._sampling, self._part.start_s)
        for frame_index, time_s, picture in self._timed_pictures():
            if self._part.is_after(time_s):
                return
            if self._part.is_before(time_s) or not picker(time_s):
                continue
            frame = self._convert(frame_index, float(time_s.value), picture)
            if frame is not None:
                yield frame
        self._losses.note_end(
            stated_s=stated_duration_s(self._container, self._stream),
            tolerance_s=shortfall_tolerance_s(self._container, self._stream),
        )

    def _timed_pictures(self) -> Iterator[tuple[int, Time, VideoFrame]]:
        self._stream.thread_type = "AUTO"
        clock = Clock(self._container, self._stream)
        pictures = decode_pictures(self._container, self._stream, self._losses)
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
