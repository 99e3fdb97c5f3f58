"""The command line: parse, call the pipeline, print. Results go to stdout, the rest to stderr.

Exit codes: 0 done, 1 a stated failure, 2 wrong usage, 130 interrupted.
"""

from __future__ import annotations

import itertools
import json
import logging
import os
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from canemo.errors import CanemoError, ConfigError

if TYPE_CHECKING:
    from canemo.config import Config

app = typer.Typer(
    name="canemo",
    help="Emotional states of dogs from their faces: videos of known dogs in, a classifier "
    "tested on dogs it has never seen and a report out.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
detector_app = typer.Typer(help="Work with face detectors.", no_args_is_help=True)
app.add_typer(detector_app, name="detector")

StudyDir = Annotated[Path, typer.Argument(metavar="STUDY", help="Folder with videos.csv.")]
RunDir = Annotated[Path, typer.Argument(metavar="RUN", help="Run folder, STUDY/runs/NAME.")]
BackboneName = Annotated[
    str | None, typer.Option("--backbone", help="Frozen network, e.g. dino_vits8, timm:NAME.")
]
Weights = Annotated[
    Path | None, typer.Option(help="Local weights file of the backbone.", show_default=False)
]
PresetName = Annotated[
    str | None,
    typer.Option("--preset", help="quick, paper, video, strict, or a TOML file of your own."),
]
Fps = Annotated[float | None, typer.Option(help="Frames per second to look at.")]
EveryNth = Annotated[int | None, typer.Option(help="Look at every n-th frame (1: all).")]
DetectorName = Annotated[
    str | None, typer.Option("--detector", help="dog_head, or a trained weights file.")
]
Pooling = Annotated[str | None, typer.Option(help="cls, mean, cls_mean, grid, upper or lower.")]
SplitKind = Annotated[
    str | None, typer.Option("--split", help="loso, kfold:K, holdout:N or file:split.json.")
]
Seed = Annotated[int | None, typer.Option(help="Seed of splits and resampling.")]
Positive = Annotated[str | None, typer.Option(help="The label whose probability is shown.")]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Any setting, e.g. --set crop.margin=0.1."),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Force = Annotated[bool, typer.Option("--force", help="Replace what is there.")]


def _show_version(wanted: bool) -> None:
    if wanted:
        from canemo import environment

        typer.echo(f"canemo {environment.version()}")
        raise typer.Exit


@app.callback()
def _start(
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log more.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress, errors only.")] = False,
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    from canemo import terminal

    level = logging.INFO if verbose else logging.ERROR if quiet else logging.WARNING
    terminal.start_logging(level, progress=not quiet)


@app.command()
def demo(
    folder: Annotated[Path, typer.Argument(help="Where the drawn study goes.")] = Path(
        "demo_study"
    ),
    seed: Annotated[int, typer.Option(help="Seed of the drawing.")] = 0,
) -> None:
    """Draw a small study of dogs as real video files, run it, and say where the report is."""
    from canemo import pipeline, terminal

    with terminal.show_progress() as progress:
        result = pipeline.demo(folder, seed=seed, progress=progress)
    _print_result(result)


@app.command()
def init(
    folder: Annotated[Path, typer.Argument(help="Folder with video files, nested or not.")],
    pattern: Annotated[
        str, typer.Option(help="How file names are made, e.g. '{subject_id}_{label}_{take}.mp4'.")
    ],
    force: Force = False,
) -> None:
    """Write videos.csv from the names of the files, and show what was understood."""
    from canemo.study import propose_videos, write_videos_csv

    proposal = propose_videos(folder, pattern)
    typer.echo(proposal.table.to_string(index=False))
    for name in proposal.unmatched:
        typer.echo(f"did not match: {name}", err=True)
    path = write_videos_csv(proposal.table, folder, force=force)
    typer.echo(
        f"{len(proposal.table)} videos in {path}, {len(proposal.unmatched)} left out", err=True
    )


@app.command()
def check(study: StudyDir, as_json: Json = False) -> None:
    """Name every problem of a study at once."""
    from canemo import terminal
    from canemo.study import check_study

    problems = check_study(study)
    if as_json:
        typer.echo(json.dumps([terminal.to_record(p) for p in problems], indent=1))
    else:
        typer.echo("\n".join(map(str, problems)) or "no problems found")
    if any(problem.severity == "error" for problem in problems):
        raise typer.Exit(1)


@app.command()
def crop(
    study: StudyDir,
    preset: PresetName = None,
    sheet: Annotated[Path | None, typer.Option(help="PNG for a contact sheet.")] = None,
    fps: Fps = None,
    every_nth: EveryNth = None,
    detector: DetectorName = None,
    settings: Settings = None,
) -> None:
    """Find and keep the face crops of every video."""
    from canemo import pipeline, terminal

    config = _configure(
        study, settings, preset=preset, fps=fps, every_nth=every_nth, detector=detector
    )
    with terminal.show_progress() as progress:
        crops = pipeline.crop_study(study, config=config, sheet=sheet, progress=progress)
    typer.echo(crops.ledger.groupby("fate").size().to_string())


@app.command()
def embed(
    study: StudyDir,
    preset: PresetName = None,
    backbone: BackboneName = None,
    weights: Weights = None,
    fps: Fps = None,
    every_nth: EveryNth = None,
    detector: DetectorName = None,
    settings: Settings = None,
) -> None:
    """Embed every face crop with a frozen backbone."""
    from canemo import pipeline, terminal

    config = _configure(
        study,
        settings,
        preset=preset,
        backbone=backbone,
        weights=weights,
        fps=fps,
        every_nth=every_nth,
        detector=detector,
    )
    with terminal.show_progress() as progress:
        features = pipeline.embed_study(study, config=config, progress=progress)
    typer.echo(f"{len(features)} crops, {features.cls.shape[1]} features each")


@app.command()
def evaluate(
    study: StudyDir,
    preset: PresetName = None,
    backbone: BackboneName = None,
    weights: Weights = None,
    fps: Fps = None,
    every_nth: EveryNth = None,
    detector: DetectorName = None,
    pooling: Pooling = None,
    split: SplitKind = None,
    seed: Seed = None,
    settings: Settings = None,
    as_json: Json = False,
) -> None:
    """Test a linear probe on dogs it has not seen; writes nothing but the cache."""
    from canemo import pipeline, terminal
    from canemo.report.text import format_result_block

    config = _configure(
        study,
        settings,
        preset=preset,
        backbone=backbone,
        weights=weights,
        fps=fps,
        every_nth=every_nth,
        detector=detector,
        pooling=pooling,
        split=split,
        seed=seed,
    )
    with terminal.show_progress() as progress:
        metrics = pipeline.evaluate_study(study, config=config, progress=progress)
    typer.echo(json.dumps(metrics, indent=1) if as_json else format_result_block(metrics))


@app.command()
def run(
    study: StudyDir,
    preset: PresetName = None,
    name: Annotated[str | None, typer.Option(help="Name of the run folder.")] = None,
    backbone: BackboneName = None,
    weights: Weights = None,
    fps: Fps = None,
    every_nth: EveryNth = None,
    detector: DetectorName = None,
    pooling: Pooling = None,
    split: SplitKind = None,
    seed: Seed = None,
    positive: Positive = None,
    settings: Settings = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Do everything: crops, features, evaluation on unseen dogs, model, pictures, report."""
    from canemo import pipeline, terminal

    config = _configure(
        study,
        settings,
        preset=preset,
        backbone=backbone,
        weights=weights,
        fps=fps,
        every_nth=every_nth,
        detector=detector,
        pooling=pooling,
        split=split,
        seed=seed,
        positive=positive,
    )
    with terminal.show_progress() as progress:
        result = pipeline.run(
            study,
            config=config,
            name=name,
            force=force,
            command=terminal.command_line(),
            progress=progress,
        )
    _print_result(result, as_json=as_json)


@app.command()
def explain(
    run_dir: RunDir,
    per_label: Annotated[int, typer.Option(min=1, help="How many crops of each label.")] = 12,
) -> None:
    """Draw the example crops and EigenCAM maps of a finished run again."""
    from canemo import pipeline, terminal

    with terminal.show_progress() as progress:
        paths = pipeline.explain_run(run_dir, per_label=per_label, progress=progress)
    typer.echo("\n".join(map(str, paths)))


@app.command()
def report(run_dir: RunDir) -> None:
    """Write the HTML report of a finished run again."""
    from canemo import pipeline

    typer.echo(pipeline.report_run(run_dir))


@app.command()
def predict(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="Run or model folder.")],
    paths: Annotated[list[str], typer.Argument(help="Video files, folders, glob patterns.")],
    out: Annotated[Path, typer.Option(help="Where the results go.")] = Path("predictions"),
    video: Annotated[bool, typer.Option("--video", help="Also write annotated MP4 files.")] = False,
    weights: Weights = None,
    detector: DetectorName = None,
    device: Annotated[str | None, typer.Option(help="Where the backbone runs: cpu, cuda.")] = None,
    force: Force = False,
) -> None:
    """Classify new video: one row per frame, one per video, a timeline for each."""
    from canemo import pipeline, terminal
    from canemo.predict import load_model

    loaded = load_model(model, weights=weights, detector=detector, device=device)
    with terminal.show_progress() as progress:
        table = pipeline.predict_videos(
            loaded, paths, out, video=video, force=force, progress=progress
        )
    typer.echo(table.drop(columns=["path"]).to_string(index=False))
    failed = table[table["status"] == "failed"]
    typer.echo(f"{len(table)} videos, {len(failed)} failed; tables in {out}", err=True)
    if len(failed):
        raise typer.Exit(1)


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


@detector_app.command("evaluate")
def evaluate_detector(
    coco: Annotated[Path, typer.Option(help="COCO file with face boxes.")],
    images: Annotated[Path | None, typer.Option(help="Folder of its images.")] = None,
    detector: DetectorName = None,
    category: Annotated[str | None, typer.Option(help="Count only this category.")] = None,
    as_json: Json = False,
) -> None:
    """Measure recall, average precision, false positives and speed on annotated images."""
    from canemo import pipeline

    numbers = pipeline.evaluate_detector(
        coco, images_dir=images, detector=detector, category=category
    )
    if as_json:
        typer.echo(json.dumps(numbers, indent=1))
    else:
        typer.echo("\n".join(f"{key:<28} {value}" for key, value in numbers.items()))


def main() -> None:
    """Run the command line; the one place where a stated failure becomes text."""
    # Where another program has a core, threads that spin while they wait for each other slow torch
    # down many times; waiting threads that sleep cost next to nothing. Must precede its import.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        app()
    except CanemoError as exc:
        _fail(str(exc))
    except OSError as exc:
        where = f"{exc.filename}: " if exc.filename else ""
        _fail(f"{where}{exc.strerror or exc}; what was finished is kept, run again to continue")
    except SystemExit as exc:
        if exc.code == 130:
            typer.echo("interrupted; run the same command again to continue", err=True)
        raise


def _fail(message: str) -> None:
    typer.echo(f"error: {message}", err=True)
    sys.exit(1)


def _configure(
    study: Path, settings: list[str] | None, *, preset: str | None = None, **options: Any
) -> Config:
    from canemo.config import load_config

    places = {
        "backbone": ("backbone", "name"),
        "weights": ("backbone", "weights"),
        "fps": ("video", "fps"),
        "every_nth": ("video", "every_nth"),
        "detector": ("detect", "detector"),
        "pooling": ("probe", "pooling"),
        "split": ("evaluate", "split"),
        "seed": ("evaluate", "seed"),
        "positive": ("study", "positive_label"),
    }
    overrides: dict[str, dict[str, Any]] = {}
    for option, value in options.items():
        section, key = places[option]
        if option in ("weights", "detector") and value is not None and Path(value).exists():
            value = str(Path(value).resolve())  # so that the run and its model can move
        if value is not None:
            overrides.setdefault(section, {})[key] = value
    for setting in settings or ():
        section, key, value = _parse_setting(setting)
        overrides.setdefault(section, {})[key] = value
    return load_config(study, preset=preset, overrides=overrides)


def _parse_setting(text: str) -> tuple[str, str, Any]:
    name, equals, value = text.partition("=")
    section, dot, key = name.strip().partition(".")
    if not (equals and dot):
        raise ConfigError(f"--set {text!r}: expected SECTION.KEY=VALUE, e.g. crop.margin=0.1")
    try:
        return section, key, json.loads(value)
    except json.JSONDecodeError:
        return section, key, value


def _print_result(result: Any, *, as_json: bool = False) -> None:
    from canemo.report.text import format_result_block

    if as_json:
        typer.echo(json.dumps(result.metrics, indent=1))
    else:
        typer.echo(format_result_block(result.metrics))
        typer.echo(f"\nreport: {result.report}\nmodel:  {result.model}")
