"""What will be drawn: which dogs, with which label and expression, in which rooms."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from canemo.video.drawn.clip import Clip, make_clip
from canemo.video.drawn.dog import BREEDS, Expression, sample_dog

LABELS = ("anticipation", "frustration")


@dataclass(frozen=True)
class PlannedClip:
    """One row of `videos.csv` and the clip to be drawn for it."""

    video_id: str
    label: str
    clip: Clip


def plan_study(
    *, subjects: int, clips_per_subject: int, size: tuple[int, int], seed: int, effect: float
) -> list[PlannedClip]:
    """Choose dogs, labels, expressions, rooms and poses; nothing is drawn yet."""
    order = np.random.default_rng([seed, 0]).permutation(len(BREEDS))
    plan = []
    for number in range(subjects):
        rng = np.random.default_rng([seed, 1, number])
        dog = sample_dog(f"dog{number + 1:02d}", BREEDS[order[number % len(BREEDS)]], rng)
        labels = _share_out_labels(clips_per_subject, rng)
        habit = (float(rng.normal(0, 0.12)), float(rng.normal(0, 0.06)))
        for index, label in enumerate(labels):
            stream = np.random.default_rng([seed, 2, number, index])
            face = sample_expression(label, effect=effect, habit=habit, rng=stream)
            clip = make_clip(
                dog, face, size=size, rng=np.random.default_rng([seed, 3, number, index])
            )
            plan.append(PlannedClip(f"{dog.subject_id}_clip{index + 1:02d}", label, clip))
    return plan


def sample_expression(
    label: str, *, effect: float, habit: tuple[float, float], rng: np.random.Generator
) -> Expression:
    """Draw ears and mouth for a label; the chance part does not depend on label or effect.

    `habit` is what one dog always adds to (ears, mouth).
    """
    sign = effect if label == "anticipation" else -effect
    ears = 0.66 * sign + habit[0] + rng.normal(0, 0.26)
    mouth = 0.45 - 0.35 * sign + habit[1] + rng.normal(0, 0.15)
    return Expression(float(np.clip(ears, -1, 1)), float(np.clip(mouth, 0, 1)))


def _share_out_labels(clips: int, rng: np.random.Generator) -> list[str]:
    """Return one third anticipation and two thirds frustration (each at least once), shuffled."""
    positive = max(1, round(clips / 3))
    labels = [LABELS[0]] * positive + [LABELS[1]] * (clips - positive)
    return [labels[index] for index in rng.permutation(clips)]
