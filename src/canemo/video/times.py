"""True times of frames, and which of them are taken."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from canemo.errors import ConfigError

logger = logging.getLogger(__name__)

# Matroska, WebM and FLV round every time stamp to the millisecond. A frame that carries 33 ms
# answers the grid point 1/29.97 s = 33.4 ms.
_LARGEST_ROUNDING_S = Fraction(1, 1000)


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


def mean_rate(stream: VideoStream) -> Fraction:
    """Return the frame rate that the file states, 25 where it states none."""
    return stream.average_rate or stream.guessed_rate or stream.base_rate or Fraction(25)


@dataclass(frozen=True)
class Time:
    """A time [s] and how far below the true one its rounding may have brought it."""

    value: Fraction
    rounding: Fraction

    @property
    def latest(self) -> Fraction:
        """The latest that the time may be, rounding considered [s]."""
        return self.value + self.rounding


class Clock:
    """Read the time of each picture from its time stamp, from 0 and always increasing."""

    def __init__(self, container: InputContainer, stream: VideoStream) -> None:
        self._name = container.name
        self._step = 1 / mean_rate(stream)
        self._stated_start = in_seconds(stream.start_time, stream.time_base)
        # AVI stores pictures in decoding order without presentation times. FFmpeg numbers them
        # in that order, which is wrong as soon as there are B-frames; decoding times are right.
        self._in_decoding_order = container.format.name == "avi"
        self._origin: Fraction | None = None
        self._last: Fraction | None = None
        self._warned = self._in_decoding_order

    def read(self, picture: VideoFrame, *, after_loss: bool) -> Time:
        """Return the time of the next picture in display order."""
        ticks = picture.dts if self._in_decoding_order else picture.pts
        stamp = in_seconds(ticks, picture.time_base)
        if self._origin is None:
            self._origin = self._find_origin(stamp, after_loss)
        time_s = None if stamp is None else stamp - self._origin
        if self._last is not None and (time_s is None or time_s <= self._last):
            self._warn()
            time_s = self._last + self._step
        self._last = time_s if time_s is not None else Fraction(0)
        unit_s = picture.time_base or Fraction(0)
        return Time(self._last, min(unit_s, self._step / 4, _LARGEST_ROUNDING_S))

    def length_s(self, picture: VideoFrame) -> Fraction:
        """Return how long the picture is shown [s]."""
        return in_seconds(picture.duration or None, picture.time_base) or self._step

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


def in_seconds(ticks: int | None, unit_s: Fraction | None) -> Fraction | None:
    """Return ticks of a time base as seconds, None where either is unknown."""
    return None if ticks is None or unit_s is None else ticks * unit_s


class Part:
    """The part of a file to read, `start_s <= time_s < end_s`."""

    def __init__(self, start_s: float | None, end_s: float | None) -> None:
        self.start_s = _exact_time("start_s", start_s) or Fraction(0)
        self._end_s = _exact_time("end_s", end_s)
        if self._end_s is not None and self._end_s <= self.start_s:
            raise ConfigError(f"start_s={start_s} and end_s={end_s}: give an end after the start")

    def is_before(self, time: Time) -> bool:
        """Tell whether a time lies before the part."""
        return time.latest < self.start_s

    def is_after(self, time: Time) -> bool:
        """Tell whether a time lies after the part."""
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


def make_picker(sampling: Sampling, start_s: Fraction) -> Callable[[Time], bool]:
    """Return what says of each time whether its frame is taken."""
    if sampling.fps is not None:
        return _GridPicker(_as_written(sampling.fps), start_s)
    return _NthPicker(sampling.every_nth or 1)


class _NthPicker:
    def __init__(self, every_nth: int) -> None:
        self._every_nth = every_nth
        self._seen = 0

    def __call__(self, time: Time) -> bool:
        self._seen += 1
        return (self._seen - 1) % self._every_nth == 0


class _GridPicker:
    def __init__(self, fps: Fraction, start_s: Fraction) -> None:
        self._fps = fps
        self._start_s = start_s
        self._next_tick = 0

    def __call__(self, time: Time) -> bool:
        ticks_passed = math.floor((time.latest - self._start_s) * self._fps)
        if ticks_passed < self._next_tick:
            return False
        self._next_tick = ticks_passed + 1
        return True
