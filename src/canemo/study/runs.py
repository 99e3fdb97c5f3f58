"""Folders of results: made beside their place and moved there when they are complete."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from canemo.config import Config, MeasureConfig, PointsSetting, format_config
from canemo.errors import ModelError, OutputExistsError
from canemo.files import sha256_file, write_atomically
from canemo.formats.tables import hash_table, list_tables
from canemo.study.places import SUBJECTS, VIDEOS, name_file
from canemo.study.records.document import RUN

CONFIG_FILE, METRICS_FILE, INPUTS_FILE = "config.toml", "metrics.json", "inputs.json"
COMPARISON_FILE = "comparison.json"
HASHES_FILE, CONFOUNDS_FILE, CLIPS_FILE = "hashes.json", "confounds.json", "clips.json"
REPORT_FILE, RESULTS_FILE, CLIPS_CSV = "report.html", "results.xlsx", "predictions.csv"
EXPLAIN_DIR = "explain"
_ADDED = {CONFOUNDS_FILE: "audit RUN --confounds", EXPLAIN_DIR: "explain RUN"}
"""What other commands add to a run, and which."""

_NO_EVIDENCE = (REPORT_FILE, RESULTS_FILE, CLIPS_CSV, HASHES_FILE, CONFOUNDS_FILE, CLIPS_FILE)
_WANTED = "give the folder of a finished run, STUDY/runs/NAME"
_MAX_NAMED = 12
_TIMED = {METRICS_FILE, "environment.json"}  # say how long it took, and when: never twice the same
_HOMES = {METRICS_FILE: "runs", COMPARISON_FILE: "comparisons"}
logger = logging.getLogger(__name__)


@contextmanager
def new_run(
    study_dir: Path, name: str, config: Config, *, force: bool, result: str = METRICS_FILE
) -> Iterator[Path]:
    """Yield an empty folder; when the block ends without error it takes its place in the study.

    `result` is the file whose presence means complete; it also decides where the folder goes.

    On an error or an interrupt the folder is removed and a run that stood there is untouched.

    Raises
    ------
    OutputExistsError
        A run of that name was made from other settings or tables, and `force` is not given.
    """
    require_replaceable(study_dir, name, config, force=force, result=result)
    place = find_run(study_dir, name, result=result)
    wanted = _describe_origin(study_dir, config)
    partial = place.with_name(f".{place.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        for file, text in wanted.items():
            write_atomically(partial / file, text)
        yield partial
        put_in_place(partial, place)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def require_replaceable(
    study_dir: Path, name: str, config: Config, *, force: bool, result: str = METRICS_FILE
) -> None:
    """Raise as `new_run` does where a run of that name was made from something else."""
    place = find_run(study_dir, name, result=result)
    if force or not (place / result).is_file():
        return
    for file, text in _describe_origin(study_dir, config).items():
        if not (place / file).is_file() or (place / file).read_text(encoding="utf-8") != text:
            what = "settings" if file == CONFIG_FILE else "tables"
            raise OutputExistsError(
                f"{place} was made from other {what}; give the new run a name with --name, or "
                "replace the old one with --force"
            )


def _describe_origin(study_dir: Path, config: Config) -> dict[str, str]:
    return {CONFIG_FILE: format_config(config), INPUTS_FILE: describe_inputs(study_dir)}


def find_run(study_dir: Path, name: str, *, result: str = METRICS_FILE) -> Path:
    """Return the folder of the run (or comparison) `name`."""
    return study_dir / _HOMES[result] / name.replace("/", "_").replace(":", "_")


def list_runs(study_dir: Path) -> list[Path]:
    """Return the folders of a study's finished runs, the latest first."""
    found = (study_dir / _HOMES[METRICS_FILE]).glob(f"[!.]*/{METRICS_FILE}")
    return [path.parent for path in sorted(found, key=lambda path: -path.stat().st_mtime)]


def require_run(place: Path) -> Path:
    """Return a folder that holds a finished run.

    Raises
    ------
    ModelError
        It does not; the message says what it is instead, and names the runs that a study has.
    """
    if not (place / METRICS_FILE).is_file():
        raise ModelError(f"{place}: {explain_no_run(place)}")
    return place


