"""What this machine can do, and where what was learned about it is kept."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs
import torch

CACHE_VARIABLE = "CANEMO_CACHE_DIR"
_BFLOAT16 = ("avx512_bf16", "amx_bf16", "bf16")


def has_bfloat16() -> bool:
    """Tell whether the processor multiplies bfloat16 itself; emulated, it is slower than float32.

    torch says so from version 2.10; before that the answer is no.
    """
    list_capabilities = getattr(torch.cpu, "get_capabilities", None)
    found = {} if list_capabilities is None else list_capabilities()
    return any(found.get(name, False) for name in _BFLOAT16)


def machine_cache() -> Path:
    """Return the folder for what belongs to this machine: compiled networks, measured speeds.

    The environment variable ``CANEMO_CACHE_DIR`` names another one. It may be deleted at any time.
    """
    named = os.environ.get(CACHE_VARIABLE)
    return Path(named) if named else Path(platformdirs.user_cache_dir("canemo", appauthor=False))
