"""Pictures of any kind are read as they are meant to be displayed, as clips of one frame."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PilImage

from canemo.errors import VideoOpenError
from canemo.video.reader import VideoReader
from canemo.video.stills import open_reader, read_picture
from canemo.video.times import Sampling
from clips import write_clip

RED, GREEN = (255, 0, 0), (0, 255, 0)
EVERY = Sampling(every_nth=1)


def make_picture() -> PilImage.Image:
    """Return 90 x 60 pixels, the upper left quarter red, the lower right one green."""
    pixels = np.zeros((60, 90, 3), np.uint8)
    pixels[:30, :45], pixels[30:, 45:] = RED, GREEN
    return PilImage.fromarray(pixels)


@pytest.mark.parametrize(
    "name", ["a.jpg", "a.PNG", "a.webp", "a.bmp", "a.tif", "grün %03d.jpg", "犬_%d.png"]
)
def test_formats_and_names(tmp_path: Path, name: str) -> None:
    make_picture().save(tmp_path / name)
    with open_reader(tmp_path / name, sampling=EVERY) as reader:
        (frame,) = reader
    assert (frame.frame_index, frame.time_s) == (0, 0.0)
    assert np.abs(frame.image_rgb[10, 10].astype(int) - RED).max() < 20
    assert np.abs(frame.image_rgb[-10, -10].astype(int) - GREEN).max() < 20


@pytest.mark.parametrize("ending", ["jpg", "png", "webp"])
def test_a_picture_is_turned_as_its_camera_noted(tmp_path: Path, ending: str) -> None:
    picture = make_picture()
    exif = picture.getexif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    picture.save(tmp_path / f"a.{ending}", exif=exif)
    upright = read_picture(tmp_path / f"a.{ending}")
    assert upright.shape == (90, 60, 3)
    assert np.abs(upright[10, -10].astype(int) - RED).max() < 20


def test_sixteen_bits_are_reduced_and_nothing_is_shown_on_black(tmp_path: Path) -> None:
    steps = np.linspace(0, 65535, 60 * 90).reshape(60, 90).astype(np.uint16)
    PilImage.fromarray(steps).save(tmp_path / "deep.png")
    assert np.array_equal(read_picture(tmp_path / "deep.png")[:, :, 1], np.round(steps / 257))
    clear = make_picture().convert("RGBA")
    clear.putalpha(0)
    clear.save(tmp_path / "clear.png")
    assert read_picture(tmp_path / "clear.png").max() == 0


def test_what_is_no_picture_is_named(tmp_path: Path) -> None:
    (tmp_path / "text.jpg").write_text("no picture")
    make_picture().save(tmp_path / "half.png")
    (tmp_path / "half.png").write_bytes((tmp_path / "half.png").read_bytes()[:80])
    for name in ("text.jpg", "half.png"):
        with pytest.raises(VideoOpenError, match=rf"{name}: is not a picture or is damaged"):
            open_reader(tmp_path / name, sampling=EVERY)
    with pytest.raises(VideoOpenError, match="there is no such file"):
        read_picture(tmp_path / "none.jpg")


def test_a_video_is_read_as_one(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.mp4", frames=3)
    assert isinstance(open_reader(path, sampling=EVERY), VideoReader)
