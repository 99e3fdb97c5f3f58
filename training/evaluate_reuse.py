"""Measure what carrying embeddings over changes in the answers of a trained model on whole clips.

    python training/evaluate_reuse.py RUN VIDEOS... --thresholds 4 8 16

Every frame of every clip is cropped and embedded; then, for each threshold, only the crops that
changed by more since the crop last embedded. One line per threshold: the share carried, and the
largest and the median change of a clip's probability.
"""

from __future__ import annotations

import argparse
import copy
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from canemo.predict import Model, find_videos, load_model, name_videos


def with_reuse(model: Model, threshold: float | None) -> Model:
    """Return the model looking at every frame, with embeddings carried over up to a threshold."""
    config = model.saved.config
    reuse = {"reuse": threshold is not None, "reuse_threshold": threshold or 1.0}
    changed = {
        "video": config.video.model_copy(update={"fps": None, "every_nth": 1}),
        "backbone": config.backbone.model_copy(update=reuse),
    }
    found = copy.copy(model)
    found.saved = replace(model.saved, config=config.model_copy(update=changed))
    return found


def answer(model: Model, path: Path, cache_dir: Path) -> tuple[float, int, int]:
    """Return the probability of the positive label, the number of crops and of those carried."""
    found = model.predict_video(path, cache_dir=cache_dir)
    used = found.frames[found.frames["fate"] == "used"]
    carried = int((used["embedded_frame"] != used["frame_index"]).sum()) if len(used) else 0
    return float(found.summary[f"probability_{model.positive_label}"]), len(used), carried


def main() -> None:
    """Print one line per threshold."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("run", type=Path)
    parser.add_argument("videos", type=Path, nargs="+")
    parser.add_argument("--thresholds", type=float, nargs="+", default=[4.0, 8.0, 16.0])
    arguments = parser.parse_args()
    model = load_model(arguments.run)
    named = name_videos(find_videos(arguments.videos))
    with tempfile.TemporaryDirectory() as folder:
        cache = Path(folder)
        whole = {name: answer(with_reuse(model, None), path, cache) for name, path in named}
        for threshold in arguments.thresholds:
            again = {
                name: answer(with_reuse(model, threshold), path, cache)
                for name, path in named
                if whole[name][1]
            }
            change = np.abs([again[name][0] - whole[name][0] for name in again])
            crops, carried = (sum(one[i] for one in again.values()) for i in (1, 2))
            print(  # noqa: T201 - a script's answer
                f"threshold {threshold:g}: {carried / crops:.3f} of {crops} crops carried, "
                f"probability of {len(change)} clips: largest change {change.max():.4f}, "
                f"median {np.median(change):.5f}, above 0.01 {(change > 0.01).sum()}"
            )


if __name__ == "__main__":
    main()
