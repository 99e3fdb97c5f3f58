"""Landmarks that come with a study: points of the face by video and frame, from other programs.

Read are tables in canemo's own form and the CSV files that DeepLabCut and SLEAP export. A file
counts by its content, not by its ending; coordinates are pixels of the displayed frame.
"""

from __future__ import annotations

import csv
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from canemo.errors import StudyError
from canemo.records import Study, Video

__all__ = ["LandmarkTable", "load_landmarks"]

LANDMARKS_CSV, LANDMARKS_FOLDER = "landmarks.csv", "landmarks"
CANEMO, DEEPLABCUT, SLEAP = "landmarks.csv", "DeepLabCut", "SLEAP"
COLUMNS = ("video_id", "frame_index", "point", "x", "y", "score")

_BINARY = {
    ".h5": "in DeepLabCut set `save_as_csv=True` or call `deeplabcut.analyze_videos_converth5_to_"
    "csv`; in SLEAP choose File > Export Analysis CSV",
    ".slp": "in SLEAP choose File > Export Analysis CSV",
}
_FORMS = (
    "columns video_id, frame_index, point, x, y and perhaps score; or video_id, frame_index and "
    "NAME_x, NAME_y for each point; or a CSV file as DeepLabCut or SLEAP exports it"
)
_INDIVIDUAL = "individual"
_NUMBER = "a number, or an empty cell where there is none"
_FRAME = "the number of a frame of the video, from 0"
_MOST_SHOWN = 5
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
        A file or a folder of files. None takes `landmarks.csv` or `landmarks/` of the study's
        folder.
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
    files, warnings = _list_files(path)
    read = [_read_file(file) for file in files]
    table, strangers = _attribute(read, study)
    if strangers:
        warnings.append(_describe_strangers(path, strangers))
    table, more = _clean(table, least_score=least_score, individual=individual)
    warnings += more + _find_bare_videos(table, study)
    source = ", ".join(dict.fromkeys(each.form for each in read))
    return LandmarkTable(table[list(COLUMNS)].reset_index(drop=True), source, tuple(warnings))


# -- files ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Read:
    """One file: `rows` has the columns of a table and file, row, individual; video_id if stated."""

    path: Path
    form: str
    rows: pd.DataFrame


@dataclass(frozen=True)
class _Sheet:
    """The cells of a file as text; row r of `cells` is line r + 1 but for breaks inside cells."""

    path: Path
    cells: pd.DataFrame
    decimal_comma: bool

    def header(self, row: int = 0) -> list[str]:
        return [str(cell).strip() for cell in self.cells.iloc[row]]


def _find_landmarks(root: Path) -> Path | None:
    there = [path for path in (root / LANDMARKS_CSV, root / LANDMARKS_FOLDER) if path.exists()]
    if len(there) > 1:
        raise StudyError(
            f"{root} holds both {LANDMARKS_CSV} and {LANDMARKS_FOLDER}/; keep one of them, or say "
            "which one counts"
        )
    return there[0] if there else None


def _list_files(path: Path) -> tuple[list[Path], list[str]]:
    """Return the CSV files to read and what is left out."""
    if path.is_file():
        if path.suffix.lower() in _BINARY:
            raise StudyError(_refuse_binary(path))
        return [path], []
    if not path.is_dir():
        raise StudyError(f"{path}: there is no such file or folder; give the path of landmarks")
    inside = sorted(
        each
        for each in path.rglob("*")
        if each.is_file() and not any(part.startswith(".") for part in each.relative_to(path).parts)
    )
    files = [each for each in inside if each.suffix.lower() in (".csv", ".tsv", ".txt")]
    binary = [each for each in inside if each.suffix.lower() in _BINARY]
    if not files:
        if binary:
            raise StudyError(_refuse_binary(binary[0]))
        raise StudyError(f"{path}: holds no CSV file; put there {_FORMS}")
    stems = {file.with_suffix("") for file in files}
    alone = [each.name for each in binary if each.with_suffix("") not in stems]
    left = f"{path}: left out, for only CSV files are read: {_some(alone)}"
    return files, [left] if alone else []


def _refuse_binary(path: Path) -> str:
    how = _BINARY[path.suffix.lower()]
    return f"{path}: {path.suffix} files are not read; export CSV: {how}"


def _read_file(path: Path) -> _Read:
    sheet = _read_sheet(path)
    header = sheet.header()
    if header[0] == "scorer":
        return _Read(path, DEEPLABCUT, _read_deeplabcut(sheet))
    if "frame_idx" in header:
        return _Read(path, SLEAP, _read_sleap(sheet))
    if "point" in header or any(name.endswith("_x") for name in header):
        return _Read(path, CANEMO, _read_own(sheet))
    raise StudyError(f"{path}: the first row is {', '.join(header[:8])}; wanted are {_FORMS}")


