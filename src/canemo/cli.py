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
MethodName = Annotated[
    str | None,
    typer.Option("--method", help="logistic, gradient, or sequence_mean, _attention, ..."),
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
SkipInvalid = Annotated[
    bool, typer.Option("--skip-invalid", help="Leave out what cannot be used; it is named.")
]
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
    method: MethodName = None,
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
        method=method,
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
    method: MethodName = None,
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
        method=method,
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
def compare(
    study: StudyDir,
    preset: PresetName = None,
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
    fps: Fps = None,
    every_nth: EveryNth = None,
    detector: DetectorName = None,
    split: SplitKind = None,
    seed: Seed = None,
    settings: Settings = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Train several backbones or methods on identical crops and dogs, side by side."""
    from canemo import pipeline, terminal
    from canemo.report.text import format_comparison

    config = _configure(
        study,
        settings,
        preset=preset,
        backbones=backbone,
        methods=method,
        weights_by_name=_parse_weights(weights),
        fps=fps,
        every_nth=every_nth,
        detector=detector,
        split=split,
        seed=seed,
    )
    with terminal.show_progress() as progress:
        result = pipeline.compare_models(
            study,
            config=config,
            name=name,
            force=force,
            command=terminal.command_line(),
            progress=progress,
        )
    if as_json:
        typer.echo(json.dumps(result.comparison, indent=1))
    else:
        typer.echo(format_comparison(result.comparison))
        typer.echo(f"\nreport: {result.report}")


def _parse_weights(pairs: list[str] | None) -> dict[str, str] | None:
    if not pairs:
        return None
    found = {}
    for pair in pairs:
        name, equals, file = pair.partition("=")
        if not equals:
            raise ConfigError(f"--weights {pair!r}: expected BACKBONE=FILE")
        found[name] = str(Path(file).resolve())
    return found


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
def bench(
    backbone: Annotated[
        list[str] | None, typer.Option("--backbone", help="One to time; give it repeatedly.")
    ] = None,
    preset: Annotated[str, typer.Option(help="A preset with the method gradient.")] = "paper",
    crops: Annotated[int, typer.Option(min=1000, help="Face crops of the drawn study.")] = 19392,
    as_json: Json = False,
) -> None:
    """Measure what a study of the paper's size costs here: time and memory, no video needed."""
    from canemo import terminal
    from canemo.bench import measure_cost

    with terminal.show_progress() as progress:
        lines = measure_cost(backbone or [], preset=preset, crops=crops, progress=progress)
    if as_json:
        typer.echo(json.dumps([line.to_dict() for line in lines], indent=1))
    else:
        typer.echo(terminal.format_costs(lines))


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


@app.command()
def frames(
    study: StudyDir,
    pick: Annotated[int, typer.Option(min=1, help="How many frames.")] = 200,
    out: Annotated[Path | None, typer.Option(help="Where they go (STUDY/faces).")] = None,
    seed: Annotated[int, typer.Option(help="Seed of the choice.")] = 0,
    force: Force = False,
) -> None:
    """Pick diverse frames to draw faces on, and write them with an empty COCO file."""
    from canemo import detectors, terminal

    with terminal.show_progress() as progress:
        coco, picked = detectors.pick_study_frames(
            study, out, number=pick, seed=seed, force=force, progress=progress
        )
    dogs = len({frame.subject_id for frame in picked})
    clips = len({frame.video_id for frame in picked})
    typer.echo(f"{len(picked)} frames of {dogs} subjects in {clips} videos: {coco}")


@detector_app.command("import")
def import_faces(
    source: Annotated[Path, typer.Argument(help="What the tool exported: a file or a folder.")],
    study: StudyDir,
    kind: Annotated[
        str | None, typer.Option("--format", help="coco, voc, via, cvat, label_studio (told).")
    ] = None,
    images: Annotated[Path | None, typer.Option(help="Folder of the images.")] = None,
    frame_rate: Annotated[
        float | None, typer.Option(help="At which Label Studio counted frames [1/s].")
    ] = None,
    step: Annotated[int, typer.Option(min=1, help="Take every n-th interpolated frame.")] = 5,
    skip_invalid: SkipInvalid = False,
    force: Force = False,
) -> None:
    """Bring boxes and polygons drawn in another tool into a study, as its faces.json."""
    from canemo import detectors

    found = detectors.import_faces(
        source,
        study,
        kind=_parse_kind(kind),
        images_dir=images,
        frame_rate=frame_rate,
        step=step,
        skip_invalid=skip_invalid,
        force=force,
    )
    typer.echo(
        f"{found.images} images, {found.boxes} boxes ({found.polygons} with a polygon) in "
        f"{found.coco_file}; {len(found.skipped)} left out"
    )


@detector_app.command("train")
def train_detector(
    target: Annotated[Path, typer.Argument(metavar="STUDY", help="Study, or COCO file.")],
    model: Annotated[str, typer.Option(help="mask_rcnn.")] = "mask_rcnn",
    out: Annotated[Path | None, typer.Option(help="The weights file to write.")] = None,
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the images.")] = 15,
    short_side: Annotated[int, typer.Option(help="Images are resized to it [pixels].")] = 480,
    weights: Annotated[Path | None, typer.Option(help="Weights file to start from.")] = None,
    body: Annotated[str | None, typer.Option(help="resnet50 or efficientnet_lite0.")] = None,
    category: Annotated[str | None, typer.Option(help="Use only this category.")] = None,
    each_image_a_subject: Annotated[
        bool, typer.Option("--each-image-a-subject", help="No two images show the same one.")
    ] = False,
    skip_invalid: SkipInvalid = False,
    seed: Annotated[int, typer.Option(help="Of split and order.")] = 0,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    force: Force = False,
) -> None:
    """Train a Mask R-CNN on annotated frames of your own, tested on subjects kept aside."""
    from canemo import detectors, terminal
    from canemo.detect.mask_rcnn_training import MaskRCNNTraining

    terminal.log_epochs()
    with terminal.show_progress() as progress:
        trained = detectors.train_detector(
            target,
            model=model,
            out=out,
            training=MaskRCNNTraining(epochs=epochs, short_side_px=short_side, seed=seed),
            weights=weights,
            body=body,
            category=category,
            each_image_a_subject=each_image_a_subject,
            skip_invalid=skip_invalid,
            device=device,
            force=force,
            progress=progress,
        )
    typer.echo(terminal.format_training(trained.record))
    typer.echo(f"use it with --detector {trained.weights}")


@detector_app.command("evaluate")
def evaluate_detector(
    coco: Annotated[Path, typer.Option(help="COCO file with face boxes.")],
    images: Annotated[Path | None, typer.Option(help="Folder of its images.")] = None,
    detector: Annotated[
        list[str] | None,
        typer.Option("--detector", help="dog_head or a weights file; give it repeatedly."),
    ] = None,
    category: Annotated[str | None, typer.Option(help="Count only this category.")] = None,
    as_json: Json = False,
) -> None:
    """Measure detectors side by side on annotated images: recall, AP, false positives, time."""
    from canemo import detectors, terminal

    found = detectors.evaluate_detectors(
        coco, detectors=detector or [], images_dir=images, category=category
    )
    typer.echo(json.dumps(found, indent=1) if as_json else terminal.format_columns(found))


def _parse_kind(kind: str | None) -> Any:
    from canemo.detect.annotations.kinds import KINDS

    if kind is not None and kind not in KINDS:
        raise ConfigError(f"--format {kind!r} is unknown; there are {', '.join(KINDS)}")
    return kind


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
        "method": ("probe", "method"),
        "backbones": ("compare", "backbones"),
        "methods": ("compare", "methods"),
        "weights_by_name": ("compare", "weights"),
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
