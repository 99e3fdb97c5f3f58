"""Getting a face detector of one's own: frames to annotate, annotations in, training, measuring."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from canemo.config import load_config
from canemo.errors import ConfigError
from canemo.faces.annotations.importing import (
    FACES_JSON,
    FRAMES_DIR,
    ImportResult,
    import_annotations,
)
from canemo.faces.annotations.picking import PickedFrame, pick_frames, require_free, write_picked
from canemo.faces.annotations.subjects import find_subjects
from canemo.faces.detect.registry import load_detector
from canemo.faces.training.evaluate import evaluate_detector as measure_detector
from canemo.faces.training.mask_rcnn import train_mask_rcnn
from canemo.faces.training.records import MaskRCNNTraining, TrainingRecord
from canemo.faces.training.start import find_start
from canemo.files import require_output, require_writable
from canemo.formats.boxes.coco import AnnotatedImage, load_coco
from canemo.formats.tables import list_tables
from canemo.networks.backbones import load_backbone
from canemo.parallel import Progress, silent
from canemo.records import Study
from canemo.study.load import load_study
from canemo.study.places import VIDEOS
from canemo.video.times import Sampling

PICKING_BACKBONE = "efficientnet_lite0"
PAPER_FRAMES = 200  # "roughly 200 annotated images", Boneh-Shitrit et al. (2022), section 2.1
MODELS = ("mask_rcnn",)


@dataclass(frozen=True)
class TrainedDetector:
    """A detector's weights file, for --detector, and the record of its training."""

    weights: Path
    record: TrainingRecord


def pick_study_frames(
    study_dir: Path | str,
    out_dir: Path | str | None = None,
    *,
    number: int = PAPER_FRAMES,
    backbone: str = PICKING_BACKBONE,
    seed: int = 0,
    force: bool = False,
    progress: Progress = silent,
) -> tuple[Path, list[PickedFrame]]:
    """Pick frames of a study to annotate, and write them as images with an empty COCO file.

    Parameters
    ----------
    study_dir
        Folder with videos.csv.
    out_dir
        Where images, ``faces.json`` and ``frames.csv`` go; None takes ``faces`` in the study.
    number
        How many frames; the 2022 paper annotated about 200.
    backbone
        What says how alike two whole frames are.
    seed
        Of the choice.
    force
        Replace the files of an earlier choice that nobody has drawn in yet.
    progress
        Told how far it is.

    Raises
    ------
    StudyError, VideoOpenError
        The study cannot be used, or none of its videos can be read.
    OutputExistsError
        An earlier choice, or annotations, are there.
    """
    root = Path(study_dir)
    study, place = load_study(root), Path(out_dir or root / FRAMES_DIR)
    require_writable(place)
    require_free(place / FACES_JSON, force=force)
    video = load_config(root).video
    picked = pick_frames(
        study,
        number,
        backbone=load_backbone(backbone),
        sampling=Sampling(every_nth=video.every_nth, fps=video.fps),
        seed=seed,
        progress=lambda done, total: progress("look", done, total),
    )
    return write_picked(picked, place, force=force), picked


def import_faces(
    source: Path | str,
    study_dir: Path | str,
    *,
    kind: str | None = None,
    images_dir: Path | None = None,
    frame_rate: Fraction | float | None = None,
    step: int = 5,
    skip_invalid: bool = False,
    force: bool = False,
) -> ImportResult:
    """Bring annotations drawn in another tool into a study, as its ``faces.json``.

    Parameters
    ----------
    source
        What the tool exported: a file, or for Pascal VOC a folder.
    study_dir
        The study; where it has a videos.csv, labelled videos are found by its names and files.
    kind, images_dir, frame_rate, step, skip_invalid, force
        As for `canemo.faces.annotations.importing.import_annotations`.

    Raises
    ------
    AnnotationError
        The source cannot be used; the message lists all problems.
    OutputExistsError
        There is a faces.json and `force` is not given.
    """
    study = _load_study_if_any(Path(study_dir))
    videos = {} if study is None else {video.video_id: video.path for video in study.videos}
    return import_annotations(
        Path(source),
        Path(study_dir),
        kind=kind,
        images_dir=images_dir,
        videos=videos,
        frame_rate=frame_rate,
        step=step,
        skip_invalid=skip_invalid,
        force=force,
    )


