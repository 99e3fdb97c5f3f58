import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from canemo.config import EvaluateConfig
from canemo.faces.frame_choice import choose_frames
from canemo.trust.audit import (
    SubjectFreeLearner,
    audit_evidence,
    centre_subjects,
    compare_drops,
    describe_sessions,
    measure_identity,
)
from canemo.trust.metadata import score_metadata
from canemo.trust.metrics_json import find_penalty
from evidence_worlds import (
    assess,
    copy_clip,
    discriminant_of,
    draw_evidence,
    lose_frames,
    measure,
    names_of,
    with_features,
)
from worlds import LABELS, THREE_LABELS

TEN = {"subjects": 10, "clips": 8}


def audit(evidence):
    learner, evaluation = assess(evidence)
    penalty = find_penalty(evidence.config, evaluation)
    metadata = score_metadata(evidence, learner.material)
    found = audit_evidence(evidence, learner, penalty=penalty, metadata=metadata)
    json.dumps(found, allow_nan=False)
    return found


def named(evidence, severity=None):
    return names_of(audit(evidence)["findings"], severity)


# -- nothing to find -------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
def test_clean_world_with_an_effect_gives_no_alarm(seed):
    found = audit(draw_evidence(**TEN, effect=6.0, seed=seed))
    assert names_of(found["findings"], "alarm") == set()
    assert found["splits"]["subject_wise"]["video"] > 0.85
    assert found["duplicates"]["n"] == 0
    assert found["confounds"] is None


@pytest.mark.slow
def test_clean_worlds_without_an_effect_give_alarms_no_more_often_than_by_chance():
    alarms = [named(draw_evidence(subjects=8, seed=seed), "alarm") for seed in range(6)]
    assert sum(map(bool, alarms)) <= 2


# -- the dog ---------------------------------------------------------------------------------------


def test_dogs_with_unlike_shares_of_labels_fool_every_split_but_that_by_dog():
    evidence = draw_evidence(
        **TEN, dim=24, dog_effect=3.0, label_of=lambda dog, clip: int(clip < 1) ^ (dog % 2)
    )
    found = audit(evidence)
    honest = found["splits"]["subject_wise"]["video"]
    for split in ("frame_wise", "clip_wise"):
        assert found["splits"][split]["video"] > honest + 0.2
        assert found["splits"][split]["video"] > 0.8
    assert found["splits"]["frame_wise"]["frame"] > 0.8
    assert {"identity", "splits"} <= names_of(found["findings"])
    [line] = [f for f in found["findings"] if f["name"] == "identity"]
    assert line["severity"] == "alarm"
    assert "anticipation: 12 to 88 % of a dog's clips" in line["text"]


def test_dogs_with_equal_shares_are_no_identity_finding():
    assert "identity" not in named(draw_evidence(**TEN, dog_effect=5.0))


def test_identity_is_how_often_a_clips_dog_is_named():
    settings = EvaluateConfig()
    plain = measure_identity(discriminant_of(draw_evidence(**TEN, dog_effect=5.0)), settings)
    assert (plain["subjects"], plain["chance"]) == (10, 0.1)
    assert plain["accuracy"] > 0.95
    alike = measure_identity(discriminant_of(draw_evidence(**TEN, dog_effect=0.0)), settings)
    assert alike["accuracy"] < 0.3


def test_identity_leaves_out_dogs_with_one_clip():
    evidence = draw_evidence(subjects=4, clips=4, dog_effect=5.0)
    (material,) = evidence.materials
    lone = (material.origin["subject_id"] != "s00") | (material.origin["video_id"] == "v00_0")

    def only(rows):
        rows = rows.to_numpy()
        origin = material.origin[rows].reset_index(drop=True)
        few = replace(material, x=material.x[rows], origin=origin)
        return measure_identity(
            discriminant_of(replace(evidence, materials=(few,))), EvaluateConfig()
        )

    assert only(lone)["subjects"] == 3
    assert only(material.origin["subject_id"].isin(["s01"])) is None
    assert only(material.origin["video_id"].str.endswith("_0")) is None


