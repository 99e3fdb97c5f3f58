from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

from canemo.config import GradientConfig, ProbeConfig, SequenceConfig, load_config
from canemo.errors import ConfigError
from canemo.features.poolings import expand_mixes, pool
from canemo.learn.curves import average_curves
from canemo.learn.evaluate import evaluate_learner
from canemo.learn.gradient import GradientLearner
from canemo.learn.lda import DiscriminantLearner
from canemo.learn.learner import Fitted
from canemo.learn.logistic import LogisticLearner
from canemo.learn.material import Material
from canemo.learn.methods import make_learner, require_choice
from canemo.learn.probe import Probe
from canemo.learn.sequence import SequenceLearner
from canemo.learn.splits import Fold, Split, make_split
from worlds import LABELS, draw_features, make_materials, measure_accuracy

PROBE = ProbeConfig(penalties=(0.1, 1.0), inner_folds=3)
HEADS = ("mean", "attention", "convolution", "gru")
SEQUENCE = SequenceConfig(hidden=8, epochs=15, learning_rate=0.01, batch_size=16)


class DrawnViews:
    """Views without pictures: the features with fresh noise in every epoch."""

    def __init__(self, features, *, is_cnn=True):
        self.x = pool(features, "cls")
        self.origin = features.origin
        self.backbone = SimpleNamespace(is_cnn=is_cnn)
        self.asked = set()

    def feed(self, video_ids):
        self.asked |= set(video_ids)
        owners = self.origin["video_id"]
        rows = np.concatenate([np.flatnonzero(owners == video_id) for video_id in video_ids])

        def features_of(epoch):
            rng = np.random.default_rng([5, epoch])
            return self.x[rows] + 0.1 * rng.normal(size=(len(rows), self.x.shape[1]))

        return features_of


def material_of(features, pooling="cls"):
    return Material(pool(features, pooling), features.origin, LABELS)


def gradient_learner(features, *, rate=2e-2, **settings):
    settings = GradientConfig(**{"epochs": 20, "batch_size": 32, **settings})
    material, views = material_of(features), DrawnViews(features)
    return GradientLearner(material, PROBE, settings, rate, views)


def sequence_learner(head):
    return lambda features: SequenceLearner(material_of(features), PROBE, head, SEQUENCE)


EVERY_LEARNER = {
    "lda": lambda features: DiscriminantLearner((material_of(features),), PROBE),
    "logistic": lambda features: LogisticLearner(material_of(features), PROBE),
    "gradient": gradient_learner,
    **{head: sequence_learner(head) for head in HEADS},
}


def evaluate(learner, kind="kfold:4"):
    split = make_split(learner.material.origin["subject_id"].tolist(), kind=kind)
    return evaluate_learner(learner, split, seed=0)


# -- what is found ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", EVERY_LEARNER)
def test_planted_effect_is_found_on_dogs_never_seen(name):
    evaluation = evaluate(EVERY_LEARNER[name](draw_features(effect=6.0)))
    assert measure_accuracy(evaluation) >= 0.9
    assert measure_accuracy(evaluation, "frame") >= 0.85


@pytest.mark.parametrize("name", EVERY_LEARNER)
def test_nothing_there_nothing_found(name):
    found = [
        measure_accuracy(evaluate(EVERY_LEARNER[name](draw_features(seed=seed)), "kfold:3"))
        for seed in range(8)
    ]
    assert np.mean(found) == pytest.approx(0.5, abs=0.09)


# -- what must not matter --------------------------------------------------------------------------


@pytest.mark.parametrize("name", EVERY_LEARNER)
def test_labels_of_test_dogs_change_no_probability(name):
    features = draw_features(effect=1.0)
    before = evaluate(EVERY_LEARNER[name](features), "holdout:3")
    tested = set(before.predictions["subject_id"])
    other = draw_features(effect=1.0)
    rng = np.random.default_rng(0)
    mine = other.origin["subject_id"].isin(tested)
    of_video = {v: LABELS[rng.integers(0, 2)] for v in other.origin["video_id"].unique()}
    other.origin["label"] = other.origin["label"].where(
        ~mine, other.origin["video_id"].map(of_video)
    )
    after = evaluate(EVERY_LEARNER[name](other), "holdout:3")
    assert (before.predictions["label"] != after.predictions["label"]).mean() > 0.3
    columns = [f"probability_{label}" for label in LABELS]
    np.testing.assert_array_equal(before.predictions[columns], after.predictions[columns])
    assert before.train_accuracy == after.train_accuracy
    trained = [column for column in before.curves if column.startswith("train")]
    pd.testing.assert_frame_equal(before.curves[trained], after.curves[trained])


