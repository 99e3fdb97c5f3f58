"""Landmarks that come with a study: points of the face by video and frame, from other programs.

Read are tables in canemo's own form and the CSV files that DeepLabCut and SLEAP export. A file
counts by its content, not by its ending; coordinates are pixels of the displayed frame.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from canemo.errors import StudyError
from canemo.formats.landmarks import (
    INDIVIDUAL,
    FileRead,
    list_files,
    name_some,
    normalise,
    read_file,
)
from canemo.formats.tables import list_tables
from canemo.records import Study, Video

LANDMARKS = "landmarks"
COLUMNS = ("video_id", "frame_index", "point", "x", "y", "score")

_MOST_UNSURE = 0.5  # share of unsure points from which on a reader is told


@dataclass(frozen=True)
class LandmarkTable:
    """Points by video and frame.

    Attributes
    ----------
    table
        One row per known point: video_id, frame_index (from 0), point (its name), x, y [pixels of
        the displayed frame], score (0 to 1, or NaN where the file has none). Sorted by the first
        three.
    source
        The form it came in: "landmarks.csv", "DeepLabCut" or "SLEAP"; several are joined by a
        comma.
    warnings
        What a reader of the results must know.
    """

    table: pd.DataFrame
    source: str
    warnings: tuple[str, ...] = ()

    def points_of(self, video_id: str, frame_index: int) -> dict[str, tuple[float, float]]:
        """Return name -> (x, y) [pixels] of the points known in a frame; empty where none is."""
        rows = self._rows_of_frame.get((video_id, frame_index), slice(0))
        x, y = self._xy[rows].T
        return dict(zip(self._names[rows], zip(x.tolist(), y.tolist(), strict=True), strict=True))

    @cached_property
    def _xy(self) -> NDArray[np.float64]:
        return self.table[["x", "y"]].to_numpy(dtype=float)

    @cached_property
    def _names(self) -> NDArray[np.object_]:
        return self.table["point"].to_numpy(dtype=object)

    @cached_property
    def _rows_of_frame(self) -> dict[tuple[str, int], slice]:
        keys = self.table[["video_id", "frame_index"]]
        starts = np.flatnonzero(keys.ne(keys.shift()).any(axis=1))
        ends = [*starts[1:], len(keys)]
        names, frames = keys["video_id"].to_numpy(), keys["frame_index"].to_numpy()
        return {
            (str(names[start]), int(frames[start])): slice(int(start), int(end))
            for start, end in zip(starts, ends, strict=True)
        }


def load_landmarks(
    study: Study,
    path: Path | None = None,
    *,
    least_score: float = 0.5,
    individual: str | None = None,
) -> LandmarkTable | None:
    """Load the landmarks of a study's videos.

    Parameters
    ----------
    study
        Its videos say which landmarks count.
    path
        A file or a folder of files. None takes `landmarks.csv`, a workbook of that name or
        `landmarks/` of the study's folder.
    least_score
        A point whose score is lower is left out. A point without a score counts.
    individual
        Which of several tracked animals is the subject, by its name in the files (DeepLabCut's
        row `individuals`, SLEAP's column `track`, a column `individual` in canemo's own form).

    Returns
    -------
    LandmarkTable or None
        None where `path` is None and the study's folder holds no landmarks.

    Raises
    ------
    StudyError
        A file is not in a known form, has cells that are no numbers, names a point twice in one
        frame or several animals in one frame; nothing belongs to a video of the study, or it
        cannot be told to which.

    Notes
    -----
    A file of DeepLabCut or SLEAP belongs to the video whose `video_id`, or file name without
    ending, is in the file's name as a word of its own; of several the longest. Where several
    rows of `videos.csv` are parts of one video file, it belongs to all of them. Landmarks of other
    videos are named in a warning; frames that are never looked at do no harm.

    References
    ----------
    Mathis et al. (2018), DeepLabCut, Nat Neurosci 21, 1281, doi:10.1038/s41593-018-0209-y.
    Pereira et al. (2022), SLEAP, Nat Methods 19, 486, doi:10.1038/s41592-022-01426-1.
    """
    path = _find_landmarks(study.root) if path is None else path
    if path is None:
        return None
    files, warnings = list_files(path)
    read = [read_file(file) for file in files]
    table, strangers = _attribute(read, study)
    if strangers:
        warnings.append(_describe_strangers(path, strangers))
    table, more = _clean(table, least_score=least_score, individual=individual)
    warnings += more + _find_bare_videos(table, study)
    source = ", ".join(dict.fromkeys(each.form for each in read))
    return LandmarkTable(table[list(COLUMNS)].reset_index(drop=True), source, tuple(warnings))


def _attribute(read: Sequence[FileRead], study: Study) -> tuple[pd.DataFrame, list[str]]:
    """Return the rows of the study's videos, and the names of others that were found."""
    known = {normalise(video.video_id): video.video_id for video in study.videos}
    kept, strangers = [], []
    for each in read:
        if "video_id" in each.rows:
            own = each.rows["video_id"].map(known)
            strangers += sorted(set(each.rows["video_id"][own.isna()]))
            kept.append(each.rows.assign(video_id=own)[own.notna()])
            continue
        videos = _match_videos(each.path, study.videos)
        strangers += [] if videos else [each.path.name]
        kept += [each.rows.assign(video_id=video.video_id) for video in videos]
    table = pd.concat(kept, ignore_index=True) if kept else pd.DataFrame()
    if table.empty:
        wanted = name_some([video.video_id for video in study.videos])
        raise StudyError(
            f"{read[0].path if len(read) == 1 else read[0].path.parent}: no landmarks belong to a "
            f"video of {study.root}; found {name_some(strangers) or 'no rows'}; wanted the names "
            f"of its videos: {wanted}"
        )
    return table, strangers


