import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import bench
from bench import limit, parity, speed
from bench.clips import as_study, choose_clips, copy_clip, loop_clip
from bench.lengths import measure_lengths
from bench.measurement import Measurement, load_or_draw, measure_peak_mib
from bench.paper_stack import time_paper_stack
from bench.parity import ParityRow, measure_parity
from bench.reference_size import LABELS, _draw_origin, measure_cost
from bench.scaling import measure_scaling
from bench.startup import measure_startup
from bench.tables import format_costs, format_machine, format_parity
from canemo.errors import CanemoError, ConfigError, EngineError
from canemo.files import sha256_file
from canemo.networks.backbones import load_backbone
from canemo.networks.engines import gates
from canemo.networks.engines.torch_engine import TorchEngine
from canemo.video.info import probe_video
from canemo.video.reader import iter_frames
from canemo.video.times import Sampling
from clips import read_number, write_clip
from painted import write_painted_study
from run import Part, app

LITE = "efficientnet_lite0"


# -- a study of the paper's size -------------------------------------------------------------------


def test_drawn_study_has_the_papers_shape():
    origin = _draw_origin(19_392)
    assert len(origin) == 19_392
    assert origin["video_id"].nunique() == 248
    assert origin["subject_id"].nunique() == 29
    clips = origin.drop_duplicates("video_id")
    assert clips["subject_id"].value_counts().between(8, 9).all()  # "roughly nine times"
    assert (clips["label"] == LABELS[0]).mean() == pytest.approx(1 / 3, abs=0.03)
    assert not origin.duplicated(["video_id", "frame_index"]).any()


def test_lines_hold_what_was_measured():
    embed, passes, probe = measure_cost([LITE], crops=1000)
    assert [embed.stage, passes.stage, probe.stage] == ["embed", "passes", "probe"]
    assert passes.items == 1000 + round(1000 * 8 * 22 / 29)
    assert passes.seconds == pytest.approx(passes.items / embed.items_per_second)
    assert (probe.items, embed.note) == (1000, "")
    assert probe.seconds > 0
    assert embed.peak_mib <= probe.peak_mib <= measure_peak_mib()


def test_preset_of_another_method_is_refused():
    with pytest.raises(ConfigError, match="learns by 'lda'"):
        measure_cost(preset="strict")


# -- clips -----------------------------------------------------------------------------------------


def test_looped_clip_repeats_the_frames_and_its_times_go_on(tmp_path):
    source = write_clip(tmp_path / "a.mp4", frames=20, rate=10)
    path = loop_clip(source, tmp_path / "long.mp4", 5.0)
    frames = list(iter_frames(path, sampling=Sampling(every_nth=1)))
    assert [read_number(frame.image_rgb) for frame in frames] == list(range(20)) * 3
    times = [frame.time_s for frame in frames]
    assert np.allclose(np.diff(times), 0.1)
    assert probe_video(path).duration_s == pytest.approx(6.0)


def test_copies_are_other_footage_with_the_same_frames(tmp_path):
    source = write_clip(tmp_path / "a.mp4", frames=5)
    copies = [copy_clip(source, tmp_path / f"{n}.mp4", n) for n in range(3)]
    assert len({sha256_file(path) for path in [source, *copies]}) == 4
    for path in copies:
        told = []
        frames = iter_frames(path, sampling=Sampling(every_nth=1), on_damage=told.append)
        assert [read_number(frame.image_rgb) for frame in frames] == list(range(5))
        assert told == []


def test_clips_given_are_taken_and_cut_short(tmp_path):
    write_clip(tmp_path / "b.mp4")
    write_clip(tmp_path / "deep.mp4")
    found = choose_clips([tmp_path], tmp_path / "drawn")
    assert [path.name for path in found] == ["b.mp4", "deep.mp4"]
    study = as_study(found, tmp_path, end_s=0.5)
    assert [video.end_s for video in study.videos] == [0.5, 0.5]
    assert study.labels == ("clip",)


# -- parts -----------------------------------------------------------------------------------------


def test_start_up_times_what_it_says(monkeypatch):
    ran = []
    monkeypatch.setattr("subprocess.run", lambda command, **_: ran.append(command[1:]))
    lines = measure_startup(rounds=2)
    assert ran == [["-m", "canemo", "--help"]] * 2 + [["-c", "import canemo"]] * 2
    assert [line.what for line in lines] == ["canemo --help", "import canemo"]
    assert all(0 < line.seconds < 1 for line in lines)


def test_operations_of_a_transformer_are_counted_with_its_attention():
    backbone, _ = load_or_draw("vits16")
    d, blocks, tokens, patch = 384, 12, 197, 3 * 16 * 16
    linear = 2 * tokens * 12 * d * d  # q, k, v, projection and an MLP four times as wide
    attention = 2 * 2 * tokens * tokens * d
    expected = blocks * (linear + attention) + 2 * (tokens - 1) * patch * d
    assert limit.count_operations(backbone) == pytest.approx(expected, rel=1e-3)


