import os
import pickle
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Event, Thread

import pytest
import torch
from safetensors.torch import save_file

from canemo.errors import ConfigError, WeightsError
from canemo.files import sha256_file
from canemo.networks import weights
from canemo.networks.weights import (
    RANDOM_MARK,
    is_marked_random,
    is_reachable,
    read_state,
    require_device,
    verify_name,
)

STATE = {"conv.weight": torch.arange(6.0).reshape(2, 3), "conv.bias": torch.tensor([1.0, -2.0])}


def assert_is_state(found):
    assert set(found) == set(STATE)
    for name, tensor in STATE.items():
        assert torch.equal(found[name], tensor)


def write(path, state=STATE, **metadata):
    if path.suffix == ".safetensors":
        save_file(state, path, metadata=metadata or None)
    else:
        torch.save(state, path)
    return path


class Evil:
    """Unpickling it creates a file."""

    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return os.mkdir, (str(self.target),)


@pytest.mark.parametrize("name", ["w.safetensors", "w.pth", "w.pt", "w.bin"])
def test_every_kind_of_file_gives_the_same_tensors(tmp_path, name):
    assert_is_state(read_state(write(tmp_path / name)))


@pytest.mark.parametrize("key", ["state_dict", "model", "teacher"])
def test_wrappings_of_checkpoints_are_taken_off(tmp_path, key):
    path = tmp_path / "w.pth"
    assert_is_state(read_state(write(path, {"epoch": 3, key: {**STATE, "note": "x"}})))
    assert_is_state(read_state(write(path, {"state_dict": {key: STATE}, "optimizer": {}})))


@pytest.mark.parametrize("style", ["plain pickle", "torch", "torch, old format", "among tensors"])
def test_code_in_a_file_is_not_run(tmp_path, style):
    path, target = tmp_path / "w.pth", tmp_path / "was here"
    content = {**STATE, "x": Evil(target)} if style == "among tensors" else Evil(target)
    if style == "plain pickle":
        path.write_bytes(pickle.dumps(content))
    else:
        torch.save(content, path, _use_new_zipfile_serialization="old" not in style)
    with pytest.raises(WeightsError, match=r"w\.pth: .*files that hold code are refused"):
        read_state(path)
    assert not target.exists()
    if style == "plain pickle":  # the file does what is feared of it
        pickle.loads(path.read_bytes())
        assert target.exists()


@pytest.mark.parametrize("name", ["w.safetensors", "w.pth"])
@pytest.mark.parametrize("keep", [0.0, 0.3, 0.95])
def test_truncated_file_is_named(tmp_path, name, keep):
    path = write(tmp_path / name, {"a": torch.zeros(5000), **STATE})
    content = path.read_bytes()
    path.write_bytes(content[: int(keep * len(content))])
    with pytest.raises(WeightsError, match=rf"{name}: not a readable weights file") as caught:
        read_state(path)
    assert "\n" not in str(caught.value)


def test_what_is_no_state_dict_is_named(tmp_path):
    with pytest.raises(WeightsError, match="expected a state dict, found list"):
        read_state(write(tmp_path / "w.pth", [1, 2]))


def test_missing_file_is_no_traceback(tmp_path):
    for name in ("nowhere.pth", "nowhere-0123abcd.pth"):
        with pytest.raises(WeightsError, match=f"{name}: no such weights file"):
            read_state(tmp_path / name)


