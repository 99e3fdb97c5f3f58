"""Maps of many crops, and what the tests of these maps found, subject by subject."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from canemo.explain.decision import Decision, Maps, draw_directions
from canemo.explain.faces import Faces
from canemo.explain.maps.methods import Method, map_decisions
from canemo.explain.scoring import correlate_maps, displace, point, trace_curves
from canemo.networks.backbones import Backbone
from canemo.records import Image

RANDOM_PROBES = 3


@dataclass(frozen=True)
class Case:
    """N crops that one probe is asked about.

    Attributes
    ----------
    origin
        N rows: video_id, subject_id, label, frame_index, logit.
    images_rgb
        The crops, (H, W, 3) uint8, RGB each.
    decision
        The logit that is explained.
    shuffled
        That of a probe learned from shuffled labels, or None where there is none.
    masks, points
        (N, R, side, side) regions of the face, and its points (N, K, 2) [pixels of each crop].
    tested
        (N,) which crops the maps are tested on.
    faces
        What the probe reads of them beside their pixels, or None.
    """

    origin: pd.DataFrame
    images_rgb: Sequence[Image]
    decision: Decision
    shuffled: Decision | None
    masks: NDArray[np.floating]
    points: NDArray[np.float64]
    tested: NDArray[np.bool_]
    faces: Faces | None = None

    def forget_images(self) -> Case:
        """Return the case without its pictures, and its regions in half the memory."""
        return replace(self, images_rgb=(), masks=self.masks.astype(np.float16))


@dataclass(frozen=True)
class Controls:
    """What maps are held against.

    Attributes
    ----------
    random_backbone
        The same network with drawn weights.
    truth
        Positions of the regions that the evidence is known to be in; empty where it is not known.
    seed
        Draws probes and places.
    """

    random_backbone: Backbone
    truth: Sequence[int] = ()
    seed: int = 0


def map_case(case: Case, method: Method, backbone: Backbone) -> Maps:
    """Return the maps (N, rows, columns) of what speaks for the decision's label."""
    return np.asarray(_map_all(case, method, backbone, [case.decision])[0])


def _map_all(case: Case, method: Method, backbone: Backbone, decisions: Sequence[Decision]) -> Maps:
    return map_decisions(
        case.images_rgb, method, backbone=backbone, decisions=decisions, faces=case.faces
    )


def examine_case(
    case: Case, maps: Maps, method: Method, *, backbone: Backbone, controls: Controls
) -> pd.DataFrame:
    """Put the maps of the tested crops to the test.

    Parameters
    ----------
    case
        The crops.
    maps
        (N, rows, columns) from `map_case`.
    method, backbone
        What made them.
    controls
        What they are tested with.

    Returns
    -------
    DataFrame
        One row per tested crop: its origin, and

        - deletion, insertion: areas under the curves [logits]; deletion_moved, insertion_moved:
          those of the same map moved to a random place; the curves themselves under
          deletion_curve, insertion_curve and so on, at `canemo.explain.scoring.CURVE_SHARES`
        - like_random_probe, like_shuffled, like_random_backbone: rank correlation, without its
          sign, with the map of a probe with drawn weights (mean of three), of one learned from
          shuffled labels, of the network with drawn weights; NaN where that could not be had
        - hit, truth_area: whether the greatest value lies in a true region, and the area in which
          it would count as such; NaN where the truth is not known
    """
    rows = np.flatnonzero(case.tested)
    if not len(rows):
        return pd.DataFrame()
    images, own = [case.images_rgb[int(row)] for row in rows], maps[rows]
    table = case.origin.iloc[rows].reset_index(drop=True)
    is_against = table["logit"].to_numpy() < 0
    case = replace(
        case,
        images_rgb=images,
        masks=case.masks[rows],
        faces=None if case.faces is None else case.faces.take(rows),
    )
    ranked = _turn_to_answer(case, own, method, backbone, is_against)
    seed = _vary(controls.seed, table)
    return table.assign(
        **_measure_curves(case, ranked, backbone, seed),
        **_compare_controls(case, own, method, backbone, controls.random_backbone, seed),
        **_point_at_truth(case.masks, ranked, controls.truth),
    )


def _vary(seed: int, table: pd.DataFrame) -> int:
    """Return a seed of the crops' own: the same draws for every subject would be one draw."""
    places = table[["video_id", "frame_index"]].to_csv(index=False)
    return zlib.crc32(f"{seed},{places}".encode())


def _turn_to_answer(
    case: Case,
    maps: Maps,
    method: Method,
    backbone: Backbone,
    is_against: NDArray[np.bool_],
) -> Maps:
    """Return maps that are greatest where the evidence for each crop's answer is."""
    if method.explains == "backbone" or not is_against.any():
        return maps
    if method.signed:
        other = -maps
    else:
        other = _map_all(case, method, backbone, [case.decision.against()])[0]
    return np.where(is_against[:, None, None], other, maps)


def _measure_curves(case: Case, ranked: Maps, backbone: Backbone, seed: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for suffix, each in (("", ranked), ("_moved", displace(ranked, seed=seed))):
        curves = trace_curves(
            case.images_rgb, each, backbone=backbone, decision=case.decision, faces=case.faces
        )
        found[f"deletion{suffix}"], found[f"insertion{suffix}"] = curves.areas()
        found[f"deletion_curve{suffix}"] = list(curves.deletion)
        found[f"insertion_curve{suffix}"] = list(curves.insertion)
    return found


def _compare_controls(
    case: Case,
    maps: Maps,
    method: Method,
    backbone: Backbone,
    random_backbone: Backbone,
    seed: int,
) -> dict[str, Any]:
    probes = list(draw_directions(case.decision, RANDOM_PROBES, seed=seed))
    probes += [] if case.shuffled is None else [case.shuffled]
    others = _map_all(case, method, backbone, probes)
    alike = np.abs([correlate_maps(maps, other) for other in others])
    of_random = _map_all(case, method, random_backbone, [case.decision])[0]
    return {
        "like_random_probe": alike[:RANDOM_PROBES].mean(axis=0),
        "like_shuffled": np.nan if case.shuffled is None else alike[-1],
        "like_random_backbone": np.abs(correlate_maps(maps, of_random)),
    }


def _point_at_truth(
    masks: NDArray[np.floating], ranked: Maps, truth: Sequence[int]
) -> dict[str, Any]:
    if not truth:
        return {"hit": np.nan, "truth_area": np.nan}
    hit, area = point(ranked, masks[:, list(truth)].sum(axis=1))
    return {"hit": hit.astype(float), "truth_area": area}
