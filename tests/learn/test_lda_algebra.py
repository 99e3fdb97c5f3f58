from dataclasses import replace

import numpy as np
import pytest
from scipy.special import softmax
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from canemo.config import ProbeConfig
from canemo.learn.lda import DiscriminantLearner, read_material, read_materials
from canemo.learn.lda_algebra import (
    SHARPNESS,
    InnerFold,
    arrange,
    compute_inner_losses,
    compute_moments,
    make_inner_fold,
    measure_evidence,
    select_training,
    solve,
)
from canemo.learn.splits import iter_inner_folds
from worlds import (
    LABELS,
    THREE_LABELS,
    draw_features,
    drop_crops,
    make_discriminant,
    make_materials,
    relabel_clips,
)

FOUR = ["s0", "s2", "s3", "s6"]
BOTH = pytest.mark.parametrize("labels", [LABELS, THREE_LABELS])
WEIGHTS = pytest.mark.parametrize("class_weight", ["balanced", "none"])


def uneven_world(labels, **settings):
    """Clips of unequal length and a first label twice as frequent as the others."""
    features = draw_features(labels=labels, clips=8, effect=1.5, **settings)
    clips = features.origin["video_id"].nunique()
    index = np.random.default_rng(1).choice(
        len(labels), clips, p=np.array([2] + [1] * (len(labels) - 1)) / (len(labels) + 1)
    )
    return drop_crops(relabel_clips(features, index, labels), share=0.4)


def rows_of(features, subjects=FOUR):
    return features.origin["subject_id"].isin(subjects).to_numpy()


def solve_directly(features, rows, labels, *, penalty, class_weight, weights=1.0):
    """Fisher's discriminant as the textbook writes it; returns evidence as a function."""
    x = features.cls[rows].astype(float)
    origin = features.origin[rows]
    weight = 1 / origin.groupby("video_id")["video_id"].transform("size").to_numpy()
    weight = weight / weight.sum()
    mean = weight @ x
    scale = np.sqrt(weight @ (x - mean) ** 2)
    scale = np.where(scale < 1e-6, 1, scale) / weights
    z = (x - mean) / scale
    is_label = (origin["label"].to_numpy()[:, None] == np.array(labels)).astype(float)
    share = weight @ is_label
    means = (is_label * weight[:, None]).T @ z / share[:, None]
    within = np.zeros((z.shape[1], z.shape[1]))
    for row, vector in enumerate(z):
        away = vector - means[is_label[row].argmax()]
        within += weight[row] * np.outer(away, away)
    coef = np.linalg.solve(within + penalty * np.eye(len(within)), means.T)
    intercept = -0.5 * np.einsum("kf,fk->k", means, coef)
    if class_weight == "none":
        intercept += np.log(share)
    return lambda other: (other - mean) / scale @ coef + intercept


def fit(features, labels=LABELS, rows=None, **settings):
    rows = rows_of(features) if rows is None else rows
    return make_discriminant(features, labels, **settings).fit(rows, seed=0)


def answer(fitted, features):
    return fitted.classifier.predict_proba(features.cls)


# -- known answers ---------------------------------------------------------------------------------


def blocks_world(*, width=5, **settings):
    """The label shows in both blocks, `mean` and `geometry`, which are not alike."""
    features = uneven_world(LABELS, **settings)
    rng = np.random.default_rng(2)
    geometry = rng.normal(size=(len(features), width)).astype(np.float32)
    geometry += features.cls[:, :1]
    geometry[:, 1] = 7  # constant
    return replace(features, mean=np.cbrt(features.cls), geometry=geometry)


