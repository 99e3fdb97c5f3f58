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

_CROPS_AT_ONCE = 16
_VALUES_AT_ONCE = 2**22  # activations taken at once: 32 MB in double precision
_DENSE_SIZE = 64  # up to here a full decomposition is as fast
_BLOCK, _PRODUCTS = 4, 7  # the subspace has 4 * (7 + 1) dimensions
_ANGLE = 1e-6  # greatest sine of the angle that counts as found
_ROUNDING = 1e-14  # of a difference of squared norms, relative to the norm


def map_crops(images_rgb: Sequence[Image], backbone: Backbone) -> list[NDArray[np.floating[Any]]]:
    """Return the EigenCAM of each crop, (rows, columns) of the backbone's grid, 0 to 1.

    The memory that is needed besides crops and maps does not grow with their number.
    """
    maps: list[NDArray[np.floating[Any]]] = []
    for start in range(0, len(images_rgb), _CROPS_AT_ONCE):
        activations = backbone.activations(images_rgb[start : start + _CROPS_AT_ONCE])
        scaled = scale_maps(compute_eigencam(activations)).numpy()
        maps.extend(each.reshape(backbone.grid_shape) for each in scaled)
    return maps


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

    The component is sought in a small subspace and kept where it is proved to be the first one,
    off by an angle of at most 1e-6; elsewhere it comes from a full decomposition.
    Where the first two components are equally strong but for rounding, no method can tell them
    apart; the map then shows one of their mixtures, the same one each time.

    References
    ----------
    Muhammad & Yeasin (2020), Eigen-CAM, IJCNN, doi:10.1109/IJCNN48605.2020.9206626.
    """
    at_once = max(1, _VALUES_AT_ONCE // max(1, activations[:1].numel()))
    return torch.cat([_project(some) for some in torch.split(activations, at_once)])


def _project(activations: Tensor) -> Tensor:
    x = activations.double()
    x = x - x.mean(dim=1, keepdim=True)
    positions, dim = x.shape[1:]
    if positions <= dim:  # the scores are the first eigenvector of the smaller Gram matrix
        values, vectors = _find_first_eigenpairs(x @ x.transpose(1, 2))
        maps = vectors * values[:, None].clamp(min=0).sqrt()
    else:
        _, vectors = _find_first_eigenpairs(x.transpose(1, 2) @ x)
        maps = (x @ vectors[..., None]).squeeze(-1)
    flip = maps.amin(dim=1).abs() > maps.amax(dim=1).abs()
    return torch.where(flip[:, None], -maps, maps).float()


def _find_first_eigenpairs(grams: Tensor) -> tuple[Tensor, Tensor]:
    """Return the greatest eigenvalue (N) and its vector (N, n) of each of (N, n, n) matrices."""
    if grams.shape[-1] <= _DENSE_SIZE:
        return _decompose(grams)
    values, vectors, proved = _search_krylov(grams)
    if not proved.all():
        values[~proved], vectors[~proved] = _decompose(grams[~proved])
    return values, vectors


def _decompose(grams: Tensor) -> tuple[Tensor, Tensor]:
    values, vectors = torch.linalg.eigh(grams)
    return values[:, -1], vectors[..., -1]


def _search_krylov(grams: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the greatest Ritz value (N), its vector (N, n), and whether it is proved to be first.

    Notes
    -----
    The subspace V is spanned by a block B of drawn vectors and by G B, G^2 B, ... (Musco & Musco
    2015, arXiv 1504.05477). What V leaves of G has the Frobenius norm
    s = sqrt(|G|^2 - |V'GV|^2), so that no eigenvalue but the first exceeds the second Ritz value
    by more than s (Weyl). With a gap above that bound, the sine of the angle between the Ritz
    vector and the first eigenvector is at most |residual| / gap (Davis & Kahan).
    """
    count, size, _ = grams.shape
    generator = torch.Generator().manual_seed(0)
    drawn = torch.randn(size, _BLOCK, generator=generator, dtype=grams.dtype).to(grams.device)
    blocks = [drawn.expand(count, size, _BLOCK)]
    for _ in range(_PRODUCTS):
        block = grams @ blocks[-1]
        blocks.append(block / block.norm(dim=1, keepdim=True).clamp(min=1e-300))
    basis, _ = torch.linalg.qr(torch.cat(blocks, dim=2))
    images = grams @ basis
    inner = basis.transpose(1, 2) @ images
    ritz, mixtures = torch.linalg.eigh(inner)
    mixture = mixtures[..., -1:]
    vectors = (basis @ mixture).squeeze(-1)
    residual = ((images @ mixture).squeeze(-1) - ritz[:, -1:] * vectors).norm(dim=1)
    whole = grams.square().sum(dim=(1, 2))
    left = (whole - inner.square().sum(dim=(1, 2))).clamp(min=0) + _ROUNDING * whole
    gap = ritz[:, -1] - ritz[:, -2] - left.sqrt()
    return ritz[:, -1], vectors, (gap > 0) & (residual <= _ANGLE * gap)


def scale_maps(maps: Tensor) -> Tensor:
    """Return (N, P) maps with negative values cut off and each map's maximum at 1."""
    positive = maps.clamp(min=0)
    return positive / positive.amax(dim=1, keepdim=True).clamp(min=1e-12)
