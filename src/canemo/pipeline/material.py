"""What a study shows before any number: pictures of every clip, and what is doubtful of it."""

from __future__ import annotations

import base64
import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from canemo.config import Config, load_config
from canemo.errors import VideoOpenError
from canemo.faces.crop_file import CropFile
from canemo.faces.crop_images import compute_brightness, decode_jpeg, encode_jpeg, shrink
from canemo.faces.footage import STRIP_QUALITY, STRIP_SIDE_PX
from canemo.faces.frame_choice import spread_evenly
from canemo.features.extraction import Extraction
from canemo.features.store import load_pooled
from canemo.files import write_atomically
from canemo.learn.material import Material
from canemo.parallel import Progress, silent
from canemo.pipeline.check import check_study
from canemo.pipeline.extract import embed_crops
from canemo.pipeline.plan import load_configured_backbone, load_configured_detector
from canemo.records import Fate, Study, Video
from canemo.report.pages.material import PAGE_FILE, render_material
from canemo.report.words.wording import count
from canemo.study.load import load_study
from canemo.study.records.audit import DuplicatePair, Duplicates
from canemo.study.records.clips import ClipFacts, ClipSheet, Doubt, StripPicture
from canemo.trust import strangers
from canemo.trust.duplicates import find_duplicates
from canemo.video.info import probe_video

logger = logging.getLogger(__name__)

FEW_FACES = 0.25
_MOST_NAMES = 3
# Of 484 photographs of dogs, black ones among them, none is darker than 55 in face and picture, and
# none less sharp than 14; blurred over 3 % of the crop, none is sharper than 8.
DARK = 45.0
BLURRED = 12.0


def show_material(
    study_dir: Path | str, *, config: Config | None = None, progress: Progress = silent
) -> Path:
    """Write a page that shows every clip of a study with its faces and doubts; return its path.

    Crops, and the features that faces are compared by, are kept in the study's cache.

    Parameters
    ----------
    study_dir
        Folder with videos.csv; the page is `check.html` in it.
    config
        Settings; None reads the study's canemo.toml over the defaults.
    progress
        Told how far it is.

    Raises
    ------
    StudyError
        The tables cannot be used.
    """
    root = Path(study_dir)
    config = config or load_config(root)
    study = load_study(root)
    extraction = Extraction(config, load_configured_detector(config), (), root / "cache")
    files = _crop_each(study, extraction, progress)
    sheet = describe_clips(study, files, extraction, progress=progress)
    doubtful = [clip.video_id for clip in sheet.clips if clip.doubts]
    if doubtful:
        logger.warning("%s", _name_doubtful(doubtful, len(sheet.clips)))
    found = check_study(root)
    page = render_material(sheet, problems=found.problems, verdict=found.verdict)
    return write_atomically(root / PAGE_FILE, page)


def _name_doubtful(doubtful: Sequence[str], total: int) -> str:
    carry = "carries" if len(doubtful) == 1 else "carry"
    names = ", ".join(doubtful[:_MOST_NAMES]) + (", ..." if len(doubtful) > _MOST_NAMES else "")
    return f"{len(doubtful)} of {count(total, 'clip')} {carry} doubts: {names}; look at the page"


def _crop_each(study: Study, extraction: Extraction, progress: Progress) -> dict[str, CropFile]:
    files = {}
    for done, video in enumerate(study.videos):
        progress("crop", done, len(study.videos))
        try:
            files[video.video_id] = extraction.crop(video)
        except VideoOpenError:
            continue  # the sheet says why
    progress("crop", len(study.videos), len(study.videos))
    return files


def describe_clips(
    study: Study,
    files: Mapping[str, CropFile],
    extraction: Extraction,
    *,
    copies: Iterable[DuplicatePair] | None = None,
    progress: Progress = silent,
) -> ClipSheet:
    """Return every clip of a study with its pictures and doubts.

    Parameters
    ----------
    study
        The study.
    files
        video_id -> crops, of the videos that could be opened.
    extraction
        The settings, and where features are kept; its backbones are not used.
    copies
        Clips that were found to be nearly alike; None looks for them.
    progress
        Told how far it is.
    """
    likeness = _compare_faces(study, files, extraction, copies, progress)
    clips = tuple(
        _describe_clip(video, files.get(video.video_id), extraction, likeness.get(video.video_id))
        for video in study.videos
    )
    species = extraction.config.species.name
    return ClipSheet(study=study.root.resolve().name, species=species, clips=clips)


def _compare_faces(
    study: Study,
    files: Mapping[str, CropFile],
    extraction: Extraction,
    copies: Iterable[DuplicatePair] | None,
    progress: Progress,
) -> dict[str, list[Doubt]]:
    """Return what a clip's features make doubtful, by video_id."""
    config = extraction.config
    own = {"name": strangers.BACKBONE, "weights": None}
    config = config.model_copy(update={"backbone": config.backbone.model_copy(update=own)})
    backbone = load_configured_backbone(config)
    embedding = Extraction(config, extraction.detector, (backbone,), extraction.cache_dir)
    (embedded,) = embed_crops(
        list(files.values()),
        embedding,
        progress=lambda _, done, total: progress("look", done, total),
    )
    if not any(rows.read_ledger()["fate"].eq(Fate.USED).any() for rows in files.values()):
        return {}
    origin, x = load_pooled(embedded.sources, strangers.POOLING)
    found: dict[str, list[Doubt]] = defaultdict(list)
    for video_id, text in _list_strangers(x, origin):
        found[video_id].append(Doubt(name="stranger", text=text))
    if copies is None:
        copies = Duplicates.model_validate(find_duplicates(Material(x, origin, study.labels))).pairs
    for video_id, text in _list_copies(copies):
        found[video_id].append(Doubt(name="near_copy", text=text))
    return found


