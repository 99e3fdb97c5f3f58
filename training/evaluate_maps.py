"""Ask whether maps point at what was painted into a study, where the truth is known pixel by pixel.

    python training/evaluate_maps.py RUN TWIN [--method contribution --method occlusion ...]

RUN is a finished run of a study whose positive clips have something painted in, TWIN the same study
made without the paint. Where a frame differs from its twin is the truth; what is within half a
position of a map counts as well, for a map cannot resolve more. Printed are, by map: how often the
greatest value of a painted crop is there, and the area that would count; of the difference in
evidence between the labels within dogs, what is there, in what share of the area, and what is not;
only exact contributions sum to the difference of the logits. Then: how much of that difference goes
when the painted part is covered. Each dog is looked at by a probe that had not seen it; unpainted
clips are measured at the mean place of their dog's painted ones.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, maximum_filter

from canemo.explain.inquiry import Inquiry
from canemo.explain.maps.methods import find_method, map_decisions
from canemo.explain.maps.occlusion import measure_logits, measure_losses
from canemo.explain.parts import measure_parts
from canemo.explain.scoring import point, resize_maps
from canemo.faces.crop_images import shrink
from canemo.faces.regions import measure_cells
from canemo.parallel import silent
from canemo.pipeline.explain_inputs import load_explained_run
from canemo.records import Image, Study
from canemo.study.load import load_study
from canemo.video.reader import iter_frames
from canemo.video.times import Sampling

SIDE = 56
DIFFERENT = 25  # grey levels that a pixel changes by, after compression: paint, not noise


def find_paint(crop: Image, row: pd.Series, twin: Study) -> NDArray[np.float64]:
    """Return (56, 56) shares: 1 where a crop differs from the same place in its twin."""
    video = next(each for each in twin.videos if each.video_id == row["video_id"])
    frame = read_frame(video.path, int(row["frame_index"]))
    x0, y0, x1, y1 = (int(row[f"crop_{name}"]) for name in ("x0", "y0", "x1", "y1"))
    other = shrink(frame[y0:y1, x0:x1], max_short_side_px=min(crop.shape[:2]))
    change = np.abs(crop.astype(float) - other.astype(float)).max(axis=2)
    changed = (gaussian_filter(change, 1.0) > DIFFERENT).astype(np.float32)
    return np.asarray(resize_maps(changed[None], SIDE)[0], dtype=np.float64)


def read_frame(path: Path, frame_index: int) -> Image:
    """Decode one frame of a video."""
    for frame in iter_frames(path, sampling=Sampling(every_nth=1)):
        if frame.frame_index == frame_index:
            return frame.image_rgb
    raise IndexError(f"{path} has no frame {frame_index}")


def measure_difference(
    maps: NDArray[np.float32], truth: NDArray[np.float64], rows: pd.DataFrame, label: str
) -> tuple[float, float, float]:
    """Return the difference between labels within dogs: painted, elsewhere; and the painted area.

    `truth` (N, 56, 56) of clips of the other label is that of their dog's painted clips, averaged;
    what is within half a position of the map counts.
    """
    near = np.stack([grow(each, SIDE // (2 * maps.shape[1])) for each in truth])
    masks = np.stack([near, 1 - near], axis=1)
    inside = measure_parts(maps, measure_cells(masks, *maps.shape[1:]))[:, 0]
    whole = maps.sum(axis=(1, 2), dtype=float)
    table = rows[["subject_id"]].assign(
        positive=rows["label"] == label, inside=inside, whole=whole, area=near.mean(axis=(1, 2))
    )
    means = table.groupby(["subject_id", "positive"]).mean().unstack("positive").dropna()
    gaps = {name: (means[name][True] - means[name][False]).mean() for name in ("inside", "whole")}
    return gaps["inside"], gaps["whole"] - gaps["inside"], float(table["area"].mean())


def grow(mask: NDArray[np.float64], reach: int) -> NDArray[np.float64]:
    """Return a mask (h, w) with all that is within `reach` pixels of it."""
    return np.asarray(maximum_filter(mask, size=2 * reach + 1))


def fill_truth(truth: NDArray[np.float64], rows: pd.DataFrame, label: str) -> NDArray[np.float64]:
    """Give unpainted crops the mean painted place of their dog's painted crops."""
    filled = truth.copy()
    positive = (rows["label"] == label).to_numpy()
    for subject_id in rows["subject_id"].unique():
        own = (rows["subject_id"] == subject_id).to_numpy()
        if (own & positive).any():
            filled[own & ~positive] = truth[own & positive].mean(axis=0)
    return filled


