"""The whole way from video to embeddings, by stage, against the paper's stack on the same clips."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bench.clips import as_study, choose_clips
from bench.measurement import Measurement, load_or_draw, measure_peak_mib
from bench.paper_stack import time_paper_stack
from canemo.config import Config, load_config
from canemo.explain.maps.eigencam import compute_eigencam
from canemo.faces.detect.registry import load_detector
from canemo.faces.study_crops import StudyCrops
from canemo.features.extraction import Extraction
from canemo.networks.backbones import Backbone
from canemo.parallel import Progress, silent
from canemo.pipeline.extract import Cost, crop_and_embed, read_crops
from canemo.records import Fate, Image, Study
from canemo.video.reader import VideoReader
from canemo.video.times import Sampling

DEFAULT_BACKBONE = "dino_vits8"
REFERENCE_CLIPS = 4
MAPPED_CROPS = 32


def measure_speed(
    clips: Sequence[Path] = (),
    *,
    backbone: str = DEFAULT_BACKBONE,
    config: Config | None = None,
    seconds: float | None = 2.0,
    reference_frames: int = 2,
    progress: Progress = silent,
) -> list[Measurement]:
    """Measure what it takes to crop and embed clips, and what the paper's stack would take.

    Parameters
    ----------
    clips
        Video files or folders; none draws some.
    backbone
        Its name; where its weights cannot be had drawn ones take the time.
    config
        Settings; None takes the defaults with every frame looked at.
    seconds
        How much of each clip; None takes all of it.
    reference_frames
        How many frames of a few clips the paper's stack is timed on.
    progress
        Told how far it is.

    Returns
    -------
    list of Measurement
        ``paper``, the paper's stack, per stage and for the same job (every frame searched, every
        crop embedded); ``decode`` alone; then, with torch in float32 and with what ``auto`` means
        here: ``crop``, ``embed`` and the ``whole``, with how many times
        faster than the paper's stack; ``eigencam``, the maps of some crops beside their embedding.
    """
    config = config or load_config(overrides={"video": {"every_nth": 1}})
    lines: list[Measurement] = []
    with tempfile.TemporaryDirectory(prefix="canemo-bench-") as name:
        root = Path(name)
        files = choose_clips(clips, root / "drawn")
        progress("paper stack", 0, 1)
        paper = time_paper_stack(
            files[:: max(1, len(files) // REFERENCE_CLIPS)][:REFERENCE_CLIPS],
            backbone,
            frames_per_clip=reference_frames,
        )
        progress("paper stack", 1, 1)
        lines += [
            Measurement("paper", f"{stage}, per frame", 1, spent, measure_peak_mib())
            for stage, spent in paper.items()
        ]
        lines.append(_time_decoding(as_study(files, root, end_s=seconds), config))
        for number, (engine, precision) in enumerate((("torch", "float32"), ("auto", "auto"))):
            network, note = load_or_draw(backbone, engine=engine, precision=precision)
            study = as_study(files, root / str(number), end_s=seconds)
            crops, same_job, timed = _time_pipeline(
                study, config, network, engine, paper, note, progress
            )
            lines += timed if number else [same_job, *timed]  # it is the same for all
        lines += _time_maps(network, read_crops(crops, crops.used.head(MAPPED_CROPS)))
    return lines


def _time_decoding(study: Study, config: Config) -> Measurement:
    sampling = Sampling(every_nth=config.video.every_nth, fps=config.video.fps)
    frames, start = 0, time.perf_counter()
    for video in study.videos:
        with VideoReader(video.path, sampling=sampling, end_s=video.end_s) as reader:
            frames += sum(1 for _ in reader)
    seconds = time.perf_counter() - start
    return Measurement("decode", "alone", frames, seconds, measure_peak_mib())


def _time_pipeline(
    study: Study,
    config: Config,
    backbone: Backbone,
    engine: str,
    paper: dict[str, float],
    note: str,
    progress: Progress,
) -> tuple[StudyCrops, Measurement, list[Measurement]]:
    """Return the crops, what the same job takes the paper's stack, and what it took here."""
    cost = Cost()
    detector = load_detector(config.detector, engine=engine)
    warm_up = np.zeros((480, 640, 3), np.uint8)
    detector.detect([warm_up])
    backbone.embed([warm_up])
    start = time.perf_counter()
    extraction = Extraction(config, detector, (backbone,), study.root / "cache")
    crops, (embedded,) = crop_and_embed(study, extraction, progress=progress, cost=cost)
    seconds = time.perf_counter() - start
    frames = int((crops.ledger["fate"] != Fate.DECODE_ERROR).sum())
    used = len(crops.used)
    what = f"{backbone.engine.name} {backbone.engine.precision}"
    same_job = frames * (paper["decode"] + paper["detect"]) + used * paper["embed"]
    peak = measure_peak_mib()
    job = Measurement("paper", "the same job", frames, same_job, None, "multiplied out")
    return (
        crops,
        job,
        [
            Measurement("crop", what, frames, cost.stages["crop"]["seconds"], peak),
            Measurement(
                "embed", what, int(embedded.cost["items"]), embedded.cost["seconds"], peak, note
            ),
            Measurement(
                "whole",
                what,
                frames,
                seconds,
                peak,
                f"{same_job / seconds:.1f} x the paper's stack",
            ),
        ],
    )


def _time_maps(backbone: Backbone, images: Sequence[Image]) -> list[Measurement]:
    start = time.perf_counter()
    activations = backbone.activations(images)
    embedded = time.perf_counter()
    compute_eigencam(activations)
    mapped = time.perf_counter()
    share = (mapped - embedded) / (embedded - start)
    return [
        Measurement("embed", "for maps", len(images), embedded - start, measure_peak_mib()),
        Measurement(
            "eigencam",
            backbone.spec.name,
            len(images),
            mapped - embedded,
            measure_peak_mib(),
            f"{share:.1%} of the embedding",
        ),
    ]