def train_detector(
    target: Path | str,
    *,
    model: str = "mask_rcnn",
    out: Path | str | None = None,
    training: MaskRCNNTraining | None = None,
    weights: Path | None = None,
    body: str | None = None,
    category: str | None = None,
    each_image_a_subject: bool = False,
    skip_invalid: bool = False,
    device: str = "cpu",
    force: bool = False,
    progress: Progress = silent,
) -> TrainedDetector:
    """Train a face detector on annotated frames, as section 2.1 of Boneh-Shitrit et al. (2022).

    Parameters
    ----------
    target
        A study with ``faces.json`` (in it, or in its ``faces`` folder), or a COCO file.
    model
        ``mask_rcnn``.
    out
        The weights file; None takes ``detectors/mask_rcnn.safetensors`` beside the annotations.
    training
        How to train; None takes the defaults.
    weights, body
        A file to start from, and the body wanted; by default the best there is, which is said.
    category
        Use only the boxes of this category.
    each_image_a_subject
        The images name no subject and no two show the same one.
    skip_invalid
        Leave out annotations that cannot be used instead of refusing the file.
    device
        A torch device.
    force
        Overwrite another training at `out`.
    progress
        Told how far it is. The same call continues a training that was stopped.

    Raises
    ------
    AnnotationError
        The annotations cannot be used, or it is not known whom an image shows.
    SplitError
        Fewer than two subjects have a box.
    WeightsError
        There are no weights to start from, or they do not fit.
    OutputExistsError
        `out` holds something else.
    """
    if model not in MODELS:
        raise ConfigError(f"model {model!r} cannot be trained; there is {', '.join(MODELS)}")
    coco_file = _find_annotations(Path(target))
    images = load_coco(
        coco_file, categories=None if category is None else [category], skip_invalid=skip_invalid
    )
    subjects = _name_subjects(images, Path(target), coco_file, alone=each_image_a_subject)
    place = (
        Path(out) if out is not None else coco_file.parent / "detectors" / f"{model}.safetensors"
    )
    require_output(place, endings=(".safetensors",))
    record = train_mask_rcnn(
        images,
        subjects,
        place,
        config=training or MaskRCNNTraining(),
        start=find_start(weights, body=body),
        device=device,
        force=force,
        progress=lambda done, total: progress("train", done, total),
    )
    return TrainedDetector(place, record)


def evaluate_detectors(
    coco: Path | str,
    *,
    detectors: Sequence[str] = (),
    images_dir: Path | None = None,
    category: str | None = None,
) -> list[dict[str, Any]]:
    """Measure detectors on the same annotated images: recall, precision, false positives, time.

    Parameters
    ----------
    coco
        COCO file with face boxes.
    detectors
        Names or weights files; none means the one that ships with canemo.
    images_dir, category
        The folder of the images; count only this category.

    Returns
    -------
    list of dict
        One per detector, in the order given.

    Raises
    ------
    AnnotationError
        The COCO file or an image cannot be used.
    ConfigError, WeightsError
        There is no such detector.
    """
    names = list(detectors) or [load_config().detector]
    loaded = [load_detector(name) for name in names]
    return [
        {
            "given": name,
            **measure_detector(
                detector, Path(coco), images_dir=images_dir, category=category
            ).to_dict(),
        }
        for name, detector in zip(names, loaded, strict=True)
    ]


def _find_annotations(target: Path) -> Path:
    if target.is_file():
        return target
    places = [target / FACES_JSON, target / FRAMES_DIR / FACES_JSON]
    found = next((place for place in places if place.is_file()), None)
    if found is None:
        raise ConfigError(
            f"{target}: has no {FACES_JSON}; pick frames with `canemo frames`, draw boxes in any "
            "tool, bring them in with `canemo detector import`; or give a COCO file"
        )
    return found


def _name_subjects(
    images: Sequence[AnnotatedImage], target: Path, coco_file: Path, *, alone: bool
) -> tuple[str, ...]:
    if alone:
        return tuple(str(image.path) for image in images)
    study = _load_study_if_any(target)
    owners = {} if study is None else {v.video_id: v.subject_id for v in study.videos}
    return find_subjects(images, subjects_by_video=owners, coco_file=coco_file)


def _load_study_if_any(folder: Path) -> Study | None:
    return load_study(folder) if list_tables(folder, VIDEOS) else None
