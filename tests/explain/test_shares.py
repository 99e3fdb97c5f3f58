from __future__ import annotations

import json
from functools import partial

import numpy as np
import pandas as pd
import pytest

from canemo.explain.gaps import NO_DIFFERENCE, NO_SUBJECTS, UNCLEAR_WHOLE, WHOLE
from canemo.explain.gaps import split_gap as split_any_gap
from canemo.explain.parts import ALL_ALIKE, NO_AREA, ONE_SUBJECT, list_rows, measure_parts
from canemo.explain.shares import NO_EVIDENCE, NONE_HERE
from canemo.explain.shares import measure_shares as measure_any_shares
from canemo.faces.regions import draw_bands, measure_cells
from canemo.species import DOG

LABELS = ("play", "rest")
GRID = 20
split_gap = partial(split_any_gap, regions=DOG.regions)
measure_shares = partial(measure_any_shares, regions=DOG.regions)
BANDS = measure_cells(draw_bands(GRID, DOG)[None], GRID, GRID)[0]


def make_origin(dogs=6, clips=4, crops=2, labels=LABELS):
    rows = [
        (f"v{dog}_{clip}", f"dog{dog:02}", labels[clip % len(labels)])
        for dog in range(dogs)
        for clip in range(clips)
        for _ in range(crops)
    ]
    return pd.DataFrame(rows, columns=["video_id", "subject_id", "label"])


def cells_of(count):
    return np.broadcast_to(BANDS, (count, *BANDS.shape))


def draw_maps(origin, *, planted=0.0, region="muzzle", noise=1.0, seed=0):
    """Draw maps with a dog's own, a clip's own and, in the second label, something in a region."""
    rng = np.random.default_rng(seed)
    shape = (GRID, GRID)
    dogs = {dog: rng.normal(size=shape) for dog in origin["subject_id"].unique()}
    clips = {clip: rng.normal(size=shape) for clip in origin["video_id"].unique()}
    maps = np.stack(
        [
            noise * (2 * dogs[dog] + clips[clip] + 0.5 * rng.normal(size=shape))
            for dog, clip in zip(origin["subject_id"], origin["video_id"], strict=True)
        ]
    )
    where = BANDS[DOG.regions.index(region)]
    second = (origin["label"] == LABELS[1]).to_numpy()
    return (maps + planted * second[:, None, None] * where / where.sum()) / GRID**2


def by_region(table):
    return table.set_index("region")


# -- parts ----------------------------------------------------------------------------------------


def test_parts_add_up_to_the_map():
    rng = np.random.default_rng(0)
    masks = rng.random((5, 6, 40, 40)).astype(np.float32)
    cells = measure_cells(masks / masks.sum(axis=1, keepdims=True), 7, 9)
    maps = rng.normal(size=(5, 7, 9)).astype(np.float32)
    parts = measure_parts(maps, cells)
    np.testing.assert_allclose(parts.sum(axis=1), maps.sum(axis=(1, 2), dtype=float), atol=1e-6)


def test_part_is_the_sum_within_the_region():
    maps = np.arange(4.0).reshape(1, 2, 2)
    cells = np.array([[[[1, 0.5], [0, 0]], [[0, 0.5], [1, 1]]]])
    np.testing.assert_allclose(measure_parts(maps, cells), [[0.5, 5.5]])


def test_maps_that_do_not_fit_or_are_not_finite_are_refused():
    with pytest.raises(ValueError, match=r"\(2, 3, 3\) and cells \(2, 6, 4, 4\)"):
        measure_parts(np.zeros((2, 3, 3)), np.zeros((2, 6, 4, 4)))
    with pytest.raises(ValueError, match="not finite"):
        measure_parts(np.full((1, 3, 3), np.nan), np.zeros((1, 6, 3, 3)))


# -- shares ---------------------------------------------------------------------------------------


def test_evenly_spread_evidence_has_a_ratio_of_one_everywhere():
    origin = make_origin()
    sign = np.where(origin["label"] == "rest", 1.0, -1.0)
    maps = np.broadcast_to(sign[:, None, None], (len(origin), GRID, GRID)).copy()
    shares = measure_shares(maps, cells_of(len(origin)), origin, labels=LABELS)
    areas = dict(zip(DOG.regions, BANDS.mean(axis=(1, 2)), strict=True))
    assert shares.table["label"].tolist() == [label for label in LABELS for _ in DOG.regions]
    np.testing.assert_allclose(shares.table["ratio"], 1, rtol=1e-9)
    np.testing.assert_allclose(shares.table["area"], shares.table["region"].map(areas))
    np.testing.assert_allclose(shares.table.groupby("label")["share"].sum(), 1)
    assert set(shares.table["reason"]) == {ALL_ALIKE}  # nothing varies: no interval
    assert shares.table[["share_low", "ratio_high"]].isna().all(axis=None)


