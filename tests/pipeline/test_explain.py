import json
import sys
import tempfile
import weakref
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image as PilImage

import canemo
from canemo.config import SequenceConfig
from canemo.errors import (
    ConfigError,
    MissingExtraError,
    ModelError,
    NoFacesError,
    OutputExistsError,
    StudyError,
)
from canemo.explain.decision import Decision
from canemo.explain.inquiry import Inquiry
from canemo.explain.maps.occlusion import measure_logits
from canemo.faces.regions import BANDS, STUDY_LANDMARKS
from canemo.learn.fold_files import read_folds, write_folds
from canemo.learn.probe import Probe
from canemo.learn.sequence import fit_sequence
from canemo.networks.backbones import load_backbone, write_random_weights
from canemo.parallel import silent
from canemo.pipeline import explain, gallery
from canemo.pipeline.explain_inputs import load_explained_run
from canemo.report.charts import explanation
from canemo.report.words.explanation import write_sentence
from canemo.species import DOG
from canemo.study.records.document import EXPLANATION
from canemo.study.records.explanation import ExplanationRecord
from explained_runs import (
    CLIPS,
    DOGS,
    EXACT,
    LABELS,
    NETWORK,
    READS_CLS,
    change_json,
    copy_run,
    list_files,
    write_landmarks,
)
from painted import PaintedFaceDetector, paint, put_in_place
from report_fixtures import Page

pytestmark = pytest.mark.usefixtures("painted_detector", "undrawn")

QUICK = {"regions": "bands", "tests": 0, "methods": ["contribution"]}
PER_CLIP = 2


@pytest.fixture(scope="module")
def explained(explainable_study, tmp_path_factory):
    """A copied run that was explained, and what it was before that."""
    [run] = copy_run(explainable_study, tmp_path_factory.mktemp("explained"), EXACT)
    write_landmarks(run.parent.parent / "landmarks.csv")
    before = list_files(run)
    with pytest.MonkeyPatch.context() as patch:
        put_in_place(patch, PaintedFaceDetector())
        found = canemo.explain_models(run, per_clip=PER_CLIP, regions="study", truth=["muzzle"])
    return run, found, before


@pytest.fixture
def pared_down(monkeypatch):
    """Leave out what takes most of the time: pictures, the run's report, covering regions."""
    monkeypatch.setattr("canemo.pipeline.explain_files.draw_explanation", lambda *_, **__: None)
    monkeypatch.setattr("canemo.pipeline.explain.write_report", lambda run_dir: None)
    monkeypatch.setattr(
        "canemo.pipeline.explain.measure_losses",
        lambda images, masks, backbone, decisions, faces: np.zeros(
            (1, len(images), len(DOG.regions))
        ),
    )


@pytest.fixture
def run(explainable_study, tmp_path):
    return copy_run(explainable_study, tmp_path, EXACT)[0]


def read_table(folder, name="explained"):
    return pd.read_parquet(folder / f"{name}.parquet")


# -- a run, end to end ----------------------------------------------------------------------------


def test_folder_holds_all_that_was_promised(explained):
    run, found, _ = explained
    assert found.folder == run / "explain"
    assert found.page == run / "explain" / "index.html"
    content = json.loads((found.folder / "explanation.json").read_text(encoding="utf-8"))
    assert content == found.record.to_dict()
    assert ExplanationRecord.read(found.folder / "explanation.json") == found.record
    assert content["schema"] == EXPLANATION.schema
    [model] = content["models"]
    assert (model["name"], model["pooling"]) == (EXACT, "mean")
    assert (model["label"], model["other"]) == LABELS
    assert (model["crops"], model["clips"], model["dogs"]) == (16, DOGS * CLIPS, DOGS)
    assert [method["name"] for method in model["methods"]] == ["contribution", "eigencam"]
    drawn = {f"s{d}c{c}_{f:06d}.png" for d in range(DOGS) for c in range(CLIPS) for f in (0, 2)}
    assert set(list_files(found.folder)) == {
        "index.html", "explanation.json", "results.xlsx",
        "explained.parquet", "tests.parquet", "dogs.parquet",
        *(f"maps/{EXACT}_{name}.npz" for name in ("contribution", "eigencam")),
        *(f"overlays/{EXACT}_{m}/{name}" for m in ("contribution", "eigencam") for name in drawn),
        *(
            f"figures/{name}.png"
            for name in (
                "regions", "maps_contribution", "maps_eigencam", "faces_0", "dogs_0",
            )
        ),
    }  # fmt: skip


