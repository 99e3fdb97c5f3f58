"""A study on disk: load its tables, and check tables, files and design.

Whatever could attach a video to the wrong subject or label is a problem with its row.
"""

from __future__ import annotations

import difflib
import math
import unicodedata
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pandas as pd

from canemo.errors import StudyError, VideoOpenError
from canemo.files import sha256_file
from canemo.formats.tables import (
    REQUIRED_COLUMNS,
    VIDEOS_CSV,
    Problem,
    Row,
    Table,
    check_filled,
    check_numbers,
    check_unique,
    is_missing_number,
    parse_number,
    plain,
    read_table,
    type_column,
)
from canemo.proposal import Proposal, propose_videos, write_videos_csv
from canemo.records import Study, Video
from canemo.video.info import VideoInfo, probe_video

__all__ = [
    "Problem",
    "Proposal",
    "check_study",
    "load_study",
    "propose_videos",
    "write_videos_csv",
]

SUBJECTS_CSV = "subjects.csv"
TIME_COLUMNS = ("start_s", "end_s")

_SHOWN_PROBLEMS = 10
_END_TOLERANCE_S = 0.5


def load_study(root: Path | str) -> Study:
    """Load the tables of a study folder.

    Parameters
    ----------
    root
        The folder that holds `videos.csv` and perhaps `subjects.csv`.

    Returns
    -------
    Study
        Paths are absolute; cells are stripped of blanks around them; identifiers and labels are
        in Unicode's composed form (NFC). In the table of subjects, a column of numbers is
        numeric, every other one holds text, and an empty cell is missing.

    Raises
    ------
    StudyError
        If a table cannot be used as it stands. The message lists what is wrong with the tables.

    Notes
    -----
    Only the tables are looked at. A file that is missing or cannot be read is found when it is
    needed, so that one bad file never stops the others; `check_study` finds it beforehand.
    """
    root = Path(root).absolute()
    tables = _read_tables(root)
    errors = [problem for problem in tables.problems if problem.severity == "error"]
    if errors:
        raise StudyError(_describe_errors(root, errors))
    return Study(
        root=root,
        videos=tuple(_make_video(row, root, tables.videos) for row in tables.videos),
        subjects=None if tables.subjects is None else _make_subjects(tables.subjects),
    )


def check_study(root: Path | str) -> list[Problem]:
    """Find everything that is wrong with a study: its tables, its files and its design.

    Every video file is opened, and files of equal size are compared by content.

    Returns
    -------
    list of Problem
        In the order of the tables, an empty list if all is well. Never raises for something
        that is wrong with the study.
    """
    root = Path(root).absolute()
    tables = _read_tables(root)
    problems = list(tables.problems)
    rows = [row for row in tables.videos if row.get("path")]
    problems += _check_files(rows, root, tables.videos)
    if not tables.videos.is_broken:
        problems += _check_design(tables.videos.rows)
    if tables.subjects is not None:
        problems += _check_unused_subjects(tables)
    return sorted(problems, key=lambda problem: (problem.file != VIDEOS_CSV, problem.row or 0))


def _describe_errors(root: Path, errors: Sequence[Problem]) -> str:
    if len(errors) == 1:
        return f"{root}: {errors[0].describe()}"
    shown = [f"  {problem}" for problem in errors[:_SHOWN_PROBLEMS]]
    left = len(errors) - len(shown)
    if left:
        shown.append(f"  and {left} more; `canemo check` lists them all")
    return "\n".join([f"{root}: the study's tables cannot be used:", *shown])


# -- tables ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Tables:
    videos: Table
    subjects: Table | None

    @property
    def problems(self) -> list[Problem]:
        return self.videos.problems + (self.subjects.problems if self.subjects else [])