def test_limit_divides_the_operations_by_the_rate(monkeypatch):
    monkeypatch.setattr(limit, "MATRIX_SIDE", 256)
    *rates, bound, embed = limit.measure_limit([LITE])
    by_kind = {line.what: line for line in rates}
    assert {"float32", "int8"} <= set(by_kind) <= {"float32", "bfloat16", "int8"}
    assert {line.items for line in rates} == {2 * 256**3}
    float32 = by_kind["float32"]
    operations = limit.count_operations(load_backbone(LITE))
    assert bound.seconds == pytest.approx(8 * operations / float32.items_per_second)
    assert embed.note == f"{bound.seconds / embed.seconds:.0%} of the limit"


def test_drawn_weights_say_so(monkeypatch):
    monkeypatch.setattr("canemo.networks.backbones.is_reachable", lambda url: False)
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *args: None)
    backbone, note = load_or_draw("vits16")
    assert backbone.is_random
    assert note == "random weights: time only"
    assert load_or_draw(LITE)[1] == ""


@pytest.fixture
def painted_study(tmp_path, painted_detector, monkeypatch):
    monkeypatch.setattr(parity, "load_configured_detector", lambda config: painted_detector)
    monkeypatch.setattr("canemo.networks.engines.quantise.CALIBRATED_ON", 24)
    return write_painted_study(tmp_path / "study")


@pytest.mark.slow
def test_parity_compares_every_engine_on_crops_of_a_study(painted_study):
    pytest.importorskip("nncf", reason="needs the extra canemo[int8]")
    rows = measure_parity(painted_study, [LITE], crops=16)
    kinds = [(row.engine, row.precision) for row in rows]
    assert kinds == [
        ("torch", "float32"), ("torch", "bfloat16"), ("openvino", "float32"),
        ("openvino", "bfloat16"), ("openvino", "int8"),
    ]  # fmt: skip
    by_kind = dict(zip(kinds, rows, strict=True))
    assert by_kind["torch", "float32"].cosine == pytest.approx(1, abs=1e-6)
    assert by_kind["openvino", "float32"].passed
    assert by_kind["openvino", "float32"].points == 0
    assert by_kind["openvino", "int8"].cosine < by_kind["openvino", "float32"].cosine
    assert all(row.crops == 16 for row in rows)
    table = format_parity(rows)
    assert len(table.splitlines()) == 6
    assert "int8" in table


@pytest.mark.slow
def test_precision_that_misses_its_gate_is_refused_from_then_on(painted_study, monkeypatch):
    class Wrong(TorchEngine):
        def run(self, pixels):
            cls, *rest = super().run(pixels)
            return (cls.roll(1, dims=1), *rest)

    def build(network, engine, precision):
        if precision != "float32":
            raise EngineError("not here")
        return Wrong(network)

    monkeypatch.setattr(parity, "build_engine", build)
    rows = measure_parity(painted_study, [LITE], crops=16)
    wrong = next(row for row in rows if (row.engine, row.precision) == ("openvino", "float32"))
    assert wrong.passed is False
    assert "NO" in format_parity([wrong])
    network = load_backbone(LITE).network
    assert "missed its gate" in gates.read_refusal(network, "openvino", "float32")
    assert gates.read_refusal(network, "torch", "float32") == ""
    gates.refuse_precision(network, "openvino", "float32", "")


def test_parity_needs_crops_enough(painted_study):
    with pytest.raises(ConfigError, match="80 crops, 90 are wanted"):
        measure_parity(painted_study, [LITE], crops=90)


def test_points_are_the_larger_loss_either_way():
    rng = np.random.default_rng(0)
    dogs = np.repeat([f"dog{i}" for i in range(10)], 20)
    labels = np.tile(["a", "b"], 100)
    x = rng.normal(size=(200, 8)).astype(np.float32)
    x[labels == "b", 0] += 4
    table = pd.DataFrame({"label": labels, "subject_id": dogs})
    assert parity._compare_probes(x, x.copy(), table) == 0
    other = x.copy()
    other[:10] = -x[:10]  # the five of label "b" among them answer otherwise
    assert parity._compare_probes(x, other, table) == 2.5
    assert parity._compare_probes(x, x, table.assign(label="a")) is None


def test_row_passes_only_with_both_gates():
    def row(cosine, points):
        return ParityRow("b", "openvino", "int8", 200, cosine, 0.99, points, 1.0)

    assert row(0.99, 0.5).passed
    assert row(0.99, None).passed
    assert row(0.989, 0.0).passed is False
    assert row(1.0, 0.6).passed is False
    assert row(None, None).passed is None


