"""Faces of single frames joined into tracks over time, and the one track that is the subject."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from canemo.faces.boxes import blend_boxes, compute_iou
from canemo.formats.boxes.shapes import measure_area
from canemo.records import Box, Face

MIN_IOU = 0.2
MAX_CENTRE_SHIFT = 0.75
PERSISTENT_SHARE = 0.25
PERSISTENT_FRAMES = 3
FURTHER_PIECE_SHARE = 0.2  # of the detections of the longest piece; shorter ones are strays


@dataclass(frozen=True, slots=True)
class TrackedFace:
    """The subject's face at one position of the frame list; `interpolated` where none was found."""

    box_xyxy: Box
    score: float
    interpolated: bool = False


@dataclass(frozen=True)
class LinkedVideo:
    """The subject's face through a video.

    Attributes
    ----------
    faces
        Position in the list of frames -> face.
    persistent_faces
        How many faces were there for a good part of the video, the subject's own included; above 1
        it is not certain that the kept one is the right one.
    pieces
        In how many pieces the subject was seen; above 1 that they are one subject is an assumption.
    """

    faces: dict[int, TrackedFace]
    persistent_faces: int
    pieces: int


@dataclass
class _Track:
    times_s: list[float] = field(default_factory=list)
    faces: dict[int, Face] = field(default_factory=dict)

    @property
    def last(self) -> Face:
        return self.faces[next(reversed(self.faces))]

    @property
    def evidence(self) -> float:
        """Confidence times apparent size, summed: a near, clear, lasting face wins."""
        return sum(face.score * _side(face.box_xyxy) for face in self.faces.values())

    def add(self, position: int, time_s: float, face: Face) -> None:
        self.times_s.append(time_s)
        self.faces[position] = face


def link_faces(
    times_s: Sequence[float], faces: Sequence[Sequence[Face]], *, max_gap_s: float
) -> LinkedVideo:
    """Follow faces over time and keep the one that has most evidence.

    A face continues the track whose last box it overlaps (IoU) or nearly touches (centre distance
    relative to the box) within `max_gap_s`. Tracks that are never there at the same time as the
    kept one, and are no strays of a few frames, are taken for the same subject seen again. Gaps up
    to `max_gap_s` between two detections of one track are filled by linear interpolation; nothing
    is ever extrapolated.

    Parameters
    ----------
    times_s
        Times of the T frames [s], ascending.
    faces
        For each of the T frames, the faces whose score reached the threshold.
    max_gap_s
        Longest gap that is bridged [s].

    Notes
    -----
    Assumes one subject of interest per video. Two subjects that take turns in front of the camera
    cannot be told apart by position alone.
    """
    tracks = _build_tracks(times_s, faces, max_gap_s=max_gap_s)
    if not tracks:
        return LinkedVideo({}, persistent_faces=0, pieces=0)
    kept = _select_tracks(tracks)
    subject: dict[int, TrackedFace] = {}
    for track in kept:
        subject.update(_fill_gaps(track, times_s, max_gap_s=max_gap_s))
    kept_ids = {id(track) for track in kept}
    others = sum(_is_persistent(t, subject) for t in tracks if id(t) not in kept_ids)
    return LinkedVideo(dict(sorted(subject.items())), persistent_faces=1 + others, pieces=len(kept))


def pick_faces(faces: Sequence[Sequence[Face]]) -> LinkedVideo:
    """Keep the face with the best score of each frame, whatever the frames around it show.

    Parameters
    ----------
    faces
        For each of the T frames, the faces whose score reached the threshold.
    """
    best = {
        position: max(here, key=lambda face: face.score)
        for position, here in enumerate(faces)
        if here
    }
    most = max(map(len, faces), default=0)
    shared = sum(len(here) > 1 for here in faces)
    crowded = shared >= max(PERSISTENT_FRAMES, PERSISTENT_SHARE * len(best))
    return LinkedVideo(
        {position: TrackedFace(face.box_xyxy, face.score) for position, face in best.items()},
        persistent_faces=most if crowded else min(most, 1),
        pieces=min(most, 1),
    )


def _build_tracks(
    times_s: Sequence[float], faces: Sequence[Sequence[Face]], *, max_gap_s: float
) -> list[_Track]:
    done: list[_Track] = []
    active: list[_Track] = []
    for position, (time_s, here) in enumerate(zip(times_s, faces, strict=True)):
        previous_s = times_s[position - 1] if position else time_s
        oldest_s = min(previous_s, time_s - max_gap_s)  # neighbours always link, however far apart
        done += [track for track in active if track.times_s[-1] < oldest_s]
        active = [track for track in active if track.times_s[-1] >= oldest_s]
        free = list(active)
        for face in sorted(here, key=lambda face: -face.score):
            track = max(free, key=lambda track: _affinity(track.last, face), default=None)
            if track is None or _affinity(track.last, face) <= 0:
                active.append(track := _Track())
            else:
                free.remove(track)
            track.add(position, time_s, face)
    return done + active


def _affinity(a: Face, b: Face) -> float:
    """Return above 0 where `b` may be the same face as `a`, higher for a closer fit."""
    overlap = compute_iou(a.box_xyxy, b.box_xyxy)
    size = max(_side(a.box_xyxy), _side(b.box_xyxy))
    (ax, ay), (bx, by) = _centre(a.box_xyxy), _centre(b.box_xyxy)
    shift = ((ax - bx) ** 2 + (ay - by) ** 2) ** 0.5 / max(size, 1e-9)
    if overlap >= MIN_IOU:
        return 1.0 + overlap
    return max(0.0, MAX_CENTRE_SHIFT - float(shift))


def _select_tracks(tracks: Iterable[_Track]) -> list[_Track]:
    best, *further = sorted(tracks, key=lambda track: -track.evidence)
    kept = [best]
    least = max(2, FURTHER_PIECE_SHARE * len(best.faces))
    for track in further:
        first, last = track.times_s[0], track.times_s[-1]
        if len(track.faces) >= least and all(
            last < other.times_s[0] or first > other.times_s[-1] for other in kept
        ):
            kept.append(track)
    return kept


def _fill_gaps(
    track: _Track, times_s: Sequence[float], *, max_gap_s: float
) -> dict[int, TrackedFace]:
    filled = {p: TrackedFace(face.box_xyxy, face.score) for p, face in track.faces.items()}
    found = list(track.faces.items())
    for (start, before), (stop, after) in pairwise(found):
        span_s = times_s[stop] - times_s[start]
        if span_s > max_gap_s:
            continue
        for position in range(start + 1, stop):
            share = (times_s[position] - times_s[start]) / span_s if span_s else 0.5
            box = blend_boxes(before.box_xyxy, after.box_xyxy, share)
            filled[position] = TrackedFace(box, min(before.score, after.score), interpolated=True)
    return filled


def _is_persistent(track: _Track, subject: dict[int, TrackedFace]) -> bool:
    together = sum(position in subject for position in track.faces)
    return together >= max(PERSISTENT_FRAMES, PERSISTENT_SHARE * len(subject))


def _side(box: Box) -> float:
    return float(max(0.0, measure_area(box)) ** 0.5)


def _centre(box: Box) -> tuple[float, float]:
    return (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
