from __future__ import annotations

import json
from functools import partial

import numpy as np
import pytest

from canemo.explain.alignment import align_faces as align_to
from canemo.explain.alignment import average_faces, estimate_shape, warp_maps
from canemo.species import DOG

SIDE = 80
MEAN_SHAPE = np.array(DOG.mean_shape)
align_faces = partial(align_to, shape=MEAN_SHAPE, anchors=DOG.anchors)


def turned(points, *, degrees=0.0, scale=1.0, move=(0.0, 0.0)):
    angle = np.radians(degrees)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return scale * points @ turn.T + move


def dots(points, *, size, radius=3.0):
    """Draw a bright soft dot at each place of a dark picture."""
    x, y = np.meshgrid(np.arange(size) + 0.5, np.arange(size) + 0.5)
    light = sum(np.exp(-((x - a) ** 2 + (y - b) ** 2) / radius**2) for a, b in points)
    return np.repeat((255 * np.clip(light, 0, 1))[..., None], 3, axis=2).astype(np.uint8)


def centre_of(picture):
    rows, columns = np.indices(picture.shape) + 0.5
    return (picture * columns).sum() / picture.sum(), (picture * rows).sum() / picture.sum()


# -- transforms -----------------------------------------------------------------------------------


@pytest.mark.parametrize("degrees", [0, 30, -75, 180])
def test_turned_and_scaled_faces_come_to_lie_on_the_mean_face(degrees):
    points = turned(200 * MEAN_SHAPE, degrees=degrees, scale=0.8, move=(13, -5))
    image = np.zeros((200, 200, 3), dtype=np.uint8)
    _, [transform] = align_faces([image], points[None], side=SIDE)
    found = points @ transform[:, :2].T + transform[:, 2]
    np.testing.assert_allclose(found, SIDE * MEAN_SHAPE, atol=1e-9)
    assert np.linalg.det(transform[:, :2]) > 0


def test_fit_is_umeyamas():
    rng = np.random.default_rng(0)
    points = 200 * MEAN_SHAPE + rng.normal(scale=8, size=MEAN_SHAPE.shape)
    image = np.zeros((200, 200, 3), dtype=np.uint8)
    _, [ours] = align_faces([image], points[None], side=SIDE)
    source, target = points[list(DOG.anchors)], SIDE * MEAN_SHAPE[list(DOG.anchors)]
    a, b = source - source.mean(0), target - target.mean(0)
    u, s, vt = np.linalg.svd(b.T @ a / len(a))
    sign = np.diag([1, np.sign(np.linalg.det(u) * np.linalg.det(vt))])
    turn = u @ sign @ vt
    scale = np.trace(np.diag(s) @ sign) / (a**2).sum(axis=1).mean()
    np.testing.assert_allclose(ours[:, :2], scale * turn, atol=1e-12)
    np.testing.assert_allclose(ours[:, 2], target.mean(0) - scale * turn @ source.mean(0))


def test_a_mirrored_face_is_not_reflected():
    points = 200 * (MEAN_SHAPE * [-1, 1] + [1, 0])
    _, [transform] = align_faces([np.zeros((200, 200, 3), np.uint8)], points[None])
    assert np.linalg.det(transform[:, :2]) > 0


def test_ears_lips_and_chin_do_not_decide():
    points = 200 * MEAN_SHAPE
    moved = points.copy()
    for name in ("ear_tip_left", "chin", "lip_lower", "mouth_corner_right", "mouth"):
        moved[DOG.points.index(name)] += 40
    images = [np.zeros((200, 200, 3), np.uint8)] * 2
    _, transforms = align_faces(images, np.stack([points, moved]))
    np.testing.assert_allclose(transforms[0], transforms[1])


@pytest.mark.parametrize("kept", [("eye_inner_left", "nostril_right"), ("chin", "ear_tip_left")])
def test_two_known_points_are_enough(kept):
    points = np.full(MEAN_SHAPE.shape, np.nan)
    for name in kept:
        index = DOG.points.index(name)
        points[index] = turned(200 * MEAN_SHAPE, degrees=20)[index]
    _, [transform] = align_faces([np.zeros((200, 200, 3), np.uint8)], points[None], side=SIDE)
    found = turned(200 * MEAN_SHAPE, degrees=20) @ transform[:, :2].T + transform[:, 2]
    np.testing.assert_allclose(found, SIDE * MEAN_SHAPE, atol=1e-9)


