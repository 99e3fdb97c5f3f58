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

from canemo.networks.backbones import Backbone
from canemo.records import Image

CAM_SCALE = "first principal component of the activations, from 0 to each map's greatest value"
"""What the values of a map from `map_crops` mean."""

_CROPS_AT_ONCE = 16
_VALUES_AT_ONCE = 2**20  # activations taken at once: 8 MB in double precision
_DENSE_SIZE = 40  # up to here a full decomposition is as fast
_BLOCK, _PRODUCTS = 4, 5  # the subspace has 4 * (5 + 1) dimensions
_ANGLE = 1e-3  # greatest sine of the angle that counts as found: correlations above 0.999999
_ROUNDING = 1e-5  # of sums in single precision, relative to the trace or the squared norm


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

    The component is sought in a small subspace, in single precision, and kept where it is proved
    to be the first one, off by an angle of at most 1e-3; elsewhere it comes from a full
    decomposition in double precision. Where the first two components are equally strong but for
    rounding, no method can tell them apart; the map then shows one of their mixtures.

    References
    ----------
    Muhammad & Yeasin (2020), Eigen-CAM, IJCNN, doi:10.1109/IJCNN48605.2020.9206626.
    """
    at_once = max(1, _VALUES_AT_ONCE // max(1, activations[:1].numel()))
    return torch.cat([_project(some) for some in torch.split(activations, at_once)])


def _project(activations: Tensor) -> Tensor:
    x = activations if activations.dtype == torch.float64 else activations.float()
    x = x - x.mean(dim=1, keepdim=True, dtype=torch.float64).to(x)
    # With few positions the scores are the eigenvector of the smaller Gram matrix.
    wide = x.shape[1] <= x.shape[2]
    values, vectors = _find_first_eigenpairs(x if wide else x.transpose(1, 2))
    if wide:
        maps = vectors * values[:, None].clamp(min=0).sqrt()
    else:
        maps = (x @ vectors[..., None].to(x)).squeeze(-1)
    flip = maps.amin(dim=1).abs() > maps.amax(dim=1).abs()
    return torch.where(flip[:, None], -maps, maps).float()


def _find_first_eigenpairs(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Return the greatest eigenvalue (N) and its vector (N, n) of each R R' of (N, n, m) rows R."""
    if rows.shape[1] <= _DENSE_SIZE:
        return _decompose(rows)
    values, vectors, proved = _search_krylov(rows.float())
    if not proved.all():
        values[~proved], vectors[~proved] = _decompose(rows[~proved])
    return values, vectors


def _decompose(rows: Tensor) -> tuple[Tensor, Tensor]:
    rows = rows.double()
    values, vectors = torch.linalg.eigh(rows @ rows.transpose(1, 2))
    return values[:, -1], vectors[..., -1]


def _search_krylov(rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the greatest Ritz value (N), its vector (N, n), and whether it is proved to be first.

    Notes
    -----
    The subspace V is spanned by a block B of drawn vectors and by G B, G^2 B, ... of the Gram
    matrix G (Musco & Musco 2015, arXiv 1504.05477). What V leaves of G has the Frobenius norm
    s = sqrt(|G|^2 - |V'GV|^2), so that no eigenvalue but the first exceeds the second Ritz value
    by more than s (Weyl). With a gap above that bound, the sine of the angle between the Ritz
    vector and the first eigenvector is at most |residual| / gap (Davis & Kahan). Residual and
    gap are first made worse by what rounding may have done to them.
    """
    grams = rows @ rows.transpose(1, 2)
    count, size, _ = grams.shape
    generator = torch.Generator().manual_seed(0)
    drawn = torch.randn(size, _BLOCK, generator=generator).to(grams)
    blocks = [drawn.expand(count, size, _BLOCK)]
    for _ in range(_PRODUCTS):
        block = grams @ blocks[-1]
        blocks.append(block / block.norm(dim=1, keepdim=True).clamp(min=1e-30))
    basis, _ = torch.linalg.qr(torch.cat(blocks, dim=2))
    images = grams @ basis
    inner = (basis.transpose(1, 2) @ images).double()
    ritz, mixtures = torch.linalg.eigh(inner)
    mixture = mixtures[..., -1:].float()
    vectors = (basis @ mixture).squeeze(-1)
    residual = ((images @ mixture).squeeze(-1) - ritz[:, -1:] * vectors).norm(dim=1)
    rounding = _ROUNDING * grams.diagonal(dim1=1, dim2=2).sum(dim=1)
    whole = torch.linalg.vector_norm(grams, dim=(1, 2), dtype=torch.float64).square()
    left = (whole - inner.square().sum(dim=(1, 2))).clamp(min=0) + _ROUNDING * whole
    gap = ritz[:, -1] - ritz[:, -2] - left.sqrt() - rounding
    return ritz[:, -1], vectors.double(), (gap > 0) & (residual + rounding <= _ANGLE * gap)


def scale_maps(maps: Tensor) -> Tensor:
    """Return (N, P) maps with negative values cut off and each map's maximum at 1."""
    positive = maps.clamp(min=0)
    return positive / positive.amax(dim=1, keepdim=True).clamp(min=1e-12)
