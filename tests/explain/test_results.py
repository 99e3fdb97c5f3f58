from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from canemo.explain.decision import Decision
from canemo.explain.gaps import WHOLE
from canemo.explain.maps.methods import METHODS, map_decisions
from canemo.explain.report_card import grade_maps
from canemo.explain.result_tables import tabulate_crops, tabulate_subjects
from canemo.explain.results import Found, average_maps, describe_model, name_losses
from canemo.explain.scoring import CURVE_SHARES
from canemo.faces.regions import BANDS, MODEL_LANDMARKS, draw_bands, measure_cells
from canemo.species import DOG
from explain_worlds import LABELS, TextureBackbone, draw_textures, make_probe, read_checks
from map_worlds import examine_worlds
from report_fixtures import make_evaluation

OTHER, LABEL = LABELS[:2]


def describe(found):
    """Return what explanation.json holds of one model."""
    return describe_model(found).to_dict()


def draw_found(
    *, dogs: int = 6, clips: int = 2, effect: float = 1.0, loss: float = 0.25, seed: int = 0
) -> Found:
    """Return what is found of dogs with evidence of one logit more where the label is the second.

    It is in the muzzle of the bands, next to noise everywhere; covering the muzzle costs a share.
    """
    rng = np.random.default_rng(seed)
    masks = np.repeat(draw_bands(56, DOG)[None], dogs * clips * 2, axis=0)
    cells = measure_cells(masks, 8, 8)
    labels = np.tile(np.repeat([OTHER, LABEL], clips), dogs)
    is_label = labels == LABEL
    muzzle = cells[:, DOG.regions.index("muzzle")]
    maps = 0.002 * rng.normal(size=muzzle.shape)
    maps += effect * is_label[:, None, None] * muzzle / muzzle.sum(axis=(1, 2), keepdims=True)
    logits = 0.3 + maps.sum(axis=(1, 2))
    losses = 0.01 * rng.normal(size=(len(labels), len(DOG.regions)))
    losses[:, DOG.regions.index("muzzle")] += loss * effect * is_label
    rows = pd.DataFrame(
        {
            "video_id": [f"v{i}" for i in range(len(labels))],
            "subject_id": np.repeat([f"d{i}" for i in range(dogs)], 2 * clips),
            "label": labels,
            "frame_index": np.arange(len(labels)),
            "logit": logits,
            "intercept": 0.3,
            "regions": MODEL_LANDMARKS,
            "not_shown": "",
            "block_mean": logits - 0.3,
            **dict(zip(name_losses(DOG), losses.T, strict=True)),
        }
    )
    card = grade_maps("contribution", pd.DataFrame())
    return Found(
        "mine", "texture", "mean", (OTHER, LABEL), True, DOG, rows,
        np.full((len(labels), len(DOG.points), 2), np.nan), masks.astype(np.float16),
        {"contribution": maps.astype(np.float32), "eigencam": np.abs(maps).astype(np.float32)},
        {"contribution": card, "eigencam": card}, pd.DataFrame(), ("a note",),
        make_evaluation(),
    )  # fmt: skip


def by_region(rows):
    return {row["region"]: row for row in rows}


def mean_difference(found: Found, column: str) -> float:
    means = found.rows.groupby(["subject_id", "label"])[column].mean().unstack()
    return float((means[LABEL] - means[OTHER]).mean())


# -- the difference between the labels -------------------------------------------------------------


def test_parts_of_the_gap_sum_to_the_difference_of_the_mean_logits():
    found = draw_found()
    leading = describe(found)["methods"][0]
    gap = by_region(leading["gap"])
    assert sum(gap[name]["gap"] for name in DOG.regions) == pytest.approx(
        gap[WHOLE]["gap"], abs=1e-5
    )
    assert gap[WHOLE]["gap"] == pytest.approx(mean_difference(found, "logit"), abs=1e-5)
    assert sum(gap[name]["percent"] for name in DOG.regions) == pytest.approx(100, abs=1e-2)


def test_the_gap_is_where_it_was_planted():
    gap = by_region(describe(draw_found())["methods"][0]["gap"])
    assert gap["muzzle"]["percent"] > 70  # cells of an 8 x 8 map also lie in what is beside it
    assert gap["muzzle"]["gap_low"] > 0
    assert abs(gap["ears"]["percent"]) < 5


