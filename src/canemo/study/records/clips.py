"""``clips.json``: every clip of a study as it was seen, in pictures, and what is doubtful of it."""

from __future__ import annotations

from canemo.study.records.document import CLIPS, Document, Part


class Doubt(Part):
    """Something about a clip that a person should look at; `name` says of which kind it is."""

    name: str
    text: str


class StripPicture(Part):
    """A small picture of a whole frame: JPEG in base 64, and whether a face of it was used."""

    time_s: float
    used: bool
    jpeg: str


class ClipFacts(Part):
    """A clip: whose, how long, how many frames were looked at and used, what it looks like.

    `face` is the middle crop, JPEG in base 64, None where there is none; `part_s` the part of the
    film that counts [s], None where that is all of it.
    """

    video_id: str
    subject_id: str
    label: str
    seconds: float | None
    part_s: tuple[float, float | None] | None = None
    frames: int
    used: int
    face: str | None
    strip: tuple[StripPicture, ...]
    doubts: tuple[Doubt, ...]


class ClipSheet(Document):
    """Every clip of a study, in the order of its table."""

    FORMAT = CLIPS

    study: str
    species: str
    clips: tuple[ClipFacts, ...]
