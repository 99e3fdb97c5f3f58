from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import pytest
from scipy.stats import t as student_t

from canemo.explain.decision import draw_directions
from canemo.explain.maps.methods import METHODS, map_decisions
from canemo.explain.report_card import Check, ReportCard, grade_maps
from canemo.explain.scoring import correlate_maps
from canemo.explain.survey import RANDOM_PROBES, Case, Controls, examine_case, map_case
from canemo.networks.backbones import load_backbone, randomise
from explain_worlds import LABELS, decide, draw_crop, read_checks
from map_worlds import DRAWN, KNOWS_NO_PROBE, examine_worlds


def table_of(gains: Sequence[float], *, alike: float = 0.1, **columns) -> pd.DataFrame:
    """Return tests of two crops per dog whose maps are better than moved ones by the gains."""
    per_dog = pd.DataFrame({"subject_id": [f"d{i}" for i in range(len(gains))], "gain": gains})
    crops = pd.concat([per_dog.assign(off=0.5), per_dog.assign(off=-0.5)], ignore_index=True)
    return pd.DataFrame(
        {
            "subject_id": crops["subject_id"],
            "deletion": 1.0,
            "deletion_moved": 1.0 + crops["gain"] + crops["off"],
            "insertion": 1.0 + crops["gain"] + crops["off"],
            "insertion_moved": 1.0,
            "like_random_probe": alike,
            "like_shuffled": alike,
            "like_random_backbone": alike,
            "hit": np.nan,
            "truth_area": np.nan,
        }
        | columns
    )


def checks_of(card: ReportCard) -> dict[str, Check]:
    return {check.name: check for check in card.checks}


# -- numbers ---------------------------------------------------------------------------------------


def test_mean_interval_and_p_are_those_of_the_dogs():
    gains = [0.1, 0.3, 0.2, 0.4, 0.5, 0.3]
    card = grade_maps("contribution", table_of(gains))
    assert (card.method, card.crops, card.dogs) == ("contribution", 12, 6)
    for name in ("deletion", "insertion"):
        check = checks_of(card)[name]
        reach = student_t.ppf(0.975, 5) * np.std(gains, ddof=1) / np.sqrt(6)
        assert check.value == pytest.approx(0.3)
        assert (check.low, check.high) == pytest.approx((0.3 - reach, 0.3 + reach))
        assert check.p == 2 / 64  # all six of one sign: two patterns of 64
        assert (check.passed, check.reason) == (True, "")
    assert card.passed is True
    assert card.verdict == "passes every test that was made"


def test_crops_count_within_their_dog():
    many = pd.concat([table_of([0.3] * 6)] + [table_of([0.9])] * 50)  # of the first dog
    assert checks_of(grade_maps("m", many))["deletion"].value == pytest.approx(
        (5 * 0.3 + (0.3 + 50 * 0.9) / 51) / 6
    )


def test_gains_that_differ_in_sign_fail():
    card = grade_maps("m", table_of([0.3, -0.3, 0.2, -0.2, 0.1, -0.1]))
    assert checks_of(card)["deletion"].passed is False
    assert card.verdict == (
        "FAILS: covering its best places does not clearly cost more than covering others; showing "
        "its best places does not clearly give more than showing others"
    )


def test_a_map_that_is_worse_than_moved_ones_fails_however_sure_that_is():
    check = checks_of(grade_maps("m", table_of([-0.3, -0.2, -0.4, -0.3, -0.2, -0.5])))["deletion"]
    assert check.p == 2 / 64
    assert check.passed is False


@pytest.mark.parametrize("dogs", [1, 2, 5])
def test_few_dogs_make_no_test_and_the_reason_is_given(dogs):
    card = grade_maps("m", table_of([0.3, 0.4, 0.5, 0.4, 0.3][:dogs]))
    check = checks_of(card)["deletion"]
    assert check.value == pytest.approx(np.mean([0.3, 0.4, 0.5, 0.4, 0.3][:dogs]))
    assert (check.p, check.passed) == (None, None)
    assert check.reason == f"deletion: needs 6 {{plural}}, there are {dogs}"
    assert (check.low is None) == (dogs == 1)
    assert (card.passed, card.verdict) == (None, "not tested where it counts")
    alike = checks_of(card)["like_random_probe"]
    assert (alike.value, alike.passed) == (pytest.approx(0.1), True)


def test_without_a_tested_crop_nothing_is_said():
    card = grade_maps("m", pd.DataFrame())
    assert (card.passed, card.verdict, card.checks) == (None, "not tested", ())
    unknown = table_of([0.1], alike=np.nan)
    assert grade_maps("m", unknown).passed is None
    assert grade_maps("m", unknown).verdict == "not tested"


@pytest.mark.parametrize(("alike", "passed"), [(0.5, True), (0.51, False)])
def test_a_map_that_stays_the_same_fails_and_says_by_how_much(alike, passed):
    card = grade_maps("m", table_of([0.3] * 6, alike=alike))
    for name, words in [
        ("like_random_probe", "it stays the same with a random probe (rank correlation 0.51)"),
        ("like_shuffled", "it stays the same with shuffled labels (rank correlation 0.51)"),
        ("like_random_backbone", "it stays the same with a random backbone (rank correlation"),
    ]:
        check = checks_of(card)[name]
        assert check.passed is passed
        assert check.p is None
        assert check.reason.startswith(words) if not passed else check.reason == ""


