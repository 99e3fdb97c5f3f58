import json
import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import canemo
from canemo.config import load_config, read_config
from canemo.errors import (
    ConfigError,
    MissingExtraError,
    ModelError,
    NoFacesError,
    OutputExistsError,
    OutputPlaceError,
    StudyError,
    WeightsError,
)
from canemo.features.poolings import expand_mixes
from canemo.learn.saved_model import read_model
from canemo.networks.engines.choice import Choice
from canemo.pipeline import doctor, run
from canemo.report.charts.canvas import new_figure
from canemo.study.load import load_study
from canemo.study.records.audit import Confounds
from canemo.study.records.folders import read_run
from canemo.video.times import Sampling
from painted import PaintedFaceDetector, leave_undrawn, put_in_place, write_painted_study
from report_fixtures import make_audit, make_evaluation

OVERRIDES = {
    "backbone": {"name": "efficientnet_lite0"},
    "evaluate": {"resamples": 200, "permutations": 100},
    "probe": {"penalties": (0.1, 1.0), "inner_folds": 2},
}


pytestmark = pytest.mark.usefixtures("painted_detector", "undrawn")


@pytest.fixture(scope="module")
def quick(small_network):
    """What suffices where the backbone is not what is looked at."""
    return {**OVERRIDES, "backbone": small_network}


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return write_painted_study(tmp_path_factory.mktemp("a study with späces") / "Hunde")


@pytest.fixture(scope="module")
def finished(study):
    with pytest.MonkeyPatch.context() as patch:
        put_in_place(patch, PaintedFaceDetector())
        return canemo.run(study, config=load_config(study, overrides=OVERRIDES))


@pytest.fixture(scope="module")
def small(study, quick):
    with pytest.MonkeyPatch.context() as patch:
        put_in_place(patch, PaintedFaceDetector())
        leave_undrawn(patch)
        return canemo.run(study, config=load_config(study, overrides=quick), name="small")


def test_run_writes_the_whole_contract(finished):
    names = {path.name for path in finished.folder.iterdir()}
    assert names == {
        "config.toml", "inputs.json", "split.json", "metrics.json", "frames.parquet",
        "predictions.parquet", "features.parquet", "videos.parquet", "hashes.json",
        "folds.safetensors", "clips.json",
        "environment.json", "figures", "report.html", "results.xlsx", "model", "predictions.csv",
    }  # fmt: skip
    assert read_run(finished.folder).metrics == finished.metrics


def test_planted_cue_is_found_on_dogs_never_seen(finished):
    assert finished.metrics.levels.video.accuracy >= 0.9


def test_clips_doubted_as_near_copies_are_those_of_the_audit(finished):
    run = read_run(finished.folder)
    doubted = {
        clip.video_id
        for clip in run.clips.clips
        if any(doubt.name == "near_copy" for doubt in clip.doubts)
    }
    pairs = run.metrics.audit.duplicates.pairs
    assert doubted == {name for pair in pairs for name in (pair.first, pair.second)}


def test_counts_add_up(finished):
    study = finished.metrics.study
    frames = pd.read_parquet(finished.folder / "frames.parquet")
    assert study.frames == len(frames) == sum(study.fates.values()) == 4 * 4 * 5
    assert study.labels == {"anticipation": 8, "frustration": 8}
    assert study.labels_by_subject["dog2"] == {"anticipation": 2, "frustration": 2}
    assert sum(map(sum, finished.metrics.levels.video.confusion.counts)) == 16
    assert finished.metrics.protocol.folds == 4
    assert len(finished.metrics.protocol.penalty_chosen) == 4


def test_numbers_of_metrics_follow_from_the_predictions(finished):
    table = pd.read_parquet(finished.folder / "predictions.parquet")
    for level in ("video", "frame"):
        rows = table[table["level"] == level]
        accuracy = (rows["predicted"] == rows["label"]).mean()
        assert getattr(finished.metrics.levels, level).accuracy == pytest.approx(accuracy)


def test_running_again_computes_nothing_twice_and_gives_the_same_numbers(
    study, small, quick, painted_detector
):
    battery = Confounds.model_validate(make_audit()["confounds"])
    battery.write(small.folder / "confounds.json")
    (small.folder / "explain").mkdir()
    (small.folder / "explain" / "index.html").write_text("maps")
    again = canemo.run(study, config=load_config(study, overrides=quick), name="small")
    assert (again.folder / "explain" / "index.html").read_text() == "maps"
    assert battery.verdict[0] in again.report.read_text(encoding="utf-8")
    assert painted_detector.images_seen == 0
    for key in ("study", "protocol", "levels", "subjects", "chance"):
        assert getattr(again.metrics, key) == getattr(small.metrics, key)


def test_other_settings_do_not_overwrite_a_run(study, small, quick):
    other = load_config(
        study,
        overrides={**quick, "evaluate": {"seed": 9, "resamples": 200, "permutations": 100}},
    )
    with pytest.raises(OutputExistsError, match="--name"):
        canemo.run(study, config=other, name="small")