@pytest.mark.parametrize(("dim", "width"), [(12, 5), (12, 300)])
@pytest.mark.parametrize("mix", range(3))
def test_a_mix_is_the_discriminant_of_columns_scaled_by_hand(dim, width, mix):
    features = blocks_world(dim=dim, width=width)
    settings = {"penalties": (0.1,), "class_weight": "balanced"}
    material = make_materials(features, poolings=("mean,geometry",))[mix]
    share = [(0.5, 0.5), (0.8, 0.2), (0.2, 0.8)][mix]
    rows = rows_of(features)
    learner = DiscriminantLearner((material,), ProbeConfig(inner_folds=3, **settings))
    fitted = learner.fit(rows, seed=0)
    evidence = solve_directly(
        replace(features, cls=material.x), rows, LABELS, penalty=0.1, class_weight="balanced",
        weights=np.repeat([(share[0] * (dim + width) / dim) ** 0.5,
                           (share[1] * (dim + width) / width) ** 0.5], [dim, width]),
    )  # fmt: skip
    expected = softmax(evidence(material.x) / fitted.temperature, axis=1)
    found = fitted.classifier.predict_proba(material.x)
    np.testing.assert_allclose(found, expected, atol=1e-8)


def test_mixes_share_the_moments_of_their_blocks(monkeypatch):
    calls = []

    def count(*args):
        calls.append(args)
        return compute_moments(*args)

    monkeypatch.setattr("canemo.learn.lda.compute_moments", count)
    features = blocks_world()
    poolings, rules = ("cls", "mean,geometry"), ("all", "even:1")
    materials = make_materials(features, poolings=poolings, rules=rules)
    readings = read_materials(materials)
    assert (len(readings), len(calls)) == (8, 4)
    for material, reading in zip(materials, readings, strict=True):
        alone = read_material(material)
        assert reading.material is material
        np.testing.assert_array_equal(reading.moments.clips, alone.moments.clips)
        np.testing.assert_array_equal(reading.moments.products, alone.moments.products)
        if material.weights is not None:
            np.testing.assert_array_equal(reading.moments.weights, material.weights)


@pytest.mark.parametrize("telling", ["mean", "geometry"])
def test_the_block_that_shows_the_label_leads_the_mix_that_is_chosen(telling):
    features = draw_features(effect=1.0, dim=8)
    noise = np.random.default_rng(9).normal(size=(len(features), 60)).astype(np.float32)
    blocks = {"mean": noise, "geometry": noise, telling: features.cls}
    materials = make_materials(replace(features, **blocks), poolings=("mean,geometry",))
    learner = DiscriminantLearner(materials, ProbeConfig(inner_folds=3))
    chosen = learner.fit(rows_of(features), seed=0)
    assert f"{telling}*0.8" in chosen.material.pooling
    assert len({trial.material.pooling for trial in chosen.trials}) == 3


@BOTH
@WEIGHTS
@pytest.mark.parametrize("penalty", [0.01, 1.0, 100.0])
def test_probe_is_the_textbooks_discriminant_at_the_chosen_temperature(
    labels, class_weight, penalty
):
    features = uneven_world(labels)
    rows = rows_of(features)
    fitted = fit(features, labels, penalties=(penalty,), class_weight=class_weight)
    evidence = solve_directly(features, rows, labels, penalty=penalty, class_weight=class_weight)
    expected = evidence(features.cls.astype(float))
    expected -= expected.mean(axis=1, keepdims=True)
    logs = np.log(answer(fitted, features))
    found = fitted.temperature * (logs - logs.mean(axis=1, keepdims=True))
    np.testing.assert_allclose(found, expected, atol=1e-9)
    assert expected.std(axis=0).min() > 1e-3  # it is no constant that is compared


@BOTH
def test_all_labellings_at_once_equal_each_alone(labels):
    features = uneven_world(labels)
    reading = make_discriminant(features, labels).readings[0]
    trained = np.isin(reading.subjects, FOUR)
    rng = np.random.default_rng(0)
    index = np.tile(reading.label_index, (5, 1))
    for group in np.unique(reading.clip_group):
        columns = np.flatnonzero(reading.clip_group == group)
        index[1:, columns] = rng.permuted(index[1:, columns], axis=1)
    training = select_training(reading.moments, trained)
    held = training.standardise(reading.moments.clips[~trained])

    def evidence_of(some):
        labelling = arrange(training, some[:, trained], labels=len(labels))
        weighed = training.weigh(labelling.units, 0.5)
        solution = solve(labelling.units @ weighed, labelling, balanced=False)
        return measure_evidence(held @ weighed, solution)

    together = evidence_of(index)
    for number in range(5):
        alone = evidence_of(index[[number]])[0]
        np.testing.assert_allclose(together[number], alone, atol=1e-9)
    assert np.abs(together[1] - together[0]).max() > 0.01