def test_every_used_clip_is_there_as_often_as_asked(explained):
    run, found, _ = explained
    table = read_table(found.folder)
    used = pd.read_parquet(run / "frames.parquet").query("fate == 'used'")
    counts = table[table["method"] == "contribution"].groupby("video_id").size()
    assert counts.to_dict() == dict.fromkeys(used["video_id"], PER_CLIP)
    assert len(table) == 2 * counts.sum()


def test_contributions_add_up_to_the_logit(explained):
    maps = np.load(explained[1].folder / "maps" / f"{EXACT}_contribution.npz")
    assert maps["maps"].shape == (16, 14, 14)
    sums = maps["maps"].sum(axis=(1, 2), dtype=float)
    np.testing.assert_allclose(sums, maps["logit"] - maps["intercept"], rtol=0, atol=1e-4)
    assert np.ptp(maps["logit"]) > 2


def test_parts_and_areas_of_each_row_add_up(explained):
    folder = explained[1].folder
    table = read_table(folder)
    parts = table[[f"part_{name}" for name in DOG.regions]].sum(axis=1)
    areas = table[[f"area_{name}" for name in DOG.regions]].sum(axis=1)
    np.testing.assert_allclose(areas, 1, atol=1e-3)  # masks are kept as float16
    for method in ("contribution", "eigencam"):
        kept = np.load(folder / "maps" / f"{EXACT}_{method}.npz")
        own = table[table["method"] == method]
        assert own["video_id"].tolist() == kept["video_id"].tolist()
        assert own["frame_index"].tolist() == kept["frame_index"].tolist()
        sums = kept["maps"].sum(axis=(1, 2), dtype=float)
        scale = np.abs(kept["maps"]).sum(axis=(1, 2)).max()
        np.testing.assert_allclose(parts[own.index], sums, atol=1e-3 * scale)


def test_gap_of_all_regions_is_the_difference_of_the_mean_logits(explained):
    folder = explained[1].folder
    table = read_table(folder).query("method == 'contribution'")
    by_subject = table.groupby(["subject_id", "label"])["logit"].mean().unstack()
    difference = (by_subject["anticipation"] - by_subject["frustration"]).mean()
    rows = {row.region: row for row in explained[1].record.models[0].lead.gap}
    assert rows["all"].gap == pytest.approx(difference, abs=1e-3)
    parts = sum(rows[region].gap for region in DOG.regions)
    assert parts == pytest.approx(difference, abs=1e-2)


def test_dogs_are_kept_one_by_one(explained):
    _, found, _ = explained
    dogs = read_table(found.folder, "dogs").query("method == 'contribution'")
    gaps = dogs.pivot(index="subject_id", columns="region", values="gap")
    assert gaps.index.tolist() == [f"dog{dog}" for dog in range(DOGS)]
    np.testing.assert_allclose(gaps[list(DOG.regions)].sum(axis=1), gaps["all"], atol=1e-2)
    logits = read_table(found.folder).query("method == 'contribution'")
    means = logits.groupby(["subject_id", "label"])["logit"].mean().unstack()
    np.testing.assert_allclose(gaps["all"], means[LABELS[0]] - means[LABELS[1]], atol=1e-3)
    for row in found.record.models[0].lead.gap:
        assert gaps[row.region].mean() == pytest.approx(row.gap, abs=1e-9)


def test_tests_are_kept_crop_by_crop_and_truth_is_asked_for(explained):
    _, found, _ = explained
    tests = read_table(found.folder, "tests")
    assert set(tests["model"]) == {EXACT}
    assert tests.groupby("method").size().to_dict() == {"contribution": 8, "eigencam": 8}
    assert (tests.groupby(["method", "subject_id", "label"]).size() == 1).all()
    assert tests["hit"].isin([0, 1]).all()
    assert found.record.truth == ("muzzle",)
    eigencam = tests[tests["method"] == "eigencam"]
    np.testing.assert_allclose(eigencam["like_random_probe"], 1)  # it never sees the probe
    assert tests[["deletion", "insertion", "like_shuffled"]].notna().all().all()


def test_landmarks_of_the_study_are_used_and_named(explained):
    _, found, _ = explained
    assert set(read_table(found.folder)["regions"]) == {STUDY_LANDMARKS}
    assert found.record.models[0].regions.startswith(f"{STUDY_LANDMARKS} (16 of 16")