def test_interrupted_run_continues_where_it_stopped(tmp_path, quick, painted_detector, monkeypatch):
    folder = write_painted_study(tmp_path / "study", subjects=2)
    config = load_config(folder, overrides=quick)
    real, calls = painted_detector.detect, []

    def interrupted(images):
        calls.append(len(images))
        if len(calls) == 4:
            raise KeyboardInterrupt
        return real(images)

    monkeypatch.setattr(painted_detector, "detect", interrupted)
    with pytest.raises(KeyboardInterrupt):
        canemo.run(folder, config=config, name="stopped")
    monkeypatch.setattr(painted_detector, "detect", real)
    seen = painted_detector.images_seen
    assert not (folder / "runs" / "stopped" / "metrics.json").exists()
    canemo.run(folder, config=config, name="stopped")
    assert painted_detector.images_seen - seen == 2 * 4 * 5 - seen


def test_model_answers_on_a_training_clip_as_in_the_run(study, finished):
    model = canemo.load_model(finished.folder)
    table = pd.read_parquet(finished.model / "training_predictions.parquet")
    expected = table[table["level"] == "video"].set_index("video_id")["probability_anticipation"]
    path = study / "videos" / "dog1 clip2.mp4"
    result = model.predict_video(path)
    assert result.summary["probability_anticipation"] == pytest.approx(expected["s1c2"], abs=1e-5)
    frames = table[(table["level"] == "frame") & (table["video_id"] == "s1c2")]
    np.testing.assert_allclose(
        result.frames["probability_anticipation"], frames["probability_anticipation"], atol=1e-5
    )
    assert "learned from this very film" in result.summary["message"]


def test_predict_writes_tables_and_pictures_and_goes_past_bad_files(study, finished, tmp_path):
    bad = tmp_path / "bad.mp4"
    bad.write_text("not a video")
    out = tmp_path / "out"
    table = canemo.predict_videos(
        canemo.load_model(finished.model), [study / "videos", bad], out, video=True
    )
    assert table["status"].tolist() == ["ok"] * 16 + ["failed"]
    assert "bad.mp4" in table["message"].iloc[-1]
    assert table["predicted"].notna().sum() == 16
    right = table["path"].str.contains("clip[02]") == (table["predicted"] == "anticipation")
    assert right[:16].all()
    assert len(list((out / "timelines").glob("*.png"))) == 16
    frames = pd.read_csv(out / "predicted_frames.csv")
    pd.testing.assert_series_equal(
        frames["probability_anticipation"],
        pd.read_parquet(out / "predicted_frames.parquet")["probability_anticipation"],
    )
    assert not (out / ".canemo-cache").exists()
    info = canemo.probe_video(out / "annotated" / "dog0 clip0.mp4")
    assert (info.frames, info.width, info.height) == (5, 160, 120)
    with pytest.raises(OutputExistsError, match="--force"):
        canemo.predict_videos(canemo.load_model(finished.model), [study / "videos"], out)


def test_annotated_copy_keeps_times_and_draws_the_box(study, finished, tmp_path):
    source = study / "videos" / "dog3 clip0.mp4"
    canemo.predict_videos(canemo.load_model(finished.model), [source], tmp_path, video=True)
    every = Sampling(every_nth=1)
    before = list(canemo.iter_frames(source, sampling=every))
    after = list(canemo.iter_frames(tmp_path / "annotated" / source.name, sampling=every))
    assert [f.time_s for f in after] == pytest.approx([f.time_s for f in before], abs=1e-3)
    copy = canemo.probe_video(tmp_path / "annotated" / source.name)
    assert copy.duration_s == pytest.approx(canemo.probe_video(source).duration_s, abs=0.02)
    row = pd.read_csv(tmp_path / "predicted_frames.csv").iloc[2]
    edge = after[2].image_rgb[int(row.y0 + 20), int(row.x0)].astype(int)
    assert edge[0] > 180
    assert edge[1] > 130  # the yellow of the box, where the face was red


def test_model_refuses_another_detector(finished, painted_detector):
    painted_detector.fingerprint = "painted-2"
    with pytest.raises(ModelError, match="detector differ"):
        canemo.load_model(finished.folder)


@pytest.mark.parametrize(
    ("points", "problem"),
    [
        ("", "landmarks that came with its study"),
        ("earlier", "another landmark model than the one"),
    ],
)
def test_model_that_reads_points_refuses_what_finds_none_or_others(
    finished, monkeypatch, points, problem
):
    saved = replace(read_model(finished.folder), points_sha256=points)
    monkeypatch.setattr("canemo.pipeline.model.read_model", lambda _: saved)
    with pytest.raises(ModelError, match=problem):
        canemo.load_model(finished.folder)


def test_no_model_says_what_to_give(tmp_path):
    with pytest.raises(
        ModelError,
        match=r"not a saved model, model\.json is missing; give the folder of a",
    ):
        canemo.load_model(tmp_path)


def test_study_without_any_face_says_what_to_do(tmp_path, quick):
    folder = write_painted_study(tmp_path / "study", subjects=2, clips=2, faces=False)
    with pytest.raises(NoFacesError, match=r"20 frames no_face.*detector trained on frames"):
        canemo.run(folder, config=load_config(folder, overrides=quick))


