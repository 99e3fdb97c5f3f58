"""The report card of a kind of map: each test it was put to, and a plain pass or fail."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from canemo.explain.scoring import ALIKE
from canemo.learn.predictions import Array
from canemo.trust.intervals import LEVEL, bound_mean
from canemo.trust.pairs import flip_signs

_DECISIVE = ("deletion", "insertion")
"""Of these one at least must be made: the others say only what a map is not about."""

LEAST_SUBJECTS = 6
"""Of fewer the sign-flip test never has p <= 0.05: 2 of their 2^S patterns are as far from zero."""


@dataclass(frozen=True)
class Check:
    """One test of a kind of map.

    Attributes
    ----------
    name, title
        For tables and for readers.
    value, low, high
        Mean over subjects and its 95 % interval; None where it is not known.
    p
        Of the sign-flip test over subjects, where the test has one.
    passed
        None where the test could not be made.
    reason
        Why it failed or could not be made; empty where it passed.
    """

    name: str
    title: str
    value: float | None
    low: float | None
    high: float | None
    p: float | None
    passed: bool | None
    reason: str


@dataclass(frozen=True)
class ReportCard:
    """What became of a kind of map; `passed` is None where no test that counts could be made."""

    method: str
    crops: int
    dogs: int
    checks: tuple[Check, ...]

    @property
    def passed(self) -> bool | None:
        """Whether every test that could be made was passed; None without any that counts."""
        known = {check.name: check.passed for check in self.checks if check.passed is not None}
        if not all(known.values()):
            return False
        return True if any(name in known for name in _DECISIVE) else None

    @property
    def verdict(self) -> str:
        """The pass or fail line."""
        failed = [check.reason for check in self.checks if check.passed is False]
        if self.passed is None:
            is_any = any(check.passed for check in self.checks)
            return "not tested where it counts" if is_any else "not tested"
        return f"FAILS: {'; '.join(failed)}" if failed else "passes every test that was made"


_ALIKE_TITLES = {
    "like_random_probe": ("random probe", "with the map of a probe with drawn weights"),
    "like_shuffled": ("shuffled labels", "with the map of a probe learned from shuffled labels"),
    "like_random_backbone": ("random backbone", "with the map of an untrained network"),
}


def grade_maps(method: str, tests: pd.DataFrame) -> ReportCard:
    """Return the report card of a kind of map.

    Parameters
    ----------
    method
        Its name.
    tests
        Rows of `examine_case` of any number of subjects.

    Notes
    -----
    Deletion and insertion pass where the map does better than itself moved to random places, by the
    sign-flip test over subjects (p <= 0.05), which is made with six subjects or more. A
    randomisation check passes where the mean absolute rank correlation with the randomised map is
    at most 0.5: a map that stays when what it explains is replaced explains something else (Adebayo
    et al. 2018, Sanity checks for saliency maps, arXiv 1810.03292). The pointing game passes where
    the greatest value lies in the true part more often than the part's area would have it, by the
    same test.
    """
    if not len(tests):
        return ReportCard(method, 0, 0, ())
    checks = [
        _check_gain(
            "deletion",
            tests["deletion_moved"] - tests["deletion"],
            tests,
            "covering its best places does not clearly cost more than covering others",
        ),
        _check_gain(
            "insertion",
            tests["insertion"] - tests["insertion_moved"],
            tests,
            "showing its best places does not clearly give more than showing others",
        ),
        *(_check_alike(name, tests) for name in _ALIKE_TITLES),
    ]
    if tests["hit"].notna().any():
        gain = tests["hit"] - tests["truth_area"]
        missed = "it does not point at the true part clearly more often than chance"
        checks.append(_check_gain("pointing", gain, tests, missed))
    return ReportCard(method, len(tests), tests["subject_id"].nunique(), tuple(checks))


def _check_gain(name: str, gains: pd.Series[float], tests: pd.DataFrame, failure: str) -> Check:
    titles = {
        "deletion": "deletion: evidence lost sooner than by the moved map [logits]",
        "insertion": "insertion: evidence shown sooner than by the moved map [logits]",
        "pointing": "pointing game: hits above the area of the true part",
    }
    subjects = _average_subjects(gains, tests)
    low, high = bound_mean(subjects) or (None, None)
    if len(subjects) < LEAST_SUBJECTS:
        reason = f"{name}: needs {LEAST_SUBJECTS} {{plural}}, there are {len(subjects)}"
        value = float(subjects.mean()) if len(subjects) else None
        return Check(name, titles[name], value, low, high, None, None, reason)
    p, _, _ = flip_signs(subjects)
    mean = float(subjects.mean())
    passed = mean > 0 and p <= LEVEL
    return Check(name, titles[name], mean, low, high, p, passed, "" if passed else failure)


def _check_alike(name: str, tests: pd.DataFrame) -> Check:
    short, words = _ALIKE_TITLES[name]
    title = f"{short}: rank correlation {words}, without its sign"
    subjects = _average_subjects(tests[name], tests)
    if not len(subjects):
        return Check(name, title, None, None, None, None, None, f"{short}: could not be made")
    low, high = bound_mean(subjects) or (None, None)
    mean = float(subjects.mean())
    passed = mean <= ALIKE
    reason = "" if passed else f"it stays the same with a {short} (rank correlation {mean:.2f})"
    if name == "like_shuffled" and not passed:
        reason = f"it stays the same with {short} (rank correlation {mean:.2f})"
    return Check(name, title, mean, low, high, None, passed, reason)


def _average_subjects(values: pd.Series[float], tests: pd.DataFrame) -> Array:
    """Return the mean of each subject's crops, subjects without any known value left out."""
    means = values.groupby(tests["subject_id"]).mean().dropna()
    return np.asarray(means, dtype=np.float64)
