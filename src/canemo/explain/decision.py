"""What is explained: the evidence (logit) that a linear probe has for one label."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from canemo.errors import ConfigError, ModelError
from canemo.features.embed import LAYERS, Array, Features, average_cells
from canemo.features.poolings import POOLINGS, pool
from canemo.learn.probe import Probe
from canemo.networks.backbones import Backbone

Maps: TypeAlias = NDArray[np.float32]


@dataclass(frozen=True)
class Decision:
    """The logit of one label, as a linear function of the pooled features of a crop.

    Attributes
    ----------
    probe
        Of F features.
    pooling
        How the probe's features are made of an embedding; a key of `POOLINGS`.
    label
        One of the probe's labels. The logit is the evidence for it: against the other label where
        there are two, else against the mean of the others' evidence and its own.
    """

    probe: Probe
    pooling: str
    label: str

    def __post_init__(self) -> None:
        if self.label not in self.probe.labels:
            raise ConfigError(
                f"label {self.label!r}: the labels are {', '.join(self.probe.labels)}"
            )

    @property
    def direction(self) -> NDArray[np.float64]:
        """(F,) the weights of the standardised features."""
        return np.asarray(self._turn(self.probe.coef))

    @property
    def intercept(self) -> float:
        """The logit of the mean training crop."""
        return float(self._turn(self.probe.intercept))

    def _turn(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return what a probe has for the label, of rows for the second of two or for each of K."""
        index = self.probe.labels.index(self.label)
        if len(self.probe.labels) == 2:
            return np.asarray(rows[0] if index == 1 else -rows[0])
        return np.asarray(rows[index] - rows.mean(axis=0))

    def measure_logits(self, pooled: Array) -> NDArray[np.float64]:
        """Return the logits (N,) of pooled features (N, F)."""
        weights = self.direction / self.probe.scale
        return np.asarray((pooled - self.probe.mean) @ weights + self.intercept)

    def turned(self, direction: NDArray[np.float64]) -> Decision:
        """Return the decision of a probe that reads (F,) other weights, for controls."""
        return self._read(direction, self.intercept)

    def against(self) -> Decision:
        """Return the evidence against the label: the same logit with the other sign."""
        return self._read(-self.direction, -self.intercept)

    def _read(self, direction: NDArray[np.float64], intercept: float) -> Decision:
        labels = (f"not {self.label}", self.label)
        coef, constant = direction[None], np.array([intercept])
        return replace(
            self, probe=replace(self.probe, labels=labels, coef=coef, intercept=constant)
        )


@dataclass(frozen=True)
class TokenWeights:
    """A decision written as a sum over positions and, where it reads one, the CLS token.

    The logit is ``bias + sum over p (tokens[p] . t[p] - offsets[p]) + cls . c``.

    Attributes
    ----------
    tokens
        (P, D) float32, weights of the P patch tokens.
    offsets
        (P,) what the mean training crop has at each position, were it the same everywhere.
    cls
        (D,) weights of the CLS token, or None where it is not read.
    bias
        The rest.
    """

    tokens: Tensor
    offsets: Tensor
    cls: Tensor | None
    bias: float

    def measure_logits(self, cls: Tensor, tokens: Tensor) -> Tensor:
        """Return the logits (N,) of CLS tokens (N, D) and patch tokens (N, P, D)."""
        logits = (tokens * self.tokens).sum(dim=(1, 2)) - self.offsets.sum() + self.bias
        return logits if self.cls is None else logits + cls @ self.cls

    def to(self, device: torch.device) -> TokenWeights:
        """Return the same on a device."""
        cls = None if self.cls is None else self.cls.to(device)
        return TokenWeights(self.tokens.to(device), self.offsets.to(device), cls, self.bias)


def spread(decision: Decision, backbone: Backbone) -> TokenWeights:
    """Write a decision as a sum over what the last block of a backbone gives.

    Every pooling of the last block averages tokens, so that what it does to a picture of which a
    single token is 1 and all others 0 says what share that token has in each part of the features.

    Raises
    ------
    ConfigError
        The pooling reads blocks before the last.
    ModelError
        The probe has another number of features than the pooling gives.
    """
    needs = POOLINGS[decision.pooling].needs
    earlier = [name for name in needs if name in LAYERS]
    if earlier:
        raise ConfigError(
            f"the pooling {decision.pooling!r} reads blocks before the last ({earlier[0]}), whose "
            "maps are not kept; use --method occlusion, or evaluate with another --pooling"
        )
    places = len_grid(backbone)
    unit = np.eye(places, dtype=np.float32)[:, :, None]
    shares = _pool_units(unit, decision.pooling, backbone)  # (P, M)
    whole = np.zeros((1, places, 1), np.float32)
    own = _pool_units(whole, decision.pooling, backbone, cls=1.0)[0]  # (M,) of the CLS token
    parts, dim = shares.shape[1], backbone.feature_dim
    weights = decision.direction / decision.probe.scale
    if len(weights) != parts * dim:
        raise ModelError(
            f"the probe reads {len(weights)} features, the pooling {decision.pooling!r} of "
            f"{backbone.spec.name} gives {parts * dim}"
        )
    weights = weights.reshape(parts, dim)
    means = (weights * decision.probe.mean.reshape(parts, dim)).sum(axis=1)  # (M,)
    reads_cls = bool(np.any(own))
    return TokenWeights(
        torch.from_numpy((shares @ weights).astype(np.float32)),
        torch.from_numpy((shares @ means).astype(np.float32)),
        torch.from_numpy((own @ weights).astype(np.float32)) if reads_cls else None,
        decision.intercept - float(own @ means),
    )


def len_grid(backbone: Backbone) -> int:
    """Return P, the number of positions."""
    rows, columns = backbone.grid_shape
    return rows * columns


def require_grid(backbone: Backbone) -> None:
    """Raise ConfigError where a backbone has a single position: there is nothing to map."""
    if len_grid(backbone) < 2:
        raise ConfigError(
            f"backbone {backbone.spec.name!r} has a single position for the whole crop: it cannot "
            "say where in the face; choose a backbone with a grid of tokens or a larger last map"
        )


def _pool_units(
    tokens: NDArray[np.float32], pooling: str, backbone: Backbone, *, cls: float = 0.0
) -> NDArray[np.float64]:
    """Return (N, M) the pooled features of N pictures whose tokens have a single number each."""
    mean = tokens.mean(axis=1, dtype=np.float64).astype(np.float32)
    features = Features(
        pd.DataFrame(index=range(len(tokens))),
        np.full_like(mean, cls) if backbone.has_cls_token else mean,
        mean,
        average_cells(torch.from_numpy(tokens), backbone.grid_shape).numpy(),
    )
    return np.asarray(pool(features, pooling), dtype=np.float64)


def draw_directions(decision: Decision, number: int, *, seed: int) -> Sequence[Decision]:
    """Return the decisions of probes whose weights are drawn, as long as the probe's own."""
    rng = np.random.default_rng(seed)
    own = decision.direction
    drawn = rng.standard_normal((number, len(own)))
    drawn *= np.linalg.norm(own) / np.linalg.norm(drawn, axis=1, keepdims=True)
    return [decision.turned(direction) for direction in drawn]
