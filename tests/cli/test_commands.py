import errno
import json
import re
import shutil
import sys
from html import escape

import pandas as pd
import pytest

from canemo import cli, embed_study, load_config
from canemo.config import read_config
from canemo.networks.backbone_specs import AUTO_ORDER
from canemo.report.words.explanation import format_explanation
from canemo.study.records.explanation import ExplanationRecord
from canemo.study.records.run import RunMetrics
from explained_runs import EXACT, READS_CLS, copy_run
from painted import PaintedFaceDetector, leave_undrawn, put_in_place, write_painted_study

LITE = "efficientnet_lite0"
FAST = [
    "--set", f"backbone.name={LITE}",
    "--set", "evaluate.resamples=200",
    "--set", "evaluate.permutations=100",
    "--set", "probe.penalties=[1.0]",
]  # fmt: skip


pytestmark = pytest.mark.usefixtures("painted_detector", "undrawn")


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    """A painted study whose clips are cropped and embedded already."""
    folder = tmp_path_factory.mktemp("study") / "study"
    write_painted_study(folder, subjects=3, clips=2)
    with pytest.MonkeyPatch.context() as patch:
        put_in_place(patch, PaintedFaceDetector())
        embed_study(folder, config=load_config(folder, overrides={"backbone": {"name": LITE}}))
    return folder


@pytest.fixture
def study(original, tmp_path):
    return shutil.copytree(original, tmp_path / "study")


@pytest.fixture
def uncropped(study):
    shutil.rmtree(study / "cache")
    return study


def test_no_arguments_show_help_and_wrong_ones_exit_2(canemo):
    assert "Start" in canemo()[1]
    code, _, err = canemo("run")
    assert code == 2
    assert "STUDY" in err


def test_version(canemo):
    assert canemo("--version")[1].startswith("canemo 0.")


def test_run_predict_report(canemo, study, tmp_path):
    code, out, err = canemo("run", study, *FAST)
    assert code == 0
    assert "clips" in out
    assert "report.html" in out
    assert "crop" in err  # progress does not mix with the result
    run = study / "runs" / "efficientnet_lite0"
    code, out, err = canemo("predict", run, study / "videos", "--out", tmp_path / "out")
    assert code == 0
    assert out.startswith("This model could not be told from chance (")  # three dogs of two clips
    assert "unless you ask with --anyway." in out
    assert f"results: {tmp_path / 'out' / 'results.xlsx'}" in err
    table = pd.read_csv(tmp_path / "out" / "predicted_videos.csv")
    assert table["predicted"].tolist() == ["undecided"] * 6
    again = ("predict", run, study / "videos", "--out", tmp_path / "out", "--anyway", "--force")
    code, out, err = canemo(*again, "--video")
    assert code == 0
    assert "only because you asked with --anyway." in out
    assert f"videos: {tmp_path / 'out' / 'annotated'}" in "".join(err.splitlines())
    table = pd.read_csv(tmp_path / "out" / "predicted_videos.csv")
    assert set(table["predicted"]) <= {"anticipation", "frustration"}
    assert set(table["model_verdict"]) == {"not told from chance"}
    code, _, err = canemo("predict", study, study / "videos", "--out", tmp_path / "new")
    assert code == 1
    assert f"give one of its runs: {run}" in err
    code, out, _ = canemo("report", run)
    assert (code, out) == (0, f"report: {run / 'report.html'}\ntables: {run / 'results.xlsx'}\n")
    assert (run / "results.xlsx").is_file()


def test_run_as_json_is_metrics_json(canemo, study):
    _, out, _ = canemo("--quiet", "run", study, *FAST, "--json")
    metrics = study / "runs" / "efficientnet_lite0" / "metrics.json"
    assert json.loads(out) == json.loads(metrics.read_text())


def test_run_without_a_backbone_takes_one_says_which_and_keeps_that(canemo, study, monkeypatch):
    monkeypatch.setattr("canemo.networks.auto.AUTO_ORDER", ("dino_vits8", LITE))
    code, out, err = canemo("run", study, *FAST[2:])
    assert code == 0
    said = " ".join(err.split())
    assert f"INFO network: {LITE} (may do better: dino_vits8, with internet once)" in said
    assert said.index("INFO network") < said.index("crop ")
    assert "not to be had" not in said
    run = study / "runs" / LITE
    assert str(run) in out
    assert read_config(run / "config.toml").backbone.name == LITE
    model = json.loads((run / "model" / "model.json").read_text(encoding="utf-8"))
    assert model["config"]["backbone"]["name"] == LITE
    protocol = RunMetrics.read(run / "metrics.json").protocol
    assert (protocol.backbone, "dino_vits8" in protocol.backbone_reason) == (LITE, True)
    report = (run / "report.html").read_text(encoding="utf-8")
    assert escape(protocol.backbone_reason, quote=False) in report
    assert canemo("--quiet", "verify", run)[0] == 0
    _, out, err = canemo("run", study, *FAST[2:], "--dry-run")
    assert f"the backbone auto is {LITE} here" in out
    assert "as for the study's latest run" in " ".join(err.split())