def test_contributions_of_real_tokens_sum_to_the_difference_of_the_logits():
    backbone, rng = TextureBackbone(), np.random.default_rng(0)
    found = draw_found(dogs=3, clips=1)
    crops = [draw_textures((4, 3), 1 if label == LABEL else -1, rng=rng) for label in
             found.rows["label"]]  # fmt: skip
    decisions = [
        read_checks(),
        Decision(replace(make_probe(read_checks().direction), intercept=np.array([5.0])), "mean",
                 LABEL),
    ]  # fmt: skip
    both = map_decisions(crops, METHODS["contribution"], backbone=backbone, decisions=decisions)
    logits = np.stack([each.sum(axis=(1, 2)) + one.intercept for each, one in
                       zip(both, decisions, strict=True)])  # fmt: skip
    of_dog = np.where(found.rows["subject_id"] == "d0", 1, 0)  # another fold, another intercept
    every = np.arange(len(crops))
    found = replace(
        found,
        rows=found.rows.assign(logit=logits[of_dog, every]),
        maps={"contribution": both[of_dog, every]},
    )
    gap = by_region(describe(found)["methods"][0]["gap"])
    assert gap[WHOLE]["gap"] == pytest.approx(mean_difference(found, "logit"), abs=1e-4)
    assert gap[WHOLE]["gap"] > 1


# -- what covering takes away ----------------------------------------------------------------------


def test_losses_are_percent_of_the_difference_of_the_logits():
    found = draw_found(effect=2.0, loss=0.25)
    rows = by_region(describe(found)["occlusion"])
    assert tuple(rows) == DOG.regions
    whole = mean_difference(found, "logit")
    for name in DOG.regions:
        gap = mean_difference(found, f"loss_{name}")
        assert rows[name]["gap"] == pytest.approx(gap, abs=1e-9)
        assert rows[name]["percent"] == pytest.approx(100 * gap / whole, abs=1e-6)
        assert rows[name]["area"] is None
    assert rows["muzzle"]["percent"] == pytest.approx(25, abs=2)


def test_without_a_clear_difference_there_are_no_percentages():
    described = describe(draw_found(effect=0.0))
    assert {row["percent"] for row in described["occlusion"]} == {None}
    gap = by_region(described["methods"][0]["gap"])
    assert gap[WHOLE]["percent"] is None
    assert "not clear of zero" in gap["muzzle"]["reason"]


# -- what is written -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "found",
    [
        draw_found(), draw_found(effect=0.0), draw_found(dogs=1), draw_found(dogs=2, clips=1),
        replace(draw_found(), maps={"contribution": np.zeros((24, 8, 8), np.float32)}),
    ],
    ids=["clear", "no difference", "one dog", "two dogs", "empty maps"],
)  # fmt: skip
def test_description_is_json_without_gaps_in_numbers(found):
    text = json.dumps(describe(found), allow_nan=False)
    assert json.loads(text) == describe(found)


def test_crops_of_one_condition_alone_are_described():
    found = draw_found()
    only = (found.rows["label"] == LABEL).to_numpy()
    found = replace(
        found, rows=found.rows[only].reset_index(drop=True), masks=found.masks[only],
        points=found.points[only], maps={name: maps[only] for name, maps in found.maps.items()},
    )  # fmt: skip
    described = describe(found)
    json.dumps(described, allow_nan=False)
    assert {row["gap"] for row in described["occlusion"]} == {None}
    assert described["methods"][0]["gap"][-1]["reason"].startswith("no dog has crops of both")


def test_model_is_described_with_its_counts_and_methods():
    found = draw_found()
    described = describe(found)
    assert (described["name"], described["label"], described["other"]) == ("mine", LABEL, OTHER)
    assert (described["crops"], described["clips"], described["dogs"]) == (24, 24, 6)
    assert described["regions"] == "canemo's landmark model (24 of 24 crops)"
    assert described["notes"][0] == "a note"
    leading, eigencam = described["methods"]
    assert (leading["name"], leading["explains"]) == ("contribution", "decision")
    assert (leading["verdict"], leading["passed"], leading["checks"]) == ("not tested", None, [])
    assert {row["region"] for row in leading["shares"]} == set(DOG.regions)
    assert (eigencam["explains"], eigencam["shares"], eigencam["gap"]) == ("backbone", None, None)


def test_checks_are_written_as_they_are_graded():
    card = grade_maps("contribution", examine_worlds(METHODS["contribution"], dogs=2))
    found = replace(draw_found(), cards={"contribution": card, "eigencam": card})
    described = json.loads(json.dumps(describe(found), allow_nan=False))["methods"][0]
    assert [check["name"] for check in described["checks"]] == [each.name for each in card.checks]
    assert described["tested_crops"] == 4
    deletion = described["checks"][0]
    assert (deletion["value"], deletion["p"]) == (pytest.approx(card.checks[0].value), None)


# -- tables and mean faces -------------------------------------------------------------------------


def test_table_of_crops_shares_out_each_map():
    found = draw_found()
    table = tabulate_crops(found)
    assert table.groupby("method").size().to_dict() == {"contribution": 24, "eigencam": 24}
    parts = table[[f"part_{name}" for name in DOG.regions]].sum(axis=1)
    maps = np.concatenate([found.maps["contribution"], found.maps["eigencam"]])
    np.testing.assert_allclose(parts, maps.sum(axis=(1, 2)), atol=1e-5)
    areas = table[[f"area_{name}" for name in DOG.regions]].sum(axis=1)
    np.testing.assert_allclose(areas, 1, atol=1e-6)
    assert (table["model"] == "mine").all()


