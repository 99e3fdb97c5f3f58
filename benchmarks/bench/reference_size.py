"""What a study of the paper's size costs on this machine: drawn features, real code paths."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd

from bench.measurement import Measurement, load_or_draw, measure_peak_mib
from canemo.config import SWEEP_POOLINGS, Config, ProbeConfig, SweepConfig, load_config
from canemo.errors import ConfigError
from canemo.faces.crop_file import CropFile
from canemo.faces.geometry import list_columns
from canemo.features.views import StudyViews, write_views
from canemo.learn.evaluate import evaluate_learner
from canemo.learn.evidence import Evidence, list_blocks, make_materials
from canemo.learn.gradient import GradientLearner, choose_learning_rate
from canemo.learn.lda import DiscriminantLearner
from canemo.learn.material import Material
from canemo.learn.splits import Split, make_split
from canemo.networks.backbones import Backbone
from canemo.parallel import Progress, silent
from canemo.records import Study, Video
from canemo.species import DOG
from canemo.trust.audit import audit_evidence
from canemo.trust.permutation import compare_labellings

REFERENCE_SUBJECTS, REFERENCE_CLIPS, REFERENCE_CROPS = 29, 248, 19_392
"""The data of Boneh-Shitrit et al. (2022), section 2: 12,569 + 6,823 frames."""

LABELS = ("anticipation", "frustration")
TIMED_CROPS = 32
GEOMETRY_COLUMNS = len(list_columns(DOG.points, DOG))
SWEPT_PENALTIES = (0.01, 0.1, 1.0, 10.0)


def measure_cost(
    backbones: Sequence[str] = (),
    *,
    preset: str = "paper",
    crops: int = REFERENCE_CROPS,
    progress: Progress = silent,
) -> list[Measurement]:
    """Measure what a comparison of backbones costs here, without any video.

    Parameters
    ----------
    backbones
        Names; none means the preset's. Where weights cannot be had a network of random numbers
        takes the time instead, which is the same.
    preset
        A preset with the method ``gradient``.
    crops
        Size of the study; the reference is the paper's.
    progress
        Told how far it is.

    Returns
    -------
    list of Measurement
        For each backbone, the embedding of a few crops (``embed``); from it, all passes that a
        comparison needs once (``passes``, not measured but multiplied out); and the probe stage at
        full size on cached views (``probe``): reading the views, training every epoch, testing.

    Raises
    ------
    ConfigError
        There is no such backbone or preset, or the preset has another method.
    """
    config = load_config(preset=preset)
    if config.probe.method != "gradient":
        raise ConfigError(
            f"preset {preset!r} learns by {config.probe.method!r}; bench measures the method "
            "'gradient': give 'paper', or a preset of your own with it"
        )
    names = list(backbones) or list(config.compare.backbones)
    lines = []
    for done, name in enumerate(names):
        progress("bench", done, len(names))
        backbone, note = load_or_draw(name)
        embedding = _time_embedding(backbone, config, note)
        lines += [embedding, _foretell(embedding, config, crops)]
        lines.append(_time_probe(backbone, config, crops))
    progress("bench", len(names), len(names))
    return lines


def measure_trust(
    *,
    crops: int = REFERENCE_CROPS,
    dim: int = 384,
    permutations: int = 1000,
    progress: Progress = silent,
) -> list[Measurement]:
    """Measure what the numbers that stand up in review cost here, on drawn features.

    Parameters
    ----------
    crops, dim, permutations
        Size of the study, of its features (that of a ViT-S), and number of labellings.
    progress
        Told how far it is.

    Returns
    -------
    list of Measurement
        Leave one dog out with all choices in inner folds over all that `--sweep` offers with 4
        penalties (``sweep``); refits of the default probe to permuted labels, inner choices
        included (``permute``); the audit without any pixel (``audit``).
    """
    config = Config()
    offered = config.probe.model_copy(update={"penalties": SWEPT_PENALTIES})
    swept = DiscriminantLearner(_draw_materials(crops, dim, SWEEP_POOLINGS), offered)
    split = make_split(sorted(swept.material.origin["subject_id"].unique()), kind="loso")
    lines: list[Measurement] = []
    progress("bench", 0, 3)
    settings = len(swept.materials) * len(SWEPT_PENALTIES)
    with _timed("sweep", f"{settings} settings", crops, lines):
        evaluate_learner(swept, split, seed=0)
    progress("bench", 1, 3)
    learner = DiscriminantLearner(_draw_materials(crops, dim, ("cls",)), config.probe)
    with _timed("permute", "default probe", permutations, lines):
        compare_labellings(learner, split, permutations=permutations, seed=0)
    progress("bench", 2, 3)
    evidence = _draw_evidence(learner.material, config, split)
    with _timed("audit", "no pixel", crops, lines):
        audit_evidence(evidence, learner, penalty=1.0, metadata=None)
    progress("bench", 3, 3)
    return lines


@contextmanager
def _timed(stage: str, what: str, items: int, lines: list[Measurement]) -> Iterator[None]:
    start = time.perf_counter()
    yield
    seconds = time.perf_counter() - start
    lines.append(Measurement(stage, what, items, seconds, measure_peak_mib(), "drawn features"))


def _draw_materials(crops: int, dim: int, poolings: Sequence[str]) -> tuple[Material, ...]:
    origin, rng = _draw_origin(crops), np.random.default_rng(0)
    dog = pd.factorize(origin["subject_id"])[0]
    clip = pd.factorize(origin["video_id"])[0]
    config = Config(
        probe=ProbeConfig(pooling=poolings[0]), sweep=SweepConfig(poolings=tuple(poolings))
    )
    pooled = {}
    for block in list_blocks(config):
        width = GEOMETRY_COLUMNS if block == "geometry" else dim
        of_dogs, of_clips = (rng.normal(size=(index.max() + 1, width)) for index in (dog, clip))
        x = 2 * of_dogs[dog] + of_clips[clip] + 0.3 * rng.normal(size=(crops, width))
        pooled[block] = x.astype(np.float32)
    return make_materials(origin, pooled, origin, labels=LABELS, config=config)


def _draw_evidence(material: Material, config: Config, split: Split) -> Evidence:
    first = material.origin.drop_duplicates("video_id")
    names = zip(first["video_id"], first["subject_id"], first["label"], strict=True)
    videos = tuple(Video(video, Path(video), dog, label) for video, dog, label in names)
    ledger = material.origin.assign(fate="used")
    clips = first[["video_id"]].assign(duration_s=3.0, fps=25.0, width=640, height=480)
    study = Study(Path("drawn"), videos)
    return Evidence(study, config, split, ledger, (material,), clips, {})


def _time_embedding(backbone: Backbone, config: Config, note: str) -> Measurement:
    rng = np.random.default_rng(0)
    images = list(rng.integers(0, 256, (TIMED_CROPS, 224, 224, 3), dtype=np.uint8))
    size = config.backbone.batch_size
    backbone.embed(images[:size])
    start = time.perf_counter()
    for first in range(0, TIMED_CROPS, size):
        backbone.embed(images[first : first + size])
    seconds = time.perf_counter() - start
    return Measurement("embed", backbone.spec.name, TIMED_CROPS, seconds, measure_peak_mib(), note)


def _foretell(embedding: Measurement, config: Config, crops: int) -> Measurement:
    """Return how long every crop once and all views of the training crops would take."""
    subjects = [f"{number:02}" for number in range(REFERENCE_SUBJECTS)]
    split = make_split(subjects, kind=config.evaluate.split)
    training_share = len({dog for fold in split.folds for dog in fold.train}) / len(subjects)
    passes = round(crops * (1 + training_share * config.gradient.views))
    seconds = passes / embedding.items_per_second
    return Measurement("passes", embedding.what, passes, seconds, None, "multiplied out")


def _time_probe(backbone: Backbone, config: Config, crops: int) -> Measurement:
    origin = _draw_origin(crops)
    with tempfile.TemporaryDirectory(prefix="canemo-bench-") as folder:
        views = _draw_views(origin, backbone, config, Path(folder))
        x = np.random.default_rng(0).normal(size=(crops, backbone.feature_dim))
        material = Material(x.astype(np.float32), origin, LABELS)
        rate = choose_learning_rate(config.gradient, is_cnn=backbone.is_cnn)
        learner = GradientLearner(material, config.probe, config.gradient, rate, views)
        split = make_split(list(origin["subject_id"].unique()), kind=config.evaluate.split)
        start = time.perf_counter()
        evaluate_learner(learner, split, seed=config.evaluate.seed)
        seconds = time.perf_counter() - start
    note = f"{config.gradient.epochs} epochs, {config.gradient.feed}, drawn features"
    return Measurement("probe", backbone.spec.name, crops, seconds, measure_peak_mib(), note)


def _draw_origin(crops: int) -> pd.DataFrame:
    """Return crops of clips of dogs, a third of the clips with the first label, as in the paper."""
    clip = np.sort(np.arange(crops) % REFERENCE_CLIPS)
    frame = np.concatenate([np.arange(n) for n in np.bincount(clip, minlength=REFERENCE_CLIPS)])
    return pd.DataFrame(
        {
            "video_id": [f"clip{c:03}" for c in clip],
            "subject_id": [f"dog{c % REFERENCE_SUBJECTS:02}" for c in clip],
            "label": [LABELS[0] if c // REFERENCE_SUBJECTS % 3 == 0 else LABELS[1] for c in clip],
            "frame_index": frame,
            "time_s": frame / 25,
        }
    )


def _draw_views(
    origin: pd.DataFrame, backbone: Backbone, config: Config, folder: Path
) -> StudyViews:
    """Fill the cache as a run would leave it, with drawn numbers."""
    files = dict(_iter_crop_files(origin, folder))
    views = StudyViews(
        files,
        backbone,
        pooling=config.probe.pooling,
        augment=config.augment,
        gradient=config.gradient,
        seed=config.evaluate.seed,
        batch_size=config.backbone.batch_size,
        cache_dir=folder,
    )
    rng = np.random.default_rng(0)
    k, dim = config.gradient.views, backbone.feature_dim
    for video_id, rows in origin.groupby("video_id", sort=False):
        frames = np.repeat(rows["frame_index"].to_numpy(), k)
        vectors = rng.standard_normal((len(frames), dim), dtype=np.float32).astype(np.float16)
        number = np.tile(np.arange(k), len(rows))
        write_views(views.path_of(files[str(video_id)]), [(frames, number, vectors)])
    return views


def _iter_crop_files(origin: pd.DataFrame, folder: Path) -> Iterator[tuple[str, CropFile]]:
    for number, rows in enumerate(origin.drop_duplicates("video_id").itertuples()):
        video = Video(str(rows.video_id), folder, str(rows.subject_id), str(rows.label))
        path = folder / f"{number:024x}.parquet"
        yield (
            video.video_id,
            CropFile(video, path, persistent_faces=1, pieces=1, damage=None, cached=True),
        )