def test_success_says_where_each_file_went(canemo, study, tmp_path):
    sheet = tmp_path / "sheet.png"
    _, out, _ = canemo("crop", study, "--sheet", sheet)
    assert out.endswith(f"crops: {study / 'cache' / 'crops'}\nsheet: {sheet}\n")
    assert sheet.is_file()
    _, out, _ = canemo("embed", study, "--backbone", LITE)
    assert out.endswith(f"features: {study / 'cache' / 'features'}\n")
    assert list((study / "cache" / "features").iterdir())
    _, _, err = canemo("evaluate", study, *FAST)
    assert f"no number was written; `canemo run {study}` keeps them" in err


def test_quiet_shows_nothing_but_the_result(canemo, study):
    assert canemo("--quiet", "crop", study)[2] == ""


def test_predict_goes_past_a_bad_file_and_says_so_in_the_exit_code(canemo, study, tmp_path):
    canemo("run", study, *FAST)
    (study / "videos" / "broken.mp4").write_bytes(b"")
    code, _, err = canemo(
        "predict", study / "runs" / "efficientnet_lite0", study / "videos", "--out", tmp_path / "o"
    )
    assert code == 1
    assert "1 failed" in err
    assert len(pd.read_csv(tmp_path / "o" / "predicted_videos.csv")) == 7


def test_check_shows_the_clips_only_where_asked_and_says_where(canemo, study):
    shutil.rmtree(study / "cache", ignore_errors=True)
    canemo("check", study)
    assert not (study / "cache").exists()
    (study / "videos" / "dog1 clip1.mp4").write_bytes(b"")
    code, out, err = canemo("check", study, "--page")
    page = study / "check.html"
    assert code == 1
    assert "dog1 clip1.mp4" in out
    assert f"page: {page}" in "".join(err.splitlines())
    text = page.read_text(encoding="utf-8")
    assert "Nothing can be concluded about the condition" in text
    assert "Is empty (0 bytes)" in text
    assert "6 of 6 clips carry doubts: s0c0, s0c1, s1c0, ...; look at" in " ".join(err.split())
    crops = sorted((study / "cache" / "crops").iterdir())
    assert len(crops) == 5
    canemo("crop", study)
    assert sorted((study / "cache" / "crops").iterdir()) == crops


def test_check_of_tables_that_cannot_be_used_has_no_page(canemo, tmp_path):
    (tmp_path / "videos.csv").write_text("video_id,path\na,b.mp4\n", encoding="utf-8")
    code, _, err = canemo("check", tmp_path, "--page")
    assert code == 1
    assert err.strip() == "no page was written: mend the errors named above first"
    assert not (tmp_path / "check.html").exists()


def test_check_exits_1_where_nothing_can_be_concluded_and_names_problems(canemo, study):
    code, out, err = canemo("check", study)
    assert code == 1
    assert out.startswith("no problems found\n")
    assert "Nothing can be concluded about the condition: 3 dogs with 2 clips each" in out
    assert f"next, look at every clip: canemo check {study} --page" in "".join(err.splitlines())
    (study / "videos" / "dog0 clip0.mp4").unlink()
    code, out, _ = canemo("check", study)
    assert code == 1
    assert "dog0 clip0.mp4" in out
    found = json.loads(canemo("check", study, "--json")[1])
    assert found["problems"][0]["row"] == 2
    assert not found["can_conclude"]


def test_init_shows_the_table_and_names_what_did_not_match(canemo, study):
    (study / "videos.csv").unlink()
    (study / "videos" / "readme first.mp4").write_bytes(b"x")
    for clip in list((study / "videos").glob("dog*")):
        dog, number = clip.stem.split(" clip")
        clip.rename(clip.with_name(f"{dog}_{'ab'[int(number)]}_1.mp4"))
    code, out, err = canemo("init", study, "--pattern", "{subject_id}_{label}_{take}.mp4")
    assert code == 0
    assert "dog2" in out
    assert "readme first.mp4" in err
    assert "6 videos" in err
    code, _, err = canemo("init", study, "--pattern", "{subject_id}_{label}_{take}.mp4")
    assert code == 1
    assert "--force" in err


