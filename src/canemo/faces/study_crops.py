"""The face crops of a whole study, and what became of every frame of it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import pandas as pd

from canemo.errors import NoFacesError, StudyError, VideoOpenError
from canemo.faces.crop_file import LEDGER_COLUMNS, CropFile
from canemo.formats.tables import find_table
from canemo.parallel import ProgressFn
from canemo.records import Fate, Study, Video
from canemo.species import Species
from canemo.study.places import VIDEOS

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class StudyCrops:
    """The crops of a study.

    Attributes
    ----------
    study
        Whose videos they are.
    files
        video_id -> crops and ledger; a video that cannot be opened is not in it.
    ledger
        One row per frame that was looked at, and one per video that cannot be opened.
    warnings
        One line per video that something must be known of.
    """

    study: Study
    files: Mapping[str, CropFile]
    ledger: pd.DataFrame
    warnings: tuple[str, ...]

    @property
    def used(self) -> pd.DataFrame:
        """The rows of the ledger that have a crop."""
        return self.ledger[self.ledger["fate"] == Fate.USED]


def extract_study_crops(
    study: Study,
    crop: Callable[[Video], CropFile],
    *,
    species: Species,
    progress: ProgressFn,
    on_file: Callable[[CropFile], None] | None = None,
) -> StudyCrops:
    """Crop every video of a study; one that cannot be opened is a row and a warning.

    `crop` does so with one video; `on_file` is handed the crops of each as soon as they are there.

    Raises
    ------
    StudyError
        The same footage is listed twice.
    NoFacesError
        No frame of any video, or of any video with one of the labels, has a usable face.
    """
    files: dict[str, CropFile] = {}
    ledgers, warnings = [], []
    doubts: dict[str, list[str]] = {}
    for done, video in enumerate(study.videos):
        progress(done, len(study.videos))
        try:
            found = crop(video)
        except VideoOpenError as exc:
            ledgers.append(_unopened(video))
            warnings.append(str(exc))
            continue
        _require_new_footage(found, files, study)
        files[video.video_id] = found
        if on_file is not None:
            on_file(found)
        ledgers.append(found.read_ledger())
        warnings += _warn_about(found, ledgers[-1])
        for doubt in found.describe_doubts(species).values():
            doubts.setdefault(doubt, []).append(video.video_id)
    progress(len(study.videos), len(study.videos))
    warnings += [f"video {', '.join(names)}: {doubt}" for doubt, names in doubts.items()]
    crops = StudyCrops(study, files, pd.concat(ledgers, ignore_index=True), tuple(warnings))
    _require_faces(crops)
    for line in warnings:
        logger.warning("%s", line)
    return crops


def _unopened(video: Video) -> pd.DataFrame:
    row = {"video_id": video.video_id, "subject_id": video.subject_id, "label": video.label}
    table = pd.DataFrame([{**row, "fate": Fate.DECODE_ERROR.value}])
    return table.reindex(columns=LEDGER_COLUMNS).astype({"frame_index": "Int64"})


def _require_new_footage(found: CropFile, files: Mapping[str, CropFile], study: Study) -> None:
    twin = next((file for file in files.values() if file.path == found.path), None)
    if twin is not None:
        a, b = twin.video, found.video
        raise StudyError(
            f"{find_table(study.root, VIDEOS)}: videos {a.video_id!r} (subject {a.subject_id!r}) "
            f"and {b.video_id!r} (subject {b.subject_id!r}) show the same footage, which could "
            "land in training and test; take one out (`canemo check` lists all such pairs)"
        )


def _require_faces(crops: StudyCrops) -> None:
    advice = (
        "look at the clips, lower detect.score_threshold or detect.min_side_px, or use a "
        "detector trained on frames of this study"
    )
    if crops.used.empty:
        raise NoFacesError(
            f"{crops.study.root}: no usable face in any of {len(crops.study.videos)} videos "
            f"({_count_fates(crops.ledger)}); {advice}"
        )
    for label in sorted(set(crops.study.labels) - set(crops.used["label"])):
        rows = crops.ledger[crops.ledger["label"] == label]
        raise NoFacesError(
            f"{crops.study.root}: no usable face in any video with the label {label!r} "
            f"({_count_fates(rows)}); {advice}"
        )


def _warn_about(found: CropFile, ledger: pd.DataFrame) -> list[str]:
    name, lines = f"video {found.video.video_id!r}", []
    if found.damage is not None:
        lines.append(f"{name} ({found.video.path.name}) is damaged: {found.damage}")
    if not (ledger["fate"] == Fate.USED).any():
        lines.append(f"{name} has no usable face: {_count_fates(ledger)}")
    return lines


def _count_fates(ledger: pd.DataFrame) -> str:
    counts = ledger["fate"].value_counts()
    return ", ".join(f"{number} frames {fate}" for fate, number in counts.items())
