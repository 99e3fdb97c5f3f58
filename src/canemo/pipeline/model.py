"""Use a trained model on new video: one row per frame, one per video.

A model that could not be told from chance, or only on drawn dogs, gives its probabilities, and no
answer unless asked to.
"""

from __future__ import annotations

import glob
import logging
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from canemo.errors import ModelError, StudyError, VideoOpenError
from canemo.faces.crop_file import LEDGER_COLUMNS, CropFile
from canemo.faces.detect.protocol import Detector
from canemo.faces.detect.registry import is_drawn, load_detector_like
from canemo.faces.frame_choice import choose_frames
from canemo.faces.points import ModelPoints, PointFinder
from canemo.features.extraction import Extraction
from canemo.features.store import FeatureFile, load_pooled
from canemo.files import sha256_file
from canemo.learn.conformal import Conformal
from canemo.learn.material import Material
from canemo.learn.predictions import PROBABILITY
from canemo.learn.saved_model import SavedModel, read_model
from canemo.networks.backbones import Backbone, load_backbone, load_backbone_like
from canemo.parallel import ProgressFn
from canemo.records import Fate, Video
from canemo.report.words.model import explain_withheld, name_verdict
from canemo.study.places import list_material
from canemo.study.records.model import ModelEvaluation
from canemo.trust.standing import contradicts
from canemo.video.info import VIDEO_SUFFIXES

logger = logging.getLogger(__name__)
UNDECIDED = "undecided"
_LEARNED_FROM = (
    "the model learned from this very film: the answer does not show how it does on a new one"
)


@dataclass(frozen=True)
class VideoPrediction:
    """What a model says about one video.

    Attributes
    ----------
    frames
        One row per frame that was looked at: the ledger and, where a face was used,
        ``probability_LABEL`` and ``predicted``: a label, or ``undecided``.
    summary
        One row for the video: mean probabilities, counts, ``predicted``, ``status`` (``ok``,
        ``no_face``, ``failed``) and ``message``.

    Both say as ``model_verdict`` whether the model could be told from chance.
    """

    frames: pd.DataFrame
    summary: dict[str, Any]

    @property
    def failed(self) -> bool:
        """Whether the file could not be read at all."""
        return bool(self.summary["status"] == "failed")


