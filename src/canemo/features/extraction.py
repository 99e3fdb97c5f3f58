"""What is taken out of each video, one stage after the other: face crops, then their features."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from canemo.config import Config
from canemo.faces.crop_file import CropFile
from canemo.faces.crops import extract_crops, find_crops
from canemo.faces.detect.protocol import Detector
from canemo.features.store import FeatureFile, extract_features, locate_features
from canemo.networks.backbones import Backbone
from canemo.records import Video
from canemo.video.times import Sampling


@dataclass(frozen=True)
class Extraction:
    """The stages that every video goes through, of a study or new: `crop`, then `embed`.

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
    """

    config: Config
    detector: Detector
    backbones: tuple[Backbone, ...]
    cache_dir: Path

    def extract(self, video: Video) -> tuple[CropFile, tuple[FeatureFile, ...]]:
        """Take a video through all stages; return its crops and their features by each backbone.

        Raises
        ------
        VideoOpenError
            The file cannot be read.
        """
        crops = self.crop(video)
        return crops, self.embed(crops)

    def crop(self, video: Video) -> CropFile:
        """Find and keep the face crops of a video; raises as `extract` does."""
        return extract_crops(video, self.detector, **self._crop_settings)

    def embed(
        self, crops: CropFile, *, on_batch: Callable[[], None] | None = None
    ) -> tuple[FeatureFile, ...]:
        """Embed the crops of a video by each backbone; `on_batch` as for `extract_features`."""
        return tuple(
            extract_features(
                crops,
                backbone,
                batch_size=self.config.backbone.batch_size,
                cache_dir=self.cache_dir,
                on_batch=on_batch,
            )
            for backbone in self.backbones
        )

    def find_crops(self, video: Video) -> CropFile | None:
        """Return the crops that `crop` would find in the cache, or None; raises as `extract`."""
        return find_crops(video, self.detector, **self._crop_settings)

    def is_embedded(self, crops: CropFile) -> bool:
        """Tell whether `embed` would find all features of these crops in the cache."""
        size = self.config.backbone.batch_size
        return all(
            locate_features(crops, each, batch_size=size, cache_dir=self.cache_dir).is_file()
            for each in self.backbones
        )

    @property
    def _crop_settings(self) -> dict[str, Any]:
        settings = self.config.video
        return {
            "sampling": Sampling(every_nth=settings.every_nth, fps=settings.fps),
            "detect": self.config.detect,
            "crop": self.config.crop,
            "cache_dir": self.cache_dir,
        }
