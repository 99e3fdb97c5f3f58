import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

import canemo
from canemo.config import load_config, read_config
from canemo.errors import ConfigError, ModelError, NoFacesError, StudyError
from canemo.learn.fold_files import read_folds
from canemo.learn.saved_model import read_model
from canemo.parallel import silent
from canemo.pipeline.explain_inputs import (
    OTHER,
    find_faces,
    is_run,
    load_explained_model,
    load_explained_run,
)
from canemo.study.load import load_study
from explained_runs import (
    CLIPS,
    DOGS,
    EXACT,
    FRAMES,
    LABELS,
    READS_CLS,
    change_json,
    copy_run,
    write_landmarks,
)

pytestmark = pytest.mark.usefixtures("painted_detector", "undrawn")

NAMES = [f"dog{dog}" for dog in range(DOGS)]


def load(run, **changes):
    settings = {
        "per_clip": 1,
        "label": None,
        "regions": "bands",
        "landmarks": None,
        "with_controls": False,
        "progress": silent,
        **changes,
    }
    return load_explained_run(run, **settings)


@pytest.fixture(scope="module")
def run(explainable_study):
    return explainable_study / "runs" / EXACT


# -- runs -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("per_clip", [1, 2, 99])
def test_each_clip_gives_as_many_crops_as_asked_or_as_it_has(run, per_clip):
    found = load(run, per_clip=per_clip)
    counts = found.rows.groupby("video_id").size()
    assert len(counts) == DOGS * CLIPS
    assert set(counts) == {min(per_clip, FRAMES)}
    if per_clip == 1:
        assert set(found.rows["frame_index"]) == {1}  # the middle of three


