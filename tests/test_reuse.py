import json
import sys

import numpy as np
import pandas as pd
import pytest
from PIL import Image as PilImage

import canemo
from canemo import cli
from canemo.backbones import load_backbone
from canemo.config import CropConfig, DetectConfig, load_config
from canemo.crops import extract_crops
from canemo.detect.registry import load_detector
from canemo.feature_files import extract_features, load_pooled
from canemo.learners import make_learner
from canemo.learning import Material
from canemo.records import Video
from canemo.reuse import (
    MAX_AGE_S,
    EmbeddingChooser,
    compute_thumbnail,
    find_successors,
    find_threshold,
    measure_change,
    without_reuse,
)
from canemo.video import Sampling
from painted import write_painted_study


def grey(value=100, *, height=96, width=96):
    return np.full((height, width, 3), value, np.uint8)


def changed(image, rows, columns, value):
    image = image.copy()
    image[rows, columns] = value
    return image


def choose_all(images, *, threshold, fps=25.0, gaps=(), max_age_s=10.0):
    """Return the frame whose embedding each image has; `gaps` are frames that follow on none."""
    chooser = EmbeddingChooser(threshold, max_age_s=max_age_s)
    return [
        chooser.choose(image, frame_index=n, time_s=n / fps, follows=n > 0 and n not in gaps)
        for n, image in enumerate(images)
    ]


def test_thumbnail_holds_means_of_fields_whatever_the_shape():
    image = grey(0, height=64, width=128)
    image[:2, :2] = (40, 80, 120)
    thumbnail = compute_thumbnail(image)
    assert thumbnail.shape == (32, 32, 3)
    np.testing.assert_array_equal(thumbnail[0, 0], [20, 40, 60])  # a field is 2 x 4 pixels
    assert thumbnail.sum() == 120
    assert image[0, 0].tolist() == [40, 80, 120]


def test_change_of_all_pixels_is_the_step_and_has_no_direction():
    dark, light = compute_thumbnail(grey(100)), compute_thumbnail(grey(107))
    assert measure_change(dark, light) == pytest.approx(7)
    assert measure_change(light, dark) == pytest.approx(7)
    assert measure_change(dark, dark) == 0


def test_a_change_in_one_block_counts_as_much_as_one_all_over():
    before = grey(100)
    mouth = changed(before, slice(72, 96), slice(24, 48), 120)  # one of 4 x 4 blocks
    everywhere = grey(120)
    assert measure_change(*map(compute_thumbnail, (before, mouth))) == pytest.approx(20)
    assert measure_change(*map(compute_thumbnail, (before, everywhere))) == pytest.approx(20)
    half = changed(before, slice(84, 96), slice(24, 48), 120)
    assert measure_change(*map(compute_thumbnail, (before, half))) == pytest.approx(20 / 2**0.5)


def test_colour_alone_counts():
    red = grey(100)
    red[..., 0], red[..., 2] = 130, 70  # about as light as before
    change = measure_change(compute_thumbnail(grey(100)), compute_thumbnail(red))
    assert change == pytest.approx(30 * (2 / 3) ** 0.5)


def test_crops_that_do_not_change_are_embedded_once():
    assert choose_all([grey()] * 20, threshold=1) == [0] * 20


def test_noise_under_the_threshold_is_no_change():
    rng = np.random.default_rng(0)
    noisy = [
        np.clip(100 + rng.normal(0, 8, (96, 96, 3)), 0, 255).astype(np.uint8) for _ in range(9)
    ]
    assert choose_all(noisy, threshold=6) == [0] * 9


def test_slow_drift_is_measured_from_the_crop_last_embedded():
    drift = [grey(100 + n) for n in range(13)]  # one step a frame
    assert choose_all(drift, threshold=4.5) == [0] * 5 + [5] * 5 + [10] * 3
    assert choose_all(drift, threshold=0.5) == list(range(13))


