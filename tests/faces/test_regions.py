from __future__ import annotations

import json

import numpy as np
import pytest

from canemo.faces.regions import (
    BANDS,
    EYE_DISTANCE,
    STUDY_LANDMARKS,
    draw_bands,
    draw_masks,
    draw_regions,
    find_missing_regions,
    measure_cells,
    outline_regions,
    place_points,
)
from canemo.species import DOG

COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9")


def paired(**left):
    """Name -> (x, y) on the left half; give both sides."""
    return {f"{name}_left": (x, y) for name, (x, y) in left.items()} | {
        f"{name}_right": (1 - x, y) for name, (x, y) in left.items()
    }


FACE = {
    **paired(
        ear_base_inner=(0.35, 0.25), ear_edge_inner=(0.3, 0.15), ear_edge_middle=(0.26, 0.1),
        ear_tip=(0.2, 0.02), ear_edge_outer=(0.16, 0.1), ear_side=(0.16, 0.2),
        ear_base_outer=(0.2, 0.3), brow=(0.45, 0.33), eye_inner=(0.42, 0.45),
        eye_outer=(0.32, 0.45), eye_upper=(0.37, 0.42), eye_lower=(0.37, 0.48),
        nose_upper=(0.45, 0.62), bridge=(0.45, 0.56), cheek=(0.36, 0.55), nostril=(0.46, 0.67),
        lip_upper=(0.4, 0.7), mouth_corner=(0.35, 0.72), lip_lower=(0.42, 0.78),
    ),
    "bridge": (0.5, 0.55), "nose_top": (0.5, 0.61), "nose_bottom": (0.5, 0.68),
    "philtrum": (0.5, 0.71), "lip_upper": (0.5, 0.74), "lip_lower": (0.5, 0.8),
    "chin": (0.5, 0.82), "mouth": (0.5, 0.77),
}  # fmt: skip
SUPERANIMAL = {
    "nose": (0.5, 0.65), "upper_jaw": (0.5, 0.7), "lower_jaw": (0.5, 0.8),
    "mouth_end_right": (0.65, 0.72), "mouth_end_left": (0.35, 0.72), "right_eye": (0.63, 0.45),
    "left_eye": (0.37, 0.45), "right_earbase": (0.7, 0.28), "left_earbase": (0.3, 0.28),
    "right_earend": (0.8, 0.05), "left_earend": (0.2, 0.05), "neck_base": (0.5, 0.95),
    "left_antler_base": (0.4, 0.2), "throat_end": (0.5, 0.9), "front_left_paw": (0.1, 0.9),
}  # fmt: skip


def region_at(masks, x, y):
    side = masks.shape[-1]
    return DOG.regions[int(masks[:, int(y * side), int(x * side)].argmax())]


# -- drawn from landmarks -------------------------------------------------------------------------


@pytest.mark.parametrize("points", [FACE, SUPERANIMAL], ids=["46 points", "few points"])
def test_each_part_is_where_its_points_are(points):
    assert set(FACE) == set(DOG.points)
    masks = draw_regions(points, side=100, species=DOG)
    for x, y, region in [
        (0.37, 0.45, "eyes"), (0.63, 0.45, "eyes"), (0.5, 0.72, "muzzle"), (0.24, 0.15, "ears"),
        (0.76, 0.15, "ears"), (0.5, 0.36, "forehead"), (0.36, 0.54, "cheeks"), (0.5, 0.05,
        "background"), (0.1, 0.5, "background"), (0.5, 0.95, "background"),
    ]:  # fmt: skip
        assert region_at(masks, x, y) == region, (x, y)


@pytest.mark.parametrize("side", [7, 40])
@pytest.mark.parametrize("points", [FACE, SUPERANIMAL, {}, {"nose": (1.4, -0.3)}])
def test_masks_share_out_every_pixel(points, side):
    masks = draw_regions(points, side=side, species=DOG)
    assert masks.dtype == np.float32
    assert masks.shape == (len(DOG.regions), side, side)
    assert masks.min() >= 0
    np.testing.assert_allclose(masks.sum(axis=0), 1, atol=1e-6)


