import numpy as np
import pytest
from scipy.optimize import approx_fprime

from canemo.learn.logistic import choose_penalty, fit_path, fit_probe
from canemo.learn.probe import average_by_video
from worlds import LABELS, draw_features


def xy(**kwargs):
    features = draw_features(**kwargs)
    y = (features.origin["label"] == LABELS[1]).to_numpy(dtype=np.int64)
    return features.cls, y, features.origin


def test_probe_minimises_the_stated_loss():
    x, y, _ = xy(effect=1.0)
    probe = fit_probe(x, y, labels=LABELS, penalty=0.1, class_weight="none")
    z = (x.astype(float) - probe.mean) / probe.scale

    def loss(w):
        margin = (z @ w[:-1] + w[-1]) * (2 * y - 1)
        return np.logaddexp(0, -margin).mean() + 0.05 * (w[:-1] ** 2).sum()

    slope = approx_fprime(np.append(probe.coef[0], probe.intercept), loss, 1e-6)
    assert np.abs(slope).max() < 2e-3


def test_penalty_means_the_same_for_twice_the_frames():
    x, y, _ = xy(effect=1.0)
    once = fit_probe(x, y, labels=LABELS, penalty=0.1)
    twice = fit_probe(np.tile(x, (2, 1)), np.tile(y, 2), labels=LABELS, penalty=0.1)
    np.testing.assert_allclose(once.coef, twice.coef, atol=1e-3)


def test_balanced_weights_undo_uneven_labels():
    rng = np.random.default_rng(0)
    y = (np.arange(300) % 3 > 0).astype(np.int64)
    x = rng.normal(size=(300, 5))
    plain = fit_probe(x, y, labels=LABELS, penalty=10.0, class_weight="none").predict_proba(x)
    balanced = fit_probe(x, y, labels=LABELS, penalty=10.0).predict_proba(x)
    assert plain[:, 1].mean() == pytest.approx(2 / 3, abs=0.01)
    assert balanced[:, 1].mean() == pytest.approx(1 / 2, abs=0.01)


def test_constant_feature_does_no_harm():
    x, y, _ = xy(effect=2.0)
    x[:, 3] = 7.0
    probe = fit_probe(x, y, labels=LABELS, penalty=0.1)
    assert np.isfinite(probe.predict_proba(x)).all()
    assert probe.coef[0, 3] == 0


def test_path_equals_single_fits_in_the_order_given():
    x, y, _ = xy(effect=1.0)
    path = fit_path(x, y, labels=LABELS, penalties=[0.01, 1.0])
    for probe, penalty in zip(path, [0.01, 1.0], strict=True):
        alone = fit_probe(x, y, labels=LABELS, penalty=penalty)
        np.testing.assert_allclose(probe.predict_proba(x), alone.predict_proba(x), atol=2e-3)


def test_three_labels_have_probabilities_that_sum_to_one():
    labels = ("a", "b", "c")
    features = draw_features(effect=4.0, dog_effect=0.2, labels=labels)
    y = features.origin["label"].map({"a": 0, "b": 1, "c": 2}).to_numpy()
    probe = fit_probe(features.cls, y, labels=labels, penalty=0.01)
    probability = probe.predict_proba(features.cls)
    np.testing.assert_allclose(probability.sum(1), 1)
    assert (probability.argmax(1) == y).mean() > 0.95


def choose(x, y, origin, **kwargs):
    return choose_penalty(
        x,
        y,
        subject_ids=origin["subject_id"].to_numpy(dtype=object),
        video_ids=origin["video_id"].to_numpy(dtype=object),
        labels=LABELS,
        penalties=(0.001, 0.1, 10.0),
        **kwargs,
    )


def test_noise_asks_for_a_strong_penalty_and_a_clear_effect_for_a_weak_one():
    assert choose(*xy(effect=0.0, dim=40)) == 10.0
    assert choose(*xy(effect=6.0, dog_effect=0.3)) < 10.0


def test_choice_holds_out_dogs_not_frames():
    # The dog alone tells its label: within dogs a weak penalty would look perfect.
    features = draw_features(subjects=10, dog_effect=4.0, dim=30, clips=4)
    owner = features.origin["subject_id"].str[1:].astype(int).to_numpy()
    assert choose(features.cls, (owner % 2).astype(np.int64), features.origin) == 10.0


def test_average_by_video_keeps_the_order_of_first_appearance():
    names, means = average_by_video(
        np.array([[0.2, 0.8], [1.0, 0.0], [0.4, 0.6]]), np.array(["b", "a", "b"], dtype=object)
    )
    assert names.tolist() == ["b", "a"]
    np.testing.assert_allclose(means, [[0.3, 0.7], [1.0, 0.0]])
