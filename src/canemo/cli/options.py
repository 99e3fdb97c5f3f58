"""The options that commands share, and how they become settings."""

from __future__ import annotations

import functools
import inspect
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from canemo.errors import ConfigError

if TYPE_CHECKING:
    from canemo.config import Config

StudyDir = Annotated[Path, typer.Argument(metavar="STUDY", help="Folder with videos.csv.")]
RunDir = Annotated[Path, typer.Argument(metavar="RUN", help="Run folder, STUDY/runs/NAME.")]
Weights = Annotated[
    Path | None, typer.Option(help="Local weights file of the backbone.", show_default=False)
]
DetectorName = Annotated[
    str | None, typer.Option("--detector", help="dog_head, whole_frame, weights or faces.json.")
]
EngineOption = Annotated[
    str | None,
    typer.Option("--engine", help="What runs the backbone: auto, torch, openvino."),
]
PrecisionOption = Annotated[
    str | None, typer.Option("--precision", help="auto, float32, bfloat16 or int8.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
SkipInvalid = Annotated[
    bool, typer.Option("--skip-invalid", help="Leave out what cannot be used; it is named.")
]
Force = Annotated[bool, typer.Option("--force", help="Replace what is there.")]

_OPTIONS: dict[str, Any] = {
    "preset": Annotated[
        str | None,
        typer.Option("--preset", help="quick, paper, video, strict, or a TOML file of your own."),
    ],
    "backbone": Annotated[
        str | None, typer.Option("--backbone", help="Frozen network: auto, dino_vits8, timm:NAME.")
    ],
    "weights": Weights,
    "fps": Annotated[float | None, typer.Option(help="Frames per second to look at.")],
    "every_nth": Annotated[int | None, typer.Option(help="Look at every n-th frame (1: all).")],
    "detector": DetectorName,
    "engine": EngineOption,
    "precision": PrecisionOption,
    "method": Annotated[
        str | None,
        typer.Option("--method", help="lda, logistic, gradient, or sequence_mean, _attention, ..."),
    ],
    "pooling": Annotated[
        str | None, typer.Option(help="cls, mean, cls_mean, layer2..4, last4, upper, row1..4, ...")
    ],
    "split": Annotated[
        str | None,
        typer.Option("--split", help="loso, kfold:K, holdout:N[:balanced] or file:split.json."),
    ],
    "seed": Annotated[int | None, typer.Option(help="Seed of everything that is drawn.")],
    "positive": Annotated[str | None, typer.Option(help="The label whose probability is shown.")],
    "sweep": Annotated[
        bool | None,
        typer.Option(
            "--sweep", help="Let inner folds choose among poolings, layers, face parts too."
        ),
    ],
    "assignments": Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Any setting, e.g. --set crop.margin=0.1."),
    ],
}
"""The options that stand for settings, by parameter, in the order in which help shows them."""

NETWORK = ("backbone", "weights")
FRAMES = ("fps", "every_nth", "detector")
ENGINE = ("engine", "precision")
LEARNING = ("method", "pooling", "split", "seed")

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
"""Name of a parameter -> section and key of the setting it stands for."""


@dataclass(frozen=True)
class Settings:
    """What the command line says of a study's settings, by parameter."""

    given: dict[str, Any]

    def load(self, study: Path, **others: Any) -> Config:
        """Return the settings of `study`, overridden by what was given, here or in `others`."""
        from canemo.config import SWEEP_POOLINGS, load_config

        overrides: dict[str, dict[str, Any]] = {}
        for option, value in {**self.given, **others}.items():
            if option in _PLACES and value is not None:
                section, key = _PLACES[option]
                overrides.setdefault(section, {})[key] = _make_movable(option, value)
        if self.given.get("sweep"):
            overrides["sweep"] = {"poolings": SWEEP_POOLINGS}
        for assignment in self.given["assignments"] or ():
            section, key, value = _parse_assignment(assignment)
            overrides.setdefault(section, {})[key] = value
        return load_config(study, preset=self.given["preset"], overrides=overrides)


def with_settings(*names: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command the options `names`, ``--preset`` and ``--set`` in place of its `settings`.

    The command has one parameter `settings`, a `Settings`; Typer sees the options instead of it.
    """
    options = [name for name in _OPTIONS if name in {"preset", *names, "assignments"}]

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(command)
        def call(**given: Any) -> None:
            settings = Settings({name: given.pop(name) for name in options})
            command(settings=settings, **given)

        parameters = _spread_settings(command, options)
        call.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        call.__annotations__ = {each.name: each.annotation for each in parameters}
        return call

    return decorate


def _spread_settings(command: Callable[..., None], options: list[str]) -> list[inspect.Parameter]:
    """Return the parameters of a command with `options` where it takes `settings`."""
    keyword = inspect.Parameter.KEYWORD_ONLY
    found: list[inspect.Parameter] = []
    for name, parameter in inspect.signature(command).parameters.items():
        if name == "settings":
            found += [
                inspect.Parameter(each, keyword, default=None, annotation=_OPTIONS[each])
                for each in options
            ]
        else:
            found.append(parameter.replace(kind=keyword))
    return found


def _make_movable(option: str, value: Any) -> Any:
    """Return the full path of a file that is named, so that the run and its model can move."""
    if option in ("weights", "detector") and Path(value).exists():
        return str(Path(value).resolve())
    return value


def _parse_assignment(text: str) -> tuple[str, str, Any]:
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
