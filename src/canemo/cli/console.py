"""Progress bars and logs on stderr."""

from __future__ import annotations

import dataclasses
import logging
import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.logging import RichHandler
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

_console = Console(stderr=True)
_quiet = False
_CHOICES = ("canemo.pipeline.plan", "canemo.networks.auto")
"""Who says which backbone is taken, which is always shown, and why, which is with ``-v``."""


def start_logging(level: int, *, progress: bool) -> None:
    """Send canemo's log to stderr; without `progress` no bars are drawn."""
    global _quiet
    _quiet = not progress
    handler = RichHandler(console=_console, show_time=False, show_path=False, markup=False)
    logger = logging.getLogger("canemo")
    logger.handlers[:] = [handler]
    logger.setLevel(level)
    if progress:
        for name in _CHOICES:
            shown = logging.DEBUG if level <= logging.INFO else logging.INFO
            logging.getLogger(name).setLevel(shown)


def log_epochs() -> None:
    """Let trainings of detectors say how each epoch went, unless nothing is to be said at all."""
    if not _quiet:
        logging.getLogger("canemo.faces").setLevel(logging.INFO)


@contextmanager
def show_progress() -> Iterator[Callable[[str, int, int], None]]:
    """Yield a function of (stage, done, total) that draws one bar per stage."""
    columns = (
        TextColumn("{task.description:<10}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    bars = Progress(*columns, console=_console, disable=_quiet)
    tasks: dict[str, TaskID] = {}

    def tell(stage: str, done: int, total: int) -> None:
        if stage not in tasks:
            bars.start()  # not before: an empty display leaves an empty line
            tasks[stage] = bars.add_task(stage, total=total)
        bars.update(tasks[stage], completed=done, total=total)

    try:
        yield tell
    finally:
        if tasks:
            bars.stop()


def command_line() -> str:
    """Return the command as it was typed, without the folder of the program."""
    return shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])


def to_record(item: Any) -> dict[str, Any]:
    """Return a dataclass as a dict that JSON can hold."""
    return {
        key: value if isinstance(value, str | int | float | None) else str(value)
        for key, value in dataclasses.asdict(item).items()
    }
