"""A run on another machine: pack what its numbers rest on, and compute every number again."""

from __future__ import annotations

import json
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from canemo.assessment import evaluate_evidence
from canemo.curves import CURVE_COLUMNS
from canemo.errors import ModelError, OutputExistsError
from canemo.evaluate import Evaluation
from canemo.evidence import Evidence, read_evidence
from canemo.files import replacing, sha256_file
from canemo.learners import DiscriminantLearner, Learner
from canemo.progress import Progress, silent
from canemo.run_metrics import compute_metrics, stand_in_for
from canemo.runs import HASHES_FILE, METRICS_FILE, list_evidence_files

TOLERANCE = 1e-6
"""How far a recomputed number may be off, relative to its size (or to 1 where it is smaller)."""

MAX_SHOWN = 20
_LEFT_OUT = ("schema", "cost", "warnings")
_FROM_PREDICTIONS = (
    "the probe was trained on augmented views of the crops, which are not kept: the predictions "
    "were taken as they are, and the numbers computed from them"
)


def export_bundle(run_dir: Path | str, out: Path | str, *, force: bool = False) -> Path:
    """Write everything that a run's numbers rest on into one ZIP file, without any picture.

    Parameters
    ----------
    run_dir
        A finished run.
    out
        The file to write.
    force
        Replace it where it is there.

    Raises
    ------
    ModelError
        `run_dir` is no finished run.
    OutputExistsError
        `out` is there and `force` is not given.
    """
    run_dir, out = Path(run_dir), Path(out)
    _read_metrics(run_dir)
    if out.exists() and not force:
        raise OutputExistsError(f"{out} is there already; name another file, or give --force")
    with (
        replacing(out) as temporary,
        zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as bundle,
    ):
        for name in [*list_evidence_files(run_dir), HASHES_FILE]:
            bundle.write(run_dir / name, name)
    return out


def verify_run(run: Path | str, *, progress: Progress = silent) -> dict[str, Any]:
    """Compute every number of a run again from its features and predictions, without any video.

    Parameters
    ----------
    run
        The folder of a finished run, or the file that `export_bundle` wrote.
    progress
        Told how far it is.

    Returns
    -------
    dict
        ``agrees``, whether everything does; ``files``, name -> whether its SHA-256 is the one
        written down; ``predictions``, the largest difference of a probability, or None where they
        were not computed again; ``sections``, for each part of metrics.json how many numbers there
        are, how many agree, and those that do not with both values; ``notes``.

    Raises
    ------
    ModelError
        It is no finished run, or a file of it is missing or damaged.
    """
    with _open_run(Path(run)) as folder:
        stored = _read_metrics(folder)
        files = _check_files(folder)
        evidence = read_evidence(folder, protocol=stored["protocol"])
        learner, evaluation, off, notes = _evaluate_again(evidence, folder, stored, progress)
        again = compute_metrics(evidence, learner, evaluation, progress=progress)
    sections = {
        name: _compare_section(stored[name], again.get(name))
        for name in stored
        if name not in _LEFT_OUT
    }
    same = off is None or off <= TOLERANCE
    whole = all(section["agree"] == section["numbers"] for section in sections.values())
    return {
        "agrees": bool(same and whole and all(files.values())),
        "files": files,
        "predictions": off,
        "sections": sections,
        "notes": notes,
    }


def _evaluate_again(
    evidence: Evidence, folder: Path, stored: Mapping[str, Any], progress: Progress
) -> tuple[Learner | DiscriminantLearner, Evaluation, float | None, list[str]]:
    kept = pd.read_parquet(folder / "predictions.parquet")
    if evidence.config.probe.method == "gradient":
        curves = pd.read_parquet(folder / "curves.parquet")
        evaluation = Evaluation(
            kept,
            (),
            (),
            pd.DataFrame(),
            curves[list(CURVE_COLUMNS)],
            stored["training"]["frame_accuracy"],
            (),
        )
        return stand_in_for(evidence.materials[0]), evaluation, None, [_FROM_PREDICTIONS]
    learner, evaluation = evaluate_evidence(evidence, progress=progress)
    return learner, evaluation, _compare_predictions(kept, evaluation.predictions), []


