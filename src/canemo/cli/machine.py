"""The commands presets and doctor: what this version brings, and what is installed here."""

import itertools
import json
import textwrap
from typing import Annotated

import typer

import canemo
from canemo.cli.app import app
from canemo.cli.options import Json


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
    again: Annotated[
        bool, typer.Option("--again", help="Time also those that were timed before.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Say what is installed, which backbones and detectors can be used here, and what runs them."""
    found = canemo.doctor(measure=measure, again=again)
    if as_json:
        typer.echo(json.dumps(found, indent=1))
        return
    for section, entries in found.items():
        typer.echo(f"{section}:")
        typer.echo("\n".join(f"  {key:<20} {value}" for key, value in entries.items()))
