"""What is kept of whole pictures of a video: a strip of small ones, and where a film is cut."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PilImage
from PIL import ImageDraw

from canemo.faces.crop_images import encode_jpeg, shrink
from canemo.faces.frame_choice import spread_evenly
from canemo.faces.key_frames import measure_change, take_thumbnail
from canemo.records import Box, Frame, Image

STRIP_PICTURES = 6
STRIP_SIDE_PX = 80
STRIP_QUALITY = 70
FACE_RGB, OTHER_RGB = (255, 176, 0), (240, 240, 240)

# Chosen on 20 real clips at 5 frames per second: pictures of different clips reach both in 998 of
# 1000 pairs, neighbours in a clip without a cut never. Further apart in time a fast turn of the
# camera looks like a cut, so that nothing is said there.
CUT_CHANGE = 0.7
CUT_COLOURS = 0.3
CUT_STEP_S = 0.25
_COLOUR_STEPS = 8


class Footage:
    """Watches the pictures of a video go by; what it holds does not grow with the video."""

    def __init__(self) -> None:
        self.cuts_s: list[float] = []
        self._kept: dict[int, Image] = {}  # by frame number
        self._scales: dict[int, float] = {}  # how much smaller they are than the frames
        self._every, self._seen = 1, 0
        self._last: tuple[float, NDArray[np.int16]] | None = None

    def watch(self, frame: Frame) -> None:
        """Look at the next picture."""
        thumbnail = take_thumbnail(frame.image_rgb)
        if self._last is not None and self._is_cut(frame.time_s, thumbnail):
            self.cuts_s.append(frame.time_s)
        self._last = frame.time_s, thumbnail
        if self._seen % self._every == 0:
            self._keep(frame)
        self._seen += 1

    def outline(self, frame_index: int, face: Box | None, others: Iterable[Box]) -> bytes | None:
        """Return a picture of the strip as JPEG, faces outlined; None of a frame not in it.

        Asked when the video has been seen to its end; `face` is the subject's.
        """
        if frame_index not in self._list_strip():
            return None
        picture = PilImage.fromarray(self._kept[frame_index])
        pen, scale = ImageDraw.Draw(picture), self._scales[frame_index]
        for box in others:
            pen.rectangle([scale * edge for edge in box], outline=OTHER_RGB)
        if face is not None:
            pen.rectangle([scale * edge for edge in face], outline=FACE_RGB, width=2)
        return encode_jpeg(np.asarray(picture), quality=STRIP_QUALITY)

    def _list_strip(self) -> list[int]:
        frames = list(self._kept)
        return [frames[place] for place in spread_evenly(len(frames), STRIP_PICTURES)]

    def _keep(self, frame: Frame) -> None:
        small = np.array(shrink(frame.image_rgb, max_short_side_px=STRIP_SIDE_PX))
        self._kept[frame.frame_index] = small
        self._scales[frame.frame_index] = small.shape[0] / frame.image_rgb.shape[0]
        if len(self._kept) > 2 * STRIP_PICTURES:
            self._kept = dict(list(self._kept.items())[::2])
            self._every *= 2

    def _is_cut(self, time_s: float, thumbnail: NDArray[np.int16]) -> bool:
        assert self._last is not None
        last_s, last = self._last
        return (
            time_s - last_s <= CUT_STEP_S
            and measure_change(last, thumbnail) >= CUT_CHANGE
            and _compare_colours(last, thumbnail) >= CUT_COLOURS
        )


def _compare_colours(a: NDArray[np.int16], b: NDArray[np.int16]) -> float:
    """Return the share of the pixels of one that have no like in colour in the other, 0 to 1."""
    return float(np.abs(_count_colours(a) - _count_colours(b)).sum()) / 2


def _count_colours(thumbnail: NDArray[np.int16]) -> NDArray[np.float64]:
    steps = thumbnail.reshape(-1, 3) // (256 // _COLOUR_STEPS)
    place = (steps[:, 0] * _COLOUR_STEPS + steps[:, 1]) * _COLOUR_STEPS + steps[:, 2]
    return np.bincount(place, minlength=_COLOUR_STEPS**3) / len(place)