def test_crops_are_those_of_the_rows(run):
    found = load(run, per_clip=3)
    images = found.read(found.rows)
    painted = [50 + 5 * int(dog[-1]) for dog in found.rows["subject_id"]]
    np.testing.assert_allclose([image.shape[0] for image in images], painted, atol=3)
    with_chin = [image[-image.shape[0] // 3, image.shape[1] // 2].min() > 200 for image in images]
    assert with_chin == (found.rows["label"] == "anticipation").tolist()
    sides = (found.rows["crop_x1"] - found.rows["crop_x0"]).tolist()
    assert sides == [image.shape[1] for image in images]


def test_no_dog_is_explained_by_a_probe_that_has_seen_it(run):
    found = load(run)
    assert sorted(found.decisions) == NAMES
    features = pd.read_parquet(run / "features.parquet")
    vectors = np.stack(features["mean"].to_numpy()).astype(float)
    for dog, decision in found.decisions.items():
        others = vectors[(features["subject_id"] != dog).to_numpy()]
        np.testing.assert_allclose(decision.probe.mean, others.mean(axis=0), atol=1e-4)


def test_labels_are_the_positive_one_and_the_other_unless_another_is_asked_for(run):
    assert load(run).labels == ("frustration", "anticipation")
    turned = load(run, label="frustration")
    assert turned.labels == ("anticipation", "frustration")
    here = load(run).decisions["dog0"]
    there = turned.decisions["dog0"]
    np.testing.assert_array_equal(there.direction, -here.direction)


def test_probes_of_shuffled_labels_are_learned_only_where_they_are_wanted(run):
    assert load(run).shuffled == {}
    found = load(run, with_controls=True)
    assert sorted(found.shuffled) == NAMES
    pairs = [(decision, found.decisions[dog]) for dog, decision in found.shuffled.items()]
    for decision, own in pairs:
        assert decision.pooling == own.pooling
        assert decision.probe.penalty == own.probe.penalty
    others = [not np.allclose(decision.direction, own.direction) for decision, own in pairs]
    assert np.mean(others) > 0.5  # of few clips an order can leave all labels where they were


def test_crops_are_gone_through_probe_by_probe_in_order_of_their_dogs(run, monkeypatch):
    found = load(run, per_clip=3)
    parts = [rows["subject_id"].unique().tolist() for rows in found.iter_parts()]
    assert parts == [[dog] for dog in NAMES]
    monkeypatch.setattr("canemo.explain.inquiry.CROPS_AT_ONCE", 4)
    parts = list(found.iter_parts())
    assert [len(rows) for rows in parts] == [4, 2] * DOGS
    pd.testing.assert_frame_equal(pd.concat(parts), found.rows)


def test_places_tell_the_crops_of_runs_apart(run):
    found = load(run)
    assert found.places == [(f"s{dog}c{clip}", 1) for dog in range(DOGS) for clip in range(CLIPS)]


def test_more_than_two_labels_are_one_against_all_others(explainable_study, tmp_path):
    [run] = copy_run(explainable_study, tmp_path, EXACT)
    third = {"s0c0", "s1c1", "s2c0", "s3c1"}
    for path in (run / "videos.parquet", run / "features.parquet"):
        table = pq.read_table(path)
        place = table.column_names.index("label")
        names = table.select(["video_id", "label"]).to_pylist()
        labels = ["rest" if row["video_id"] in third else row["label"] for row in names]
        pq.write_table(table.set_column(place, "label", [labels]), path)
    table = (run.parent.parent / "videos.csv").read_text(encoding="utf-8").splitlines()
    changed = [
        line.rsplit(",", 1)[0] + ",rest" if line.split(",")[0] in third else line for line in table
    ]
    (run.parent.parent / "videos.csv").write_text("\n".join(changed) + "\n", encoding="utf-8")
    found = load(run)
    assert found.labels == (OTHER, "anticipation")
    assert set(found.rows["label"]) == {OTHER, "anticipation"}


def test_run_given_as_the_folder_one_stands_in_has_its_name(run, monkeypatch):
    monkeypatch.chdir(run)
    assert load(Path()).name == EXACT


def test_unknown_label_is_named_with_those_there_are(run):
    with pytest.raises(ConfigError, match=r"label 'joy': the labels are anticipation, frustration"):
        load(run, label="joy")


def test_run_of_a_model_of_whole_clips_cannot_be_explained(explainable_study, tmp_path):
    [run] = copy_run(explainable_study, tmp_path, EXACT)
    state = {"out.weight": np.zeros((2, 4), np.float32), "out.bias": np.zeros(2, np.float32)}
    folds = [
        replace(fold, classifier=SimpleNamespace(labels=LABELS, state=state))
        for fold in read_folds(run)
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("canemo.pipeline.explain_inputs.read_folds", lambda _: folds)
        with pytest.raises(ModelError, match=r"mean: only a linear probe on frames.*--method lda"):
            load(run)


def test_run_without_the_classifiers_of_its_folds_is_refused_before_any_video_is_read(
    explainable_study, tmp_path, painted_detector
):
    [run] = copy_run(explainable_study, tmp_path, EXACT)
    shutil.rmtree(run.parent.parent / "cache")
    (run / "folds.safetensors").unlink()
    with pytest.raises(ModelError, match=r"folds\.safetensors: .* cannot be read"):
        load(run)
    assert painted_detector.images_seen == 0


@pytest.mark.parametrize(
    ("asked", "error", "message"),
    [
        ({"label": "joy"}, ConfigError, "label 'joy'"),
        ({"regions": "study"}, StudyError, r"no landmarks\.csv"),
        ({"regions": "eyes"}, ConfigError, "regions 'eyes'"),
    ],
)
def test_what_cannot_be_explained_is_refused_before_any_video_is_read(
    explainable_study, tmp_path, painted_detector, asked, error, message
):
    [run] = copy_run(explainable_study, tmp_path, EXACT)
    shutil.rmtree(run.parent.parent / "cache")
    with pytest.raises(error, match=message):
        load(run, **asked)
    assert painted_detector.images_seen == 0


def test_dogs_of_a_probe_trained_in_epochs_are_explained_by_one_that_has_not_seen_them(
    explainable_study, tmp_path
):
    config = read_config(explainable_study / "runs" / EXACT / "config.toml")
    probe = config.probe.model_copy(update={"method": "gradient", "penalties": (1.0,)})
    gradient = config.gradient.model_copy(update={"epochs": 2, "feed": "views:1"})
    config = config.model_copy(update={"probe": probe, "gradient": gradient})
    [run] = copy_run(explainable_study, tmp_path, EXACT)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("canemo.pipeline.run.draw_examples", lambda *_, **__: None)
        run = canemo.run(run.parent.parent, config=config, name="gradient").folder
    found = load(run, with_controls=True)
    assert sorted(found.decisions) == NAMES
    assert len({id(decision) for decision in found.decisions.values()}) == DOGS
    features = pd.read_parquet(run / "features.parquet")
    told = pd.read_parquet(run / "predictions.parquet")
    told = told[told["level"] == "frame"].set_index(["video_id", "frame_index"])
    for fold in read_folds(run):
        [dog] = fold.subjects.test
        assert dog not in fold.subjects.train
        decision = found.decisions[dog]
        np.testing.assert_array_equal(decision.probe.coef, fold.classifier.coef)
        own = features[features["subject_id"] == dog]
        logits = decision.measure_logits(np.stack(own["mean"].to_numpy()).astype(np.float32))
        places = list(zip(own["video_id"], own["frame_index"], strict=True))
        expected = told.loc[places, f"probability_{decision.label}"]
        np.testing.assert_allclose(1 / (1 + np.exp(-logits)), expected, atol=1e-6)
    assert found.shuffled == {}
    assert any("no control of shuffled labels" in note for note in found.notes)


@pytest.mark.parametrize(("before", "after"), [(",dog", ",other"), (",frust", ",frusst")])
def test_study_whose_dogs_or_labels_are_no_longer_those_of_the_run_is_refused(
    explainable_study, tmp_path, before, after
):
    [run] = copy_run(explainable_study, tmp_path, EXACT)
    table = run.parent.parent / "videos.csv"
    table.write_text(table.read_text(encoding="utf-8").replace(before, after), encoding="utf-8")
    with pytest.raises(StudyError, match=r"dog or label of .*changed \(s0c.*run it again"):
        load(run)


def test_video_that_came_later_is_left_out_and_said(explainable_study, tmp_path):
    [run] = copy_run(explainable_study, tmp_path, EXACT)
    study = run.parent.parent
    table = study / "videos.csv"
    first = table.read_text(encoding="utf-8").splitlines()[1]
    content = (study / first.split(",")[1]).read_bytes()
    (study / "videos" / "later.mp4").write_bytes(content + bytes(16))  # another file
    later = ",".join(["later", "videos/later.mp4", *first.split(",")[2:]])
    table.write_text(f"{table.read_text(encoding='utf-8').rstrip()}\n{later}\n", encoding="utf-8")
    found = load(run)
    assert "later" not in set(found.rows["video_id"])
    assert any(note.startswith("1 crop(s) are left out") for note in found.notes)


def test_study_without_any_tested_dog_is_refused(explainable_study, tmp_path):
    [run] = copy_run(explainable_study, tmp_path, EXACT)
    table = run.parent.parent / "videos.csv"
    lines = table.read_text(encoding="utf-8").splitlines()
    table.write_text(
        "\n".join(line.replace("s", "z", 1) if ",dog" in line else line for line in lines),
        encoding="utf-8",
    )
    with pytest.raises(NoFacesError, match="no usable crop of any tested dog is left"):
        load(run)


def test_run_is_told_from_other_folders(run, tmp_path):
    assert is_run(run)
    assert not is_run(run / "model")
    assert not is_run(tmp_path)
    assert not is_run(shutil.copytree(run, tmp_path / "alone"))


# -- where regions are from -----------------------------------------------------------------------


@pytest.fixture
def study(explainable_study):
    return load_study(explainable_study)


def find(study, regions, landmarks=None):
    return find_faces(study, regions=regions, landmarks=landmarks, config=load_config())


def test_bands_need_neither_landmarks_nor_a_model(study):
    finder, notes = find(study, "bands")
    assert (finder.table, finder.model, notes) == (None, None, ())


def test_landmarks_are_read_from_a_file_and_what_is_wrong_with_them_is_passed_on(study, tmp_path):
    path = write_landmarks(tmp_path / "points.csv")
    table = pd.read_csv(path)
    table[table["video_id"] != "s0c0"].to_csv(path, index=False)
    finder, notes = find(study, "study", path)
    assert finder.model is None
    assert len(finder.table.points_of("s1c1", 2)) == 46
    assert any("s0c0" in note for note in notes)


def test_landmarks_of_other_frames_are_counted_or_refused(explainable_study, tmp_path):
    [run] = copy_run(explainable_study, tmp_path, EXACT)
    path = write_landmarks(run.parent.parent / "landmarks.csv")
    table = pd.read_csv(path)
    one_frame = table["frame_index"] == 0
    table[one_frame | (table["video_id"] == "s0c0")].to_csv(path, index=False)
    count = DOGS * CLIPS
    assert (
        f"{count - 1} of {count} crops have no landmarks of the study"
        in load(run, regions="study").notes
    )
    table[one_frame].to_csv(path, index=False)
    with pytest.raises(StudyError, match=f"of {count} frames that are looked at, 0 have landmarks"):
        load(run, regions="study")
    assert (
        f"{count} of {count} crops have no landmarks of the study"
        in load(run, regions="auto").notes
    )


def test_unknown_source_of_regions_names_those_there_are(study):
    with pytest.raises(ConfigError, match=r"regions 'eyes': there are auto, study, model, bands"):
        find(study, "eyes")


def test_landmarks_of_the_study_must_be_there_where_they_are_asked_for(study, tmp_path):
    with pytest.raises(StudyError, match=r"no landmarks\.csv.*--regions model"):
        find(study, "study")
    path = write_landmarks(tmp_path / "points.csv", prefix="other_")
    with pytest.raises(StudyError, match="other_s0c0"):
        find(study, "auto", path)


# -- saved models ---------------------------------------------------------------------------------


def load_model_of(run, crops, tmp_path, **changes):
    settings = {
        "per_clip": 1,
        "label": None,
        "regions": "bands",
        "weights": None,
        "cache_dir": tmp_path / "cache",
        "progress": silent,
        **changes,
    }
    return load_explained_model(run / "model", crops, **settings)


def test_saved_model_asks_its_own_probe_about_each_file(explainable_study, run, tmp_path):
    found = load_model_of(run, explainable_study / "videos", tmp_path, per_clip=2)
    assert found.name == "model"
    assert not found.is_labelled
    assert found.shuffled == {}
    assert len(found.rows) == 2 * DOGS * CLIPS
    assert found.rows["subject_id"].tolist() == found.rows["video_id"].tolist()
    assert len({id(decision) for decision in found.decisions.values()}) == 1
    assert [len(rows) for rows in found.iter_parts()] == [2 * DOGS * CLIPS]  # one probe for all
    assert found.evaluation == read_model(run / "model").evaluation
    assert "the pictures have no condition" in found.notes[0]


def test_saved_model_names_its_labels(explainable_study, run, tmp_path):
    with pytest.raises(ConfigError, match=f"label 'joy': the labels are {', '.join(LABELS)}"):
        load_model_of(run, explainable_study / "videos", tmp_path, label="joy")


def test_saved_model_of_whole_clips_cannot_be_explained(run, tmp_path, monkeypatch):
    saved = SimpleNamespace(classifier=object(), config=None)
    monkeypatch.setattr(
        "canemo.pipeline.explain_inputs.load_model", lambda *_, **__: SimpleNamespace(saved=saved)
    )
    with pytest.raises(ModelError, match=r"model: only a linear probe on frames"):
        load_model_of(run, tmp_path, tmp_path)


def test_pooling_of_each_run_is_its_own(explainable_study):
    for name in (EXACT, READS_CLS):
        found = load(explainable_study / "runs" / name)
        assert {each.pooling for each in found.decisions.values()} == {name}


def test_positive_label_of_the_run_counts(explainable_study, tmp_path):
    [run] = copy_run(explainable_study, tmp_path, EXACT)
    change_json(
        run / "metrics.json", lambda found: found["protocol"].update(positive_label="frustration")
    )
    assert load(run).labels == ("anticipation", "frustration")