class Model:
    """A trained model, ready to classify video.

    Attributes
    ----------
    labels
        The K conditions it was trained on.
    positive_label
        The one whose probability is drawn.
    saved
        Everything it was saved with.
    backbone
        What embeds the crops.
    """

    def __init__(
        self,
        saved: SavedModel,
        *,
        backbone: Backbone,
        detector: Detector,
        finder: PointFinder | None = None,
    ) -> None:
        _require_same(
            "backbone weights", "--weights", saved.backbone_sha256, backbone.weights_sha256
        )
        if not is_drawn(saved.config.detector):  # boxes find no faces in other videos
            _require_same("detector", "--detector", saved.detector_sha256, detector.fingerprint)
        self.saved = saved
        self.labels = saved.classifier.labels
        self.positive_label = saved.positive_label
        self._probability_columns = [PROBABILITY + label for label in self.labels]
        self.backbone = backbone
        self._detector, self._finder = detector, finder

    @property
    def finder(self) -> PointFinder | None:
        """What finds the points that the model reads; None where it reads none."""
        return self._finder

    @property
    def evaluation(self) -> ModelEvaluation:
        """What unseen subjects gave when it was made, and whether that can be told from chance."""
        return self.saved.evaluation

    def decide(self, videos: pd.DataFrame, *, level: float, anyway: bool = False) -> pd.DataFrame:
        """Return the rows of videos with a column ``decided``: a label, or ``undecided``.

        Parameters
        ----------
        videos
            Rows as `predict` summarises videos.
        level
            Share of all clips whose true label may be ruled out: a label is given where it is the
            only one that is not too unusual at this level. It is no share of the labels given.
        anyway
            As `predict` takes it: without, a model not told from chance decides nothing.

        Raises
        ------
        ModelError
            The model was saved without what is needed.
        ConfigError
            So few dogs allow no such promise.
        """
        conformal = self.require_level(level)
        probability = videos[self._probability_columns].to_numpy(dtype=float)
        sets = conformal.predict_sets(np.nan_to_num(probability), level)
        known = np.isfinite(probability).all(axis=1)
        answers = np.array([*self.labels, UNDECIDED], dtype=object)
        is_single = (sets.sum(axis=1) == 1) & self.answers(anyway=anyway)
        single = np.where(is_single, sets.argmax(axis=1), len(self.labels))
        decided = [answers[i] if ok else None for i, ok in zip(single, known, strict=True)]
        return videos.assign(decided=pd.array(decided, dtype="string"))

    def require_level(self, level: float) -> Conformal:
        """Return what undecided answers rest on; raises as `decide` does."""
        self.saved.conformal.require_level(level, plural=self.saved.config.species.plural)
        return self.saved.conformal

    def answers(self, *, anyway: bool = False) -> bool:
        """Return whether answers are given: its evaluation allows them, or they are asked for."""
        return anyway or self.evaluation.answers

    def predict(
        self,
        paths: Path | str | Sequence[Path | str],
        *,
        anyway: bool = False,
        cache_dir: Path | None = None,
        progress: ProgressFn | None = None,
    ) -> list[VideoPrediction]:
        """Classify videos given as files, folders (searched through) or glob patterns.

        One unreadable file never stops the rest: its summary has the status ``failed``.

        Parameters
        ----------
        paths
            What to classify.
        anyway
            Answer also where the model could not be told from chance, or only on drawn dogs;
            without, such a model leaves every clip and frame ``undecided``, beside its
            probabilities.
        cache_dir
            Where crops and features are kept; None keeps none.
        progress
            Told how many videos are done.

        Raises
        ------
        StudyError
            Nothing that looks like a video is found.
        """
        named = name_videos(find_videos(paths))
        results = []
        for done, (video_id, path) in enumerate(named, start=1):
            results.append(
                self.predict_video(path, video_id=video_id, anyway=anyway, cache_dir=cache_dir)
            )
            if progress is not None:
                progress(done, len(named))
        return results

    def predict_video(
        self,
        path: Path,
        *,
        video_id: str | None = None,
        anyway: bool = False,
        cache_dir: Path | None = None,
    ) -> VideoPrediction:
        """Classify one video file; `anyway` and `cache_dir` as `predict` takes them."""
        if cache_dir is None:
            with tempfile.TemporaryDirectory(prefix="canemo-") as folder:
                return self.predict_video(
                    path, video_id=video_id, anyway=anyway, cache_dir=Path(folder)
                )
        found = self._predict(path, video_id, cache_dir)
        return found if self.answers(anyway=anyway) else _withhold(found, self.evaluation)

    def _predict(self, path: Path, video_id: str | None, cache_dir: Path) -> VideoPrediction:
        """Classify one video file, whatever the verdict of the model."""
        video = Video(video_id or path.stem, path.absolute(), subject_id="", label="")
        try:
            crops, (features,) = self._extraction(cache_dir).extract(video)
        except VideoOpenError as exc:
            logger.warning("%s", exc)
            return VideoPrediction(self._no_frames(video), self._failure(video, str(exc)))
        return self._classify(video, crops, features)

    def crop_video(self, video: Video, cache_dir: Path) -> CropFile:
        """Find and keep the face crops of a video, as those it was trained on were."""
        return self._extraction(cache_dir).crop(video)

    def _extraction(self, cache_dir: Path) -> Extraction:
        config, finder = self.saved.config, self._finder
        return Extraction(config, self._detector, (self.backbone,), cache_dir, finder)

    def _classify(self, video: Video, crops: CropFile, features: FeatureFile) -> VideoPrediction:
        settings = self.saved.config.probe
        origin, pooled = load_pooled([(crops, features.path)], settings.pooling)
        ledger = crops.read_ledger().drop(columns=["subject_id", "label"])
        ledger.insert(1, "path", str(video.path))
        answers = origin[["frame_index"]].copy()
        material = Material(
            pooled,
            origin,
            self.labels,
            counted=choose_frames(origin, ledger, settings.frames),
        )
        everything = np.ones(len(origin), dtype=bool)
        of_frames, of_video = material.predict(self.saved.classifier, everything)
        for column, label in enumerate(self.labels):
            answers[PROBABILITY + label] = of_frames[:, column]
        frames = self._with_answer(ledger.merge(answers, on="frame_index", how="left"))
        return VideoPrediction(frames, self._summarise(video, crops, frames, of_video))

    def _summarise(
        self,
        video: Video,
        crops: CropFile,
        frames: pd.DataFrame,
        of_video: NDArray[np.floating],
    ) -> dict[str, Any]:
        """Return the video's row; `of_video` is (1, K), or (0, K) where no face was used."""
        used = frames[frames["fate"] == Fate.USED]
        means = of_video[0].tolist() if len(used) else [np.nan] * len(self.labels)
        answer = self.labels[int(np.argmax(means))] if len(used) else None
        notes = [] if crops.damage is None else [f"damaged: {crops.damage}"]
        notes += crops.describe_doubts(self.saved.config.species, has_row=False).values()
        if sha256_file(video.path) in self.saved.training.files_sha256:
            notes.append(_LEARNED_FROM)
        return {
            **_identity(video),
            "status": "ok" if len(used) else "no_face",
            "frames": int((frames["fate"] != Fate.DECODE_ERROR).sum()),
            "faces": len(used),
            **dict(zip(self._probability_columns, means, strict=True)),
            "predicted": answer,
            "model_verdict": name_verdict(self.evaluation),
            "message": "; ".join(notes),
        }

    def _failure(self, video: Video, message: str) -> dict[str, Any]:
        return {
            **_identity(video),
            "status": "failed",
            "frames": 0,
            "faces": 0,
            **dict.fromkeys(self._probability_columns, np.nan),
            "predicted": None,
            "model_verdict": name_verdict(self.evaluation),
            "message": message,
        }

    def _no_frames(self, video: Video) -> pd.DataFrame:
        columns = [c for c in LEDGER_COLUMNS if c not in ("subject_id", "label")]
        row = {**_identity(video), "fate": Fate.DECODE_ERROR.value}
        columns = [columns[0], "path", *columns[1:]]
        empty = pd.DataFrame([row]).reindex(columns=columns)
        probability = dict.fromkeys(self._probability_columns, np.nan)
        return self._with_answer(empty.assign(**probability))

    def _with_answer(self, frames: pd.DataFrame) -> pd.DataFrame:
        probability = frames[self._probability_columns].to_numpy(dtype=float)
        known = np.isfinite(probability).all(axis=1)
        best = np.where(known[:, None], probability, 0).argmax(axis=1)
        answers = [self.labels[i] if ok else None for i, ok in zip(best, known, strict=True)]
        return frames.assign(
            predicted=pd.array(answers, dtype="string"), model_verdict=name_verdict(self.evaluation)
        )


