"""How long it takes until anything happens."""

from __future__ import annotations

import subprocess
import sys
from functools import partial

from bench.measurement import Measurement, time_best

ROUNDS = 5

_STARTS = {
    "canemo --help": ["-m", "canemo", "--help"],
    "import canemo": ["-c", "import canemo"],
}


def measure_startup(rounds: int = ROUNDS) -> list[Measurement]:
    """Measure starting the command line and importing the package; the best of some rounds each."""
    lines = []
    for what, arguments in _STARTS.items():
        best = time_best(partial(_start, arguments), rounds=rounds)
        lines.append(Measurement("start", what, 1, best, None, f"best of {rounds}"))
    return lines


def _start(arguments: list[str]) -> None:
    subprocess.run([sys.executable, *arguments], capture_output=True, check=True)
