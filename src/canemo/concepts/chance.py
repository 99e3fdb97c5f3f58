"""What moved codings give beside the one at hand.

References
----------
Phipson & Smyth (2010), Permutation p-values should never be zero, Stat Appl Genet Mol Biol 9.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from canemo.discriminant import Array
from canemo.stats import LEVEL

_ROUNDING = 1e-9
_TAILS = (2.5, 97.5)


@dataclass(frozen=True)
class Chance:
    """Measures of one coding, and of R others.

    Attributes
    ----------
    observed
        Measure -> its value for the coding at hand, perhaps not a number.
    null
        Measure -> (R,) values; where `exact` the observed one is among them.
    exact
        Whether these are all the codings there are.
    """

    observed: Mapping[str, float]
    null: Mapping[str, Array]
    exact: bool

    def know(self, name: str) -> float | None:
        """Return the observed value of a measure as JSON can hold it."""
        value = self.observed[name]
        return float(value) if np.isfinite(value) else None

    def compute_p(self, name: str, *, low: bool = False) -> float | None:
        """Return the share of codings that give as much of a measure, or as little of it.

        None where there is no other coding, or no observed value.
        """
        if not self._can_tell(name):
            return None
        sign = -1 if low else 1
        return count_reached(sign * self.observed[name], sign * self.null[name], exact=self.exact)

    def compute_p_both_ways(self, name: str) -> float | None:
        """Return p of a value as far out as this on either side of what other codings give."""
        if not self._can_tell(name):
            return None
        return count_beyond(self.observed[name], self.null[name], exact=self.exact)

    def describe_null(self, name: str) -> dict[str, float | None]:
        """Return the mean of what other codings give, and what one in twenty exceeds."""
        values = _keep_known(self.null[name])
        if not len(values):
            return {"null_mean": None, "null_high": None}
        return {
            "null_mean": float(values.mean()),
            "null_high": float(np.quantile(values, 1 - LEVEL)),
        }

    def bound_null(self, name: str) -> list[float] | None:
        """Return the middle 95 % of what other codings give."""
        return bound_values(self.null[name])

    def _can_tell(self, name: str) -> bool:
        others = not self.exact or len(self.null[name]) > 1
        return others and bool(np.isfinite(self.observed[name]))


def count_reached(observed: float, null: Array, *, exact: bool) -> float:
    """Return p: the share of the values that reach the observed one, which counts as one of them.

    What is not a number counts as reaching it.
    """
    reached = int((~(null < observed - _ROUNDING)).sum())
    return reached / len(null) if exact else (reached + 1) / (len(null) + 1)


def count_beyond(observed: float, null: Array, *, exact: bool) -> float:
    """Return twice the smaller of the two one-sided p, at most 1.

    What a unit has in common with the condition by how often each dog shows it stays as it is when
    codings move, so that what they give need not lie around zero.
    """
    sides = [count_reached(sign * observed, sign * null, exact=exact) for sign in (1, -1)]
    return min(1.0, 2 * min(sides))


def bound_values(values: Array) -> list[float] | None:
    """Return the middle 95 % of some values, None where none is a number."""
    known = _keep_known(values)
    return [float(end) for end in np.percentile(known, _TAILS)] if len(known) else None


def _keep_known(values: Array) -> Array:
    return np.asarray(values[np.isfinite(values)])
