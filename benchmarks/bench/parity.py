"""Whether every engine and precision gives the answers that torch gives in float32."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from bench.measurement import load_or_draw, time_best
from canemo.config import Config, load_config
from canemo.errors import CanemoError, ConfigError
from canemo.features.extraction import Extraction
from canemo.learn.logistic import fit_probe
from canemo.learn.splits import make_split
from canemo.networks.backbones import Backbone
from canemo.networks.engines.choice import build_engine
from canemo.networks.engines.gates import GATES, compute_cosines, refuse_precision
from canemo.networks.engines.machine import has_bfloat16
from canemo.networks.engines.protocol import Engine, EngineName, Precision
from canemo.networks.engines.torch_engine import TorchEngine
from canemo.parallel import Progress, silent
from canemo.pipeline.extract import Cost, crop_videos, read_crops
from canemo.pipeline.plan import load_configured_detector
from canemo.records import Image
from canemo.study.load import load_study

COMPARED_CROPS = 200
MAX_POINTS = 0.5
"""By how many percentage points the accuracy on another engine's answers may differ."""

PENALTY = 1.0
BATCH = 8
ROUNDS = 2


@dataclass(frozen=True)
class ParityRow:
    """How one engine and precision compares with torch in float32 on real crops.

    Attributes
    ----------
    backbone, engine, precision
        What was compared.
    crops
        How many crops.
    cosine
        The least over the crops, of the embeddings; None where it cannot run here.
    gate
        What `cosine` must reach.
    points
        The larger difference in accuracy [percentage points] of a probe that learned from one and
        is tested on the other, either way round, on subjects left out; None with one label only.
    pictures_per_second
        How fast it is.
    note
        Why it cannot run, or that the processor only emulates it.
    """

    backbone: str
    engine: EngineName
    precision: Precision
    crops: int
    cosine: float | None
    gate: float
    points: float | None
    pictures_per_second: float | None
    note: str = ""

    @property
    def passed(self) -> bool | None:
        """Whether both gates are passed; None where it cannot run here."""
        if self.cosine is None:
            return None
        return self.cosine >= self.gate and (self.points or 0.0) <= MAX_POINTS

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {**asdict(self), "passed": self.passed}


def measure_parity(
    study_dir: Path | str,
    backbones: Sequence[str] = (),
    *,
    config: Config | None = None,
    crops: int = COMPARED_CROPS,
    progress: Progress = silent,
) -> list[ParityRow]:
    """Compare every engine and precision with torch in float32 on crops of a study.

    A precision that misses a gate is from then on refused by ``auto`` on this machine for this
    backbone; one that passes is allowed again.

    Parameters
    ----------
    study_dir
        Folder with videos.csv.
    backbones
        Names; none means the one of the settings. Where weights cannot be had, drawn ones are
        compared, which says nothing of the true ones, and nothing is refused for it.
    config
        Settings; None reads the study's canemo.toml over the defaults.
    crops
        How many crops are compared, evenly spaced over the study.
    progress
        Told how far it is.

    Returns
    -------
    list of ParityRow
        One row per backbone, engine and precision, those that cannot run here included.

    Raises
    ------
    StudyError, NoFacesError
        As `crop_study`.
    ConfigError
        The study has too few crops.
    """
    root = Path(study_dir)
    config = config or load_config(root)
    extraction = Extraction(config, load_configured_detector(config), (), root / "cache")
    found = crop_videos(load_study(root), extraction, progress=progress, cost=Cost())
    compared = _space_crops(found.used, crops)
    images = read_crops(found, compared)
    rows = []
    for name in backbones or (config.backbone.name,):
        own = config.backbone.weights if name == config.backbone.name else None
        backbone, drawn = load_or_draw(name, weights=own or config.compare.weights.get(name))
        reference = _embed(backbone, images)
        candidates = _list_candidates(backbone)
        for done, candidate in enumerate(candidates):
            progress(f"parity {name}", done, len(candidates))
            row = _compare(candidate, backbone, reference, images, compared, drawn)
            rows.append(row)
            if row.passed is not None and not drawn:
                reason = "" if row.passed else "refused, missed its gate on real crops"
                refuse_precision(backbone.network, row.engine, row.precision, reason)
        progress(f"parity {name}", len(candidates), len(candidates))
    return rows


