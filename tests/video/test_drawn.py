from __future__ import annotations

import csv
import json
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from canemo.errors import ConfigError, OutputExistsError
from canemo.records import Box, Image
from canemo.video.drawn import draw_study
from canemo.video.drawn.clip import Clip, HeadPlace, draw_stage, iter_frames
from canemo.video.drawn.coat import grow_fur
from canemo.video.drawn.dog import BREEDS, Expression
from canemo.video.drawn.faces import draw_faces
from canemo.video.drawn.plan import PlannedClip, plan_study, sample_expression
from canemo.video.drawn.surface import Grid, Part, make_rotation, raise_surface

SIZE = (144, 108)
RAISED = Expression(ears=0.8, mouth=0.0)
FLAT = Expression(ears=-0.8, mouth=0.9)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("drawn") / "study"
    return draw_study(
        folder, subjects=2, clips_per_subject=3, seconds=0.7, fps=10, size=SIZE, seed=5
    )


def make_plan(**changes: float) -> list[PlannedClip]:
    numbers = {"subjects": 2, "clips_per_subject": 3, "seed": 0, "effect": 1.0, **changes}
    return plan_study(
        subjects=int(numbers["subjects"]),
        clips_per_subject=int(numbers["clips_per_subject"]),
        size=SIZE,
        seed=int(numbers["seed"]),
        effect=numbers["effect"],
    )


def silence(clip: Clip) -> Clip:
    return replace(clip, scene=replace(clip.scene, noise=0.0))


def draw_first(clip: Clip) -> tuple[Image, HeadPlace]:
    frame = next(iter_frames(clip, frames=1, fps=25))
    return frame.image_rgb, frame.head


def read_rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def cut(image: Image, box: Box) -> Image:
    x0, y0, x1, y1 = (round(value) for value in box)
    return image[y0:y1, x0:x1]


def test_every_dog_has_one_third_anticipation(study: Path) -> None:
    rows = read_rows(study / "videos.csv")
    assert list(rows[0]) == ["video_id", "path", "subject_id", "label"]
    for subject in ("dog01", "dog02"):
        labels = sorted(row["label"] for row in rows if row["subject_id"] == subject)
        assert labels == ["anticipation", "frustration", "frustration"]


def test_subjects_are_described(study: Path) -> None:
    rows = read_rows(study / "subjects.csv")
    assert list(rows[0]) == ["subject_id", "sex", "age_years", "neutered", "breed"]
    assert [row["subject_id"] for row in rows] == ["dog01", "dog02"]
    assert {row["breed"] for row in rows} <= {breed.name for breed in BREEDS}


def test_clips_decode_to_the_frames_that_were_drawn(study: Path) -> None:
    for planned, row in zip(make_plan(seed=5), read_rows(study / "videos.csv"), strict=True):
        with av.open(study / row["path"]) as container:
            stream = container.streams.video[0]
            decoded = [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]
            assert (stream.codec_context.name, stream.average_rate) == ("h264", Fraction(10))
        drawn = [frame.image_rgb for frame in iter_frames(planned.clip, frames=7, fps=10)]
        assert len(decoded) == 7
        for seen, meant in zip(decoded, drawn, strict=True):
            assert np.abs(seen.astype(float) - meant).mean() < 6


def test_faces_are_coco_boxes_of_the_head(study: Path) -> None:
    coco = json.loads((study / "faces.json").read_text(encoding="utf-8"))
    truth = json.loads((study / "truth.json").read_text(encoding="utf-8"))
    assert len(coco["images"]) == len(coco["annotations"]) == 18
    for image, annotation in zip(coco["images"], coco["annotations"], strict=True):
        assert annotation["image_id"] == image["id"]
        assert (study / image["file_name"]).is_file()
        x, y, width, height = annotation["bbox"]
        place = truth["videos"][image["video_id"]]["frames"][image["frame_index"]]
        assert place["box_xyxy"] == pytest.approx([x, y, x + width, y + height], abs=0.1)