def test_only_what_speaks_for_the_own_label_counts():
    origin = make_origin(dogs=2, clips=2, crops=1)
    muzzle, eyes = (
        BANDS[DOG.regions.index("muzzle")] > 0.99,
        BANDS[DOG.regions.index("eyes")] > 0.99,
    )
    maps = np.zeros((4, GRID, GRID))
    maps[:, muzzle], maps[:, eyes] = 2.0, -1.0  # for rest, and for play
    table = measure_shares(maps, cells_of(4), origin, labels=LABELS).table
    found = table.set_index(["label", "region"])["share"]
    assert found["rest", "muzzle"] == found["play", "eyes"] == pytest.approx(1)
    assert found["rest", "eyes"] == found["play", "muzzle"] == 0


def test_maps_of_each_label_give_the_same_as_one_map_for_two():
    origin = make_origin()
    maps = draw_maps(origin, planted=4000)
    cells = cells_of(len(origin))
    one = measure_shares(maps, cells, origin, labels=LABELS)
    each = measure_shares(np.stack([-maps, maps], axis=1), cells, origin, labels=LABELS)
    pd.testing.assert_frame_equal(one.table, each.table)


def test_clips_and_dogs_weigh_the_same_whatever_their_number():
    origin = pd.DataFrame(
        [("a1", "ada", "rest"), ("a1", "ada", "rest"), ("a2", "ada", "rest"), ("r", "rex", "rest")],
        columns=["video_id", "subject_id", "label"],
    )
    cells = np.zeros((4, 2, 1, 2))
    cells[:, 0, 0, 0] = cells[:, 1, 0, 1] = 1
    share = np.array([0.1, 0.3, 0.6, 0.9])
    maps = np.stack([share, 1 - share], axis=-1)[:, None]
    shares = measure_shares(maps, cells, origin, labels=LABELS, regions=("left", "right"))
    dogs = shares.by_subject[shares.by_subject["region"] == "left"].set_index("subject_id")
    assert dogs["share"].to_dict() == pytest.approx({"ada": (0.2 + 0.6) / 2, "rex": 0.9})
    assert dogs["ratio"].to_dict() == pytest.approx({"ada": 0.8, "rex": 1.8})
    assert dogs[["clips", "crops"]].loc["ada"].tolist() == [2, 3]
    [row] = shares.table.query("label == 'rest' and region == 'left'").to_dict("records")
    assert row["share"] == pytest.approx((0.4 + 0.9) / 2)
    assert (row["dogs"], row["clips"], row["crops"]) == (2, 3, 4)
    assert set(shares.table.query("label == 'play'")["reason"]) == {NO_EVIDENCE}


def test_planted_evidence_is_denser_in_its_region_alone():
    origin = make_origin(dogs=8)
    maps = np.abs(draw_maps(origin)) + draw_maps(origin, planted=2000, noise=0)
    shares = measure_shares(maps, cells_of(len(origin)), origin, labels=LABELS)
    rest = by_region(shares.table.query("label == 'rest'"))
    assert rest.loc["muzzle", "ratio_low"] > 2
    assert (rest["ratio_high"].drop("muzzle") < 1).all()
    assert (rest["share_low"] < rest["share"]).all()
    assert (rest["share"] < rest["share_high"]).all()


def test_silent_crops_are_counted_and_left_out():
    origin = make_origin(dogs=3, clips=2, crops=2)
    maps = np.abs(draw_maps(origin))
    maps[0] = 0
    maps[origin["label"] == "rest"] += 0.1
    table = measure_shares(-maps, cells_of(len(origin)), origin, labels=LABELS).table
    play = by_region(table.query("label == 'play'"))
    assert (play.loc["muzzle", "crops"], play.loc["muzzle", "silent_crops"]) == (5, 1)
    rest = by_region(table.query("label == 'rest'"))
    assert set(rest["reason"]) == {NO_EVIDENCE}
    assert rest.loc["muzzle", "silent_crops"] == 6
    assert rest["share"].isna().all()


