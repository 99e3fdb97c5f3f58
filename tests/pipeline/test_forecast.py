import json
from fractions import Fraction
from types import SimpleNamespace

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from canemo.cli import app
from canemo.config import VideoConfig, load_config
from canemo.errors import OutputExistsError, StudyError
from canemo.networks.engines.choice import Choice, Trial
from canemo.networks.engines.machine import machine_cache
from canemo.pipeline.forecast import Forecast, Stage, count_frames, foresee_run
from canemo.pipeline.rates import keep_rate, recall_rate
from canemo.pipeline.run import run
from canemo.records import Video
from canemo.video.info import probe_video
from canemo.video.reader import VideoReader
from canemo.video.times import Sampling
from clips import write_clip
from painted import write_painted_study

LITE = "efficientnet_lite0"
CLIPS, FRAMES = 16, 5


@pytest.fixture(autouse=True)
def new_machine(tmp_path, monkeypatch):
    monkeypatch.setenv("CANEMO_CACHE_DIR", str(tmp_path / "machine"))


@pytest.fixture
def study(tmp_path, painted_detector, undrawn):
    return write_painted_study(tmp_path / "study", frames=FRAMES)


def configure(study, **backbone):
    settings = {"name": LITE, "engine": "torch", "precision": "float32", **backbone}
    overrides = {
        "backbone": settings,
        "evaluate": {"resamples": 100, "permutations": 100},
    }
    return load_config(study, overrides=overrides)


def foresee(study, **backbone):
    return foresee_run(study, configure(study, **backbone), name="one")


def take_picture(folder):
    """Return every file below a folder with its time."""
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*")}


def by_name(forecast):
    return {stage.name: stage for stage in forecast.stages}


def test_before_and_after_a_run(tmp_path, study, small_network):
    before = take_picture(tmp_path)
    forecast = foresee(study, **small_network)
    assert take_picture(tmp_path) == before
    assert (forecast.videos, forecast.cropped, forecast.embedded) == (CLIPS, 0, 0)
    assert [stage.name for stage in forecast.stages] == [
        "load", "crop", "measure", "embed", "evaluate", "trust", "model", "look", "explain",
        "report",
    ]  # fmt: skip
    told = by_name(forecast)
    assert (told["crop"].items, told["crop"].unit, told["crop"].cached) == (80, "frames", 0)
    assert (told["embed"].items, told["embed"].cached) == (80, 0)
    assert forecast.unknown == tuple(told)[1:]
    assert forecast.seconds == told["load"].seconds > 0

    result = run(study, config=configure(study, **small_network), name="one")
    after = take_picture(tmp_path)
    forecast = foresee(study, **small_network)
    assert take_picture(tmp_path) == after
    assert (forecast.cropped, forecast.embedded) == (CLIPS, CLIPS)
    told, cost = by_name(forecast), result.metrics.cost
    assert told["crop"].cached == told["crop"].items == 80
    assert told["embed"].cached == told["embed"].items == cost["embed"].items
    assert told["crop"].seconds == told["embed"].seconds == 0
    for name in ("evaluate", "trust", "model", "look", "explain"):
        assert told[name].seconds == pytest.approx(cost[name].seconds)
    assert forecast.unknown == ()
    rest = sum(told[name].seconds for name in told)
    assert forecast.seconds == pytest.approx(rest)

    write_clip(study / "videos" / "new.mp4", frames=10, rate=5, size=(160, 120))
    with (study / "videos.csv").open("a", encoding="utf-8") as table:
        table.write("new,videos/new.mp4,dog0,frustration\n")
    grown = by_name(foresee_run(study, configure(study, **small_network), name="two"))
    assert (grown["crop"].items, grown["crop"].cached) == (90, 80)
    assert grown["crop"].seconds == pytest.approx(cost["crop"].seconds / 80 * 10)
    used = told["embed"].items
    assert grown["embed"].seconds == pytest.approx(cost["embed"].seconds / used * 10)
    longer = (used + 10) / used
    assert grown["evaluate"].seconds == pytest.approx(cost["evaluate"].seconds * longer)


def test_room_on_the_disk_is_that_of_the_features_and_said_where_there_is_too_little(
    study, small_network, monkeypatch
):
    told = by_name(foresee(study, **small_network))
    run(study, config=configure(study, **small_network), name="one")
    files = list((study / "cache" / "features").glob("*.parquet"))
    sizes = {path.stat().st_size for path in files if len(pq.read_table(path).columns) > 1}
    assert told["embed"].bytes / CLIPS == pytest.approx(min(sizes), rel=0.5)
    assert told["crop"].bytes == 80 * 30_000
    assert told["evaluate"].bytes == 0
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=5_000_000))
    found = foresee_run(study, configure(study, **small_network), name="one")
    assert by_name(found)["crop"].bytes == by_name(found)["embed"].bytes == 0
    assert found.bytes == 10_000_000
    assert "has room for 5 MB only" in found.notes[-1]


