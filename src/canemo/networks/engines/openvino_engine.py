"""OpenVINO as an engine on CPUs: float32, bfloat16 where the processor has it, int8.

Converting a network takes a while; the compiled network is kept in the machine's cache. A file
there that cannot be read, or that another version wrote, is ignored and written anew.
"""

from __future__ import annotations

import copy
import io
import logging
import os
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from canemo.errors import ConfigError, EngineError, MissingExtraError, first_line
from canemo.files import hash_values, sha256_file, write_atomically
from canemo.networks.engines.machine import machine_cache
from canemo.networks.engines.protocol import (
    ENGINES_VERSION,
    NO_MEMORY,
    EngineName,
    FrozenNetwork,
    Precision,
)

logger = logging.getLogger(__name__)

_TRACING = threading.Lock()  # torch traces one network at a time
_HINTS = {"float32": "f32", "bfloat16": "bf16", "int8": "f32"}


class OpenVINOEngine:
    """Runs a network compiled by OpenVINO; see `canemo.networks.engines.protocol.Engine`.

    Parameters
    ----------
    network
        What to run.
    precision
        ``"int8"`` needs `quantised`.
    quantised
        The XML file of a network that `canemo.networks.engines.quantise` wrote, in place of the
        network's own float32; `canemo.networks.engines.choice.build_engine` finds it.

    Raises
    ------
    MissingExtraError
        OpenVINO is not installed.
    ConfigError
        The processor has no bfloat16, or int8 is asked for without a quantised network.
    EngineError
        OpenVINO cannot convert or compile the network.
    """

    name: EngineName = "openvino"
    device = "cpu"

    def __init__(
        self,
        network: FrozenNetwork,
        *,
        precision: Precision = "float32",
        quantised: Path | None = None,
    ) -> None:
        ov = import_openvino()
        _require_precision(precision, quantised)
        self.precision: Precision = precision
        self.quantised = quantised
        self._network_name = network.name
        weights = None if quantised is None else sha256_file(quantised.with_suffix(".bin"))
        self.fingerprint = hash_values(
            version=ENGINES_VERSION,
            engine=self.name,
            openvino=ov.__version__,
            precision=precision,
            quantised=weights,
        )
        self._request = _compile(ov, network, self, quantised).create_infer_request()

    def run(self, pixels: Tensor) -> tuple[Tensor, ...]:
        """Return what the network gives for (N, 3, S, S) float32 pixels, as float32."""
        try:
            results = self._request.infer([np.ascontiguousarray(pixels.numpy())])
        except RuntimeError as exc:
            if any(words in str(exc) for words in NO_MEMORY):
                raise MemoryError(str(exc)) from exc
            raise EngineError(
                f"OpenVINO cannot run the network {self._network_name} ({first_line(exc)}); use "
                "the engine torch"
            ) from exc
        return tuple(torch.from_numpy(np.array(each, np.float32)) for each in results.to_tuple())


@cache
def import_openvino() -> Any:
    """Return the module `openvino`, kept from telling its makers that it is being used.

    Raises
    ------
    MissingExtraError
        It is not installed, or cannot be loaded.
    """
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    os.environ.setdefault("NNCF_CI", "1")  # NNCF's own switch for its telemetry
    try:
        import openvino
    except ImportError as exc:
        raise MissingExtraError(
            f"the engine openvino cannot be used ({exc}); pip install openvino, or use the engine "
            "torch"
        ) from exc
    return openvino


def convert_network(network: FrozenNetwork) -> Any:
    """Return a network as an OpenVINO model that takes any number of pictures.

    Raises
    ------
    EngineError
        OpenVINO cannot convert it.
    """
    ov = import_openvino()
    side = network.side_px
    example = torch.zeros(2, 3, side, side)
    try:
        # Tracing warns of every branch that it fixes; all of them depend on sizes that stay.
        with _TRACING, _keep_root_log(), warnings.catch_warnings(), torch.inference_mode():
            warnings.simplefilter("ignore")
            return ov.convert_model(
                copy.deepcopy(network.module).cpu(),  # it may be on another device
                example_input=example,
                input=[-1, 3, side, side],
            )
    except Exception as exc:  # converting foreign networks can raise anything
        raise EngineError(
            f"OpenVINO cannot convert the network {network.name} ({first_line(exc)}); use the "
            "engine torch"
        ) from exc


@contextmanager
def _keep_root_log() -> Iterator[None]:
    """Undo what a conversion that fails leaves of the root logger: it hears of errors only."""
    root = logging.getLogger()
    level, handlers, filters = root.level, list(root.handlers), list(root.filters)
    try:
        yield
    finally:
        root.setLevel(level)
        root.handlers[:], root.filters[:] = handlers, filters


def has_openvino_bfloat16() -> bool:
    """Tell whether OpenVINO computes in bfloat16 on this processor."""
    capabilities = import_openvino().Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return "BF16" in capabilities


def _require_precision(precision: Precision, quantised: Path | None) -> None:
    if precision == "bfloat16" and not has_openvino_bfloat16():
        raise ConfigError(
            "backbone.precision = 'bfloat16': this processor has no bfloat16 arithmetic; use "
            "'float32' or 'auto'"
        )
    if (precision == "int8") != (quantised is not None):
        raise ConfigError("the precision int8 goes with a quantised network, and only it does")


def _compile(ov: Any, network: FrozenNetwork, engine: OpenVINOEngine, source: Path | None) -> Any:
    """Return the compiled network, from the machine's cache if it is there and can be read."""
    settings = {
        "INFERENCE_PRECISION_HINT": _HINTS[engine.precision],
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
    }
    core = ov.Core()
    key = hash_values(
        network=network.fingerprint,
        engine=engine.fingerprint,
        processor=core.get_property("CPU", "FULL_DEVICE_NAME"),
        settings=settings,
    )
    path = machine_cache() / "openvino" / f"{key}.blob"
    if path.is_file():
        try:
            return core.import_model(io.BytesIO(path.read_bytes()), "CPU", settings)
        except (RuntimeError, OSError) as exc:
            logger.info("%s: cannot be used (%s); compiled anew", path, first_line(exc))
    model = convert_network(network) if source is None else core.read_model(source)
    try:
        compiled = core.compile_model(model, "CPU", settings)
    except RuntimeError as exc:
        raise EngineError(
            f"OpenVINO cannot compile the network {network.name} ({first_line(exc)}); use the "
            "engine torch"
        ) from exc
    _keep(compiled, path)
    return compiled


def _keep(compiled: Any, path: Path) -> None:
    try:
        write_atomically(path, compiled.export_model().getvalue())
    except OSError as exc:  # a full or read-only disk costs time at the next start, no more
        logger.warning("%s: cannot be written (%s); it is compiled at every start", path, exc)
