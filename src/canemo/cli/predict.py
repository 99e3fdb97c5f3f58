"""The command predict."""

# No `from __future__ import annotations`: Typer would have to evaluate each as text at every start.

from pathlib import Path
from typing import Annotated

import typer

import canemo
from canemo.cli.app import app
from canemo.cli.options import DetectorName, EngineOption, Force, PrecisionOption, Weights


@app.command()
def predict(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="Run or model folder.")],
    paths: Annotated[list[str], typer.Argument(help="Video files, folders, glob patterns.")],
    out: Annotated[Path, typer.Option(help="Where the results go.")] = Path("predictions"),
    video: Annotated[bool, typer.Option("--video", help="Also write annotated MP4 files.")] = False,
    abstain: Annotated[
        float | None,
        typer.Option(help="Share of clips whose true label may be ruled out; else: undecided."),
    ] = None,
    anyway: Annotated[
        bool,
        typer.Option("--anyway", help="Answer also where the model could not be told from chance."),
    ] = False,
    weights: Weights = None,
    detector: DetectorName = None,
    device: Annotated[str | None, typer.Option(help="Where the backbone runs: cpu, cuda.")] = None,
    engine: EngineOption = None,
    precision: PrecisionOption = None,
    force: Force = False,
) -> None:
    """Classify new video: one row per frame, one per video, a timeline for each."""
    from canemo.cli import console
    from canemo.pipeline.model import load_model
    from canemo.report.words.model import write_model_sentence
    from canemo.report.words.voice import Voice
    from canemo.report.words.wording import count
    from canemo.study.runs import RESULTS_FILE

    loaded = load_model(
        model,
        weights=weights,
        detector=detector,
        device=device,
        engine=engine,
        precision=precision,
    )
    verdict = write_model_sentence(loaded.evaluation, anyway=anyway)
    typer.echo(f"{Voice(loaded.saved.config.species).say(verdict)}\n")
    with console.show_progress() as progress:
        table = canemo.predict_videos(
            loaded,
            paths,
            out,
            video=video,
            abstain=abstain,
            anyway=anyway,
            force=force,
            progress=progress,
        )
    typer.echo(table.drop(columns=["path", "model_verdict"]).to_string(index=False))
    failed = table[table["status"] == "failed"]
    drawn = f"; pictures: {out / 'timelines'}" if len(failed) < len(table) else ""
    drawn += f"; videos: {out / 'annotated'}" if drawn and video else ""
    typer.echo(f"\n{count(len(table), 'video')}, {len(failed)} failed", err=True)
    typer.echo(f"results: {out / RESULTS_FILE}{drawn}", err=True)
    if len(failed):
        raise typer.Exit(1)