def _compare_predictions(kept: pd.DataFrame, again: pd.DataFrame) -> float:
    """Return the largest difference of a probability; infinite where the rows differ."""
    keys = ["level", "video_id", "frame_index"]
    numbers = [name for name in kept.columns if name.startswith("probability_")]
    if len(kept) != len(again) or not set(numbers) <= set(again.columns):
        return float("inf")
    first, second = (table.sort_values(keys).reset_index(drop=True) for table in (kept, again))
    if (
        not first[["video_id", "label"]]
        .astype(str)
        .equals(second[["video_id", "label"]].astype(str))
    ):
        return float("inf")
    return float(np.abs(first[numbers].to_numpy() - second[numbers].to_numpy()).max())


def _compare_section(stored: Any, again: Any) -> dict[str, Any]:
    pairs = list(_pair_leaves(stored, again, ""))
    differ = [(key, a, b) for key, a, b in pairs if not _is_same(a, b)]
    return {
        "numbers": len(pairs),
        "agree": len(pairs) - len(differ),
        "differ": [{"key": key, "stored": a, "recomputed": b} for key, a, b in differ[:MAX_SHOWN]],
    }


def _pair_leaves(stored: Any, again: Any, key: str) -> Iterator[tuple[str, Any, Any]]:
    """Yield every value that is no container beside its counterpart, None where there is none."""
    if isinstance(stored, Mapping):
        for name, value in stored.items():
            if f"{key}.{name}" in (".name", ".confounds"):
                continue  # the folder's name; what needs pixels
            other = again.get(name) if isinstance(again, Mapping) else None
            yield from _pair_leaves(value, other, f"{key}.{name}")
    elif isinstance(stored, list):
        others = again if isinstance(again, list | tuple) else []
        padded = [*others, *[None] * (len(stored) - len(others))]
        for number, value in enumerate(stored):
            yield from _pair_leaves(value, padded[number], f"{key}[{number}]")
    else:
        yield key.removeprefix("."), stored, again


def _is_same(a: Any, b: Any) -> bool:
    if isinstance(a, int | float) and isinstance(b, int | float):
        return bool(abs(a - b) <= TOLERANCE * max(1.0, abs(a)))
    return bool(a == b)


def _check_files(folder: Path) -> dict[str, bool]:
    try:
        wanted = json.loads((folder / HASHES_FILE).read_text(encoding="utf-8"))["sha256"]
    except (OSError, ValueError, KeyError) as exc:
        raise ModelError(
            f"{folder}: {HASHES_FILE} is missing or damaged; give a run that this version of "
            "canemo finished, or an exported bundle"
        ) from exc
    return {
        name: (folder / name).is_file() and sha256_file(folder / name) == digest
        for name, digest in wanted.items()
    }


def _read_metrics(folder: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads((folder / METRICS_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError) as exc:
        raise ModelError(
            f"{folder}: not a finished run ({METRICS_FILE} cannot be read); give STUDY/runs/NAME, "
            "or a file that `canemo export --bundle` wrote"
        ) from exc
    return content


@contextmanager
def _open_run(run: Path) -> Iterator[Path]:
    """Yield the folder of a run, unpacked where it is a bundle."""
    if run.is_dir():
        yield run
        return
    with tempfile.TemporaryDirectory(prefix="canemo-verify-") as folder:
        try:
            with zipfile.ZipFile(run) as bundle:
                bundle.extractall(folder)
        except (OSError, zipfile.BadZipFile) as exc:
            raise ModelError(
                f"{run}: neither a run folder nor an exported bundle ({exc}); give "
                "STUDY/runs/NAME, or a file that `canemo export --bundle` wrote"
            ) from exc
        yield Path(folder)
