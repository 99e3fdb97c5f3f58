"""Commands about this machine and this version: cost, presets, what is installed."""

from __future__ import annotations

import itertools
import json
import textwrap
from typing import Annotated

import typer

from canemo.cli.app import app
from canemo.cli.options import (
    Json,
)


@app.command()
def bench(
    backbone: Annotated[
        list[str] | None, typer.Option("--backbone", help="One to time; give it repeatedly.")
    ] = None,
    preset: Annotated[str, typer.Option(help="A preset with the method gradient.")] = "paper",
    crops: Annotated[int, typer.Option(min=1000, help="Face crops of the drawn study.")] = 19392,
    trust: Annotated[
        bool, typer.Option("--trust", help="Time sweep, permutations and audit instead.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Measure what a study of the paper's size costs here: time and memory, no video needed."""
    from canemo import terminal
    from canemo.bench import measure_cost, measure_trust

    with terminal.show_progress() as progress:
        if trust:
            lines = measure_trust(crops=crops, progress=progress)
        else:
            lines = measure_cost(backbone or [], preset=preset, crops=crops, progress=progress)
    if as_json:
        typer.echo(json.dumps([line.to_dict() for line in lines], indent=1))
    else:
        typer.echo(terminal.format_costs(lines))


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
def doctor(as_json: Json = False) -> None:
    """Say what is installed and which backbones and detectors can be used here."""
    from canemo import pipeline

    found = pipeline.doctor()
    if as_json:
        typer.echo(json.dumps(found, indent=1))
        return
    for section, entries in found.items():
        typer.echo(f"{section}:")
        typer.echo("\n".join(f"  {key:<20} {value}" for key, value in entries.items()))
