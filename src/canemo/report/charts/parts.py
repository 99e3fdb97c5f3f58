"""Charts of the parts of the face."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure

from canemo.report.charts.rows import Row, draw_rows
from canemo.report.words.parts import PARTS, list_parts, name_part
from canemo.report.words.wording import format_measure
from canemo.study.run_record import RunMetrics, SweepPart


def list_part_charts(metrics: RunMetrics) -> dict[str, tuple[Figure | None, str]]:
    """Return the chart of the parts with its words; nothing where there was but one."""
    parts = list_parts(metrics)
    if len(parts) < 2:
        return {}
    chance = 1 / len(metrics.study.labels)
    facts = [
        f"{name_part(part, parts)} {format_measure('balanced_accuracy', part.balanced_accuracy)}"
        for part in parts
    ]
    alt = f"Balanced accuracy by part of the crop. {'; '.join(facts)}."
    return {"parts": (draw_parts(parts, chance=chance), alt)}


def draw_parts(parts: Sequence[SweepPart], *, chance: float) -> Figure:
    """Draw the balanced accuracy of each part with its interval and a scheme of where it is."""
    rows = [
        Row(
            name_part(part, parts),
            part.balanced_accuracy,
            part.interval.balanced_accuracy,
            muted=not part.chosen,
            cells=PARTS.get(part.pooling, ("", ()))[1] or None,
        )
        for part in parts
    ]
    return draw_rows(rows, chance=chance, xlabel="balanced accuracy by clip")
