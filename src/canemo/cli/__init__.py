"""The command line: parse, call the pipeline, print. Results go to stdout, the rest to stderr.

Exit codes: 0 done, 1 a stated failure, 2 wrong usage, 130 interrupted.
"""

from canemo.cli import (
    concepts,
    detector,
    dynamics,
    explain,
    machine,
    measure,
    predict,
    run,
    study,
    trust,
)
from canemo.cli.app import app, detector_app, main

__all__ = [
    "app",
    "concepts",
    "detector",
    "detector_app",
    "dynamics",
    "explain",
    "machine",
    "main",
    "measure",
    "predict",
    "run",
    "study",
    "trust",
]
