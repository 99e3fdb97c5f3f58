"""int8 by post-training quantisation, calibrated on the crops the network will see.

The quantised network is a pair of files in the machine's cache, under an address of network, crops
and versions. A saved model that was trained on its answers carries a copy.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import logging
import shutil
import uuid
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from canemo.engines.choice import compute_cosines
from canemo.engines.machine import adds_int8_safely, machine_cache
from canemo.engines.openvino_engine import convert_network, import_openvino
from canemo.engines.protocol import ENGINES_VERSION, FrozenNetwork
from canemo.engines.torch_engine import TorchEngine
from canemo.errors import ConfigError, EngineError, MissingExtraError
from canemo.files import hash_values, sha256_file

logger = logging.getLogger(__name__)

QUANTISED_FILE = "network.xml"
QUANTISED_FOLDER = "backbone_int8"
"""Where a saved model keeps its copy."""

CALIBRATION_CROPS = 128
COMPARED_AT_ONCE = 8


def quantise_network(network: FrozenNetwork, pixels: Tensor) -> Path:
    """Return the XML file of a network whose large products run in int8.

    Parameters
    ----------
    network
        What to quantise.
    pixels
        (N, 3, S, S) float32, N crops to find the ranges of the activations on.

    Raises
    ------
    MissingExtraError
        OpenVINO or NNCF is not installed.
    EngineError
        OpenVINO cannot convert the network, or NNCF cannot quantise it.
    """
    ov = import_openvino()
    nncf = _import_nncf()
    recipes = [nncf.OverflowFix.FIRST_LAYER]
    if not adds_int8_safely():  # then it may pay to leave half the range of the weights unused
        recipes.append(nncf.OverflowFix.ENABLE)
    key = hash_values(
        network=network.fingerprint,
        pixels=hashlib.sha256(pixels.numpy().tobytes()).hexdigest(),
        versions=(ENGINES_VERSION, ov.__version__, nncf.__version__),
        recipes=recipes,
    )
    folder = machine_cache() / "quantised" / key
    if not (folder / QUANTISED_FILE).is_file():
        logger.info("%s: calibrating int8 on %d crops", network.name, len(pixels))
        found = [_quantise(nncf, network, pixels, overflow) for overflow in recipes]
        best = max(found, key=lambda each: _compare(ov, each, network, pixels))
        _write(ov, best, folder)
    return folder / QUANTISED_FILE


def require_int8(engine: str, device: str) -> None:
    """Refuse int8 before any work is done where it cannot be had.

    Raises
    ------
    ConfigError
        The engine is torch, which has none, or the device is not the CPU.
    MissingExtraError
        OpenVINO or NNCF is not installed.
    """
    if engine == "torch":
        raise ConfigError("the engine torch has no int8; use --engine openvino for it")
    if device != "cpu":
        raise ConfigError(f"int8 runs on the CPU only; backbone.device is {device!r}")
    import_openvino()
    _import_nncf()


def hash_quantised(path: Path) -> str:
    """Return the content address of a pair of files, of which `path` is the XML file."""
    return hash_values(files=[sha256_file(path.with_suffix(each)) for each in (".xml", ".bin")])


def copy_quantised(source: Path, model_dir: Path) -> Path:
    """Copy the pair of files into a model's folder and return the XML file there."""
    folder = model_dir / QUANTISED_FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    for suffix in (".bin", ".xml"):
        shutil.copyfile(source.with_suffix(suffix), (folder / QUANTISED_FILE).with_suffix(suffix))
    return folder / QUANTISED_FILE


def _quantise(nncf: Any, network: FrozenNetwork, pixels: Tensor, overflow: Any) -> Any:
    crops = nncf.Dataset([part.numpy() for part in torch.split(pixels, 1)])
    # Attention and normalisation of transformers do not bear the default recipe.
    kind = None if network.channels_last else nncf.ModelType.TRANSFORMER
    model = convert_network(network)
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # its progress bars
            return nncf.quantize(
                model,
                crops,
                model_type=kind,
                subset_size=len(pixels),
                advanced_parameters=nncf.AdvancedQuantizationParameters(overflow_fix=overflow),
            )
    except (RuntimeError, ValueError) as exc:
        raise EngineError(
            f"NNCF cannot quantise the network {network.name} ({exc}); use another precision"
        ) from exc


def _compare(ov: Any, quantised: Any, network: FrozenNetwork, pixels: Tensor) -> float:
    """Return the least cosine between the answers of a quantised network and its own."""
    compiled = ov.Core().compile_model(quantised, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    torch_engine = TorchEngine(network)
    cosines = [
        compute_cosines(torch.from_numpy(compiled(part.numpy())[0]), torch_engine.run(part)[0])
        for part in torch.split(pixels, COMPARED_AT_ONCE)
    ]
    return float(torch.cat(cosines).min())


def _write(ov: Any, quantised: Any, folder: Path) -> None:
    """Write the files of a folder that appears complete or not at all."""
    temporary = folder.with_name(f".{folder.name}.{uuid.uuid4().hex[:8]}")
    temporary.mkdir(parents=True)
    try:
        ov.save_model(quantised, temporary / QUANTISED_FILE, compress_to_fp16=False)
        try:
            temporary.rename(folder)
        except OSError:  # another run was first
            if not (folder / QUANTISED_FILE).is_file():
                raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _import_nncf() -> Any:
    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)  # no word about CUDA
    try:
        import nncf
    except ImportError as exc:
        raise MissingExtraError(
            "backbone.precision = 'int8' needs NNCF, which is not installed; pip install "
            "'canemo[int8]'"
        ) from exc
    nncf.set_log_level(logging.ERROR)
    return nncf
