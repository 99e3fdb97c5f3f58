"""The command explain: where in the face the evidence is."""

# No `from __future__ import annotations`: Typer would have to evaluate each as text at every start.

import json
from pathlib import Path
from typing import Annotated

import typer

import canemo
from canemo.cli.app import app
from canemo.cli.options import Force, Json, Weights


@app.command()
def explain(
    places: Annotated[
        list[Path],
        typer.Argument(metavar="RUN...|MODEL", help="Runs of one study, or a model with --crops."),
    ],
    method: Annotated[
        list[str] | None,
        typer.Option(
            "--method",
            help="contribution, gradient, occlusion, gradcam, gradcam++, scorecam, rollout, "
            "eigencam; repeat for more, the first leads.",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Folder to write (RUN/explain).", show_default=False),
    ] = None,
    crops: Annotated[
        Path | None, typer.Option("--crops", help="Picture, video or folder, for a model.")
    ] = None,
    label: Annotated[
        str | None, typer.Option(help="Whose evidence is mapped (the positive label).")
    ] = None,
    per_clip: Annotated[int, typer.Option(min=1, help="Crops of each clip.")] = 1,
    tests: Annotated[
        int, typer.Option(min=0, help="Crops per dog and label that maps are tested on; 0: none.")
    ] = 1,
    regions: Annotated[
        str, typer.Option(help="Regions from: auto, study (landmarks), model, bands.")
    ] = "auto",
    landmarks: Annotated[
        Path | None, typer.Option(help="Landmarks of the study: a file or folder of CSV files.")
    ] = None,
    individual: Annotated[
        str | None, typer.Option(help="Whose landmarks, where several animals have some.")
    ] = None,
    truth: Annotated[
        list[str] | None,
        typer.Option("--truth", help="Region that holds the evidence, where that is known."),
    ] = None,
    weights: Weights = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Show where in the face the evidence is: maps, numbers by region, tests of the maps."""
    from canemo.cli import console
    from canemo.report.words.explanation import format_explanation

    with console.show_progress() as progress:
        found = canemo.explain_models(
            places,
            out_dir=out,
            methods=method or (),
            crops=crops,
            per_clip=per_clip,
            tests=tests,
            label=label,
            regions=regions,  # type: ignore[arg-type]  # an unknown one is refused, and named
            landmarks=landmarks,
            individual=individual,
            truth=truth or (),
            weights=weights,
            force=force,
            progress=progress,
        )
    typer.echo(
        json.dumps(found.record.to_dict(), indent=1)
        if as_json
        else format_explanation(found.record)
    )
    if not as_json:
        typer.echo(f"\npage: {found.page}")
