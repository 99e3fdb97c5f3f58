"""Dogs in whose crops the evidence was planted, and maps that find it or do not."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np
import pandas as pd

from canemo.explain.decision import Decision, Maps
from canemo.explain.maps.methods import METHODS, Method
from canemo.explain.survey import Case, Controls, examine_case, map_case
from canemo.records import Image
from canemo.species import DOG
from explain_worlds import CHECKS, LABELS, TextureBackbone, draw_textures, mark, read_checks

DOGS = 6
MASK_SIDE = 56


def _draw(
    images_rgb: Sequence[Image], backbone: object, decisions: Sequence[Decision], faces: object
) -> Maps:
    return np.stack(
        [
            [_draw_one(image.tobytes() + decision.direction.tobytes()) for image in images_rgb]
            for decision in decisions
        ]
    )


def _draw_one(seed: bytes) -> np.ndarray:
    return np.random.default_rng(zlib.crc32(seed)).normal(size=(8, 8)).astype(np.float32)


def _ignore(
    images_rgb: Sequence[Image],
    backbone: TextureBackbone,
    decisions: Sequence[Decision],
    faces: object,
) -> Maps:
    own = METHODS["contribution"].compute(images_rgb, backbone, [read_checks()], None)
    return np.repeat(own, len(decisions), axis=0)


DRAWN = Method("drawn", "noise", "decision", "nothing", _draw)
KNOWS_NO_PROBE = Method("deaf", "of one probe, whichever is asked", "decision", "logit", _ignore)


def make_case(dog: int, decision: Decision, *, crops: int = 2) -> Case:
    """Return crops of a dog, of either label in turn, with the pattern or its inverse somewhere."""
    rng = np.random.default_rng(dog)
    places = [tuple(rng.integers(0, 7, 2).tolist()) for _ in range(crops)]
    signs = [1 if (dog + i) % 2 else -1 for i in range(crops)]
    images = [
        draw_textures(place, sign, rng=rng) for place, sign in zip(places, signs, strict=True)
    ]
    masks = np.zeros((crops, len(DOG.regions), MASK_SIDE, MASK_SIDE), np.float32)
    masks[:, DOG.regions.index("muzzle")] = np.kron(
        [mark(place) for place in places], np.ones((7, 7))
    )
    masks[:, DOG.regions.index("background")] = 1 - masks[:, DOG.regions.index("muzzle")]
    origin = pd.DataFrame(
        {
            "video_id": [f"dog{dog} clip{i}" for i in range(crops)],
            "subject_id": f"dog{dog}",
            "label": [LABELS[sign > 0] for sign in signs],
            "frame_index": 0,
            "logit": [1.2 * sign for sign in signs],
        }
    )
    shuffled = decision.turned(20 * np.random.default_rng(dog + 100).permutation(CHECKS))
    points = np.full((crops, 46, 2), np.nan)
    return Case(origin, images, decision, shuffled, masks, points, np.ones(crops, bool))


def examine_worlds(
    method: Method,
    *,
    backbone: TextureBackbone | None = None,
    decision: Decision | None = None,
    dogs: int = DOGS,
) -> pd.DataFrame:
    """Return the tests of a kind of map on all dogs."""
    backbone = backbone or TextureBackbone()
    controls = Controls(TextureBackbone(seed=1), truth=(DOG.regions.index("muzzle"),))
    tables = []
    for dog in range(dogs):
        case = make_case(dog, decision or read_checks())
        maps = map_case(case, method, backbone)
        tables.append(examine_case(case, maps, method, backbone=backbone, controls=controls))
    return pd.concat(tables, ignore_index=True)
