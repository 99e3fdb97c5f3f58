"""What the blocks of a representation add to a logit, and the columns of its geometry to theirs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from canemo.explain.decision import Decision, split_decision
from canemo.explain.faces import Faces, reads_pixels, require_faces, see
from canemo.explain.maps.occlusion import measure_logits
from canemo.features.poolings import GEOMETRY, parse_blocks, pool
from canemo.learn.predictions import Array
from canemo.networks.backbones import Backbone
from canemo.records import Image


@dataclass(frozen=True)
class Evidence:
    """What the logits of N crops are made of.

    Attributes
    ----------
    logits
        (N,).
    blocks
        Name of each block of the representation -> (N,) what it adds. With the constant of the
        probe these sum to the logit.
    measured
        What the block `geometry` adds, as a decision of its own; None where it is not read.
    """

    logits: Array
    blocks: Mapping[str, Array]
    measured: Decision | None


def measure_evidence(
    images_rgb: Sequence[Image], backbone: Backbone, decision: Decision, faces: Faces | None
) -> Evidence:
    """Split the logits of N crops into what each block of the representation adds.

    Raises
    ------
    ConfigError
        The decision reads faces, and they are not known.
    """
    names = [block.name for block in parse_blocks(decision.pooling)]
    if reads_pixels(decision.pooling):
        first = None if faces is None else faces.take(slice(1))
        one = see(images_rgb[:1], backbone, first)
        parts = split_decision(decision, [pool(one, name).shape[1] for name in names])
        logits, *added = measure_logits(images_rgb, backbone, [decision, *parts], faces)
    else:
        parts = split_decision(decision, [len(decision.direction)])
        geometry = np.asarray(require_faces(faces, decision.pooling).geometry)
        logits, added = decision.measure_logits(geometry), [parts[0].measure_logits(geometry)]
    found = dict(zip(names, parts, strict=True))
    return Evidence(logits, dict(zip(names, added, strict=True)), found.get(GEOMETRY))
