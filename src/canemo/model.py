"""The saved model: a folder of JSON and safetensors that holds all that prediction depends on.

```
model/
  model.json          settings, labels, fingerprints, what it was trained on
  probe.safetensors   mean, scale, coef, intercept (float64)
  README.md           model card
```
Backbone and detector weights are named by their SHA-256, not copied; a model refuses others.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from canemo.config import Config
from canemo.errors import ModelError
from canemo.files import write_atomically
from canemo.probe import Probe

MODEL_SCHEMA = 1
MODEL_FILE, PROBE_FILE, CARD_FILE = "model.json", "probe.safetensors", "README.md"


@dataclass(frozen=True)
class SavedModel:
    """All that prediction depends on.

    Attributes
    ----------
    probe
        Fitted on every subject of the study.
    config
        The settings of the run, so that new video is treated as the study's was.
    positive_label
        The label whose probability is drawn.
    backbone_sha256, detector_sha256
        What the backbone's weights and the detector must be.
    training
        Numbers of the study it was trained on and what unseen subjects gave, for the card.
    """

    probe: Probe
    config: Config
    positive_label: str
    backbone_sha256: str
    detector_sha256: str
    training: Mapping[str, Any]


def save_model(model: SavedModel, folder: Path) -> Path:
    """Write the model into `folder`; `model.json` last, so that its presence means complete."""
    probe = model.probe
    arrays = {name: getattr(probe, name) for name in ("mean", "scale", "coef", "intercept")}
    write_atomically(folder / PROBE_FILE, save(arrays))
    write_atomically(folder / CARD_FILE, _write_card(model))
    content = {
        "schema": MODEL_SCHEMA,
        "labels": list(probe.labels),
        "positive_label": model.positive_label,
        "penalty": probe.penalty,
        "backbone_sha256": model.backbone_sha256,
        "detector_sha256": model.detector_sha256,
        "config": model.config.model_dump(mode="json", exclude_none=True),
        "training": dict(model.training),
    }
    write_atomically(folder / MODEL_FILE, json.dumps(content, indent=1, ensure_ascii=False))
    return folder


def read_model(folder: Path) -> SavedModel:
    """Read a model folder; a run folder is accepted too and its `model` taken.

    Raises
    ------
    ModelError
        There is no model, it is damaged, or another version of canemo wrote it.
    """
    if not (folder / MODEL_FILE).is_file() and (folder / "model" / MODEL_FILE).is_file():
        folder = folder / "model"
    try:
        content = json.loads((folder / MODEL_FILE).read_text(encoding="utf-8"))
        arrays = load_file(folder / PROBE_FILE)
        if content["schema"] != MODEL_SCHEMA:
            raise ModelError(
                f"{folder}: model schema {content['schema']}, expected {MODEL_SCHEMA}; train the "
                "model again with this version of canemo"
            )
        return SavedModel(
            _make_probe(content, arrays),
            Config.model_validate(content["config"]),
            content["positive_label"],
            content["backbone_sha256"],
            content["detector_sha256"],
            content["training"],
        )
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as exc:
        if isinstance(exc, ModelError):
            raise
        raise ModelError(
            f"{folder}: not a canemo model ({str(exc).splitlines()[0]}); give the `model` folder "
            "of a finished run"
        ) from exc


def _make_probe(content: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Probe:
    return Probe(
        tuple(content["labels"]),
        arrays["mean"],
        arrays["scale"],
        arrays["coef"],
        arrays["intercept"],
        content["penalty"],
    )


def _write_card(model: SavedModel) -> str:
    training, labels = model.training, model.probe.labels
    conditions = " and ".join(f"`{label}`" for label in labels)
    return f"""---
library_name: canemo
tags: [animal-behaviour, facial-expression, dog]
---
# Model card

A linear probe on the frozen backbone `{model.config.backbone.name}`, trained by canemo
{training["canemo"]} on face crops of {training["subjects"]} subjects in {training["videos"]}
videos.

## Uses
Classifies video of a face into the conditions {conditions} it was trained on. It says under which
condition the footage looks filmed; it does not say what an animal feels, and it is no diagnosis.

## Evaluation
On subjects it had not seen ({training["split"]}): accuracy by video {training["accuracy"]:.3f}
(95 % interval {training["interval"]}); always answering the most frequent label gives
{training["majority"]:.3f}. The probe saved here was then fitted on all subjects.

## Limits
Other breeds, cameras, rooms or ways to induce a condition than those of the study are untested.

## Technical details
Penalty {model.probe.penalty:g}; pooling `{model.config.probe.pooling}`; backbone weights SHA-256
`{model.backbone_sha256}`; detector `{model.config.detect.detector}`, fingerprint
`{model.detector_sha256}`.
"""