@WEIGHTS
def test_predictions_are_those_of_scikit_learn(class_weight):
    # One crop per clip; standardised by itself, and next to no penalty, so that both see the same.
    features = draw_features(
        subjects=12, clips=9, frames=1, effect=2.0, labels=THREE_LABELS, dog_effect=0.5, dim=6
    )
    index = np.arange(108) % 3 * (np.arange(108) % 7 > 0)
    features = relabel_clips(features, index, THREE_LABELS)
    rows = rows_of(features, [f"s{number}" for number in range(8)])
    fitted = fit(features, THREE_LABELS, rows, penalties=(1e-9,), class_weight=class_weight)
    theirs = LinearDiscriminantAnalysis(solver="lsqr")
    theirs.fit(features.cls[rows].astype(float), features.origin["label"][rows])
    evidence = theirs.decision_function(features.cls.astype(float))
    if class_weight == "balanced":  # their `priors` would weigh the scatter by label as well
        evidence -= np.log(theirs.priors_)
    ours = answer(fitted, features)
    np.testing.assert_array_equal(ours.argmax(axis=1), evidence.argmax(axis=1))
    assert len(np.unique(ours.argmax(axis=1))) == 3
    # They divide the scatter by N too, so that even the probabilities agree.
    expected = softmax(evidence / fitted.temperature, axis=1)
    np.testing.assert_allclose(ours, expected, atol=1e-6)


def test_inner_loss_is_the_log_loss_of_held_out_clips():
    features = uneven_world(LABELS)
    learner = make_discriminant(features, penalties=(0.3, 3.0))
    reading, rows = learner.readings[0], rows_of(features)
    clips = learner.select_clips(rows)
    losses = learner.measure_inner_losses(reading, clips, reading.label_index[None], seed=0)[0]
    of_clip = np.stack([features.cls[reading.clip_index == c].mean(axis=0) for c in range(64)])
    truth = reading.label_index
    weight = 1 / np.bincount(truth[clips])[truth]
    for number, penalty in enumerate((0.3, 3.0)):
        for place, factor in enumerate(SHARPNESS):
            total = 0.0
            for train, held in iter_inner_folds(FOUR, folds=3, seed=0):
                inner = rows_of(features, train)
                evidence = solve_directly(
                    features, inner, LABELS, penalty=penalty, class_weight="balanced"
                )
                own = np.isin(reading.subjects, list(held))
                p = softmax(factor * evidence(of_clip[own].astype(float)), axis=1)
                total -= weight[own] @ np.log(p[np.arange(own.sum()), truth[own]])
            assert losses[number, place] == pytest.approx(total / weight[clips].sum(), rel=1e-4)


def test_moments_are_sums_over_clips_of_what_they_say():
    x = np.array([[1.0, 2], [3, 2], [5, 8], [0, 1]])
    moments = compute_moments(x, np.array([0, 0, 1, 2]), np.array([0, 0, 1]))
    z = (x - x.mean(axis=0)) / x.std(axis=0)
    np.testing.assert_allclose(moments.clips, [(z[0] + z[1]) / 2, z[2], z[3]])
    first = (np.outer(z[0], z[0]) + np.outer(z[1], z[1])) / 2 + np.outer(z[2], z[2])
    np.testing.assert_allclose(moments.products, [first, np.outer(z[3], z[3])])


def test_training_set_is_standardised_by_its_own_clips():
    features = uneven_world(LABELS)
    reading = make_discriminant(features).readings[0]
    training = select_training(reading.moments, np.isin(reading.subjects, FOUR))
    np.testing.assert_allclose(np.diag(training.scatter), 1)
    np.testing.assert_allclose(training.clips.mean(axis=0), 0, atol=1e-12)


