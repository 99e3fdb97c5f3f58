"""The saved model: a folder of JSON and safetensors that holds all that prediction depends on.

```
model/
  model.json          settings, labels, fingerprints, what it was trained on
  probe.safetensors   mean, scale, coef, intercept (float64); of a model of the whole clip:
                      mean, scale and its layers under state.* (float32)
  README.md           model card
```
The weights of backbone and detector are named by their SHA-256, not copied; a model refuses others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from canemo.config import Config
from canemo.errors import ModelError
from canemo.files import write_atomically
from canemo.learn.classifier_files import describe_classifier, list_arrays, make_classifier
from canemo.learn.conformal import Conformal
from canemo.learn.material import Classifier
from canemo.learn.sequence import SequenceProbe
from canemo.study.records.document import MODEL, format_json, read_document, stamp
from canemo.study.records.run import RunMetrics
from canemo.study.runs import METRICS_FILE

MODEL_FILE, PROBE_FILE, CARD_FILE = "model.json", "probe.safetensors", "README.md"


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
    training
        Numbers of the study it was trained on and what unseen subjects gave, for the card.
    conformal
        How unusual the right answers for unseen subjects were, so that it can leave a clip
        undecided.
    """

    classifier: Classifier
    config: Config
    positive_label: str
    backbone_sha256: str
    detector_sha256: str
    training: Mapping[str, Any]
    conformal: Conformal


def save_model(model: SavedModel, folder: Path) -> Path:
    """Write the model into `folder`; `model.json` last, so that its presence means complete."""
    write_atomically(folder / PROBE_FILE, save(list_arrays(model.classifier)))
    write_atomically(folder / CARD_FILE, _write_card(model))
    content = {
        "labels": list(model.classifier.labels),
        "positive_label": model.positive_label,
        **describe_classifier(model.classifier),
        "backbone_sha256": model.backbone_sha256,
        "detector_sha256": model.detector_sha256,
        "config": model.config.model_dump(mode="json", exclude_none=True),
        "training": dict(model.training),
        "conformal": model.conformal.to_dict(),
    }
    write_atomically(folder / MODEL_FILE, format_json(stamp(content, MODEL)))
    return folder


def read_model(folder: Path) -> SavedModel:
    """Read a model folder; a run folder is accepted too and its `model` taken.

    Raises
    ------
    ModelError
        There is no model, it is damaged, or another version of canemo wrote it.
    """
    if not (folder / MODEL_FILE).is_file() and (folder / "model" / MODEL_FILE).is_file():
        if (folder / METRICS_FILE).is_file():
            RunMetrics.read(folder / METRICS_FILE)  # a run of another version says so itself
        folder = folder / "model"
    content = read_document(folder / MODEL_FILE, MODEL)
    try:
        return SavedModel(
            make_classifier(content, load_file(folder / PROBE_FILE)),
            Config.model_validate(content["config"]),
            content["positive_label"],
            content["backbone_sha256"],
            content["detector_sha256"],
            content["training"],
            Conformal.from_dict(content["conformal"]),
        )
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as exc:
        reason = (str(exc) or type(exc).__name__).splitlines()[0]
        raise ModelError(
            f"{folder}: not a canemo model ({reason}); give the `model` folder of a finished run"
        ) from exc


def _write_card(model: SavedModel) -> str:
    training, config = model.training, model.config
    return f"""---
library_name: canemo
tags: [animal-behaviour, facial-expression, {config.species.noun}]
---
# Model card

{_name_classifier(model.classifier)} on the frozen backbone {config.backbone.name}, fitted by
canemo {training["canemo"]} on face crops of {training["subjects"]} subjects in
{training["videos"]} videos.

## Uses

Classifies video of a face into the conditions it was trained on:

{_list_labels(model.classifier.labels)}

It says under which condition the footage looks filmed. It does not say what an animal feels, and it
is no diagnosis.

## Evaluation

On subjects it had not seen (split: {training["split"]}) the accuracy by video was
{training["accuracy"]:.3f}, {_describe_interval(training["interval"])}; always answering the most
frequent label would give {training["majority"]:.3f}. The probe saved here was then fitted on all
subjects.

## Limits

Other breeds, cameras, rooms or ways to induce a condition than those of the study are untested. The
face detector that ships with canemo is for non-commercial research only.

## Technical details

- method {config.probe.method}, pooling {config.probe.pooling}
- {_name_settings(model.classifier)}
- backbone weights SHA-256 {model.backbone_sha256}
- detector {Path(config.detector).name}, fingerprint {model.detector_sha256}
"""


def _name_classifier(classifier: Classifier) -> str:
    if isinstance(classifier, SequenceProbe):
        return f"A model of the whole clip ({classifier.head})"
    return "A linear probe"


def _name_settings(classifier: Classifier) -> str:
    return ", ".join(f"{k} {v}" for k, v in describe_classifier(classifier).items())


def _list_labels(labels: Sequence[str]) -> str:
    return "\n".join(
        f"    {label}" for label in labels
    )  # indented: shown as it is, whatever it holds


def _describe_interval(interval: Sequence[float] | None) -> str:
    if interval is None:
        return "for which no interval could be computed"
    return f"95 % interval {interval[0]:.3f} to {interval[1]:.3f}"
