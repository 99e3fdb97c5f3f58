import numpy as np
import pandas as pd
import pytest

from canemo.config import EvaluateConfig, ProbeConfig
from canemo.errors import SplitError
from canemo.features.poolings import pool
from canemo.learn.evaluate import evaluate_learner
from canemo.learn.logistic import LogisticLearner
from canemo.learn.material import Material
from canemo.learn.predictions import select_level, tabulate_predictions
from canemo.learn.probe import average_by_video
from canemo.learn.splits import Fold, Split, make_split
from canemo.trust.summaries import summarise_chance, summarise_level, summarise_subjects
from worlds import LABELS, draw_features, measure_accuracy

PROBE = ProbeConfig(penalties=(0.01, 1.0), inner_folds=3)


def evaluate(features, split=None, probe=PROBE):
    split = split or make_split(features.origin["subject_id"].tolist(), kind="loso")
    material = Material(pool(features, probe.pooling), features.origin, LABELS)
    return evaluate_learner(LogisticLearner(material, probe), split, seed=0)


def test_planted_effect_is_found():
    assert measure_accuracy(evaluate(draw_features(effect=5.0))) >= 0.9


@pytest.mark.slow
def test_nothing_there_nothing_found():
    found = [measure_accuracy(evaluate(draw_features(seed=seed))) for seed in range(12)]
    assert np.mean(found) == pytest.approx(0.5, abs=0.08)


def test_identity_alone_is_not_taken_for_the_label():
    # Dogs differ in how often they show each label; a frame-wise split would score high here.
    features = draw_features(subjects=12, dog_effect=6.0)
    owners = features.origin["subject_id"].str[1:].astype(int)
    clip = features.origin["video_id"].str.split("_").str[1].astype(int)
    rare = np.where(owners % 2 == 0, clip == 0, clip != 0)
    features.origin["label"] = np.where(rare, LABELS[0], LABELS[1])
    table = evaluate(features).predictions
    videos = select_level(table, "video", LABELS)
    assert summarise_level(videos, evaluate=EvaluateConfig())["balanced_accuracy"] < 0.7


def test_every_prediction_comes_from_a_fold_that_tests_its_dog():
    features = draw_features(effect=1.0)
    split = make_split(features.origin["subject_id"].tolist(), kind="kfold:3")
    table = evaluate(features, split).predictions
    assert len(table[table["level"] == "frame"]) == len(features)
    for number, fold in enumerate(split.folds):
        assert set(table.loc[table["fold"] == number, "subject_id"]) == set(fold.test)


def test_a_test_dogs_labels_do_not_change_its_own_predictions():
    features = draw_features(effect=1.0)
    before = evaluate(features).predictions
    mine = features.origin["subject_id"] == "s3"
    swapped = features.origin["label"].map({LABELS[0]: LABELS[1], LABELS[1]: LABELS[0]})
    features.origin["label"] = features.origin["label"].where(~mine, swapped)
    after = evaluate(features).predictions
    column = f"probability_{LABELS[0]}"
    np.testing.assert_allclose(
        before.loc[before["subject_id"] == "s3", column],
        after.loc[after["subject_id"] == "s3", column],
    )


def test_video_probability_is_the_mean_of_its_frames():
    table = evaluate(draw_features(effect=1.0)).predictions
    column = f"probability_{LABELS[1]}"
    frames = table[table["level"] == "frame"].groupby("video_id")[column].mean()
    videos = table[table["level"] == "video"].set_index("video_id")[column]
    pd.testing.assert_series_equal(frames.sort_index(), videos.sort_index())


def test_fold_whose_training_dogs_lack_a_label_is_left_out_with_a_warning():
    features = draw_features(subjects=3, effect=2.0)
    origin = features.origin
    origin.loc[origin["subject_id"] != "s0", "label"] = LABELS[0]
    result = evaluate(features)
    assert result.warnings == (
        "fold 0: no training subject shows the label 'frustration'; left out",
    )
    assert set(result.predictions["subject_id"]) == {"s1", "s2"}


def test_dog_without_crops_is_named():
    features = draw_features(subjects=3, effect=2.0)
    split = Split("x", 0, (Fold(("s0", "s1"), ("s2",)), Fold(("s0", "s1", "s2"), ("ghost",))))
    assert evaluate(features, split).warnings == (
        "fold 1: no usable crop of test subject(s) ghost; left out",
    )


def test_study_that_no_fold_can_evaluate_says_why():
    features = draw_features(subjects=2)
    features.origin["label"] = np.where(features.origin["subject_id"] == "s0", *LABELS)
    with pytest.raises(SplitError, match="no training subject shows the label"):
        evaluate(features)


def test_summaries_count_what_is_there():
    origin = pd.DataFrame(
        {
            "video_id": ["v1", "v1", "v2", "v3"],
            "subject_id": ["rex", "rex", "rex", "bella"],
            "label": [LABELS[0], LABELS[0], LABELS[1], LABELS[1]],
            "frame_index": [0, 1, 0, 0],
            "time_s": [0.0, 0.2, 0.0, 0.0],
        }
    )
    probability = np.array([[0.9, 0.1], [0.7, 0.3], [0.6, 0.4], [0.2, 0.8]])
    _, of_videos = average_by_video(probability, origin["video_id"].to_numpy())
    table = tabulate_predictions(origin, probability, of_videos, labels=LABELS)
    videos = table[table["level"] == "video"]
    assert videos[f"probability_{LABELS[0]}"].tolist() == pytest.approx([0.8, 0.6, 0.2])
    assert summarise_subjects(videos) == [
        {"subject_id": "bella", "videos": 1, "accuracy": 1.0, "labels": {LABELS[1]: 1}},
        {
            "subject_id": "rex",
            "videos": 2,
            "accuracy": 0.5,
            "labels": {LABELS[0]: 1, LABELS[1]: 1},
        },
    ]
    frame, video = (select_level(table, level, LABELS) for level in ("frame", "video"))
    chance = summarise_chance(frame, video)["majority"]
    assert chance == {"label": LABELS[1], "video": pytest.approx(2 / 3), "frame": 0.5}
    assert summarise_level(video, evaluate=EvaluateConfig(resamples=100))["confusion"] == {
        "labels": list(LABELS),
        "counts": [[1, 0], [1, 1]],
    }
