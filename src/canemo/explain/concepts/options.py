"""What is asked of `canemo concepts`: which files, coded by whom, and how they become frames."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from canemo.config import Config
from canemo.errors import AnnotationError, ConfigError


@dataclass(frozen=True)
class CodingOptions:
    """How events become frames and what is done with them; see `canemo.concepts_study`."""

    all_coded: bool
    point_window_s: float | None
    permutations: int
    penalty: float


def list_sources(events: Path | str | Sequence[Path | str]) -> list[tuple[str, Path]]:
    """Return who coded each file, empty where that is not said, and the file.

    Raises
    ------
    AnnotationError
        There is none, or several of one name whose coders are not named.
    """
    given = [events] if isinstance(events, str | Path) else list(events)
    if not given:
        raise AnnotationError("no file of events; give at least one with --events FILE")
    sources = [_parse_source(each) for each in given]
    unnamed = Counter(path.stem for who, path in sources if not who)
    for stem, number in unnamed.items():
        if number > 1:
            raise AnnotationError(
                f"{number} files of events are called {stem!r}, so that their coders would pass "
                f"for one; say who coded each, with --events CODER={stem}..."
            )
    return sources


def _parse_source(given: Path | str) -> tuple[str, Path]:
    text = str(given)
    who, equals, file = text.partition("=")
    if isinstance(given, Path) or not equals or Path(text).exists() or "/" in who or "\\" in who:
        return "", Path(text)
    return who.strip(), Path(file)


def set_options(
    config: Config,
    *,
    all_coded: bool,
    point_window_s: float | None,
    permutations: int | None,
    penalty: float | None,
) -> CodingOptions:
    """Return what is asked for, with what the settings say where nothing is.

    Raises
    ------
    ConfigError
        It is impossible.
    """
    penalties = sorted(config.probe.penalties)
    penalty = penalties[(len(penalties) - 1) // 2] if penalty is None else penalty
    permutations = config.evaluate.permutations if permutations is None else permutations
    if not (math.isfinite(penalty) and penalty > 0):
        raise ConfigError(f"penalty = {penalty:g}; expected more than 0, such as 1")
    if permutations < 1:
        raise ConfigError(f"permutations = {permutations}; expected at least 1, such as 1000")
    if point_window_s is not None and not (math.isfinite(point_window_s) and point_window_s >= 0):
        raise ConfigError(f"point_window_s = {point_window_s:g}; expected seconds from 0")
    return CodingOptions(all_coded, point_window_s, permutations, penalty)