def test_a_control_that_could_not_be_had_is_no_failure():
    card = grade_maps("m", table_of([0.2, 0.3, 0.4, 0.2, 0.3, 0.4], like_shuffled=np.nan))
    check = checks_of(card)["like_shuffled"]
    assert (check.value, check.passed) == (None, None)
    assert check.reason == "shuffled labels: could not be made"
    assert card.passed is True


def test_dogs_without_a_known_value_are_left_out():
    tests = table_of([0.3] * 6)
    tests.loc[tests["subject_id"] == "d0", "like_random_probe"] = np.nan
    tests.loc[tests["subject_id"] == "d1", "like_random_probe"] = 0.7
    assert checks_of(grade_maps("m", tests))["like_random_probe"].value == pytest.approx(
        (4 * 0.1 + 0.7) / 5
    )


def test_pointing_is_held_against_the_area():
    tests = table_of([0.3] * 6, hit=[1.0, 1, 1, 0, 1, 1] * 2, truth_area=0.25)
    check = checks_of(grade_maps("m", tests))["pointing"]
    assert check.value == pytest.approx(5 / 6 - 0.25)
    assert check.passed is False  # five of six dogs: p is 4 of 64 and more
    sure = checks_of(grade_maps("m", tests.assign(hit=1.0)))["pointing"]
    assert (sure.p, sure.passed) == (2 / 64, True)


# -- worlds whose truth is known -------------------------------------------------------------------


def test_a_map_that_is_right_passes():
    card = grade_maps("contribution", examine_worlds(METHODS["contribution"]))
    assert card.verdict == "passes every test that was made"
    assert {name: check.passed for name, check in checks_of(card).items()} == dict.fromkeys(
        ("deletion", "insertion", "like_random_probe", "like_shuffled", "like_random_backbone",
         "pointing"), True,
    )  # fmt: skip


def test_a_map_of_noise_fails_deletion_and_pointing():
    checks = checks_of(grade_maps("drawn", examine_worlds(DRAWN)))
    assert checks["deletion"].passed is False
    assert checks["insertion"].passed is False
    assert checks["pointing"].passed is False
    assert checks["like_random_probe"].passed  # it is another one each time


def test_a_map_that_does_not_depend_on_the_probe_fails_and_it_is_said():
    card = grade_maps("deaf", examine_worlds(KNOWS_NO_PROBE))
    checks = checks_of(card)
    assert checks["deletion"].passed  # it points at the right place all the same
    assert checks["like_random_probe"].passed is False
    assert checks["like_random_backbone"].passed
    assert "it stays the same with a random probe (rank correlation 1.00)" in card.verdict


def test_on_a_pretrained_network_eigencam_fails_the_probe_check_and_contributions_pass():
    backbone, crops = (
        load_backbone("efficientnet_lite0"),
        [draw_crop(seed) for seed in range(50, 53)],
    )
    decision, checks = decide(backbone, "mean"), {}
    decisions = [decision, *draw_directions(decision, RANDOM_PROBES, seed=0)]
    for name in ("contribution", "eigencam"):
        own, *others = map_decisions(crops, METHODS[name], backbone=backbone, decisions=decisions)
        alike = np.abs([correlate_maps(own, other) for other in others]).mean(axis=0)
        tests = table_of([0.3] * 3, like_random_probe=np.tile(alike, 2))
        checks[name] = checks_of(grade_maps(name, tests))["like_random_probe"]
    assert checks["eigencam"].value == pytest.approx(1)
    assert checks["eigencam"].passed is False
    assert checks["contribution"].passed is True


@pytest.mark.slow
def test_on_a_pretrained_network_a_drawn_network_gives_another_map():
    backbone = load_backbone("efficientnet_lite0")
    origin = pd.DataFrame({"video_id": "v", "subject_id": "d", "label": LABELS[0],
                           "frame_index": 0, "logit": [1.0]})  # fmt: skip
    masks, points = np.zeros((1, 6, 8, 8), np.float32), np.zeros((1, 46, 2))
    case = Case(origin, [draw_crop(50)], decide(backbone, "mean"), None, masks, points,
                np.array([True]))  # fmt: skip
    method, controls = METHODS["contribution"], Controls(randomise(backbone))
    maps = map_case(case, method, backbone)
    tests = examine_case(case, maps, method, backbone=backbone, controls=controls)
    assert checks_of(grade_maps("contribution", tests))["like_random_backbone"].passed is True


def test_a_probe_that_reads_nothing_leaves_checks_open():
    tests = examine_worlds(METHODS["contribution"], decision=read_checks(0), dogs=1)
    assert tests["like_random_probe"].isna().all()
    checks = checks_of(grade_maps("contribution", tests))
    assert checks["like_random_probe"].reason == "random probe: could not be made"
    assert checks["deletion"].value == 0
