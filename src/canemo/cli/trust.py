"""The commands audit, export and verify, for whoever doubts a result."""

# No `from __future__ import annotations`: Typer would have to evaluate each as text at every start.

import json
from pathlib import Path
from typing import Annotated

import typer

import canemo
from canemo.cli.app import app
from canemo.cli.options import (
    FRAMES,
    NETWORK,
    Force,
    Json,
    RunDir,
    Settings,
    refuse_options,
    with_settings,
)
from canemo.errors import ConfigError


@app.command()
@with_settings(*NETWORK, *FRAMES, "pooling", "split", "seed")
def audit(
    context: typer.Context,
    place: Annotated[Path, typer.Argument(metavar="STUDY|RUN", help="A study, or a run of it.")],
    *,
    confounds: Annotated[
        bool, typer.Option("--confounds", help="Also try background, whole frame, face parts, ...")
    ] = False,
    settings: Settings,
    as_json: Json = False,
) -> None:
    """Look for what could fool you: leaks, duplicates, identity, confounds, tempting numbers."""
    from canemo.cli import console
    from canemo.report.terminal import format_audit
    from canemo.report.words.voice import find_voice, name_voice
    from canemo.study.records.folders import read_run

    config = None
    if (place / "metrics.json").is_file():
        refuse_options(
            context,
            allowed=("place", "confounds", "as_json"),
            reason="a finished run is audited with its own settings; leave it out, or give STUDY",
        )
        voice = find_voice(read_run(place).metrics.study)
    else:
        config = settings.load(place)
        voice = name_voice(config.study.species, ())
    with console.show_progress() as progress:
        found = canemo.audit_study(place, config=config, confounds=confounds, progress=progress)
    typer.echo(json.dumps(found.to_dict(), indent=1) if as_json else format_audit(found, voice))
    if config is None and confounds:
        typer.echo(f"kept in {place / 'confounds.json'}, and in {place / 'report.html'}", err=True)


@app.command()
def export(
    run_dir: RunDir,
    bundle: Annotated[
        Path | None, typer.Option("--bundle", help="ZIP file with all that the numbers rest on.")
    ] = None,
    force: Force = False,
) -> None:
    """Pack a run without its pictures, for others to verify."""
    if bundle is None:
        raise ConfigError("export: say what to write, e.g. --bundle run.zip")
    path = canemo.export_bundle(run_dir, bundle, force=force)
    typer.echo(f"{path} ({path.stat().st_size / 1e6:.1f} MB)")


@app.command()
def verify(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Run folder, or exported bundle.")],
    as_json: Json = False,
) -> None:
    """Compute every number of a run again, without its videos, and say which agree."""
    from canemo.cli import console
    from canemo.report.words.verification import format_verification

    with console.show_progress() as progress:
        found = canemo.verify_run(run, progress=progress)
    typer.echo(json.dumps(found, indent=1) if as_json else format_verification(found))
    if not found["agrees"]:
        raise typer.Exit(1)
