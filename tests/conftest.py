"""What tests share. What takes long to import is imported where it is used: the process that deals
tests out to others runs none."""

from __future__ import annotations

import gc
import logging
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from canemo.networks.engines.choice import Choice
    from painted import PaintedFaceDetector

os.environ["HF_HUB_OFFLINE"] = "1"  # no test asks the model hub; read when its client is imported


def pytest_collection_finish() -> None:
    """Take what was imported, which stays, out of what the garbage collector goes through."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """On small images and networks threads wait for each other more than they work."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def canemo(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[object, str, str]]:
    """The program: called with its arguments, it returns exit code, stdout and stderr."""
    from canemo import cli

    def call(*arguments: object) -> tuple[object, str, str]:
        monkeypatch.setattr(sys, "argv", ["canemo", *map(str, arguments)])
        with pytest.raises(SystemExit) as caught:
            cli.main()
        out, err = capsys.readouterr()
        return caught.value.code or 0, out, err

    return call


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real photographs and clips, where they are; they are no part of the project."""
    folder = Path(__file__).resolve().parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("needs real photographs and clips beside the checkout, in ../shared/data")
    return folder


@pytest.fixture(scope="session", autouse=True)
def _one_engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Let ``auto`` mean torch in float32: what is fastest here is no matter of most tests."""
    from canemo.networks.engines.choice import Choice

    def choose(
        network: object,
        *,
        engine: str = "auto",
        precision: str = "auto",
        device: str = "cpu",
        again: bool = False,
    ) -> Choice:
        return Choice(
            ("openvino" if precision == "int8" else "torch") if engine == "auto" else engine,
            "float32" if precision == "auto" else precision,
            (),
        )

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("canemo.networks.engines.choice.choose_engine", choose)
        patch.setenv("CANEMO_CACHE_DIR", str(tmp_path_factory.mktemp("machine_cache")))
        yield


@pytest.fixture(autouse=True)
def _log_of_warnings() -> None:
    """Let canemo's log have warnings and no more, whatever earlier tests told it or the root's."""
    log = logging.getLogger("canemo")
    log.setLevel(logging.WARNING)
    log.handlers.clear()
    logging.disable(logging.NOTSET)


@pytest.fixture
def painted_detector(monkeypatch: pytest.MonkeyPatch) -> PaintedFaceDetector:
    """The detector of painted faces in place of whichever is asked for."""
    from painted import PaintedFaceDetector, put_in_place

    return put_in_place(monkeypatch, PaintedFaceDetector())


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests that look at no picture: figures are made up and come out as one pixel."""
    from painted import leave_undrawn

    leave_undrawn(monkeypatch)


@pytest.fixture(scope="session")
def small_network(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Settings of a backbone for tests of all but what it sees."""
    from painted import draw_small_network

    return draw_small_network(tmp_path_factory.mktemp("network"))


@pytest.fixture(scope="session")
def explainable_study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A painted study with two finished runs; tests that write into it take a copy."""
    from explained_runs import write_explainable_study

    return write_explainable_study(tmp_path_factory.mktemp("explainable"))
