"""The maps there are, by name, and the one way to ask for them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Literal, TypeAlias

import numpy as np

from canemo.errors import ConfigError
from canemo.explain.decision import Decision, Maps, require_grid
from canemo.explain.faces import Faces
from canemo.explain.maps.attention import map_rollout
from canemo.explain.maps.cam import map_gradcam, map_gradcam_plus_plus, map_scorecam
from canemo.explain.maps.contribution import is_exact, map_contributions
from canemo.explain.maps.eigencam import compute_eigencam
from canemo.explain.maps.gradients import map_gradients
from canemo.explain.maps.occlusion import map_occlusion
from canemo.features.embed import LAYERS
from canemo.features.poolings import list_needs
from canemo.networks.backbones import Backbone
from canemo.records import Image

Compute: TypeAlias = Callable[[Sequence[Image], Backbone, Sequence[Decision], Faces | None], Maps]
BATCH_SIZE = 16


@dataclass(frozen=True)
class Method:
    """A kind of map.

    Attributes
    ----------
    name, title
        For options and for readers.
    explains
        ``"decision"`` where the map can depend on the probe, ``"backbone"`` where it cannot.
    values
        What a value is; negative ones speak against the label where `signed`.
    compute
        N crops, a backbone, M decisions and the faces to (M, N, rows, columns) float32.
    signed
        Whether values below zero mean something.
    exact
        Whether values and a constant sum to the logit.
    """

    name: str
    title: str
    explains: Literal["decision", "backbone"]
    values: str
    compute: Compute
    signed: bool = True
    exact: bool = False


def _map_eigencam(
    images_rgb: Sequence[Image],
    backbone: Backbone,
    decisions: Sequence[Decision],
    _faces: Faces | None = None,
) -> Maps:
    maps = compute_eigencam(backbone.activations(images_rgb)).numpy()
    square = maps.reshape(len(maps), *backbone.grid_shape)
    return np.repeat(square[None], len(decisions), axis=0)


METHODS: dict[str, Method] = {
    each.name: each
    for each in (
        Method(
            "contribution",
            "exact contributions",
            "decision",
            "part of the logit; with the bias they sum to it",
            map_contributions,
            exact=True,
        ),
        Method(
            "gradient",
            "gradient x activation of the last block",
            "decision",
            "first-order part of the logit; no exact sum",
            map_gradients,
        ),
        Method(
            "occlusion",
            "occlusion by a sliding square",
            "decision",
            "what the logit loses when the place is covered",
            map_occlusion,
        ),
        Method(
            "gradcam", "Grad-CAM", "decision", "0 to each map's greatest", map_gradcam, signed=False
        ),
        Method(
            "gradcam++",
            "Grad-CAM++",
            "decision",
            "0 to each map's greatest",
            map_gradcam_plus_plus,
            signed=False,
        ),
        Method(
            "scorecam",
            "Score-CAM",
            "decision",
            "0 to each map's greatest",
            map_scorecam,
            signed=False,
        ),
        Method(
            "rollout",
            "attention rollout",
            "backbone",
            "share of each patch in the embedding's attention",
            map_rollout,
            signed=False,
        ),
        Method(
            "eigencam",
            "EigenCAM",
            "backbone",
            "first principal component of the activations",
            _map_eigencam,
            signed=False,
        ),
    )
}
"""Name -> map."""


def find_method(name: str) -> Method:
    """Return a method by name; ConfigError names those there are."""
    if name not in METHODS:
        raise ConfigError(f"map {name!r} is unknown; there are {', '.join(METHODS)}")
    return METHODS[name]


def choose_method(decision: Decision, backbone: Backbone) -> Method:
    """Return the map that explains a decision best.

    Exact contributions; gradients, where the CLS token is read; occlusion, where earlier blocks
    are.
    """
    if is_exact(decision, backbone):
        return METHODS["contribution"]
    reads_earlier = set(list_needs(decision.pooling)) & set(LAYERS)
    reachable = not reads_earlier and backbone.readout.last_block is not None
    return METHODS["gradient" if reachable else "occlusion"]


def map_decisions(
    images_rgb: Sequence[Image],
    method: Method,
    *,
    backbone: Backbone,
    decisions: Sequence[Decision],
    faces: Faces | None = None,
) -> Maps:
    """Return one map per decision and crop, (M, N, rows, columns) float32.

    Parameters
    ----------
    images_rgb
        N crops (H, W, 3) uint8, RGB.
    method
        From `find_method`. Maps say what speaks for each decision's label.
    backbone, decisions
        What is explained: M probes on one backbone, read in one pass.
    faces
        Of the crops, where a decision reads more than pixels.

    Raises
    ------
    ConfigError
        The method does not fit the backbone or a pooling, or there is nothing to map.
    MissingExtraError
        The method needs an optional package.
    """
    require_grid(backbone)
    batches = [slice(at, at + BATCH_SIZE) for at in range(0, len(images_rgb), BATCH_SIZE)]
    parts = [
        method.compute(
            images_rgb[some], backbone, decisions, None if faces is None else faces.take(some)
        )
        for some in batches
    ]
    if not parts:
        return np.empty((len(decisions), 0, *backbone.grid_shape), np.float32)
    return np.concatenate(parts, axis=1)


def iter_maps(
    images_rgb: Iterable[Image], method: Method, *, backbone: Backbone, decision: Decision
) -> Iterator[Maps]:
    """Yield the map (rows, columns) of each crop, in order.

    No more than a few crops are held at a time, so that memory does not grow with their number.
    Raises as `map_decisions`.
    """
    crops = iter(images_rgb)
    while some := list(islice(crops, BATCH_SIZE)):
        yield from map_decisions(some, method, backbone=backbone, decisions=[decision])[0]
