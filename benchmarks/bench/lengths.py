"""Whether a long video takes more memory than a short one."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from bench.clips import as_study, choose_clips, loop_clip
from bench.measurement import Measurement, load_or_draw, measure_peak_mib
from canemo.config import load_config
from canemo.errors import CanemoError
from canemo.faces.detect.registry import load_detector
from canemo.features.extraction import Extraction
from canemo.features.store import load_pooled
from canemo.parallel import Progress, silent
from canemo.pipeline.extract import Cost, crop_and_embed

LENGTHS_S = (30.0, 300.0, 1800.0)
_FOLDER = Path(__file__).resolve().parents[1]
"""Where a process of its own finds this package."""


def measure_lengths(
    clips: Sequence[Path] = (),
    *,
    backbone: str = "efficientnet_lite0",
    lengths_s: Sequence[float] = LENGTHS_S,
    progress: Progress = silent,
) -> list[Measurement]:
    """Measure the most memory that cropping and embedding takes, against the length of the video.

    Parameters
    ----------
    clips
        The first is repeated to each length; none draws one.
    backbone
        Its name.
    lengths_s
        Lengths of the videos [s], ascending; each is worked on in a process of its own.
    progress
        Told how far it is.

    Returns
    -------
    list of Measurement
        One line per length, with the peak of its process; the note compares it with the first.
    """
    lines: list[Measurement] = []
    with tempfile.TemporaryDirectory(prefix="canemo-bench-") as name:
        root = Path(name)
        source = choose_clips(clips, root / "drawn")[0]
        for done, length_s in enumerate(lengths_s):
            progress("lengths", done, len(lengths_s))
            clip = loop_clip(source, root / f"{length_s:g}.mp4", length_s)
            start = time.perf_counter()
            found = _run_child(clip, root / f"{length_s:g}", backbone)
            seconds = time.perf_counter() - start
            first = (lines[0].peak_mib if lines else None) or found["peak_mib"]
            note = f"{found['peak_mib'] / first:.3f} x the first line's memory"
            lines.append(
                Measurement(
                    "length",
                    f"{length_s:g} s",
                    int(found["frames"]),
                    seconds,
                    found["peak_mib"],
                    note,
                )
            )
            clip.unlink()
        progress("lengths", len(lengths_s), len(lengths_s))
    return lines


def _run_child(clip: Path, root: Path, backbone: str) -> dict[str, float]:
    command = [sys.executable, "-m", "bench.lengths", str(clip), str(root), backbone]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=_FOLDER)
    if done.returncode:
        raise CanemoError(f"{clip.name}: {(done.stderr.strip() or 'failed').splitlines()[-1]}")
    found: dict[str, float] = json.loads(done.stdout)
    return found


def _work(clip: Path, root: Path, backbone: str) -> dict[str, float | None]:
    """Crop and embed a clip in this process, and say how much memory it held."""
    network, _ = load_or_draw(backbone, engine="auto", precision="auto")
    detector = load_detector("dog_head", engine="auto")
    extraction = Extraction(load_config(), detector, (network,), root / "cache")
    crops, (embedded,) = crop_and_embed(
        as_study([clip], root), extraction, progress=silent, cost=Cost()
    )
    load_pooled(embedded.sources, "cls")
    return {"frames": len(crops.ledger), "peak_mib": measure_peak_mib()}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(_work(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])))