@pytest.mark.parametrize("name", EVERY_LEARNER)
def test_crops_of_test_dogs_are_never_looked_at(name):
    features = draw_features(effect=1.0)
    train = features.origin["subject_id"].isin(["s0", "s2", "s3", "s6"]).to_numpy()
    fitted = EVERY_LEARNER[name](features).fit(train, seed=3).classifier
    spoiled = draw_features(effect=1.0)
    # The discriminant brings all crops to one unit first: numbers, but quite other ones.
    spoiled.cls[~train] = 100 * spoiled.cls[~train][::-1] + 30 if name == "lda" else np.nan
    again = EVERY_LEARNER[name](spoiled).fit(train, seed=3).classifier
    answers = [material_of(features).predict(each, ~train)[0] for each in (fitted, again)]
    np.testing.assert_allclose(*answers, atol=1e-9 if name == "lda" else 0, rtol=0)


def test_views_of_test_dogs_are_never_asked_for():
    learner = gradient_learner(draw_features())
    train = learner.material.origin["subject_id"].isin(["s1", "s4"]).to_numpy()
    learner.fit(train, seed=0)
    assert learner.views.asked == set(learner.material.origin.loc[train, "video_id"])


@pytest.mark.parametrize("name", EVERY_LEARNER)
def test_same_seed_same_answer(name):
    learner = EVERY_LEARNER[name](draw_features(effect=1.0))
    rows = np.ones(len(learner.material.origin), bool)
    answers = [
        learner.material.predict(learner.fit(rows, seed=seed).classifier, rows)[0]
        for seed in (0, 0, 1)
    ]
    np.testing.assert_array_equal(answers[0], answers[1])
    if name not in ("lda", "logistic"):  # there nothing is drawn but the inner folds
        assert np.abs(answers[0] - answers[2]).max() > 1e-4


# -- epochs ----------------------------------------------------------------------------------------


def test_curves_have_a_row_for_every_fold_and_epoch_and_the_last_one_counts():
    evaluation = evaluate(gradient_learner(draw_features(effect=2.0), epochs=7), "kfold:3")
    curves, table = evaluation.curves, evaluation.predictions
    assert curves[["fold", "epoch"]].to_numpy().tolist() == [
        [fold, epoch] for fold in range(3) for epoch in range(1, 8)
    ]
    frames = table[table["level"] == "frame"]
    for fold, part in curves.groupby("fold"):
        mine = frames[frames["fold"] == fold]
        assert part["test_crops"].tolist() == [len(mine)] * 7
        assert part["train_crops"].tolist() == [len(frames) - len(mine)] * 7
        right = (mine["predicted"] == mine["label"]).mean()
        assert part["test_accuracy"].iloc[-1] == pytest.approx(right)
        probability = np.where(
            mine["label"] == LABELS[0],
            mine[f"probability_{LABELS[0]}"],
            mine[f"probability_{LABELS[1]}"],
        )
        assert part["test_loss"].iloc[-1] == pytest.approx(-np.log(probability).mean())
    assert curves["test_accuracy"].nunique() > 3  # epochs do differ: the last is not any


def test_more_epochs_go_on_from_where_fewer_stopped():
    short, long = (
        evaluate(gradient_learner(draw_features(effect=1.0), epochs=epochs), "holdout:2").curves
        for epochs in (3, 6)
    )
    pd.testing.assert_frame_equal(short, long.head(3))


def test_only_what_is_trained_in_epochs_has_curves():
    evaluation = evaluate(EVERY_LEARNER["logistic"](draw_features()), "kfold:3")
    assert evaluation.curves.empty
    assert len(evaluation.penalties) == 3
    assert average_curves(evaluation.curves).empty
    gradient = evaluate(gradient_learner(draw_features(), epochs=2), "kfold:3")
    assert gradient.penalties == ()


def test_training_that_stopped_while_the_loss_fell_is_warned_of_once():
    slow = evaluate(gradient_learner(draw_features(effect=6.0), rate=1e-3, epochs=5), "kfold:3")
    assert len(slow.warnings) == 1
    assert "still fell when training stopped after 5 epochs at learning rate 0.001" in str(
        slow.warnings
    )


