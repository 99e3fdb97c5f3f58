"""Faces of every frame of a video, found by looking at some frames and at more where it moves.

Between two frames a fiftieth of a second apart a head hardly moves, and a detector costs more than
all else that is done with a frame. So it looks at *key frames* only, at least every `every_s`
seconds, and the frames between two of them (a *stretch*) get boxes in one of two ways:

1. Where both ends of the stretch **agree**, every face of a frame in between lies on the straight
   line, in time, between its two boxes. They agree if the usable faces of one end and those of the
   other go together one to one, each pair overlapping by `AGREE_IOU`, and if nothing in between
   looks different: a *thumbnail* of each frame (some thousand pixels picked from it) is compared
   with those of both ends. So a cut, a flash or a sway of the camera is not smoothed over, whether
   there are faces or not.
2. Where they do not, the middle frame of the stretch is looked at too, and both halves are treated
   likewise. Fast movement, a face that comes or goes, and a cut thus lead down to frames side by
   side, all of them looked at.

Frames are held in *groups* that end with a key frame, of at most `HELD_FRAMES` frames and
`HELD_BYTES` bytes, whatever the length or the size of the video. Key frames of a group go to the
detector together, and so do the middles of all its stretches.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from canemo.faces.boxes import blend_boxes, compute_iou
from canemo.faces.detect.protocol import Detector, FrameDetector
from canemo.records import Face, Frame, Image

BATCH_FRAMES = 8
HELD_FRAMES = 96
HELD_BYTES = 192 * 2**20  # eight frames of 3840 x 2160
# Chosen on 20 real clips, all frames: `python training/evaluate_key_frames.py`. From 0.5 to 0.8 the
# looks go from 29 % to 34 % of the frames and the fifth percentile of the IoU from 0.90 to 0.92.
AGREE_IOU = 0.7
# The same clips: frames of different ones differ by 0.76 at least, neighbours in a shot by 0.06 as
# a rule, and by more than 0.5 only in the few whose whole picture moves.
MAX_CHANGE = 0.5
THUMBNAIL_PX = 32
LEAST_CONTRAST = 8.0  # steps of 255; below it noise would be all there is to compare
SAME_TIME_S = 1e-9  # what times that are equal may differ by as floats


@dataclass(frozen=True)
class Sighting:
    """A frame and its faces, best score first; `between` where the detector did not look at it.

    The score of a face that lies between two others is the lower of theirs.
    """

    frame: Frame
    faces: list[Face]
    between: bool


def find_faces(
    frames: Iterable[Frame],
    detector: Detector | FrameDetector,
    *,
    every_s: float,
    is_usable: Callable[[Face], bool],
    doubt_score: float,
    max_faces: int,
) -> Iterator[Sighting]:
    """Yield every frame with its faces, in order; see the module for how.

    Parameters
    ----------
    frames
        In order of time. At most a group of them is held, with one before and one after it.
    detector
        Is handed at most `BATCH_FRAMES` frames at a time.
    every_s
        The longest time [s] from one frame the detector looks at to the next, as far as the frames
        themselves are no further apart; 0 looks at every frame.
    is_usable
        Whether a face is one that counts. Both ends of a stretch have to agree on these; of the
        others those in between keep what goes together.
    doubt_score
        Where neither end of a stretch has a usable face, another face with this score or more at
        either end keeps them from agreeing: what is all but a face may be one in between.
    max_faces
        So many faces of a frame are kept, those with the best scores.

    Notes
    -----
    A face that goes and is back, or leaves the line and is back on it, between two frames that were
    looked at is not seen, unless that changes the picture as a whole.
    """
    look = partial(_look, detector=detector, max_faces=max_faces)
    lay_between = partial(_lay_between, is_usable=is_usable, doubt_score=doubt_score)
    last: list[_Look] = []
    for group in _iter_groups(frames, every_s):
        look([each for each in group if each.is_key])
        _fill_stretches([*last, *group], look, lay_between)
        last = group[-1:]
        group.reverse()
        while group:
            done = group.pop()
            yield Sighting(done.frame, done.faces, between=done.between)


@dataclass
class _Look:
    """A frame of a group, and what was found in it or put there."""

    frame: Frame
    is_key: bool
    faces: list[Face] = field(default_factory=list)
    between: bool = True


def _iter_groups(frames: Iterable[Frame], every_s: float) -> Iterator[list[_Look]]:
    """Yield groups that end with a key frame: with the last of a batch of them, or when full."""
    group: list[_Look] = []
    keys, held_bytes, last_key_s = 0, 0, -np.inf
    for frame, next_s in _with_next_time(frames):
        size = frame.image_rgb.nbytes
        held_bytes += size
        full = len(group) + 1 == HELD_FRAMES or held_bytes + size > HELD_BYTES
        is_key = full or next_s - last_key_s > every_s + SAME_TIME_S
        group.append(_Look(frame, is_key))
        if is_key:
            keys, last_key_s = keys + 1, frame.time_s
        if full or keys == BATCH_FRAMES:
            yield group
            group, keys, held_bytes = [], 0, 0
    if group:
        yield group


def _with_next_time(frames: Iterable[Frame]) -> Iterator[tuple[Frame, float]]:
    """Yield each frame with the time of the one after it [s]; that of the last is infinite."""
    waiting: Frame | None = None
    for frame in frames:
        if waiting is not None:
            yield waiting, frame.time_s
        waiting = frame
    if waiting is not None:
        yield waiting, np.inf


def _look(looks: Sequence[_Look], *, detector: Detector | FrameDetector, max_faces: int) -> None:
    """Have the detector look at these frames."""
    for start in range(0, len(looks), BATCH_FRAMES):
        batch = looks[start : start + BATCH_FRAMES]
        found = _detect([each.frame for each in batch], detector)
        for each, faces in zip(batch, found, strict=True):
            each.faces, each.between = faces[:max_faces], False


def _detect(frames: Sequence[Frame], detector: Detector | FrameDetector) -> list[list[Face]]:
    if isinstance(detector, FrameDetector):
        return detector.detect_in(frames)
    return detector.detect([frame.image_rgb for frame in frames])


def _fill_stretches(
    looks: Sequence[_Look],
    look: Callable[[Sequence[_Look]], None],
    lay_between: Callable[[Sequence[_Look]], bool],
) -> None:
    """Give the frames between key frames their faces; the first and the last are key frames."""
    keys = [place for place, each in enumerate(looks) if each.is_key]
    stretches = [looks[start : stop + 1] for start, stop in pairwise(keys)]
    while stretches:
        unsure = [each for each in stretches if len(each) > 2 and not lay_between(each)]
        look([each[len(each) // 2] for each in unsure])
        halves = [(each[: len(each) // 2 + 1], each[len(each) // 2 :]) for each in unsure]
        stretches = [half for both in halves for half in both]


def _lay_between(
    stretch: Sequence[_Look], *, is_usable: Callable[[Face], bool], doubt_score: float
) -> bool:
    """Give the frames between the ends their faces, if the ends agree; return whether they do."""
    first, *middle, last = stretch
    (usable_first, faint_first), (usable_last, faint_last) = (
        _split_faces(end.faces, is_usable) for end in (first, last)
    )
    pairs = _pair_faces(usable_first, usable_last)
    if not len(pairs) == len(usable_first) == len(usable_last):
        return False
    if not pairs and any(face.score >= doubt_score for face in (*faint_first, *faint_last)):
        return False
    if not _look_alike(stretch):
        return False
    pairs += _pair_faces(faint_first, faint_last)
    span_s = last.frame.time_s - first.frame.time_s
    for each in middle:
        share = (each.frame.time_s - first.frame.time_s) / span_s
        faces = [_blend_faces(a, b, share) for a, b in pairs]
        each.faces = sorted(faces, key=lambda face: -face.score)
    return True


def _split_faces(
    faces: Sequence[Face], is_usable: Callable[[Face], bool]
) -> tuple[list[Face], list[Face]]:
    return (
        [face for face in faces if is_usable(face)],
        [face for face in faces if not is_usable(face)],
    )


def _pair_faces(first: Sequence[Face], last: Sequence[Face]) -> list[tuple[Face, Face]]:
    """Pair faces that overlap by `AGREE_IOU`, each at most once."""
    free = list(last)
    pairs = []
    for face in first:
        partner = max(
            free, key=lambda other: compute_iou(face.box_xyxy, other.box_xyxy), default=None
        )
        if partner is not None and compute_iou(face.box_xyxy, partner.box_xyxy) >= AGREE_IOU:
            free.remove(partner)
            pairs.append((face, partner))
    return pairs


def _blend_faces(a: Face, b: Face, share: float) -> Face:
    return Face(blend_boxes(a.box_xyxy, b.box_xyxy, share), min(a.score, b.score))


def _look_alike(stretch: Sequence[_Look]) -> bool:
    """Return whether no frame of a stretch looks much different from either of its ends."""
    first, *others = (take_thumbnail(each.frame.image_rgb) for each in stretch)
    return all(
        measure_change(end, other) <= MAX_CHANGE for other in others for end in (first, others[-1])
    )


def take_thumbnail(image_rgb: Image) -> NDArray[np.int16]:
    """Pick pixels on a grid, about `THUMBNAIL_PX` along the shorter side; the rest is not read."""
    step = max(1, min(image_rgb.shape[:2]) // THUMBNAIL_PX)
    return image_rgb[step // 2 :: step, step // 2 :: step].astype(np.int16)


def measure_change(a: NDArray[np.int16], b: NDArray[np.int16]) -> float:
    """Return how different two thumbnails are: 0 for equal ones, about 1 for unrelated ones.

    It is their mean absolute difference relative to the contrast of the one that has more, so that
    a cut between dark scenes counts as much as one between bright ones.
    """
    if a.shape != b.shape:
        return np.inf
    contrast = max(float(a.std()), float(b.std()), LEAST_CONTRAST)
    return float(np.abs(a - b).mean()) / contrast
