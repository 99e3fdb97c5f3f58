"""Measure what canemo costs on this machine: `python benchmarks/run.py [PART]...`, -h for help."""

# No `from __future__ import annotations`: Typer would have to evaluate each as text at every start.

import json
import logging
import os
import sys
from collections.abc import Callable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from canemo.errors import CanemoError, ConfigError


class Part(StrEnum):
    """What can be measured."""

    SPEED = "speed"
    SCALING = "scaling"
    MEMORY = "memory"
    STARTUP = "startup"
    LIMIT = "limit"
    PARITY = "parity"
    STUDY = "study"
    TRUST = "trust"
    MAPS = "maps"
    STRANGERS = "strangers"


DEFAULT_PARTS = (Part.SPEED, Part.SCALING, Part.MEMORY, Part.STARTUP)

app = typer.Typer(
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.command()
def measure(
    parts: Annotated[
        list[Part] | None,
        typer.Argument(
            metavar="[PART]...",
            help="speed, scaling, memory, startup (these four where none is named), limit, parity, "
            "study, trust, maps, strangers.",
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
    photographs: Annotated[
        Path | None,
        typer.Option(help="Of strangers: identity/DOG/, identity_faces.json, identity_wrong.csv."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress, errors only.")] = False,
) -> None:
    """Measure what canemo costs on this machine, against the 2022 paper's stack.

    speed: from video to embeddings, by stage. scaling: 1, 3, 10 times as many clips. memory: its
    peak against the length of a video. startup: until anything happens. limit: how near embedding
    comes to the processor's rate of matrix products. parity: whether every engine and precision
    answers alike on crops of --study. study: a comparison of backbones of the paper's size. trust:
    sweep, permutations and audit of that size. maps: contributions and EigenCAM beside the passes
    of the backbone. strangers: how well a clip of another dog is found, on --photographs.
    """
    from bench import lengths as memory
    from bench import (
        limit,
        maps,
        parity,
        reference_size,
        scaling,
        speed,
        startup,
        strangers,
        tables,
    )
    from canemo import environment
    from canemo.cli import console

    console.start_logging(logging.ERROR if quiet else logging.WARNING, progress=not quiet)
    names = backbone or []
    with console.show_progress() as progress:
        shared: dict[str, Any] = {"progress": progress}
        of_one = {"clips": clips or [], **shared}
        if names:
            of_one["backbone"] = _require_one(names, parts)
        lengths_s = _parse_lengths(lengths)
        work: dict[Part, Callable[[], Sequence[Any]]] = {
            Part.SPEED: lambda: speed.measure_speed(seconds=seconds, **of_one),
            Part.SCALING: lambda: scaling.measure_scaling(**of_one),
            Part.MEMORY: lambda: memory.measure_lengths(lengths_s=lengths_s, **of_one),
            Part.STARTUP: startup.measure_startup,
            Part.LIMIT: lambda: limit.measure_limit(names, **shared),
            Part.PARITY: lambda: parity.measure_parity(
                _require(study, "parity", "a study with --study"), names, **shared
            ),
            Part.STUDY: lambda: reference_size.measure_cost(
                names, preset=preset, crops=crops, **shared
            ),
            Part.TRUST: lambda: reference_size.measure_trust(crops=crops, **shared),
            Part.MAPS: lambda: maps.measure_maps(names, clips=clips or [], crops=mapped, **shared),
            Part.STRANGERS: lambda: strangers.measure_strangers(
                _require(photographs, "strangers", "their folder with --photographs"), **shared
            ),
        }
        found = {part: work[part]() for part in parts or DEFAULT_PARTS}
    machine = environment.describe_environment(command=console.command_line())
    if as_json:
        measured = {part.value: [line.to_dict() for line in found[part]] for part in found}
        typer.echo(json.dumps({"machine": machine, **measured}, indent=1))
        return
    typer.echo(tables.format_machine(machine))
    for part, lines in found.items():
        show = tables.format_parity if part is Part.PARITY else tables.format_costs
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


def _require(place: Path | None, part: str, wanted: str) -> Path:
    if place is None:
        raise ConfigError(f"{part} is measured on real pictures: give {wanted}")
    return place


if __name__ == "__main__":
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as `canemo` does, for what is measured
    try:
        app()
    except (CanemoError, OSError) as exc:
        sys.exit(f"error: {exc}")