# -- names that hold a hash ------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["pth", "pt", "safetensors"])
@pytest.mark.parametrize("digits", [8, 16, 64])
def test_right_hash_in_the_name_passes_and_a_wrong_one_does_not(tmp_path, suffix, digits):
    plain = write(tmp_path / f"net.{suffix}")
    start = sha256_file(plain)[:digits]
    right = tmp_path / f"net-{start}.{suffix}"
    right.write_bytes(plain.read_bytes())
    assert_is_state(read_state(right))
    wrong = "0123abcd" * (digits // 8)
    path = tmp_path / f"net-{wrong}.{suffix}"
    path.write_bytes(plain.read_bytes())
    with pytest.raises(WeightsError, match=rf"starts with {start}, its publisher gave {wrong}"):
        read_state(path)


def test_hash_is_compared_before_anything_is_read(tmp_path):
    path = tmp_path / "net-0123abcd.pth"
    path.write_bytes(b"no weights at all")
    with pytest.raises(WeightsError, match="publisher gave 0123abcd"):
        read_state(path)


@pytest.mark.parametrize("name", ["net-v2.pth", "net-abc.pth", "0123abcd.pth", "a-0123abcg.pth"])
def test_names_without_a_hash_are_left_alone(tmp_path, name):
    assert_is_state(read_state(write(tmp_path / name)))


def hub_cache(tmp_path, content, blob_name):
    """Lay a file out as the hub's cache does: a link with a plain name to a blob."""
    blob = tmp_path / "models--x" / "blobs" / blob_name
    link = tmp_path / "models--x" / "snapshots" / "1a2b" / "model.safetensors"
    for path in (blob, link):
        path.parent.mkdir(parents=True, exist_ok=True)
    blob.write_bytes(content)
    link.symlink_to(os.path.relpath(blob, link.parent))
    return link


def test_blob_of_the_hubs_cache_is_compared_with_its_name(tmp_path):
    plain = write(tmp_path / "w.safetensors")
    content = plain.read_bytes()
    assert_is_state(read_state(hub_cache(tmp_path / "good", content, sha256_file(plain))))
    with pytest.raises(WeightsError, match=r"model\.safetensors: its SHA-256 starts with"):
        read_state(hub_cache(tmp_path / "bad", content, "0" * 64))
    # Small files of the hub are named by a git hash (40 digits), which cannot be compared.
    assert_is_state(read_state(hub_cache(tmp_path / "git", content, "0" * 40)))


def test_verify_name_says_nothing_where_all_is_well(tmp_path):
    assert verify_name(write(tmp_path / "w.pth")) is None


# -- random tensors --------------------------------------------------------------------------------


def test_random_weights_say_so_themselves(tmp_path):
    marked = write(tmp_path / "marked.safetensors", **{RANDOM_MARK: "seed 0"})
    assert is_marked_random(marked)
    assert_is_state(read_state(marked))
    assert not is_marked_random(write(tmp_path / "other.safetensors", note=RANDOM_MARK))
    assert not is_marked_random(write(tmp_path / "plain.safetensors"))
    assert not is_marked_random(write(tmp_path / "w.pth", {**STATE, RANDOM_MARK: 1}))


def test_a_date_in_a_name_is_no_hash(tmp_path):
    path = write(tmp_path / "ours-20230415.pth", {"a": torch.zeros(1)})
    assert read_state(path)["a"].item() == 0


def test_device_that_is_not_there_is_named():
    with pytest.raises(ConfigError, match="device = 'nowhere' cannot be used here"):
        require_device("nowhere", setting="device")


@contextmanager
def serving(status):
    """Yield the address of a server, or proxy, that answers everything with a status."""

    class Answers(BaseHTTPRequestHandler):
        def do_HEAD(self):
            self.send_response(status)
            self.end_headers()

        do_CONNECT = do_HEAD  # noqa: N815

        def log_message(self, *args):
            pass

    with HTTPServer(("127.0.0.1", 0), Answers) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/{status}"
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize(("status", "reached"), [(200, True), (404, True), (503, False)])
def test_a_server_is_reached_that_answers_and_is_not_out_of_order(status, reached):
    with serving(status) as url:
        assert is_reachable(url) is reached


def test_nothing_is_reached_where_nobody_answers_or_a_proxy_refuses(monkeypatch):
    with serving(403) as proxy:
        monkeypatch.setenv("https_proxy", proxy)
        assert not is_reachable("https://hub.invalid/refused")
    assert not is_reachable(proxy)  # it is gone


def test_a_server_that_hangs_is_waited_for_once_and_not_long(monkeypatch):
    asked, go_on = [], Event()
    monkeypatch.setattr(weights, "PATIENCE_S", 0.05)
    monkeypatch.setattr(weights, "_does_answer", lambda url: asked.append(url) or go_on.wait(5))
    assert not is_reachable("https://hangs.invalid")
    assert not is_reachable("https://hangs.invalid")
    go_on.set()
    assert asked == ["https://hangs.invalid"]
