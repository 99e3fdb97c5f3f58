from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import spearmanr

from canemo.explain.scoring import (
    SHARES,
    Curves,
    correlate_maps,
    displace,
    point,
    resize_maps,
    trace_curves,
)
from explain_worlds import TextureBackbone, draw_textures, mark, read_checks

RNG = np.random.default_rng
PLACES = [(0, 0), (3, 4), (6, 6)]


@pytest.fixture(scope="module")
def planted():
    rng = RNG(0)
    return [draw_textures(place, 1, rng=rng, noise=0.03) for place in PLACES]


def trace(crops, ranked, decision=None):
    return trace_curves(
        crops, np.asarray(ranked, np.float32), backbone=TextureBackbone(),
        decision=decision or read_checks(),
    )  # fmt: skip


# -- deletion and insertion ------------------------------------------------------------------------


def test_covering_the_planted_place_first_drops_at_once(planted):
    best = trace(planted, [mark(place) for place in PLACES])
    worst = trace(planted, [-mark(place) for place in PLACES])
    assert best.shares.tolist() == [0, *SHARES, 1]
    whole = best.deletion[:, 0]
    assert whole.min() > 1
    # 2 x 2 of 64 cells are the first share: gone, up to a soft border, or all there is.
    assert (best.deletion[:, 1:] < 0.4 * whole[:, None]).all()
    assert (best.insertion[:, 1:] > 0.6 * whole[:, None]).all()
    assert (worst.deletion[:, 1:-2] > 0.6 * whole[:, None]).all()
    assert (worst.insertion[:, 1:-2] < 0.4 * whole[:, None]).all()


def test_curves_run_between_the_whole_crop_and_the_blurred_one(planted):
    curves = trace(planted, [mark(place) for place in PLACES])
    np.testing.assert_allclose(curves.deletion[:, 0], curves.insertion[:, -1])
    np.testing.assert_allclose(curves.deletion[:, -1], curves.insertion[:, 0])
    assert np.abs(curves.deletion[:, -1]).max() < 0.1  # no pattern is left in it


def test_evidence_is_that_for_the_answer_given():
    crop = draw_textures((2, 2), -1, rng=RNG(0))  # the probe answers the other label
    for decision in (read_checks(), read_checks().against()):
        curves = trace([crop], [mark((2, 2))], decision)
        assert curves.deletion[0, 0] > 1
        assert abs(curves.deletion[0, 1]) < 0.3 * curves.deletion[0, 0]


def test_areas_of_known_curves():
    shares = np.array([0, 0.5, 1])
    curves = Curves(shares, np.array([[4.0, 2, 0], [1, 1, 1]]), np.array([[0, 4.0, 4], [0, 0, 2]]))
    deletion, insertion = curves.areas()
    np.testing.assert_allclose(deletion, [2, 1])
    np.testing.assert_allclose(insertion, [3, 0.5])


def test_finer_and_coarser_maps_are_brought_to_the_same_cells(planted):
    exact = [mark(place) for place in PLACES]
    finer = np.kron(exact, np.ones((2, 2)))
    np.testing.assert_array_equal(trace(planted, exact).deletion, trace(planted, finer).deletion)


# -- displaced maps --------------------------------------------------------------------------------


def test_displaced_maps_keep_their_values_and_change_places():
    maps = RNG(0).normal(size=(40, 5, 7)).astype(np.float32)
    before = maps.copy()
    moved = displace(maps, seed=1)
    np.testing.assert_array_equal(maps, before)
    np.testing.assert_array_equal(
        np.sort(moved.reshape(40, -1), axis=1), np.sort(maps.reshape(40, -1), axis=1)
    )
    assert (moved != maps).any(axis=(1, 2)).mean() > 0.9
    np.testing.assert_array_equal(moved, displace(maps, seed=1))
    assert (moved != displace(maps, seed=2)).any()
    assert displace(maps[:0], seed=0).shape == (0, 5, 7)


def test_maps_go_everywhere():
    maps = np.zeros((4000, 2, 3), np.float32)
    maps[:, 0, 0] = 1
    share = displace(maps, seed=0).mean(axis=0)
    assert share.min() > 0.08  # of six places
    assert share.max() < 0.23