def test_stated_failure_is_one_line(canemo, tmp_path):
    code, out, err = canemo("run", tmp_path)
    assert (code, out) == (1, "")
    assert err.startswith("error: ")
    assert "this folder is empty" in " ".join(err.split())
    assert "Traceback" not in err


def test_setting_must_name_section_key_and_value(canemo, study):
    code, _, err = canemo("run", study, "--set", "margin=1")
    assert code == 1
    assert "SECTION.KEY=VALUE" in err
    assert "crop.margin" in canemo("run", study, "--set", "crop.margn=1")[2]


def test_full_disk_is_one_line_and_what_was_finished_is_kept(canemo, uncropped, monkeypatch):
    import pyarrow.parquet as pq

    real, written = pq.ParquetWriter.write_table, []

    def until_full(self, table, *args, **kwargs):
        if len(written) == 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        written.append(table)
        return real(self, table, *args, **kwargs)

    monkeypatch.setattr(pq.ParquetWriter, "write_table", until_full)
    code, _, err = canemo("crop", uncropped)
    assert code == 1
    assert "error: No space left on device" in err
    assert len(list((uncropped / "cache" / "crops").iterdir())) == 3
    monkeypatch.undo()


def test_interrupt_exits_130_and_says_how_to_continue(
    canemo, uncropped, painted_detector, monkeypatch
):
    def interrupted(images):
        raise KeyboardInterrupt

    monkeypatch.setattr(painted_detector, "detect", interrupted)
    code, _, err = canemo("crop", uncropped)
    assert code == 130
    assert "run the same command again to continue" in err


def test_doctor_names_backbones_and_where_their_weights_are(canemo):
    code, out, _ = canemo("doctor", "--json")
    assert code == 0
    found = json.loads(out)
    assert found["backbones"]["efficientnet_lite0"].startswith("ready")
    assert found["backbones"]["auto"].split(":")[0] in AUTO_ORDER
    assert "painted" in found["detectors"]
    assert "torch" in canemo("doctor")[1]


def test_presets_are_listed_and_printed(canemo):
    _, out, _ = canemo("presets")
    assert [line for line in out.splitlines() if line and line[0] != " "] == [
        "quick",
        "paper",
        "video",
        "strict",
    ]
    assert "betas = [0.0, 0.999]" in canemo("presets", "paper")[1]
    code, _, err = canemo("presets", "papre")
    assert code == 1
    assert "nearest is 'paper'" in err


def test_preset_with_too_few_dogs_for_its_split_says_how_many_are_wanted(canemo, study):
    code, _, err = canemo("run", study, "--preset", "paper", *FAST)
    assert code == 1
    assert "split 'holdout:7': expected a whole number from 1 to 2" in err


def test_compare_two_methods(canemo, study):
    code, out, _ = canemo(
        "compare", study, *FAST, "--method", "logistic", "--method", "sequence_mean",
        "--set", "sequence.epochs=5",
    )  # fmt: skip
    assert code == 0
    assert "logistic – sequence_mean" in out
    assert (study / "comparisons" / "models" / "report.html").is_file()
    content = json.loads((study / "comparisons" / "models" / "comparison.json").read_text())
    assert [model["name"] for model in content["models"]] == ["logistic", "sequence_mean"]


def test_compare_names_what_is_wrong_with_its_options(canemo, study):
    code, _, err = canemo("compare", study, "--weights", "nonsense")
    assert code == 1
    assert "expected BACKBONE=FILE" in err
    code, _, err = canemo("compare", study, "--method", "magic")
    assert code == 1
    assert "compare.methods.0 = 'magic'" in err


def test_compare_finished_runs_without_their_videos(canemo, study):
    runs = [study / "runs" / name for name in ("a", "b")]
    for run, pooling in zip(runs, ("cls", "mean"), strict=True):
        assert canemo("run", study, *FAST, "--name", run.name, "--pooling", pooling)[0] == 0
    shutil.rmtree(study / "videos")
    shutil.rmtree(study / "cache")
    code, out, _ = canemo("compare", *runs)
    assert code == 0
    assert out.startswith("6 clips of 3 dogs")
    assert "a – b" in out
    content = json.loads(canemo("compare", *runs, "--seed", 1, "--json")[1])
    metrics = json.loads((runs[0] / "metrics.json").read_text())
    assert content["runs"][0]["accuracy"] == metrics["levels"]["video"]["accuracy"]
    assert not (study / "comparisons").exists()


