"""What was answered of every clip when its dog had not been seen, the wrong answers first."""

from __future__ import annotations

from dataclasses import dataclass

from canemo.learn.predictions import PROBABILITY
from canemo.report.rows import tabulate_clips
from canemo.study.records.clips import ClipFacts
from canemo.study.records.folders import PREDICTIONS_FILE, RunRecord

_CLOSE = 0.02
"""Two probabilities less apart than this are as good as the same."""


@dataclass(frozen=True)
class Answer:
    """A clip and what it was classified as, `predicted` and `probability` None where it was not.

    `is_close` says that another condition was all but as probable.
    `seen` is the clip in pictures, None where the run has none.
    """

    video_id: str
    subject_id: str
    label: str
    predicted: str | None
    probability: float | None
    is_close: bool
    seen: ClipFacts | None

    @property
    def is_wrong(self) -> bool:
        """Whether it was classified as another condition than it was filmed in."""
        return self.predicted is not None and self.predicted != self.label

    @property
    def is_first(self) -> bool:
        """Whether it is to be looked at: wrong, doubtful, or without an answer."""
        return self.predicted is None or self.is_wrong or bool(self.seen and self.seen.doubts)


def list_answers(run: RunRecord) -> list[Answer]:
    """Return the answers of a run: the wrong ones, surest first, the right ones, least sure first.

    Clips without an answer come last; a folder without predictions has none at all.
    """
    if not (run.folder / PREDICTIONS_FILE).is_file():
        return []
    seen = {} if run.clips is None else {clip.video_id: clip for clip in run.clips.clips}
    found = []
    for row in tabulate_clips(run).to_dict("records"):
        answer = row["predicted"] if isinstance(row["predicted"], str) else None
        probability = None if answer is None else float(row[PROBABILITY + answer])
        given = sorted(row[name] for name in row if str(name).startswith(PROBABILITY))
        is_close = probability is not None and given[-1] - given[-2] < _CLOSE
        video_id, dog, label = (str(row[name]) for name in ("video_id", "subject_id", "label"))
        found.append(
            Answer(video_id, dog, label, answer, probability, is_close, seen.get(video_id))
        )
    return sorted(found, key=_rank)


def _rank(answer: Answer) -> tuple[int, float]:
    if answer.probability is None:
        return 2, 0.0
    return (0, -answer.probability) if answer.is_wrong else (1, answer.probability)