def test_truth_names_what_was_drawn(study: Path) -> None:
    truth = json.loads((study / "truth.json").read_text(encoding="utf-8"))
    assert (truth["seed"], truth["effect"], truth["planted"]) == (5, 1.0, ["ears", "mouth"])
    assert {len(video["frames"]) for video in truth["videos"].values()} == {7}


def test_same_seed_same_pixels_other_seed_other_pixels() -> None:
    first, again, other = (
        draw_first(make_plan(subjects=1, seed=seed)[0].clip)[0] for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, again)
    assert np.abs(first.astype(float) - other).mean() > 5


def test_faces_alone_are_the_same_for_a_seed_and_differ_otherwise() -> None:
    faces = draw_faces(4, seed=3)
    for a, b in zip(faces, draw_faces(6, seed=3), strict=False):
        np.testing.assert_array_equal(a, b)
    assert all(face.dtype == np.uint8 and face.shape[2] == 3 for face in faces)
    assert all(min(face.shape[:2]) > 50 and max(face.shape[:2]) < 720 for face in faces)
    shapes = {face.shape for face in [*faces, *draw_faces(4, seed=4)]}
    assert len(shapes) == 8  # each its own dog, pose and size


def test_dogs_differ_and_stay_themselves() -> None:
    plan = make_plan(subjects=9, clips_per_subject=2)
    assert len({planned.clip.dog.breed.name for planned in plan}) == 9
    assert all(plan[at].clip.dog == plan[at + 1].clip.dog for at in range(0, 18, 2))


def test_box_holds_the_head_closely() -> None:
    for planned in make_plan(subjects=6, clips_per_subject=2):
        closed = replace(planned.clip.expression, mouth=0.1)  # a tongue may hang out of the box
        clip = replace(silence(planned.clip), expression=closed)
        image, head = draw_first(clip)
        stage = np.asarray(draw_stage(clip, grow_fur(clip.dog.fur_seed)), float)
        rows, columns = np.nonzero(np.abs(image - stage).max(axis=2) > 30)
        x0, y0, x1, y1 = head.box_xyxy
        inside = (rows >= y0 - 1) & (rows <= y1) & (columns >= x0 - 1) & (columns <= x1)
        assert inside.mean() > 0.995
        seen_height, seen_width = np.ptp(np.percentile(rows, (0.5, 99.5))), np.ptp(columns)
        assert seen_height > 0.72 * (y1 - y0)
        assert seen_width > 0.72 * (x1 - x0)


def test_expression_changes_ears_and_mouth_and_nothing_else() -> None:
    clip = silence(make_plan(seed=3)[0].clip)
    raised, head = draw_first(replace(clip, expression=RAISED))
    flat, flat_head = draw_first(replace(clip, expression=FLAT))
    changed = np.abs(raised.astype(float) - flat).mean(axis=2)
    for box in (head.left_ear_xyxy, head.right_ear_xyxy, flat_head.mouth_xyxy):
        assert cut(changed, box).mean() > 12
    both = np.array([head.box_xyxy, flat_head.box_xyxy, flat_head.mouth_xyxy])
    x0, y0, x1, y1 = (*both[:, :2].min(axis=0), *both[:, 2:].max(axis=0))
    outside = np.ones(changed.shape, bool)
    outside[int(y0) : int(y1) + 1, int(x0) : int(x1) + 1] = False
    assert (changed[outside] > 8).mean() < 0.001


def test_expression_follows_the_label_as_far_as_the_effect_says() -> None:
    def draw(label: str, effect: float) -> Expression:
        rng = np.random.default_rng(1)
        return sample_expression(label, effect=effect, habit=(0.0, 0.0), rng=rng)

    assert draw("anticipation", 0.0) == draw("frustration", 0.0)
    assert draw("anticipation", 1.0).ears > draw("frustration", 1.0).ears + 0.8
    assert draw("anticipation", 1.0).mouth < draw("frustration", 1.0).mouth - 0.4


