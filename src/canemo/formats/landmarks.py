"""Files of landmarks: canemo's own tables and the CSV files that DeepLabCut and SLEAP export.

A file counts by its content, not by its ending.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from canemo.errors import StudyError
from canemo.formats.delimited import TableFileError
from canemo.formats.tables import (
    MISSING_NUMBERS,
    describe_excess,
    point_decimals,
    read_text,
)
from canemo.formats.workbooks import WORKBOOK_SUFFIXES, Sheet

CANEMO, DEEPLABCUT, SLEAP = "landmarks.csv", "DeepLabCut", "SLEAP"
_BINARY = {
    ".h5": "in DeepLabCut set `save_as_csv=True` or call `deeplabcut.analyze_videos_converth5_to_"
    "csv`; in SLEAP choose File > Export Analysis CSV",
    ".slp": "in SLEAP choose File > Export Analysis CSV",
}
_FORMS = (
    "columns video_id, frame_index, point, x, y and perhaps score; or video_id, frame_index and "
    "NAME_x, NAME_y for each point; or a CSV file as DeepLabCut or SLEAP exports it"
)
_ENDINGS = (".csv", ".tsv", ".txt", *WORKBOOK_SUFFIXES)
INDIVIDUAL = "individual"
_NUMBER = "a number, or an empty cell where there is none"
_FRAME = "the number of a frame of the video, from 0"
_MOST_SHOWN = 5


@dataclass(frozen=True)
class FileRead:
    """One file: `rows` has the columns of a table and file, row, individual; video_id if stated."""

    path: Path
    form: str
    rows: pd.DataFrame


@dataclass(frozen=True)
class _Sheet:
    """The cells of a file as text; their index is the line in the file, from 1."""

    place: str
    cells: pd.DataFrame
    decimal_comma: bool

    def header(self, row: int = 0) -> list[str]:
        return [str(cell) for cell in self.cells.iloc[row]]


def list_files(path: Path) -> tuple[list[Path], list[str]]:
    """Return the tables to read and what is left out."""
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
    files = [
        each
        for each in inside
        if each.suffix.lower() in _ENDINGS and not each.name.startswith("~$")
    ]
    binary = [each for each in inside if each.suffix.lower() in _BINARY]
    if not files:
        if binary:
            raise StudyError(_refuse_binary(binary[0]))
        raise StudyError(f"{path}: holds no CSV file and no workbook; put there {_FORMS}")
    stems = {file.with_suffix("") for file in files}
    alone = [each.name for each in binary if each.with_suffix("") not in stems]
    left = f"{path}: left out, for only CSV files and workbooks are read: {name_some(alone)}"
    return files, [left] if alone else []


def _refuse_binary(path: Path) -> str:
    how = _BINARY[path.suffix.lower()]
    return f"{path}: {path.suffix} files are not read; export CSV: {how}"


def read_file(path: Path) -> FileRead:
    """Read one file of any form; StudyError says what is wrong with it."""
    sheet = _read_sheet(path)
    form = _recognise(sheet.header())
    if form is None:
        first = ", ".join(sheet.header()[:8])
        raise StudyError(f"{sheet.place}: the first row is {first}; wanted are {_FORMS}")
    readers = {DEEPLABCUT: _read_deeplabcut, SLEAP: _read_sleap, CANEMO: _read_own}
    return FileRead(path, form, readers[form](sheet))


def _recognise(header: Sequence[str]) -> str | None:
    if header[0] == "scorer":
        return DEEPLABCUT
    if "frame_idx" in header:
        return SLEAP
    is_own = "point" in header or any(name.endswith("_x") for name in header)
    return CANEMO if is_own else None


def _read_sheet(path: Path) -> _Sheet:
    try:
        text = read_text(
            path, fits=lambda lines: _recognise(lines[0][1]) is not None, wanted=_FORMS
        )
        if isinstance(text, Sheet):
            text.require_sound()
        separator = text.guess_separator()
        lines = list(text.iter_lines(separator))
    except TableFileError as exc:
        raise StudyError(f"{path}: {exc}") from exc
    if not lines:
        raise StudyError(f"{path}: is empty; wanted are {_FORMS}")
    header = lines[0][1]
    for number, cells in lines:
        if len(cells) > len(header):
            seen, wanted = describe_excess(cells, header)
            raise StudyError(f"{path}, row {number}: {seen}; {wanted}")
    table = pd.DataFrame(
        [each + [""] * (len(header) - len(each)) for _, each in lines],
        index=[number for number, _ in lines],
        dtype=object,
    )
    return _Sheet(f"{path}{text.place}", table, decimal_comma=separator != ",")


def _read_own(sheet: _Sheet) -> pd.DataFrame:
    body = _take_body(sheet)
    _require(sheet, body, ("video_id", "frame_index"))
    origin = pd.DataFrame(
        {
            "video_id": [normalise(text) for text in body["video_id"]],
            "frame_index": _to_frames(sheet, body["frame_index"]),
            INDIVIDUAL: body.get(INDIVIDUAL, ""),
        },
        index=body.index,
    )
    if "point" not in body:
        names = [name.removesuffix("_x") for name in body.columns if name.endswith("_x")]
        points = {name: (f"{name}_x", f"{name}_y", f"{name}_score") for name in names}
        return _stack(sheet, body, origin, points)
    _require(sheet, body, ("x", "y"))
    if body["point"].eq("").any():
        row = int(body.index[body["point"].eq("")][0])
        raise StudyError(f"{sheet.place}, row {row}, column point: the cell is empty; a name")
    rows = _stack(sheet, body, origin, {"": ("x", "y", "score")})
    return rows.assign(point=[normalise(text) for text in body["point"]])


def _read_sleap(sheet: _Sheet) -> pd.DataFrame:
    body = _take_body(sheet)
    origin = pd.DataFrame(
        {
            "frame_index": _to_frames(sheet, body["frame_idx"]),
            INDIVIDUAL: body.get("track", ""),
        },
        index=body.index,
    )
    names = [name.removesuffix(".x") for name in body.columns if name.endswith(".x")]
    if not names:
        raise StudyError(f"{sheet.place}: no column ends in .x; export SLEAP's analysis CSV")
    points = {name: (f"{name}.x", f"{name}.y", f"{name}.score") for name in names}
    return _stack(sheet, body, origin, points)


def _read_deeplabcut(sheet: _Sheet) -> pd.DataFrame:
    """Read scorer, perhaps individuals, bodyparts and coords above the frames."""
    heads = {head[0]: head for head in map(sheet.header, range(min(4, len(sheet.cells))))}
    if "bodyparts" not in heads or "coords" not in heads:
        below = ", ".join(list(heads)[1:]) or "nothing"
        raise StudyError(
            f"{sheet.place}: below `scorer` stand the rows {below}; wanted are "
            "bodyparts and coords, as DeepLabCut writes them"
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
        origin = pd.DataFrame({"frame_index": frames, INDIVIDUAL: owner}, index=body.index)
        stacked.append(_stack(sheet, named, origin, points))
    if not stacked:
        raise StudyError(f"{sheet.place}: has no body parts; wanted is DeepLabCut's CSV export")
    return pd.concat(stacked, ignore_index=True)


def _take_body(sheet: _Sheet) -> pd.DataFrame:
    """Return the cells below the one header row."""
    header = sheet.header()
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        raise StudyError(f"{sheet.place}: the column {twice[0]!r} is there twice; keep one")
    return sheet.cells.iloc[1:].set_axis(header, axis=1)


def _require(sheet: _Sheet, body: pd.DataFrame, columns: Iterable[str]) -> None:
    missing = [name for name in columns if name not in body]
    if missing:
        there = ", ".join(list(body.columns)[:8])
        raise StudyError(
            f"{sheet.place}: there is no column {missing[0]!r}, only {there}; wanted are {_FORMS}"
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
            row = int(one[one].index[0])
            raise StudyError(
                f"{sheet.place}, row {row}: {x_column!r} and {y_column!r} are not both filled; "
                "give both, or none where the point is not seen"
            )
        score = _to_numbers(sheet, body[score_column]) if score_column in body else np.nan
        stacked.append(origin.assign(point=normalise(name), x=x, y=y, score=score))
    rows = pd.concat(stacked)
    return rows.assign(file=sheet.place, row=rows.index).reset_index(drop=True)


def _to_numbers(sheet: _Sheet, column: pd.Series[str], wanted: str = _NUMBER) -> pd.Series[float]:
    text = column.map(point_decimals) if sheet.decimal_comma else column
    known = ~text.str.casefold().isin(MISSING_NUMBERS)
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
        f"{sheet.place}, row {int(line)}, column {column.name}: {column[line]!r} is not what is "
        f"wanted: {wanted}"
    )


def normalise(text: str) -> str:
    """Return a name as names are compared: composed, without blanks around it."""
    return unicodedata.normalize("NFC", str(text).strip())


def name_some(names: Sequence[str]) -> str:
    """Return a few of the names, and how many more there are."""
    shown = ", ".join(repr(str(name)) for name in names[:_MOST_SHOWN])
    left = len(names) - _MOST_SHOWN
    return f"{shown} and {left} more" if left > 0 else shown
