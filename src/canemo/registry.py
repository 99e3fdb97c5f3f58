"""What there is of a kind, by name: what canemo brings, and what installed packages add to it.

A package adds a backbone, a detector or a file format by an entry point of the group
``canemo.backbones``, ``canemo.detectors`` or ``canemo.formats`` that leads to the
same kind of object as canemo's own.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.metadata import EntryPoint, entry_points
from typing import Generic, TypeVar

from canemo.errors import ConfigError, first_line

logger = logging.getLogger(__name__)

T = TypeVar("T")
Offers = Sequence[EntryPoint]


class Registry(Generic[T]):
    """Everything of one kind.

    Parameters
    ----------
    kind
        ``"backbone"``, ``"detector"`` or ``"format"``.
    own
        What canemo brings; no package takes its place.
    admit
        Given what an entry point leads to, its name and the package and version it is from,
        returns what is registered; ConfigError where that is something else.
    """

    def __init__(
        self, kind: str, own: Mapping[str, T], admit: Callable[[object, str, str], T]
    ) -> None:
        self.kind, self.own, self._admit = kind, own, admit

    def get(self, name: str) -> T | None:
        """Return what has that name, or None.

        Raises
        ------
        ConfigError
            Several packages offer it, or the one that does cannot be used.
        """
        offers = self._list_offers().get(name, [])
        if name in self.own:
            if offers:
                logger.warning("%s", self._describe_shadowed(name, offers))
            return self.own[name]
        return self._load(name, offers) if offers else None

    def load_all(self) -> dict[str, T]:
        """Return everything that can be used, canemo's own first; a warning names the rest."""
        found = dict(self.own)
        for name, offers in self._list_offers().items():
            try:
                found.setdefault(name, self._load(name, offers))
            except ConfigError as exc:
                logger.warning("%s", exc)
        return found

    def describe_added(self) -> dict[str, str]:
        """Return what packages add, or try to, and whether it can be used, by kind and name."""
        return {
            f"{self.kind} {name}": self._describe(name, offers)
            for name, offers in self._list_offers().items()
        }

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys([*self.own, *self._list_offers()]))

    def _list_offers(self) -> dict[str, list[EntryPoint]]:
        offers = defaultdict(list)
        for entry in entry_points(group=f"canemo.{self.kind}s"):
            offers[entry.name].append(entry)
        return dict(sorted(offers.items()))

    def _load(self, name: str, offers: Offers) -> T:
        if name in self.own:
            raise ConfigError(self._describe_shadowed(name, offers))
        if len(offers) > 1:
            raise ConfigError(
                f"the {self.kind} {name!r} is offered by {_name_packages(offers)}, and it cannot "
                "be told which is meant; uninstall all but one"
            )
        try:
            return self._admit(offers[0].load(), name, _name_packages(offers))
        except Exception as exc:  # a package of somebody else can fail in any way
            raise ConfigError(
                f"the {self.kind} {name!r} of {_name_packages(offers)} cannot be used "
                f"({type(exc).__name__}: {first_line(exc)}); mend the package or uninstall it"
            ) from exc

    def _describe(self, name: str, offers: Offers) -> str:
        try:
            self._load(name, offers)
        except ConfigError as exc:
            return f"refused: {exc}"
        return f"ready, from {_name_packages(offers)}"

    def _describe_shadowed(self, name: str, offers: Offers) -> str:
        return (
            f"the {self.kind} {name!r} of {_name_packages(offers)} is left aside: canemo's own has "
            "that name"
        )


def _name_packages(offers: Offers) -> str:
    names = [
        "a package without a name" if each.dist is None else f"{each.dist.name} {each.dist.version}"
        for each in offers
    ]
    return " and ".join(sorted(names))