@pytest.mark.parametrize("worlds", [80, pytest.param(1000, marks=pytest.mark.slow)])
def test_ratio_intervals_hold_the_truth_as_often_as_stated(worlds):
    rng = np.random.default_rng(0)
    origin = make_origin(dogs=10, clips=1, crops=1)
    cells = np.zeros((10, 2, 1, 2))
    cells[:, 0, 0, 0] = cells[:, 1, 0, 1] = 1
    held = []
    for _ in range(worlds):
        share = rng.beta(2, 6, size=10)  # a dog's share in the left half; its mean is 0.25
        maps = -np.stack([share, 1 - share], axis=-1)[:, None]
        table = measure_shares(maps, cells, origin, labels=LABELS, regions=("left", "right")).table
        row = table.iloc[0]
        held.append(
            [
                row["share_low"] < 0.25 < row["share_high"],
                row["ratio_low"] < 0.5 < row["ratio_high"],
            ]
        )
    near = pytest.approx(0.95, abs=3 * (0.05 * 0.95 / worlds) ** 0.5)
    assert np.mean(held, axis=0).tolist() == [near, near]


# -- the gap --------------------------------------------------------------------------------------


def test_gap_has_the_size_that_was_planted():
    origin = make_origin(dogs=8, clips=6)
    maps = draw_maps(origin, planted=600)
    gap = split_gap(maps, cells_of(len(origin)), origin, first="play", second="rest")
    table = by_region(gap.table)
    planted = 600 / GRID**2
    assert table.loc["muzzle", "gap_low"] < planted < table.loc["muzzle", "gap_high"]
    assert table.loc["muzzle", "percent"] == pytest.approx(100, abs=30)
    assert table["area"].to_dict() == pytest.approx(
        {**dict(zip(DOG.regions, BANDS.mean(axis=(1, 2)), strict=True)), WHOLE: 1}
    )


def test_parts_add_up_to_the_difference_of_the_mean_logits():
    rng = np.random.default_rng(1)
    origin = make_origin(dogs=5, clips=4, crops=3)
    origin = origin[rng.random(len(origin)) < 0.8].reset_index(drop=True)
    masks = rng.random((len(origin), 6, 30, 30)).astype(np.float32)
    cells = measure_cells(masks / masks.sum(axis=1, keepdims=True), GRID, GRID)
    maps = draw_maps(origin, planted=300)
    before = maps.copy(), origin.copy()
    gap = split_gap(maps, cells, origin, first="play", second="rest")
    table = by_region(gap.table)
    assert table["gap"].drop(WHOLE).sum() == pytest.approx(table.loc[WHOLE, "gap"], abs=1e-9)
    clips = origin.assign(logit=maps.sum(axis=(1, 2))).groupby(["subject_id", "label", "video_id"])
    dogs = clips["logit"].mean().groupby(level=[0, 1]).mean().unstack()
    wanted = (dogs["rest"] - dogs["play"]).mean()
    assert table.loc[WHOLE, "gap"] == pytest.approx(wanted, abs=1e-9)
    whole = gap.by_subject[gap.by_subject["region"] == WHOLE].set_index("subject_id")["gap"]
    assert whole.to_dict() == pytest.approx((dogs["rest"] - dogs["play"]).to_dict())
    np.testing.assert_array_equal(maps, before[0])
    pd.testing.assert_frame_equal(origin, before[1])


def test_what_both_conditions_share_cancels():
    origin = make_origin(dogs=7)
    maps = draw_maps(origin, planted=100)
    cells = cells_of(len(origin))
    plain = split_gap(maps, cells, origin, first="play", second="rest").table
    raised = maps + 5 * BANDS[DOG.regions.index("background")]
    pd.testing.assert_frame_equal(
        split_gap(raised, cells, origin, first="play", second="rest").table, plain, rtol=1e-6
    )


def shift_regions(origin):
    """Return evidence that is the same in both conditions, and regions that are not."""
    slope = np.linspace(0, 6, GRID)[:, None] / GRID**2
    maps = slope + draw_maps(origin, noise=0.05)
    elsewhere = np.roll(BANDS, 4, axis=1)
    is_second = (origin["label"] == LABELS[1]).to_numpy()
    return maps, np.where(is_second[:, None, None, None], elsewhere, BANDS)


def test_regions_that_lie_elsewhere_in_one_condition_are_no_evidence():
    origin = make_origin(dogs=8)
    maps, cells = shift_regions(origin)
    table = by_region(split_gap(maps, cells, origin, first="play", second="rest").table)
    moved = table["moved"].drop(WHOLE)
    np.testing.assert_allclose(table["gap"].drop(WHOLE), moved, atol=0.01)
    seems = (table["gap_low"] > 0) | (table["gap_high"] < 0)
    assert seems.drop(WHOLE).sum() >= 3
    assert moved.sum() == pytest.approx(0, abs=1e-9)
    assert (table["p_holm"].drop(WHOLE) > 0.05).all()


