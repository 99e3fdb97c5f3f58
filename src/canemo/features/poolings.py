"""Which part of a network's answer is kept: CLS, means, a grid, layers."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

import numpy as np

from canemo.errors import ConfigError
from canemo.features.embed import GRID_SIDE, LAYERS, Array, Features, Stored


@dataclass(frozen=True)
class Pooling:
    """How features become one row per crop: what it takes, and the function to (N, F)."""

    needs: tuple[str, ...]
    compute: Callable[[Features], Array | Stored]


def _join(*names: str) -> Pooling:
    def compute(features: Features) -> Stored:
        return np.concatenate([features.as_rows(name) for name in names], axis=1)

    return Pooling(names, compute)


def _average(*cells: int) -> Pooling:
    """Average cells of the grid; they count from 0 in reading order."""

    def compute(features: Features) -> Array:
        return np.asarray(features.grid[:, cells].mean(axis=1, dtype=np.float32))

    return Pooling(("grid",), compute)


_CENTRE = (5, 6, 9, 10)

POOLINGS: dict[str, Pooling] = {
    "cls": _join("cls"),
    "mean": _join("mean"),
    "cls_mean": _join("cls", "mean"),
    **{name: _join(name) for name in LAYERS},
    "last4": _join("cls", *LAYERS),
    "grid": _join("grid"),
    "upper": _average(*range(8)),
    "lower": _average(*range(8, 16)),
    **{f"row{row + 1}": _average(*range(4 * row, 4 * row + 4)) for row in range(GRID_SIDE)},
    "centre": _average(*_CENTRE),
    "rim": _average(*(cell for cell in range(GRID_SIDE**2) if cell not in _CENTRE)),
}
"""Name of a pooling -> what it is.

`last4` is what DINO's own linear evaluation of a ViT-S takes (its eval_linear.py, n_last_blocks=4;
Caron et al. 2021, doi:10.1109/ICCV48922.2021.00951).
"""


def pool(features: Features, pooling: str) -> Array:
    """Return one row per crop, (N, F) float32.

    Raises
    ------
    ConfigError
        There is no such pooling, or none of features without layers; those there are are named.
    """
    require_pooling(pooling, stored=features.names)
    return np.asarray(POOLINGS[pooling].compute(features), dtype=np.float32)


def require_pooling(
    pooling: str, *, stored: Collection[str] | None = None, owner: str = "this backbone"
) -> None:
    """Raise ConfigError, which names the poolings there are, where there is none of that name.

    Parameters
    ----------
    pooling
        The name.
    stored
        What is kept of each crop (`Features.names`); None leaves it open.
    owner
        Of which backbone.

    Raises
    ------
    ConfigError
        There is no such pooling, or what it needs is not stored.
    """
    usable = [
        name for name, each in POOLINGS.items() if stored is None or set(each.needs) <= set(stored)
    ]
    if pooling not in POOLINGS:
        raise ConfigError(f"probe.pooling = {pooling!r}; there are {', '.join(usable)}")
    if pooling not in usable:
        raise ConfigError(
            f"probe.pooling = {pooling!r} needs layers before the last, which {owner} does not "
            f"have; there are {', '.join(usable)}"
        )
