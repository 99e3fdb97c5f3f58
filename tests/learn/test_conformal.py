import json
from itertools import product

import numpy as np
import pytest

from canemo.errors import ConfigError
from canemo.learn.conformal import Conformal, evaluate_conformal, fit_conformal
from canemo.learn.predictions import Predictions


def predictions(truth, probability, owners):
    labels = tuple("abcd"[: np.shape(probability)[1]])
    return Predictions(
        np.asarray(truth), np.asarray(probability, float), np.asarray(owners, object), labels
    )


def drawn(*, subjects=20, labels=2, skill=1.0, spread=1.0, seed=0, clips=(2, 12)):
    """Clips whose dogs differ in how well, and towards which label, they are read."""
    rng = np.random.default_rng(seed)
    owners = np.repeat(np.arange(subjects), rng.integers(*clips, subjects))
    truth = rng.integers(0, labels, len(owners))
    lean = spread * rng.normal(size=(subjects, labels))[owners]
    gain = (skill + spread * rng.normal(size=subjects))[owners]
    logit = lean + gain[:, None] * np.eye(labels)[truth] + rng.normal(size=lean.shape)
    p = np.exp(logit) / np.exp(logit).sum(axis=1, keepdims=True)
    return predictions(truth, p, owners)


def test_known_scores_weights_and_p_values():
    world = predictions(
        [0, 1, 1], [[0.75, 0.25], [0.5, 0.5], [0.125, 0.875]], ["rex", "rex", "ada"]
    )
    fitted = fit_conformal(world)
    assert fitted.scores.tolist() == [0.25, 0.5, 0.125]
    assert fitted.weights.tolist() == [0.5, 0.5, 1.0]
    assert (fitted.subjects, fitted.least_level) == (2, 1 / 3)
    found = fitted.p_values(np.array([[0.75, 0.25], [0.95, 0.05]]))
    # Scores of at least .25 weigh 1, of at least .75 nothing, of at least .05 both dogs.
    assert found.tolist() == pytest.approx(np.array([[2 / 3, 1 / 3], [1.0, 1 / 3]]))


def test_p_value_is_the_mean_over_every_draw_of_one_clip_per_dog():
    world = drawn(subjects=4, clips=(1, 4), seed=3)
    fitted, new = fit_conformal(world), np.array([[0.6, 0.4]])
    by_dog = [fitted.scores[world.subject_ids == dog] for dog in range(4)]
    for label in range(2):
        plain = [
            (1 + sum(score >= 1 - new[0, label] for score in chosen)) / 5
            for chosen in product(*by_dog)
        ]
        assert fitted.p_values(new)[0, label] == pytest.approx(np.mean(plain))


def test_sets_hold_labels_above_the_level_only():
    fitted = Conformal(np.linspace(0.05, 0.95, 19), np.ones(19), 19)
    sets = fitted.predict_sets(np.array([[0.99, 0.01], [0.5, 0.5], [0.04, 0.04]]), 0.05)
    assert sets.tolist() == [[True, False], [True, True], [False, False]]


def test_one_dog_of_many_clips_weighs_no_more_than_another():
    many = fit_conformal(
        predictions([0] * 101, [[0.4, 0.6]] * 100 + [[0.9, 0.1]], ["x"] * 100 + ["y"])
    )
    few = fit_conformal(predictions([0] * 2, [[0.4, 0.6], [0.9, 0.1]], ["x", "y"]))
    new = np.array([[0.7, 0.3]])
    assert many.p_values(new) == pytest.approx(few.p_values(new))


def test_level_at_the_least_is_given_and_below_refused():
    fitted = fit_conformal(drawn(subjects=19))
    fitted.predict_sets(np.array([[0.5, 0.5]]), 0.05)
    with pytest.raises(ConfigError, match=r"19 subjects no level below 1/20 = 0.05.*more subjects"):
        fitted.predict_sets(np.array([[0.5, 0.5]]), 0.049)
    with pytest.raises(ConfigError, match="or film more dogs"):
        fitted.require_level(0.049, plural="dogs")


@pytest.mark.parametrize("level", [0.0, 1.0, -0.1, float("nan")])
def test_impossible_level_is_refused(level):
    with pytest.raises(ConfigError, match="between 0 and 1"):
        fit_conformal(drawn()).predict_sets(np.array([[0.5, 0.5]]), level)
    with pytest.raises(ConfigError, match="between 0 and 1"):
        evaluate_conformal(drawn(), level=level)


