from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from canemo.config import ProbeConfig
from canemo.explain.concepts.directions import (
    correlate_within,
    learn_condition,
    measure_remaining,
    measure_sensitivity,
    measure_steps,
    remove_difference,
)
from canemo.explain.concepts.probes import (
    average_within,
    iter_chunks,
    learn_directions,
    learn_group,
    measure_within,
    score_frames,
    sum_codings,
    weigh_frames,
)
from canemo.explain.decision import Decision
from canemo.faces.frame_choice import choose_frames
from canemo.learn.lda import DiscriminantLearner
from canemo.learn.lda_algebra import select_training
from canemo.learn.splits import make_split
from concept_worlds import LABEL, draw_bouts, draw_clip_unit, draw_world, make_probing
from evidence_worlds import lose_frames


@pytest.fixture(scope="module")
def world():
    return lose_frames(draw_world(effect=1.5), {"anticipation": 0.3, "frustration": 0.1})


@pytest.fixture(scope="module")
def probing(world):
    return make_probing(world)


@pytest.fixture(scope="module")
def codings(world):
    return np.stack([draw_bouts(world, seed=seed) for seed in range(3)])


@pytest.fixture(scope="module")
def condition(world, probing):
    return learn_condition(probing, world.config.probe, label=LABEL, seed=0)


def everything(probing):
    return np.arange(len(probing.subject))


def score(probing, rows, codings):
    return score_frames(
        probing, rows, learn_directions(probing, sum_codings(probing, rows, codings))
    )


# -- directions ------------------------------------------------------------------------------------


def test_direction_solves_the_penalised_regression_of_the_training_dogs(probing, codings):
    """By hand: ridge regression on standardised crops, each clip weighing the same."""
    rows = everything(probing)
    learned = learn_directions(probing, sum_codings(probing, rows, codings))
    fold = learned[2]
    train = np.isin(probing.subject, fold.group.train)
    x, weight = probing.centre(train), weigh_frames(probing, rows)[train]
    weight = weight / weight.sum()
    mean = weight @ x
    scale = np.sqrt(weight @ (x - mean) ** 2)
    x = (x - mean) / scale
    for coding, direction in zip(codings[:, train], fold.direction, strict=True):
        y = coding - weight @ coding
        left = (x.T * weight) @ x + probing.penalty * np.eye(x.shape[1])
        assert np.linalg.solve(left, (x.T * weight) @ y) == pytest.approx(direction)
    assert fold.standardise(probing.centre(train)) == pytest.approx(x)


def test_direction_of_a_label_is_that_of_the_studys_own_discriminant(world, probing):
    rows = everything(probing)
    label = probing.material.label_index == 1
    learned = learn_group(probing, sum_codings(probing, rows, label[None]), probing.everyone)
    probe = DiscriminantLearner(
        (probing.material,), ProbeConfig(penalties=(probing.penalty,), inner_folds=3)
    ).fit(rows >= 0, seed=0)
    own, theirs = learned.direction[0], probe.classifier.coef[0]
    assert own @ theirs / np.linalg.norm(own) / np.linalg.norm(theirs) == pytest.approx(1)


def test_more_features_than_crops_give_the_same_scores(world, codings):
    """The two ways to invert agree: what is added is noise-free copies of nothing."""
    (material,) = world.materials
    few = material.origin["video_id"].isin(material.origin["video_id"].unique()[::4]).to_numpy()
    small = material.select(few)
    copies = 30
    wide = replace(small, x=np.tile(small.x, (1, copies)))
    assert wide.x.shape[1] > len(wide.x)
    coding = codings[:, few]
    scores = []
    for some, penalty in ((small, 0.1), (wide, 0.1 * copies)):
        probing = make_probing(replace(world, materials=(some,)), penalty=penalty)
        sums = sum_codings(probing, everything(probing), coding)
        scores.append(score_frames(probing, everything(probing), learn_directions(probing, sums)))
    assert scores[1] == pytest.approx(scores[0], abs=1e-4)


def test_many_codings_score_as_each_by_itself(probing, codings):
    rows = everything(probing)[::2]
    some = codings[:, ::2]
    together = score(probing, rows, some)
    for place, coding in enumerate(some):
        sums = sum_codings(probing, rows, coding[None])
        assert score_frames(probing, rows, learn_directions(probing, sums))[0] == pytest.approx(
            together[place]
        )


def test_no_frame_of_a_dog_has_a_say_in_its_own_scores(world, codings):
    probing = make_probing(world)
    rows = everything(probing)
    before = score(probing, rows, codings)
    own = probing.subject == 3
    turned = codings.copy()
    turned[:, own] = ~turned[:, own]
    after = score(probing, rows, turned)
    assert after[:, own] == pytest.approx(before[:, own])
    assert np.abs(after[:, ~own] - before[:, ~own]).max() > 0.01