def test_compare_refuses_what_does_not_go_with_runs(canemo, tmp_path):
    runs = [tmp_path / name for name in ("a", "b")]
    for run in runs:
        run.mkdir()
        (run / "metrics.json").write_text("{}")
    code, _, err = canemo("compare", *runs, "--backbone", "vits16", "--fps", 2, "--force")
    assert code == 1
    assert "--backbone, --fps, --force: finished runs are compared as they are" in err
    for paths in ((*runs, tmp_path), (tmp_path, tmp_path)):
        code, _, err = canemo("compare", *paths)
        assert code == 1
        assert f"error: {tmp_path}: not a finished run, metrics.json is missing" in err
    code, _, err = canemo("compare", runs[0])
    assert code == 1
    assert "needs at least 2" in err


def test_frames_and_unknown_import_format(canemo, study, tmp_path):
    code, out, _ = canemo("frames", study, "--pick", "6", "--out", tmp_path / "faces")
    assert code == 0
    assert "6 frames of 3 subjects" in out
    code, _, err = canemo("detector", "import", tmp_path, study, "--format", "yolo")
    assert code == 1
    assert "'yolo' is unknown" in err


@pytest.fixture(scope="module")
def finished(original, tmp_path_factory):
    folder = shutil.copytree(original, tmp_path_factory.mktemp("finished") / "study")
    with pytest.MonkeyPatch.context() as patch:
        put_in_place(patch, PaintedFaceDetector())
        leave_undrawn(patch)
        patch.setattr(sys, "argv", ["canemo", "--quiet", "run", str(folder), *FAST])
        with pytest.raises(SystemExit):
            cli.main()
    return folder / "runs" / "efficientnet_lite0"


def test_audit_of_a_study_and_of_its_run_agree(canemo, finished):
    code, out, _ = canemo("--quiet", "audit", finished, "--json")
    assert code == 0
    of_run = json.loads(out)
    assert of_run == json.loads((finished / "metrics.json").read_text())["audit"]
    code, out, _ = canemo("--quiet", "audit", finished.parent.parent, *FAST, "--json")
    assert (code, json.loads(out)) == (0, of_run)
    code, out, _ = canemo("--quiet", "audit", finished)
    assert code == 0
    assert "split" in out
    assert "{" not in out


@pytest.mark.slow
def test_audit_with_confounds_keeps_them_in_the_run(canemo, finished, tmp_path):
    study = shutil.copytree(finished.parent.parent, tmp_path / "study")
    run = study / "runs" / finished.name
    code, out, _ = canemo("--quiet", "audit", run, "--confounds", "--json")
    assert code == 0
    battery = json.loads(out)["confounds"]
    kept = json.loads((run / "confounds.json").read_text())
    assert kept == {"format": "canemo.confounds", "schema": 1, **battery}
    for sentence in battery["verdict"]:
        assert sentence[1:40] in (run / "report.html").read_text(encoding="utf-8")
    assert canemo("--quiet", "verify", run)[0] == 0  # what needs pictures is no part of it


def test_audit_of_a_run_takes_the_runs_own_settings_only(canemo, finished):
    code, _, err = canemo("audit", finished, "--pooling", "mean")
    assert code == 1
    assert "--pooling" in err


def test_export_and_verify(canemo, finished, tmp_path):
    bundle = tmp_path / "run.zip"
    code, out, _ = canemo("export", finished, "--bundle", bundle)
    assert code == 0
    assert str(bundle) in out
    code, _, err = canemo("export", finished, "--bundle", bundle)
    assert code == 1
    assert "--force" in err
    assert canemo("export", finished, "--bundle", bundle, "--force")[0] == 0
    for place in (bundle, finished):
        code, out, _ = canemo("--quiet", "verify", place)
        assert code == 0
        assert out.endswith("everything agrees\n")
    assert json.loads(canemo("--quiet", "verify", bundle, "--json")[1])["agrees"] is True


def test_verify_exits_1_on_a_difference_and_names_it(canemo, finished, tmp_path):
    run = shutil.copytree(finished, tmp_path / "run")
    metrics = json.loads((run / "metrics.json").read_text())
    metrics["levels"]["video"]["accuracy"] = 0.123
    (run / "metrics.json").write_text(json.dumps(metrics))
    code, out, err = canemo("--quiet", "verify", run)
    assert (code, err) == (1, "")
    assert "changed or missing: metrics.json" in out
    assert re.search(r"video\.accuracy +0\.123 ", out)
    assert out.endswith("NOT everything agrees\n")
    code, out, _ = canemo("--quiet", "verify", run, "--json")
    assert code == 1
    assert json.loads(out)["sections"]["levels"]["differ"][0]["stored"] == 0.123


