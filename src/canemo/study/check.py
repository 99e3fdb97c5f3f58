"""Every problem of a study, before any work."""

from __future__ import annotations

import difflib
import math
from collections import defaultdict
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from canemo.errors import VideoOpenError
from canemo.files import sha256_file
from canemo.formats.tables import Problem, Row, Table
from canemo.study.design import Clip
from canemo.study.load import (
    REQUIRED_COLUMNS,
    TIME_COLUMNS,
    Tables,
    find_path,
    is_there,
    part_s,
    read_tables,
)
from canemo.study.names import find_resemblances
from canemo.video.info import VideoInfo, probe_video

_END_TOLERANCE_S = 0.5
SHOWN_ALONE = 3  # subjects of one label that have a line each
_STILL_CODECS = ("mjpeg", "png", "webp", "bmp", "tiff")
MOST_FPS = 1000  # the slow motion of telephones ends below


@dataclass(frozen=True)
class Inspection:
    """What looking at a study's tables and files gave.

    Attributes
    ----------
    file
        The table of videos, by name.
    problems
        Subjects of one label only that may be others misspelled; then all in the order of the
        tables. Empty if all is well.
    clips
        The rows of videos.csv that say whose clip it is, and of which label.
    doubtful_names
        Subjects and labels that may be others misspelled.
    """

    file: str
    problems: tuple[Problem, ...]
    clips: tuple[Clip, ...]
    doubtful_names: tuple[str, ...]


def inspect_study(root: Path | str) -> Inspection:
    """Find everything that is wrong with a study: its tables, its files and its balance.

    Every video file is opened, and files of equal size are compared by content. Never raises for
    something that is wrong with the study.
    """
    root = Path(root).absolute()
    tables = read_tables(root)
    infos = _probe_files(tables.videos, root)
    videos = tables.videos.name
    rows = [] if tables.videos.is_broken else tables.videos.rows
    alike = find_resemblances(rows, file=videos)
    first = [each.problem for each in alike if each.is_lonely]
    problems = [*tables.problems, *_check_files(infos, root, tables.videos)]
    problems += [each.problem for each in alike if not each.is_lonely]
    problems += _check_design(videos, rows, {each.name for each in alike if each.is_lonely})
    if tables.subjects is not None:
        problems += _check_unused_subjects(tables)
    problems.sort(key=lambda problem: (problem.file != videos, problem.row or 0))
    clips = tuple(_list_clips(infos, root, tables.videos))
    return Inspection(videos, (*first, *problems), clips, tuple(each.name for each in alike))


def _probe_files(table: Table, root: Path) -> dict[Path, VideoInfo | VideoOpenError]:
    paths = {find_path(root, row.cells["path"]) for row in table if row.get("path")}
    infos: dict[Path, VideoInfo | VideoOpenError] = {}
    for path in sorted(paths):
        try:
            infos[path] = probe_video(path)
        except VideoOpenError as exc:
            infos[path] = exc
    return infos


def _list_clips(
    infos: Mapping[Path, VideoInfo | VideoOpenError], root: Path, table: Table
) -> Iterator[Clip]:
    known = {*REQUIRED_COLUMNS, *TIME_COLUMNS, ""}
    for row in table.rows if not table.is_broken else []:
        subject_id, label = row.get("subject_id"), row.get("label")
        if subject_id and label:
            info = infos.get(find_path(root, row.get("path")))
            extra = {name: row.get(name) for name in table.columns if name not in known}
            if isinstance(info, VideoInfo):
                extra["picture size"] = f"{info.width} x {info.height}"
            yield Clip(subject_id, label, _measure_s(row, table, info), extra)


def _measure_s(row: Row, table: Table, info: VideoInfo | VideoOpenError | None) -> float | None:
    """Return how long the part of a file is that a row names [s]; None where that is not known."""
    start_s, end_s = part_s(row, table)
    whole_s = info.duration_s if isinstance(info, VideoInfo) else None
    ends = [end for end in (end_s, whole_s) if end is not None]
    return max(min(ends) - (start_s or 0.0), 0.0) if ends else None


def _check_files(
    infos: Mapping[Path, VideoInfo | VideoOpenError], root: Path, table: Table
) -> list[Problem]:
    rows_by_path: dict[Path, list[Row]] = defaultdict(list)
    for row in table:
        if row.get("path"):
            rows_by_path[find_path(root, row.cells["path"])].append(row)
    problems: list[Problem] = []
    sound: dict[Path, list[Row]] = {}
    for path, its_rows in rows_by_path.items():
        info = infos[path]
        if isinstance(info, VideoOpenError):
            problems += [_bad_file(row, path, info, table) for row in its_rows]
            continue
        sound[path] = its_rows
        problems += _check_still(its_rows[0], info, table)
        problems += _check_parts(its_rows, info, table)
    return [*problems, *_check_rates(table.name, sound, infos), *_check_repeats(sound, table)]


def _check_still(row: Row, info: VideoInfo, table: Table) -> Iterator[Problem]:
    """Yield that a file is a photograph named like a film, as far as it says so itself."""
    if info.codec in _STILL_CODECS and info.duration_s is None and info.frames is None:
        seen = f"{row.cells['path']!r} is one picture, whatever it is called"
        yield Problem("warning", table.name, row.number, "path", seen, "a film")