def main() -> None:
    """Measure and print."""
    arguments = _parse_arguments()
    explained = load_explained_run(
        arguments.run,
        per_clip=1,
        label=None,
        regions="bands",
        landmarks=None,
        with_controls=False,
        progress=silent,
    )
    label = explained.labels[1]
    rows, images = explained.rows, explained.read(explained.rows)
    twin = load_study(arguments.twin)
    truth = np.stack(
        [find_paint(images[place], rows.iloc[place], twin) for place in range(len(rows))]
    )
    positive = (rows["label"] == label).to_numpy() & (truth.sum(axis=(1, 2)) > 0)
    print(f"{int(positive.sum())} painted crops, {truth[positive].mean():.1%} of them painted")  # noqa: T201
    filled = fill_truth(truth, rows, label)
    for name in arguments.method:
        maps = _map_all(explained, rows, images, name)
        hit, area = point(maps[positive], truth[positive])
        text = f"{name}: greatest in the paint in {hit.mean():.1%} (area {area.mean():.1%})"
        if find_method(name).signed:
            there, elsewhere, part = measure_difference(maps, filled, rows, label)
            text += f"; difference {there:.2f} in {part:.1%} of the area, {elsewhere:.2f} elsewhere"
        print(text)  # noqa: T201
    _print_losses(explained, rows, images, filled)


def _map_all(
    explained: Inquiry, rows: pd.DataFrame, images: list[Image], name: str
) -> NDArray[np.float32]:
    method = find_method(name)
    parts = []
    for place, subject_id in enumerate(rows["subject_id"]):
        decision = explained.decisions[subject_id]
        maps = map_decisions(
            [images[place]], method, backbone=explained.backbone, decisions=[decision]
        )
        parts.append(maps[0])
    return np.concatenate(parts)


def _print_losses(
    explained: Inquiry, rows: pd.DataFrame, images: list[Image], truth: NDArray[np.float64]
) -> None:
    """Print how much of the difference of the logits goes when the painted part is covered."""
    found = []
    for place, subject_id in enumerate(rows["subject_id"]):
        decisions = [explained.decisions[subject_id]]
        backbone = explained.backbone
        loss = measure_losses([images[place]], truth[place][None, None], backbone, decisions)
        found.append((measure_logits([images[place]], backbone, decisions)[0, 0], loss[0, 0, 0]))
    table = rows[["subject_id"]].assign(positive=rows["label"] == explained.labels[1])
    table[["logit", "loss"]] = found
    means = table.groupby(["subject_id", "positive"]).mean().unstack("positive").dropna()
    gaps = {name: (means[name][True] - means[name][False]).mean() for name in ("logit", "loss")}
    print(  # noqa: T201
        f"covering the painted part takes {gaps['loss']:.2f} of {gaps['logit']:.2f} logits "
        f"({gaps['loss'] / gaps['logit']:.1%})"
    )


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("run", type=Path)
    parser.add_argument("twin", type=Path)
    parser.add_argument("--method", action="append", default=None)
    arguments = parser.parse_args()
    arguments.method = arguments.method or ["contribution", "eigencam"]
    return arguments


if __name__ == "__main__":
    main()
