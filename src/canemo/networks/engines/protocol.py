"""What every engine can do, and what it is given to run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

from torch import Tensor, nn

ENGINES_VERSION = 1
"""Part of every address under which something about engines is kept on disk."""

NO_MEMORY = ("allocate memory", "not enough memory", "out of memory", "bad_alloc", "ALLOC_FAILED")
"""What libraries say where there is too little memory."""

EngineName: TypeAlias = Literal["torch", "openvino"]
Precision: TypeAlias = Literal["float32", "bfloat16", "int8"]


@dataclass(frozen=True)
class FrozenNetwork:
    """A network in evaluation mode, as engines take it.

    Attributes
    ----------
    name
        For messages and logs.
    module
        Takes (N, 3, S, S) float32 pixels as the network wants them, gives a tuple of tensors whose
        first axis is N. The first of them is what the network is for; engines are compared by it.
    fingerprint
        Content address of weights and code: networks that may answer differently differ here.
    side_px
        S.
    channels_last
        Whether torch runs it faster in that memory order: true of convolutional networks.
    draw
        Given a number N and a seed, draws (N, 3, S, S) pixels of what the network is used for, to
        calibrate it on; None where nothing can be drawn, so that there is no int8.
    """

    name: str
    module: nn.Module
    fingerprint: str
    side_px: int
    channels_last: bool = False
    draw: Callable[[int, int], Tensor] | None = None


class Engine(Protocol):
    """Runs one frozen network, for one caller at a time (see `canemo.networks.engines.runner`).

    Attributes
    ----------
    name
        ``"torch"`` or ``"openvino"``.
    precision
        Of the large products: ``"float32"``, ``"bfloat16"`` or ``"int8"``. Outputs are always
        float32.
    device
        A torch device, or ``"cpu"``.
    fingerprint
        Content address of all that may change an answer besides the network: engine, its version,
        precision, device, calibration.
    """

    name: EngineName
    precision: Precision
    device: str
    fingerprint: str

    def run(self, pixels: Tensor) -> tuple[Tensor, ...]:
        """Return what the network gives for (N, 3, S, S) float32 pixels, as float32 on the CPU.

        Raises
        ------
        MemoryError
            N pictures at once need more memory than there is.
        """
        ...
