"""The clips of a study as they look: on the page of `check`, and at the head of a report."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from canemo import environment
from canemo.formats.tables import Problem
from canemo.report.pages.page import render_page
from canemo.report.words.voice import name_voice
from canemo.report.words.wording import count, format_seconds, join_words, quote
from canemo.study.records.clips import ClipFacts, ClipSheet, StripPicture

PAGE_FILE = "check.html"
MOST_PICTURES = 900
"""Of a page: about 4 MB. With more clips each has fewer, and then the doubtful ones alone have."""


def render_material(sheet: ClipSheet, *, problems: Sequence[Problem], verdict: str) -> str:
    """Return the page that shows every clip, every text of the study escaped.

    Parameters
    ----------
    sheet
        The clips.
    problems, verdict
        What is wrong with the study's tables and files, and what its design can show.
    """
    names = [each for c in sheet.clips for each in (c.video_id, c.subject_id, c.label)]
    return render_page(
        "material.html.j2",
        tables={},
        pictures={},
        voice=name_voice(sheet.species, [sheet.study, *names]),
        environment={"canemo": environment.version()},
        warnings=[_name_problem(each) for each in problems],
        verdict=verdict,
        sheet=sheet,
        material=Shown(sheet.clips, MOST_PICTURES),
    )


def _name_problem(problem: Problem) -> str:
    """Return a problem as it stands under a heading that says that there are warnings."""
    return str(problem) if problem.severity == "error" else problem.describe()


class Shown:
    """Clips as the template ``clips.html.j2`` asks for them, with so many pictures at most."""

    def __init__(self, clips: Sequence[ClipFacts], most_pictures: int) -> None:
        self.clips = clips
        self.doubtful = [clip for clip in clips if clip.doubts]
        self._each = min(max(most_pictures // max(len(clips), 1), 1), 6)
        self._all_shown = len(clips) <= most_pictures
        self._ids = {clip.video_id: f"clip-{number}" for number, clip in enumerate(clips)}

    @property
    def dogs(self) -> list[tuple[str, list[ClipFacts]]]:
        """The clips of each subject, subjects by name."""
        ordered = sorted(self.clips, key=lambda clip: clip.subject_id)
        return [(dog, list(some)) for dog, some in groupby(ordered, lambda clip: clip.subject_id)]

    @property
    def doubts(self) -> list[tuple[str, list[ClipFacts]]]:
        """Every doubt in words, and the clips that it is about; those of most clips first."""
        found: dict[str, list[ClipFacts]] = {}
        for clip in self.doubtful:
            for doubt in clip.doubts:
                found.setdefault(doubt.text, []).append(clip)
        return sorted(found.items(), key=lambda pair: -len(pair[1]))

    @property
    def note(self) -> str:
        """What was left out of the page, empty where nothing was."""
        if not self._all_shown:
            return f"There are {count(len(self.clips), 'clip')}: only doubtful ones have pictures."
        most = max((len(clip.strip) for clip in self.clips), default=0)
        if self._each >= most:
            return ""
        return f"To keep the page small, {count(self._each, 'picture')} of each clip are shown."

    def anchor(self, clip: ClipFacts) -> str:
        """Return the id of a clip in the page."""
        return self._ids[clip.video_id]

    def strip(self, clip: ClipFacts) -> Sequence[StripPicture]:
        """Return the pictures of a clip that the page has room for, from all over it."""
        if not (self._all_shown or clip.doubts):
            return ()
        number = min(self._each, len(clip.strip))
        return [clip.strip[(2 * i + 1) * len(clip.strip) // (2 * number)] for i in range(number)]

    def facts(self, clip: ClipFacts) -> str:
        """Return a clip in a line: condition, length, frames."""
        length = "length unknown" if clip.seconds is None else format_seconds(clip.seconds)
        if clip.part_s is not None and clip.part_s[1] is not None:
            length += " ({:.1f} to {:.1f} s of the film)".format(*clip.part_s)
        frames = f"face used in {clip.used} of {count(clip.frames, 'frame')} looked at"
        return " · ".join([quote(clip.label), length, frames])

    def tally(self, clips: Sequence[ClipFacts]) -> str:
        """Return how many clips there are in each condition, in words."""
        labels = sorted({clip.label for clip in clips})
        of_each = [f"{sum(c.label == label for c in clips)} {quote(label)}" for label in labels]
        return f"{count(len(clips), 'clip')}: {join_words(of_each)}"
