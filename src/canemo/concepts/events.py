"""Coded events as BORIS, ELAN and plain tables hold them, in one form.

Times are seconds of the file's own time. BORIS writes one row per event (aggregated) or one per
start, stop and point; ELAN one per annotation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from canemo.concepts.dogfacs import UNITS, read_codes
from canemo.concepts.event_tables import EventTable, parse_time, read_event_table
from canemo.detect.annotations.problems import Problems
from canemo.errors import AnnotationError

FORMS = {
    "boris_aggregated": "BORIS, one row per event",
    "boris_events": "BORIS, one row per start, stop or point",
    "elan": "ELAN, one row per annotation",
    "plain": "one row per event",
}
_MARKS = {"start": "START", "stop": "STOP", "end": "STOP", "point": "POINT"}
_STATE, _POINT = ("state", "state event"), ("point", "point event")


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
        The units it names, see `canemo.concepts.dogfacs.read_codes`.
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


@dataclass(frozen=True)
class EventFile:
    """What one file of events holds and how it was understood.

    `form` is a key of `FORMS`; `columns` says which heading was read as what, `unused` which were
    not read; `left_out` names the entries that could not be used.
    """

    path: Path
    form: str
    columns: Mapping[str, str]
    unused: tuple[str, ...]
    events: tuple[Event, ...]
    left_out: tuple[str, ...]

    def describe(self) -> dict[str, Any]:
        """Return it as the result of `canemo concepts` holds it."""
        return {
            "file": self.path.name,
            "form": self.form,
            "columns": dict(self.columns),
            "unused_columns": list(self.unused),
            "events": len(self.events),
            "observers": sorted({event.observer for event in self.events}),
            "left_out": list(self.left_out),
        }


def read_events(
    path: Path | str,
    *,
    observer: str = "",
    columns: Mapping[str, str] | None = None,
    skip_invalid: bool = False,
) -> EventFile:
    """Read the coded events of one file.

    Parameters
    ----------
    path
        An export of BORIS (tabular, aggregated or by event) or ELAN (tab-delimited, with
        headings), or a table ``video_id,code,start_s,end_s[,observer]``; an empty ``end_s`` makes
        a point event, an empty code says that the clip was coded and nothing seen.
    observer
        Who coded what has no observer of its own; empty takes the name of the file.
    columns
        Field -> heading, where the headings are others (see `event_tables.FIELDS`).
    skip_invalid
        Whether what cannot be used is left out and named.

    Raises
    ------
    AnnotationError
        The file is no table of events; or, unless `skip_invalid`, entries cannot be used: a START
        without its STOP, a time that is none, an end before the start.
    """
    path = Path(path)
    table = read_event_table(path, columns=columns)
    problems = Problems(path, skip_invalid=skip_invalid)
    by_mark = table.has("time_s", "status") and not table.has("start_s", "end_s")
    read = _read_marks if by_mark else _read_spans
    events = read(table, problems, observer or path.stem)
    left_out = problems.close()
    return EventFile(path, _name_form(table), table.columns, table.unused, tuple(events), left_out)


def _name_form(table: EventTable) -> str:
    if not table.has("start_s", "end_s"):
        return "boris_events"
    if table.has("observation") or table.has("status"):
        return "boris_aggregated"
    return "elan" if table.has("tier") else "plain"


def _read_spans(table: EventTable, problems: Problems, observer: str) -> list[Event]:
    """Return the events of a table whose rows have a start and an end."""
    events = []
    for number, cells in table.rows:
        with problems.gather(f"row {number}"):
            event = _start_event(table, number, cells, observer)
            start_s = _read_time(table, cells, "start_s")
            end_s = _read_time(table, cells, "end_s")
            if not event.text and start_s is None:
                events.append(event)
                continue
            if not event.text:
                raise AnnotationError("there is a time but no code; name what was seen.")
            events.append(_set_span(event, start_s, end_s, kind=cells.get("status", "")))
    return events


def _set_span(event: Event, start_s: float | None, end_s: float | None, *, kind: str) -> Event:
    if start_s is None:
        raise AnnotationError(f"{event.text!r} has no start; give it in seconds.")
    kind = kind.casefold()
    if kind in _POINT:
        return replace(event, start_s=start_s)
    if kind in _STATE and end_s is None:
        raise AnnotationError(f"state event {event.text!r} at {start_s:g} s has no stop; pair it.")
    if end_s is not None and end_s <= start_s:
        raise AnnotationError(
            f"{event.text!r} ends at {end_s:g} s, not after its start at {start_s:g} s; give the "
            "later time, or leave the end empty for a point event."
        )
    return replace(event, start_s=start_s, end_s=end_s)


def _read_marks(table: EventTable, problems: Problems, observer: str) -> list[Event]:
    """Return the events of a table that has a row per start, stop and point."""
    marks: list[tuple[float, str, Event]] = []
    for number, cells in table.rows:
        with problems.gather(f"row {number}"):
            event = _start_event(table, number, cells, observer)
            time_s, mark = _read_time(table, cells, "time_s"), cells.get("status", "")
            if not event.text:
                raise AnnotationError("there is no code; name what was seen.")
            if time_s is None:
                raise AnnotationError(f"{event.text!r} has no time; give it in seconds.")
            if mark.casefold() not in _MARKS:
                heading = table.columns["status"]
                raise AnnotationError(f"{heading} is {mark!r}; expected START, STOP or POINT.")
            marks.append((time_s, _MARKS[mark.casefold()], event))
    marks.sort(key=lambda mark: mark[0])
    return sorted(_pair_marks(marks, problems), key=lambda event: event.row)


def _pair_marks(marks: Sequence[tuple[float, str, Event]], problems: Problems) -> list[Event]:
    """Return events from marks in order of time; a start without its stop is a problem."""
    events: list[Event] = []
    running: dict[tuple[str, ...], tuple[float, Event]] = {}
    for time_s, mark, event in marks:
        key = _name_run(event)
        if mark == "POINT":
            events.append(replace(event, start_s=time_s))
        elif mark == "START":
            if key in running:
                problems.add(_describe_unpaired(*running[key]))
            running[key] = (time_s, event)
        elif key not in running:
            problems.add(f"row {event.row}: STOP of {event.text!r} at {time_s:g} s has no START.")
        else:
            start_s, first = running.pop(key)
            if time_s > start_s:
                events.append(replace(first, start_s=start_s, end_s=time_s))
            else:
                problems.add(f"row {first.row}: {first.text!r} stops at its start, {start_s:g} s.")
    for start_s, event in running.values():
        problems.add(_describe_unpaired(start_s, event))
    return events


def _describe_unpaired(start_s: float, event: Event) -> str:
    return f"row {event.row}: START of {event.text!r} at {start_s:g} s has no STOP."


def _name_run(event: Event) -> tuple[str, ...]:
    """Return what a start and its stop have in common."""
    return (
        event.video_id, event.media, event.observation, event.subject, event.observer,
        event.text.casefold(), event.modifiers,
    )  # fmt: skip


def _start_event(table: EventTable, number: int, cells: Mapping[str, str], observer: str) -> Event:
    text = _choose_code(cells)
    return Event(
        file=table.path.name,
        row=number,
        text=text,
        units=read_codes(text),
        start_s=None,
        end_s=None,
        observer=cells.get("observer", "") or observer,
        video_id=cells.get("video_id", ""),
        media=cells.get("media", "") or table.preamble.get("player #1", ""),
        observation=cells.get("observation", "") or table.preamble.get("observation id", ""),
        subject=cells.get("subject", ""),
        modifiers=cells.get("modifiers", ""),
    )


def _choose_code(cells: Mapping[str, str]) -> str:
    """Return what a row codes: its annotation, or its tier where that is named by a unit."""
    code, tier = cells.get("code", ""), cells.get("tier", "")
    units = read_codes(tier)
    named = bool(units) and all(unit in UNITS for unit in units)
    return tier if named or not code else code


def _read_time(table: EventTable, cells: Mapping[str, str], field: str) -> float | None:
    """Return a time of a row [s], None where its cell is empty."""
    text = cells.get(field, "")
    if text.casefold() in ("", "na", "nan", "n/a"):
        return None
    heading = table.columns[field]
    time_s = parse_time(text, heading, decimal_comma=table.decimal_comma)
    if time_s is None or time_s < 0:
        wanted = (
            "expected seconds from 0 such as 12.5, or hh:mm:ss.ms with minutes and seconds below "
            "60 after a colon"
        )
        raise AnnotationError(f"{heading} is {text!r}; {wanted}.")
    return time_s
