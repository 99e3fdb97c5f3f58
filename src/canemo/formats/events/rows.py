"""Rows of events before their times are read: whose they are, and what moved their times.

BORIS adds the time offset of an observation to what it writes, and counts on over the films of a
player.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from canemo.errors import AnnotationError
from canemo.formats.events.codes import is_denial, is_unit, read_codes
from canemo.formats.events.event import Event
from canemo.formats.events.films import Films, read_films, refuse_films, split_player
from canemo.formats.events.tables import EventTable, parse_time
from canemo.formats.problems import Problems

_NO_TIME = ("", "na", "nan", "n/a")
_ROUNDING_S = 1e-6


@dataclass(frozen=True)
class Row:
    """A row whose times are still to be read.

    `event` has no times; `offset_s` is what was added to those of the row, and `films` are those
    that they run on over, None where there is one.
    """

    event: Event
    cells: Mapping[str, str]
    offset_s: float
    films: Films | None

    def place(self, event: Event) -> list[Event]:
        """Return an event of the row, read from it, in the film or films it lies in."""
        if self.films is None or event.start_s is None:
            return [event]
        return [
            replace(event, media=name, start_s=start_s, end_s=end_s)
            for name, start_s, end_s in self.films.place(event.start_s, event.end_s)
        ]


def start_rows(
    table: EventTable, problems: Problems, observer: str, units: Mapping[str, str]
) -> list[Row]:
    """Return the rows of a table; what cannot be used is noted in `problems` and left out.

    Parameters
    ----------
    table
        The table.
    problems
        Told what is wrong with which row.
    observer
        Who coded the rows that do not say it.
    units
        Code -> name of a movement, those of the species.
    """
    shown = _list_shown(table)
    rows = []
    for number, cells in table.rows:
        with problems.gather(f"row {number}"):
            if number in table.faults:
                raise AnnotationError(table.faults[number])
            rows.append(_start_row(table, number, cells, observer, shown, units))
    return rows


def _start_row(
    table: EventTable,
    number: int,
    cells: Mapping[str, str],
    observer: str,
    shown: Mapping[str, Sequence[str]],
    units: Mapping[str, str],
) -> Row:
    text = _choose_code(cells, units)
    played = _list_played(table, cells)
    observation = _take_observation(table, cells)
    films = read_films(played, cells.get("durations_s", ""), decimal_comma=table.decimal_comma)
    if not played and len(shown[observation]) > 1:
        raise refuse_films(shown[observation])
    event = Event(
        file=table.path.name,
        row=number,
        text=text,
        units=read_codes(text, units),
        start_s=None,
        end_s=None,
        observer=cells.get("observer", "") or observer,
        video_id=cells.get("video_id", ""),
        media=";".join(played) if films else _take(cells, "media") or ";".join(played),
        observation=observation,
        subject=_take(cells, "subject"),
        modifiers=cells.get("modifiers", ""),
    )
    return Row(event, cells, _read_offset(table, cells), films)


def _list_played(table: EventTable, cells: Mapping[str, str]) -> list[str]:
    """Return the films that the row's observation plays, where the file says so."""
    before = table.preamble.get("player #1", "")
    return split_player(cells.get("source", "")) or [name for name in before.split(";") if name]


def _list_shown(table: EventTable) -> Mapping[str, Sequence[str]]:
    """Return observation -> the films that its rows name."""
    shown: dict[str, dict[str, None]] = defaultdict(dict)
    for _, cells in table.rows:
        observation, media = _take_observation(table, cells), _take(cells, "media")
        if observation and media:
            shown[observation][media] = None
    return defaultdict(list, {name: list(media) for name, media in shown.items()})


def _take_observation(table: EventTable, cells: Mapping[str, str]) -> str:
    return _take(cells, "observation") or table.preamble.get("observation id", "")


def _take(cells: Mapping[str, str], field: str) -> str:
    """Return what a cell says, nothing where BORIS says that it has nothing to say."""
    text = cells.get(field, "")
    return "" if text.casefold() in ("na", "not found") else text


def _choose_code(cells: Mapping[str, str], units: Mapping[str, str]) -> str:
    """Return what a row codes: its annotation, or its tier where that is named by a unit.

    Where the annotation in such a tier says that the unit was not seen, both.
    """
    code, tier = cells.get("code", ""), cells.get("tier", "")
    if not is_unit(tier, units):
        return code or tier
    return f"{tier} {code}" if is_denial(code) else tier


def describe_moved(rows: Sequence[Row]) -> tuple[str, ...]:
    """Return sentences about times that are not those written."""
    offsets = Counter(row.offset_s for row in rows if row.offset_s)
    notes = [
        f"time offset of {offset_s:g} s taken off the times of {number} row(s)"
        for offset_s, number in sorted(offsets.items())
    ]
    over = sum(row.films is not None for row in rows)
    if over:
        notes.append(
            f"times of {over} row(s) run on over several films of one observation; each was "
            "counted from the start of its own"
        )
    return tuple(notes)


def _read_offset(table: EventTable, cells: Mapping[str, str]) -> float:
    """Return what BORIS added to the times of a row [s]."""
    text = cells.get("offset_s", "") or table.preamble.get("time offset (s)", "")
    if text.casefold() in _NO_TIME:
        return 0.0
    offset_s = parse_time(text, "", decimal_comma=table.decimal_comma)
    if offset_s is None:
        raise AnnotationError(f"the time offset is {text!r}; expected seconds such as 12.5.")
    return offset_s


def read_time(table: EventTable, row: Row, field: str) -> float | None:
    """Return a time of a row [s] less its offset, None where its cell is empty.

    Raises
    ------
    AnnotationError
        It is no time, or lies before the start of the film.
    """
    text = row.cells.get(field, "")
    if text.casefold() in _NO_TIME:
        return None
    heading = table.columns[field]
    time_s = parse_time(text, heading, decimal_comma=table.decimal_comma)
    if time_s is None or (time_s < 0 and not row.offset_s):
        wanted = (
            "expected seconds from 0 such as 12.5, or hh:mm:ss.ms with minutes and seconds below "
            "60 after a colon"
        )
        raise AnnotationError(f"{heading} is {text!r}; {wanted}.")
    if time_s - row.offset_s < -_ROUNDING_S:
        raise AnnotationError(
            f"{heading} is {text!r}: less the time offset of {row.offset_s:g} s that lies before "
            "the start of the film; correct the time or the offset."
        )
    return max(time_s - row.offset_s, 0.0)
