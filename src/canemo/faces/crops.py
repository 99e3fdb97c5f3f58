"""Face crops of a video and the ledger of every frame that was looked at, in one Parquet file.

The file has one row per frame with exactly one fate; rows whose fate is ``used`` carry the crop as
JPEG bytes. Decoding, detecting and cutting stream through: memory does not grow with the video.
"""

from __future__ import annotations

import tempfile
from bisect import bisect
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, overload

import av
import numpy as np

from canemo.config import CropConfig, DetectConfig
from canemo.errors import VideoOpenError
from canemo.faces.crop_file import CropFile, open_crop_file, write_rows
from canemo.faces.crop_images import (
    compute_brightness,
    compute_sharpness,
    cut_box,
    decode_jpeg,
    encode_jpeg,
    shrink,
)
from canemo.faces.detect.protocol import Detector, FrameDetector, VideoDetector
from canemo.faces.footage import Footage
from canemo.faces.key_frames import Sighting, find_faces
from canemo.faces.seen_frames import Cut, Seen, SeenFrames, Spool
from canemo.faces.tracks import LinkedVideo, TrackedFace, link_faces, pick_faces
from canemo.files import hash_values, sha256_file
from canemo.parallel import read_ahead
from canemo.records import Box, Face, Fate, Frame, Image, Video
from canemo.video.container import LostFrame
from canemo.video.reader import VideoReader
from canemo.video.stills import PictureReader, open_reader
from canemo.video.times import Sampling

CROPS_VERSION = 4
AHEAD_FRAMES = 8
AHEAD_BYTES = 64 * 2**20
MAX_FACES = 4
FAINT_SHARE = 0.5  # of the threshold: below it there is nothing worth calling a face
DOUBT_SHARE = 0.7  # of the threshold: from it on a face may be one in the frames next to it


def extract_crops(
    video: Video,
    detector: Detector,
    *,
    sampling: Sampling,
    detect: DetectConfig,
    crop: CropConfig,
    cache_dir: Path,
) -> CropFile:
    """Find, follow and cut out the dog's face in one video, or reuse the cached answer.

    Returns
    -------
    CropFile
        Also for a video without a face or with damage: those are results, not errors.

    Raises
    ------
    VideoOpenError
        The file cannot be opened or holds no video.
    """
    path = _locate_crops(
        video, detector, sampling=sampling, detect=detect, crop=crop, cache_dir=cache_dir
    )
    cached = path.is_file()
    if not cached:
        _make_crop_file(path, video, detector, sampling=sampling, detect=detect, crop=crop)
    return open_crop_file(video, path, cached=cached)


def find_crops(
    video: Video,
    detector: Detector,
    *,
    sampling: Sampling,
    detect: DetectConfig,
    crop: CropConfig,
    cache_dir: Path,
) -> CropFile | None:
    """Return what `extract_crops` would find in the cache, or None where it would set to work.

    Raises
    ------
    VideoOpenError
        The file cannot be read.
    """
    path = _locate_crops(
        video, detector, sampling=sampling, detect=detect, crop=crop, cache_dir=cache_dir
    )
    return open_crop_file(video, path, cached=True) if path.is_file() else None


def _locate_crops(
    video: Video,
    detector: Detector,
    *,
    sampling: Sampling,
    detect: DetectConfig,
    crop: CropConfig,
    cache_dir: Path,
) -> Path:
    key = hash_values(
        version=CROPS_VERSION,
        decoder=av.__version__,
        video=_hash_video(video.path),
        part=(video.start_s, video.end_s),
        sampling=repr(sampling),
        detector=(detector.fingerprint, detector.engine),
        # What ran the detector stands above: a finished run names it where it was left to "auto".
        detect={**detect.model_dump(), "detector": detector.name, "engine": "auto"},
        crop=crop.model_dump(),
    )
    return cache_dir / "crops" / f"{key}.parquet"


