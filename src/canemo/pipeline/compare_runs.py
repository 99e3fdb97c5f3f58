"""Finished runs side by side on the videos that all of them tested; no video is opened."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import count as count_up
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from canemo.config import EvaluateConfig, load_config
from canemo.errors import ConfigError, ModelError
from canemo.learn.predictions import PROBABILITY, Predictions, select_level
from canemo.learn.splits import load_split
from canemo.report.tables import Column, describe_measures, describe_records, format_text
from canemo.report.words.comparison import describe_pairs
from canemo.report.words.wording import count, join_words
from canemo.species import Species
from canemo.study.records.comparison import RunsComparison, WhatRan
from canemo.study.records.folders import PREDICTIONS_FILE, RunRecord, read_run
from canemo.study.records.run import RunMetrics
from canemo.trust.comparison import compare_every_pair
from canemo.trust.summaries import summarise_level

SPLIT_FILE = "split.json"
SHOWN_VIDEOS = 5
_SCORES = ("accuracy", "balanced_accuracy", "auroc")
_IDENTITY = ["subject_id", "label"]


@dataclass(frozen=True)
class _TestedRun:
    """A finished run; `videos` are its rows of the level ``video``, by video_id."""

    given: str
    folder: Path
    metrics: RunMetrics
    labels: tuple[str, ...]
    folds: frozenset[tuple[frozenset[str], frozenset[str]]]
    videos: pd.DataFrame


def compare_runs(
    run_dirs: Sequence[Path | str], *, resamples: int | None = None, seed: int | None = None
) -> RunsComparison:
    """Compare finished runs of one study, or of copies of it, on the videos that all tested.

    Parameters
    ----------
    run_dirs
        Two or more folders ``STUDY/runs/NAME``.
    resamples, seed
        Number of bootstrap resamples and of drawn sign patterns, and the seed that draws them;
        None takes those of the first run.

    Returns
    -------
    RunsComparison
        ``runs`` with their scores by video, ``pairs`` with every difference (first
        minus second), its interval, p, p after Holm over all pairs and effect size; ``videos`` and
        ``subjects`` that all runs tested, ``left_out`` videos that only some did, ``warnings``.

    Raises
    ------
    ConfigError
        Fewer than two runs, a run twice, or impossible `resamples` or `seed`.
    ModelError
        A folder is no finished run or is damaged; the runs differ in their labels or in the subject
        or label of a video, or have no video in common.
    SplitError
        The saved split of a run cannot be read.

    Notes
    -----
    Runs are paired over subjects: these are resampled and flipped whole, as in
    `canemo.trust.pairs.compare_pair`. Runs that were tested in different folds also differ in what
    they learned from; that is a warning.
    """
    runs = [_read_tested_run(given) for given in _require_distinct(run_dirs)]
    named = dict(zip(_name_runs(runs), runs, strict=True))
    labels = _require_same_labels(named)
    common = _find_common_videos(named)
    _require_same_videos(named, common)
    everyone = set().union(*(run.videos.index for run in runs))
    left_out = sorted(everyone - set(common))
    videos = {
        name: select_level(run.videos.loc[common], "video", labels) for name, run in named.items()
    }
    settings = _choose_resampling(runs[0], resamples=resamples, seed=seed)
    subjects = len(set(videos[next(iter(videos))].subject_ids))
    species = runs[0].metrics.study.kind
    content = {
        "runs": [_describe_run(name, named[name], videos[name], settings) for name in named],
        "videos": len(common),
        "subjects": subjects,
        "species": species.name,
        "left_out": len(left_out),
        "pairs": compare_every_pair(videos, resamples=settings.resamples, seed=settings.seed),
        "warnings": [
            *_warn_about_left_out(left_out),
            *_warn_about_folds(named, species),
            *_warn_about_subjects(subjects),
            *_pass_on_warnings(named),
        ],
    }
    return RunsComparison.model_validate(content)


def format_run_comparison(content: RunsComparison) -> str:
    """Return what `compare_runs` found as two tables: the runs, and their differences."""
    species = content.kind
    what = f"{count(content.videos, 'clip')} of {species.count(content.subjects)}"
    columns = (Column("name", "Run"), *describe_measures(*_SCORES))
    parts = [
        f"{what}, tested by every run with probes that had not seen the {species.noun}",
        format_text(describe_records("", columns, content.runs), is_captioned=False),
        format_text(describe_pairs(content.pairs), is_explained=True),
        "\n".join(f"Warning: {warning}" for warning in content.warnings),
    ]
    return "\n\n".join(filter(None, parts))


def _require_distinct(run_dirs: Sequence[Path | str]) -> list[Path]:
    folders = [Path(run_dir) for run_dir in run_dirs]
    if len(folders) < 2:
        raise ConfigError(
            f"{len(folders)} run folder(s) given, a comparison of runs needs at least 2; give "
            "STUDY/runs/NAME of each"
        )
    seen: set[Path] = set()
    for folder in folders:
        if folder.resolve() in seen:
            raise ConfigError(f"{folder}: the same run is given twice; give each run once")
        seen.add(folder.resolve())
    return folders


def _read_tested_run(given: Path) -> _TestedRun:
    folder = given.resolve()
    run = read_run(given)
    labels = tuple(sorted(run.metrics.study.labels))
    folds = frozenset(
        (frozenset(fold.train), frozenset(fold.test))
        for fold in load_split(given / SPLIT_FILE).folds
    )
    videos = _select_videos(run, labels)
    return _TestedRun(str(given), folder, run.metrics, labels, folds, videos)


def _select_videos(run: RunRecord, labels: tuple[str, ...]) -> pd.DataFrame:
    """Return the rows of the level ``video``, by video_id; ModelError where they cannot be used."""
    path, table = run.folder / PREDICTIONS_FILE, run.predictions
    wanted = ["level", "video_id", *_IDENTITY, *(PROBABILITY + label for label in labels)]
    missing = [column for column in wanted if column not in table]
    if missing:
        raise ModelError(f"{path}: column(s) {', '.join(missing)} missing; run the study again")
    videos = table.loc[table["level"] == "video", wanted]
    problem = _find_problem(videos, labels)
    if problem is not None:
        raise ModelError(f"{path}: {problem}; run the study again")
    return videos.astype(dict.fromkeys(["video_id", *_IDENTITY], str)).set_index("video_id")


def _find_problem(videos: pd.DataFrame, labels: tuple[str, ...]) -> str | None:
    if videos.empty:
        return "no row of the level 'video'"
    names = videos["video_id"]
    if names.isna().any():
        return "a row has no video_id"
    if names.duplicated().any():
        return f"video {names[names.duplicated()].iloc[0]!r} is in it more than once"
    strange = names[videos["subject_id"].isna() | ~videos["label"].isin(labels)]
    if len(strange):
        return f"video {strange.iloc[0]!r} has no subject, or a label not in {', '.join(labels)}"
    answers = videos[[PROBABILITY + label for label in labels]]
    numbers = answers.apply(pd.to_numeric, errors="coerce").to_numpy(dtype=float)
    unusable = names[~np.isfinite(numbers).all(axis=1)]
    if len(unusable):
        return f"video {unusable.iloc[0]!r} has a probability that is no number"
    return None


def _name_runs(runs: Sequence[_TestedRun]) -> list[str]:
    """Return each run's folder name; where two are equal, with the study's name or a number."""
    plain = [run.folder.name for run in runs]
    names: list[str] = []
    for run, name in zip(runs, plain, strict=True):
        wanted = f"{run.metrics.study.name}/{name}" if plain.count(name) > 1 else name
        numbered = (f"{wanted} ({number})" for number in count_up(2))
        names.append(wanted if wanted not in names else next(n for n in numbered if n not in names))
    return names


def _require_same_labels(named: Mapping[str, _TestedRun]) -> tuple[str, ...]:
    (first, run), *others = named.items()
    for name, other in others:
        if other.labels != run.labels:
            raise ModelError(
                f"the runs have different labels: {first} has {', '.join(run.labels)}, {name} has "
                f"{', '.join(other.labels)}; give runs of the same study"
            )
    return run.labels


def _find_common_videos(named: Mapping[str, _TestedRun]) -> list[str]:
    tables = [run.videos for run in named.values()]
    common = set(tables[0].index).intersection(*(table.index for table in tables[1:]))
    if not common:
        raise ModelError(
            f"no video was tested by all of {join_words(list(named))}; give runs of the same study "
            "or of copies of it (videos are matched by video_id)"
        )
    return sorted(common)


def _require_same_videos(named: Mapping[str, _TestedRun], common: Sequence[str]) -> None:
    (first, run), *others = named.items()
    for name, other in others:
        pairs = zip(
            common, _describe_videos(run, common), _describe_videos(other, common), strict=True
        )
        differing = [each for each in pairs if each[1] != each[2]]
        if differing:
            video, mine, theirs = differing[0]
            raise ModelError(
                f"video {video!r} is not the same in all runs: {mine} in {first}, {theirs} in "
                f"{name} ({count(len(differing), 'such video')}); run the study again where its "
                "table changed, or give runs of the same study"
            )


def _describe_videos(run: _TestedRun, video_ids: Sequence[str]) -> list[str]:
    rows = run.videos.loc[list(video_ids)]
    return [
        f"subject {subject!r} with label {label!r}"
        for subject, label in zip(rows["subject_id"], rows["label"], strict=True)
    ]


def _choose_resampling(
    first: _TestedRun, *, resamples: int | None, seed: int | None
) -> EvaluateConfig:
    protocol = first.metrics.protocol
    overrides = {
        "resamples": protocol.resamples if resamples is None else resamples,
        "seed": protocol.seed if seed is None else seed,
    }
    return load_config(overrides={"evaluate": overrides}).evaluate


def _describe_run(
    name: str, run: _TestedRun, videos: Predictions, settings: EvaluateConfig
) -> dict[str, Any]:
    level = summarise_level(videos, evaluate=settings)
    return {
        "name": name,
        "folder": run.given,
        "protocol": {key: getattr(run.metrics.protocol, key) for key in WhatRan.model_fields},
        **{key: level[key] for key in (*_SCORES, "interval")},
    }


def _warn_about_left_out(left_out: Sequence[str]) -> list[str]:
    if not left_out:
        return []
    more = ", ..." if len(left_out) > SHOWN_VIDEOS else ""
    return [
        f"{count(len(left_out), 'video')} that not every run tested left out: "
        f"{', '.join(left_out[:SHOWN_VIDEOS])}{more}"
    ]


def _warn_about_folds(named: Mapping[str, _TestedRun], species: Species) -> list[str]:
    (first, run), *others = named.items()
    apart = [name for name, other in others if other.folds != run.folds]
    if not apart:
        return []
    return [
        f"the {species.plural} of {join_words(apart)} were split otherwise than those of {first}: "
        "differences then also come from the folds; run one with `--split file:` and the "
        "split.json of the other to leave only what is compared"
    ]


def _warn_about_subjects(subjects: int) -> list[str]:
    if subjects > 1:
        return []
    return ["all common videos are of one subject: no interval and no test is possible"]


def _pass_on_warnings(named: Mapping[str, _TestedRun]) -> list[str]:
    """Return what the runs themselves warn of; what all of them say is said once."""
    owners: dict[str, list[str]] = {}
    for name, run in named.items():
        for text in dict.fromkeys(run.metrics.warnings):
            owners.setdefault(text, []).append(name)
    return [
        text if len(names) == len(named) else f"{join_words(names)}: {text}"
        for text, names in owners.items()
    ]
