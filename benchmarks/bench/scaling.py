"""Whether a frame costs the same in a large study as in a small one."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from bench.clips import as_study, choose_clips, copy_clip
from bench.measurement import Measurement, load_or_draw, measure_peak_mib
from canemo.config import Config, load_config
from canemo.faces.detect.registry import load_detector
from canemo.features.extraction import Extraction
from canemo.features.store import load_pooled
from canemo.parallel import Progress, silent
from canemo.pipeline.extract import Cost, crop_and_embed
from canemo.records import Fate

TIMES = (1, 3, 10)


def measure_scaling(
    clips: Sequence[Path] = (),
    *,
    backbone: str = "efficientnet_lite0",
    config: Config | None = None,
    times: Sequence[int] = TIMES,
    progress: Progress = silent,
) -> list[Measurement]:
    """Measure cropping, embedding and loading of 1, 3 and 10 times as many clips.

    Parameters
    ----------
    clips
        Video files or folders; none draws some.
    backbone
        Its name.
    config
        Settings; None takes the defaults.
    times
        How many times the clips, ascending; copies count as other footage.
    progress
        Told how far it is.

    Returns
    -------
    list of Measurement
        One line per size; the note gives the cost of a frame relative to the first line.
    """
    config = config or load_config()
    network, note = load_or_draw(backbone, engine="auto", precision="auto")
    detector = load_detector(config.detector, engine="auto")
    lines: list[Measurement] = []
    with tempfile.TemporaryDirectory(prefix="canemo-bench-") as name:
        root = Path(name)
        files = choose_clips(clips, root / "drawn")
        (root / "warm").mkdir()
        extraction = Extraction(config, detector, (network,), root / "warm")
        crop_and_embed(as_study(files[:1], root / "warm"), extraction, progress=silent, cost=Cost())
        for factor in times:
            folder = root / str(factor)
            folder.mkdir()
            copies = [
                copy_clip(file, folder / f"{number}-{file.name}", factor * 1000 + number)
                for number in range(factor)
                for file in files
            ]
            start = time.perf_counter()
            extraction = replace(extraction, cache_dir=folder / "cache")
            crops, (embedded,) = crop_and_embed(
                as_study(copies, folder), extraction, progress=progress, cost=Cost()
            )
            load_pooled(embedded.sources, "cls")
            seconds = time.perf_counter() - start
            frames = int((crops.ledger["fate"] != Fate.DECODE_ERROR).sum())
            first = lines[0].seconds / lines[0].items if lines else seconds / frames
            lines.append(
                Measurement(
                    "study",
                    f"{len(copies)} clips",
                    frames,
                    seconds,
                    measure_peak_mib(),
                    f"{seconds / frames / first:.3f} x the first line's cost per frame {note}",
                )
            )
    return lines
