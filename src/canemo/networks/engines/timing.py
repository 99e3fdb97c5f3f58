"""Which of several runs is the fastest, on a machine that may be busy with other things."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

ALIKE = 1.05
"""Runs whose times differ by less than this factor need not be told apart."""

FEWEST_ROUNDS, MOST_ROUNDS = 5, 25
MOST_SECONDS = 60.0
"""Past it no round is begun after the fewest."""


def time_in_turn(
    runs: Sequence[Callable[[], object]], *, clock: Callable[[], float] = time.perf_counter
) -> NDArray[np.float64]:
    """Time R runs in turn, round after round, until the fastest is told from the others.

    Returns
    -------
    (rounds, R) float64
        Seconds. What else the machine does falls on all runs of a round, so that they can be
        compared although no round is like another.
    """
    began, rounds = clock(), []
    while True:
        rounds.append([_time_once(run, clock) for run in runs])
        if len(rounds) < FEWEST_ROUNDS:
            continue
        seconds = np.array(rounds)
        is_late = len(rounds) >= MOST_ROUNDS or clock() - began > MOST_SECONDS
        if is_late or are_told_apart(seconds):
            return seconds


def are_told_apart(seconds: NDArray[np.float64]) -> bool:
    """Tell whether the fastest of R runs is certain, given (rounds, R) seconds.

    Every other one must be slower in all of the interval of its ratio to the fastest, or differ by
    less than `ALIKE` in all of it. The interval is thrice the interquartile range over the root of
    the rounds to either side of the median: about three standard errors, because it is looked at
    after every round, and deaf to single interruptions (after the notches of McGill, Tukey & Larsen
    1978, doi:10.1080/00031305.1978.10479236).
    """
    fastest = seconds[:, np.median(seconds, axis=0).argmin()]
    ratios = np.log(seconds / fastest[:, None])
    low, middle, high = np.quantile(ratios, (0.25, 0.5, 0.75), axis=0)
    error = 3 * (high - low) / np.sqrt(len(seconds))
    return bool(np.all((middle > error) | (np.abs(middle) + error < np.log(ALIKE))))


def measure_spread(seconds: NDArray[np.float64]) -> float:
    """Return half the interquartile range as a share of the median."""
    low, middle, high = np.quantile(seconds, (0.25, 0.5, 0.75))
    return float((high - low) / 2 / middle)


def _time_once(run: Callable[[], object], clock: Callable[[], float]) -> float:
    start = clock()
    run()
    return clock() - start
