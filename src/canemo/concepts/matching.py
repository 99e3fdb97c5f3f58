"""Which videos of a study an event belongs to.

A row says so by `video_id`, else by its media file, else by its observation's name, else the file
of events is named like the video.
"""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from canemo.concepts.event import Event
from canemo.records import Study, Video


@dataclass(frozen=True)
class Matched:
    """Events by video.

    Attributes
    ----------
    by_video
        video_id -> its events; an event is under every row of videos.csv that shows a part of its
        file.
    coded
        (video_id, observer) of each clip that a row names: who coded what.
    unmatched
        Sentences about rows whose video is not in the study, or not clear.
    """

    by_video: dict[str, list[Event]] = field(default_factory=lambda: defaultdict(list))
    coded: set[tuple[str, str]] = field(default_factory=set)
    unmatched: list[str] = field(default_factory=list)


def match_events(events: Iterable[Event], study: Study) -> Matched:
    """Find the video of each event; what has none is named, never guessed.

    An event whose `subject` is another subject of the study than the video's is left out: BORIS
    codes several animals of one film.
    """
    index = _Index(study.videos)
    found = Matched()
    for event in events:
        videos, reason = index.find(event)
        own = [video for video in videos if _is_of(event, video, study.subject_ids)]
        if videos and not own:
            reason = f"its subject {event.subject!r} is not {videos[0].subject_id!r} of the video"
        for video in own:
            found.coded.add((video.video_id, event.observer))
            if event.start_s is not None:
                found.by_video[video.video_id].append(event)
        if not own:
            found.unmatched.append(f"{event}: {reason}")
    return found


def _is_of(event: Event, video: Video, subject_ids: Sequence[str]) -> bool:
    subject = _compose(event.subject)
    return subject not in subject_ids or subject == video.subject_id


class _Index:
    """The videos of a study by id, path, file name and stem."""

    def __init__(self, videos: Sequence[Video]) -> None:
        self._by_id = {_plain(video.video_id): video for video in videos}
        self._by_name: dict[str, list[Video]] = defaultdict(list)
        self._by_stem: dict[str, list[Video]] = defaultdict(list)
        for video in videos:
            self._by_name[_plain(video.path.name)].append(video)
            self._by_stem[_plain(video.path.stem)].append(video)

    def find(self, event: Event) -> tuple[list[Video], str]:
        """Return the videos of an event, or none and why."""
        if event.video_id:
            return self._find_named(event.video_id, "video_id")
        if event.media:
            return self._find_media(event.media)
        if event.observation:
            return self._find_named(event.observation, "observation")
        return self._find_named(PurePosixPath(event.file).stem, "file of events")

    def _find_named(self, name: str, what: str) -> tuple[list[Video], str]:
        exact = self._by_id.get(_plain(name))
        if exact is not None:
            return [exact], ""
        return _choose(self._by_stem.get(_plain(name), []), f"{what} {name!r}")

    def _find_media(self, text: str) -> tuple[list[Video], str]:
        """Return the videos of a cell that may hold several paths, of which one is the study's."""
        found: dict[str, Video] = {}
        for part in filter(None, (each.strip() for each in text.split(";"))):
            for video in self._find_path(part):
                found[video.video_id] = video
        return _choose(list(found.values()), f"media {text!r}")

    def _find_path(self, text: str) -> list[Video]:
        path = PurePosixPath(_compose(text).replace("\\", "/"))
        named = self._by_name.get(_plain(path.name)) or self._by_stem.get(_plain(path.stem), [])
        if not named and _plain(path.stem) in self._by_id:
            return [self._by_id[_plain(path.stem)]]
        if len({video.path for video in named}) < 2:
            return named
        shared = [_count_shared(path, video) for video in named]
        return [video for video, n in zip(named, shared, strict=True) if n == max(shared)]


def _choose(videos: list[Video], what: str) -> tuple[list[Video], str]:
    """Return the videos if they show one file (parts of it), else none and why."""
    if not videos:
        return [], f"{what} is not a video of the study"
    if len({video.path for video in videos}) > 1:
        names = ", ".join(sorted(video.video_id for video in videos)[:5])
        return [], f"{what} could be several videos of the study ({names}); give a video_id"
    return videos, ""


def _count_shared(path: PurePosixPath, video: Video) -> int:
    """Return how many folders above the file are named alike, from the file upwards."""
    number = 0
    own = [_plain(part) for part in video.path.parts[-2::-1]]
    for mine, theirs in zip(map(_plain, path.parts[-2::-1]), own, strict=False):
        if mine != theirs:
            break
        number += 1
    return number


def _compose(text: str) -> str:
    return unicodedata.normalize("NFC", text)


def _plain(name: str) -> str:
    return _compose(name).casefold()
