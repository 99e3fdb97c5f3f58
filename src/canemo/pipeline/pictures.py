"""The pictures of a run: what the backbone looks at in some crops, what the probe decides by."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from canemo.errors import ConfigError
from canemo.explain.decision import Decision
from canemo.explain.maps.eigencam import CAM_SCALE, map_crops
from canemo.explain.maps.methods import METHODS, choose_method, map_decisions
from canemo.faces.examples import ExampleCrop, choose_examples
from canemo.features.poolings import reads_face
from canemo.learn.learner import Fitted
from canemo.learn.probe import Probe
from canemo.networks.backbones import Backbone
from canemo.parallel import Progress
from canemo.pipeline.assess import Work
from canemo.records import Image
from canemo.report.charts.canvas import save_figure
from canemo.report.charts.crops import (
    draw_picture_rows,
    overlay_cam,
    overlay_evidence,
)
from canemo.report.charts.explanation import SCALE_QUANTILE

logger = logging.getLogger(__name__)

CAMS_PER_LABEL = 6


def draw_examples(work: Work, fitted: Fitted, figures_dir: Path, *, progress: Progress) -> None:
    """Draw what the backbone looks at in some crops and, of a linear probe, what decides.

    Parameters
    ----------
    work
        Of the run.
    fitted
        The probe that is saved as its model.
    figures_dir
        Gets ``eigencam.png`` and, where it can be had from one pass of the backbone,
        ``decision.png``.
    progress
        Told how far it is.
    """
    progress("explain", 0, 1)
    crops, backbone = work.crops, work.plan.backbone
    few = choose_examples(crops.used, crops.files, per_label=CAMS_PER_LABEL)
    grid = {
        label: _overlay(some, map_crops([each.image_rgb for each in some], backbone), overlay_cam)
        for label, some in few.items()
    }
    sheet = draw_picture_rows(grid, scale_title=CAM_SCALE)
    save_figure(sheet, figures_dir / "eigencam.png")
    if isinstance(fitted.classifier, Probe):
        label = work.metrics.protocol.positive_label
        decision = Decision(fitted.classifier, fitted.material.pooling, label)
        try:
            _draw_decision(few, backbone, decision, figures_dir / "decision.png")
        except ConfigError as exc:
            logger.warning("no picture of what decides: %s", exc)
    progress("explain", 1, 1)


def _draw_decision(
    examples: Mapping[str, Sequence[ExampleCrop]],
    backbone: Backbone,
    decision: Decision,
    path: Path,
) -> None:
    """Draw what speaks for and against a label; nothing where only occlusion could tell."""
    if reads_face(decision.pooling):
        return  # `explain` draws it, with what was found of each face
    method = choose_method(decision, backbone)
    if method is METHODS["occlusion"]:
        return
    maps = {
        label: map_decisions(
            [each.image_rgb for each in some], method, backbone=backbone, decisions=[decision]
        )[0]
        for label, some in examples.items()
    }
    full = max(float(np.quantile(np.abs(each), SCALE_QUANTILE)) for each in maps.values()) or 1.0
    grid = {
        label: _overlay(some, np.clip(maps[label] / full, -1, 1), overlay_evidence)
        for label, some in examples.items()
    }
    title = f"{method.title}: against (-1) and for (1) {decision.label}"
    save_figure(draw_picture_rows(grid, scale_title=title, signed=True), path)


def _overlay(
    examples: Sequence[ExampleCrop],
    maps: Sequence[NDArray[np.floating[Any]]] | NDArray[np.floating[Any]],
    overlay: Callable[[Image, NDArray[np.floating[Any]]], Image],
) -> list[list[tuple[str, Image]]]:
    """Return rows of captioned crops, each with its map on its right."""
    pairs = [
        [(each.caption, each.image_rgb), ("", overlay(each.image_rgb, each_map))]
        for each, each_map in zip(examples, maps, strict=True)
    ]
    return [list(chain(*pairs[start : start + 3])) for start in range(0, len(pairs), 3)]
