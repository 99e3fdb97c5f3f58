"""The command concepts: what of coded action units is in the features."""

# No `from __future__ import annotations`: Typer would have to evaluate each as text at every start.

import json
from typing import Annotated

import typer

from canemo.cli.app import app
from canemo.cli.options import (
    ENGINE,
    FRAMES,
    NETWORK,
    Force,
    Json,
    Settings,
    SkipInvalid,
    StudyDir,
    with_settings,
)
from canemo.errors import ConfigError


@app.command()
@with_settings(*NETWORK, *FRAMES, *ENGINE, "pooling", "split", "seed", "positive")
def concepts(
    study: StudyDir,
    *,
    events: Annotated[
        list[str],
        typer.Option("--events", metavar="[CODER=]FILE", help="Coded events; repeat for more."),
    ],
    column: Annotated[
        list[str] | None,
        typer.Option("--column", metavar="OURS=THEIRS", help="Which heading holds what."),
    ] = None,
    all_coded: Annotated[
        bool, typer.Option("--all-coded", help="Every coder coded every clip.")
    ] = False,
    point_window: Annotated[
        float | None,
        typer.Option(help="Seconds either side of a point event that show it.", show_default=False),
    ] = None,
    permutations: Annotated[
        int | None, typer.Option(help="Codings that are moved (1000).", show_default=False)
    ] = None,
    penalty: Annotated[
        float | None, typer.Option(help="Of the concept probes (1).", show_default=False)
    ] = None,
    skip_invalid: SkipInvalid = False,
    name: Annotated[str | None, typer.Option(help="Name of the results.")] = None,
    settings: Settings,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Say which coded action units can be decoded, and which of them the condition leans on."""
    from canemo.cli import console
    from canemo.pipeline.concepts import concepts_study
    from canemo.report.terminal import format_concepts

    config = settings.load(study)
    with console.show_progress() as progress:
        result = concepts_study(
            study,
            events,
            config=config,
            name=name,
            columns=_parse_columns(column),
            all_coded=all_coded,
            point_window_s=point_window,
            permutations=permutations,
            penalty=penalty,
            skip_invalid=skip_invalid,
            force=force,
            command=console.command_line(),
            progress=progress,
        )
    if as_json:
        typer.echo(json.dumps(result.record.to_dict(), indent=1))
    else:
        typer.echo(format_concepts(result.record))
        typer.echo(f"\nreport: {result.report}\nframes: {result.table}\nnumbers: {result.path}")


def _parse_columns(pairs: list[str] | None) -> dict[str, str]:
    """Return heading by field from texts like ``code=Behavior``."""
    found = {}
    for pair in pairs or ():
        ours, equals, theirs = pair.partition("=")
        if not (equals and ours.strip() and theirs.strip()):
            raise ConfigError(f"--column {pair!r}: expected OURS=THEIRS, e.g. code=Behavior")
        found[ours.strip()] = theirs.strip()
    return found