def test_curves_are_averaged_crop_by_crop():
    curves = pd.DataFrame(
        [
            # fold, epoch, train: crops, loss, accuracy, test: crops, loss, accuracy
            (0, 1, 10, 2.0, 0.50, 30, 1.0, 0.60),
            (1, 1, 30, 1.0, 0.70, 10, 3.0, 0.20),
            (0, 2, 10, 1.0, 1.00, 30, 0.0, 1.00),
            (1, 2, 30, 0.2, 0.60, 10, 0.4, 0.00),
        ],
        columns=[
            "fold", "epoch", "train_crops", "train_loss", "train_accuracy",
            "test_crops", "test_loss", "test_accuracy",
        ],
    )  # fmt: skip
    expected = pd.DataFrame(
        {
            "epoch": [1, 2],
            "train_loss": [1.25, 0.4],
            "train_accuracy": [0.65, 0.7],
            "test_loss": [1.5, 0.1],
            "test_accuracy": [0.5, 0.75],
        }
    )
    found = average_curves(curves.sample(frac=1, random_state=0))
    pd.testing.assert_frame_equal(found[expected.columns.tolist()], expected)


# -- accuracy on the training dogs -----------------------------------------------------------------


class SignLearner:
    """Answers the second label where the only feature is positive; learns nothing."""

    independent = False

    def __init__(self, values, labels, owners):
        videos = [f"v{i}" for i in range(len(values))]
        origin = pd.DataFrame({"video_id": videos, "subject_id": owners, "label": labels})
        origin = origin.assign(frame_index=0, time_s=0.0)
        self.material = Material(np.array(values, np.float32)[:, None], origin, ("a", "b"))

    def read(self):
        pass

    def fit(self, rows, *, seed):
        one = np.ones(1)
        probe = Probe(("a", "b"), 0 * one, one, one[None], 0 * one, 0.0)
        return Fitted(probe, self.material)


def test_training_accuracy_counts_the_crops_of_the_training_dogs():
    #        rex (2 of 3 right)   bella (1 of 1)   ada (0 of 2)
    learner = SignLearner(
        [-1, 1, 1, -1, 1, -1], list("abaaab"), ["rex"] * 3 + ["bella"] + ["ada"] * 2
    )
    first = Fold(("bella", "rex"), ("ada",))  # 3 of 4 training crops are right
    second = Fold(("ada",), ("bella", "rex"))  # 0 of 2
    for folds, expected in (((first,), 3 / 4), ((second,), 0), ((first, second), 3 / 6)):
        result = evaluate_learner(learner, Split("x", 0, folds), seed=0)
        assert result.train_accuracy == pytest.approx(expected)
    assert measure_accuracy(result, "frame") == pytest.approx(3 / 6)


# -- clips -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("head", HEADS)
def test_models_of_a_clip_answer_every_frame_and_every_clip(head):
    features = draw_features(effect=2.0)
    table = evaluate(sequence_learner(head)(features)).predictions
    frames, videos = (table[table["level"] == level] for level in ("frame", "video"))
    seen = frames.set_index(["video_id", "frame_index"]).sort_index()
    every = features.origin.set_index(["video_id", "frame_index"]).sort_index()
    assert seen.index.tolist() == every.index.tolist()
    assert seen["label"].tolist() == every["label"].tolist()
    assert sorted(videos["video_id"]) == sorted(features.origin["video_id"].unique())
    of_video = features.origin.drop_duplicates("video_id").set_index("video_id")["label"]
    assert (videos["label"].to_numpy() == of_video[videos["video_id"]].to_numpy()).all()
    total = table[[f"probability_{label}" for label in LABELS]].sum(axis=1)
    np.testing.assert_allclose(total, 1, atol=1e-6)


@pytest.mark.parametrize("head", HEADS)
def test_answer_for_a_clip_belongs_to_that_clip(head):
    # Rows come in any order; each clip must get the answer it gets alone.
    features = draw_features(effect=2.0, subjects=4)
    shuffled = np.random.default_rng(0).permutation(len(features))
    material = Material(
        pool(features, "cls")[shuffled], features.origin.iloc[shuffled].reset_index(), LABELS
    )
    learner = SequenceLearner(material, PROBE, head, SEQUENCE)
    everyone = np.ones(len(features), bool)
    classifier = learner.fit(everyone, seed=0).classifier
    frames, clips = material.predict(classifier, everyone)
    for clip, video_id in enumerate(material.origin["video_id"].unique()):
        rows = (material.origin["video_id"] == video_id).to_numpy()
        frames_alone, clip_alone = material.predict(classifier, rows)
        np.testing.assert_allclose(clips[[clip]], clip_alone, atol=1e-5)
        np.testing.assert_allclose(frames[rows], frames_alone, atol=1e-5)


# -- which learner ---------------------------------------------------------------------------------


