"""What this machine can do, and where what was learned about it is kept."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import platformdirs
import torch

CACHE_VARIABLE = "CANEMO_CACHE_DIR"
_BFLOAT16 = ("avx512_bf16", "amx_bf16", "bf16")
_INT8 = ("avx512_vnni", "avx_vnni", "avx_vnni_int8", "amx_int8")


def has_bfloat16(device: str = "cpu") -> bool:
    """Tell whether a processor multiplies bfloat16 itself; emulated, it is slower than float32.

    Of CPUs torch says so from version 2.10; before that the answer is no.
    """
    if torch.device(device).type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return _has_any(_BFLOAT16)


def adds_int8_safely() -> bool:
    """Tell whether sums of int8 products are kept in 32 bits; in 16, large ones are cut off."""
    return platform.machine().lower() not in ("x86_64", "amd64") or _has_any(_INT8)


def _has_any(names: tuple[str, ...]) -> bool:
    list_capabilities = getattr(torch.cpu, "get_capabilities", None)
    found = {} if list_capabilities is None else list_capabilities()
    return any(found.get(name, False) for name in names)


def machine_cache() -> Path:
    """Return the folder for what belongs to this machine: compiled networks, measured speeds.

    The environment variable ``CANEMO_CACHE_DIR`` names another one. It may be deleted at any time.
    """
    named = os.environ.get(CACHE_VARIABLE)
    return Path(named) if named else Path(platformdirs.user_cache_dir("canemo", appauthor=False))
