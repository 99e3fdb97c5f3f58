"""A copy of a video with what was found drawn in, frame for frame in time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import av.error
import numpy as np
import pandas as pd
from av.container import OutputContainer
from av.video.stream import VideoStream
from numpy.typing import NDArray
from PIL import Image as PilImage
from PIL import ImageDraw, ImageFont

from canemo.errors import VideoOpenError
from canemo.files import replacing
from canemo.records import Fate, Image
from canemo.video.info import probe_video
from canemo.video.reader import VideoReader
from canemo.video.times import Sampling

TICKS_PER_S = 90_000
CODEC_OPTIONS = {"crf": "20", "bf": "0"}  # no reordering: the last packet is the last picture
BOX_COLOUR, TEXT_COLOUR, BAR_COLOUR, SHADE = (
    (255, 200, 0),
    (255, 255, 255),
    (0, 158, 115),
    (0, 0, 0),
)
UNDECIDED_COLOUR = (150, 150, 150)


def annotate_video(
    source: Path,
    frames: pd.DataFrame,
    target: Path,
    *,
    positive_label: str,
    column: str,
    verdict: str,
    is_decided: bool,
) -> Path:
    """Write `source` again as H.264 with what was found drawn in.

    Parameters
    ----------
    source
        The video that was looked at.
    frames
        Its ledger: time_s, fate, x0, y0, x1, y1 and the probability in `column`.
    target
        MP4 to write; every frame keeps its time, the last its length.
    positive_label, column
        The label whose probability is drawn, and the column that holds it.
    verdict
        Whether the model could be told from chance; stands above the probability.
    is_decided
        Whether it could; else the bar is grey.

    Raises
    ------
    VideoOpenError
        `source` cannot be opened, or its pictures cannot be encoded.

    Notes
    -----
    Between two sampled frames that both have a face, the box moves linearly; before one without a
    face it stays where it was. The probability is that of the earlier one. Sizes are made even by
    repeating the last row or column, as H.264 demands. Sound is left out.
    """
    overlay = _Overlay(
        frames,
        positive_label=positive_label,
        column=column,
        verdict=verdict,
        bar_colour=BAR_COLOUR if is_decided else UNDECIDED_COLOUR,
    )
    return _copy_video(source, target, overlay.draw)


def annotate_measured(
    source: Path, frames: pd.DataFrame, target: Path, *, meters: Sequence[str]
) -> Path:
    """Write `source` again with points and meters drawn in; see `annotate_video`.

    Parameters
    ----------
    source, target
        The video that was measured, and the MP4 to write.
    frames
        Its rows of measures: time_s, fate, the box, ``point_NAME_x``, ``_y``, ``_confidence``.
    meters
        Columns of probabilities, each with a column of reasons.

    Raises
    ------
    VideoOpenError
        As `annotate_video`.
    """
    return _copy_video(source, target, _MeasuredOverlay(frames, meters).draw)


def draw_measured(image_rgb: Image, frames: pd.DataFrame, meters: Sequence[str]) -> Image:
    """Return a picture with its points and meters drawn in; as `annotate_measured`."""
    return _MeasuredOverlay(frames, meters).draw(image_rgb, 0.0)


def _copy_video(source: Path, target: Path, draw: Callable[[Image, float], Image]) -> Path:
    try:
        with (
            VideoReader(source, sampling=Sampling(every_nth=1)) as reader,
            replacing(target) as temporary,
            av.open(str(temporary), "w") as container,
        ):
            writer = _Writer(container, last_frame_s=float(1 / probe_video(source).fps))
            for frame in reader:
                writer.add(draw(frame.image_rgb, frame.time_s), frame.time_s)
            writer.finish()
    except av.error.FFmpegError as exc:
        raise VideoOpenError(f"{source}: cannot be written again ({exc})", path=source) from exc
    return target


class _Writer:
    """Encodes pictures at their own times; `last_frame_s` [s] is how long the last one is shown."""

    def __init__(self, container: OutputContainer, *, last_frame_s: float) -> None:
        self._container = container
        self._last_ticks = max(1, round(last_frame_s * TICKS_PER_S))
        self._stream: VideoStream | None = None
        self._last_pts = 0

    def add(self, image_rgb: Image, time_s: float) -> None:
        picture = av.VideoFrame.from_ndarray(_even(image_rgb), format="rgb24")
        if self._stream is None:
            self._stream = self._add_stream(picture.width, picture.height)
        picture.pts = self._last_pts = round(time_s * TICKS_PER_S)
        picture.time_base = Fraction(1, TICKS_PER_S)
        self._container.mux(self._stream.encode(picture))

    def finish(self) -> None:
        if self._stream is None:
            return
        for packet in self._stream.encode():
            if packet.pts == self._last_pts:
                packet.duration = self._last_ticks
            self._container.mux(packet)

    def _add_stream(self, width: int, height: int) -> VideoStream:
        stream = self._container.add_stream("libx264", rate=60, options=CODEC_OPTIONS)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.time_base = stream.codec_context.time_base = Fraction(1, TICKS_PER_S)
        return stream


class _Track:
    """Places of frames in use as they move between sampled ones: `places` is (T, D)."""

    def __init__(self, frames: pd.DataFrame, columns: Sequence[str]) -> None:
        self._times_s = frames["time_s"].to_numpy(dtype=float)
        self._used = (frames["fate"] == Fate.USED).to_numpy()
        self._places = frames[list(columns)].to_numpy(dtype=float)

    def find(self, time_s: float) -> tuple[int, NDArray[np.float64]] | None:
        """Return the row before and the places (D,) at a time; None without a face."""
        before = int(np.searchsorted(self._times_s, time_s + 1e-6, side="right")) - 1
        if before < 0 or not self._used[before]:
            return None
        after = min(before + 1, len(self._times_s) - 1)
        if not self._used[after]:
            after = before
        span_s = self._times_s[after] - self._times_s[before]
        share = min(1.0, (time_s - self._times_s[before]) / span_s) if span_s > 0 else 0.0
        return before, (1 - share) * self._places[before] + share * self._places[after]


_BOX = ("x0", "y0", "x1", "y1")


class _Overlay:
    """What to draw at a time, from the table of sampled frames."""

    def __init__(
        self,
        frames: pd.DataFrame,
        *,
        positive_label: str,
        column: str,
        verdict: str,
        bar_colour: tuple[int, int, int],
    ) -> None:
        seen = frames[frames["time_s"].notna()].sort_values("time_s")
        self._track = _Track(seen, _BOX)
        self._probability = seen[column].to_numpy(dtype=float)
        self._label, self._verdict, self._bar_colour = positive_label, verdict, bar_colour

    def draw(self, image_rgb: Image, time_s: float) -> Image:
        found = self._track.find(time_s)
        picture = PilImage.fromarray(image_rgb)
        pen = ImageDraw.Draw(picture)
        width = max(2, min(picture.size) // 160)
        font = ImageFont.load_default(size=max(10, min(picture.size) // 24))
        if found is not None:
            row, box = found
            pen.rectangle(box.tolist(), outline=BOX_COLOUR, width=width)
            self._draw_bar(pen, picture.size, float(self._probability[row]), font)
        return np.asarray(picture)

    def _draw_bar(
        self,
        pen: ImageDraw.ImageDraw,
        size: tuple[int, int],
        probability: float,
        font: ImageFont.ImageFont | ImageFont.FreeTypeFont,
    ) -> None:
        width, height = size
        thick = max(6, height // 40)
        text = f"{self._verdict}\n{self._label}: {probability:.2f}"
        _, _, _, text_height = pen.textbbox((0, 0), text, font=font)
        top = height - thick - text_height - 6
        pen.rectangle((0, top, width, height), fill=SHADE)
        pen.text((4, top + 2), text, fill=TEXT_COLOUR, font=font)
        bar = (0, height - thick, round(width * probability), height)
        pen.rectangle(bar, fill=self._bar_colour)


class _MeasuredOverlay:
    """Points, fainter where they are unsure, and what the meters say."""

    def __init__(self, frames: pd.DataFrame, meters: Sequence[str]) -> None:
        seen = frames[frames["time_s"].notna()].sort_values("time_s")
        columns = map(str, seen.columns)
        names = [each[:-2] for each in columns if each.startswith("point_") and each[-2:] == "_x"]
        self._rows = seen
        self._meters = meters
        places = [name + end for name in names for end in ("_x", "_y", "_confidence")]
        self._track = _Track(seen, [*_BOX, *places])

    def draw(self, image_rgb: Image, time_s: float) -> Image:
        found = self._track.find(time_s)
        picture = PilImage.fromarray(image_rgb)
        if found is None:
            return np.asarray(picture)
        row, places = found
        pen = ImageDraw.Draw(picture, "RGBA")
        width = max(2, min(picture.size) // 160)
        pen.rectangle(places[:4].tolist(), outline=BOX_COLOUR, width=width)
        radius = max(1.5, (places[2] - places[0]) / 80)
        for x, y, confidence in places[4:].reshape(-1, 3):
            if np.isfinite(x):
                around = (x - radius, y - radius, x + radius, y + radius)
                pen.ellipse(around, fill=(*BAR_COLOUR, round(55 + 200 * confidence)))
        lines = [_say_meter(self._rows.iloc[row], name) for name in self._meters]
        text, size = "\n".join(lines), max(10, min(picture.size) // 24)
        font = ImageFont.load_default(size=size)
        _, _, right, bottom = pen.textbbox((4, 2), text, font=font)
        if right > picture.width:  # in a narrow picture the text is smaller
            font = ImageFont.load_default(size=size * picture.width / right)
            _, _, right, bottom = pen.textbbox((4, 2), text, font=font)
        pen.rectangle((0, 0, right + 4, bottom + 4), fill=SHADE)
        pen.text((4, 2), text, fill=TEXT_COLOUR, font=font)
        return np.asarray(picture)


def _say_meter(row: pd.Series, name: str) -> str:
    shown = name.replace("_", " ")
    reason = row[f"{name}_reason"]
    return f"{shown}: {reason}" if reason else f"{shown}: {row[name]:.2f}"


def _even(image_rgb: Image) -> Image:
    height, width = image_rgb.shape[:2]
    return np.pad(image_rgb, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
