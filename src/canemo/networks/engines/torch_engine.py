"""torch as an engine: CPU in float32 or bfloat16, CUDA likewise."""

from __future__ import annotations

import torch
from torch import Tensor

from canemo.errors import ConfigError
from canemo.files import hash_values
from canemo.networks.engines.machine import has_bfloat16
from canemo.networks.engines.protocol import NO_MEMORY, EngineName, FrozenNetwork, Precision


class TorchEngine:
    """Runs a network eagerly; see `canemo.networks.engines.protocol.Engine`.

    Parameters
    ----------
    network
        What to run; it is moved to the device.
    device
        A torch device, e.g. ``"cpu"`` or ``"cuda"``.
    precision
        ``"bfloat16"`` runs the large products in it (autocast), the rest in float32.
    emulate
        Run bfloat16 also where the processor only emulates it: right answers, slowly.

    Raises
    ------
    ConfigError
        The precision is int8, or the processor has no bfloat16.
    """

    name: EngineName = "torch"

    def __init__(
        self,
        network: FrozenNetwork,
        *,
        device: str = "cpu",
        precision: Precision = "float32",
        emulate: bool = False,
    ) -> None:
        if precision == "int8":
            raise ConfigError("the engine torch has no int8; use the engine openvino for it")
        if precision == "bfloat16" and not emulate:
            _require_bfloat16(device)
        self.precision: Precision = precision
        self.device = device
        self.fingerprint = hash_values(
            engine=self.name,
            torch=torch.__version__,
            precision=precision,
            device=torch.device(device).type,
        )
        self._order = torch.channels_last if network.channels_last else torch.contiguous_format
        self._module = network.module.to(device).to(memory_format=self._order)

    @torch.inference_mode()
    def run(self, pixels: Tensor) -> tuple[Tensor, ...]:
        """Return what the network gives for (N, 3, S, S) float32 pixels, as float32 on the CPU."""
        try:
            moved = _move(pixels, self.device).contiguous(memory_format=self._order)
            with torch.autocast(
                torch.device(self.device).type,
                dtype=torch.bfloat16,
                enabled=self.precision == "bfloat16",
            ):
                outputs = self._module(moved)
            return tuple(output.float().cpu() for output in outputs)
        except RuntimeError as exc:  # torch.OutOfMemoryError is one
            if any(words in str(exc) for words in NO_MEMORY):
                raise MemoryError(str(exc)) from exc
            raise


def _move(pixels: Tensor, device: str) -> Tensor:
    """Copy pixels to a device; to CUDA from pinned memory, so that the copy need not be awaited."""
    if torch.device(device).type != "cuda":
        return pixels.to(device)
    return pixels.pin_memory().to(device, non_blocking=True)


def _require_bfloat16(device: str) -> None:
    if not has_bfloat16(device):
        raise ConfigError(
            "backbone.precision = 'bfloat16': this processor has no bfloat16 arithmetic; use "
            "'float32' or 'auto'"
        )
