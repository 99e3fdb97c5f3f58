"""The commands crop, embed, evaluate, run, compare and report."""

# No `from __future__ import annotations`: Typer would have to evaluate each as text at every start.

import json
from pathlib import Path
from typing import Annotated, Any

import typer

import canemo
from canemo.cli.app import app
from canemo.cli.options import (
    ENGINE,
    FRAMES,
    LEARNING,
    NETWORK,
    Force,
    Json,
    RunDir,
    Settings,
    StudyDir,
    parse_weights,
    refuse_options,
    with_settings,
)
from canemo.errors import ConfigError


@app.command()
@with_settings(*FRAMES)
def crop(
    study: StudyDir,
    *,
    sheet: Annotated[Path | None, typer.Option(help="PNG for a contact sheet.")] = None,
    settings: Settings,
) -> None:
    """Find and keep the face crops of every video."""
    from canemo.cli import console

    config = settings.load(study)
    with console.show_progress() as progress:
        crops = canemo.crop_study(study, config=config, sheet=sheet, progress=progress)
    typer.echo(crops.ledger.groupby("fate").size().to_string())
    typer.echo(f"\ncrops: {study / 'cache' / 'crops'}")
    if sheet is not None:
        typer.echo(f"sheet: {sheet}")


@app.command()
@with_settings(*NETWORK, *FRAMES, *ENGINE)
def embed(study: StudyDir, settings: Settings) -> None:
    """Embed every face crop with a frozen backbone."""
    from canemo.cli import console

    config = settings.load(study)
    with console.show_progress() as progress:
        features = canemo.embed_study(study, config=config, progress=progress)
    typer.echo(f"{len(features)} crops, {features.cls.shape[1]} features each")
    typer.echo(f"\nfeatures: {study / 'cache' / 'features'}")


@app.command()
@with_settings(*NETWORK, *FRAMES, *ENGINE, *LEARNING, "sweep")
def evaluate(
    study: StudyDir,
    settings: Settings,
    show_optimism: Annotated[
        bool,
        typer.Option("--show-optimism", help="Also say what picking the best setting would claim."),
    ] = False,
    as_json: Json = False,
) -> None:
    """Test a probe on dogs it has not seen; writes nothing but the cache."""
    from canemo.cli import console
    from canemo.report.terminal import format_optimism, format_result_block

    config = settings.load(study)
    with console.show_progress() as progress:
        metrics = canemo.evaluate_study(study, config=config, progress=progress)
    typer.echo(json.dumps(metrics.to_dict(), indent=1) if as_json else format_result_block(metrics))
    if show_optimism and not as_json:
        typer.echo(f"\n{format_optimism(metrics)}")
    typer.echo(f"no number was written; `canemo run {study}` keeps them, with a report", err=True)


@app.command()
@with_settings(*NETWORK, *FRAMES, *ENGINE, *LEARNING, "positive", "sweep")
def run(
    study: StudyDir,
    *,
    name: Annotated[str | None, typer.Option(help="Name of the run folder.")] = None,
    settings: Settings,
    force: Force = False,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Say what is to do and how long it takes; do nothing."),
    ] = False,
    as_json: Json = False,
) -> None:
    """Do everything: crops, features, evaluation on unseen dogs, model, pictures, report."""
    from canemo.cli import console

    config = settings.load(study)
    if dry_run:
        _foresee(study, config, name=name, force=force, as_json=as_json)
        return
    with console.show_progress() as progress:
        result = canemo.run(
            study,
            config=config,
            name=name,
            force=force,
            command=console.command_line(),
            progress=progress,
        )
    print_result(result, as_json=as_json)


