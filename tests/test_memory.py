"""Memory is flat in the length of a video, and what was finished survives an interrupt."""

import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import bench
from canemo.video.drawn import draw_study
from clips import write_clip

MEASURE = """
import sys
from pathlib import Path
from bench.measurement import measure_peak_mib
from canemo.networks.backbones import load_backbone
from canemo.config import CropConfig, DetectConfig
from canemo.faces.crops import extract_crops
from canemo.faces.detect.registry import load_detector
from canemo.features.store import extract_features
from canemo.species import DOG
from canemo.records import Video
from canemo.video.times import Sampling

path, cache = Path(sys.argv[1]), Path(sys.argv[2])
crops = extract_crops(
    Video("v", path, "s", "l"), load_detector("dog_head"), sampling=Sampling(fps=5),
    detect=DetectConfig(), crop=CropConfig(), cache_dir=cache,
)
backbone = load_backbone("efficientnet_lite0")
extract_features(crops, backbone, species=DOG, batch_size=16, cache_dir=cache)
print(measure_peak_mib())
"""


def peak_mib(path, cache):
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, str(path), str(cache)],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(bench.__file__).parents[1],
    )
    return float(done.stdout)


@pytest.mark.slow
def test_peak_memory_of_1080p_does_not_grow_with_length(tmp_path):
    noise = np.random.default_rng(0).integers(90, 160, (1080, 1920, 3), dtype=np.uint8)

    def draw(number):
        return np.roll(noise, 8 * number, axis=1)

    peaks = []
    for seconds in (4, 24):
        path = write_clip(
            tmp_path / f"{seconds}.mp4",
            frames=10 * seconds,
            rate=10,
            size=(1920, 1080),
            draw=draw,
            options={"preset": "ultrafast", "crf": "40"},
        )
        peaks.append(peak_mib(path, tmp_path / "cache"))
    assert peaks[1] < 1.1 * peaks[0]
    assert peaks[1] < 1500


FAST = [
    "--backbone", "efficientnet_lite0", "--set", "backbone.engine=torch",
    "--set", "detect.engine=torch", "--set", "evaluate.resamples=200",
    "--set", "evaluate.permutations=100",
]  # fmt: skip


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    folder = tmp_path_factory.mktemp("drawn") / "study"
    return draw_study(folder, subjects=3, clips_per_subject=4, seconds=0.8)


@pytest.mark.slow
def test_interrupted_process_continues_and_leaves_nothing_half_written(drawn, tmp_path):
    study = shutil.copytree(drawn, tmp_path / "study")
    command = [sys.executable, "-m", "canemo", "run", str(study), *FAST]
    # Jobs of a shell that runs in the background inherit that interrupts are ignored.
    process = subprocess.Popen(
        command,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    crops = study / "cache" / "crops"
    for _ in range(1800):
        if crops.is_dir() and len(list(crops.glob("[!.]*.parquet"))) >= 3:
            break
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "run the same command again" in err
    kept = {p: p.stat().st_mtime_ns for p in crops.glob("[!.]*.parquet")}
    assert len(kept) >= 3
    assert not list(study.rglob(".*"))
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert {p: p.stat().st_mtime_ns for p in kept} == kept


@pytest.mark.slow
def test_two_runs_on_one_cache_at_once_and_one_that_was_killed(drawn, tmp_path):
    study = shutil.copytree(drawn, tmp_path / "study")
    command = [sys.executable, "-m", "canemo", "--quiet", "run", str(study), *FAST, "--name"]
    killed = subprocess.Popen([*command, "a"], stderr=subprocess.DEVNULL)
    features = study / "cache" / "features"
    for _ in range(1200):
        if features.is_dir() and len(list(features.glob("[!.]*.parquet"))) >= 2:
            break
        time.sleep(0.1)
    killed.kill()
    killed.wait(timeout=60)
    assert not (study / "runs" / "a").exists()
    kept = {path: path.stat().st_mtime_ns for path in features.glob("[!.]*.parquet")}
    assert len(kept) >= 2
    both = [subprocess.Popen([*command, name], stderr=subprocess.PIPE, text=True) for name in "ab"]
    for process in both:
        _, err = process.communicate(timeout=300)
        assert process.returncode == 0, err
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    tables = [pd.read_parquet(study / "runs" / name / "predictions.parquet") for name in "ab"]
    pd.testing.assert_frame_equal(*tables)