@pytest.mark.parametrize("known", [0, 1, "same place"])
def test_crops_without_points_are_scaled_as_a_whole(known):
    points = np.full((1, 46, 2), np.nan)
    points[0, : 46 if known == "same place" else known] = 7.0
    image = np.zeros((40, 80, 3), dtype=np.uint8)
    image[:20] = 200
    [warped], [transform] = align_faces([image], points, side=SIDE)
    np.testing.assert_allclose(transform, [[1, 0, 0], [0, 2, 0]])
    assert (warped[:38] == 200).all()
    assert (warped[42:] == 0).all()


def test_points_of_another_number_want_a_shape():
    image = np.zeros((10, 10, 3), np.uint8)
    with pytest.raises(ValueError, match=r"\(1, 3, 2\), expected \(1, 46, 2\) for 1 crops"):
        align_faces([image], np.zeros((1, 3, 2)))
    shape = np.array([[0.3, 0.3], [0.7, 0.3], [0.5, 0.7]])
    _, [transform] = align_to([image], 10 * shape[None], side=20, shape=shape)
    np.testing.assert_allclose(transform, [[2, 0, 0], [0, 2, 0]], atol=1e-12)


# -- pictures and maps ----------------------------------------------------------------------------


def test_picture_and_map_move_with_the_points():
    size, nose = 160, DOG.points.index("nose_top")
    points = turned(size * MEAN_SHAPE, degrees=25, scale=0.9, move=(40, -20))
    image = dots(points[[nose]], size=size)
    before = image.copy()
    [warped], transforms = align_faces([image], points[None], side=SIDE)
    np.testing.assert_allclose(
        centre_of(warped[..., 0].astype(float)), SIDE * MEAN_SHAPE[nose], atol=0.1
    )
    np.testing.assert_array_equal(image, before)
    small = image[..., 0].reshape(40, 4, 40, 4).mean(axis=(1, 3))
    [laid] = warp_maps(small[None], transforms, np.array([[size, size]]), side=SIDE)
    np.testing.assert_allclose(centre_of(np.nan_to_num(laid)), SIDE * MEAN_SHAPE[nose], atol=0.2)


def test_nothing_is_made_up_outside_of_the_crop():
    points = 40 * MEAN_SHAPE + 20  # lies to the lower right in its crop
    image = np.full((40, 40, 3), 90, dtype=np.uint8)
    [warped], transforms = align_faces([image], points[None], side=40)
    [laid] = warp_maps(np.full((1, 4, 4), 0.5), transforms, [[40, 40]], side=40)
    inside = np.zeros((40, 40), dtype=bool)
    inside[:20, :20] = True
    np.testing.assert_array_equal(np.isfinite(laid), inside)
    np.testing.assert_array_equal(laid[inside], 0.5)
    np.testing.assert_array_equal(warped[inside], 90)
    np.testing.assert_array_equal(warped[~inside], 0)


def test_maps_of_any_grid_cover_the_whole_crop():
    identity = np.array([[[2.0, 0, 0], [0, 1.0, 0]]])  # a crop of 20 x 40 on a side of 40
    maps = np.array([[[1.0, 2.0, 3.0]]])
    [laid] = warp_maps(maps, identity, [[20, 40]], side=40)
    np.testing.assert_allclose(laid[:, 20], 2.0, atol=0.05)
    np.testing.assert_allclose(laid[:, :6], 1.0)
    np.testing.assert_allclose(laid[:, -6:], 3.0)


# -- averages -------------------------------------------------------------------------------------


def make_crops():
    """Two conditions; in `a` one dog has three crops in two clips and another one crop."""
    values = np.array([10, 30, 60, 100, 200], dtype=np.float32)
    warped = np.broadcast_to(values[:, None, None, None], (5, 4, 4, 3)).astype(np.uint8)
    maps = np.broadcast_to(values[:, None, None] / 100, (5, 4, 4)).copy()
    names = {
        "labels": ["a", "a", "a", "a", "b"],
        "subject_ids": ["rex", "rex", "rex", "ada", "ada"],
        "video_ids": ["r1", "r1", "r2", "a1", "a2"],
    }
    return warped, maps, names


