"""The crops and features of a whole study, made side by side.

While a video is embedded, the next ones are decoded, searched and cropped.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

import pandas as pd

from canemo.faces.crop_file import CropFile
from canemo.faces.points import PointsFile
from canemo.faces.study_crops import StudyCrops, extract_study_crops
from canemo.features.extraction import Extraction
from canemo.features.store import FeatureFile
from canemo.parallel import Progress
from canemo.records import Image, Study

WAITING_VIDEOS = 2

Sources: TypeAlias = Sequence[tuple[CropFile, Path]]
"""The crops and the features file of each video."""


@dataclass
class Cost:
    """Seconds and items of each stage, as metrics.json holds them.

    `items` were computed in `seconds`; `cached` were there already.
    """

    stages: dict[str, dict[str, float]] = field(default_factory=dict)

    @contextmanager
    def measure(self, stage: str) -> Iterator[dict[str, float]]:
        """Time the block as `stage` and yield its entry, for the numbers of items."""
        entry: dict[str, float] = {"seconds": 0.0, "items": 1, "cached": 0}
        start = time.perf_counter()
        yield entry
        self.stages[stage] = {**entry, "seconds": time.perf_counter() - start}


@dataclass(frozen=True)
class Embedded:
    """The features of a study's crops by one backbone.

    `cost` says, as metrics.json does, what they took: `items` crops were embedded in `seconds`.
    """

    sources: Sources
    cost: dict[str, float]


def crop_videos(
    study: Study,
    extraction: Extraction,
    *,
    progress: Progress,
    cost: Cost,
    on_file: Callable[[CropFile], None] | None = None,
) -> StudyCrops:
    """Find and keep the face crops of every video of a study; `on_file` is handed each in turn."""
    with cost.measure("crop") as entry:
        crops = extract_study_crops(
            study,
            extraction.crop,
            species=extraction.config.species,
            progress=lambda done, total: progress("crop", done, total),
            on_file=on_file,
        )
        entry["cached"] = sum(file.cached for file in crops.files.values())
        entry["items"] = len(crops.files) - entry["cached"]
    return crops


def crop_and_embed(
    study: Study, extraction: Extraction, *, progress: Progress, cost: Cost
) -> tuple[StudyCrops, list[Embedded]]:
    """Crop every video of a study and embed it by each backbone, side by side.

    While a video is embedded in a thread, the next are decoded, searched and cropped. At most
    `WAITING_VIDEOS` of them wait, as files; no picture does. What is cached is not computed again.
    `cost` counts under ``crop`` the time spent on that; embedding overlaps with it.
    """
    queue = _EmbeddingQueue(extraction, videos=len(study.videos), progress=progress)
    try:
        crops = crop_videos(study, extraction, progress=progress, cost=cost, on_file=queue.add)
        cost.stages["crop"]["seconds"] -= queue.waited
        embedded = queue.finish()
        cost.stages |= queue.describe_measuring()
    finally:
        queue.stop()
    return crops, embedded


def embed_crops(
    files: Sequence[CropFile], extraction: Extraction, *, progress: Progress
) -> list[Embedded]:
    """Embed crops that are there already by each backbone; what is cached is not computed again."""
    queue = _EmbeddingQueue(extraction, videos=len(files), progress=progress)
    try:
        for found in files:
            queue.add(found)
        return queue.finish()
    finally:
        queue.stop()


class _EmbeddingQueue:
    """Embeds videos in a thread, in the order they are added.

    `waited` is how long adding had to wait for the line to become shorter [s].
    """

    def __init__(self, extraction: Extraction, *, videos: int, progress: Progress) -> None:
        self._extraction, self._videos, self._progress = extraction, videos, progress
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="embed")
        self._stopped = threading.Event()
        self._waiting: deque[Future[None]] = deque()
        self._done: list[tuple[CropFile, tuple[FeatureFile, ...]]] = []
        self._measured: list[PointsFile] = []
        self.waited = 0.0

    def add(self, found: CropFile) -> None:
        """Put a video in line; waits while the line is long."""
        start = time.perf_counter()
        while self._waiting and (self._waiting[0].done() or len(self._waiting) > WAITING_VIDEOS):
            self._waiting.popleft().result()
        self.waited += time.perf_counter() - start
        self._waiting.append(self._thread.submit(self._embed, found))

    def finish(self) -> list[Embedded]:
        """Wait for all of them; return what each backbone made, in the order they were added."""
        while self._waiting:
            self._waiting.popleft().result()
        done = len(self._done)
        self._progress("embed", done, done)  # fewer than videos where some are broken
        return [self._gather(place) for place in range(len(self._extraction.backbones))]

    def _gather(self, place: int) -> Embedded:
        files = [(found, made[place]) for found, made in self._done]
        cost = _add_up([file for _, file in files])
        return Embedded([(found, file.path) for found, file in files], cost)

    def describe_measuring(self) -> dict[str, dict[str, float]]:
        """Return what finding points took, as the stage ``measure``; nothing where none did."""
        return {"measure": _add_up(self._measured)} if self._extraction.finder is not None else {}

    def stop(self) -> None:
        """End the thread after the batch at hand; nothing half written is left."""
        self._stopped.set()
        self._thread.shutdown(wait=True, cancel_futures=True)

    def _embed(self, found: CropFile) -> None:
        try:
            self._embed_video(found)
        except BaseException:
            self._stopped.set()
            raise

    def _embed_video(self, found: CropFile) -> None:
        points = self._extraction.measure(found)
        self._measured += [] if points is None else [points]
        self._done.append((found, self._extraction.embed(found, points, on_batch=self._go_on)))
        self._progress("embed", len(self._done), self._videos)

    def _go_on(self) -> None:
        if self._stopped.is_set():
            raise CancelledError


def _add_up(files: Sequence[PointsFile | FeatureFile]) -> dict[str, float]:
    """Return seconds and items of a stage that made some files, as metrics.json has them."""
    return {
        "seconds": sum(file.seconds for file in files),
        "items": sum(file.rows for file in files if not file.cached),
        "cached": sum(file.rows for file in files if file.cached),
    }


def read_crops(crops: StudyCrops, rows: pd.DataFrame) -> list[Image]:
    """Return the crops of rows of a study's ledger, (H, W, 3) uint8, RGB each."""
    places = rows[["video_id", "frame_index"]].itertuples(index=False)
    return [crops.files[video_id].read_crop(int(frame)) for video_id, frame in places]