def test_area_is_that_of_the_polygon():
    points = {"left_ear_base": (0.2, 0.4), "left_ear_tip": (0.8, 0.4), "left_ear_edge": (0.8, 0.9),
              "left_ear_root": (0.2, 0.9)}  # fmt: skip
    ear = draw_regions(points, side=50, species=DOG)[DOG.regions.index("ears")]
    assert ear.mean() == pytest.approx(0.6 * 0.5, abs=1e-6)


@pytest.mark.parametrize("middle", [(), ("lip_3", "lip_4")], ids=["four points", "outlined"])
def test_a_muzzle_is_wider_than_its_points_by_a_share_of_its_extent(middle):
    corners = {"chin": (0.2, 0.3), "nose": (0.8, 0.3), "lip_1": (0.8, 0.8), "lip_2": (0.2, 0.8)}
    muzzle = draw_regions(corners | dict.fromkeys(middle, (0.5, 0.5)), side=100, species=DOG)[2]
    margin = 0.15 * np.hypot(0.6, 0.5)  # more than what four points grow by, 0.3 * 0.26 * 2 / 5
    rounded = 0.6 * 0.5 + 2 * (0.6 + 0.5) * margin + np.pi * margin**2
    assert muzzle.mean() == pytest.approx(rounded, rel=2e-3)


def test_an_eye_is_wider_than_its_points_by_half_its_width():
    eyes = draw_regions(FACE, side=200, species=DOG)[DOG.regions.index("eyes")]
    columns = np.flatnonzero(eyes[:, :100].any(axis=0)) / 200
    assert columns.min() == pytest.approx(0.32 - 0.025, abs=0.006)
    assert columns.max() == pytest.approx(0.42 + 0.025, abs=0.006)


def test_first_of_the_order_wins_where_parts_overlap():
    corner = {"left_eye": (0.5, 0.5), "nose": (0.5, 0.5), "left_ear": (0.5, 0.5)}
    masks = draw_regions(corner, side=200, species=DOG)
    distance = [0.2 * EYE_DISTANCE, 0.3 * EYE_DISTANCE]
    areas = dict(zip(DOG.regions, masks.mean(axis=(1, 2)), strict=True))
    assert areas["eyes"] == pytest.approx(np.pi * distance[0] ** 2, rel=0.01)
    assert areas["muzzle"] == pytest.approx(np.pi * (distance[1] ** 2 - distance[0] ** 2), rel=0.01)
    assert areas["ears"] == 0


def test_mirrored_points_give_mirrored_masks():
    rng = np.random.default_rng(0)
    xy = np.array([FACE[name] for name in DOG.points]) + 0.02 * rng.normal(
        size=(len(DOG.points), 2)
    )
    mirrored = xy[list(DOG.mirrored)] * [-1, 1] + [1, 0]
    plain, other = (
        draw_regions(dict(zip(DOG.points, map(tuple, each), strict=True)), side=40, species=DOG)
        for each in (xy, mirrored)
    )
    np.testing.assert_allclose(other, plain[:, :, ::-1], atol=1 / 8)
    assert np.abs(other - plain[:, :, ::-1]).mean() < 1e-3


def test_sizes_of_few_points_follow_the_distance_of_the_eyes():
    def area_of_eyes(distance):
        points = {"left_eye": (0.5 - distance / 2, 0.5), "right_eye": (0.5 + distance / 2, 0.5)}
        return draw_regions(points, side=200, species=DOG)[0].mean()

    assert area_of_eyes(0.4) / area_of_eyes(0.2) == pytest.approx(4, rel=0.02)
    assert area_of_eyes(0.2) == pytest.approx(2 * np.pi * 0.04**2, rel=0.02)


