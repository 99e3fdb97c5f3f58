"""What more subjects would bring: a curve through the scores of probes that learnt from fewer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from canemo.metrics import Array
from canemo.stats import bound_middle

EXPONENTS = np.linspace(0.25, 2.0, 36)
LEAST_GAIN = 0.005
LEAST_SCALE = 1e-9  # less than this is rounding, not a slope
LEAST_SIZES = 3


@dataclass(frozen=True)
class _Curves:
    """B curves a - b * m**-c.

    Attributes
    ----------
    asymptote, scale, exponent
        (B,) a, b and c.
    """

    asymptote: Array
    scale: Array
    exponent: Array

    def predict(self, subjects: float) -> Array:
        """Return (B,) the score of probes that learn from so many subjects."""
        return self.asymptote - self.scale * subjects**-self.exponent


def fit_learning_curve(
    sizes: Array, scores: Array, *, extrapolate_to: int
) -> dict[str, Any] | None:
    """Fit a - b * m**-c to scores by the number of subjects m learnt from, and carry it further.

    Parameters
    ----------
    sizes
        (M,) how many subjects were learnt from.
    scores
        (B, M) score at each size: row 0 as observed, the others from bootstrap resamples of
        subjects. A size without an observed score (not a number) is left out, and so is a
        resample that has a score at fewer than three of the sizes.
    extrapolate_to
        Number of subjects to carry the curve to, not below the largest size.

    Returns
    -------
    dict or None
        ``points``, one for each size kept, with ``subjects``, ``score`` as observed, ``low`` and
        ``high``; ``asymptote`` a and ``exponent`` c of the observed scores, the exponent None
        where the curve is flat; ``extrapolation`` with the same keys as a point; ``gain`` with
        ``score``, ``low`` and ``high``, the extrapolated minus the fitted score at the largest
        size; ``rising``, whether the low end of the gain is above 0.005. Low and high are the
        2.5th and 97.5th percentiles of the resamples, None where there are none. Fit for JSON.
        None where fewer than three sizes have a score.

    Raises
    ------
    ValueError
        The shapes do not fit together, a size is not above 0, or the curve would be carried to
        fewer subjects than the largest size.

    Notes
    -----
    Least squares with a in [0, 1], b not negative and c in [0.25, 2] on a grid, every size
    weighing the same. A curve cannot fall, so chance alone gives a gain above 0: look at ``low``,
    not at ``score``. The power law is an assumption; what it says beyond twice the largest size
    rests on it more than on the scores.

    References
    ----------
    Cortes, Jackel, Solla, Vapnik & Denker (1994), Learning curves: asymptotic values and rate of
    convergence, NIPS 6, 327-334.
    Figueroa, Zeng-Treitler, Kandula & Ngo (2012), Predicting sample size required for
    classification performance, BMC Med Inform Decis Mak 12:8, doi:10.1186/1472-6947-12-8.
    """
    sizes, scores = np.asarray(sizes, dtype=np.float64), np.asarray(scores, dtype=np.float64)
    _validate(sizes, scores, extrapolate_to)
    kept = np.isfinite(scores[0])
    if kept.sum() < LEAST_SIZES:
        return None
    sizes, scores = sizes[kept], scores[:, kept]
    enough = np.isfinite(scores).sum(axis=1) >= LEAST_SIZES
    curves = _fit_curves(sizes, scores[enough])
    reached = curves.predict(float(extrapolate_to))
    gain = _describe(reached - curves.predict(float(sizes.max())))
    return {
        "points": [
            {"subjects": int(size), **_describe(column)}
            for size, column in zip(sizes, scores.T, strict=True)
        ],
        "asymptote": float(curves.asymptote[0]),
        "exponent": float(curves.exponent[0]) if curves.scale[0] > LEAST_SCALE else None,
        "extrapolation": {"subjects": int(extrapolate_to), **_describe(reached)},
        "gain": gain,
        "rising": gain["low"] is not None and gain["low"] > LEAST_GAIN,
    }


def _validate(sizes: Array, scores: Array, extrapolate_to: int) -> None:
    if sizes.ndim != 1 or scores.ndim != 2 or scores.shape[1] != len(sizes) or not len(scores):
        raise ValueError(
            f"sizes (M,) and scores (B, M) do not fit together: {sizes.shape} and {scores.shape}"
        )
    if (sizes <= 0).any():
        raise ValueError(f"sizes must be above 0, not {sizes.min():g}")
    if len(sizes) and extrapolate_to < sizes.max():
        raise ValueError(
            f"extrapolate_to must be at least the largest size, {sizes.max():g}, "
            f"not {extrapolate_to}"
        )


def _fit_curves(sizes: Array, scores: Array) -> _Curves:
    """Fit each of (B, M) scores; the best of `EXPONENTS` is kept."""
    fits = [_fit_line(sizes**-exponent, scores) for exponent in EXPONENTS]
    asymptote, scale, loss = (np.stack(part) for part in zip(*fits, strict=True))  # (C, B)
    best, row = loss.argmin(axis=0), np.arange(len(scores))
    return _Curves(asymptote[best, row], scale[best, row], EXPONENTS[best])


def _fit_line(x: Array, scores: Array) -> tuple[Array, Array, Array]:
    """Return (B,) a, b and the sum of squares of a - b * x with a in [0, 1] and b >= 0.

    The sum of squares is convex: its least value within bounds lies where it is least of all, if
    that is within them, and else on one of the edges a = 0, a = 1 and b = 0.
    """
    known = np.isfinite(scores)
    y, count = np.where(known, scores, 0.0), known.sum(axis=1)
    mean_x, mean_y = known @ x / count, y.sum(axis=1) / count
    apart = np.where(known, x - mean_x[:, None], 0.0)
    slope = -(apart * y).sum(axis=1) / (apart**2).sum(axis=1)
    free = mean_y + slope * mean_x
    inside = (slope >= 0) & (free >= 0) & (free <= 1)
    square, product = known @ x**2, y @ x
    zero, one = np.zeros_like(free), np.ones_like(free)
    flat = np.clip(mean_y, 0, 1)
    a = np.stack([np.where(inside, free, flat), zero, one, flat])  # (4, B)
    b = np.stack(
        [
            np.where(inside, slope, 0.0),
            np.maximum(-product / square, 0),
            np.maximum((known @ x - product) / square, 0),
            zero,
        ]
    )
    rest = np.where(known, y - a[:, :, None] + b[:, :, None] * x, 0.0)
    loss = (rest**2).sum(axis=2)
    best, row = loss.argmin(axis=0), np.arange(len(y))
    return a[best, row], b[best, row], loss[best, row]


def _describe(values: Array) -> dict[str, float | None]:
    """Return the observed value, which comes first, and the ends of the interval of the others."""
    low, high = bound_middle(values[1:], known=0) or (None, None)
    return {"score": float(values[0]), "low": low, "high": high}
