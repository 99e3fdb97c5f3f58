"""An engine that many may call, with as many pictures at once as the memory allows."""

from __future__ import annotations

import logging
import threading

import torch
from torch import Tensor

from canemo.networks.engines.protocol import Engine

logger = logging.getLogger(__name__)


class Runner:
    """Runs an engine for one caller at a time, a batch in halves where the memory is short.

    Attributes
    ----------
    engine
        What is run.
    most_at_once
        How many pictures the memory allowed so far; None where it was never short.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.most_at_once: int | None = None
        self._lock = threading.Lock()

    def run(self, pixels: Tensor) -> list[Tensor]:
        """Return what the engine gives for (N, 3, S, S) float32 pixels.

        Raises
        ------
        MemoryError
            There is not enough memory for a single picture.
        """
        with self._lock:
            while True:
                size = min(len(pixels), self.most_at_once or len(pixels))
                try:
                    parts = [self.engine.run(part) for part in torch.split(pixels, size)]
                except MemoryError:
                    if size == 1:
                        raise
                    self.most_at_once = size // 2
                    logger.warning(
                        "not enough memory for %d pictures at once; from here on %d",
                        size,
                        self.most_at_once,
                    )
                    continue
                return [torch.cat(outputs) for outputs in zip(*parts, strict=True)]
