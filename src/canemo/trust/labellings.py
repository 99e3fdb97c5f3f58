"""Other ways in which the labels of a study could have fallen, each subject keeping its own."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import chain, combinations, product
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Index: TypeAlias = NDArray[np.integer]

MAX_EXACT = 5000


def draw_labellings(
    label_index: Index, groups: Index, *, number: int, seed: int
) -> tuple[Index, bool]:
    """Return (R, V) labellings that move labels within groups only, and whether these are all.

    Parameters
    ----------
    label_index, groups
        (V,) label and group of each unit, as positions.
    number, seed
        How many are drawn where there are more than `MAX_EXACT`, and the seed.
    """
    members = [np.flatnonzero(groups == group) for group in np.unique(groups)]
    ways = math.prod(_count_ways(label_index[rows]) for rows in members)
    if ways <= MAX_EXACT:
        return _list_labellings(label_index, members), True
    rng = np.random.default_rng(seed)
    drawn = np.tile(label_index, (number, 1))
    for rows in members:
        drawn[:, rows] = rng.permuted(drawn[:, rows], axis=1)
    return drawn, False


def _count_ways(label_index: Index) -> int:
    """Return in how many ways these labels can be arranged."""
    counts = np.bincount(label_index)
    ways = math.factorial(len(label_index))
    return ways // math.prod(math.factorial(int(count)) for count in counts)


def _list_labellings(label_index: Index, members: Sequence[Index]) -> Index:
    each = [list(_iter_arrangements(np.bincount(label_index[rows]).tolist())) for rows in members]
    order = np.concatenate(members)
    listed = np.array([list(chain.from_iterable(way)) for way in product(*each)], dtype=np.int64)
    labellings = np.empty_like(listed)
    labellings[:, order] = listed
    return labellings


def _iter_arrangements(counts: list[int]) -> Iterator[tuple[int, ...]]:
    """Yield every distinct order of labels that occur so often."""
    *others, number = counts
    if not any(others):
        yield (len(others),) * number
        return
    for places in combinations(range(sum(counts)), number):
        for rest in _iter_arrangements(others):
            order = list(rest)
            for place in places:
                order.insert(place, len(others))
            yield tuple(order)