def test_report_of_the_run_says_what_was_found(explained):
    run, found, before = explained
    page = Page((run / "report.html").read_text(encoding="utf-8"))
    [model] = found.record.models
    assert write_sentence(model) in page.text
    for method in model.methods:
        assert method.verdict.removeprefix("FAILS: ") in page.text
    assert {"href": "explain/index.html"} in page.find("a")
    earlier = Page(before["report.html"].decode("utf-8"))
    assert "explain/index.html" not in earlier.text
    assert "canemo explain" in earlier.text


def test_rest_of_the_run_is_as_it_was_and_still_verified(explained):
    run, _, before = explained
    after = {n: c for n, c in list_files(run).items() if not n.startswith("explain/")}
    changed = {name for name in before | after if before.get(name) != after.get(name)}
    assert changed == {"report.html"}
    assert canemo.verify_run(run)["agrees"]


def test_page_of_the_run_stands_alone(explained):
    page = Page(explained[1].page.read_text(encoding="utf-8"))
    sources = [tag["src"] for _, tag in page.tags if "src" in tag]
    assert sources
    assert all(source.startswith("data:image/png;base64,") for source in sources)
    assert not page.find("script")
    assert not page.find("link")
    assert {link["href"] for link in page.find("a")} == {"https://arxiv.org/abs/2206.05619"}


@pytest.mark.parametrize("name", [EXACT, READS_CLS])
def test_logit_is_the_log_odds_of_the_held_out_prediction(explainable_study, name):
    # Of lda too: the temperature is a factor of the saved weights, so that probabilities and
    # logits are of the same sharpness. Features are kept as float16.
    run = explainable_study / "runs" / name
    model = load_explained_run(
        run, per_clip=99, label=None, regions="bands", landmarks=None, with_controls=False,
        progress=silent,
    )  # fmt: skip
    tables = [
        rows.assign(
            logit=measure_logits(model.read(rows), model.backbone, [model.decisions[dog]])[0]
        )
        for dog, rows in model.rows.groupby("subject_id")
    ]
    predicted = read_table(run, "predictions").query("level == 'frame'")
    keys = ["video_id", "frame_index"]
    both = pd.concat(tables).merge(predicted, on=keys, validate="one_to_one")
    assert len(both) == len(predicted)
    odds = [both[f"probability_{label}"].to_numpy() for label in LABELS]
    certain = np.minimum(*odds) < 1e-9
    logits = both["logit"].to_numpy()
    expected = np.log(odds[0][~certain] / odds[1][~certain])
    np.testing.assert_allclose(logits[~certain], expected, rtol=1e-2, atol=1e-2)
    assert (np.sign(logits) == np.sign(odds[0] - odds[1])).all()
    assert np.abs(logits[certain]).min(initial=np.inf) > 18
    assert name != EXACT or not certain.any()


# -- several runs ---------------------------------------------------------------------------------


def test_runs_of_one_study_stand_side_by_side(explainable_study, tmp_path, monkeypatch):
    runs = [explainable_study / "runs" / name for name in (EXACT, READS_CLS)]
    grids = {}
    draw = explanation.draw_picture_rows

    def keep(rows, **options):
        grids[options.get("scale_title", "")] = rows
        return draw(rows, **options)

    monkeypatch.setattr(explanation, "draw_picture_rows", keep)
    found = canemo.explain_models(
        runs, out_dir=tmp_path / "both", methods=["gradient"], regions="bands", tests=0
    )
    assert [model.name for model in found.record.models] == [EXACT, READS_CLS]
    [grid] = [rows for title, rows in grids.items() if "against (-1)" in title]
    names = {name.split()[0] for rows in grid.values() for line in rows for name, _ in line}
    assert names == {EXACT, READS_CLS, "dog0", "dog1", "dog2"}
    for line in [line for rows in grid.values() for line in rows]:
        cells = [name.split()[0] for name, _ in line]
        assert [cells[i : i + 3][1:] for i in range(0, len(cells), 3)] == [[EXACT, READS_CLS]] * (
            len(cells) // 3
        )
    figures = {p.name for p in (found.folder / "figures").iterdir()}
    assert figures == {
        "regions.png", "maps_gradient.png", "faces_0.png", "faces_1.png", "dogs_0.png",
        "dogs_1.png",
    }  # fmt: skip
    table = read_table(found.folder)
    places = [
        table[table["model"] == name][["video_id", "frame_index"]].to_numpy().tolist()
        for name in (EXACT, READS_CLS)
    ]
    assert places[0] == places[1]
    page = Page(found.page.read_text(encoding="utf-8"))
    for model in found.record.models:
        assert f"{model.name}: {write_sentence(model)}" in page.text
    assert not any((run / "explain").exists() for run in runs)