def test_other_settings_are_another_matter(study, small_network):
    run(study, config=configure(study, **small_network), name="one")
    told = foresee_run(study, configure(study, **small_network, batch_size=4), name="two")
    assert (told.cropped, told.embedded) == (CLIPS, 0)
    assert by_name(told)["embed"].seconds is None
    with pytest.raises(OutputExistsError, match="made from other settings"):
        foresee(study, **small_network, batch_size=4)


def test_what_a_run_refuses_is_refused(study):
    rows = (study / "videos.csv").read_text(encoding="utf-8").replace("anticipation", "frustration")
    (study / "videos.csv").write_text(rows, encoding="utf-8")
    with pytest.raises(StudyError, match="at least two labels"):
        foresee(study)


def test_engines_that_were_not_measured_are_named(study, monkeypatch):
    monkeypatch.setattr("canemo.pipeline.forecast.recall_choice", lambda network, **_: None)
    forecast = foresee(study, engine="auto", precision="auto")
    (note,) = forecast.notes
    assert note.startswith(f"{LITE}: ")
    assert "canemo doctor --measure" in note
    assert "embed" in forecast.unknown


def test_speed_that_was_measured_for_the_choice_of_engines_is_taken(study, monkeypatch):
    trials = (Trial("torch", "float32", 40.0, 1.0), Trial("openvino", "float32", 20.0, 1.0))
    known = Choice("torch", "float32", trials)
    monkeypatch.setattr("canemo.pipeline.forecast.recall_choice", lambda network, **_: known)
    forecast = foresee(study, engine="auto", precision="auto")
    assert by_name(forecast)["embed"].seconds == pytest.approx(80 / 40)
    assert forecast.notes == ()


def test_views_of_the_method_gradient_are_counted(study):
    config = configure(study)
    config = config.model_copy(
        update={"probe": config.probe.model_copy(update={"method": "gradient"})}
    )
    told = by_name(foresee_run(study, config, name="one"))
    assert (told["augment"].items, told["augment"].unit) == (80 * 8, "views")


def test_video_that_cannot_be_read_is_named(study):
    path = study / "videos" / "dog0 clip0.mp4"
    path.write_bytes(b"no video")
    forecast = foresee(study)
    assert by_name(forecast)["crop"].items == 75
    (note,) = forecast.notes
    assert path.name in note


@pytest.mark.parametrize(
    "sampling", [{"fps": 2.0}, {"fps": 30.0}, {"every_nth": 1}, {"every_nth": 3}]
)
@pytest.mark.parametrize("part", [(None, None), (0.5, 1.3), (1.0, 99.0), (None, 0.7)])
@pytest.mark.parametrize("rate", [10, Fraction(30000, 1001)])
def test_frames_are_counted_as_they_will_be_looked_at(tmp_path, sampling, part, rate):
    path = write_clip(tmp_path / "a.mp4", frames=20, rate=rate, size=(64, 48))
    video = Video("a", path, "dog", "label", start_s=part[0], end_s=part[1])
    settings = VideoConfig(**sampling)
    found = VideoReader(
        path,
        sampling=Sampling(every_nth=settings.every_nth, fps=settings.fps),
        start_s=part[0],
        end_s=part[1],
    )
    with found as frames:
        looked_at = sum(1 for _ in frames)
    assert abs(count_frames(video, probe_video(path), settings) - looked_at) <= 1


def test_rates_are_kept_for_what_decides_them():
    keep_rate(6.0, 3, stage="crop", detector="a")
    assert recall_rate(stage="crop", detector="a") == 2.0
    assert recall_rate(stage="crop", detector="b") is None
    (path,) = (machine_cache() / "rates").iterdir()
    path.write_text("{}")
    assert recall_rate(stage="crop", detector="a") is None


def test_crops_are_embedded_while_others_are_cut():
    def stage(name, seconds):
        return Stage(name, "crops", 1, 0, seconds)

    forecast = Forecast(1, 0, 0, (stage("crop", 3.0), stage("embed", 5.0), stage("model", 1.0)), ())
    assert forecast.seconds == 6.0


def test_command_says_it_and_does_nothing(tmp_path, study):
    before = take_picture(tmp_path)
    options = ["run", str(study), "--backbone", LITE, "--engine", "torch", "--precision", "float32"]
    options.append("--dry-run")
    table = CliRunner().invoke(app, options)
    assert table.exit_code == 0
    lines = table.stdout.splitlines()
    assert lines[0].startswith("16 videos, 0 of them cropped and 0 embedded already")
    assert " ".join(lines[3].split()) == "find and crop faces 80 frames 0 – 2.4"
    assert lines[-2].startswith("in all")
    assert lines[-1].startswith(
        "not known, and not counted: find and crop faces, find points of the faces, compute "
    )
    told = json.loads(CliRunner().invoke(app, [*options, "--json"]).stdout)
    assert told["videos"] == CLIPS
    assert told["stages"][1] == {
        "name": "crop", "unit": "frames", "items": 80, "cached": 0, "seconds": None,
        "bytes": 80 * 30_000,
    }  # fmt: skip
    assert take_picture(tmp_path) == before