def test_part_without_a_point_is_reported_and_left_to_the_rest():
    points = {name: place for name, place in SUPERANIMAL.items() if "ear" not in name}
    assert find_missing_regions(points, DOG) == ("ears", "forehead")
    assert find_missing_regions(SUPERANIMAL, DOG) == find_missing_regions(FACE, DOG) == ()
    masks = draw_regions(points, side=40, species=DOG)
    assert masks[DOG.regions.index("ears")].max() == masks[DOG.regions.index("forehead")].max() == 0


def test_unknown_places_count_as_missing():
    points = {**SUPERANIMAL, "left_eye": (np.nan, np.nan)}
    known = {name: place for name, place in SUPERANIMAL.items() if name != "left_eye"}
    np.testing.assert_array_equal(
        draw_regions(points, side=30, species=DOG), draw_regions(known, side=30, species=DOG)
    )


def test_eyes_without_a_side_are_two_and_not_one_bar():
    masks = draw_regions({"eye1": (0.3, 0.5), "eye2": (0.7, 0.5)}, side=50, species=DOG)
    assert region_at(masks, 0.3, 0.5) == region_at(masks, 0.7, 0.5) == "eyes"
    assert region_at(masks, 0.5, 0.5) != "eyes"


# -- names ----------------------------------------------------------------------------------------


def test_every_point_of_the_scheme_has_its_region():
    wanted = {
        "ear": "ears", "eye": "eyes", "brow": "forehead", "cheek": "cheeks", "bridge": "muzzle",
        "nose": "muzzle", "nostril": "muzzle", "philtrum": "muzzle", "lip": "muzzle",
        "mouth": "muzzle", "chin": "muzzle",
    }  # fmt: skip
    for name in DOG.points:
        assert DOG.region_of(name) == wanted[name.split("_")[0]], name


@pytest.mark.parametrize(
    ("name", "region"),
    [
        ("left_eye", "eyes"), ("nose", "muzzle"), ("mouth_end_right", "muzzle"),
        ("left_earbase", "ears"), ("left_earend", "ears"), ("upper_jaw", "muzzle"),
        ("neck_base", None), ("left_antler_base", None), ("throat_end", None),
        ("L_EarBase", "ears"), ("REye", "eyes"), ("rightEyebrow", "forehead"),
        ("LeftEar Tip", "ears"), ("Whiskers-2", "muzzle"), ("snout.top", "muzzle"),
        ("rear_left_paw", None), ("forearm", None), ("heart", None), ("hip", None),
        ("leye", None), ("forehead", "forehead"), ("eyelid_upper", "eyes"), ("", None),
    ],
)  # fmt: skip
def test_names_of_other_schemes(name, region):
    assert DOG.region_of(name) == region


# -- bands and crops ------------------------------------------------------------------------------


@pytest.mark.parametrize("side", [7, 20, 56])
def test_bands_share_out_every_pixel_and_are_alike_on_both_sides(side):
    masks = draw_bands(side, DOG)
    assert masks.min() >= 0
    np.testing.assert_allclose(masks.sum(axis=0), 1, atol=1e-6)
    np.testing.assert_allclose(masks, masks[:, :, ::-1], atol=1e-6)
    areas = dict(zip(DOG.regions, masks.mean(axis=(1, 2)), strict=True))
    # Where pixels are so large that one holds parts of two boxes, areas are off by a little.
    assert areas["muzzle"] == pytest.approx(0.4 * 0.3, abs=2e-3 if side == 7 else 1e-6)
    assert areas["eyes"] == pytest.approx(2 * 0.1 * 0.09, abs=1e-6)