def explain_no_run(place: Path) -> str:
    """Return what a place is that is no finished run, and what to give instead."""
    if place.is_file():
        return f"this is {name_file(place)}, not a run; {_WANTED}"
    if not place.exists():
        return f"there is nothing of that name; {_WANTED}"
    if list_tables(place, VIDEOS):
        runs = list_runs(place)
        if not runs:
            return f"this is a study without a finished run; make one with `canemo run {place}`"
        return f"this is a study, not a run of it; give one of its runs: {_name_all(runs)}"
    if place.name == _HOMES[METRICS_FILE] and (runs := list_runs(place.parent)):
        return f"this is the folder of all runs; give one of them: {_name_all(runs)}"
    if (place / COMPARISON_FILE).is_file():
        return f"this is a comparison, not a run; {_WANTED}"
    if (place.parent / METRICS_FILE).is_file():
        return f"this is a part of a run; give the run, {place.parent}"
    return f"not {RUN.what}, {METRICS_FILE} is missing; {RUN.remedy}, or {_WANTED}"


def _name_all(runs: Sequence[Path]) -> str:
    named = ", ".join(map(str, sorted(runs)[:_MAX_NAMED]))
    return f"{named} and {len(runs) - _MAX_NAMED} more" if len(runs) > _MAX_NAMED else named


def list_evidence_files(run_dir: Path) -> list[str]:
    """Return the names of the files that hold settings, evidence and numbers, not pictures."""
    files = sorted(path.name for path in run_dir.iterdir() if path.is_file())
    return [name for name in files if name not in _NO_EVIDENCE]


def write_hashes(run_dir: Path) -> Path:
    """Write the SHA-256 of each of `list_evidence_files`, for whoever checks the run later."""
    hashes = {name: sha256_file(run_dir / name) for name in list_evidence_files(run_dir)}
    return write_atomically(run_dir / HASHES_FILE, json.dumps({"sha256": hashes}, indent=1))


def keep_added(old: Path, new: Path) -> None:
    """Copy what other commands added to a run into the one that replaces it.

    Only where both rest on the same evidence, for then it would come out the same again; where they
    do not, a warning names what goes, and the command that makes it anew.
    """
    added = {name: command for name, command in _ADDED.items() if (old / name).exists()}
    if added and _hash_evidence(old) != _hash_evidence(new):
        again = " and ".join(f"`canemo {command}`" for command in added.values())
        logger.warning(
            "%s rests on other evidence than before, so what was added to it is dropped (%s); make "
            "it again with %s",
            old,
            ", ".join(added),
            again,
        )
        return
    for name in added:
        copy = shutil.copytree if (old / name).is_dir() else shutil.copy2
        copy(old / name, new / name)


def _hash_evidence(run_dir: Path) -> dict[str, str]:
    files = set(list_evidence_files(run_dir)) - _TIMED
    return {name: sha256_file(run_dir / name) for name in files}


def pin_engines(
    config: Config,
    *,
    engine: str,
    precision: str,
    detector_engine: str,
    points: PointsSetting | None = None,
) -> Config:
    """Return the settings with engines and precision named, and points where they are given."""
    backbone = config.backbone.model_copy(update={"engine": engine, "precision": precision})
    detect = config.detect.model_copy(update={"engine": detector_engine})
    measure = config.measure if points is None else MeasureConfig(points=points)
    return config.model_copy(update={"backbone": backbone, "detect": detect, "measure": measure})


def describe_inputs(study_dir: Path) -> str:
    """Return the SHA-256 of the tables of a study as JSON."""
    paths = [path for stem in (VIDEOS, SUBJECTS) for path in list_tables(study_dir, stem)]
    hashes = {path.name: hash_table(path) for path in paths}
    return json.dumps({"sha256": hashes}, indent=1)


def put_in_place(partial: Path, place: Path) -> None:
    """Move a complete folder to its place; what stood there goes only once it is replaced."""
    old = place.with_name(f".{place.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if place.exists():
        place.rename(old)
    try:
        partial.rename(place)
    except BaseException:
        if old.exists():
            old.rename(place)
        raise
    shutil.rmtree(old, ignore_errors=True)