@app.command()
@with_settings(*FRAMES, *ENGINE, "split", "seed")
def compare(
    context: typer.Context,
    paths: Annotated[
        list[Path],
        typer.Argument(metavar="STUDY|RUN...", help="One study, or two or more run folders."),
    ],
    *,
    name: Annotated[str | None, typer.Option(help="Name of the folder of results.")] = None,
    backbone: Annotated[
        list[str] | None, typer.Option("--backbone", help="One to compare; give it repeatedly.")
    ] = None,
    method: Annotated[
        list[str] | None,
        typer.Option("--method", help="logistic, gradient, sequence_...; give it repeatedly."),
    ] = None,
    weights: Annotated[
        list[str] | None,
        typer.Option("--weights", metavar="BACKBONE=FILE", help="Local weights of a backbone."),
    ] = None,
    settings: Settings,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Train several backbones or methods on identical crops and dogs, or compare finished runs."""
    if _are_runs(paths):
        _compare_runs(paths, context, seed=settings.given["seed"], as_json=as_json)
        return
    (study,) = paths
    config = settings.load(
        study,
        backbones=backbone or None,
        methods=method or None,
        weights_by_name=parse_weights(weights),
    )
    _compare_models(study, config, name=name, force=force, as_json=as_json)


@app.command()
def report(
    run_dir: RunDir,
    tables: Annotated[
        Path | None, typer.Option(help="Where the tables go, .xlsx or .tex (RUN/results.xlsx).")
    ] = None,
) -> None:
    """Write the HTML report of a finished run, and its tables, again."""
    path = canemo.report_run(run_dir, tables=tables)
    typer.echo(f"report: {path}\ntables: {tables or run_dir / 'results.xlsx'}")


def print_result(result: Any, *, as_json: bool = False) -> None:
    """Print a run's result block, or metrics.json as it is."""
    from canemo.report.terminal import format_result_block

    if as_json:
        typer.echo(json.dumps(result.metrics.to_dict(), indent=1))
    else:
        typer.echo(format_result_block(result.metrics))
        typer.echo(f"\nreport: {result.report}\nmodel:  {result.model}")


def _foresee(study: Path, config: Any, *, name: str | None, force: bool, as_json: bool) -> None:
    from canemo.pipeline.forecast import foresee_run
    from canemo.report.forecast import format_forecast

    found = foresee_run(study, config, name=name, force=force)
    typer.echo(json.dumps(found.to_dict(), indent=1) if as_json else format_forecast(found))


def _are_runs(paths: list[Path]) -> bool:
    """Tell two or more finished runs from one study; anything between is an error."""
    from canemo.study.runs import METRICS_FILE, explain_no_run

    others = [path for path in paths if not (path / METRICS_FILE).is_file()]
    if len(paths) == 1:
        return not others
    if others:
        raise ConfigError(
            f"{others[0]}: {explain_no_run(others[0])} (models are trained in one STUDY; finished "
            "runs are compared with each other, two or more of them)"
        )
    return True


def _compare_models(
    study: Path, config: Any, *, name: str | None, force: bool, as_json: bool
) -> None:
    from canemo.cli import console
    from canemo.report.terminal import format_comparison

    with console.show_progress() as progress:
        result = canemo.compare_models(
            study,
            config=config,
            name=name,
            force=force,
            command=console.command_line(),
            progress=progress,
        )
    if as_json:
        typer.echo(json.dumps(result.comparison.to_dict(), indent=1))
    else:
        typer.echo(format_comparison(result.comparison))
        typer.echo(f"\nreport: {result.report}\ntable:  {result.folder / 'table.csv'}")


def _compare_runs(
    paths: list[Path], context: typer.Context, *, seed: int | None, as_json: bool
) -> None:
    from canemo.pipeline.compare_runs import compare_runs, format_run_comparison

    refuse_options(
        context,
        allowed=("paths", "seed", "as_json"),
        reason="finished runs are compared as they are; leave it out, or give one STUDY to train "
        "with it",
    )
    content = compare_runs(paths, seed=seed)
    typer.echo(
        json.dumps(content.to_dict(), indent=1) if as_json else format_run_comparison(content)
    )
