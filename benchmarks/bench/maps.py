"""What maps of many crops cost on top of the passes of the backbone that they are read from."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from bench.clips import choose_clips
from bench.measurement import Measurement, load_or_draw, measure_peak_mib
from canemo.explain.decision import Decision
from canemo.explain.maps.contribution import spread_exactly
from canemo.explain.maps.eigencam import compute_eigencam
from canemo.explain.maps.methods import BATCH_SIZE
from canemo.explain.maps.occlusion import fit_to_input
from canemo.learn.probe import Probe
from canemo.networks.backbones import Backbone
from canemo.parallel import Progress, silent
from canemo.records import Image
from canemo.video.reader import iter_frames
from canemo.video.times import Sampling

DEFAULT_BACKBONES = ("efficientnet_lite0", "dino_vits8")


def measure_maps(
    backbones: Sequence[str] = (),
    *,
    clips: Sequence[Path] = (),
    crops: int = 512,
    progress: Progress = silent,
) -> list[Measurement]:
    """Time exact contributions and EigenCAM beside the passes of the backbone.

    Parameters
    ----------
    backbones
        Their names; where weights cannot be had drawn ones take the time. None means
        `DEFAULT_BACKBONES`.
    clips
        Video files or folders whose frames are the pictures; none draws some.
    crops
        How many pictures; a few are taken again and again, in batches, so that time grows with
        their number and memory does not.
    progress
        Told how far it is.

    Returns
    -------
    list of Measurement
        Per backbone: ``embed``, ``contribution`` (a probe on the mean token) and ``eigencam``, the
        latter two with their share of the first.
    """
    with tempfile.TemporaryDirectory(prefix="canemo-bench-") as folder:
        pictures = _read_pictures(choose_clips(clips, Path(folder) / "drawn"))
    lines: list[Measurement] = []
    for name in backbones or DEFAULT_BACKBONES:
        backbone, note = load_or_draw(name, engine="auto", precision="auto")
        spent = _time_batches(backbone, pictures, crops, progress)
        peak = measure_peak_mib()
        lines.append(Measurement("embed", name, crops, spent.embed, peak, note))
        for stage, seconds in (("contribution", spent.contribution), ("eigencam", spent.eigencam)):
            share = f"{seconds / spent.embed:.1%} of the passes"
            lines.append(Measurement(stage, name, crops, seconds, peak, share))
    return lines


@dataclass
class _Spent:
    embed: float = 0.0
    contribution: float = 0.0
    eigencam: float = 0.0


def _read_pictures(clips: Sequence[Path]) -> list[Image]:
    """Return a batch of frames, spread over the clips, as large as a backbone takes them."""
    each = -(-BATCH_SIZE // len(clips))
    frames = [
        fit_to_input(frame.image_rgb)
        for path in clips
        for frame in islice(iter_frames(path, sampling=Sampling(fps=5.0)), each)
    ]
    return frames[:BATCH_SIZE]


def _time_batches(
    backbone: Backbone, pictures: Sequence[Image], crops: int, progress: Progress
) -> _Spent:
    rng = np.random.default_rng(0)
    dim = backbone.feature_dim
    coef, ones = rng.standard_normal((1, dim)), np.ones(dim)
    probe = Probe(("a", "b"), np.zeros(dim), ones, coef, np.zeros(1), 1.0)
    weights = spread_exactly(Decision(probe, "mean", "b"), backbone)
    backbone.embed(pictures)  # the first pass compiles
    spent = _Spent()
    for start in range(0, crops, BATCH_SIZE):
        progress(f"maps {backbone.spec.name}", start, crops)
        some = pictures[: crops - start]
        began = time.perf_counter()
        embedding = backbone.embed(some)
        embedded = time.perf_counter()
        weights.sum_channels(embedding.tokens)
        summed = time.perf_counter()
        compute_eigencam(embedding.activations)
        spent.embed += embedded - began
        spent.contribution += summed - embedded
        spent.eigencam += time.perf_counter() - summed
    progress(f"maps {backbone.spec.name}", crops, crops)
    return spent