def _make_crop_file(
    path: Path,
    video: Video,
    detector: Detector,
    *,
    sampling: Sampling,
    detect: DetectConfig,
    crop: CropConfig,
) -> None:
    threshold = (
        detector.score_threshold if detect.score_threshold is None else detect.score_threshold
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    with (
        open_reader(
            video.path, sampling=sampling, start_s=video.start_s, end_s=video.end_s
        ) as reader,
        tempfile.TemporaryFile(dir=path.parent) as handle,
    ):
        watcher = _Watcher(Spool(handle), threshold=threshold, detect=detect, crop=crop)
        with closing(_read_frames(reader)) as frames:  # ended before the reader is closed
            watcher.watch(frames, _bind(detector, video, detect))
        times_s = [seen.time_s for seen in watcher.seen]
        linked = (
            link_faces(times_s, watcher.usable_faces, max_gap_s=detect.max_gap_s)
            if detect.follow
            else pick_faces(watcher.usable_faces)
        )
        damage = reader.damage
        if damage is None and not watcher.seen:
            damage = f"no frame from start_s={video.start_s} to end_s={video.end_s}"
        rows = _iter_rows(watcher, linked, reader.lost, rest_lost=damage is not None)
        notes = {
            "persistent_faces": str(linked.persistent_faces),
            "pieces": str(linked.pieces),
            "damage": damage or "",
            "cuts_s": " ".join(f"{time_s:.3f}" for time_s in watcher.footage.cuts_s),
        }
        write_rows(path, rows, notes=notes)


def _bind(detector: Detector, video: Video, detect: DetectConfig) -> Detector | FrameDetector:
    """Return what finds faces in one video, where a detector must know which it is."""
    if isinstance(detector, VideoDetector):
        return detector.in_video(video, max_gap_s=detect.max_gap_s)
    return detector


def _read_frames(reader: VideoReader | PictureReader) -> Generator[Frame, None, None]:
    """Decode ahead of the detector; `damage` and `lost` are complete where this has ended."""
    return read_ahead(
        reader, AHEAD_FRAMES, weigh=lambda frame: frame.image_rgb.nbytes, max_weight=AHEAD_BYTES
    )


class _Watcher:
    """Looks at each frame once and keeps on disk what may be needed when the track is known."""

    def __init__(
        self, spool: Spool, *, threshold: float, detect: DetectConfig, crop: CropConfig
    ) -> None:
        self.spool = spool
        self.seen = SeenFrames()
        self.footage = Footage()
        self.crop = crop
        self._threshold = threshold
        self._detect = detect
        self._max_gap_s = detect.max_gap_s if detect.follow else 0.0
        self._last_face_s = -np.inf

    @property
    def usable_faces(self) -> Sequence[list[Face]]:
        return _UsableFaces(self)

    def usable(self, seen: Seen) -> list[Face]:
        return [face for face in seen.faces if self._is_usable(face)]

    def watch(self, frames: Iterable[Frame], detector: Detector | FrameDetector) -> None:
        every_frame = isinstance(detector, FrameDetector) or not self._detect.follow
        sightings = find_faces(
            frames,
            detector,
            every_s=0.0 if every_frame else self._detect.key_every_s,
            is_usable=self._is_usable,
            doubt_score=DOUBT_SHARE * self._threshold,
            max_faces=MAX_FACES,
        )
        for sighting in sightings:
            self._note(sighting)

    def _note(self, sighting: Sighting) -> None:
        frame = sighting.frame
        self.footage.watch(frame)
        cuts = tuple(
            self._cut(frame.image_rgb, face.box_xyxy) if self._is_usable(face) else None
            for face in sighting.faces
        )
        whole = None
        if any(cuts):
            self._last_face_s = frame.time_s
        elif frame.time_s - self._last_face_s < self._max_gap_s:  # may be bridged later
            whole = self.spool.add(encode_jpeg(frame.image_rgb, quality=self.crop.jpeg_quality))
        self.seen.add(
            Seen(
                frame.frame_index,
                frame.time_s,
                faces=tuple(sighting.faces),
                cuts=cuts,
                whole=whole,
                between=sighting.between,
            )
        )

    def cut_of(self, seen: Seen, box: Box) -> Cut | None:
        """Return the cut of a face of the frame, or of a box that bridges a gap."""
        for face, cut in zip(seen.faces, seen.cuts, strict=True):
            if cut is not None and face.box_xyxy == box:
                return cut
        if seen.whole is None:
            return None
        return self._cut(decode_jpeg(self.spool.get(seen.whole)), box)

    def fate_without_crop(self, seen: Seen) -> Fate:
        if not seen.faces or seen.faces[0].score < FAINT_SHARE * self._threshold:
            return Fate.NO_FACE
        if self.usable(seen):
            return Fate.OTHER_FACE
        return Fate.LOW_SCORE if seen.faces[0].score < self._threshold else Fate.TOO_SMALL

    def _is_usable(self, face: Face) -> bool:
        x0, y0, x1, y1 = face.box_xyxy
        return face.score >= self._threshold and min(x1 - x0, y1 - y0) >= self._detect.min_side_px

    def _cut(self, image_rgb: Image, box: Box) -> Cut:
        height, width = image_rgb.shape[:2]
        rectangle = cut_box(box, width=width, height=height, crop=self.crop)
        x0, y0, x1, y1 = rectangle
        picture = shrink(image_rgb[y0:y1, x0:x1], max_short_side_px=self.crop.max_short_side_px)
        return Cut(
            rectangle,
            brightness=compute_brightness(picture),
            sharpness=compute_sharpness(picture),
            at=self.spool.add(encode_jpeg(picture, quality=self.crop.jpeg_quality)),
        )


class _UsableFaces(Sequence[list[Face]]):
    """The usable faces of each frame, made when asked for: all at once they would take too much."""

    def __init__(self, watcher: _Watcher) -> None:
        self._watcher = watcher

    def __len__(self) -> int:
        return len(self._watcher.seen)

    @overload
    def __getitem__(self, position: int) -> list[Face]: ...
    @overload
    def __getitem__(self, position: slice) -> Sequence[list[Face]]: ...
    def __getitem__(self, position: int | slice) -> list[Face] | Sequence[list[Face]]:
        if isinstance(position, slice):
            return [self._watcher.usable(seen) for seen in self._watcher.seen[position]]
        return self._watcher.usable(self._watcher.seen[position])


def _iter_rows(
    watcher: _Watcher, linked: LinkedVideo, lost: Sequence[LostFrame], *, rest_lost: bool
) -> Iterator[dict[str, Any]]:
    """Yield the rows in order of time; one without number stands for the rest of the file."""
    after_each: dict[int, list[LostFrame]] = {}
    for frame in lost:
        position = bisect(watcher.seen, frame.frame_index, key=lambda seen: seen.frame_index)
        after_each.setdefault(position, []).append(frame)
    for position in range(len(watcher.seen) + 1):
        for frame in after_each.get(position, ()):
            place = {"frame_index": frame.frame_index, "time_s": frame.time_s}
            yield {**place, "fate": Fate.DECODE_ERROR}
        if position < len(watcher.seen):
            yield _describe_frame(watcher, linked, position)
    if rest_lost and not lost:
        yield {"fate": Fate.DECODE_ERROR}


def _describe_frame(watcher: _Watcher, linked: LinkedVideo, position: int) -> dict[str, Any]:
    seen = watcher.seen[position]
    place = {"frame_index": seen.frame_index, "time_s": seen.time_s}
    face = linked.faces.get(position)
    cut = None if face is None else watcher.cut_of(seen, face.box_xyxy)
    if face is None or cut is None:
        fate = watcher.fate_without_crop(seen)
        best = None if fate == Fate.NO_FACE else seen.faces[0]
        box = {} if best is None else _describe_face(best.box_xyxy, best.score)
        return {**place, "fate": fate, **box, "picture": _draw_picture(watcher, seen, None)}
    names = ("crop_x0", "crop_y0", "crop_x1", "crop_y1")
    return {
        **place,
        "fate": Fate.USED,
        **_describe_face(face.box_xyxy, face.score),
        "box_source": _name_source(face, seen),
        **dict(zip(names, cut.rectangle, strict=True)),
        "brightness": cut.brightness,
        "sharpness": cut.sharpness,
        "jpeg": watcher.spool.get(cut.at),
        "picture": _draw_picture(watcher, seen, face.box_xyxy),
    }


def _draw_picture(watcher: _Watcher, seen: Seen, face: Box | None) -> bytes | None:
    others = [other.box_xyxy for other in watcher.usable(seen)]
    return watcher.footage.outline(seen.frame_index, face, others)


def _name_source(face: TrackedFace, seen: Seen) -> str:
    if face.interpolated:
        return "interpolated"
    return "between" if seen.between else "detected"


def _describe_face(box: Box, score: float) -> dict[str, float]:
    return {**dict(zip(("x0", "y0", "x1", "y1"), box, strict=True)), "score": score}


def _hash_video(path: Path) -> str:
    try:
        return sha256_file(path)
    except OSError as exc:
        raise VideoOpenError(
            f"{path}: cannot be read ({exc.strerror}); check the path and its permissions",
            path=path,
        ) from exc
