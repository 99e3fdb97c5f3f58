"""A run on another machine: pack what its numbers rest on, and compute every number again."""

from __future__ import annotations

import json
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from canemo.errors import ModelError, OutputExistsError
from canemo.files import replacing, require_output, sha256_file
from canemo.learn.curves import CURVE_COLUMNS
from canemo.learn.evaluate import Evaluation
from canemo.learn.evidence import Evidence, read_evidence
from canemo.learn.lda import DiscriminantLearner
from canemo.learn.learner import Learner
from canemo.learn.predictions import PROBABILITY
from canemo.parallel import Progress, silent
from canemo.pipeline.assess import evaluate_evidence
from canemo.report.words.verdict import explain_verdict, write_first_sentence
from canemo.report.words.voice import find_voice
from canemo.study.records.folders import RunRecord, read_run
from canemo.study.records.run import RunMetrics
from canemo.study.runs import HASHES_FILE, METRICS_FILE, require_run
from canemo.trust.metrics_json import CHOICES, compute_metrics, stand_in_for

TOLERANCE = 1e-6
"""How far a recomputed number may be off, relative to its size (or to 1 where it is smaller)."""

MAX_SHOWN = 20
_ABOUT_FILE = "README.md"
_LEFT_OUT = ("format", "schema", "cost", "warnings")
_FROM_PREDICTIONS = (
    "the probe was trained on augmented views of the crops, which are not kept: the predictions "
    "were taken as they are, and the numbers computed from them"
)


def export_bundle(run_dir: Path | str, out: Path | str, *, force: bool = False) -> Path:
    """Write everything that a run's numbers rest on into one ZIP file, without any picture.

    Its README.md says whether the result can be told from chance.

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
    ConfigError
        `out` does not end in .zip, or nothing can be written there.
    """
    run_dir, out = Path(run_dir), Path(out)
    metrics = RunMetrics.read(require_run(run_dir) / METRICS_FILE)
    require_output(out, endings=(".zip",))
    files = _read_hashes(run_dir)
    missing = [name for name in files if not (run_dir / name).is_file()]
    if missing:
        raise ModelError(f"{run_dir / missing[0]} is missing: the run is not whole; make it again")
    if out.exists() and not force:
        raise OutputExistsError(f"{out} is there already; name another file, or give --force")
    with (
        replacing(out) as temporary,
        zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as bundle,
    ):
        bundle.writestr(_ABOUT_FILE, _describe_bundle(metrics))
        for name in [*files, HASHES_FILE]:
            bundle.write(run_dir / name, name)
    return out


