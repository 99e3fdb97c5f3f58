"""What moved labels or codings give beside those at hand."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from canemo.learn.predictions import Array
from canemo.trust.intervals import LEVEL, bound_middle, count_reached


@dataclass(frozen=True)
class Chance:
    """Measures of one arrangement, the labels or a coding as they are, and of R others.

    Attributes
    ----------
    observed
        Measure -> its value for the arrangement at hand, perhaps not a number.
    null
        Measure -> (R,) values; where `exact` the observed one is among them.
    exact
        Whether these are all the arrangements there are.
    """

    observed: Mapping[str, float]
    null: Mapping[str, Array]
    exact: bool

    def know(self, name: str) -> float | None:
        """Return the observed value of a measure as JSON can hold it."""
        value = self.observed[name]
        return float(value) if np.isfinite(value) else None

    def compute_p(self, name: str, *, low: bool = False) -> float | None:
        """Return the share of arrangements that give as much of a measure, or as little of it.

        None where there is no other arrangement, or no observed value.
        """
        if not self._can_tell(name):
            return None
        sign = -1 if low else 1
        return count_reached(sign * self.observed[name], sign * self.null[name], exact=self.exact)

    def compute_p_both_ways(self, name: str) -> float | None:
        """Return p of a value as far out as this on either side of what others give.

        It is twice the smaller of the two one-sided p, at most 1. What a unit has in common with
        the condition by how often each subject shows it stays as it is when codings move, so that
        what they give need not lie around zero.
        """
        sides = [self.compute_p(name, low=low) for low in (False, True)]
        known = [side for side in sides if side is not None]
        return min(1.0, 2 * min(known)) if known else None

    def find_critical(self, name: str, *, level: float) -> float | None:
        """Return the value above which p is at most `level`; None where none would do."""
        null = np.sort(self.null[name])[::-1]
        others = math.floor(level * (len(null) + (not self.exact)) + 1e-9) - 1
        if not 0 <= others < len(null) or not np.isfinite(null[others]):
            return None
        return float(null[others])

    def describe_null(self, name: str) -> dict[str, float | None]:
        """Return the mean of what the others give, and what one in twenty exceeds."""
        values = self.null[name][np.isfinite(self.null[name])]
        if not len(values):
            return {"null_mean": None, "null_high": None}
        return {
            "null_mean": float(values.mean()),
            "null_high": float(np.quantile(values, 1 - LEVEL)),
        }

    def bound_null(self, name: str) -> list[float] | None:
        """Return the middle 95 % of what the others give."""
        ends = bound_middle(self.null[name], known=0)
        return None if ends is None else list(ends)

    def _can_tell(self, name: str) -> bool:
        others = not self.exact or len(self.null[name]) > 1
        return others and bool(np.isfinite(self.observed[name]))
