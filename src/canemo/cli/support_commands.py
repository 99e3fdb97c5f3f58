"""Commands about this machine and this version: cost, presets, what is installed."""

import itertools
import json
import textwrap
from collections.abc import Callable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from canemo.cli.app import app
from canemo.cli.options import (
    Json,
)
from canemo.errors import ConfigError


class Part(StrEnum):
    """What `bench` can measure."""

    SPEED = "speed"
    SCALING = "scaling"
    MEMORY = "memory"
    STARTUP = "startup"
    LIMIT = "limit"
    PARITY = "parity"
    STUDY = "study"
    TRUST = "trust"
    MAPS = "maps"


DEFAULT_PARTS = (Part.SPEED, Part.SCALING, Part.MEMORY, Part.STARTUP)


@app.command()
def bench(
    parts: Annotated[
        list[Part] | None,
        typer.Argument(
            metavar="[PART]...",
            help="speed, scaling, memory, startup (these four where none is named), limit, parity, "
            "study, trust, maps.",
        ),
    ] = None,
    clips: Annotated[
        list[Path] | None,
        typer.Option("--clips", help="Video file or folder, repeatedly; else some are drawn."),
    ] = None,
    study: Annotated[
        Path | None, typer.Option("--study", help="Whose crops parity is measured on.")
    ] = None,
    backbone: Annotated[
        list[str] | None,
        typer.Option("--backbone", help="limit, parity, study, maps: give it repeatedly."),
    ] = None,
    seconds: Annotated[
        float, typer.Option(min=0.1, help="How much of each clip speed looks at.")
    ] = 2.0,
    lengths: Annotated[
        str, typer.Option(help="Lengths of the videos of memory, in seconds.")
    ] = "30,300,1800",
    preset: Annotated[
        str, typer.Option(help="A preset with the method gradient, for study.")
    ] = "paper",
    crops: Annotated[
        int, typer.Option(min=1000, help="Face crops of the drawn study of study and trust.")
    ] = 19392,
    mapped: Annotated[int, typer.Option(min=1, help="Pictures that maps are made of.")] = 512,
    as_json: Json = False,
) -> None:
    """Measure what canemo costs on this machine, against the 2022 paper's stack.

    speed: from video to embeddings, by stage. scaling: 1, 3, 10 times as many clips. memory: its
    peak against the length of a video. startup: until anything happens. limit: how near embedding
    comes to the processor's rate of matrix products. parity: whether every engine and precision
    answers alike on crops of --study. study: a comparison of backbones of the paper's size. trust:
    sweep, permutations and audit of that size. maps: contributions and EigenCAM beside the passes
    of the backbone.
    """
    import canemo
    from canemo import environment, terminal

    names = backbone or []
    with terminal.show_progress() as progress:
        shared: dict[str, Any] = {"progress": progress}
        of_one = {"clips": clips or [], **shared}
        if names:
            of_one["backbone"] = _require_one(names, parts)
        lengths_s = _parse_lengths(lengths)
        work: dict[Part, Callable[[], Sequence[Any]]] = {
            Part.SPEED: lambda: canemo.measure_speed(seconds=seconds, **of_one),
            Part.SCALING: lambda: canemo.measure_scaling(**of_one),
            Part.MEMORY: lambda: canemo.measure_lengths(lengths_s=lengths_s, **of_one),
            Part.STARTUP: canemo.measure_startup,
            Part.LIMIT: lambda: canemo.measure_limit(names, **shared),
            Part.PARITY: lambda: canemo.measure_parity(_require_study(study), names, **shared),
            Part.STUDY: lambda: canemo.measure_cost(names, preset=preset, crops=crops, **shared),
            Part.TRUST: lambda: canemo.measure_trust(crops=crops, **shared),
            Part.MAPS: lambda: canemo.measure_maps(
                names, clips=clips or [], crops=mapped, **shared
            ),
        }
        found = {part: work[part]() for part in parts or DEFAULT_PARTS}
    machine = environment.describe_environment(command=terminal.command_line())
    if as_json:
        measured = {part.value: [line.to_dict() for line in found[part]] for part in found}
        typer.echo(json.dumps({"machine": machine, **measured}, indent=1))
        return
    typer.echo(terminal.format_machine(machine))
    for part, lines in found.items():
        show = terminal.format_parity if part is Part.PARITY else terminal.format_costs
        typer.echo(f"\n{part.value}\n{show(lines)}")


def _require_one(names: list[str], parts: list[Part] | None) -> str:
    """Return the one backbone that parts which take one are to use."""
    if len(names) > 1 and set(parts or DEFAULT_PARTS) & {Part.SPEED, Part.SCALING, Part.MEMORY}:
        raise ConfigError("speed, scaling and memory take one --backbone at a time")
    return names[0]


def _parse_lengths(text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError as exc:
        raise ConfigError(f"--lengths {text!r}: expected seconds, e.g. 30,300") from exc


def _require_study(study: Path | None) -> Path:
    if study is None:
        raise ConfigError("parity is measured on real crops: give a study with --study")
    return study


@app.command()
def presets(
    name: Annotated[str | None, typer.Argument(help="Print this one as TOML.")] = None,
) -> None:
    """List the presets with what they are for, or print one."""
    from canemo.config import PRESETS, format_preset

    if name is not None:
        typer.echo(format_preset(name), nl=False)
        return
    for each in PRESETS:
        lines = format_preset(each).splitlines()
        about = " ".join(line.lstrip("# ") for line in itertools.takewhile(_is_comment, lines))
        typer.echo(f"{each}\n{textwrap.indent(textwrap.fill(about, 92), '  ')}\n")


def _is_comment(line: str) -> bool:
    return line.startswith("#")


@app.command()
def doctor(
    measure: Annotated[
        bool, typer.Option("--measure", help="Time the engines of every backbone now.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Say what is installed, which backbones and detectors can be used here, and what runs them."""
    from canemo import pipeline

    found = pipeline.doctor(measure=measure)
    if as_json:
        typer.echo(json.dumps(found, indent=1))
        return
    for section, entries in found.items():
        typer.echo(f"{section}:")
        typer.echo("\n".join(f"  {key:<20} {value}" for key, value in entries.items()))
