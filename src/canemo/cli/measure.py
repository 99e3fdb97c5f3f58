"""The command measure."""

# No `from __future__ import annotations`: Typer would have to evaluate each as text at every start.

from pathlib import Path
from typing import Annotated

import typer

import canemo
from canemo.cli.app import app
from canemo.cli.options import DetectorName, Force


@app.command()
def measure(
    paths: Annotated[list[str], typer.Argument(help="Pictures, videos, folders, glob patterns.")],
    out: Annotated[Path, typer.Option(help="Where the results go.")] = Path("measures"),
    video: Annotated[
        bool, typer.Option("--video", help="Also write copies with the points drawn in.")
    ] = False,
    fps: Annotated[float | None, typer.Option(help="Frames per second to look at.")] = None,
    every_nth: Annotated[
        int | None, typer.Option(help="Look at every n-th frame (1: all).")
    ] = None,
    species: Annotated[str, typer.Option(help="Whose faces they are.")] = "dog",
    detector: DetectorName = None,
    force: Force = False,
) -> None:
    """Measure faces in pictures and clips; no study, no labels."""
    from canemo.cli import console
    from canemo.report.words.wording import count
    from canemo.study.runs import RESULTS_FILE

    with console.show_progress() as progress:
        table = canemo.measure_files(
            paths,
            out,
            species=species,
            detector=detector or "auto",
            fps=fps,
            every_nth=every_nth,
            video=video,
            force=force,
            progress=progress,
        )
    shown = [name for name in map(str, table.columns) if name.endswith(("_share", "_answered"))]
    columns = ["video_id", "status", "frames", "faces", *shown, "message"]
    typer.echo(table[columns].to_string(index=False))
    failed = int((table["status"] == "failed").sum())
    typer.echo(f"\n{count(len(table), 'file')}, {failed} failed", err=True)
    typer.echo(f"results: {out / RESULTS_FILE}", err=True)
    if failed:
        raise typer.Exit(1)
