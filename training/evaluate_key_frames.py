"""Compare key frames with looking at every frame, on clips: boxes, missed faces, looks and time.

    python training/evaluate_key_frames.py FOLDER [--every 0.2] [--detector dog_head]

Every frame of every clip below FOLDER is picked. `IoU` and its 5th percentile (`p5`) are over the
frames that have a crop both ways, `missed` are those that have one only where every frame is looked
at. Times are those of the whole of `extract_crops`: by the clock, and spent by the processor, which
is what to go by on a machine that is busy with other things.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from canemo.config import CropConfig, DetectConfig
from canemo.faces.boxes import compute_iou
from canemo.faces.crops import extract_crops
from canemo.faces.detect.protocol import Detector
from canemo.faces.detect.registry import load_detector
from canemo.records import Face, Image, Video
from canemo.video.times import Sampling

BOX = ["x0", "y0", "x1", "y1"]
SUFFIXES = {".mp4", ".mov", ".mkv", ".avi", ".webm", ".m4v"}


class CountingDetector:
    """Hands everything to another detector and counts the pictures."""

    def __init__(self, detector: Detector) -> None:
        self._detector = detector
        self.name, self.fingerprint = detector.name, detector.fingerprint
        self.score_threshold, self.engine = detector.score_threshold, detector.engine
        self.looks = 0

    def detect(self, images_rgb: Sequence[Image]) -> list[list[Face]]:
        """Return what the other detector finds."""
        self.looks += len(images_rgb)
        return self._detector.detect(images_rgb)


@dataclass(frozen=True)
class Pass:
    """One way through a clip: the frames with a crop, and what they cost."""

    used: pd.DataFrame
    frames: int
    looks: int
    wall_s: float
    processor_s: float


@dataclass(frozen=True)
class Comparison:
    """Both ways through one clip, or through several."""

    overlaps: np.ndarray
    used: int
    missed: int
    frames: int
    looks: int
    wall_s: np.ndarray
    processor_s: np.ndarray


def go_through(path: Path, detector: Detector, every_s: float) -> Pass:
    """Make the crops of one clip anew."""
    counting = CountingDetector(detector)
    with tempfile.TemporaryDirectory() as folder:
        wall_s, processor_s = time.perf_counter(), time.process_time()
        ledger = extract_crops(
            Video(path.stem, path, "dog", "label"),
            counting,
            sampling=Sampling(every_nth=1),
            detect=DetectConfig(key_every_s=every_s),
            crop=CropConfig(),
            cache_dir=Path(folder),
        ).read_ledger()
        wall_s, processor_s = time.perf_counter() - wall_s, time.process_time() - processor_s
    used = ledger[ledger["fate"] == "used"].set_index("frame_index")
    return Pass(used, len(ledger), counting.looks, wall_s, processor_s)


def compare(path: Path, detector: Detector, every_s: float) -> Comparison:
    """Go through one clip both ways."""
    full, keyed = go_through(path, detector, 0.0), go_through(path, detector, every_s)
    both = full.used.index.intersection(keyed.used.index)
    pairs = zip(full.used.loc[both, BOX].values, keyed.used.loc[both, BOX].values, strict=True)
    return Comparison(
        np.array([compute_iou(tuple(a), tuple(b)) for a, b in pairs]),
        used=len(full.used),
        missed=len(full.used) - len(both),
        frames=full.frames,
        looks=keyed.looks,
        wall_s=np.array([full.wall_s, keyed.wall_s]),
        processor_s=np.array([full.processor_s, keyed.processor_s]),
    )


def pool(comparisons: Sequence[Comparison]) -> Comparison:
    """Take several clips as one."""
    return Comparison(
        np.concatenate([c.overlaps for c in comparisons]),
        used=sum(c.used for c in comparisons),
        missed=sum(c.missed for c in comparisons),
        frames=sum(c.frames for c in comparisons),
        looks=sum(c.looks for c in comparisons),
        wall_s=sum((c.wall_s for c in comparisons), np.zeros(2)),
        processor_s=sum((c.processor_s for c in comparisons), np.zeros(2)),
    )


def describe(name: str, found: Comparison) -> str:
    """Return one row of the table."""
    mean, low = (
        (np.mean(found.overlaps), np.percentile(found.overlaps, 5))
        if len(found.overlaps)
        else (np.nan, np.nan)
    )
    wall, processor = (seconds[1] / seconds[0] for seconds in (found.wall_s, found.processor_s))
    return (
        f"{name:34s} {found.frames:6d} {found.used:6d} {found.missed:6d} {mean:6.3f} {low:6.3f} "
        f"{found.looks / found.frames:6.2f} {wall:6.2f} {processor:6.2f}"
    )


def main() -> None:
    """Print the table, a clip a row, all together last."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--every", type=float, default=DetectConfig().key_every_s)
    parser.add_argument("--detector", default="dog_head")
    arguments = parser.parse_args()
    detector = load_detector(arguments.detector)
    columns = ("frames", "used", "missed", "IoU", "p5", "looks", "clock", "cpu")
    write_line(" ".join([f"{'clip':34s}", *(f"{name:>6s}" for name in columns)]))
    comparisons = []
    for path in sorted(arguments.folder.rglob("*")):
        if path.suffix.lower() in SUFFIXES:
            comparisons.append(compare(path, detector, arguments.every))
            write_line(describe(f"{path.parent.name}/{path.stem}", comparisons[-1]))
    write_line(describe("all", pool(comparisons)))


def write_line(text: str) -> None:
    """Show a row as soon as it is there."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