def test_each_dog_weighs_the_same_and_so_does_each_of_its_clips():
    warped, maps, names = make_crops()
    faces = average_faces(warped, maps, **names)
    assert [(face.label, face.subject_id) for face in faces] == [
        ("a", None), ("a", "ada"), ("a", "rex"), ("b", None), ("b", "ada"),
    ]  # fmt: skip
    assert [(face.dogs, face.clips, face.crops) for face in faces] == [
        (2, 3, 4), (1, 1, 1), (1, 2, 3), (1, 1, 1), (1, 1, 1),
    ]  # fmt: skip
    rex = (20 + 60) / 2
    for face, wanted in zip(faces, [(rex + 100) / 2, 100, rex, 200, 200], strict=True):
        np.testing.assert_array_equal(face.image_rgb, wanted)
        np.testing.assert_allclose(face.map, wanted / 100, rtol=1e-6)


def test_what_a_crop_does_not_show_does_not_count():
    warped, maps, names = make_crops()
    maps[0, 0] = np.nan  # the upper row of rex's first crop
    maps[4, :, 0] = np.nan
    faces = average_faces(warped, maps, **names)
    np.testing.assert_array_equal(faces[2].image_rgb[0], (30 + 60) / 2)
    np.testing.assert_array_equal(faces[2].image_rgb[1:], 40)
    assert np.isnan(faces[3].map[:, 0]).all()
    assert (faces[3].image_rgb[:, 0] == 0).all()
    np.testing.assert_allclose(faces[3].map[:, 1:], 2)


def test_names_must_fit_the_faces():
    warped, maps, names = make_crops()
    with pytest.raises(ValueError, match=r"differ in number: \[4, 5\]"):
        average_faces(warped[:4], maps, **names)


# -- the mean face --------------------------------------------------------------------------------


def test_shape_is_found_under_turns_sizes_and_gaps():
    rng = np.random.default_rng(0)
    faces = np.stack(
        [
            turned(MEAN_SHAPE - 0.5, degrees=rng.normal(0, 20), scale=rng.uniform(0.6, 1.4))
            + rng.normal(0.5, 0.05, 2)
            for _ in range(200)
        ]
    )
    faces += rng.normal(scale=0.01, size=faces.shape)
    faces[rng.random(faces.shape[:2]) < 0.2] = np.nan
    before = faces.copy()
    shape = estimate_shape(faces, anchors=DOG.anchors, mirrored=DOG.mirrored)
    np.testing.assert_array_equal(faces, before)
    _, [back] = align_faces([np.zeros((9, 9, 3), np.uint8)], shape[None], side=1)
    np.testing.assert_allclose(shape @ back[:, :2].T + back[:, 2], MEAN_SHAPE, atol=0.006)


def test_a_point_known_nowhere_has_no_place():
    faces = np.zeros((3, 2, 2))
    faces[:, 1, 0] = np.nan
    with pytest.raises(ValueError, match="point 1 is known in no crop"):
        estimate_shape(faces)


def test_mean_shape_is_alike_on_both_sides():
    np.testing.assert_allclose(MEAN_SHAPE[list(DOG.mirrored)] * [-1, 1] + [1, 0], MEAN_SHAPE)


def test_mean_shape_is_that_of_real_faces(shared_data):
    faces = []
    for name in ("whole_photos", "body_crops"):
        content = json.loads((shared_data / "heads" / name / "coco.json").read_text("utf-8"))
        images = {image["id"]: image for image in content["images"]}
        faces += [
            _place_in_square(face, images[face["image_id"]]) for face in content["annotations"]
        ]
    complete = np.stack([face for face in faces if np.isfinite(face).all()])
    shape = estimate_shape(complete, anchors=DOG.anchors, mirrored=DOG.mirrored)
    assert len(complete) == 2515
    np.testing.assert_allclose(shape, MEAN_SHAPE, atol=6e-4)


def _place_in_square(face, image):
    """Return the points in the square around the box, in the picture's true aspect."""
    stretch = np.array([image.get(f"crop_{axis}", image[axis]) / image[axis]
                        for axis in ("width", "height")])  # fmt: skip
    places = np.reshape(face["keypoints"], (-1, 3))
    corner, size = np.reshape(face["bbox"], (2, 2)) * stretch
    points = (places[:, :2] * stretch - corner - size / 2) / size.max() + 0.5
    points[places[:, 2] == 0] = np.nan
    return points
