"""What could fool the author of a run, and what the label can be read from besides the face."""

from __future__ import annotations

from typing import Self

from canemo.study.records.document import CONFOUNDS, Document, Part
from canemo.study.records.scores import Interval, Scores


class Finding(Part):
    """Something that might carry the result; `severity` is ``alarm`` or ``note``."""

    severity: str
    name: str
    text: str


class Claim(Part):
    """The balanced accuracy that a split would have claimed."""

    frame: float | None
    video: float | None


class Splits(Part):
    """What splits by frame and by clip would have claimed, beside the one by subject."""

    frame_wise: Claim
    clip_wise: Claim
    subject_wise: Claim


class Identity(Part):
    """How often a clip's subject is named from its features."""

    accuracy: float
    chance: float
    subjects: int


class Balanced(Part):
    """A balanced accuracy by clip and its interval."""

    balanced_accuracy: float | None
    interval: Interval | None


class DuplicatePair(Part):
    """Two clips that are nearly alike."""

    first: str
    second: str
    first_subject: str
    second_subject: str
    first_label: str
    second_label: str
    cosine: float


class Duplicates(Part):
    """Clips nearly alike, of two subjects or of two labels; `threshold` None: not compared."""

    threshold: float | None
    n: int
    n_across: int
    n_within: int
    pairs: tuple[DuplicatePair, ...]


class Drops(Part):
    """Share of frames lost by label, the largest difference and its p."""

    shares: dict[str, float]
    difference: float
    p: float | None


class SharedSession(Part):
    """A session that several subjects share."""

    session: str
    subjects: tuple[str, ...]


class Sessions(Part):
    """Which column of videos.csv names sessions, and those that several subjects share."""

    column: str | None
    shared: tuple[SharedSession, ...]


class ConfoundRow(Scores):
    """What a probe reached that was shown one part of the picture."""

    name: str
    title: str
    clips: int


class Confounds(Document):
    """``confounds.json``: what the label can be read from besides the face."""

    FORMAT = CONFOUNDS

    rows: tuple[ConfoundRow, ...]
    frames_per_clip: int
    verdict: tuple[str, ...]


class Audit(Part):
    """What could fool the author; `confounds` None where no pictures were embedded for it."""

    findings: tuple[Finding, ...]
    splits: Splits
    identity: Identity | None
    centred: Balanced
    without_subjects: Balanced
    selected_outside: Balanced
    duplicates: Duplicates
    drops: Drops
    sessions: Sessions
    confounds: Confounds | None

    def with_confounds(self, confounds: Confounds) -> Self:
        """Return the same audit with the battery of confounds."""
        return self.model_copy(update={"confounds": confounds})
