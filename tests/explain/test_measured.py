"""What probes make of measured faces: sums that are exact, and differences where they were put."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from canemo.explain.blocks import measure_evidence
from canemo.explain.decision import Decision
from canemo.explain.faces import Faces
from canemo.explain.gaps import WHOLE, split_values
from canemo.explain.measured import (
    CONFIDENCES,
    PLACES,
    describe_geometry,
    measure_columns,
)
from canemo.explain.result_tables import tabulate_columns, tabulate_subjects
from canemo.explain.results import BLOCK, Found, describe_model
from canemo.faces.geometry import list_columns, tabulate_faces
from canemo.faces.regions import BANDS
from canemo.learn.probe import Probe
from canemo.report.charts.measured import draw_face, draw_measures
from canemo.report.words.explanation import write_sentence
from canemo.species import DOG
from report_fixtures import make_evaluation

CLOSED, OPEN = "calm", "eager"
DOGS, CLIPS = 8, 2
OWN = ("leftEye", "rightEye", "nose", "left_ear_tip", "right_ear_tip")


def draw_points(is_open, *, seed=0, size=100.0):
    """Faces of some size; lower lips and chin are further down where the mouth is open."""
    rng = np.random.default_rng(seed)
    mean = np.array(DOG.mean_shape)
    xyc = np.empty((len(is_open), len(DOG.points), 3))
    xyc[..., :2] = size * (mean + 0.004 * rng.normal(size=(len(is_open), *mean.shape)))
    lower = [i for i, name in enumerate(DOG.points) if name.startswith(("lip_lower", "chin"))]
    xyc[np.ix_(is_open, lower, [1])] += 0.05 * size
    xyc[..., 2] = 0.9 + 0.05 * rng.random(xyc.shape[:2])
    return xyc.astype(np.float32)


def list_rows():
    labels = np.tile(np.repeat([CLOSED, OPEN], CLIPS), DOGS)
    return pd.DataFrame({
        "video_id": [f"v{i}" for i in range(len(labels))],
        "subject_id": np.repeat([f"d{i}" for i in range(DOGS)], 2 * CLIPS),
        "label": labels,
        "frame_index": 0,
    })  # fmt: skip


def draw_decision(values, weights, *, intercept=0.5):
    """A probe with weights on standardised columns; those it does not name have none."""
    mean, scale = values.mean(axis=0), np.where(values.std(axis=0) > 0, values.std(axis=0), 1)
    probe = Probe((CLOSED, OPEN), mean, scale, weights[None], np.array([intercept]), 1.0)
    return Decision(probe, "geometry", OPEN)


@pytest.fixture(scope="module")
def world():
    """Rows, values, a decision that reads mouth_opening most and the head's roll not at all."""
    rows = list_rows()
    values = tabulate_faces(draw_points((rows["label"] == OPEN).to_numpy()), DOG.points, DOG)
    columns = list_columns(DOG.points, DOG)
    names = [column.name for column in columns]
    weights = 0.01 * np.random.default_rng(1).normal(size=len(columns))
    weights[names.index("mouth_opening")] = 1.0
    weights[names.index("head_roll")] = 0.0
    return rows, values.astype(float), draw_decision(values.astype(float), weights)


def measure(world, **changes):
    _, values, decision = world
    asked = {"columns": list_columns(DOG.points, DOG), "points": len(DOG.points), **changes}
    return measure_columns(values, [decision] * len(values), **asked)


def describe(world, measured=None):
    labels = (CLOSED, OPEN)
    return describe_geometry(measured or measure(world), world[0], labels=labels, species=DOG)


def by_name(rows):
    return {row.name: row for row in rows}


def test_columns_sum_to_the_logit_however_they_are_put_together(world):
    _, values, decision = world
    measured, logits = measure(world), decision.measure_logits(values)
    np.testing.assert_allclose(measured.evidence.sum(axis=1) + decision.intercept, logits)
    for parts in (measured.parts, measured.regions):
        np.testing.assert_allclose(sum(parts.values()) + decision.intercept, logits)
    points = measured.split_points(measured.evidence).sum(axis=(1, 2))
    named = measured.evidence[:, : len(measured.measures)].sum(axis=1)
    np.testing.assert_allclose(points + named + decision.intercept, logits)
    assert list(measured.parts)[-2:] == [PLACES, CONFIDENCES]
    assert set(measured.regions) == {"muzzle", "eyes", "ears", "forehead", "cheeks", "head"}


