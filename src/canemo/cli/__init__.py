"""The command line: parse, call the pipeline, print. Results go to stdout, the rest to stderr.

Exit codes: 0 done, 1 a stated failure, 2 wrong usage, 130 interrupted.
"""

from canemo.cli.app import app, detector_app, main

__all__ = [
    "app",
    "concept_commands",
    "detector_app",
    "detector_commands",
    "explain_commands",
    "main",
    "study_commands",
    "support_commands",
    "trust_commands",
]
