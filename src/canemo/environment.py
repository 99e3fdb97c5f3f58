"""Where and with what a run was made."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from canemo.files import write_atomically

PACKAGES = (
    "av",
    "nncf",
    "numpy",
    "openvino",
    "pandas",
    "pyarrow",
    "safetensors",
    "scikit-learn",
    "scipy",
    "timm",
    "torch",
    "torchvision",
)


def version() -> str:
    """Return canemo's own version."""
    return importlib.metadata.version("canemo")


def describe_environment(*, command: str) -> dict[str, Any]:
    """Return versions, machine and time, as environment.json holds them."""
    return {
        "canemo": version(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": describe_processor(),
        "cores": os.cpu_count(),
        "packages": {name: _version_of(name) for name in PACKAGES},
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": command,
    }


def write_environment(path: Path, *, command: str) -> Path:
    """Write `describe_environment` as JSON."""
    return write_atomically(path, json.dumps(describe_environment(command=command), indent=1))


def _version_of(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def describe_processor() -> str:
    """Return the processor's own name."""
    if sys.platform == "linux":
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
