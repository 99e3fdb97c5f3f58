"""Exact contributions: what each position adds to the logit of a linear probe."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from canemo.errors import ConfigError
from canemo.explain.decision import Decision, Maps, TokenWeights, spread
from canemo.explain.faces import Faces
from canemo.features.embed import LAYERS
from canemo.features.poolings import list_needs
from canemo.networks.backbones import Backbone
from canemo.records import Image


def map_contributions(
    images_rgb: Sequence[Image],
    backbone: Backbone,
    decisions: Sequence[Decision],
    faces: Faces | None = None,
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
    faces
        Of the crops, where a decision reads more than pixels.

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

    The tokens of a region count by how much of each the region covers in that crop: outside of it
    the map is zero. What a decision reads of the geometry of the face is in no map: where it reads
    both, the map sums to the logit less that part and the constant.

    References
    ----------
    Zhou et al. (2016), Learning deep features for discriminative localization,
    doi:10.1109/CVPR.2016.319 (class activation maps, of which this is the signed, centred form).
    """
    weights = [spread_exactly(decision, backbone, faces) for decision in decisions]
    tokens = backbone.embed(images_rgb).tokens
    maps = torch.stack([each.sum_channels(tokens) for each in weights])
    shape = (len(decisions), len(images_rgb), *backbone.grid_shape)
    return np.ascontiguousarray(maps.reshape(shape).numpy())


def is_exact(decision: Decision, backbone: Backbone) -> bool:
    """Return whether what a decision reads of the pixels is a sum over positions."""
    needs = {*list_needs(decision.pooling)}
    reads_cls = backbone.has_cls_token and "cls" in needs
    return not reads_cls and not needs & {*LAYERS}


def spread_exactly(
    decision: Decision, backbone: Backbone, faces: Faces | None = None
) -> TokenWeights:
    """Write a decision as a sum over positions alone; ConfigError where it reads the CLS token."""
    weights = spread(decision, backbone, faces)
    if weights.cls is not None:
        raise ConfigError(
            f"the pooling {decision.pooling!r} of {backbone.spec.name} reads the CLS token, which "
            "is no sum over positions; use --method gradient, or evaluate with --pooling mean"
        )
    return weights
