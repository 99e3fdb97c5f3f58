"""Faces among another dog's, in features whose truth is known and in real photographs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from canemo.trust.strangers import NEAR_COPY, compare_subjects


def draw_study(seed: int, *, dogs: int = 5, clips: int = 4, crops: int = 3, spread: float = 0.8):
    """Draw crops of dogs that each have a look of their own, and of clips that vary around it."""
    rng = np.random.default_rng(seed)
    looks = rng.normal(size=(dogs, 60))
    rows, x = [], []
    for dog in range(dogs):
        for clip in range(clips):
            of_clip = looks[dog] + spread * rng.normal(size=60)
            for _ in range(crops):
                x.append(of_clip + 0.2 * rng.normal(size=60))
                rows.append((f"d{dog}c{clip}", f"dog{dog}"))
    return np.array(x, np.float32), pd.DataFrame(rows, columns=["video_id", "subject_id"])


def strange(x, origin) -> set[str]:
    return {name for name, found in compare_subjects(x, origin).items() if found.is_strange}


def swap(origin: pd.DataFrame, first: str, second: str) -> pd.DataFrame:
    """Let two clips lie under each other's dog."""
    owner = origin["subject_id"].copy()
    a, b = origin["video_id"] == first, origin["video_id"] == second
    owner[a], owner[b] = origin["subject_id"][b].iloc[0], origin["subject_id"][a].iloc[0]
    return origin.assign(subject_id=owner)


@pytest.mark.parametrize("seed", range(5))
def test_two_clips_that_were_swapped_are_doubtful_and_no_other(seed):
    x, origin = draw_study(seed)
    swapped = swap(origin, "d1c2", "d3c0")
    assert strange(x, origin) == set()
    assert strange(x, swapped) == {"d1c2", "d3c0"}
    assert compare_subjects(x, swapped)["d1c2"].nearest == "dog1"


def test_order_of_rows_does_not_matter():
    x, origin = draw_study(1)
    order = np.random.default_rng(0).permutation(len(x))
    found = compare_subjects(x, origin)
    again = compare_subjects(x[order], origin.iloc[order].reset_index(drop=True))
    assert {n: f.margin for n, f in again.items()} == pytest.approx(
        {n: f.margin for n, f in found.items()}, abs=1e-5
    )


def test_a_copy_that_lies_beside_a_wrong_clip_does_not_speak_for_it():
    x, origin = draw_study(2)
    swapped = swap(origin, "d1c2", "d3c0")
    wrong = (swapped["video_id"] == "d1c2").to_numpy()
    copy = swapped[wrong].assign(video_id="copy")
    both = pd.concat([swapped, copy], ignore_index=True)
    assert {"d1c2", "copy"} <= strange(np.concatenate([x, x[wrong]]), both)


def test_what_cannot_be_compared_is_left_out():
    x, origin = draw_study(3, dogs=3, clips=2)
    lonely = origin["video_id"] != "d0c1"
    found = compare_subjects(x[lonely.to_numpy()], origin[lonely].reset_index(drop=True))
    assert set(found) == {"d1c0", "d1c1", "d2c0", "d2c1"}
    assert compare_subjects(x, origin.assign(subject_id="one")) == {}
    copies = np.repeat(x[:1], 2, axis=0)
    alone = pd.DataFrame({"video_id": ["a", "b"], "subject_id": ["dog0", "dog0"]})
    joined = pd.concat([alone, origin[origin["subject_id"] != "dog0"]], ignore_index=True)
    others = (origin["subject_id"] != "dog0").to_numpy()
    assert NEAR_COPY < 1
    assert not {"a", "b"} & set(compare_subjects(np.concatenate([copies, x[others]]), joined))


@pytest.mark.slow
def test_photographs_in_another_dogs_folder_are_found_as_the_documentation_says(shared_data: Path):
    from bench.strangers import measure_strangers

    whole, *lots = measure_strangers(shared_data)
    assert whole.items == 484
    assert "AUROC 0.99" in whole.note or "AUROC 0.98" in whole.note
    assert len(lots) == 4