def test_mean_maps_are_those_of_the_leading_method_by_condition_and_dog():
    found = draw_found()
    maps = np.ones((24, 8, 8), np.float32)
    maps[5] = 3
    found = replace(found, maps={"contribution": maps, "eigencam": 100 * maps})
    crops = [np.full((40, 40, 3), value, np.uint8) for value in (10, 30)]
    faces = average_maps(found, crops, np.array([0, 5]))
    assert [(face.label, face.subject_id) for face in faces] == [
        (OTHER, None), (OTHER, "d0"), (OTHER, "d1"),
    ]  # fmt: skip
    for face, value, colour in zip(faces, (2, 1, 3), (20, 10, 30), strict=True):
        there = np.isfinite(face.map)
        assert there.any()
        np.testing.assert_allclose(face.map[there], value, rtol=1e-5)
        middle = face.image_rgb[70:90, 70:90]
        assert np.abs(middle.astype(int) - colour).max() <= 1


# -- dogs, curves and notes ------------------------------------------------------------------------


def test_dogs_one_by_one_make_up_the_difference():
    found = draw_found()
    table = tabulate_subjects(found)
    assert set(table["method"]) == {"contribution"}  # EigenCAM has no parts that add up
    gap = by_region(describe(found)["methods"][0]["gap"])
    means = table.groupby("region")["gap"].mean()
    for region in (*DOG.regions, "all"):
        assert means[region] == pytest.approx(gap[region]["gap"], abs=1e-6)
    of_regions = table[table["region"] != "all"]
    shares = of_regions.groupby("subject_id")[f"share_{LABEL}"].sum()
    np.testing.assert_allclose(shares, 1, atol=1e-6)


def test_dogs_of_one_label_are_named_and_few_dogs_said():
    found = draw_found(dogs=9)
    rows = found.rows[~((found.rows["subject_id"] == "d3") & (found.rows["label"] == LABEL))]
    kept = rows.index.to_numpy()
    less = replace(
        found,
        rows=rows.reset_index(drop=True),
        points=found.points[kept],
        masks=found.masks[kept],
        maps={name: maps[kept] for name, maps in found.maps.items()},
    )
    notes = describe(less)["notes"]
    assert any("1 with crops of one label only" in note and "(d3)" in note for note in notes)
    assert not any("fewer than 8 dogs" in note for note in notes)
    told = describe(draw_found(dogs=7))["notes"]
    [few] = [note for note in told if "fewer than 8 dogs" in note]
    assert few.endswith("so few dogs cannot give a p that is small enough")


def test_regions_measured_in_another_way_in_one_condition_are_said():
    found = draw_found()
    is_label = (found.rows["label"] == LABEL).to_numpy()
    mixed = replace(found, rows=found.rows.assign(regions=np.where(is_label, BANDS, "model")))
    [note] = [note for note in describe(mixed)["notes"] if "fixed bands" in note]
    assert f"100 % of {LABEL}" in note
    assert f"0 % of {OTHER}" in note
    assert not any("fixed bands" in note for note in describe(found)["notes"])


def test_what_mean_faces_are_of_is_said(monkeypatch):
    found = draw_found()
    unknown = describe(found)["notes"]
    assert any("the mean faces are of crops as they were cut" in note for note in unknown)
    points = np.zeros_like(found.points)
    points[:2] = np.nan
    known = describe(replace(found, points=points))["notes"]
    assert any(note.startswith("2 crop(s) have no points") for note in known)
    assert not any("evenly spaced" in note for note in known)
    monkeypatch.setattr("canemo.explain.results.MEAN_FACE_CROPS", 10)
    some = describe(found)["notes"]
    assert "the mean faces are of 10 crops, evenly spaced among all" in some


def test_regions_that_no_landmark_shows_are_counted():
    found = draw_found()
    shown = found.rows["not_shown"].to_numpy(dtype=object)
    shown[:3], shown[5] = "ears", "ears, forehead"
    found = replace(found, rows=found.rows.assign(not_shown=shown))
    notes = [note for note in describe(found)["notes"] if "landmarks of" in note]
    assert [note.partition(":")[0] for note in notes] == [
        "the landmarks of 4 crop(s) show no ears",
        "the landmarks of 1 crop(s) show no forehead",
    ]


def test_curves_weigh_dogs_alike():
    names = ("deletion_curve", "deletion_curve_moved", "insertion_curve", "insertion_curve_moved")
    size = len(CURVE_SHARES)
    tests = pd.DataFrame({"subject_id": ["a", "a", "b"], "method": "contribution"})
    for name in names:
        tests[name] = [np.full(size, value) for value in (1.0, 3.0, 8.0)]
    found = replace(draw_found(), tests=tests)
    contribution, eigencam = describe(found)["methods"]
    assert contribution["curves"]["shares"] == list(CURVE_SHARES)
    assert contribution["curves"]["insertion_moved"] == [5.0] * size
    assert eigencam["curves"] is None