# -- what must not matter --------------------------------------------------------------------------


@BOTH
def test_unit_and_origin_of_features_do_not_matter(labels):
    features = uneven_world(labels)
    rng = np.random.default_rng(2)
    by, to = 10.0 ** rng.uniform(-3, 3, 12), rng.normal(size=12)
    other = replace(features, cls=(features.cls * by + by * to).astype(np.float32))
    fitted, again = fit(features, labels), fit(other, labels)
    assert (fitted.penalty, fitted.temperature) == (again.penalty, again.temperature)
    np.testing.assert_allclose(answer(fitted, features), answer(again, other), atol=1e-5)


def test_order_of_crops_does_not_matter():
    features = uneven_world(LABELS)
    order = np.random.default_rng(3).permutation(len(features))
    shuffled = replace(
        features, origin=features.origin.iloc[order].reset_index(drop=True), cls=features.cls[order]
    )
    fitted, again = fit(features), fit(shuffled)
    np.testing.assert_allclose(answer(fitted, features), answer(again, features), atol=1e-9)


def test_every_clip_weighs_the_same_however_many_crops_it_has():
    features = uneven_world(LABELS)
    thrice = np.repeat(
        np.arange(len(features)), np.where(features.origin["video_id"] == "v2_1", 3, 1)
    )
    other = replace(
        features,
        origin=features.origin.iloc[thrice].reset_index(drop=True),
        cls=features.cls[thrice],
    )
    assert len(other.cls) > len(features.cls)
    np.testing.assert_allclose(
        answer(fit(features), features), answer(fit(other), features), atol=1e-9
    )


def test_input_is_left_as_it_was():
    features = uneven_world(LABELS)
    before, origin = features.cls.copy(), features.origin.copy()
    fit(features)
    np.testing.assert_array_equal(features.cls, before)
    assert features.origin.equals(origin)


# -- features that carry nothing -------------------------------------------------------------------


@pytest.mark.parametrize("value", [0.0, 7.0, 1234.567])
def test_constant_feature_gets_no_weight_and_changes_no_other(value):
    features = uneven_world(LABELS)
    wider = replace(
        features, cls=np.insert(features.cls, 4, np.float32(value), axis=1).astype(np.float32)
    )
    fitted, again = fit(features), fit(wider)
    assert again.classifier.coef[0, 4] == 0
    np.testing.assert_allclose(answer(fitted, features), answer(again, wider), atol=1e-9)


def test_feature_that_varies_only_in_test_dogs_gets_no_weight():
    features = uneven_world(LABELS)
    rows = rows_of(features)
    cls = features.cls.copy()
    cls[rows, 0] = 0.1
    fitted = fit(replace(features, cls=cls))
    assert fitted.classifier.coef[0, 0] == 0
    without = replace(features, cls=np.delete(cls, 0, axis=1))
    np.testing.assert_allclose(
        answer(fitted, replace(features, cls=cls)), answer(fit(without), without), atol=1e-9
    )


def test_no_feature_varies_at_all():
    features = uneven_world(LABELS)
    flat = replace(features, cls=np.full_like(features.cls, 3.3))
    np.testing.assert_allclose(answer(fit(flat), flat), 0.5)


def test_more_features_than_clips():
    features = draw_features(dim=150, frames=2, effect=4.0)
    rows = rows_of(features)
    fitted = fit(features, penalties=(0.01,))
    evidence = solve_directly(features, rows, LABELS, penalty=0.01, class_weight="balanced")
    expected = softmax(evidence(features.cls.astype(float)) / fitted.temperature, axis=1)
    np.testing.assert_allclose(answer(fitted, features), expected, atol=1e-7)


@pytest.mark.parametrize("noise", [0.0, 1e-6, 1e-3])
def test_features_that_are_nearly_the_same_do_not_fail(noise):
    features = uneven_world(LABELS)
    copies = np.tile(features.cls, (1, 4))
    copies += noise * np.random.default_rng(0).normal(size=copies.shape)
    fitted = fit(replace(features, cls=copies.astype(np.float32)), penalties=(0.01, 1.0))
    assert np.isfinite(fitted.classifier.coef).all()
    # Four copies share the weight that one has at a quarter of the penalty.
    if noise == 0.0:
        one = fit(features, penalties=(0.01 / 4, 1.0 / 4))
        np.testing.assert_allclose(
            fitted.classifier.predict_proba(copies), answer(one, features), atol=1e-9
        )