def _read_sheet(path: Path) -> _Sheet:
    try:
        text = path.read_bytes()
        first = text[:65536].decode("utf-8-sig", errors="ignore").splitlines()
    except OSError as exc:
        raise StudyError(f"{path}: cannot be read ({exc.strerror}); give a CSV file") from exc
    line = next((line for line in first if line.strip()), "")
    separator = max(",;\t", key=lambda each: len(next(csv.reader([line], delimiter=each), [])))
    try:
        cells = pd.read_csv(
            path, sep=separator, header=None, dtype=str, keep_default_na=False,
            skip_blank_lines=False, encoding="utf-8-sig", low_memory=False,
        )  # fmt: skip
    except UnicodeDecodeError as exc:
        raise StudyError(f"{path}: is not UTF-8 text; save it as 'CSV UTF-8'") from exc
    except (pd.errors.ParserError, pd.errors.EmptyDataError) as exc:
        reason = str(exc).strip().splitlines()[-1]
        raise StudyError(f"{path}: is not a CSV table ({reason}); wanted are {_FORMS}") from exc
    cells = cells.fillna("")
    return _Sheet(path, cells[(cells != "").any(axis=1)], decimal_comma=separator != ",")


# -- forms ----------------------------------------------------------------------------------------


def _read_own(sheet: _Sheet) -> pd.DataFrame:
    body = _take_body(sheet)
    _require(sheet, body, ("video_id", "frame_index"))
    origin = pd.DataFrame(
        {
            "video_id": [_normal(text) for text in body["video_id"]],
            "frame_index": _to_frames(sheet, body["frame_index"]),
            _INDIVIDUAL: body.get(_INDIVIDUAL, ""),
        },
        index=body.index,
    )
    if "point" not in body:
        names = [name.removesuffix("_x") for name in body.columns if name.endswith("_x")]
        points = {name: (f"{name}_x", f"{name}_y", f"{name}_score") for name in names}
        return _stack(sheet, body, origin, points)
    _require(sheet, body, ("x", "y"))
    if body["point"].eq("").any():
        row = int(body.index[body["point"].eq("")][0]) + 1
        raise StudyError(f"{sheet.path}, row {row}, column point: the cell is empty; a name")
    rows = _stack(sheet, body, origin, {"": ("x", "y", "score")})
    return rows.assign(point=[_normal(text) for text in body["point"]])


def _read_sleap(sheet: _Sheet) -> pd.DataFrame:
    body = _take_body(sheet)
    origin = pd.DataFrame(
        {
            "frame_index": _to_frames(sheet, body["frame_idx"]),
            _INDIVIDUAL: body.get("track", ""),
        },
        index=body.index,
    )
    names = [name.removesuffix(".x") for name in body.columns if name.endswith(".x")]
    if not names:
        raise StudyError(f"{sheet.path}: no column ends in .x; export SLEAP's analysis CSV")
    points = {name: (f"{name}.x", f"{name}.y", f"{name}.score") for name in names}
    return _stack(sheet, body, origin, points)


def _read_deeplabcut(sheet: _Sheet) -> pd.DataFrame:
    """Read scorer, perhaps individuals, bodyparts and coords above the frames."""
    heads = {head[0]: head for head in map(sheet.header, range(min(4, len(sheet.cells))))}
    if "bodyparts" not in heads or "coords" not in heads:
        raise StudyError(
            f"{sheet.path}: below `scorer` stand the rows {', '.join(list(heads)[1:]) or 'nothing'}"
            "; wanted are bodyparts and coords, as DeepLabCut writes them"
        )
    count = list(heads).index("coords") + 1
    parts, coords = heads["bodyparts"], heads["coords"]
    owners = heads.get("individuals", [""] * len(parts))
    body = sheet.cells.iloc[count:]
    body = body.set_axis(range(body.shape[1]), axis=1)
    frames = _to_frames(sheet, body[0].rename("1"))
    stacked = []
    for owner in dict.fromkeys(owners[1:]):
        own = [k for k in range(1, len(parts)) if owners[k] == owner]
        named = body[own].set_axis([f"{parts[k]} {coords[k]}" for k in own], axis=1)
        points = {
            part: (f"{part} x", f"{part} y", f"{part} likelihood")
            for part in dict.fromkeys(parts[k] for k in own)
        }
        origin = pd.DataFrame({"frame_index": frames, _INDIVIDUAL: owner}, index=body.index)
        stacked.append(_stack(sheet, named, origin, points))
    if not stacked:
        raise StudyError(f"{sheet.path}: has no body parts; wanted is DeepLabCut's CSV export")
    return pd.concat(stacked, ignore_index=True)


def _take_body(sheet: _Sheet) -> pd.DataFrame:
    """Return the cells below the one header row, stripped."""
    header = sheet.header()
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        raise StudyError(f"{sheet.path}: the column {twice[0]!r} is there twice; keep one")
    body = sheet.cells.iloc[1:].set_axis(header, axis=1)
    return pd.DataFrame({name: body[name].str.strip() for name in header})


