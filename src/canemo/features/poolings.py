"""Representations: what of a crop is read, and how it becomes one row.

A representation is one string. A block is a pooling (`cls`, `mean`, `grid`, ...), the tokens of a
region of the face (`region:muzzle`, or of several: `region:eyes+muzzle`) or the face's `geometry`.
Blocks are joined by commas, and each may be given its share of the variance that a classifier sees:
`region:muzzle*0.8,geometry*0.2`. Without shares, inner folds choose among the mixes of
`expand_mixes`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from canemo.errors import ConfigError
from canemo.features.embed import GRID_SIDE, LAYERS, Array, Features, Stored

REGION, GEOMETRY = "region", "geometry"
_DOMINANT = 0.8  # share of the one block that a mix rests on most


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


@dataclass(frozen=True)
class Block:
    """A part of a representation: its name, and its share of the variance, where one is fixed."""

    name: str
    share: float | None = None

    @property
    def regions(self) -> tuple[str, ...]:
        """The regions of the face whose tokens it averages."""
        kind, _, names = self.name.partition(":")
        return tuple(names.split("+")) if kind == REGION else ()

    @property
    def needs(self) -> tuple[str, ...]:
        """What must be stored of each crop (`Features.names`)."""
        if self.regions:
            return (REGION, "mean")
        return (GEOMETRY,) if self.name == GEOMETRY else POOLINGS[self.name].needs


def parse_blocks(pooling: str) -> tuple[Block, ...]:
    """Return the blocks of a representation; their shares add up to 1 where they are fixed.

    Raises
    ------
    ConfigError
        There is no such block, one is named twice, or only some of several have a share.
    """
    blocks = [_parse_block(text.strip(), pooling) for text in pooling.split(",")]
    names, shares = [block.name for block in blocks], [block.share for block in blocks]
    if len(set(names)) < len(names):
        raise ConfigError(f"probe.pooling = {pooling!r} names a block twice; name each once")
    given = [share for share in shares if share is not None]
    if given and (len(given) < len(blocks) or len(blocks) == 1):
        raise ConfigError(
            f"probe.pooling = {pooling!r}: shares are for several blocks and for all of them, as "
            "in region:muzzle*0.8,geometry*0.2"
        )
    return tuple(
        Block(block.name, None if block.share is None else block.share / sum(given))
        for block in blocks
    )


def _parse_block(text: str, pooling: str) -> Block:
    name, star, share = text.partition("*")
    block = Block(name.strip(), _parse_share(share, pooling) if star else None)
    regions = block.regions
    known = all(regions) if regions else block.name == GEOMETRY or block.name in POOLINGS
    if not known or len(set(regions)) < len(regions):
        raise ConfigError(f"probe.pooling = {pooling!r}; {_tell_offers(POOLINGS)}")
    return block


def _parse_share(text: str, pooling: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = math.nan
    if not 0 < share < math.inf:
        raise ConfigError(
            f"probe.pooling = {pooling!r}: the share {text.strip()!r} is no number above 0"
        )
    return share


def name_blocks(pooling: str) -> str:
    """Return a representation without its shares: what it reads, however that is mixed."""
    return ",".join(block.name for block in parse_blocks(pooling))


def expand_mixes(pooling: str) -> tuple[str, ...]:
    """Return the representations with fixed shares that inner folds choose from.

    That is one where there is one block or the shares are given; else the even mix, and a mix for
    every block in which it has 0.8 of the variance and the others the rest.

    Notes
    -----
    Tried on open and closed mouths (376 photographs of 20 dogs, one dog left out, AUROC) with
    `region:muzzle,geometry` of `focus_vits14` / `efficientnet_lite0`: the mix chosen in inner folds
    0.973 / 0.955, the even mix 0.976 / 0.935, a logistic regression on what each block's own probe
    says in inner folds 0.965 / 0.956, the blocks as they are, without shares, 0.976 / 0.860.
    """
    blocks = parse_blocks(pooling)
    if len(blocks) == 1 or blocks[0].share is not None:
        return (_spell(blocks),)
    others = (1 - _DOMINANT) / (len(blocks) - 1)
    even = [1 / len(blocks)] * len(blocks)
    lead = [[_DOMINANT if one is each else others for one in blocks] for each in blocks]
    mixes = [map(Block, [block.name for block in blocks], shares) for shares in (even, *lead)]
    return tuple(_spell(tuple(mix)) for mix in mixes)


def _spell(blocks: Sequence[Block]) -> str:
    return ",".join(
        block.name if block.share is None else f"{block.name}*{block.share:.4g}" for block in blocks
    )


def weigh_blocks(pooling: str, widths: Sequence[int]) -> NDArray[np.float64] | None:
    """Return what each standardised column counts, (F,), so that blocks have their shares.

    Parameters
    ----------
    pooling
        A representation with fixed shares; without any, blocks are mixed evenly.
    widths
        How many columns each block has.

    Returns
    -------
    NDArray or None
        Its squares add up to F, so that a penalty means the same as for one block; None where there
        is one.
    """
    blocks = parse_blocks(pooling)
    if len(blocks) == 1:
        return None
    shares = np.array([1 / len(blocks) if each.share is None else each.share for each in blocks])
    return np.repeat(np.sqrt(sum(widths) * shares / np.array(widths)), widths)


def reads_face(pooling: str) -> bool:
    """Tell whether a representation depends on where the parts of the face are."""
    return any(block.regions or block.name == GEOMETRY for block in parse_blocks(pooling))


def list_needs(pooling: str) -> tuple[str, ...]:
    """Return what must be stored of each crop for a representation."""
    return tuple(dict.fromkeys(name for each in parse_blocks(pooling) for name in each.needs))


def pool(features: Features, pooling: str) -> Array:
    """Return one row per crop, (N, F) float32, the blocks side by side and not yet weighed.

    Raises
    ------
    ConfigError
        There is no such representation, or what it needs is not stored; those there are are named.
    """
    require_pooling(pooling, stored=features.names, regions=features.region_names)
    rows = [_pool_block(features, block) for block in parse_blocks(pooling)]
    return rows[0] if len(rows) == 1 else np.concatenate(rows, axis=1)


def _pool_block(features: Features, block: Block) -> Array:
    if block.regions:
        return _average_regions(features, block.regions)
    if block.name == GEOMETRY:
        return np.asarray(features.as_rows(GEOMETRY), dtype=np.float32)
    return np.asarray(POOLINGS[block.name].compute(features), dtype=np.float32)


def _average_regions(features: Features, regions: Sequence[str]) -> Array:
    """Return the mean token over some regions, (N, D); of the whole crop where none is in view."""
    if features.region is None or features.region_share is None:
        raise ValueError("the features hold no regions")
    at = [features.region_names.index(name) for name in regions]
    share = np.asarray(features.region_share[:, at], dtype=np.float32)
    tokens = np.where(share[:, :, None] > 0, features.region[:, at].astype(np.float32), 0)
    total = share.sum(axis=1, keepdims=True)
    weight = share / np.where(total > 0, total, 1)
    mean = np.einsum("nr,nrd->nd", weight, tokens)
    return np.where(total > 0, mean, features.mean.astype(np.float32))


def has_pooling(pooling: str, stored: Collection[str], regions: Collection[str]) -> bool:
    """Return whether a representation can be had; arguments as of `require_pooling`."""
    return all(
        {*block.needs} <= {*stored} and {*block.regions} <= {*regions}
        for block in parse_blocks(pooling)
    )


def require_pooling(
    pooling: str,
    *,
    stored: Collection[str] | None = None,
    regions: Collection[str] | None = None,
    owner: str = "this backbone",
) -> None:
    """Raise ConfigError, which names what there is, where a representation cannot be had.

    Parameters
    ----------
    pooling
        The representation.
    stored
        What is kept of each crop (`Features.names`); None leaves it open.
    regions
        Of the face; None leaves it open.
    owner
        Of which backbone.

    Raises
    ------
    ConfigError
        There is no such representation, or what it needs is not stored.
    """
    blocks = parse_blocks(pooling)
    offers = _tell_offers(
        [name for name, each in POOLINGS.items() if stored is None or {*each.needs} <= {*stored}],
        regions=(regions or ("NAME",)) if stored is None or REGION in stored else (),
        geometry=stored is None or GEOMETRY in stored,
    )
    for block in blocks:
        lacking = {*block.needs} - {*(block.needs if stored is None else stored)}
        if lacking:
            reason = _tell_lack(lacking, owner)
            raise ConfigError(f"probe.pooling = {pooling!r} needs {reason}; {offers}")
        unknown = [] if regions is None else [each for each in block.regions if each not in regions]
        if unknown:
            raise ConfigError(
                f"probe.pooling = {pooling!r}: there is no region {unknown[0]!r}; {offers}"
            )


def _tell_lack(lacking: Collection[str], owner: str) -> str:
    if GEOMETRY in lacking:
        return "points of the face, which nothing finds here (measure.points)"
    if REGION in lacking:
        return "regions of the face, which were not kept"
    return f"layers before the last, which {owner} does not have"


def _tell_offers(
    poolings: Collection[str], *, regions: Collection[str] = ("NAME",), geometry: bool = True
) -> str:
    faces = [f"{REGION}:{name}" for name in regions] + [GEOMETRY] * geometry
    return f"there are {', '.join([*poolings, *faces])}"