def test_every_dog_in_one_condition_allows_no_conclusion():
    metrics = measure(draw_evidence(**TEN, label_of=lambda dog, clip: dog % 2))
    assert metrics.permutation.p is None
    assert "more than one condition" in metrics.permutation.reason
    found = metrics.audit
    [line] = [f for f in found.findings if f.name == "aligned"]
    assert line.severity == "alarm"
    assert "nothing can be concluded" in line.text
    assert "every dog was filmed in one condition only" in line.text
    assert found.drops.p is None


def test_centred_features_have_no_dog_left():
    evidence = draw_evidence(**TEN, effect=2.0)
    learner = centre_subjects(discriminant_of(evidence))
    clips = (
        pd.DataFrame(learner.material.x)
        .groupby(
            [learner.material.origin["subject_id"], learner.material.origin["video_id"]], sort=False
        )
        .mean()
    )
    np.testing.assert_allclose(clips.groupby("subject_id").mean(), 0, atol=1e-5)
    shifted = (
        evidence.materials[0].x
        + 7
        * np.random.default_rng(0).normal(size=(10, 8))[
            pd.factorize(evidence.materials[0].origin["subject_id"])[0]
        ]
    )
    again = centre_subjects(discriminant_of(with_features(evidence, shifted)))
    np.testing.assert_allclose(again.material.x, learner.material.x, atol=1e-5)


@pytest.mark.parametrize("dim", [8, 700])  # more and fewer crops than features
def test_directions_in_which_dogs_differ_carry_no_weight(dim):
    evidence = draw_evidence(subjects=6, clips=6, effect=3.0, dim=dim)
    learner = discriminant_of(evidence)
    single = replace(learner, probe=learner.probe.model_copy(update={"penalties": (10.0,)}))
    material = learner.material
    everyone = np.ones(len(material.origin), dtype=bool)
    probe = SubjectFreeLearner(single).fit(everyone, seed=0).classifier
    clips = pd.DataFrame(material.x).groupby(material.origin["video_id"].to_numpy()).mean()
    dogs = clips.groupby(clips.index.str[:3]).mean().to_numpy()
    evidence_of_dogs = ((dogs - probe.mean) / probe.scale) @ probe.coef.T
    assert np.ptp(evidence_of_dogs) < 1e-3
    of_crops = ((material.x - probe.mean) / probe.scale) @ probe.coef.T
    assert np.ptp(of_crops) > 100 * np.ptp(evidence_of_dogs)


def test_result_that_rests_on_directions_of_dogs_is_named():
    # The label moves clips along the one direction in which dogs differ.
    evidence = draw_evidence(**TEN, dog_effect=0.0)
    (material,) = evidence.materials
    rng = np.random.default_rng(3)
    dog = pd.factorize(material.origin["subject_id"])[0]
    x = 0.3 * rng.normal(size=material.x.shape)
    x[:, 0] += (20 * rng.normal(size=10))[dog]
    clean = with_features(evidence, x + 0)
    x[:, 0] += 60 * material.label_index
    assert "subject_directions" in named(with_features(evidence, x))
    assert "subject_directions" not in named(clean)


# -- footage ---------------------------------------------------------------------------------------


def test_copied_footage_of_another_dog_is_an_alarm_that_names_the_pair():
    evidence = copy_clip(draw_evidence(**TEN, effect=3.0), "v02_3", "v07_5")
    found = audit(evidence)
    [pair] = found["duplicates"]["pairs"]
    assert (pair["first"], pair["second"]) == ("v02_3", "v07_5")
    assert (pair["first_subject"], pair["second_subject"]) == ("s02", "s07")
    [line] = [f for f in found["findings"] if f["name"] == "duplicates"]
    assert line["severity"] == "alarm"
    assert "1 pair(s)" in line["text"]
    assert "'v02_3' ('s02') and 'v07_5' ('s07')" in line["text"]