def test_a_mouth_that_opens_is_seen_though_the_whole_hardly_changes():
    closed = grey(100)
    opened = changed(closed, slice(76, 92), slice(36, 60), 40)  # 4 % of the crop
    assert np.sqrt(((opened - 100.0) ** 2).mean()) < 12.5
    images = [closed] * 3 + [opened] * 3 + [closed] * 2
    assert choose_all(images, threshold=12.5) == [0, 0, 0, 3, 3, 3, 6, 6]


def test_the_change_equal_to_the_threshold_is_carried():
    assert choose_all([grey(100), grey(104)], threshold=4) == [0, 0]


def test_an_embedding_gets_no_older_than_the_bound():
    still = [grey()] * 16
    assert choose_all(still, threshold=1, max_age_s=MAX_AGE_S) == [0] * 7 + [7] * 7 + [14] * 2
    assert choose_all(still[:5], threshold=1, fps=5, max_age_s=MAX_AGE_S) == [0, 0, 2, 2, 4]
    assert choose_all(still[:3], threshold=1, fps=2, max_age_s=MAX_AGE_S) == [0, 1, 2]
    assert choose_all(still[:4], threshold=1, max_age_s=0.05) == [0, 0, 2, 2]


def test_after_a_gap_a_crop_is_embedded_anew():
    assert choose_all([grey()] * 5, threshold=1, gaps=[3]) == [0, 0, 0, 3, 3]


def test_successors_follow_on_a_frame_in_use():
    ledger = pd.DataFrame(
        {
            "frame_index": pd.array([0, 5, 10, 15, 20, 25, None], dtype="Int64"),
            "fate": ["used", "used", "no_face", "used", "used", "decode_error", "decode_error"],
        }
    )
    assert find_successors(ledger) == {5, 20}
    assert find_successors(ledger[:0]) == frozenset()
    assert find_successors(ledger[2:4]) == frozenset()


def test_threshold_is_none_unless_asked_for_and_with_the_method_gradient():
    assert find_threshold(load_config()) is None
    assert find_threshold(load_config(preset="paper")) is None
    on = {"backbone": {"reuse": True, "reuse_threshold": 7}}
    asked = load_config(overrides=on)
    assert find_threshold(asked) == 7
    assert find_threshold(without_reuse(asked)) is None
    assert without_reuse(asked).backbone.reuse_threshold == 7
    assert find_threshold(load_config(overrides={**on, "probe": {"method": "gradient"}})) is None


# -- from the command line to the tables ----------------------------------------------------------

OVERRIDES = {
    "backbone": {"name": "efficientnet_lite0", "reuse": True, "reuse_threshold": 200},
    "evaluate": {"resamples": 200, "permutations": 100},
    "probe": {"penalties": (1.0,), "inner_folds": 2},
}


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return write_painted_study(tmp_path_factory.mktemp("reuse") / "study", subjects=3, clips=2)


def carried(frames):
    used = frames[frames["fate"] == "used"]
    return (used["embedded_frame"] != used["frame_index"]).sum()


def test_run_shows_which_frames_were_carried_and_its_model_carries_likewise(
    study, painted_detector
):
    result = canemo.run(study, config=load_config(study, overrides=OVERRIDES))
    metrics = result.metrics
    ledger = pd.read_parquet(result.folder / "frames.parquet")
    assert metrics["study"]["crops"] == 30
    assert metrics["study"]["carried"] == carried(ledger) == 12  # two of five
    embed = metrics["cost"]["embed"]
    assert (embed["items"], embed["cached"], embed["carried"]) == (18, 0, 12)
    by_video = ledger.sort_values("frame_index").groupby("video_id")["embedded_frame"]
    assert by_video.apply(list).tolist() == [[0, 0, 2, 2, 4]] * 6
    assert metrics["protocol"]["reuse"] == {"threshold": 200, "max_age_s": MAX_AGE_S}
    assert "hardly changed since the crop last embedded" in result.report.read_text()
    assert canemo.verify_run(result.folder)["agrees"]

    found = canemo.load_model(result.model).predict(study / "videos")
    frames = pd.concat(one.frames for one in found)
    assert carried(frames) == 12
    answers = frames.groupby(["video_id", "embedded_frame"])["probability_anticipation"].nunique()
    assert answers.eq(1).all()
    assert len(answers) == 18


