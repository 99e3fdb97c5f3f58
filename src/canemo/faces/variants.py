"""Other parts of the pictures that a face was cut from, to see what can be read without the face.

A variant is a crop file like any other: the same clip, evenly spaced frames of it that have a face,
and another picture of each. All variants of a clip show the same frames.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

from canemo.config import CropConfig
from canemo.errors import ConfigError
from canemo.faces.crop_file import CropFile, write_derived
from canemo.faces.crop_images import compute_brightness, compute_sharpness, encode_jpeg, shrink
from canemo.faces.frame_choice import spread_evenly
from canemo.files import hash_values
from canemo.records import Box, Fate, Image, Video
from canemo.species import Species
from canemo.video.reader import VideoReader
from canemo.video.times import Sampling

logger = logging.getLogger(__name__)

VARIANTS_VERSION = 2
FACE_MARGIN = 0.25  # of the box's size, on every side: ears and chin often stick out of it

OF_FRAMES = {
    "background": "the background, face painted over",
    "whole_frame": "the whole frame",
}
"""Name of a variant that is made from the frame -> what its pictures show."""

_SAME_TIME_S = 1e-3
_MID_GREY = 128
_CUT_COLUMNS = ("crop_x0", "crop_y0", "crop_x1", "crop_y1")

Row: TypeAlias = dict[str, Any]

Change: TypeAlias = Callable[[Image, Row], Image]


def list_variants(species: Species) -> dict[str, str]:
    """Return the name of each variant, and what its pictures show."""
    without = {_without(part): f"the face crop without its {part} region" for part in species.bands}
    return OF_FRAMES | without


def _without(part: str) -> str:
    return f"without_{part}"


def make_variants(
    crops: CropFile,
    variants: Collection[str] | None = None,
    *,
    species: Species,
    frames_per_clip: int,
    sampling: Sampling,
    crop: CropConfig,
    cache_dir: Path,
) -> dict[str, CropFile]:
    """Make variants of one video's face crops, or reuse the cached answers.

    Parameters
    ----------
    crops
        The face crops.
    variants
        Which of `list_variants` are wanted; None: all.
    species
        Whose faces they are: where the parts of a face lie.
    frames_per_clip
        At most as many frames are taken, at least 1; see `pick_frames`.
    sampling
        Which frames were looked at when `crops` was made.
    crop
        Largest size and JPEG quality of the pictures; that of `crops`.
    cache_dir
        The files are kept in its folder ``crops``.

    Returns
    -------
    dict of CropFile
        Variant -> file, in the order asked for. All rows are ``used``, and hold the face box of the
        ledger; the rectangle is the whole frame or that of the crop, brightness and sharpness are
        those of the new picture. A video without faces gives files without rows.

    Raises
    ------
    ConfigError
        There is no variant of that name, or `frames_per_clip` is below 1.
    VideoOpenError
        The file of the video cannot be opened any more, and is needed.

    Notes
    -----
    The video is decoded at most once, up to the last frame that is taken, and only for
    ``background`` and ``whole_frame``. A frame that it does not hold any more, by number and time,
    is left out of these two with a warning. `frames_per_clip` pictures are kept in memory.

    ``background`` still holds the body, and the painted patch tells where the face was and
    how large. The bands of the others are fixed shares of the face box (`Species.bands`), the same
    in every face, since nothing here knows where its parts lie: on a turned head, or a face with
    pricked or hanging ears, a band may miss its part. The first and the last band reach to the edge
    of the crop.
    """
    known = list_variants(species)
    variants = known if variants is None else variants
    _require(variants, frames_per_clip, known)
    bands = {_without(part): edges for part, edges in species.bands.items()}
    paths = {
        name: _path_of(
            crops,
            (name, bands.get(name)),
            frames_per_clip,
            sampling=sampling,
            crop=crop,
            cache_dir=cache_dir,
        )
        for name in variants
    }
    missing = [name for name, path in paths.items() if not path.is_file()]
    if missing:
        rows = _chosen_rows(crops.read_ledger(), frames_per_clip)
        of_crop = {name: partial(_hide_part, edges=edges) for name, edges in bands.items()}
        for changes, pictures in (
            (of_crop, _iter_crops(crops, rows)),
            (_OF_FRAME, _iter_frames(crops.video, rows, sampling)),
        ):
            wanted = {name: changes[name] for name in missing if name in changes}
            for name, drawn in _draw(pictures, wanted, crop).items():
                write_derived(crops, paths[name], drawn)
    return {
        name: replace(crops, path=path, cached=name not in missing) for name, path in paths.items()
    }


def pick_frames(ledger: pd.DataFrame, frames_per_clip: int) -> list[int]:
    """Choose at most `frames_per_clip` of a clip's used frames, evenly spaced among them.

    Parameters
    ----------
    ledger
        One clip's frames, in order of time, as `CropFile.read_ledger` gives them.
    frames_per_clip
        How many are wanted, at least 1. Where there are fewer, all are taken.

    Returns
    -------
    list of int
        Values of ``frame_index``, ascending: the middle one of each of `frames_per_clip` equal
        parts of the used frames, so one alone is the middle of the clip.

    Raises
    ------
    ConfigError
        `frames_per_clip` is below 1.
    """
    _require((), frames_per_clip, ())
    used = ledger.loc[ledger["fate"] == Fate.USED, "frame_index"].tolist()
    return [int(used[place]) for place in spread_evenly(len(used), frames_per_clip)]


def hide_face(image_rgb: Image, box: Box) -> Image:
    """Return a copy of a frame whose face is painted over with the mean colour of the rest.

    Parameters
    ----------
    image_rgb
        (H, W, 3) uint8, RGB.
    box
        The face [px]; it is enlarged by `FACE_MARGIN` of its size on every side.

    Returns
    -------
    Image
        (H, W, 3) uint8, RGB; all of it mid-grey where there is no rest.
    """
    x0, y0, x1, y1 = box
    grow_x, grow_y = FACE_MARGIN * (x1 - x0), FACE_MARGIN * (y1 - y0)
    rest = np.ones(image_rgb.shape[:2], dtype=bool)
    rest[_span(y0 - grow_y, y1 + grow_y), _span(x0 - grow_x, x1 + grow_x)] = False
    hidden = image_rgb.copy()
    hidden[~rest] = _mean_colour(image_rgb[rest]) if rest.any() else _MID_GREY
    return hidden


def hide_band(image_rgb: Image, *, top_px: float, bottom_px: float) -> Image:
    """Return a copy of a crop whose rows from `top_px` to `bottom_px` have the others' mean colour.

    The picture is (H, W, 3) uint8, RGB; edges are rounded to whole rows. Nothing of the hidden rows
    is left, not even in the colour; all is mid-grey where there are no others.
    """
    hidden = image_rgb.copy()
    rest = np.ones(len(image_rgb), dtype=bool)
    rest[max(0, round(top_px)) : max(0, round(bottom_px))] = False
    others = image_rgb[rest].reshape(-1, 3)
    hidden[~rest] = _mean_colour(others) if len(others) else _MID_GREY
    return hidden


def _span(first: float, end: float) -> slice:
    return slice(max(0, math.floor(first)), max(0, math.ceil(end)))


def _mean_colour(pixels_rgb: Image) -> Image:
    return np.asarray(np.rint(pixels_rgb.mean(axis=0)), dtype=np.uint8)


def _hide_part(image_rgb: Image, row: Row, *, edges: tuple[float, float]) -> Image:
    """Paint over a part of the face; the first and the last reach to the edge of the crop."""
    upper, lower = edges
    height = image_rgb.shape[0]
    scale = height / (row["crop_y1"] - row["crop_y0"])
    face_px = row["y1"] - row["y0"]
    top, bottom = (
        scale * (row["y0"] + share * face_px - row["crop_y0"]) for share in (upper, lower)
    )
    return hide_band(
        image_rgb,
        top_px=0 if upper == 0 else top,
        bottom_px=height if lower == 1 else bottom,
    )


_OF_FRAME: dict[str, Change] = {
    "background": lambda image, row: hide_face(image, (row["x0"], row["y0"], row["x1"], row["y1"])),
    "whole_frame": lambda image, row: image,
}


def _require(variants: Iterable[str], frames_per_clip: int, known: Collection[str]) -> None:
    for name in variants:
        if name not in known:
            raise ConfigError(f"variant {name!r}; there are {', '.join(known)}")
    if frames_per_clip < 1:
        raise ConfigError(f"frames_per_clip = {frames_per_clip}; give a whole number from 1")


def _path_of(
    crops: CropFile,
    variant: tuple[str, tuple[float, float] | None],
    frames_per_clip: int,
    *,
    sampling: Sampling,
    crop: CropConfig,
    cache_dir: Path,
) -> Path:
    """Return where a variant is kept; footage, decoder and part are in the name of the crops."""
    key = hash_values(
        version=VARIANTS_VERSION,
        crops=crops.path.stem,
        variant=variant,
        frames_per_clip=frames_per_clip,
        sampling=repr(sampling),
        crop=crop.model_dump(),
    )
    return cache_dir / "crops" / f"{key}.parquet"


def _chosen_rows(ledger: pd.DataFrame, frames_per_clip: int) -> list[Row]:
    chosen = ledger[ledger["frame_index"].isin(pick_frames(ledger, frames_per_clip))]
    whole = dict.fromkeys(_CUT_COLUMNS, "int64")  # fractions where some frames have no crop
    return [
        dict(zip(chosen.columns, values, strict=True))
        for values in chosen.astype(whole).itertuples(index=False)
    ]


def _iter_crops(crops: CropFile, rows: Sequence[Row]) -> Iterator[tuple[Row, Image]]:
    for row in rows:
        yield row, crops.read_crop(row["frame_index"])


def _iter_frames(
    video: Video, rows: Sequence[Row], sampling: Sampling
) -> Iterator[tuple[Row, Image]]:
    """Yield the whole frames that rows of the ledger are about, as far as they can be read."""
    waiting = {row["frame_index"]: row for row in rows}
    if not waiting:
        return
    with VideoReader(
        video.path, sampling=sampling, start_s=video.start_s, end_s=video.end_s
    ) as reader:
        for frame in reader:
            row = waiting.get(frame.frame_index)
            if row is not None and abs(row["time_s"] - frame.time_s) < _SAME_TIME_S:
                del waiting[frame.frame_index]
                height, width = frame.image_rgb.shape[:2]
                whole = dict(zip(_CUT_COLUMNS, (0, 0, width, height), strict=True))
                yield {**row, **whole}, frame.image_rgb
            if not waiting:
                return
    logger.warning(
        "%s: frames %s had a face and cannot be read any more; they are left out",
        video.path,
        ", ".join(map(str, waiting)),
    )


def _draw(
    pictures: Iterable[tuple[Row, Image]], changes: Mapping[str, Change], crop: CropConfig
) -> dict[str, list[Row]]:
    """Return the rows of each variant; without a change to make, no picture is asked for."""
    drawn: dict[str, list[Row]] = {name: [] for name in changes}
    if changes:
        for row, image in pictures:
            for name, change in changes.items():
                drawn[name].append(_describe(row, change(image, row), crop))
    return drawn


def _describe(row: Row, image_rgb: Image, crop: CropConfig) -> Row:
    picture = shrink(image_rgb, max_short_side_px=crop.max_short_side_px)
    return {
        **row,
        "brightness": compute_brightness(picture),
        "sharpness": compute_sharpness(picture),
        "jpeg": encode_jpeg(picture, quality=crop.jpeg_quality),
    }