def test_copied_footage_of_one_dog_is_named_where_labels_differ():
    def label_of(dog, clip):
        return clip % 2

    other = copy_clip(draw_evidence(**TEN, label_of=label_of), "v02_2", "v02_3")
    found = audit(other)
    assert "duplicates" not in names_of(found["findings"])
    [line] = [f for f in found["findings"] if f["name"] == "two_labels"]
    assert line["severity"] == "note"
    assert "'v02_2' and 'v02_3'" in line["text"]
    same = copy_clip(draw_evidence(**TEN, label_of=label_of), "v02_2", "v02_4")
    assert audit(same)["duplicates"]["n"] == 0


# -- what became of frames -------------------------------------------------------------------------


def test_frames_lost_more_often_under_one_label_are_an_alarm_with_both_shares():
    evidence = lose_frames(
        draw_evidence(subjects=8, frames=12), {"anticipation": 0.5, "frustration": 0.1}
    )
    found = audit(evidence)
    [line] = [f for f in found["findings"] if f["name"] == "drops"]
    assert line["severity"] == "alarm"
    lost = evidence.ledger.assign(lost=evidence.ledger["fate"] != "used")
    for label, share in lost.groupby("label")["lost"].mean().items():
        assert found["drops"]["shares"][label] == pytest.approx(share)
        assert f"{label} {100 * share:.0f} %" in line["text"]


def test_frames_lost_alike_are_no_finding():
    settings, p = EvaluateConfig(permutations=200), []
    for seed in range(20):
        evidence = lose_frames(
            draw_evidence(subjects=8, seed=seed), dict.fromkeys(LABELS, 0.3), seed=seed
        )
        p.append(compare_drops(evidence.ledger, LABELS, settings)["p"])
    assert np.mean(np.array(p) <= 0.05) <= 0.15
    assert np.mean(p) == pytest.approx(0.5, abs=0.2)