def _match_videos(path: Path, videos: Sequence[Video]) -> list[Video]:
    """Return the videos that a file's name speaks of: one, none, or all parts of one video file."""
    name = normalise(path.name)
    matches: dict[str, list[Video]] = defaultdict(list)
    for video in videos:
        for own in {normalise(video.video_id), normalise(video.path.stem)}:
            if _has_word(name, own):
                matches[own].append(video)
    if not matches:
        return []
    longest = max(map(len, matches))
    found = [video for own, those in matches.items() if len(own) == longest for video in those]
    if len({video.path for video in found}) > 1:
        raise StudyError(
            f"{path}: the name fits {found[0].video_id!r} ({found[0].path}) as well as "
            f"{found[1].video_id!r} ({found[1].path}); begin the file's name with the video_id"
        )
    return list({video.video_id: video for video in found}.values())


def _has_word(text: str, word: str) -> bool:
    """Whether a name is in a file's name and neither goes on in it nor begins before.

    DeepLabCut writes its own name right behind the video's.
    """
    return bool(word and re.search(rf"(?<![^\W_]){re.escape(word)}(?=$|[\W_]|DLC|DeepCut)", text))


def _describe_strangers(path: Path, strangers: Sequence[str]) -> str:
    return (
        f"{path}: landmarks of what is no video of the study were left out: {name_some(strangers)}"
    )


def _find_bare_videos(table: pd.DataFrame, study: Study) -> list[str]:
    there = set(table["video_id"])
    bare = [video.video_id for video in study.videos if video.video_id not in there]
    told = f"{len(bare)} of {len(study.videos)} videos have no landmarks: {name_some(bare)}"
    return [told] if bare else []


def _clean(
    table: pd.DataFrame, *, least_score: float, individual: str | None
) -> tuple[pd.DataFrame, list[str]]:
    """Return the sure points of one animal, sorted."""
    if individual is not None:
        table = _choose_individual(table, individual)
    table = table[table["x"].notna()]
    unsure = table["score"] < least_score  # false where there is no score
    share = float(unsure.mean()) if len(table) else 0.0
    told = (
        f"{share:.0%} of the landmarks have a score under {least_score:g} and were left out"
        if share > _MOST_UNSURE
        else None
    )
    table = table[~unsure].sort_values(["video_id", "frame_index", "point"], kind="stable")
    _check_one_animal(table)
    _check_once(table)
    return table, [told] if told else []


def _choose_individual(table: pd.DataFrame, individual: str) -> pd.DataFrame:
    names = sorted(set(table[INDIVIDUAL]) - {""})
    if names and individual not in names:
        raise StudyError(
            f"{table['file'].iloc[0]}: no individual is called {individual!r}; there are "
            f"{name_some(names)}"
        )
    # A file that names no one has one animal: nothing to choose.
    return table[table[INDIVIDUAL].isin([individual, ""])] if names else table


def _check_one_animal(table: pd.DataFrame) -> None:
    frames = table.groupby(["video_id", "frame_index"], sort=False)[INDIVIDUAL]
    several = table[frames.transform("nunique") > 1]
    if several.empty:
        return
    first = several.iloc[0]
    here = several[
        (several["video_id"] == first["video_id"])
        & (several["frame_index"] == first["frame_index"])
    ]
    raise StudyError(
        f"{first['file']}: frame {first['frame_index']} of {first['video_id']!r} has several "
        f"individuals, {name_some(sorted(set(here[INDIVIDUAL])))}; say which one is the subject "
        "with --individual (in Python `individual`)"
    )


def _check_once(table: pd.DataFrame) -> None:
    again = table.duplicated(["video_id", "frame_index", "point"], keep=False)
    if not again.any():
        return
    first, second = table[again].iloc[0], table[again].iloc[1]
    raise StudyError(
        f"{second['file']}, row {second['row']}: {second['point']!r} in frame "
        f"{second['frame_index']} of {second['video_id']!r} is already in {first['file']}, row "
        f"{first['row']}; keep one of them"
    )


def _find_landmarks(root: Path) -> Path | None:
    folder, tables = root / LANDMARKS, list_tables(root, LANDMARKS)
    there = tables + [folder] * folder.exists()
    if len(there) > 1:
        names = " and ".join(path.name + "/" * (path == folder) for path in there)
        raise StudyError(f"{root} holds {names}; keep one of them, or say which one counts")
    return there[0] if there else None
