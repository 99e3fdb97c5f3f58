"""Runs that read regions and measures of the face are explained by the points they were made by."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image as PilImage

import canemo
from canemo.config import load_config
from canemo.errors import ConfigError
from canemo.explain.decision import Decision
from canemo.features.store import load_pooled
from canemo.learn.evidence import read_evidence
from canemo.learn.fold_files import read_folds
from canemo.parallel import silent
from canemo.pipeline.explain_inputs import load_explained_run
from canemo.pipeline.known_faces import PictureFaces
from canemo.pipeline.plan import prepare_again
from canemo.report.words.explanation import format_explanation, write_sentence
from canemo.species import GENERIC
from canemo.study.records.folders import read_run
from explained_runs import LABELS, NETWORK, copy_run, write_landmarks
from painted import PaintedFaceDetector, put_in_place

MIXED, OWN = "mixed", "own"
RENAMED = {
    "eye_inner_left": "leftEyeInner", "eye_outer_left": "leftEyeOuter",
    "eye_inner_right": "rightEyeInner", "eye_outer_right": "rightEyeOuter",
    "nose_top": "noseTop", "chin": "chinTip", "ear_tip_left": "leftEarTip",
}  # fmt: skip


def run_study(study, name, pooling, **overrides):
    settings = {
        "backbone": {"name": NETWORK, "weights": str(study.parent / "drawn.safetensors")},
        "probe": {"pooling": pooling, "inner_folds": 2, "method": "lda", "penalties": (0.9,)},
        "evaluate": {"resamples": 100, "permutations": 100},
        **overrides,
    }
    canemo.run(study, config=load_config(study, overrides=settings), name=name)
    return study / "runs" / name


@pytest.fixture(scope="module")
def runs(explainable_study, tmp_path_factory):
    """Explained runs on tokens of the muzzle with geometry, and on a few points of the study's own.

    No point of one clip is known there, and of another one is missing.
    """
    folder = tmp_path_factory.mktemp("faces")
    copy_run(explainable_study, folder)
    (folder / "drawn.safetensors").write_bytes(
        (explainable_study.parent / "drawn.safetensors").read_bytes()
    )
    study, found = folder / "study", {}
    with pytest.MonkeyPatch.context() as patch:
        put_in_place(patch, PaintedFaceDetector())
        patch.setattr("canemo.pipeline.run.draw_examples", lambda *_, **__: None)
        patch.setattr("canemo.pipeline.explain_files.draw_explanation", lambda *_, **__: None)
        patch.setattr("canemo.pipeline.explain.write_report", lambda run_dir: None)
        run = run_study(study, MIXED, "region:muzzle*0.6,geometry*0.4")
        found[MIXED] = canemo.explain_models(run, regions="bands")
        table = pd.read_csv(write_landmarks(study / "landmarks.csv"))
        table = table[table["point"].isin(RENAMED)].replace({"point": RENAMED})
        is_missing = (table["video_id"] == "s1c0") & (table["point"] == "chinTip")
        table = table[(table["video_id"] != "s0c0") & ~is_missing]
        table.to_csv(study / "landmarks.csv", index=False)
        run = run_study(study, OWN, "geometry")
        found[OWN] = canemo.explain_models(run)
    return found


@pytest.fixture
def painted(monkeypatch):
    put_in_place(monkeypatch, PaintedFaceDetector())


def read_folder(found, name):
    return pd.read_parquet(found.folder / f"{name}.parquet")


def list_kept_logits(run):
    """The logit of each crop by the kept features and the probe of its fold, by video and frame."""
    record = read_run(run)
    plan = prepare_again(run, read_evidence(record))
    logits = {}
    for video in plan.study.videos:
        crops = plan.extraction.crop(video)
        [fold] = [f for f in read_folds(run) if video.subject_id in f.subjects.test]
        decision = Decision(fold.classifier, fold.pooling, record.metrics.protocol.positive_label)
        file = plan.extraction.embed(crops, plan.extraction.measure(crops))[0]
        origin, pooled = load_pooled([(crops, file.path)], fold.pooling)
        own = decision.measure_logits(pooled)
        logits |= {
            (video.video_id, int(frame)): each
            for frame, each in zip(origin["frame_index"], own, strict=True)
        }
    return logits


@pytest.mark.parametrize("name", [MIXED, OWN])
def test_logits_are_those_of_the_run_and_parts_sum_to_them(runs, painted, name):
    found = runs[name]
    rows, columns = read_folder(found, "explained"), read_folder(found, "geometry")
    rows = rows.drop_duplicates(["video_id", "frame_index"])
    kept = list_kept_logits(found.folder.parent)
    wanted = [kept[v, f] for v, f in rows[["video_id", "frame_index"]].itertuples(index=False)]
    # Features are kept as float16.
    np.testing.assert_allclose(rows["logit"], wanted, rtol=1e-3, atol=0.02)
    blocks = [name for name in rows if name.startswith("block_")]
    np.testing.assert_allclose(
        rows[blocks].sum(axis=1) + rows["intercept"], rows["logit"], atol=1e-4
    )
    evidence = columns[[name for name in columns if name.startswith("evidence_")]].sum(axis=1)
    np.testing.assert_allclose(evidence, rows["block_geometry"], atol=1e-4)


def test_map_and_measures_of_a_mix_sum_to_the_logit(runs):
    found = runs[MIXED]
    rows = read_folder(found, "explained").query("method == 'contribution'").reset_index()
    maps = np.load(found.folder / "maps" / f"{MIXED}_contribution.npz")["maps"]
    total = maps.sum(axis=(1, 2)) + rows["block_geometry"] + rows["intercept"]
    np.testing.assert_allclose(total, rows["logit"], atol=1e-3)
    [model] = found.record.models
    assert [row.region for row in model.blocks] == ["region:muzzle", "geometry", "all"]
    assert [method.name for method in model.methods] == ["contribution", "eigencam"]
    assert len(model.methods[0].checks) == 5


def test_a_probe_that_reads_no_pixels_has_measures_and_no_map(runs):
    found = runs[OWN]
    [model] = found.record.models
    assert model.methods == model.occlusion == ()
    assert {point.region for point in model.geometry.points} == {"eyes", "muzzle", "ears"}
    assert len(model.geometry.points) == len(RENAMED)
    assert not (found.folder / "overlays").exists()
    page = found.page.read_text(encoding="utf-8")
    assert "so no map is claimed and the tests of maps do not apply" in page
    assert "What the maps are worth" not in page
    assert "Point by point" in page
    assert write_sentence(model) in format_explanation(found.record)


def test_faces_without_points_are_counted_in_a_note(runs):
    [model] = runs[OWN].record.models
    assert model.geometry.unseen == 1
    assert any(
        note.startswith("no point is known of the face in 1 crop(s)") for note in model.notes
    )


def test_a_map_of_what_reads_no_pixels_is_refused(runs, painted):
    run = runs[OWN].folder.parent
    with pytest.raises(ConfigError, match="no pixels: there is nothing that --method occl"):
        canemo.explain_models(run, methods=["occlusion"], tests=0)


def test_pictures_are_measured_by_what_the_model_was_made_with(runs, painted, tmp_path):
    crops = tmp_path / "crops"
    crops.mkdir()
    model = load_explained_run(
        runs[MIXED].folder.parent, per_clip=1, label=None, regions="bands", landmarks=None,
        with_controls=False, progress=silent,
    )  # fmt: skip
    for number, image in enumerate(model.read(model.rows[:3])):
        PilImage.fromarray(image).save(crops / f"{number}.png")
    found = canemo.explain_models(
        runs[MIXED].folder.parent, crops=crops, out_dir=tmp_path / "out", tests=0, regions="bands"
    )
    [record] = found.record.models
    assert not record.is_labelled
    assert record.geometry.measures[0].means.keys() <= set(LABELS)
    table = read_folder(found, "explained").query("method == 'contribution'")
    own = model.look(model.rows[:3], model.read(model.rows[:3])).geometry
    names = [name for name in read_folder(found, "geometry") if name == "mouth_opening"]
    shown = read_folder(found, "geometry")[names[0]]
    np.testing.assert_allclose(shown, own[:, 0], atol=0.02)
    assert len(table) == 3


def test_without_points_regions_are_bands_and_nothing_is_measured():
    backbone = type("Grid", (), {"grid_shape": (6, 6)})()
    faces = PictureFaces(None, GENERIC, backbone)
    found = faces.look(pd.DataFrame(), [np.zeros((9, 9, 3), np.uint8)] * 2)
    assert faces.names == ()
    assert found.geometry is None
    assert found.regions == ("upper", "middle", "lower")
    assert found.cover.shape == (2, 3, 36)
    np.testing.assert_array_equal(found.cover[0], found.cover[1])
