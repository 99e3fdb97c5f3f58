"""Example crops of each label, for the figures: spread over subjects, chosen without looking."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from canemo.faces.crop_file import CropFile
from canemo.records import Image


@dataclass(frozen=True)
class ExampleCrop:
    """One crop (H, W, 3) uint8, RGB, and whose it is."""

    image_rgb: Image
    caption: str


def choose_examples(
    used: pd.DataFrame, files: Mapping[str, CropFile], *, per_label: int
) -> dict[str, list[ExampleCrop]]:
    """Return, for each label, the middle crop of up to `per_label` videos, by subject in turn.

    `used` holds the rows of the ledger that have a crop.
    """
    return {
        str(label): [_read(files[row.video_id], row) for row in _middle_rows(rows, per_label)]
        for label, rows in used.groupby("label", sort=True)
    }


def captioned(
    examples: Mapping[str, Sequence[ExampleCrop]],
) -> dict[str, list[tuple[str, Image]]]:
    """Return captions and pictures by label, as the figures take them."""
    return {label: [(e.caption, e.image_rgb) for e in some] for label, some in examples.items()}


def _middle_rows(rows: pd.DataFrame, number: int) -> list[pd.Series]:
    videos = [clip.iloc[len(clip) // 2] for _, clip in rows.groupby("video_id", sort=True)]
    rank = pd.Series([row.subject_id for row in videos]).groupby([row.subject_id for row in videos])
    order = np.lexsort((np.arange(len(videos)), rank.cumcount().to_numpy()))
    return [videos[i] for i in order[:number]]


def _read(file: CropFile, row: pd.Series) -> ExampleCrop:
    return ExampleCrop(file.read_crop(int(row.frame_index)), str(row.subject_id))