def test_difference_of_drops_is_that_of_mean_shares_by_clip_and_its_p_counts_labellings():
    # One dog, four clips: of the 6 labellings two reach the difference that is seen.
    rows = [(f"v{c}", "s", LABELS[c // 2], fate) for c, fates in enumerate(
        ["used used", "used used", "no_face used", "no_face no_face"]
    ) for fate in fates.split()]  # fmt: skip
    ledger = pd.DataFrame(rows, columns=["video_id", "subject_id", "label", "fate"])
    found = compare_drops(ledger, LABELS, EvaluateConfig())
    assert found == {
        "shares": {"anticipation": 0.0, "frustration": 0.75},
        "difference": 0.75,
        "p": pytest.approx(2 / 6),
    }


# -- sessions --------------------------------------------------------------------------------------


def test_session_shared_by_dogs_is_named_and_listed():
    evidence = draw_evidence(
        subjects=6, clips=6, extra=lambda dog, clip: {"Session": f"day{dog // 2}-{clip % 2}"}
    )
    found = audit(evidence)
    assert found["sessions"]["column"] == "Session"
    assert {"session": "day1-0", "subjects": ["s02", "s03"]} in found["sessions"]["shared"]
    assert len(found["sessions"]["shared"]) == 6
    assert "sessions" in names_of(found["findings"], "note")


def test_session_of_one_dog_is_not_shared():
    own = draw_evidence(subjects=4, extra=lambda dog, clip: {"visit": f"{dog}-{clip % 2}"})
    assert describe_sessions(own) == {"column": "visit", "shared": []}
    assert describe_sessions(draw_evidence(subjects=4)) == {"column": None, "shared": []}


def by_order(dog, clip):
    return int(clip >= 3)


def test_label_that_goes_with_a_session_shared_by_dogs_allows_no_conclusion():
    evidence = draw_evidence(
        subjects=6,
        label_of=by_order,
        effect=3.0,
        extra=lambda dog, clip: {"session": "morning" if clip < 3 else "evening"},
    )
    found = audit(evidence)["findings"]
    [line] = [f for f in found if f["name"] == "aligned"]
    assert line["severity"] == "alarm"
    assert "nothing can be concluded" in line["text"]
    assert "each session" in line["text"]
    assert "nested" not in names_of(found)


def test_label_that_goes_with_a_session_within_each_dog_is_a_note():
    evidence = draw_evidence(
        subjects=6,
        label_of=by_order,
        effect=3.0,
        extra=lambda dog, clip: {"session": f"{dog}-{int(clip >= 3)}"},
    )
    found = audit(evidence)["findings"]
    assert "nested" in names_of(found, "note")
    assert "aligned" not in names_of(found)


def test_session_with_both_labels_is_neither_aligned_nor_nested():
    evidence = draw_evidence(
        subjects=6,
        label_of=lambda dog, clip: clip % 2,
        extra=lambda dog, clip: {"session": f"{clip // 2}"},
    )
    assert not {"aligned", "nested"} & named(evidence)


# -- tempting numbers ------------------------------------------------------------------------------


def test_choosing_frames_with_a_probe_that_saw_all_dogs_claims_too_much():
    evidence = draw_evidence(subjects=8, clips=6, frames=12, dim=40, seed=1)
    (material,) = evidence.materials
    noise = 2.0 * np.random.default_rng(2).normal(size=material.x.shape)
    found = audit(with_features(evidence, material.x + noise))
    honest = found["splits"]["subject_wise"]["video"]
    assert honest < 0.65
    assert found["selected_outside"]["balanced_accuracy"] > honest + 0.1
    assert "selection" in names_of(found["findings"], "note")


# -- circumstances ---------------------------------------------------------------------------------


def metadata_of(evidence):
    return score_metadata(evidence, evidence.materials[0])


def test_brightness_that_carries_the_label_shows_in_the_chance_of_metadata():
    evidence = draw_evidence(**TEN)
    darker = evidence.ledger["label"] == "frustration"
    ledger = evidence.ledger.assign(brightness=evidence.ledger["brightness"] - 6 * darker)
    found = metadata_of(replace(evidence, ledger=ledger))
    assert found["balanced_accuracy"] > 0.9
    assert found["interval"]["balanced_accuracy"][0] > 0.5
    assert "brightness" in found["columns"]
    (text,) = [
        each["text"]
        for each in audit(replace(evidence, ledger=ledger))["findings"]
        if each["name"] == "metadata"
    ]
    assert "brightness" in text
    assert f"{100 * found['balanced_accuracy']:.0f} %" in text


def test_session_that_carries_the_label_shows_in_the_chance_of_metadata():
    evidence = draw_evidence(
        **TEN,
        label_of=lambda dog, clip: clip % 2,
        extra=lambda dog, clip: {"session": ("am", "pm")[clip % 2]},
    )
    found = metadata_of(evidence)
    assert found["balanced_accuracy"] > 0.9
    assert "session" in found["columns"]


def test_metadata_that_carry_nothing_stay_near_chance():
    found = [
        metadata_of(draw_evidence(subjects=8, seed=seed))["balanced_accuracy"] for seed in range(8)
    ]
    assert np.mean(found) == pytest.approx(0.5, abs=0.08)


def test_three_labels_are_audited_alike():
    clean = audit(draw_evidence(subjects=8, labels=THREE_LABELS, effect=8.0))
    assert names_of(clean["findings"], "alarm") == set()
    assert clean["splits"]["subject_wise"]["video"] > 0.8
    lost = lose_frames(
        draw_evidence(subjects=8, labels=THREE_LABELS),
        {"anticipation": 0.1, "frustration": 0.6, "play": 0.1},
    )
    assert "drops" in named(lost, "alarm")


@pytest.mark.parametrize("rule", ["even:2", "score:.5"])
def test_frames_that_do_not_count_do_not_disturb_an_audit(rule):
    evidence = draw_evidence(subjects=6, effect=6.0, dim=24)
    (material,) = evidence.materials
    x = material.x.copy()
    counted = choose_frames(material.origin, evidence.ledger, rule)
    x[~counted] = np.random.default_rng(0).normal(size=(int((~counted).sum()), 24))
    spoiled = replace(material, x=x, frames=rule, counted=counted)
    found = audit(replace(evidence, materials=(spoiled,)))
    assert found["splits"]["subject_wise"]["video"] > 0.85
    assert found["splits"]["frame_wise"]["video"] > 0.85
    assert found["splits"]["clip_wise"]["video"] > 0.85
    assert found["centred"]["balanced_accuracy"] > 0.85
    assert found["identity"]["accuracy"] > 0.8
