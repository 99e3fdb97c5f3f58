"""How long things took on this machine, kept in its cache so that it can be said beforehand."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

from canemo import environment
from canemo.files import hash_values, write_atomically
from canemo.networks.engines.machine import machine_cache

logger = logging.getLogger(__name__)

RATES_VERSION = 1


def keep_rate(seconds: float, items: int, **what: Any) -> None:
    """Keep how long an item took; `what` is all that decides it besides the machine."""
    path = _path_of_rate(what)
    try:
        write_atomically(path, json.dumps({"seconds_per_item": seconds / items}))
    except OSError as exc:
        logger.warning("%s: cannot be written (%s); how long a run takes is not kept", path, exc)


def recall_rate(**what: Any) -> float | None:
    """Return the seconds that an item took when last done here, or None where it never was."""
    try:
        content = json.loads(_path_of_rate(what).read_text(encoding="utf-8"))
        return float(content["seconds_per_item"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _path_of_rate(what: dict[str, Any]) -> Path:
    key = hash_values(
        version=RATES_VERSION,
        canemo=environment.version(),
        processor=environment.describe_processor(),
        what=what,
    )
    return machine_cache() / "rates" / f"{key}.json"
