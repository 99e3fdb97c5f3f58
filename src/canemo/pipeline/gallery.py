"""Face crops without a study: pictures as they are, and faces found in videos."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image as PilImage
from PIL import ImageOps, UnidentifiedImageError

from canemo.errors import NoFacesError, StudyError, VideoOpenError
from canemo.faces.crop_file import CropFile
from canemo.faces.crop_images import shrink
from canemo.faces.frame_choice import spread_evenly
from canemo.parallel import Progress
from canemo.pipeline.model import Model, name_videos
from canemo.records import Fate, Image, Video
from canemo.study.records.explanation import EXPLANATION_FILE
from canemo.video.info import VIDEO_SUFFIXES

logger = logging.getLogger(__name__)

MOST_SIDE_PX = 320  # of the shorter side, as crops of videos are kept
PICTURE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp"})


@dataclass(frozen=True)
class Gallery:
    """Crops of pictures and videos.

    Attributes
    ----------
    rows
        One row per crop: video_id (of a picture: its name) and frame_index (0).
    pictures, videos
        Where they are from, by video_id.
    notes
        Which files gave no crop, and why.
    """

    rows: pd.DataFrame
    pictures: Mapping[str, Path]
    videos: Mapping[str, CropFile]
    notes: tuple[str, ...] = ()

    def read(self, rows: pd.DataFrame) -> list[Image]:
        """Return the crops of some rows, (H, W, 3) uint8, RGB each.

        Raises
        ------
        StudyError
            A picture cannot be read.
        """
        return [
            self.videos[name].read_crop(int(frame))
            if name in self.videos
            else _read_picture(self.pictures[name])
            for name, frame in rows[["video_id", "frame_index"]].itertuples(index=False)
        ]


def open_gallery(
    place: Path, model: Model, *, per_clip: int, cache_dir: Path, progress: Progress
) -> Gallery:
    """Gather the crops of a picture, a video, or a folder of such (searched through).

    Hidden files, and what an earlier explanation wrote, are passed over.

    Parameters
    ----------
    place
        Pictures are taken as crops, shrunk where they are larger than crops are kept.
    model
        Its detector finds the faces in videos.
    per_clip
        Crops of each video, evenly spaced.
    cache_dir
        Where crops of videos are kept.
    progress
        Told how far it is.

    Raises
    ------
    StudyError
        There is no picture and no video.
    NoFacesError
        No face is found in any of the videos, and there is no picture.
    """
    files = [place] if place.is_file() else _list_files(place)
    known = [p for p in files if p.suffix.lower() in PICTURE_SUFFIXES | VIDEO_SUFFIXES]
    if not known:
        raise StudyError(
            f"{place}: no picture and no video is there; give face crops "
            f"({', '.join(sorted(PICTURE_SUFFIXES))}), videos, or a folder of them"
        )
    named = name_videos(known)
    pictures = {name: p for name, p in named if p.suffix.lower() in PICTURE_SUFFIXES}
    videos: dict[str, CropFile] = {}
    notes = []
    for done, (name, path) in enumerate(named):
        progress("crop", done, len(named))
        if name not in pictures:
            try:
                videos[name] = model.crop_video(Video(name, path.absolute(), name, ""), cache_dir)
            except VideoOpenError as exc:
                logger.warning("%s", exc)
                notes.append(f"{name} is left out: {exc}")
    progress("crop", len(named), len(named))
    places = [(name, 0) for name in pictures]
    for name, file in videos.items():
        ledger = file.read_ledger()
        used = ledger.loc[ledger["fate"] == Fate.USED, "frame_index"].to_numpy()
        places += [(name, int(frame)) for frame in used[spread_evenly(len(used), per_clip)]]
        if not len(used):
            notes.append(f"{name} is left out: no face is found in it")
    if not places:
        raise NoFacesError(f"{place}: no face is found in any of the videos")
    rows = pd.DataFrame(places, columns=["video_id", "frame_index"])
    return Gallery(rows, pictures, videos, tuple(notes))


def _list_files(folder: Path) -> list[Path]:
    """Return the files of a folder and those below it, but hidden ones and canemo's own pages."""
    found = [path for path in folder.rglob("*") if path.is_file()]
    own = {path.parent for path in found if path.name == EXPLANATION_FILE}
    return sorted(
        path
        for path in found
        if not any(part.startswith(".") for part in path.relative_to(folder).parts)
        and own.isdisjoint(path.parents)
    )


def _read_picture(path: Path) -> Image:
    try:
        with PilImage.open(path) as picture:
            if picture.mode.startswith(("I", "F")):
                raise StudyError(
                    f"{path}: its grey values are not of 8 bits, and nobody here knows what is "
                    "white; save it as an ordinary picture of 8 bits"
                )
            upright = np.asarray(ImageOps.exif_transpose(picture).convert("RGB"))
            return shrink(upright, max_short_side_px=MOST_SIDE_PX)
    except (OSError, UnidentifiedImageError, PilImage.DecompressionBombError) as exc:
        raise StudyError(f"{path}: cannot be read as a picture ({exc}); take it out") from exc
