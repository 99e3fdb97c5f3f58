"""What the confound battery may conclude."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from canemo.faces.variants import OF_FRAMES
from canemo.trust.intervals import LEVEL

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
