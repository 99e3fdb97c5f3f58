"""A classifier as what a file can hold: arrays for safetensors, and plain values for JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from canemo.learn.material import Classifier
from canemo.learn.probe import Probe
from canemo.learn.sequence import SequenceProbe

_LAYER = "state."


def list_arrays(classifier: Classifier) -> dict[str, np.ndarray]:
    """Return the arrays of a classifier by name, rows one after the other in memory.

    safetensors writes the memory as it lies: of an array that is transposed, another one.
    """
    classifier = _require_known(classifier)
    if isinstance(classifier, Probe):
        own = {"coef": classifier.coef, "intercept": classifier.intercept}
    else:
        own = {f"{_LAYER}{name}": np.asarray(v) for name, v in classifier.state.items()}
    arrays = {"mean": classifier.mean, "scale": classifier.scale, **own}
    return {name: np.ascontiguousarray(array) for name, array in arrays.items()}


def _require_known(classifier: Classifier) -> Probe | SequenceProbe:
    if isinstance(classifier, Probe | SequenceProbe):
        return classifier
    raise TypeError(f"no file holds a {type(classifier).__name__}, only Probe and SequenceProbe")


def describe_classifier(classifier: Classifier) -> dict[str, Any]:
    """Return what is to be known of a classifier beside its arrays and labels."""
    if isinstance(classifier, Probe):
        return {"penalty": classifier.penalty}  # 0 where none was used
    return {name: getattr(classifier, name) for name in ("head", "hidden", "window_s")}


def make_classifier(content: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Classifier:
    """Return the classifier of arrays and plain values, ``labels`` among them.

    Raises
    ------
    KeyError, ValueError, RuntimeError
        Something is missing, or does not fit together.
    """
    labels, mean, scale = tuple(content["labels"]), arrays["mean"], arrays["scale"]
    if "head" not in content:
        return Probe(labels, mean, scale, arrays["coef"], arrays["intercept"], content["penalty"])
    layers = {n.removeprefix(_LAYER): v for n, v in arrays.items() if n.startswith(_LAYER)}
    classifier = SequenceProbe(
        labels,
        content["head"],
        content["hidden"],
        content["window_s"],
        mean=mean,
        scale=scale,
        state=layers,
    )
    nothing = np.zeros((1, len(mean)))
    classifier.predict(nothing, video_ids=np.array(["none"], dtype=object), time_s=nothing[:, 0])
    return classifier