def test_unreadable_clip_is_a_row_and_a_warning_not_the_end(tmp_path, quick):
    folder = write_painted_study(tmp_path / "study", subjects=3)
    (folder / "videos" / "dog1 clip1.mp4").write_bytes(b"")
    result = canemo.run(folder, config=load_config(folder, overrides=quick), name="run")
    assert any("dog1 clip1.mp4" in line for line in result.metrics.warnings)
    assert result.metrics.study.fates["decode_error"] == 1
    assert result.metrics.levels.video.n == 11
    assert "dog1 clip1.mp4" in result.report.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda t: t.replace("frustration", "anticipation"), StudyError, "at least two labels"),
        (lambda t: t.replace("dog1,", "dog0,"), canemo.CanemoError, "at least 2"),
    ],
)
def test_study_that_allows_no_test_is_refused_before_any_work(
    tmp_path, painted_detector, change, error, message
):
    folder = write_painted_study(tmp_path / "study", subjects=2)
    table = folder / "videos.csv"
    table.write_text(change(table.read_text()))
    with pytest.raises(error, match=message):
        canemo.run(folder, config=load_config(folder, overrides=OVERRIDES))
    assert painted_detector.images_seen == 0


def test_unknown_positive_label_and_pooling_are_named_before_any_work(study):
    for section, message in (
        ({"study": {"positive_label": "joy"}}, "anticipation, frustration"),
        ({"probe": {"pooling": "median"}}, "cls, mean"),
    ):
        config = load_config(study, overrides={**OVERRIDES, **section})
        with pytest.raises(ConfigError, match=message):
            canemo.run(study, config=config, name="other")


def test_evaluate_gives_the_numbers_of_a_run_without_writing_one(study, small, quick):
    before = sorted((study / "runs").iterdir())
    metrics = canemo.evaluate_study(study, config=load_config(study, overrides=quick))
    assert metrics.levels == small.metrics.levels
    assert sorted((study / "runs").iterdir()) == before


