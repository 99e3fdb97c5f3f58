"""Which frames of a study to draw faces on, so that a detector trained on them has seen it all.

Every subject gives as many frames, every clip of a subject as many as can be, and within a subject
the frames look as different as they can: one of each cluster of a frozen backbone's embeddings.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image as PilImage
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_limits

from canemo.errors import ConfigError, OutputExistsError, VideoOpenError
from canemo.faces.annotations.frames_table import FRAMES_CSV
from canemo.faces.annotations.importing import FACES_JSON
from canemo.files import replacing, write_atomically, write_table
from canemo.networks.backbones import Backbone
from canemo.parallel import ProgressFn
from canemo.records import Frame, Image, Study, Video
from canemo.video.reader import VideoReader, iter_frames
from canemo.video.times import Sampling

logger = logging.getLogger(__name__)

Array: TypeAlias = NDArray[np.float32]

BATCH_FRAMES = 8
JPEG_QUALITY = 95
_MAX_NAME = 60
_SEEK_MARGIN_S = 0.05


@dataclass(frozen=True)
class PickedFrame:
    """A frame to be annotated, and where it comes from; `path` is absolute."""

    video_id: str
    subject_id: str
    label: str
    path: Path
    frame_index: int
    time_s: float


def pick_frames(
    study: Study,
    number: int,
    *,
    backbone: Backbone,
    sampling: Sampling,
    seed: int = 0,
    progress: ProgressFn | None = None,
) -> list[PickedFrame]:
    """Choose frames of a study, evenly over subjects and clips and as different as they can be.

    Parameters
    ----------
    study
        Whose videos are looked at.
    number
        How many frames are wanted, at least 1. Where there are fewer, all are picked.
    backbone
        What says how alike two whole frames are.
    sampling
        Which frames can be picked.
    seed
        Decides which subjects and clips give one more than others, and where clusters start.
    progress
        Called with the number of videos done and of all.

    Returns
    -------
    list of PickedFrame
        In the order of the study's videos and of time.

    Raises
    ------
    ConfigError
        `number` is below 1.
    VideoOpenError
        Not one frame of any video can be read. A single unreadable video is a logged warning.

    Notes
    -----
    Within a subject there are as many k-means clusters as frames to pick. Each gives the frame
    nearest its centre, of the clips that have given least; clusters that lie in few clips choose
    first. Frames are squeezed to the backbone's input, and vectors are compared at length 1. Only
    vectors are kept in memory, 2 bytes per feature.
    """
    if number < 1:
        raise ConfigError(f"{number} frames to pick; give a whole number from 1")
    frames, vectors = _look_at(study, backbone, sampling=sampling, progress=progress)
    if not frames:
        raise VideoOpenError(
            f"{study.root}: not one frame of {len(study.videos)} videos can be read; check the "
            "paths in videos.csv"
        )
    if len(frames) < number:
        logger.warning(
            "%s: %d frames wanted, there are %d; all are picked", study.root, number, len(frames)
        )
    random = np.random.default_rng(seed)
    rows_of = _group([frame.subject_id for frame in frames])
    quotas = _share(number, {name: len(rows) for name, rows in rows_of.items()}, random)
    clips = np.array([frame.video_id for frame in frames], dtype=object)
    picked = [
        rows[place]
        for name, rows in rows_of.items()
        for place in _pick_among(_normalise(vectors[rows]), clips[rows], quotas[name], seed=seed)
    ]
    return [frames[row] for row in sorted(picked)]


def write_picked(picked: Sequence[PickedFrame], out_dir: Path, *, force: bool = False) -> Path:
    """Write picked frames as JPEG files, with a COCO file to draw the faces into.

    Parameters
    ----------
    picked
        The frames.
    out_dir
        Gets ``VIDEO__000123.jpg`` for each, ``frames.csv`` and, last, ``faces.json``: a COCO file
        with the category ``face`` and no annotation. No image is named after its label, so that who
        annotates does not know it: videos whose names tell it are numbered.
    force
        Replace a ``faces.json`` without annotations; one with annotations is never replaced.

    Returns
    -------
    Path
        The COCO file.

    Raises
    ------
    OutputExistsError
        There is a ``faces.json`` already.
    VideoOpenError
        A video cannot be read any more, or does not hold the frame.
    """
    coco_file = out_dir / FACES_JSON
    require_free(coco_file, force=force)
    names = _name_images(picked)
    sizes = _write_images(names, out_dir)
    rows = [
        {
            "file_name": names[frame],
            "video_id": frame.video_id,
            "subject_id": frame.subject_id,
            "frame_index": frame.frame_index,
            "time_s": frame.time_s,
        }
        for frame in picked
    ]
    images = [
        {"id": number, **row, "width": sizes[frame][0], "height": sizes[frame][1]}
        for number, (row, frame) in enumerate(zip(rows, picked, strict=True), start=1)
    ]
    categories = [{"id": 1, "name": "face"}]
    content = {"images": images, "annotations": [], "categories": categories}
    columns = ["file_name", "video_id", "subject_id", "frame_index", "time_s"]
    write_table(pd.DataFrame(rows, columns=columns), out_dir / FRAMES_CSV)
    return write_atomically(coco_file, json.dumps(content, indent=1, ensure_ascii=False))


def _look_at(
    study: Study, backbone: Backbone, *, sampling: Sampling, progress: ProgressFn | None
) -> tuple[list[PickedFrame], NDArray[np.float16]]:
    """Return the frames that can be picked, each picture of a file once, and their vectors."""
    frames: list[PickedFrame] = []
    vectors: list[NDArray[np.float16]] = []
    seen: set[tuple[Path, int]] = set()
    for done, video in enumerate(study.videos):
        if progress is not None:
            progress(done, len(study.videos))
        try:
            for batch in _iter_new(video, sampling, seen):
                cls = backbone.embed([frame.image_rgb for frame in batch]).cls
                vectors.append(cls.numpy().astype(np.float16))
                frames += [_describe(video, frame) for frame in batch]
        except VideoOpenError as exc:
            logger.warning("%s; none of its frames is picked", exc)
    if progress is not None:
        progress(len(study.videos), len(study.videos))
    return frames, np.concatenate(vectors) if vectors else np.empty((0, 0), np.float16)


def _iter_new(
    video: Video, sampling: Sampling, seen: set[tuple[Path, int]]
) -> Iterator[list[Frame]]:
    """Yield batches of the frames that no earlier row of the study has shown."""
    path = video.path.resolve()
    found = iter_frames(video.path, sampling=sampling, start_s=video.start_s, end_s=video.end_s)
    new = (frame for frame in found if (path, frame.frame_index) not in seen)
    while batch := list(islice(new, BATCH_FRAMES)):
        seen.update((path, frame.frame_index) for frame in batch)
        yield batch


def _describe(video: Video, frame: Frame) -> PickedFrame:
    return PickedFrame(
        video.video_id, video.subject_id, video.label, video.path, frame.frame_index, frame.time_s
    )


def _normalise(vectors: NDArray[np.float16]) -> Array:
    long = vectors.astype(np.float32)
    length = np.linalg.norm(long, axis=1, keepdims=True)
    return np.asarray(long / np.where(length > 0, length, 1))


def _group(names: Sequence[str]) -> dict[str, NDArray[np.int64]]:
    """Return the rows of each name, names in alphabetical order."""
    column = np.array(names, dtype=object)
    return {name: np.flatnonzero(column == name) for name in sorted(set(names))}


def _share(number: int, room: Mapping[str, int], random: np.random.Generator) -> dict[str, int]:
    """Divide `number` evenly over names with limited room; chance says who gets the remainder."""
    quotas = dict.fromkeys(room, 0)
    order = [list(room)[place] for place in random.permutation(len(room))]
    left = min(number, sum(room.values()))
    while left:
        open_names = [name for name in order if quotas[name] < room[name]]
        for name in open_names[:left]:
            quotas[name] += 1
        left -= min(left, len(open_names))
    return quotas


def _pick_among(vectors: Array, clips: NDArray[np.object_], quota: int, *, seed: int) -> list[int]:
    """Pick `quota` of the frames of one subject; return their places."""
    if quota == 0:
        return []
    if quota == len(vectors):
        return list(range(quota))
    cluster, distance = _cluster(vectors, quota, seed=seed)
    members = [np.flatnonzero(cluster == number) for number in np.unique(cluster)]
    members.sort(key=lambda places: len(set(clips[places])))
    given: Counter[str] = Counter()
    picked: list[int] = []
    for places in members:
        least = min(given[clip] for clip in clips[places])
        best = min((p for p in places if given[clips[p]] == least), key=lambda p: distance[p])
        picked.append(int(best))
        given[clips[best]] += 1
    while len(picked) < quota:  # fewer different pictures than are wanted
        picked.append(_pick_another(vectors, clips, picked, given))
        given[clips[picked[-1]]] += 1
    return picked


def _cluster(vectors: Array, number: int, *, seed: int) -> tuple[NDArray[np.int32], Array]:
    """Return each vector's cluster and its distance from the centre."""
    means = KMeans(number, n_init=4, random_state=seed)
    with threadpool_limits(1), warnings.catch_warnings():  # threads add up in any order
        warnings.simplefilter("ignore", ConvergenceWarning)  # fewer different vectors than clusters
        cluster = means.fit_predict(vectors)
    return cluster, np.linalg.norm(vectors - means.cluster_centers_[cluster], axis=1)


