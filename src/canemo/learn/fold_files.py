"""The classifiers that a run was evaluated with: a file of safetensors, described in its header.

Each array is named ``NUMBER.ARRAY`` after its fold; the header holds, as JSON, what each classifier
learned from and which subjects it was tested on.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from canemo.errors import ModelError
from canemo.files import write_atomically
from canemo.learn.classifier_files import describe_classifier, list_arrays, make_classifier
from canemo.learn.evaluate import TestedFold
from canemo.learn.splits import Fold
from canemo.study.records.document import FOLDS, require_format, stamp

FOLDS_FILE = "folds.safetensors"
_HEADER = "canemo"


def write_folds(folds: Sequence[TestedFold], folder: Path) -> Path:
    """Write the classifiers of folds, and what each has seen, into a run folder."""
    arrays = {
        f"{fold.number}.{name}": array
        for fold in folds
        for name, array in list_arrays(fold.classifier).items()
    }
    content = stamp({"folds": [_describe(fold) for fold in folds]}, FOLDS)
    header = {_HEADER: json.dumps(content, ensure_ascii=False)}
    return write_atomically(folder / FOLDS_FILE, save(arrays, metadata=header))


def read_folds(folder: Path) -> tuple[TestedFold, ...]:
    """Read what `write_folds` wrote into a run folder.

    Raises
    ------
    ModelError
        The file is missing or damaged, or another version of canemo wrote it.
    """
    path = folder / FOLDS_FILE
    try:
        with safe_open(path, framework="numpy") as file:
            content = json.loads((file.metadata() or {})[_HEADER])
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        require_format(content, FOLDS, path)
        return tuple(_read(each, arrays) for each in content["folds"])
    except ModelError:
        raise
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as exc:
        reason = (str(exc) or type(exc).__name__).splitlines()[0]
        raise ModelError(
            f"{path}: the classifiers of the folds cannot be read ({reason}); give the folder of a "
            "run that this version of canemo finished"
        ) from exc


def _describe(fold: TestedFold) -> dict[str, Any]:
    return {
        "fold": fold.number,
        "train": list(fold.subjects.train),
        "test": list(fold.subjects.test),
        "pooling": fold.pooling,
        "frames": fold.frames,
        "labels": list(fold.classifier.labels),
        **describe_classifier(fold.classifier),
    }


def _read(content: dict[str, Any], arrays: dict[str, Any]) -> TestedFold:
    own = f"{content['fold']}."
    return TestedFold(
        content["fold"],
        Fold(tuple(content["train"]), tuple(content["test"])),
        content["pooling"],
        content["frames"],
        make_classifier(
            content, {n.removeprefix(own): a for n, a in arrays.items() if n.startswith(own)}
        ),
    )
