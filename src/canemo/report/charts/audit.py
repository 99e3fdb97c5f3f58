"""Charts of the audit."""

from __future__ import annotations

from canemo.report.charts.canvas import Chart
from canemo.report.charts.rows import Row, describe_rows, draw_rows
from canemo.report.words.audit import OWN, list_splits
from canemo.study.records.run import RunMetrics


def list_audit_charts(metrics: RunMetrics) -> dict[str, Chart]:
    """Return the chart of what each split would have claimed."""
    rows = [
        Row(name, claim.video, second=claim.frame, muted=name != OWN)
        for name, claim in list_splits(metrics.audit).items()
    ]
    chance = 1 / len(metrics.study.labels)
    drawn = draw_rows(rows, chance=chance, xlabel="balanced accuracy claimed")
    return {"splits": (drawn, f"Balanced accuracy by clip: {describe_rows(rows)}.")}
