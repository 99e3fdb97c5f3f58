"""Films that a BORIS observation shows one after another, and which of them a time lies in.

BORIS counts time on over the films of a player: where the first is 10 s long, 13 s are 3 s of the
second.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

from canemo.errors import AnnotationError
from canemo.formats.events.tables import parse_time

_ROUNDING_S = 1e-3  # BORIS writes thousandths


@dataclass(frozen=True)
class Films:
    """The films of one player in their order, and where each ends from the start of the first."""

    names: tuple[str, ...]
    ends_s: tuple[float, ...]

    def place(self, start_s: float, end_s: float | None) -> list[tuple[str, float, float | None]]:
        """Return the film of an event and its times there; a state that runs on is in each.

        Raises
        ------
        AnnotationError
            It lies after the last film.
        """
        if start_s > self.ends_s[-1] + _ROUNDING_S:
            raise AnnotationError(
                f"{start_s:g} s lies after the end of {_name_films(self.names)}, "
                f"{self.ends_s[-1]:g} s in all; correct the time."
            )
        last = len(self.names) - 1
        placed: list[tuple[str, float, float | None]] = []
        for place, (begins_s, ends_s) in enumerate(pairwise((0.0, *self.ends_s))):
            if start_s >= ends_s and place < last:
                continue
            if end_s is None:
                return [(self.names[place], start_s - begins_s, None)]
            until_s = end_s if place == last else min(end_s, ends_s)
            from_s = max(start_s, begins_s)
            if until_s > from_s:
                placed.append((self.names[place], from_s - begins_s, until_s - begins_s))
        return placed


def read_films(names: Sequence[str], durations: str, *, decimal_comma: bool) -> Films | None:
    """Return the films of a player; None where there is but one.

    Parameters
    ----------
    names
        Of its films, in their order.
    durations
        [s] as BORIS writes them: those of a player with semicolons, players with bars between them.
    decimal_comma
        See `parse_time`.

    Raises
    ------
    AnnotationError
        There are several, and not the length of each.
    """
    if len(names) < 2:
        return None
    read = [
        parse_time(text.strip(), "", decimal_comma=decimal_comma)
        for text in durations.partition("|")[0].split(";")
    ]
    lengths_s = [length_s for length_s in read if length_s is not None and length_s > 0]
    if not len(names) == len(lengths_s) == len(read):
        raise refuse_films(names)
    return Films(tuple(names), tuple(accumulate(lengths_s)))


def split_player(source: str) -> list[str]:
    """Return the films of the first player that BORIS's ``Source`` names, none where it has none.

    Such as ``player #1:a.mp4;b.mp4|player #2:c.mp4``.
    """
    player, colon, films = source.partition("|")[0].partition(":")
    if not (colon and player.strip().casefold().startswith("player #")):
        return []
    return [name.strip() for name in films.split(";") if name.strip()]


def refuse_films(names: Sequence[str]) -> AnnotationError:
    """Return the error where times run on over several films whose lengths are not known."""
    return AnnotationError(
        f"its observation shows {_name_films(names)} one after another and counts time on over "
        "them, but no column 'Media duration (s)' beside 'Source' has the length of each; export "
        "one film per observation."
    )


def _name_films(names: Sequence[str]) -> str:
    shown = ", ".join(repr(name) for name in names[:3])
    return f"{len(names)} films ({shown}{', ...' if len(names) > 3 else ''})"