def test_evidence_without_pixels_is_that_of_the_face_and_asks_no_backbone(world):
    _, values, decision = world
    faces = Faces((), np.empty((len(values), 0, 1), np.float32), values.astype(np.float32))
    found = measure_evidence([None] * len(values), None, decision, faces)
    np.testing.assert_allclose(found.logits, decision.measure_logits(values), atol=1e-4)
    np.testing.assert_allclose(found.blocks["geometry"] + decision.intercept, found.logits)
    assert found.measured.probe.mean is not None


def test_difference_is_where_it_was_put_and_its_parts_sum_to_the_whole(world):
    rows, values, decision = world
    found = describe(world)
    measures = by_name(found.measures)
    logits = pd.Series(decision.measure_logits(values))
    means = logits.groupby([rows["subject_id"], rows["label"]]).mean().unstack()
    whole = measures[WHOLE].evidence
    assert whole.gap == pytest.approx((means[OPEN] - means[CLOSED]).mean())
    for parts in (measures.values(), found.regions):
        gaps = [getattr(row, "evidence", row).gap for row in parts]
        assert sum(gaps[:-1]) == pytest.approx(gaps[-1])
    mouth = measures["mouth_opening"]
    assert mouth.evidence.percent > 70
    assert mouth.evidence.p_holm < 0.5  # of 20 measures and 8 dogs no p can be small enough
    assert len(mouth.by_dog) == DOGS
    assert np.mean(mouth.by_dog) == pytest.approx(mouth.evidence.gap)
    assert max(found.regions[:-1], key=lambda row: row.gap).region == "muzzle"
    assert {row.moved for row in found.regions} == {row.area for row in found.regions} == {None}


def test_the_measure_itself_is_beside_what_is_read_off_it(world):
    rows, values, _ = world
    mouth, roll = (by_name(describe(world).measures)[name] for name in
                   ("mouth_opening", "head_roll"))  # fmt: skip
    own = pd.Series(values[:, 0]).groupby(rows["label"]).mean()
    assert mouth.means == pytest.approx(own.to_dict(), abs=1e-6)
    assert mouth.value.gap == pytest.approx(own[OPEN] - own[CLOSED], abs=1e-6)
    assert mouth.value.is_clear
    assert mouth.follows > 0.9
    assert (mouth.region, mouth.value.percent) == ("muzzle", None)
    assert mouth.meaning.endswith("[face units]")
    assert roll.evidence.gap == 0  # it has no weight


def test_a_measure_without_weight_still_goes_with_what_moves_with_it(world):
    jaw = by_name(describe(world).measures)["jaw_drop"]
    assert abs(jaw.evidence.percent) < 10
    assert jaw.follows > 0.9
    assert jaw.value.is_clear


def test_points_say_where_they_are_and_where_moving_them_raises_the_evidence(world):
    rows, values, _ = world
    columns = [column.name for column in list_columns(DOG.points, DOG)]
    weights = np.zeros(len(columns))
    weights[columns.index("chin_y")] = 2.0
    decision = draw_decision(values, weights)
    found = describe((rows, values, decision))
    points = by_name(found.points)
    scale = decision.probe.scale[columns.index("chin_y")]
    assert points["chin"].slope == (0, pytest.approx(2 / scale))
    assert points["chin"].evidence.gap == pytest.approx(by_name(found.measures)[WHOLE].evidence.gap)
    assert points["mouth"].evidence.gap == 0
    assert points["chin"].place[1] > points["eye_inner_left"].place[1]
    assert points["chin"].region == "muzzle"


def test_of_probes_that_differ_each_reads_its_own_faces(world):
    rows, values, decision = world
    other = replace(decision, probe=replace(decision.probe, coef=-decision.probe.coef))
    asked = [decision if subject < "d4" else other for subject in rows["subject_id"]]
    asked[-1] = None  # its fold reads no geometry
    columns = list_columns(DOG.points, DOG)
    found = measure_columns(values, asked, columns=columns, points=len(DOG.points))
    wanted = [0 if d is None else d.measure_logits(row[None])[0] - d.intercept
              for d, row in zip(asked, values, strict=True)]  # fmt: skip
    np.testing.assert_allclose(found.evidence.sum(axis=1), wanted)
    np.testing.assert_allclose(found.slopes, 0, atol=1e-12)


def test_faces_without_a_point_are_counted_and_read_as_the_mean_face(world):
    rows, _, _ = world
    xyc = draw_points((rows["label"] == OPEN).to_numpy())
    xyc[:3] = np.nan
    xyc[3, :14] = np.nan  # of the ears only
    values = tabulate_faces(xyc, DOG.points, DOG).astype(float)
    world = (rows, values, draw_decision(values, np.ones(values.shape[1])))
    measured = measure(world)
    assert measured.unseen.tolist() == [True] * 3 + [False] * (len(rows) - 3)
    assert np.isfinite(measured.evidence).all()
    assert describe(world, measured).unseen == 3