def test_runs_from_other_frames_are_refused(explainable_study, tmp_path):
    first, second = copy_run(explainable_study, tmp_path, EXACT, READS_CLS)
    config = second / "config.toml"
    config.write_text(
        config.read_text(encoding="utf-8").replace("fps = 5", "fps = 2"), encoding="utf-8"
    )
    with pytest.raises(ConfigError, match=f"{READS_CLS} and {EXACT} were made from other frames"):
        canemo.explain_models([first, second], out_dir=tmp_path / "o", per_clip=9, **QUICK)
    assert not (tmp_path / "o").exists()


def test_runs_of_one_name_are_refused(explainable_study, tmp_path):
    first = explainable_study / "runs" / EXACT
    [second] = copy_run(explainable_study, tmp_path, EXACT)
    with pytest.raises(ConfigError, match="two of the runs have the same name"):
        canemo.explain_models([first, second], out_dir=tmp_path / "o", **QUICK)


def test_runs_that_would_show_evidence_for_other_labels_are_refused(explainable_study, tmp_path):
    first, second = copy_run(explainable_study, tmp_path, EXACT, READS_CLS)
    change_json(
        second / "metrics.json",
        lambda found: found["protocol"].update(positive_label="frustration"),
    )
    with pytest.raises(ConfigError, match=r"'frustration'.*'anticipation'.*--label"):
        canemo.explain_models(
            [first, second], out_dir=tmp_path / "o", regions="bands", methods=["gradient"]
        )


def test_dogs_whose_folds_chose_different_poolings_get_a_map_that_all_have(
    explainable_study, run, monkeypatch, pared_down
):
    load = explain.load_explained_run

    def load_swept(folder, **options):
        found, other = (
            load(explainable_study / "runs" / name, **options) for name in (EXACT, READS_CLS)
        )
        decisions = {**found.decisions, "dog3": other.decisions["dog3"]}
        return replace(found, decisions=decisions)

    monkeypatch.setattr(explain, "load_explained_run", load_swept)
    found = canemo.explain_models(run, regions="bands", tests=0)
    [model] = found.record.models
    assert [method.name for method in model.methods] == ["gradient", "eigencam"]
    assert model.pooling == "mean; cls"


# -- a model and other pictures -------------------------------------------------------------------


