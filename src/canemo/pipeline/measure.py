"""Faces measured without a study and without labels: pictures, clips, folders."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
import PIL.Image
from numpy.typing import NDArray

from canemo.config import Config, load_config
from canemo.errors import ConfigError, VideoOpenError
from canemo.faces.crop_file import CropFile
from canemo.faces.crop_images import cut_box, shrink
from canemo.faces.crops import FAINT_SHARE
from canemo.faces.detect.protocol import Detector
from canemo.faces.detect.registry import load_detector
from canemo.faces.measured import CONFIDENCE, tabulate_measured
from canemo.faces.meters import Meter, load_meters
from canemo.faces.points import ModelPoints
from canemo.features.extraction import Extraction
from canemo.files import write_atomically, write_table
from canemo.parallel import Progress, silent
from canemo.pipeline.model import find_files, name_videos
from canemo.pipeline.predict import require_vacant, require_writable
from canemo.records import Box, Face, Fate, Image, Video
from canemo.report.charts.canvas import save_figure
from canemo.report.charts.measures import draw_measures
from canemo.report.tables import describe_frame
from canemo.report.words.columns import describe_measured_clips, describe_measured_frames
from canemo.report.words.voice import Voice
from canemo.report.workbook import write_workbook
from canemo.species import Species
from canemo.study.runs import RESULTS_FILE
from canemo.video.annotate import annotate_measured, draw_measured
from canemo.video.info import VIDEO_SUFFIXES
from canemo.video.stills import IMAGE_SUFFIXES, read_picture

logger = logging.getLogger(__name__)
FRAMES_STEM, VIDEOS_STEM = "measured_frames", "measured_videos"
OPEN = 0.5
"""From this probability on, what a meter reads counts as there."""

Images: TypeAlias = Image | Path | str | Sequence[Image | Path | str]


@dataclass(frozen=True)
class FoundFace:
    """A face in a picture.

    Attributes
    ----------
    box_xyxy
        Its box [pixels of the picture].
    score
        How sure the detector is, 0 to 1.
    names
        Of the K points; there are none where no landmark model ships for the species.
    points
        (K, 3) x and y [pixels of the picture] and confidence, 0 to 1.
    """

    box_xyxy: Box
    score: float
    names: tuple[str, ...]
    points: NDArray[np.float32]


def find_faces(
    images: Images, species: str = "dog", *, detector: Detector | str = "auto"
) -> list[list[FoundFace]]:
    """Find all faces in pictures, and their points.

    Parameters
    ----------
    images
        N pictures, each (H, W, 3) uint8, RGB, or the path of a file; or one of them.
    species
        Whose faces they are.
    detector
        What finds them: ``auto``, the one that ships for the species, or as for `load_detector`.

    Returns
    -------
    list of list of FoundFace
        N lists, best score first; faces below the detector's threshold are none.

    Raises
    ------
    ConfigError
        The species or detector is not known, or a picture is no array of that kind.
    VideoOpenError
        A file is no picture.
    """
    config, finder = _configure(species, detector)
    model = None if config.species.landmark_weights is None else ModelPoints(config.species).model
    found: list[list[FoundFace]] = []
    names: tuple[str, ...]
    for image in map(_load, _list_images(images)):
        faces = [f for f in finder.detect([image])[0] if f.score >= finder.score_threshold]
        if model is None:
            names, points = (), np.empty((len(faces), 0, 3), np.float32)
        else:
            names, points = config.species.points, _locate(image, faces, config, model)
        pairs = zip(faces, points, strict=True)
        found.append([FoundFace(face.box_xyxy, face.score, names, own) for face, own in pairs])
    return found


def measure_faces(
    images: Images, species: str = "dog", *, detector: Detector | str = "auto"
) -> pd.DataFrame:
    """Measure the face in each of some pictures, the one with the best score.

    Parameters
    ----------
    images, species, detector
        As for `find_faces`, which gives all faces of a picture.

    Returns
    -------
    DataFrame
        A row per picture: ``path`` (empty for an array), ``fate``, ``faces`` (how many there are),
        the box, the measures and meters of ``docs/measures.md``, and the points. What is not known
        is NaN.

    Raises
    ------
    ConfigError, VideoOpenError
        As `find_faces`; or no landmark model ships for the species.
    """
    config, finder = _configure(species, detector)
    points = _require_model(config.species)
    rows, measured = [], []
    for given in _list_images(images):
        image = _load(given)
        fate, faces, face = _choose(finder.detect([image])[0], finder.score_threshold, config)
        place = given if isinstance(given, Path | str) else ""
        rows.append({"path": str(place), "fate": str(fate), "faces": faces, **_describe(face)})
        used = [face] if face is not None and fate == Fate.USED else []
        xyc = _locate(image, used, config, points.model)
        measured.append(xyc if used else np.full((1, len(config.species.points), 3), np.nan))
    xyc = np.concatenate([np.zeros((0, len(config.species.points), 3)), *measured])
    return pd.concat([pd.DataFrame(rows), _tabulate(xyc, points)], axis=1)


def measure_files(
    paths: Path | str | Sequence[Path | str],
    out_dir: Path | str,
    *,
    species: str = "dog",
    detector: str = "auto",
    fps: float | None = None,
    every_nth: int | None = None,
    video: bool = False,
    force: bool = False,
    progress: Progress = silent,
) -> pd.DataFrame:
    """Measure the faces in pictures and clips, and write what came out.

    Parameters
    ----------
    paths
        Pictures, videos, folders (searched through) or glob patterns.
    out_dir
        Gets ``results.xlsx``, ``measured_frames`` and ``measured_videos`` as CSV and Parquet,
        ``timelines/*.png`` of clips and, with `video`, ``annotated/`` copies.
    species, detector
        Whose faces they are, and what finds them, as for `find_faces`.
    fps, every_nth
        Which frames of a clip are looked at; 5 per second without.
    video
        Also write copies with points and meters drawn in.
    force
        Replace what an earlier call wrote.
    progress
        Told how far it is.

    Returns
    -------
    DataFrame
        One row per file; `status` is ``ok``, ``no_face`` or ``failed``.

    Raises
    ------
    StudyError
        Nothing that looks like a picture or video is found.
    OutputExistsError, OutputPlaceError
        `out_dir` holds measures and `force` is not given, or nothing can be written there.
    ConfigError
        A setting is impossible, or no landmark model ships for the species.
    """
    out_dir = Path(out_dir)
    config, finder = _configure(species, detector, fps=fps, every_nth=every_nth)
    points = _require_model(config.species)
    named = name_videos(find_files(paths, "picture or video", VIDEO_SUFFIXES | IMAGE_SUFFIXES))
    require_vacant(out_dir / f"{VIDEOS_STEM}.csv", force=force)
    require_writable(out_dir)
    cache_dir = out_dir / ".canemo-cache"  # a stopped call continues from it
    extraction = Extraction(config, finder, (), cache_dir, points)
    results = []
    for done, (video_id, path) in enumerate(named):
        progress("measure", done, len(named))
        results.append(_measure_file(Video(video_id, path.absolute(), "", ""), extraction, points))
    progress("measure", len(named), len(named))
    frames = pd.concat([each for each, _ in results], ignore_index=True)
    videos = pd.DataFrame([summary for _, summary in results])
    _write_tables(frames, videos, config.species, out_dir)
    for done, (own, summary) in enumerate(results):
        progress("draw", done, len(results))
        _draw(own, summary, config.species, out_dir, video=video)
    progress("draw", len(results), len(results))
    shutil.rmtree(cache_dir, ignore_errors=True)
    return videos


def _configure(
    species: str,
    detector: Detector | str,
    *,
    fps: float | None = None,
    every_nth: int | None = None,
) -> tuple[Config, Detector]:
    name = detector if isinstance(detector, str) else detector.name
    sampling = {"fps": fps, "every_nth": every_nth}
    config = load_config(
        overrides={
            "study": {"species": species},
            "detect": {"detector": name},
            "video": {key: value for key, value in sampling.items() if value is not None},
        }
    )
    if not isinstance(detector, str):
        return config, detector
    return config, load_detector(config.detector, engine=config.detect.engine)


def _require_model(species: Species) -> ModelPoints:
    if species.landmark_weights is None:
        raise ConfigError(
            f"species {species.name!r}: no landmark model ships with canemo for it, so that its "
            "faces cannot be measured; put landmarks of your own into a study, and run that"
        )
    return ModelPoints(species)


def _list_images(images: Images) -> Sequence[Image | Path | str]:
    if isinstance(images, Path | str) or (isinstance(images, np.ndarray) and images.ndim == 3):
        return [images]
    return list(images)


def _load(image: Image | Path | str) -> Image:
    if isinstance(image, Path | str):
        return read_picture(Path(image))
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or not image.size:
        raise ConfigError(
            f"a picture is {image.shape} {image.dtype}; (H, W, 3) uint8, RGB, is wanted"
        )
    return image


def _locate(image: Image, faces: Sequence[Face], config: Config, model: Any) -> NDArray[np.float32]:
    """Return the points (N, K, 3) of faces of a picture, in its pixels."""
    height, width = image.shape[:2]
    cuts = [cut_box(face.box_xyxy, width=width, height=height, crop=config.crop) for face in faces]
    limit = config.crop.max_short_side_px
    crops = [shrink(image[y0:y1, x0:x1], max_short_side_px=limit) for x0, y0, x1, y1 in cuts]
    found: NDArray[np.float32] = model.locate(crops)
    for one, (x0, y0, x1, y1), crop in zip(found, cuts, crops, strict=True):
        one[:, 0] = x0 + one[:, 0] * (x1 - x0) / crop.shape[1]
        one[:, 1] = y0 + one[:, 1] * (y1 - y0) / crop.shape[0]
    return found


def _choose(
    faces: Sequence[Face], threshold: float, config: Config
) -> tuple[Fate, int, Face | None]:
    """Return what became of a picture, how many faces are in it, and which one counts."""
    sure = [face for face in faces if face.score >= threshold]
    large = [face for face in sure if _side(face) >= config.detect.min_side_px]
    if large:
        return Fate.USED, len(large), large[0]
    if sure:
        return Fate.TOO_SMALL, 0, sure[0]
    if faces and faces[0].score >= FAINT_SHARE * threshold:
        return Fate.LOW_SCORE, 0, faces[0]
    return Fate.NO_FACE, 0, None


def _side(face: Face) -> float:
    x0, y0, x1, y1 = face.box_xyxy
    return min(x1 - x0, y1 - y0)


def _describe(face: Face | None) -> dict[str, float]:
    values = [np.nan] * 5 if face is None else [*face.box_xyxy, face.score]
    return dict(zip(("x0", "y0", "x1", "y1", "score"), values, strict=True))


def _tabulate(xyc: NDArray[Any], points: ModelPoints) -> pd.DataFrame:
    return tabulate_measured(xyc, points.species, landmarks=points.model.weights_sha256)


def _measure_file(
    video: Video, extraction: Extraction, points: ModelPoints
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Return the rows of a file's frames and that of the file."""
    try:
        crops = extraction.crop(video)
    except VideoOpenError as exc:
        logger.warning("%s", exc)
        ledger = pd.DataFrame([{"video_id": video.video_id, "fate": str(Fate.DECODE_ERROR)}])
        nothing = _tabulate(np.empty((0, len(points.species.points), 3)), points)
        frames = pd.concat([ledger, nothing], axis=1)
        frames.insert(1, "path", str(video.path))
        return frames, _summarise(video, frames, points.species, status="failed", notes=[str(exc)])
    found = extraction.measure(crops)
    assert found is not None  # there is a finder
    face = found.read()
    measured = _tabulate(face.xyc.astype(float), points)
    measured = measured.assign(frame_index=pd.array(face.frame_index, dtype="Int64"))
    ledger = crops.read_ledger().drop(columns=["subject_id", "label"])
    ledger.insert(1, "path", str(video.path))
    frames = ledger.merge(measured, on="frame_index", how="left")
    status = "ok" if len(face) else "no_face"
    notes = _list_notes(crops, points.species)
    return frames, _summarise(video, frames, points.species, status=status, notes=notes)


def _list_notes(crops: CropFile, species: Species) -> list[str]:
    damage = [] if crops.damage is None else [f"damaged: {crops.damage}"]
    return [*damage, *crops.describe_doubts(species, has_row=False).values()]


def _summarise(
    video: Video, frames: pd.DataFrame, species: Species, *, status: str, notes: Sequence[str]
) -> dict[str, Any]:
    """Return the row of a file: what its frames in use lie around and within."""
    row: dict[str, Any] = {
        "video_id": video.video_id,
        "path": str(video.path),
        "status": status,
        "frames": int((frames["fate"] != Fate.DECODE_ERROR).sum()),
        "faces": int((frames["fate"] == Fate.USED).sum()),
    }
    for meter in load_meters(species):
        row |= _summarise_meter(frames, meter)
    for measure in species.measures:
        values = frames[measure.name].astype(float)
        row[f"{measure.name}_median"] = values.median()
        row[f"{measure.name}_p10"], row[f"{measure.name}_p90"] = values.quantile([0.1, 0.9])
        row[measure.name + CONFIDENCE] = frames[measure.name + CONFIDENCE].astype(float).median()
    return {**row, "message": "; ".join(notes)}


def _summarise_meter(frames: pd.DataFrame, meter: Meter) -> dict[str, Any]:
    said = frames[meter.name].astype(float).dropna()
    share = float((said >= OPEN).mean()) if len(said) else np.nan
    return {f"{meter.name}_share": share, f"{meter.name}_answered": len(said)}


def _write_tables(
    frames: pd.DataFrame, videos: pd.DataFrame, species: Species, out_dir: Path
) -> None:
    """Write the rows as CSV and Parquet and, but for the points, in one workbook."""
    for table, stem in ((frames, FRAMES_STEM), (videos, VIDEOS_STEM)):
        write_table(table, out_dir / f"{stem}.parquet")
        write_table(table, out_dir / f"{stem}.csv")
    meters = {meter.name: meter.meaning for meter in load_meters(species)}
    tables = {
        "clips": describe_frame(
            "The pictures and clips that were measured.",
            videos,
            describe_measured_clips(species, meters),
        ),
        "frames": describe_frame(
            f"The frames that were looked at; {FRAMES_STEM}.parquet has the points too.",
            frames,
            describe_measured_frames(species, meters),
            elsewhere=f"{FRAMES_STEM}.parquet",
        ),
    }
    write_workbook(out_dir / RESULTS_FILE, tables, Voice(species, ()))


def _draw(
    frames: pd.DataFrame,
    summary: dict[str, Any],
    species: Species,
    out_dir: Path,
    *,
    video: bool,
) -> None:
    """Draw the timeline of a clip and, with `video`, a copy of it or of a picture.

    A file that cannot be written again is a logged warning: its numbers stand all the same.
    """
    seen = frames[frames["time_s"].notna()] if "time_s" in frames else frames.iloc[:0]
    if seen.empty:
        return
    name, path = summary["video_id"], Path(summary["path"])
    meters = tuple(meter.name for meter in load_meters(species))
    if len(seen) > 1:
        figure = draw_measures(seen, species, meters=meters, title=path.name)
        save_figure(figure, out_dir / "timelines" / f"{name}.png")
    if not video:
        return
    try:
        if path.suffix.lower() in IMAGE_SUFFIXES:
            _save_picture(draw_measured(read_picture(path), seen, meters), out_dir, name)
        else:
            annotate_measured(path, seen, out_dir / "annotated" / f"{name}.mp4", meters=meters)
    except VideoOpenError as exc:
        logger.warning("%s", exc)


def _save_picture(image_rgb: Image, out_dir: Path, name: str) -> None:
    buffer = BytesIO()
    PIL.Image.fromarray(image_rgb).save(buffer, "PNG")
    write_atomically(out_dir / "annotated" / f"{name}.png", buffer.getvalue())
