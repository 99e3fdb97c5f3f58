"""What the report reads of a finished run, checked once."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from canemo.errors import ModelError
from canemo.runs import CONFOUNDS_FILE

logger = logging.getLogger(__name__)

METRICS_SCHEMA = 1
EXPLANATION_FILE = "explanation.json"
EXPLANATION_SCHEMA = 2

_NEEDED: Mapping[str, tuple[str, ...]] = {
    "study": (
        "name", "videos", "subjects", "labels", "labels_by_subject", "frames", "crops", "fates",
        "fates_by_label",
    ),
    "protocol": ("backbone", "split", "folds", "positive_label", "resamples"),
    "levels": ("video", "frame"),
    "subjects": (),
    "chance": ("majority",),
    "cost": (),
    "warnings": (),
}  # fmt: skip


@dataclass(frozen=True)
class RunRecord:
    """A finished run: `metrics.json`, `environment.json`, the text of `config.toml`, pictures.

    What `confounds.json` holds, where an audit has left it, stands in `metrics` under ``audit``.

    `pictures` are the PNG files under `figures/` by name, e.g. ``"crops.png"``; `curves` the rows
    of `curves.parquet`, none where nothing was trained in epochs; `explanation` what
    `canemo explain` left there of the run, or None.
    """

    metrics: Mapping[str, Any]
    environment: Mapping[str, Any]
    config_toml: str
    pictures: Mapping[str, Path]
    curves: pd.DataFrame = field(default_factory=pd.DataFrame)
    explanation: Mapping[str, Any] | None = None


def read_run(run_dir: Path) -> RunRecord:
    """Read the parts of a finished run that the report shows.

    Raises
    ------
    ModelError
        A file is missing or damaged, or was written by another version of the format.
    """
    metrics = _read_json(run_dir, "metrics.json")
    _check_metrics(metrics, run_dir / "metrics.json")
    if (run_dir / CONFOUNDS_FILE).is_file():
        audit = metrics.get("audit") or {}
        metrics["audit"] = audit | {"confounds": _read_json(run_dir, CONFOUNDS_FILE)}
    return RunRecord(
        metrics=metrics,
        environment=_read_json(run_dir, "environment.json"),
        config_toml=_read_text(run_dir, "config.toml"),
        pictures={path.name: path for path in sorted((run_dir / "figures").glob("*.png"))},
        curves=read_curves(run_dir),
        explanation=_read_explanation(run_dir),
    )


def _read_explanation(run_dir: Path) -> Mapping[str, Any] | None:
    place = run_dir / "explain"
    if not (place / EXPLANATION_FILE).is_file():
        return None
    try:
        content = _read_json(place, EXPLANATION_FILE)
    except ModelError:
        logger.warning("%s: cannot be read and is not shown; explain the run again", place)
        return None
    if content.get("schema") != EXPLANATION_SCHEMA:
        logger.warning("%s: is of another version and not shown; explain the run again", place)
        return None
    own = [each for each in content["models"] if each.get("name") == run_dir.resolve().name]
    return own[0] if own else None


def read_curves(run_dir: Path) -> pd.DataFrame:
    """Return the rows of `curves.parquet`, an empty table where there is none."""
    path = run_dir / "curves.parquet"
    return pd.read_parquet(path) if path.is_file() else pd.DataFrame()


def _read_text(run_dir: Path, name: str) -> str:
    try:
        return (run_dir / name).read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError) as exc:
        raise ModelError(
            f"{run_dir}: not a finished run, {name} is missing; finish it with `canemo run STUDY`, "
            "or name a folder STUDY/runs/NAME that holds metrics.json, environment.json and "
            "config.toml"
        ) from exc


def _read_json(run_dir: Path, name: str) -> dict[str, Any]:
    try:
        content = json.loads(_read_text(run_dir, name))
    except json.JSONDecodeError as exc:
        raise ModelError(f"{run_dir / name}: not valid JSON ({exc}); run the study again") from exc
    if not isinstance(content, dict):
        kind = type(content).__name__
        raise ModelError(f"{run_dir / name}: holds a {kind}, wanted an object; run again")
    return content


def _check_metrics(metrics: Mapping[str, Any], path: Path) -> None:
    if metrics.get("schema") != METRICS_SCHEMA:
        raise ModelError(
            f"{path}: schema is {metrics.get('schema')!r}, this version of canemo reads "
            f"{METRICS_SCHEMA}; run the study again with this version"
        )
    missing = [
        f"{section}.{key}" if key else section
        for section, keys in _NEEDED.items()
        for key in keys or ("",)
        if section not in metrics or (key and key not in metrics[section])
    ]
    if missing:
        raise ModelError(f"{path}: {', '.join(missing)} missing; run the study again")
