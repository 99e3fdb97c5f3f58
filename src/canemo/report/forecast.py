"""What a run would do, for the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from canemo.report.tables import (
    COUNT,
    SECONDS,
    Column,
    Format,
    Line,
    Table,
    format_text,
    list_lines,
)

if TYPE_CHECKING:
    from canemo.pipeline.forecast import Forecast

MEGABYTES = Format(lambda n: f"{n / 1e6:,.1f}", "0.0")
_WORDS = {
    "load": "load the models",
    "crop": "find and crop faces",
    "measure": "find points of the faces",
    "embed": "compute features",
    "augment": "compute features of views",
    "evaluate": "test on unseen dogs",
    "trust": "check the result",
    "model": "learn from all dogs",
    "explain": "draw maps",
    "look": "compare clips",
    "report": "write the report",
}
_COLUMNS = (
    Column("name", "Stage"),
    Column("items", "At most", format=COUNT),
    Column("unit", "Of what"),
    Column("cached", "There already", format=COUNT),
    Column("seconds", "Takes", format=SECONDS),
    Column("bytes", "On disk [MB]", format=MEGABYTES),
)


def format_forecast(forecast: Forecast) -> str:
    """Return the stages of a run with what is there already and how long the rest takes."""
    caption = (
        f"{forecast.videos} videos, {forecast.cropped} of them cropped and {forecast.embedded} "
        "embedded already; how long each stage takes here, and about how much room:"
    )
    total = Line(
        {"name": "in all", "seconds": forecast.seconds, "bytes": forecast.bytes}, is_total=True
    )
    stages = list_lines(_COLUMNS, forecast.stages)
    named = [Line({**line.values, "name": _name(line.values["name"])}) for line in stages]
    lines = [format_text(Table(caption, _COLUMNS, (*named, total)))]
    if forecast.unknown:
        lines.append(
            f"not known, and not counted: {', '.join(map(_name, forecast.unknown))}; a run keeps "
            "what they take on this machine"
        )
    return "\n".join([*lines, *(f"note: {note}" for note in forecast.notes)])


def _name(stage: str) -> str:
    return _WORDS.get(stage, stage)
