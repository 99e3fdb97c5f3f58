"""Whose face is on an image: what a split into training and held-out images must keep apart."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from canemo.errors import AnnotationError
from canemo.faces.annotations.frames_table import FRAMES_CSV, FrameTables
from canemo.formats.boxes.coco import AnnotatedImage

_MAX_LISTED = 10
_FRAME_NAME = re.compile(r"(?P<video_id>.+)__(?P<frame_index>\d+)")


def find_subjects(
    images: Sequence[AnnotatedImage],
    *,
    subjects_by_video: Mapping[str, str],
    coco_file: Path | None = None,
) -> tuple[str, ...]:
    """Find the subject of each image.

    Parameters
    ----------
    images
        The images of a COCO file.
    subjects_by_video
        The subject of each video of the study.
    coco_file
        The file the images are from; a ``frames.csv`` beside it is looked at as well.

    Returns
    -------
    tuple of str
        One subject per image. The first of these that gives one counts: the entry's own
        ``subject_id``; its ``video_id``; the image's row in a ``frames.csv`` in its folder, in the
        folder above or beside the COCO file; a file name ``VIDEOID__000123.jpg``.

    Raises
    ------
    AnnotationError
        If an image has no known subject; the message lists such images.
    """
    tables = FrameTables()
    beside = () if coco_file is None else (coco_file.parent,)
    subjects = [_find_subject(image, subjects_by_video, tables, beside) for image in images]
    unknown = [image.path for image, one in zip(images, subjects, strict=True) if one is None]
    if unknown:
        raise AnnotationError(_tell_unknown(unknown))
    return tuple(subject for subject in subjects if subject is not None)


def _find_subject(
    image: AnnotatedImage,
    subjects_by_video: Mapping[str, str],
    tables: FrameTables,
    beside: Sequence[Path],
) -> str | None:
    folders = (image.path.parent, image.path.parent.parent, *beside)
    name = parse_frame_name(image.stem, subjects_by_video)
    return (
        _subject_of(image.extra, subjects_by_video)
        or _subject_of(tables.find_row(image.path, folders), subjects_by_video)
        or (subjects_by_video[name[0]] if name else None)
    )


def _subject_of(fields: Mapping[str, Any], subjects_by_video: Mapping[str, str]) -> str | None:
    subject_id = fields.get("subject_id")
    if subject_id not in (None, ""):
        return str(subject_id)
    return subjects_by_video.get(str(fields.get("video_id")))


def parse_frame_name(stem: str, video_ids: Collection[str]) -> tuple[str, int] | None:
    """Split the name of a frame's picture, `VIDEOID__000123`, into a known video and the number."""
    match = _FRAME_NAME.fullmatch(stem)
    if match is None or match["video_id"] not in video_ids:
        return None
    return match["video_id"], int(match["frame_index"])


def read_origin(image: AnnotatedImage) -> tuple[str, int] | None:
    """Return video and number of the frame that an image is, by its entry or its file's name."""
    video_id, number = image.extra.get("video_id"), image.extra.get("frame_index")
    if video_id not in (None, "") and isinstance(number, int):
        return str(video_id), number
    match = _FRAME_NAME.fullmatch(image.stem)
    return None if match is None else (match["video_id"], int(match["frame_index"]))


def _tell_unknown(paths: Sequence[Path]) -> str:
    listed = [f"- {path}" for path in paths[:_MAX_LISTED]]
    if len(paths) > _MAX_LISTED:
        listed.append(f"- and {len(paths) - _MAX_LISTED} more")
    return "\n".join(
        [
            f"It is not known whose face is on {len(paths)} images:",
            *listed,
            "Give each image entry of the COCO file a 'subject_id' or the 'video_id' of a video of "
            f"the study, or list the images in a {FRAMES_CSV} beside them (columns file_name and "
            "subject_id or video_id), or name them VIDEOID__000123.jpg after video and frame.",
        ]
    )