# -- what is chosen --------------------------------------------------------------------------------


def test_choice_is_the_setting_with_the_least_inner_loss():
    features = uneven_world(LABELS)
    fitted = fit(features, penalties=(0.01, 0.1, 1.0, 10.0, 100.0))
    losses = {trial.penalty: trial.inner_loss for trial in fitted.trials}
    assert list(losses) == [0.01, 0.1, 1.0, 10.0, 100.0]
    assert fitted.penalty == min(losses, key=losses.get)
    chosen = next(trial for trial in fitted.trials if trial.penalty == fitted.penalty)
    assert fitted.classifier is chosen.probe
    assert 1 / fitted.temperature in SHARPNESS


def test_temperature_softens_what_does_not_hold_on_other_dogs_and_sharpens_what_is_too_soft():
    null = fit(draw_features(subjects=12, dim=30), rows=np.ones(288, bool), penalties=(0.01,))
    assert null.temperature >= 8  # 6 * 12 clips and 30 features: certain, and wrong
    clear = fit(draw_features(effect=6.0), penalties=(100.0,))
    assert clear.temperature <= 1 / 8  # so strong a penalty leaves hardly any evidence


@pytest.mark.parametrize("change", ["labels", "features"])
def test_dogs_outside_the_training_rows_change_nothing(change):
    features = uneven_world(LABELS)
    rows = rows_of(features)
    if change == "labels":
        other = relabel_clips(features, np.zeros(64, dtype=int))
        mine = features.origin["label"].where(rows, other.origin["label"])
        other = replace(other, origin=other.origin.assign(label=mine))
        assert (other.origin["label"] != features.origin["label"]).sum() > 10
    else:
        cls = features.cls.copy()
        cls[~rows] = 1000 * np.random.default_rng(5).normal(size=cls[~rows].shape) - 300
        other = replace(features, cls=cls)
    fitted, again = (fit(each, penalties=(0.01, 0.1, 1.0, 10.0)) for each in (features, other))
    assert (fitted.penalty, fitted.temperature) == (again.penalty, again.temperature)
    losses = [[trial.inner_loss for trial in each.trials] for each in (fitted, again)]
    np.testing.assert_allclose(*losses, rtol=1e-6)
    for name in ("mean", "scale", "coef", "intercept"):
        values = [getattr(each.classifier, name) for each in (fitted, again)]
        np.testing.assert_allclose(*values, rtol=1e-6, atol=1e-9)


def test_inner_folds_hold_out_whole_training_dogs_and_never_see_others(monkeypatch):
    features = uneven_world(LABELS)
    learner = make_discriminant(features)
    reading, seen = learner.readings[0], []

    def spy(moments, trained, held):
        seen.append([set(reading.subjects[clips]) for clips in (trained, held)])
        return make_inner_fold(moments, trained, held)

    monkeypatch.setattr("canemo.learn.lda.make_inner_fold", spy)
    learner.fit(rows_of(features), seed=0)
    assert len(seen) == 3
    assert all(trained | held == set(FOUR) and not trained & held for trained, held in seen)
    assert sorted(dog for _, held in seen for dog in held) == FOUR


def test_no_inner_fold_leaves_the_strongest_penalty_at_face_value():
    # Each of the two training dogs shows one label.
    features = draw_features(subjects=3, effect=2.0)
    features.origin["label"] = np.where(features.origin["subject_id"] == "s1", *LABELS)
    fitted = fit(features, rows=rows_of(features, ["s0", "s1"]), penalties=(0.1, 10.0, 1.0))
    assert (fitted.penalty, fitted.temperature) == (10.0, 1.0)


