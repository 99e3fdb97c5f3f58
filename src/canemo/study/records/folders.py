"""The folder of a finished run, or of a finished comparison, as it is read."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from canemo.config import Config, read_config
from canemo.errors import ModelError
from canemo.study.records.audit import Confounds
from canemo.study.records.clips import ClipSheet
from canemo.study.records.comparison import ComparisonRecord
from canemo.study.records.document import RUN, parse_json, read_text
from canemo.study.records.explanation import EXPLANATION_FILE, ExplainedModel, ExplanationRecord
from canemo.study.records.run import RunMetrics
from canemo.study.runs import (
    CLIPS_FILE,
    COMPARISON_FILE,
    CONFIG_FILE,
    CONFOUNDS_FILE,
    EXPLAIN_DIR,
    METRICS_FILE,
    pin_engines,
    require_run,
)

if TYPE_CHECKING:
    import pandas as pd

logger = logging.getLogger(__name__)

ENVIRONMENT_FILE = "environment.json"
PREDICTIONS_FILE, CURVES_FILE = "predictions.parquet", "curves.parquet"
LEDGER_FILE, VIDEOS_FILE = "frames.parquet", "videos.parquet"


@dataclass(frozen=True)
class _Folder:
    """A folder of results; what is not its numbers is read when it is asked for."""

    folder: Path

    @cached_property
    def config_toml(self) -> str:
        """The settings as text."""
        return read_text(self.folder / CONFIG_FILE, RUN)

    @cached_property
    def environment(self) -> Mapping[str, Any]:
        """Versions, machine and time."""
        return parse_json(self.folder / ENVIRONMENT_FILE, RUN)

    @cached_property
    def predictions(self) -> pd.DataFrame:
        """What was predicted of every video and frame."""
        return _read_table(self.folder / PREDICTIONS_FILE)

    @cached_property
    def curves(self) -> pd.DataFrame:
        """Loss and accuracy by epoch; empty where nothing was trained in epochs."""
        return _read_table(self.folder / CURVES_FILE, wanted=False)

    @cached_property
    def pictures(self) -> dict[str, Path]:
        """The PNG files under ``figures/`` by name."""
        return {path.name: path for path in sorted((self.folder / "figures").glob("*.png"))}


@dataclass(frozen=True)
class RunRecord(_Folder):
    """A finished run.

    What `confounds.json` holds, where an audit has left it, stands in `metrics` under ``audit``.
    """

    metrics: RunMetrics

    @cached_property
    def config(self) -> Config:
        """The settings, engines and points as they were chosen."""
        protocol, _ = self.metrics.protocol, self.config_toml  # it is there
        return pin_engines(
            read_config(self.folder / CONFIG_FILE),
            engine=protocol.engine,
            precision=protocol.precision,
            detector_engine=protocol.detector_engine,
            points=protocol.points,
        )

    @cached_property
    def curves(self) -> pd.DataFrame:
        """Loss and accuracy by epoch; empty where nothing was trained in epochs."""
        wanted = self.config.probe.method == "gradient"
        return _read_table(self.folder / CURVES_FILE, wanted=wanted)

    @cached_property
    def ledger(self) -> pd.DataFrame:
        """What became of every frame that was looked at."""
        return _read_table(self.folder / LEDGER_FILE)

    @cached_property
    def videos(self) -> pd.DataFrame:
        """The clips of the study, with what each file states of itself."""
        return _read_table(self.folder / VIDEOS_FILE)

    @cached_property
    def clips(self) -> ClipSheet | None:
        """Every clip in pictures and what is doubtful of it; None of a bundle, which has none."""
        path = self.folder / CLIPS_FILE
        return ClipSheet.read(path) if path.is_file() else None

    @cached_property
    def explanation(self) -> ExplainedModel | None:
        """What `canemo explain` left of this run, or None; what cannot be read is not shown."""
        path = self.folder / EXPLAIN_DIR / EXPLANATION_FILE
        if not path.is_file():
            return None
        try:
            models = ExplanationRecord.read(path).models
        except ModelError as exc:
            logger.warning("not shown: %s", exc)
            return None
        name = self.folder.resolve().name
        return next((model for model in models if model.name == name), None)


@dataclass(frozen=True)
class ComparisonFolder(_Folder):
    """A finished comparison."""

    comparison: ComparisonRecord


def read_run(folder: Path) -> RunRecord:
    """Read a finished run.

    Parameters
    ----------
    folder
        STUDY/runs/NAME.

    Raises
    ------
    ModelError
        `metrics.json` is missing or damaged, or is not what this version of canemo writes. The
        record's tables and texts are read when they are first asked for, and raise it then.
    """
    metrics = RunMetrics.read(require_run(folder) / METRICS_FILE)
    if (folder / CONFOUNDS_FILE).is_file():
        metrics = metrics.with_confounds(Confounds.read(folder / CONFOUNDS_FILE))
    return RunRecord(folder, metrics)


def read_comparison(folder: Path) -> ComparisonFolder:
    """Read a finished comparison, STUDY/comparisons/NAME; ModelError as `read_run`."""
    return ComparisonFolder(folder, ComparisonRecord.read(folder / COMPARISON_FILE))


def _read_table(path: Path, *, wanted: bool = True) -> pd.DataFrame:
    import pandas as pd
    import pyarrow as pa

    if not wanted and not path.is_file():
        return pd.DataFrame()
    try:
        return pd.read_parquet(path)
    except (OSError, ValueError, pa.ArrowException) as exc:
        reason = str(exc).splitlines()[0]
        raise ModelError(f"{path} is missing or damaged ({reason}); {RUN.remedy}") from exc
