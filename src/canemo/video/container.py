"""Open a video file, choose its stream, decode its pictures, and say what was lost."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import av.error
import av.filter
from av.container import InputContainer
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from canemo.errors import VideoOpenError
from canemo.video.times import in_seconds

logger = logging.getLogger(__name__)

# How much earlier than stated the pictures may end in a sound file. Where only the length of the
# whole file is stated, its sound may outlast them.
_TOLERATED_SHORTFALL_S = 0.25
_TOLERATED_SHORTFALL_WITH_SOUND_S = 1.0
_MAX_READ_FAILURES = 20

COPY_AGAIN = "copy it again from its source, or take it out of videos.csv"
_CHECK_PATH = "check the path, which is relative to the study folder in videos.csv"
_CONVERT = "check that it is a video, or convert it to MP4 (H.264)"


@dataclass(frozen=True)
class LostFrame:
    """A frame that was to be looked at and whose picture is damaged."""

    frame_index: int
    time_s: float


def open_error(path: Path, what: str, advice: str) -> VideoOpenError:
    """Return the error of a file that cannot be used."""
    return VideoOpenError(f"{path}: {what}; {advice}", path=path)


def open_container(path: Path) -> InputContainer:
    """Open a video file; VideoOpenError where it is none."""
    _require_content(path)
    try:
        # Absolute, so that no name is taken for a protocol; a tag in another encoding must not
        # keep a video from being read.
        return av.open(str(path.absolute()), "r", metadata_errors="replace")
    except PermissionError as exc:
        raise open_error(path, "may not be read", "change its permissions") from exc
    except (av.error.FFmpegError, OSError, ValueError) as exc:
        raise open_error(path, "is not a video or is damaged at its start", _CONVERT) from exc


def _require_content(path: Path) -> None:
    try:
        size_bytes = path.stat().st_size
    except PermissionError as exc:
        raise open_error(path, "may not be read", "change its permissions") from exc
    except (OSError, ValueError) as exc:
        raise open_error(path, "there is no such file", _CHECK_PATH) from exc
    if path.is_dir():
        raise open_error(path, "is a folder, not a video", _CHECK_PATH)
    if size_bytes == 0:
        raise open_error(path, "is empty (0 bytes)", COPY_AGAIN)


def choose_stream(container: InputContainer, path: Path) -> VideoStream:
    """Return the stream that holds the film."""
    # FFmpeg's tty format draws any text file as pictures; cover art of a sound file is no video.
    streams = [
        stream
        for stream in container.streams.video
        if not stream.disposition & Disposition.attached_pic and container.format.name != "tty"
    ]
    if not streams:
        sound = " (only sound)" if container.streams.audio else ""
        container.close()
        raise open_error(path, f"holds no video{sound}", _CONVERT)
    best = container.streams.best("video")
    return best if best in streams else streams[0]


def stated_duration_s(container: InputContainer, stream: VideoStream) -> float | None:
    """Return how long the file says its film is [s], None where it does not."""
    duration_s = in_seconds(stream.duration or None, stream.time_base)
    if duration_s is not None:
        return float(duration_s)
    if container.duration:
        return float(Fraction(container.duration, av.time_base))
    return None


def shortfall_tolerance_s(container: InputContainer, stream: VideoStream) -> float:
    """Return how much of the stated length may be missing without a word [s]."""
    if stream.duration or len(container.streams) == 1:
        return _TOLERATED_SHORTFALL_S
    return _TOLERATED_SHORTFALL_WITH_SOUND_S


class Losses:
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


def decode_pictures(
    container: InputContainer, stream: VideoStream, losses: Losses
) -> Iterator[VideoFrame]:
    """Yield the pictures of a stream; what cannot be decoded is noted in `losses`."""
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
    container: InputContainer, stream: VideoStream, losses: Losses
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
