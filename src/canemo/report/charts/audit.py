"""Charts of the audit."""

from __future__ import annotations

from matplotlib.figure import Figure

from canemo.report.charts.rows import Row, draw_rows
from canemo.report.words.audit import OWN, list_splits
from canemo.report.words.wording import (
    format_measure,
)
from canemo.study.run_record import (
    RunMetrics,
)


def list_audit_charts(metrics: RunMetrics) -> dict[str, tuple[Figure | None, str]]:
    """Return the chart of what each split would have claimed."""
    rows = [
        Row(name, claim.video, second=claim.frame, muted=name != OWN)
        for name, claim in list_splits(metrics.audit).items()
    ]
    facts = [f"{row.name} {format_measure('balanced_accuracy', row.value)}" for row in rows]
    drawn = draw_rows(
        rows, chance=1 / len(metrics.study.labels), xlabel="balanced accuracy claimed"
    )
    return {"splits": (drawn, f"Balanced accuracy by clip: {'; '.join(facts)}.")}
