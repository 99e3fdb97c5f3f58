"""A study on disk: its tables, read and checked row by row.

Whatever could attach a video to the wrong subject or label is a problem with its row.
"""

from __future__ import annotations

import json
import logging
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from canemo.errors import StudyError
from canemo.formats.delimited import TableFileError
from canemo.formats.tables import (
    Problem,
    Row,
    Table,
    check_filled,
    check_numbers,
    check_unique,
    find_table,
    is_missing_number,
    list_tables,
    parse_number,
    read_table,
    type_column,
)
from canemo.records import Study, Video
from canemo.study.places import SUBJECTS, VIDEOS, explain_no_study
from canemo.study.spelling import find_alike

VIDEOS_CSV = f"{VIDEOS}.csv"

TRUTH_JSON = "truth.json"
"""What was drawn, in a study whose animals are drawings."""

REQUIRED_COLUMNS = ("video_id", "path", "subject_id", "label")
TIME_COLUMNS = ("start_s", "end_s")
_SHOWN_PROBLEMS = 10

logger = logging.getLogger(__name__)


def load_study(root: Path | str) -> Study:
    """Load the tables of a study folder.

    Parameters
    ----------
    root
        The folder that holds `videos.csv` and perhaps `subjects.csv`, or workbooks of these names.

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
    if not list_tables(Path(root), VIDEOS):
        raise StudyError(f"{root}: {'; '.join(explain_no_study(Path(root)))}")
    root = Path(root).absolute()
    tables = read_tables(root)
    for problem in tables.problems:
        if problem.severity == "warning":
            logger.warning("%s: %s", root, problem.describe())
    errors = [problem for problem in tables.problems if problem.severity == "error"]
    if errors:
        raise StudyError(_describe_errors(root, errors))
    return Study(
        root=root,
        videos=tuple(_make_video(row, root, tables.videos) for row in tables.videos),
        subjects=None if tables.subjects is None else _make_subjects(tables.subjects),
        drawn=_is_drawn(root),
    )


def _is_drawn(root: Path) -> bool:
    """Return whether the study says that its animals are drawings."""
    try:
        content = json.loads((root / TRUTH_JSON).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(content, dict) and content.get("drawn") is True


def _describe_errors(root: Path, errors: Sequence[Problem]) -> str:
    if len(errors) == 1:
        return f"{root}: {errors[0].describe()}"
    shown = [f"  {problem}" for problem in errors[:_SHOWN_PROBLEMS]]
    left = len(errors) - len(shown)
    if left:
        shown.append(f"  and {left} more; `canemo check` lists them all")
    return "\n".join([f"{root}: the study's tables cannot be used:", *shown])


@dataclass(frozen=True)
class Tables:
    """The tables of a study as read, before any video is made of their rows."""

    videos: Table
    subjects: Table | None

    @property
    def problems(self) -> list[Problem]:
        """What is wrong with either table."""
        return self.videos.problems + (self.subjects.problems if self.subjects else [])


def read_tables(root: Path) -> Tables:
    """Read the videos and, where they are there, the subjects; problems are kept, not raised."""
    videos = _read_videos(root)
    if not list_tables(root, SUBJECTS):
        return Tables(videos, None)
    subjects = _read_subjects(root)
    if not videos.is_broken and not subjects.is_broken:
        _check_known_subjects(videos, subjects)
    return Tables(videos, subjects)


def _read_found(root: Path, stem: str, required: Sequence[str]) -> Table:
    """Read the one table of that name; broken where there are several or none."""
    try:
        return read_table(find_table(root, stem), required=required)
    except TableFileError as exc:
        table = Table(stem)
        table.give_up(exc.seen, exc.wanted)
        return table


def _read_videos(root: Path) -> Table:
    if not list_tables(root, VIDEOS):
        table = Table(VIDEOS_CSV if root.is_dir() else root.name)
        table.give_up(*explain_no_study(root))
        return table
    table = _read_found(root, VIDEOS, REQUIRED_COLUMNS)
    check_filled(table, REQUIRED_COLUMNS)
    _check_video_ids(table)
    _check_times(table)
    return table


def _read_subjects(root: Path) -> Table:
    table = _read_found(root, SUBJECTS, ("subject_id",))
    check_filled(table, ("subject_id",))
    check_unique(table, "subject_id", "one row per animal")
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
        start_s, end_s = part_s(row, table)
        if start_s is not None and end_s is not None and end_s <= start_s:
            seen = f"{end_s:g} is not after start_s={start_s:g}"
            table.add_error(row, "end_s", seen, "an end after the start")


def part_s(row: Row, table: Table) -> tuple[float | None, float | None]:
    """Return where the part that a row names starts and ends [s], None where it does not say."""
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
        close = find_alike(subject_id, sorted(known))
        meant = f"; did you mean {close!r}?" if close else ""
        videos.add_error(
            row,
            "subject_id",
            f"{subject_id!r} is not in {subjects.name}",
            f"the same id in both tables{meant}",
        )


def _make_video(row: Row, root: Path, table: Table) -> Video:
    start_s, end_s = part_s(row, table)
    known = {*REQUIRED_COLUMNS, *TIME_COLUMNS}
    extra = {name: row.get(name) for name in table.columns if name not in known and name}
    return Video(
        video_id=row.cells["video_id"],
        path=find_path(root, row.cells["path"]),
        subject_id=row.cells["subject_id"],
        label=row.cells["label"],
        start_s=start_s,
        end_s=end_s,
        extra=extra,
    )


def find_path(root: Path, text: str) -> Path:
    """Return the absolute path of a cell, in whichever spelling of it exists."""
    spellings = [text, unicodedata.normalize("NFD", text)]
    if "\\" in text:  # written on Windows
        spellings.append(text.replace("\\", "/"))
    candidates = [root / spelling for spelling in spellings]
    return next((path for path in candidates if is_there(path)), candidates[0])


def is_there(path: Path) -> bool:
    """Tell whether a path is there; a name that cannot be one is not."""
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
