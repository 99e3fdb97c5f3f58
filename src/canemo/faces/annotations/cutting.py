"""Pictures of the frames of a video on which faces were drawn."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import PIL.Image

from canemo.errors import AnnotationError, VideoOpenError
from canemo.faces.annotations.fitting import annotate, fit_face, scale_face
from canemo.faces.annotations.key_boxes import plan_frames
from canemo.formats.boxes.coco import AnnotatedImage
from canemo.formats.boxes.labelled import DrawnFace, LabelledVideo, Track
from canemo.formats.problems import Problems
from canemo.records import Frame
from canemo.video.info import probe_video
from canemo.video.reader import VideoReader
from canemo.video.times import Sampling

_EVERY_FRAME = Sampling(every_nth=1)


@dataclass(frozen=True)
class VideoCut:
    """The frames to be taken from a video, and the faces on each, cut to the frame of `size`."""

    where: str
    video_id: str
    path: Path
    size: tuple[int, int]
    faces: Mapping[int, Sequence[DrawnFace]]
    left_out: tuple[str, ...] = ()


def plan_cut(
    video: LabelledVideo, videos: Mapping[str, Path], *, step: int, problems: Problems
) -> VideoCut:
    """Find a labelled video's file and plan which of its frames are taken.

    Key boxes with no area inside the frame are noted in `problems`.

    Raises
    ------
    AnnotationError
        If the video is not known, cannot be opened or does not fit what was drawn.
    """
    video_id = match_video(video.names, videos)
    path = videos[video_id]
    try:
        info = probe_video(path)
        times_s = _read_times(path) if video.in_seconds else None
    except VideoOpenError as exc:
        raise AnnotationError(f"{exc}.") from exc
    size = info.width, info.height
    scaled = _scale_to(video, size)
    for face in _iter_key_faces(scaled.tracks):
        with problems.gather(face.where):
            fit_face(face, size)
    plan = plan_frames(scaled, step=step, times_s=times_s)
    faces = {index: _keep_inside(found, size) for index, found in plan.faces.items()}
    return VideoCut(video.where, video_id, path, size, faces, plan.left_out)


def match_video(names: Sequence[str], videos: Mapping[str, Path]) -> str:
    """Find the video that one of the names stands for, by file name, then without its ending.

    Raises
    ------
    AnnotationError
        If there is none, or more than one.
    """
    for name in names:
        plain = PurePosixPath(name.replace("\\", "/"))
        same_name = [key for key, path in videos.items() if path.name == plain.name]
        same_stem = [key for key, path in videos.items() if plain.stem in (path.stem, key)]
        found = same_name or same_stem
        if len(found) > 1:
            raise AnnotationError(f"{name!r} may be any of the videos {sorted(found)}.")
        if found:
            return found[0]
    raise AnnotationError(
        f"{names[0] if names else ''!r} is none of the videos known: "
        f"{sorted(path.name for path in videos.values())}; add it to the study, or export images."
    )


def _read_times(path: Path) -> list[float]:
    """Return the time [s] of every frame, damaged ones included, by frame number."""
    with VideoReader(path, sampling=_EVERY_FRAME) as reader:
        times = {frame.frame_index: frame.time_s for frame in reader}
        times.update({lost.frame_index: lost.time_s for lost in reader.lost})
    return [times[frame_index] for frame_index in sorted(times)]


def _scale_to(video: LabelledVideo, size: tuple[int, int]) -> LabelledVideo:
    if video.size is None or video.size == size:
        return video
    if (video.size[0] - video.size[1]) * (size[0] - size[1]) < 0:
        raise AnnotationError(
            f"was labelled with frames of {video.size[0]} x {video.size[1]} pixels, but the video "
            f"is displayed with {size[0]} x {size[1]}; it was turned after it was labelled."
        )
    factors = size[0] / video.size[0], size[1] / video.size[1]
    tracks = tuple(
        replace(
            track,
            boxes=tuple(replace(box, face=scale_face(box.face, factors)) for box in track.boxes),
        )
        for track in video.tracks
    )
    return replace(video, tracks=tracks, size=size)


def _iter_key_faces(tracks: Sequence[Track]) -> Iterator[DrawnFace]:
    return (box.face for track in tracks for box in track.boxes if box.visible)


def _keep_inside(faces: Sequence[DrawnFace], size: tuple[int, int]) -> list[DrawnFace]:
    fitted = []
    for face in faces:
        # What is outside has been noted once, at its key box.
        with suppress(AnnotationError):
            fitted.append(fit_face(face, size))
    return fitted


def cut_frames(cut: VideoCut, folder: Path, problems: Problems) -> list[AnnotatedImage]:
    """Write the planned frames of a video to `VIDEOID__000123.jpg` in a folder.

    Frames that the video does not have or cannot show are noted in `problems`.
    """
    images: dict[int, AnnotatedImage] = {}
    with VideoReader(cut.path, sampling=_EVERY_FRAME) as reader:
        for frame in reader:
            if frame.frame_index in cut.faces:
                images[frame.frame_index] = _write_frame(cut, frame, folder)
            if len(images) == len(cut.faces):
                break
        damage = reader.damage
    for frame_index in sorted(set(cut.faces) - set(images)):
        problems.add(
            f"{cut.where}: frame {frame_index} cannot be read from {cut.path}"
            f"{f' ({damage})' if damage else ', which ends before it'}."
        )
    return list(images.values())


def _write_frame(cut: VideoCut, frame: Frame, folder: Path) -> AnnotatedImage:
    path = folder / f"{cut.video_id}__{frame.frame_index:06d}.jpg"
    # Without chroma subsampling, so that coat and lip colours keep their edges.
    PIL.Image.fromarray(frame.image_rgb).save(path, quality=95, subsampling=0)
    origin = {
        "video_id": cut.video_id,
        "frame_index": frame.frame_index,
        "time_s": round(frame.time_s, 6),
    }
    return annotate(path, cut.size, cut.faces[frame.frame_index], origin)
