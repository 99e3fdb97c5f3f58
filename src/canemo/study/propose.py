"""A `videos.csv` proposed from the names of files, and written once it has been looked at."""

from __future__ import annotations

import os
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import pandas as pd

from canemo.errors import OutputExistsError, StudyError
from canemo.files import write_table
from canemo.formats.tables import Problem, Row, find_heading, list_tables
from canemo.study.load import REQUIRED_COLUMNS, VIDEOS_CSV
from canemo.study.names import find_resemblances
from canemo.study.patterns import guess_pattern
from canemo.study.places import VIDEOS, name_file
from canemo.video.info import VIDEO_SUFFIXES


@dataclass(frozen=True, eq=False)
class Proposal:
    """A `videos.csv` proposed from file names, to be looked at before it is written.

    Parameters
    ----------
    table
        One row per file that matches, with the columns `video_id`, `path` (relative, with `/`),
        `subject_id`, `label` and one per further field of the pattern. All cells are text.
    unmatched
        Video files that do not match, relative, with `/`.
    """

    table: pd.DataFrame
    unmatched: tuple[str, ...]

    def find_problems(self, file: str = VIDEOS_CSV) -> list[Problem]:
        """Return names of subjects and labels that look like two spellings of one.

        `file` is what the table will be called.
        """
        records = enumerate(self.table.to_dict("records"), start=2)
        rows = [
            Row(number, {str(key): str(cell) for key, cell in record.items()})
            for number, record in records
        ]
        return [each.problem for each in find_resemblances(rows, file=file)]


def propose_videos(folder: Path | str, pattern: str) -> Proposal:
    """Propose the rows of `videos.csv` from the names of the video files in a folder.

    Parameters
    ----------
    folder
        The study folder; folders inside it are searched, hidden ones and `cache` and `runs` not.
    pattern
        A file name with fields in braces, such as ``{subject_id}_{label}_{take}.mp4``. It must
        have `subject_id` and `label`. With ``/`` it also describes the folders that the file is
        in, ``{subject_id}/{label}_{take}.mp4``; whatever lies above them is free.

    Returns
    -------
    Proposal
        The table in the order of the paths, and the videos that do not match.

    Raises
    ------
    StudyError
        If the folder is not there or holds no video, or if the pattern cannot be used or matches
        none; a pattern made from the names of the files is then proposed.

    Notes
    -----
    A field never contains the text that follows it in the pattern, nor ``/``: in
    ``{subject_id}_{label}.mp4`` the subject ends at the first underscore, and
    ``rex_junior_play.mp4`` does not match. A field that occurs twice must have the same value in
    both places. The ending is compared without regard to case, everything else with; a pattern
    without a known ending fits every video.

    `video_id` is the file's name without its ending where that is unique, otherwise with the
    folders in front.
    """
    folder = Path(folder)
    paths = list_video_paths(folder)
    pattern = pattern.replace("\\", "/").removeprefix("./")
    _check_pattern(pattern, paths)
    match = _compile_pattern(pattern)
    matched: dict[str, dict[str, str]] = {}
    unmatched: list[str] = []
    for path in paths:
        fields = match(path)
        if fields is None:
            unmatched.append(path)
        else:
            matched[path] = fields
    if not matched:
        raise StudyError(
            f"pattern {pattern!r}: none of the {len(paths)} videos in {folder} has such a name; "
            f"{suggest_pattern(paths)}"
        )
    return Proposal(_make_table(matched, _field_names(pattern)), tuple(unmatched))


def write_videos(
    table: pd.DataFrame, folder: Path | str, *, suffix: str = ".csv", force: bool = False
) -> Path:
    """Write `videos.csv` or, by the suffix, `videos.xlsx` into a study folder, whole or not at all.

    Parameters
    ----------
    table
        At least the columns `video_id`, `path`, `subject_id` and `label`.
    folder
        The study folder; it must exist.
    suffix
        ".csv" or ".xlsx".
    force
        Replace a file of that name that is already there.

    Returns
    -------
    Path
        The file written.

    Raises
    ------
    OutputExistsError
        If there is a `videos.csv` and `force` is false.
    StudyError
        If a column is missing, the table is empty, or the folder is not there.
    """
    path = Path(folder) / f"{VIDEOS}{suffix}"
    missing = [name for name in REQUIRED_COLUMNS if name not in table.columns]
    if missing:
        raise StudyError(f"{path}: the table has no column {', '.join(missing)}; add it")
    if table.empty:
        raise StudyError(f"{path}: the table has no rows; try another pattern or folder")
    if not path.parent.is_dir():
        raise StudyError(f"{path.parent}: there is no such folder; make it first")
    others = [each.name for each in list_tables(path.parent, VIDEOS) if each != path]
    if others:
        raise OutputExistsError(f"{path.parent} has its videos in {others[0]}; move it away first")
    if path.exists() and not force:
        raise OutputExistsError(f"{path} exists already; move it away, or replace it with --force")
    return write_table(table, path)


def list_video_paths(folder: Path) -> list[str]:
    """Return the video files below a folder, relative with `/`, in a fixed order.

    Raises
    ------
    StudyError
        There is no such folder, or no video in it.
    """
    if folder.is_file():
        raise StudyError(f"{folder}: this is {name_file(folder)}; give the folder of the videos")
    if not folder.is_dir():
        raise StudyError(f"{folder}: there is no such folder; give the folder of the videos")
    found: list[str] = []
    for place, folders, names in os.walk(folder):
        at_top = Path(place) == folder
        folders[:] = [
            name
            for name in folders
            if not name.startswith(".") and not (at_top and name in ("cache", "runs"))
        ]
        found += [
            (Path(place) / name).relative_to(folder).as_posix()
            for name in names
            if not name.startswith(".") and Path(name).suffix.lower() in VIDEO_SUFFIXES
        ]
    if not found:
        raise StudyError(
            f"{folder}: there is no video in it; names of videos end in "
            f"{', '.join(sorted(VIDEO_SUFFIXES))}"
        )
    return sorted(found)


