"""Pictures in place of a video: one frame each, at 0 s."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import PIL.Image
import PIL.ImageOps

from canemo.errors import VideoOpenError
from canemo.records import Frame, Image
from canemo.video.container import LostFrame
from canemo.video.reader import VideoReader
from canemo.video.times import Sampling

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp"})
"""File name endings taken for a picture, in lower case."""


def read_picture(path: Path) -> Image:
    """Return a picture (H, W, 3) uint8, RGB, as it is meant to be displayed.

    It is turned as its EXIF data say; 16 bits are reduced to 8, transparency is shown on black. Of
    an animation it is the first picture.

    Raises
    ------
    VideoOpenError
        The file is missing, no picture, or damaged.
    """
    try:
        with PIL.Image.open(path) as file:
            return _to_rgb(PIL.ImageOps.exif_transpose(file))
    except (OSError, ValueError, SyntaxError, PIL.Image.DecompressionBombError) as exc:
        what = "there is no such file" if not path.exists() else "is not a picture or is damaged"
        raise VideoOpenError(f"{path}: {what}; check it, or take it out", path=path) from exc


def _to_rgb(picture: PIL.Image.Image) -> Image:
    if picture.mode.startswith("F"):
        raise ValueError("nobody knows which of its values is white")
    if picture.mode.startswith("I"):  # convert() would clip 16 bits, not reduce them
        values = np.asarray(picture).astype(np.float64) / 257
        grey = values.round().clip(0, 255).astype(np.uint8)
        return np.repeat(grey[:, :, None], 3, axis=2)
    if "transparency" in picture.info or picture.mode in ("RGBA", "LA", "PA"):
        seen = picture.convert("RGBA")
        picture = PIL.Image.alpha_composite(PIL.Image.new("RGBA", seen.size, "black"), seen)
    return np.asarray(picture.convert("RGB"))


class PictureReader:
    """Reads a picture as `VideoReader` reads a video; raises VideoOpenError where it cannot."""

    damage: str | None = None
    lost: tuple[LostFrame, ...] = ()

    def __init__(self, path: Path) -> None:
        self._frame = Frame(0, 0.0, read_picture(path))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Do nothing: the file is closed."""

    def __iter__(self) -> Iterator[Frame]:
        yield self._frame


def open_reader(
    path: Path, *, sampling: Sampling, start_s: float | None = None, end_s: float | None = None
) -> VideoReader | PictureReader:
    """Return what reads the frames of a video, or of a picture as of a clip of one frame.

    Which of them a file is, its ending says. Parameters and errors are those of `VideoReader`.
    """
    if path.suffix.lower() in IMAGE_SUFFIXES:
        return PictureReader(path)
    return VideoReader(path, sampling=sampling, start_s=start_s, end_s=end_s)
