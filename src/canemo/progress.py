"""How long work tells how far it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

Progress: TypeAlias = Callable[[str, int, int], None]
"""Told (stage, items done, items in all) as work goes on, by more than one thread."""


def silent(stage: str, done: int, total: int) -> None:
    """Tell nobody."""