def test_probe_of_dogs_that_show_one_state_says_the_same_of_all_frames(probing):
    rows = everything(probing)
    shown = (probing.subject == 0) & (rows % 2 == 0)
    sums = sum_codings(probing, rows, shown[None])
    scores = score_frames(probing, rows, learn_directions(probing, sums))[0]
    assert (scores[probing.subject == 0] == 0).all()
    assert (scores[probing.subject != 0] != 0).all()


def test_dogs_that_no_fold_tests_have_no_score(world, codings):
    held = make_split([f"s{s:02}" for s in range(12)], kind="holdout:4")
    probing = make_probing(replace(world, split=held))
    rows = everything(probing)
    scores = score(probing, rows, codings)
    tested = np.isin(probing.material.origin["subject_id"], held.folds[0].test)
    assert (np.isfinite(scores) == tested).all()


def test_frames_that_do_not_count_are_left_out(world):
    (material,) = world.materials
    counted = choose_frames(material.origin, world.ledger, "even:2")
    few = make_probing(replace(world, materials=(replace(material, counted=counted),)))
    assert len(few.subject) == counted.sum()
    assert (few.material.x == material.x[counted]).all()


def test_chunks_are_all_codings_in_order(probing, codings, monkeypatch):
    monkeypatch.setattr("canemo.explain.concepts.probes.CHUNK_VALUES", 2 * codings.shape[1])
    parts = list(iter_chunks(probing, codings))
    assert [len(part) for part in parts] == [2, 1]
    assert (np.concatenate(parts) == codings).all()


# -- scores ----------------------------------------------------------------------------------------


def test_area_within_dogs_leaves_out_dogs_with_one_state():
    dog = np.repeat([0, 1, 2], 4)
    shown = np.array([[0, 0, 1, 1, 1, 1, 1, 1, 0, 1, 0, 1]], bool)
    scores = np.array([[1, 2, 3, 4, 9, 9, 9, 9, -4, -5, -6, -7]], float)
    within = measure_within(scores, shown, dog)
    assert within[0, [0, 2]].tolist() == [1.0, 0.25]
    assert np.isnan(within[0, 1])
    assert average_within(scores, shown, dog).tolist() == [0.625]


# -- the condition beside a unit -------------------------------------------------------------------


def test_correlation_is_that_of_scores_less_their_dogs_mean():
    rng = np.random.default_rng(1)
    dog, weight = np.repeat([0, 1, 2], 10), np.ones(30)
    one, other = rng.normal(size=(2, 30)) + 5 * dog
    centre = [s - np.array([s[dog == d].mean() for d in dog]) for s in (one, other)]
    expected = np.corrcoef(*centre)[0, 1]
    assert correlate_within(one[None], other, dog, weight)[0] == pytest.approx(expected)
    assert np.corrcoef(one, other)[0, 1] > 0.9  # what dogs alone would give
    many = correlate_within(np.stack([one, -one]), other, dog, weight)
    assert many == pytest.approx([expected, -expected])


def test_frames_without_a_score_have_no_say_in_the_correlation():
    rng = np.random.default_rng(2)
    dog, weight = np.repeat([0, 1], 10), np.ones(20)
    one, other = rng.normal(size=(2, 20))
    lost = one.copy()
    lost[10:] = np.nan
    expected = correlate_within(one[None, :10], other[:10], dog[:10], weight[:10])
    assert correlate_within(lost[None], other, dog, weight) == pytest.approx(expected)


def test_projecting_out_is_learning_without_the_difference(probing, codings, condition):
    rows = everything(probing)
    fold = learn_directions(probing, sum_codings(probing, rows, codings))[1]
    own = condition.learned[1]
    clips = np.isin(probing.reading.clip_group, fold.group.train)
    training = select_training(probing.reading.moments, clips)
    for place, difference in enumerate(fold.difference):
        basis = difference[None] / np.linalg.norm(difference)
        without = training.without(basis)
        target = own.difference - (own.difference @ basis.T) @ basis
        expected = without.weigh(target, probing.penalty)[:, 0]
        found = remove_difference(own.direction[0], fold)[place]
        assert found == pytest.approx(expected, abs=1e-9)
        assert found @ difference == pytest.approx(0, abs=1e-12)


def test_nothing_is_left_of_a_condition_that_is_the_unit(probing, condition):
    rows = everything(probing)
    label = probing.material.label_index == 1
    learned = learn_directions(probing, sum_codings(probing, rows, label[None]))
    remaining = measure_remaining(probing, condition, learned)
    assert remaining.auroc.tolist() == [0.5]
    assert remaining.balanced_accuracy.tolist() == [0.5]
    assert condition.whole.auroc[0] > 0.7