def _pick_another(
    vectors: Array, clips: NDArray[np.object_], picked: Sequence[int], given: Counter[str]
) -> int:
    """Return the frame least like those picked, of the clips that have given least."""
    free = np.setdiff1d(np.arange(len(vectors)), picked)
    least = min(given[clip] for clip in clips[free])
    free = free[[given[clip] == least for clip in clips[free]]]
    # At equal looks, the one furthest away in time: frames are in the order of clips and time.
    apart = np.abs(free[:, None] - np.array(picked)).min(axis=1)
    alike = (vectors[free] @ vectors[list(picked)].T).max(axis=1).round(5)
    return int(free[np.lexsort((-apart, alike))[0]])


def require_free(coco_file: Path, *, force: bool) -> None:
    """Raise OutputExistsError where a file of boxes is there that must not be replaced."""
    if not coco_file.exists():
        return
    if not force:
        raise OutputExistsError(f"{coco_file} is there already; choose another folder, or --force")
    if not _is_unannotated(coco_file):
        raise OutputExistsError(
            f"{coco_file} may hold annotations, which are never replaced; choose another folder"
        )


def _is_unannotated(coco_file: Path) -> bool:
    try:
        content: Any = json.loads(coco_file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(content, dict) and content.get("annotations") == []


def _write_images(
    names: Mapping[PickedFrame, str], out_dir: Path
) -> dict[PickedFrame, tuple[int, int]]:
    """Write the frames, going through each file once; return width and height of each."""
    sizes = {}
    for path in dict.fromkeys(frame.path for frame in names):
        wanted = {frame.frame_index: frame for frame in names if frame.path == path}
        for frame_index, image in _iter_images(path, wanted):
            frame = wanted[frame_index]
            with replacing(out_dir / names[frame]) as temporary:
                PilImage.fromarray(image).save(
                    temporary, "JPEG", quality=JPEG_QUALITY, subsampling=0
                )
            sizes[frame] = (image.shape[1], image.shape[0])
    return sizes


def _iter_images(path: Path, wanted: Mapping[int, PickedFrame]) -> Iterator[tuple[int, Image]]:
    """Yield the wanted frames of one file by number, those before them left unconverted."""
    missing = set(wanted)
    start_s = max(0.0, min(frame.time_s for frame in wanted.values()) - _SEEK_MARGIN_S)
    with VideoReader(path, sampling=Sampling(every_nth=1), start_s=start_s) as reader:
        for frame in reader:
            if frame.frame_index in missing:
                yield frame.frame_index, frame.image_rgb
                missing.remove(frame.frame_index)
            if not missing:
                return
    raise VideoOpenError(
        f"{path}: frame {min(missing)} was there when frames were picked and is not any more; "
        "pick again",
        path=path,
    )


def _name_images(picked: Sequence[PickedFrame]) -> dict[PickedFrame, str]:
    """Return the file name of each frame; videos are numbered where their names tell the label."""
    labels = {_words(frame.label) for frame in picked}
    videos = list(dict.fromkeys(frame.video_id for frame in picked))
    telling = any(label in _words(video) for video in videos for label in labels)
    stems = {
        video: f"video{number:04}" if telling else _make_safe(video)
        for number, video in enumerate(videos, start=1)
    }
    return {frame: f"{stems[frame.video_id]}__{frame.frame_index:06d}.jpg" for frame in picked}


def _words(text: str) -> str:
    """Return the words of a text, each with a space before and after it."""
    words = re.split(r"[\W_]+", text.casefold())
    return f" {' '.join(words).strip()} "


def _make_safe(video_id: str) -> str:
    """Return the identifier as part of a file name; where it had to change, marked by its hash."""
    safe = re.sub(r"[^\w.-]|^\.", "_", video_id)[:_MAX_NAME]
    if safe == video_id:
        return safe
    return f"{safe}-{hashlib.sha256(video_id.encode()).hexdigest()[:12]}"
