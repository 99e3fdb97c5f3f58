"""Work side by side, ahead of who needs it or over folds, and being told how far it is."""

from __future__ import annotations

import itertools
import os
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any, Generic, TypeAlias, TypeVar

from threadpoolctl import ThreadpoolController

Progress: TypeAlias = Callable[[str, int, int], None]
"""Told (stage, items done, items in all) as work goes on, by more than one thread."""

ProgressFn: TypeAlias = Callable[[int, int], None]
"""Told (items done, items in all) of one stage."""

Item = TypeVar("Item")
Answer = TypeVar("Answer")


def read_ahead(
    items: Iterable[Item],
    size: int,
    *,
    weigh: Callable[[Item], int] | None = None,
    max_weight: int = 0,
) -> Generator[Item, None, None]:
    """Yield `items` in their order, made by a thread that is up to `size` items ahead.

    Parameters
    ----------
    items
        Iterated over in the thread and nowhere else, from the first item asked for on.
    size
        How many finished items wait at most, from 1. One more may be in the making.
    weigh, max_weight
        What an item weighs, and what those that wait may weigh together; a single item may always
        wait, whatever its weight.

    Yields
    ------
    Item
        The items. An exception of `items` is raised here, after all items before it.

    Notes
    -----
    The thread has ended once the iteration has: by its end, by an exception, or by `close()`. A
    caller that may stop early therefore wraps it in `contextlib.closing`, and closes what `items`
    reads from only after that. Stopping waits for the item in the making, no longer.
    """
    belt: _Belt[Item] = _Belt(size, weigh=weigh, max_weight=max_weight)
    thread = threading.Thread(target=belt.fill, args=(items,), name="read_ahead", daemon=True)
    thread.start()
    try:
        yield from belt
    finally:
        belt.stop()
        thread.join()
    if belt.error is not None:
        raise belt.error


class _Belt(Generic[Item]):
    """What is handed from the thread to the caller; every field is guarded by one condition."""

    def __init__(self, size: int, *, weigh: Callable[[Item], int] | None, max_weight: int) -> None:
        self.error: BaseException | None = None
        self._size = size
        self._weigh = weigh or (lambda item: 0)
        self._max_weight = max_weight
        self._waiting: deque[tuple[Item, int]] = deque()
        self._weight = 0
        self._ended = False
        self._stopped = False
        self._changed = threading.Condition()

    def fill(self, items: Iterable[Item]) -> None:
        """Put every item on the belt: the body of the thread."""
        try:
            for item in items:
                if not self._put(item, self._weigh(item)):
                    break
                del item  # not held while the next one is made
        except BaseException as exc:  # noqa: BLE001 - whatever it is, it is raised in the caller
            self.error = exc
        finally:
            with self._changed:
                self._ended = True
                self._changed.notify_all()

    def stop(self) -> None:
        """Let the thread end at its next item, and let go of what waits."""
        with self._changed:
            self._stopped = True
            self._waiting.clear()
            self._changed.notify_all()

    def __iter__(self) -> Iterator[Item]:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._ended)
                if not self._waiting:
                    return
                item, weight = self._waiting.popleft()
                self._weight -= weight
                self._changed.notify_all()
            yield item
            del item  # not held while the next one is waited for

    def _put(self, item: Item, weight: int) -> bool:
        """Wait for room; return whether anybody still wants the item."""
        with self._changed:
            self._changed.wait_for(lambda: self._stopped or self._has_room(weight))
            if not self._stopped:
                self._waiting.append((item, weight))
                self._weight += weight
                self._changed.notify_all()
            return not self._stopped

    def _has_room(self, weight: int) -> bool:
        if not self._waiting:
            return True
        return len(self._waiting) < self._size and self._weight + weight <= self._max_weight


def silent(stage: str, done: int, total: int) -> None:
    """Tell nobody."""


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
