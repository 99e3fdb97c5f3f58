"""A drawn study on disk: clips, tables, head boxes and the truth behind them."""

from __future__ import annotations

import csv
import json
import os
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import av
import numpy as np

from canemo.errors import ConfigError, OutputExistsError
from canemo.records import Box
from canemo.video.drawn.clip import HeadPlace, iter_frames
from canemo.video.drawn.dog import Dog
from canemo.video.drawn.plan import PlannedClip, plan_study

CODEC = {"preset": "superfast", "crf": "24"}

PLANTED = ("ears", "mouth")
"""Where the label shows, if `effect` is not 0."""

ANNOTATED_PER_CLIP = 3
"""How many frames of each clip carry a box in `faces.json`."""


def draw_study(
    folder: Path,
    *,
    subjects: int = 8,
    clips_per_subject: int = 6,
    seconds: float = 2.0,
    fps: int = 25,
    size: tuple[int, int] = (480, 360),
    seed: int = 0,
    effect: float = 1.0,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Draw a small labelled study of dogs as H.264 clips.

    Parameters
    ----------
    folder
        Where the study goes; must not exist, or be empty.
    subjects
        Number of dogs.
    clips_per_subject
        Clips of each dog, at least 2: one third anticipation, the rest frustration.
    seconds, fps
        Length of a clip [s] and frames per second.
    size
        Width and height of the frames [pixels], both even.
    seed
        Equal arguments and seeds give equal pixels before encoding.
    effect
        How far ears and mouth follow the label: 0 not at all, 1 clearly.
    progress
        Called with (clips done, clips in all) after each clip.

    Returns
    -------
    Path
        `folder`, which holds `videos/`, `videos.csv`, `subjects.csv`, `faces.json` (COCO head
        boxes on a few frames of each clip) and `truth.json` (what was drawn and where).

    Raises
    ------
    ConfigError
        A number is impossible.
    OutputExistsError
        `folder` is there and not empty.

    Notes
    -----
    Anticipation raises the ears and closes the mouth, frustration lays the ears back and opens the
    mouth; each clip deviates from that by chance. Room, light and pose are drawn without regard to
    the label. The drawings exercise the software: they show nothing about real dogs.
    """
    _check_numbers(subjects, clips_per_subject, seconds * fps, size)
    _check_vacant(folder)
    plan = plan_study(
        subjects=subjects,
        clips_per_subject=clips_per_subject,
        size=size,
        seed=seed,
        effect=effect,
    )
    partial = folder.parent / f".{folder.name}-partial-{os.getpid()}"
    (partial / "videos").mkdir(parents=True)
    try:
        heads: dict[str, list[HeadPlace]] = {}
        for done, planned in enumerate(plan, start=1):
            heads[planned.video_id] = _draw_video(partial, planned, round(seconds * fps), fps)
            if progress is not None:
                progress(done, len(plan))
        _write_videos_csv(partial, plan)
        _write_subjects_csv(partial, plan, seed)
        _write_json(partial / "faces.json", _make_coco(plan, heads, size))
        _write_json(partial / "truth.json", _make_truth(plan, heads, seed=seed, effect=effect))
        _move_into_place(partial, folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return folder


def _check_numbers(subjects: int, clips: int, frames: float, size: tuple[int, int]) -> None:
    """Raise ConfigError unless a study can be drawn with these numbers."""
    if subjects < 1:
        raise ConfigError(f"A drawn study needs at least 1 subject, not {subjects}.")
    if clips < 2:
        raise ConfigError(f"Each subject needs at least 2 clips, one per label, not {clips}.")
    if round(frames) < 1:
        raise ConfigError(f"seconds x fps must give at least 1 frame, not {frames:g}.")
    if min(size) < 64 or size[0] % 2 or size[1] % 2:
        raise ConfigError(f"size must be even and at least 64 x 64 pixels, not {size}.")


def _check_vacant(folder: Path) -> None:
    """Raise OutputExistsError if something would be overwritten."""
    if folder.is_dir() and not any(folder.iterdir()):
        return
    if folder.exists():
        raise OutputExistsError(
            f"{folder} is there already and not empty; name a new folder for the drawn study"
        )


def _move_into_place(partial: Path, folder: Path) -> None:
    """Rename the finished folder to its name."""
    if folder.is_dir():
        folder.rmdir()
    partial.rename(folder)


def _draw_video(folder: Path, planned: PlannedClip, frames: int, fps: int) -> list[HeadPlace]:
    """Write one clip and return where the head is in each of its frames."""
    heads = []
    with av.open(folder / _find_path(planned), "w") as container:
        stream = container.add_stream("libx264", rate=fps, options=CODEC)
        stream.width, stream.height = planned.clip.size
        stream.pix_fmt = "yuv420p"
        for drawn in iter_frames(planned.clip, frames=frames, fps=fps):
            heads.append(drawn.head)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(drawn.image_rgb, "rgb24")))
        container.mux(stream.encode())
    return heads


def _find_path(planned: PlannedClip) -> str:
    """Return a clip's path relative to the study."""
    return f"videos/{planned.video_id}.mp4"


def _write_videos_csv(folder: Path, plan: Sequence[PlannedClip]) -> None:
    rows = [(p.video_id, _find_path(p), p.clip.dog.subject_id, p.label) for p in plan]
    _write_csv(folder / "videos.csv", ("video_id", "path", "subject_id", "label"), rows)


def _write_subjects_csv(folder: Path, plan: Sequence[PlannedClip], seed: int) -> None:
    """Write the table of dogs, with sex, age and neutering made up."""
    rng = np.random.default_rng([seed, 4])
    rows = [
        (
            dog.subject_id,
            str(rng.choice(["female", "male"])),
            round(float(rng.uniform(1, 11)), 1),
            str(rng.random() < 0.8).lower(),
            dog.breed.name,
        )
        for dog in _list_dogs(plan)
    ]
    columns = ("subject_id", "sex", "age_years", "neutered", "breed")
    _write_csv(folder / "subjects.csv", columns, rows)


def _list_dogs(plan: Sequence[PlannedClip]) -> list[Dog]:
    """Return each dog once, in order."""
    return list({planned.clip.dog.subject_id: planned.clip.dog for planned in plan}.values())


def _write_csv(path: Path, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)


def _write_json(path: Path, content: Mapping[str, object]) -> None:
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def _make_coco(
    plan: Sequence[PlannedClip], heads: Mapping[str, Sequence[HeadPlace]], size: tuple[int, int]
) -> dict[str, object]:
    """Return COCO boxes of the heads on a few frames spread over each clip."""
    images: list[dict[str, object]] = []
    annotations: list[dict[str, object]] = []
    for planned in plan:
        places = heads[planned.video_id]
        spread = np.linspace(0, len(places) - 1, ANNOTATED_PER_CLIP).round().astype(int)
        for frame_index in sorted(set(spread.tolist())):
            number = len(images) + 1
            images.append(
                {
                    "id": number,
                    "file_name": _find_path(planned),
                    "width": size[0],
                    "height": size[1],
                    "video_id": planned.video_id,
                    "frame_index": frame_index,
                }
            )
            annotations.append(_make_annotation(number, places[frame_index].box_xyxy))
    categories = [{"id": 1, "name": "dog_head", "supercategory": "animal"}]
    return {"images": images, "annotations": annotations, "categories": categories}


def _make_annotation(number: int, box_xyxy: Box) -> dict[str, object]:
    """Return the one annotation of an image; its box is COCO's (x, y, width, height)."""
    x0, y0, x1, y1 = box_xyxy
    bbox = [round(value, 2) for value in (x0, y0, x1 - x0, y1 - y0)]
    return {
        "id": number,
        "image_id": number,
        "category_id": 1,
        "bbox": bbox,
        "area": round(bbox[2] * bbox[3], 2),
        "iscrowd": 0,
    }


def _make_truth(
    plan: Sequence[PlannedClip],
    heads: Mapping[str, Sequence[HeadPlace]],
    *,
    seed: int,
    effect: float,
) -> dict[str, object]:
    """Return what was drawn: expressions, and the places of head, ears and mouth in each frame."""
    videos = {
        planned.video_id: {
            "subject_id": planned.clip.dog.subject_id,
            "label": planned.label,
            "ears": round(planned.clip.expression.ears, 4),
            "mouth": round(planned.clip.expression.mouth, 4),
            "pose": asdict(planned.clip.pose),
            "frames": [_round_place(place) for place in heads[planned.video_id]],
        }
        for planned in plan
    }
    return {"drawn": True, "seed": seed, "effect": effect, "planted": PLANTED, "videos": videos}


def _round_place(place: HeadPlace) -> dict[str, list[float]]:
    return {name: [round(value, 1) for value in box] for name, box in asdict(place).items()}
