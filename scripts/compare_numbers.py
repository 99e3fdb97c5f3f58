#!/usr/bin/env python3
"""Hold the numbers of two folders of results against each other.

    python scripts/compare_numbers.py BEFORE AFTER [--tolerance 1e-9] [--ignore REGEX]...

Every metrics.json, comparison.json, explanation.json, confounds.json, concepts.json and
dynamics.json below BEFORE is read beside the one at the same place below AFTER. Exit 0: every value
agrees. What a machine or a day decides (costs, versions) is passed over; `--ignore` names what a
change is meant to change, and each such place is listed.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

FILES = (
    "metrics.json",
    "comparison.json",
    "explanation.json",
    "confounds.json",
    "concepts.json",
    "dynamics.json",
)
OF_THE_DAY = re.compile(
    r"(^|\.)(cost|schema|format|canemo|version|environment|folder|seconds)(\.|$)"
)


def main() -> int:
    """Compare the folders named on the command line; 0 where every number agrees."""
    options = _read_options()
    seen = differing = 0
    for path in sorted(find_results(options.before)):
        other = options.after / path
        if not other.is_file():
            print(f"missing  {path}")
            differing += 1
            continue
        numbers, lines = compare_files(options.before / path, other, options)
        seen += numbers
        differing += sum(line.startswith(("differs", "missing")) for line in lines)
        print(f"{path}: {numbers} values")
        for line in lines:
            print(f"  {line}")
    print(f"{seen} values, {differing} differ by more than {options.tolerance:g}")
    return 1 if differing or not seen else 0


def find_results(folder: Path) -> Iterator[Path]:
    """Yield the result files below a folder, relative to it."""
    for name in FILES:
        yield from (path.relative_to(folder) for path in folder.rglob(name))


def compare_files(before: Path, after: Path, options: argparse.Namespace) -> tuple[int, list[str]]:
    """Return how many values were held against each other, and a line for each that needs one."""
    old, new = (dict(iter_values(json.loads(p.read_text("utf-8")), "")) for p in (before, after))
    meant = [re.compile(pattern) for pattern in options.ignore]
    lines, numbers = [], 0
    for key, value in old.items():
        if OF_THE_DAY.search(key):
            continue
        if any(pattern.search(key) for pattern in meant):
            lines.append(f"meant    {key}: {value!r} -> {new.get(key)!r}")
        elif key not in new:
            lines.append(f"missing  {key}: {value!r}")
        elif not is_same(value, new[key], options.tolerance):
            lines.append(f"differs  {key}: {value!r} -> {new[key]!r}")
        numbers += 1
    return numbers, lines


def iter_values(content: Any, key: str) -> Iterator[tuple[str, Any]]:
    """Yield every value that is no container with the way to it, as ``a.b[2].c``."""
    if isinstance(content, dict):
        for name, value in content.items():
            yield from iter_values(value, f"{key}.{name}".removeprefix("."))
    elif isinstance(content, list):
        for place, value in enumerate(content):
            yield from iter_values(value, f"{key}[{place}]")
    else:
        yield key, content


def is_same(old: Any, new: Any, tolerance: float) -> bool:
    """Tell whether two values are equal, numbers within a tolerance relative to their size."""
    numbers = all(isinstance(v, int | float) and not isinstance(v, bool) for v in (old, new))
    if numbers:
        return bool(abs(old - new) <= tolerance * max(1.0, abs(old)))
    return bool(old == new)


def _read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    parser.add_argument("--tolerance", type=float, default=1e-9)
    parser.add_argument("--ignore", action="append", default=[], metavar="REGEX")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