def measure_redness(plan: list[PlannedClip]) -> tuple[np.ndarray, np.ndarray]:
    """Return redness below the nose, less that of the dog's other clips, and who is frustrated."""
    redness = []
    for planned in plan:
        image, head = draw_first(planned.clip)
        red, green, _ = np.moveaxis(cut(image, head.mouth_xyxy).astype(float), 2, 0)
        redness.append((red - green).mean())
    by_dog = np.array(redness).reshape(8, -1)
    frustrated = np.array([planned.label == "frustration" for planned in plan])
    return (by_dog - by_dog.mean(axis=1, keepdims=True)).ravel(), frustrated


@pytest.mark.parametrize(("effect", "low", "high"), [(1.0, 0.8, 1.0), (0.0, 0.3, 0.7)])
def test_pixels_tell_the_label_only_where_planted(effect: float, low: float, high: float) -> None:
    redness, frustrated = measure_redness(make_plan(subjects=8, effect=effect))
    auroc = (redness[frustrated][:, None] > redness[~frustrated]).mean()
    assert low <= auroc <= high


def test_room_light_and_pose_ignore_label_and_effect() -> None:
    for with_effect, without in zip(make_plan(effect=1.0), make_plan(effect=0.0), strict=True):
        assert with_effect.clip.pose == without.clip.pose
        assert with_effect.clip.scene.light == without.clip.scene.light
        np.testing.assert_array_equal(with_effect.clip.scene.room, without.clip.scene.room)


def test_the_dog_moves() -> None:
    frames = list(iter_frames(silence(make_plan()[0].clip), frames=30, fps=25))
    centres = np.array([frame.head.box_xyxy for frame in frames])
    assert np.ptp(centres[:, 0]) > 1
    assert not np.array_equal(frames[0].image_rgb, frames[-1].image_rgb)


def test_a_ball_is_raised_as_a_ball() -> None:
    surface = raise_surface(
        [Part((0.2, 0, 0), (0.5, 0.5, 0.5), blend=0)], make_rotation(), Grid(-1, -1, 1, 1, 40)
    )
    x, y = Grid(-1, -1, 1, 1, 40).compute_axes()
    square = 0.25 - (x - 0.2) ** 2 - y**2
    inside = square > 0
    np.testing.assert_allclose(surface.height[inside], np.sqrt(square[inside]), atol=2e-3)
    np.testing.assert_array_equal(surface.material > 0, inside)


def test_turning_right_moves_the_front_to_the_right() -> None:
    front = make_rotation(yaw_deg=30) @ np.array([0, 0, 1])
    down = make_rotation(pitch_deg=30) @ np.array([0, 0, 1])
    assert front == pytest.approx([0.5, 0, np.sqrt(0.75)], abs=1e-6)
    assert down == pytest.approx([0, 0.5, np.sqrt(0.75)], abs=1e-6)


def test_a_folder_in_use_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(OutputExistsError, match="not empty"):
        draw_study(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_an_empty_folder_is_filled_and_progress_told(tmp_path: Path) -> None:
    folder = tmp_path / "study"
    folder.mkdir()
    told: list[tuple[int, int]] = []
    draw_study(
        folder,
        subjects=1,
        clips_per_subject=2,
        seconds=0.1,
        size=(64, 64),
        progress=lambda done, total: told.append((done, total)),
    )
    assert told == [(1, 2), (2, 2)]
    assert (folder / "videos.csv").is_file()


def test_a_broken_off_study_leaves_nothing(tmp_path: Path) -> None:
    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        draw_study(tmp_path / "study", seconds=0.1, size=(64, 64), progress=stop)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ({"subjects": 0}, "at least 1 subject, not 0"),
        ({"clips_per_subject": 1}, "at least 2 clips"),
        ({"seconds": 0.0}, "at least 1 frame"),
        ({"size": (481, 360)}, r"even and at least 64 x 64 pixels, not \(481, 360\)"),
    ],
)
def test_impossible_numbers_are_named(tmp_path: Path, numbers: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        draw_study(tmp_path / "study", **numbers)