def test_evidence_in_regions_that_lie_elsewhere_is_found_none_the_less():
    origin = make_origin(dogs=8)
    maps, cells = shift_regions(origin)
    muzzle = cells[:, DOG.regions.index("muzzle")]
    is_second = (origin["label"] == LABELS[1]).to_numpy()
    maps = maps + 2 * is_second[:, None, None] * muzzle / muzzle.sum(axis=(1, 2), keepdims=True)
    table = by_region(split_gap(maps, cells, origin, first="play", second="rest").table)
    assert table.loc["muzzle", "p_holm"] < 0.05
    assert table.loc["muzzle", "gap"] > 1


def test_turned_question_has_the_opposite_answer():
    origin = make_origin(dogs=7)
    maps, cells = draw_maps(origin, planted=600), cells_of(len(origin))
    one = split_gap(maps, cells, origin, first="play", second="rest").table
    other = split_gap(maps, cells, origin, first="rest", second="play").table
    np.testing.assert_allclose(other["gap"], -one["gap"])
    np.testing.assert_allclose(other["gap_low"], -one["gap_high"])
    np.testing.assert_allclose(other["percent"], one["percent"])
    np.testing.assert_allclose(other["p"], one["p"])


def split_worlds(worlds, **settings):
    """Return (worlds, 7): whether an interval leaves out zero, and whether p_holm is under 0.05."""
    origin = make_origin(dogs=8, clips=4, crops=1)
    cells = cells_of(len(origin))
    outside, found = [], []
    for seed in range(worlds):
        maps = draw_maps(origin, seed=seed, **settings)
        table = split_gap(maps, cells, origin, first="play", second="rest").table
        outside.append((table["gap_low"] > 0) | (table["gap_high"] < 0))
        found.append(table["p_holm"] < 0.05)
    return np.array(outside), np.array(found)


@pytest.mark.parametrize("worlds", [60, pytest.param(1000, marks=pytest.mark.slow)])
def test_with_nothing_there_nothing_is_found_more_often_than_stated(worlds):
    outside, found = split_worlds(worlds)
    assert outside.mean() == pytest.approx(0.05, abs=3 * (0.05 * 0.95 / (7 * worlds)) ** 0.5)
    assert found.any(axis=1).mean() < 0.05 + 3 * (0.05 * 0.95 / worlds) ** 0.5


@pytest.mark.parametrize("worlds", [40, pytest.param(500, marks=pytest.mark.slow)])
def test_what_was_planted_is_found_there_and_elsewhere_no_more_than_nothing(worlds):
    _, found = split_worlds(worlds, planted=1000)
    muzzle = DOG.regions.index("muzzle")
    assert found[:, muzzle].all()
    elsewhere = np.delete(found, muzzle, axis=1).any(axis=1)
    assert elsewhere.mean() < 0.05 + 3 * (0.05 * 0.95 / worlds) ** 0.5


def test_dogs_of_one_condition_and_other_labels_are_left_out():
    origin = make_origin(dogs=4)
    origin.loc[origin["subject_id"] == "dog03", "label"] = "rest"
    extra = origin.assign(label="sleep", video_id=origin["video_id"] + "s")
    both = pd.concat([origin, extra], ignore_index=True)
    maps = draw_maps(both)
    cells = cells_of(len(both))
    gap = split_gap(maps, cells, both, first="play", second="rest")
    alone = split_gap(
        maps[: len(origin)], cells[: len(origin)], origin, first="play", second="rest"
    )
    assert gap.left_out == ("dog03",)
    assert gap.table["dogs"].tolist() == [3] * 7
    pd.testing.assert_frame_equal(gap.table, alone.table)


# -- nothing to say -------------------------------------------------------------------------------


def test_maps_of_zeros_say_nothing_and_why():
    origin = make_origin()
    maps, cells = np.zeros((len(origin), GRID, GRID)), cells_of(len(origin))
    table = split_gap(maps, cells, origin, first="play", second="rest").table
    assert set(table["reason"]) == {NO_DIFFERENCE}
    assert (table["gap"] == 0).all()
    assert table[["gap_low", "percent", "p", "p_holm"]].isna().all(axis=None)
    shares = measure_shares(maps, cells, origin, labels=LABELS)
    assert set(shares.table["reason"]) == {NO_EVIDENCE}
    assert len(shares.by_subject) == 0


