"""Weights files of canemo's own networks: safetensors that say their architecture and settings."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from canemo.errors import WeightsError
from canemo.files import write_atomically
from canemo.networks.weights import State, read_state

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    Settings = TypeVar("Settings", bound=DataclassInstance)


def stored_tensors(network: nn.Module) -> dict[str, Tensor]:
    """Return the tensors as the file holds them: matrices and kernels as float16."""
    return {
        name: (tensor.half() if tensor.ndim > 1 else tensor).contiguous().cpu()
        for name, tensor in network.state_dict().items()
    }


def write_network(
    network: nn.Module, path: Path, settings: DataclassInstance, *, architecture: str
) -> None:
    """Write a network and its settings to one file, complete or not at all.

    Matrices and kernels are stored as float16, vectors (biases, normalisation) as float32. Equal
    networks and settings give equal files.
    """
    metadata = {"architecture": architecture, "settings": json.dumps(asdict(settings))}
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, _sort_metadata(save(stored_tensors(network), metadata)))


def _sort_metadata(content: bytes) -> bytes:
    """Sort the metadata in a safetensors file, which the library writes in an order by chance."""
    start = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:start])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # the tensors behind it stay aligned
    return len(text).to_bytes(8, "little") + text + content[start:]


def read_metadata(path: Path) -> dict[str, str]:
    """Return what a safetensors file says about itself.

    Raises
    ------
    WeightsError
        If the file is missing, truncated or no safetensors file.
    """
    try:
        with safe_open(path, framework="pt") as file:
            return dict(file.metadata() or {})
    except (OSError, SafetensorError) as exc:
        raise WeightsError(f"{path}: cannot be read as a safetensors file ({exc}).") from exc


def read_settings(
    path: Path, kind: type[Settings], *, architectures: Collection[str], made_by: str
) -> tuple[str, Settings]:
    """Return the architecture and the settings in a file that `write_network` wrote.

    Parameters
    ----------
    path
        The file.
    kind
        The class of its settings.
    architectures
        Those that the caller can build.
    made_by
        What writes such files, for the message.

    Raises
    ------
    WeightsError
        If the file cannot be read, is damaged or holds another architecture.
    """
    metadata = read_metadata(path)
    architecture = metadata.get("architecture")
    if architecture is None or architecture not in architectures:
        wanted = " or ".join(repr(each) for each in sorted(architectures))
        raise WeightsError(
            f"{path}: holds the architecture {architecture!r}, {wanted} is wanted. Give a file "
            f"made by {made_by} of this version."
        )
    try:
        return architecture, kind(**json.loads(metadata["settings"]))
    except (KeyError, TypeError, ValueError) as exc:
        raise WeightsError(f"{path}: is damaged: its settings cannot be used ({exc}).") from exc


@contextmanager
def choose_weights(weights: Path | None, *, shipped: str) -> Iterator[Path]:
    """Yield the weights file that was asked for, or else the one that ships with canemo."""
    if weights is not None:
        yield weights
        return
    with resources.as_file(resources.files("canemo.faces") / "weights" / shipped) as path:
        yield path


def fill_network(network: nn.Module, path: Path) -> None:
    """Load the tensors of a file into a network, and set it to evaluation.

    Raises
    ------
    WeightsError
        If the file cannot be read, or a tensor does not fit.
    """
    tensors = read_state(path)
    wrong = first_mismatch(tensors, network.state_dict())
    if wrong is not None:
        raise WeightsError(f"{path}: is damaged: {wrong}.")
    network.load_state_dict(tensors)
    network.eval()


def first_mismatch(tensors: State, wanted: State) -> str | None:
    """Describe the first tensor that does not fit, in the order of the network."""
    for name, tensor in wanted.items():
        if name not in tensors:
            return f"the tensor {name} is missing"
        if tensors[name].shape != tensor.shape:
            return (
                f"the tensor {name} has the shape {tuple(tensors[name].shape)}, "
                f"{tuple(tensor.shape)} is wanted"
            )
    unknown = next((name for name in tensors if name not in wanted), None)
    return None if unknown is None else f"the tensor {unknown} is none of the network's"