def write_faces(folder, number=3, *, side=48):
    """Write painted faces, every second with a chin."""
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(number):
        image = paint(("red", 0, 0, side), size=(side, side))
        image[5:9, 8 + i : 14 + i] = 20
        if i % 2 == 0:
            image[side // 2 : -6, 10:-10] = 250
        PilImage.fromarray(image).save(folder / f"face{i}.png")
    return folder


def test_model_is_asked_about_pictures_without_conditions(explainable_study, tmp_path):
    faces = write_faces(tmp_path / "in", 4)
    PilImage.fromarray(paint(size=(9, 30))).save(faces / "tiny.png")
    model = explainable_study / "runs" / EXACT / "model"
    found = canemo.explain_models(
        model, crops=faces, out_dir=tmp_path / "out", regions="bands", methods=["contribution"]
    )
    [content] = found.record.models
    assert not content.is_labelled
    assert (content.crops, content.clips) == (4, 4)
    assert any(note.startswith("1 crop(s) have fewer pixels") for note in content.notes)
    table = read_table(found.folder)
    assert table["video_id"].tolist() == [f"face{i}" for i in range(4)]
    answers = np.where(table["logit"] >= 0, *LABELS)
    assert table["label"].tolist() == answers.tolist() == ["anticipation", "frustration"] * 2
    assert not (found.folder / "figures" / "dogs_0.png").exists()
    page = Page(found.page.read_text(encoding="utf-8"))
    assert "within a dog" not in page.text
    assert "4 files" in page.text
    assert "no condition" in page.text
    assert "Of the difference in evidence" not in page.text
    assert not (explainable_study / "runs" / EXACT / "explain").exists()


def test_model_is_asked_about_a_video(explainable_study, tmp_path, pared_down):
    found = canemo.explain_models(
        explainable_study / "runs" / EXACT,
        crops=explainable_study / "videos" / "dog2 clip0.mp4",
        out_dir=tmp_path / "out",
        per_clip=3,
        **QUICK,
    )
    table = read_table(found.folder)
    assert table["video_id"].tolist() == ["dog2 clip0"] * 3
    assert table["frame_index"].tolist() == [0, 1, 2]
    assert set(table["label"]) == {"anticipation"}  # it has a chin


def test_pictures_smaller_than_the_map_are_refused_where_there_are_no_others(
    explainable_study, tmp_path
):
    PilImage.fromarray(paint(size=(9, 30))).save(tmp_path / "tiny.png")
    model = explainable_study / "runs" / EXACT / "model"
    with pytest.raises(NoFacesError, match="every crop has fewer pixels than the map has places"):
        canemo.explain_models(model, crops=tmp_path / "tiny.png", out_dir=tmp_path / "out", **QUICK)
    assert not (tmp_path / "out").exists()


def test_models_of_finer_and_coarser_maps_leave_out_the_same_pictures(
    explainable_study, tmp_path, monkeypatch, pared_down
):
    faces = write_faces(tmp_path / "in")
    PilImage.fromarray(paint(size=(10, 10))).save(faces / "a small one.png")
    weights = write_random_weights("timm:test_resnet", tmp_path / "coarse.safetensors")
    coarse = load_backbone("timm:test_resnet", weights=weights)
    assert coarse.grid_shape == (7, 7)  # the other's is 14 x 14
    probe = Probe(LABELS, np.zeros(96), np.ones(96), np.ones((1, 96)), np.zeros(1), 1.0)
    load = explain.load_explained_model

    def load_coarse(folder, *args, **options):
        found = load(folder, *args, **options)
        if found.name == EXACT:
            return found
        decision = Decision(probe, "mean", LABELS[0])
        return replace(found, backbone=coarse, decisions=dict.fromkeys(found.decisions, decision))

    monkeypatch.setattr(explain, "load_explained_model", load_coarse)
    found = canemo.explain_models(
        [explainable_study / "runs" / name for name in (READS_CLS, EXACT)],
        crops=faces,
        out_dir=tmp_path / "out",
        regions="bands",
        tests=0,
        methods=["eigencam"],
    )
    table = read_table(found.folder)
    for name in (READS_CLS, EXACT):
        of_model = table[table["model"] == name]
        assert of_model["video_id"].tolist() == ["face0", "face1", "face2"]
    for model in found.record.models:
        assert any(note.startswith("1 crop(s) have fewer") for note in model.notes)


def test_dog_of_many_crops_is_gone_through_in_parts(run, tmp_path, monkeypatch, pared_down):
    options = {**QUICK, "per_clip": 2}
    whole = canemo.explain_models(run, out_dir=tmp_path / "whole", **options)
    monkeypatch.setattr("canemo.explain.inquiry.CROPS_AT_ONCE", 1)
    parts = canemo.explain_models(run, out_dir=tmp_path / "parts", **{**options, "tests": 1})
    pd.testing.assert_frame_equal(
        read_table(parts.folder), read_table(whole.folder), rtol=1e-4, atol=1e-4
    )
    tests = read_table(parts.folder, "tests")
    assert (tests.groupby(["subject_id", "label"]).size() == 1).all()
    assert len(tests) == 2 * DOGS


def test_order_in_which_probes_are_asked_shows_nowhere(run, tmp_path, monkeypatch, pared_down):
    options = {**QUICK, "per_clip": 2}
    there = canemo.explain_models(run, out_dir=tmp_path / "there", **options)
    iter_parts = Inquiry.iter_parts
    monkeypatch.setattr(Inquiry, "iter_parts", lambda own: reversed(list(iter_parts(own))))
    back = canemo.explain_models(run, out_dir=tmp_path / "back", **options)
    pd.testing.assert_frame_equal(
        read_table(back.folder), read_table(there.folder), rtol=1e-4, atol=1e-4
    )
    maps = [np.load(found.folder / "maps" / f"{EXACT}_contribution.npz") for found in (there, back)]
    np.testing.assert_array_equal(maps[0]["video_id"], maps[1]["video_id"])
    np.testing.assert_allclose(maps[0]["maps"], maps[1]["maps"], atol=1e-4)


def test_as_many_files_are_tested_as_there_is_room_for(
    explainable_study, tmp_path, monkeypatch, pared_down
):
    monkeypatch.setattr("canemo.pipeline.explain.MOST_PICTURES", 3)
    model = explainable_study / "runs" / EXACT / "model"
    found = canemo.explain_models(
        model,
        crops=explainable_study / "videos",
        out_dir=tmp_path / "out",
        **{**QUICK, "tests": 1, "per_clip": 3},
    )
    tested = read_table(found.folder, "tests")
    assert tested["video_id"].nunique() == len(tested) == 3


def test_pictures_are_not_all_held_at_once(explainable_study, tmp_path, monkeypatch):
    faces = write_faces(tmp_path / "in", 12)
    alive, most, reads = weakref.WeakSet(), [0], []
    read = gallery._read_picture

    class Watched(np.ndarray):
        """A picture that a weak set can hold."""

        __hash__ = object.__hash__

    def watch(path):
        image = read(path).view(Watched)
        alive.add(image)
        reads.append(path.name)
        most[0] = max(most[0], len(alive))
        return image

    monkeypatch.setattr(gallery, "_read_picture", watch)
    monkeypatch.setattr("canemo.pipeline.explain_files.MEAN_FACE_CROPS", 3)
    monkeypatch.setattr("canemo.explain.inquiry.CROPS_AT_ONCE", 3)
    model = explainable_study / "runs" / EXACT / "model"
    found = canemo.explain_models(model, crops=faces, out_dir=tmp_path / "out", **QUICK)
    assert found.record.models[0].crops == 12
    assert len(reads) > 2 * 12
    assert most[0] <= 8  # those of a mean face and what is drawn


# -- refusals -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"methods": ["magic"]}, ConfigError, r"map 'magic' is unknown; there are contribution"),
        ({"truth": ["tail"]}, ConfigError, r"region 'tail': there are eyes, ears"),
        ({"label": "joy"}, ConfigError, r"label 'joy': the labels are anticipation"),
        ({"regions": "eyes"}, ConfigError, r"regions 'eyes': there are auto"),
        ({"regions": "study"}, StudyError, r"no landmarks\.csv"),
        ({"methods": ["rollout"], "label": "joy"}, ConfigError, "label 'joy'"),
        ({"crops": "somewhere"}, ConfigError, "say where the explanation goes: --out DIR"),
        ({"weights": "drawn.safetensors"}, ConfigError, "--weights .* --crops"),
        ({"regions": "bands", "landmarks": "points.csv"}, ConfigError, "--landmarks .* bands"),
        ({"regions": "model", "landmarks": "points.csv"}, ConfigError, "--landmarks .* model"),
        (
            {"crops": "somewhere", "out_dir": "there", "landmarks": "points.csv"},
            ConfigError,
            "--landmarks .* --crops",
        ),
    ],
)
def test_what_is_asked_for_in_vain_is_named(run, options, error, message):
    with pytest.raises(error, match=message):
        canemo.explain_models(run, **{"tests": 0, "regions": "bands", **options})
    assert not (run / "explain").exists()