def _read_tables(root: Path) -> _Tables:
    videos = _read_videos(root / VIDEOS_CSV)
    if not (root / SUBJECTS_CSV).exists():
        return _Tables(videos, None)
    subjects = _read_subjects(root / SUBJECTS_CSV)
    if not videos.is_broken and not subjects.is_broken:
        _check_known_subjects(videos, subjects)
    return _Tables(videos, subjects)


def _read_videos(path: Path) -> Table:
    if not path.exists():
        table = Table(path.name)
        table.give_up(f"there is no {path}", "write one, or let `canemo init` propose one")
        return table
    table = read_table(path, required=REQUIRED_COLUMNS)
    check_filled(table, REQUIRED_COLUMNS)
    _check_video_ids(table)
    _check_times(table)
    return table


def _read_subjects(path: Path) -> Table:
    table = read_table(path, required=("subject_id",))
    check_filled(table, ("subject_id",))
    check_unique(table, "subject_id", "one row per subject")
    check_numbers(table)
    return table


def _check_video_ids(table: Table) -> None:
    check_unique(table, "video_id", "an id of its own for each row")
    for row in table:
        video_id = row.get("video_id")
        reason = _why_not_a_file_name(video_id) if video_id else None
        if reason:
            wanted = "letters, digits, '-', '_' and '.'; results are stored under this name"
            table.add_error(row, "video_id", f"{video_id!r} {reason}", wanted)


