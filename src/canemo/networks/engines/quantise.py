"""int8 by post-training quantisation, calibrated once per machine on drawn pictures.

The quantised network is a pair of files in the machine's cache, under an address of network, recipe
and versions. Whether it answers near enough is found on other drawn pictures than it was calibrated
on.
"""

from __future__ import annotations

import contextlib
import io
import logging
import shutil
import uuid
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from canemo.errors import ConfigError, EngineError, MissingExtraError
from canemo.files import hash_values
from canemo.networks.engines.gates import compute_cosines, judge, refuse_precision
from canemo.networks.engines.machine import adds_int8_safely, machine_cache
from canemo.networks.engines.openvino_engine import convert_network, import_openvino
from canemo.networks.engines.protocol import ENGINES_VERSION, FrozenNetwork
from canemo.networks.engines.torch_engine import TorchEngine

logger = logging.getLogger(__name__)

QUANTISED_FILE = "network.xml"
RECIPE_VERSION = 1
"""Changes with the pictures that are drawn and with how the network is quantised."""

CALIBRATED_ON, TRIED_ON = 256, 64
_CALIBRATION_SEED, _TRIAL_SEED = 0, 1
COMPARED_AT_ONCE = 8


def quantise_network(network: FrozenNetwork) -> Path:
    """Return the XML file of a network whose large products run in int8.

    It is made at the first call on a machine. Where it misses its gate on pictures it was not
    calibrated on, that is kept as a refusal, see `canemo.networks.engines.gates`.

    Raises
    ------
    MissingExtraError
        OpenVINO or NNCF is not installed.
    ConfigError
        There is nothing to calibrate the network on.
    EngineError
        OpenVINO cannot convert the network, or NNCF cannot quantise it.
    """
    ov, nncf = import_openvino(), _import_nncf()
    if network.draw is None:
        raise ConfigError(f"the network {network.name} has no int8: nothing to calibrate it on")
    recipes = [nncf.OverflowFix.FIRST_LAYER]
    if not adds_int8_safely():  # then it may pay to leave half the range of the weights unused
        recipes.append(nncf.OverflowFix.ENABLE)
    key = hash_values(
        network=network.fingerprint,
        versions=(ENGINES_VERSION, RECIPE_VERSION, ov.__version__, nncf.__version__),
        recipes=recipes,
    )
    folder = machine_cache() / "quantised" / key
    if not (folder / QUANTISED_FILE).is_file():
        logger.info("%s: calibrating int8 on drawn pictures, once", network.name)
        pixels = network.draw(CALIBRATED_ON, _CALIBRATION_SEED)
        found = [_quantise(nncf, network, pixels, overflow) for overflow in recipes]
        others = network.draw(TRIED_ON, _TRIAL_SEED)
        cosines = [_compare(ov, each, network, others) for each in found]
        nearest = max(cosines)
        refuse_precision(network, "openvino", "int8", judge(nearest, "int8"))
        _write(ov, found[cosines.index(nearest)], folder)
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
    # Its own `set_log_level` would also deafen handlers that others have put there.
    logging.getLogger("nncf").setLevel(logging.ERROR)
    return nncf
