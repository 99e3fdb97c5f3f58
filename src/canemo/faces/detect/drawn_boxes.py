"""Faces that somebody drew on frames of a study, in place of a detector that finds them."""

from __future__ import annotations

import logging
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from canemo.errors import AnnotationError, ConfigError
from canemo.faces.annotations.subjects import read_origin
from canemo.faces.boxes import blend_boxes, compute_iou
from canemo.files import hash_values
from canemo.formats.boxes.coco import AnnotatedImage, load_coco
from canemo.records import Box, Face, Frame, Image, Video
from canemo.video.info import probe_video

logger = logging.getLogger(__name__)

DRAWN_BOXES_VERSION = 1
_SCORE = 1.0


class DrawnBoxes:
    """Knows the faces on frames of a study's videos; a `canemo.faces.detect.protocol.Detector`.

    It looks at no picture: see `in_video`. With other videos than those that were drawn on, it
    knows no face.

    Parameters
    ----------
    drawn
        video_id -> number of a frame -> what was drawn on it.
    source
        The file they are from.
    """

    name = "drawn_boxes"
    engine = "torch"
    score_threshold = 0.5

    def __init__(self, drawn: Mapping[str, Mapping[int, AnnotatedImage]], source: Path) -> None:
        self._drawn, self._source = drawn, source
        self.fingerprint = hash_values(
            version=DRAWN_BOXES_VERSION,
            drawn=[
                (video_id, number, image.width, image.height, image.boxes_xyxy)
                for video_id, images in sorted(drawn.items())
                for number, image in sorted(images.items())
            ],
        )

    def detect(self, images_rgb: Sequence[Image]) -> list[list[Face]]:
        """Raise ConfigError: of a picture alone nothing is known."""
        raise ConfigError(
            f"{self._source}: boxes drawn on frames of a study find no faces on {len(images_rgb)} "
            "other pictures; give a detector"
        )

    def in_video(self, video: Video, *, max_gap_s: float) -> DrawnInVideo:
        """Return what knows the faces of one video.

        Between two frames that were drawn on, at most `max_gap_s` apart, boxes move on a straight
        line; further apart, and before the first and after the last, there is no face.
        """
        drawn = self._drawn.get(video.video_id, {})
        if not drawn:
            logger.warning("%s: no box is drawn on a frame of %s", self._source, video.video_id)
            return DrawnInVideo({}, 0.0)
        return DrawnInVideo(drawn, max_gap_s * float(probe_video(video.path).fps))


@dataclass(frozen=True)
class DrawnInVideo:
    """The faces drawn on frames of one video, by number; frames up to `max_gap` apart are joined.

    It is a `canemo.faces.detect.protocol.FrameDetector`.
    """

    drawn: Mapping[int, AnnotatedImage]
    max_gap: float

    def detect_in(self, frames: Sequence[Frame]) -> list[list[Face]]:
        """Return the faces of each frame."""
        numbers = sorted(self.drawn)
        return [self._find(frame, numbers) for frame in frames]

    def _find(self, frame: Frame, numbers: Sequence[int]) -> list[Face]:
        number, place = frame.frame_index, bisect_left(numbers, frame.frame_index)
        if number in self.drawn:
            return [Face(box, _SCORE) for box in self._boxes(number, frame)]
        if place in (0, len(numbers)) or numbers[place] - numbers[place - 1] > self.max_gap:
            return []
        before, after = numbers[place - 1], numbers[place]
        share = (number - before) / (after - before)
        pairs = _pair_boxes(self._boxes(before, frame), self._boxes(after, frame))
        return [Face(blend_boxes(*pair, share), _SCORE) for pair in pairs]

    def _boxes(self, number: int, frame: Frame) -> tuple[Box, ...]:
        image = self.drawn[number]
        height, width = frame.image_rgb.shape[:2]
        if (width, height) != (image.width, image.height):
            raise AnnotationError(
                f"{image.path}: was drawn on with {image.width} x {image.height} pixels, but the "
                f"frames of its video have {width} x {height}; draw on frames as they are displayed"
            )
        return image.boxes_xyxy


def load_drawn_boxes(path: Path) -> DrawnBoxes:
    """Load the boxes of a study's ``faces.json``.

    Raises
    ------
    AnnotationError
        It cannot be used, or says of no image which frame of which video it is.
    """
    drawn: dict[str, dict[int, AnnotatedImage]] = defaultdict(dict)
    images = load_coco(path)
    for image in images:
        origin = read_origin(image)
        if origin is not None:
            video_id, number = origin
            drawn[video_id][number] = image
    known = sum(map(len, drawn.values()))
    if not known:
        raise AnnotationError(
            f"{path}: says of none of its {len(images)} images which frame of which video it is; "
            "give each a 'video_id' and a 'frame_index', or name the files VIDEOID__000123.jpg and "
            "bring them in with `canemo detector import`"
        )
    if known < len(images):
        logger.warning(
            "%s: %d images are left out, for they are of no known frame", path, len(images) - known
        )
    return DrawnBoxes(drawn, path)


def _pair_boxes(first: Sequence[Box], last: Sequence[Box]) -> list[tuple[Box, Box]]:
    """Pair boxes of two frames that are of the same face: the only ones, or those that overlap."""
    if len(first) == len(last) == 1:
        return [(first[0], last[0])]
    pairs, free = [], list(last)
    for box in first:
        partner = max(free, key=lambda other: compute_iou(box, other), default=None)
        if partner is not None and compute_iou(box, partner) > 0:
            free.remove(partner)
            pairs.append((box, partner))
    return pairs