def test_inner_fold_whose_training_dogs_lack_a_label_is_left_out(monkeypatch):
    # With s0 and s1 held out together no training dog shows the second label.
    features = draw_features(subjects=4, effect=2.0, frames=1)
    alone = features.origin["subject_id"].isin(["s2", "s3"])
    features.origin.loc[alone, "label"] = LABELS[0]
    learner = make_discriminant(features)
    inner = [({"s2", "s3"}, {"s0", "s1"}), ({"s0", "s2"}, {"s1", "s3"})]
    losses = []
    for folds in (inner, inner[1:]):
        monkeypatch.setattr(
            "canemo.learn.lda.iter_inner_folds",
            lambda *_, _folds=folds, **__: iter(_folds),
        )
        losses.append([trial.inner_loss for trial in learner.fit(np.ones(24, bool), seed=0).trials])
    assert losses[0] == losses[1]


def test_part_of_a_dog_is_refused():
    features = uneven_world(LABELS)
    rows = rows_of(features).copy()
    rows[np.flatnonzero(rows)[0]] = False
    with pytest.raises(ValueError, match="all crops of whole subjects"):
        fit(features, rows=rows)


def test_frames_that_do_not_count_are_not_learned_from():
    features = draw_features(effect=1.0, frames=5)
    middle = features.origin["frame_index"].to_numpy() == 2
    cls = features.cls.copy()
    cls[~middle] += 50
    materials = make_materials(replace(features, cls=cls), rules=("even:1",))
    learner = replace(make_discriminant(features), materials=materials)
    fitted = learner.fit(rows_of(features), seed=0)
    only = replace(features, origin=features.origin[middle].reset_index(), cls=features.cls[middle])
    np.testing.assert_allclose(answer(fitted, only), answer(fit(only), only), atol=1e-9)


@BOTH
def test_losses_of_several_labellings_equal_each_alone(labels):
    features = uneven_world(labels)
    reading = make_discriminant(features, labels).readings[0]
    folds: list[InnerFold] = [
        make_inner_fold(
            reading.moments,
            np.isin(reading.subjects, list(train)),
            np.isin(reading.subjects, list(held)),
        )
        for train, held in iter_inner_folds(list(reading.subjects), folds=3, seed=0)
    ]
    index = np.tile(reading.label_index, (4, 1))
    for group in np.unique(reading.clip_group):
        columns = np.flatnonzero(reading.clip_group == group)
        index[1:, columns] = np.random.default_rng(group).permuted(index[1:, columns], axis=1)
    options = {"labels": len(labels), "penalties": (0.1, 10.0), "balanced": True}
    together = compute_inner_losses(folds, index, **options)
    alone = np.concatenate([compute_inner_losses(folds, each[None], **options) for each in index])
    np.testing.assert_allclose(together, alone, rtol=1e-5)


def test_fewer_crops_than_features_give_the_same_as_more():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(40, 30)).astype(np.float32)
    x[:, 3], x[:16, 5] = 2, 1  # constant everywhere, constant in two groups
    clip, group = np.repeat(np.arange(10), 4), np.repeat(np.arange(5), 2)
    basis = np.linalg.qr(rng.normal(size=(30, 3)))[0].T
    narrow = compute_moments(x, clip, group)
    wide = compute_moments(np.pad(x, ((0, 0), (0, 20))), clip, group)  # 20 more that are constant
    assert wide.products is None
    for trained in (group < 5, group < 2):
        few, many = select_training(narrow, trained), select_training(wide, trained)
        np.testing.assert_allclose(many.scale[:30], few.scale)
        np.testing.assert_allclose(many.clips[:, :30], few.clips, atol=1e-12)
        for penalty in (0.01, 1.0, 100.0):
            found = many.weigh(many.clips, penalty)
            np.testing.assert_allclose(found[:30], few.weigh(few.clips, penalty), atol=1e-8)
            freed = many.without(np.pad(basis, ((0, 0), (0, 20))))
            expected = few.without(basis).weigh(few.clips, penalty)
            np.testing.assert_allclose(freed.weigh(many.clips, penalty)[:30], expected, atol=1e-8)