# -- correlation -----------------------------------------------------------------------------------


def test_correlation_is_that_of_spearman_also_with_ties():
    first = RNG(0).integers(0, 5, (20, 6, 6)).astype(np.float32)
    second = first + RNG(1).integers(0, 5, (20, 6, 6)).astype(np.float32)
    wanted = [spearmanr(a.ravel(), b.ravel()).statistic for a, b in zip(first, second, strict=True)]
    np.testing.assert_allclose(correlate_maps(first, second), wanted, atol=1e-12)


def test_correlation_of_a_map_with_itself_and_its_reverse():
    maps = RNG(0).normal(size=(3, 4, 4)).astype(np.float32)
    np.testing.assert_allclose(correlate_maps(maps, np.exp(maps)), 1)
    np.testing.assert_allclose(correlate_maps(maps, -maps), -1)


def test_constant_maps_have_no_correlation():
    constant = np.full((2, 3, 3), 0.1, np.float32)
    maps = RNG(0).normal(size=(2, 3, 3)).astype(np.float32)
    assert np.isnan(correlate_maps(constant, maps)).all()
    assert np.isnan(correlate_maps(maps, constant)).all()
    assert np.isnan(correlate_maps(constant, constant)).all()


# -- the pointing game -----------------------------------------------------------------------------


def truth_at(rows, columns, side=16):
    truth = np.zeros((1, side, side))
    truth[0, rows, columns] = 1
    return truth


@pytest.mark.parametrize(
    ("cell", "is_hit"), [((1, 1), True), ((1, 2), True), ((2, 2), True), ((1, 3), False),
                         ((3, 3), False)],
)  # fmt: skip
def test_pointing_allows_for_half_a_position(cell, is_hit):
    # Cells of 4 x 4 pixels; the true part are the pixels 4 to 7, and 2 around them count.
    ranked = np.zeros((1, 4, 4), np.float32)
    ranked[0][cell] = 1
    hit, area = point(ranked, truth_at(slice(4, 8), slice(4, 8)))
    assert hit.tolist() == [is_hit]
    assert area.tolist() == [8 * 8 / 256]


def test_pointing_in_parts_of_pixels_and_without_a_true_part():
    ranked = np.zeros((2, 16, 16), np.float32)
    ranked[:, 5, 5] = 1
    truth = np.concatenate([0.4 * truth_at(5, 5), 0.6 * truth_at(5, 5)])
    hit, area = point(ranked, truth)  # less than half of a pixel does not count
    assert hit.tolist() == [False, True]
    assert area.tolist() == [0, 1 / 256]


def test_chance_hits_as_often_as_the_area_has_it():
    rng = RNG(0)
    ranked = np.zeros((3000, 16, 16), np.float32)
    ranked.reshape(3000, -1)[np.arange(3000), rng.integers(0, 256, 3000)] = 1
    hit, area = point(ranked, np.repeat(truth_at(slice(3, 11), slice(2, 7)), 3000, axis=0))
    assert hit.mean() == pytest.approx(area.mean(), abs=0.03)


# -- sizes -----------------------------------------------------------------------------------------


def test_maps_are_averaged_to_fewer_cells():
    maps = np.arange(16, dtype=np.float32).reshape(1, 4, 4)
    np.testing.assert_allclose(resize_maps(maps, 2), [[[2.5, 4.5], [10.5, 12.5]]])
    np.testing.assert_array_equal(resize_maps(maps, 4), maps)


def test_maps_are_interpolated_to_more_and_keep_their_range():
    maps = np.array([[[0.0, 1.0], [0.0, 1.0]]], np.float32)
    larger = resize_maps(maps, 4)
    np.testing.assert_allclose(larger[0, 0], [0, 0.25, 0.75, 1])
    peak = np.zeros((1, 7, 7), np.float32)
    peak[0, 2, 5] = 1
    row, column = np.unravel_index(resize_maps(peak, 56)[0].argmax(), (56, 56))
    assert (row // 8, column // 8) == (2, 5)