def test_crops_without_eye_or_muzzle_get_bands():
    only_ear = {"left_ear": (0.2, 0.2), "nose": (0.5, 0.6)}
    no_ears = {name: place for name, place in SUPERANIMAL.items() if "ear" not in name}
    drawn = draw_masks([FACE, None, only_ear, no_ears], side=20, species=DOG)
    assert drawn.names == DOG.regions
    assert drawn.source.tolist() == [STUDY_LANDMARKS, BANDS, BANDS, STUDY_LANDMARKS]
    assert drawn.missing.tolist() == [(), (), (), ("ears", "forehead")]
    np.testing.assert_array_equal(drawn.masks[0], draw_regions(FACE, side=20, species=DOG))
    np.testing.assert_array_equal(drawn.masks[1], drawn.masks[2])
    np.testing.assert_array_equal(drawn.masks[1], draw_bands(20, DOG))
    assert draw_masks([], side=20, species=DOG).masks.shape == (0, 6, 20, 20)


def test_points_of_a_frame_are_placed_in_the_crop():
    placed = place_points({"nose": (110.0, 70.0)}, (100, 50, 140, 90))
    assert placed == {"nose": (0.25, 0.5)}


# -- grids and pictures ---------------------------------------------------------------------------


def test_cells_hold_the_average_over_their_area():
    masks = np.zeros((1, 2, 4, 4), dtype=np.float32)
    masks[0, 0, :, :2] = 1
    masks[0, 1] = 1 - masks[0, 0]
    np.testing.assert_allclose(measure_cells(masks, 1, 1)[0, :, 0, 0], [0.5, 0.5])
    np.testing.assert_allclose(measure_cells(masks, 2, 2)[0, 0], [[1, 0], [1, 0]])
    # A cell of a grid of three covers 4/3 pixels: the middle one is half in the region.
    np.testing.assert_allclose(measure_cells(masks, 1, 3)[0, 0, 0], [1, 0.5, 0], atol=1e-12)


@pytest.mark.parametrize("grid", [(1, 1), (7, 7), (16, 16), (28, 28), (5, 9), (80, 80)])
def test_cells_share_out_the_grid_and_keep_the_area(grid):
    drawn = draw_masks([FACE, None], side=40, species=DOG).masks
    before = drawn.copy()
    cells = measure_cells(drawn, *grid)
    assert cells.shape == (2, len(DOG.regions), *grid)
    np.testing.assert_allclose(cells.sum(axis=1), 1, atol=1e-12)
    np.testing.assert_allclose(cells.mean(axis=(2, 3)), drawn.mean(axis=(2, 3)), atol=1e-6)
    np.testing.assert_array_equal(drawn, before)


def test_outlines_run_along_the_inside_of_each_region():
    image = np.full((80, 80, 3), 128, dtype=np.uint8)
    masks = draw_bands(40, DOG)
    drawn = outline_regions(image, masks, colours=COLOURS)
    assert (image == 128).all()
    changed = (drawn != 128).any(axis=2)
    assert {tuple(pixel) for pixel in drawn[changed]} == {
        tuple(bytes.fromhex(colour[1:])) for colour in COLOURS
    }
    muzzle = (drawn == tuple(bytes.fromhex("009E73"))).all(axis=2)
    rows, columns = np.nonzero(muzzle)
    assert (rows.min(), rows.max()) == (44, 67)
    assert (columns.min(), columns.max()) == (24, 55)
    assert not muzzle[46:66, 26:54].any()
    assert not changed[:10].any()


# -- real faces -----------------------------------------------------------------------------------


def test_bands_lie_where_landmarks_do(shared_data):
    folder = shared_data / "heads" / "whole_photos"
    content = json.loads((folder / "coco.json").read_text(encoding="utf-8"))
    bands, shared = draw_bands(20, DOG), []
    for face in content["annotations"][::2]:
        x, y, width, height = face["bbox"]
        reach = max(width, height) / 2
        middle = x + width / 2, y + height / 2
        square = (middle[0] - reach, middle[1] - reach, middle[0] + reach, middle[1] + reach)
        places = np.reshape(face["keypoints"], (-1, 3))[:, :2]
        points = place_points(dict(zip(DOG.points, map(tuple, places), strict=True)), square)
        shared.append((bands * draw_regions(points, side=20, species=DOG)).sum(axis=0).mean())
    assert len(shared) > 100
    assert np.mean(shared) == pytest.approx(0.71, abs=0.03)
