import json

import numpy as np
import pytest
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss, log_loss

from canemo.learn.predictions import Predictions
from canemo.trust.calibration import compute_calibration


def predictions(truth, p):
    p = np.asarray(p, float)
    probability = np.stack([1 - p, p], axis=1) if p.ndim == 1 else p
    labels = tuple("abcd"[: probability.shape[1]])
    return Predictions(np.asarray(truth), probability, np.full(len(p), "rex", object), labels)


def drawn(*, units=4000, sharpness=1.0, seed=0):
    """Units whose probability is true where `sharpness` is 1 and too bold where it is more."""
    rng = np.random.default_rng(seed)
    logit = rng.normal(size=units) * 1.5
    truth = (rng.random(units) < 1 / (1 + np.exp(-logit))).astype(int)
    return predictions(truth, 1 / (1 + np.exp(-sharpness * logit)))


def test_known_answer():
    found = compute_calibration(predictions([0, 1, 1, 0], [0.1, 0.15, 0.9, 0.9]), positive=1)
    assert found["brier"] == pytest.approx((0.1**2 + 0.85**2 + 0.1**2 + 0.9**2) / 4)
    assert found["log_loss"] == pytest.approx(-np.log([0.9, 0.15, 0.9, 0.1]).mean())
    low, high = found["bins"]
    assert (low["low"], low["high"], low["n"], low["share"]) == (0.1, 0.2, 2, 0.5)
    assert (high["low"], high["high"], high["n"], high["share"]) == (0.9, 1.0, 2, 0.5)
    assert low["probability"] == pytest.approx(0.125)
    assert found["ece"] == pytest.approx((2 * 0.375 + 2 * 0.4) / 4)


def test_agrees_with_scikit_learn():
    world = drawn(units=300)
    found = compute_calibration(world, positive=1)
    p = world.probability[:, 1]
    assert found["brier"] == pytest.approx(brier_score_loss(world.label_index, p))
    assert found["log_loss"] == pytest.approx(log_loss(world.label_index, p))
    share, mean = calibration_curve(world.label_index, p, n_bins=10)
    assert [row["share"] for row in found["bins"]] == pytest.approx(share.tolist())
    assert [row["probability"] for row in found["bins"]] == pytest.approx(mean.tolist())


def test_edges_belong_to_the_bin_above_and_one_to_the_last():
    p = [0.0, 0.3, 0.7, 1.0]
    found = compute_calibration(predictions([0, 0, 1, 1], p), positive=1)["bins"]
    assert [row["low"] for row in found] == [0.0, 0.3, 0.7, 0.9]
    assert [row["probability"] for row in found] == p


def test_three_labels_sum_the_squares_and_look_at_the_label_predicted():
    probability = [[0.6, 0.3, 0.1], [0.6, 0.3, 0.1], [0.05, 0.05, 0.9]]
    world = predictions([0, 1, 2], probability)
    found = compute_calibration(world, positive=0)
    each = [0.16 + 0.09 + 0.01, 0.36 + 0.49 + 0.01, 0.0025 + 0.0025 + 0.01]
    assert found["brier"] == pytest.approx(np.mean(each))
    assert [(row["n"], row["share"]) for row in found["bins"]] == [(2, 0.5), (1, 1.0)]
    assert found["ece"] == pytest.approx((2 * 0.1 + 0.1) / 3)
    assert found == compute_calibration(world, positive=2)


def test_turning_the_two_labels_round_mirrors_the_bins():
    world = drawn(units=500)
    there, back = (compute_calibration(world, positive=label) for label in (1, 0))
    assert there["ece"] == pytest.approx(back["ece"])
    assert there["brier"] == back["brier"]
    assert [row["share"] for row in there["bins"]] == pytest.approx(
        [1 - row["share"] for row in reversed(back["bins"])]
    )


def test_true_probabilities_are_found_calibrated_and_bold_ones_are_not():
    true, bold = (compute_calibration(drawn(sharpness=s), positive=1) for s in (1.0, 3.0))
    assert true["ece"] < 0.03
    assert bold["ece"] > 0.1
    assert bold["brier"] > true["brier"]
    assert bold["log_loss"] > true["log_loss"]


def test_certain_and_wrong_stays_finite_and_fit_for_json():
    found = compute_calibration(predictions([1, 0], [0.0, 1.0]), positive=1)
    assert found["brier"] == found["ece"] == 1
    assert found["log_loss"] == pytest.approx(36.04, abs=0.01)
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_input_is_left_as_it_is():
    world = drawn(units=50)
    before = world.probability.copy()
    compute_calibration(world, positive=1)
    assert np.array_equal(world.probability, before)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"positive": 2}, "from 0 to 1, not 2"),
        ({"positive": -1}, "from 0 to 1, not -1"),
        ({"bins": 0}, "at least 1, not 0"),
    ],
)
def test_impossible_settings_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        compute_calibration(drawn(units=5), **{"positive": 1, **change})


def test_nothing_predicted_is_refused():
    with pytest.raises(ValueError, match="nothing predicted"):
        compute_calibration(predictions(np.zeros(0, int), np.zeros(0)), positive=1)


def test_labels_that_weigh_the_same_are_as_clips_that_were_filmed_as_often():
    truth = [0, 0, 0, 1]
    p = [0.3, 0.3, 0.7, 0.7]
    found = compute_calibration(predictions(truth, p), positive=1, balanced=True)
    thrice = compute_calibration(predictions([*truth, 1, 1], [*p, 0.7, 0.7]), positive=1)
    for name in ("brier", "ece", "log_loss"):
        assert found[name] == pytest.approx(thrice[name])
    assert [row["share"] for row in found["bins"]] == pytest.approx([0, 3 / 4])
    assert [row["n"] for row in found["bins"]] == [2, 2]
