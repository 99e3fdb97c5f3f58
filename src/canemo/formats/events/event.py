"""A coded event of one file: the record that all of `canemo concepts` hands on."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Event:
    """One event of one file.

    Attributes
    ----------
    file, row
        Where it stands: the file's name, and the line from 1.
    text
        The code as written; empty says that the clip was coded and nothing seen.
    units
        The units it names, see `canemo.formats.events.codes.read_codes`.
    start_s, end_s
        [s]; `end_s` is None for a point event, both for a row without a code.
    observer
        Who coded it.
    video_id, media, observation, subject
        What the row says of whose clip it is; empty where it says nothing.
    """

    file: str
    row: int
    text: str
    units: tuple[str, ...]
    start_s: float | None
    end_s: float | None
    observer: str = ""
    video_id: str = ""
    media: str = ""
    observation: str = ""
    subject: str = ""
    modifiers: str = ""

    @property
    def is_point(self) -> bool:
        """Whether it has a moment and no duration."""
        return self.start_s is not None and self.end_s is None

    @property
    def place(self) -> str:
        """Where it stands, in words."""
        return f"{self.file}, row {self.row}"

    def __str__(self) -> str:
        if self.start_s is None:
            return f"{self.place}: no event"
        span = (
            f"at {self.start_s:g} s" if self.is_point else f"{self.start_s:g} to {self.end_s:g} s"
        )
        return f"{self.place}: {self.text} {span}"
