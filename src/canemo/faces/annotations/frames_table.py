"""Tables `frames.csv`, which say of pictures cut from videos where they are from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import TypeAlias

from canemo.formats.boxes.labelled import read_csv
from canemo.formats.tables import Row, Table, list_tables, point_decimals

FRAMES_CSV = "frames.csv"
"""Columns file_name, video_id, subject_id, frame_index, time_s; only the first must be there."""

_Cells: TypeAlias = Mapping[str, str]


class FrameTables:
    """The rows of the `frames.csv` of some folders; each table is read once."""

    def __init__(self) -> None:
        self._tables: dict[Path, dict[str, _Cells]] = {}

    def find_row(self, image: Path, folders: Iterable[Path]) -> _Cells:
        """Return the cells of an image's row in the first of the folders' tables that has one.

        A row is an image's if its `file_name` is the path from the table to the image, or the
        image's bare name where that is in the table once. Empty where there is no row.

        Raises
        ------
        AnnotationError
            If a table cannot be read or has no column `file_name`.
        """
        for folder in folders:
            rows = self._read(folder)
            if image.is_relative_to(folder):
                below = image.relative_to(folder).as_posix()
                if below in rows:
                    return rows[below]
            if image.name in rows:
                return rows[image.name]
        return {}

    def _read(self, folder: Path) -> dict[str, _Cells]:
        if folder not in self._tables:
            paths = list_tables(folder, Path(FRAMES_CSV).stem)
            self._tables[folder] = _read_rows(paths[0]) if paths else {}
        return self._tables[folder]


def _read_rows(path: Path) -> dict[str, _Cells]:
    table = read_csv(path, required=["file_name"])
    rows = [_read_cells(row, table) for row in table]
    names = [_posix(row.get("file_name")) for row in table]
    bare = [PurePosixPath(name).name for name in names]
    times = Counter(bare)
    unique = {name: row for name, row in zip(bare, rows, strict=True) if times[name] == 1}
    return {**unique, **dict(zip(names, rows, strict=True))}


def _read_cells(row: Row, table: Table) -> _Cells:
    if not table.decimal_comma:
        return row.cells
    return {**row.cells, "time_s": point_decimals(row.get("time_s"))}


def _posix(name: str) -> str:
    return PurePosixPath(name.replace("\\", "/")).as_posix()
