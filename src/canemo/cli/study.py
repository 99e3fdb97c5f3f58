"""The commands demo, init and check."""

# No `from __future__ import annotations`: Typer would have to evaluate each as text at every start.

import json
from pathlib import Path
from typing import Annotated

import typer

import canemo
from canemo.cli.app import app
from canemo.cli.options import Force, Json, StudyDir
from canemo.cli.run import print_result
from canemo.errors import ConfigError, StudyError


@app.command()
def demo(
    folder: Annotated[Path, typer.Argument(help="Where the drawn study goes.")] = Path(
        "demo_study"
    ),
    seed: Annotated[int, typer.Option(min=0, help="Seed of the drawing.")] = 0,
) -> None:
    """Draw a small study of dogs as real video files, run it, and say where the report is."""
    from canemo.cli import console

    with console.show_progress() as progress:
        result = canemo.demo(folder, seed=seed, progress=progress)
    print_result(result)


@app.command()
def init(
    folder: Annotated[Path, typer.Argument(help="Folder with video files, nested or not.")],
    pattern: Annotated[
        str | None,
        typer.Option(help="How file names are made, e.g. '{subject_id}_{label}_{take}.mp4'."),
    ] = None,
    xlsx: Annotated[
        bool, typer.Option("--xlsx", help="Write videos.xlsx, a workbook, and not videos.csv.")
    ] = False,
    force: Force = False,
) -> None:
    """Write videos.csv from the names of the files, and show what was understood."""
    from canemo.study.propose import (
        list_video_paths,
        propose_videos,
        suggest_pattern,
        write_videos,
    )

    if pattern is None:
        known = suggest_pattern(list_video_paths(folder))
        raise ConfigError(f"--pattern says how the names of the videos are made; {known}")
    proposal = propose_videos(folder, pattern)
    typer.echo(proposal.table.to_string(index=False))
    for name in proposal.unmatched:
        typer.echo(f"did not match: {name}", err=True)
    path = write_videos(proposal.table, folder, suffix=".xlsx" if xlsx else ".csv", force=force)
    for problem in proposal.find_problems(path.name):
        typer.echo(str(problem), err=True)
    typer.echo(
        f"{len(proposal.table)} videos in {path}, {len(proposal.unmatched)} left out; next: canemo "
        f"check {folder}",
        err=True,
    )


@app.command()
def check(
    study: StudyDir,
    page: Annotated[
        bool, typer.Option("--page", help="Look at the clips too: faces, doubts, one HTML page.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Name every problem of a study at once, and say what its design can show."""
    found = canemo.check_study(study)
    typer.echo(json.dumps(found.to_dict(), indent=1) if as_json else found.describe())
    if page:
        _show_material(study)
    elif not found.problems:
        typer.echo(f"next, look at every clip: canemo check {study} --page", err=True)
    if found.errors or not found.can_conclude:
        raise typer.Exit(1)


def _show_material(study: Path) -> None:
    from canemo.cli import console
    from canemo.study.load import load_study

    try:
        load_study(study)
    except StudyError as exc:
        typer.echo("no page was written: mend the errors named above first", err=True)
        raise typer.Exit(1) from exc
    with console.show_progress() as progress:
        path = canemo.show_material(study, progress=progress)
    typer.echo(f"page: {path}", err=True)