def _check_rates(
    file: str,
    rows_by_path: Mapping[Path, list[Row]],
    infos: Mapping[Path, VideoInfo | VideoOpenError],
) -> Iterator[Problem]:
    """Yield one warning of all files whose pictures follow each other impossibly fast."""
    fast = [
        (its_rows[0], info.fps)
        for path, its_rows in rows_by_path.items()
        if isinstance(info := infos[path], VideoInfo) and info.fps > MOST_FPS
    ]
    if fast:
        row, fps = fast[0]
        some = "1 file states" if len(fast) == 1 else f"{len(fast)} files state"
        seen = (
            f"{some} more than {MOST_FPS:,} pictures per second, the first being "
            f"{row.cells['path']!r} ({float(fps):,.0f})"
        )
        wanted = "files exported again: lengths and times of these cannot be right"
        yield Problem("warning", file, None, "path", seen, wanted)


def _bad_file(row: Row, path: Path, exc: VideoOpenError, table: Table) -> Problem:
    reason, _, advice = str(exc).removeprefix(f"{path}: ").partition("; ")
    if not is_there(path):
        reason, advice = f"there is no file {str(path)!r}", _advise_path(path, table)
    else:
        reason = f"{row.cells['path']!r} {reason}"
    return Problem("error", table.name, row.number, "path", reason, advice)


def _advise_path(path: Path, table: Table) -> str:
    """Name a file that is called alike and that no row has: another dog's is not meant."""
    used = {Path(row.get("path")).name for row in table}
    try:
        names = [other.name for other in path.parent.iterdir() if other.name not in used]
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
        start_s, end_s = part_s(row, table)
        length = f"the video is {info.duration_s:.2f} s long"
        if start_s is not None and start_s >= info.duration_s:
            seen = f"{start_s:g} lies behind the end"
            yield Problem("error", table.name, row.number, "start_s", seen, length)
        elif end_s is not None and end_s > info.duration_s + _END_TOLERANCE_S:
            seen = f"{end_s:g} lies behind the end"
            yield Problem("warning", table.name, row.number, "end_s", seen, length)


def _check_repeats(rows_by_path: Mapping[Path, list[Row]], table: Table) -> Iterator[Problem]:
    wanted = "each moment once: take out a row, or give the rows start_s and end_s apart"
    for rows in _group_by_content(rows_by_path):
        rows.sort(key=lambda row: row.number)
        for place, row in enumerate(rows):
            part = part_s(row, table)
            first = next((old for old in rows[:place] if _overlap(part_s(old, table), part)), None)
            if first is not None:
                seen = f"shows the same pictures as row {first.number}"
                yield Problem("error", table.name, row.number, "path", seen, wanted)


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


def _check_design(name: str, rows: Sequence[Row], asked: Container[str]) -> Iterator[Problem]:
    """Yield what is wrong with the balance; of subjects `asked` about already, not the labels."""
    pairs = [(row.get("subject_id"), row.get("label")) for row in rows]
    subjects_of, labels_of = defaultdict(set), defaultdict(set)
    for subject_id, label in pairs:
        if subject_id and label:
            subjects_of[label].add(subject_id)
            labels_of[subject_id].add(label)
    if len(labels_of) == 1:
        seen = f"all videos are of {next(iter(labels_of))!r}"
        yield _design_problem(name, "error", "subject_id", seen, "at least two animals")
    if len(subjects_of) == 1:
        seen = f"all videos are labelled {next(iter(subjects_of))!r}"
        yield _design_problem(name, "error", "label", seen, "at least two conditions")
    yield from _check_balance(name, subjects_of, labels_of, asked)


def _check_balance(
    name: str,
    subjects_of: Mapping[str, set[str]],
    labels_of: Mapping[str, set[str]],
    asked: Container[str],
) -> Iterator[Problem]:
    for label, subject_ids in subjects_of.items():
        if len(subject_ids) < 2 and len(labels_of) > 1:
            seen = f"{label!r} occurs with one animal only, {next(iter(subject_ids))!r}"
            wanted = "two animals or more, so that one can be left out"
            yield _design_problem(name, "error", "label", seen, wanted)
    alone = [each for each in labels_of if len(labels_of[each]) < 2 and each not in asked]
    if len(subjects_of) > 1:
        yield from _check_alone(name, {each: next(iter(labels_of[each])) for each in alone})


def _check_alone(name: str, label_of: Mapping[str, str]) -> Iterator[Problem]:
    """Yield the subjects with one label only, each with its label; many of them in one line."""
    wanted = "videos of each condition, else the condition can be told from the animal"
    all_seen = [
        f"{each!r} has videos of one condition only, {label_of[each]!r}" for each in label_of
    ]
    if len(all_seen) > SHOWN_ALONE:
        named = ", ".join(repr(each) for each in label_of)
        all_seen = [f"{len(label_of)} animals have videos of one condition only: {named}"]
    for seen in all_seen:
        yield _design_problem(name, "warning", "subject_id", seen, wanted)


def _check_unused_subjects(tables: Tables) -> Iterator[Problem]:
    used = {row.get("subject_id") for row in tables.videos}
    if tables.videos.is_broken or tables.subjects is None:
        return
    for row in tables.subjects:
        subject_id = row.get("subject_id")
        if subject_id and subject_id not in used:
            seen = f"{subject_id!r} has no video in {tables.videos.name}"
            wanted = "a video, or no row"
            yield Problem("warning", tables.subjects.name, row.number, "subject_id", seen, wanted)


def _design_problem(
    name: str, severity: Literal["error", "warning"], column: str, seen: str, wanted: str
) -> Problem:
    return Problem(severity, name, None, column, seen, wanted)
