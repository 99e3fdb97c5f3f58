import numpy as np
import pytest
import torch

from canemo.config import GradientConfig
from canemo.errors import ConfigError
from canemo.learn.gradient import (
    choose_learning_rate,
    compute_log_loss,
    fit_gradient,
    is_still_falling,
)

LABELS = ("anticipation", "frustration")


def draw(n=400, *, shift=3.0, dim=6, seed=0):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, n)
    x = rng.normal(size=(n, dim)).astype(np.float32)
    x[:, 0] += shift * y
    return x, y


def fit(x, y, *, labels=LABELS, rate=1e-2, seed=0, class_weight="none", **settings):
    return fit_gradient(
        lambda epoch: x,
        y,
        labels=labels,
        settings=GradientConfig(**settings),
        learning_rate=rate,
        class_weight=class_weight,
        seed=seed,
    )


def test_planted_effect_is_learned_and_carries_over():
    probe = fit(*draw())[-1].probe
    x, y = draw(seed=1)
    assert (probe.predict_proba(x).argmax(axis=1) == y).mean() > 0.9
    assert probe.coef.shape == (1, 6)
    assert np.abs(probe.coef[0]).argmax() == 0


def test_matches_a_plain_torch_loop_step_for_step():
    # The recipe written out: Adam with betas (0, 0.999), so that each step is -rate * sign-like.
    x, y = draw(n=50)
    settings = GradientConfig(epochs=3, batch_size=16, initialisation="zeros")
    ours = fit(x, y, epochs=3, batch_size=16, initialisation="zeros", rate=1e-3, seed=5)[-1].probe
    generator = torch.Generator().manual_seed(5)
    for size in (12, 2):  # what the first weights draw, though they come out zero
        torch.empty(size).uniform_(0, 0, generator=generator)
    w, b = torch.zeros(2, 6), torch.zeros(2)
    square_w, square_b, step = torch.zeros(2, 6), torch.zeros(2), 0
    data, target = torch.from_numpy(x), torch.from_numpy(y)
    for _ in range(settings.epochs):
        order = torch.randperm(50, generator=generator)
        for start in range(0, 50, 16):
            rows = order[start : start + 16]
            p = torch.softmax(data[rows] @ w.T + b, dim=1)
            p[torch.arange(len(rows)), target[rows]] -= 1
            grad_w, grad_b = p.T @ data[rows] / len(rows), p.mean(dim=0)
            step += 1
            square_w = 0.999 * square_w + 0.001 * grad_w**2
            square_b = 0.999 * square_b + 0.001 * grad_b**2
            correction = 1 - 0.999**step
            w = w - 1e-3 * grad_w / ((square_w / correction).sqrt() + 1e-8)
            b = b - 1e-3 * grad_b / ((square_b / correction).sqrt() + 1e-8)
    np.testing.assert_allclose(ours.coef[0], (w[1] - w[0]).numpy(), atol=2e-5)
    np.testing.assert_allclose(ours.intercept[0], (b[1] - b[0]).item(), atol=2e-5)


def test_every_epoch_is_fed_and_reported():
    x, y = draw(n=60)
    asked = []
    epochs = fit_gradient(
        lambda epoch: asked.append(epoch) or x,
        y,
        labels=LABELS,
        settings=GradientConfig(epochs=4, batch_size=4),
        learning_rate=3e-2,
    )
    assert asked == [0, 1, 2, 3]
    assert [epoch.number for epoch in epochs] == [1, 2, 3, 4]
    assert epochs[-1].loss < epochs[0].loss
    assert epochs[-1].accuracy > 0.8


def test_same_seed_same_probe_and_the_global_generator_is_left_alone():
    x, y = draw(n=80)
    torch.manual_seed(3)
    state = torch.get_rng_state()
    first, again, other = fit(x, y), fit(x, y), fit(x, y, seed=1)
    assert torch.equal(torch.get_rng_state(), state)
    np.testing.assert_array_equal(first[-1].probe.coef, again[-1].probe.coef)
    assert not np.array_equal(first[-1].probe.coef, other[-1].probe.coef)


def test_both_losses_find_the_same_direction():
    x, y = draw()
    two, one = fit(x, y)[-1].probe, fit(x, y, loss="binary_cross_entropy")[-1].probe
    agree = (two.predict_proba(x).argmax(axis=1) == one.predict_proba(x).argmax(axis=1)).mean()
    assert agree > 0.97
    with pytest.raises(ConfigError, match="3 labels"):
        fit(x, y, labels=("a", "b", "c"), loss="binary_cross_entropy")


def test_three_labels():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 300)
    x = rng.normal(size=(300, 5)).astype(np.float32)
    x[np.arange(300), y] += 4
    probe = fit(x, y, labels=("a", "b", "c"))[-1].probe
    assert probe.coef.shape == (3, 5)
    assert (probe.predict_proba(x).argmax(axis=1) == y).mean() > 0.9


def test_balanced_weights_lift_the_rare_label():
    rng = np.random.default_rng(0)
    y = (rng.random(600) < 0.12).astype(np.int64)
    x = rng.normal(size=(600, 4)).astype(np.float32)
    x[:, 0] += 1.0 * y
    answered = {
        weight: fit(x, y, class_weight=weight)[-1].probe.predict_proba(x)[:, 1].mean()
        for weight in ("none", "balanced")
    }
    assert answered["none"] == pytest.approx(0.12, abs=0.06)
    assert answered["balanced"] > 0.35


def test_learning_rates_are_the_papers_unless_one_is_given():
    assert choose_learning_rate(GradientConfig(), is_cnn=True) == 1e-4
    assert choose_learning_rate(GradientConfig(), is_cnn=False) == 5e-6
    assert choose_learning_rate(GradientConfig(learning_rate=0.3), is_cnn=False) == 0.3


def test_a_training_that_stops_early_is_told_from_one_that_has_settled():
    x, y = draw()
    assert is_still_falling(fit(x, y, rate=3e-4))
    assert not is_still_falling(fit(x, y, rate=3e-2, epochs=60))


def test_log_loss_is_the_mean_of_minus_the_log_of_what_was_true():
    x, y = draw(n=20)
    probe = fit(x, y)[-1].probe
    p = probe.predict_proba(x)
    wanted = np.mean([-np.log(p[i, label]) for i, label in enumerate(y)])
    assert compute_log_loss(probe, x, y) == pytest.approx(wanted)


@pytest.mark.parametrize("loss", ["cross_entropy", "binary_cross_entropy"])
def test_weights_count_also_where_a_batch_holds_one_label_only(loss):
    rng = np.random.default_rng(0)
    y = (rng.random(200) < 0.1).astype(np.int64)
    x = rng.normal(size=(200, 3)).astype(np.float32)
    answers = fit(x, y, class_weight="balanced", batch_size=1, epochs=12, rate=3e-3, loss=loss)
    assert answers[-1].probe.predict_proba(x)[:, 1].mean() == pytest.approx(0.5, abs=0.1)