def test_evaluation_against_a_loop_written_out():
    world, level = drawn(subjects=12, labels=3, seed=5), 0.2
    held, single, right = {}, [], []
    for i, dog in enumerate(world.subject_ids):
        others = sorted(set(world.subject_ids) - {dog})
        chosen = []
        for label in range(3):
            p = 1.0
            for other in others:
                rows = np.flatnonzero(world.subject_ids == other)
                of_truth = world.probability[rows, world.label_index[rows]]
                p += np.mean(1 - of_truth >= 1 - world.probability[i, label])
            if p / 12 > level + 1e-9:
                chosen.append(label)
        held.setdefault(dog, []).append(world.label_index[i] in chosen)
        single.append(len(chosen) == 1)
        right += [chosen == [world.label_index[i]]] if len(chosen) == 1 else []
    found = evaluate_conformal(world, level=level)
    assert found["coverage"] == pytest.approx(np.mean([np.mean(each) for each in held.values()]))
    assert found["decided"] == pytest.approx(np.mean(single))
    assert found["undecided"] == pytest.approx(1 - np.mean(single))
    assert found["accuracy_decided"] == pytest.approx(np.mean(right))
    assert (found["possible"], found["least_level"]) == (True, 1 / 12)
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_too_few_dogs_for_the_level_are_said_to_be():
    unknown = dict.fromkeys(("coverage", "decided", "accuracy_decided", "undecided"))
    found = evaluate_conformal(drawn(subjects=9), level=0.1)
    assert found == {"level": 0.1, "least_level": 1 / 9, "possible": False, **unknown}
    alone = evaluate_conformal(drawn(subjects=1), level=0.1)
    assert alone == {"level": 0.1, "least_level": 1.0, "possible": False, **unknown}
    assert evaluate_conformal(drawn(subjects=10), level=0.1)["possible"]


def test_nothing_decided_has_no_accuracy():
    world = predictions([0, 1] * 6, [[0.5, 0.5]] * 12, np.repeat(range(6), 2))
    found = evaluate_conformal(world, level=0.2)
    assert (found["coverage"], found["decided"], found["undecided"]) == (1, 0, 1)
    assert found["accuracy_decided"] is None


@pytest.mark.parametrize("level", [0.1, 0.2])
@pytest.mark.parametrize("labels", [2, 3])
def test_coverage_of_unseen_dogs_is_about_as_promised(level, labels):
    # Some dogs are read well and some wrongly; a new dog is drawn with each study.
    held = []
    for seed in range(300):
        world = drawn(subjects=30, labels=labels, seed=seed)
        known = world.subject_ids < 20
        fitted = fit_conformal(
            predictions(
                world.label_index[known], world.probability[known], world.subject_ids[known]
            )
        )
        sets = fitted.predict_sets(world.probability[~known], level)
        inside = sets[np.arange(len(sets)), world.label_index[~known]]
        owners = world.subject_ids[~known].astype(int) - 20
        held.append(np.mean(np.bincount(owners, inside) / np.bincount(owners)))
    assert 1 - level - 0.01 < np.mean(held) < 1 - level + (1 - level) / 20 + 0.01


def test_coverage_within_a_study_is_about_as_promised():
    found = [evaluate_conformal(drawn(seed=seed), level=0.1)["coverage"] for seed in range(150)]
    assert 0.89 < np.mean(found) < 0.9 + 0.9 / 19 + 0.01


def test_coverage_comes_down_to_what_was_asked_with_many_dogs():
    found = [evaluate_conformal(drawn(subjects=150, seed=s), level=0.1) for s in range(12)]
    assert np.mean([each["coverage"] for each in found]) == pytest.approx(0.9, abs=0.015)


def test_one_clip_of_each_dog_is_covered_exactly_as_asked():
    # Plain conformal sets: with 19 dogs and level 0.1 the truth is missing in 2 of 20 orders.
    held = []
    for seed in range(2500):
        scores = np.random.default_rng(seed).random(20)
        fitted = Conformal(scores[1:], np.ones(19), 19)
        held.append(fitted.predict_sets(np.array([[1 - scores[0]]]), 0.1)[0, 0])
    assert np.mean(held) == pytest.approx(0.9, abs=0.02)


def test_better_reading_decides_more_clips_and_rightly():
    poor, good = (
        evaluate_conformal(drawn(skill=skill, spread=0.3, seed=1), level=0.1)
        for skill in (0.0, 4.0)
    )
    assert good["decided"] > 0.8 > 0.4 > poor["decided"]
    assert good["accuracy_decided"] > 0.85 > poor["accuracy_decided"]


def test_written_down_and_read_back_it_is_the_same():
    fitted, new = fit_conformal(drawn(seed=4)), drawn(seed=5).probability
    again = Conformal.from_dict(json.loads(json.dumps(fitted.to_dict())))
    assert np.array_equal(again.p_values(new), fitted.p_values(new))
    assert again.least_level == fitted.least_level


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"scores": None}, "scores must be a list of"),
        ({"scores": ["high", 0.2]}, "scores must be a list of numbers"),
        ({"scores": [0.1, float("nan")]}, "finite"),
        ({"scores": [0.1, 1.2]}, "from 0 to 1, not 0.1 to 1.2"),
        ({"scores": [0.1]}, "1 scores and 2 weights"),
        ({"weights": [2.0, 0.0]}, "above 0, not 0.0"),
        ({"weights": [1.0, 0.5]}, "2 subjects sum to 1.5"),
        ({"subjects": 2.0}, "whole number from 1, not 2.0"),
        ({"subjects": 0}, "whole number from 1, not 0"),
    ],
)
def test_what_cannot_be_is_not_read(change, message):
    data = {"scores": [0.1, 0.2], "weights": [1.0, 1.0], "subjects": 2}
    Conformal.from_dict(data)
    with pytest.raises(ValueError, match=message):
        Conformal.from_dict({**data, **change})


def test_what_is_missing_is_named():
    with pytest.raises(ValueError, match="lack scores, subjects"):
        Conformal.from_dict({"weights": [1.0]})