def test_removing_a_unit_that_is_nowhere_changes_nothing(probing, condition):
    rows = everything(probing)
    learned = learn_directions(probing, sum_codings(probing, rows, np.zeros((1, len(rows)), bool)))
    remaining = measure_remaining(probing, condition, learned)
    assert remaining.auroc == pytest.approx(condition.whole.auroc)


def test_sensitivity_is_the_change_of_the_logit_over_the_step(probing, world, condition, codings):
    """By hand: move crops along the unit's probe and ask the study's own probe."""
    rows = everything(probing)
    learned = learn_group(probing, sum_codings(probing, rows, codings), probing.everyone)
    found = measure_sensitivity(probing, condition, rows, learned)
    probe = DiscriminantLearner((probing.material,), world.config.probe).fit(rows >= 0, seed=0)
    spread = np.sqrt(weigh_frames(probing, rows) / weigh_frames(probing, rows).sum())
    for direction, change in zip(learned.direction, found, strict=True):
        score = learned.standardise(probing.centre(rows)) @ direction
        for dog in np.unique(probing.subject):
            own = probing.subject == dog
            weight = weigh_frames(probing, rows)[own]
            score[own] -= weight @ score[own] / weight.sum()
        step = direction / (direction @ direction) * np.linalg.norm(score * spread)
        raw = step * learned.scale * probing.reading.moments.spread
        moved = probe.classifier.predict_proba(probing.material.x + raw)[:, 1]
        before = probe.classifier.predict_proba(probing.material.x)[:, 1]
        logits = np.log(moved / (1 - moved)) - np.log(before / (1 - before))
        assert logits == pytest.approx(np.full(len(logits), change), rel=1e-4)


def test_steps_are_in_spreads_of_the_condition(probing, codings):
    """With the study's own penalty the discriminant is the closed form, up to its scale."""
    own = learn_condition(
        probing, ProbeConfig(penalties=(probing.penalty,), inner_folds=3), label=LABEL, seed=0
    )
    rows = everything(probing)
    for coding in codings:
        unit = learn_group(probing, sum_codings(probing, rows, coding[None]), probing.everyone)
        steps = measure_steps(probing, own.everyone, rows, unit)
        change = measure_sensitivity(probing, own, rows, unit)
        assert steps == pytest.approx(change / own.logit_spread)


def test_evidence_for_the_other_label_is_the_same_turned_round(world, probing, condition):
    other = learn_condition(probing, world.config.probe, label="anticipation", seed=0)
    assert other.gradient == pytest.approx(-condition.gradient)
    assert other.scores == pytest.approx(-condition.scores)
    assert other.logit_spread == pytest.approx(condition.logit_spread)


def test_clip_units_of_three_labels_have_a_direction(world):
    three = draw_world(labels=("anticipation", LABEL, "play"), clips=6, effect=3.0)
    probing = make_probing(three)
    condition = learn_condition(probing, three.config.probe, label=LABEL, seed=0)
    assert condition.whole.auroc[0] > 0.75
    own = (probing.material.x - probing.material.x.mean(axis=0)) @ (
        condition.gradient / probing.material.x.std(axis=0)
    )
    assert roc_auc_score(probing.material.label_index == 1, own) > 0.75


@pytest.mark.parametrize("label", ["anticipation", LABEL, "play"])
def test_logit_of_one_of_three_labels_is_the_one_that_is_explained(label):
    """By hand: the centred log-ratio of the probabilities, which `Decision` explains too."""
    three = draw_world(labels=("anticipation", LABEL, "play"), effect=3.0)
    probing = make_probing(three)
    condition = learn_condition(probing, three.config.probe, label=label, seed=0)
    probe = DiscriminantLearner((probing.material,), three.config.probe).fit(
        np.ones(len(probing.subject), dtype=bool), seed=0
    )
    x = probing.material.x[::7]
    log_p = np.log(probe.classifier.predict_proba(x))
    logit = (log_p - log_p.mean(axis=1, keepdims=True))[:, probing.material.labels.index(label)]
    decision = Decision(probe.classifier, probing.material.pooling, label)
    assert decision.measure_logits(x) == pytest.approx(logit, abs=1e-6)
    assert (x - x[0]) @ (condition.gradient / probe.classifier.scale) == pytest.approx(
        logit - logit[0], abs=1e-4
    )


def test_drawn_units_are_as_they_say(world):
    shown = draw_clip_unit(world, seed=0)
    origin = world.materials[0].origin
    assert set(origin.assign(s=shown).groupby("video_id")["s"].mean()) <= {0.0, 1.0}