def test_landmarks_of_other_videos_are_refused(run, tmp_path):
    path = write_landmarks(tmp_path / "points.csv", prefix="other_")
    with pytest.raises(StudyError, match="other_s0c0"):
        canemo.explain_models(run, landmarks=path, regions="study", tests=0)


def test_several_runs_need_a_place(explainable_study):
    runs = [explainable_study / "runs" / name for name in (EXACT, READS_CLS)]
    with pytest.raises(ConfigError, match="--out DIR"):
        canemo.explain_models(runs)


def test_no_run_at_all_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="there is no run and no model to explain"):
        canemo.explain_models([], out_dir=tmp_path / "out")


def test_folder_that_is_no_run_is_refused(run, tmp_path):
    for place in (tmp_path, run / "model", tmp_path / "nowhere"):
        with pytest.raises(ModelError, match="ask a saved model about with --crops"):
            canemo.explain_models(place, **QUICK)
    with pytest.raises(ModelError):
        canemo.explain_models(tmp_path, crops=tmp_path, out_dir=tmp_path / "out", **QUICK)


def test_run_that_fits_no_probe_is_refused(run):
    whole_clips = fit_sequence(
        np.zeros((4, 3)),
        np.arange(4) % 2,
        labels=LABELS,
        video_ids=np.array(list("abcd"), dtype=object),
        time_s=np.zeros(4),
        head="mean",
        settings=SequenceConfig(epochs=1),
        seed=0,
    )
    write_folds([replace(fold, classifier=whole_clips) for fold in read_folds(run)], run)
    with pytest.raises(ModelError, match="only a linear probe on frames"):
        canemo.explain_models(run, **QUICK)


def test_exact_map_of_a_probe_that_is_no_sum_is_refused(explainable_study, tmp_path):
    [run] = copy_run(explainable_study, tmp_path, READS_CLS)
    with pytest.raises(ConfigError, match=r"reads the CLS token.*--method gradient"):
        canemo.explain_models(run, **QUICK)


def test_missing_extra_is_named_and_leaves_nothing(run, monkeypatch):
    monkeypatch.setitem(sys.modules, "pytorch_grad_cam", None)
    with pytest.raises(MissingExtraError, match=r"canemo\[cam\]"):
        canemo.explain_models(run, methods=["gradcam"], regions="bands", tests=0)
    assert {path.name for path in run.iterdir()} & {"explain", ".explain.partial"} == set()


