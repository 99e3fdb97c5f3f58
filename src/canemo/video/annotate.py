"""A copy of a video with the face box and the probability drawn in, frame for frame in time."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import av.error
import numpy as np
import pandas as pd
from av.container import OutputContainer
from av.video.stream import VideoStream
from PIL import Image as PilImage
from PIL import ImageDraw, ImageFont

from canemo.errors import VideoOpenError
from canemo.files import replacing
from canemo.records import Box, Fate, Image
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
    try:
        with (
            VideoReader(source, sampling=Sampling(every_nth=1)) as reader,
            replacing(target) as temporary,
            av.open(str(temporary), "w") as container,
        ):
            writer = _Writer(container, last_frame_s=float(1 / probe_video(source).fps))
            for frame in reader:
                writer.add(overlay.draw(frame.image_rgb, frame.time_s), frame.time_s)
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
        self._times_s = seen["time_s"].to_numpy()
        self._used = (seen["fate"] == Fate.USED).to_numpy()
        self._boxes = seen[["x0", "y0", "x1", "y1"]].to_numpy(dtype=float)
        self._probability = seen[column].to_numpy(dtype=float)
        self._label, self._verdict, self._bar_colour = positive_label, verdict, bar_colour

    def draw(self, image_rgb: Image, time_s: float) -> Image:
        found = self._find(time_s)
        picture = PilImage.fromarray(image_rgb)
        pen = ImageDraw.Draw(picture)
        width = max(2, min(picture.size) // 160)
        font = ImageFont.load_default(size=max(10, min(picture.size) // 24))
        if found is not None:
            box, probability = found
            pen.rectangle(box, outline=BOX_COLOUR, width=width)
            self._draw_bar(pen, picture.size, probability, font)
        return np.asarray(picture)

    def _find(self, time_s: float) -> tuple[Box, float] | None:
        before = int(np.searchsorted(self._times_s, time_s + 1e-6, side="right")) - 1
        if before < 0 or not self._used[before]:
            return None
        after = min(before + 1, len(self._times_s) - 1)
        if not self._used[after]:
            after = before
        span_s = self._times_s[after] - self._times_s[before]
        share = min(1.0, (time_s - self._times_s[before]) / span_s) if span_s > 0 else 0.0
        box = (1 - share) * self._boxes[before] + share * self._boxes[after]
        return tuple(box.tolist()), float(self._probability[before])

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


def _even(image_rgb: Image) -> Image:
    height, width = image_rgb.shape[:2]
    return np.pad(image_rgb, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
