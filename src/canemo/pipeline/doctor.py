"""The command `doctor`: what is installed and usable here."""

from __future__ import annotations

from functools import partial

from canemo import environment
from canemo.config import load_config
from canemo.errors import CanemoError
from canemo.faces.detect.head_fcos import load_head_detector
from canemo.faces.detect.registry import ALL_DETECTORS, SHIPPED, load_detector
from canemo.formats.boxes.kinds import ALL_FORMATS
from canemo.networks.auto import foresee_choice
from canemo.networks.backbone_specs import ALL_BACKBONES, AUTO
from canemo.networks.backbones import find_weights, load_backbone
from canemo.networks.engines.choice import (
    choose_engine,
    describe_machine,
    describe_rule,
    recall_choice,
)


def doctor(*, measure: bool = False, again: bool = False) -> dict[str, dict[str, str]]:
    """Return what is installed, where the weights of backbones are, and what runs them here.

    With `measure`, the engines of every backbone that can be had are timed now, where they have not
    been, instead of at its first use; with `again`, also where they have been.
    """
    describe_choice = partial(_describe_choice, measure=measure or again, again=again)
    found = environment.describe_environment(command="")
    added = {
        **ALL_BACKBONES.describe_added(),
        **ALL_DETECTORS.describe_added(),
        **ALL_FORMATS.describe_added(),
    }
    backbones = {name: find_weights(name) for name in ALL_BACKBONES.load_all()}
    ready = [name for name, where in backbones.items() if where.startswith("ready")]
    return {
        "canemo": {key: found[key] for key in ("canemo", "python", "platform", "processor")},
        "packages": found["packages"],
        "backbones": {AUTO: foresee_choice(), **backbones},
        "detectors": _describe_detector(load_config().detector),
        **({"added by packages": added} if added else {}),
        "engines": {
            **describe_machine(),
            "auto": describe_rule(),
            **{name: describe_choice(name) for name in (*ready, *SHIPPED)},
        },
    }


def _describe_choice(name: str, *, measure: bool, again: bool) -> str:
    try:
        network = load_head_detector().network if name in SHIPPED else load_backbone(name).network
        known = choose_engine(network, again=again) if measure else recall_choice(network)
    except CanemoError as exc:
        return f"cannot be used: {exc}"
    return "not measured yet: canemo doctor --measure" if known is None else known.describe()


def _describe_detector(name: str) -> dict[str, str]:
    try:
        detector = load_detector(name)
    except CanemoError as exc:
        return {name: f"cannot be used: {exc}"}
    return {detector.name: f"ready, threshold {detector.score_threshold:.2f}"}