def _list_strangers(x: NDArray[np.float32], origin: pd.DataFrame) -> list[tuple[str, str]]:
    clips = origin.groupby("video_id", sort=False).indices.values()
    rows = np.concatenate([some[spread_evenly(len(some), strangers.MOST_CROPS)] for some in clips])
    owner = dict(zip(origin["video_id"], origin["subject_id"], strict=True))
    likeness = strangers.compare_subjects(x[rows], origin.iloc[rows].reset_index(drop=True))
    return [
        (
            video_id,
            f"the face looks more like that of {found.nearest} than like the other clips of "
            f"{owner[video_id]}; check whom it shows",
        )
        for video_id, found in likeness.items()
        if found.is_strange
    ]


def _list_copies(copies: Iterable[DuplicatePair]) -> list[tuple[str, str]]:
    found = []
    for pair in copies:
        first = (pair.first, f"{pair.first} ({pair.first_subject}, “{pair.first_label}”)")
        second = (pair.second, f"{pair.second} ({pair.second_subject}, “{pair.second_label}”)")
        for (one, _), (_, other) in ((first, second), (second, first)):
            found.append((one, f"it looks like the same film as {other}; check both"))
    return found


def _describe_clip(
    video: Video, crops: CropFile | None, extraction: Extraction, further: list[Doubt] | None
) -> ClipFacts:
    ledger = pd.DataFrame({"fate": []}) if crops is None else crops.read_ledger()
    used = ledger[ledger["fate"] == Fate.USED]
    seconds, reason = _measure_length(video)
    doubts = (
        {"unreadable": reason}
        if crops is None
        else {**_doubt_pictures(crops, ledger), **crops.describe_doubts(extraction.config.species)}
    )
    return ClipFacts(
        video_id=video.video_id,
        subject_id=video.subject_id,
        label=video.label,
        seconds=seconds,
        part_s=_find_part(video, seconds),
        frames=len(ledger),
        used=len(used),
        face=None if crops is None or used.empty else _show_face(crops, used),
        strip=() if crops is None else _read_strip(crops),
        doubts=(*(Doubt(name=name, text=text) for name, text in doubts.items()), *(further or ())),
    )


def _measure_length(video: Video) -> tuple[float | None, str]:
    """Return how long the clip is [s], and why it cannot be opened."""
    try:
        end_s = probe_video(video.path).duration_s if video.end_s is None else video.end_s
    except VideoOpenError as exc:
        return None, str(exc).removeprefix(f"{video.path}: ")
    return None if end_s is None else end_s - (video.start_s or 0.0), ""


def _find_part(video: Video, seconds: float | None) -> tuple[float, float | None] | None:
    """Return the part of a film that its row keeps [s], None where that is all of it."""
    if video.start_s is None and video.end_s is None:
        return None
    start_s = video.start_s or 0.0
    return start_s, None if seconds is None else start_s + seconds


def _doubt_pictures(crops: CropFile, ledger: pd.DataFrame) -> dict[str, str]:
    """Return what is doubtful of a clip by its pictures alone."""
    used = ledger[ledger["fate"] == Fate.USED]
    doubts = {}
    if crops.damage is not None:
        doubts["damaged"] = f"the file is damaged: {crops.damage}"
    if len(ledger) == 1:
        doubts["one_picture"] = (
            "it gave a single picture: a still picture with the name of a video, or a film that "
            "does not say when its pictures are to be shown"
        )
    if used.empty:
        doubts["no_face"] = "no face was found that could be used"
    elif len(used) < FEW_FACES * len(ledger):
        doubts["few_faces"] = "most of its pictures show no face that could be used"
    if _is_dark(crops, used):
        doubts["dark"] = "it is dark, and faces are hard to see"
    elif len(used) and used["sharpness"].median() < BLURRED:  # in the dark all edges are faint
        doubts["blurred"] = "the face is blurred"
    return doubts


def _is_dark(crops: CropFile, used: pd.DataFrame) -> bool:
    whole = [compute_brightness(decode_jpeg(jpeg)) for _, _, jpeg in crops.read_strip()]
    of_faces = used["brightness"].median() if len(used) else 0.0
    return bool(whole) and max(float(np.median(whole)), float(of_faces)) < DARK


def _read_strip(crops: CropFile) -> tuple[StripPicture, ...]:
    return tuple(
        StripPicture(time_s=time_s, used=fate == Fate.USED, jpeg=_encode(jpeg))
        for time_s, fate, jpeg in crops.read_strip()
    )


def _show_face(crops: CropFile, used: pd.DataFrame) -> str:
    middle = crops.read_crop(int(used["frame_index"].iloc[len(used) // 2]))
    small = shrink(middle, max_short_side_px=STRIP_SIDE_PX)
    return _encode(encode_jpeg(small, quality=STRIP_QUALITY))


def _encode(jpeg: bytes) -> str:
    return base64.b64encode(jpeg).decode("ascii")