def _withhold(found: VideoPrediction, evaluation: ModelEvaluation) -> VideoPrediction:
    """Return a prediction without its answers; where none could be given, none is withheld."""
    answers = found.frames["predicted"]
    frames = found.frames.assign(predicted=answers.mask(answers.notna(), UNDECIDED))
    summary = dict(found.summary)
    if summary["predicted"] is not None:
        notes = [explain_withheld(evaluation), summary["message"]]
        summary |= {"predicted": UNDECIDED, "message": "; ".join(filter(None, notes))}
    return VideoPrediction(frames, summary)


def load_model(
    folder: Path | str,
    *,
    weights: Path | None = None,
    detector: str | None = None,
    device: str | None = None,
    engine: str | None = None,
    precision: str | None = None,
) -> Model:
    """Load a trained model with its backbone and detector.

    Parameters
    ----------
    folder
        A run folder or its `model` folder.
    weights
        The backbone's weights file, where it was trained with one that has moved.
    detector
        The detector's weights file, likewise.
    device
        Where the backbone runs; None takes the device it was trained on.
    engine, precision
        What runs the backbone. None takes what it was trained with, or, where this machine has not
        got that, what ``auto`` means here, with a warning.

    Raises
    ------
    ModelError
        There is no model, its verdict is none that its numbers allow, or backbone or detector are
        not those it was trained with.
    WeightsError
        The backbone's weights cannot be had.
    ConfigError, MissingExtraError, EngineError
        The engine or precision asked for cannot be had.
    """
    saved = read_model(Path(folder))
    if contradicts(saved.evaluation):
        raise ModelError(
            f"{folder}: the model says that it was told from chance, and the numbers beside that "
            "deny it: somebody changed the file; run its study again with `canemo run STUDY`"
        )
    settings = saved.config.backbone
    weights, device = weights or settings.weights, device or settings.device
    name = detector or saved.config.detector
    finder = load_detector_like(name, engine=saved.config.detect.engine, device=device)
    if engine is None and precision is None and device == settings.device:
        backbone = load_backbone_like(
            settings.name,
            weights=weights,
            device=device,
            engine=settings.engine,
            precision=settings.precision,
        )
    else:
        backbone = load_backbone(
            settings.name,
            weights=weights,
            device=device,
            engine=engine or "auto",
            precision=precision or "auto",
        )
    points = _load_points(saved, engine=saved.config.detect.engine, device=device)
    return Model(saved, backbone=backbone, detector=finder, finder=points)