def test_folder_that_holds_something_else_is_not_touched(run, tmp_path):
    other = tmp_path / "photographs"
    other.mkdir()
    (other / "mine.txt").write_text("keep")
    with pytest.raises(OutputExistsError, match="photographs holds something else"):
        canemo.explain_models(run, out_dir=other, force=True, **QUICK)
    with pytest.raises(ConfigError, match=r"mine\.txt is a file; name a folder"):
        canemo.explain_models(run, out_dir=other / "mine.txt", force=True, **QUICK)
    other.rename(run / "explain")
    with pytest.raises(OutputExistsError, match="explain holds something else"):
        canemo.explain_models(run, force=True, **QUICK)
    assert list_files(run / "explain") == {"mine.txt": b"keep"}


# -- again, and in between ------------------------------------------------------------------------


def test_earlier_explanation_elsewhere_is_replaced_only_where_that_is_said(
    run, tmp_path, pared_down
):
    out = tmp_path / "out"
    out.mkdir()  # an empty folder is free
    first = canemo.explain_models(run, out_dir=out, **QUICK)
    (out / "of the first.txt").write_text("gone soon")
    with pytest.raises(OutputExistsError, match=r"out holds an explanation; .*--force"):
        canemo.explain_models(run, out_dir=out, **QUICK)
    assert (out / "of the first.txt").exists()
    again = canemo.explain_models(run, out_dir=out, force=True, **QUICK)
    assert not (out / "of the first.txt").exists()
    assert again.record == first.record
    assert not (run / "explain").exists()


def test_explanation_in_its_run_is_made_again_the_same(run, pared_down):
    first = canemo.explain_models(run, **QUICK)
    files = {n: c for n, c in list_files(first.folder).items() if not n.endswith(".npz")}
    again = canemo.explain_models(run, **QUICK)
    assert again.record == first.record
    assert {n: c for n, c in list_files(again.folder).items() if not n.endswith(".npz")} == files
    for path in (first.folder / "maps").iterdir():
        assert np.isfinite(np.load(path)["maps"]).all()


def test_same_method_twice_is_one_map(run, pared_down):
    found = canemo.explain_models(run, **{**QUICK, "methods": ["contribution"] * 2})
    assert [method.name for method in found.record.models[0].methods] == ["contribution"]
    assert len(read_table(found.folder)) == DOGS * CLIPS


@pytest.mark.parametrize("step", ["draw_explanation", "write_page", "examine_case"])
def test_interrupt_leaves_nothing_half_written_and_an_earlier_one_alone(
    run, tmp_path, monkeypatch, step
):
    earlier = run / "explain"
    earlier.mkdir()
    (earlier / "explanation.json").write_text(
        json.dumps({"schema": 1, "models": [{}]}), encoding="utf-8"
    )
    before = list_files(run)

    def interrupt(*args, **options):
        raise KeyboardInterrupt

    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    if step == "write_page":
        monkeypatch.setattr("canemo.pipeline.explain_files.draw_explanation", lambda *_, **__: None)
        monkeypatch.setattr("canemo.pipeline.explain.write_report", lambda run_dir: None)
    module = "pipeline.explain" if step == "examine_case" else "pipeline.explain_files"
    monkeypatch.setattr(f"canemo.{module}.{step}", interrupt)
    with pytest.raises(KeyboardInterrupt):
        canemo.explain_models(run, **{**QUICK, "tests": int(step == "examine_case")})
    assert list_files(run) == before
    assert not list(run.glob(".*"))
    assert list(temporary.iterdir()) == []


def test_earlier_explanation_stays_where_the_new_one_cannot_take_its_place(
    run, monkeypatch, pared_down
):
    (run / "explain").mkdir()
    (run / "explain" / "explanation.json").write_text(
        json.dumps({"schema": 1, "models": [{}]}), encoding="utf-8"
    )
    before = list_files(run)
    rename = Path.rename

    def refuse(self, target):
        if self.name == ".explain.partial":
            raise PermissionError(f"{self} is in use")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(PermissionError, match="in use"):
        canemo.explain_models(run, **QUICK)
    assert list_files(run) == before