def test_what_cannot_be_exported_or_verified_is_one_line(canemo, finished, tmp_path):
    for arguments, words in (
        (("export", finished), "--bundle run.zip"),
        (("export", tmp_path, "--bundle", tmp_path / "b.zip"), "not a finished run"),
        (("verify", tmp_path), "not a finished run"),
        (("verify", tmp_path / "nothing.zip"), "there is nothing of that name"),
        (("audit", tmp_path), "this folder is empty"),
    ):
        code, out, err = canemo(*arguments)
        assert (code, out) == (1, "")
        assert err.startswith("error: ")
        assert words in " ".join(err.split())


def test_predict_abstains_and_refuses_what_cannot_be_promised(canemo, finished, tmp_path):
    videos = finished.parent.parent / "videos"
    code, out, _ = canemo("predict", finished, videos, "--out", tmp_path / "o", "--abstain", "0.4")
    assert code == 0
    assert "decided" in out
    code, _, err = canemo("predict", finished, videos, "--out", tmp_path / "p", "--abstain", "0.01")
    assert code == 1
    assert "no level below 1/4 = 0.25" in err
    assert not (tmp_path / "p").exists()


def test_evaluate_says_what_picking_the_best_setting_would_claim(canemo, finished):
    study = finished.parent.parent
    code, out, _ = canemo("--quiet", "evaluate", study, *FAST, "--show-optimism")
    assert code == 0
    swept = [*FAST, "--set", 'sweep.poolings=["upper","lower"]', "--show-optimism"]
    code, out, _ = canemo("--quiet", "evaluate", study, *swept)
    assert code == 0
    assert "3 settings" in out


# -- explain ---------------------------------------------------------------------------------------

QUICK = ["--regions", "bands", "--tests", "0", "--method", "gradient"]


@pytest.fixture
def runs(explainable_study, tmp_path):
    return copy_run(explainable_study, tmp_path, EXACT, READS_CLS)


def test_explain_prints_what_was_found_and_where_the_page_is(canemo, runs):
    code, out, err = canemo("explain", runs[0], *QUICK)
    assert code == 0
    record = ExplanationRecord.read(runs[0] / "explain" / "explanation.json")
    page = runs[0] / "explain" / "index.html"
    assert out == f"{format_explanation(record)}\n\npage: {page}\n"
    assert page.is_file()
    assert "explain mean" in err  # progress does not mix with the result


def test_explain_as_json_is_explanation_json(canemo, runs, tmp_path):
    place = tmp_path / "both"
    code, out, _ = canemo("--quiet", "explain", *runs, "--out", place, *QUICK, "--json")
    assert code == 0
    found = json.loads(out)
    assert found == json.loads((place / "explanation.json").read_text(encoding="utf-8"))
    assert [model["name"] for model in found["models"]] == [EXACT, READS_CLS]
    code, _, err = canemo("explain", *runs, "--out", place, *QUICK)
    assert code == 1
    assert "--force" in err


def test_explain_wants_a_run(canemo):
    code, out, err = canemo("explain")
    assert (code, out) == (2, "")
    assert "RUN" in err


@pytest.mark.parametrize(("option", "value"), [("--tests", "-1"), ("--per-clip", "0")])
def test_explain_wants_numbers_in_their_range(canemo, tmp_path, option, value):
    code, _, err = canemo("explain", tmp_path, option, value)
    assert code == 2
    assert option in err


def test_what_cannot_be_explained_is_one_line(canemo, runs, tmp_path):
    for arguments, words in (
        ((tmp_path,), "or say what to ask a saved model about with --crops"),
        (runs, "--out DIR"),
        ((runs[0], "--method", "magic"), "map 'magic' is unknown; there are contribution"),
        ((runs[0], "--truth", "tail"), "region 'tail': there are eyes"),
        ((runs[0], "--regions", "eyes"), "regions 'eyes': there are auto"),
        ((runs[0], "--label", "joy"), "label 'joy': the labels are anticipation, frustration"),
        ((runs[0], "--crops", tmp_path), "--out DIR"),
        ((runs[0] / "model", "--crops", tmp_path / "no", "--out", tmp_path / "o"), "no picture"),
    ):
        code, out, err = canemo("--quiet", "explain", *arguments)
        assert (code, out) == (1, "")
        assert err.startswith("error: ")
        assert words in " ".join(err.split())
        assert "Traceback" not in err


def test_explain_that_is_interrupted_says_how_to_continue(canemo, runs, monkeypatch):
    def interrupted(*args, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("canemo.pipeline.explain_files.draw_explanation", interrupted)
    code, _, err = canemo("explain", runs[0], *QUICK)
    assert code == 130
    assert "run the same command again" in err
    assert not [path.name for path in runs[0].iterdir() if "explain" in path.name]
