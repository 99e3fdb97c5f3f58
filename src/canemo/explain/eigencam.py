"""EigenCAM: where the activations of a frozen backbone vary most.

The map is the first principal component of the activations of one picture. It does not know the
probe: it shows what the backbone looks at, not why a label was chosen.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from canemo.backbones import Backbone
from canemo.records import Image

CAM_SCALE = "first principal component of the activations, from 0 to each map's greatest value"
"""What the values of a map from `map_crops` mean."""


def map_crops(images_rgb: Sequence[Image], backbone: Backbone) -> list[NDArray[np.floating[Any]]]:
    """Return the EigenCAM of each crop, (rows, columns) of the backbone's grid, 0 to 1."""
    maps = scale_maps(compute_eigencam(backbone.activations(images_rgb))).numpy()
    return [each.reshape(backbone.grid_shape) for each in maps]


def compute_eigencam(activations: Tensor) -> Tensor:
    """Project each picture's activations on their first principal component.

    Parameters
    ----------
    activations
        (N, P, D) float, P positions (patch tokens or map positions) of the last block.

    Returns
    -------
    Tensor
        (N, P) float32, signed, largest absolute value positive; all zero where the activations
        are the same at every position.

    Notes
    -----
    A principal component has no sign of its own; here a map is flipped when its most negative
    value is larger in size than its most positive one, so that few strong positions stand out.

    References
    ----------
    Muhammad & Yeasin (2020), Eigen-CAM, IJCNN, doi:10.1109/IJCNN48605.2020.9206626.
    """
    x = activations.double()
    x = x - x.mean(dim=1, keepdim=True)
    positions, dim = x.shape[1:]
    if positions <= dim:  # the scores are the first eigenvector of the smaller Gram matrix
        values, vectors = torch.linalg.eigh(x @ x.transpose(1, 2))
        maps = vectors[..., -1] * values[:, -1:].clamp(min=0).sqrt()
    else:
        _, vectors = torch.linalg.eigh(x.transpose(1, 2) @ x)
        maps = (x @ vectors[..., -1:]).squeeze(-1)
    flip = maps.amin(dim=1).abs() > maps.amax(dim=1).abs()
    return torch.where(flip[:, None], -maps, maps).float()


def scale_maps(maps: Tensor) -> Tensor:
    """Return (N, P) maps with negative values cut off and each map's maximum at 1."""
    positive = maps.clamp(min=0)
    return positive / positive.amax(dim=1, keepdim=True).clamp(min=1e-12)