def _load_points(saved: SavedModel, *, engine: str, device: str) -> PointFinder | None:
    """Return what finds the points that a model reads, None where it reads none.

    Raises
    ------
    ModelError
        They came with its study, or the landmark model is another now.
    """
    if saved.points_sha256 is None:
        return None
    if not saved.points_sha256:
        raise ModelError(
            f"the model reads {saved.config.probe.pooling} by landmarks that came with its study, "
            "and new pictures have none; run the study with --set measure.points=model for a model "
            "that finds them itself"
        )
    finder = ModelPoints(saved.config.species, engine, device)
    if finder.fingerprint != saved.points_sha256:
        raise ModelError(
            f"the model reads {saved.config.probe.pooling} by another landmark model than the one "
            "that is here: canemo has changed since; run its study again with `canemo run STUDY`"
        )
    return finder


def find_videos(paths: Path | str | Sequence[Path | str]) -> list[Path]:
    """Return the video files meant by files, folders (searched through) and glob patterns.

    A file named outright is taken whatever its ending. StudyError where nothing is found.
    """
    return find_files(paths, "video", VIDEO_SUFFIXES)


def find_files(
    paths: Path | str | Sequence[Path | str], noun: str, suffixes: frozenset[str]
) -> list[Path]:
    """Return as `find_videos` the files of a kind, told in folders by its endings."""
    if isinstance(paths, Path | str):
        paths = [paths]
    expanded = {given: list(_expand(given, suffixes)) for given in paths}
    for given, files in expanded.items():
        if not files:
            logger.warning("%s: no %s found there", given, noun)
    found = list(dict.fromkeys(path for files in expanded.values() for path in files))
    if not found:
        raise StudyError(
            f"no {noun} found in {', '.join(map(str, paths))}; give {noun} files, or a folder with "
            f"files ending in {', '.join(sorted(suffixes))}"
        )
    return found


def name_videos(paths: Sequence[Path]) -> list[tuple[str, Path]]:
    """Pair each path with a distinct name: its stem, numbered where two are alike."""
    taken: set[str] = set()
    named = []
    for path in paths:
        name, number = path.stem, 2
        while name.casefold() in taken:
            name, number = f"{path.stem}_{number}", number + 1
        taken.add(name.casefold())
        named.append((name, path))
    return named


def _expand(given: Path | str, suffixes: frozenset[str]) -> Iterator[Path]:
    path = Path(given)
    if path.is_dir():
        yield from (p for p in list_material(path) if p.suffix.lower() in suffixes)
    elif path.exists() or not glob.has_magic(str(given)):
        yield path  # also a missing one: it becomes a failed row that names it
    else:
        matches = sorted(glob.glob(str(given), recursive=True))  # noqa: PTH207 - absolute patterns
        yield from (p for match in matches for p in _expand(match, suffixes))


def _identity(video: Video) -> dict[str, str]:
    return {"video_id": video.video_id, "path": str(video.path)}


def _require_same(what: str, option: str, wanted: str, found: str) -> None:
    if wanted != found:
        raise ModelError(
            f"the {what} differ from those the model was trained with (expected {wanted[:12]}..., "
            f"found {found[:12]}...); give the original file with {option}, or train again"
        )
