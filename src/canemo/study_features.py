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

from canemo.backbones import Backbone, load_backbone, load_backbone_like
from canemo.config import Config
from canemo.crops import CropFile
from canemo.detect.protocol import Detector
from canemo.detect.registry import load_detector, load_detector_like
from canemo.feature_files import FeatureFile, extract_features
from canemo.progress import Progress
from canemo.records import Image, Study
from canemo.study_crops import StudyCrops, extract_study_crops

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


def crop_videos(
    study: Study,
    config: Config,
    detector: Detector,
    *,
    progress: Progress,
    cost: Cost,
    on_file: Callable[[CropFile], None] | None = None,
) -> StudyCrops:
    """Find and keep the face crops of every video of a study; `on_file` is handed each in turn."""
    with cost.measure("crop") as entry:
        crops = extract_study_crops(
            study,
            config,
            detector,
            progress=lambda done, total: progress("crop", done, total),
            on_file=on_file,
        )
        entry["cached"] = sum(file.cached for file in crops.files.values())
        entry["items"] = len(crops.files) - entry["cached"]
    return crops


def crop_and_embed(
    study: Study,
    config: Config,
    detector: Detector,
    backbone: Backbone,
    *,
    progress: Progress,
    cost: Cost,
) -> tuple[StudyCrops, Sources]:
    """Crop and embed every video of a study, side by side.

    While a video is embedded in a thread, the next are decoded, searched and cropped. At most
    `WAITING_VIDEOS` of them wait, as files; no picture does. What is cached is not computed again.
    `cost` counts under ``crop`` and ``embed`` the time spent on each, which overlap.
    """
    queue = _EmbeddingQueue(study, config, backbone, progress=progress)
    try:
        crops = crop_videos(
            study, config, detector, progress=progress, cost=cost, on_file=queue.add
        )
        cost.stages["crop"]["seconds"] -= queue.waited
        sources = queue.finish(cost)
    finally:
        queue.stop()
    return crops, sources


class _EmbeddingQueue:
    """Embeds videos in a thread, in the order they are added.

    `waited` is how long adding had to wait for the line to become shorter [s].
    """

    def __init__(
        self, study: Study, config: Config, backbone: Backbone, *, progress: Progress
    ) -> None:
        self._study, self._config, self._backbone = study, config, backbone
        self._progress = progress
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="embed")
        self._stopped = threading.Event()
        self._waiting: deque[Future[None]] = deque()
        self._done: list[tuple[CropFile, FeatureFile]] = []
        self._seconds = 0.0
        self.waited = 0.0

    def add(self, found: CropFile) -> None:
        """Put a video in line; waits while the line is long."""
        start = time.perf_counter()
        while self._waiting and (self._waiting[0].done() or len(self._waiting) > WAITING_VIDEOS):
            self._waiting.popleft().result()
        self.waited += time.perf_counter() - start
        self._waiting.append(self._thread.submit(self._embed, found))

    def finish(self, cost: Cost) -> Sources:
        """Wait for all of them, and return the files in the order they were added."""
        while self._waiting:
            self._waiting.popleft().result()
        files = [file for _, file in self._done]
        self._progress("embed", len(files), len(files))  # fewer than videos where some are broken
        cost.stages["embed"] = {
            "seconds": self._seconds,
            "items": sum(file.rows for file in files if not file.cached),
            "cached": sum(file.rows for file in files if file.cached),
        }
        return [(found, file.path) for found, file in self._done]

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
        start = time.perf_counter()
        file = extract_features(
            found,
            self._backbone,
            batch_size=self._config.backbone.batch_size,
            cache_dir=self._study.root / "cache",
            on_batch=self._go_on,
        )
        self._seconds += time.perf_counter() - start
        self._done.append((found, file))
        self._progress("embed", len(self._done), len(self._study.videos))

    def _go_on(self) -> None:
        if self._stopped.is_set():
            raise CancelledError


def load_configured_detector(config: Config, *, elsewhere: bool = False) -> Detector:
    """Load the detector that the settings name; `elsewhere` as for `prepare`."""
    load = load_detector_like if elsewhere else load_detector
    settings = config.detect
    return load(config.detector, engine=settings.engine, device=config.backbone.device)


def load_configured_backbone(config: Config, *, elsewhere: bool = False) -> Backbone:
    """Load the backbone that the settings name; `elsewhere` as for `prepare`."""
    settings = config.backbone
    return (load_backbone_like if elsewhere else load_backbone)(
        settings.name,
        weights=settings.weights,
        device=settings.device,
        engine=settings.engine,
        precision=settings.precision,
    )


def read_crops(crops: StudyCrops, rows: pd.DataFrame) -> list[Image]:
    """Return the crops of rows of a study's ledger, (H, W, 3) uint8, RGB each."""
    places = rows[["video_id", "frame_index"]].itertuples(index=False)
    return [crops.files[video_id].read_crop(int(frame)) for video_id, frame in places]


def embed_crops(
    crops: StudyCrops, backbone: Backbone, config: Config, *, progress: Progress, cost: Cost
) -> Sources:
    """Embed the crops and return the files; what is cached is not computed again."""
    queue = _EmbeddingQueue(crops.study, config, backbone, progress=progress)
    try:
        for found in crops.files.values():
            queue.add(found)
        return queue.finish(cost)
    finally:
        queue.stop()
