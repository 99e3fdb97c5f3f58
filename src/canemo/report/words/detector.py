"""What became of training a detector, and how detectors do, as tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from canemo.report.tables import (
    COUNT,
    THREE_DECIMALS,
    Column,
    Format,
    describe_records,
    format_text,
)

if TYPE_CHECKING:
    from canemo.faces.training.records import TrainingRecord

_MIXED = Format(lambda value: f"{value:.3f}" if isinstance(value, float) else str(value), "General")


def format_columns(records: Sequence[Mapping[str, Any]]) -> str:
    """Return records side by side, one line per key, numbers with three decimals."""
    columns = [Column("key", "")]
    columns += [Column(str(number), "", format=_MIXED) for number in range(len(records))]
    measures = [
        {"key": key, **{str(number): record[key] for number, record in enumerate(records)}}
        for key in records[0]
    ]
    table = describe_records("", columns, measures, is_headed=False)
    return format_text(table, is_captioned=False)


def format_training(record: TrainingRecord) -> str:
    """Return a detector's training: where it started, its epochs, which one was kept."""
    columns = (
        Column("epoch", "Epoch", format=COUNT),
        Column("average_precision", "AP", format=THREE_DECIMALS),
        Column("average_precision_50", "AP50", format=THREE_DECIMALS),
        Column("recall_50", "Recall", format=THREE_DECIMALS),
        Column("recall_75", "at 0.75", format=THREE_DECIMALS),
        Column("false_positives_per_image", "False", format=THREE_DECIMALS),
    )
    caption = (
        f"Started from {record.started_from}; trained on {record.train_counts.images} images of "
        f"{len(record.train_subjects)} subjects, measured on {record.held_out_counts.images} "
        f"images of {len(record.held_out_subjects)} others. Epoch {record.best_epoch.epoch} is "
        "kept."
    )
    return format_text(describe_records(caption, columns, record.epochs))
