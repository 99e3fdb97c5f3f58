"""How training went, epoch by epoch: one row per fold and epoch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

CURVE_COLUMNS = (
    "fold", "epoch", "train_crops", "train_loss", "train_accuracy",
    "test_crops", "test_loss", "test_accuracy",
)  # fmt: skip


def average_curves(curves: pd.DataFrame) -> pd.DataFrame:
    """Return one row per epoch: losses and accuracies averaged over folds, crop by crop."""
    rows = []
    for epoch, part in curves.groupby("epoch", sort=True):
        row: dict[str, Any] = {"epoch": epoch}
        for side in ("train", "test"):
            for name in ("loss", "accuracy"):
                column = f"{side}_{name}"
                row[column] = float(np.average(part[column], weights=part[f"{side}_crops"]))
        rows.append(row)
    names = [name for name in CURVE_COLUMNS if name not in ("fold", "train_crops", "test_crops")]
    return pd.DataFrame(rows, columns=names)
