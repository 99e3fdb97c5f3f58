"""One measured line, the machine it was measured on, and how much memory a process has held."""

from __future__ import annotations

import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from canemo.backbones import Backbone, load_backbone, write_random_weights
from canemo.errors import MissingExtraError, WeightsError


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
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1024 * 1024 if sys.platform == "darwin" else 1024)


def load_or_draw(
    name: str, *, engine: str = "torch", precision: str = "float32"
) -> tuple[Backbone, str]:
    """Return a backbone and a note; where its weights cannot be had, drawn ones take the time."""
    try:
        return load_backbone(name, engine=engine, precision=precision), ""
    except (WeightsError, MissingExtraError):
        with tempfile.TemporaryDirectory(prefix="canemo-bench-") as folder:
            drawn = write_random_weights(name, Path(folder) / "random.safetensors")
            backbone = load_backbone(name, weights=drawn, engine=engine, precision=precision)
            return backbone, "random weights: time only"
