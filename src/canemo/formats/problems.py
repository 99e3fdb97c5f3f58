"""What is wrong with the entries of an annotation file, gathered and told together."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from canemo.errors import AnnotationError

logger = logging.getLogger(__name__)

MAX_LISTED = 20
"""How many problems of a file one error lists."""

_ADVICE = (
    "Correct this in the annotation tool, or leave out what cannot be used with --skip-invalid "
    "(skip_invalid)."
)


class Problems:
    """The unusable entries of one file.

    Code that reads an entry runs inside `with problems.gather(where):` and raises
    `AnnotationError`; the entry is noted and the block left. `close` then raises one error that
    lists all of them or, with `skip_invalid`, logs each as a warning.

    Parameters
    ----------
    source
        The file, for messages.
    skip_invalid
        Whether reading goes on without the unusable entries.
    """

    def __init__(self, source: Path | str, *, skip_invalid: bool = False) -> None:
        self.source = source
        self.skip_invalid = skip_invalid
        self._lines: list[str] = []

    @property
    def lines(self) -> tuple[str, ...]:
        """What was noted so far, one line per entry."""
        return tuple(self._lines)

    def add(self, line: str) -> None:
        """Note an unusable entry."""
        self._lines.append(line)

    @contextmanager
    def gather(self, where: str) -> Iterator[None]:
        """Turn an `AnnotationError` of the block into a noted entry, named by `where`."""
        try:
            yield
        except AnnotationError as exc:
            self.add(f"{where}: {exc}")

    def close(self) -> tuple[str, ...]:
        """Return the noted lines, logged as warnings, or raise if there are any."""
        if self._lines and not self.skip_invalid:
            raise AnnotationError(f"{self.source}: {self._describe()}\n{_ADVICE}")
        for line in self._lines:
            logger.warning("%s: %s This entry is left out.", self.source, line)
        return self.lines

    def _describe(self) -> str:
        if len(self._lines) == 1:
            return self._lines[0]
        listed = [f"- {line}" for line in self._lines[:MAX_LISTED]]
        if len(self._lines) > MAX_LISTED:
            listed.append(f"- and {len(self._lines) - MAX_LISTED} more")
        return "\n".join([f"{len(self._lines)} entries cannot be used:", *listed])
