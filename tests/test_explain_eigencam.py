import numpy as np
import pytest
import torch

from canemo.explain.eigencam import compute_eigencam, map_crops, scale_maps


def planted(n=20, positions=64, dim=32, seed=0, spot=None):
    """A strong direction at a few positions, over weak noise."""
    rng = np.random.default_rng(seed)
    x = 0.1 * rng.normal(size=(n, positions, dim))
    spots = [spot or [5, 6, 13] for _ in range(n)]
    for i, where in enumerate(spots):
        x[i, where] += 4 * rng.choice([-1, 1]) * np.abs(rng.normal(size=dim))
    return torch.tensor(x, dtype=torch.float32), spots


def test_map_is_highest_where_the_activations_stand_out():
    x, spots = planted()
    maps = compute_eigencam(x)
    for each, where in zip(maps, spots, strict=True):
        assert set(each.topk(3).indices.tolist()) == set(where)


def test_sign_is_never_inverted_over_many_maps():
    x, _ = planted(n=500)
    maps = compute_eigencam(x)
    assert (maps[:, [5, 6, 13]].mean(1) > maps.mean(1)).all()


@pytest.mark.parametrize(("positions", "dim"), [(49, 128), (196, 24)])
def test_map_is_the_first_principal_component(positions, dim):
    x = torch.randn(3, positions, dim, generator=torch.Generator().manual_seed(0))
    for each, ours in zip(x, compute_eigencam(x), strict=True):
        centred = (each - each.mean(0)).double()
        _, s, vt = torch.linalg.svd(centred, full_matrices=False)
        theirs = centred @ vt[0]
        sign = torch.sign((theirs * ours).sum())
        torch.testing.assert_close(ours.double(), sign * theirs, rtol=1e-4, atol=1e-4)
        assert ours.max() >= -ours.min()
        assert float((ours**2).sum()) == pytest.approx(float(s[0] ** 2), rel=1e-4)


def test_batch_gives_the_same_as_one_by_one():
    x, _ = planted(n=8)
    together = compute_eigencam(x)
    torch.testing.assert_close(together[2:3], compute_eigencam(x[2:3]))


def test_constant_activations_give_an_empty_map():
    maps = compute_eigencam(torch.ones(2, 9, 4))
    assert maps.abs().max() < 1e-6
    assert torch.isfinite(scale_maps(maps)).all()


def test_scaled_maps_run_from_zero_to_one():
    scaled = scale_maps(torch.tensor([[-2.0, 1.0, 4.0]]))
    assert scaled.tolist() == [[0.0, 0.25, 1.0]]


def test_map_has_the_layout_of_the_crop():
    class Planted:
        grid_shape = (8, 8)

        def activations(self, images_rgb):
            return planted(n=len(images_rgb), spot=[8 * 1 + 6])[0]  # second row, seventh column

    [cam] = map_crops([np.zeros((10, 10, 3), np.uint8)], Planted())
    assert np.unravel_index(cam.argmax(), cam.shape) == (1, 6)
    assert cam.max() == 1