def _describe_bundle(metrics: RunMetrics) -> str:
    """Return what stands first in a bundle: the verdict of its run, and how to check it."""
    verdict = " ".join(filter(None, (write_first_sentence(metrics), explain_verdict(metrics))))
    return (
        f"# What the numbers of the run “{metrics.study.name}” rest on\n\n"
        f"{find_voice(metrics.study).say(verdict)}\n\n"
        f"{METRICS_FILE} holds every number; `canemo verify` of this file computes each again.\n"
    )


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
        written down; ``predictions``, the largest difference of a probability (1 where other rows
        are there), or None where they were not computed again; ``sections``, for each part of
        metrics.json how many numbers there are, how many agree, and those that do not with both
        values; ``notes``.

    Raises
    ------
    ModelError
        It is no finished run, or a file of it is missing or damaged.
    """
    with _open_run(Path(run)) as folder:
        record = read_run(folder)
        files = _check_files(folder)
        try:
            evidence = read_evidence(record)
            learner, evaluation, off, notes = _evaluate_again(evidence, record, progress)
            again = compute_metrics(evidence, learner, evaluation, progress=progress).to_dict()
        except KeyError as exc:
            raise ModelError(
                f"{run}: {exc} is missing from {METRICS_FILE} or a table of it; give the folder of "
                "a run that this version of canemo finished, or an exported bundle"
            ) from exc
    stored = record.metrics.to_dict()
    for metrics in (stored, again):  # the rest of it is taken as stated
        metrics["protocol"] = {name: metrics["protocol"][name] for name in CHOICES}
    sections = {
        name: _compare_section(stored.get(name), again.get(name))
        for name in dict.fromkeys([*stored, *again])
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
    evidence: Evidence, run: RunRecord, progress: Progress
) -> tuple[Learner | DiscriminantLearner, Evaluation, float | None, list[str]]:
    if evidence.config.probe.method == "gradient":
        evaluation = Evaluation(
            run.predictions,
            (),
            (),
            pd.DataFrame(),
            run.curves[list(CURVE_COLUMNS)],
            run.metrics.training.frame_accuracy,
            (),
        )
        return stand_in_for(evidence.materials[0]), evaluation, None, [_FROM_PREDICTIONS]
    learner, evaluation = evaluate_evidence(evidence, progress=progress)
    return learner, evaluation, _compare_predictions(run.predictions, evaluation.predictions), []


def _compare_predictions(kept: pd.DataFrame, again: pd.DataFrame) -> float:
    """Return the largest difference of a probability; 1, the most there can be, of other rows."""
    keys = ["level", "video_id", "frame_index", "subject_id", "label", "fold"]
    numbers = [name for name in again.columns if name.startswith(PROBABILITY)]
    if len(kept) != len(again) or not {*keys, *numbers} <= set(kept.columns):
        return 1.0
    first, second = (table.sort_values(keys[:3]).reset_index(drop=True) for table in (kept, again))
    if not first[keys].astype(str).equals(second[keys].astype(str)):
        return 1.0
    off = np.abs(first[numbers].to_numpy() - second[numbers].to_numpy()).max()
    return float(off) if np.isfinite(off) else 1.0


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
        others = again if isinstance(again, Mapping) else {}
        for name in {**stored, **others}:
            if f"{key}.{name}" in (".name", ".confounds"):
                continue  # the folder's name; what needs pixels
            yield from _pair_leaves(stored.get(name), others.get(name), f"{key}.{name}")
    elif isinstance(stored, list):
        listed = again if isinstance(again, list | tuple) else []
        for number, (value, other) in enumerate(zip_longest(stored, listed)):
            yield from _pair_leaves(value, other, f"{key}[{number}]")
    else:
        yield key.removeprefix("."), stored, again


def _is_same(a: Any, b: Any) -> bool:
    if isinstance(a, int | float) and isinstance(b, int | float):
        return bool(abs(a - b) <= TOLERANCE * max(1.0, abs(a)))
    return bool(a == b)


def _check_files(folder: Path) -> dict[str, bool]:
    return {
        name: (folder / name).is_file() and sha256_file(folder / name) == digest
        for name, digest in _read_hashes(folder).items()
    }


def _read_hashes(folder: Path) -> dict[str, str]:
    try:
        content = json.loads((folder / HASHES_FILE).read_text(encoding="utf-8"))
        return {str(name): str(digest) for name, digest in content["sha256"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as exc:
        raise ModelError(
            f"{folder}: {HASHES_FILE} is missing or damaged; give a run that this version of "
            "canemo finished, or an exported bundle"
        ) from exc


@contextmanager
def _open_run(run: Path) -> Iterator[Path]:
    """Yield the folder of a run, unpacked where it is a bundle."""
    if run.is_dir() or not run.exists():
        yield require_run(run)
        return
    with tempfile.TemporaryDirectory(prefix="canemo-verify-") as folder:
        try:
            with zipfile.ZipFile(run) as bundle:
                bundle.extractall(folder)
        except (OSError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error) as exc:
            raise ModelError(
                f"{run}: neither a run folder nor an exported bundle ({exc}); give "
                "STUDY/runs/NAME, or a file that `canemo export --bundle` wrote"
            ) from exc
        yield Path(folder)
