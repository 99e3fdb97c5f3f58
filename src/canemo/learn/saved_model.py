"""The saved model: a folder of JSON and safetensors that holds all that prediction depends on.

```
model/
  model.json          settings, labels, fingerprints, what it was trained on, what testing gave
  probe.safetensors   mean, scale, coef, intercept (float64); of a model of the whole clip:
                      mean, scale and its layers under state.* (float32)
```
The weights of backbone and detector are named by their SHA-256, not copied; a model refuses others.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from canemo.config import Config
from canemo.errors import ModelError, first_line
from canemo.files import write_atomically
from canemo.formats.tables import list_tables
from canemo.learn.classifier_files import describe_classifier, list_arrays, make_classifier
from canemo.learn.conformal import Conformal
from canemo.learn.material import Classifier
from canemo.study.places import VIDEOS
from canemo.study.records.document import (
    MODEL,
    describe_invalid,
    format_json,
    parse_json,
    require_format,
    stamp,
)
from canemo.study.records.model import ModelEvaluation, ModelTraining
from canemo.study.records.run import RunMetrics
from canemo.study.runs import COMPARISON_FILE, METRICS_FILE
from canemo.video.info import VIDEO_SUFFIXES

MODEL_FILE, PROBE_FILE = "model.json", "probe.safetensors"
_WANTED = "give the folder of a finished run (STUDY/runs/NAME), or the `model` folder in it"
_MAX_NAMED = 12
_HOMES = ("runs/*", "*")  # of the runs of a study, and of a folder of runs


@dataclass(frozen=True)
class SavedModel:
    """All that prediction depends on.

    Attributes
    ----------
    classifier
        Fitted on every subject of the study.
    config
        The settings of the run, so that new video is treated as the study's was.
    positive_label
        The label whose probability is drawn.
    backbone_sha256, detector_sha256
        What the backbone's weights and the detector must be.
    points_sha256
        What what finds the points of the faces must be; empty where they came with the study, so
        that no new video has any, and None where it reads none.
    training
        What it was made from.
    evaluation
        What subjects it had not seen gave, and whether that can be told from chance.
    conformal
        How unusual the right answers for unseen subjects were, so that it can leave a clip
        undecided.
    """

    classifier: Classifier
    config: Config
    positive_label: str
    backbone_sha256: str
    detector_sha256: str
    points_sha256: str | None
    training: ModelTraining
    evaluation: ModelEvaluation
    conformal: Conformal


def save_model(model: SavedModel, folder: Path) -> Path:
    """Write the model into `folder`; `model.json` last, so that its presence means complete."""
    write_atomically(folder / PROBE_FILE, save(list_arrays(model.classifier)))
    content = {
        "labels": list(model.classifier.labels),
        "positive_label": model.positive_label,
        **describe_classifier(model.classifier),
        "backbone_sha256": model.backbone_sha256,
        "detector_sha256": model.detector_sha256,
        "points_sha256": model.points_sha256,
        "config": model.config.model_dump(mode="json", exclude_none=True),
        "training": model.training.to_dict(),
        "evaluation": model.evaluation.to_dict(),
        "conformal": model.conformal.to_dict(),
    }
    write_atomically(folder / MODEL_FILE, format_json(stamp(content, MODEL)))
    return folder


def read_model(place: Path) -> SavedModel:
    """Read a model folder; a run folder is accepted too and its `model` taken.

    Raises
    ------
    ModelError
        There is no model, it is damaged, carries no verdict, or another version of canemo wrote it.
    """
    folder = find_model(place)
    content = parse_json(folder / MODEL_FILE, MODEL)
    if "training" in content and content.get("evaluation") is None:
        raise ModelError(
            f"{folder}: this model carries no verdict, it does not say whether it could be told "
            "from chance: an earlier canemo saved it; run its study again with `canemo run STUDY` "
            "and give the new model"
        )
    if folder != place and (place / METRICS_FILE).is_file():
        RunMetrics.read(place / METRICS_FILE)  # a run of another version says so itself
    require_format(content, MODEL, folder / MODEL_FILE)
    try:
        return SavedModel(
            make_classifier(content, load_file(folder / PROBE_FILE)),
            Config.model_validate(content["config"]),
            content["positive_label"],
            content["backbone_sha256"],
            content["detector_sha256"],
            content["points_sha256"],
            ModelTraining.model_validate(content["training"]),
            ModelEvaluation.model_validate(content["evaluation"]),
            Conformal.from_dict(content["conformal"]),
        )
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as exc:
        reason = describe_invalid(exc) if isinstance(exc, ValidationError) else first_line(exc)
        raise ModelError(
            f"{folder}: not a canemo model ({reason}); give the `model` folder of a finished run"
        ) from exc


def find_model(place: Path) -> Path:
    """Return the folder of the model meant by a model folder or a run folder.

    Raises
    ------
    ModelError
        It is neither; the message says what it is instead, and what to give.
    """
    if (place / MODEL_FILE).is_file():
        return place
    if _has_model(place):
        return place / "model"
    raise ModelError(f"{place}: {_describe_place(place)}")


def _has_model(run: Path) -> bool:
    return (run / "model" / MODEL_FILE).is_file()


def _describe_place(place: Path) -> str:
    """Return what a place without a model is, and what to give in its stead."""
    if place.is_file():
        return _describe_file(place)
    if not place.exists():
        return f"there is no such folder; {_WANTED}"
    runs = [run for home in _HOMES for run in sorted(place.glob(home)) if _has_model(run)]
    is_study = bool(list_tables(place, VIDEOS))
    if runs:
        what = "a study, not a model" if is_study else "not a model"
        named = ", ".join(map(str, runs[:_MAX_NAMED]))
        more = f" and {len(runs) - _MAX_NAMED} more" if len(runs) > _MAX_NAMED else ""
        return f"{what}; give one of its runs: {named}{more}"
    if is_study:
        return f"a study without a finished run; make one with `canemo run {place}`, then {_WANTED}"
    if (place / COMPARISON_FILE).is_file():
        return f"a comparison, which holds no model; {_WANTED}"
    return f"not a saved model, {MODEL_FILE} is missing; {_WANTED}"


def _describe_file(place: Path) -> str:
    if place.name == MODEL_FILE:
        return f"a model is the folder of this file; give {place.parent}"
    if place.suffix.lower() in VIDEO_SUFFIXES:
        return f"a video, and the model comes first (`canemo predict MODEL VIDEO`); {_WANTED}"
    return f"a file, and a model is a folder; {_WANTED}"
