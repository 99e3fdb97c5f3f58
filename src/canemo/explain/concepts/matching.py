"""Which videos of a study an event belongs to.

A row says so by `video_id`, else by its media file, else by its observation's name, else the file
of events is named like the video. Names are compared without regard to case.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from canemo.formats.events.event import Event
from canemo.records import Study, Video
from canemo.video.info import VIDEO_SUFFIXES

_PLAYER = re.compile(r"player #[0-9]+\s*:", re.IGNORECASE)
_NO_SUBJECT = ("", "no focal subject")  # as BORIS says it

_OF_ONE_NAME = (
    "is of a name that its coder has in several folders and the study in one; give a video_id"
)


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
    used
        (observer, unit) of each unit that a coder used in any row, of whatever video.
    unmatched
        Sentences about rows whose video is not in the study, or not clear.
    assumed
        Sentences about subjects that are not the study's and were taken for the video's own.
    """

    by_video: dict[str, list[Event]] = field(default_factory=lambda: defaultdict(list))
    coded: set[tuple[str, str]] = field(default_factory=set)
    used: set[tuple[str, str]] = field(default_factory=set)
    unmatched: list[str] = field(default_factory=list)
    assumed: list[str] = field(default_factory=list)


def match_events(events: Iterable[Event], study: Study) -> Matched:
    """Find the video of each event; what has none is named, never guessed.

    An event whose `subject` is another subject of the study than the video's is left out: BORIS
    codes several animals of one film. A subject that is not in the study is left out too where
    others of its file are, else taken for the video's own and told of.
    """
    events = list(events)
    index, subjects = _Index(study.videos), _Subjects(events, study.subject_ids)
    doubtful = _find_doubtful(events, index)
    found, assumed = Matched(), Counter[tuple[str, str]]()
    for event in events:
        found.used.update((event.observer, unit) for unit in event.units)
        videos, reason = index.find(event)
        if any(place in doubtful for place in index.list_places(event)):
            videos, reason = [], f"media {event.media!r} {_OF_ONE_NAME}"
        own = [video for video in videos if subjects.is_own(event, video)]
        if videos and not own:
            reason = f"its subject {event.subject!r} is not {videos[0].subject_id!r} of the video"
        for video in own:
            found.coded.add((video.video_id, event.observer))
            if event.start_s is not None:
                found.by_video[video.video_id].append(event)
        if not own:
            found.unmatched.append(f"{event}: {reason}")
        elif subjects.is_strange(event):
            assumed[event.file, event.subject] += 1
    found.assumed.extend(
        f"{file}: {number} row(s) of subject {subject!r}, whom the study does not have"
        for (file, subject), number in assumed.items()
    )
    return found


class _Subjects:
    """The subjects of a study, and which files of events name any of them."""

    def __init__(self, events: Sequence[Event], subject_ids: Sequence[str]) -> None:
        self._known = {_plain(subject) for subject in subject_ids}
        self._naming = {event.file for event in events if _plain(event.subject) in self._known}

    def is_strange(self, event: Event) -> bool:
        """Whether an event is of somebody who is not in the study."""
        return _plain(event.subject) not in {*_NO_SUBJECT, *self._known}

    def is_own(self, event: Event, video: Video) -> bool:
        """Whether an event of a video's film is of its subject, as far as the row says."""
        if self.is_strange(event):
            return event.file not in self._naming
        return _plain(event.subject) in {*_NO_SUBJECT, _plain(video.subject_id)}


@dataclass(frozen=True)
class _Place:
    """The folder in which a coder's file of events has the media file of a video."""

    file: str
    observer: str
    path: Path
    folder: str


def _find_doubtful(events: Iterable[Event], index: _Index) -> set[_Place]:
    """Return the folders of which no more than one can be the video's, and none is known to be.

    Two coders may well have their copies of a film in different folders; one has not.
    """
    shared: dict[tuple[str, str, Path], dict[_Place, int]] = defaultdict(dict)
    for event in events:
        for place, number in index.list_places(event).items():
            shared[place.file, place.observer, place.path][place] = number
    doubtful: set[_Place] = set()
    for places in shared.values():
        best = max(places.values())
        alike = [place for place, number in places.items() if number == best]
        sure = len(places) == 1 or (best > 0 and len(alike) == 1)
        doubtful |= places.keys() - set(alike if sure else ())
    return doubtful


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

    def list_places(self, event: Event) -> dict[_Place, int]:
        """Return where an event's media files are, and how many folders are named as the video's.

        Nothing where it names its video otherwise, or no folder.
        """
        if event.video_id or not event.media:
            return {}
        places = {}
        for path in map(_parse_path, _split_media(event.media)):
            folder = _plain(str(path.parent))
            for video in self._find_path(path) if len(path.parts) > 1 else ():
                place = _Place(event.file, event.observer, video.path, folder)
                places[place] = _count_shared(path, video)
        return places

    def _find_named(self, name: str, what: str) -> tuple[list[Video], str]:
        exact = self._by_id.get(_plain(name))
        if exact is not None:
            return [exact], ""
        path = _parse_path(name)
        is_file = path.suffix.lower() in VIDEO_SUFFIXES
        videos = self._find_path(path) if is_file else self._by_stem.get(_plain(name), [])
        return _choose(videos, f"{what} {name!r}")

    def _find_media(self, text: str) -> tuple[list[Video], str]:
        """Return the videos of a cell that may hold several paths, of which one is the study's."""
        found: dict[str, Video] = {}
        for part in _split_media(text):
            for video in self._find_path(_parse_path(part)):
                found[video.video_id] = video
        return _choose(list(found.values()), f"media {text!r}")

    def _find_path(self, path: PurePosixPath) -> list[Video]:
        named = self._by_name.get(_plain(path.name)) or self._by_stem.get(_plain(path.stem), [])
        if not named and _plain(path.stem) in self._by_id:
            return [self._by_id[_plain(path.stem)]]
        if len({video.path for video in named}) < 2:
            return named
        shared = [_count_shared(path, video) for video in named]
        return [video for video, n in zip(named, shared, strict=True) if n == max(shared)]


def _split_media(text: str) -> Iterator[str]:
    """Yield the files of a cell, such as ``player #1:a.mp4;b.mp4|player #2:c.mp4``."""
    for part in re.split(r"[;|]", text):
        name = _PLAYER.sub("", part.strip(), count=1).strip()
        if name:
            yield name


def _parse_path(text: str) -> PurePosixPath:
    """Return a path of either kind of system, or of a ``file:`` address."""
    if text.casefold().startswith("file:"):
        text = unquote(urlsplit(text).path)
    return PurePosixPath(_compose(text).replace("\\", "/"))


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