def test_no_temporary_files_and_no_hooks_are_left(
    explainable_study, tmp_path, monkeypatch, pared_down
):
    temporary, loaded = tmp_path / "temporary", []
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    load = explain.load_explained_run

    def keep(*args, **options):
        loaded.append(load(*args, **options))
        return loaded[-1]

    monkeypatch.setattr(explain, "load_explained_run", keep)
    canemo.explain_models(
        explainable_study / "runs" / READS_CLS,
        out_dir=tmp_path / "out",
        regions="bands",
        methods=["gradient", "rollout", "eigencam"],
        tests=0,
    )
    assert list(temporary.iterdir()) == []
    assert {path.name for path in tmp_path.iterdir()} == {"temporary", "out"}
    for module in loaded[0].backbone.readout.modules():
        assert not module._forward_hooks
        assert not module._forward_pre_hooks
        assert not module._backward_hooks
        assert not module.training
    assert all(each.grad is None for each in loaded[0].backbone.readout.parameters())


def test_progress_reaches_the_end_of_every_step(run, monkeypatch, pared_down):
    monkeypatch.setattr("canemo.pipeline.explain.examine_case", lambda *_, **__: pd.DataFrame())
    told = {}
    canemo.explain_models(
        run, progress=lambda stage, done, total: told.update({stage: (done, total)}),
        regions="bands", methods=["contribution"],
    )  # fmt: skip
    assert set(told) == {"crop", "controls", f"explain {EXACT}"}
    assert all(done == total for done, total in told.values())


# -- what is claimed ------------------------------------------------------------------------------


def test_bands_say_what_they_cannot_tell(run, pared_down):
    write_landmarks(run.parent.parent / "landmarks.csv")
    found = canemo.explain_models(run, **QUICK)
    assert set(read_table(found.folder)["regions"]) == {BANDS}
    assert "Bands tell upper from lower face" in found.record.models[0].regions


def test_untested_maps_claim_no_pass(run, pared_down):
    found = canemo.explain_models(run, **QUICK)
    [method] = found.record.models[0].methods
    assert (method.passed, method.verdict, method.tested_crops) == (None, "not tested", 0)
    assert len(read_table(found.folder, "tests")) == 0
    page = Page(found.page.read_text(encoding="utf-8"))
    assert "exact contributions not tested." in page.text
    assert " pass " not in page.text


def test_other_label_turns_every_sign(run, tmp_path, pared_down):
    canemo.explain_models(run, out_dir=tmp_path / "a", **QUICK)
    canemo.explain_models(run, out_dir=tmp_path / "b", label="frustration", **QUICK)
    here, there = (np.load(tmp_path / name / "maps" / f"{EXACT}_contribution.npz") for name in "ab")
    np.testing.assert_allclose(there["logit"], -here["logit"], atol=1e-6)
    np.testing.assert_allclose(there["maps"], -here["maps"], atol=1e-6)


@pytest.mark.slow
def test_run_that_chose_its_pooling_by_inner_folds_is_explained(explainable_study, tmp_path):
    [run] = copy_run(explainable_study, tmp_path, EXACT)
    study = run.parent.parent
    config = canemo.load_config(
        study,
        overrides={
            "backbone": {
                "name": NETWORK, "weights": str(explainable_study.parent / "drawn.safetensors"),
            },
            "probe": {"pooling": "mean", "inner_folds": 2},
            "sweep": {"poolings": ("cls", "upper", "lower")},
            "evaluate": {"resamples": 100, "permutations": 100},
        },
    )  # fmt: skip
    swept = canemo.run(study, config=config, name="swept").folder
    found = canemo.explain_models(swept, regions="bands")
    [model] = found.record.models
    assert set(model.pooling.split(", ")) <= {"mean", "cls", "upper", "lower"}
    reads_cls = "cls" in model.pooling.split(", ")
    assert model.lead.name == ("gradient" if reads_cls else "contribution")
    # Other probes are asked; what covering places costs takes more dogs than these four.
    assert model.lead.verdict == "not tested where it counts"


@pytest.mark.slow
def test_run_trained_in_epochs_has_a_probe_that_has_not_seen_the_dog(explainable_study, tmp_path):
    copy_run(explainable_study, tmp_path)
    study = tmp_path / "study"
    config = canemo.load_config(
        study,
        overrides={
            "backbone": {"name": "efficientnet_lite0"},
            "probe": {"method": "gradient"},
            "gradient": {"epochs": 2, "feed": "views:1"},
            "evaluate": {"resamples": 100, "permutations": 100},
        },
    )
    run = canemo.run(study, config=config).folder
    found = canemo.explain_models(run, **QUICK)
    assert not [note for note in found.record.models[0].notes if "seen" in note]
    page = Page((run / "report.html").read_text(encoding="utf-8"))
    assert "it has seen those it is asked about here" not in page.text
    assert "has not learned from it, unless a note above says otherwise" in page.text