def test_points_of_another_scheme_are_told_by_their_own_names(world):
    rows, _, _ = world
    rng = np.random.default_rng(0)
    places = np.array([[30, 40], [70, 40], [50, 60], [20, 10], [80, 10]], float)
    xyc = np.concatenate([
        places + rng.normal(size=(len(rows), 5, 2)), np.full((len(rows), 5, 1), np.nan)
    ], axis=2)  # fmt: skip
    values = tabulate_faces(xyc, OWN, DOG).astype(float)
    columns = list_columns(OWN, DOG)
    decision = draw_decision(values, rng.normal(size=len(columns)))
    measured = measure_columns(values, [decision] * len(rows), columns=columns, points=len(OWN))
    found = describe((rows, values, decision), measured)
    assert len(found.points) == 5
    assert {point.region for point in found.points} == {"eyes", "muzzle", "ears"}
    np.testing.assert_allclose(
        measured.evidence.sum(axis=1) + decision.intercept, decision.measure_logits(values)
    )


def test_no_difference_is_found_where_there_is_none(world):
    """Over dogs, a part of the face is found in no more than 5 % of worlds, with some to spare."""
    rows, values, decision = world
    rng, found = np.random.default_rng(0), 0
    for _ in range(60):
        labels = rows.groupby("subject_id")["label"].transform(
            lambda own: rng.permutation(own.to_numpy())
        )
        measured = measure((rows, values, decision))
        gap = split_values(
            np.stack(list(measured.regions.values()), axis=1),
            rows.assign(label=labels), first=CLOSED, second=OPEN, names=list(measured.regions),
        )  # fmt: skip
        found += bool((gap.table["p_holm"] <= 0.05).any())
    assert found <= 8


def make_found(world):
    """What is found of a probe that reads geometry alone."""
    rows, values, decision = world
    logits = decision.measure_logits(values)
    own = rows.assign(logit=logits, intercept=decision.intercept, regions=BANDS, not_shown="")
    own[f"{BLOCK}geometry"] = logits - decision.intercept
    return Found(
        "mine", "texture", "geometry", (CLOSED, OPEN), True, DOG, own,
        np.full((len(own), 46, 2), np.nan), np.ones((len(own), 6, 1, 1), np.float16),
        {}, {}, pd.DataFrame(), (), make_evaluation(), measure(world),
    )  # fmt: skip


def test_record_tables_and_notes_hold_the_geometry(world):
    found = make_found(world)
    record = describe_model(found)
    assert record.lead is None
    assert record.occlusion == ()
    assert [row.region for row in record.blocks] == ["geometry", WHOLE]
    assert record.blocks[0].gap == pytest.approx(record.difference.gap)
    table = tabulate_columns(found)
    evidence = [name for name in table if name.startswith("evidence_")]
    np.testing.assert_allclose(table[evidence].sum(axis=1) + table["intercept"], table["logit"])
    dogs = tabulate_subjects(found)
    assert set(dogs["region"]) >= {"mouth_opening", PLACES, WHOLE}
    assert dogs["method"].unique().tolist() == ["geometry"]


def test_sentence_names_the_part_of_the_face_and_the_measure_that_answers_go_with(world):
    record = describe_model(make_found(world))
    mouth = by_name(record.geometry.measures)["mouth_opening"]
    text = write_sentence(record)
    assert "% come from the muzzle" in text
    assert "The answers go most with mouth opening (correlation" in text
    assert f"{mouth.means[OPEN]:.2f} in “{OPEN}”" in text
    assert text.endswith("[face units].")
    rows, values, _ = world
    mute = draw_decision(values, np.zeros(values.shape[1]))
    silent = write_sentence(describe_model(make_found((rows, values, mute))))
    assert silent == "The evidence of the measured face does not differ clearly between the labels."


def test_charts_draw_every_measure_and_point_of_any_scheme(world):
    record = describe_model(make_found(world))
    face, measures = draw_face(record), draw_measures(record)
    left, right = face.axes
    pairs = sum(len(each.pairs) for each in DOG.measures)
    assert len([line for line in left.lines if line.get_zorder() == 3]) == pairs
    assert len(right.collections[0].get_offsets()) == len(DOG.points)
    shown = [label.get_text() for label in measures.axes[0].get_yticklabels()]
    assert shown[0] == "mouth opening"
    no_geometry = record.model_copy(update={"geometry": None})
    assert draw_face(no_geometry) is draw_measures(no_geometry) is None