_RESERVED_NAMES = frozenset(
    ["con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(1, 10))]
)
_MAX_NAME_BYTES = 150


def _why_not_a_file_name(name: str) -> str | None:
    """Say why a name cannot be a file's name on every system, or None."""
    forbidden = sorted({char for char in name if char in '<>:"/\\|?*' or not char.isprintable()})
    if forbidden:
        return f"contains {' '.join(repr(char) for char in forbidden)}"
    if name.startswith(".") or name.endswith((".", " ")):
        return "starts or ends with a dot"
    if name.split(".")[0].casefold() in _RESERVED_NAMES:
        return "is a name that Windows reserves"
    if len(name.encode()) > _MAX_NAME_BYTES:
        return f"is longer than {_MAX_NAME_BYTES} bytes"
    return None


def _check_times(table: Table) -> None:
    for row in table:
        for name in TIME_COLUMNS:
            text = row.get(name)
            time_s = parse_number(text, table)
            if not is_missing_number(text) and (time_s is None or time_s < 0):
                wanted = "seconds from 0 such as 12.5, or an empty cell"
                table.add_error(row, name, f"{text!r} is not a time", wanted)
        start_s, end_s = _part_s(row, table)
        if start_s is not None and end_s is not None and end_s <= start_s:
            seen = f"{end_s:g} is not after start_s={start_s:g}"
            table.add_error(row, "end_s", seen, "an end after the start")


def _part_s(row: Row, table: Table) -> tuple[float | None, float | None]:
    start_s, end_s = (parse_number(row.get(name), table) for name in TIME_COLUMNS)
    return start_s, end_s


def _check_known_subjects(videos: Table, subjects: Table) -> None:
    known = {row.get("subject_id") for row in subjects}
    told: set[str] = set()
    for row in videos:
        subject_id = row.get("subject_id")
        if not subject_id or subject_id in known or subject_id in told:
            continue
        told.add(subject_id)
        close = difflib.get_close_matches(subject_id, known, n=1)
        meant = f"; did you mean {close[0]!r}?" if close else ""
        videos.add_error(
            row,
            "subject_id",
            f"{subject_id!r} is not in {SUBJECTS_CSV}",
            f"the same id in both tables{meant}",
        )


# -- records --------------------------------------------------------------------------------------


def _make_video(row: Row, root: Path, table: Table) -> Video:
    start_s, end_s = _part_s(row, table)
    known = {*REQUIRED_COLUMNS, *TIME_COLUMNS}
    extra = {name: row.get(name) for name in table.columns if name not in known and name}
    return Video(
        video_id=row.cells["video_id"],
        path=_find_path(root, row.cells["path"]),
        subject_id=row.cells["subject_id"],
        label=row.cells["label"],
        start_s=start_s,
        end_s=end_s,
        extra=extra,
    )


def _find_path(root: Path, text: str) -> Path:
    """Return the absolute path of a cell, in whichever spelling of it exists."""
    spellings = [text, unicodedata.normalize("NFD", text)]
    if "\\" in text:  # written on Windows
        spellings.append(text.replace("\\", "/"))
    candidates = [root / spelling for spelling in spellings]
    return next((path for path in candidates if _exists(path)), candidates[0])


def _exists(path: Path) -> bool:
    try:
        path.stat()
    except (OSError, ValueError):  # a cell can hold what no path can, such as 300 letters
        return False
    return True


def _make_subjects(table: Table) -> pd.DataFrame:
    names = [name for name in table.columns if name and name != "subject_id"]
    columns = {name: type_column(name, table) for name in names}
    index = pd.Index([row.cells["subject_id"] for row in table], name="subject_id", dtype=str)
    return pd.DataFrame(columns, index=index)


# -- files ----------------------------------------------------------------------------------------


def _check_files(rows: Sequence[Row], root: Path, table: Table) -> list[Problem]:
    rows_by_path: dict[Path, list[Row]] = defaultdict(list)
    for row in rows:
        rows_by_path[_find_path(root, row.cells["path"])].append(row)
    problems: list[Problem] = []
    sound: dict[Path, list[Row]] = {}
    for path, its_rows in rows_by_path.items():
        try:
            info = probe_video(path)
        except VideoOpenError as exc:
            problems += [_bad_file(row, path, exc) for row in its_rows]
            continue
        sound[path] = its_rows
        problems += _check_parts(its_rows, info, table)
    return [*problems, *_check_repeats(sound, table)]


def _bad_file(row: Row, path: Path, exc: VideoOpenError) -> Problem:
    reason, _, advice = str(exc).removeprefix(f"{path}: ").partition("; ")
    if not _exists(path):
        reason, advice = f"there is no file {str(path)!r}", _advise_path(path)
    else:
        reason = f"{row.cells['path']!r} {reason}"
    return Problem("error", VIDEOS_CSV, row.number, "path", reason, advice)


def _advise_path(path: Path) -> str:
    try:
        names = [other.name for other in path.parent.iterdir()]
    except (OSError, ValueError):
        names = []
    by_plain_name = {name.casefold(): name for name in names}
    close = difflib.get_close_matches(path.name.casefold(), by_plain_name, n=1, cutoff=0.8)
    if close:
        return f"did you mean {by_plain_name[close[0]]!r}?"
    return "a path relative to the study folder"


def _check_parts(rows: Sequence[Row], info: VideoInfo, table: Table) -> Iterator[Problem]:
    if info.duration_s is None:
        return
    for row in rows:
        start_s, end_s = _part_s(row, table)
        length = f"the video is {info.duration_s:.2f} s long"
        if start_s is not None and start_s >= info.duration_s:
            seen = f"{start_s:g} lies behind the end"
            yield Problem("error", VIDEOS_CSV, row.number, "start_s", seen, length)
        elif end_s is not None and end_s > info.duration_s + _END_TOLERANCE_S:
            seen = f"{end_s:g} lies behind the end"
            yield Problem("warning", VIDEOS_CSV, row.number, "end_s", seen, length)


def _check_repeats(rows_by_path: Mapping[Path, list[Row]], table: Table) -> Iterator[Problem]:
    wanted = "each moment once: take out a row, or give the rows start_s and end_s apart"
    for rows in _group_by_content(rows_by_path):
        rows.sort(key=lambda row: row.number)
        for place, row in enumerate(rows):
            part = _part_s(row, table)
            first = next((old for old in rows[:place] if _overlap(_part_s(old, table), part)), None)
            if first is not None:
                seen = f"shows the same pictures as row {first.number}"
                yield Problem("error", VIDEOS_CSV, row.number, "path", seen, wanted)


def _group_by_content(rows_by_path: Mapping[Path, list[Row]]) -> list[list[Row]]:
    paths_by_size: dict[int, list[Path]] = defaultdict(list)
    for path in rows_by_path:
        paths_by_size[path.stat().st_size].append(path)
    groups: dict[object, list[Row]] = defaultdict(list)
    for paths in paths_by_size.values():
        for path in paths:
            content = sha256_file(path) if len(paths) > 1 else path
            groups[content] += rows_by_path[path]
    return list(groups.values())


def _overlap(
    first: tuple[float | None, float | None], second: tuple[float | None, float | None]
) -> bool:
    latest_start = max(first[0] or 0.0, second[0] or 0.0)
    earliest_end = min(math.inf if end is None else end for end in (first[1], second[1]))
    return latest_start < earliest_end


# -- design ---------------------------------------------------------------------------------------


def _check_design(rows: Sequence[Row]) -> Iterator[Problem]:
    pairs = [(row.get("subject_id"), row.get("label")) for row in rows]
    subjects_of, labels_of = defaultdict(set), defaultdict(set)
    for subject_id, label in pairs:
        if subject_id and label:
            subjects_of[label].add(subject_id)
            labels_of[subject_id].add(label)
    yield from _check_spellings(rows, "label")
    yield from _check_spellings(rows, "subject_id")
    if len(labels_of) == 1:
        seen = f"all videos are of {next(iter(labels_of))!r}"
        yield _design_problem("error", "subject_id", seen, "at least two subjects")
    if len(subjects_of) == 1:
        seen = f"all videos are labelled {next(iter(subjects_of))!r}"
        yield _design_problem("error", "label", seen, "at least two labels")
    yield from _check_balance(subjects_of, labels_of)


def _check_balance(
    subjects_of: Mapping[str, set[str]], labels_of: Mapping[str, set[str]]
) -> Iterator[Problem]:
    for label, subject_ids in subjects_of.items():
        if len(subject_ids) < 2 and len(labels_of) > 1:
            seen = f"{label!r} occurs with one subject only, {next(iter(subject_ids))!r}"
            wanted = "two subjects or more, so that a subject can be left out"
            yield _design_problem("error", "label", seen, wanted)
    for subject_id, labels in labels_of.items():
        if len(labels) < 2 and len(subjects_of) > 1:
            seen = f"{subject_id!r} has videos of one label only, {next(iter(labels))!r}"
            wanted = "videos of each label, else the label can be told from the subject"
            yield _design_problem("warning", "subject_id", seen, wanted)


def _check_spellings(rows: Sequence[Row], column: str) -> Iterator[Problem]:
    first_rows: dict[str, Row] = {}
    told: set[str] = set()
    for row in rows:
        value = row.get(column)
        first = first_rows.setdefault(plain(value), row)
        if value == first.get(column) or value in told:
            continue
        told.add(value)
        seen = f"{value!r} looks like {first.cells[column]!r} in row {first.number}"
        wanted = f"one spelling, if they are the same {column}"
        yield Problem("warning", VIDEOS_CSV, row.number, column, seen, wanted)


def _check_unused_subjects(tables: _Tables) -> Iterator[Problem]:
    used = {row.get("subject_id") for row in tables.videos}
    if tables.videos.is_broken or tables.subjects is None:
        return
    for row in tables.subjects:
        subject_id = row.get("subject_id")
        if subject_id and subject_id not in used:
            seen = f"{subject_id!r} has no video in {VIDEOS_CSV}"
            wanted = "a video, or no row"
            yield Problem("warning", SUBJECTS_CSV, row.number, "subject_id", seen, wanted)


def _design_problem(
    severity: Literal["error", "warning"], column: str, seen: str, wanted: str
) -> Problem:
    return Problem(severity, VIDEOS_CSV, None, column, seen, wanted)
