"""Whether an engine answers as torch does in float32, and what was found not to."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from canemo.files import hash_values, write_atomically
from canemo.networks.engines.machine import machine_cache
from canemo.networks.engines.protocol import ENGINES_VERSION, EngineName, FrozenNetwork, Precision

GATES: dict[Precision, float] = {"float32": 0.9995, "bfloat16": 0.999, "int8": 0.99}
"""Least cosine between what an engine gives for a picture and what torch gives in float32."""


def compute_cosines(a: Tensor, b: Tensor) -> Tensor:
    """Return the cosine between the answers to each of N pictures, (N,)."""
    return torch.nn.functional.cosine_similarity(a.flatten(1).double(), b.flatten(1).double())


def judge(cosine: float, precision: Precision) -> str:
    """Return why a precision with such a least cosine is refused, or nothing."""
    gate = GATES[precision]
    return "" if cosine >= gate else f"refused, cosine {cosine:.5f} under {gate}"


def refuse_precision(
    network: FrozenNetwork, engine: EngineName, precision: Precision, reason: str
) -> None:
    """Let ``auto`` no more take a precision that missed its gate; "" allows it."""
    path = _path_of_refusal(network, engine, precision)
    if reason:
        write_atomically(path, reason)
    else:
        path.unlink(missing_ok=True)


def read_refusal(network: FrozenNetwork, engine: EngineName, precision: Precision) -> str:
    """Return why a precision must not be taken, or nothing."""
    path = _path_of_refusal(network, engine, precision)
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def _path_of_refusal(network: FrozenNetwork, engine: EngineName, precision: Precision) -> Path:
    key = hash_values(
        version=ENGINES_VERSION,
        network=network.fingerprint,
        engine=engine,
        precision=precision,
    )
    return machine_cache() / "engines" / f"refused-{key}.txt"
