"""The options that commands share, and how they become settings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from canemo.errors import ConfigError

if TYPE_CHECKING:
    from canemo.config import Config

StudyDir = Annotated[Path, typer.Argument(metavar="STUDY", help="Folder with videos.csv.")]
RunDir = Annotated[Path, typer.Argument(metavar="RUN", help="Run folder, STUDY/runs/NAME.")]
BackboneName = Annotated[
    str | None, typer.Option("--backbone", help="Frozen network, e.g. dino_vits8, timm:NAME.")
]
Weights = Annotated[
    Path | None, typer.Option(help="Local weights file of the backbone.", show_default=False)
]
PresetName = Annotated[
    str | None,
    typer.Option("--preset", help="quick, paper, video, strict, or a TOML file of your own."),
]
Fps = Annotated[float | None, typer.Option(help="Frames per second to look at.")]
EveryNth = Annotated[int | None, typer.Option(help="Look at every n-th frame (1: all).")]
DetectorName = Annotated[
    str | None, typer.Option("--detector", help="dog_head, whole_frame, weights or faces.json.")
]
MethodName = Annotated[
    str | None,
    typer.Option("--method", help="lda, logistic, gradient, or sequence_mean, _attention, ..."),
]
Pooling = Annotated[
    str | None, typer.Option(help="cls, mean, cls_mean, layer2..4, last4, upper, row1..4, ...")
]
Sweep = Annotated[
    bool,
    typer.Option("--sweep", help="Let inner folds choose among poolings, layers, face parts too."),
]
EngineOption = Annotated[
    str | None,
    typer.Option("--engine", help="What runs the backbone: auto, torch, openvino."),
]
PrecisionOption = Annotated[
    str | None, typer.Option("--precision", help="auto, float32, bfloat16 or int8.")
]
SplitKind = Annotated[
    str | None,
    typer.Option("--split", help="loso, kfold:K, holdout:N[:balanced] or file:split.json."),
]
Seed = Annotated[int | None, typer.Option(help="Seed of everything that is drawn.")]
Positive = Annotated[str | None, typer.Option(help="The label whose probability is shown.")]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Any setting, e.g. --set crop.margin=0.1."),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
SkipInvalid = Annotated[
    bool, typer.Option("--skip-invalid", help="Leave out what cannot be used; it is named.")
]
Force = Annotated[bool, typer.Option("--force", help="Replace what is there.")]


_PLACES = {
    "backbone": ("backbone", "name"),
    "weights": ("backbone", "weights"),
    "engine": ("backbone", "engine"),
    "precision": ("backbone", "precision"),
    "fps": ("video", "fps"),
    "every_nth": ("video", "every_nth"),
    "detector": ("detect", "detector"),
    "pooling": ("probe", "pooling"),
    "split": ("evaluate", "split"),
    "seed": ("evaluate", "seed"),
    "positive": ("study", "positive_label"),
    "method": ("probe", "method"),
    "backbones": ("compare", "backbones"),
    "methods": ("compare", "methods"),
    "weights_by_name": ("compare", "weights"),
}
"""Name of a command's parameter -> section and key of the setting it stands for."""


def configure(context: typer.Context, study: Path, **given: Any) -> Config:
    """Return the settings of a study, overridden by the options of the command at hand.

    Every parameter that the command shares with `_PLACES` counts, and so do ``--preset``,
    ``--sweep`` and ``--set``; `given` takes the place of parameters of the same name.
    """
    from canemo.config import SWEEP_POOLINGS, load_config

    options = {**context.params, **given}
    overrides: dict[str, dict[str, Any]] = {}
    for option, (section, key) in _PLACES.items():
        value = options.get(option)
        if option in ("weights", "detector") and value is not None and Path(value).exists():
            value = str(Path(value).resolve())  # so that the run and its model can move
        if value is not None:
            overrides.setdefault(section, {})[key] = value
    if options.get("sweep"):
        overrides["sweep"] = {"poolings": SWEEP_POOLINGS}
    for setting in options.get("settings") or ():
        section, key, value = _parse_setting(setting)
        overrides.setdefault(section, {})[key] = value
    return load_config(study, preset=options.get("preset"), overrides=overrides)


def _parse_setting(text: str) -> tuple[str, str, Any]:
    name, equals, value = text.partition("=")
    section, dot, key = name.strip().partition(".")
    if not (equals and dot):
        raise ConfigError(f"--set {text!r}: expected SECTION.KEY=VALUE, e.g. crop.margin=0.1")
    try:
        return section, key, json.loads(value)
    except json.JSONDecodeError:
        return section, key, value


def parse_weights(pairs: list[str] | None) -> dict[str, str] | None:
    """Return the files by name of backbone from texts like ``NAME=FILE``."""
    if not pairs:
        return None
    found = {}
    for pair in pairs:
        name, equals, file = pair.partition("=")
        if not equals:
            raise ConfigError(f"--weights {pair!r}: expected BACKBONE=FILE")
        found[name] = str(Path(file).resolve())
    return found


def refuse_options(context: typer.Context, *, allowed: tuple[str, ...], reason: str) -> None:
    """Raise ConfigError where an option was given that means nothing to finished runs."""
    given = [
        parameter.opts[0]
        for parameter in context.command.params
        if parameter.name is not None
        and parameter.name not in allowed
        and getattr(context.get_parameter_source(parameter.name), "name", "") == "COMMANDLINE"
    ]
    if given:
        raise ConfigError(f"{', '.join(given)}: {reason}")
