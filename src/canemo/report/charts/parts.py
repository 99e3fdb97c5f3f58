"""Charts of the parts of the face."""

from __future__ import annotations

from collections.abc import Sequence

from canemo.report.charts.canvas import Chart
from canemo.report.charts.rows import Row, describe_rows, draw_rows
from canemo.report.words.parts import PARTS, list_parts, name_part
from canemo.study.records.run import RunMetrics, SweepPart


def list_part_charts(metrics: RunMetrics) -> dict[str, Chart]:
    """Return the chart of the parts with its words; nothing where there was but one."""
    parts = list_parts(metrics)
    if len(parts) < 2:
        return {}
    rows = list_part_rows(parts)
    chance = 1 / len(metrics.study.labels)
    drawn = draw_rows(rows, chance=chance, xlabel="balanced accuracy by clip")
    return {"parts": (drawn, f"Balanced accuracy by part of the crop. {describe_rows(rows)}.")}


def list_part_rows(parts: Sequence[SweepPart]) -> list[Row]:
    """Return the balanced accuracy of each part with its interval and where in the crop it is."""
    return [
        Row(
            name_part(part, parts),
            part.balanced_accuracy,
            part.interval.balanced_accuracy,
            muted=not part.chosen,
            cells=PARTS.get(part.pooling, ("", ()))[1] or None,
        )
        for part in parts
    ]
