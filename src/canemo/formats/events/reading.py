"""Coded events as BORIS, ELAN and plain tables hold them, in one form.

Times are seconds of the film's own time. BORIS writes one row per event (aggregated) or one per
start, stop and point; ELAN one per annotation.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from canemo.errors import AnnotationError
from canemo.formats.events.codes import is_unit
from canemo.formats.events.event import Event
from canemo.formats.events.rows import Row, describe_moved, read_time, start_rows
from canemo.formats.events.tables import EventTable, read_event_table
from canemo.formats.problems import Problems

FORMS = {
    "boris_aggregated": "BORIS, one row per event",
    "boris_events": "BORIS, one row per start, stop or point",
    "elan": "ELAN, one row per annotation",
    "plain": "one row per event",
}
_MARKS = {"start": "START", "stop": "STOP", "end": "STOP", "point": "POINT"}
_STATE, _POINT = ("state", "state event"), ("point", "point event")
_OF_AGGREGATED = ("start (s)", "start_s")


@dataclass(frozen=True)
class EventFile:
    """What one file of events holds and how it was understood.

    `form` is a key of `FORMS`; `columns` says which heading was read as what, `unused` which were
    not read; `notes` says how times were moved; `left_out` names the entries that could not be
    used.
    """

    path: Path
    form: str
    columns: Mapping[str, str]
    unused: tuple[str, ...]
    events: tuple[Event, ...]
    notes: tuple[str, ...]
    left_out: tuple[str, ...]


def read_events(
    path: Path | str,
    *,
    units: Mapping[str, str],
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
    units
        Code -> name of a movement, those of the species.
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
        without its STOP, a time that is none, an end before the start, more cells than headings,
        films one after another of which the lengths are not told.
    """
    path = Path(path)
    table = read_event_table(path, is_code=partial(is_unit, units=units), columns=columns)
    problems = Problems(table.place, skip_invalid=skip_invalid)
    by_mark = _has_marks(table)
    rows = start_rows(table, problems, observer or path.stem, units)
    events = (_read_marks if by_mark else _read_spans)(table, rows, problems)
    left_out = problems.close()
    aside = ("start_s", "end_s") if by_mark else ()  # variables that have such names
    return EventFile(
        path,
        _name_form(table, by_mark=by_mark),
        {field: heading for field, heading in table.columns.items() if field not in aside},
        table.unused + tuple(table.columns[field] for field in aside if table.has(field)),
        tuple(events),
        describe_moved(rows),
        left_out,
    )


def _has_marks(table: EventTable) -> bool:
    """Return whether rows are starts and stops, whatever else has a heading like a time."""
    if not table.has("time_s", "status") or not table.has("start_s", "end_s"):
        return table.has("time_s", "status")
    marks = {cells["status"].casefold() for _, cells in table.rows}
    points = marks == {"point"} and table.columns["start_s"].casefold() not in _OF_AGGREGATED
    return points or bool(marks & {"start", "stop"})


def _name_form(table: EventTable, *, by_mark: bool) -> str:
    if by_mark:
        return "boris_events"
    if table.has("observation") or table.has("status"):
        return "boris_aggregated"
    return "elan" if table.has("tier") else "plain"


def _read_spans(table: EventTable, rows: Sequence[Row], problems: Problems) -> list[Event]:
    """Return the events of a table whose rows have a start and an end."""
    events = []
    for row in rows:
        with problems.gather(f"row {row.event.row}"):
            start_s, end_s = read_time(table, row, "start_s"), read_time(table, row, "end_s")
            if not row.event.text and start_s is None:
                events.append(row.event)
                continue
            if not row.event.text:
                raise AnnotationError("there is a time but no code; name what was seen.")
            kind = row.cells.get("status", "")
            events += row.place(_set_span(row.event, start_s, end_s, kind=kind))
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


def _read_marks(table: EventTable, rows: Sequence[Row], problems: Problems) -> list[Event]:
    """Return the events of a table that has a row per start, stop and point."""
    marks: list[tuple[float, str, Event]] = []
    for row in rows:
        with problems.gather(f"row {row.event.row}"):
            time_s, mark = read_time(table, row, "time_s"), row.cells.get("status", "")
            if not row.event.text:
                raise AnnotationError("there is no code; name what was seen.")
            if time_s is None:
                raise AnnotationError(f"{row.event.text!r} has no time; give it in seconds.")
            if mark.casefold() not in _MARKS:
                heading = table.columns["status"]
                raise AnnotationError(f"{heading} is {mark!r}; expected START, STOP or POINT.")
            marks.append((time_s, _MARKS[mark.casefold()], row.event))
    marks.sort(key=lambda mark: mark[0])
    paired = sorted(_pair_marks(marks, problems), key=lambda event: event.row)
    return list(_place_paired(paired, rows, problems))


def _place_paired(
    events: Sequence[Event], rows: Sequence[Row], problems: Problems
) -> Iterator[Event]:
    row_of = {row.event.row: row for row in rows}
    for event in events:
        with problems.gather(f"row {event.row}"):
            yield from row_of[event.row].place(event)


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
