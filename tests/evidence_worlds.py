"""Drawn evidence: all that a run's numbers are computed from, of studies whose truth is known."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from canemo.config import Config, format_config, load_config
from canemo.faces.detect.whole_frame import WholeFrameDetector
from canemo.files import write_table
from canemo.learn.evaluate import Evaluation
from canemo.learn.evidence import SPLIT_FILE, Evidence, list_representations, write_evidence
from canemo.learn.fold_files import write_folds
from canemo.learn.lda import DiscriminantLearner
from canemo.learn.learner import Learner
from canemo.learn.material import Material
from canemo.learn.splits import make_split, save_split
from canemo.parallel import silent
from canemo.pipeline.assess import evaluate_evidence
from canemo.pipeline.provenance import describe_protocol
from canemo.records import Study, Video
from canemo.study.records.run import RunMetrics
from canemo.study.runs import CONFIG_FILE, METRICS_FILE, write_hashes
from canemo.trust.metrics_json import compute_metrics
from worlds import LABELS

FAST = {
    "probe": {"penalties": (0.1, 10.0), "inner_folds": 3},
    "evaluate": {"resamples": 200, "permutations": 200},
}
ORIGIN = ["video_id", "subject_id", "label", "frame_index", "time_s"]


def draw_evidence(
    *,
    subjects: int = 10,
    clips: int = 6,
    frames: int = 6,
    dim: int = 8,
    effect: float = 0.0,
    dog_effect: float = 2.0,
    labels: tuple[str, ...] = LABELS,
    label_of: Callable[[int, int], int] | None = None,
    extra: Callable[[int, int], Mapping[str, str]] | None = None,
    overrides: Mapping[str, Mapping[str, Any]] | None = None,
    seed: int = 0,
) -> Evidence:
    """Draw a study in which dogs, clips and, if asked, labels show in the features.

    Parameters
    ----------
    label_of
        Dog and clip -> position of the label; None draws an order for each dog, in which every
        label is as frequent as another.
    extra
        Dog and clip -> further columns of videos.csv.
    """
    rng = np.random.default_rng(seed)
    videos, rows, vectors = [], [], []
    for s in range(subjects):
        dog = dog_effect * rng.normal(size=dim)
        order = rng.permutation(np.arange(clips) % len(labels))
        for c in range(clips):
            label = int(order[c]) if label_of is None else label_of(s, c)
            clip = dog + rng.normal(size=dim)
            clip[label] += effect
            name, own = f"v{s:02}_{c}", {} if extra is None else extra(s, c)
            videos.append(Video(name, Path(name), f"s{s:02}", labels[label], extra=own))
            for f in range(frames):
                rows.append((name, f"s{s:02}", labels[label], f, f / 5))
                vectors.append(clip + 0.3 * rng.normal(size=dim))
    origin = pd.DataFrame(rows, columns=ORIGIN)
    settings = {section: {**FAST.get(section, {}), **(overrides or {}).get(section, {})}
                for section in {*FAST, *(overrides or {})}}  # fmt: skip
    config = load_config(overrides=settings)
    x = np.array(vectors, dtype=np.float16).astype(np.float32)
    study = Study(Path("drawn"), tuple(videos))
    return Evidence(
        study,
        config,
        make_split(study.subject_ids, kind=config.evaluate.split),
        _draw_ledger(origin, rng),
        tuple(
            Material(x if pooling == "cls" else x[:, ::-1] * 2, origin, labels, pooling, rule)
            for pooling, rule in list_representations(config)
        ),
        pd.DataFrame(
            {
                "video_id": [video.video_id for video in videos],
                "duration_s": 3 + 0.1 * rng.normal(size=len(videos)),
                "fps": 25.0,
                "width": 640,
                "height": 480,
            }
        ),
        describe_drawn(study, config),
    )


def describe_drawn(study: Study, config: Config) -> dict[str, Any]:
    """Return what metrics.json says of how features came about that were drawn."""
    split = make_split(study.subject_ids, kind=config.evaluate.split)
    return {
        **describe_protocol(study, config, split, WholeFrameDetector()),
        "method": config.probe.method,
        **dict.fromkeys(("backbone", "weights_sha256", "weights_source"), "drawn"),
        "backbone_note": "",
        "engine": "torch",
        "precision": "float32",
        "device": "cpu",
        "engine_reason": "",
    }


def _draw_ledger(origin: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    n = len(origin)
    x0, y0, side = 100 + rng.normal(size=n), 80 + rng.normal(size=n), 100 + rng.normal(size=n)
    return origin.assign(
        fate="used", x0=x0, y0=y0, x1=x0 + side, y1=y0 + side, score=0.9,
        brightness=100 + rng.normal(size=n), sharpness=50 + rng.normal(size=n),
    )  # fmt: skip


def with_features(evidence: Evidence, x: Any) -> Evidence:
    """Return the evidence with other features in its only material."""
    (material,) = evidence.materials
    changed = replace(material, x=np.asarray(x, dtype=np.float32))
    return replace(evidence, materials=(changed,))


def copy_clip(evidence: Evidence, source: str, target: str, *, noise: float = 0.05) -> Evidence:
    """Give one clip the features of another, with a little noise."""
    (material,) = evidence.materials
    videos, x = material.origin["video_id"], material.x.copy()
    own = x[(videos == source).to_numpy()]
    x[(videos == target).to_numpy()] = own + noise * np.random.default_rng(9).normal(size=own.shape)
    return with_features(evidence, x)


def lose_frames(evidence: Evidence, share: Mapping[str, float], *, seed: int = 5) -> Evidence:
    """Lose a share of each label's frames, never the first of a clip."""
    rng, ledger = np.random.default_rng(seed), evidence.ledger
    wanted = ledger["label"].map(share).to_numpy()
    lost = (rng.random(len(ledger)) < wanted) & (ledger["frame_index"] > 0).to_numpy()
    fates = np.where(lost, "no_face", "used")
    (material,) = evidence.materials
    origin = material.origin[~lost].reset_index(drop=True)
    return replace(
        evidence,
        ledger=ledger.assign(fate=fates),
        materials=(replace(material, x=material.x[~lost], origin=origin),),
    )


def assess(evidence: Evidence) -> tuple[Learner, Evaluation]:
    """Learn and test, as a run does."""
    return evaluate_evidence(evidence, progress=silent)


def measure(evidence: Evidence) -> RunMetrics:
    """Return what metrics.json would hold."""
    return compute_metrics(evidence, *assess(evidence))


def write_run(evidence: Evidence, folder: Path) -> Path:
    """Write what a finished run keeps for whoever checks it."""
    learner, evaluation = assess(evidence)
    folder.mkdir(parents=True)
    (folder / CONFIG_FILE).write_text(format_config(evidence.config), encoding="utf-8")
    save_split(evidence.split, folder / SPLIT_FILE)
    write_evidence(evidence, folder)
    write_folds(evaluation.folds, folder)
    write_table(evaluation.predictions, folder / "predictions.parquet")
    compute_metrics(evidence, learner, evaluation).write(folder / METRICS_FILE)
    write_hashes(folder)
    return folder


def discriminant_of(evidence: Evidence) -> DiscriminantLearner:
    """Return the learner that the audit refits."""
    return DiscriminantLearner(evidence.materials, evidence.config.probe)


def names_of(findings: Sequence[Mapping[str, str]], severity: str | None = None) -> set[str]:
    """Return the names of findings, of one severity or of all."""
    return {each["name"] for each in findings if severity in (None, each["severity"])}