def test_options_switch_it_on_and_off_and_off_is_the_default(
    study, painted_detector, monkeypatch, capsys
):
    common = ["--backbone", "efficientnet_lite0", "--json"]
    common += ["--set", "backbone.reuse_threshold=200"]
    for name in ("resamples", "permutations"):
        common += ["--set", f"evaluate.{name}=100"]
    shown = []
    for options in ([], ["--reuse"], ["--no-reuse"], ["--reuse", "--set", "probe.method=gradient"]):
        monkeypatch.setattr(sys, "argv", ["canemo", "evaluate", str(study), *common, *options])
        with pytest.raises(SystemExit):
            cli.main()
        shown.append(json.loads(capsys.readouterr().out))
    assert [metrics["study"]["carried"] for metrics in shown] == [0, 12, 0, 0]
    assert [metrics["protocol"]["reuse"] is None for metrics in shown] == [True, False, True, True]
    assert "no part in the method 'gradient'" in " ".join(shown[3]["warnings"])


@pytest.fixture(scope="module")
def mouth_probe(shared_data, backbone):
    """A probe for open mouths, trained on photographs of known dogs."""
    labels = pd.read_csv(shared_data / "identity_mouth.csv")
    labels = labels[labels["mouth"].isin(["open", "closed"])].iloc[::4]
    boxes = json.loads((shared_data / "identity_faces.json").read_text())
    rows, vectors = [], []
    for dog, name, mouth in labels[["dog_id", "file", "mouth"]].itertuples(index=False):
        if name not in boxes:
            continue
        x0, y0, x1, y1 = (max(0, round(edge)) for edge in boxes[name])
        with PilImage.open(shared_data / "identity" / name) as photo:
            image = np.asarray(photo.convert("RGB"))[y0:y1, x0:x1]
        vectors.append(backbone.embed([image]).cls.numpy())
        rows.append((name, dog, mouth, 0, 0.0))
    columns = ["video_id", "subject_id", "label", "frame_index", "time_s"]
    origin = pd.DataFrame(rows, columns=columns)
    material = Material(np.concatenate(vectors), origin, ("closed", "open"))
    learner = make_learner((material,), config=load_config(), views=None)
    return learner.fit(np.ones(len(origin), dtype=bool), seed=0).classifier


@pytest.fixture(scope="module")
def backbone():
    return load_backbone("efficientnet_lite0")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["DrDoogie_dog", "ishan_dog"])
def test_clips_of_real_dogs_are_answered_as_if_every_frame_were_embedded(
    shared_data, backbone, mouth_probe, tmp_path, name
):
    path = shared_data / "videos" / "face_visible" / f"{name}.mp4"
    crops = extract_crops(
        Video(name, path, "", "", end_s=4.0),
        load_detector("dog_head"),
        sampling=Sampling(every_nth=1),
        detect=DetectConfig(),
        crop=CropConfig(),
        cache_dir=tmp_path,
    )
    answers = []
    for threshold in (None, load_config().backbone.reuse_threshold):
        found = extract_features(
            crops, backbone, batch_size=16, cache_dir=tmp_path, reuse_threshold=threshold
        )
        origin, pooled = load_pooled([(crops, found.path)], "cls")
        material = Material(pooled, origin, mouth_probe.labels)
        _, of_clip = material.predict(mouth_probe, np.ones(len(origin), dtype=bool))
        answers.append(of_clip[0, 0])
    assert found.rows > 80
    assert found.embedded < 0.9 * found.rows
    assert answers[1] == pytest.approx(answers[0], abs=0.01)
    assert answers[1] != answers[0]
