"""How long it takes until anything happens."""

from __future__ import annotations

import subprocess
import sys
import time

from canemo.bench.measurement import Measurement

ROUNDS = 5

_STARTS = {
    "canemo --help": ["-m", "canemo", "--help"],
    "import canemo": ["-c", "import canemo"],
}


def measure_startup(rounds: int = ROUNDS) -> list[Measurement]:
    """Measure starting the command line and importing the package; the best of some rounds each."""
    return [
        Measurement(
            "start",
            what,
            1,
            min(_time(arguments) for _ in range(rounds)),
            None,
            f"best of {rounds}",
        )
        for what, arguments in _STARTS.items()
    ]


def _time(arguments: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, *arguments], capture_output=True, check=True)
    return time.perf_counter() - start
