"""What is explained: a model, the crops it is asked about, and which probe is asked about which."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pandas as pd

from canemo.config import Config
from canemo.errors import ConfigError, NoFacesError, StudyError
from canemo.explain.decision import Decision
from canemo.explain.face_finder import FaceFinder, RegionSource
from canemo.explain.fold_probes import fit_shuffled, list_unseen, require_probe
from canemo.explain.inquiry import Inquiry
from canemo.faces.frame_choice import choose_frames
from canemo.faces.landmarks.model import load_landmark_model
from canemo.faces.landmarks.tables import load_landmarks
from canemo.features.poolings import GEOMETRY, list_needs, reads_face
from canemo.formats.tables import list_tables
from canemo.learn.evidence import Evidence, read_evidence
from canemo.learn.fold_files import read_folds
from canemo.learn.saved_model import read_model
from canemo.parallel import Progress
from canemo.pipeline.extract import crop_videos, read_crops
from canemo.pipeline.gallery import open_gallery
from canemo.pipeline.known_faces import PictureFaces, StudyFaces
from canemo.pipeline.model import load_model
from canemo.pipeline.plan import prepare_again
from canemo.records import Study
from canemo.species import Species
from canemo.study.places import VIDEOS
from canemo.study.records.folders import read_run
from canemo.study.runs import METRICS_FILE
from canemo.trust.standing import summarise_evaluation

OTHER = "other labels"


_COLUMNS = [
    *("video_id", "subject_id", "label", "frame_index", "time_s"),
    *("crop_x0", "crop_y0", "crop_x1", "crop_y1"),
]


def load_explained_run(
    run_dir: Path,
    *,
    per_clip: int,
    label: str | None,
    regions: RegionSource,
    landmarks: Path | None,
    individual: str | None = None,
    with_controls: bool,
    progress: Progress,
) -> Inquiry:
    """Load a finished run: each dog is explained by the probe that had not seen it.

    Parameters
    ----------
    run_dir
        STUDY/runs/NAME.
    per_clip
        Crops of each clip, evenly spaced.
    label
        Whose evidence is mapped; None takes the run's positive label.
    regions, landmarks, individual
        Where the regions are from, the landmarks of the study (None: where they lie there), and
        whose they are, where several animals have some.
    with_controls
        Whether to learn from shuffled labels as well.
    progress
        Told how far it is.

    Raises
    ------
    ModelError
        There is no finished run, or what it fits cannot be explained.
    NoFacesError
        No crop is left.
    """
    run = read_run(run_dir)
    evidence = read_evidence(run)
    plan = prepare_again(run_dir, evidence)
    study, config = plan.study, plan.config
    _require_same_labels(study, evidence.study, run_dir, config.species)
    finder, warnings = find_faces(
        study, regions=regions, landmarks=landmarks, individual=individual, config=config
    )
    label = label or run.metrics.protocol.positive_label
    decisions, shuffled, notes = _fit(run_dir, evidence, label, with_controls, progress)
    crops = crop_videos(study, plan.extraction, progress=progress, cost=plan.cost)
    used = crops.used
    rows = used.loc[choose_frames(used, crops.ledger, f"even:{per_clip}"), _COLUMNS]
    is_known = rows["video_id"].isin([video.video_id for video in evidence.study.videos])
    is_asked = rows["subject_id"].isin(decisions) & is_known
    notes += _note_left_out(rows[~is_asked], config.species)
    rows = rows[is_asked].reset_index(drop=True)
    if not len(rows):
        noun = config.species.noun
        raise NoFacesError(f"{run_dir}: no usable crop of any tested {noun} is left to explain")
    notes += finder.note_matches(rows, required=regions == "study")
    others = [name for name in study.labels if name != label]
    labels = (others[0] if len(others) == 1 else OTHER, label)
    known = StudyFaces(plan.extraction, crops.files, plan.backbone)
    return Inquiry(
        run_dir.resolve().name,
        plan.backbone,
        rows.assign(label=np.where(rows["label"] == label, label, labels[0])),
        lambda some: read_crops(crops, some),
        decisions,
        shuffled,
        labels,
        finder,
        (*notes, *warnings),
        summarise_evaluation(run.metrics),
        **_ask_faces(known, [*decisions.values(), *shuffled.values()]),
    )


def _require_same_labels(study: Study, run: Study, run_dir: Path, species: Species) -> None:
    """Raise StudyError where videos have another dog or label by now than when the run was made."""
    now = {video.video_id: (video.subject_id, video.label) for video in study.videos}
    changed = [
        video.video_id
        for video in run.videos
        if now.get(video.video_id, (video.subject_id, video.label))
        != (video.subject_id, video.label)
    ]
    if changed:
        raise StudyError(
            f"{run_dir}: since it was made, {species.noun} or label of {len(changed)} of its "
            f"videos have changed ({', '.join(changed[:3])}{' ...' if len(changed) > 3 else ''}); "
            "run it again"
        )


def _note_left_out(rows: pd.DataFrame, species: Species) -> list[str]:
    """Return which crops no probe is asked about: the run did not test their dog or their video."""
    if not len(rows):
        return []
    names = ", ".join(sorted(rows["subject_id"].unique()))
    return [
        f"{len(rows)} crop(s) are left out, for the run tested not their {species.noun} or not "
        f"their video ({names})"
    ]


def _fit(
    run_dir: Path, evidence: Evidence, label: str, with_controls: bool, progress: Progress
) -> tuple[dict[str, Decision], dict[str, Decision], list[str]]:
    """Return the decisions by dog, those from shuffled labels, and what must be known of them."""
    config = evidence.config
    if label not in evidence.study.labels:
        raise ConfigError(f"label {label!r}: the labels are {', '.join(evidence.study.labels)}")
    unseen = list_unseen(read_folds(run_dir), label=label, place=run_dir)
    if not with_controls:
        return unseen, {}, []
    if config.probe.method == "gradient":
        note = "there is no control of shuffled labels: the probe learned from views of the crops"
        return unseen, {}, [note]
    shuffled = fit_shuffled(
        evidence, unseen, label=label, tell=lambda done, total: progress("controls", done, total)
    )
    return unseen, shuffled, []


def load_explained_model(
    folder: Path,
    crops: Path,
    *,
    per_clip: int,
    label: str | None,
    regions: RegionSource,
    weights: Path | None,
    cache_dir: Path,
    progress: Progress,
) -> Inquiry:
    """Load a saved model and pictures or videos to ask it about.

    Parameters
    ----------
    folder
        Folder of a model, or of a run.
    crops
        A picture of a face, a video, or a folder of such (searched through). Pictures are taken as
        crops as they are; in videos faces are found as in those it was trained on.
    per_clip
        Crops of each video, evenly spaced.
    label
        Whose evidence is mapped; None takes the model's positive label.
    regions
        Where the regions are from.
    weights
        The backbone's weights file, where it has moved.
    cache_dir
        Where crops of videos are kept.
    progress
        Told how far it is.

    Raises
    ------
    ModelError
        There is no model, or what it fits cannot be explained.
    StudyError
        There is no picture and no video, or a picture cannot be read.
    NoFacesError
        No face is found.
    """
    model = load_model(folder, weights=weights)
    probe, config = require_probe(model.saved.classifier, folder), model.saved.config
    decision = Decision(probe, config.probe.pooling, label or model.positive_label)
    gallery = open_gallery(crops, model, per_clip=per_clip, cache_dir=cache_dir, progress=progress)
    rows = gallery.rows.assign(subject_id=gallery.rows["video_id"], label="")
    finder, _ = find_faces(None, regions=regions, config=config)
    others = [name for name in probe.labels if name != decision.label]
    return Inquiry(
        folder.resolve().name,
        model.backbone,
        rows,
        gallery.read,
        dict.fromkeys(rows["subject_id"], decision),
        {},
        (others[0] if len(others) == 1 else OTHER, decision.label),
        finder,
        (
            "the pictures have no condition: they are shown under what the model answers, and "
            f"each counts as {config.species.one} of its own",
            *gallery.notes,
        ),
        model.evaluation,
        is_labelled=False,
        **_ask_faces(PictureFaces(model.finder, config.species, model.backbone), [decision]),
    )


def _ask_faces(faces: StudyFaces | PictureFaces, decisions: Sequence[Decision]) -> dict[str, Any]:
    """Return what an `Inquiry` needs to know of faces where a decision reads more than pixels."""
    poolings = {each.pooling for each in decisions}
    is_measured = any(GEOMETRY in list_needs(pooling) for pooling in poolings)
    if not any(map(reads_face, poolings)):
        return {}
    return {"look": faces.look, "measured_by": faces.names if is_measured else ()}


def find_faces(
    study: Study | None,
    *,
    regions: RegionSource,
    landmarks: Path | None = None,
    individual: str | None = None,
    config: Config,
) -> tuple[FaceFinder, tuple[str, ...]]:
    """Return what finds the regions of faces, and what must be known of the landmarks.

    Raises
    ------
    ConfigError
        There is no such source, or no landmark model for the species.
    StudyError
        The landmarks of the study are asked for and cannot be used, or there are none.
    """
    if regions not in get_args(RegionSource):
        raise ConfigError(f"regions {regions!r}: there are {', '.join(get_args(RegionSource))}")
    table = None
    if study is not None and (regions in ("auto", "study") or landmarks is not None):
        table = load_landmarks(study, landmarks, individual=individual)
    if regions == "study" and table is None:
        raise StudyError(
            "regions from the study: there is no landmarks.csv or workbook of that name and no "
            "folder landmarks/ in it; give --landmarks FILE, or --regions model"
        )
    model = None
    if regions == "model" or (regions == "auto" and config.species.landmark_weights is not None):
        model = load_landmark_model(
            config.species, engine=config.detect.engine, device=config.backbone.device
        )
    return FaceFinder(config.species, table, model), () if table is None else table.warnings


def read_species(folder: Path, *, is_model: bool) -> Species:
    """Return whose faces a run, or a saved model, was made from."""
    config = read_model(folder).config if is_model else read_run(folder).config
    return config.species


def is_run(place: Path) -> bool:
    """Return whether a folder is a finished run in its study."""
    study_dir = place.resolve().parent.parent
    return (place / METRICS_FILE).is_file() and bool(list_tables(study_dir, VIDEOS))
