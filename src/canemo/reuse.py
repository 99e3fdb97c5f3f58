"""Which crops carry over the embedding of an earlier one: those that hardly changed since then."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image as PilImage

from canemo.config import Config
from canemo.records import Fate, Image

REUSE_VERSION = 1
THUMBNAIL_SIDE_PX = 32
BLOCKS_PER_SIDE = 4  # a block covers as much of the face as an opening mouth
MAX_AGE_S = 0.25  # a clip's answer keeps resting on four crops a second that were looked at

Thumbnail: TypeAlias = NDArray[np.float32]


def find_threshold(config: Config) -> float | None:
    """Return up to which change an embedding is carried over, or None where none is.

    The method ``gradient`` learns from views that are made anew of every crop; what it is tested
    on is embedded anew as well.
    """
    if not config.backbone.reuse or config.probe.method == "gradient":
        return None
    return config.backbone.reuse_threshold


def without_reuse(config: Config) -> Config:
    """Return the settings with every crop embedded anew."""
    backbone = config.backbone.model_copy(update={"reuse": False})
    return config.model_copy(update={"backbone": backbone})


def compute_thumbnail(image_rgb: Image) -> Thumbnail:
    """Compute the means over 32 x 32 fields of a crop (H, W, 3) uint8, RGB: (32, 32, 3).

    The whole crop is squeezed into the square, as backbones are shown it.
    """
    size = (THUMBNAIL_SIDE_PX, THUMBNAIL_SIDE_PX)
    small = PilImage.fromarray(image_rgb).resize(size, PilImage.Resampling.BOX)
    return np.asarray(small, dtype=np.float32)


def measure_change(before: Thumbnail, after: Thumbnail) -> float:
    """Return how much a crop changed where it changed most: 0 to 255.

    Parameters
    ----------
    before, after
        (32, 32, 3), as `compute_thumbnail` gives them.

    Returns
    -------
    float
        Root mean square difference within the one of 4 x 4 blocks where it is largest.

    Notes
    -----
    A mean over the whole crop would hardly notice a mouth that opens in one corner of it; the
    means over fields of the crop drop sensor and compression noise.
    """
    side = THUMBNAIL_SIDE_PX // BLOCKS_PER_SIDE
    squares = ((after - before) ** 2).mean(axis=2)
    blocks = squares.reshape(BLOCKS_PER_SIDE, side, BLOCKS_PER_SIDE, side).mean(axis=(1, 3))
    return float(np.sqrt(blocks.max()))


def find_successors(ledger: pd.DataFrame) -> frozenset[int]:
    """Return the frames in use whose predecessor among the frames looked at is in use as well.

    Parameters
    ----------
    ledger
        One video's frames in order of time: frame_index, fate.
    """
    used = (ledger["fate"] == Fate.USED).to_numpy()
    follows = used & np.concatenate([[False], used[:-1]])[: len(used)]
    return frozenset(int(number) for number in ledger["frame_index"].to_numpy()[follows])


@dataclass(frozen=True)
class _Embedded:
    frame_index: int
    time_s: float
    thumbnail: Thumbnail


class EmbeddingChooser:
    """Says of one crop after the other, in order of time, whose embedding it has.

    Parameters
    ----------
    threshold
        The largest change since the crop last embedded, as `measure_change` gives it, with which
        that one's embedding is carried over. The comparison is never with a crop that was carried
        itself: small changes cannot add up unnoticed.
    max_age_s
        After this time [s] a crop is embedded anew however little changed.

    Notes
    -----
    One chooser sees one video.
    """

    def __init__(self, threshold: float, *, max_age_s: float = MAX_AGE_S) -> None:
        self._threshold = threshold
        self._max_age_s = max_age_s
        self._last: _Embedded | None = None

    def choose(self, image_rgb: Image, *, frame_index: int, time_s: float, follows: bool) -> int:
        """Return the frame whose embedding the crop has: its own where it is embedded itself.

        Parameters
        ----------
        image_rgb
            The crop.
        frame_index, time_s
            Its frame.
        follows
            Whether the frame looked at before it is in use, so that the face was not lost between.
        """
        thumbnail, last = compute_thumbnail(image_rgb), self._last
        if (
            last is not None
            and follows
            and time_s - last.time_s <= self._max_age_s
            and measure_change(last.thumbnail, thumbnail) <= self._threshold
        ):
            return last.frame_index
        self._last = _Embedded(frame_index, time_s, thumbnail)
        return frame_index