def _require(sheet: _Sheet, body: pd.DataFrame, columns: Iterable[str]) -> None:
    missing = [name for name in columns if name not in body]
    if missing:
        there = ", ".join(list(body.columns)[:8])
        raise StudyError(
            f"{sheet.path}: there is no column {missing[0]!r}, only {there}; wanted are {_FORMS}"
        )


def _stack(
    sheet: _Sheet,
    body: pd.DataFrame,
    origin: pd.DataFrame,
    points: dict[str, tuple[str, str, str]],
) -> pd.DataFrame:
    """Return one row per point and row of `body`; `points` names each point's three columns."""
    stacked = []
    for name, (x_column, y_column, score_column) in points.items():
        _require(sheet, body, (x_column, y_column))
        x, y = _to_numbers(sheet, body[x_column]), _to_numbers(sheet, body[y_column])
        one = x.isna() != y.isna()
        if one.any():
            row = int(one[one].index[0]) + 1
            raise StudyError(
                f"{sheet.path}, row {row}: {x_column!r} and {y_column!r} are not both filled; "
                "give both, or none where the point is not seen"
            )
        score = _to_numbers(sheet, body[score_column]) if score_column in body else np.nan
        stacked.append(origin.assign(point=_normal(name), x=x, y=y, score=score))
    rows = pd.concat(stacked)
    return rows.assign(file=str(sheet.path), row=rows.index + 1).reset_index(drop=True)


def _to_numbers(sheet: _Sheet, column: pd.Series[str], wanted: str = _NUMBER) -> pd.Series[float]:
    text = column.str.strip()
    text = text.str.replace(",", ".") if sheet.decimal_comma else text
    known = ~text.str.casefold().isin(["", "na", "n/a", "nan"])
    numbers = pd.to_numeric(text.where(known), errors="coerce").astype(float)
    bad = known & ~np.isfinite(numbers)
    if bad.any():
        _refuse_cell(sheet, column, bad, wanted)
    return numbers


def _to_frames(sheet: _Sheet, column: pd.Series[str]) -> pd.Series[int]:
    numbers = _to_numbers(sheet, column, _FRAME)
    bad = numbers.isna() | (numbers < 0) | (numbers != numbers.round())
    if bad.any():
        _refuse_cell(sheet, column, bad, _FRAME)
    return numbers.astype(int)


def _refuse_cell(sheet: _Sheet, column: pd.Series[str], bad: pd.Series[bool], wanted: str) -> None:
    line = bad[bad].index[0]
    raise StudyError(
        f"{sheet.path}, row {int(line) + 1}, column {column.name}: {column[line]!r} is not what is "
        f"wanted: {wanted}"
    )


# -- whose they are -------------------------------------------------------------------------------


def _attribute(read: Sequence[_Read], study: Study) -> tuple[pd.DataFrame, list[str]]:
    """Return the rows of the study's videos, and the names of others that were found."""
    known = {_normal(video.video_id): video.video_id for video in study.videos}
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
        wanted = _some([video.video_id for video in study.videos])
        raise StudyError(
            f"{read[0].path if len(read) == 1 else read[0].path.parent}: no landmarks belong to a "
            f"video of {study.root}; found {_some(strangers) or 'no rows'}; wanted the names of "
            f"its videos: {wanted}"
        )
    return table, strangers


def _match_videos(path: Path, videos: Sequence[Video]) -> list[Video]:
    """Return the videos that a file's name speaks of: one, none, or all parts of one video file."""
    name = _normal(path.name)
    matches: dict[str, list[Video]] = defaultdict(list)
    for video in videos:
        for own in {_normal(video.video_id), _normal(video.path.stem)}:
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


def _normal(text: str) -> str:
    return unicodedata.normalize("NFC", str(text).strip())


def _describe_strangers(path: Path, strangers: Sequence[str]) -> str:
    return f"{path}: landmarks of what is no video of the study were left out: {_some(strangers)}"


def _find_bare_videos(table: pd.DataFrame, study: Study) -> list[str]:
    there = set(table["video_id"])
    bare = [video.video_id for video in study.videos if video.video_id not in there]
    told = f"{len(bare)} of {len(study.videos)} videos have no landmarks: {_some(bare)}"
    return [told] if bare else []


# -- points ---------------------------------------------------------------------------------------


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
    names = sorted(set(table[_INDIVIDUAL]) - {""})
    if names and individual not in names:
        raise StudyError(
            f"{table['file'].iloc[0]}: no individual is called {individual!r}; there are "
            f"{_some(names)}"
        )
    # A file that names no one has one animal: nothing to choose.
    return table[table[_INDIVIDUAL].isin([individual, ""])] if names else table


def _check_one_animal(table: pd.DataFrame) -> None:
    frames = table.groupby(["video_id", "frame_index"], sort=False)[_INDIVIDUAL]
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
        f"individuals, {_some(sorted(set(here[_INDIVIDUAL])))}; say which one is the subject with "
        "`individual`"
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


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(repr(str(name)) for name in names[:_MOST_SHOWN])
    left = len(names) - _MOST_SHOWN
    return f"{shown} and {left} more" if left > 0 else shown