def test_region_without_area_is_not_tested():
    origin = make_origin(dogs=6)
    cells = cells_of(len(origin)).copy()
    cells[:, DOG.regions.index("cheeks")] += cells[:, DOG.regions.index("ears")]
    cells[:, DOG.regions.index("ears")] = 0
    maps = draw_maps(origin, planted=900)
    table = by_region(split_gap(maps, cells, origin, first="play", second="rest").table)
    assert table.loc["ears", "reason"] == NO_AREA
    assert table.loc["ears", "gap"] == 0
    assert np.isnan(table.loc["ears", "p"])
    assert table.loc["muzzle", "p_holm"] == pytest.approx(5 * table.loc["muzzle", "p"])
    shares = by_region(
        measure_shares(maps, cells, origin, labels=LABELS).table.query("label == 'rest'")
    )
    assert shares.loc["ears", "reason"] == NO_AREA
    assert np.isnan(shares.loc["ears", "ratio"])


def test_region_without_evidence_has_no_interval():
    origin = make_origin(dogs=4)
    maps = draw_maps(origin, planted=500, noise=0)
    table = measure_shares(maps, cells_of(len(origin)), origin, labels=LABELS).table
    rest = by_region(table.query("label == 'rest'"))
    assert rest.loc["eyes", ["share", "ratio", "reason"]].tolist() == [0, 0, NONE_HERE]


def test_one_dog_gives_numbers_without_an_interval():
    origin = make_origin(dogs=1)
    maps, cells = draw_maps(origin, planted=500), cells_of(len(origin))
    table = split_gap(maps, cells, origin, first="play", second="rest").table
    assert set(table["reason"]) == {ONE_SUBJECT}
    assert table["gap"].notna().all()
    assert table[["gap_low", "gap_high", "p", "p_holm", "percent"]].isna().all(axis=None)
    shares = measure_shares(maps, cells, origin, labels=LABELS).table
    assert set(shares["reason"]) == {ONE_SUBJECT}
    assert shares["share"].notna().all()
    assert shares["ratio_low"].isna().all()


def test_no_dog_in_both_conditions():
    origin = make_origin(dogs=4)
    origin["label"] = np.where(origin["subject_id"] < "dog02", "play", "rest")
    gap = split_gap(draw_maps(origin), cells_of(len(origin)), origin, first="play", second="rest")
    assert set(gap.table["reason"]) == {NO_SUBJECTS}
    assert gap.left_out == ("dog00", "dog01", "dog02", "dog03")
    assert gap.table["gap"].isna().all()


def test_dogs_that_are_all_alike_have_a_p_and_no_interval():
    origin = make_origin(dogs=5)
    maps = draw_maps(origin, planted=500, noise=0)
    table = split_gap(maps, cells_of(len(origin)), origin, first="play", second="rest").table
    muzzle = by_region(table).loc["muzzle"]
    assert muzzle["reason"] == ALL_ALIKE
    assert muzzle["p"] == pytest.approx(2 / 2**5)
    assert np.isnan(muzzle["gap_low"])


def test_percentages_of_an_unclear_whole_are_not_given():
    origin = make_origin(dogs=8)
    table = split_gap(
        draw_maps(origin, seed=3), cells_of(len(origin)), origin, first="play", second="rest"
    ).table
    assert table.iloc[-1]["gap_low"] < 0 < table.iloc[-1]["gap_high"]
    assert table["percent"].isna().all()
    assert set(table["reason"]) == {UNCLEAR_WHOLE}


def test_tables_go_to_parquet_and_json(tmp_path):
    origin = make_origin(dogs=3)
    maps, cells = draw_maps(origin), cells_of(len(origin))
    shares = measure_shares(maps, cells, origin, labels=LABELS)
    gap = split_gap(maps, cells, origin, first="play", second="rest")
    for table in (shares.table, shares.by_subject, gap.table, gap.by_subject):
        table.to_parquet(tmp_path / "t.parquet")
        pd.testing.assert_frame_equal(
            pd.read_parquet(tmp_path / "t.parquet"), table, check_dtype=False
        )
        rows = json.loads(json.dumps(list_rows(table, species=DOG), allow_nan=False))
        assert len(rows) == len(table)
    assert list_rows(gap.table, species=DOG)[0]["percent"] is None
    assert list_rows(gap.table, species=DOG)[0]["dogs"] == 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": ("play", "rest", "sleep")}, "one map per crop stands for two labels, got 3"),
        ({"labels": ("play", "sleep")}, "crops of label 'rest'; the labels are play, sleep"),
        ({"regions": ("eyes", "ears")}, "cells of 6 regions for 2 names"),
        ({"origin": make_origin(dogs=1)}, "48 maps for 8 rows of origin"),
    ],
)
def test_what_does_not_fit_is_refused(change, message):
    origin = make_origin()
    given = {"origin": origin, "labels": LABELS, **change}
    with pytest.raises(ValueError, match=message):
        measure_shares(draw_maps(origin), cells_of(len(origin)), given.pop("origin"), **given)
