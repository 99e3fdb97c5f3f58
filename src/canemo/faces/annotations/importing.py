"""Bring faces drawn in another tool into one COCO file that canemo trains and evaluates on."""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

from canemo.errors import AnnotationError, ConfigError, OutputExistsError
from canemo.faces.annotations.cutting import VideoCut, cut_frames, plan_cut
from canemo.faces.annotations.fitting import annotate, fit_faces
from canemo.faces.annotations.frames_table import FrameTables
from canemo.faces.annotations.image_files import ImageFolders, read_image_size
from canemo.faces.annotations.subjects import parse_frame_name
from canemo.formats.boxes.coco import AnnotatedImage, write_coco
from canemo.formats.boxes.kinds import Reading, find_format, guess_kind
from canemo.formats.boxes.labelled import LabelledImage, LabelledVideo, pick_origin
from canemo.formats.problems import Problems

logger = logging.getLogger(__name__)

FACES_JSON = "faces.json"
"""The COCO file an import writes."""

FRAMES_DIR = "faces"
"""The folder for the pictures an import cuts from videos."""


@dataclass(frozen=True)
class ImportResult:
    """What an import wrote.

    `polygons` counts the boxes that have an outline; `skipped` has a line for each entry, frame or
    task that was left out.
    """

    coco_file: Path
    images: int
    boxes: int
    polygons: int
    skipped: tuple[str, ...] = ()


def import_annotations(
    source: Path,
    out_dir: Path,
    *,
    kind: str | None = None,
    images_dir: Path | None = None,
    videos: Mapping[str, Path] | None = None,
    frame_rate: Fraction | float | None = None,
    step: int = 5,
    skip_invalid: bool = False,
    force: bool = False,
) -> ImportResult:
    """Write the faces drawn in another tool to ``faces.json`` in `out_dir`, in COCO's format.

    Parameters
    ----------
    source
        What the tool exported: a file, or for Pascal VOC a folder.
    out_dir
        Where ``faces.json`` goes, and below it ``faces/VIDEOID__000123.jpg`` for the frames of
        labelled videos. Image files stay where they are.
    kind
        The format, one of `canemo.formats.boxes.kinds.ALL_FORMATS`; None tells it from the
        content.
    images_dir
        Folder of the images; folders below it are searched. None looks beside the source and
        in ``faces`` of `out_dir`.
    videos
        The file of each video of the study; needed where videos were labelled.
    frame_rate
        The rate [frames/s] at which Label Studio counted frames; needed for its video tasks.
    step
        Beside the frames of a video that somebody drew on, every `step`-th frame on which a face
        is visible is taken, with boxes interpolated linearly.
    skip_invalid
        Whether entries that cannot be used are left out instead of being an error.
    force
        Whether an existing ``faces.json`` is replaced.

    Raises
    ------
    AnnotationError
        If the source cannot be used; the message lists all unusable entries.
    OutputExistsError
        If there is a ``faces.json`` and `force` is False.
    ConfigError
        If `step` is below 1, or there is no such `kind`.

    Notes
    -----
    File names in ``faces.json`` are relative to `out_dir`, with ``..`` for images outside it, and
    absolute where that cannot be said (another drive); `load_coco` opens all of these. Move images
    and ``faces.json`` together, or import again.
    """
    coco_file = out_dir / FACES_JSON
    _check_arguments(coco_file, step=step, force=force)
    problems = Problems(source, skip_invalid=skip_invalid)
    in_format = find_format(guess_kind(source) if kind is None else kind)
    read = in_format.read(source, problems, Reading(images_dir, frame_rate))
    images = _locate_images(
        read.images, _image_folders(source, images_dir, out_dir), videos or {}, problems
    )
    cuts = _plan_cuts(read.videos, videos or {}, step=step, problems=problems)
    left_out = [*read.unlabelled, *(line for cut in cuts for line in cut.left_out)]
    skipped = [*problems.close(), *left_out]
    for line in left_out:
        logger.warning("%s: %s", source, line)
    out_dir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out_dir, prefix=".faces-") as folder:
        late = Problems(source, skip_invalid=skip_invalid)
        cut_images = [image for cut in cuts for image in cut_frames(cut, Path(folder), late)]
        skipped += late.close()
        images += [_move_image(image, out_dir / FRAMES_DIR) for image in cut_images]
    _check_any(images, source, skipped)
    write_coco(coco_file, [_name_from(image, out_dir) for image in images])
    return _count(coco_file, images, skipped)


