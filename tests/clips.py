"""Real video files drawn in code, whose frames carry their own number in the pixels.

A frame is a row of dark and light blocks (its number in binary, most significant bit first) over
a wide band, so that a test can tell from the pixels alone which frame it was given.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import av.filter
import numpy as np
from av.video.frame import VideoFrame
from numpy.typing import NDArray

BITS = 8
DARK, LIGHT = 40, 215

Pixels = NDArray[np.uint8]


def draw_number(number: int, *, width: int = 64, height: int = 48) -> Pixels:
    """Draw one frame, (H, W, 3) uint8, RGB: the number's bits side by side over the full height."""
    bits = [number >> (BITS - 1 - place) & 1 for place in range(BITS)]
    column_bit = np.arange(width) * BITS // width
    row = np.where(np.array(bits)[column_bit] == 1, LIGHT, DARK).astype(np.uint8)
    return np.repeat(np.tile(row, (height, 1))[:, :, None], 3, axis=2)


def read_number(image_rgb: Pixels) -> int:
    """Read the number back from a frame of any size."""
    height, width = image_rgb.shape[:2]
    centres = [(2 * place + 1) * width // (2 * BITS) for place in range(BITS)]
    middle = image_rgb[height // 4 : max(height // 4 + 1, 3 * height // 4)]
    bits = [int(middle[:, x].mean() > (DARK + LIGHT) / 2) for x in centres]
    return sum(bit << (BITS - 1 - place) for place, bit in enumerate(bits))


def write_clip(
    path: Path,
    *,
    frames: int = 20,
    size: tuple[int, int] = (64, 48),
    rate: Fraction | int = 25,
    times_s: Sequence[Fraction] | None = None,
    codec: str = "libx264",
    pixel_format: str = "yuv420p",
    draw: Callable[[int], Pixels] | None = None,
    drawn_format: str = "rgb24",
    options: dict[str, str] | None = None,
    container_options: dict[str, str] | None = None,
    rotation_deg: float | None = None,
    mirrored: bool = False,
    pixel_aspect: Fraction | None = None,
    first_field: str | None = None,
    key_every: int = 12,
    tone: bool = False,
) -> Path:
    """Write a clip with `frames` numbered frames and return its path.

    `times_s` gives each frame its own time; without it the rate decides. `rotation_deg` is what
    FFmpeg calls the display rotation, counter-clockwise. `first_field` is "top" or "bottom" where
    the codec's options ask for interlacing. `tone` adds a sound track of 3 s.
    """
    unit_s = 1 / Fraction(rate) if times_s is None else Fraction(1, 90000)
    times_s = times_s or [number * unit_s for number in range(frames)]
    with av.open(str(path), "w", options=container_options or {}) as container:
        stream = container.add_stream(codec, rate=Fraction(rate))
        stream.width, stream.height = size
        stream.pix_fmt = pixel_format
        stream.options = {**_QUIET.get(codec, {}), **(options or {})}
        stream.codec_context.gop_size = key_every
        stream.codec_context.time_base = unit_s
        stream.time_base = unit_s
        if pixel_aspect is not None:
            stream.sample_aspect_ratio = pixel_aspect
        if rotation_deg is not None:
            stream.set_display_rotation(rotation_deg, hflip=mirrored)
        if tone:
            _write_tone(container)
        for number, time_s in enumerate(times_s):
            pixels = draw(number) if draw else draw_number(number, width=size[0], height=size[1])
            picture = VideoFrame.from_ndarray(pixels, format=drawn_format)
            picture.time_base = unit_s
            picture.pts = round(time_s / unit_s)
            container.mux(stream.encode(_mark_field(picture, first_field)))
        container.mux(stream.encode(None))
    return path


def write_sound(path: Path) -> Path:
    """Write a file that holds sound and nothing to see."""
    with av.open(str(path), "w") as container:
        _write_tone(container)
    return path


def damage_bytes(path: Path, start: float, end: float, *, keep_last: int = 0) -> Path:
    """Overwrite a part of a file, given in fractions of its length, with noise.

    `keep_last` leaves that many bytes at the end of the part as they are.
    """
    content = bytearray(path.read_bytes())
    first, last = round(len(content) * start), round(len(content) * end) - keep_last
    noise = np.random.default_rng(1).integers(0, 256, last - first, dtype=np.uint8)
    content[first:last] = noise.tobytes()
    path.write_bytes(content)
    return path


def cut_short(path: Path, keep: float) -> Path:
    """Keep only the first part of a file, given as a fraction of its length."""
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * keep)])
    return path


_QUIET = {
    "libx264": {"preset": "ultrafast", "crf": "12"},
    "libx265": {"preset": "ultrafast", "x265-params": "log-level=none"},
    "libvpx-vp9": {"deadline": "realtime", "cpu-used": "8"},
}


def _mark_field(picture: VideoFrame, first_field: str | None) -> VideoFrame:
    if first_field is None:
        return picture
    graph = av.filter.Graph()
    source = graph.add_buffer(
        width=picture.width,
        height=picture.height,
        format=picture.format,
        time_base=picture.time_base,
    )
    mark = graph.add("setfield", mode={"top": "tff", "bottom": "bff"}[first_field])
    graph.link_nodes(source, mark, graph.add("buffersink"))
    graph.configure()
    graph.vpush(picture)
    return graph.vpull()


def _write_tone(container: av.container.OutputContainer) -> None:
    stream = container.add_stream("aac", rate=16000)
    samples = np.zeros((1, 1024), dtype=np.float32)
    for start in range(0, 3 * 16000, 1024):
        frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout="mono")
        frame.sample_rate = 16000
        frame.pts = start
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))
