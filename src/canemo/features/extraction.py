"""What is taken out of each video, one stage after the other: face crops, points, features."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from canemo.config import Config
from canemo.faces.crop_file import CropFile
from canemo.faces.crops import extract_crops, find_crops
from canemo.faces.detect.protocol import Detector
from canemo.faces.points import PointFinder, PointsFile, extract_points, locate_points
from canemo.features.store import FeatureFile, extract_features, locate_features
from canemo.networks.backbones import Backbone
from canemo.records import Video
from canemo.video.times import Sampling


@dataclass(frozen=True)
class Extraction:
    """The stages that every video goes through, of a study or new: `crop`, `measure`, `embed`.

    Attributes
    ----------
    config
        The settings of all stages.
    detector
        What finds the faces.
    backbones
        What embeds the crops, several where they are compared.
    cache_dir
        Where what a stage made is kept; it is not made again.
    finder
        What finds the points of the faces; None: nothing does.
    """

    config: Config
    detector: Detector
    backbones: tuple[Backbone, ...]
    cache_dir: Path
    finder: PointFinder | None = None

    def extract(self, video: Video) -> tuple[CropFile, tuple[FeatureFile, ...]]:
        """Take a video through all stages; return its crops and their features by each backbone.

        Raises
        ------
        VideoOpenError
            The file cannot be read.
        """
        crops = self.crop(video)
        return crops, self.embed(crops, self.measure(crops))

    def crop(self, video: Video) -> CropFile:
        """Find and keep the face crops of a video; raises as `extract` does."""
        return extract_crops(video, self.detector, **self._crop_settings)

    def measure(self, crops: CropFile) -> PointsFile | None:
        """Find and keep the points of the faces on a video's crops; None where nothing does."""
        if self.finder is None:
            return None
        return extract_points(crops, self.finder, cache_dir=self.cache_dir)

    def embed(
        self,
        crops: CropFile,
        points: PointsFile | None = None,
        *,
        on_batch: Callable[[], None] | None = None,
    ) -> tuple[FeatureFile, ...]:
        """Embed the crops of a video by each backbone; parameters as for `extract_features`."""
        return tuple(
            extract_features(crops, each, points=points, on_batch=on_batch, **self._embed_settings)
            for each in self.backbones
        )

    def find_crops(self, video: Video) -> CropFile | None:
        """Return the crops that `crop` would find in the cache, or None; raises as `extract`."""
        return find_crops(video, self.detector, **self._crop_settings)

    def find_points(self, crops: CropFile) -> PointsFile | None:
        """Return the points that `measure` would find in the cache, or None."""
        if self.finder is None:
            return None
        path = locate_points(crops, self.finder, cache_dir=self.cache_dir)
        return PointsFile(path, rows=0, cached=True) if path.is_file() else None

    def is_embedded(self, crops: CropFile) -> bool:
        """Tell whether `embed` would find all features of these crops in the cache."""
        points = self.find_points(crops)
        if self.finder is not None and points is None:
            return False
        return all(
            locate_features(crops, each, points=points, **self._embed_settings).is_file()
            for each in self.backbones
        )

    @property
    def _embed_settings(self) -> dict[str, Any]:
        return {
            "species": self.config.species,
            "batch_size": self.config.backbone.batch_size,
            "cache_dir": self.cache_dir,
        }

    @property
    def _crop_settings(self) -> dict[str, Any]:
        settings = self.config.video
        return {
            "sampling": Sampling(every_nth=settings.every_nth, fps=settings.fps),
            "detect": self.config.detect,
            "crop": self.config.crop,
            "cache_dir": self.cache_dir,
        }
