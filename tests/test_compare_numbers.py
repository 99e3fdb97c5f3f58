"""The script that holds the numbers of two folders of results against each other."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "scripts" / "compare_numbers.py"
METRICS = {"schema": 1, "levels": {"video": {"accuracy": 0.5, "n": [3, 4]}}, "cost": {"s": 2.0}}


@pytest.fixture
def compare(tmp_path):
    def run(after, *options, name="metrics.json"):
        for folder, content in (("before", METRICS), ("after", after)):
            place = tmp_path / folder / "runs" / "a"
            place.mkdir(parents=True, exist_ok=True)
            (place / (name if folder == "after" else "metrics.json")).write_text(
                json.dumps(content)
            )
        command = [sys.executable, str(SCRIPT), str(tmp_path / "before"), str(tmp_path / "after")]
        return subprocess.run([*command, *options], capture_output=True, text=True, check=False)

    return run


def test_equal_numbers_agree_whatever_the_day_decides(compare):
    levels = {"video": {"accuracy": 0.5 + 1e-12, "n": [3, 4]}}
    done = compare({"schema": 2, "levels": levels, "cost": {"s": 9.0}, "new": 1})
    assert (done.returncode, "3 values, 0 differ" in done.stdout) == (0, True)


def test_number_that_moved_is_named_with_both_values(compare):
    done = compare({"levels": {"video": {"accuracy": 0.5 + 1e-8, "n": [3, 5]}}})
    assert done.returncode == 1
    assert "differs  levels.video.accuracy: 0.5 -> 0.50000001" in done.stdout
    assert "differs  levels.video.n[1]: 4 -> 5" in done.stdout


def test_what_went_is_missing_unless_it_was_meant_to_go(compare):
    gone = {"levels": {"video": {"accuracy": 0.5}}}
    done = compare(gone)
    assert done.returncode == 1
    assert "missing  levels.video.n[0]: 3" in done.stdout
    done = compare(gone, "--ignore", r"levels\.video\.n")
    assert done.returncode == 0
    assert "meant    levels.video.n[0]: 3 -> None" in done.stdout


def test_file_that_is_not_there_is_no_agreement(compare):
    done = compare(METRICS, name="other.json")
    assert done.returncode == 1
    assert "missing  runs/a/metrics.json" in done.stdout
