"""What was measured, as tables for a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bench.measurement import Measurement
from bench.parity import ParityRow


def format_machine(machine: Mapping[str, Any]) -> str:
    """Return the machine and the versions that something was measured with, in one line."""
    names = ("torch", "openvino", "timm", "av")
    found = machine["packages"]
    versions = ", ".join(f"{name} {found[name] or 'not installed'}" for name in names)
    return f"{machine['processor']}, {machine['cores']} cores; {versions}"


def format_costs(lines: Sequence[Measurement]) -> str:
    """Return measurements as a table."""
    wide = max(22, *(len(line.what) + 2 for line in lines))
    heading = (
        f"{'stage':<9}{'what':<{wide}}{'items':>8}{'seconds':>10}{'per s':>10}{'peak MiB':>10}"
    )
    rows = [
        f"{line.stage:<9}{line.what:<{wide}}{_show_count(line.items):>8}{line.seconds:>10.2f}"
        f"{_show_count(line.items_per_second):>10}{_show_peak(line):>10}  {line.note}".rstrip()
        for line in lines
    ]
    return "\n".join([heading, *rows])


def format_parity(rows: Sequence[ParityRow]) -> str:
    """Return how engines and precisions compare with torch in float32, a line each."""
    heading = (
        f"{'backbone':<22}{'engine':<10}{'precision':<10}{'crops':>6}{'cosine':>10}{'gate':>8}"
        f"{'points':>8}{'per s':>8}  passed"
    )
    passed = {True: "yes", False: "NO", None: "-"}
    lines = [
        f"{row.backbone:<22}{row.engine:<10}{row.precision:<10}{row.crops:>6}"
        f"{_show_number(row.cosine, 6):>10}{row.gate:>8}{_show_number(row.points, 1):>8}"
        f"{_show_number(row.pictures_per_second, 1):>8}  {passed[row.passed]:<6}  {row.note}"
        for row in rows
    ]
    return "\n".join([heading, *lines])


def _show_number(value: float | None, decimals: int) -> str:
    return "-" if value is None else f"{value:.{decimals}f}"


def _show_count(value: float) -> str:
    if value >= 1e9:
        return f"{value / 1e9:.1f} G"
    return str(value) if isinstance(value, int) else f"{value:.1f}"


def _show_peak(line: Measurement) -> str:
    return "–" if line.peak_mib is None else f"{line.peak_mib:.0f}"