def test_failed_run_leaves_an_earlier_one_as_it_was(study, small, quick, monkeypatch):
    runs = sorted((study / "runs").iterdir())
    before = {p: p.read_bytes() for p in small.folder.rglob("*") if p.is_file()}

    def fail(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr("canemo.pipeline.run.write_report", fail)
    other = load_config(
        study,
        overrides={**quick, "evaluate": {"seed": 9, "resamples": 200, "permutations": 100}},
    )
    with pytest.raises(KeyboardInterrupt):
        canemo.run(study, config=other, name="small", force=True)
    assert {p: p.read_bytes() for p in small.folder.rglob("*") if p.is_file()} == before
    assert sorted((study / "runs").iterdir()) == runs


def test_changed_tables_do_not_replace_a_run_unasked(tmp_path, quick, caplog):
    folder = write_painted_study(tmp_path / "study", subjects=3, clips=2)
    config = load_config(folder, overrides=quick)
    canemo.run(folder, config=config, name="run")
    table = (folder / "videos.csv").read_text()
    (folder / "videos.csv").write_text("\n".join(table.splitlines()[:-1]) + "\n")
    battery = Confounds.model_validate(make_audit()["confounds"])
    battery.write(folder / "runs" / "run" / "confounds.json")
    with pytest.raises(OutputExistsError, match="made from other tables"):
        canemo.run(folder, config=config, name="run")
    again = canemo.run(folder, config=config, name="run", force=True)
    assert not (again.folder / "confounds.json").exists()
    assert "is dropped (confounds.json); make it again with `canemo audit" in caplog.text
    assert again.metrics.study.videos == 5


def test_same_footage_under_two_dogs_is_refused(tmp_path, quick):
    folder = write_painted_study(tmp_path / "study", subjects=2)
    twin = folder / "videos" / "twin.mp4"
    twin.write_bytes((folder / "videos" / "dog0 clip1.mp4").read_bytes())
    with (folder / "videos.csv").open("a") as table:
        table.write("twin,videos/twin.mp4,other dog,frustration\n")
    with pytest.raises(StudyError, match=r"'s0c1' .*'twin' .*same footage"):
        canemo.run(folder, config=load_config(folder, overrides=quick))


def test_label_without_any_face_is_named_once(tmp_path, quick):
    folder = write_painted_study(tmp_path / "study", subjects=2)
    blank = write_painted_study(tmp_path / "blank", subjects=1, clips=1, faces=False)
    (folder / "videos" / "blank.mp4").write_bytes(
        (blank / "videos" / "dog0 clip0.mp4").read_bytes()
    )
    with (folder / "videos.csv").open("a") as table:
        table.write("blank,videos/blank.mp4,dog0,rest\n")
    with pytest.raises(NoFacesError, match=r"label 'rest' \(5 frames no_face\)"):
        canemo.run(folder, config=load_config(folder, overrides=quick))


def test_cost_tells_computed_from_cached(tmp_path, quick):
    folder = write_painted_study(tmp_path / "study", subjects=2, clips=2)
    config = load_config(folder, overrides=quick)
    first, again = (canemo.evaluate_study(folder, config=config).cost for _ in range(2))
    assert (first["crop"].items, first["embed"].items) == (4, 20)
    assert (again["crop"].items, again["crop"].cached) == (0, 4)
    assert (again["embed"].items, again["embed"].cached) == (0, 20)


def test_three_labels_with_odd_names_run_to_the_end(tmp_path, quick):
    folder = write_painted_study(tmp_path / "study", subjects=3, clips=3)
    table = (folder / "videos.csv").read_text()
    odd = "rest/`b` é"
    for s in range(3):
        table = table.replace(
            f"dog{s} clip2.mp4,dog{s},anticipation", f"dog{s} clip2.mp4,dog{s},{odd}"
        )
    (folder / "videos.csv").write_text(table.replace(",dog1,", ",007,"), encoding="utf-8")
    result = canemo.run(folder, config=load_config(folder, overrides=quick), name="odd")
    assert set(result.metrics.study.labels) == {"anticipation", "frustration", odd}
    assert [s.subject_id for s in result.metrics.subjects] == ["007", "dog0", "dog2"]
    predicted = canemo.load_model(result.model).predict(str(folder / "videos"))
    assert sum(
        predicted[0].summary[f"probability_{k}"] for k in result.metrics.study.labels
    ) == pytest.approx(1)


@pytest.mark.parametrize(
    "pooling", ["cls", *(pytest.param(name, marks=pytest.mark.slow) for name in ("grid", "lower"))]
)
def test_predict_takes_clips_without_a_face(tmp_path, study, quick, pooling):
    overrides = {**quick, "probe": {"pooling": pooling, "penalties": (1.0,)}}
    result = canemo.run(study, config=load_config(study, overrides=overrides), name=pooling)
    blank = write_painted_study(tmp_path / "blank", subjects=1, clips=1, faces=False)
    paths = [blank / "videos", study / "videos" / "dog0 clip0.mp4"]
    table = canemo.predict_videos(
        canemo.load_model(result.model), paths, tmp_path / "out", video=True
    )
    assert table["status"].tolist() == ["no_face", "ok"]
    assert ["learned from" in message for message in table["message"]] == [False, True]
    assert np.isnan(table["probability_anticipation"][0])
    assert table["predicted"].isna().tolist() == [True, False]


def test_predict_into_a_study_leaves_its_tables_alone(study, finished):
    before = (study / "videos.csv").read_bytes()
    video = study / "videos" / "dog0 clip0.mp4"
    canemo.predict_videos(canemo.load_model(finished.model), video, study, force=True)
    assert (study / "videos.csv").read_bytes() == before
    assert (study / "cache" / "crops").is_dir()


def test_only_bad_files_give_tables_of_the_same_form(finished, tmp_path):
    bad = tmp_path / "bad.mp4"
    bad.write_text("not a video")
    model = canemo.load_model(finished.model)
    canemo.predict_videos(model, bad, tmp_path / "out")
    table = pd.read_parquet(tmp_path / "out" / "predicted_videos.parquet")
    assert table["probability_anticipation"].dtype == float
    frames = pd.read_parquet(tmp_path / "out" / "predicted_frames.parquet")
    assert frames["fate"].tolist() == ["decode_error"]
    assert "probability_frustration" in frames


def test_demo_does_not_take_over_a_study(study):
    with pytest.raises(OutputExistsError):
        canemo.demo(study)


def test_crop_draws_a_contact_sheet(study, tmp_path):
    crops = canemo.crop_study(study, sheet=tmp_path / "sheet.png")
    assert (crops.ledger["fate"] == "used").all()
    assert (tmp_path / "sheet.png").read_bytes().startswith(b"\x89PNG")


def test_report_and_tables_can_be_made_again_the_same(small, tmp_path):
    book = small.folder / "results.xlsx"
    before = small.report.read_bytes(), book.read_bytes()
    assert canemo.report_run(small.folder) == small.report
    assert (small.report.read_bytes(), book.read_bytes()) == before
    canemo.report_run(small.folder, tables=tmp_path / "tables.tex")
    assert r"\toprule" in (tmp_path / "tables.tex").read_text(encoding="utf-8")


def test_run_has_pictures_of_what_is_looked_at_and_of_what_decides(finished):
    figures = finished.folder / "figures"
    assert {path.name for path in figures.iterdir()} == {"eigencam.png", "decision.png"}
    text = finished.report.read_text(encoding="utf-8")
    first, second = "What speaks for and against", ": where the backbone is most active"
    assert text.index(first) < text.index(second)


def test_saved_split_of_one_run_serves_another(study, small, quick):
    split = f"file:{small.folder / 'split.json'}"
    config = load_config(
        study,
        overrides={
            **quick,
            "evaluate": {"split": split, "resamples": 200, "permutations": 100},
        },
    )
    metrics = canemo.evaluate_study(study, config=config)
    assert metrics.levels == small.metrics.levels


def test_features_are_those_that_were_evaluated(study, finished):
    features = canemo.embed_study(study, config=load_config(study, overrides=OVERRIDES))
    assert len(features) == finished.metrics.study.crops
    assert np.isfinite(features.cls).all()


def test_progress_reaches_the_end_of_every_stage(study, quick):
    told = {}
    run.evaluate_study(
        study,
        config=load_config(study, overrides=quick),
        progress=lambda stage, done, total: told.update({stage: (done, total)}),
    )
    assert told == {"crop": (16, 16), "embed": (16, 16), "evaluate": (4, 4), "permute": (4, 4)}


# -- whether to trust it ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def audited(finished, study):
    with pytest.MonkeyPatch.context() as patch:
        put_in_place(patch, PaintedFaceDetector())
        before = {p.name: p.read_bytes() for p in finished.folder.iterdir() if p.is_file()}
        return before, canemo.audit_study(finished.folder, confounds=True)


@pytest.mark.slow
def test_audit_of_a_run_finds_what_the_run_found_and_keeps_the_battery(finished, audited):
    before, found = audited
    made_again = ("report.html", "results.xlsx", "predictions.csv")
    assert found == finished.metrics.audit.with_confounds(found.confounds)
    assert read_run(finished.folder).metrics.audit == found
    for name, content in before.items():
        assert name in made_again or (finished.folder / name).read_bytes() == content, name


@pytest.mark.slow
def test_battery_tries_every_part_on_the_same_clips(audited):
    battery = audited[1].confounds
    assert [row.name for row in battery.rows] == [
        "face", "background", "whole_frame", "without_ears", "without_eyes", "without_muzzle",
        "geometry", "light",
    ]  # fmt: skip
    assert {row.clips for row in battery.rows} == {16}
    assert battery.frames_per_clip == 5
    by_name = {row.name: row for row in battery.rows}
    assert by_name["face"].balanced_accuracy >= 0.9
    assert by_name["face"].title == "the face crop"
    # The chin is the cue, and its white gives it away to a measure of brightness.
    assert by_name["light"].balanced_accuracy >= 0.9
    assert any("brightness and blur alone predict" in line for line in battery.verdict)


def test_audit_of_a_run_reads_what_was_found_and_no_video(finished, tmp_path, monkeypatch):
    run = shutil.copytree(finished.folder, tmp_path / "study" / "runs" / "alone")  # nothing beside
    (run / "confounds.json").unlink(missing_ok=True)
    files = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    monkeypatch.setattr("canemo.pipeline.audit.prepare_again", None)  # would fail if it were called
    assert canemo.audit_study(run) == finished.metrics.audit
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == files


def test_audit_of_a_study_writes_nothing_but_the_cache(study, small, quick):
    before = {p for p in study.rglob("*") if "cache" not in p.parts}
    found = canemo.audit_study(study, config=load_config(study, overrides=quick))
    assert found == small.metrics.audit
    assert {p for p in study.rglob("*") if "cache" not in p.parts} == before


@pytest.mark.parametrize("method", ["lda", pytest.param("gradient", marks=pytest.mark.slow)])
def test_run_is_verified_once_videos_and_cache_are_gone(tmp_path, quick, method):
    folder = write_painted_study(tmp_path / "study", subjects=3)
    overrides = {
        **quick,
        "probe": {**OVERRIDES["probe"], "method": method},
        "gradient": {"epochs": 2, "feed": "views:1"},
    }
    run = canemo.run(folder, config=load_config(folder, overrides=overrides), name="run").folder
    bundle = canemo.export_bundle(run, tmp_path / "bundle.zip")
    alone = run.rename(tmp_path / "alone")
    shutil.rmtree(folder)
    for place in (alone, bundle):
        found = canemo.verify_run(place)
        assert found["agrees"], [s["differ"] for s in found["sections"].values()]
        assert (found["predictions"] is None) == (method == "gradient") == bool(found["notes"])


def test_dog_without_any_crop_is_left_out_and_named(tmp_path, quick):
    folder = write_painted_study(tmp_path / "study", subjects=3)
    blank = write_painted_study(tmp_path / "blank", subjects=4, faces=False)
    for clip in (blank / "videos").glob("dog3 *"):
        shutil.move(clip, folder / "videos")
    with (folder / "videos.csv").open("a") as table:
        for line in (blank / "videos.csv").read_text().splitlines()[-4:]:
            table.write(f"{line}\n")
    result = canemo.run(folder, config=load_config(folder, overrides=quick), name="run")
    assert result.metrics.study.subjects == 4
    assert result.metrics.levels.video.n == 12
    assert any("dog3" in line for line in result.metrics.warnings)
    assert canemo.verify_run(result.folder)["agrees"]


# -- answers held back -----------------------------------------------------------------------------


@pytest.fixture
def unclear(finished):
    """A model that could not be told from chance, though its probabilities are as good as ever."""
    model = canemo.load_model(finished.model)
    model.saved = replace(model.saved, evaluation=make_evaluation(standing="unclear", p=0.234))
    return model


def test_model_carries_the_verdict_of_its_run(finished):
    found = canemo.load_model(finished.folder).evaluation
    level = finished.metrics.levels.video
    assert found.is_told
    assert found.balanced_accuracy == level.balanced_accuracy
    assert (found.subjects, found.clips, found.p) == (4, 16, finished.metrics.permutation.p)
    assert found.clips_by_label == {"anticipation": 8, "frustration": 8}
    assert "could be told from chance" in (finished.model / "README.md").read_text()


def test_model_whose_verdict_was_changed_by_hand_is_refused(finished, tmp_path):
    folder = shutil.copytree(finished.model, tmp_path / "model")
    content = json.loads((folder / "model.json").read_text())
    content["evaluation"]["p"] = 0.234
    (folder / "model.json").write_text(json.dumps(content))
    with pytest.raises(ModelError, match="the numbers beside that deny it"):
        canemo.load_model(folder)
    content["evaluation"] = None
    (folder / "model.json").write_text(json.dumps(content))
    with pytest.raises(ModelError, match="carries no verdict"):
        canemo.load_model(folder)


def test_model_not_told_from_chance_answers_only_when_it_is_asked_to(
    study, unclear, finished, tmp_path
):
    clips = [study / "videos" / f"dog0 clip{i}.mp4" for i in range(2)]
    told = [found.summary for found in canemo.load_model(finished.model).predict(clips)]
    held, asked = unclear.predict(clips), unclear.predict(clips, anyway=True)
    for before, found, anyway in zip(told, held, asked, strict=True):
        assert found.summary["predicted"] == "undecided"
        assert found.summary["message"].startswith(
            "left undecided: this model could not be told from chance; the model learned from"
        )
        assert set(found.frames["predicted"]) == {"undecided"}
        assert set(found.frames["model_verdict"]) == {"not told from chance"}
        assert found.summary["probability_frustration"] == before["probability_frustration"]
        assert anyway.summary["predicted"] == before["predicted"] in unclear.labels
        assert set(anyway.frames["predicted"]) <= set(unclear.labels)
        assert anyway.summary["model_verdict"] == "not told from chance"
        assert before["model_verdict"] == "told from chance"


def test_model_of_drawn_dogs_gives_no_answer_unasked(study, finished):
    model = canemo.load_model(finished.model)
    model.saved = replace(model.saved, evaluation=make_evaluation(drawn=True))
    clip = study / "videos" / "dog0 clip0.mp4"
    [held], [asked] = model.predict(clip), model.predict(clip, anyway=True)
    assert held.summary["predicted"] == "undecided"
    assert "on dogs drawn by a program, which says nothing about real" in held.summary["message"]
    assert held.summary["model_verdict"] == "told from chance on drawn dogs"
    assert asked.summary["predicted"] in model.labels


def test_model_not_told_from_chance_decides_nothing_at_any_level(study, unclear, tmp_path):
    clips = study / "videos"
    table = canemo.predict_videos(unclear, clips, tmp_path / "held", abstain=0.4)
    assert set(table["decided"]) == set(table["predicted"]) == {"undecided"}
    table = canemo.predict_videos(unclear, clips, tmp_path / "out", abstain=0.4, anyway=True)
    assert set(table["decided"]) & set(unclear.labels)
    assert set(table["predicted"]) == set(unclear.labels)


def test_clip_without_a_face_is_not_undecided(unclear, tmp_path):
    blank = write_painted_study(tmp_path / "blank", subjects=1, clips=1, faces=False)
    bad = tmp_path / "bad.mp4"
    bad.write_text("not a video")
    found = unclear.predict([blank / "videos", bad])
    assert [each.summary["predicted"] for each in found] == [None, None]
    assert found[0].summary["message"] == ""
    assert all(each.frames["predicted"].isna().all() for each in found)
    assert [each.summary["model_verdict"] for each in found] == ["not told from chance"] * 2


def test_everything_that_is_written_says_the_verdict(study, unclear, tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(
        "canemo.pipeline.predict.draw_timeline",
        lambda *_, **given: drawn.append(given) or new_figure(1.0),
    )
    clip = study / "videos" / "dog1 clip1.mp4"
    canemo.predict_videos(unclear, clip, tmp_path, video=True)
    for stem in ("predicted_frames", "predicted_videos"):
        for table in (
            pd.read_csv(tmp_path / f"{stem}.csv"), pd.read_parquet(tmp_path / f"{stem}.parquet")
        ):  # fmt: skip
            assert set(table["model_verdict"]) == {"not told from chance"}
    [given] = drawn
    assert (given["verdict"], given["is_decided"]) == (
        "model not told from chance: undecided",
        False,
    )
    frames = canemo.iter_frames(tmp_path / "annotated" / clip.name, sampling=Sampling(every_nth=1))
    bar = next(iter(frames)).image_rgb[-3, :8].astype(int)
    assert np.ptp(bar, axis=1).max() < 30  # grey, where it would be green


def test_one_workbook_holds_clips_frames_and_the_model(study, unclear, tmp_path):
    clips = [study / "videos" / f"dog0 clip{i}.mp4" for i in range(2)]
    canemo.predict_videos(unclear, clips, tmp_path)
    book = pd.read_excel(tmp_path / "results.xlsx", sheet_name=None)
    assert set(book) == {"columns", "clips", "frames", "model"}
    assert set(book["clips"]["model_verdict"]) == {"not told from chance"}
    written = pd.read_csv(tmp_path / "predicted_frames.csv")
    assert list(book["frames"]) == list(written)
    assert len(book["frames"]) == len(written) == 10
    facts = book["model"].set_index("Name")["Value"]
    assert facts["Verdict"] == "not told from chance"
    assert facts["probe.method"] == "lda"
    legend = book["columns"]
    for sheet in ("clips", "frames"):
        explained = legend[(legend["sheet"] == sheet) & legend["column"].notna()]
        assert list(explained["column"]) == list(book[sheet])
        assert explained["meaning"].notna().all()


@pytest.mark.parametrize("name", ["taken.csv", "taken.csv/below"])
def test_place_where_nothing_can_be_written_is_said_before_any_video(
    study, finished, tmp_path, painted_detector, name
):
    (tmp_path / "taken.csv").write_text("")
    model = canemo.load_model(finished.model)
    with pytest.raises(OutputPlaceError, match=r"name (one|another folder) with --out"):
        canemo.predict_videos(model, study / "videos", tmp_path / name)
    assert painted_detector.images_seen == 0


def test_undecided_clips_are_those_whose_set_is_not_one_label(study, finished, tmp_path):
    model = canemo.load_model(finished.model)
    table = canemo.predict_videos(model, study / "videos", tmp_path / "out", abstain=0.4)
    conformal, labels = model.saved.conformal, np.array(model.labels)
    assert conformal.subjects == 4
    for row in table.to_dict("records"):
        p = {}
        for label in labels:
            score = 1 - row[f"probability_{label}"]
            p[label] = (1 + conformal.weights[conformal.scores >= score].sum()) / 5
        inside = [label for label in labels if p[label] > 0.4]
        assert row["decided"] == (inside[0] if len(inside) == 1 else "undecided")
    assert set(table["decided"]) & set(labels)
    one = study / "videos" / "dog1 clip2.mp4"
    assert "decided" not in canemo.predict_videos(model, one, tmp_path / "plain")
    written = pd.read_parquet(tmp_path / "out" / "predicted_videos.parquet")
    assert written["decided"].tolist() == table["decided"].tolist()


def test_promise_that_so_few_dogs_cannot_keep_is_refused_before_any_video(
    study, finished, tmp_path, painted_detector
):
    model = canemo.load_model(finished.model)
    with pytest.raises(ConfigError, match=r"4 dogs no level below 1/5 = 0\.2 can be promised"):
        canemo.predict_videos(model, study / "videos", tmp_path / "out", abstain=0.1)
    with pytest.raises(ConfigError, match="between 0 and 1"):
        canemo.predict_videos(model, study / "videos", tmp_path / "out", abstain=1.5)
    assert painted_detector.images_seen == 0
    assert not (tmp_path / "out").exists()


def test_clip_without_a_face_is_neither_decided_nor_undecided(study, finished, tmp_path):
    blank = write_painted_study(tmp_path / "blank", subjects=1, clips=1, faces=False)
    table = canemo.predict_videos(
        canemo.load_model(finished.model),
        [blank / "videos", study / "videos" / "dog0 clip0.mp4"],
        tmp_path / "out",
        abstain=0.4,
    )
    assert table["decided"].isna().tolist() == [True, False]


def test_only_frames_that_count_make_the_answer_for_a_clip(tmp_path, study, quick):
    overrides = {**quick, "probe": {"frames": "even:1", "penalties": (1.0,)}}
    result = canemo.run(study, config=load_config(study, overrides=overrides), name="middle")
    assert result.metrics.protocol.frames == "even:1"
    model = canemo.load_model(result.model)
    unsure = replace(model.saved.classifier, coef=model.saved.classifier.coef / 1000)
    model.saved = replace(model.saved, classifier=unsure)  # else all frames are as good as certain
    found = model.predict_video(study / "videos" / "dog2 clip1.mp4")
    frames = found.frames["probability_anticipation"]
    assert len(frames) == 5
    assert found.summary["probability_anticipation"] == pytest.approx(frames[2], abs=1e-9)
    assert frames.nunique() == 5


@pytest.mark.slow
def test_model_of_several_blocks_predicts_as_it_was_learned(study, quick):
    overrides = {**quick, "probe": {**quick.get("probe", {}), "pooling": "cls,lower"}}
    result = canemo.run(study, config=load_config(study, overrides=overrides), name="mixed")
    assert [part.pooling for part in result.metrics.sweep.parts] == ["cls,lower"]
    model = canemo.load_model(result.model)
    assert model.saved.config.probe.pooling in expand_mixes("cls,lower")
    table = pd.read_parquet(result.model / "training_predictions.parquet")
    kept = table[table["level"] == "video"].set_index("video_id")["probability_anticipation"]
    found = model.predict_video(study / "videos" / "dog1 clip2.mp4")
    assert found.summary["probability_anticipation"] == pytest.approx(kept["s1c2"], abs=1e-5)
    assert canemo.verify_run(result.folder)["agrees"]
    page = (result.folder / "report.html").read_text()
    assert "whole crop, summed up by the backbone with lower half" in page


@pytest.mark.slow
def test_sweep_ends_in_a_model_of_the_setting_that_was_chosen(tmp_path, study, quick):
    overrides = {
        **quick,
        "sweep": {"poolings": ("upper", "lower"), "frames": ("all", "even:2")},
    }
    result = canemo.run(study, config=load_config(study, overrides=overrides), name="swept")
    assert result.metrics.sweep.settings == 3 * 2 * 2  # the probe's own pooling too
    assert sum(part.chosen for part in result.metrics.sweep.parts) == 4
    model = canemo.load_model(result.model)
    assert model.saved.config.sweep.poolings == ()
    assert model.saved.config.probe.pooling in ("cls", "upper", "lower")
    table = pd.read_parquet(result.model / "training_predictions.parquet")
    kept = table[table["level"] == "video"].set_index("video_id")["probability_anticipation"]
    found = model.predict_video(study / "videos" / "dog1 clip2.mp4")
    assert found.summary["probability_anticipation"] == pytest.approx(kept["s1c2"], abs=1e-5)
    assert canemo.verify_run(result.folder)["agrees"]


# -- engines ---------------------------------------------------------------------------------------


def test_run_says_what_ran_and_is_read_again_with_it(finished):
    protocol = finished.metrics.protocol
    assert (protocol.engine, protocol.precision) == ("torch", "float32")
    assert (protocol.device, protocol.detector_engine) == ("cpu", "torch")
    assert protocol.engine_reason.startswith("torch float32")
    written = read_config(finished.folder / "config.toml")
    assert written.backbone.engine == written.detect.engine == "auto"
    again = read_run(finished.folder).config
    assert (again.backbone.engine, again.backbone.precision) == ("torch", "float32")
    assert again.detect.engine == "torch"
    saved = json.loads((finished.model / "model.json").read_text())["config"]
    assert (saved["backbone"]["engine"], saved["detect"]["engine"]) == ("torch", "torch")


def test_model_of_an_engine_that_is_not_here_answers_alike(
    finished, study, tmp_path, monkeypatch, caplog
):
    folder = shutil.copytree(finished.model, tmp_path / "model")
    content = json.loads((folder / "model.json").read_text())
    content["config"]["backbone"]["engine"] = "openvino"
    (folder / "model.json").write_text(json.dumps(content))

    def missing():
        raise MissingExtraError("the engine openvino cannot be used; pip install openvino")

    monkeypatch.setattr("canemo.networks.engines.openvino_engine.import_openvino", missing)
    with caplog.at_level("WARNING", "canemo"):
        other = canemo.load_model(folder)
    assert "pip install openvino; torch float32 runs the backbone instead" in caplog.text
    clip = sorted(study.glob("**/*.mp4"))[0]
    a = canemo.load_model(finished.model).predict(clip)[0].summary
    b = other.predict(clip)[0].summary
    assert a["probability_anticipation"] == pytest.approx(b["probability_anticipation"], abs=1e-6)
    with pytest.raises(MissingExtraError):
        canemo.load_model(folder, engine="openvino")


def test_doctor_says_what_runs_each_backbone(monkeypatch):
    chosen = Choice("torch", "float32", ())
    asked = []
    monkeypatch.setattr(
        doctor, "choose_engine", lambda network, *, again: asked.append(again) or chosen
    )
    canemo.doctor(again=True)
    assert asked
    assert all(asked)
    asked.clear()
    found = canemo.doctor(measure=True)["engines"]
    assert asked
    assert not any(asked)
    assert found["efficientnet_lite0"].startswith("torch float32")
    assert found["dog_head"].startswith("torch float32")
    assert "0.9995" in found["auto"]
    monkeypatch.setattr(doctor, "recall_choice", lambda network: None)
    assert "canemo doctor --measure" in canemo.doctor()["engines"]["efficientnet_lite0"]

    def broken(name):
        raise WeightsError("the file is damaged")

    monkeypatch.setattr(doctor, "load_backbone", broken)
    assert canemo.doctor()["engines"]["efficientnet_lite0"] == "cannot be used: the file is damaged"


@pytest.mark.slow
def test_model_trained_in_int8_predicts_in_int8_and_carries_no_network(
    study, tmp_path, monkeypatch
):
    pytest.importorskip("nncf", reason="needs the extra canemo[int8]")
    monkeypatch.setattr("canemo.networks.engines.quantise.CALIBRATED_ON", 24)
    copied = shutil.copytree(study, tmp_path / "study", ignore=shutil.ignore_patterns("cache"))
    overrides = {**OVERRIDES, "backbone": {"name": "efficientnet_lite0", "precision": "int8"}}
    result = canemo.run(copied, config=load_config(copied, overrides=overrides), name="int8")
    assert result.metrics.protocol.precision == "int8"
    assert not [path for path in result.model.iterdir() if path.is_dir()]
    model = canemo.load_model(result.model)
    assert model.backbone.engine.precision == "int8"
    table = pd.read_parquet(result.model / "training_predictions.parquet")
    of_videos = table[table["level"] == "video"].set_index("video_id")
    video = load_study(copied).videos[0]
    found = model.predict(video.path)[0].summary
    trained = of_videos.loc[video.video_id, "probability_anticipation"]
    assert found["probability_anticipation"] == pytest.approx(trained, abs=1e-5)