def _check_arguments(coco_file: Path, *, step: int, force: bool) -> None:
    if step < 1:
        raise ConfigError(f"step={step}: give a whole number from 1")
    if coco_file.exists() and not force:
        raise OutputExistsError(
            f"{coco_file}: is there already; choose another folder, or replace it with --force."
        )


def _image_folders(source: Path, images_dir: Path | None, out_dir: Path) -> ImageFolders:
    if images_dir is not None:
        return ImageFolders([images_dir])
    beside = source if source.is_dir() else source.parent
    # The folders of a Pascal VOC data set are Annotations/ and JPEGImages/; frames that were
    # picked to be annotated lie in the study.
    return ImageFolders([beside, beside.parent / "JPEGImages", out_dir / FRAMES_DIR])


def _locate_images(
    labelled: Sequence[LabelledImage],
    folders: ImageFolders,
    videos: Mapping[str, Path],
    problems: Problems,
) -> list[AnnotatedImage]:
    tables = FrameTables()
    images: dict[Path, AnnotatedImage] = {}
    for one in labelled:
        with problems.gather(one.where):
            path = folders.find(one.names).absolute()
            if path in images:
                raise AnnotationError(f"{path} is labelled twice; keep one of the two entries.")
            size = read_image_size(path, stated=one.size)
            faces = fit_faces(one.faces, size, problems)
            extra = {**_find_origin(path, tables, videos), **one.extra}
            images[path] = annotate(path, size, faces, extra)
    return list(images.values())


def _find_origin(path: Path, tables: FrameTables, videos: Mapping[str, Path]) -> dict[str, Any]:
    name = parse_frame_name(path.stem, videos)
    origin = {"video_id": name[0], "frame_index": name[1]} if name else {}
    row = pick_origin(tables.find_row(path, [path.parent]))
    for key, read in (("frame_index", int), ("time_s", float)):
        if key in row:
            row[key] = _convert(row[key], key, read, path)
    return {**origin, **row}


def _convert(text: str, column: str, read: type[int] | type[float], path: Path) -> int | float:
    try:
        return read(text)
    except ValueError as exc:
        raise AnnotationError(
            f"frames.csv has {text!r} as {column} of {path.name}, a number is wanted."
        ) from exc


def _plan_cuts(
    labelled: Sequence[LabelledVideo],
    videos: Mapping[str, Path],
    *,
    step: int,
    problems: Problems,
) -> list[VideoCut]:
    cuts: dict[str, VideoCut] = {}
    for one in labelled:
        with problems.gather(one.where):
            cut = plan_cut(one, videos, step=step, problems=problems)
            if cut.video_id in cuts:
                raise AnnotationError(
                    f"the video {cut.video_id!r} is labelled twice; keep one of the two entries."
                )
            cuts[cut.video_id] = cut
    return list(cuts.values())


def _move_image(image: AnnotatedImage, folder: Path) -> AnnotatedImage:
    folder.mkdir(exist_ok=True)
    return replace(image, path=image.path.replace(folder / image.path.name))


def _check_any(images: Sequence[AnnotatedImage], source: Path, skipped: Sequence[str]) -> None:
    if not images:
        reasons = "".join(f"\n- {line}" for line in skipped[:10])
        raise AnnotationError(f"{source}: holds no labelled image that can be used.{reasons}")


def _name_from(image: AnnotatedImage, out_dir: Path) -> AnnotatedImage:
    """Let an image's path be as written in the COCO file."""
    path, folder = image.path.absolute(), out_dir.absolute()
    if path.is_relative_to(folder):
        name = path.relative_to(folder)
    else:
        try:
            # `..` leads out of the folder itself, not of a link to it.
            name = Path(os.path.relpath(path.parent.resolve() / path.name, folder.resolve()))
        except ValueError:  # another drive
            name = path
    # `load_coco` looks into images/ first.
    is_hidden = (folder / "images" / name).is_file()
    return replace(image, path=path if is_hidden else name)


def _count(
    coco_file: Path, images: Sequence[AnnotatedImage], skipped: Sequence[str]
) -> ImportResult:
    return ImportResult(
        coco_file=coco_file,
        images=len(images),
        boxes=sum(len(image.boxes_xyxy) for image in images),
        polygons=sum(1 for image in images for polygons in image.polygons if polygons),
        skipped=tuple(skipped),
    )
