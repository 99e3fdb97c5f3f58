"""One measured line, the machine it was measured on, and how much memory a process has held."""

from __future__ import annotations

import re
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from canemo.errors import MissingExtraError, WeightsError
from canemo.networks.backbones import Backbone, load_backbone, write_random_weights


@dataclass(frozen=True)
class Measurement:
    """One line: `items` took `seconds`; `peak_mib` is the most memory the process has held so far.

    `note` says what the line rests on.
    """

    stage: str
    what: str
    items: int
    seconds: float
    peak_mib: float | None
    note: str = ""

    @property
    def items_per_second(self) -> float:
        """How many items a second."""
        return self.items / self.seconds if self.seconds else float("nan")

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {**asdict(self), "items_per_second": self.items_per_second}


def measure_peak_mib() -> float | None:
    """Return the most memory this process has held [MiB]; None where the system does not tell."""
    status = Path("/proc/self/status")
    if (
        status.is_file()
    ):  # getrusage() of Linux also counts what a process was before it was this one
        peak = re.search(r"VmHWM:\s+(\d+) kB", status.read_text(encoding="utf-8"))
        return None if peak is None else int(peak[1]) / 1024
    try:
        import resource
    except ImportError:
        return None
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 * 1024)


def time_best(work: Callable[[], object], *, rounds: int) -> float:
    """Return the seconds of the quickest of some rounds."""
    seconds = []
    for _ in range(rounds):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def load_or_draw(
    name: str,
    *,
    weights: Path | None = None,
    engine: str = "torch",
    precision: str = "float32",
) -> tuple[Backbone, str]:
    """Return a backbone and a note; where its weights cannot be had, drawn ones take the time."""
    try:
        return load_backbone(name, weights=weights, engine=engine, precision=precision), ""
    except (WeightsError, MissingExtraError):
        if weights is not None:
            raise
        with tempfile.TemporaryDirectory(prefix="canemo-bench-") as folder:
            drawn = write_random_weights(name, Path(folder) / "random.safetensors")
            backbone = load_backbone(name, weights=drawn, engine=engine, precision=precision)
            return backbone, "random weights: time only"