def test_tables_name_the_machine_and_every_line():
    lines = [
        Measurement("matrix", "float32", 17_179_869_184, 0.1, None),
        Measurement("whole", "torch float32", 10, 4.0, 512.0, "2.0 x the paper's stack"),
    ]
    table = format_costs(lines).splitlines()
    assert table[1].split()[:3] == ["matrix", "float32", "17.2"]
    assert "171.8 G" in table[1]
    assert table[2].endswith("512  2.0 x the paper's stack")
    machine = {
        "processor": "Chip", "cores": 2,
        "packages": {"torch": "2", "openvino": None, "timm": "1", "av": "18"},
    }  # fmt: skip
    assert (
        format_machine(machine) == "Chip, 2 cores; torch 2, openvino not installed, timm 1, av 18"
    )


def test_memory_of_a_process_is_its_own():
    code = "from bench.measurement import measure_peak_mib; print(measure_peak_mib())"
    code = f"import json, types; {code}"
    before = bytearray(600 * 2**20)
    before[::4096] = b"x" * len(before[::4096])
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(bench.__file__).parents[1],
    )
    assert float(done.stdout) < measure_peak_mib() - 100


@pytest.mark.slow
def test_video_that_cannot_be_worked_on_is_named(tmp_path):
    clip = write_clip(tmp_path / "nobody.mp4")
    with pytest.raises(CanemoError, match=r"1\.mp4: .*NoFacesError.*no usable face"):
        measure_lengths([clip], lengths_s=[1.0])


# -- the command -----------------------------------------------------------------------------------


def invoke(*arguments):
    return CliRunner().invoke(app, [*arguments, "--quiet"])


def test_help_lists_every_part():
    told = invoke("-h").output
    assert all(part.value in told for part in Part)


def test_command_prints_the_machine_and_the_lines_of_each_part(monkeypatch):
    monkeypatch.setattr("bench.startup._start", lambda arguments: None)
    found = json.loads(invoke("startup", "--json").output)
    assert list(found) == ["machine", "startup"]
    assert found["machine"]["cores"] >= 1
    assert [line["what"] for line in found["startup"]] == ["canemo --help", "import canemo"]
    assert found["startup"][0]["items_per_second"] == 1 / found["startup"][0]["seconds"]
    assert "import canemo" in invoke("startup").output


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        (("memory", "--lengths", "30,long"), "'30,long': expected seconds"),
        (("parity",), "give a study with --study"),
        (("strangers",), "give their folder with --photographs"),
        (("speed", "--backbone", "a", "--backbone", "b"), "one --backbone at a time"),
    ],
)
def test_options_that_cannot_be_meant_are_refused(arguments, match):
    with pytest.raises(ConfigError, match=match):
        raise invoke(*arguments).exception


# -- with real work --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def drawn_clips(tmp_path_factory):
    return choose_clips([], tmp_path_factory.mktemp("drawn") / "study")[:2]


@pytest.mark.slow
def test_speed_compares_the_same_job(drawn_clips):
    lines = speed.measure_speed(drawn_clips, backbone=LITE, seconds=0.5, reference_frames=1)
    stages = [line.stage for line in lines]
    assert stages == [
        *["paper"] * 3, "decode", "paper", *["crop", "embed", "whole"] * 2, "embed", "eigencam",
    ]  # fmt: skip
    per_frame = {line.what.partition(",")[0]: line.seconds for line in lines[:3]}
    same_job, crop, embed, whole = lines[4:8]
    assert whole.items == crop.items == lines[3].items
    searched = crop.items * (per_frame["decode"] + per_frame["detect"])
    assert same_job.seconds == pytest.approx(searched + embed.items * per_frame["embed"])
    assert whole.note == f"{same_job.seconds / whole.seconds:.1f} x the paper's stack"


@pytest.mark.slow
def test_paper_stack_spends_its_time_on_the_detector(tmp_path):
    clip = write_clip(tmp_path / "a.mp4", frames=4, size=(320, 240))
    spent = time_paper_stack([clip], "vits16", frames_per_clip=1)
    assert spent["detect"] > 5 * spent["embed"] > 0
    assert spent["decode"] > 0


@pytest.mark.slow
def test_frame_costs_the_same_in_a_larger_study(drawn_clips):
    one, three = measure_scaling(drawn_clips, times=(1, 3))
    assert three.items == 3 * one.items
    ratio = (three.seconds / three.items) / (one.seconds / one.items)
    assert three.note.startswith(f"{ratio:.3f} x")
    assert ratio < 1.5  # on a busy machine; measured quietly it is a few hundredths


@pytest.mark.slow
def test_memory_line_is_of_a_process_of_its_own(drawn_clips):
    short, longer = measure_lengths(drawn_clips, lengths_s=(3.0, 24.0))
    assert longer.items > 6 * short.items
    assert longer.peak_mib < 1.1 * short.peak_mib
    assert longer.note == f"{longer.peak_mib / short.peak_mib:.3f} x the first line's memory"
