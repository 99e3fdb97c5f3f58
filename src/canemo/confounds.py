"""The confound battery: what of the label can be read without the face.

A discriminant with default settings, on the same folds and frames, reads other parts of the same
pictures and numbers about them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

from canemo.errors import SplitError
from canemo.evaluate import summarise_scores
from canemo.evidence import Evidence
from canemo.faces.crop_file import CropFile
from canemo.faces.frame_choice import choose_frames
from canemo.faces.study_crops import StudyCrops
from canemo.faces.variants import OF_FRAMES, list_variants, make_variants
from canemo.features.store import load_pooled
from canemo.learning import Material
from canemo.metadata import (
    GEOMETRY,
    LIGHT,
    describe_clips,
    evaluate_clips,
    predict_clips,
)
from canemo.metrics import Predictions
from canemo.parallel import Progress
from canemo.plan import Plan
from canemo.stats import LEVEL, adjust_holm, compare_pair
from canemo.study_features import embed_crops
from canemo.video.times import Sampling

TITLES = {
    "face": "the face crop",
    **OF_FRAMES,
    "geometry": "place, size and motion of the box",
    "light": "brightness and blur",
}
_ALONE = {
    "background": "the background alone predicts the label: do not attribute this result to the "
    "face",
    "geometry": "where the face is and how large alone predicts the label: do not attribute this "
    "result to the face before that is explained",
    "light": "brightness and blur alone predict the label: do not attribute this result to the "
    "face before that is explained",
}


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
    face = first.select(
        choose_frames(first.origin, crops.ledger, f"even:{plan.config.audit.frames_per_clip}")
    )
    rows = [_Row("face", evaluate_clips(face, evidence))]
    for name, made in variants.items():
        tell = partial(_rename, progress, name)
        (embedded,) = embed_crops(made, plan.extraction, progress=tell)
        origin, x = load_pooled(embedded.sources, first.pooling)
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
    return {
        "rows": described,
        "frames_per_clip": plan.config.audit.frames_per_clip,
        "verdict": judge_confounds(described, _compare_bands(rows, evidence), len(first.labels)),
    }


def judge_confounds(
    rows: Sequence[Mapping[str, Any]], losses: Mapping[str, float], labels: int
) -> list[str]:
    """Return what the battery says, in plain words.

    Parameters
    ----------
    rows
        As `run_confounds` returns them.
    losses
        Name of a region -> corrected p value of the difference it makes to take it away.
    labels
        K.
    """
    found = {row["name"]: row for row in rows}
    sentences = [text for name, text in _ALONE.items() if _is_above(found.get(name), 1 / labels)]
    if not _is_above(found["face"], 1 / labels):
        sentences.append("the face crop itself cannot be told from chance on these frames")
    elif not sentences:
        sentences.append(_acquit([name for name in _ALONE if not _is_judged(found.get(name))]))
    for name, p in losses.items():
        scores = [found[each]["accuracy"] for each in ("face", name)]
        fall = 0.0 if None in scores else scores[0] - scores[1]
        if p <= LEVEL and fall > 0:
            region = name.removeprefix("without_")
            sentences.append(
                f"without the {region} region the accuracy by clip falls by {100 * fall:.0f} "
                f"points (p = {p:.3f}, corrected): it carries part of the result"
            )
    return sentences


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


def _acquit(unknown: Sequence[str]) -> str:
    """Return what to say where nothing but the face was told from chance."""
    if unknown:
        missing = ", ".join(TITLES[name] for name in unknown)
        return f"whether the label can be read without the face is not known; not judged: {missing}"
    return (
        "neither the background nor box geometry, brightness or blur can be told from chance: "
        "nothing here speaks against attributing the result to the face"
    )


def _is_judged(row: Mapping[str, Any] | None) -> bool:
    return row is not None and row["interval"]["balanced_accuracy"] is not None


def _is_above(row: Mapping[str, Any] | None, chance: float) -> bool:
    if row is None or not _is_judged(row):
        return False
    return bool(row["interval"]["balanced_accuracy"][0] > chance)


def _rename(progress: Progress, name: str, stage: str, done: int, total: int) -> None:
    progress(f"{stage} {name}", done, total)
