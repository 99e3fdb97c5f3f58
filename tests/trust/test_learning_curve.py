import json

import numpy as np
import pytest
from scipy.optimize import lsq_linear

from canemo.trust.learning_curve import EXPONENTS, fit_learning_curve

SIZES = np.array([4, 8, 12, 16, 20, 26])


def planted(a=0.85, b=0.8, c=1.0, *, noise=0.0, resamples=200, seed=0):
    """Scores on a known curve; the resamples scatter about the observed ones, as a bootstrap's."""
    rng = np.random.default_rng(seed)
    observed = a - b * SIZES.astype(float) ** -c + noise * rng.normal(size=len(SIZES))
    drawn = observed + noise * rng.normal(size=(resamples, len(SIZES)))
    return np.concatenate([observed[None], drawn])


@pytest.mark.parametrize(
    ("a", "b", "c"), [(0.85, 0.8, 1.0), (0.7, 0.3, 0.5), (1.0, 1.5, 0.75), (0.6, 2.0, 2.0)]
)
def test_planted_curve_is_recovered(a, b, c):
    found = fit_learning_curve(SIZES, planted(a, b, c), extrapolate_to=60)
    assert found["asymptote"] == pytest.approx(a)
    assert found["exponent"] == pytest.approx(c)
    assert found["extrapolation"]["score"] == pytest.approx(a - b * 60.0**-c)
    assert found["gain"]["score"] == pytest.approx(b * (26.0**-c - 60.0**-c))
    assert found["extrapolation"]["subjects"] == 60


def test_exponent_between_the_grid_is_close():
    found = fit_learning_curve(SIZES, planted(0.8, 0.7, 0.98), extrapolate_to=52)
    assert found["exponent"] == pytest.approx(0.98, abs=0.03)
    assert found["extrapolation"]["score"] == pytest.approx(0.8 - 0.7 * 52**-0.98, abs=0.001)


@pytest.mark.parametrize("seed", range(4))
def test_agrees_with_bounded_least_squares(seed):
    rng = np.random.default_rng(seed)
    observed = np.clip(rng.uniform(-0.1, 0.9) + rng.normal(size=len(SIZES)) * 0.3, 0, 1.4)
    found = fit_learning_curve(SIZES, observed[None], extrapolate_to=40)
    fits = []
    for exponent in EXPONENTS:
        design = np.stack([np.ones(len(SIZES)), -(SIZES.astype(float) ** -exponent)], axis=1)
        fits.append(lsq_linear(design, observed, ([0, 0], [1, np.inf]), tol=1e-12))
    best = int(np.argmin([fit.cost for fit in fits]))
    a, b = fits[best].x
    assert found["asymptote"] == pytest.approx(a, abs=1e-4)
    expected = a - b * 40 ** -EXPONENTS[best]
    assert found["extrapolation"]["score"] == pytest.approx(expected, abs=1e-3)


def test_points_are_the_scores_as_observed_with_percentiles_of_the_resamples():
    scores = planted(noise=0.02)
    found = fit_learning_curve(SIZES, scores, extrapolate_to=40)["points"]
    assert [point["subjects"] for point in found] == SIZES.tolist()
    assert [point["score"] for point in found] == scores[0].tolist()
    assert [point["low"] for point in found] == np.percentile(scores[1:], 2.5, axis=0).tolist()
    assert [point["high"] for point in found] == np.percentile(scores[1:], 97.5, axis=0).tolist()


def test_steep_curve_is_rising_and_one_at_its_end_is_not():
    steep, flat = planted(0.9, 1.0, 0.5, noise=0.005), planted(0.7, 0.0, 1.0)
    assert fit_learning_curve(SIZES, steep, extrapolate_to=60)["rising"]
    found = fit_learning_curve(SIZES, flat, extrapolate_to=60)
    assert not found["rising"]
    assert list(found["gain"].values()) == pytest.approx([0.0, 0.0, 0.0])
    assert (found["asymptote"], found["exponent"]) == (pytest.approx(0.7), None)


def test_falling_curve_is_fitted_flat():
    found = fit_learning_curve(SIZES, planted(0.5, -0.4, 1.0), extrapolate_to=60)
    assert found["extrapolation"]["score"] == pytest.approx(planted(0.5, -0.4)[0].mean())
    assert found["exponent"] is None


def test_noise_about_a_flat_curve_is_rarely_called_rising():
    rising = [
        fit_learning_curve(SIZES, planted(0.7, 0.0, noise=0.03, seed=s), extrapolate_to=60)[
            "rising"
        ]
        for s in range(60)
    ]
    assert np.mean(rising) <= 0.1


def test_noise_widens():
    widths = []
    for noise in (0.005, 0.02, 0.08):
        found = fit_learning_curve(SIZES, planted(noise=noise), extrapolate_to=60)
        widths.append(found["extrapolation"]["high"] - found["extrapolation"]["low"])
    assert widths[0] < widths[1] < widths[2]


def test_asymptote_stays_within_bounds():
    found = fit_learning_curve(SIZES, planted(1.1, 0.8, 0.5), extrapolate_to=10_000)
    assert found["asymptote"] == 1
    assert found["extrapolation"]["score"] < 1


def test_size_without_an_observed_score_is_dropped():
    scores = planted(noise=0.02)
    fewer = fit_learning_curve(SIZES[1:], scores[:, 1:], extrapolate_to=60)
    scores[0, 0] = np.nan
    assert fit_learning_curve(SIZES, scores, extrapolate_to=60) == fewer


def test_gaps_in_a_resample_are_left_out_of_its_fit():
    scores = planted(0.85, 0.8, 1.0)
    scores[1, [0, 2]] = np.nan  # the other four sizes still lie on the curve
    scores[2, :4] = np.nan  # two sizes are too few
    found = fit_learning_curve(SIZES, scores[:3], extrapolate_to=60)
    expected = pytest.approx(0.85 - 0.8 / 60)
    assert found["extrapolation"] == {
        "subjects": 60,
        **dict.fromkeys(("score", "low", "high"), expected),
    }


def test_too_few_sizes_have_no_curve():
    scores = planted()
    scores[0, 2:] = np.nan
    assert fit_learning_curve(SIZES, scores, extrapolate_to=60) is None
    assert fit_learning_curve(SIZES[:0], np.zeros((3, 0)), extrapolate_to=60) is None


def test_without_resamples_nothing_is_said_about_the_ends():
    found = fit_learning_curve(SIZES, planted(0.9, 1.0, 0.5)[:1], extrapolate_to=60)
    assert found["gain"]["score"] > 0.04
    assert (
        found["gain"]["low"] is found["extrapolation"]["high"] is found["points"][0]["low"] is None
    )
    assert not found["rising"]
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_input_is_left_as_it_is():
    scores = planted(noise=0.02)
    before = scores.copy()
    fit_learning_curve(SIZES, scores, extrapolate_to=60)
    assert np.array_equal(scores, before)


@pytest.mark.parametrize(
    ("sizes", "scores", "to", "message"),
    [
        (SIZES[:4], planted(), 60, r"do not fit together: \(4,\) and \(201, 6\)"),
        (SIZES, planted()[0], 60, "do not fit together"),
        (SIZES - 4, planted(), 60, "above 0, not 0"),
        (SIZES, planted(), 20, "largest size, 26, not 20"),
    ],
)
def test_impossible_input_is_refused(sizes, scores, to, message):
    with pytest.raises(ValueError, match=message):
        fit_learning_curve(sizes, scores, extrapolate_to=to)
