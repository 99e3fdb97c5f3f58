"""A finished run folder as the pipeline leaves it, drawn up without running anything."""

from __future__ import annotations

import copy
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np

from canemo.study.records.clips import ClipSheet
from canemo.study.records.comparison import ComparisonRecord
from canemo.study.records.document import EXPLANATION, stamp
from canemo.study.records.explanation import ExplanationRecord
from canemo.study.records.model import ModelEvaluation, ModelTraining
from canemo.study.records.run import RunMetrics, StudyProtocol
from canemo.trust.standing import summarise_evaluation

_WORD = re.compile(r'<a class="word"[^>]*>(.*?)</a>')
"""A link to what a word means, which does not part a sentence."""

FRUSTRATION, ANTICIPATION = "frustration", "positive anticipation"
TINY_JPEG = "/9j/4AAQSkZJRg=="  # as far as a page cares


class Page(HTMLParser):
    """Tags with their attributes, and the text a reader sees."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(_WORD.sub(r"\1", source))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).replace("\N{NO-BREAK SPACE}", " ").split())

    def find(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def make_metrics(
    labels: tuple[str, ...] = (ANTICIPATION, FRUSTRATION), *, n_subjects: int = 29, **changes: Any
) -> dict[str, Any]:
    """Return metrics of a study where the last label is the most frequent and 83 % are right.

    `changes` replace whole keys.
    """
    rng = np.random.default_rng(0)
    weights = np.arange(1, len(labels) + 1) / sum(range(1, len(labels) + 1))
    subjects = [_make_subject(i, labels, weights, rng) for i in range(n_subjects)]
    counts = {name: sum(dog["labels"][name] for dog in subjects) for name in labels}
    fates = {
        name: {"used": 13 * n, "no_face": (2 + i) * n // 2, "low_score": n // 3, "too_small": 0}
        for i, (name, n) in enumerate(counts.items())
    }
    total = {fate: sum(row[fate] for row in fates.values()) for fate in fates[labels[0]]}
    n_videos = sum(counts.values())
    metrics: dict[str, Any] = {
        "study": {
            "name": "Labradors waiting for food",
            "species": "dog",
            "videos": n_videos,
            "subjects": n_subjects,
            "labels": counts,
            "labels_by_subject": {dog["subject_id"]: dog["labels"] for dog in subjects},
            "frames": sum(total.values()),
            "crops": total["used"],
            "fates": total,
            "fates_by_label": fates,
            "subjects_table": [_make_facts(dog["subject_id"], rng) for dog in subjects],
        },
        "protocol": _make_protocol(n_subjects, labels[0]),
        "levels": {
            "video": _make_level(counts, value=0.831, half=0.07),
            "frame": _make_level({k: 13 * n for k, n in counts.items()}, value=0.768, half=0.06),
        },
        "subjects": subjects,
        "chance": {
            "majority": {
                "label": labels[-1],
                "video": counts[labels[-1]] / n_videos,
                "frame": counts[labels[-1]] / n_videos,
            },
            "metadata": {
                "accuracy": 0.612,
                "balanced_accuracy": 0.551,
                "auroc": 0.566,
                "interval": make_intervals(balanced_accuracy=[0.463, 0.638]),
                "columns": ["session", "duration_s", "brightness"],
            },
        },
        "permutation": make_permutation(),
        "detectable": make_detectable(),
        "calibration": _make_calibration(labels[0]),
        "abstention": {
            "level": 0.1,
            "least_level": 1 / 29,
            "possible": True,
            "coverage": 0.913,
            "decided": 0.622,
            "accuracy_decided": 0.874,
            "undecided": 0.378,
        },
        "sweep": make_sweep(),
        "learning_curve": make_learning_curve(),
        "audit": make_audit(drops=_make_drops(labels)),
        "training": {"frame_accuracy": 0.93},
        "warnings": [],
        "cost": {
            "crop": {"seconds": 312.4, "items": sum(total.values()), "cached": 0},
            "embed": {"seconds": 1288.0, "items": total["used"], "cached": 0},
            "evaluate": {"seconds": 41.7, "items": n_subjects, "cached": 0},
        },
    }
    return metrics | changes


def record(metrics: dict[str, Any]) -> RunMetrics:
    """Return metrics as they are read from a run."""
    return RunMetrics.model_validate(metrics)


def make_evaluation(metrics: dict[str, Any] | None = None, **changes: Any) -> ModelEvaluation:
    """Return what a model carries of these metrics."""
    found = summarise_evaluation(record(metrics or make_metrics()))
    return ModelEvaluation.model_validate({**found.to_dict(), **changes})


def make_training(**changes: Any) -> ModelTraining:
    return ModelTraining.model_validate({
        "canemo": "0.1.0", "created": "2026-11-30", "study": "s", "backbone": "dino_vits8",
        "split": "loso", "folds": 29, "subjects": 29, "videos": 248,
        "files_sha256": ("a" * 64,), **changes,
    })  # fmt: skip


def make_intervals(**intervals: Any) -> dict[str, Any]:
    """Return the intervals of all measures, None where none is given."""
    return dict.fromkeys(("accuracy", "balanced_accuracy", "auroc")) | intervals


def make_permutation(p: float | None = 1 / 1001, **changes: Any) -> dict[str, Any]:
    return {
        "statistic": "balanced_accuracy",
        "observed": 0.8187,
        "p": p,
        "n": 1000,
        "exact": False,
        "null_mean": 0.502,
        "null_high": 0.573,
        "critical": 0.573,
        "p_by_measure": {"accuracy": 0.002, "balanced_accuracy": p, "auroc": 0.004},
        "probe": "own",
        "reason": None,
        **changes,
    }


def make_detectable(**changes: Any) -> dict[str, Any]:
    return {
        "balanced_accuracy": 0.638,
        "chance": 0.5,
        "difference": 0.138,
        "power": 0.8,
        "level": 0.05,
        "subject_share": 0.12,
        "simulations": 400,
        "curve": [
            {"balanced_accuracy": 0.5 + 0.01 * i, "power": 1 - 0.95 * float(np.exp(-(i**2) / 120))}
            for i in range(0, 31, 3)
        ],
        "reason": None,
        **changes,
    }


def make_learning_curve(*, rising: bool = False) -> dict[str, Any]:
    scores = [0.61, 0.7, 0.76, 0.79, 0.81]
    gain = {"score": 0.021, "low": 0.012 if rising else -0.001, "high": 0.045}
    return {
        "measure": "balanced_accuracy",
        "repeats": 20,
        "points": [
            {"subjects": n, "score": score, "low": score - 0.08, "high": score + 0.06}
            for n, score in zip((4, 8, 14, 20, 28), scores, strict=True)
        ],
        "asymptote": 0.86,
        "exponent": 0.9,
        "extrapolation": {"subjects": 56, "score": 0.831, "low": 0.75, "high": 0.89},
        "gain": gain,
        "rising": rising,
    }


def make_sweep() -> dict[str, Any]:
    heights = {"cls": 0.79, "mean": 0.82, "upper": 0.63, "lower": 0.8, "rim": 0.55, "centre": 0.77}
    return {
        "settings": 60,
        "parts": [
            {
                "pooling": pooling,
                "frames": frames,
                "accuracy": score,
                "balanced_accuracy": score - 0.01 * (frames != "all"),
                "auroc": score + 0.05,
                "interval": make_intervals(balanced_accuracy=[score - 0.08, score + 0.06]),
                "chosen": 20 if (pooling, frames) == ("mean", "all") else 0,
            }
            for pooling, score in heights.items()
            for frames in ("all", "sharp:0.5")
        ],
        "optimism": {
            "nested": 0.8187,
            "best": 0.8411,
            "pooling": "lower",
            "frames": "sharp:0.5",
            "penalty": 0.1,
            "settings": 60,
        },
    }


def make_audit(**changes: Any) -> dict[str, Any]:
    interval = make_intervals(balanced_accuracy=[0.66, 0.83], auroc=[0.7, 0.88])
    return {
        "findings": [
            {"severity": "note", "name": "drops", "text": "Frames are lost unevenly."},
            {"severity": "alarm", "name": "duplicates", "text": "Two clips are nearly alike."},
        ],
        "splits": {
            "frame_wise": {"frame": 0.991, "video": 0.996},
            "clip_wise": {"frame": 0.871, "video": 0.914},
            "subject_wise": {"frame": 0.756, "video": 0.819},
        },
        "identity": {"accuracy": 0.937, "chance": 0.041, "subjects": 29},
        "centred": {"balanced_accuracy": 0.842, "interval": [0.77, 0.9]},
        "without_subjects": {"balanced_accuracy": 0.803, "interval": None},
        "selected_outside": {"balanced_accuracy": 0.953, "interval": [0.9, 0.98]},
        "duplicates": make_duplicates([_make_pair(i) for i in range(22)], threshold=0.99),
        "drops": _make_drops((ANTICIPATION, FRUSTRATION)),
        "sessions": {
            "column": "session",
            "shared": [
                {"session": "monday", "subjects": ["dog01", "dog02"]},
                {"session": "tuesday", "subjects": ["dog03", "dog04"]},
            ],
        },
        "confounds": {
            "rows": [
                {
                    "name": name,
                    "title": title,
                    "balanced_accuracy": score,
                    "accuracy": score,
                    "auroc": score + 0.04,
                    "interval": interval,
                    "clips": 256,
                }
                for name, title, score in (
                    ("face", "the face", 0.81),
                    ("background", "the background, dog masked", 0.58),
                )
            ],
            "frames_per_clip": 5,
            "verdict": ["The background alone does not carry the result."],
        },
        **changes,
    }


def make_duplicates(pairs: list[dict[str, Any]], *, threshold: float | None) -> dict[str, Any]:
    across = sum(pair["first_subject"] != pair["second_subject"] for pair in pairs)
    return {
        "threshold": threshold,
        "n": len(pairs),
        "n_across": across,
        "n_within": len(pairs) - across,
        "pairs": pairs,
    }


def _make_drops(labels: tuple[str, ...]) -> dict[str, Any]:
    shares = {label: 0.112 + 0.075 * i for i, label in enumerate(labels)}
    return {"shares": shares, "difference": 0.075, "p": 0.0314}


def _make_pair(index: int) -> dict[str, Any]:
    other = "dog02" if index == 0 else "dog01"
    return {
        "first": f"clip{index:03d}",
        "second": f"copy{index:03d}",
        "first_subject": "dog01",
        "second_subject": other,
        "first_label": FRUSTRATION,
        "second_label": FRUSTRATION,
        "cosine": 0.9999 - index / 10000,
    }


def _make_calibration(positive_label: str) -> dict[str, Any]:
    bins = [(0.05, 0.08, 40), (0.15, 0.1, 60), (0.45, 0.5, 30), (0.75, 0.64, 50), (0.93, 0.9, 76)]
    return {
        "brier": 0.1319,
        "ece": 0.0472,
        "log_loss": 0.4213,
        "positive_label": positive_label,
        "balanced": True,
        "bins": [
            {"low": p - 0.05, "high": p + 0.05, "n": n, "probability": p, "share": share}
            for p, share, n in bins
        ],
    }


def make_environment() -> dict[str, Any]:
    return {
        "canemo": "0.1.0",
        "python": "3.11.9",
        "platform": "Linux-6.1-x86_64",
        "processor": "Intel Core i7-1185G7",
        "packages": {"torch": "2.9.0", "timm": "1.0.20", "numpy": "2.3.1", "scikit-learn": "1.7.1"},
        "created": "2026-03-14T09:26:53+00:00",
        "command": "canemo run study --backbone dino_vits8",
    }


def write_run(run_dir: Path, metrics: dict[str, Any] | None = None) -> Path:
    """Write the files of a run that the report reads."""
    run_dir.mkdir(parents=True, exist_ok=True)
    content = metrics or make_metrics()
    record(content).write(run_dir / "metrics.json")
    make_clips(content).write(run_dir / "clips.json")
    (run_dir / "environment.json").write_text(json.dumps(make_environment()), encoding="utf-8")
    (run_dir / "config.toml").write_text('[backbone]\nname = "dino_vits8"\n', encoding="utf-8")
    return run_dir


def make_clips(metrics: dict[str, Any]) -> ClipSheet:
    """Return the clips of a run; the first cannot be opened, the second is doubtful."""
    study = metrics["study"]
    clips = [
        {"video_id": f"{dog}_{label}_{n}", "subject_id": dog, "label": label, "seconds": 2.6,
         "frames": 13, "used": 12, "face": TINY_JPEG, "doubts": [],
         "strip": [{"time_s": t / 2, "used": t != 3, "jpeg": TINY_JPEG} for t in range(6)]}
        for dog, counts in study["labels_by_subject"].items()
        for label, number in counts.items()
        for n in range(number)
    ]  # fmt: skip
    nothing = {"seconds": None, "frames": 0, "used": 0, "face": None, "strip": []}
    clips[0] |= {**nothing, "doubts": [{"name": "unreadable", "text": "is empty (0 bytes)"}]}
    clips[1]["doubts"] = [{"name": "dark", "text": "it is dark"}]
    return ClipSheet.model_validate({**_name_study(study), "clips": clips})


def _name_study(study: dict[str, Any]) -> dict[str, str]:
    return {"study": study["name"], "species": study["species"]}


def with_video_intervals(metrics: dict[str, Any], **intervals: Any) -> dict[str, Any]:
    """Return a copy of `metrics` whose clip level has other intervals."""
    changed = copy.deepcopy(metrics)
    changed["levels"]["video"]["interval"].update(intervals)
    return changed


def _make_subject(
    index: int, labels: tuple[str, ...], weights: Any, rng: np.random.Generator
) -> dict[str, Any]:
    n = int(rng.integers(7, 11))
    first = rng.multinomial(n - len(labels), weights) + 1
    right = int(rng.binomial(n, 0.83))
    counts = {label: int(k) for label, k in zip(labels, first, strict=True)}
    return {
        "subject_id": f"dog{index + 1:02d}",
        "videos": n,
        "accuracy": right / n,
        "labels": counts,
    }


def _make_facts(subject_id: str, rng: np.random.Generator) -> dict[str, Any]:
    return {
        "subject_id": subject_id,
        "sex": str(rng.choice(["female", "male"], p=[0.58, 0.42])),
        "age_years": float(round(2 + rng.exponential(2.4), 1)),
        "neutered": bool(rng.random() < 0.9),
    }


def _make_protocol(n_subjects: int, positive_label: str) -> dict[str, Any]:
    return {
        "preset": None,
        "preset_departures": {},
        "method": "lda",
        "sweep": {"poolings": ["cls", "upper", "lower"], "frames": ["all", "sharp:0.5"]},
        "backbone": "dino_vits8",
        "backbone_note": "ViT-S/8, self-supervised by DINO on ImageNet",
        "weights_sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "weights_source": "Hugging Face hub, timm/vit_small_patch8_224.dino",
        "engine": "torch",
        "precision": "float32",
        "device": "cpu",
        "engine_reason": "there is nothing else here",
        "detector": "dog_head",
        "detector_engine": "torch",
        "detector_sha256": "60303ae22b998861bce3b28f33eec1be758a213c86c93c076dbe9f558c11c752",
        "pooling": "cls",
        "frames": "all",
        "split": "loso",
        "folds": n_subjects,
        "seed": 0,
        "positive_label": positive_label,
        "penalties": [0.001, 0.01, 0.1, 1.0, 10.0],
        "penalty_chosen": [0.1 if i % 4 else 1.0 for i in range(n_subjects)],
        "temperature_chosen": [0.5 if i % 3 else 1.0 for i in range(n_subjects)],
        "interval": "log-odds t",
        "class_weight": "balanced",
        "sampling": "5 frames per second",
        "resamples": 2000,
    }


def _make_level(counts: dict[str, int], *, value: float, half: float) -> dict[str, Any]:
    labels = list(counts)
    confusion = np.zeros((len(labels), len(labels)), dtype=int)
    for i, n in enumerate(counts.values()):
        right = round(value * n)
        confusion[i, i] = right
        confusion[i, (i + 1) % len(labels)] += n - right
    return {
        "n": sum(counts.values()),
        "accuracy": value,
        "balanced_accuracy": value - 0.0123,
        "macro_f1": value - 0.0234,
        "auroc": value + 0.0567,
        "confusion": {"labels": labels, "counts": confusion.tolist()},
        "interval": {
            "accuracy": [value - half, value + half - 0.004],
            "balanced_accuracy": [value - half - 0.02, value + half - 0.02],
            "auroc": [value - 0.01, value + 0.1],
        },
    }


# -- comparisons ----------------------------------------------------------------------------------


def make_comparison(**pair: Any) -> dict[str, Any]:
    """Return a comparison of two models; `pair` replaces what is said of their difference."""
    metrics = make_metrics(n_subjects=5)
    models = [make_compared(name, metrics["levels"]) for name in ("first", "second")]
    scores = ("accuracy", "balanced_accuracy", "auroc")
    protocol = {key: metrics["protocol"][key] for key in StudyProtocol.model_fields}
    found = {
        "first": "first",
        "second": "second",
        "difference": dict.fromkeys(scores, 0.05),
        "interval": {name: [-0.01, 0.11] for name in scores},
        "p": 0.0625,
        "p_holm": 0.0002,
        "flips": 32,
        "exact": True,
        "effect_size": None,
        "random_weights": False,
        **pair,
    }
    return {
        "study": metrics["study"],
        "protocol": {
            **protocol,
            "train_subjects": [4] * 5,
            "test_subjects": [1] * 5,
            "tested_subjects": 5,
        },
        "chance": {"majority": metrics["chance"]["majority"]},
        "models": models,
        "missing": [],
        "pairs": [found],
        "warnings": [],
    }


def record_comparison(content: dict[str, Any]) -> ComparisonRecord:
    """Return a comparison as it is read from its folder."""
    return ComparisonRecord.model_validate(content)


def make_compared(name: str, levels: dict[str, Any]) -> dict[str, Any]:
    """Return a model of a comparison, without a permutation test."""
    return {
        "name": name,
        "backbone": name,
        "backbone_note": "",
        "method": "lda",
        "video": levels["video"],
        "frame": levels["frame"],
        "train_accuracy": 0.9,
        "last_epoch": None,
        "best_epoch": None,
        "random_weights": False,
        "permutation": None,
        "cost": {},
        "parameters": 1000,
        "feature_dim": 8,
        "weights_source": "file",
        "weights_sha256": "0" * 64,
        "engine": "torch",
        "precision": "float32",
        "device": "cpu",
        "engine_reason": "",
    }


# -- explanations ---------------------------------------------------------------------------------

_PARTS = ("eyes", "ears", "muzzle", "forehead", "cheeks", "background")
_AREAS = dict(zip(_PARTS, (0.03, 0.14, 0.16, 0.07, 0.1, 0.5), strict=True))
_PERCENTS = dict(zip(_PARTS, (4.0, 12.0, 61.0, 3.0, 15.0, 5.0), strict=True))


def make_explanation(**changes: Any) -> dict[str, Any]:
    """Return the content of explanation.json of one model; `changes` replace keys of the model."""
    models = [make_model(**changes)]
    return stamp({"canemo": "0.1.0", "truth": [], "models": models}, EXPLANATION)


def record_explanation(content: dict[str, Any]) -> ExplanationRecord:
    """Return the content of explanation.json as the record that a reader gets."""
    return ExplanationRecord.model_validate(
        {key: value for key, value in content.items() if key not in ("format", "schema")}
    )


def make_model(**changes: Any) -> dict[str, Any]:
    """Return what explanation.json holds of a model whose evidence is in the muzzle."""
    return {
        "name": "dino",
        "backbone": "dino_vits8",
        "pooling": "mean",
        "label": FRUSTRATION,
        "other": ANTICIPATION,
        "is_labelled": True,
        "species": "dog",
        "evaluation": make_evaluation().to_dict(),
        "crops": 256,
        "clips": 256,
        "dogs": 29,
        "regions": "landmarks of the study (256 of 256 crops)",
        "notes": [],
        "difference": make_gap()[-1],
        "blocks": [],
        "geometry": None,
        "occlusion": make_gap(whole=None),
        "methods": [make_method(), make_method("eigencam", gap=None, shares=None)],
        **changes,
    }


def make_method(name: str = "contribution", **changes: Any) -> dict[str, Any]:
    """Return a map that passes every test but, if it is EigenCAM, those of randomisation."""
    is_blind = name == "eigencam"
    alike = 1.0 if is_blind else 0.21
    checks = [
        _make_check("deletion", 0.34, passed=True),
        _make_check("insertion", 0.41, passed=True),
        _make_check("like_random_probe", alike, passed=not is_blind),
        _make_check("like_shuffled", alike, passed=not is_blind),
        _make_check("like_random_backbone", None, passed=None),
    ]
    return {
        "name": name,
        "title": "EigenCAM" if is_blind else "exact contributions",
        "explains": "backbone" if is_blind else "decision",
        "values": "activations" if is_blind else "part of the logit",
        "exact": name == "contribution",
        "passed": not is_blind,
        "verdict": "FAILS: it stays the same" if is_blind else "passes every test that was made",
        "tested_crops": 58,
        "checks": checks,
        "curves": None,
        "shares": [_make_share(label, part) for label in (ANTICIPATION, FRUSTRATION)
                   for part in _PARTS],
        "gap": make_gap(),
        **changes,
    }  # fmt: skip


def make_gap(*, whole: float | None = 2.4, clear: bool = True, p: float = 0.004) -> list[Any]:
    """Return rows by region and, unless `whole` is None, the last one of all regions."""
    total = 2.4 if whole is None else whole
    parts = [
        {
            "region": part,
            "gap": percent / 100 * total,
            "gap_low": percent / 100 * total - 0.3,
            "gap_high": percent / 100 * total + 0.3,
            "moved": 0.07,
            "percent": percent if clear else None,
            "p": p / 6,
            "p_holm": p,
            "area": _AREAS[part],
            "dogs": 29,
            "reason": None,
        }
        for part, percent in _PERCENTS.items()
    ]
    if whole is None:
        return parts
    row = {"region": "all", "gap": total, "moved": 0.0, "p_holm": None}
    row["percent"] = 100.0 if clear else None
    reach = 1.1 if clear else total + 1
    limits = {"gap_low": total - reach, "gap_high": total + reach}
    return [*parts, {**parts[0], **row, **limits, "p": 0.0004, "area": 1.0}]


def _make_check(name: str, value: float | None, *, passed: bool | None) -> dict[str, Any]:
    low, high = (None, None) if value is None else (value - 0.1, value + 0.1)
    return {
        "name": name, "title": name, "value": value, "low": low, "high": high, "p": None,
        "passed": passed, "reason": "no such network" if passed is None else "",
    }  # fmt: skip


def _make_share(label: str, part: str) -> dict[str, Any]:
    share = _PERCENTS[part] / 100
    return {
        "label": label, "region": part, "share": share, "share_low": share * 0.8,
        "share_high": share * 1.2, "area": _AREAS[part], "ratio": share / _AREAS[part],
        "ratio_low": None, "ratio_high": None, "dogs": 29, "clips": 128, "crops": 128,
        "silent_crops": 0, "reason": None,
    }  # fmt: skip


def write_explanation(folder: Path, content: dict[str, Any] | None = None) -> Path:
    """Write explanation.json into a folder, and return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(content or make_explanation())
    (folder / "explanation.json").write_text(text, encoding="utf-8")
    return folder
