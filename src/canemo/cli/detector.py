"""The commands frames and detector: annotations in, training, measuring."""

# No `from __future__ import annotations`: Typer would have to evaluate each as text at every start.

import json
from pathlib import Path
from typing import Annotated

import typer

import canemo
from canemo.cli.app import app, detector_app
from canemo.cli.options import Force, Json, SkipInvalid, StudyDir


@app.command()
def frames(
    study: StudyDir,
    pick: Annotated[int, typer.Option(min=1, help="How many frames.")] = 200,
    out: Annotated[Path | None, typer.Option(help="Where they go (STUDY/faces).")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the choice.")] = 0,
    force: Force = False,
) -> None:
    """Pick diverse frames to draw faces on, and write them with an empty COCO file."""
    from canemo.cli import console

    with console.show_progress() as progress:
        coco, picked = canemo.pick_study_frames(
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
    found = canemo.import_faces(
        source,
        study,
        kind=kind,
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
    short_side: Annotated[
        int, typer.Option(help="Images are resized to it, at most twice as long [pixels].")
    ] = 480,
    weights: Annotated[Path | None, typer.Option(help="Weights file to start from.")] = None,
    body: Annotated[str | None, typer.Option(help="resnet50 or efficientnet_lite0.")] = None,
    category: Annotated[str | None, typer.Option(help="Use only this category.")] = None,
    each_image_a_subject: Annotated[
        bool, typer.Option("--each-image-a-subject", help="No two images show the same one.")
    ] = False,
    skip_invalid: SkipInvalid = False,
    seed: Annotated[int, typer.Option(min=0, help="Of split and order.")] = 0,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    force: Force = False,
) -> None:
    """Train a Mask R-CNN on annotated frames of your own, tested on subjects kept aside."""
    from canemo.cli import console
    from canemo.faces.training.records import MaskRCNNTraining
    from canemo.report.words.detector import format_training

    console.log_epochs()
    with console.show_progress() as progress:
        trained = canemo.train_detector(
            target,
            model=model,
            out=out,
            training=MaskRCNNTraining(
                epochs=epochs, short_side_px=short_side, long_side_px=2 * short_side, seed=seed
            ),
            weights=weights,
            body=body,
            category=category,
            each_image_a_subject=each_image_a_subject,
            skip_invalid=skip_invalid,
            device=device,
            force=force,
            progress=progress,
        )
    typer.echo(format_training(trained.record))
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
    from canemo.report.words.detector import format_columns

    found = canemo.evaluate_detectors(
        coco, detectors=detector or [], images_dir=images, category=category
    )
    typer.echo(json.dumps(found, indent=1) if as_json else format_columns(found))