def suggest_pattern(paths: Sequence[str]) -> str:
    """Return what to give as pattern for video files, in words that tell a guess from knowledge."""
    guess = guess_pattern(paths)
    if guess is None:
        return (
            f"say where in a name such as {paths[0]!r} the animal stands and where the condition, "
            f"for example --pattern '{_EXAMPLE}'"
        )
    match = _compile_pattern(guess)
    found = {path: fields for path in paths if (fields := match(path)) is not None}
    path, fields = next(iter(found.items()))
    return (
        f"going by the names, try --pattern '{guess}': it reads {len(found)} of {len(paths)}, "
        f"{path!r} as {fields['label']!r} of {fields['subject_id']!r} (exchange the fields if that "
        "is wrong)"
    )


_EXAMPLE = "{subject_id}_{label}_{take}.mp4"
_FIELD = re.compile(r"\{([^{}]*)\}")


def _field_names(pattern: str) -> list[str]:
    return list(dict.fromkeys(_FIELD.findall(pattern)))


def _compile_pattern(pattern: str) -> Callable[[str], dict[str, str] | None]:
    """Make a function that reads the fields from a relative path, or None if it does not match."""
    suffix = PurePosixPath(pattern).suffix.lower()
    has_suffix = suffix in VIDEO_SUFFIXES
    stem = pattern[: -len(suffix)] if has_suffix else pattern
    expression = re.compile(_to_expression(stem))
    depth = pattern.count("/") + 1

    def match(path: str) -> dict[str, str] | None:
        tail = PurePosixPath(*PurePosixPath(path).parts[-depth:])
        if has_suffix and tail.suffix.lower() != suffix:
            return None
        name = unicodedata.normalize("NFC", tail.with_suffix("").as_posix())
        found = expression.fullmatch(name)
        return found.groupdict() if found else None

    return match


def _check_pattern(pattern: str, paths: Sequence[str]) -> None:
    names = _FIELD.findall(pattern)
    wrong = [name for name in names if not name.isidentifier() or name in ("video_id", "path")]
    missing = [name for name in ("subject_id", "label") if name not in names]
    if wrong:
        reason = (
            f"{{{wrong[0]}}} cannot be a field; use letters, digits and '_', not video_id or path"
        )
    elif re.search(r"[{}]", _FIELD.sub("", pattern)):
        reason = "a brace is not closed; write fields as {name}"
    elif "}{" in pattern:
        reason = "two fields touch; put a character between them"
    elif missing:
        reason = _describe_lacking(missing, names)
    else:
        return
    raise StudyError(f"pattern {pattern!r}: {reason}; {suggest_pattern(paths)}")


def _describe_lacking(missing: Sequence[str], names: Sequence[str]) -> str:
    """Return which fields are lacking, and whether others may be meant for them."""
    lacking = " and ".join(f"{{{name}}}" for name in missing)
    others = [name for name in names if name not in REQUIRED_COLUMNS]
    meant = [
        f"{{{name}}} by {{{near}}}"
        for name in missing
        if (near := find_heading(name, others)) is not None
    ]
    return f"it lacks {lacking}" + (f" (do you mean {' and '.join(meant)}?)" if meant else "")


def _to_expression(stem: str) -> str:
    """Translate a pattern without its ending into a regular expression."""
    parts = _FIELD.split(unicodedata.normalize("NFC", stem))
    expression = re.escape(parts[0])
    seen: set[str] = set()
    for name, literal in zip(parts[1::2], parts[2::2], strict=True):
        stop = f"(?!{re.escape(literal)})" if literal else ""
        expression += f"(?P={name})" if name in seen else f"(?P<{name}>(?:{stop}[^/])+)"
        expression += re.escape(literal)
        seen.add(name)
    return expression


def _make_table(matched: Mapping[str, Mapping[str, str]], names: Sequence[str]) -> pd.DataFrame:
    further = [name for name in names if name not in REQUIRED_COLUMNS]
    columns = [*REQUIRED_COLUMNS, *further]
    video_ids = _name_videos(list(matched))
    rows = [
        {"video_id": video_ids[path], "path": path, **fields} for path, fields in matched.items()
    ]
    return pd.DataFrame(rows, columns=columns, dtype=str)


def _name_videos(paths: Sequence[str]) -> dict[str, str]:
    """Give each path an id that is unique, also where case does not count, and a file name."""
    stems = {path: _to_file_name(PurePosixPath(path).stem) for path in paths}
    names: dict[str, str] = {}
    taken: set[str] = set()
    counts = Counter(stem.casefold() for stem in stems.values())
    for path, stem in stems.items():
        name = stem
        if counts[stem.casefold()] > 1:
            name = _to_file_name(str(PurePosixPath(path).with_suffix("")).replace("/", "_"))
        number, base = 1, name
        while name.casefold() in taken:
            number += 1
            name = f"{base}_{number}"
        taken.add(name.casefold())
        names[path] = name
    return names


def _to_file_name(name: str) -> str:
    return re.sub(r'[<>:"/\\|?*\x00-\x1f]', "_", unicodedata.normalize("NFC", name)).strip(". ")
