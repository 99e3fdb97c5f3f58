"""Exact contributions: what each position adds to the logit of a linear probe."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from canemo.errors import ConfigError
from canemo.explain.decision import Decision, Maps, TokenWeights, spread
from canemo.networks.backbones import Backbone
from canemo.records import Image


def map_contributions(
    images_rgb: Sequence[Image], backbone: Backbone, decisions: Sequence[Decision]
) -> Maps:
    """Return what each position adds to each logit, (M, N, rows, columns).

    Parameters
    ----------
    images_rgb
        N crops (H, W, 3) uint8, RGB.
    backbone
        Whose last block the probes read.
    decisions
        M of them; one pass of the backbone serves all.

    Raises
    ------
    ConfigError
        The pooling reads the CLS token, which belongs to no position, or earlier blocks.

    Notes
    -----
    An average of tokens (or of a CNN's map) followed by a linear probe is a sum over positions: the
    map sums to the logit less the logit of the mean training crop, exactly. Each position is
    compared with that mean crop, so that what all crops have alike adds little. The activations of
    a position know of their surroundings, in a transformer of the whole crop: the map says where
    the evidence is read, which need not be where it was seen. Occlusion asks that.

    References
    ----------
    Zhou et al. (2016), Learning deep features for discriminative localization,
    doi:10.1109/CVPR.2016.319 (class activation maps, of which this is the signed, centred form).
    """
    weights = [spread_exactly(decision, backbone) for decision in decisions]
    maps = sum_channels(backbone.embed(images_rgb).tokens, weights)
    shape = (len(decisions), len(images_rgb), *backbone.grid_shape)
    return np.ascontiguousarray(maps.reshape(shape).numpy())


def sum_channels(tokens: Tensor, weights: Sequence[TokenWeights]) -> Tensor:
    """Return what each of P positions adds to each of M logits, (M, N, P), of tokens (N, P, D)."""
    by_place = torch.stack([each.tokens for each in weights]).permute(1, 2, 0)  # (P, D, M)
    sums = torch.bmm(tokens.transpose(0, 1), by_place)  # (P, N, M)
    return sums.permute(2, 1, 0) - torch.stack([each.offsets for each in weights])[:, None]


def is_exact(decision: Decision, backbone: Backbone) -> bool:
    """Return whether a decision is a sum over positions."""
    try:
        spread_exactly(decision, backbone)
    except ConfigError:
        return False
    return True


def spread_exactly(decision: Decision, backbone: Backbone) -> TokenWeights:
    """Write a decision as a sum over positions alone; ConfigError where it reads the CLS token."""
    weights = spread(decision, backbone)
    if weights.cls is not None:
        raise ConfigError(
            f"the pooling {decision.pooling!r} of {backbone.spec.name} reads the CLS token, which "
            "is no sum over positions; use --method gradient, or evaluate with --pooling mean"
        )
    return weights