def make(method, *, is_cnn=True, **overrides):
    features = draw_features(subjects=2)
    config = load_config(overrides={"probe": {"method": method, "pooling": "mean"}, **overrides})
    views = DrawnViews(features, is_cnn=is_cnn)
    learner = make_learner([material_of(features, "mean")], config=config, views=views)
    np.testing.assert_array_equal(learner.material.x, pool(features, "mean"))
    assert learner.probe == config.probe
    return learner


def test_method_decides_the_learner():
    assert isinstance(make("lda"), DiscriminantLearner)
    assert isinstance(make("logistic"), LogisticLearner)
    assert isinstance(make("gradient"), GradientLearner)
    for head in HEADS:
        learner = make(f"sequence_{head}", sequence={"hidden": 7})
        assert isinstance(learner, SequenceLearner)
        assert (learner.head, learner.sequence.hidden) == (head, 7)


def blocks_world():
    features = draw_features(subjects=4, effect=2.0)
    return replace(features, geometry=features.cls[:, :3] ** 3)


@pytest.mark.parametrize("method", ["logistic", "sequence_mean"])
def test_what_cannot_choose_takes_the_even_mix(method):
    features = blocks_world()
    config = load_config(overrides={"probe": {"method": method}, "sequence": {"epochs": 2}})
    materials = make_materials(features, poolings=("cls,geometry",))
    learner = make_learner(materials, config=config, views=None)
    assert learner.material.pooling == "cls*0.5,geometry*0.5"
    fitted = learner.fit(np.ones(len(features), bool), seed=0)
    plain = replace(learner, material=replace(materials[0], widths=()))
    unweighed = plain.fit(np.ones(len(features), bool), seed=0)
    np.testing.assert_allclose(
        fitted.classifier.scale * materials[0].weights, unweighed.classifier.scale, rtol=1e-5
    )


def test_a_mix_is_the_logistic_regression_of_columns_scaled_by_hand():
    features = blocks_world()
    material = make_materials(features, poolings=("cls*0.8,geometry*0.2",))[0]
    x = (material.x - material.x.mean(0)) / material.x.std(0) * material.weights
    everyone = np.ones(len(features), bool)
    probe = LogisticLearner(material, PROBE).fit(everyone, seed=0)
    model = LogisticRegression(C=1 / (probe.penalty * len(x)), max_iter=2000).fit(
        x, material.label_index
    )
    expected = model.predict_proba(x)
    found = probe.classifier.predict_proba(material.x)
    np.testing.assert_allclose(found, expected, atol=1e-2)


@pytest.mark.parametrize("pooling", ["cls,mean", "cls,geometry", "geometry", "region:eyes"])
def test_gradient_refuses_what_augmented_pictures_do_not_have(pooling):
    with pytest.raises(ConfigError, match="augmented pictures, whose points are not known"):
        require_choice("gradient", [(mix, "all") for mix in expand_mixes(pooling)])


@pytest.mark.parametrize(
    "offered",
    [[("cls", "all"), ("cls,geometry", "all")], [("cls,geometry", "all"), ("cls", "even:2")]],
)
def test_other_methods_refuse_a_choice_among_blocks(offered):
    with pytest.raises(ConfigError, match="only 'lda' chooses among poolings"):
        require_choice("logistic", offered)


def test_learning_rate_is_the_papers_for_the_kind_of_backbone():
    assert make("gradient").learning_rate == 1e-4
    assert make("gradient", is_cnn=False).learning_rate == 5e-6
    given = {"gradient": {"learning_rate": 0.25}}
    assert make("gradient", is_cnn=False, **given).learning_rate == 0.25


def test_class_weight_reaches_every_learner():
    # Four clips in five show the first label and no feature tells them apart.
    features = draw_features(subjects=6, clips=5)
    last = features.origin["video_id"].str.endswith("_4")
    features.origin["label"] = np.where(last, LABELS[1], LABELS[0])
    features.cls[:] = 1.0
    everyone = np.ones(len(features), bool)
    long = SEQUENCE.model_copy(update={"epochs": 60, "dropout": 0.0})
    for name, make_one in EVERY_LEARNER.items():
        learner = make_one(features)
        if name == "gradient":
            learner = gradient_learner(features, rate=0.05, epochs=60, initialisation="zeros")
        elif name in HEADS:
            learner = replace(learner, sequence=long)
        answers = {}
        for weight in ("none", "balanced"):
            learner = replace(learner, probe=PROBE.model_copy(update={"class_weight": weight}))
            fitted = learner.fit(everyone, seed=0).classifier
            answers[weight] = learner.material.predict(fitted, everyone)[1][:, 1].mean()
        assert answers["none"] == pytest.approx(0.2, abs=0.06), name
        assert answers["balanced"] == pytest.approx(0.5, abs=0.06), name
