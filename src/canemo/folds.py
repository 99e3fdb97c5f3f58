"""Folds are independent of each other: work on them side by side."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any, TypeVar

from threadpoolctl import ThreadpoolController

ProgressFn = Callable[[int, int], None]
Item = TypeVar("Item")
Answer = TypeVar("Answer")


def map_folds(
    work: Callable[[Item], Answer], folds: Iterable[Item], *, at_once: bool = True
) -> list[Answer]:
    """Return what `work` makes of each fold, in their order.

    `at_once` takes one thread per processor, each with single-threaded linear algebra: the matrices
    of one fold are too small to share among threads. Else one fold comes after the other.
    """
    if not at_once:
        return [work(fold) for fold in folds]
    with _linear_algebra().limit(limits=1), ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(work, folds))


@cache
def _linear_algebra() -> ThreadpoolController:
    """Return what sets the threads of linear algebra; finding the libraries takes milliseconds."""
    return ThreadpoolController()


def count_done(progress: ProgressFn | None, total: int) -> Callable[[Any], Any]:
    """Return a function that hands on what it is given and counts."""
    numbers = itertools.count(1)

    def tell(answer: Any) -> Any:
        if progress is not None:
            progress(next(numbers), total)
        return answer

    return tell
