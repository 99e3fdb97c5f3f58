"""What a path is that was given for a study and is none, and what to give instead."""

from __future__ import annotations

from pathlib import Path

from canemo.formats.tables import TABLE_SUFFIXES, list_tables
from canemo.video.info import VIDEO_SUFFIXES

VIDEOS, SUBJECTS = "videos", "subjects"
"""The tables of a study, `.csv` or workbooks."""

MADE = ("cache", "runs", "comparisons", "detectors", "concepts", "dynamics")
"""Folders of a study that hold what canemo made of it, and no material of anybody's."""

_WANTED = "give the folder of a study, which has a videos.csv"


def explain_no_study(place: Path) -> tuple[str, str]:
    """Return what a place without a table of videos is, and what to give or do instead."""
    if not place.exists():
        return "there is no such folder", f"{_WANTED}, or make one with `canemo init FOLDER`"
    if place.is_dir() and not any(place.iterdir()):
        return "this folder is empty", f"{_WANTED}, or put videos into it and `canemo init {place}`"
    home = next((each for each in place.parents if list_tables(each, VIDEOS)), None)
    instead = _WANTED if home is None else f"give {home}, which has the table of the videos"
    if place.is_file():
        return f"this is {name_file(place)}, not the folder of a study", instead
    if home is not None:
        what = "a run of a study, not a study" if place.parent.name == "runs" else "not a study"
        return f"this is {what}", instead
    number = sum(path.suffix.lower() in VIDEO_SUFFIXES for path in place.rglob("*"))
    if number:
        return (
            f"there are {number} videos and no videos.csv, which says whose they are",
            f"`canemo init {place}` writes one from the names of the files",
        )
    return "there is no videos.csv in this folder, and no video", _WANTED


def list_material(folder: Path) -> list[Path]:
    """Return all files below a folder, sorted, but those that canemo made of studies in it."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    homes = [home for home in {path.parent for path in files} if list_tables(home, VIDEOS)]
    made = {home / name for home in homes for name in MADE}
    return [path for path in files if not made & {*path.parents}]


def name_file(place: Path) -> str:
    """Return what a file is, by its ending."""
    if place.suffix.lower() in VIDEO_SUFFIXES:
        return "a video"
    return "a table" if place.suffix.lower() in TABLE_SUFFIXES else "a file"
