"""The command dynamics."""

# No `from __future__ import annotations`: Typer would have to evaluate each as text at every start.

import json
from pathlib import Path
from typing import Annotated

import typer

import canemo
from canemo.cli.app import app
from canemo.cli.options import Force, Json, Settings, StudyDir, with_settings


@app.command()
@with_settings("detector", "seed", "positive")
def dynamics(
    study: StudyDir,
    *,
    out: Annotated[
        Path | None, typer.Option(help="Where results go (STUDY/dynamics).", show_default=False)
    ] = None,
    fps: Annotated[float, typer.Option(help="Frames per second to look at.")] = 15.0,
    settings: Settings,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Say how faces move in each condition: speed, range, events; compared within dogs."""
    from canemo.cli import console
    from canemo.report.terminal import format_dynamics

    config = settings.load(study)
    with console.show_progress() as progress:
        result = canemo.dynamics_study(
            study,
            out_dir=out,
            config=config,
            fps=fps,
            force=force,
            command=console.command_line(),
            progress=progress,
        )
    if as_json:
        typer.echo(json.dumps(result.record.to_dict(), indent=1))
    else:
        typer.echo(format_dynamics(result.record))
        typer.echo(f"\nreport: {result.report}\nevents: {result.events}\nnumbers: {result.path}")
