"""Other ways in which the labels of a study could have fallen, each subject keeping its own."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import chain, combinations, permutations, product
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Index: TypeAlias = NDArray[np.integer]
Groups: TypeAlias = NDArray[np.integer] | NDArray[np.object_]

MAX_EXACT = 5000
MOST_LABELS = 6  # of which every order is tried


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
    if count_ways(label_index, groups) <= MAX_EXACT:
        return _list_labellings(label_index, members), True
    rng = np.random.default_rng(seed)
    drawn = np.tile(label_index, (number, 1))
    for rows in members:
        drawn[:, rows] = rng.permuted(drawn[:, rows], axis=1)
    return drawn, False


def count_ways(label_index: Index, groups: Groups) -> int:
    """Return in how many ways labels can be moved within groups, the one at hand among them."""
    return math.prod(
        _count_arrangements(label_index[groups == group]) for group in np.unique(groups)
    )


def find_least_p(label_index: Index, groups: Groups) -> float:
    """Return the least p of a permutation within groups that learns anew, which no result passes.

    Notes
    -----
    The labelling at hand counts among all there are. Where each group has as many units of one
    label as of another, it has a like: all units of the one called by the name of the other, from
    which the same is learned.
    """
    counts = np.array(
        [
            np.bincount(label_index[groups == group], minlength=int(label_index.max()) + 1)
            for group in np.unique(groups)
        ]
    )
    orders = permutations(range(min(counts.shape[1], MOST_LABELS)))
    likes = sum(np.array_equal(counts[:, list(order)], counts[:, : len(order)]) for order in orders)
    return likes / count_ways(label_index, groups)


def _count_arrangements(label_index: Index) -> int:
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
