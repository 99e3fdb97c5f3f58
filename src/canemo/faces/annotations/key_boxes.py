"""From key boxes on a video to the faces on each of its frames that is worth a picture."""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from dataclasses import dataclass, replace

from canemo.errors import AnnotationError
from canemo.faces.boxes import blend_boxes
from canemo.formats.boxes.labelled import DrawnFace, LabelledVideo, Track


@dataclass(frozen=True)
class FramePlan:
    """The faces on each frame to be written, by frame number, and the frames left out and why."""

    faces: dict[int, tuple[DrawnFace, ...]]
    left_out: tuple[str, ...] = ()


def plan_frames(
    video: LabelledVideo, *, step: int, times_s: Sequence[float] | None = None
) -> FramePlan:
    """Choose the frames of a labelled video to write, and find the faces on each.

    Parameters
    ----------
    video
        The tracks; their boxes stay in the video's own size.
    step
        Beside the frames somebody drew on, every `step`-th frame, counted from the first of them,
        on which a face is visible.
    times_s
        The times of the file's frames [s], for videos whose positions are seconds.

    Notes
    -----
    Boxes between two key boxes are interpolated linearly. Nothing is known of a track after its
    last key box unless that ends it: frames there are left out, as a picture with an unmarked face
    would teach a detector that this is no face.
    """
    tracks = video.tracks
    if video.in_seconds:
        tracks = tuple(_to_frames(track, times_s or ()) for track in tracks)
    keys = {int(box.position) for track in tracks for box in track.boxes if box.is_key}
    ends = [int(track.boxes[-1].position) for track in tracks]
    between = range(min(keys), max(ends) + 1, step) if keys else range(0)
    faces: dict[int, tuple[DrawnFace, ...]] = {}
    left_out: dict[Track, list[int]] = {}
    for frame_index in sorted(keys.union(between)):
        found = [face for track in tracks if (face := _face_at(track, frame_index, times_s))]
        unknown = next((track for track in tracks if _is_unknown(track, frame_index)), None)
        if not found and frame_index not in keys:
            continue
        if unknown is not None:
            left_out.setdefault(unknown, []).append(frame_index)
        else:
            faces[frame_index] = tuple(found)
    return FramePlan(faces, tuple(_tell_left_out(*item) for item in left_out.items()))


def _tell_left_out(track: Track, frames: Sequence[int]) -> str:
    return (
        f"{track.where}: has no box after frame {track.boxes[-1].position:g} and does not end "
        f"there, so {len(frames)} frames from {frames[0]} to {frames[-1]} are left out; draw its "
        "box there too, or end the track."
    )


def _to_frames(track: Track, times_s: Sequence[float]) -> Track:
    """Put each key box on the frame of the file that is nearest in time."""
    boxes = {}
    for box in track.boxes:
        frame_index = find_nearest(box.position, times_s)
        boxes[frame_index] = replace(box, position=frame_index)
    return replace(track, boxes=tuple(boxes.values()))


def find_nearest(time_s: float, times_s: Sequence[float]) -> int:
    """Return the number of the frame whose time is nearest; of two equally near, the earlier.

    Raises
    ------
    AnnotationError
        If the video ends more than two frames before.
    """
    after = bisect.bisect_left(times_s, time_s)
    last_step_s = times_s[-1] - times_s[-2] if len(times_s) > 1 else 1.0
    if not times_s or time_s > times_s[-1] + 2 * last_step_s:
        raise AnnotationError(
            f"the box at {time_s:.3f} s is after the last frame of the video; check --frame-rate "
            "and whether this is the video that was labelled."
        )
    near = [index for index in (after - 1, after) if 0 <= index < len(times_s)]
    return min(near, key=lambda index: abs(times_s[index] - time_s))


def _is_unknown(track: Track, frame_index: int) -> bool:
    last = track.boxes[-1]
    return frame_index > last.position and last.continues


def _face_at(track: Track, frame_index: int, times_s: Sequence[float] | None) -> DrawnFace | None:
    after = bisect.bisect_right(track.boxes, float(frame_index), key=lambda box: box.position)
    if after == 0:
        return None
    start = track.boxes[after - 1]
    if start.position == frame_index:
        return start.face if start.visible else None
    if after == len(track.boxes) or not start.continues:
        return None
    end = track.boxes[after]
    first, now, last = (
        times_s[int(place)] if times_s else place
        for place in (start.position, frame_index, end.position)
    )
    box = blend_boxes(start.face.box_xyxy, end.face.box_xyxy, (now - first) / (last - first))
    return DrawnFace(start.face.where, start.face.label, box)
