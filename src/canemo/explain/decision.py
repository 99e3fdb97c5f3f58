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
from canemo.explain.faces import Faces, require_faces
from canemo.features.embed import LAYERS, Array, Features, average_cells
from canemo.features.poolings import GEOMETRY, Block, list_needs, parse_blocks, pool, reads_face
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
        The representation that the probe reads.
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
        return np.asarray((pooled - self.probe.mean) @ self.slopes + self.intercept)

    @property
    def slopes(self) -> NDArray[np.float64]:
        """(F,) what one more of each feature, in its own units, adds to the logit."""
        return np.asarray(self.direction / self.probe.scale)

    def narrow(self, columns: slice, pooling: str) -> Decision:
        """Return what some of the features add to the logit; the intercept is none of theirs."""
        probe = self.probe
        part = replace(
            probe,
            mean=probe.mean[columns],
            scale=probe.scale[columns],
            coef=probe.coef[:, columns],
            intercept=np.zeros_like(probe.intercept),
        )
        return replace(self, probe=part, pooling=pooling)

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
    """A decision written as a sum over positions and, where it reads more than these, a rest.

    The logit of crop n is
    ``bias[n] + sum over p, m (shares[n, p, m] (tokens[n, p] . weights[m] - means[m])) + cls . c``.

    Attributes
    ----------
    shares
        (N, P, M) float32, of each of P patch tokens in each of the M averages that are read; N is 1
        where they are the same in every crop.
    weights
        (M, D) of the averages.
    means
        (M,) what the mean training crop has in each.
    cls
        (D,) weights of the CLS token, or None where it is not read.
    bias
        (N,) or (1,), the rest: a constant and what is no token.
    """

    shares: Tensor
    weights: Tensor
    means: Tensor
    cls: Tensor | None
    bias: Tensor

    @property
    def tokens(self) -> Tensor:
        """(N, P, D) the weights of the patch tokens."""
        return self.shares @ self.weights

    @property
    def offsets(self) -> Tensor:
        """(N, P) what the mean training crop has at each position, were it the same everywhere."""
        return self.shares @ self.means

    def sum_channels(self, tokens: Tensor) -> Tensor:
        """Return what each position adds to the logit, (N, P), of patch tokens (N, P, D)."""
        return (self.shares * (tokens @ self.weights.T - self.means)).sum(dim=2)

    def measure_logits(self, cls: Tensor, tokens: Tensor) -> Tensor:
        """Return the logits (N,) of CLS tokens (N, D) and patch tokens (N, P, D)."""
        logits = self.sum_channels(tokens).sum(dim=1) + self.bias
        return logits if self.cls is None else logits + cls @ self.cls

    def to(self, device: torch.device) -> TokenWeights:
        """Return the same on a device."""
        return TokenWeights(
            self.shares.to(device),
            self.weights.to(device),
            self.means.to(device),
            None if self.cls is None else self.cls.to(device),
            self.bias.to(device),
        )


def spread(decision: Decision, backbone: Backbone, faces: Faces | None = None) -> TokenWeights:
    """Write a decision as a sum over what the last block of a backbone gives.

    Every pooling of the last block averages tokens, so that what it does to a picture of which a
    single token is 1 and all others 0 says what share that token has in each part of the features.
    A region averages other tokens in every crop: those that it covers there.

    Parameters
    ----------
    decision, backbone
        What is explained.
    faces
        Of the N crops that it is about; may be None where the decision reads pixels alone.

    Raises
    ------
    ConfigError
        The pooling reads blocks before the last, or faces and none are given.
    ModelError
        The probe has another number of features than the pooling gives.
    """
    blocks = parse_blocks(decision.pooling)
    _refuse_earlier(decision.pooling)
    known = require_faces(faces, decision.pooling) if reads_face(decision.pooling) else None
    shares, own = zip(*(_read_block(each, backbone, known) for each in blocks), strict=True)
    dim, geometry = backbone.feature_dim, None if known is None else known.geometry
    widths = [
        geometry.shape[1] if geometry is not None and block.name == GEOMETRY else dim * len(each)
        for block, each in zip(blocks, own, strict=True)
    ]
    if sum(widths) != len(decision.direction):
        raise ModelError(
            f"the probe reads {len(decision.direction)} features, the pooling "
            f"{decision.pooling!r} of {backbone.spec.name} gives {sum(widths)}"
        )
    rest, weights, means = np.array([decision.intercept]), [np.empty((0, dim))], [np.empty(0)]
    for part in split_decision(decision, widths):
        if part.pooling == GEOMETRY:
            rest = rest + part.measure_logits(np.asarray(geometry))
        else:
            weights.append(part.slopes.reshape(-1, dim))
            means.append((weights[-1] * part.probe.mean.reshape(-1, dim)).sum(axis=1))
    return _join(shares, np.concatenate(weights), np.concatenate(means), np.concatenate(own), rest)


def _join(
    shares: Sequence[NDArray[np.float64]],
    weights: NDArray[np.float64],
    means: NDArray[np.float64],
    own: NDArray[np.float64],
    rest: NDArray[np.float64],
) -> TokenWeights:
    crops = max(len(each) for each in shares)
    alike = [np.broadcast_to(each, (crops, *each.shape[1:])) for each in shares]
    return TokenWeights(
        _to_tensor(np.concatenate(alike, axis=2)),
        _to_tensor(weights),
        _to_tensor(means),
        _to_tensor(own @ weights) if own.any() else None,
        _to_tensor(rest - own @ means),
    )


def _to_tensor(array: NDArray[np.floating]) -> Tensor:
    return torch.from_numpy(array.astype(np.float32))


def _refuse_earlier(pooling: str) -> None:
    earlier = [name for name in list_needs(pooling) if name in LAYERS]
    if earlier:
        raise ConfigError(
            f"the pooling {pooling!r} reads blocks before the last ({earlier[0]}), whose maps are "
            "not kept; use --method occlusion, or evaluate with another --pooling"
        )


def _read_block(
    block: Block, backbone: Backbone, faces: Faces | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the shares of tokens in the M averages of a block, (N or 1, P, M), and of CLS, (M,).

    The geometry of a face is no average of tokens: M is 0.
    """
    places = len_grid(backbone)
    if block.name == GEOMETRY:
        return np.empty((1, places, 0)), np.empty(0)
    if faces is not None and block.regions:
        return faces.share(block.regions)[:, :, None].astype(np.float64), np.zeros(1)
    unit = np.eye(places, dtype=np.float32)[:, :, None]
    whole = np.zeros((1, places, 1), np.float32)
    own = _pool_units(whole, block.name, backbone, cls=1.0)[0]
    return _pool_units(unit, block.name, backbone)[None], own


def split_decision(decision: Decision, widths: Sequence[int]) -> list[Decision]:
    """Return what each block of a representation adds to the logit, as a decision of its own.

    The logit is the sum of theirs and of the whole's intercept.

    Parameters
    ----------
    decision
        Whose pooling has as many blocks as there are `widths`.
    widths
        How many features each block has.
    """
    blocks, ends = parse_blocks(decision.pooling), np.cumsum(widths)
    return [
        decision.narrow(slice(end - width, end), block.name)
        for block, width, end in zip(blocks, widths, ends, strict=True)
    ]


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