@dataclass(frozen=True)
class _Candidate:
    engine: EngineName
    precision: Precision
    build: Callable[[], Engine]
    note: str = ""


def _space_crops(used: pd.DataFrame, crops: int) -> pd.DataFrame:
    """Return the rows of the crops that are compared."""
    if len(used) < crops:
        raise ConfigError(
            f"the study has {len(used)} crops, {crops} are wanted to compare; give more clips"
        )
    return used.iloc[np.linspace(0, len(used) - 1, crops).round().astype(int)]


def _list_candidates(backbone: Backbone) -> list[_Candidate]:
    network = backbone.network
    slow = "" if has_bfloat16() else "emulated: the processor has no bfloat16"
    narrow = partial(TorchEngine, network, precision="bfloat16", emulate=True)
    return [
        _Candidate("torch", "float32", partial(TorchEngine, network)),
        _Candidate("torch", "bfloat16", narrow, slow),
        *(
            _Candidate("openvino", each, partial(build_engine, network, "openvino", each))
            for each in GATES
        ),
    ]


def _compare(
    candidate: _Candidate,
    backbone: Backbone,
    reference: Tensor,
    images: Sequence[Image],
    compared: pd.DataFrame,
    drawn: str,
) -> ParityRow:
    facts = (backbone.spec.name, candidate.engine, candidate.precision, len(images))
    gate = GATES[candidate.precision]
    try:
        other = copy.copy(backbone).run_by(candidate.build())
    except CanemoError as exc:
        return ParityRow(*facts, None, gate, None, None, f"cannot run: {exc}")
    answers = _embed(other, images)
    return ParityRow(
        *facts,
        float(compute_cosines(answers, reference).min()),
        gate,
        _compare_probes(reference.numpy(), answers.numpy(), compared),
        _measure_speed(other, images),
        "; ".join(filter(None, (candidate.note, drawn))),
    )


def _embed(backbone: Backbone, images: Sequence[Image]) -> Tensor:
    starts = range(0, len(images), BATCH)
    return torch.cat([backbone.embed(images[start : start + BATCH]).cls for start in starts])


def _measure_speed(backbone: Backbone, images: Sequence[Image]) -> float:
    pixels = backbone.prepare(images[:BATCH])
    return len(pixels) / time_best(lambda: backbone.engine.run(pixels), rounds=ROUNDS)


def _compare_probes(
    a: NDArray[np.float32], b: NDArray[np.float32], compared: pd.DataFrame
) -> float | None:
    """Return by how many points a probe's accuracy differs between answers of two engines."""
    labels = sorted(compared["label"].unique())
    if len(labels) < 2:
        return None
    target = compared["label"].map(labels.index).to_numpy(dtype=np.int64)
    owners = compared["subject_id"].to_numpy(dtype=object)
    split = make_split(sorted(set(owners)), kind="auto")
    right = np.zeros((2, 2))  # learned from a or b, tested on a or b
    for fold in split.folds:
        train, test = np.isin(owners, fold.train), np.isin(owners, fold.test)
        if len(set(target[train])) < len(labels):
            continue
        for i, learned in enumerate((a, b)):
            probe = fit_probe(learned[train], target[train], labels=labels, penalty=PENALTY)
            for j, tested in enumerate((a, b)):
                right[i, j] += (probe.predict_proba(tested[test]).argmax(1) == target[test]).sum()
    change = max(abs(right[0, 1] - right[0, 0]), abs(right[1, 0] - right[1, 1]))
    return float(100 * change / len(target))
