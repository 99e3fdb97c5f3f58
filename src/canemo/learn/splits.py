"""Which subjects train and which test. A split knows subjects only, never frames or videos."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from canemo.errors import SplitError
from canemo.files import write_atomically

SPLIT_SCHEMA = 1
MAX_LOSO_SUBJECTS = 40
BALANCED_DRAWS = 1000


@dataclass(frozen=True)
class Fold:
    """Two disjoint sets of subjects, each in alphabetical order."""

    train: tuple[str, ...]
    test: tuple[str, ...]

    def __post_init__(self) -> None:
        shared = sorted(set(self.train) & set(self.test))
        if shared:
            raise SplitError(f"subject {shared[0]!r} is in training and test of the same fold")
        if not self.train or not self.test:
            raise SplitError("a fold needs at least one training and one test subject")


@dataclass(frozen=True)
class Split:
    """The folds of an evaluation; `kind` is the text that asked for them."""

    kind: str
    seed: int
    folds: tuple[Fold, ...]


def make_split(
    subject_ids: Sequence[str],
    *,
    kind: str = "auto",
    seed: int = 0,
    labels: Mapping[str, Mapping[str, int]] | None = None,
) -> Split:
    """Divide subjects into folds.

    Parameters
    ----------
    subject_ids
        The S distinct subjects.
    kind
        ``loso`` (leave one subject out), ``kfold:K``, ``holdout:N`` (N test subjects, once),
        ``holdout:N:balanced`` (of many draws the one whose test subjects' clips come nearest to
        the study's shares of labels), ``file:PATH`` (a saved split) or ``auto`` (loso up to 40
        subjects, else kfold:10).
    seed
        Decides who goes where in ``kfold`` and ``holdout``.
    labels
        subject -> label -> clips; only ``balanced`` looks at it.

    Raises
    ------
    SplitError
        Unknown kind, too few subjects, or a saved split that does not fit the study.
    """
    subjects = sorted(set(subject_ids))
    if len(subjects) < 2:
        raise SplitError(
            f"{len(subjects)} subject(s); testing on unseen subjects needs at least 2: add videos "
            "of other subjects"
        )
    if kind == "auto":
        kind = "loso" if len(subjects) <= MAX_LOSO_SUBJECTS else "kfold:10"
    name, _, argument = kind.partition(":")
    if name == "file":
        return _matched(load_split(Path(argument)), subjects, path=Path(argument))
    if name == "loso" and not argument:
        groups = [[subject] for subject in subjects]
    elif name == "kfold":
        groups = _kfold(subjects, _count(kind, argument, 2, len(subjects)), seed=seed)
    elif name == "holdout":
        number, _, how = argument.partition(":")
        size = _count(kind, number, 1, len(subjects) - 1)
        if argument != number and how != "balanced":
            raise SplitError(f"split {kind!r}: after the number only ':balanced' may follow")
        if how and not set(subjects) <= set(labels or ()):
            raise SplitError(f"split {kind!r}: the labels of every subject must be given")
        groups = [_draw_test(subjects, size, seed=seed, labels=labels if how else None)]
    else:
        raise SplitError(
            f"split {kind!r} is unknown; there are auto, loso, kfold:K, holdout:N, "
            "holdout:N:balanced, file:PATH"
        )
    return Split(kind, seed, tuple(_fold(subjects, group) for group in groups))


def save_split(split: Split, path: Path) -> Path:
    """Write the folds as JSON, to be given again as ``file:PATH``."""
    folds = [{"train": list(fold.train), "test": list(fold.test)} for fold in split.folds]
    content = {"schema": SPLIT_SCHEMA, "kind": split.kind, "seed": split.seed, "folds": folds}
    return write_atomically(path, json.dumps(content, indent=1, ensure_ascii=False))


def load_split(path: Path) -> Split:
    """Read folds that `save_split` wrote.

    Raises
    ------
    SplitError
        The file is missing or no split.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["schema"] != SPLIT_SCHEMA:
            raise SplitError(f"schema {content['schema']}, expected {SPLIT_SCHEMA}")
        folds = tuple(Fold(tuple(f["train"]), tuple(f["test"])) for f in content["folds"])
        return Split(content["kind"], content["seed"], folds)
    except (OSError, ValueError, KeyError, TypeError) as exc:
        if isinstance(exc, SplitError):
            raise SplitError(f"{path}: {exc}") from exc
        raise SplitError(f"{path}: not a saved split ({exc}); give a split.json of a run") from exc


def iter_inner_folds(
    subject_ids: Sequence[str], *, folds: int, seed: int
) -> Iterator[tuple[frozenset[str], frozenset[str]]]:
    """Yield (train, validation) subjects for choices made inside a training set."""
    subjects = sorted(set(subject_ids))
    for group in _kfold(subjects, min(folds, len(subjects)), seed=seed):
        held = frozenset(group)
        yield frozenset(subjects) - held, held


def _fold(subjects: Sequence[str], test: Sequence[str]) -> Fold:
    held = set(test)
    return Fold(tuple(s for s in subjects if s not in held), tuple(sorted(held)))


def _kfold(subjects: Sequence[str], k: int, *, seed: int) -> list[list[str]]:
    shuffled = _shuffled(subjects, seed)
    return [shuffled[start::k] for start in range(k)]


def _shuffled(subjects: Sequence[str], seed: int) -> list[str]:
    order = np.random.default_rng(seed).permutation(len(subjects))
    return [subjects[i] for i in order]


def _draw_test(
    subjects: Sequence[str],
    size: int,
    *,
    seed: int,
    labels: Mapping[str, Mapping[str, int]] | None,
) -> list[str]:
    """Draw the test subjects; with `labels`, the draw whose label shares are nearest to all."""
    if labels is None:
        return _shuffled(subjects, seed)[:size]
    names = sorted({label for counts in labels.values() for label in counts})
    table = np.array([[labels[s].get(name, 0) for name in names] for s in subjects], dtype=float)
    whole = table.sum(axis=0) / table.sum()
    rng = np.random.default_rng(seed)
    draws = [rng.permutation(len(subjects))[:size] for _ in range(BALANCED_DRAWS)]
    parts = [table[rows].sum(axis=0) for rows in draws]
    distance = [np.abs(part / part.sum() - whole).sum() for part in parts]
    return [subjects[i] for i in draws[int(np.argmin(distance))]]


def _count(kind: str, argument: str, least: int, most: int) -> int:
    if not argument.isdigit() or not least <= int(argument) <= most:
        raise SplitError(
            f"split {kind!r}: expected a whole number from {least} to {most} for this study's "
            "subjects; choose another with --split"
        )
    return int(argument)


def _matched(split: Split, subjects: Sequence[str], *, path: Path) -> Split:
    tested = Counter(s for fold in split.folds for s in fold.test)
    if tested and max(tested.values()) > 1:
        raise SplitError(
            f"{path}: subject {tested.most_common(1)[0][0]!r} is tested in more than one fold; its "
            "clips would count twice"
        )
    named = {s for fold in split.folds for s in (*fold.train, *fold.test)}
    unknown, unnamed = sorted(named - set(subjects)), sorted(set(subjects) - named)
    if unknown or unnamed:
        who = f"{unknown[0]!r} is not in the study" if unknown else f"{unnamed[0]!r} is not in it"
        raise SplitError(f"{path}: the split does not fit this study: subject {who}")
    return Split(f"file:{path.name}", split.seed, split.folds)
