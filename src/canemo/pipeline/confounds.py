"""The confound battery: what of the label can be read without the face.

A discriminant with default settings, on the same folds and frames, reads other parts of the same
pictures and numbers about them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from canemo.errors import SplitError
from canemo.faces.crop_file import CropFile
from canemo.faces.frame_choice import choose_frames
from canemo.faces.study_crops import StudyCrops
from canemo.faces.variants import list_variants, make_variants
from canemo.features.poolings import reads_face
from canemo.features.store import load_pooled
from canemo.learn.evidence import Evidence
from canemo.learn.material import Material
from canemo.learn.predictions import Predictions
from canemo.parallel import Progress, silent
from canemo.pipeline.extract import embed_crops
from canemo.pipeline.plan import Plan
from canemo.trust.confounds import TITLES, judge_confounds
from canemo.trust.metadata import GEOMETRY, LIGHT, describe_clips, evaluate_clips, predict_clips
from canemo.trust.pairs import adjust_holm, compare_pair
from canemo.trust.summaries import summarise_scores
from canemo.video.times import Sampling

_READ_ALIKE = (
    "here each part of the picture, the face too, is read by the backbone's embedding of it as a "
    "whole (cls), for the other parts have no muzzle and no eyes: the face's figures differ from "
    "those of the result"
)


@dataclass(frozen=True)
class _Row:
    name: str
    videos: Predictions

    def describe(self, evidence: Evidence, titles: Mapping[str, str]) -> dict[str, Any]:
        return {
            "name": self.name,
            "title": titles[self.name],
            "clips": len(self.videos.label_index),
            **summarise_scores(self.videos, evaluate=evidence.config.evaluate),
        }


def run_confounds(
    plan: Plan, crops: StudyCrops, evidence: Evidence, *, progress: Progress
) -> dict[str, Any]:
    """Return what metrics.json holds under ``audit.confounds``.

    ``rows``, one per part of the picture, with scores by clip and intervals; ``verdict``, sentences
    in plain words; ``frames_per_clip`` that were embedded for each part, the same for all.
    """
    variants = _make_all(plan, crops, progress=progress)
    first = evidence.materials[0]
    pooling = "cls" if reads_face(first.pooling) else first.pooling
    extraction = replace(plan.extraction, finder=None)
    whole = first if pooling == first.pooling else _read_whole(plan, crops, pooling)
    face = whole.select(
        choose_frames(whole.origin, crops.ledger, f"even:{plan.config.audit.frames_per_clip}")
    )
    rows = [_Row("face", evaluate_clips(face, evidence))]
    for name, made in variants.items():
        tell = partial(_rename, progress, name)
        (embedded,) = embed_crops(made, extraction, progress=tell)
        origin, x = load_pooled(embedded.sources, pooling)
        with suppress(SplitError):  # too few of its frames can still be read: no row
            if len(x):
                rows.append(_Row(name, evaluate_clips(Material(x, origin, first.labels), evidence)))
    table = describe_clips(evidence)
    for name, columns in (("geometry", GEOMETRY), ("light", LIGHT)):
        some = table[[column for column in columns if column in table]]
        if len(some.columns):
            rows.append(_Row(name, predict_clips(some, first, evidence)))
    titles = TITLES | list_variants(plan.config.species)
    described = [row.describe(evidence, titles) for row in rows]
    verdict = judge_confounds(described, _compare_bands(rows, evidence), len(first.labels))
    return {
        "rows": described,
        "frames_per_clip": plan.config.audit.frames_per_clip,
        "verdict": [*verdict, *[_READ_ALIKE] * (pooling != first.pooling)],
    }


def _make_all(plan: Plan, crops: StudyCrops, *, progress: Progress) -> dict[str, list[CropFile]]:
    config = plan.config
    made: dict[str, list[CropFile]] = {name: [] for name in list_variants(config.species)}
    sampling = Sampling(every_nth=config.video.every_nth, fps=config.video.fps)
    for done, file in enumerate(crops.files.values()):
        progress("variants", done, len(crops.files))
        variants = make_variants(
            file,
            species=config.species,
            frames_per_clip=config.audit.frames_per_clip,
            sampling=sampling,
            crop=config.crop,
            cache_dir=plan.study.root / "cache",
        )
        for name, variant in variants.items():
            made[name].append(variant)
    progress("variants", len(crops.files), len(crops.files))
    return made


def _compare_bands(rows: Sequence[_Row], evidence: Evidence) -> dict[str, float]:
    """Return the corrected p value of taking each region away, where the clips are the same."""
    settings, face = evidence.config.evaluate, rows[0].videos
    found = {}
    for row in rows:
        if not row.name.startswith("without_") or len(row.videos.label_index) != len(
            face.label_index
        ):
            continue
        pair = compare_pair(face, row.videos, resamples=settings.resamples, seed=settings.seed)
        if pair.p is not None:
            found[row.name] = pair.p
    return dict(zip(found, adjust_holm(list(found.values())), strict=True))


def _read_whole(plan: Plan, crops: StudyCrops, pooling: str) -> Material:
    """Return the face crops as the other parts of the picture are read."""
    (embedded,) = embed_crops(list(crops.files.values()), plan.extraction, progress=silent)
    origin, x = load_pooled(embedded.sources, pooling)
    return Material(x, origin, plan.study.labels)


def _rename(progress: Progress, name: str, stage: str, done: int, total: int) -> None:
    progress(f"{stage} {name}", done, total)
